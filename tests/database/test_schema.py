"""The fingerprint of a schema: the same for the same, another for any difference; and where Alembic says it is."""

from __future__ import annotations

import pytest

from pantheon_runbook.database.schema import look_at_schema

ONE = "create table public.notes (id int primary key, text varchar(20) not null default 'x')"
TWO = "create type public.mood as enum ('good', 'bad')"
ALTERATIONS = {
    "table": "create table public.more (id int)",
    "column": "alter table public.notes add more int",
    "type": "alter table public.notes alter text type varchar(21)",
    "null": "alter table public.notes alter text drop not null",
    "default": "alter table public.notes alter text set default 'y'",
    "index": "create index on public.notes (text)",
    "constraint": "alter table public.notes add check (id > 0)",
    "row security": "alter table public.notes enable row level security",
    "policy": "create policy p on public.notes using (id > 1)",
    "policy's role": "create policy p on public.notes to postgres using (id > 1)",
    "function": "create function public.f() returns int language sql as 'select 1'",
    "function's body": "create function public.f() returns int language sql as 'select 2'",
    "trigger": "create trigger t before update on public.notes for each row"
    " execute function suppress_redundant_updates_trigger()",
    "enum": "alter type public.mood add value 'fair' before 'bad'",
    "view": "create view public.v as select id from public.notes",
    "schema": "create schema own; create table own.notes (id int)",
}


@pytest.fixture(scope="module")
def connection(new_world):
    """A staging's own database, as a run reaches it; every test leaves it as it was."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        assert "done" == world.provision().word
        run = world.open("plan")
        run.session.perform("observe")
        with run.session.kinds["database/marker"]._database.session() as connection:
            yield connection
        world.seal(run)


def fingerprint_after(connection, *statements: str) -> str:
    for statement in (
        "drop schema public cascade",
        "drop schema if exists own cascade",
        "create schema public",
        *statements,
    ):
        connection.execute(statement)
    return look_at_schema(connection).fingerprint


def test_same_objects_are_one_fingerprint_in_whatever_order(connection):
    """And what Supabase, an extension or Alembic keeps beside them is no part of it."""
    expected = fingerprint_after(connection, ONE, TWO)

    assert expected == fingerprint_after(connection, TWO, ONE)
    beside = (
        "create schema if not exists vault",
        "create table vault.x (id int)",
        "insert into public.notes values (1)",
    )
    assert expected == fingerprint_after(connection, ONE, TWO, *beside)
    assert expected == fingerprint_after(connection, ONE, TWO, "create table public.alembic_version (version_num text)")
    connection.execute("drop table vault.x")


def test_every_kind_of_difference_is_another_fingerprint(connection):
    seen = {"": fingerprint_after(connection, ONE, TWO)}
    for name, statement in ALTERATIONS.items():
        seen[name] = fingerprint_after(connection, ONE, TWO, statement)

    assert len(seen) == len(set(seen.values()))


def test_alembic_is_read_where_it_stands(connection):
    fingerprint_after(connection, ONE)
    assert ("none", 1) == (look_at_schema(connection).revision, look_at_schema(connection).tables)
    connection.execute("create table public.alembic_version (version_num text)")
    assert "empty" == look_at_schema(connection).revision
    connection.execute("insert into public.alembic_version values ('b2'), ('a1')")
    assert "a1, b2" == look_at_schema(connection).revision


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
