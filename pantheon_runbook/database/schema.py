"""What stands in the application's own schemas: one fingerprint, and the revision that Alembic says it is at.

Reads only. Whether an existing database may be taken for a stated revision is decided by whoever holds the two beside
each other; nothing is accepted here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import psycopg

from pantheon_runbook.database.connection import Database, unreachable
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.model import Resource
from pantheon_runbook.providers.kind import Kind, Look, Surroundings
from pantheon_runbook.providers.supabase import project_answers

# Supabase's own, which change with its releases, and ours.
_OF_OTHERS = (
    *("auth", "storage", "realtime", "extensions", "graphql", "graphql_public", "vault", "net", "cron", "pgsodium"),
    *("pgsodium_masks", "pgbouncer", "supabase_functions", "supabase_migrations", "information_schema", SCHEMA),
)
_VERSION_TABLE = "alembic_version"
# Objects that came with an extension are the extension's; every line is spelled by PostgreSQL itself, names in full.
_APPLICATIONS = """
with schemas as (
    select oid, nspname from pg_namespace where nspname <> all(%(others)s) and nspname not like 'pg\\_%%'
), relations as (
    select c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, format('%%I.%%I', s.nspname, c.relname) as name
    from pg_class c join schemas s on s.oid = c.relnamespace
    where c.relname <> %(version)s and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
)
"""
_LINES = """
select format('relation %%s %%s %%s %%s', name, relkind, relrowsecurity, relforcerowsecurity) from relations
where relkind in ('r', 'p', 'v', 'm', 'S', 'f')

select format('column %%s %%I %%s %%s %%s%%s %%s', r.name, attname, format_type(atttypid, atttypmod), attnotnull,
    attidentity, attgenerated, pg_get_expr(adbin, adrelid))
from relations r join pg_attribute on attrelid = r.oid left join pg_attrdef on adrelid = attrelid and adnum = attnum
where relkind in ('r', 'p', 'v', 'm', 'f') and attnum > 0 and not attisdropped

select format('view %%s %%s', name, pg_get_viewdef(oid)) from relations where relkind in ('v', 'm')

select format('index %%s', pg_get_indexdef(indexrelid)) from relations r join pg_index on indrelid = r.oid

select format('constraint %%s %%I %%s', r.name, conname, pg_get_constraintdef(k.oid))
from relations r join pg_constraint k on conrelid = r.oid

select format('policy %%s %%I %%s %%s %%s %%s %%s', r.name, polname, polcmd, polpermissive,
    (select array_agg(coalesce(rolname, 'public') order by rolname)
     from unnest(polroles) role(id) left join pg_roles on pg_roles.oid = role.id),
    pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
from relations r join pg_policy on polrelid = r.oid

select format('trigger %%s', pg_get_triggerdef(t.oid)) from relations r join pg_trigger t on tgrelid = r.oid
where not tgisinternal

select format('function %%s', pg_get_functiondef(p.oid)) from pg_proc p join schemas s on s.oid = pronamespace
where prokind in ('f', 'p') and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')

select format('enum %%I.%%I %%s', nspname, typname, array_agg(enumlabel order by enumsortorder))
from pg_enum join pg_type t on t.oid = enumtypid join schemas s on s.oid = typnamespace group by nspname, typname
""".strip().split("\n\n")


@dataclass(frozen=True)
class Standing:
    """`fingerprint` is sha256 in hexadecimal over the sorted lines; `revision` is "none" without Alembic's table."""

    fingerprint: str
    tables: int
    revision: str


def look_at_schema(connection: psycopg.Connection[Any]) -> Standing:
    """Both of one moment: a transaction that sees one state and can write nothing. Errors: psycopg.Error."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("set local search_path = ''")  # names are spelled in full, whatever the role's own path is
        names = {"others": list(_OF_OTHERS), "version": _VERSION_TABLE}
        lines = [str(row[0]) for query in _LINES for row in connection.execute(_APPLICATIONS + query, names)]
        revision = _revision(connection)
    text = "\n".join(sorted(lines))
    tables = sum(line.startswith("relation ") and line.split()[-3] in {"r", "p"} for line in lines)
    return Standing(hashlib.sha256(text.encode()).hexdigest(), tables, revision)


def _revision(connection: psycopg.Connection[Any]) -> str:
    """Where Alembic says that it is: every head, or that its table is empty."""
    if connection.execute("select to_regclass(%s)", (f"public.{_VERSION_TABLE}",)).fetchone() == (None,):
        return "none"
    rows = connection.execute("select version_num from public.alembic_version order by 1").fetchall()
    return ", ".join(str(row[0]) for row in rows) or "empty"


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
