"""The backend's interpreter with Alembic imported once; every worker is forked from it.

Imports are most of a worker's start, and a promotion with its way back has two dozen of them. The server and the
workers are alembic_worker.py: it gets each worker's descriptors through a socket, and ends when our end is closed.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pantheon_runbook.database.migrations import migration_errors
from pantheon_runbook.database.migrations.printed import Printed

WORKER = Path(__file__).with_name("alembic_worker.py")
# What an interpreter needs to run as it does in the user's own shell. PYTHONPATH is where many backends live.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_START_SECONDS = 60.0
_FORK_SECONDS = 10.0
_END_SECONDS = 5.0
_PR_SET_DUMPABLE = 4  # linux/prctl.h


class Place(NamedTuple):
    """All that decides what an interpreter imports at its start."""

    python: str
    folder: str
    environment: tuple[tuple[str, str], ...]


class Forked:
    """One worker, in a process group of its own. `told` has its pid, and its exit code once it has ended."""

    pid: int  # of none before it is told

    def __init__(self, told: int) -> None:
        self._told = told
        self._text = b""
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.wait(0)

    def wait(self, seconds: float) -> int | None:
        """The same, as soon as it has ended or the time is over; whoever waits for it may have been stopped."""
        if self._code is None and (line := self.line(seconds)) is not None:
            self._code = int(line or -signal.SIGKILL)  # who was to tell is killed, and the worker is with him
        return self._code

    def kill(self) -> None:
        """Its whole process group, and itself where it has left that."""
        with suppress(ProcessLookupError, PermissionError):  # all of it has ended
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            if self._code is None:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        os.close(self._told)

    def line(self, seconds: float) -> bytes | None:
        """What is told next. None: nothing in time; empty: nothing any more."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            while b"\n" not in self._text:
                if not selector.select(seconds):
                    return None
                more = os.read(self._told, 64)
                if not more:
                    return b""
                self._text += more
        line, _, self._text = self._text.partition(b"\n")
        return line


class ForkServer:
    """Errors of its start: ConfigError (no interpreter, no alembic in it), RefusedError (anything else)."""

    def __init__(self, place: Place) -> None:
        _keep_to_ourselves()
        self._place = place
        self._failure: OSError | None = None
        self._is_stopped = False
        self._begun = threading.Event()
        self._channel, theirs = socket.socketpair()
        printed, output = os.pipe()
        try:
            self._printed = Printed(printed)
            # The thread that starts it also waits for its end: a parent's death signal follows the thread.
            threading.Thread(target=self._keep, args=(theirs, output), daemon=True).start()
            self._imported_from = self._ready()
        except BaseException:  # an interrupt in a notebook ends the cell, and not the process
            self.close()
            raise
        self._stamps = _stamps(self._imported_from)

    def _keep(self, theirs: socket.socket, output: int) -> None:
        try:
            with theirs, os.fdopen(output, "wb") as printed:
                self._process = subprocess.Popen(
                    [self._place.python, "-u", str(WORKER), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    cwd=self._place.folder,
                    env=dict(self._place.environment),
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._begun.set()
        self._process.wait()

    def _ready(self) -> list[str]:
        """Its sys.path, once all is imported."""
        self._begun.wait()
        if self._failure is not None:
            raise migration_errors.no_interpreter(self._place.python, self._failure)
        self._channel.settimeout(_START_SECONDS)
        try:
            with self._channel.makefile("rb") as lines:
                line = lines.readline()
        except TimeoutError:
            self._process.kill()
            raise self._not_started(None) from None
        except KeyboardInterrupt:
            self._process.kill()
            raise
        if not line:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
            raise self._not_started(self._process.returncode)
        self._channel.settimeout(None)
        return list(json.loads(line))

    def _not_started(self, code: int | None) -> Exception:
        return migration_errors.ended(code, "", seconds=_START_SECONDS, output=self._printed.lines())

    def is_current(self) -> bool:
        """Whether a new interpreter would import the same: installing a package changes the folder that it goes to."""
        return not self._is_stopped and self._process.poll() is None and self._stamps == _stamps(self._imported_from)

    def fork(self, requests: int, events: int, output: int) -> Forked:
        """A worker with these for its own. Errors: RefusedError (none was to be had; nothing was sent to any)."""
        told, tells = os.pipe()
        worker = Forked(told)
        try:
            with os.fdopen(tells, "wb"), suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._channel, [b"\n"], [requests, events, output, tells])
            worker.pid = self._pid_of(worker)
        except BaseException:
            worker.close()
            raise
        return worker

    def _pid_of(self, worker: Forked) -> int:
        line = worker.line(_FORK_SECONDS)
        if line:
            return int(line)
        self._is_stopped = line is None
        how = f"no answer in {_FORK_SECONDS:.0f} s" if line is None else "it could not be forked"
        raise migration_errors.not_forked(how, output=self._printed.lines())

    def close(self) -> None:
        """It ends when its last worker has."""
        self._channel.close()


_servers: dict[Place, ForkServer] = {}  # the last one that was used
_one_at_a_time = threading.Lock()


def forked(python: str, folder: Path, requests: int, events: int, output: int) -> Forked:
    """A worker of this interpreter, which is started in that folder. Errors: as of `ForkServer`."""
    place = Place(python, str(folder), tuple(sorted(_environment().items())))
    with _one_at_a_time:
        server = _servers.get(place)
        if server is None or not server.is_current():
            for other in _servers.values():
                other.close()
            _servers.clear()
            server = _servers[place] = ForkServer(place)
        return server.fork(requests, events, output)


def _stamps(paths: list[str]) -> list[int]:
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in map(Path, paths)]


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(("LC_", "LANGUAGE"))
    }


def _keep_to_ourselves() -> None:
    """Linux: what runs beside us under the same account, a revision above all, does not read our tokens in /proc."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
