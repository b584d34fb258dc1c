"""Alembic under the backend's own interpreter, seen from the runner: read the tree, apply one revision at a time."""

from __future__ import annotations

import json
import os
import selectors
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg

from pantheon_runbook import clock
from pantheon_runbook.database.migrations import migration_errors
from pantheon_runbook.database.migrations.fork_server import forked
from pantheon_runbook.database.migrations.printed import Printed
from pantheon_runbook.database.migrations.revisions import History, LedgerEntry, Lock, Ran, Revision, Statement
from pantheon_runbook.errors import RefusedError, RunbookError
from pantheon_runbook.secrets import Secret

_HISTORY_SECONDS = 60.0
_START_SECONDS = 60.0
_STEP_SECONDS = 3600.0
_END_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.25
_LARGEST_KEY = 2**31 - 1
_LONGEST_ANSWER_BYTES = 2**27  # the statements of a revision are in it, with all that they insert


@dataclass(frozen=True)
class Backend:
    """Somebody's Alembic tree and the interpreter that runs it; `python` is a path, or a name on PATH.

    `url_variable` is what its env.py or settings read the URL from, when that is not the ini.
    """

    ini: Path
    python: str
    url_variable: str = "DATABASE_URL"


@dataclass(frozen=True, slots=True)
class LockProof:
    """A random advisory lock that is held in the database that was checked: the worker has to find it where it is."""

    first: int
    second: int


@contextmanager
def held_proof(connection: psycopg.Connection[Any]) -> Iterator[LockProof]:
    """Hold it on this session, which has to stay open meanwhile."""
    numbers = [int(clock.token("proof", length=8), 16) & _LARGEST_KEY for _ in range(2)]
    connection.execute("select pg_advisory_lock(%s, %s)", numbers)
    try:
        yield LockProof(*numbers)
    finally:
        with suppress(psycopg.OperationalError):  # a session that is gone holds no lock
            connection.execute("select pg_advisory_unlock(%s, %s)", numbers)


def history(backend: Backend) -> History:
    """The whole tree, without a database; env.py is not run, the revisions are imported.

    Errors: ConfigError (no interpreter, no alembic in it), RefusedError (the tree cannot be read).
    """
    with started(backend) as worker:
        worker.send(act="history")
        return _history_of(worker.answer("history", seconds=_HISTORY_SECONDS), "heads")


class Migration:
    """env.py has connected, and waits before the next revision. One thread at a time; `kill` may come from any."""

    def __init__(self, worker: Worker, ready: Mapping[str, Any], *, seconds: float) -> None:
        self._worker = worker
        self._seconds = seconds
        self.has_failed = False  # a worker ends with the first revision that does
        self.history = _history_of(ready, "tree_heads")  # of the files that this process has loaded
        self.heads = tuple(ready["heads"])
        self.version_table = str(ready["version_table"])
        self.backend_pid = int(ready["pid"])

    def step(self, revision: str) -> Ran:
        """Apply this revision, which has to be a next one; it is committed, with its ledger row, when this returns.

        Errors: VendorUnavailableError (a lock was not to be had: rolled back), VendorRefusedError (a clear no; `state`
            says whether all of it was rolled back), OutcomeUnknownError (the connection or the worker was lost).
        """
        return self._carried_out("step", revision)

    def undo(self, revision: str) -> Ran:
        """Downgrade this revision, which has to be a last one; as `step`, errors too."""
        return self._carried_out("undo", revision)

    def kill(self) -> None:
        """End the worker now, whatever it is doing; whoever waits for it gets OutcomeUnknownError."""
        self._worker.kill()

    def _carried_out(self, act: str, revision: str) -> Ran:
        if self.has_failed:
            raise RefusedError(
                f"revision {revision} was about to follow one that failed",
                why="its worker has ended, and what the failed one left has to be looked at first",
                next_step="run the plan again: it looks first",
            )
        self.has_failed = True  # until the answer says otherwise
        self._worker.send(act=act, revision=revision)
        done = self._worker.answer("done", seconds=self._seconds, revision=revision)
        self.has_failed = False
        self.heads = tuple(done["heads"])
        statements = tuple(
            Statement(
                one["sql"],
                round(one["seconds"], 6),
                tuple(Lock(relation, mode) for relation, mode in one["locks"]),
                one["is_alone"],
            )
            for one in done["statements"]
        )
        return Ran(revision, statements, round(done["seconds"], 6), self.heads)


@contextmanager
def migration(
    backend: Backend,
    url: Secret,
    *,
    proof: LockProof,
    ledger: LedgerEntry | None,
    lock_timeout_ms: int,
    statement_timeout_ms: int,
    observe: bool,
    application_name: str,
    seconds: float = _STEP_SECONDS,
) -> Iterator[Migration]:
    """One worker for all revisions, ended at the end. `url` is DATABASE_URL as the backend has it, driver included.

    `seconds` bounds one revision, whatever it does; a statement is bounded by `statement_timeout_ms` and a grace.
    Errors: WrongEnvironmentError (env.py connects elsewhere), RefusedError (env.py), VendorUnavailableError.
    """
    with started(backend) as worker:
        worker.send(
            act="migrate",
            url=url.reveal(),
            proof=(proof.first, proof.second),
            ledger=ledger and asdict(ledger),
            lock_timeout_ms=lock_timeout_ms,
            statement_timeout_ms=statement_timeout_ms,
            observe=observe,
            application_name=application_name,
        )
        ready = worker.answer("ready", seconds=_START_SECONDS)
        one = Migration(worker, ready, seconds=seconds)
        yield one
        if not one.has_failed:
            worker.send(act="end")
            worker.answer("ended", seconds=_START_SECONDS)


class Lost(Protocol):
    """`code` is the exit code, None when it gave no answer in time."""

    def __call__(
        self, code: int | None, revision: str, /, *, seconds: float, output: Sequence[str]
    ) -> RunbookError: ...


class Worker:
    """The process: requests go in, events come out, and what it prints is kept for an error."""

    def __init__(self, backend: Backend) -> None:
        self._about = {"ini": str(backend.ini.absolute()), "variable": backend.url_variable}
        self._received = bytearray()
        requests, self._requests = os.pipe()
        self._events, events = os.pipe()
        printed, output = os.pipe()
        try:
            self._printed = Printed(printed)
            self._process = forked(backend.python, backend.ini.absolute().parent, requests, events, output)
        except BaseException:  # an interrupt in a notebook ends the cell, and not the process
            for descriptor in (self._requests, self._events):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (requests, events, output):
                os.close(descriptor)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, **request: Any) -> None:
        """What cannot be sent is found out by the answer that does not come."""
        line = json.dumps({**self._about, **request}).encode() + b"\n"
        with suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._requests, line) :]

    def answer(
        self, event: str, *, seconds: float, revision: str = "", lost: Lost = migration_errors.ended
    ) -> dict[str, Any]:
        """The next event, which has to be this one. Errors: what a failure means; the process has ended then.

        `lost` is what it means that none came.
        """
        line = self._line(clock.monotonic() + seconds)
        if not line:
            ended = None if line is None else self._wait()
            self.kill()
            raise lost(ended, revision, seconds=seconds, output=self._printed.lines())
        found = _event(line)
        if found is None:
            self.kill()
            raise migration_errors.garbled(revision, output=self._printed.lines())
        if found["event"] != event:
            self._wait()
            raise migration_errors.failed(found, output=self._printed.lines())
        return found

    def _line(self, deadline: float) -> bytes | None:
        """None: no answer in time; empty: none any more; one that is longer than any answer has no end."""
        searched = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._events, selectors.EVENT_READ)
            while (length := self._received.find(b"\n", searched)) < 0:
                searched = len(self._received)
                if searched > _LONGEST_ANSWER_BYTES:
                    return bytes(self._received)
                if clock.monotonic() > deadline:
                    return None
                has_ended = self._process.poll() is not None
                if selector.select(0 if has_ended else _LOOK_AGAIN_SECONDS):
                    more = os.read(self._events, 2**16)
                    if not more:
                        return b""
                    self._received += more
                elif has_ended:
                    return b""  # a process that it left behind may hold the pipe open
        line = bytes(self._received[:length])
        del self._received[: length + 1]
        return line

    def _wait(self) -> int | None:
        """Its exit code; None when it has not ended in time, and was killed."""
        try:
            return self._process.wait(_END_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """Its whole process group."""
        self._process.kill()

    def close(self) -> None:
        """Let go; an idle worker ends by itself when it is alone, any other is killed."""
        for descriptor in (self._requests, self._events):
            os.close(descriptor)
        try:
            self._wait()
            self._process.wait(_END_SECONDS)
        finally:
            self._process.close()


@contextmanager
def started(backend: Backend) -> Iterator[Worker]:
    """A worker that waits for its first request, ended at the end. Errors: ConfigError (no interpreter, no ini)."""
    if not backend.ini.is_file():
        raise migration_errors.no_ini(backend.ini)
    worker = Worker(backend)
    try:
        yield worker
    finally:
        worker.close()


def _event(line: bytes) -> dict[str, Any] | None:
    """None: somebody else than the worker has written it, a revision that writes to every descriptor for example."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _history_of(event: Mapping[str, Any], heads: str) -> History:
    revisions = tuple(
        Revision(**{**one, **{name: tuple(one[name]) for name in ("down", "depends_on", "branch_labels")}})
        for one in event["revisions"]
    )
    return History(revisions, tuple(event[heads]))
