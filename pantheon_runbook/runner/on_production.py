"""Which run has changed production last: whoever promotes or goes on has to know of a way back that was begun."""

from __future__ import annotations

from pathlib import Path

from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns

_CHANGE_IT = frozenset({"RB-030", "RB-040"})


def way_back(sealed: SealedRuns, evidence: Path) -> SealedRun | None:
    """The run of RB-040 that has changed production last, by the sealed journals; None when a promotion has."""
    for run in reversed(sealed.runs):
        if run.runbook in _CHANGE_IT and run.mode == "apply" and _has_begun(evidence / run.bundle):
            return run if run.runbook == "RB-040" else None
    return None


def _has_begun(bundle: Path) -> bool:
    return any(one["event"] == "change-begins" for one in journal.read(bundle / "journal.jsonl"))
