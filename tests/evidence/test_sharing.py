"""One chain for laptops and CI: what leaves, what comes in, and where it stops. Against real repositories on disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import Maker

from pantheon_runbook import cli
from pantheon_runbook.errors import EvidenceError, RunbookError, UsageError
from pantheon_runbook.evidence import ledger, sharing
from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.ledger import LedgerEnd
from pantheon_runbook.evidence.repository import Repository
from pantheon_runbook.evidence.seal import new_key, pin, sealing_key, trust_entry
from pantheon_runbook.evidence.sharing import Shared
from pantheon_runbook.verdict import NotebookStatus

pytestmark = pytest.mark.alike
NOTHING = "nothing was pushed, and nothing taken in."


def git(folder: Path, *arguments: str, given: str = "") -> str:
    named = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(
        ["git", *named, *arguments], cwd=folder, input=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the developer's own git is set to, and with what would change bytes on their way."""
    config = tmp_path / "gitconfig"
    config.write_text('[core]\n\tautocrlf = true\n[protocol "file"]\n\tallow = always\n[commit]\n\tgpgsign = true\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


class Place:
    """A machine with an evidence folder, and the repository that it shares with others."""

    def __init__(self, maker: Maker, remote: Path) -> None:
        self.maker, self.remote = maker, remote

    @property
    def evidence(self) -> Path:
        return self.maker.evidence

    def push(self, **more: str) -> Shared:
        return sharing.push(self.evidence, None, **{"remote": str(self.remote), **more})

    def pull(self, **more: str) -> Shared:
        return sharing.pull(self.evidence, None, **{"remote": str(self.remote), **more})

    def state(self) -> dict[str, bytes]:
        """Every file of the evidence by its path, without git's own."""
        files = [path for path in self.evidence.rglob("*") if path.is_file()]
        named = {path.relative_to(self.evidence).as_posix(): path.read_bytes() for path in files}
        return {name: content for name, content in named.items() if not name.startswith(".git/")}

    def shared(self) -> dict[str, str]:
        """Every file of the branch, by its object's id."""
        if not git(self.remote, "branch", "--list", "evidence"):
            return {}
        rows = (row.split() for row in git(self.remote, "ls-tree", "-r", "evidence").splitlines())
        return {name: named for _, _, named, name in rows}

    def head(self) -> str:
        return git(self.remote, "rev-parse", "evidence")

    def is_intact(self) -> bool:
        return verifier.verify(self.evidence).is_intact


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "shared.git"
    git(tmp_path, "init", "--quiet", "--bare", str(folder))
    return folder


@pytest.fixture
def laptop(three: Maker, remote: Path) -> Place:
    """With three bundles."""
    return Place(three, remote)


@pytest.fixture
def ci(laptop: Place, tmp_path: Path) -> Place:
    """A second machine, which has taken in what the first one pushed."""
    laptop.push()
    (tmp_path / "ci").mkdir()
    place = Place(Maker(tmp_path / "ci" / "evidence"), laptop.remote)
    place.pull()
    return place


def names(place: Place) -> list[str]:
    return [path.name for path in place.maker.folders if not path.name.startswith(".")]


@contextmanager
def refused(*places: Place) -> Iterator[pytest.ExceptionInfo[EvidenceError]]:
    """Nothing moves on either side."""
    before = [(place.state(), place.shared()) for place in places]
    with pytest.raises(EvidenceError) as stopped:
        yield stopped
    assert before == [(place.state(), place.shared()) for place in places]


def committed(place: Place, change: Callable[[Path], None], tmp_path: Path) -> None:
    """Somebody's own commit on the branch, made in a clone."""
    clone = tmp_path / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    plain = ("-c", "core.autocrlf=false")
    git(tmp_path, *plain, "clone", "--quiet", "--branch", "evidence", str(place.remote), str(clone))
    change(clone)
    git(clone, *plain, "add", "--all")
    git(clone, *plain, "commit", "--quiet", "--no-gpg-sign", "--message", "by hand")
    git(clone, "push", "--quiet", "origin", "evidence")


# ---- a chain that goes on


def test_push_makes_the_tree_and_the_branch(laptop):
    shared = laptop.push()

    assert (tuple(names(laptop)), ()) == (shared.pushed, shared.taken)
    assert set(laptop.state()) == set(laptop.shared())
    assert str(laptop.remote) == git(laptop.evidence, "remote", "get-url", "origin")
    assert "" == git(laptop.evidence, "status", "--porcelain")
    assert f"ledger    3 lines, head {shared.ledger_head}" in list(shared.lines())


def test_pull_into_nothing_brings_the_same_bytes(ci, laptop):
    assert laptop.state() == ci.state()
    assert ci.is_intact()
    assert "" == git(ci.evidence, "status", "--porcelain")


def test_each_goes_on_from_the_other(ci, laptop):
    mine = ci.maker.sealed(3).name
    assert (mine,) == ci.push().pushed
    assert (mine,) == laptop.pull().taken
    other = laptop.maker.sealed(4).name
    assert (other,) == laptop.push().pushed
    assert (other,) == ci.push().taken

    assert laptop.state() == ci.state()
    assert (True, 5) == (ci.is_intact(), len(names(ci)))


def test_second_push_has_nothing_to_do(laptop):
    laptop.push()
    head = laptop.head()

    assert ((), ()) == (laptop.push().pushed, laptop.push().taken)
    assert head == laptop.head()


def test_pull_says_what_is_here_only(ci):
    mine = ci.maker.sealed(3).name
    head = ci.head()

    shared = ci.pull()

    assert (mine,) == shared.waiting
    assert f"here only {mine}  (pantheon-runbook evidence push)" in list(shared.lines())
    assert head == ci.head()


def test_commit_tells_each_verdict(laptop):
    laptop.push()

    told = git(laptop.remote, "log", "-1", "--format=%B", "evidence")
    assert told.startswith("Ledger line 3: 3 added\n")
    assert f"{names(laptop)[0]}  done  (sandbox)" in told


def test_first_pull_of_a_repository_without_evidence(make, remote):
    """CI's very first job."""
    place = Place(make, remote)

    assert ((), 0) == (place.pull().taken, place.push().ledger_lines)
    assert {} == place.shared()
    mine = place.maker.sealed().name
    assert (mine,) == place.push(remote="origin").pushed


def test_nothing_unsealed_leaves(laptop):
    """A run that is open, a lock, a half-written file, and what somebody put beside the bundles."""
    bundle, _ = laptop.maker.begun(7, acts=("open",))
    for name in ("notes.txt", "ledger.jsonl.lock", ".ledger.jsonl.new", ".incoming-left/x"):
        (laptop.evidence / name).parent.mkdir(exist_ok=True)
        (laptop.evidence / name).write_text("mine")

    laptop.push()

    assert {"ledger.jsonl", "trust.toml"} == {name for name in laptop.shared() if "/" not in name}
    assert set(names(laptop)) == {name.partition("/")[0] for name in laptop.shared() if "/" in name}
    laptop.maker.forget(bundle)


def test_each_goes_on_from_the_other_beside_an_open_run(ci, laptop):
    """Which is in a folder as deep as a bundle."""
    bundle, _ = ci.maker.begun(7, acts=("open",))
    ci.maker.sealed(3)
    ci.push()
    laptop.pull()

    assert 4 == len(names(laptop))
    assert [] == [name for name in ci.shared() if name.startswith(".running")]
    ci.maker.forget(bundle)


def test_open_run_is_sealed_after_what_was_taken_in(ci, laptop):
    """It gets its line when it is sealed, not when it begins."""
    bundle, _ = ci.maker.begun(8)
    laptop.maker.sealed(3)
    laptop.push()
    ci.pull()
    bundle.seal(ci.maker.key, NotebookStatus("not-observed"))

    assert (5, True) == (len(ci.push().pushed) + 4, ci.is_intact())


def test_line_ends_stay_as_they_are(make, remote, tmp_path):
    """A card may hold any; this developer's git would change them on their way in, and on their way out."""
    place = Place(make, remote)
    bundle, journal = place.maker.begun(0)
    journal.write("card", act="verify", text="one\r\ntwo")
    bundle.seal(place.maker.key, NotebookStatus("not-observed"))
    place.push()

    other = tmp_path / "other"
    sharing.pull(other, None, remote=str(remote))

    assert b"one\r\ntwo" in next(other.glob("2026*/report.md")).read_bytes()
    assert verifier.verify(other).is_intact


def test_folder_in_another_tree_is_a_tree_of_its_own(make, remote, tmp_path, monkeypatch):
    """Beside pantheon.toml in the product's repository, and from one of its hooks."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--allow-empty", "--message", "the product")
    before = git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / ".git" / "index"))
    place = Place(make, remote)
    place.maker.sealed()
    place.push()
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")

    assert before == git(tmp_path, "rev-parse", "HEAD")
    assert "" == git(tmp_path, "ls-files")
    assert 1 == len(names(place))


def test_cloned_tree_goes_on(laptop, tmp_path):
    """As older workflow files made it: a clone, on the branch itself."""
    laptop.push()
    clone = tmp_path / "evidence-of-ci"
    git(tmp_path, "-c", "core.autocrlf=false", "clone", "--quiet", "-b", "evidence", str(laptop.remote), str(clone))
    place = Place(Maker(clone), laptop.remote)
    mine = place.maker.sealed(5).name

    assert (mine,) == place.push(remote="origin").pushed
    assert "" == git(clone, "status", "--porcelain", "--untracked-files=no")
    assert place.head() == git(clone, "rev-parse", "HEAD")


def test_commits_of_ones_own_are_left_alone(laptop):
    laptop.push()
    git(laptop.evidence, "commit", "--quiet", "--no-gpg-sign", "--allow-empty", "--message", "mine")
    mine = git(laptop.evidence, "rev-parse", "evidence")
    laptop.maker.sealed(3)

    laptop.push()

    assert mine == git(laptop.evidence, "rev-parse", "evidence")


# ---- forks and losses


@pytest.fixture
def forked(ci: Place, laptop: Place) -> tuple[str, str]:
    """Both have sealed a run after the third line; CI was first to push."""
    theirs, ours = ci.maker.sealed(3).name, laptop.maker.sealed(4).name
    ci.push()
    return ours, theirs


@pytest.mark.parametrize("act", ["push", "pull"])
def test_fork_is_named(act, forked, laptop, ci):
    ours, theirs = forked

    with refused(laptop, ci) as stopped:
        getattr(laptop, act)()

    assert "the chain has forked at line 4 of the ledger." == stopped.value.what
    assert (True, True) == (f"here it is {ours}" in stopped.value.why, f"it is {theirs}" in stopped.value.why)
    assert "evidence push --branch evidence-fork" in stopped.value.next_step


def test_forked_chain_is_kept_on_a_branch_of_its_own(forked, laptop):
    assert 4 == len(laptop.push(branch="evidence-fork").pushed)
    assert {"evidence", "evidence-fork"} == set(git(laptop.remote, "branch", "--format=%(refname:short)").split())
    assert laptop.is_intact()


def lost(place: Place, how: str) -> None:
    head = place.head()
    if how == "shorter":
        git(place.remote, "update-ref", "refs/heads/evidence", f"{head}^")
    elif how == "gone":
        git(place.remote, "update-ref", "-d", "refs/heads/evidence")
    elif how == "emptied":
        tree = git(place.remote, "mktree")
        git(place.remote, "update-ref", "refs/heads/evidence", git(place.remote, "commit-tree", "-m", "x", tree))


@pytest.mark.parametrize("how", ["shorter", "gone", "emptied"])
@pytest.mark.parametrize("act", ["push", "pull"])
def test_branch_that_lost_lines_is_named(act, how, ci, laptop):
    """Healing it silently would hide that somebody has written over it."""
    laptop.maker.sealed(3)
    laptop.push()
    lost(laptop, how)

    with refused(laptop) as stopped:
        getattr(laptop, act)()

    number = 4 if how == "shorter" else 1
    assert 'the branch "evidence"' in stopped.value.what
    assert "has lost or changed what it had" in stopped.value.what
    assert f"line {number} of the ledger was {names(laptop)[number - 1]}" in stopped.value.why
    assert "is missing now" in stopped.value.why


def test_what_was_seen_there_is_known_by_either_name(laptop):
    """Pushed by its address, which became origin."""
    laptop.push()
    lost(laptop, "gone")

    with refused(laptop) as stopped:
        laptop.push(remote="origin")

    assert "has lost or changed what it had" in stopped.value.what


def test_what_was_lost_can_be_put_back(laptop):
    """By the very command that the card says."""
    laptop.push()
    lost(laptop, "gone")
    with pytest.raises(EvidenceError) as stopped:
        laptop.push()

    command = stopped.value.next_step.partition(": ")[2].removesuffix(".")
    subprocess.run(command.split(), check=True, capture_output=True)

    assert ((), 3) == (laptop.push().pushed, len({name.split("/")[0] for name in laptop.shared() if "/" in name}))


def test_shorter_folder_here_is_made_whole(ci, laptop):
    """The branch has what was lost here."""
    whole = laptop.state()
    lines = (laptop.evidence / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (laptop.evidence / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    shutil.rmtree(laptop.maker.folders[-1])

    assert 1 == len(laptop.pull().taken)
    assert whole == laptop.state()


# ---- what does not verify


@pytest.mark.parametrize("act", ["push", "pull"])
def test_folder_that_does_not_verify_is_refused(act, laptop):
    (laptop.maker.folders[1] / "plan.json").write_text("{}")

    with refused(laptop) as stopped:
        getattr(laptop, act)()

    assert "the evidence here does not verify." == stopped.value.what
    assert f"{names(laptop)[1]}/plan.json: changed after sealing" in stopped.value.why


def test_bundles_without_a_ledger_are_refused(laptop):
    (laptop.evidence / "ledger.jsonl").write_bytes(b"")

    with refused(laptop) as stopped:
        laptop.push()

    assert "the bundle is not in the ledger" in stopped.value.why


def test_live_evidence_needs_its_trust_file(laptop, tmp_path):
    """Only keys that people have committed count, as for every check."""
    with pytest.raises(EvidenceError) as stopped:
        sharing.push(laptop.evidence, tmp_path / "no-trust.toml", remote=str(laptop.remote))

    assert "no pinned keys" in stopped.value.why


def last_of(clone: Path) -> Path:
    return max(path for path in clone.iterdir() if path.name.startswith("2026"))


def altered(clone: Path) -> None:
    bundle = last_of(clone)
    (bundle / "plan.json").write_text("{}")


def taken_away(clone: Path) -> None:
    shutil.rmtree(last_of(clone))


def slipped_in(clone: Path) -> None:
    (clone / "20261123T100009Z-RB-010-staging-00000009").mkdir()
    (clone / "20261123T100009Z-RB-010-staging-00000009" / "plan.json").write_text("{}")


def linked(clone: Path) -> None:
    bundle = last_of(clone)
    (bundle / "plan.json").unlink()
    (bundle / "plan.json").symlink_to("/etc/hostname")


def nested(clone: Path) -> None:
    bundle = last_of(clone)
    (bundle / "deep").mkdir()
    (bundle / "deep" / "plan.json").write_text("{}")


@pytest.mark.parametrize("change", [altered, taken_away, slipped_in, linked, nested])
@pytest.mark.parametrize("has_news", [False, True], ids=["known", "news"])
@pytest.mark.parametrize("act", ["push", "pull"])
def test_branch_that_was_changed_is_refused(act, has_news, change, ci, laptop, tmp_path):
    """In a bundle that is here too, or in one that would be taken in."""
    if has_news:
        ci.maker.sealed(3)
        ci.push()
    committed(laptop, change, tmp_path)

    with refused(laptop, ci) as stopped:
        getattr(laptop, act)()

    assert "log -p refs/pantheon-runbook/found" in stopped.value.next_step


@pytest.mark.parametrize("change", [linked, nested])
def test_odd_file_is_refused_by_its_name(change, ci, laptop, tmp_path):
    """Before it is laid out, since a link may lead anywhere."""
    ci.maker.sealed(3)
    ci.push()
    committed(laptop, change, tmp_path)

    with refused(laptop) as stopped:
        laptop.pull()

    assert "is no plain file of a bundle" in stopped.value.why


def test_branch_that_lost_a_file_is_refused(ci, laptop, tmp_path):
    """The same bundle here and there is the same to the byte; ours heals nothing silently."""

    def without_report(clone: Path) -> None:
        (clone / names(laptop)[0] / "report.md").unlink()

    committed(laptop, without_report, tmp_path)
    laptop.maker.sealed(6)

    with refused(laptop) as stopped:
        laptop.push()

    assert f"holds {names(laptop)[0]} otherwise than it was sealed" in stopped.value.what


def test_other_files_on_the_branch_are_left_there(ci, laptop, tmp_path):
    """A README of the repository, and what an older workflow file pushed of killed runs."""

    def beside(clone: Path) -> None:
        (clone / "README.md").write_text("evidence")
        (clone / ".running").mkdir()
        (clone / ".running" / "x.place").write_text("{}")

    committed(laptop, beside, tmp_path)
    laptop.maker.sealed(3)
    laptop.push()
    ci.pull()

    assert {"README.md", ".running/x.place"} <= set(laptop.shared())
    assert not {"README.md", ".running/x.place"} & set(ci.state())


# ---- keys for rehearsals


def as_another_machine(folder: Path, patch: pytest.MonkeyPatch) -> Maker:
    patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    return Maker(folder / "evidence")


def test_each_machine_pins_its_own_key(laptop, tmp_path, monkeypatch):
    laptop.push()
    other = Place(as_another_machine(tmp_path / "other", monkeypatch), laptop.remote)
    other.pull()
    other.maker.sealed(3)
    other.push()
    laptop.pull()

    assert (True, True) == (laptop.is_intact(), other.is_intact())
    assert 2 == (laptop.evidence / "trust.toml").read_text().count("[[keys]]")


def trusting(text: str) -> Callable[[Path], None]:
    return lambda clone: (clone / "trust.toml").write_text(text)


def test_live_key_on_the_branch_is_not_taken_in(ci, laptop, tmp_path):
    text = (laptop.evidence / "trust.toml").read_text() + trust_entry(new_key("live-seal"), owner="x", cloud="live")
    committed(laptop, trusting(text), tmp_path)

    with refused(laptop) as stopped:
        laptop.pull()

    assert "pins a live key" in stopped.value.why


@pytest.mark.parametrize("text", ["", "[[keys", "keys = 1"], ids=["empty", "broken", "odd"])
def test_trust_file_of_the_branch_that_is_none_is_refused(text, ci, laptop, tmp_path):
    committed(laptop, trusting(text), tmp_path)

    with refused(laptop) as stopped:
        laptop.push()

    assert "cannot be read" in stopped.value.why


def test_key_that_is_said_otherwise_is_refused(ci, laptop, tmp_path):
    """Such as one that is to be valid for ever."""
    text = (laptop.evidence / "trust.toml").read_text().replace("sandbox, pinned", "somebody, pinned")
    committed(laptop, trusting(text), tmp_path)

    with refused(laptop) as stopped:
        laptop.push()

    assert "another thing of a key than ours" in stopped.value.why


def test_ssh_key_is_the_same_under_another_comment(ci, laptop, tmp_path):
    """Two entries for one key would make the whole trust file worth nothing."""
    line = "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
    entry = f'[[keys]]\nssh = "ssh-ed25519 {line} COMMENT"\nowner = "ana"\ncloud = "sandbox"\nrole = "approve"\n'
    own = laptop.evidence / "trust.toml"
    text = own.read_text()
    own.write_text(text + entry)
    committed(laptop, trusting(text + entry.replace("COMMENT", "ana")), tmp_path)

    with refused(laptop) as stopped:
        laptop.pull()

    assert "another thing of a key than ours" in stopped.value.why


# ---- broken off, and at the same time


@pytest.mark.parametrize("after", ["trust", "bundles"])
def test_pull_that_was_killed_is_gone_on_with(after, ci, laptop, tmp_path, monkeypatch):
    """Keys, then bundles, then the ledger: the next one finds its way from anywhere."""
    other = Place(as_another_machine(tmp_path / "other", monkeypatch), laptop.remote)
    other.pull()
    other.maker.sealed(3)
    other.maker.sealed(4)
    other.push()

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((LedgerEnd, "append", killed) if after == "bundles" else (Path, "rename", killed)))
        with pytest.raises(KeyboardInterrupt):
            laptop.pull()
    left = laptop.evidence / ".incoming-left"
    left.mkdir()

    assert 2 == len(laptop.pull().taken)
    assert other.state() == laptop.state()
    assert (True, False) == (laptop.is_intact(), left.exists())


def test_race_with_another_push_is_said(ci, laptop, monkeypatch):
    """Between our look and our push; the next push looks again, and names the fork."""
    ours = laptop.maker.sealed(3).name
    ci.maker.sealed(4)
    commit = Repository.commit

    def late(self: Repository, *arguments: object, **more: object) -> str:
        if self.folder == laptop.evidence:
            ci.push()
        return commit(self, *arguments, **more)

    monkeypatch.setattr(Repository, "commit", late)
    with pytest.raises(EvidenceError) as stopped:
        laptop.push()

    assert "somebody else pushed" in stopped.value.what
    assert "nothing was pushed; every bundle is still here." == stopped.value.state
    assert ours in names(laptop)
    with pytest.raises(EvidenceError, match="forked at line 4"):
        laptop.push()


def test_race_that_the_remote_notices_is_said(ci, laptop):
    """While git is pushing already."""
    laptop.maker.sealed(3)
    ci.maker.sealed(4)
    ci.push(branch="other")
    head = git(ci.remote, "rev-parse", "other")
    hook = laptop.evidence / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nunset GIT_DIR\ngit -C {ci.remote} update-ref refs/heads/evidence {head}\n")
    hook.chmod(0o755)

    with pytest.raises(EvidenceError) as stopped:
        laptop.push()

    assert "somebody else pushed" in stopped.value.what
    assert head == laptop.head()


def test_push_waits_for_a_sealing(laptop):
    """Else it would read a ledger whose last line is half there, or whose bundle is not in its place yet."""
    with ThreadPoolExecutor() as pool:
        with ledger.held(laptop.evidence):
            pushed = pool.submit(laptop.push)
            with pytest.raises(TimeoutError):
                pushed.result(timeout=0.7)
            assert {} == laptop.shared()

        assert 3 == len(pushed.result().pushed)


# ---- cards


def test_no_remote_says_how_to_name_one(laptop):
    with pytest.raises(UsageError) as stopped:
        laptop.push(remote="origin")

    assert 'has no remote "origin"' in stopped.value.what
    assert "--remote git@" in stopped.value.next_step
    assert not (laptop.evidence / ".git").exists()


def test_unknown_remote_says_which_there_are(laptop):
    laptop.push()

    with pytest.raises(UsageError) as stopped:
        laptop.push(remote="elsewhere")

    assert "git knows origin there." == stopped.value.why


@pytest.mark.parametrize(
    "named",
    [{"remote": ""}, {"remote": "--upload-pack=touch x"}, {"branch": ""}, {"branch": "--all"}, {"branch": "a..b"}],
    ids=str,
)
def test_odd_name_is_refused(named, laptop):
    with pytest.raises(UsageError):
        laptop.push(**named)

    assert not (laptop.evidence / ".git").exists()


def test_remote_out_of_reach_is_said(laptop, tmp_path):
    with pytest.raises(EvidenceError) as stopped:
        laptop.push(remote=str(tmp_path / "nowhere.git"))

    assert "cannot be reached" in stopped.value.what
    assert "does not appear to be a git repository" in stopped.value.why
    assert "git ls-remote" in stopped.value.next_step


def test_password_in_an_address_is_not_shown(laptop):
    """Git repeats the address in what it says."""
    with pytest.raises(EvidenceError) as stopped:
        laptop.push(remote="https://someone:hunter2hunter2@localhost:1/evidence.git")

    assert "hunter2" not in str(stopped.value)
    assert "https://localhost:1/evidence.git" in stopped.value.what


def test_no_permission_is_said(laptop):
    hook = laptop.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    with refused(laptop) as stopped:
        laptop.push()

    assert "does not take the evidence" in stopped.value.what
    assert "pre-receive hook declined" in stopped.value.why
    assert "let this user or deploy key push to evidence" in stopped.value.next_step


def test_push_that_breaks_off_claims_nothing(laptop):
    """The remote may have taken it, and its answer have been lost."""
    hook = laptop.evidence / ".git" / "hooks" / "pre-push"
    laptop.pull()
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(EvidenceError) as stopped:
        laptop.push()

    assert stopped.value.state.startswith("unknown whether it was pushed")


def test_no_git_is_said(laptop, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError) as stopped:
        laptop.push()

    assert "there is no git on PATH." == stopped.value.why


def test_no_evidence_is_said(tmp_path, remote):
    with pytest.raises(EvidenceError) as stopped:
        sharing.push(tmp_path / "evidence", None, remote=str(remote))

    assert "there is no evidence to push" in stopped.value.what


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_made_is_said(tmp_path, remote):
    tmp_path.chmod(0o500)

    with pytest.raises(RunbookError, match="cannot be made"):
        sharing.pull(tmp_path / "evidence", None, remote=str(remote))


def test_broken_repository_is_said(laptop):
    laptop.push()
    (laptop.evidence / ".git" / "HEAD").write_text("nonsense")

    with pytest.raises(EvidenceError) as stopped:
        laptop.push()

    assert "git cannot be used in" in stopped.value.what


def test_pins_are_written_as_the_checker_reads_them(make, tmp_path):
    """A hostile owner is a text, whatever is in it."""
    pin(sealing_key("sandbox"), tmp_path / "trust.toml", owner='x"\n[[keys]]\né\\', cloud="sandbox")
    raw = (tmp_path / "trust.toml").read_bytes()

    (entry,) = sharing._pins(raw).values()
    (tmp_path / "again.toml").write_bytes(sharing._pin_lines(entry))

    keys, findings = verifier.pinned_keys(tmp_path / "again.toml")
    assert ([], ['x"\n[[keys]]\né\\']) == (findings, [key.owner for key in keys.values()])


def test_hostile_ledger_leads_nowhere(ci, laptop, tmp_path):
    """Its names become paths."""

    def hostile(clone: Path) -> None:
        lines = (clone / "ledger.jsonl").read_text()
        entry = {**json.loads(lines.splitlines()[-1]), "bundle": "../../outside"}
        (clone / "ledger.jsonl").write_text(f"{lines}{json.dumps(entry)}\n")

    committed(laptop, hostile, tmp_path)

    with refused(laptop):
        laptop.pull()
    assert [] == [*tmp_path.parent.glob("outside"), *tmp_path.rglob("outside")]


# ---- the command line


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, ["evidence", *arguments])
    assert isinstance(result.exception, SystemExit | None)
    return result.exit_code, result.output


def test_command_line_pushes_and_pulls(laptop, tmp_path, monkeypatch):
    """What is in the folder that the config names; the remote is said once."""
    monkeypatch.chdir(tmp_path)
    assert (0, True) == ((pushed := call("push", "--remote", str(laptop.remote)))[0], "3 pushed" in pushed[1])
    assert (0, True) == ((pushed := call("push"))[0], "0 pushed" in pushed[1])

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (0, True) == ((pulled := call("pull", "--remote", str(laptop.remote)))[0], "3 taken in" in pulled[1])


def test_command_line_tells_its_cards(laptop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (2, True) == ((stopped := call("push"))[0], "Next:    name the address" in stopped[1])

    (laptop.maker.folders[0] / "plan.json").write_text("{}")
    code, told = call("push", "--remote", str(laptop.remote))
    assert (4, ["Stopped:", "Why:", "State:", "Next:"]) == (code, [line.split()[0] for line in told.splitlines()])


def test_command_line_takes_the_committed_keys_for_live(laptop, tmp_path, monkeypatch):
    """What the evidence folder pins is for rehearsals."""
    example = Path(cli.__file__).parents[1] / "pantheon.example.toml"
    (tmp_path / "pantheon.toml").write_text(re.sub("<[^>]*>", "x", example.read_text()))
    monkeypatch.chdir(tmp_path)

    code, told = call("push", "--remote", str(laptop.remote))

    assert (4, True) == (code, "trust.toml: no pinned keys: missing" in told), told


@pytest.mark.parametrize("name", ["../../outside", "/etc", ".git", "", "a/b"])
def test_name_of_a_bundle_leads_nowhere(name):
    assert "no-bundle" == sharing._bundle_of(json.dumps({"bundle": name}).encode())
