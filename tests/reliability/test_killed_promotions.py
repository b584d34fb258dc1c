"""RB-030 broken off anywhere and resumed: production ends where the approved plan says, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from promoting_world import Production, production_in
from promotions import SMOKE, Approved, Point, killed
from tables import GREEN, chosen

from pantheon_runbook.sandbox import control

pytestmark = [pytest.mark.xdist_group("killed promotions"), pytest.mark.sweep]
WRITES = (("before", "write-intent"), ("after", "write-intent"), ("before", "write-result"), ("after", "write-result"))
READS = (("before", "change-begins"), ("after", "change-begins"), ("before", "change-ends"), ("after", "change-ends"))


@pytest.fixture(scope="module")
def _approved(new_world: Callable[[], Any], roomy: Any) -> Iterator[Approved]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "prepared", lambda **_: roomy)
        with production_in(new_world) as production:
            yield Approved.made_in(production)


@pytest.fixture
def approved(_approved: Approved, monkeypatch: pytest.MonkeyPatch) -> Approved:
    _approved.production.world.enter(monkeypatch)
    _approved.anew()
    return _approved


def points(approved: Approved) -> list[Point]:
    """Four of each change: around its write, or around itself where it only reads."""
    return [Point(*line, address) for address in approved.changes for line in (READS if address == SMOKE else WRITES)]


def resumed(production: Production, bundle: str, **parameters: Any) -> list[str]:
    """What is wrong with going on. Nobody remembers which baseline was stated."""
    verdict, stopped, _ = production.promote(resume=bundle, baseline="", **parameters)
    return [] if verdict.word in GREEN else [f"the resumed run: {verdict.word}, {stopped}"]


def row(what: object, wrong: list[str]) -> str:
    """Printed at once: these tables take their time."""
    told = f"{what!s:66} {'WRONG: ' if wrong else 'finished'}{'; '.join(wrong)}"
    print(told, flush=True)
    return told


def test_killed_promotion_is_finished_by_resuming(approved: Approved) -> None:
    rows = []
    for point in chosen(points(approved), "killed promotions", size=3):
        production = approved.anew()
        bundle, at = killed(production, point, **approved.named)
        wrong = [] if at == point else [f"killed at {at}"]
        rows.append(row(point, [*wrong, *resumed(production, bundle), *approved.wrong()]))
    assert [] == [one for one in rows if "WRONG" in one]
