"""The ledger: rows that are added and never altered, in the same transaction as what they tell of."""

from __future__ import annotations

import asyncio
import importlib
import threading

import psycopg
import pytest
import sqlalchemy

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.errors import RefusedError

FILE = {"revision": "0001", "file": "versions/0001_a.py", "digest": "ab" * 32}


@pytest.fixture
def engine(target):
    """As a backend's env.py connects: SQLAlchemy, in a transaction."""
    settings = target.settings()
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(**settings), poolclass=sqlalchemy.NullPool
    )
    yield engine
    engine.dispose()


def write(connection: sqlalchemy.Connection, which: str, *, run_id: str = "r1", **more: str) -> None:
    entry = ledger.entry(run_id=run_id, operator="supervisor")
    connection.execute(sqlalchemy.text(getattr(entry, which)), {**entry.parameters, **FILE, **more})


def test_nothing_is_said_before_it_is_made(connection):
    assert not ledger.stands(connection)
    assert () == ledger.rows(connection)


def test_made_again_writes_nothing(connection):
    ledger.make(connection)
    made = connection.execute("select max(age(xmin)) from pg_class").fetchone()
    before = connection.execute("select count(*), max(oid) from pg_class").fetchone()

    ledger.make(connection)

    assert made == connection.execute("select max(age(xmin)) from pg_class").fetchone()
    assert before == connection.execute("select count(*), max(oid) from pg_class").fetchone()


def test_made_beside_the_marker(connection):
    """Its schema stands since provisioning, and the role may not create another."""
    connection.execute(f"create schema {SCHEMA}; create table {SCHEMA}.environment (name text)")
    connection.execute("create role maker; grant maker to postgres")
    connection.execute(f"grant usage, create on schema {SCHEMA} to maker; set role maker")

    ledger.make(connection)

    assert ledger.stands(connection)


def test_makers_at_one_moment_make_it_once(target):
    """Without an order among them one would meet the other's half."""
    sessions, failed = [target.open() for _ in range(6)], []

    def make(connection: psycopg.Connection) -> None:
        try:
            ledger.make(connection)
        except psycopg.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=make, args=(one,)) for one in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failed
    assert ledger.stands(sessions[0])


def test_failed_making_leaves_nothing(connection):
    connection.execute(f"create schema {SCHEMA}; create table {SCHEMA}.writer (mine int)")

    with pytest.raises(psycopg.errors.DuplicateTable):
        ledger.make(connection)

    assert not ledger.stands(connection)


def test_later_layout_is_not_touched(connection):
    ledger.make(connection)
    connection.execute(f"update {SCHEMA}.layout set version = 4")

    for act in (ledger.make, ledger.rows):
        with pytest.raises(RefusedError, match="has layout 4"):
            act(connection)


def test_row_stands_or_falls_with_its_transaction(connection, engine):
    ledger.make(connection)
    with engine.connect() as session:
        write(session, "applied")
        session.rollback()
        assert () == ledger.rows(connection)
        write(session, "applied")
        session.commit()

    (row,) = ledger.rows(connection)
    assert ("0001", "ab" * 32, "applied", "r1", "supervisor", "versions/0001_a.py", False) == (
        row.revision, row.digest, row.state, row.run_id, row.operator, row.file, row.followed_writes,
    )  # fmt: skip
    assert 20 == len(row.began_at) == len(row.ended_at)
    assert row.began_at <= row.ended_at


@pytest.mark.parametrize(("before", "followed"), [("select 1", False), ("create table t ()", True)])
def test_begun_row_knows_what_was_written_before(connection, engine, before, followed):
    """A revision that left its transaction can be run again from its beginning only when nothing was committed."""
    ledger.make(connection)
    with engine.connect() as session:
        session.execute(sqlalchemy.text(before))
        write(session, "begun")
        session.commit()

    (row,) = ledger.rows(connection)
    assert ("begun", "", followed) == (row.state, row.ended_at, row.followed_writes)


def test_revision_that_left_its_transaction_began_with_it(connection, engine):
    ledger.make(connection)
    with engine.connect() as session:
        write(session, "begun")
        session.commit()
        began = ledger.rows(connection)[0].began_at
        connection.execute(f"update {SCHEMA}.migrations set began_at = began_at - interval '1 hour'")
        write(session, "applied")
        session.commit()

    (row,) = ledger.rows(connection)
    assert "applied" == row.state
    assert row.began_at < began <= row.ended_at


def test_last_row_counts_and_the_others_stay(connection, engine):
    ledger.make(connection)
    with engine.connect() as session:
        write(session, "applied", digest="old")
        write(session, "applied", revision="0002")
        session.execute(
            sqlalchemy.text(
                f"insert into {SCHEMA}.migrations (revision, file, digest, state, run_id, operator, began_at, ended_at)"
                " values ('0002', '', '', 'undone', 'r1', 'x', now(), now())"
            )
        )
        write(session, "applied", run_id="r2", digest="new")
        session.commit()

    assert [("0001", "new", "r2")] == [(row.revision, row.digest, row.run_id) for row in ledger.rows(connection)]
    assert (4,) == connection.execute(f"select count(*) from {SCHEMA}.migrations").fetchone()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_every_driver_of_a_backend_can_write(connection, target, driver):
    """The statements run on whatever connection the backend's env.py has made."""
    ledger.make(connection)
    settings = target.settings()
    url = sqlalchemy.URL.create(
        f"postgresql+{driver}", settings["user"], settings["password"], settings["hostaddr"], int(settings["port"]),
        settings["dbname"],
    )  # fmt: skip

    async def through_asyncpg() -> None:
        engine = sqlalchemy.ext.asyncio.create_async_engine(url, poolclass=sqlalchemy.NullPool)
        async with engine.begin() as session:
            await session.run_sync(write, "begun")
            await session.run_sync(write, "applied")
        await engine.dispose()

    if driver == "asyncpg":
        pytest.importorskip("greenlet", reason="SQLAlchemy's asyncio needs greenlet")
        importlib.import_module("sqlalchemy.ext.asyncio")
        asyncio.run(through_asyncpg())
    else:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as session:
            write(session, "begun")
            write(session, "applied")
        engine.dispose()

    assert [("0001", "applied")] == [(row.revision, row.state) for row in ledger.rows(connection)]


def test_undone_rows_keep_their_history(connection, engine):
    ledger.make(connection)
    with engine.begin() as session:
        write(session, "applied")
        write(session, "applied", revision="0002")

    ledger.undo(connection, ("0002", "0003"), run_id="r2", operator="manager")

    assert ["0001"] == [row.revision for row in ledger.rows(connection)]
    history = f"select state, run_id from {SCHEMA}.migrations where revision = '0002' order by id"
    assert [("applied", "r1"), ("undone", "r2")] == connection.execute(history).fetchall()


def test_heads_are_read_where_alembic_keeps_them(connection):
    assert ledger.heads(connection, "alembic_version") is None
    connection.execute("create table alembic_version (version_num varchar(32) primary key)")
    assert () == ledger.heads(connection, "alembic_version")
    connection.execute("insert into alembic_version values ('b'), ('a')")
    assert (
        ("a", "b") == ledger.heads(connection, "alembic_version") == ledger.heads(connection, "public.alembic_version")
    )

    connection.execute('create schema "Own"; create table "Own"."Versions" as select * from alembic_version limit 1')
    assert ("b",) == ledger.heads(connection, "Own.Versions")
