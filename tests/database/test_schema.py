"""A schema, line by line: the same for the same, and any difference is told; and where Alembic says it is."""

from __future__ import annotations

import psycopg
import pytest

from pantheon_runbook.database.rehearsals.differences import differences
from pantheon_runbook.database.rehearsals.scratch import scratch
from pantheon_runbook.database.schema import VERSION_TABLE, look_at_schema, one_moment, standing_in

ONE = "create table public.notes (id int primary key, text varchar(20) not null default 'x')"
TWO = "create type public.mood as enum ('good', 'bad')"
NOTES = "column public.notes.text: character varying(20)"
# What somebody may have done by hand, and the line that tells it.
DRIFT = {
    "table": ("create table public.more (id int)", "+ table public.more: owner postgres, 1 column"),
    "table gone": ("drop table public.notes", "- table public.notes: owner postgres, 2 columns, 1 constraint"),
    "column": ("alter table public.notes add more int", "+ column public.notes.more: integer"),
    "type": (
        "alter table public.notes alter text type varchar(21)",
        (
            f"~ {NOTES[:-4]}(21) NOT NULL DEFAULT 'x'::character varying,"
            " was character varying(20) NOT NULL DEFAULT 'x'::character varying"
        ),
    ),
    "null": (
        "alter table public.notes alter text drop not null",
        f"~ {NOTES} DEFAULT 'x'::character varying, was character varying(20) NOT NULL DEFAULT 'x'::character varying",
    ),
    "default": (
        "alter table public.notes alter text drop default",
        f"~ {NOTES} NOT NULL, was character varying(20) NOT NULL DEFAULT 'x'::character varying",
    ),
    "index": (
        "create index on public.notes (text)",
        "+ index public.notes.notes_text_idx: CREATE INDEX notes_text_idx ON public.notes USING btree (text)",
    ),
    "constraint": (
        "alter table public.notes add check (id > 0)",
        "+ constraint public.notes.notes_id_check: CHECK ((id > 0))",
    ),
    "grant": ("grant select, update on public.notes to anon", "+ grant public.notes to anon: SELECT, UPDATE"),
    "grant of a column": ("grant update (text) on public.notes to anon", "+ grant public.notes.text to anon: UPDATE"),
    "grant of everything": ("grant all on public.notes to anon", "+ grant public.notes to anon: ALL"),
    "grant gone": (
        "revoke delete on public.notes from postgres",
        "+ grant public.notes to postgres: INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE",
    ),
    "default privilege": (
        "alter default privileges in schema public grant select on tables to anon",
        "+ defaults of postgres in public on tables: SELECT to anon",
    ),
    "default privilege everywhere": (
        "alter default privileges revoke execute on functions from public",
        "+ defaults of postgres on functions: ALL to postgres",
    ),
    "owner": (
        "grant create on schema public to service_role; alter table public.notes owner to service_role",
        "~ table public.notes: owner service_role, was owner postgres",
    ),
    "row security": (
        "alter table public.notes enable row level security",
        "~ table public.notes: row level security, owner postgres, was owner postgres",
    ),
    "policy": (
        "create policy p on public.notes using (id > 1)",
        "+ policy public.notes.p: PERMISSIVE FOR ALL TO PUBLIC USING ((id > 1))",
    ),
    "policy's role": (
        "create policy p on public.notes to anon using (id > 1)",
        "+ policy public.notes.p: PERMISSIVE FOR ALL TO anon USING ((id > 1))",
    ),
    "function": (
        "create function public.f() returns int language sql as 'select 1'",
        (
            "+ function public.f(): CREATE OR REPLACE FUNCTION public.f() RETURNS integer LANGUAGE sql AS"
            " $function$select 1$function$, owner postgres, 1 grant"
        ),
    ),
    "trigger": (
        (
            "create trigger t before update on public.notes for each row"
            " execute function suppress_redundant_updates_trigger()"
        ),
        (
            "+ trigger public.notes.t: CREATE TRIGGER t BEFORE UPDATE ON public.notes FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
    ),
    "extension": ("create extension hstore schema extensions", "+ extension hstore: in schema extensions"),
    "enum": (
        "alter type public.mood add value 'fair' before 'bad'",
        "~ enum public.mood: 'good', 'fair', 'bad', owner postgres, was 'good', 'bad', owner postgres",
    ),
    "view": (
        "create view public.v as select id from public.notes",
        "+ view public.v: SELECT id FROM public.notes;, owner postgres",
    ),
    "sequence": (
        "create sequence public.s increment 5",
        "+ sequence public.s: bigint, start 1, by 5, from 1 to 9223372036854775807, cache 1, owner postgres",
    ),
    "comment": ("comment on column public.notes.id is 'x'", "+ comment public.notes.id: 'x'"),
    "domain": (
        "create domain public.d as text check (value <> '')",
        "+ type public.d: domain text CONSTRAINT d_check CHECK ((VALUE <> ''::text)), owner postgres, 1 grant",
    ),
    "schema": ("create schema own", "+ schema own: owner postgres"),
}


@pytest.fixture(scope="module")
def server():
    with scratch() as server:
        yield server


@pytest.fixture(scope="module")
def connection(server):
    """A Supabase-shaped database, as its owner reaches it; every test makes its own `public`."""
    with server.make("schema").connection("postgres") as connection:
        yield connection


def lines_after(connection, *statements: str) -> tuple[str, ...]:
    """Of a `public` with nothing but these in it; all of it is rolled back."""
    begun = ("begin", "drop schema public cascade", "create schema public", "set local search_path = ''")
    try:
        for statement in (*begun, *statements):
            connection.execute(statement)
        return standing_in(connection, version_table=VERSION_TABLE, without_roles=()).lines
    finally:
        connection.execute("rollback")


def test_same_objects_are_the_same_lines_in_whatever_order(connection):
    """And what Supabase, an extension or Alembic keeps beside them is no part of it."""
    expected = lines_after(connection, ONE, TWO)

    assert expected == lines_after(connection, TWO, ONE)
    beside = (
        "create schema if not exists vault",
        "create table vault.x (id int)",
        "insert into public.notes values (1)",
        "create table public.alembic_version (version_num text)",
    )
    assert expected == lines_after(connection, ONE, TWO, *beside)


@pytest.mark.parametrize("kind", sorted(DRIFT))
def test_drift_made_by_hand_is_named(connection, kind: str):
    statement, told = DRIFT[kind]
    before = lines_after(connection, ONE, TWO)
    after = lines_after(connection, ONE, TWO, statement)

    assert told in differences(before, after)
    assert len(differences(before, after)) == (2 if kind == "owner" else 1)
    opposite = {"+": "-", "-": "+", "~": "~"}
    assert [opposite[line[0]] for line in differences(before, after)] == [
        line[0] for line in differences(after, before)
    ]


def test_body_of_a_function_is_shown_where_it_differs():
    body = "select 'a long enough text to be cut' || " * 9
    before, after = (f"function public.f(): CREATE {body} {end} more, owner x" for end in ("1", "2"))

    (told,) = differences([before], [after])

    assert told.startswith("~ function public.f(): ...")
    assert " 2 more, owner x, was ..." in told
    assert len(told) < 400


def test_names_with_colons_and_dots_are_names(connection):
    odd = 'create table public."a: b.c" ("d: e" int, "to x" int); grant select on public."a: b.c" to anon'
    before = lines_after(connection)

    assert ('+ table public."a: b.c": owner postgres, 2 columns, 1 grant',) == differences(
        before, lines_after(connection, odd)
    )


def test_grants_of_a_role_can_be_left_out(connection):
    """Production's read role is on one side only."""
    before = lines_after(connection, ONE)
    connection.execute("begin")
    try:
        for statement in ("drop schema public cascade", "create schema public", ONE, "set local search_path = ''"):
            connection.execute(statement)
        connection.execute("create role reader; grant select on public.notes to reader, anon")
        found = standing_in(connection, version_table=VERSION_TABLE, without_roles=["reader"])
    finally:
        connection.execute("rollback")

    assert ("+ grant public.notes to anon: SELECT",) == differences(before, found.lines)


def test_alembic_is_read_where_it_stands(connection):
    connection.execute("create schema own")
    try:
        assert ("none", 0) == (look_at_schema(connection).revision, look_at_schema(connection).tables)
        connection.execute("create table own.at (version_num text)")
        assert "empty" == look_at_schema(connection, version_table="own.at").revision
        connection.execute("insert into own.at values ('b2'), ('a1')")
        assert "a1, b2" == look_at_schema(connection, version_table="own.at").revision
        assert 0 == look_at_schema(connection, version_table="own.at").tables
    finally:
        connection.execute("drop schema own cascade")


def test_look_can_write_nothing(connection):
    """It is a transaction that is read only, whatever the role may do."""
    connection.execute("create table public.t (id int)")
    connection.execute(
        "create function public.writes() returns int language plpgsql as"
        " $$ begin insert into public.t values (1); return 1; end $$"
    )
    try:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), one_moment(connection):
            connection.execute("select public.writes()")
    finally:
        connection.execute("drop function public.writes; drop table public.t")


def test_look_steps_back_from_a_locked_table(server):
    """PostgreSQL spells an index or a default under a lock of its table, and waits for it."""
    database = server.make("locked")
    with database.connection("postgres") as holder, database.connection("postgres") as reader:
        holder.execute(ONE)
        holder.execute("begin; lock table public.notes in access exclusive mode")
        reader.execute("set statement_timeout = '10s'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            look_at_schema(reader)


def test_run_shows_revision_and_fingerprint(world):
    """Beside the rest of staging; nothing is wanted of it."""
    assert "done" == world.provision().word
    run = world.open("plan")
    seen = run.session.perform("observe").get("database/schema")
    world.seal(run)

    assert ("present", "none", 64) == (
        seen.state,
        seen.attributes["alembic_version"],
        len(seen.attributes["fingerprint"]),
    )
    assert seen.note.startswith("Alembic is at none; 0 tables; fingerprint ")
