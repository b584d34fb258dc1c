"""Notebooks under nbval: a throw-away, pinned sandbox for each, so that stored outputs can be compared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pantheon_runbook.sandbox import control, customer

PINNED_AT = "2026-11-23T10:00:00+00:00"
_PROVISION = ("run", "RB-010", "--apply")
BEFORE = {"RB-020": (_PROVISION,), "RB-060": (_PROVISION,)}
_worlds: dict[Path, tuple[control.Running, Path]] = {}


def surroundings_of_a_notebook(folder: Path, notebook: Path) -> tuple[control.Running, dict[str, str]]:
    """A fresh pinned world in the folder, and the environment that points the notebook at it and at nothing else.

    What went before in the story is done in it: RB-020 and RB-060 are shown on a staging that stands.
    """
    running = control.start(folder / "sandbox", pinned=PINNED_AT, pace=0.0, in_memory=True)
    variables = {
        "PANTHEON_SANDBOX": str(running.folder),
        "PANTHEON_CONFIG": str(customer.files(running) / "pantheon.toml"),
        "PANTHEON_PIN": PINNED_AT,
        "PANTHEON_OPERATOR": "supervisor",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    if notebook.stem.startswith("RB-020"):
        customer.give_read_roles(running)
    for command in BEFORE.get(notebook.stem[:6], ()):
        called = [sys.executable, "-m", "pantheon_runbook", *command]
        subprocess.run(called, check=True, capture_output=True, env={**os.environ, **variables}, cwd=folder)
    return running, variables


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before nbval starts the notebook's kernel: fixtures do not reach its cells, the environment does."""
    if item.path.suffix == ".ipynb" and item.path not in _worlds:
        folder = Path(tempfile.mkdtemp(prefix="pr-nb-"))
        running, variables = surroundings_of_a_notebook(folder, item.path)
        _worlds[item.path] = (running, folder)
        os.environ.update(variables)


def pytest_unconfigure() -> None:
    for running, folder in _worlds.values():
        running.discard()
        shutil.rmtree(folder, ignore_errors=True)
