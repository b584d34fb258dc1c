"""What a hotfix owes, and until when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.promotion.hotfixes import Hotfix, hotfix_findings

MADE = Hotfix("bundle-of-it", "bundle-of-the-plan", "2026-11-24T10:00:00Z", "sign-in is down for everybody", ("ana",))
OTHERS = {"evidence": "evidence", "staging": "staging"}


def told(one: Hotfix, at: str) -> list[tuple[bool, str, str]]:
    return [(x.blocks, x.what, x.next_step) for x in hotfix_findings([one], now=moment_of(at), **OTHERS)]


def test_it_owes_a_second_signature_and_its_proof():
    ((blocks, what, step),) = told(MADE, "2026-11-24T11:00:00Z")

    assert not blocks
    assert "owes the signature of a second person and its proof on staging, until 2026-11-26T10:00:00Z" in what
    assert "sign-in is down for everybody" in what
    assert "approve evidence/bundle-of-the-plan/plan.json" in step
    assert "run RB-020 -e staging --apply" in step


@pytest.mark.parametrize(
    ("at", "blocks"),
    [("2026-11-26T09:59:59Z", False), ("2026-11-26T10:00:00Z", True), ("2026-12-24T10:00:00Z", True)],
)
def test_after_48_hours_it_blocks(at, blocks):
    assert [blocks] == [one[0] for one in told(MADE, at)]


def test_one_thing_is_left():
    signed = replace(MADE, signers=("ana", "ben"))
    proven = replace(MADE, is_proven=True)

    assert "owes its proof on staging," in told(signed, "2026-11-24T11:00:00Z")[0][1]
    assert "owes the signature of a second person," in told(proven, "2026-11-24T11:00:00Z")[0][1]


def test_made_up_for_says_nothing():
    assert [] == told(replace(MADE, signers=("ana", "ben"), is_proven=True), "2027-01-01T00:00:00Z")
