from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attempts import Attempt, attempt, config_with
from vendors import Hands

from pantheon_runbook.sandbox import control

POLICY = "request_seconds = 1\nwait_seconds = 30"


@pytest.fixture(scope="session")
def roomy(tmp_path_factory) -> Path:
    """The prepared world with a vendor's limit that several runs in one minute do not reach."""
    prepared, roomy = control.prepared(), tmp_path_factory.mktemp("roomy")
    for entry in prepared.iterdir():
        (roomy / entry.name).symlink_to(entry)
    document = json.loads((prepared / "world.json").read_text())
    document["supabase"]["limits"]["requests_per_minute"] = 10_000
    (roomy / "world.json").unlink()
    (roomy / "world.json").write_text(json.dumps(document))
    return roomy


@pytest.fixture(autouse=True)
def _begin_roomy(roomy, monkeypatch) -> None:
    monkeypatch.setattr(control, "prepared", lambda **_: roomy)


@pytest.fixture
def hands(world) -> Iterator[Hands]:
    """Somebody else at the vendors."""
    hands = Hands(world.running)
    yield hands
    hands.close()


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
