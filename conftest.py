"""Notebooks under nbval: a throw-away, pinned sandbox for each, so that stored outputs can be compared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pantheon_runbook.sandbox import control, customer

PINNED_AT = "2026-11-23T10:00:00+00:00"
# Databases keep their own time, and what was deployed after a migration has to be later than that.
AFTER_ANY_MIGRATION = "2036-11-24T10:00:00+00:00"
BEFORE = {
    "RB-020": ("RB-010",),
    "RB-030": ("RB-010", "RB-020"),
    "RB-040": ("RB-010", "RB-020"),
    "RB-060": ("RB-010",),
}
# Runs of one process, without their notebooks: (runbook, parameters) of each, after the pin.
_RUNS = """
import json, sys
from driver import main
from pantheon_runbook import clock
pin, *runs = json.loads(sys.argv[1])
clock.pin(pin)
for runbook, parameters in runs:
    said = main(runbook, (), parameters)[1]
    assert said.get("word") in {"done", "planned"}, said
"""
_ON_PRODUCTION = frozenset({"RB-030", "RB-040"})
_worlds: dict[Path, tuple[control.Running, Path, pytest.MonkeyPatch]] = {}


def surroundings_of_a_notebook(folder: Path, notebook: Path) -> tuple[control.Running, dict[str, str]]:
    """A fresh pinned world in the folder, and the environment that points the notebook at it and at nothing else.

    What went before in the story is done in it: RB-020 and RB-060 are shown on a staging that stands, RB-030 on one
    that is proven, beside a production that has been promoted to before, and RB-040 after the promotion.
    """
    name = notebook.stem[:6]
    pinned = AFTER_ANY_MIGRATION if name in _ON_PRODUCTION else PINNED_AT
    running = control.start(folder / "sandbox", pinned=pinned, pace=0.0, in_memory=True)
    variables = {
        "PANTHEON_SANDBOX": str(running.folder),
        "PANTHEON_CONFIG": str(customer.files(running) / "pantheon.toml"),
        "PANTHEON_PIN": pinned,
        "PANTHEON_OPERATOR": "supervisor",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    if name in {"RB-020", *_ON_PRODUCTION}:
        customer.give_read_roles(running)
    if name in _ON_PRODUCTION:
        customer.make_promotable(running)
        customer.hold_ledger(running, at="0008")
    _have_run(folder, variables, *((runbook, {}) for runbook in BEFORE.get(name, ())))
    if name == "RB-040":
        _promoted(folder, variables)
    return running, variables


def _called(folder: Path, variables: dict[str, str], *command: str) -> None:
    """With the world's clock also where a command asks no world for it."""
    script = "import sys; from pantheon_runbook import cli, clock; clock.pin(sys.argv.pop(1)); cli.main()"
    called = [sys.executable, "-c", script, variables["PANTHEON_PIN"], *command]
    subprocess.run(called, check=True, capture_output=True, env={**os.environ, **variables}, cwd=folder)


def _have_run(folder: Path, variables: dict[str, str], *runs: tuple[str, dict[str, str]]) -> None:
    given = json.dumps([variables["PANTHEON_PIN"], *runs])
    environment = {**os.environ, **variables, "PYTHONPATH": str(Path(__file__).parent / "tests")}
    subprocess.run([sys.executable, "-c", _RUNS, given], check=True, capture_output=True, env=environment, cwd=folder)


def _promoted(folder: Path, variables: dict[str, str]) -> None:
    """As two people do it; each run at a time of its own, for two of one moment would be one."""
    evidence, on = customer_folder(variables) / "evidence", {"environment": "production"}
    _have_run(folder, variables, ("RB-030", {**on, "mode": "plan"}))
    (plan,) = evidence.glob("*-RB-030-*/plan.json")
    digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    _called(folder, variables, "keys", "new", "second-person", "--role", "approve")
    signed = ("--key", "second-person", "--reason", "read", "--code", f"{digest[:4]}-{digest[4:8]}")
    _called(folder, variables, "approve", str(plan), *signed)
    variables["PANTHEON_PIN"] = variables["PANTHEON_PIN"].replace("T10:", "T11:")
    _have_run(folder, variables, ("RB-030", {**on, "plan_file": str(plan)}))
    variables["PANTHEON_PIN"] = variables["PANTHEON_PIN"].replace("T11:", "T12:")


def customer_folder(variables: dict[str, str]) -> Path:
    return Path(variables["PANTHEON_CONFIG"]).parent


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "nbval_sanitize_with", "") is None:
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "unpinned.cfg")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The cells of a notebook are for one worker."""
    for item in items:
        if _is_cell(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before nbval starts the notebook's kernel: fixtures do not reach its cells, the environment does."""
    if _is_cell(item) and item.path not in _worlds:
        folder = Path(tempfile.mkdtemp(prefix="pr-nb-"))
        running, variables = surroundings_of_a_notebook(folder, item.path)
        patch = pytest.MonkeyPatch()
        for name, value in variables.items():
            patch.setenv(name, value)
        _worlds[item.path] = (running, folder, patch)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if _is_cell(item) and (nextitem is None or nextitem.path != item.path):
        running, folder, patch = _worlds.pop(item.path)
        patch.undo()
        running.discard()
        shutil.rmtree(folder, ignore_errors=True)


def _is_cell(item: pytest.Item) -> bool:
    return item.path.suffix == ".ipynb"
