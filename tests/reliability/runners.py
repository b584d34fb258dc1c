"""Runners as processes of their own, started, watched and killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DRIVER = Path(__file__).parents[1] / "driver.py"


def begin(world: Any, *points: Sequence[str], cwd: Path | None = None, **environment: str) -> Any:
    """A runner of RB-010 on its way; `environment` adds to that of the world."""
    return subprocess.Popen(
        [sys.executable, str(DRIVER), json.dumps({"runbook": "RB-010", "points": points})],
        cwd=cwd or world.folder,
        env=world.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: Any) -> tuple[int, Any, str]:
    """(exit code, what it said, stderr); one that was killed elsewhere than at one of its points said nothing."""
    printed, trouble = process.communicate(timeout=120)
    return process.returncode, json.loads(printed) if printed else {}, trouble


def until(is_so: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
