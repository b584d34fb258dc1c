"""What a terminal shows of a unit of work: what it came to step by step, and the commands to type next, in order."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon_runbook.database.migrations.units import BEGIN
from pantheon_runbook.evidence import changes
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.model import short_code
from pantheon_runbook.promotion.steps import PRODUCTION, Step, steps_of
from pantheon_runbook.rolling_back import COVERS

Events = Sequence[Mapping[str, Any]]
_SIGNS = {"done": "+", "not done": "-", "made but not ready": "~", "unknown": "?"}
_COMMANDS = re.compile(r";? ?to go on: .*|: pantheon-runbook .*")
_PROMOTES = "RB-030"


def is_unit(events: Events) -> bool:
    return bool(events) and events[0].get("environment") == PRODUCTION


def planned(folder: Path) -> Iterable[str]:
    """Everything that is to be signed, in a few lines: the card has the rest."""
    raw = (folder / "plan.json").read_bytes()
    plan = json.loads(raw)
    steps, release = steps_of(plan), plan.get("release", {})
    yield f"code      {short_code(hashlib.sha256(raw).hexdigest())}"
    yield from (f"  {one.number:>2} {one.name:<28} {one.change}".rstrip() for one in steps)
    for name, words in (("lock", "longest_lock"), ("backup", "backup")):
        if release.get(words):
            yield f"{name:<9} {release[words]}"
    if proof := release.get("staging"):
        yield f"rests on  {proof['bundle']}"


def to_type_after_plan(folder: Path, again: str, near: Callable[[Path], Path]) -> Iterable[str]:
    """The other person's command first, then one's own; only the latter where the way back is covered already."""
    path = near(folder / "plan.json")
    release = json.loads((folder / "plan.json").read_bytes()).get("release", {})
    if not release.get("covered"):
        yield "Another person reads it and approves, then you apply:"
        yield f"approve   pantheon-runbook approve {path} --key NAME --reason TEXT"
    yield f"then      {again} --apply --plan {path}"


def stopped(events: Events, folder: Path) -> Iterable[str]:
    """Of a unit that was begun: which step came to what."""
    for one, row in _became(events, folder) if has_begun(events) else ():
        outcome = row.outcome if row.outcome in _SIGNS else "not done"
        yield f"  {_SIGNS[outcome]} {one.number:>2} {one.name:<28} {outcome}"


def has_begun(events: Events) -> bool:
    """Whether a unit of work is open because of this run, or was before it."""
    is_done = any(
        one["event"] == "change-ends" and one["address"] == BEGIN and one["outcome"] == "done" for one in events
    )
    return is_done or bool(events[0]["parameters"].get("resume"))


def without_commands(next_step: str) -> str:
    """What is to be put right first; the commands have lines of their own."""
    told = _COMMANDS.sub("", next_step).strip().rstrip(".")
    return f"{told}." if told else ""


def to_type_after_stop(events: Events, folder: Path, again: str, *, is_held: bool) -> Iterable[str]:
    """How to go on and how to go back; of a run that only waits, what it waits for."""
    opened = events[0]
    if opened["runbook"] == _PROMOTES and has_begun(events):
        yield f"go on     pantheon-runbook run {_PROMOTES} --apply --resume {opened['run'][:8]}"
        yield f"go back   pantheon-runbook run RB-040 -p unit={folder.name}"
    elif (path := opened["parameters"].get("plan_file")) and is_held:
        yield f"approve   pantheon-runbook approve {path} --key NAME --reason TEXT"
        yield f"then      {again} --apply --plan {path}"


def to_type_after_done(events: Events, folder: Path, follows: str) -> Iterable[str]:
    """Until when there is a way back without another signature, and what comes next in the story."""
    opened = events[0]
    staging = opened["parameters"].get("staging", "staging")
    if opened["runbook"] == _PROMOTES and has_begun(events):
        until = moment_of(json.loads((folder / "manifest.json").read_bytes())["sealed_at"]) + COVERS
        yield f"back      pantheon-runbook run RB-040 --apply -p unit={folder.name}"
        yield f"          without another signature until {until.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    yield f"type      pantheon-runbook run {follows} -e {staging}"


def _became(events: Events, folder: Path) -> Iterable[tuple[Step, changes.Row]]:
    plan = json.loads((folder / "plan.json").read_bytes())
    return zip(steps_of(plan), changes.rows_of(events, plan), strict=True)
