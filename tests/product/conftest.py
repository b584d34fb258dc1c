"""One staging for all tests of RB-020: made, migrated and kept once, and loaded again when a test has changed it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from migrating_world import Staging, Touched, staging_in
from promoting_world import Production

from pantheon_runbook.model import Plan
from pantheon_runbook.verdict import Verdict


@dataclass(frozen=True)
class First:
    """The first migration, told by the logs: before the apply run, after it, and after the one that follows."""

    plan: Plan
    verdict: Verdict
    before: Touched
    after: Touched
    again: Verdict
    after_again: Touched
    calls: list[str]
    again_calls: list[str]
    again_statements: list[str]


@pytest.fixture(scope="session")
def _migrated(new_world: Any) -> Iterator[tuple[Staging, First]]:
    with staging_in(new_world) as staging:
        plan, before = staging.plan(), staging.touched()
        read = staging.world.folder / "plan.json"
        read.write_bytes(plan.to_bytes())
        verdict = staging.world.migrate(plan_file=str(read))
        after = staging.touched()
        calls = staging.calls_since(before)
        again = staging.world.migrate()
        first = First(
            plan,
            verdict,
            before,
            after,
            again,
            staging.touched(),
            calls,
            staging.calls_since(after),
            staging.statements_since(after),
        )
        # As its own release would: a production that is behind is rehearsed beside staging, which costs seconds.
        staging.checkout.bare(staging.url_of_production, "upgrade", "head")
        staging.keep("migrated")
        yield staging, first


@pytest.fixture
def first(_migrated: tuple[Staging, First]) -> First:
    return _migrated[1]


@pytest.fixture
def staging(_migrated: tuple[Staging, First], monkeypatch: pytest.MonkeyPatch) -> Staging:
    """Everything is applied and deployed; the clone's tree is the one that was."""
    _migrated[0].world.enter(monkeypatch)
    _migrated[0].back_to("migrated")
    return _migrated[0]


@pytest.fixture
def unmigrated(_migrated: tuple[Staging, First], monkeypatch: pytest.MonkeyPatch) -> Staging:
    """As RB-010 leaves it."""
    _migrated[0].world.enter(monkeypatch)
    _migrated[0].back_to("provisioned")
    return _migrated[0]


@pytest.fixture
def production(_proven: Production, monkeypatch: pytest.MonkeyPatch) -> Production:
    """A staging that is proven, and a production that is behind it."""
    _proven.world.enter(monkeypatch)
    _proven.back_to("proven")
    return _proven
