"""One writer per environment: a file lock on this machine, an advisory lock in the database across machines."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from psycopg.errors import OperationalError

from pantheon_runbook import clock
from pantheon_runbook.database.connection import Database, unreachable
from pantheon_runbook.database.sessions import require_session
from pantheon_runbook.database.writer import Writer, busy, writer_lock
from pantheon_runbook.errors import CredentialError, UsageError
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.secrets import Vault

_TRIES = 3
_BETWEEN_TRIES_SECONDS = 0.05


def state_folder() -> Path:
    """`$XDG_STATE_HOME/pantheon-runbook`."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "pantheon-runbook"


class MachineLock:
    """Held from opening an apply run until it is sealed; the file says who holds it. `scope` is what is written to."""

    def __init__(self, scope: str, *, holder: str) -> None:
        self._file = _lock_file(_file_name(scope))
        try:
            _take(self._file)
        except BlockingIOError as error:
            other = _name_in(self._file)
            self._file.close()
            raise busy(other, "on this machine") from error
        self._file.truncate(0)
        self._file.write(holder)
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def _take(file: TextIO) -> None:
    """Somebody who only asks who writes holds the lock for a moment (`holder_of`): so a few tries."""
    for attempt in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == _TRIES - 1:
                raise
            clock.sleep(_BETWEEN_TRIES_SECONDS)
        else:
            return


def holder_of(scope: str) -> str:
    """Who holds the lock of this scope on this machine, "" when nobody does; for a reader who only wants to know."""
    path = state_folder() / "locks" / _file_name(scope)
    if not path.exists():
        return ""
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _name_in(file)
    return ""


def _name_in(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "a run that has not said its name yet"


def _file_name(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:32]


def _lock_file(name: str) -> TextIO:
    folder = state_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (folder / name).open("a+")
    except OSError as error:
        raise UsageError(
            f"the lock folder {folder} cannot be used",
            why=f"{error.strerror}; without it two runs could write at once",
            next_step="give write permission, or set XDG_STATE_HOME to another folder",
        ) from error


@contextmanager
def database_lock(
    database: Database,
    vault: Vault,
    *,
    scope: str,
    writer: Writer,
    wait_seconds: float = 0.0,
    signs: bool = True,
    gate: WriteGate | None = None,
) -> Iterator[str]:
    """The writer's lock on a session of its own, said in words; before the database exists there is nothing to lock.

    Until then two creators are told apart by listing again after every create. Once that session has ended, `gate` lets
    no write through. Errors: AnotherWriterError, RefusedError when the way to the database is a transaction pooler, and
    CredentialError where people gave the login that writes, and it is refused.
    """
    if vault.get(database.writes_by) is None or not database.connects(url=database.writes_by):
        if database.has_own_writer and vault.get("supabase.ref") is not None:
            raise CredentialError(
                "the database refused the login that writes to it",
                why="its password is not the one under [production] in the credentials",
                next_step="correct it there, or set PANTHEON_PRODUCTION_PASSWORD; then pantheon-runbook doctor",
            )
        there_is_none = "there is no database yet that lets us in"
        yield f"this machine's; {'this run does not reach the database' if database.has_own_writer else there_is_none}"
        return
    with database.writing(application_name=writer.session_name) as connection, ExitStack() as held:
        try:
            require_session(connection)
            held_lock = writer_lock(connection, scope=scope, writer=writer, wait_seconds=wait_seconds, signs=signs)
            lock = held.enter_context(held_lock)
        except OperationalError as error:
            raise unreachable(error) from error
        left = f"; it was left by {lock.left_by}" if lock.left_by else ""
        if gate is not None:
            held.callback(setattr, gate, "require_lock", gate.require_lock)
            gate.require_lock = lock.require_held
        yield f"this machine's and the database's{left}"
