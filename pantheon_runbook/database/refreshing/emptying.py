"""A database without what the application has made: what would be lost, and the dropping of it.

Schema public itself stays, and so do its grants, its comment and the privileges by default in it: some of them are
another role's, and `postgres` could not give them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, QueryCanceled

from pantheon_runbook.database.schema import about_schemas
from pantheon_runbook.errors import RefusedError
from pantheon_runbook.planning import few

_STANDING = about_schemas(Path(__file__).with_name("emptying.sql").read_text())
_TABLES = about_schemas("""
select nspname, relname, format('%I.%I', nspname, relname)
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind in ('r', 'p') and not relispartition and $application
  and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'e')
order by 3
""")
_POLICIES = about_schemas("""
select polname, nspname, relname from pg_policy join pg_class c on c.oid = polrelid
    join pg_namespace n on n.oid = relnamespace
where $others order by 2, 3, 1
""")
_COUNT_MILLISECONDS = 10_000


@dataclass(frozen=True, slots=True)
class Losses:
    """`rows` by table, to one digit, so that a plan is not out of date by one row; None is what cannot be counted.

    `others`: how many more things stand there, such as views, functions and types.
    """

    rows: dict[str, int | None]
    others: int

    @property
    def in_words(self) -> str:
        filled = [f"{table} ({_counted(rows)})" for table, rows in self.rows.items() if rows != 0]
        empty = len(self.rows) - len(filled)
        parts = [*filled, *([f"{empty} empty tables"] if empty else [])]
        parts += [f"{self.others} views, functions, types or others"] if self.others else []
        return ", ".join(parts)


def _counted(rows: int | None) -> str:
    if rows is None:
        return "nobody knows how many rows"
    return f"{rows} row{'' if rows == 1 else 's'}" if rows < 10 else f"about {rows} rows"  # noqa: PLR2004  one digit is exact


def losses(connection: psycopg.Connection[Any], *, version_table: str) -> Losses:
    """What `empty` would take away; reads only. Errors: psycopg.Error."""
    tables = connection.execute(_TABLES).fetchall()
    rows = {name: _count(connection, schema, table) for schema, table, name in tables if name != version_table}
    with connection.transaction():
        things = [one for one in _standing(connection) if one[0] != "table"]
    return Losses(rows, len(things))


def _count(connection: psycopg.Connection[Any], schema: str, table: str) -> int | None:
    try:
        with connection.transaction():
            connection.execute(f"set local statement_timeout = {_COUNT_MILLISECONDS}".encode())
            row = connection.execute(
                sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
            ).fetchone()
    except (InsufficientPrivilege, QueryCanceled):
        return None
    return _about(int(row[0])) if row else None


def _about(rows: int) -> int:
    """To one digit."""
    return round(rows, 1 - len(str(rows)))


def empty(connection: psycopg.Connection[Any], *, version_table: str) -> tuple[str, ...]:
    """Drop all of it, inside a transaction of the caller's; what stays that only its owner may drop, in words.

    Triggers on auth.users and event triggers go with the application's functions that they call; policies on
    Supabase's tables go too. Rows of auth and storage, buckets, extensions, roles and publications of Supabase's stay.
    Errors: RefusedError (something is left), psycopg.Error.
    """
    kept = tuple(_drop_policies(connection))
    for kind, name in _standing(connection):
        connection.execute(f"drop {kind} if exists {name}{'' if kind in _ALONE else ' cascade'}".encode())
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(*version_table.split(".", 1))))
    left = [f"{kind} {name}" for kind, name in _standing(connection)]
    if left:
        raise RefusedError(
            f"{len(left)} things would be left in the application's schemas: {few(left)}",
            why="they came while the others were dropped, or cannot be dropped",
            next_step="look who makes them, then plan again",
        )
    return kept


_ALONE = ("schema", "publication")


def _standing(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """With names in full, whatever the search path is; inside a transaction."""
    connection.execute("set local search_path = ''")
    return [(str(kind), str(name)) for kind, name in connection.execute(_STANDING)]


def _drop_policies(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Supabase lets `postgres` drop what it has made on storage.objects, and on few others."""
    for policy, schema, table in connection.execute(_POLICIES).fetchall():
        name, place = sql.Identifier(policy), sql.Identifier(schema, table)
        try:
            with connection.transaction():
                connection.execute(sql.SQL("drop policy {} on {}").format(name, place))
        except InsufficientPrivilege:
            yield f"policy {policy} on {schema}.{table}"
