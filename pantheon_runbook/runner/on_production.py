"""The last roll back of production, by the sealed runs: whoever promotes, or goes on, has to know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns

_PROMOTES, _ROLLS_BACK = "RB-030", "RB-040"


def roll_back_since(sealed: SealedRuns, evidence: Path) -> SealedRun | None:
    """The run of RB-040 that has changed production last; None when a promotion has, or nothing."""
    for run in reversed(sealed.runs):
        if _is_on_production(run) and _has_begun(_events(run, evidence)):
            return run if run.runbook == _ROLLS_BACK else None
    return None


def broken_off_roll_back(sealed: SealedRuns, evidence: Path) -> SealedRun | None:
    """One that came to no good end, and that neither another one nor a promotion has come after.

    One of a single vendor (`only`) ends nothing but itself.
    """
    for run in reversed(sealed.runs):
        if not _is_on_production(run):
            continue
        events = _events(run, evidence)
        if run.runbook == _ROLLS_BACK and run.came_to_good_end:
            if not events[0]["parameters"].get("only"):
                return None
        elif _has_begun(events):
            return run if run.runbook == _ROLLS_BACK else None
    return None


def _is_on_production(run: SealedRun) -> bool:
    return run.runbook in {_PROMOTES, _ROLLS_BACK} and run.mode == "apply"


def _events(run: SealedRun, evidence: Path) -> list[dict[str, Any]]:
    return journal.read(evidence / run.bundle / "journal.jsonl")


def _has_begun(events: list[dict[str, Any]]) -> bool:
    return any(one["event"] == "change-begins" for one in events)
