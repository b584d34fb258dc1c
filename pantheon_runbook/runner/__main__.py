"""`python -m pantheon_runbook.runner SOCKET`: the runner as a process of its own, for whoever runs the notebook elsewhere.

It seals at the end of its one connection, that is, when the kernel has gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from pantheon_runbook.runner.serve import Host
from pantheon_runbook.runner.wiring import open_run
from pantheon_runbook.verdict import NotebookStatus

_NOBODY_CAME_SECONDS = 60


def main() -> int:
    path = Path(sys.argv[1])
    previous = os.umask(0o177)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.umask(previous)
    listener.listen(1)
    listener.settimeout(_NOBODY_CAME_SECONDS)
    # Ctrl-C in a terminal reaches the kernel's group, not this one; a stop by hand finishes the act, then seals.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    host = Host(open_run)
    host.serve(listener)
    host.finish(NotebookStatus("not-observed", "another program ran the cells"))
    path.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
