"""Which word production's backups get, and that an approved plan does not go out of date by time alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pantheon_runbook.promotion.backups import BackupEvidence, backup_evidence
from pantheon_runbook.providers.supabase_backups import Backup, Backups

NOW = datetime.fromisoformat("2026-11-23T10:00:00Z")
REF = "a" * 20


def at(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def taken(*backups: tuple[float, str]) -> Backups:
    listed = [Backup(1, is_physical=True, status=status, at=at(hours)) for hours, status in backups]
    return Backups(is_point_in_time=False, earliest="", latest="", backups=tuple(listed))


def window(hours: float | None) -> Backups:
    latest = "" if hours is None else at(hours)
    return Backups(is_point_in_time=True, earliest=at(168) if latest else "", latest=latest, backups=())


def judged(seen: Backups | None, *, later: float = 0, why_not: str = "") -> BackupEvidence:
    return backup_evidence(seen, ref=REF, now=NOW + timedelta(hours=later), why_not=why_not)


CASES = {
    "point in time": (window(0.02), "strong: point in time until 2026-11-23T09:58:48Z, from 2026-11-16T10:00:00Z", []),
    "3 hours": (
        taken((3, "COMPLETED"), (27, "COMPLETED")),
        "weak: vendor backup of 2026-11-23T07:00:00Z, 3 hours old",
        ["weak-backup"],
    ),
    "half an hour": (
        taken((0.5, "COMPLETED")),
        "weak: vendor backup of 2026-11-23T09:30:00Z, less than an hour old",
        ["weak-backup"],
    ),
    "the last one failed": (
        taken((1, "FAILED"), (23, "COMPLETED")),
        "weak: vendor backup of 2026-11-22T11:00:00Z, 23 hours old",
        ["weak-backup", "backup-not-whole"],
    ),
    "30 hours": (
        taken((30, "COMPLETED")),
        "none: the last whole one is of 2026-11-22T04:00:00Z, 30 hours old",
        ["no-backup"],
    ),
    "a day exactly": (
        taken((24, "COMPLETED")),
        "none: the last whole one is of 2026-11-22T10:00:00Z, 24 hours old",
        ["no-backup"],
    ),
    "tomorrow": (
        taken((-24, "COMPLETED")),
        "none: the last whole one is of 2026-11-24T10:00:00Z, which has not come yet: a clock is wrong",
        ["no-backup"],
    ),
    "failed": (taken((3, "FAILED"), (4, "CANCELLED")), "none: none of 2 is whole (CANCELLED, FAILED)", ["no-backup"]),
    "none": (taken(), "none: Supabase lists none", ["no-backup"]),
    "window that ended": (
        window(5),
        "none: point in time is switched on, and its window ends at 2026-11-23T05:00:00Z",
        ["no-backup"],
    ),
    "empty window": (window(None), "none: point in time is switched on, and its window is empty", ["no-backup"]),
}


@pytest.mark.parametrize("name", CASES)
def test_backup_has_one_word(name: str) -> None:
    seen, words, codes = CASES[name]
    found = judged(seen)

    assert (words, codes) == (found.in_words, [one.code for one in found.findings])
    assert (found.strength == "none") is any(one.blocks for one in found.findings)


@pytest.mark.parametrize("name", CASES)
def test_finding_says_what_to_do(name: str) -> None:
    seen, _, _ = CASES[name]
    for one in judged(seen).findings:
        assert "production/backups" == one.address
        assert REF in one.next_step
        assert not one.blocks or "never a plain dump on a laptop" in one.next_step


def test_what_cannot_be_read_blocks() -> None:
    found = judged(None, why_not="Supabase answers 403: the token may not read it")

    (finding,) = found.findings
    assert ("none", True) == (found.strength, finding.blocks)
    assert "Supabase answers 403" in finding.what
    assert "backups_read" in finding.next_step


def test_strong_window_outranks_a_daily_backup() -> None:
    both = Backups(is_point_in_time=True, earliest=at(99), latest=at(0), backups=taken((3, "COMPLETED")).backups)
    assert "strong" == judged(both).strength


def test_daily_backup_holds_where_the_window_stopped() -> None:
    both = Backups(is_point_in_time=True, earliest=at(99), latest=at(5), backups=taken((3, "COMPLETED")).backups)
    assert "weak" == judged(both).strength


def test_findings_do_not_move_with_the_clock() -> None:
    """They are part of what is approved: hours later, and with another daily backup, they are the same."""
    first, second = taken((3, "COMPLETED")), taken((-5, "COMPLETED"), (3, "COMPLETED"))

    assert judged(first).findings == judged(first, later=6).findings == judged(second, later=6).findings
    assert judged(first).what != judged(first, later=6).what
