"""Notebooks under nbval: a throw-away, pinned sandbox for each, so that stored outputs can be compared."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from pantheon_runbook.sandbox import control, customer

PINNED_AT = "2026-11-23T10:00:00+00:00"
_worlds: dict[Path, tuple[control.Running, Path]] = {}


def surroundings_of_a_notebook(folder: Path) -> tuple[control.Running, dict[str, str]]:
    """A fresh pinned world in the folder, and the environment that points a notebook at it and at nothing else."""
    running = control.start(folder / "sandbox", pinned=PINNED_AT, pace=0.0, in_memory=True)
    return running, {
        "PANTHEON_SANDBOX": str(running.folder),
        "PANTHEON_CONFIG": str(customer.files(running) / "pantheon.toml"),
        "PANTHEON_PIN": PINNED_AT,
        "PANTHEON_OPERATOR": "supervisor",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before nbval starts the notebook's kernel: fixtures do not reach its cells, the environment does."""
    if item.path.suffix == ".ipynb" and item.path not in _worlds:
        folder = Path(tempfile.mkdtemp(prefix="pr-nb-"))
        running, variables = surroundings_of_a_notebook(folder)
        _worlds[item.path] = (running, folder)
        os.environ.update(variables)


def pytest_unconfigure() -> None:
    for running, folder in _worlds.values():
        running.discard()
        shutil.rmtree(folder, ignore_errors=True)
