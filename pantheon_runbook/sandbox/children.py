"""Real child processes that never outlive the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.places import write_atomically
from pantheon_runbook.servers.parent import IS_LINUX, die_with_parent

# Where modules are found goes by argument: a deployed process's environment holds its service's variables only.
LIKE_DASH_M = "import json, runpy, sys; sys.path += json.loads(sys.argv.pop(1)); module = sys.argv.pop(1); \
runpy.run_module(module, run_name='__main__', alter_sys=True)"

KILLED_SECONDS = 5.0  # nothing outlives SIGKILL for long


@dataclass
class Child:
    """One running process in a process group of its own."""

    name: str
    process: subprocess.Popen[bytes]
    record: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    async def end(self, *, with_signal: signal.Signals = signal.SIGTERM, grace_seconds: float = 5.0) -> int:
        """Ask the process to end, insist with SIGKILL on its group after the grace time; gives its exit code."""
        if self.is_running:
            self.process.send_signal(with_signal)
            if not await self._ended_within(grace_seconds):
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
        self.record.unlink(missing_ok=True)
        return await self._exit_code()

    async def _exit_code(self) -> int:
        """Of a process that has ended, or has been killed and takes a moment."""
        await self._ended_within(KILLED_SECONDS)
        return self.process.wait(timeout=0)

    async def _ended_within(self, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        pause = 0.002
        while self.is_running:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        return True


class Children:
    """Starts processes from the daemon's main thread and writes down which ones run.

    Linux ends them with the daemon (parent-death signal, which follows the *thread* that spawned: hence the
    main thread). Elsewhere a reaper process waits for the daemon's end; on both, the records let the next
    daemon on this folder end what is left.
    """

    def __init__(self, folder: Path, *, with_reaper: bool = not IS_LINUX) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True, mode=0o700)
        reap(folder)
        self._reaper = _start_reaper(folder) if with_reaper else None

    def spawn(
        self,
        name: str,
        command: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
        options: Mapping[str, Any] | None = None,
    ) -> Child:
        """Start a process; its output is appended to a file. Raises SandboxError when it cannot be started."""
        if threading.current_thread() is not threading.main_thread():
            raise SandboxError(f"{name}: servers are started from the main thread only")
        with output.open("ab") as sink:
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=None if environment is None else dict(environment),
                    process_group=0,
                    preexec_fn=die_with_parent(death_signal) if IS_LINUX else None,  # noqa: PLW1509  prctl, getppid
                    **(options or {}),
                )
            except OSError as error:
                raise SandboxError(f"{name}: {command[0]} could not be started: {error}") from error
        record = self._folder / f"{name}.json"
        note = {"pid": process.pid, "began": began(process.pid), "signal": int(death_signal)}
        write_atomically(record, json.dumps(note))
        return Child(name, process, record)

    def close(self) -> None:
        """Let the reaper go; every child has been ended before."""
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            self._reaper.wait(timeout=10)


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter and this process's import path."""
    return [sys.executable, "-u", "-P", "-c", LIKE_DASH_M, json.dumps(sys.path), module, *arguments]


def _start_reaper(folder: Path) -> subprocess.Popen[bytes]:
    command = python_module("pantheon_runbook.sandbox.children", str(folder))
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def began(pid: int) -> str | None:
    """When a process began, in the system's own words; None when there is no such process (a zombie is none)."""
    if IS_LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, start_ticks = fields[0], fields[19]
        return None if state in "ZX" else start_ticks
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def reap(folder: Path) -> list[int]:
    """End the processes that are written down in this folder and still the same; gives their pids."""
    ended = []
    for record in sorted(folder.glob("*.json")):
        note = json.loads(record.read_text())
        if note["began"] is not None and began(note["pid"]) == note["began"]:
            with suppress(ProcessLookupError):
                os.kill(note["pid"], note["signal"])
                ended.append(note["pid"])
        record.unlink(missing_ok=True)
    return ended


def reap_and_wait(folder: Path, seconds: float) -> bool:
    """End what is written down in this folder and wait for it; False when something does not end in time."""
    notes = [json.loads(record.read_text()) for record in sorted(folder.glob("*.json"))]
    reap(folder)
    deadline = time.monotonic() + seconds
    while any(note["began"] is not None and began(note["pid"]) == note["began"] for note in notes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


if __name__ == "__main__":
    sys.stdin.read()  # returns when the daemon has ended, whatever ended it
    reap(Path(sys.argv[1]))
