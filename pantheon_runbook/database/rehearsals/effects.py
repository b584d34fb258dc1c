"""What each statement of a rehearsal did to the catalog, told by event triggers of the scratch server.

Nothing is read out of the SQL: what a DO block, a function or a CASCADE did is seen as well as a plain ALTER TABLE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from pantheon_runbook.database.migrations.revisions import Effect, Lock, Ran, Statement

_OBSERVER = Path(__file__).with_name("observer.sql")
_CONCURRENT = "ShareUpdateExclusiveLock"
_TOLD = """
with told as (delete from pantheon_runbook.effects returning *)
select query, change, kind, name, on_table, before, after, is_old, is_on_old from told order by number
"""


@dataclass(frozen=True, slots=True)
class _Told:
    """`query` is the statement as the server got it; a lock is no effect, and rides beside."""

    query: str
    effect: Effect | None
    lock: Lock | None


def watch(connection: psycopg.Connection[Any]) -> None:
    """Let the server note from now on what changes; what stands now is old. A scratch database's superuser only.

    Errors: psycopg.Error.
    """
    connection.execute(_OBSERVER.read_bytes())


def watch_no_more(connection: psycopg.Connection[Any]) -> None:
    """What comes now is not noted, and takes no longer than it does. Errors: psycopg.Error."""
    for moment in ("start", "rewrite", "end"):
        connection.execute(f"alter event trigger pantheon_runbook_{moment} disable".encode())


def old_tables(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Those that stood there when the watch began, as the effects name them. Errors: psycopg.Error."""
    query = "select name from pantheon_runbook.standing_before where kind = 'table' and is_old order by name"
    return tuple(row[0] for row in connection.execute(query))


def with_effects(connection: psycopg.Connection[Any], ran: Ran) -> Ran:
    """The same with what its statements did, as noted since the last call. Errors: psycopg.Error."""
    rows = connection.execute(_TOLD).fetchall()
    return attached(ran, [_told(*row) for row in rows])


def _told(query: str, change: str, *fields: Any) -> _Told:
    kind, name, table, before, after, is_old, is_on_old = fields
    if change == "locked":
        return _Told(query, None, Lock(table, str(after["mode"])))
    return _Told(query, Effect(change, kind, name, table, before, after, is_old, is_on_old), None)  # type: ignore[arg-type]


def attached(ran: Ran, told: Iterable[_Told]) -> Ran:
    """Each effect with the statement that had it; one that the worker did not see becomes a statement of its own."""
    statements = list(ran.statements)
    number = 0
    for one in told:
        number = _index(statements, one.query, number)
        statements[number] = _with(statements[number], one)
    return replace(ran, statements=tuple(_with_short_locks(one) for one in statements))


def _index(statements: list[Statement], query: str, number: int) -> int:
    wanted = _spelling(query)
    following = (index for index in range(number, len(statements)) if _spelling(statements[index].sql) == wanted)
    found = next(following, None)
    if found is not None:
        return found
    place = min(number + 1, len(statements))
    statements.insert(place, Statement(query, 0.0))
    return place


def _with(statement: Statement, told: _Told) -> Statement:
    if told.effect is not None:
        return replace(statement, effects=(*statement.effects, told.effect))
    assert told.lock is not None
    # Inside a transaction the worker knows better: it tells new locks from those that were held.
    if statement.is_alone and told.lock not in statement.locks:
        return replace(statement, locks=(*statement.locks, told.lock))
    return statement


def _with_short_locks(statement: Statement) -> Statement:
    """CREATE and DROP INDEX CONCURRENTLY have let go when the server tells of them: as PostgreSQL documents it.

    Whoever looks from a second connection sees it or misses it; a test holds the statement up, and looks.
    """
    if not statement.is_alone or statement.locks:
        return statement
    tables = dict.fromkeys(one.table for one in statement.effects if one.kind == "index" and one.change != "changed")
    return replace(statement, locks=tuple(Lock(table, _CONCURRENT) for table in tables))


def _spelling(sql: str) -> str:
    """What is left alike by a driver that doubles per cent signs or trims."""
    return re.sub(r"\s+", " ", sql.replace("%%", "%")).strip().removesuffix(";").rstrip()
