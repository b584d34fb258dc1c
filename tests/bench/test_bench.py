"""That `make bench` finds its parts, whatever else is called conftest; its figures are for people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_bench_finds_the_world_that_it_measures_in():
    done = subprocess.run(
        [sys.executable, "-c", "import bench; print(bench.promotions.conftest._new_world.__module__)"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "conftest\n") == (done.returncode, done.stdout), done.stderr
