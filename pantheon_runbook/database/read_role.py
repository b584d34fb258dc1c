"""Production's read role: the SQL that its holder runs to make it, and the probe that tries to write with it.

`default_transaction_read_only` is a soft guard: BEGIN READ WRITE undoes it. What counts is that the role has no right
to write, and that is tried with the soft guard off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from pantheon_runbook.checks import ProductionRead
from pantheon_runbook.model import Check
from pantheon_runbook.planning import few

REFUSED = "42501"
_SOFT_GUARD = "25006"
_LISTED = 3
_NAME, _EXPECTED = "the read role cannot write", f"every write refused with {REFUSED}"

# Everything that lets a role write, but what PostgreSQL leaves to every role: temporary tables, large objects of its
# own, its own password and settings. A customer of Supabase, who is no superuser, cannot take these away.
_WAYS = """\
select way from (
  select 'has ' || attribute as way from pg_catalog.pg_roles,
    lateral (values ('SUPERUSER', rolsuper), ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb),
                    ('REPLICATION', rolreplication)) as given (attribute, is_given)
  where rolname = {role} and is_given
  union all
  select 'is a member of ' || rolname from pg_catalog.pg_roles
  where rolname <> {role} and pg_catalog.pg_has_role({role}, oid, 'MEMBER')
  union all
  select 'owns ' || count(*) || ' objects' from pg_catalog.pg_shdepend
  where refclassid = 'pg_catalog.pg_authid'::regclass and deptype = 'o'
    and refobjid = (select oid from pg_catalog.pg_roles where rolname = {role})
  having count(*) > 0
  union all
  select 'may create schemas' where pg_catalog.has_database_privilege({role}, current_database(), 'CREATE')
  union all
  select format('may create in schema %I', nspname) from pg_catalog.pg_namespace
  where pg_catalog.has_schema_privilege({role}, oid, 'CREATE')
  union all
  select format('may write to %I.%I', n.nspname, c.relname)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
    and c.oid <> 'pg_catalog.pg_settings'::regclass
    and (pg_catalog.has_table_privilege({role}, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
      or pg_catalog.has_any_column_privilege({role}, c.oid, 'INSERT, UPDATE'))
  union all
  select format('may advance %I.%I', n.nspname, c.relname)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where case when c.relkind = 'S' then pg_catalog.has_sequence_privilege({role}, c.oid, 'USAGE, UPDATE') end
  union all
  select 'may write large object ' || l.oid
  from pg_catalog.pg_largeobject_metadata l cross join lateral pg_catalog.aclexplode(l.lomacl) as given
  where given.privilege_type = 'UPDATE' and l.lomowner <> pg_catalog.to_regrole({role}::text)
    and given.grantee in (0, pg_catalog.to_regrole({role}::text))
  union all
  select format('may execute %I.%I, which writes with its owner''s rights', n.nspname, p.proname)
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where p.prosecdef and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and pg_catalog.has_function_privilege({role}, p.oid, 'EXECUTE')
) as ways order by way"""

_MADE = """\
-- The role that smoke checks of production read with. Run this as role postgres, by whoever holds production; it
-- changes no other role, and what it grants is what [production_read] in pantheon.toml names. It can be run again.
-- Then, in psql:  \\password {name}
-- and put what you typed under [values] in the credentials file, as {password}.
-- A table with row level security shows this role no rows: name a view of it, or give it a policy.
-- PostgreSQL leaves to every role, and so to this one: temporary tables, large objects of its own, and its own password
-- and settings. Only the soft guard below is between it and these.
begin;
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = '{name}') then
    create role "{name}" login nosuperuser nocreatedb nocreaterole noinherit noreplication nobypassrls;
  end if;
end $$;
alter role "{name}" connection limit {connections};
-- A soft guard only: whoever logs in can switch it off. The missing grants below are the real one.
alter role "{name}" set default_transaction_read_only = on;
alter role "{name}" set statement_timeout = '{statement_timeout_ms}ms';
alter role "{name}" set lock_timeout = '1s';
alter role "{name}" set idle_in_transaction_session_timeout = '10s';
alter role "{name}" set search_path = '';
{grants}
commit;
-- What this role could still write. Nothing is right; take away what is listed before the role is used.
{ways};
"""


def creation_sql(read: ProductionRead) -> str:
    """What makes the role, for its holder to read and to run; no password is in it, and this tool never runs it."""
    grants = []
    for schema in sorted({relation.partition(".")[0] for relation in read.relations}):
        grants += [
            f'revoke all on all tables in schema "{schema}" from "{read.role}";',
            f'revoke all on schema "{schema}" from "{read.role}";',
            f'grant usage on schema "{schema}" to "{read.role}";',
        ]
    for schema, _, name in (relation.partition(".") for relation in read.relations):
        grants.append(f'grant select on "{schema}"."{name}" to "{read.role}";')
    return _MADE.format(
        name=read.role,
        password=read.password,
        connections=read.connections,
        statement_timeout_ms=read.statement_timeout_ms,
        grants="\n".join(grants),
        ways=ways_to_write(read.role),
    )


def ways_to_write(role: str) -> str:
    """The question to the catalogue that lists what this role could write beyond what every role may."""
    return _WAYS.format(role=f"'{role}'")


def probe_read_role(
    connection: psycopg.Connection[Any], relations: Sequence[str], *, spend: Callable[[str], None]
) -> Check:
    """Whether PostgreSQL refuses this role every write: what it has been granted, and what it is told when it tries.

    Each try is on no row at all and rolled back, so it changes nothing even where the role may write.
    `relations` are those that it may select from; `spend` is told of each statement before it is sent.
    Errors: those of psycopg for a connection that is lost.
    """
    ways = [row[0] for row in _rows(connection, _WAYS.format(role="current_user"), {}, spend)]
    answers = {what: _told(connection, statement, spend) for what, statement in _tries(connection, relations, spend)}
    return judged(ways, answers)


def unproven(why: str) -> Check:
    """The probe could not be made, which proves nothing."""
    return Check(_NAME, _EXPECTED, f"not proven: {why}", passed=False)


def judged(ways: Sequence[str], answers: Mapping[str, str]) -> Check:
    """`answers` is the SQLSTATE that each try was told, "" for one that was done. Pure."""
    done = [f"{what} was done, and rolled back" for what, told in answers.items() if not told]
    soft = [f"{what} met the soft guard only ({told})" for what, told in answers.items() if told == _SOFT_GUARD]
    odd = [f"{what} ended with {told}" for what, told in answers.items() if told not in {"", _SOFT_GUARD, REFUSED}]
    found = f"{len(answers)} of {len(answers)} refused with {REFUSED}; no right to write beyond what every role has"
    if ways or done:
        found = f"this role can write production: {_first([*done, *(f'it {way}' for way in ways)])}"
    elif soft or odd or not answers:
        found = f"not proven: {_first([*soft, *odd]) or 'nothing could be tried'}"
    passed = bool(answers) and not (ways or done or soft or odd)
    return Check(_NAME, _EXPECTED, found, passed=passed)


def _first(reasons: Sequence[str]) -> str:
    return few(reasons, most=_LISTED, parted="; ")


_TARGET = """\
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as place,
  pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(a.attname)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'p') and n.nspname = any(%(schemas)s)
  and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
order by (n.nspname || '.' || c.relname) = any(%(relations)s) desc, 1, a.attnum limit 1"""


def _tries(
    connection: psycopg.Connection[Any], relations: Sequence[str], spend: Callable[[str], None]
) -> tuple[tuple[str, str], ...]:
    """(what, statement): on a table that the role sees where there is one, else on one beside it.

    A view may refuse a write for what it is, so a table is better; a generated column does so too.
    """
    named = {"relations": list(relations), "schemas": sorted({name.partition(".")[0] for name in relations})}
    found = _rows(connection, _TARGET, named, spend)
    if not found:
        return (("create schema", "create schema pantheon_probe"),)
    table, schema, column = found[0]
    return (
        (f"insert into {table}", f"insert into {table} ({column}) select null where false"),
        (f"update of {table}", f"update {table} set {column} = null where false"),  # noqa: S608
        (f"delete from {table}", f"delete from {table} where false"),  # noqa: S608
        (f"create table in {schema}", f"create table {schema}.pantheon_probe ()"),
        ("create schema", "create schema pantheon_probe"),
    )


def _told(connection: psycopg.Connection[Any], statement: str, spend: Callable[[str], None]) -> str:
    spend(statement)
    connection.read_only = False  # BEGIN READ WRITE: the soft guard is off, whatever the role's default is
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        return error.sqlstate
    return ""


def _rows(
    connection: psycopg.Connection[Any], query: str, given: Mapping[str, Any], spend: Callable[[str], None]
) -> list[tuple[Any, ...]]:
    spend("a question to the catalogue")
    connection.read_only = True
    with connection.transaction(force_rollback=True):
        return connection.execute(query.encode(), given or None).fetchall()
