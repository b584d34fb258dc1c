"""Children that do not outlive the thread that started them, where the system can do that."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

IS_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """For Popen's preexec_fn on Linux: the child gets this signal when the thread that spawned it ends."""
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def hook() -> None:
        library.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent ended between fork and prctl: nobody will send the signal
            os._exit(1)

    return hook
