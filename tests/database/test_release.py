"""Whether what is checked out is what the release branch has, with real git repositories."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon_runbook.database.migrations.release import look_at_release
from pantheon_runbook.database.migrations.revisions import History, Revision
from pantheon_runbook.database.migrations.tally import Commands, Release, tally

COMMANDS = Commands("pantheon-runbook run RB-020 -e staging", "alembic -c backend/alembic.ini")


def git(folder: Path, *arguments: str) -> str:
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Repository:
    """A backend in a folder of a repository, as `alembic.ini` finds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "backend" / "alembic.ini"

    def write(self, name: str, text: str, down: str = "") -> Revision:
        file = self.folder / "backend" / "versions" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return Revision(name, (down,) if down else (), (), (), f"versions/{name}.py", digest, name)

    def commit(self) -> str:
        git(self.folder, "add", ".")
        git(self.folder, "commit", "-q", "-m", "a revision")
        return git(self.folder, "rev-parse", "--short", "HEAD")

    def look(self, *revisions: Revision) -> Release:
        return look_at_release(self.ini, "main", revisions)


@pytest.fixture
def origin(tmp_path):
    """main has one revision."""
    (tmp_path / "origin").mkdir()
    made = Repository(tmp_path / "origin")
    git(made.folder, "init", "-q")
    made.first = made.write("a1", "first")
    made.commit()
    return made


@pytest.fixture
def clone(origin, tmp_path):
    git(tmp_path, "clone", "-q", str(origin.folder), "clone")
    return Repository(tmp_path / "clone")


def refused(release: Release, *revisions: Revision) -> list[str]:
    history = History(revisions, (revisions[-1].id,))
    found = tally(history, None, (), release=release, tables=0, commands=COMMANDS).findings
    return [one.code for one in found if one.blocks]


def test_release_branch_migrates(clone, origin):
    found = clone.look(origin.first)

    assert (Release("main", "main"), []) == (found, refused(found, origin.first))


def test_feature_branch_does_not(clone, origin):
    """Committed or not: the file is not in the release branch. What both have is no reason."""
    git(clone.folder, "checkout", "-q", "-b", "feature")
    second = clone.write("b2", "of a feature", "a1")
    uncommitted = clone.look(origin.first, second)
    clone.commit()

    assert Release("main", "feature", ("b2",)) == uncommitted == clone.look(origin.first, second)
    assert ["not-released"] == refused(uncommitted, origin.first, second)
    assert [] == refused(clone.look(origin.first), origin.first)


def test_file_that_was_changed_is_not_the_releases(clone, origin):
    git(clone.folder, "checkout", "-q", "-b", "feature")
    changed = clone.write("a1", "first, and more")

    assert ("a1",) == clone.look(changed).beyond


def test_detached_head_as_in_ci(clone, origin):
    """Named by its commit; only what was fetched of the branch is there, and no local one."""
    commit = git(clone.folder, "rev-parse", "--short", "HEAD")
    git(clone.folder, "checkout", "-q", "--detach")
    git(clone.folder, "branch", "-q", "-D", "main")
    assert Release("main", commit) == clone.look(origin.first)

    second = clone.write("b2", "of a pull request", "a1")
    beyond = clone.look(origin.first, second)
    assert Release("main", commit, ("b2",)) == beyond
    assert ["not-released"] == refused(beyond, origin.first, second)


def test_shallow_clone_without_the_branch_knows_nothing(origin, tmp_path):
    """As CI fetches one ref alone: said, and not taken for released."""
    git(origin.folder, "checkout", "-q", "-b", "feature")
    second = origin.write("b2", "of a feature", "a1")
    origin.commit()
    git(tmp_path, "clone", "-q", "--depth", "1", "--branch", "feature", f"file://{origin.folder}", "shallow")

    found = Repository(tmp_path / "shallow").look(origin.first, second)

    assert Release("main", "") == found
    (told,) = tally(
        History((origin.first, second), ("b2",)), None, (), release=found, tables=0, commands=COMMANDS
    ).findings
    assert ("release-not-known", False) == (told.code, told.blocks)


def test_folder_without_git_knows_nothing(tmp_path):
    plain = Repository(tmp_path)
    first = plain.write("a1", "first")

    assert Release("main", "") == plain.look(first)


def test_git_is_asked_and_changes_nothing(clone, origin):
    before = {path: path.stat().st_mtime_ns for path in (clone.folder / ".git").rglob("*")}

    clone.look(origin.first, replace(origin.first, id="zz", file="versions/zz.py"))

    assert before == {path: path.stat().st_mtime_ns for path in (clone.folder / ".git").rglob("*")}
