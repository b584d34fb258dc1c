"""The application's schemas of one database, without a row, and what makes the same of a scratch database.

The password goes to pg_dump by a pipe that it is asked to read it from: an argument or an environment is seen by others
on the machine, and a file may outlive us.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pantheon_runbook import clock
from pantheon_runbook.database.connection import Resolve, is_refused_login, opened, settings_of
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.rehearsals.around import Around, look_around, put_on_top, put_under
from pantheon_runbook.database.rehearsals.comparable import Server, look_at_server
from pantheon_runbook.database.rehearsals.relay import PORT, relayed
from pantheon_runbook.database.rehearsals.row_counts import row_counts
from pantheon_runbook.database.rehearsals.scratch import OWNER, ScratchDatabase, not_rehearsed
from pantheon_runbook.database.schema import (
    LOCK_MILLISECONDS,
    VERSION_TABLE,
    Standing,
    one_moment,
    standing_in,
)
from pantheon_runbook.errors import VendorError, VendorRefusedError, VendorUnavailableError
from pantheon_runbook.secrets import Secret
from pantheon_runbook.servers import ServerError
from pantheon_runbook.servers.binaries import postgres_binaries
from pantheon_runbook.servers.cluster import BOOTSTRAP_USER

_APPLICATION = "pantheon-runbook dump"
_OPERATION = "dump the schema"
_CONNECT_SECONDS = 10
_WAITS_SECONDS, _PAUSE_SECONDS = 20, 0.5
_NO_CONNECTION_LEFT = "too many connections"
_SECONDS = 300
_NO = frozenset({"28000", "28P01", "42501"})
_KEPT = (
    *("--format=custom", "--compress=0", "--schema-only", f"--lock-wait-timeout={LOCK_MILLISECONDS}"),
    # What a scratch server may not have, and no migration depends on.
    *("--no-tablespaces", "--no-table-access-method", "--no-toast-compression", "--no-security-labels"),
)
_ENTRY_OF_A_SCHEMA = re.compile(r"\d+; \d+ \d+ SCHEMA ")


@dataclass(frozen=True)
class Dump:
    """All of one moment. `standing` is what was seen, `heads` the rows of Alembic's table: the only ones carried."""

    archive: bytes
    around: Around
    server: Server
    standing: Standing
    version_table: str
    heads: tuple[str, ...]
    without_roles: tuple[str, ...] = ()  # grants to these were passed over
    rows: Mapping[str, int] = field(default_factory=dict)  # by table, as the statistics have it


def dump_schema(
    url: Secret, *, resolve: Resolve, version_table: str = VERSION_TABLE, without_roles: Sequence[str] = ()
) -> Dump:
    """As `_dump`; the role may have few connections, and while others use them up it is tried again."""
    end = clock.monotonic() + _WAITS_SECONDS
    while True:
        try:
            return _dump(url, resolve, version_table, without_roles)
        except VendorUnavailableError as error:
            if _NO_CONNECTION_LEFT not in error.why or clock.monotonic() > end:
                raise
        clock.sleep(clock.jittered(_PAUSE_SECONDS))


def _dump(url: Secret, resolve: Resolve, version_table: str, without_roles: Sequence[str]) -> Dump:
    """What the login of `url` may dump: it needs SELECT on each table, not on a column of it (`dump_role`).

    Each table is locked in ACCESS SHARE for the seconds that it takes: readers and writers do not notice, an ALTER
    TABLE waits. Reads the catalogue, and no table but Alembic's.

    Errors: VendorRefusedError (the login, a table that may not be locked), VendorUnavailableError (not reached, or a
    table that was locked by somebody else for longer than three seconds), UsageError (no pg_dump here).
    """
    try:
        with (
            opened(
                url.reveal(), resolve=resolve, seconds=_CONNECT_SECONDS, application_name=_APPLICATION
            ) as connection,
            one_moment(connection),
        ):
            around = look_around(connection)
            standing = standing_in(connection, version_table=version_table, without_roles=without_roles)
            heads = ledger.heads(connection, version_table) or ()
            server = look_at_server(connection)
            rows = row_counts(connection)
            (snapshot,) = connection.execute("select pg_export_snapshot()").fetchone() or ("",)
            archive = _archive(settings_of(url.reveal(), resolve), [name for name, _ in around.schemas], snapshot)
    except psycopg.Error as error:
        raise _said(str(error), is_refused=is_refused_login(error) or error.sqlstate in _NO) from error
    return Dump(archive, around, server, standing, version_table, heads, tuple(without_roles), rows)


def restore(dump: Dump, database: ScratchDatabase) -> None:
    """Make the scratch database's application schemas the dump's, whatever was in them. Errors: UsageError."""
    try:
        with database.connection() as connection, connection.transaction():
            put_under(connection, dump.around)
        _restored(dump.archive, database)
        with database.connection() as connection, connection.transaction():
            put_on_top(connection, dump.around)
            _put_heads(connection, dump)
    except psycopg.Error as error:
        raise not_rehearsed(f"the dump cannot be restored: {error.diag.message_primary or error}", _LACKING) from error


_LACKING = "what the scratch server lacks is listed beside this; rehearse on a throw-away project of the same version"


def _archive(settings: dict[str, Any], schemas: Sequence[str], snapshot: str) -> bytes:
    selected = [f"--schema={_pattern(name)}" for name in schemas]
    with relayed(settings) as relay:
        login = {"user": settings["user"], "dbname": settings["dbname"], "application_name": _APPLICATION}
        place = make_conninfo(host=str(relay.folder), port=PORT, **login)
        arguments = ["--password", f"--dbname={place}", f"--snapshot={snapshot}", *_KEPT, *selected]
        done = _ran("pg_dump", arguments, given=f"{settings.get('password', '')}\n".encode())
    if done.returncode != 0:
        raise _said(relay.failed or _first_error(done.stderr))
    return done.stdout


def _pattern(name: str) -> str:
    """A name for pg_dump that stands for itself alone."""
    return '"{}"'.format(name.replace('"', '""'))


def _restored(archive: bytes, database: ScratchDatabase) -> None:
    """Through a list of what is in it: its schemas are there already."""
    entries = _ran("pg_restore", ["--list"], given=archive).stdout.decode().splitlines()
    kept = [entry for entry in entries if not _ENTRY_OF_A_SCHEMA.match(entry)]
    with tempfile.NamedTemporaryFile("w", prefix="pantheon-list-", suffix=".txt") as listed:
        listed.write("\n".join(kept) + "\n")
        listed.flush()
        server = make_conninfo(host=str(database.folder), port=database.port, user=BOOTSTRAP_USER)
        place = make_conninfo(server, dbname=database.name)
        arguments = [f"--dbname={place}", f"--use-list={listed.name}", "--exit-on-error"]
        done = _ran("pg_restore", [*arguments, "--single-transaction", "--no-password"], given=archive)
    if done.returncode != 0:
        raise not_rehearsed(f"the dump cannot be restored: {_first_error(done.stderr)}", _LACKING)


def _put_heads(connection: psycopg.Connection[Any], dump: Dump) -> None:
    table = sql.Identifier(*dump.version_table.split("."))
    if dump.heads and ledger.heads(connection, dump.version_table) is None:
        ledger.make_version_table(connection, dump.version_table)
        connection.execute(sql.SQL("alter table {} owner to {}").format(table, sql.Identifier(OWNER)))
    for head in dump.heads:
        connection.execute(sql.SQL("insert into {} (version_num) values (%s)").format(table), (head,))


def _ran(program: str, arguments: Sequence[str], *, given: bytes) -> subprocess.CompletedProcess[bytes]:
    """In a session of its own: without a terminal, a password is read from standard input."""
    try:
        path = postgres_binaries().path(program)
        return subprocess.run(
            [path, *arguments],
            input=given,
            capture_output=True,
            check=False,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath},
            start_new_session=True,
            timeout=_SECONDS,
        )
    except ServerError as error:
        raise not_rehearsed(f"there is no {program} to dump with: {error}") from error
    except FileNotFoundError as error:
        raise not_rehearsed(f"{path} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise _said(f"{program} took longer than {_SECONDS} seconds") from error


def _first_error(told: bytes) -> str:
    lines = told.decode(errors="replace").replace("Password: ", "").splitlines()
    marked = [line for line in lines if "error: " in line]
    return re.sub(r"^pg_\w+: error: ", "", (marked or lines or ["no reason was given"])[0])


def _said(why: str, *, is_refused: bool = False) -> VendorError:
    """What kept the dump from being made. "permission denied" is the role's fault, the rest is told as it came."""
    fields = {"vendor": "database", "operation": _OPERATION, "why": why, "state": "nothing was changed by this call"}
    if is_refused or "permission denied" in why or "password authentication failed" in why:
        return VendorRefusedError(
            "the schema could not be dumped", status=400, **fields, next_step="pantheon-runbook read-role --dump"
        )
    return VendorUnavailableError(
        "the schema could not be dumped",
        **fields,
        next_step="look at who holds the table that is named, then run again",
    )
