"""What production's database could be put back to, if a promotion went wrong. Pure.

A finding goes into the plan, whose digest is approved: none of them tells a time that moves while nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pantheon_runbook.model import Finding
from pantheon_runbook.providers.supabase_backups import ADDRESS, FURTHEST_BEHIND, WHOLE, Backups

Strength = Literal["strong", "weak", "none"]
_DASHBOARD = "https://supabase.com/dashboard/project"
_BROKEN = frozenset({"FAILED", "CANCELLED"})
_NEVER = "never a plain dump on a laptop: it would be all of production's data, unguarded"


@dataclass(frozen=True, slots=True)
class BackupEvidence:
    """`what` is for people, and tells times (UTC); `findings` are for the plan."""

    strength: Strength
    what: str
    findings: tuple[Finding, ...] = ()

    @property
    def in_words(self) -> str:
        return f"{self.strength}: {self.what}"


def backup_evidence(seen: Backups | None, *, ref: str, now: datetime, why_not: str = "") -> BackupEvidence:
    """One value for what the vendor has of project `ref`; `seen` None: it could not be read, and `why_not`.

    Strong: any moment up to now. Weak: a whole backup of the last day, so that what was written since would be lost.
    """
    if seen is None:
        step = "use a token that may read backups (backups_read), then plan again"
        return _none(f"what could be restored cannot be read: {why_not or 'nobody looked'}", step)
    if seen.reaches(now):
        return BackupEvidence("strong", f"point in time until {seen.latest}, from {seen.earliest}")
    if seen.newest and seen.is_fresh(now):
        age = age_in_words(now - datetime.fromisoformat(seen.newest.at))
        return BackupEvidence("weak", f"vendor backup of {seen.newest.at}, {age} old", tuple(_of_a_weak_one(seen, ref)))
    return _none(*_why_none(seen, ref, now))


def restoring(seen: Backups | None, *, ref: str, moment: str, why_not: str = "") -> str:
    """What to do to have the whole database as it was right before `moment` (UTC), or how near one comes.

    It goes into the plan, so that nothing in it moves by itself.
    """
    to, at = f"to just before {moment}", datetime.fromisoformat(moment)
    if seen is None:
        return f"restore production's database {to}: whether it can be is not known ({why_not or 'nobody looked'})"
    if seen.is_point_in_time and seen.earliest and seen.earliest <= moment and at <= _end_of(seen) + FURTHEST_BEHIND:
        return f"restore production's database {to}: {_place(ref, 'pitr')}"
    former = next((one for one in seen.backups if one.status == WHOLE and one.at <= moment), None)
    told = f"the vendor's last whole backup before it is of {former.at}: {_place(ref, 'scheduled')}" if former else ""
    return f"restore production's database: {to} it cannot be; {told or 'there is no backup from before it'}"


def _end_of(seen: Backups) -> datetime:
    return datetime.fromisoformat(seen.latest or seen.earliest)


def _none(what: str, next_step: str) -> BackupEvidence:
    step = f"{next_step}; {_NEVER}"
    return BackupEvidence("none", what, (Finding("no-backup", ADDRESS, f"production has no backup: {what}", step),))


def _of_a_weak_one(seen: Backups, ref: str) -> Iterator[Finding]:
    what = "production can be put back to its last daily backup only: what was written since then would be lost"
    yield Finding("weak-backup", ADDRESS, what, f"to lose nothing, first {_switch_on(ref)}", blocks=False)
    if seen.backups[0].status in _BROKEN:  # one that is on its way is no news
        what = f"Supabase's newest backup is {seen.backups[0].status}: the one before it counts"
        yield Finding("backup-not-whole", ADDRESS, what, f"look at {_place(ref, 'scheduled')}", blocks=False)


def _why_none(seen: Backups, ref: str, now: datetime) -> tuple[str, str]:
    """What is wrong, and what mends it."""
    if seen.is_point_in_time:
        until = f"ends at {seen.latest}" if seen.latest else "is empty"
        step = f"look at {_place(ref, 'pitr')}, and ask Supabase's support why it does not go on"
        return f"point in time is switched on, and its window {until}", step
    if seen.newest is not None:
        at, age = datetime.fromisoformat(seen.newest.at), now - datetime.fromisoformat(seen.newest.at)
        told = f"{age_in_words(age)} old" if at <= now else "which has not come yet: a clock is wrong"
        step = f"wait for the next daily backup ({_place(ref, 'scheduled')}), or {_switch_on(ref)}"
        return f"the last whole one is of {seen.newest.at}, {told}", step
    if seen.backups:
        states = ", ".join(sorted({one.status for one in seen.backups}))
        return f"none of {len(seen.backups)} is whole ({states})", f"look at {_place(ref, 'scheduled')}"
    return "Supabase lists none", f"choose a plan with daily backups, or {_switch_on(ref)}"


def _switch_on(ref: str) -> str:
    return f"switch point in time on: {_place(ref, 'pitr')}"


def _place(ref: str, tab: str) -> str:
    return f"{_DASHBOARD}/{ref}/database/backups/{tab}"


def age_in_words(age: timedelta) -> str:
    hours = int(age / timedelta(hours=1))
    return f"{hours} hour{'' if hours == 1 else 's'}" if hours >= 1 else "less than an hour"
