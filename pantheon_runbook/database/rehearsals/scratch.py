"""A private PostgreSQL for rehearsals: made in a moment, reached by nobody else, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook import clock
from pantheon_runbook.errors import UsageError
from pantheon_runbook.secrets import Secret
from pantheon_runbook.servers import ServerError, templates
from pantheon_runbook.servers.binaries import EXTRA, postgres_binaries
from pantheon_runbook.servers.cluster import BOOTSTRAP_USER, answering, start, stop
from pantheon_runbook.servers.places import own_by_server, temporary_base

OWNER = "postgres"  # no superuser, and owns neither auth nor storage: as at Supabase
_LOOPBACK = "127.0.0.1"
_SHAPED, _PLAIN, _KEPT = "postgres", "template0", "template1"
_FIRST_PORT, _PORTS, _ATTEMPTS = 20_000, 12_000, 5
_MARK_OF_A_STUB = "a stub of "
_SETTINGS = (
    *("-c", f"listen_addresses={_LOOPBACK}", "-c", "logging_collector=off", "-c", "log_destination=stderr"),
    *("-c", "log_statement=none", "-c", "max_locks_per_transaction=512", "-c", "fsync=off"),
)
# Waits for the end of file that our own end brings, whatever ended us, and takes away what is then left.
_CLEANER = """
cat > /dev/null
if pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null); then
  kill -QUIT "$pid" 2> /dev/null
  while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done
fi
rm -rf "$1"
"""


@dataclass(frozen=True)
class ScratchDatabase:
    """One database of it. `url` is a login of `postgres` by TCP, for any driver; it is nobody's credential later."""

    name: str
    url: Secret
    stubbed: tuple[str, ...]  # extensions whose functions are there, but most cannot be called
    folder: Path
    port: int

    @contextmanager
    def connection(self, role: str = BOOTSTRAP_USER) -> Iterator[psycopg.Connection[Any]]:
        """In autocommit, by the Unix socket: as the superuser, unless `role` is "postgres"."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, dbname=self.name, user=role, autocommit=True, prepare_threshold=None
        ) as connection:
            yield connection


class Scratch:
    """A running server. `version` is PostgreSQL's; `extensions` are those it can create, stubs apart."""

    def __init__(self, folder: Path, port: int, password: str, connection: psycopg.Connection[Any]) -> None:
        self.folder = folder
        self.port = port
        self.version = postgres_binaries().number
        self._password = password
        self._connection = connection
        offered = connection.execute("select name, default_version, comment from pg_available_extensions").fetchall()
        self.stubbed = tuple(sorted(name for name, _, told in offered if str(told).startswith(_MARK_OF_A_STUB)))
        self.extensions: Mapping[str, str] = {name: at for name, at, _ in offered if name not in self.stubbed}

    def make(self, name: str, *, is_shaped: bool = True) -> ScratchDatabase:
        """A new empty database that `postgres` owns: with what every Supabase project has, or with nothing at all."""
        template = _SHAPED if is_shaped else _PLAIN
        made = "create database {} template {} owner {} strategy file_copy"
        self._connection.execute(sql.SQL(made).format(*map(sql.Identifier, (name, template, OWNER))))
        url = f"postgresql://{OWNER}:{self._password}@{_LOOPBACK}:{self.port}/{name}"
        return ScratchDatabase(name, Secret(url), self.stubbed if is_shaped else (), self.folder, self.port)

    def drop(self, database: ScratchDatabase) -> None:
        """Take it away, with whoever is still connected."""
        self._connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database.name)))


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A server for as long as the context lasts, to be entered and left by one thread.

    Its files are in a folder that nobody but its own account may enter, in memory where there is room; it listens on
    a Unix socket there, and on loopback for `postgres` with a password that is made anew. When this process is killed,
    the server ends and the folder goes.

    Errors: UsageError when there is no PostgreSQL here to run, or it does not start: nothing was rehearsed then.
    """
    folder = _private_folder()
    cleaner = _cleaner(folder)
    try:
        try:
            server, connection, port = _started(folder)
        except ServerError as error:
            raise not_rehearsed(f"there is no PostgreSQL to rehearse on: {error}") from error
        try:
            password = clock.token("scratch password")
            connection.execute(f"alter role {OWNER} password '{password}'".encode())  # hexadecimal characters only
            yield Scratch(folder / "data", port, password, connection)
        finally:
            connection.close()
            stop(server, keep_consistent=False)
    finally:
        cleaner.kill()
        cleaner.communicate()
        shutil.rmtree(folder, ignore_errors=True)


NOT_REHEARSED = "not rehearsed"


def not_rehearsed(why: str, next_step: str = EXTRA) -> UsageError:
    """Nothing was rehearsed, which is not the same as a rehearsal that found nothing."""
    return UsageError(NOT_REHEARSED, why=why, next_step=next_step)


def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pantheon-scratch-", dir=temporary_base(in_memory=True)))  # mode 0700
    own_by_server(folder)
    return folder


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], psycopg.Connection[Any], int]:
    """On a port that was free when it was tried. Raises ServerError."""
    data = folder / "data"
    templates.install(data, templates.REHEARSAL_SLOT)
    for attempt in range(_ATTEMPTS):
        port = _FIRST_PORT + int.from_bytes(os.urandom(2)) % _PORTS
        output = folder / "server.log"
        server = start(data, *_SETTINGS, "-p", str(port), output=output)
        try:
            # The database that others are made from has to have nobody in it.
            settings = {"host": str(data), "port": str(port), "user": BOOTSTRAP_USER, "dbname": _KEPT}
            return server, answering(server, settings), port
        except ServerError:
            stop(server, keep_consistent=False)
            if attempt == _ATTEMPTS - 1 or "could not bind" not in output.read_text():
                raise
    raise AssertionError("the last attempt returns or raises")


def _cleaner(folder: Path) -> subprocess.Popen[bytes]:
    command = ["/bin/sh", "-c", _CLEANER, "sh", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/", env={"PATH": os.defpath})
