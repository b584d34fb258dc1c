from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from railway_place import Place, provisioned
from stub import Stub

from pantheon_runbook import clock
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.secrets import Secret


@pytest.fixture
def stub(tmp_path_factory) -> Iterator[Stub]:
    stub = Stub(tmp_path_factory.mktemp("s") / "s")
    yield stub
    stub.end()


@pytest.fixture
def journal() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def gate(journal) -> WriteGate:
    """Open, and forbidding one id."""
    gate = WriteGate({"production-id": "production's project"})
    gate.before = lambda event: journal.append(("intent", event))
    gate.after = lambda event: journal.append(("result", event))
    gate.is_open = True
    return gate


@pytest.fixture
def client(stub, gate) -> Iterator[Client]:
    made = Client(
        "vercel",
        "https://api.vercel.com",
        reach=Reach(stub.path),
        gate=gate,
        headers={"Authorization": Secret("Bearer a-token-of-ours")},
        timeout_seconds=5,
    )
    yield made
    made.close()


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Seconds that would have been slept; nobody waits for them."""
    slept: list[float] = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    return slept


@pytest.fixture(scope="package")
def place(new_world) -> Iterator[Place]:
    """One world for all that look at Railway: what changes staging and what changes production keep apart."""
    with provisioned(new_world) as place:
        yield place
