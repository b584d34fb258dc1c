"""One writer in the database, across machines: an advisory lock that ends with its session, and a row that names it.

The lock decides, the row tells: a row that stands while the lock is free was left by a session that has gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from pantheon_runbook import clock
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.errors import AnotherWriterError, RefusedError, VendorRefusedError

_SHORT = 8
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
# Advisory locks belong to one database, and pg_locks lists those of all of them.
_OURS = """
locktype = 'advisory' and classid::bigint = %s and objid::bigint = %s and objsubid = 2 and granted
and database = (select oid from pg_database where datname = current_database())
"""
_HOLDER = f"select pid, application_name from pg_locks join pg_stat_activity using (pid) where {_OURS}"  # noqa: S608
_IS_HELD = f"select exists (select from pg_locks where {_OURS} and pid = pg_backend_pid())"  # noqa: S608
_ROW = f"""
select run_id, holder, host, to_char(taken_at at time zone 'utc', 'YYYY-MM-DD HH24:MI"Z"') from {SCHEMA}.writer
"""  # noqa: S608
_SIGN = f"""
insert into {SCHEMA}.writer (run_id, holder, host, taken_at) values (%s, %s, %s, now())
on conflict (only_row) do update
set run_id = excluded.run_id, holder = excluded.holder, host = excluded.host, taken_at = excluded.taken_at
"""  # noqa: S608
_UNSIGN = f"delete from {SCHEMA}.writer where run_id = %s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the run, its operator, and the machine it runs on."""

    run_id: str
    operator: str
    host: str

    @property
    def session_name(self) -> str:
        """What pg_stat_activity shows of it."""
        return f"pantheon-runbook {self.run_id[:_SHORT]}"

    @property
    def in_words(self) -> str:
        return f"run {self.run_id[:_SHORT]} of {self.operator} on {self.host}"


class WriterLock:
    """A lock that was taken; `left_by` says whose row stood there from a session that ended without giving it back."""

    def __init__(self, connection: psycopg.Connection[Any], key: tuple[int, int], writer: Writer) -> None:
        self._connection = connection
        self._key = key
        self._writer = writer
        self._is_signed = False
        found = _noted(connection)
        self.left_by = f"{found[0].in_words}, which took it at {found[1]} and did not give it back" if found else ""

    def is_held(self) -> bool:
        """Whether the session still has it. Errors: psycopg.Error."""
        return self._connection.execute(_IS_HELD, self._key).fetchone() == (True,)

    def require_held(self) -> None:
        """Asked before each write. Errors: RefusedError when the lock is gone, whoever has it by now."""
        with suppress(psycopg.OperationalError):
            if self.is_held():
                return
        raise RefusedError(
            "this run no longer holds the lock that keeps other writers out",
            why="its session in the database has ended; another run may be writing there by now",
            state="nothing further was changed",
            next_step="run the plan again: it looks first",
        )

    def sign(self) -> None:
        """Write the row; without the ledger's tables there is none, and whoever makes them calls this again."""
        if ledger.stands(self._connection):
            self._write(_SIGN, (self._writer.run_id, self._writer.operator, self._writer.host))
            self._is_signed = True

    def give_back(self) -> None:
        """A session that is gone holds no lock; its row stays, and the next writer says so."""
        try:
            if self._is_signed:
                self._write(_UNSIGN, (self._writer.run_id,))
            self._connection.execute("select pg_advisory_unlock(%s, %s)", self._key)
        except psycopg.OperationalError:
            self._connection.close()

    def _write(self, statement: str, values: tuple[str, ...]) -> None:
        try:
            self._connection.execute(statement.encode(), values)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise VendorRefusedError(
                "the database does not let this run say that it writes",
                vendor="database",
                operation="note the writer",
                status=400,
                code=str(error.sqlstate),
                why=str(error.diag.message_primary),
                state="nothing was changed",
                next_step=f"give this role all rights on {SCHEMA}.writer, then run again",
            ) from error


@contextmanager
def writer_lock(
    connection: psycopg.Connection[Any], *, scope: str, writer: Writer, wait_seconds: float = 0.0, signs: bool = True
) -> Iterator[WriterLock]:
    """Hold the lock of `scope` on this connection (a session, in autocommit), and say in the database who does.

    One that `signs` not is known by its session's name alone: it has nothing to write, and so it writes nothing.
    Errors: AnotherWriterError that names the holder, once `wait_seconds` are over; psycopg.Error.
    """
    key = _key(scope)
    # Said again as a statement: a pooler may log in with a name of its own.
    connection.execute("select set_config('application_name', %s, false)", (writer.session_name,))
    _take(connection, key, wait_seconds)
    lock = WriterLock(connection, key, writer)
    try:
        if signs:
            lock.sign()
        yield lock
    finally:
        lock.give_back()


def _take(connection: psycopg.Connection[Any], key: tuple[int, int], wait_seconds: float) -> None:
    """Asked again and again: a session that waits inside a statement keeps CREATE INDEX CONCURRENTLY waiting for it."""
    end, pause = clock.monotonic() + wait_seconds, _FIRST_PAUSE_SECONDS
    while connection.execute("select pg_try_advisory_lock(%s, %s)", key).fetchone() != (True,):
        left = end - clock.monotonic()
        if left <= 0:
            waited = f"in the database; waited {wait_seconds:g} s for it" if wait_seconds else "in the database"
            holder, unless = _holder(connection, key)
            raise busy(holder, waited, unless=unless)
        clock.sleep(min(clock.jittered(pause), left))
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _key(scope: str) -> tuple[int, int]:
    digest = hashlib.sha256(scope.encode()).digest()
    return int.from_bytes(digest[:4]) >> 1, int.from_bytes(digest[4:8]) >> 1


def _holder(connection: psycopg.Connection[Any], key: tuple[int, int]) -> tuple[str, str]:
    """By its row, if that is the row of the session that holds the lock and not one left behind; and its way out.

    The server notices a machine that has vanished only when it next wants to tell it something.
    """
    session = connection.execute(_HOLDER, key).fetchone()
    if session is None:
        return "a session that has just ended", ""
    pid, name = session
    found = _noted(connection)
    is_its_row = found is not None and name == found[0].session_name
    words = f"{found[0].in_words}, since {found[1]}" if found and is_its_row else name or "a session without a name"
    return words, f"; if its machine is gone for good, end its session: select pg_terminate_backend({pid})"


def _noted(connection: psycopg.Connection[Any]) -> tuple[Writer, str] | None:
    """Who the row says, and since when."""
    row = connection.execute(_ROW).fetchone() if ledger.stands(connection) else None
    return (Writer(*row[:3]), row[3]) if row else None


def busy(holder: str, where: str, *, unless: str = "") -> AnotherWriterError:
    return AnotherWriterError(
        f"another run is writing to this environment ({holder})",
        why=f"it holds the lock {where}; there is one writer per environment",
        next_step=f"wait for it to end, then run again{unless}",
    )
