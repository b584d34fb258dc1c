"""Runs as processes of their own: started at one instant, led from revision to revision, paused inside one, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

RUN = Path(__file__).with_name("migrating_run.py")
SECONDS = 60.0
GONE_SECONDS = 12.0  # less than what bounds a statement here: the server has to find out that its client is gone


class Run:
    """One run on its way. `home` is its machine: two with different homes share nothing but the database."""

    def __init__(self, ini: Path, url: str, *, home: Path, run_id: str, waits: bool = True, **more: Any) -> None:
        self.run_id = run_id
        about = {"ini": str(ini), "scope": "staging", "run_id": run_id, "waits": waits, **more}
        variables = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        self.process = subprocess.Popen(
            [sys.executable, str(RUN), json.dumps(about)],
            cwd=home,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._tell(url)
        self.next("started")

    def start(self) -> None:
        self._tell("start")

    def next(self, *events: str) -> dict[str, Any]:
        """The next event; it has to be one of these."""
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.end()}"
        found = json.loads(line)
        assert set(events) & set(found), found
        return found

    def go(self) -> None:
        self._tell("go")

    def go_through(self, until: str) -> None:
        """Every revision before that one, which it then waits to begin."""
        while self.next("begins")["begins"] != until:
            self.go()
            self.next("ended")

    def finish(self) -> int:
        """All that is left; how many revisions it applied in all."""
        while True:
            found = self.next("ready", "begins", "ended", "done")
            if "done" in found:
                assert (0, "") == self.end()
                return int(found["done"])
            if "begins" in found:
                self.go()

    def close(self) -> None:
        """Whatever became of the test."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str]:
        _printed, trouble = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, trouble

    def _tell(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


def until(is_so: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.01)


class Pause:
    """Another session in the way: the revision waits at a known place, with everything before it done and open."""

    def __init__(self, url: str, statement: str) -> None:
        self._watching = psycopg.connect(url, autocommit=True)
        self._holding = psycopg.connect(url)
        self._holding.execute(statement.encode())

    def wait_until_reached(self, pid: int) -> None:
        until(lambda: (pid,) in self._watching.execute("select pid from pg_locks where not granted").fetchall(), "wait")

    def close(self) -> None:
        self._holding.close()
        self._watching.close()

    def stands_before(self, table: str) -> bool:
        """Whether somebody waits for this very table."""
        query = "select exists (select from pg_locks where not granted and relation = to_regclass(%s))"
        return (True,) == self._watching.execute(query, (table,)).fetchone()

    def kill_server_process(self, pid: int) -> None:
        assert (True,) == self._watching.execute("select pg_terminate_backend(%s)", (pid,)).fetchone()

    def until_gone(self, pid: int) -> None:
        """That server process has ended, by itself or because its client is gone."""
        until(lambda: not self._is_there(pid), f"process {pid} ends", seconds=GONE_SECONDS)

    def _is_there(self, pid: int) -> bool:
        query = "select exists (select from pg_stat_activity where pid = %s)"
        return (True,) == self._watching.execute(query, (pid,)).fetchone()

    def let_go(self) -> None:
        self._holding.close()


def holds(table: str) -> str:
    """Readers of the table go on, writers wait."""
    schema, _, name = table.rpartition(".")
    return f"lock table {sql.Identifier(schema, name).as_string()} in share mode"


def kill(run: Run, pause: Pause, ready: dict[str, Any], what: str) -> None:
    """One of: worker, runner, server."""
    if what == "worker":
        os.kill(ready["worker"], signal.SIGKILL)
    elif what == "runner":
        run.process.kill()
    else:
        pause.kill_server_process(ready["ready"])
