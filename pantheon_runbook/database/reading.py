"""SQL checks: one SELECT each, by the read role or through Supabase's own read-only query.

That it is one SELECT is for PostgreSQL to decide. The query stands in FROM ( ... ), where the grammar takes a SELECT
and no data-modifying WITH; whoever closes the bracket early has begun a second statement, which the extended protocol
refuses; and what is left runs in a READ ONLY transaction, as a role without a right to write.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import psycopg

from pantheon_runbook.checks import MOST_ROWS
from pantheon_runbook.database.connection import SESSION_PORT, Resolve, is_refused_login, opened
from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.secrets import Secret

_CONNECT_SECONDS = 10

Row = dict[str, Any]


class Reader(Protocol):
    def rows(self, query: str) -> list[Row]:
        """Rows as JSON objects, their columns in order; one more than MOST_ROWS at most.

        Errors: VendorRefusedError with PostgreSQL's words, VendorUnavailableError.
        """


def wrapped(query: str) -> str:
    """The declared query as it is sent, with $1 for the limit: a parameter makes it the extended protocol."""
    declared = query.strip().removesuffix(";")
    return f"select to_json(declared) as found from (\n{declared}\n) as declared limit $1"  # noqa: S608  see above


class EndpointReader:
    """By Supabase, as its read-only user, who has no right to write either."""

    def __init__(self, client: Client, ref: str) -> None:
        self._client = client
        self._ref = ref

    def rows(self, query: str) -> list[Row]:
        answer = self._client.read(
            "POST",
            f"/v1/projects/{self._ref}/database/query/read-only",
            operation="make an SQL check",
            body={"query": wrapped(query), "parameters": [MOST_ROWS + 1]},
        )
        return [dict(row["found"]) for row in json_of(answer)]


class RoleReader:
    """By the read role, on a connection of its own."""

    def __init__(self, connection: psycopg.Connection[Any], *, spend: Callable[[str], None]) -> None:
        self._connection = connection
        self._spend = spend

    def rows(self, query: str) -> list[Row]:
        self._spend("an SQL check")
        self._connection.read_only = True
        try:
            with (
                self._connection.transaction(force_rollback=True),
                psycopg.RawCursor(self._connection) as cursor,
            ):
                found = cursor.execute(wrapped(query).encode(), [MOST_ROWS + 1]).fetchall()
        except psycopg.Error as error:
            raise _said_no("make an SQL check", error) from error
        return [dict(row[0]) for row in found]


@contextmanager
def session_as(
    user: str, password: Secret, host: str, *, resolve: Resolve, options: str, spend: Callable[[str], None]
) -> Iterator[psycopg.Connection[Any]]:
    """One connection through the session pooler, tried once; `user` names role and tenant.

    Errors: VendorRefusedError (the login), VendorUnavailableError.
    """
    spend("a login to the database")
    encoded = urllib.parse.quote(password.reveal(), safe="")
    url = f"postgresql://{user}:{encoded}@{host}:{SESSION_PORT}/postgres{options}"
    one = opened(url, resolve=resolve, seconds=_CONNECT_SECONDS, application_name="pantheon-runbook check")
    with ExitStack() as ends:
        try:
            connection = ends.enter_context(one)
        except psycopg.OperationalError as error:
            raise _said_no("log in as the read role", error, refused=is_refused_login(error)) from error
        yield connection


def unanswered(why: str) -> VendorUnavailableError:
    """Production's database is not there to be asked."""
    return VendorUnavailableError(
        "production's database cannot be reached",
        vendor="database",
        operation="log in as the read role",
        why=why,
        state="nothing was changed by this call",
        next_step="check the network (the session pooler is port 5432), then run again",
    )


def _said_no(
    operation: str, error: psycopg.Error, *, refused: bool = False
) -> VendorRefusedError | VendorUnavailableError:
    """What PostgreSQL refused in its own words; without an SQLSTATE it was the network."""
    if error.sqlstate is None and not refused:
        return unanswered(f"{type(error).__name__} on the session pooler")
    code = error.sqlstate or "28P01"
    return VendorRefusedError(
        f"the database refused to {operation}",
        vendor="database",
        operation=operation,
        status=401 if refused else 400,
        code=code,
        why=f"{code}: {error.diag.message_primary or 'role or password is not known there'}",
        state="nothing was changed by this call",
        next_step="pantheon-runbook read-role prints what makes the role" if refused else "correct the check",
    )
