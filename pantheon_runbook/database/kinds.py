"""What provisioning keeps in and about the database: its password, and the row that says which environment it is."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook import clock
from pantheon_runbook.database.connection import Database, unreachable
from pantheon_runbook.database.writes import DatabaseGate
from pantheon_runbook.errors import CredentialError, WrongEnvironmentError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Resource
from pantheon_runbook.providers.http import Client, WriteGate
from pantheon_runbook.providers.supabase import project_answers

SCHEMA = "pantheon_runbook"
MAKE_TABLE = f"""
create schema if not exists {SCHEMA};
create table if not exists {SCHEMA}.environment (
    only_row boolean primary key default true check (only_row),
    name text not null, cloud text not null, ref text not null, marked_at timestamptz not null
);
"""


_LOCK_TABLE = f"lock table {SCHEMA}.environment in access exclusive mode"


class Password(Kind):
    """The password of role postgres, never readable again: its one copy is DATABASE_URL in Railway's staging.

    Vault: database.password and the three URLs.
    """

    prefix = "database/password"
    looks_after = ("supabase/project", "railway/variables")

    def __init__(self, client: Client, surroundings: Surroundings, *, database: Database) -> None:
        self._client = client
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._database = database

    def look(self) -> Look:
        if self._vault.get("supabase.ref") is None:
            return Look()
        if not project_answers(self._vault):
            return Look((Resource(self.prefix, "present", {"held": False}, note="the project is not healthy yet"),))
        held = self._database.recover_password()
        note = "held in Railway's DATABASE_URL, and it connects" if held else "no copy of it connects"
        return Look((Resource(self.prefix, "present", {"held": held}, note=note),))

    def write(self, change: Change) -> str | None:
        """Reset it; the new one is in the vault before the request leaves. "hold": it was chosen with the project."""
        if change.action == "hold":
            return "chosen when the project was created"
        password = clock.token(change.address)
        self._vault.hold("database.password", password)
        self._client.write(
            "PATCH",
            f"/v1/projects/{self._vault.text('supabase.ref')}/database/password",
            operation="reset the database password",
            body={"password": password},
        )
        return None

    def settle(self, change: Change) -> None:
        self._database.hold_urls()
        self._surroundings.wait_until(
            self._database.connects,
            what="a login with the new password",
            vendor="supabase",
        )

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """A repeated reset is harmless, and only a login could tell: so it is repeated."""
        return False


class Marker(Kind):
    """One row in the database that names its environment; written once, never changed by us."""

    prefix = "database/marker"
    looks_after = ("database/password", "production/project")

    def __init__(
        self, surroundings: Surroundings, *, database: Database, gate: WriteGate, environment: str, cloud: str
    ) -> None:
        self._vault = surroundings.vault
        self._database = database
        self._gate = DatabaseGate(gate, surroundings.vault)
        self._environment = environment
        self._cloud = cloud

    def look(self) -> Look:
        if not project_answers(self._vault) or self._vault.get("database.session_url") is None:
            return Look()
        row = self._row()
        if row is None:
            return Look()
        marked = self._ours(row)
        return Look(
            (Resource(self.prefix, "present", marked, note=f"marked as {marked['environment']}"),),
            (),
            {"database_marker": f"{marked['environment']} {marked['ref']}"},
        )

    def _ours(self, row: tuple[str, str, str]) -> dict[str, str]:
        """The row by its names. Errors: WrongEnvironmentError when it is another environment's."""
        marked = dict(zip(("environment", "cloud", "ref"), row, strict=True))
        if marked["environment"] != self._environment or marked["ref"] != self._vault.text("supabase.ref"):
            raise WrongEnvironmentError(
                f'the database says it is "{marked["environment"]}" of project {marked["ref"]}',
                why=f'this run is for "{self._environment}"; perhaps a restored copy',
                next_step="look at pantheon_runbook.environment in that database before anything else",
            )
        return marked

    def _row(self) -> tuple[str, str, str] | None:
        with self._database.session() as connection:
            try:
                return marker_of(connection)
            except psycopg.OperationalError as error:
                raise unreachable(error) from error
            except psycopg.errors.InsufficientPrivilege as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: psycopg.Error) -> CredentialError:
        """Somebody else has made our schema there: what we write, we let the login read that looks."""
        role = self._database.read_by or "the login that looks"
        return CredentialError(
            "whose database it is cannot be read",
            why=f"{str(error).splitlines()[0]}, for {role}",
            next_step=f"as its owner: grant usage on schema {SCHEMA} to {role}; "
            f"grant select on all tables in schema {SCHEMA} to {role};",
        )

    def _refuse_marked(self, connection: psycopg.Connection[Any]) -> None:
        """In the transaction that writes, with everybody else kept from the table: no look before it can say this."""
        connection.execute(_LOCK_TABLE)
        row = marker_of(connection)
        if row is not None:
            self._ours(row)

    def write(self, change: Change) -> str | None:
        """A paused project does not show its marker, so it may be there by now."""
        if self.look().resources:
            return "adopted: it was there by then"
        named = {"environment": self._environment, "cloud": self._cloud, "ref": self._vault.text("supabase.ref")}
        with (
            self._gate.write("mark the environment", path=f"{SCHEMA}.environment", sent=named),
            self._database.writing() as connection,
            connection.transaction(),
        ):
            connection.execute(MAKE_TABLE)
            self._refuse_marked(connection)
            mark(connection, **named)
            let_read(connection, self._database.read_by)
        return None


def mark(connection: psycopg.Connection[Any], *, environment: str, cloud: str, ref: str) -> None:
    """The row, in the table that `MAKE_TABLE` makes. Errors: psycopg.Error, also when there is one."""
    insert = sql.SQL("insert into {}.environment (name, cloud, ref, marked_at) values (%s, %s, %s, %s)")
    connection.execute(insert.format(sql.Identifier(SCHEMA)), (environment, cloud, ref, clock.now()))


def let_read(connection: psycopg.Connection[Any], role: str) -> None:
    """Let the login that only looks see what is ours in its database; "" for none. Errors: psycopg.Error."""
    if role:
        names = {"schema": sql.Identifier(SCHEMA), "role": sql.Identifier(role)}
        connection.execute(sql.SQL("grant usage on schema {schema} to {role}").format(**names))
        connection.execute(sql.SQL("grant select on all tables in schema {schema} to {role}").format(**names))


def marker_of(connection: psycopg.Connection[Any]) -> tuple[str, str, str] | None:
    """(name, cloud, ref) of the environment that the database says it is; None when it does not say. Reads only."""
    if connection.execute("select to_regclass(%s)", (f"{SCHEMA}.environment",)).fetchone() == (None,):
        return None
    found: tuple[str, str, str] | None = connection.execute(
        sql.SQL("select name, cloud, ref from {}.environment").format(sql.Identifier(SCHEMA))
    ).fetchone()
    return found
