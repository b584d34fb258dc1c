"""Until when the approval of a promotion covers the way back: from what the run did, not from when it was sealed."""

from __future__ import annotations

import json
from pathlib import Path

from pantheon_runbook.runner import sessions

LINES = [
    ("act-begins", "2026-11-01T09:00:00Z"),
    ("change-ends", "2026-11-01T09:05:00Z"),
    ("run-abandoned", "2026-11-23T09:00:00Z"),
]


def test_killed_run_that_is_sealed_weeks_later_ended_then(tmp_path: Path) -> None:
    lines = (json.dumps({"event": event, "at": at}) for event, at in LINES)
    (tmp_path / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))

    assert "2026-11-01T09:05:00Z" == sessions._ended_at(tmp_path)
