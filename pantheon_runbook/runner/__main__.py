"""`python -m pantheon_runbook.runner SOCKET`: the runner as a process of its own, for notebooks run by others.

It seals at the end of its one connection, that is, when the kernel has gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from pantheon_runbook.config import CONFIG_VARIABLE, DEFAULT_CONFIG
from pantheon_runbook.credentials import FILE_VARIABLE, tokens_in
from pantheon_runbook.runner.processes import forbid_dumps
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.runner.surroundings import SANDBOX_VARIABLE
from pantheon_runbook.runner.wiring import open_run
from pantheon_runbook.verdict import NotebookStatus

_NOBODY_CAME_SECONDS = 60
_MARKS_OF_A_WORKPLACE = (DEFAULT_CONFIG, ".pantheon", ".git")


def main() -> int:
    forbid_dumps()
    path = Path(sys.argv[1])
    _settle_in()
    host = Host(lambda runbook, given: open_run(runbook, given, warnings=_warnings()))

    def stop(number: int, _frame: object) -> None:
        host.stop(f"{signal.Signals(number).name} was received")
        host.hang_up()

    # Ctrl-C in a terminal reaches the kernel's group, not this one; a stop by hand finishes the act, then seals.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    host.serve(_listener(path))
    host.finish(NotebookStatus("not-observed", "another program ran the cells"))
    _tidy(path)
    return 0


def _settle_in() -> None:
    """JupyterLab's kernels stand in their notebook's folder; the work belongs to the one above that holds it all."""
    for name in (CONFIG_VARIABLE, FILE_VARIABLE, SANDBOX_VARIABLE):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).absolute())
    here = Path.cwd()
    above = (folder for folder in (here, *here.parents) if any((folder / m).exists() for m in _MARKS_OF_A_WORKPLACE))
    os.chdir(next(above, here))


def _listener(path: Path) -> socket.socket:
    previous = os.umask(0o177)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.umask(previous)
    listener.listen(1)
    listener.settimeout(_NOBODY_CAME_SECONDS)
    return listener


def _tidy(path: Path) -> None:
    """Nothing is left of a folder that was made for this run, unless its log says something."""
    path.unlink(missing_ok=True)
    log = path.with_name("log")
    if log.exists() and log.stat().st_size == 0:
        log.unlink()
        path.parent.rmdir()


def _warnings() -> tuple[str, ...]:
    """The kernel started this process: what is in its environment is in the kernel's."""
    tokens = tokens_in(os.environ)
    if not tokens:
        return ()
    return (f"! this kernel was started with {', '.join(tokens)} in its environment: any cell can read them",)


if __name__ == "__main__":
    sys.exit(main())
