"""What stands around an application's schemas and has to be there for them: roles, extensions, what pg_dump leaves out.

pg_dump of named schemas says nothing of roles, extensions, privileges by default in all schemas, publications and event
triggers, nor of policies and triggers that an application put on Supabase's own tables. It is also what keeps it from
passwords: user mappings and subscriptions are left out too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook.database.rehearsals.scratch import OWNER
from pantheon_runbook.database.schema import EXTENSIONS_OF_OTHERS, about_schemas

_SCHEMAS = about_schemas("""
select nspname, pg_get_userbyid(nspowner) from pg_namespace n
where $application
  and not exists (select from pg_depend where classid = 'pg_namespace'::regclass and objid = n.oid and deptype = 'e')
order by 1
""")
_ROLES = b"""
select distinct rolname, rolinherit, rolbypassrls from pg_shdepend join pg_roles on oid = refobjid
where refclassid = 'pg_authid'::regclass and dbid = (select oid from pg_database where datname = current_database())
order by 1
"""
_MEMBERSHIPS = b"""
select distinct pg_get_userbyid(roleid), pg_get_userbyid(member), bool_or(admin_option) from pg_auth_members
group by 1, 2 order by 1, 2
"""
_EXTENSIONS = b"""
select extname, extversion, nspname from pg_extension join pg_namespace n on n.oid = extnamespace
where extname <> all($1::text[]) order by 1
"""
_PUBLICATIONS = about_schemas("""
select pubname, format('%I.%I', nspname, relname) from pg_publication p join pg_publication_rel on prpubid = p.oid
    join pg_class c on c.oid = prrelid join pg_namespace n on n.oid = relnamespace
where $application order by 1, 2
""")
_STATEMENTS = about_schemas(Path(__file__).with_name("around.sql").read_text())


@dataclass(frozen=True)
class Around:
    """`schemas` are (name, owner) of the application's own; the rest is what `put_around` makes or carries over."""

    schemas: tuple[tuple[str, str], ...]
    roles: tuple[tuple[str, bool, bool], ...]
    memberships: tuple[tuple[str, str, bool], ...]
    extensions: tuple[tuple[str, str, str], ...]
    publications: tuple[tuple[str, str], ...]
    statements: tuple[str, ...]


def look_around(connection: psycopg.Connection[Any]) -> Around:
    """Reads the catalogue only, inside `schema.one_moment` of the caller's. Errors: psycopg.Error."""

    def rows(query: bytes, *given: list[str]) -> tuple[Any, ...]:
        return tuple(psycopg.RawCursor(connection).execute(query, given).fetchall())

    return Around(
        schemas=rows(_SCHEMAS),
        roles=rows(_ROLES),
        memberships=rows(_MEMBERSHIPS),
        extensions=rows(_EXTENSIONS, list(EXTENSIONS_OF_OTHERS)),
        publications=rows(_PUBLICATIONS),
        statements=tuple(row[0] for row in rows(_STATEMENTS)),
    )


def put_under(connection: psycopg.Connection[Any], around: Around) -> None:
    """Before the schemas are restored, as the superuser: roles without a login, empty schemas, extensions."""
    _make_roles(connection, around)
    for (name,) in connection.execute(_NAMES_OF_SCHEMAS).fetchall():
        connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))
    for name, owner in around.schemas:
        made = sql.SQL("create schema {} authorization {}").format(sql.Identifier(name), sql.Identifier(owner))
        connection.execute(made)
    if any(name == "public" for name, _ in around.schemas):
        connection.execute("grant usage on schema public to public")  # what pg_dump takes for granted
    _make_extensions(connection, around)


_NAMES_OF_SCHEMAS = about_schemas("select nspname from pg_namespace where $application")


def _make_roles(connection: psycopg.Connection[Any], around: Around) -> None:
    there = {str(row[0]) for row in connection.execute("select rolname from pg_roles").fetchall()}
    for name, inherits, bypasses in around.roles:
        if name in there:
            continue
        options = f"nologin {'inherit' if inherits else 'noinherit'} {'bypassrls' if bypasses else 'nobypassrls'}"
        connection.execute(sql.SQL("create role {} {}").format(sql.Identifier(name), sql.SQL(options)))
        there.add(name)
    for role, member, may_grant in around.memberships:
        if role in there and member in there:
            option = sql.SQL(" with admin option" if may_grant else "")
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(member)) + option)


def _make_extensions(connection: psycopg.Connection[Any], around: Around) -> None:
    """Those of the source where they are there, and no others; what this server lacks is left out."""
    for (name,) in connection.execute("select extname from pg_extension").fetchall():
        if name not in EXTENSIONS_OF_OTHERS:
            connection.execute(sql.SQL("drop extension {} cascade").format(sql.Identifier(name)))
    offered = dict(connection.execute("select name, bool_or(trusted) from pg_available_extension_versions group by 1"))
    for name, _, schema in around.extensions:
        if name in offered:
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
            _make_extension(connection, name, schema, is_trusted=offered[name])


def _make_extension(connection: psycopg.Connection[Any], name: str, schema: str, *, is_trusted: bool) -> None:
    """By `postgres` where that is allowed, so that a revision may drop it again, as at Supabase."""
    asked = connection.execute("select has_schema_privilege(%s, %s, 'create')", (OWNER, schema)).fetchone()
    if is_trusted and asked == (True,):
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
    made = sql.SQL("create extension if not exists {} schema {} cascade")
    connection.execute(made.format(sql.Identifier(name), sql.Identifier(schema)))
    connection.execute("reset role")


def put_on_top(connection: psycopg.Connection[Any], around: Around) -> None:
    """After the schemas are restored: what pg_dump leaves out. Event triggers come last, since they would fire."""
    there = {str(row[0]) for row in connection.execute("select pubname from pg_publication").fetchall()}
    for publication, table in around.publications:
        name = sql.Identifier(publication)
        if publication not in there:
            connection.execute(sql.SQL("create publication {}").format(name))
            there.add(publication)
        connection.execute(sql.SQL("alter publication {} add table {}").format(name, sql.SQL(table)))
    for statement in around.statements:
        connection.execute(statement.encode())
