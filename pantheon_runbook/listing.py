"""What `list` shows: the runbooks, and the last run of each by the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pantheon_runbook.evidence import bundle, ledger
from pantheon_runbook.runbooks import all_runbooks


def rows(evidence: Path) -> list[dict[str, Any]]:
    """One row per runbook: {"id", "title", "changes", "last_run", "unsealed"}.

    last_run is "<bundle>: <verdict>" or None; unsealed are the runs that are at work now, or were killed.
    """
    last = {entry["runbook"]: f"{entry['bundle']}: {entry['verdict']}" for entry in ledger.entries(evidence)}
    open_ones = bundle.unsealed(evidence)
    return [
        {
            "id": one.id,
            "title": one.title,
            "changes": one.changes,
            "last_run": last.get(one.id),
            "unsealed": [f"{name}: {state}" for name, state in open_ones.items() if f"-{one.id}-" in name],
        }
        for one in all_runbooks()
    ]
