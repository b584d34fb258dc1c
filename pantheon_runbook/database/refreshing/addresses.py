"""How many e-mail addresses a database holds, and how many of them could be somebody's; no address leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook.database.schema import about_schemas

USERS = "auth.users"
# Reserved for tests and documentation by RFC 2606 and RFC 6761: no mail to them ever arrives.
_AT_A_TEST_DOMAIN = r"@([a-z0-9-]+\.)*(example\.(com|net|org)|test|example|invalid|localhost)\s*$"
_COLUMNS = about_schemas("""
select format('%I.%I', nspname, relname), nspname, relname, attname
from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace
    join pg_type t on t.oid = atttypid
where relkind in ('r', 'p') and not relispartition and attnum > 0 and not attisdropped
  and lower(attname) = 'email' and typcategory = 'S'
  and ($application or nspname = 'auth' and relname = 'users')
order by 1, 4
""")
_COUNT = """
select count(*), count(*) filter (where {column}::text !~* {pattern}) from {table} where {column}::text like '%@%'
"""


@dataclass(frozen=True, slots=True)
class Addresses:
    """How many there are, and by table how many of them are at no test domain."""

    total: int
    elsewhere: dict[str, int]


def look_at_addresses(connection: psycopg.Connection[Any]) -> Addresses:
    """Of auth.users and of every column that is called email in the application's tables; reads only.

    Errors: psycopg.Error.
    """
    total, elsewhere = 0, dict[str, int]()
    found = connection.execute(_COLUMNS).fetchall()
    for name, schema, table, column in found:
        counted, others = _counted(connection, sql.Identifier(schema, table), sql.Identifier(column))
        total += counted
        if others:
            elsewhere[name] = elsewhere.get(name, 0) + others
    return Addresses(total, elsewhere)


def _counted(connection: psycopg.Connection[Any], table: sql.Identifier, column: sql.Identifier) -> tuple[int, int]:
    query = sql.SQL(_COUNT).format(table=table, column=column, pattern=sql.Literal(_AT_A_TEST_DOMAIN))
    (counted, others) = connection.execute(query).fetchone() or (0, 0)
    return int(counted), int(others)
