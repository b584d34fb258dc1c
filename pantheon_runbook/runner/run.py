"""The notebook's side: `Run` asks the runner for one act at a time and shows the card it gets. It holds no secret."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

SOCKET_VARIABLE = "PANTHEON_RUN_SOCKET"
_START_SECONDS = 30.0


class Shown:
    """A card as Jupyter shows it: text and HTML that say the same."""

    def __init__(self, card: dict[str, str]) -> None:
        self._card = card

    def __repr__(self) -> str:
        return self._card["text"]

    def _repr_html_(self) -> str:
        return self._card["html"]


class RunStoppedError(Exception):
    """What the runner refused or could not do, drawn as its four lines instead of a traceback."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__("\n".join(error["lines"]))
        self.error = error

    def _render_traceback_(self) -> list[str]:
        return list(self.error["lines"])


class _Line:
    """One connection to a runner. Requests are numbered: an answer that an interrupt left unread is passed over."""

    def __init__(self, connection: socket.socket, runner: subprocess.Popen[bytes] | None = None) -> None:
        self._connection = connection
        self._runner = runner
        self._received = bytearray()
        self._number = 0

    def ask(self, act: str, **arguments: Any) -> dict[str, str]:
        """The card of one act. Raises RunStoppedError with what the runner refused, or when it has gone."""
        self._number += 1
        request = {"id": self._number, "act": act, **arguments}
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            answer = self._answer()
            while answer["id"] != self._number:
                answer = self._answer()
        except OSError as error:
            raise _stopped(
                "the runner has gone",
                why="it was killed, or this run has ended",
                state="unknown: its journal tells (evidence/.running)",
                next_step="restart the kernel and run from the top; a dead run is sealed as abandoned",
            ) from error
        if "error" in answer:
            raise RunStoppedError(answer["error"])
        card: dict[str, str] = answer["card"]
        return card

    def end(self) -> None:
        """Hang up and wait until a runner of our own has sealed its run."""
        self._connection.close()
        if self._runner is not None:
            self._runner.wait()

    def _answer(self) -> dict[str, Any]:
        """Collected here, not in a file object: that one may lose what it has read when it is interrupted."""
        while b"\n" not in self._received:
            chunk = self._connection.recv(1 << 16)
            if not chunk:
                raise ConnectionResetError("end of file")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Run:
    """One run of one runbook. `Run.open` in the first cell, then one act per cell."""

    _line: ClassVar[_Line | None] = None

    def __init__(self, line: _Line, card: dict[str, str]) -> None:
        self._asks = line
        self._card = card

    @classmethod
    def open(cls, runbook: str, **parameters: Any) -> Run:
        """Begin; with the engine's socket when there is one, else with a runner of its own.

        The engine's runner knows one run: opened again it shows the same card. A runner of our own is ended first, so
        that running again from the top works without restarting the kernel.
        """
        path = os.environ.get(SOCKET_VARIABLE)
        if path is None and cls._line is not None:
            cls._line.end()
        if path is None or cls._line is None:
            cls._line = _engines_runner(Path(path)) if path else _own_runner()
        return cls(cls._line, cls._line.ask("open", runbook=runbook, parameters=parameters))

    def observe(self) -> Shown:
        """Look at everything the runbook is about; reads only."""
        return Shown(self._asks.ask("observe"))

    def plan(self) -> Shown:
        """What would be changed, from what was observed."""
        return Shown(self._asks.ask("plan"))

    def approve(self) -> Shown:
        """Approve the plan's digest, or say what is missing for it."""
        return Shown(self._asks.ask("approve"))

    def compare(self) -> Shown:
        """Hold what was observed against what it should be."""
        return Shown(self._asks.ask("compare"))

    def apply(self) -> Shown:
        """Observe again, refuse when the ground has moved, else carry out the plan."""
        return Shown(self._asks.ask("apply"))

    def verify(self) -> Shown:
        """Ask the world whether it is as desired."""
        return Shown(self._asks.ask("verify"))

    def evidence(self) -> Shown:
        """Where the sealed bundle will be once the notebook has ended."""
        return Shown(self._asks.ask("evidence"))

    def __repr__(self) -> str:
        return self._card["text"]

    def _repr_html_(self) -> str:
        return self._card["html"]


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _engines_runner(path: Path) -> _Line:
    """The engine's thread; when its process is killed, this kernel's whole process group goes with it."""
    connection = _connected(path)

    def watch() -> None:
        poll = select.poll()
        poll.register(connection, 0)  # hanging up is reported unasked
        poll.poll()
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="watch", daemon=True).start()
    return _Line(connection)


def _own_runner() -> _Line:
    """Start a runner in a session of its own: whoever ends this kernel ends its whole process group."""
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    path = folder / "s"
    with (folder / "log").open("wb") as log:
        runner = subprocess.Popen(
            [sys.executable, "-m", "pantheon_runbook.runner", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and runner.poll() is None:
        try:
            return _Line(_connected(path), runner)
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)
    runner.kill()
    runner.wait()
    raise _stopped(
        "the runner did not start",
        why=f"its log tells: {folder / 'log'}",
        state="nothing was changed",
        next_step="pantheon-runbook doctor",
    )


def _stopped(what: str, *, why: str, state: str, next_step: str) -> RunStoppedError:
    lines = [f"Stopped: {what}.", f"Why:     {why}.", f"State:   {state}.", f"Next:    {next_step}."]
    return RunStoppedError({"lines": lines})
