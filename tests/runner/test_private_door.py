"""A runner acts for whoever can reach its socket."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.xdist_group("runner-quiet"), pytest.mark.usefixtures("quiet_world")]


def test_runners_socket_is_its_users_alone():
    """Wherever it is, and whatever umask the runner was started with."""
    with tempfile.TemporaryDirectory(prefix="pr-t-") as folder:
        path = Path(folder) / "s"
        command = [sys.executable, "-m", "pantheon_runbook.runner", str(path)]
        with subprocess.Popen(command, umask=0) as runner:
            deadline = time.monotonic() + 30
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            mode = stat.S_IMODE(path.stat().st_mode)
            runner.kill()

    assert 0o600 == mode
