"""A hotfix on real parts: around staging by one signature, expand only, and red until it is made up for."""

from __future__ import annotations

from typing import Any

import pytest

from pantheon_runbook import approving
from pantheon_runbook.errors import ParameterError
from pantheon_runbook.runner import hotfixes
from pantheon_runbook.runner.surroundings import world

pytestmark = [pytest.mark.xdist_group("promoting"), pytest.mark.rare]
WHY = "sign-in is down for everybody"


def owed() -> list[str]:
    return [one.partition(" owes ")[2] for one in hotfixes.warnings(world())]


def test_hotfix_is_made_up_for(production: Any) -> None:
    """Its second signature comes after the fact, and its proof when staging has caught up."""
    (contract,) = production.checkout.folder.rglob("0011*.py")
    text, head = contract.read_text(), production.world.facts["railway"]["commits"]["head"]
    contract.unlink()
    production.checkout.commit()
    path = production.approved(hotfix=WHY, commit=head)

    verdict, stopped, _ = production.promote(path, hotfix=WHY, commit=head)
    states = [owed()]
    production.approved(path, key="third-person")
    states.append(owed())
    contract.write_text(text)
    production.checkout.commit()
    production.world.migrate()
    states.append(owed())
    approving.withdraw(path, key="third-person", reason="it was not what I read")
    states.append(owed())

    assert ("done", None) == (verdict.word, stopped)
    assert ["0010"] == production.state()["heads"]
    assert ["the signature of a second person and its proof on staging"] == [one.partition(",")[0] for one in states[0]]
    assert ["its proof on staging"] == [one.partition(",")[0] for one in states[1]]
    assert [] == states[2]
    assert ["the signature of a second person"] == [one.partition(",")[0] for one in states[3]]


def test_hotfix_takes_nothing_away(production: Any) -> None:
    found = production.findings(hotfix=WHY)

    assert found["hotfix-contracts"].blocks
    assert "0011" in found["hotfix-contracts"].what
    assert WHY in found["hotfix"].what


def test_what_staging_has_not_proven_does_not_block_one(production: Any) -> None:
    other = production.world.facts["railway"]["commits"]["released"]
    found = production.findings(hotfix=WHY, commit=other)

    assert not found["commit-not-on-staging"].blocks
    assert not found["artefact-not-proven"].blocks


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"commit": "a" * 40}, "what staging has proven is what is promoted"),
        ({"hotfix": "now"}, "3 characters"),
        ({"hotfix": WHY, "commit": "main"}, "40 hexadecimal characters"),
    ],
)
def test_hotfix_that_is_not_said_whole_is_refused(production: Any, given: dict[str, str], why: str) -> None:
    mark = production.touched()
    with pytest.raises(ParameterError) as refused:
        production.open("plan", **given)

    assert why in refused.value.why
    assert mark == production.touched()
