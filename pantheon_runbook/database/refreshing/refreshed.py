"""The record of refreshes in the target's own database: which run made the schema anew, and what became of its seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from pantheon_runbook.database.kinds import SCHEMA

_TABLE = f"""
create table if not exists {SCHEMA}.refreshes (
    id bigint primary key generated always as identity,
    run_id text not null,
    operator text not null,
    refreshed_at timestamptz not null default now(),
    has_seed boolean not null,
    users_elsewhere bigint not null,
    seed_digest text,
    seed_began_at timestamptz,
    seeded_at timestamptz check (seeded_at is null or seed_began_at is not null),
    addresses bigint,
    elsewhere jsonb
)
"""
_UTC = """'YYYY-MM-DD"T"HH24:MI:SS"Z"'"""
_LAST = f"""
select id, run_id, to_char(refreshed_at at time zone 'utc', {_UTC}), has_seed, users_elsewhere,
    coalesce(seed_digest, ''), seed_began_at is not null, seeded_at is not null, coalesce(addresses, 0),
    coalesce(elsewhere, '{{}}'::jsonb)
from {SCHEMA}.refreshes order by id desc limit 1
"""  # noqa: S608
_REFRESHED = f"""
insert into {SCHEMA}.refreshes (run_id, operator, has_seed, users_elsewhere) values (%s, %s, %s, %s)
"""  # noqa: S608
_BEGUN = f"""
update {SCHEMA}.refreshes set seed_began_at = now(), seed_digest = %s
where id = %s and seed_began_at is null returning id
"""  # noqa: S608
_SEEDED = f"""
update {SCHEMA}.refreshes set seeded_at = now(), addresses = %s, elsewhere = %s where id = %s
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The last refresh. `has_seed`: a seed was to follow it; `addresses` and `elsewhere` are what that has brought.

    `users_elsewhere`: users of auth.users who stayed, and whose addresses are at other than test domains;
    `elsewhere`: how many of the seed's addresses are, by table.
    """

    number: int
    run_id: str
    at: str
    has_seed: bool
    users_elsewhere: int
    seed_digest: str
    has_begun: bool
    is_seeded: bool
    addresses: int
    elsewhere: Mapping[str, int]

    @property
    def waits_for_seed(self) -> bool:
        return self.has_seed and not self.has_begun

    @property
    def is_half_seeded(self) -> bool:
        return self.has_begun and not self.is_seeded


def last(connection: psycopg.Connection[Any]) -> Refreshed | None:
    """The newest; None when there was none. Reads only. Errors: psycopg.Error."""
    if connection.execute("select to_regclass(%s)", (f"{SCHEMA}.refreshes",)).fetchone() == (None,):
        return None
    row = connection.execute(_LAST.encode()).fetchone()
    return Refreshed(*row) if row else None


def record(
    connection: psycopg.Connection[Any], *, run_id: str, operator: str, has_seed: bool, users_elsewhere: int
) -> None:
    """In the transaction that makes the schema anew. Errors: psycopg.Error."""
    connection.execute(_TABLE.encode())
    connection.execute(_REFRESHED.encode(), (run_id, operator, has_seed, users_elsewhere))


def begin_seed(connection: psycopg.Connection[Any], number: int, *, digest: str) -> bool:
    """Say that it begins, which nobody may twice: False when somebody has. Errors: psycopg.Error."""
    return connection.execute(_BEGUN.encode(), (digest, number)).fetchone() is not None


def end_seed(connection: psycopg.Connection[Any], number: int, *, addresses: int, elsewhere: Mapping[str, int]) -> None:
    """Say that it has ended well, and what it brought. Errors: psycopg.Error."""
    connection.execute(_SEEDED.encode(), (addresses, Jsonb(dict(elsewhere)), number))
