"""What a refresh drops and what it leaves, on a real server that is shaped like Supabase's, as role postgres."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.refreshing import refreshed
from pantheon_runbook.database.refreshing.emptying import losses
from pantheon_runbook.database.refreshing.refresh_kinds import Marked, _begin, refresh
from pantheon_runbook.database.rehearsals.scratch import OWNER, scratch
from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.errors import RefusedError, WrongEnvironmentError

MARKED = Marked("staging", "sandbox", "a" * 20)
ODD = Path(__file__).with_name("odd_schema.sql").read_text()
# What the odd schema does not have: everything else that PostgreSQL keeps in a schema, and guests on Supabase's tables.
MORE = """
create table public.persons (id bigserial primary key, email text, "user" uuid references auth.users (id));
create table public.pieces (at date not null) partition by range (at);
create table public.pieces_1 partition of public.pieces for values from ('2026-01-01') to ('2027-01-01');
create type public.odd_pair as (a int, b int);
create type public.odd_span as range (subtype = int);
create domain public.odd_positive as int check (value > 0);
create function public.handle_new_user() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger on_auth_user_created after insert on auth.users
    for each row execute function public.handle_new_user();
create procedure public.tidy() language sql as 'select 1';
create aggregate public.nothing (*) (sfunc = int8inc, stype = int8, initcond = '0');
create operator public.=== (leftarg = int, rightarg = int, function = int4eq);
create text search configuration public.simple_one (copy = pg_catalog.simple);
create statistics public.of_persons on id, email from public.persons;
create collation public.plain (locale = 'C');
create materialized view public.seen as select count(*) from public.persons;
create publication of_persons for table public.persons;
create schema odd_reports;
create view odd_reports.people as select * from public.persons;
create table public.alembic_version (version_num varchar(32) primary key);
insert into public.alembic_version values ('0002');
insert into public.persons (email) select 'p' || n || '@example.com' from generate_series(1, 42) n;
"""
BY_A_SUPERUSER = "create operator class public.odd_ops for type int using btree as operator 1 <;"
GUEST = 'create policy "read own" on storage.objects for select using (auth.uid() = owner)'
MARKER = """
create schema if not exists pantheon_runbook;
create table pantheon_runbook.environment (
    only_row boolean primary key default true, name text, cloud text, ref text, marked_at timestamptz default now());
"""


@pytest.fixture(scope="module")
def server():
    with scratch() as server:
        yield server


@pytest.fixture
def database(server, request):
    made = server.make(f"t{abs(hash(request.node.name))}")
    yield made
    server.drop(made)


@pytest.fixture
def connection(database):
    """As the role that migrates, in a database that says it is staging and holds two applied revisions."""
    with database.connection(OWNER) as connection:
        ledger.make(connection)
        connection.execute(MARKER)
        connection.execute(
            "insert into pantheon_runbook.environment (name, cloud, ref) values (%s, %s, %s)",
            (MARKED.environment, MARKED.cloud, MARKED.ref),
        )
        for revision in ("0001", "0002"):
            connection.execute(
                "insert into pantheon_runbook.migrations (revision, file, digest, state, run_id, operator, began_at,"
                " ended_at) values (%s, 'f', 'd', 'applied', 'r', 'o', now(), now())",
                (revision,),
            )
        yield connection


def made_anew(connection, marked=MARKED, **more):
    record = {"run_id": "run", "operator": "supervisor", "has_seed": True}
    return refresh(
        connection, marked, version_table="public.alembic_version", lock_timeout_ms=500, record={**record, **more}
    )


def lines(connection):
    return look_at_schema(connection).lines


def privileges(connection):
    """Of schema public and by default, to the letter; and what is said of it."""
    query = (
        "select 'schema', nspname::text, nspacl::text, pg_get_userbyid(nspowner)::text,"
        " obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'public' union all"
        " select 'defaults', defaclobjtype::text, defaclacl::text, pg_get_userbyid(defaclrole)::text, ''"
        " from pg_default_acl"
    )
    return sorted(map(str, connection.execute(query).fetchall()))


def test_odd_schema_leaves_what_is_no_schemas_own(database, connection):
    """Extensions, what was granted on schema public, privileges by default in every schema; and Supabase's rows."""
    empty = lines(connection)
    with database.connection() as superuser:
        superuser.execute("insert into auth.users (email) values ('somebody@company.com')")
        superuser.execute(ODD + BY_A_SUPERUSER)
        there = lines(connection)
        assert () == made_anew(superuser)  # as whoever made it: half of it is a superuser's

    left = sorted(set(lines(connection)) ^ set(empty))
    assert 100 < len(there)
    assert [
        "defaults of postgres on functions: ALL to postgres",
        "defaults of postgres on tables: ALL to postgres, SELECT to reporting",
        "extension btree_gist: in schema extensions",
        "extension hstore: in schema public",
        "grant public to app_owner: ALL",
        "grant public to reporting: USAGE",
    ] == left
    assert [("somebody@company.com",)] == connection.execute("select email from auth.users").fetchall()
    assert (True,) == connection.execute("select to_regtype('public.hstore') is not null").fetchone()


def test_role_postgres_can_do_it(connection):
    empty, given = lines(connection), privileges(connection)
    connection.execute(MORE)

    assert () == made_anew(connection)

    assert (empty, given) == (lines(connection), privileges(connection))
    assert None is ledger.heads(connection, "public.alembic_version")
    assert () == ledger.rows(connection)
    triggers = "select tgname from pg_trigger where tgrelid = 'auth.users'::regclass and not tgisinternal"
    assert [] == connection.execute(triggers).fetchall(), "it called the application's function"


def test_losses_are_told_in_plain_words(connection):
    """To one digit, so that one row more does not make the plan another one."""
    connection.execute(MORE)
    told = losses(connection, version_table="public.alembic_version")

    assert {"public.pieces": 0, "public.persons": 40} == told.rows
    assert told.in_words.startswith("public.persons (about 40 rows), 1 empty tables, ")
    connection.execute("insert into public.persons (email) values ('one@example.com')")
    assert told == losses(connection, version_table="public.alembic_version")


def test_extension_and_what_it_brought_stay(database, connection):
    """Also where it lives in a schema of the application's; the rest of that schema goes."""
    connection.execute("create schema app; create table app.notes (id int); create table public.of_it (id int)")
    with database.connection() as superuser:
        superuser.execute("create schema tools authorization postgres; drop extension citext; drop extension pg_trgm")
        superuser.execute("create extension pg_trgm schema tools; create extension citext schema public")

    made_anew(connection)

    there = (
        "select to_regnamespace('app'), to_regnamespace('tools') is not null, to_regtype('public.citext') is not null"
    )
    assert (None, True, True) == connection.execute(there).fetchone()
    assert (None,) == connection.execute("select to_regclass('public.of_it')").fetchone()


def test_policy_of_another_role_is_named_and_stays(database, connection):
    """At Supabase `postgres` may drop its own there; where it may not, it has not made it either."""
    with database.connection() as superuser:
        superuser.execute(GUEST)

    assert ("policy read own on storage.objects",) == made_anew(connection)


def test_schema_of_another_role_ends_it_whole(database, connection):
    """In public its owner may drop what anybody has made there; elsewhere he may not, and nothing is dropped."""
    connection.execute(MORE)
    with database.connection() as superuser:
        superuser.execute("create role somebody; create schema theirs authorization somebody")
        superuser.execute("create table theirs.notes (id int); create table public.of_a_superuser (id int)")
    before = lines(connection)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be owner of table notes"):
        made_anew(connection)

    assert (before, 2, None) == (lines(connection), len(ledger.rows(connection)), refreshed.last(connection))
    with database.connection() as superuser:
        superuser.execute("drop schema theirs cascade; drop role somebody")
    assert () == made_anew(connection)


def test_schema_of_supabases_that_nobody_listed_stays(database, connection):
    with database.connection() as superuser:
        superuser.execute("create schema brand_new; create table brand_new.notes (id int)")

    made_anew(connection)

    assert (True,) == connection.execute("select to_regclass('brand_new.notes') is not null").fetchone()


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ("delete from pantheon_runbook.environment", RefusedError),
        ("drop table pantheon_runbook.environment", RefusedError),
        ("update pantheon_runbook.environment set name = 'production'", WrongEnvironmentError),
        ("update pantheon_runbook.environment set name = 'preview'", WrongEnvironmentError),
        ("update pantheon_runbook.environment set ref = repeat('b', 20)", WrongEnvironmentError),
        ("update pantheon_runbook.environment set cloud = 'live'", WrongEnvironmentError),
    ],
)
def test_database_that_does_not_say_staging_keeps_everything(connection, found, error):
    connection.execute(MORE)
    connection.execute(found)
    before = lines(connection)

    with pytest.raises(error):
        made_anew(connection)

    assert (before, 2) == (lines(connection), len(ledger.rows(connection)))


def test_marker_of_production_is_never_enough(connection):
    """Even where the row and the run agree."""
    connection.execute("update pantheon_runbook.environment set name = 'production'")

    with pytest.raises(RefusedError, match="to staging only"):
        made_anew(connection, Marked("production", MARKED.cloud, MARKED.ref))

    assert 2 == len(ledger.rows(connection))


def test_marker_cannot_change_while_it_drops(database, connection):
    """Whoever is about to write it is waited for, and believed."""
    connection.execute(MORE)
    with database.connection(OWNER) as other, other.transaction():
        other.execute("update pantheon_runbook.environment set name = 'production'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            made_anew(connection)

    with pytest.raises(WrongEnvironmentError):
        made_anew(connection)

    assert 2 == len(ledger.rows(connection))


def test_killed_connection_leaves_it_whole(database, connection):
    """The server ends the session in the middle of dropping: it is one transaction."""
    connection.execute(MORE)
    before = lines(connection)
    with database.connection() as superuser, database.connection(OWNER) as doomed:
        superuser.execute(
            "create function end_it() returns event_trigger language plpgsql as"
            " $$ begin if tg_tag = 'DROP VIEW' then perform pg_terminate_backend(pg_backend_pid()); end if; end $$"
        )
        superuser.execute("alter function end_it() set schema extensions")
        superuser.execute("create event trigger ends on ddl_command_end execute function extensions.end_it()")
        superuser.execute("alter function extensions.end_it() security definer")
        with pytest.raises(psycopg.OperationalError):
            made_anew(doomed)
        superuser.execute("drop event trigger ends")

    assert (before, 2, None) == (lines(connection), len(ledger.rows(connection)), refreshed.last(connection))


def test_seed_is_begun_once(connection):
    """Whoever comes second is refused, from whichever machine."""
    made_anew(connection)
    last = refreshed.last(connection)
    assert (True, False) == (last.waits_for_seed, last.is_half_seeded)

    _begin(connection, last, "5eed")
    with pytest.raises(RefusedError, match="a second time"):
        _begin(connection, last, "5eed")

    assert refreshed.last(connection).is_half_seeded
    refreshed.end_seed(connection, last.number, addresses=3, elsewhere={"public.persons": 1})
    ended = refreshed.last(connection)
    assert (True, 3, {"public.persons": 1}, "5eed") == (
        ended.is_seeded,
        ended.addresses,
        ended.elsewhere,
        ended.seed_digest,
    )


def test_users_who_stay_are_counted(database, connection):
    """So that they are not taken for the seed's."""
    with database.connection() as superuser:
        superuser.execute("insert into auth.users (email) values ('a@company.com'), ('b@example.com'), (null)")

    made_anew(connection)

    assert 1 == refreshed.last(connection).users_elsewhere
