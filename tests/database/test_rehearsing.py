"""The whole rehearsal: real dumps, real servers, the backend's own Alembic."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from alembic_trees import Tree, migrating

from pantheon_runbook.config import MigrationPolicy
from pantheon_runbook.database.migrations.alembic_process import Backend
from pantheon_runbook.database.migrations.revisions import Lock, Ran, Revision, Statement
from pantheon_runbook.database.rehearsals.dump import dump_schema
from pantheon_runbook.database.rehearsals.effects import watch, with_effects
from pantheon_runbook.database.rehearsals.rehearsal import Rehearsal
from pantheon_runbook.database.rehearsals.rehearsing import rehearse
from pantheon_runbook.database.rehearsals.scratch import scratch
from pantheon_runbook.database.rehearsals.verdicts import judge
from pantheon_runbook.database.schema import look_at_schema

STAND_IN = Backend(
    Path(str(resources.files("pantheon_runbook.sandbox.pantheon.backend") / "alembic.ini")), sys.executable
)

pytestmark = pytest.mark.alike
POLICY = MigrationPolicy()
MANY = {"public.messages": 1_203_000, "public.sessions": 80_000, "public.jobs": 40_000}


@pytest.fixture(scope="module")
def server():
    with scratch() as server:
        yield server


def dump_of(database):
    return dump_schema(database.url, resolve=lambda host, port: (host, port))


@pytest.fixture(scope="module")
def stand_in(server):
    """The stand-in backend's tree, dumps of a database on its way up, and the fingerprint of the schema at its head."""
    database = server.make("production")
    dumps = {"": dump_of(database)}
    with migrating(STAND_IN, database.url.reveal()) as worker:
        for revision in worker.history.revisions:
            worker.step(revision.id)
            if revision.id in {"0006", "0008"}:
                dumps[revision.id] = dump_of(database)
    with database.connection() as connection:
        return worker.history, dumps, look_at_schema(connection).fingerprint


@pytest.fixture(scope="module")
def rehearse_from(server, stand_in):
    tree, dumps, _fingerprint = stand_in

    def rehearse_from(revision: str, rows=None) -> Rehearsal:
        pending = tree.pending(dumps[revision].heads)
        return rehearse(pending, dumps[revision], rows=rows or {}, server=server, backend=STAND_IN, policy=POLICY)

    return rehearse_from


@pytest.fixture(scope="module")
def rehearsed(rehearse_from):
    return rehearse_from("0008", MANY)


@pytest.fixture(scope="module")
def pending(stand_in):
    return stand_in[0].pending(["0008"])


@pytest.fixture(scope="module")
def rehearse_tree(server):
    """What is above the first revision of a small tree, whose one table stands already; `declared` is by revision."""
    database = server.make("notes")
    with database.connection("postgres") as connection:
        connection.execute("create table notes (id int)")
        connection.execute("create table alembic_version (version_num varchar(32) primary key)")
        connection.execute("insert into alembic_version values ('a1')")
    dump = dump_of(database)

    def rehearse_tree(tree: Tree, *names: str, rows=None, **declared) -> Rehearsal:
        downs = dict(zip(names, ("a1", *names), strict=False))
        above = [
            Revision(name, (downs[name],), (), (), f"{name}_it.py", "0" * 64, name, **declared.get(name, {}))
            for name in names
        ]
        return rehearse(above, dump, rows=rows or {}, server=server, backend=tree.backend, policy=POLICY)

    return rehearse_tree


def said(rehearsal):
    return [(one.revision, one.rule, one.tier) for one in rehearsal.hazards]


# ---- the stand-in backend


def test_stand_in_is_weighed_with_productions_rows(rehearsed):
    """0009 updates while it holds the table, 0010 is nothing to anybody, 0011 reads under a lock and drops a column."""
    expected = [
        ("0009", "data-under-lock", "blocks"),
        ("0011", "scan-under-lock", "blocks"),
        ("0011", "may-fail", "advice"),
        ("0011", "may-fail", "advice"),
        ("0011", "data-loss", "advice"),  # its author says that it contracts
    ]

    assert expected == said(rehearsed)
    what = "locks public.messages against reads and writes while 1,203,000+ rows are updated"
    assert what == rehearsed.hazards[0].what
    assert "" == rehearsed.not_linted
    assert rehearsed.failed is None


@pytest.mark.rare
def test_few_rows_block_nobody(pending, rehearsed):
    few = judge(pending, rehearsed.ran, [], rows=dict.fromkeys(MANY, 3), policy=POLICY)

    assert {"advice"} == {one.tier for one in few.hazards}


def test_loss_that_nobody_declared_blocks(pending, rehearsed):
    """However few the rows are: who drops a column says in the revision that it is meant."""
    *others, last = pending
    undeclared = [*others, replace(last, phase="")]

    few = judge(undeclared, rehearsed.ran, [], rows=dict.fromkeys(MANY, 3), policy=POLICY)

    assert ["data-loss"] == [one.rule for one in few.hazards if one.tier == "blocks"]


def test_contract_waits_for_the_new_backend(rehearsed):
    assert {"0009": "expand", "0010": "expand", "0011": "contract"} == {
        name: phased.phase for name, phased in rehearsed.phases.items()
    }
    assert (("0009", "0010"), ("0011",)) == (rehearsed.before, rehearsed.after)


def test_every_revision_goes_back_and_comes_again(rehearsed):
    assert [("0009", "clean"), ("0010", "clean"), ("0011", "clean")] == [
        (one.revision, one.way) for one in rehearsed.undone
    ]


def test_rehearsed_schema_is_what_the_upgrade_leaves(stand_in, rehearsed):
    assert stand_in[2] == rehearsed.fingerprint


def test_rehearsal_is_the_same_every_time(rehearse_from, rehearsed):
    """But for its seconds: a plan is bound to it."""
    again = rehearse_from("0008", MANY)

    assert rehearsed.settled == again.settled
    assert rehearsed.ran != again.ran
    assert "seconds" not in json.dumps(again.settled)


def test_nothing_of_the_watch_is_in_the_rehearsal(rehearsed):
    assert "pantheon_runbook" not in json.dumps(rehearsed.settled)


def test_older_production_shows_the_data_migration(rehearse_from):
    """0007 fills a column and demands it: it contracts, and what comes after it cannot come before the new backend."""
    rehearsal = rehearse_from("0006", MANY)

    assert ("0007", "data-migration", "blocks") in said(rehearsal)
    assert ("0007", "scan-under-lock", "blocks") in said(rehearsal)
    assert ("0008", "expand-after-contract", "blocks") in said(rehearsal)
    assert () == rehearsal.before
    assert {"clean"} == {one.way for one in rehearsal.undone}


@pytest.mark.rare
def test_first_installation_hurts_nobody(rehearse_from):
    """Eleven revisions on an empty database: no row, no former backend, nothing to weigh."""
    rehearsal = rehearse_from("")

    assert [] == said(rehearsal)
    assert (10, ("0011",)) == (len(rehearsal.before), rehearsal.after)  # its author says that it waits
    assert {"clean"} == {one.way for one in rehearsal.undone}


# ---- revisions that cannot be undone, checked or applied


@pytest.fixture(scope="module")
def ways(rehearse_tree, tmp_path_factory):
    """From the top: each kind of a missing way back, and between them what is in good order."""
    tree = Tree(tmp_path_factory.mktemp("ways"))
    tree.sql("a1", "create table notes (id int)")
    tree.add("b2", "op.execute('alter table notes add x text')", "op.execute('alter table notes drop x')")
    tree.add("c3", "op.execute('create table more (id int)')", "pass")
    tree.add("d4", "op.execute('create index on notes (id)')", "raise NotImplementedError('no way back')")
    tree.add("e5", "op.execute('create sequence s')", "op.execute('drop sequence s')")
    tree.add("f6", "op.execute('create view v as select 1 as one')")
    tree.add("g7", "op.execute('create table last (id int)')", "op.execute('drop table last; create role twice')")
    checks = {
        "b2": {"check": {"query": "select count(*) from notes", "expect": 0}},
        "g7": {"check": {"query": "select id from last", "expect": 1}},
    }
    names = ("b2", "c3", "d4", "e5", "f6", "g7")
    return rehearse_tree(tree, *names, f6={"forward_fix_only": True}, **checks)


def test_each_way_back_is_told_by_itself(ways):
    """What is wrong with one says nothing about those below it."""
    expected = {"b2": "clean", "c3": "differs", "d4": "fails", "e5": "clean", "f6": "forward fix only"}

    assert expected == {one.revision: one.way for one in ways.undone if one.revision != "g7"}


def test_missing_way_back_is_told_in_red_and_blocks_nothing(ways):
    found = {one.address: one for one in ways.findings if one.code == "migration-no-way-back"}

    assert {"database/revision/c3", "database/revision/d4", "database/revision/g7"} == found.keys()
    assert not any(one.blocks for one in found.values())
    assert found["database/revision/c3"].what.startswith("CANNOT BE UNDONE: its downgrade leaves another schema")
    assert "+ table public.more" in found["database/revision/c3"].what
    assert "no way back" in found["database/revision/d4"].what
    assert "forward_fix_only = True" in found["database/revision/d4"].next_step


@pytest.mark.rare
def test_second_way_back_is_tried_too(ways):
    """Roles are the whole server's: the second downgrade finds that its role is there already."""
    (last,) = [one for one in ways.undone if one.revision == "g7"]

    assert "fails" == last.way
    assert 'role "twice" already exists' in last.why


def test_check_is_made_on_the_copy(ways):
    assert [("b2", True), ("g7", False)] == [(one.revision, one.passed) for one in ways.checks]
    assert "0 values came back" == ways.checks[1].why
    assert ["database/revision/g7"] == [one.address for one in ways.findings if one.code == "migration-check"]


@pytest.mark.parametrize(
    ("upgrade", "blocks"),
    [
        ("op.execute('alter table nowhere add x int')", True),
        ("op.execute('grant select on notes to somebody_of_theirs')", False),
        ("op.get_bind().exec_driver_sql('select id from notes').scalar_one()", False),
        ("op.execute('drop table notes'); op.execute('delete from pantheon_runbook.effects')", False),
    ],
    ids=["its own fault", "a role that the copy lacks", "a row that the copy lacks", "who wipes his traces"],
)
def test_failed_revision_is_never_clean(rehearse_tree, tmp_path, upgrade, blocks):
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)")
    tree.add("b2", upgrade)
    tree.sql("c3", "create table more (id int)")

    rehearsal = rehearse_tree(tree, "b2", "c3")

    assert "b2" == rehearsal.failed.revision
    assert [("database/revision/b2", blocks)] == [
        (one.address, one.blocks) for one in rehearsal.findings if one.code == "migration-not-rehearsed"
    ]
    assert {"not tried"} == {one.way for one in rehearsal.undone}


def test_statement_that_alembic_did_not_see_is_told(rehearse_tree, tmp_path):
    """A cursor of the driver passes SQLAlchemy by; the server sees what it does."""
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)")
    tree.add("b2", "op.get_bind().connection.cursor().execute('drop table notes')")

    rehearsal = rehearse_tree(tree, "b2", rows={"public.notes": 70})

    assert [("b2", "data-loss", "blocks")] == said(rehearsal)
    assert "contract" == rehearsal.phases["b2"].phase


# ---- locks


def test_concurrent_index_takes_the_lock_that_is_told(server):
    """Held up by somebody's open transaction, and looked at from a second connection meanwhile."""
    index = "create index concurrently seen_ids on notes (id)"
    database = server.make("concurrently")
    with database.connection() as superuser, database.connection() as other, database.connection() as builder:
        superuser.execute("create table notes (id int)")
        watch(superuser)
        with other.transaction():
            other.execute("insert into notes values (1)")
            building = threading.Thread(target=builder.execute, args=(index,))
            building.start()
            seen = held_by(superuser, builder.info.backend_pid)
        building.join()
        ran = with_effects(superuser, Ran("a", (Statement(index, 0.0, is_alone=True),), 0.0, ("a",)))

    assert "ShareUpdateExclusiveLock" in seen
    assert (Lock("public.notes", "ShareUpdateExclusiveLock"),) == ran.statements[0].locks


def held_by(connection, pid):
    query = "select mode from pg_locks where pid = %s and relation = 'notes'::regclass and granted"
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if found := {row[0] for row in connection.execute(query, (pid,))}:
            return found
    raise AssertionError("nothing was locked")


HIDDEN = {  # what the copy, which has no rows, does not do; and a word of what is said instead of "low"
    "sent to the driver": (
        "op.get_bind().connection.cursor().execute('delete from notes')",
        "written by what it calls",
    ),
    "emptied by the driver": ("op.get_bind().connection.cursor().execute('truncate notes')", "a hidden TRUNCATE"),
    "emptied by a block": ("op.execute(\"do $$ begin execute 'trun' || 'cate notes'; end $$\")", "a hidden TRUNCATE"),
    "read by the driver": ("op.get_bind().connection.cursor().execute('select * from notes')", "was not seen"),
    "a loop": (
        "for one in op.get_bind().scalars(sa.text('select id from notes')):\n    op.execute('delete from notes')",
        "reads public.notes: what it does with 9 rows there was not seen",
    ),
    "only where there are rows": (
        "if op.get_bind().scalar(sa.text('select count(*) from notes')):\n    op.drop_table('notes')",
        "reads public.notes",
    ),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_what_depends_on_rows_is_not_called_low(rehearse_tree, tmp_path, how):
    body, word = HIDDEN[how]
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)")
    tree.add("b2", body)
    rehearsed = rehearse_tree(tree, "b2", rows={"public.notes": 9})

    assert any(word in one.what for one in rehearsed.hazards), rehearsed.hazards
    assert rehearsed.failed is None


def test_evidence_of_a_rehearsal_has_no_bodies_of_functions(server):
    """What a team has written into one may be a secret of production's that nobody here knows."""
    database = server.make("telling")
    with database.connection("postgres") as connection:
        connection.execute("create function tell() returns text language sql as $$ select 'sk_live_of_production' $$")
    with migrating(STAND_IN, database.url.reveal()) as worker:
        first = worker.history.revisions[:1]
    rehearsed = rehearse(first, dump_of(database), rows={}, server=server, backend=STAND_IN, policy=POLICY)

    assert rehearsed.failed is None
    assert "sk_live_of_production" not in repr(rehearsed)


def test_evidence_of_a_rehearsal_has_no_password(rehearse_tree, tmp_path):
    """A role's, written into a revision: it is in the repository, and need not be in sealed evidence too."""
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)")
    tree.sql("b2", "create role reports login PassWord 'it''s never shown'")

    rehearsal = rehearse_tree(tree, "b2")

    assert rehearsal.failed is None
    assert "create role reports login PassWord '[secret]'" in repr(rehearsal)
    assert "never shown" not in repr(rehearsal)
