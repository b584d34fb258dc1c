"""The tree as its author has written it, read without a database; and interpreters that cannot read it."""

from __future__ import annotations

import dataclasses
import hashlib
import sys

import pytest
from alembic_trees import INI, Tree

from pantheon_runbook.database.migrations.alembic_process import Backend, history
from pantheon_runbook.database.migrations.revisions import Revision
from pantheon_runbook.errors import ConfigError, RefusedError

pytestmark = pytest.mark.alike


def test_tree_is_read_as_it_is_declared(tmp_path):
    """env.py is not run: this one would stop the reading."""
    tree = Tree(tmp_path, env="raise ValueError('env.py was run')\n")
    check = {"query": "select count(*) from a", "expect": 0}
    tree.sql("a1", "create table a (id int)", branch_labels=("accounts",))
    tree.sql("b1", "create table b (id int)", down_revision=None, branch_labels=("billing",), depends_on="accounts")
    path = tree.sql("b2", "drop table b", phase="contract", forward_fix_only=True, check=check)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    read = history(tree.backend)

    assert ["a1", "b1", "b2"] == [one.id for one in read.revisions]
    assert (("accounts",), ("a1",)) == (read.get("a1").branch_labels, read.get("b1").depends_on)
    assert read.get("b2") == Revision(
        "b2", ("b1",), (), (), "migrations/versions/b2_it.py", digest, "What b2 does.", "contract",
        forward_fix_only=True, check=check,
    )  # fmt: skip
    assert ("b2",) == read.heads


def test_every_head_of_the_tree_is_read(tmp_path):
    tree = Tree(tmp_path)
    tree.sql("a1", "select 1")
    tree.sql("c1", "select 1")
    tree.sql("b1", "select 1", down_revision="a1")

    assert ("b1", "c1") == history(tree.backend).heads


PLACES = {
    "beside the ini": ("backend/alembic.ini", INI),
    "by name, beside the ini": ("backend/alembic.ini", "[alembic]\nscript_location = migrations\n"),
    "from the folder above": ("backend/alembic.ini", "[alembic]\nscript_location = backend/migrations\n"),
    "two folders above": ("backend/deploy/alembic.ini", "[alembic]\nscript_location = backend/migrations\n"),
    "in a package": ("alembic.ini", "[alembic]\nprepend_sys_path = .\nscript_location = backend:migrations\n"),
    "in a package that nobody put on the path": ("alembic.ini", "[alembic]\nscript_location = backend:migrations\n"),
    "in pyproject.toml": ("backend/alembic.ini", "[alembic]\n"),
}


@pytest.mark.parametrize("place", PLACES)
def test_scripts_are_found_where_the_ini_means(tmp_path, place):
    """Its revisions import the backend's own package, and nothing of ours stands in its way."""
    ini, text = PLACES[place]
    tree = Tree(tmp_path / "backend")
    (tree.folder / "__init__.py").touch()
    (tree.folder / "locks.py").write_text("OURS = 'the backend has a module of this name too'\n")
    (tree.folder / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    (tmp_path / ini).parent.mkdir(exist_ok=True)
    (tmp_path / ini).write_text(text)
    inside = (tmp_path / ini).parent == tree.folder and "backend/" not in text
    tree.sql("a1", "select 1", head=f"from {'locks' if inside else 'backend.locks'} import OURS")
    read = history(Backend(tmp_path / ini, sys.executable))

    assert ["a1"] == [one.id for one in read.revisions]
    assert read.revisions[0].file.endswith("migrations/versions/a1_it.py")
    assert (tmp_path / ini).parent.joinpath(read.revisions[0].file).resolve().is_file()


TREES = {
    "phase": ({"phase": "extend"}, "a1_it.py: phase is 'extend'"),
    "forward_fix_only": ({"forward_fix_only": "yes"}, "a1_it.py: forward_fix_only is 'yes'"),
    "check": ({"check": "select 1"}, "a1_it.py: check is not"),
    "expected": ({"check": {"query": "select 1", "expect": [1]}}, "a1_it.py: check expects [1]"),
    "down_revision": ({"down_revision": "a0"}, "a0"),
    "import": ({"head": "import not_there"}, "No module named 'not_there'"),
    "syntax": ({"head": "def"}, "SyntaxError"),
    "exit": ({"head": "raise SystemExit(4)"}, "SystemExit: 4"),
    "sudden end": ({"head": "import os; os._exit(5)"}, "exit code 5"),
}


@pytest.mark.parametrize("name", TREES)
def test_tree_that_cannot_be_meant_is_refused(tmp_path, name):
    declared, why = TREES[name]
    tree = Tree(tmp_path)
    tree.sql("a1", "select 1", **declared)
    with pytest.raises(RefusedError) as stopped:
        history(tree.backend)

    assert why in stopped.value.why


def test_two_files_of_one_revision_are_refused(tmp_path):
    """Alembic takes the last one, and says so on stderr only."""
    tree = Tree(tmp_path)
    tree.sql("a1", "select 1").rename(tree.versions / "first.py")
    tree.sql("a1", "select 2", down_revision=None)

    with pytest.raises(RefusedError, match="cannot be read") as stopped:
        history(tree.backend)
    assert "a1 is present more than once" in stopped.value.why


@pytest.mark.parametrize("python", ["/nowhere/python", "no-such-python"])
def test_interpreter_that_is_not_there_is_named(tmp_path, python):
    with pytest.raises(ConfigError, match=python):
        history(dataclasses.replace(Tree(tmp_path).backend, python=python))


def test_interpreter_without_alembic_is_named(tmp_path):
    """One that starts, and has no alembic: Python with no packages of its own."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(ConfigError, match="no alembic in the backend's interpreter"):
        history(dataclasses.replace(Tree(tmp_path / "backend").backend, python=str(bare)))
