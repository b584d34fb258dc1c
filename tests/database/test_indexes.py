"""What a broken-off CREATE INDEX CONCURRENTLY leaves: found, named with its table and its way out, and blocking."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from pantheon_runbook.database.migrations.indexes import InvalidIndex, index_findings, invalid_indexes
from pantheon_runbook.database.migrations.revisions import LedgerRow

ROW = LedgerRow("0010", "ab" * 32, "begun", "r1", "supervisor", "2026-11-23T10:00:00Z", "")
SOURCE = 'op.create_index("messages_session_id", "messages", ["session_id"], postgresql_concurrently=True)'
LEFT = InvalidIndex(
    "public.messages", "public.messages_session_id", "drop index concurrently public.messages_session_id"
)


@pytest.fixture
def table(connection):
    connection.execute("create table public.messages (session_id int); insert into public.messages values (1), (1)")
    return connection


def break_off(connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("create unique index concurrently messages_session_id on public.messages (session_id)")


def test_broken_off_index_is_found_with_its_way_out(table):
    assert () == invalid_indexes(table)
    break_off(table)

    assert (LEFT,) == invalid_indexes(table)
    (finding,) = index_findings((LEFT,), (ROW,), {"0010": SOURCE})
    assert ("invalid-index", "database/index/public.messages_session_id", True) == (
        finding.code, finding.address, finding.blocks,
    )  # fmt: skip
    assert "revision 0010 has probably left it" in finding.what
    assert "drop index concurrently public.messages_session_id" in finding.next_step

    table.execute(LEFT.drop)
    assert () == invalid_indexes(table)


def test_odd_names_can_be_dropped(table):
    table.execute('create schema "My App"; create table "My App"."T" (a int); insert into "My App"."T" values (1), (1)')
    with pytest.raises(psycopg.errors.UniqueViolation):
        table.execute('create unique index concurrently "a.B" on "My App"."T" (a)')

    (one,) = invalid_indexes(table)
    assert ('"My App"."T"', '"My App"."a.B"') == (one.table, one.name)
    table.execute(one.drop)
    assert () == invalid_indexes(table)


def test_index_that_is_being_built_is_waited_for(target, table):
    """It is invalid until it is done; who drops it takes the work away from somebody."""
    reader = target.open()
    reader.execute("begin; update public.messages set session_id = 1")
    builder = target.open()
    thread = threading.Thread(
        target=builder.execute, args=("create index concurrently messages_session_id on public.messages (session_id)",)
    )
    thread.start()
    found: tuple[InvalidIndex, ...] = ()
    end = time.monotonic() + 5
    while not found and time.monotonic() < end:
        found = invalid_indexes(table)
    reader.execute("rollback")
    thread.join()

    assert [True] == [one.is_being_built for one in found]
    (finding,) = index_findings(found, (), {})
    assert ("index-being-built", True) == (finding.code, finding.blocks)
    assert "drop" not in finding.next_step
    assert () == invalid_indexes(table)


def test_partitioned_tables_own_index_is_no_accident(table):
    table.execute("create table public.p (a int) partition by list (a); create index on only public.p (a)")
    table.execute("create table public.p1 partition of public.p for values in (1)")

    assert () == invalid_indexes(table)


@pytest.mark.parametrize(
    ("state", "source", "is_named"),
    [
        ("begun", SOURCE, True),
        ("applied", SOURCE, False),
        ("begun", "messages_session_id_id", False),
        ("begun", "", False),
    ],
)
def test_only_a_begun_revision_that_names_it_is_blamed(state, source, is_named):
    row = LedgerRow("0010", "", state, "r1", "supervisor", "2026-11-23T10:00:00Z", "")

    (finding,) = index_findings((LEFT,), (row,), {"0010": source})

    assert is_named == ("revision 0010" in finding.what)


def test_rest_of_a_reindex_is_told_by_the_indexs_name():
    left = InvalidIndex("public.messages", "public.messages_session_id_ccnew1", "drop")

    (finding,) = index_findings((left,), (ROW,), {"0010": SOURCE})

    assert "revision 0010" in finding.what
