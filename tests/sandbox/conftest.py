"""Machines of their own for tests that need real servers without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from known import PINNED, POOLER

from pantheon_runbook.sandbox import control, places
from pantheon_runbook.sandbox.machines import Machines

Scenario = Callable[[Machines], Awaitable[None]]


@pytest.fixture
def with_machines(tmp_path: Path) -> Iterator[Callable[[Scenario], None]]:
    """Run a scenario with servers that are gone afterwards."""

    @asynccontextmanager
    async def machines() -> AsyncIterator[Machines]:
        made = Machines(tmp_path, lambda _ref: POOLER, in_memory=True)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()

    def run(scenario: Scenario) -> None:
        async def whole() -> None:
            async with machines() as made:
                await scenario(made)

        asyncio.run(whole())

    yield run
    places.discard(tmp_path)


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[control.Running]:
    """One world for tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("shared") / "sandbox"
    running = control.start(folder, pace=0.0, pinned=PINNED, idle_seconds=600, in_memory=True)
    yield running
    running.discard()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[control.Running]:
    """A throw-away world with production in it; the vendors' own work takes no time."""
    running = control.start(tmp_path / "sandbox", pace=0.0, pinned=PINNED, idle_seconds=120, in_memory=True)
    yield running
    running.discard()
