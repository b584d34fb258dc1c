"""The migration ledger in the target's own database: what was applied, from which file, by whom and when.

Rows are added and never altered: what is said of a revision is its last row, and the others are its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations.revisions import LedgerEntry, LedgerRow
from pantheon_runbook.errors import RefusedError

LAYOUT = 3
_TABLES = f"""
create table {SCHEMA}.layout (
    only_row boolean primary key default true check (only_row),
    version integer not null
);
create table {SCHEMA}.migrations (
    id bigint primary key generated always as identity,
    revision text not null,
    file text not null,
    digest text not null,
    state text not null check (state in ('begun', 'applied', 'baseline', 'undone')),
    run_id text not null,
    operator text not null,
    began_at timestamptz not null,
    ended_at timestamptz check ((ended_at is null) = (state = 'begun')),
    followed_writes boolean not null default false,
    after_deployment boolean not null default false
);
create index migrations_by_revision on {SCHEMA}.migrations (revision, id);
create table {SCHEMA}.writer (
    only_row boolean primary key default true check (only_row),
    run_id text not null,
    holder text not null,
    host text not null,
    taken_at timestamptz not null
);
create table {SCHEMA}.units (
    id bigint primary key generated always as identity,
    plan_digest text not null,
    state text not null check (state in ('begun', 'done', 'rolled back')),
    run_id text not null,
    operator text not null,
    at timestamptz not null default now()
);
create table {SCHEMA}.nonces (
    nonce text primary key,
    unit bigint not null references {SCHEMA}.units
);
insert into {SCHEMA}.layout (version) values ({LAYOUT});
"""  # noqa: S608  every name is ours
_MAKERS = f"select pg_advisory_xact_lock(hashtextextended('{SCHEMA}.layout', 0))"

# Whether a transaction has written is PostgreSQL's own knowledge: it has a number since then. Asked first and kept,
# since the row's own id may be what gives it one.
_BEGUN = f"""
with written as materialized (select pg_current_xact_id_if_assigned() is not null as before)
insert into {SCHEMA}.migrations (revision, file, digest, state, run_id, operator, began_at, followed_writes)
select cast(:revision as text), cast(:file as text), cast(:digest as text), 'begun', cast(:run_id as text),
    cast(:operator as text), now(), before from written
"""  # noqa: S608
_ENDED = f"""
insert into {SCHEMA}.migrations (revision, file, digest, state, run_id, operator, began_at, ended_at, after_deployment)
values (:revision, :file, :digest, '{{state}}', :run_id, :operator, coalesce(
    (select min(began_at) from {SCHEMA}.migrations
     where revision = :revision and run_id = :run_id and state = 'begun'), now()), clock_timestamp(),
    cast(:revision as text) = any(string_to_array(cast(:late as text), ',')))
"""  # noqa: S608
_UTC = """'YYYY-MM-DD"T"HH24:MI:SS"Z"'"""
_STANDING = f"""
(select distinct on (revision) * from {SCHEMA}.migrations order by revision, id desc) as last where state <> 'undone'
"""  # noqa: S608
_ROWS = f"""
select revision, digest, state, run_id, operator,
    to_char(began_at at time zone 'utc', {_UTC}), coalesce(to_char(ended_at at time zone 'utc', {_UTC}), ''),
    file, followed_writes, after_deployment
from {_STANDING} order by id
"""  # noqa: S608
_UNDONE = f"""
insert into {SCHEMA}.migrations (revision, file, digest, state, run_id, operator, began_at, ended_at)
select revision, file, digest, 'undone', %(run_id)s, %(operator)s, now(), clock_timestamp()
from {_STANDING} and revision = any(%(revisions)s) order by id
"""  # noqa: S608


def make(connection: psycopg.Connection[Any]) -> None:
    """The ledger's tables, in one transaction; what stands already is left as it is.

    Needs CREATE on the database once, no ownership. Errors: RefusedError (made by a later version), psycopg.Error.
    """
    with connection.transaction():
        connection.execute(_MAKERS)  # two that make it at once would each find nothing and then collide
        if stands(connection):
            return
        # IF NOT EXISTS asks for the right to create schemas even when there is nothing to create.
        if connection.execute("select to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(SCHEMA)))
        connection.execute(_TABLES)


def stands(connection: psycopg.Connection[Any]) -> bool:
    """Whether the ledger's tables are there; reads only. Errors: RefusedError when a later version made them."""
    if connection.execute("select to_regclass(%s)", (f"{SCHEMA}.layout",)).fetchone() == (None,):
        return False
    query = sql.SQL("select version from {}.layout").format(sql.Identifier(SCHEMA))
    row = connection.execute(query).fetchone()
    if row != (LAYOUT,):
        found = row[0] if row else "no number"
        is_older = row is not None and row[0] < LAYOUT
        raise RefusedError(
            f"the ledger in this database has layout {found}",
            why=f"this version of the tool knows layout {LAYOUT}; {'an unreleased' if is_older else 'a later'} one has "
            "worked here",
            next_step=f"drop all tables but environment of schema {SCHEMA}, then plan again"
            if is_older
            else "pip install --upgrade pantheon-runbook",
        )
    return True


def rows(connection: psycopg.Connection[Any]) -> tuple[LedgerRow, ...]:
    """What the ledger says of each revision that stands, in the order in which it was done; reads only."""
    if not stands(connection):
        return ()
    return tuple(LedgerRow(*row) for row in connection.execute(_ROWS))


def entry(*, run_id: str, operator: str, late: Sequence[str] = ()) -> LedgerEntry:
    """The statements with which the worker writes this run's rows; times are the database's own.

    `late` are the revisions that were made to wait for the new backend: they do not age it.
    """
    applied, undone = (_ENDED.format(state=state) for state in ("applied", "undone"))
    return LedgerEntry(_BEGUN, applied, undone, {"run_id": run_id, "operator": operator, "late": ",".join(late)})


def undo(connection: psycopg.Connection[Any], revisions: Sequence[str], *, run_id: str, operator: str) -> None:
    """Say that these no longer stand, for example because the schema was made anew; their history stays."""
    values = {"revisions": list(revisions), "run_id": run_id, "operator": operator}
    connection.execute(_UNDONE.encode(), values)


def make_version_table(connection: psycopg.Connection[Any], version_table: str) -> None:
    """As Alembic itself makes it, empty. Errors: psycopg.Error."""
    key = sql.Identifier(f"{version_table.rpartition('.')[2]}_pkc")
    columns = "create table {} (version_num varchar(32) not null constraint {} primary key)"
    connection.execute(sql.SQL(columns).format(sql.Identifier(*version_table.split(".", 1)), key))


def heads(connection: psycopg.Connection[Any], version_table: str) -> tuple[str, ...] | None:
    """Where Alembic says that this database is, sorted; None when its table is not there. Reads only.

    `version_table` is "name" or "schema.name"; without a schema it is looked for as Alembic does, on the search path.
    """
    table = sql.Identifier(*version_table.split(".", 1))
    if connection.execute("select to_regclass(%s)", (table.as_string(connection),)).fetchone() == (None,):
        return None
    found = connection.execute(sql.SQL("select version_num from {} order by 1").format(table)).fetchall()
    return tuple(sorted(str(row[0]) for row in found))
