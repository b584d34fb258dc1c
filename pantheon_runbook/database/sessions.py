"""Whether a connection is a session of its own, found out by behaviour: behind a transaction pooler a lock is no lock.

A pooler that hands out its connections by transaction gives an idle pool's client the same one again and again, so
nothing that is asked twice proves anything. What it cannot do is bring a message to a client that has no transaction
open: the connection that the message comes from belongs to nobody then. A session is told while it waits.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook import clock
from pantheon_runbook.errors import RefusedError, VendorUnavailableError

_SECONDS_TO_BE_TOLD = 5.0
_SERVER = "select pg_backend_pid()"
_STILL = "select pg_backend_pid(), %s in (select pg_listening_channels())"

Connection = psycopg.Connection[Any]


def require_session(connection: Connection) -> None:
    """Refuse a connection (in autocommit, idle) that is not one server process from its beginning to its end.

    A second one is opened by the same settings for the question, and closed. At most six seconds, where it is refused.
    Errors: RefusedError; VendorUnavailableError (no second connection); psycopg.Error.
    """
    channel = f"pantheon_runbook_{clock.token('session')}"
    name = sql.Identifier(channel)
    connection.execute(sql.SQL("listen {}").format(name))
    server = _one(connection, _SERVER)
    with _second_in_transaction(connection) as other:
        if _one(other, _SERVER) == server:
            raise _shared("two connections were answered by the same server process")
        other.execute("select pg_notify(%s, '')", (channel,))
        other.execute("commit")
        if not _is_told(connection, channel):
            raise _shared("while it waited, nothing that the database sent to it came through")
    if connection.execute(_STILL, (channel,)).fetchone() != (server, True):
        raise _shared("what it had asked the server to keep was gone in the next transaction")
    connection.execute(sql.SQL("unlisten {}").format(name))


def _is_told(connection: Connection, channel: str) -> bool:
    """Nothing is sent meanwhile: a query would give the client a server process, and with it what waits there."""
    end = clock.monotonic() + _SECONDS_TO_BE_TOLD
    while (left := end - clock.monotonic()) > 0:
        if any(told.channel == channel for told in connection.notifies(timeout=left, stop_after=1)):
            return True
    return False


def _second_in_transaction(connection: Connection) -> Connection:
    settings: dict[str, Any] = {**connection.info.get_parameters(), "password": connection.info.password}
    try:
        other = psycopg.connect(**settings, autocommit=True, prepare_threshold=None)
        other.execute("begin")  # a pooler may let a client in and only then have no server for it
    except psycopg.OperationalError as error:
        if "statement pooling" in str(error):  # a pooler's own errors all have the same SQLSTATE
            raise _shared("it answers no transaction at all") from error
        raise VendorUnavailableError(
            "the database gave no second connection beside the first",
            vendor="database",
            operation="find out whether a connection is a session",
            why=f"{_last_words(error)}; a session pooler lets in as many clients as its pool is large",
            state="nothing was changed",
            next_step="end sessions that nobody needs, or enlarge the pool, then run again",
        ) from error
    return other


def _last_words(error: psycopg.OperationalError) -> str:
    """What the server said, without the address that the client library puts before it."""
    return str(error).rpartition("FATAL:")[2].strip() or type(error).__name__


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def _shared(seen: str) -> RefusedError:
    return RefusedError(
        "this way to the database is a transaction pooler",
        why=f"{seen}; a lock taken there is held by whoever comes next",
        next_step="use the session pooler (port 5432 at Supabase, 6543 is the other one) or the direct connection",
    )
