"""Processes: what a kernel started ends with it, and what this one holds nobody else reads."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """From now on no process of the same user can read this one's memory or environment; Linux only, else nothing.

    A process that may trace everything (root with its capabilities) still can.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")


def end_group(pid: int) -> None:
    """Kill the process and its children; a kernel leads a process group of its own."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # all of it has ended; macOS says "permission" of a group of zombies


def end_marked(name: str, value: str) -> None:
    """Kill whatever was started with this environment variable, also what has left its process group.

    Linux only, where /proc tells; a process that cleared its environment is not found.
    """
    marker = f"{name}={value}".encode()
    while found := [pid for pid in _processes() if marker in _environment(pid)]:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended meanwhile, which is what was wanted


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) != os.getpid()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is somebody else's
