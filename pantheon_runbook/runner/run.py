"""The notebook's side: `Run` asks the runner for one act at a time and shows the card it gets. It holds no secret."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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


class Run:
    """One run of one runbook. `Run.open` in the first cell, then one act per cell."""

    def __init__(self, connection: socket.socket, card: dict[str, str]) -> None:
        self._connection = connection
        self._reader = connection.makefile("r", encoding="utf-8")
        self._card = card

    @classmethod
    def open(cls, runbook: str, **parameters: Any) -> Run:
        """Begin; with the engine's socket when there is one, else with a runner of its own."""
        path = os.environ.get(SOCKET_VARIABLE)
        connection = _connected(Path(path)) if path else _own_runner()
        run = cls(connection, {"text": "", "html": ""})
        run._card = run._ask("open", runbook=runbook, parameters=parameters)
        return run

    def observe(self) -> Shown:
        """Look at everything the runbook is about; reads only."""
        return Shown(self._ask("observe"))

    def plan(self) -> Shown:
        """What would be changed, from what was observed."""
        return Shown(self._ask("plan"))

    def approve(self) -> Shown:
        """Approve the plan's digest, or say what is missing for it."""
        return Shown(self._ask("approve"))

    def apply(self) -> Shown:
        """Observe again, refuse when the ground has moved, else carry out the plan."""
        return Shown(self._ask("apply"))

    def verify(self) -> Shown:
        """Ask the world whether it is as desired."""
        return Shown(self._ask("verify"))

    def evidence(self) -> Shown:
        """Where the sealed bundle will be once the notebook has ended."""
        return Shown(self._ask("evidence"))

    def __repr__(self) -> str:
        return self._card["text"]

    def _repr_html_(self) -> str:
        return self._card["html"]

    def _ask(self, act: str, **arguments: Any) -> dict[str, str]:
        self._connection.sendall(json.dumps({"act": act, **arguments}).encode() + b"\n")
        line = self._reader.readline()
        if not line:
            raise RunStoppedError(
                {
                    "lines": [
                        "Stopped: the runner has gone.",
                        "Why:     it was killed, or this run has ended.",
                        "State:   unknown: its journal tells (evidence/.running).",
                        "Next:    restart the kernel and run from the top; the dead run is sealed as abandoned.",
                    ]
                }
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RunStoppedError(answer["error"])
        card: dict[str, str] = answer["card"]
        return card


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def _own_runner() -> socket.socket:
    """Start a runner in a session of its own: whoever ends this kernel ends its whole process group."""
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    path = folder / "s"
    log = (folder / "log").open("wb")
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
            return _connected(path)
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)
    raise RuntimeError(f"the runner did not start; its log is {folder / 'log'}")
