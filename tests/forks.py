"""Daemons of throw-away sandboxes, forked from a process that has imported them already: half a second less for each.

python forks.py reads one JSON object {"arguments", "environment", "log"} per line and answers with the daemon's pid.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox import control, daemon


class Forks:
    """The process that forks; begun with the first daemon that is wanted."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def spawn(self, command: list[str], log: Path) -> int:
        """In the place of `control._spawn_detached`."""
        if self._server is None:
            own = [sys.executable, str(Path(__file__))]
            self._server = subprocess.Popen(own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        environment = {name: os.environ[name] for name in control.PASSED_ON if name in os.environ}
        wanted = {"arguments": command[4:], "environment": environment, "log": str(log)}
        self._server.stdin.write(json.dumps(wanted) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()


def _be_daemon(arguments: list[str], environment: dict[str, str], log: str) -> int:
    """In the forked process: what posix_spawn would have set up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, sink), (2, sink)):
        os.dup2(source, number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    return daemon.main()


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to collect them
    for line in sys.stdin:
        wanted: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_be_daemon(**wanted))
        print(pid, flush=True)


if __name__ == "__main__":
    main()
