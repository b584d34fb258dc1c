"""One writer in the database: two sessions, two homes, one lock; and whoever is refused is told by whom."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from urllib.parse import quote

import psycopg
import pytest
from target import SESSION, TRANSACTION

from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.locks import database_lock
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.writer import Writer, writer_lock
from pantheon_runbook.errors import AnotherWriterError, RefusedError, VendorRefusedError
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.secrets import Registry, Vault

SCOPE = "pantheon-runbook staging"
NAME = "pantheon-runbook 1a2b3c4d"
ONE, TWO = Writer("1a2b3c4d5e6f", "supervisor", "laptop"), Writer("aa11bb22cc33", "manager", "runner-7")
ROUNDS = 40


@pytest.fixture
def made(connection):
    ledger.make(connection)
    return connection


def names(connection: psycopg.Connection) -> list[tuple[str, str, str]]:
    return connection.execute(f"select run_id, holder, host from {SCHEMA}.writer").fetchall()


def refused(connection: psycopg.Connection, writer: Writer = TWO, **more: float) -> str:
    with (
        pytest.raises(AnotherWriterError) as stopped,
        writer_lock(connection, scope=SCOPE, writer=writer, **more),
    ):
        pytest.fail("both have it")
    return stopped.value.what


def test_lock_is_held_and_named_until_its_end(target, made):
    with writer_lock(target.open(), scope=SCOPE, writer=ONE) as lock:
        assert lock.is_held()
        assert [("1a2b3c4d5e6f", "supervisor", "laptop")] == names(made)
        told = refused(target.open())
    assert [] == names(made)
    assert told.startswith("another run is writing to this environment (run 1a2b3c4d of supervisor on laptop, since 2")
    assert not lock.is_held()
    with writer_lock(target.open(), scope=SCOPE, writer=TWO) as lock:
        assert "" == lock.left_by


def test_exactly_one_of_two_gets_it(target, made):
    """At the same instant, again and again; the other one names it, or finds it given back by then."""
    sessions = {writer: target.open() for writer in (ONE, TWO)}
    held, outcomes, start = [], [], threading.Barrier(2)

    def take(writer: Writer) -> None:
        for _ in range(ROUNDS):
            start.wait()
            try:
                with writer_lock(sessions[writer], scope=SCOPE, writer=writer):
                    held.append(writer)
                    time.sleep(0.02)
                    outcomes.append(held == [writer])
                    held.remove(writer)
            except AnotherWriterError as error:
                outcomes.append(any(word in error.what for word in ("run 1a2b3c4d", "run aa11bb22", "runbook ")))
            start.wait()

    threads = [threading.Thread(target=take, args=(writer,)) for writer in (ONE, TWO)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [True] * 2 * ROUNDS == outcomes


def test_other_environments_and_databases_do_not_count(target, made):
    with writer_lock(target.open(), scope=SCOPE, writer=ONE):
        with writer_lock(target.open(), scope="pantheon-runbook preview", writer=TWO) as lock:
            assert lock.is_held()
        target.begin()
        with writer_lock(target.open(), scope=SCOPE, writer=TWO) as lock:
            assert lock.is_held()
            assert "run aa11bb22" not in (told := refused(target.open(), ONE))
            assert "(pantheon-runbook aa11bb22)" in told


def test_before_the_ledger_the_session_names_the_holder(target):
    """The tables are made inside the lock, and then it is signed."""
    connection = target.open()
    with writer_lock(connection, scope=SCOPE, writer=ONE) as lock:
        assert "(pantheon-runbook 1a2b3c4d)" in refused(target.open())
        ledger.make(connection)
        lock.sign()
        assert "(run 1a2b3c4d of supervisor on laptop, since" in refused(target.open())
    assert [] == names(connection)


def test_lock_of_a_session_that_has_gone_is_free(target, made):
    """Killed with its row standing: the next one gets the lock at once and says whose row it found."""
    connection = target.open()
    held = ExitStack()
    lock = held.enter_context(writer_lock(connection, scope=SCOPE, writer=ONE))
    made.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
    made.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%1a2b3c4d'")
    with pytest.raises(psycopg.OperationalError):
        lock.is_held()
    held.close()
    assert [("1a2b3c4d5e6f", "supervisor", "laptop")] == names(made)

    with writer_lock(target.open(), scope=SCOPE, writer=TWO, wait_seconds=2) as lock:
        assert lock.left_by.startswith("run 1a2b3c4d of supervisor on laptop, which took it at 2")
        assert [("aa11bb22cc33", "manager", "runner-7")] == names(made)


def test_lock_of_a_machine_that_vanished_can_be_ended(target, made):
    """The server still believes in its session: the refusal says how to end that one, and no other."""
    with writer_lock(target.open(), scope=SCOPE, writer=ONE) as lost:
        with (
            pytest.raises(AnotherWriterError) as stopped,
            writer_lock(target.open(), scope=SCOPE, writer=TWO),
        ):
            pytest.fail("both have it")
        made.execute(stopped.value.next_step.rpartition("end its session: ")[2].rstrip(".").encode())
        with pytest.raises(psycopg.OperationalError):
            lost.is_held()

    with writer_lock(target.open(), scope=SCOPE, writer=TWO, wait_seconds=2) as lock:
        assert lock.is_held()


def test_row_left_behind_does_not_name_the_holder(target, made):
    made.execute(f"insert into {SCHEMA}.writer values (true, 'dead', 'gone', 'nowhere', now())")
    holder = target.open()
    with writer_lock(holder, scope=SCOPE, writer=ONE):
        made.execute(f"update {SCHEMA}.writer set run_id = 'dead', holder = 'gone', host = 'nowhere'")
        assert "(pantheon-runbook 1a2b3c4d)" in refused(target.open())
    assert [("dead", "gone", "nowhere")] == names(made)


def test_wait_is_bounded_and_ends_when_it_is_given_back(target, made):
    waiting = target.open()
    with writer_lock(target.open(), scope=SCOPE, writer=ONE):
        began = time.monotonic()
        with (
            pytest.raises(AnotherWriterError, match="run 1a2b3c4d of supervisor") as stopped,
            writer_lock(waiting, scope=SCOPE, writer=TWO, wait_seconds=0.5),
        ):
            pass
        assert 0.5 <= time.monotonic() - began < 1.5
        assert "waited 0.5 s for it" in stopped.value.why

    holder = ExitStack()
    holder.enter_context(writer_lock(target.open(), scope=SCOPE, writer=ONE))
    threading.Timer(0.3, holder.close).start()
    with writer_lock(waiting, scope=SCOPE, writer=TWO, wait_seconds=10) as lock:
        assert lock.is_held()


def test_waiting_does_not_hold_up_concurrent_indexes(target, made):
    """Inside a statement the waiting session would be a snapshot that the holder's own CREATE INDEX waits for."""
    made.execute("create table t (a int)")
    waited: list[str] = []
    with writer_lock(made, scope=SCOPE, writer=ONE):
        other = target.open()
        thread = threading.Thread(target=lambda: waited.append(refused(other, wait_seconds=1)))
        thread.start()
        time.sleep(0.1)
        made.execute("set statement_timeout = '600ms'")
        made.execute("create index concurrently i on t (a)")
        thread.join()
    assert 1 == len(waited)


def test_row_that_may_not_be_written_is_said(target, made):
    made.execute("create role guest; grant guest to postgres")
    made.execute(f"grant usage on schema {SCHEMA} to guest; grant select on all tables in schema {SCHEMA} to guest")
    connection = target.open()
    connection.execute("set role guest")

    with (
        pytest.raises(VendorRefusedError, match="does not let this run say that it writes"),
        writer_lock(connection, scope=SCOPE, writer=ONE),
    ):
        pytest.fail("it was let in")


def vault_to(target, port: int) -> Vault:
    vault = Vault(Registry(), salt="00" * 32)
    settings = target.settings(port)
    login = f"{settings['user']}:{quote(settings['password'], safe='')}"
    vault.hold("database.session_url", f"postgresql://{login}@pooler:{settings['port']}/{settings['dbname']}")
    return vault


def database_of(vault: Vault, **more: str) -> Database:
    return Database(vault, resolve=lambda _host, port: ("127.0.0.1", port), options="", **more)


def test_run_locks_the_database_it_writes_to(target, made):
    vault = vault_to(target, SESSION)
    lock = database_lock(database_of(vault), vault, scope=SCOPE, writer=ONE)
    with lock as words:
        assert "this machine's and the database's" == words
        assert "run 1a2b3c4d" in refused(target.open())
    made.execute(f"insert into {SCHEMA}.writer values (true, 'deadbeef99', 'gone', 'nowhere', now())")
    with database_lock(database_of(vault), vault, scope=SCOPE, writer=ONE) as words:
        assert "it was left by run deadbeef of gone on nowhere" in words


def test_lock_is_taken_by_the_login_that_writes(target, made):
    """Whether the one that looks is let in does not count; where no login writes there is nothing to lock."""
    vault = vault_to(target, SESSION)
    database = database_of(vault, writes_by="production.write_url")
    with database_lock(database, vault, scope=SCOPE, writer=ONE) as words:
        assert "this run does not reach the database" in words
    vault.hold("production.write_url", vault.text("database.session_url"))
    vault.hold("database.session_url", "postgresql://nobody:wrong@pooler:1/nothing")
    with database_lock(database, vault, scope=SCOPE, writer=ONE) as words:
        assert "this machine's and the database's" == words
        assert "run 1a2b3c4d" in refused(target.open())


def test_lock_through_a_transaction_pooler_is_refused(target, made, monkeypatch):
    """Whatever its port is called."""
    monkeypatch.setattr("pantheon_runbook.database.sessions._SECONDS_TO_BE_TOLD", 0.3)
    vault = vault_to(target, TRANSACTION)

    with (
        pytest.raises(RefusedError, match="transaction pooler"),
        database_lock(database_of(vault), vault, scope=SCOPE, writer=ONE),
    ):
        pytest.fail("it was let in")
    assert [] == names(made)


def test_lock_that_is_lost_lets_no_write_through(target, made):
    """Its session was ended; somebody else may be writing by now."""
    vault = vault_to(target, SESSION)
    gate = WriteGate(before=lambda _event: None, is_open=True)
    with database_lock(database_of(vault), vault, scope=SCOPE, writer=ONE, gate=gate):
        gate.check("database", "write")
        made.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", (NAME,))
        with pytest.raises(RefusedError, match="no longer holds the lock") as stopped:
            gate.check("database", "write")
    gate.check("database", "write")

    assert "run the plan again: it looks first." == stopped.value.next_step
    assert [ONE.run_id] == [run_id for run_id, _, _ in names(made)], "the next one says who left it"
