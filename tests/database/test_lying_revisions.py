"""Revisions that write into the ledger or into Alembic's table: refused, or told by the next plan before any write."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from alembic_trees import Tree, asked
from stand_in import apply_pending

from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.alembic_process import history
from pantheon_runbook.database.migrations.tally import Commands, Release, tally
from pantheon_runbook.errors import VendorRefusedError

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
KEPT = "pantheon_runbook.migrations"
ROLLED_BACK = {
    "takes the ledger away": f"drop table {KEPT}",
    "takes its schema away": "drop schema pantheon_runbook cascade",
    "takes Alembic's table away": "drop table alembic_version",
    "says that Alembic is elsewhere": "update alembic_version set version_num = 'zz'",
    "empties Alembic's table": "delete from alembic_version",
}
TOLD = {  # what the plan after it finds
    "forgets what was done": (f"delete from {KEPT}", ["unrecorded"]),
    "changes a digest": (f"update {KEPT} set digest = 'x'", ["edited-after-apply"]),
    "says it was somebody else's": (f"update {KEPT} set revision = 'zz'", ["ledger-unknown", "unrecorded"]),
    "says that a later one is done": (
        (
            f"insert into {KEPT} (revision, file, digest, state, run_id, operator, began_at, ended_at)"
            f" select 'c3', file, digest, state, run_id, operator, began_at, ended_at from {KEPT} limit 1"
        ),
        ["ledger-ahead"],
    ),
    "says that a later one was begun": (
        (
            f"insert into {KEPT} (revision, file, digest, state, run_id, operator, began_at)"
            f" select 'c3', file, digest, 'begun', run_id, operator, began_at from {KEPT} limit 1"
        ),
        ["left-half-way"],
    ),
}


def lying_tree(folder: Path, statement: str) -> Tree:
    tree = Tree(folder)
    tree.sql("a1", "create table notes (id int primary key)")
    tree.sql("b2", "create table half (id int)", statement)
    tree.sql("c3", "create table other (id int)")
    return tree


@pytest.mark.sweep
@pytest.mark.parametrize("name", ROLLED_BACK if IS_FULL else list(ROLLED_BACK)[::3])
def test_revision_that_takes_the_record_away_is_undone(url, tmp_path, name):
    tree = lying_tree(tmp_path, ROLLED_BACK[name])
    with pytest.raises(VendorRefusedError, match="nothing was changed by b2"):
        apply_pending(tree.backend, url)

    assert [("a1",)] == asked(url, "select version_num from alembic_version")
    assert [("a1", "applied")] == asked(url, f"select revision, state from {KEPT}")
    assert [] == asked(url, "select from pg_tables where tablename = 'half'")


@pytest.mark.sweep
@pytest.mark.parametrize("name", TOLD if IS_FULL else list(TOLD)[:1])
def test_ledger_that_a_revision_falsified_blocks_the_next_plan(url, tmp_path, name):
    """It has the ledger's own rights while it runs, so this cannot be prevented; it is found, and blocks."""
    statement, codes = TOLD[name]
    tree = lying_tree(tmp_path, statement)
    apply_pending(tree.backend, url, up_to="b2")

    with psycopg.connect(url, autocommit=True) as connection:
        rows, heads = ledger.rows(connection), ledger.heads(connection, "public.alembic_version")
    release, commands = Release("main", "main"), Commands("run", "alembic")
    found = tally(history(tree.backend), heads, rows, release=release, tables=2, commands=commands)
    assert codes == [finding.code for finding in found.findings if finding.blocks]
