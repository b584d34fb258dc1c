"""What a terminal shows of a unit of work: what it came to step by step, and the commands to type next, in order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon_runbook.database.migrations.units import BEGIN
from pantheon_runbook.evidence import changes, journal
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.promotion.steps import PRODUCTION, Step, steps_of
from pantheon_runbook.rolling_back import COVERS

Events = Sequence[Mapping[str, Any]]
_SIGNS = {"done": "+", "not done": "-", "made but not ready": "~", "unknown": "?"}
_COMMANDS = re.compile(r";? ?to go (on|back): .*|: pantheon-runbook .*")
_PROMOTES = "RB-030"
_LOW = ("low", "none")


def is_unit(events: Events) -> bool:
    return bool(events) and events[0].get("environment") == PRODUCTION


def before(events: Events) -> Iterable[str]:
    """What stands already, beside what this run did: a unit is done by all of its runs."""
    if words := changes.made_before(events):
        yield f"before    {words}"


def planned(folder: Path) -> Iterable[str]:
    """Everything that is to be signed, in a few lines, what may be lost among them: the card has the rest."""
    plan = json.loads((folder / "plan.json").read_bytes())
    steps, release = steps_of(plan), plan.get("release", {})
    yield from (f"BLOCKS    {one['what']} ({one['address']})" for one in plan["findings"] if one["blocks"])
    if back := release.get("takes_back"):
        yield f"of run    {back['run']} ({back['came_to']})"
    yield from (f"  {one.number:>2} {one.name:<28} {one.change}".rstrip() for one in steps)
    yield from _dangers(steps)
    yield from (f"!         {one['what']}" for one in plan["findings"] if back and not one["blocks"])
    for name, words in (("lock", "longest_lock"), ("backup", "backup")):
        if release.get(words):
            yield f"{name:<9} {release[words]}"
    if proof := release.get("staging"):
        yield f"rests on  {proof['bundle']}"


def _dangers(steps: Iterable[Step]) -> Iterable[str]:
    """By what may happen the steps that it may happen in."""
    found: dict[str, list[str]] = {}
    for one in steps:
        if one.risk and not one.risk.startswith(_LOW):
            found.setdefault(one.risk, []).append(one.name)
    yield from (f"risk      {', '.join(names)}: {risk}" for risk, names in found.items())


def to_type_after_plan(folder: Path, again: str, near: Callable[[Path], Path]) -> Iterable[str]:
    """The other person's command first, then one's own; only the latter where it is approved already."""
    path = near(folder / "plan.json")
    plan = json.loads((folder / "plan.json").read_bytes())
    if plan["parameters"].get("resume"):
        yield f"then      {again} --apply"
        return
    if not plan.get("release", {}).get("covered"):
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


def to_type_after_stop(events: Events, folder: Path, again: str, *, word: str, told: str) -> Iterable[str]:
    """How to go on, where `told` or nothing says that it does, and how to go back; of a run that waits, for what.

    A resume that was refused has changed nothing, and would be refused again: what to do is told already.
    """
    opened = events[0]
    if opened["runbook"] == _PROMOTES and has_begun(events) and word != "refused":
        if word == "not-verified":
            yield f"look      {again} --apply"
        elif "resume" in told or journal.last_failure(events) is None:
            yield f"go on     pantheon-runbook run {_PROMOTES} --apply --resume {opened['run'][:8]}"
        yield f"go back   pantheon-runbook run RB-040 -p unit={folder.name}"
    elif (path := opened["parameters"].get("plan_file")) and word == "held":
        yield f"approve   pantheon-runbook approve {path} --key NAME --reason TEXT"
        yield f"then      {again} --apply --plan {path}"


def brought(events: Events, folder: Path) -> Iterable[str]:
    """What production has now of that which this run was to change, in one line."""
    done = [one for one, row in _became(events, folder) if row.outcome == "done"]
    served = [f"{one.subject} {one.change.rpartition(' -> ')[2]}" for one in done if one.is_served]
    stand = [f"{one.subject} {one.change.rpartition(' -> ')[2]}" for one in done if one.subject.startswith("revision ")]
    if served or stand:
        yield f"now       {'; '.join((*served, *stand))}"


def to_type_after_done(events: Events, folder: Path, follows: str) -> Iterable[str]:
    """Until when there is a way back without another signature, and what comes next in the story."""
    opened = events[0]
    staging = opened["parameters"].get("staging", "staging")
    if opened["runbook"] == _PROMOTES and any(one["event"] == "change-begins" for one in events):
        until = moment_of(journal.last_act_at(events)) + COVERS
        yield f"back      pantheon-runbook run RB-040 --apply -p unit={folder.name}"
        yield f"          without another signature until {until.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    if opened["runbook"] != _PROMOTES:
        unit, only = (opened["parameters"].get(name) for name in ("unit", "only"))
        if only:
            yield f"the rest  pantheon-runbook run RB-040{f' -p unit={unit}' if unit else ''}"
        yield f"type      pantheon-runbook check -e {PRODUCTION}"
    yield f"type      pantheon-runbook run {follows} -e {staging}"


def _became(events: Events, folder: Path) -> Iterable[tuple[Step, changes.Row]]:
    """Nothing of a run that did not come so far as to have a plan."""
    path = folder / "plan.json"
    plan = json.loads(path.read_bytes()) if path.is_file() else {}
    return zip(steps_of(plan), changes.rows_of(events, plan), strict=True)
