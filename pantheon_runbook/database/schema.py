"""What stands in the application's own schemas, line by line; and the revision that Alembic says it is at.

Reads only. Whether an existing database may be taken for a stated revision is decided by whoever holds the two beside
each other; nothing is accepted here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from pantheon_runbook.database.connection import Database, unreachable
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Resource
from pantheon_runbook.providers.supabase import project_answers

# Supabase's own, which change with its releases, and ours.
SCHEMAS_OF_OTHERS = (
    *("auth", "storage", "realtime", "_realtime", "extensions", "graphql", "graphql_public", "vault", "net", "cron"),
    *("pgsodium", "pgsodium_masks", "pgbouncer", "supabase_functions", "supabase_migrations", "_analytics"),
    *("_supavisor", "pgmq_public", "information_schema", SCHEMA),
)
# Those that Supabase keeps in every project for its own ends; whether an application has them is no choice of its own.
EXTENSIONS_OF_OTHERS = ("plpgsql", "pg_graphql", "pg_stat_statements", "pgsodium", "supabase_vault", "supautils")
VERSION_TABLE = "public.alembic_version"
NO_TABLE, NO_ROWS = "none", "empty"
LOCK_MILLISECONDS = 3_000
_LISTED = ", ".join(f"'{name}'" for name in sorted(SCHEMAS_OF_OTHERS))
OF_APPLICATION = f"nspname not in ({_LISTED}) and nspname not like 'pg\\_%'"  # what begins with pg_ is PostgreSQL's


def about_schemas(query: str) -> bytes:
    """The query, with $application and $others made what they stand for: conditions on a schema's `nspname`."""
    return query.replace("$application", OF_APPLICATION).replace("$others", f"nspname in ({_LISTED})").encode()


_LINES = about_schemas(Path(__file__).with_name("schema.sql").read_text())


@dataclass(frozen=True)
class Standing:
    """`lines` are "kind name: definition", sorted; `fingerprint` is sha256 over them, in hexadecimal.

    `revision` is "none" without Alembic's table, "empty" when nothing is in it. Equal lines mean equal schemas, from
    whichever server they were read; across two major versions PostgreSQL may spell a view or an expression in another
    way.
    """

    fingerprint: str
    tables: int
    revision: str
    lines: tuple[str, ...]


@contextmanager
def one_moment(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction that sees one state, can write nothing, and has every name spelled in full.

    PostgreSQL spells an expression under a lock of its table: behind a migration that holds one, we step back.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("set local search_path = ''")  # whatever the role's own path is
        connection.execute(f"set local lock_timeout = {LOCK_MILLISECONDS}".encode())
        yield


def look_at_schema(
    connection: psycopg.Connection[Any], *, version_table: str = VERSION_TABLE, without_roles: Sequence[str] = ()
) -> Standing:
    """All of one moment; reads only. Errors: psycopg.Error.

    `without_roles`: grants to these are left out, such as those to production's read role, which staging lacks.
    """
    with one_moment(connection):
        return standing_in(connection, version_table=version_table, without_roles=without_roles)


def standing_in(connection: psycopg.Connection[Any], *, version_table: str, without_roles: Sequence[str]) -> Standing:
    """The same, inside `one_moment` of the caller's."""
    given = [version_table, list(without_roles), list(EXTENSIONS_OF_OTHERS)]
    rows = psycopg.RawCursor(connection).execute(_LINES, given).fetchall()
    lines = tuple(sorted(f"{subject}: {_settled(subject, definition)}" for subject, definition in rows))
    tables = sum(line.startswith("table ") for line in lines)
    fingerprint = hashlib.sha256("\0".join(lines).encode()).hexdigest()
    return Standing(fingerprint, tables, _revision(connection, version_table), lines)


def _revision(connection: psycopg.Connection[Any], version_table: str) -> str:
    heads = ledger.heads(connection, version_table)
    return NO_TABLE if heads is None else ", ".join(heads) or NO_ROWS


_CAST_LIST = re.compile(r"\(ARRAY\[((?:[^\[\]']|'(?:[^']|'')*')*)\]\)::([a-z][\w .\"]*?)\[\]")
_CAST_ITEM = re.compile(r"(?:[^,'()]|'(?:[^']|'')*'|\([^()]*\))+")


def _settled(subject: str, definition: str) -> str:
    """As PostgreSQL spells it when it has read its own spelling: a dump restored gives back the same.

    Of all that was tried, only a cast of a list changes: `state IN ('a', 'b')` on a varchar is
    `(ARRAY['a'::character varying, ...])::text[]` at first, and then `ARRAY[('a'::character varying)::text, ...]`.
    """
    if subject.startswith("function "):
        return definition.strip()  # a body is kept as it was written
    return _CAST_LIST.sub(_each_cast, definition).strip()


def _each_cast(found: re.Match[str]) -> str:
    items = (item.strip() for item in _CAST_ITEM.findall(found[1]))
    return f"ARRAY[{', '.join(f'({item})::{found[2]}' for item in items)}]"


class Schema(Kind):
    """Shown beside the rest; nothing is wanted of it and nothing is written."""

    prefix = "database/schema"
    looks_after = ("database/password",)

    def __init__(self, surroundings: Surroundings, *, database: Database) -> None:
        self._vault = surroundings.vault
        self._database = database

    def look(self) -> Look:
        if not project_answers(self._vault) or self._vault.get("database.session_url") is None:
            return Look()
        try:
            with self._database.session() as connection:
                found = look_at_schema(connection)
        except psycopg.OperationalError as error:
            raise unreachable(error) from error
        except psycopg.Error as error:
            return Look((Resource(self.prefix, "unreadable", note=str(error.diag.message_primary)),))
        attributes = {"fingerprint": found.fingerprint, "tables": found.tables, "alembic_version": found.revision}
        told = f"Alembic is at {found.revision}; {found.tables} tables; fingerprint {found.fingerprint[:8]}"
        return Look((Resource(self.prefix, "present", attributes, note=told),))
