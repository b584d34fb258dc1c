"""What `list` shows: the runbooks, and the last run of each by the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pantheon_runbook.evidence import ledger
from pantheon_runbook.runbooks import all_runbooks


def rows(evidence: Path) -> list[dict[str, Any]]:
    """One row per runbook: {"id", "title", "changes", "last_run"}; last_run is "<bundle>: <verdict>" or None."""
    last = {entry["runbook"]: f"{entry['bundle']}: {entry['verdict']}" for entry in ledger.entries(evidence)}
    return [
        {"id": one.id, "title": one.title, "changes": one.changes, "last_run": last.get(one.id)}
        for one in all_runbooks()
    ]
