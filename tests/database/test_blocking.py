"""Who keeps a session waiting is named while it waits."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from pantheon_runbook.database.migrations.blocking import Blocker, Watcher, blockers


@pytest.fixture
def table(connection):
    connection.execute("create table public.messages (a int)")
    return connection


def waiting(target, statement: str) -> tuple[threading.Thread, int, list[str]]:
    """A session that begins to wait inside this statement; what became of it."""
    session, outcome = target.open(application_name="migration"), []
    pid = session.execute("select pg_backend_pid()").fetchone()[0]

    def run() -> None:
        try:
            session.execute("set lock_timeout = '2s'")
            session.execute(statement)
            outcome.append("done")
        except psycopg.Error as error:
            outcome.append(str(error.sqlstate))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, pid, outcome


def seen(connection, pid: int, count: int = 1) -> tuple[Blocker, ...]:
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        found = blockers(connection, pid)
        if len(found) == count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not {count} of them: {found}")


def test_reader_that_holds_the_table_is_named(target, table):
    reader = target.open(application_name="report")
    reader.execute("begin; select * from public.messages")
    thread, pid, outcome = waiting(target, "alter table public.messages add b int")

    (one,) = seen(table, pid)
    assert ("report", "postgres", "idle in transaction") == (one.application_name, one.user, one.state)
    assert ("public.messages", "AccessShareLock", True) == (one.relation, one.mode, one.holds)
    assert one.in_words.startswith(f'process {one.pid} "report" of postgres (idle in transaction, query began 0 s ago')
    assert one.in_words.endswith("holds AccessShareLock on public.messages")

    reader.execute("rollback")
    thread.join()
    assert ["done"] == outcome
    assert () == blockers(table, pid)


def test_who_waits_in_front_is_named_too(target, table):
    """Behind a waiting ALTER TABLE every reader waits: the reader in front is not the only one in its way."""
    reader = target.open(application_name="report")
    reader.execute("begin; select * from public.messages")
    first, first_pid, _ = waiting(target, "alter table public.messages add b int")
    seen(table, first_pid)
    second, second_pid, _ = waiting(target, "select * from public.messages")

    (one,) = seen(table, second_pid)
    assert ("AccessExclusiveLock", False) == (one.mode, one.holds)
    assert one.in_words.endswith("waits for AccessExclusiveLock on public.messages")

    reader.execute("rollback")
    first.join()
    second.join()


def test_row_and_advisory_locks_have_a_holder_too(target, table):
    table.execute("insert into public.messages values (1)")
    holder = target.open(application_name="job")
    for statement in ("update public.messages set a = 3", "select pg_advisory_xact_lock(7)"):
        holder.execute("begin; update public.messages set a = 2; select pg_advisory_xact_lock(7)")
        thread, pid, _ = waiting(target, statement)
        (one,) = seen(table, pid)
        assert ("job", "") == (one.application_name, one.mode)
        holder.execute("rollback")
        thread.join()


def test_watcher_tells_each_one_once_and_remembers(target, table):
    """After the time-out nobody blocks any more; who it was is still known."""
    readers = [target.open(application_name=name) for name in ("report", "export")]
    for reader in readers:
        reader.execute("begin; select * from public.messages")
    told: list[str] = []
    thread, pid, outcome = waiting(target, "alter table public.messages add b int")
    with Watcher(target.session, pid, tell=lambda one: told.append(one.application_name)) as watcher:
        thread.join()
        time.sleep(0.5)

    assert ["55P03"] == outcome
    assert ["export", "report"] == sorted(told)
    assert {"report", "export"} == {one.application_name for one in watcher.blockers}
    assert "" == watcher.lost
    assert not watcher._thread.is_alive()


def test_watcher_that_cannot_look_disturbs_nobody(target, table):
    def nowhere():
        raise psycopg.OperationalError("no way in")

    with Watcher(nowhere, 1) as watcher:
        time.sleep(0.1)
    assert ("OperationalError", ()) == (watcher.lost, watcher.blockers)
    assert watcher.in_words.endswith("is not known: the session that looked was lost (OperationalError).")

    with Watcher(target.session, 1) as watcher:
        time.sleep(0.3)
        table.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'somebody'"
            " and pid <> pg_backend_pid() and datname = current_database()"
        )
        time.sleep(0.5)
    assert "AdminShutdown" == watcher.lost
