"""Runners as processes of their own, started, watched and killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).with_name("driver.py")


def begin(world: Any, point: Mapping[str, str] | None = None, *, cwd: Path | None = None, **environment: str) -> Any:
    """A runner on its way; `environment` adds to that of the world."""
    return subprocess.Popen(
        [sys.executable, str(DRIVER), json.dumps(point or {})],
        cwd=cwd or world.folder,
        env=world.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: Any) -> tuple[int, dict[str, Any], str]:
    """(exit code, what it printed, stderr); a runner that was killed printed nothing."""
    printed, trouble = process.communicate(timeout=120)
    return process.returncode, json.loads(printed) if printed else {}, trouble


def until(is_so: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
