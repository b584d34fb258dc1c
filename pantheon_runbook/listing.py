"""What `list` shows: the runbooks, and the last run of each by the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pantheon_runbook.evidence import bundle, journal, ledger
from pantheon_runbook.evidence.verify import RUNNING
from pantheon_runbook.runbooks import all_runbooks


def rows(evidence: Path) -> list[dict[str, Any]]:
    """One row per runbook: {"id", "title", "changes", "last_run", "unsealed", "next"}.

    last_run is "<bundle>: <verdict>" or None; unsealed are the runs that are at work now, or were killed; next is what
    to type after each that was killed, as its report will say it.
    """
    last = {entry["runbook"]: f"{entry['bundle']}: {entry['verdict']}" for entry in ledger.entries(evidence)}
    open_ones = bundle.unsealed(evidence)
    killed = [name for name, state in open_ones.items() if state == bundle.KILLED]
    return [
        {
            "id": one.id,
            "title": one.title,
            "changes": one.changes,
            "last_run": last.get(one.id),
            "unsealed": [f"{name}: {state}" for name, state in open_ones.items() if f"-{one.id}-" in name],
            "next": [step for name in killed if f"-{one.id}-" in name for step in _next(evidence / RUNNING / name)],
        }
        for one in all_runbooks()
    ]


def _next(folder: Path) -> Iterator[str]:
    """Nothing of a run that was killed before its first line: it has begun nothing."""
    path = folder / "journal.jsonl"
    events = journal.read(path) if path.is_file() else []
    if events:
        yield journal.told(events, why="it was killed")["next"]
