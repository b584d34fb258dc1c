"""Notebooks side by side; the default IPC path of jupyter_client failed 20 of 24 (DESIGN 3)."""

from __future__ import annotations

import sys
from subprocess import PIPE, Popen

import pytest
from notebooks import IS_FULL_SWEEP, NOTEBOOK, verdicts

WIDTHS = (2, 4, 8) if IS_FULL_SWEEP else (2,)


@pytest.mark.sweep
@pytest.mark.parametrize("width", WIDTHS)
def test_notebooks_run_side_by_side(world, width):
    command = [sys.executable, "-m", "papermill", "--engine", "pantheon-runbook", str(NOTEBOOK)]
    running = [
        Popen([*command, f"{number}.ipynb"], cwd=world.folder, env=world.environment(), stdout=PIPE, stderr=PIPE)
        for number in range(width)
    ]
    for one in running:
        one.communicate(timeout=180)

    assert [0] * width == [one.returncode for one in running]
    assert [("planned", "all-run")] * width == [(one["word"], one["cells"]) for one in verdicts(world.evidence)]
    assert [] == list((world.evidence / ".running").iterdir())
    assert [] == world.mutating()
