"""Production's dump role: the SQL that its holder runs to make it, and what that lets it see.

pg_dump takes ACCESS SHARE on every table whose definition it writes, and PostgreSQL allows LOCK TABLE to whoever has
SELECT on the table as a whole. SELECT on its columns does not do; INSERT, UPDATE, DELETE, TRUNCATE and MAINTAIN do, and
let it write or lock others out. So SELECT it is, table by table: on no view, on nothing in Supabase's own schemas
(which `pg_read_all_data` would give), without BYPASSRLS. What it can read by that is every row of the application's
tables that have no row level security, and of the others what their policies show to everybody. It is a role apart from
the read role, which sees one or two relations; whoever may not hold such a login cannot rehearse production's schema.
"""

from __future__ import annotations

from pantheon_runbook.checks import ProductionRead
from pantheon_runbook.database.read_role import ways_to_write
from pantheon_runbook.database.schema import OF_APPLICATION

_APPLICATIONS = f"""{OF_APPLICATION}
      and not exists (select from pg_catalog.pg_depend
        where classid = 'pg_catalog.pg_namespace'::regclass and objid = n.oid and deptype = 'e')"""

_MADE = """\
-- The role that rehearsals dump production's schema with, without a row. Run this as role postgres, by whoever holds
-- production; it can be run again, and has to be when a dump names a table that it may not lock.
-- Then, in psql:  \\password {name}
-- and put what you typed under [values] in the credentials file, as {password}.
-- To lock a table for the dump, PostgreSQL demands SELECT on the whole of it. So this login can read every row of each
-- table of the application that has no row level security (they are listed in the end); of the others, what their
-- policies show to everybody. No view, none of Supabase's own tables. Views that are made later it can read until this
-- is run again.
begin;
do $$
declare
  one record;
begin
  if not exists (select from pg_catalog.pg_roles where rolname = '{name}') then
    create role "{name}" login nosuperuser nocreatedb nocreaterole noinherit noreplication nobypassrls;
  end if;
  for one in select nspname from pg_catalog.pg_namespace n
    where {applications}
  loop
    execute format('revoke all on all tables in schema %I from "{name}"', one.nspname);
    execute format('revoke all on schema %I from "{name}"', one.nspname);
    execute format('grant usage on schema %I to "{name}"', one.nspname);
    execute format('alter default privileges in schema %I grant select on tables to "{name}"', one.nspname);
  end loop;
  for one in select nspname, relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p') and pg_catalog.pg_has_role(relowner, 'USAGE') and {applications}
      and not exists (select from pg_catalog.pg_depend
        where classid = 'pg_catalog.pg_class'::regclass and objid = c.oid and deptype = 'e')
  loop
    execute format('grant select on table %I.%I to "{name}"', one.nspname, one.relname);
  end loop;
end $$;
alter role "{name}" connection limit 3;
-- Soft guards only: whoever logs in can switch them off. The missing grants above are the real one.
alter role "{name}" set default_transaction_read_only = on;
alter role "{name}" set statement_timeout = '60s';
alter role "{name}" set lock_timeout = '3s';
alter role "{name}" set idle_in_transaction_session_timeout = '10min';
alter role "{name}" set search_path = '';
commit;
-- The tables whose rows this login can read.
select format('can read the rows of %I.%I', nspname, relname) as rows
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
where relkind in ('r', 'p') and not relrowsecurity and {applications}
  and pg_catalog.has_table_privilege('{name}', c.oid, 'SELECT') order by 1;
-- What this role could still write. Nothing is right; take away what is listed before the role is used.
{ways};
"""


def dump_role_sql(read: ProductionRead) -> str:
    """What makes the role, for its holder to read and to run; no password is in it, and this tool never runs it."""
    return _MADE.format(
        name=read.dump_role,
        password=read.dump_password,
        applications=_APPLICATIONS,
        ways=ways_to_write(read.dump_role),
    )
