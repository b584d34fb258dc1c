"""Trees that others have published, through our worker: the same schema as bare Alembic leaves, and a true ledger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from alembic_trees import Server, asked, tell
from dumps import differences, disagreements, dump
from published import DATAJUNCTION, DSTACK, ZUUL, Installed, Published, installed
from stand_in import apply_pending

from pantheon_runbook.database.migrations.alembic_process import history

FUNCTION = "grant create on schema public to anon; create function of_notes() returns int language sql return 1"
ALTERATIONS = (
    "alter table notes alter text set default 'y'",
    "alter table notes alter text type varchar(21)",
    "create index on notes (text)",
    "create index on notes (text) where id > 1",
    "alter table notes add check (id > 0) not valid",
    "alter table notes drop constraint notes_pkey",
    "alter sequence notes_id_seq increment 2",
    "comment on table notes is 'x'",
    "alter table notes enable row level security",
    "grant select on notes to anon",
    "alter function of_notes owner to anon",
    "create type mood as enum ('good')",
    "create schema more",
)

ALL = [(tree, starts) for tree in (ZUUL, DSTACK, DATAJUNCTION) for starts in ("empty", "middle")]
CASES = ALL if os.environ.get("PANTHEON_SWEEP") == "full" else [(ZUUL, "empty"), (ZUUL, "middle")]


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The shell in which the tree's owner works: PYTHONPATH is where the package is."""

    def enter(tree: Published) -> Installed:
        found = installed(tree, tmp_path)
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        return found

    return enter


def guarded(found: Installed, url: str) -> tuple[str, ...]:
    return apply_pending(found.backend, url, handed=found.tree.url(url))


def copy_of(server: Server, url: str) -> str:
    """A database with what that one holds."""
    copy = server.new_database()
    names = [one.rpartition("/")[2] for one in (copy, url)]
    tell(server.url("template1"), f"drop database {names[0]}", f"create database {names[0]} template {names[1]}")
    return copy


def wrong_with(found: Installed, url: str, *, like: str, before: tuple[str, ...]) -> list[str]:
    known = history(found.backend)
    table = "public.alembic_version"
    apart = [str(asked(one, f"select version_num from {table}")) for one in (like, url)]
    wrong = [] if [str([known.heads])] * 2 == apart else apart
    return wrong + differences(dump(like), dump(url)) + disagreements(url, known, table, before=before)


@pytest.mark.sweep
@pytest.mark.parametrize(("tree", "starts"), CASES, ids=lambda value: getattr(value, "name", value))
def test_schema_is_the_one_of_bare_alembic(tree_server, enter, tree, starts):
    found = enter(tree)
    bare = tree_server.new_database()
    if starts == "middle":
        found.bare(bare, tree.middle)
    ours = copy_of(tree_server, bare)
    found.bare(bare)

    before = guarded(found, ours)

    assert (() if starts == "empty" else (tree.middle,)) == before
    assert [] == wrong_with(found, ours, like=bare, before=before)
    assert tree.revisions == len(history(found.backend).revisions)


@pytest.mark.rare
def test_any_other_schema_is_found(tree_server):
    """The comparison can fail: each of these is one line or more of another dump."""
    first = tree_server.new_database()
    tell(first, "create table notes (id serial primary key, text varchar(20))", FUNCTION)
    expected, missed = dump(first), []
    assert [] == differences(expected, dump(copy_of(tree_server, first)))
    for alteration in ALTERATIONS:
        other = copy_of(tree_server, first)
        tell(other, alteration)
        missed += [] if differences(expected, dump(other)) else [alteration]
        tell(tree_server.url("template1"), f"drop database {other.rpartition('/')[2]}")
    assert [] == missed


@pytest.mark.rare
def test_untrue_ledger_is_found(tree_server, enter):
    """So can the other: a revision that bare Alembic applies beside us is not in the ledger."""
    found = enter(ZUUL)
    known = history(found.backend)
    url = tree_server.new_database()
    found.bare(url, ZUUL.middle)
    before = guarded(found, url)

    assert (ZUUL.middle,) == before
    assert [] == disagreements(url, known, "public.alembic_version", before=before)
    assert 19 < len(disagreements(url, known, "public.alembic_version", before=()))
    for alteration in (
        f"update alembic_version set version_num = '{ZUUL.middle}'",
        "update pantheon_runbook.migrations set digest = 'x' where id = 3",
        "update pantheon_runbook.migrations set state = 'begun', ended_at = null where id = 3",
        "delete from pantheon_runbook.migrations where id = 3",
    ):
        other = copy_of(tree_server, url)
        tell(other, alteration)
        assert disagreements(other, known, "public.alembic_version", before=before), alteration
