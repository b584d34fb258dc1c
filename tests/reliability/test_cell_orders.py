"""Cells of every runbook alone and in any order: production is never written, by the cloud's and the database's log."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tables import chosen

from pantheon_runbook.comparing import ComparingSession
from pantheon_runbook.runbooks import all_runbooks
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.runner.wiring import open_run
from pantheon_runbook.sandbox import control
from pantheon_runbook.session import ACTS
from pantheon_runbook.verdict import NotebookStatus

CELLS = ("open", "observe", "plan", "approve", "apply", "compare", "verify", "evidence")
ALONE = [(book.id, mode, (cell,)) for book in all_runbooks() for mode in ("plan", "apply") for cell in CELLS]
pytestmark = pytest.mark.xdist_group("cell-orders")


def orders() -> list[tuple[str, str, tuple[str, ...]]]:
    """500 of them: half are any cells, half a runbook's own order with some cells twice and some put anywhere."""
    dice = random.Random(f"orders {os.environ.get('PANTHEON_SEED', '1')}")
    made = []
    for _ in range(500):
        book, mode = dice.choice(all_runbooks()), dice.choice(("plan", "apply"))
        cells = dice.choices(CELLS, k=dice.randint(2, 12))
        if dice.random() < 0.5:
            own = ["open", *(ACTS if "mode" in book.parameters else ComparingSession.acts)]
            for cell in cells[:4]:
                own.insert(dice.randint(1, len(own)), cell)
            cells = own
        made.append((book.id, mode, tuple(cells)))
    return made


@pytest.fixture(scope="module")
def provisioned(new_world, roomy) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "prepared", lambda **_: roomy)  # before the world begins, which is before each test
        yield from _provisioned(new_world, patch)


def _provisioned(new_world: Any, patch: pytest.MonkeyPatch) -> Iterator[Any]:
    with new_world() as world:
        world.enter(patch)
        world.provision()
        yield world


def run_cells(runbook: str, mode: str, cells: tuple[str, ...]) -> str:
    """What the run came to; a bug of ours comes out as "failed"."""
    parameters = {"mode": mode} if "mode" in next(one for one in all_runbooks() if one.id == runbook).parameters else {}
    host = Host(open_run)
    for number, cell in enumerate(cells):
        host.answer({"id": number, "act": cell, "runbook": runbook, "parameters": parameters})
    sealed = host.finish(NotebookStatus("not-observed"))
    return sealed[1].word if sealed else "no-run"


def test_no_order_of_cells_writes_to_production(provisioned):
    production = provisioned.facts["supabase"]["ref"]
    requests, statements = len(provisioned.running.log()), len(provisioned.running.statements(production))
    words: Counter[str] = Counter()

    for runbook, mode, cells in (*chosen(ALONE, "alone", size=8), *chosen(orders(), "orders", size=6)):
        words[run_cells(runbook, mode, cells)] += 1

    written = [one for one in provisioned.running.log(after=requests) if one["mutating"]]
    print(f"\n{words.total()} notebooks: {dict(words)}; writes by the logs: {len(written)}")
    assert [] == [one for one in written if one["environment"] == "production"]
    assert [] == provisioned.running.statements(production)[statements:]
    assert 0 == words["failed"]
