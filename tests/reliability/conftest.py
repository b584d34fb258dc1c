from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attempts import Attempt, attempt, config_with
from tables import chosen

from pantheon_runbook.sandbox import control

HERE = Path(__file__).resolve().parent
TABLES = (
    "test_killed_run_is_finished",
    "test_write_that_fails",
    "test_read_that_fails",
    "test_swapped_identity",
    "test_killed_promotion_is_finished",
    "test_promotion_survives",
    "test_promotion_that_fails",
)
POLICY = "request_seconds = 1\nwait_seconds = 30"


def is_single(item) -> bool:
    return item.path.parent == HERE and not item.name.startswith(TABLES)


def pytest_collection_modifyitems(config, items) -> None:
    """Of the single cases marked `sweep` a sample runs; those of a table are chosen by the table."""
    single = sorted(item.nodeid for item in items if item.get_closest_marker("sweep") and is_single(item))
    if not single or any("::" in argument for argument in config.args):
        return
    left_out = set(single) - set(chosen(single, "single", size=min(4, len(single))))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


@pytest.fixture(scope="session")
def roomy(tmp_path_factory) -> Path:
    """The prepared world with limits of the vendors that many runs in one minute do not reach."""
    prepared, roomy = control.prepared(), tmp_path_factory.mktemp("roomy")
    for entry in prepared.iterdir():
        (roomy / entry.name).symlink_to(entry)
    document = json.loads((prepared / "world.json").read_text())
    document["supabase"]["limits"]["requests_per_minute"] = 10_000
    document["railway"]["limits"]["requests_per_hour"] = 1_000_000
    (roomy / "world.json").unlink()
    (roomy / "world.json").write_text(json.dumps(document))
    return roomy


@pytest.fixture(autouse=True)
def _begin_roomy(roomy, monkeypatch) -> None:
    monkeypatch.setattr(control, "prepared", lambda **_: roomy)


@pytest.fixture
def impatient(world, monkeypatch) -> None:
    """A config with short limits, so that a time-out costs a second."""
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, policy=POLICY)))


@pytest.fixture
def clean(world, impatient, hands) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a run without faults makes, and the requests that it sends."""
    assert Attempt("done") == attempt(world)
    log = world.running.log()
    return hands.census(), log
