"""Which card is shown of what an act returned; those of a unit of work are in `unit_cards`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import singledispatch
from typing import Any

from pantheon_runbook.certificate import open_ways, stood_for
from pantheon_runbook.closure import Row as CriterionRow
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.evidence.verify import ALONE
from pantheon_runbook.model import (
    RELATIONS,
    Approval,
    Change,
    Comparison,
    Finding,
    Held,
    Plan,
    Resource,
    Snapshot,
    StepResult,
    Verification,
    banner,
    short_code,
)
from pantheon_runbook.promoting import AppliedUnit, LetThrough
from pantheon_runbook.promotion.steps import is_on_production
from pantheon_runbook.runbooks import spelled
from pantheon_runbook.runner.card import Card
from pantheon_runbook.runner.certificate_picture import certificate_picture
from pantheon_runbook.runner.closed import Closed, Criteria
from pantheon_runbook.runner.environment_map import environment_map
from pantheon_runbook.runner.lock_timeline import lock_timeline_of
from pantheon_runbook.runner.matrix_picture import matrix_picture
from pantheon_runbook.runner.production_lines import (
    TOLD_ELSEWHERE,
    differs,
    is_of_production,
    production_rows,
    ways_in_rows,
)
from pantheon_runbook.runner.revision_path import revision_path, stand_of
from pantheon_runbook.runner.unit_cards import applied_unit_card, let_through_card, unit_plan_card
from pantheon_runbook.session import Opening
from pantheon_runbook.standing import ADOPTED, MISSING, UNSEEN, WRONG

_FIRST_ROWS = 40
_SIGNS = {
    "accept": "+", "apply": "+", "create": "+", "hold": "+", "refresh": "!", "replace": "!", "reset": "~",
    "restore": "~", "seed": "+", "update": "~", "wait": "?",
}  # fmt: skip
_MODES = {"plan": "ends after the plan", "apply": "will write", "check": "reads only"}
_BESIDE = ("staging/", "production/", "exposure/")  # too many for a card; the matrix is drawn from them
_OUTCOMES = {"done": "+", "not-ready": "~", "not-done": "-", "unknown": "?"}


@singledispatch
def draw(value: Any) -> Card:
    """The card of whatever an act returned."""
    raise TypeError(f"no card is drawn for {type(value).__name__}")


draw.register(LetThrough, let_through_card)
draw.register(AppliedUnit, applied_unit_card)


@draw.register
def _(opening: Opening) -> Card:
    return Card(
        f"{banner(opening.cloud)}  {opening.runbook}  {opening.title}",
        rows=(
            ("", "environment", opening.environment, ""),
            ("", "mode", opening.mode, _MODES[opening.mode]),
            ("", "run", opening.run_id[:8], f"opened {opening.started_at}"),
            ("", "operator", opening.operator, opening.operator_source),
        ),
        lines=opening.warnings,
    )


@draw.register
def _(snapshot: Snapshot) -> Card:
    return _of_production(snapshot) if is_of_production(snapshot) else _of_staging(snapshot)


def _of_production(snapshot: Snapshot) -> Card:
    """What serves now beside what staging has, what there is to fall back on, and the ways in that are open."""
    apart = ", ".join(differs(snapshot))
    told = [one for one in _gravest_first(snapshot) if one.blocks or one.code not in TOLD_ELSEWHERE]
    return Card(
        f"OBSERVED  {snapshot.environment}",
        f"differs from staging: {apart}" if apart else "",
        rows=(*production_rows(snapshot), *ways_in_rows(snapshot)),
        lines=tuple(f"{_weight(one)} {one.what} ({one.address})" for one in told),
        pictures=_pictures(snapshot),
    )


def _of_staging(snapshot: Snapshot) -> Card:
    seen = [resource for resource in snapshot.resources if not resource.address.startswith(_BESIDE)]
    rows = [
        (
            {"present": "=", "absent": "+", "unreadable": "?"}[resource.state],
            resource.address,
            *_standing(resource),
        )
        for resource in seen
    ]
    found = tuple(f"{_weight(finding)} {finding.what} ({finding.address})" for finding in _gravest_first(snapshot))
    beside = Counter(one.address.partition("/")[0] for one in snapshot.resources if one.address.startswith(_BESIDE))
    listed = (
        (f"held by staging {beside['staging']}, by production {beside['production']}",) if beside["staging"] else ()
    )
    present = sum(resource.state == "present" for resource in seen)
    return Card(
        f"OBSERVED  {snapshot.environment}",
        f"{present} present, {len(seen) - present} absent, {len(snapshot.findings)} findings",
        rows=tuple(rows),
        lines=(*found, *listed),
        pictures=_pictures(snapshot),
    )


def _pictures(snapshot: Snapshot) -> tuple[str, ...]:
    """Of a database that is to be migrated its path, and what a rehearsal has locked on it; else the map."""
    stand = stand_of(snapshot)
    if stand is None:
        return () if is_of_production(snapshot) else (environment_map(snapshot),)
    return (revision_path(stand), *(one for one in [lock_timeline_of(snapshot)] if one))


def _standing(resource: Resource) -> tuple[str, str]:
    """What a reader looks for first, and the rest of the note."""
    for word in (ADOPTED, WRONG, MISSING, UNSEEN):
        if resource.note.startswith(word):
            return word, resource.note.removeprefix(word).lstrip(":; ")
    return resource.state, resource.note


@draw.register
def _(plan: Plan) -> Card:
    return unit_plan_card(plan) if is_on_production(asdict(plan)) else _changes(plan)


def _changes(plan: Plan) -> Card:
    waiting = sum(_is_unknown(change) for change in plan.changes)
    rows = [(_SIGNS[change.action], change.address, change.action, _told(change)) for change in plan.changes]
    rows += [("=", address, "left alone", reason) for address, reason in plan.left_alone]
    hidden = len(rows) - _FIRST_ROWS
    more = (f"  and {hidden} more in plan.json",) if hidden > 0 else ()
    return Card(
        f"PLAN  {plan.environment}",
        f"{len(plan.changes)} to change, {waiting} with values not known yet, {len(plan.left_alone)} left alone",
        rows=tuple(rows[:_FIRST_ROWS]),
        lines=(*more, *_plan_lines(plan)),
        next_step=f"read it, then: pantheon-runbook run {plan.runbook} -e {plan.environment}"
        f"{spelled(plan.parameters, plan.runbook)} --apply --plan <plan.json>"
        if plan.changes
        else "nothing to do",
    )


def _told(change: Change) -> str:
    """Of a file that will run its title and digest, and of everything the way back."""
    digest = change.after.get("digest")
    named = " ".join(filter(None, (digest and short_code(str(digest)), str(change.after.get("title", "")).rstrip("."))))
    return "; ".join(filter(None, (named, f"undo: {change.undo}")))


def _plan_lines(plan: Plan) -> Iterable[str]:
    for finding in _gravest_first(plan):
        yield f"{_weight(finding)} {finding.what} ({finding.address}): {finding.next_step}"
    for change in plan.changes:
        names = [f"{name}{_mark(want)}" for name, want in change.after.items() if isinstance(want, Mapping)]
        if names:
            yield f"sets {change.address}: {', '.join(sorted(names))}"
    if any(_is_unknown(change) for change in plan.changes):
        yield "     (? is known once what it comes from exists; one approval covers it)"
    yield from (f"risk: {one.address}: {one.risk}" for one in plan.changes if not one.risk.startswith(("none", "low")))
    yield from (f"by hand: {step}" for step in plan.manual_steps)
    for vendor, cost in plan.calls.items():
        yield f"calls to {vendor}: about {cost['reads']} reads, {cost['writes']} writes; limit {cost['limit']}"
    yield f"digest {plan.digest[:4]}…{plan.digest[-4:]}  code {plan.short_code}  everything: plan.json"


def _gravest_first(found: Snapshot | Plan) -> list[Finding]:
    return sorted(found.findings, key=lambda finding: not finding.blocks)


def _weight(finding: Finding) -> str:
    """What keeps a plan from being applied is told from advice at a glance."""
    return "BLOCKS" if finding.blocks else "!"


def _is_unknown(change: Change) -> bool:
    return any(isinstance(want, Mapping) and want.get("fingerprint", "") is None for want in change.after.values())


def _mark(want: Mapping[str, Any]) -> str:
    return "?" if want.get("fingerprint", "") is None else ""


@draw.register
def _(approval: Approval) -> Card:
    return Card(
        "LET THROUGH" if approval.kind == ALONE else "APPROVED",
        approval.kind,
        rows=(
            ("", "plan digest", f"{approval.plan_digest[:4]}…{approval.plan_digest[-4:]}", ""),
            ("", "approver", approval.approver, approval.source),
        ),
    )


@draw.register
def _(held: Held) -> Card:
    return Card(f"HELD  {held.act}", held.why, next_step=held.next_step)


@draw.register
def _(error: RunbookError) -> Card:
    return Card(error.lines()[0], lines=error.lines()[1:])


@draw.register
def _(results: tuple) -> Card:  # type: ignore[type-arg]  # of StepResult
    listed: tuple[StepResult, ...] = results
    if not listed:
        return Card("APPLIED  nothing to do", "0 changes", lines=("Every resource was left alone; the plan says why.",))
    done = sum(result.outcome == "done" for result in listed)
    unknown = sum(result.outcome == "unknown" for result in listed)
    return Card(
        "APPLIED",
        f"{done} done, {len(listed) - done - unknown} not done, {unknown} unknown",
        rows=tuple((_OUTCOMES[one.outcome], one.address, one.outcome, one.reason) for one in listed),
    )


@draw.register
def _(compared: Comparison) -> Card:
    """Alarms first, then what cannot be read; how many relate in which way, and the rest in the file."""
    ordered = sorted(compared.rows, key=lambda row: (not row.is_alarm, row.relation != "cannot be read", row.subject))
    telling = [row for row in ordered if row.is_alarm or row.relation == "cannot be read"]
    hidden = len(telling) - _FIRST_ROWS
    more = (f"  and {hidden} more in comparison.json",) if hidden > 0 else ()
    held_against = compared.baseline or "nothing: no earlier run that came to a good end has a matrix"
    return Card(
        f"COMPARED  {compared.environment} beside production",
        f"{len(compared.rows)} rows, {len(compared.alarms)} alarms, {len(compared.open_exposures)} ways in open",
        rows=(
            *(("!" if row.is_alarm else "?", row.subject, row.relation, row.found) for row in telling[:_FIRST_ROWS]),
            *_ways_in(compared),
        ),
        lines=(*more, f"drift: held against {held_against}", *_matrix_lines(compared)),
        next_step=compared.alarms[0].next_step if compared.alarms else "verify",
        pictures=(matrix_picture(compared),),
    )


def _matrix_lines(compared: Comparison) -> Iterable[str]:
    """How many rows relate in which way, what was declared, and how many ways into production are closed."""
    counted = Counter(row.relation for row in compared.rows)
    counts = ", ".join(f"{counted[relation]} {relation}" for relation in RELATIONS if counted[relation])
    yield f"beside production: {counts or 'nothing'}; row by row in comparison.json"
    yield from (
        f"allowed: {row.subject}: {row.expected}" for row in compared.rows if row.expected.startswith("allowed")
    )
    states = Counter[str](one.state for one in compared.exposures)
    closed = ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if state.startswith("closed"))
    if closed:
        yield f"ways into production besides: {closed}"


def _accepted_lines(compared: Comparison) -> Iterable[str]:
    """What this apply has taken as it is, so that nobody approves drift without being told."""
    shown = compared.accepted[:_FIRST_ROWS]
    yield from (f"drifted, accepted by this apply: {row.subject}: {row.found}" for row in shown)
    hidden = len(compared.accepted) - len(shown)
    if hidden > 0:
        yield f"  and {hidden} more in comparison.json"


def _ways_in(compared: Comparison) -> Iterable[tuple[str, str, str, str]]:
    """Open ones with what closes them, then those that cannot be read; the closed ones are in the file."""
    for sign, state in (("o", "open"), ("?", "cannot be read")):
        for one in compared.exposures:
            if one.state == state:
                yield sign, one.address, f"way in, {state}", f"{one.what}: {one.found} -> {one.next_step}"


@draw.register
def _(verification: Verification) -> Card:
    checks, comparison = verification.checks, verification.comparison
    passed = sum(check.passed for check in checks)
    unread = sum(check.passed and check.found.startswith("cannot be read") for check in checks)
    hidden = len(checks) - _FIRST_ROWS
    return Card(
        "VERIFIED",
        f"{passed - unread} of {len(checks)} checks passed{f', {unread} cannot be read' if unread else ''}",
        rows=tuple(
            ("+" if check.passed else "!", check.name, f"expected {check.expected}", f"found {check.found}")
            for check in checks[:_FIRST_ROWS]
        ),
        lines=(
            *((f"  and {hidden} more in the report",) if hidden > 0 else ()),
            *(_matrix_lines(comparison) if comparison else ()),
            *(_accepted_lines(comparison) if comparison else ()),
            *(f"{what:<9} {url}" for what, url in verification.endpoints),
            *(f"by hand: {step}" for step in verification.manual_steps),
        ),
        pictures=(matrix_picture(comparison),) if comparison else (),
    )


@draw.register
def _(criteria: Criteria) -> Card:
    """Every row with whose word it is; under the table what to type for each that is open."""
    rows = criteria.table.rows
    opened = criteria.table.open
    return Card(
        f"EXIT CRITERIA  F25  {criteria.table.environment}",
        f"{len(rows) - len(opened)} of {len(rows)} met",
        rows=tuple(
            ("+" if row.is_met else "!", f"{row.criterion}: {row.evidence}", row.state, _standing_for(row))
            for row in rows
        ),
        lines=tuple(f"open: {row.criterion}: {row.evidence}: {row.next_step}" for row in opened),
        next_step=opened[0].next_step if opened else "verify: issues the certificate",
    )


def _standing_for(row: CriterionRow) -> str:
    return row.why or ", ".join(filter(None, (row.date, row.source or row.signer)))


@draw.register
def _(closed: Closed) -> Card:
    """A rehearsal says so first and last, and across its picture."""
    certificate = closed.certificate
    content, mark = certificate.content, certificate.content["watermark"]
    return Card(
        f"{mark}  {certificate.title}",
        f"{content['environment']}, issued {content['issued_at']}",
        rows=tuple(("+", title, "met", stands) for title, stands in stood_for(certificate).items()),
        lines=(
            f"closes: {content['closes']}",
            *(f"open way into production: {way}" for way in open_ways(certificate)),
            *(f"rests on {name}  sha256 {digest}" for name, digest in content["rests_on"].items()),
            "every row, and every attestation as it was signed: certificate.json",
            f"{mark}: {certificate.title}",
        ),
        pictures=(certificate_picture(certificate),),
    )
