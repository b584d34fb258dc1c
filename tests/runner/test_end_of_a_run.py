"""Until when the approval of a promotion covers the way back: from what the run did, not from when it was sealed."""

from __future__ import annotations

from pantheon_runbook.evidence import journal

LINES = [
    ("act-begins", "2026-11-01T09:00:00Z"),
    ("change-ends", "2026-11-01T09:05:00Z"),
    ("run-abandoned", "2026-11-23T09:00:00Z"),
]


def test_killed_run_that_is_sealed_weeks_later_ended_then() -> None:
    assert "2026-11-01T09:05:00Z" == journal.last_act_at([{"event": event, "at": at} for event, at in LINES])


def test_run_that_did_nothing_has_no_end() -> None:
    assert "" == journal.last_act_at([{"event": "run-opened", "at": "2026-11-01T09:00:00Z"}])
