"""One writer per environment: a file lock on this machine, an advisory lock in the database across machines."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from psycopg.errors import OperationalError

from pantheon_runbook import clock
from pantheon_runbook.database.connection import Database
from pantheon_runbook.errors import AnotherWriterError, UsageError
from pantheon_runbook.secrets import Vault

_TRIES = 3
_BETWEEN_TRIES_SECONDS = 0.05
_HOLDER = """
select activity.application_name
from pg_locks as locks join pg_stat_activity as activity using (pid)
where locks.locktype = 'advisory' and locks.classid::bigint = %s and locks.objid::bigint = %s and locks.granted
"""


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
            raise _busy(other, "on this machine") from error
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
def database_lock(database: Database, vault: Vault, *, scope: str, holder: str) -> Iterator[str]:
    """The advisory lock on a session of its own, said in words; before the database exists there is nothing to lock.

    Until then two creators are told apart by listing again after every create.
    """
    if vault.get("database.session_url") is None or not database.connects():
        yield "this machine's; there is no database yet that lets us in"
        return
    key = hashlib.sha256(scope.encode()).digest()
    high, low = int.from_bytes(key[:4]) >> 1, int.from_bytes(key[4:8]) >> 1
    with database.session(application_name=f"pantheon-runbook {holder}") as connection:
        taken = connection.execute("select pg_try_advisory_lock(%s, %s)", (high, low)).fetchone()
        if taken != (True,):
            row = connection.execute(_HOLDER, (high, low)).fetchone()
            raise _busy(str(row[0]) if row else "a session that has just ended", "in the database")
        try:
            yield "this machine's and the database's"
        finally:
            try:
                connection.execute("select pg_advisory_unlock(%s, %s)", (high, low))
            except OperationalError:
                connection.close()  # a session that is gone holds no lock


def _busy(holder: str, where: str) -> AnotherWriterError:
    return AnotherWriterError(
        f"another run is writing to this environment ({holder})",
        why=f"it holds the lock {where}; there is one writer per environment",
        next_step="wait for it to end, then run again",
    )
