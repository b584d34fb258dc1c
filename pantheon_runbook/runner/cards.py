"""What an act shows: the same facts as fixed-width text and as HTML; the only place that draws.

Nothing here depends on the time an act took or on the machine, so that stored outputs can be compared.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import singledispatch
from typing import Any

from pantheon_runbook.certificate import open_ways, stood_for
from pantheon_runbook.closure import Row as CriterionRow
from pantheon_runbook.drawing import image
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.evidence.verify import ALONE
from pantheon_runbook.model import (
    OUTCOME_WORDS,
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
from pantheon_runbook.promotion.steps import Step, is_on_production, steps_of
from pantheon_runbook.promotion.unit_picture import unit_picture
from pantheon_runbook.runbooks import spelled
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
    rests_on,
    ways_in_rows,
)
from pantheon_runbook.runner.revision_path import revision_path, stand_of
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


@dataclass(frozen=True)
class Card:
    """`head` and `tail` are the first line; `rows` are (sign, what, how, remark); `next_step` the last line.

    `alarms` come before the rows and are red; `code` is for people to compare, and big. A row with nothing but `what`
    is a line of its own under the one above it.
    """

    head: str
    tail: str = ""
    alarms: tuple[str, ...] = ()
    code: str = ""
    rows: tuple[tuple[str, str, str, str], ...] = ()
    lines: tuple[str, ...] = ()
    next_step: str = ""
    pictures: tuple[str, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """At most about 120 columns; what does not fit is in the bundle's files."""
        shown = [f"{self.head:<58} {self.tail}".rstrip(), *self.alarms]
        shown += [f"short code  {self.code}"] if self.code else []
        told = [row for row in self.rows if not _is_alone(row)]
        signs, *widths = (min(44, max((len(row[column]) for row in told), default=0)) for column in (0, 1, 2))
        shown += [
            f"  {sign:>{signs}} {what:<{widths[0]}}  {how:<{widths[1]}}  {remark}".rstrip()
            for sign, what, how, remark in self.rows
        ]
        shown += self.lines
        if self.next_step:
            shown.append(f"Next: {self.next_step}")
        return "\n".join(shown)

    def html(self) -> str:
        """The pictures, when there are some, above a table of the same rows."""
        rows = "".join(f"<tr>{_alone(row) if _is_alone(row) else _cells(row)}</tr>" for row in self.rows)
        parts = [f"<p><strong>{html.escape(self.head)}</strong> {html.escape(self.tail)}</p>"]
        parts += map(_alarm, self.alarms)
        parts += [_code(self.code)] if self.code else []
        parts += map(image, self.pictures)
        parts += [f"<table>{rows}</table>"] if self.rows else []
        parts += [f"<p>{html.escape(line)}</p>" for line in self.lines]
        parts += [f"<p><strong>Next:</strong> {html.escape(self.next_step)}</p>"] if self.next_step else []
        return f'<div class="pantheon-card">{"".join(parts)}</div>'

    def again(self) -> Card:
        """The same card, for an act that was called a second time."""
        return replace(self, head=f"{self.head}  (already done)")

    def as_json(self) -> dict[str, Any]:
        return {"text": self.text(), "html": self.html()}


def _cells(row: tuple[str, ...]) -> str:
    """A numbered row is the head of those under it."""
    sign, what, *more = (html.escape(text) for text in row)
    shown = (sign, f"<strong>{what}</strong>" if sign.isdigit() else what, *more)
    return "".join(f'<td style="text-align: left">{text}</td>' for text in shown)


def _alarm(line: str) -> str:
    return f'<p class="not-met" style="color: #b3261e"><strong>{html.escape(line)}</strong></p>'


def _code(code: str) -> str:
    return f'<p>short code <span class="code" style="font-size: 2em">{html.escape(code)}</span></p>'


def _is_alone(row: tuple[str, ...]) -> bool:
    return row[0] == row[2] == row[3] == ""


def _alone(row: tuple[str, ...]) -> str:
    return f'<td></td><td colspan="3" style="text-align: left">{html.escape(row[1].strip())}</td>'


@singledispatch
def draw(value: Any) -> Card:
    """The card of whatever an act returned."""
    raise TypeError(f"no card is drawn for {type(value).__name__}")


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
    return _unit(plan) if is_on_production(asdict(plan)) else _changes(plan)


def _unit(plan: Plan) -> Card:
    """What somebody else is to sign: what blocks it, its code, every step in its order, and what it rests on."""
    steps = steps_of(asdict(plan))
    return Card(
        f"PLAN  {plan.environment}",
        f"{len(steps)} steps, one unit of work" if steps else "nothing to do",
        alarms=tuple(f"BLOCKS {one.what} ({one.address}): {one.next_step}" for one in plan.findings if one.blocks),
        code=plan.short_code,
        rows=tuple(row for one in steps for row in _step_rows(one)),
        lines=(*rests_on(plan), *_unit_lines(plan)),
        next_step=_to_sign(plan) if steps else "nothing to do",
        pictures=(unit_picture(steps),) if steps else (),
    )


def _step_rows(step: Step) -> Iterable[tuple[str, str, str, str]]:
    waits = f"after {', '.join(map(str, step.waits))}" if step.waits else ""
    yield str(step.number), step.name, step.change, "; ".join(filter(None, (waits, step.artefact)))
    more = {"": step.title, "risk: ": step.risk, "back: ": step.back}
    yield from (("", f"   {name}{words}", "", "") for name, words in more.items() if words)


def _unit_lines(plan: Plan) -> Iterable[str]:
    for one in plan.findings:
        if not one.blocks and one.code not in TOLD_ELSEWHERE:
            yield f"! {one.what} ({one.address}): {one.next_step}"
    yield from (f"left alone: {address}: {reason}" for address, reason in plan.left_alone)
    yield from (f"by hand: {step}" for step in plan.manual_steps)
    calls = (f"{vendor} {cost['writes']} writes, about {cost['reads']} reads" for vendor, cost in plan.calls.items())
    yield f"calls: {'; '.join(calls)}"
    yield f"digest {plan.digest}  everything: plan.json"


def _to_sign(plan: Plan) -> str:
    """Who must do what: a plan that is covered already needs nobody else."""
    if any(one.blocks for one in plan.findings):
        return "clear what BLOCKS, then plan again"
    again = f"pantheon-runbook run {plan.runbook}{spelled(plan.parameters, plan.runbook)} --apply"
    if plan.release.get("covered") or plan.parameters.get("resume"):
        return again
    return f"another person reads it and signs: pantheon-runbook approve PLAN --key NAME --reason TEXT; then {again}"


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
def _(let: LetThrough) -> Card:
    """By whom and until when; where duties were not separated, that first and in red."""
    approval, told = let.approval, let.decisions
    alone = approval.kind == ALONE
    digest = str(told["plan_digest"])
    beside = ((duty, told[duty]["name"], told[duty]["source"]) for duty in ("requester", "executor"))
    authors = (("author", one["name"], one["source"]) for one in told["authors"])
    return Card(
        "LET THROUGH" if alone else "APPROVED",
        f"plan {short_code(digest)}",
        alarms=(f"{ALONE}: nobody else has read it",) if alone else (),
        rows=tuple(
            row
            for one in told["approvers"]
            for row in (
                ("!" if alone else "+", "signed by", one["name"], one["source"]),
                ("", "", "reason", one["reason"]),
                ("", "", "signed", f"{one['issued_at']} UTC"),
                ("", "", "may begin before", f"{one['expires_at']} UTC"),
            )
        )
        + tuple(("", *one) for one in (*beside, *authors)),
        lines=(
            *(f"goes on with {told['continues']}, under the same signatures" for _ in range(bool(told["continues"]))),
            *(f"does not count: {what}" for what in told["not_counted"]),
            *(f"nobody has said under which other names {name} goes: only the name was compared"
              for name in told["unknown"]),
        ),
    )  # fmt: skip


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
def _(applied: AppliedUnit) -> Card:
    """Production now, step by step: one that did not come to its end is told of by its error instead."""
    steps = steps_of(asdict(applied.plan))
    became = {one.address: one for one in applied.results}
    return Card(
        f"APPLIED  {applied.plan.environment}",
        f"{len(applied.results)} of {len(steps)} steps done",
        rows=tuple(
            (str(one.number), one.name, OUTCOME_WORDS[became[one.address].outcome], became[one.address].reason)
            for one in steps
        ),
        lines=() if steps else ("Production was as it should be: no unit of work was begun.",),
        pictures=(unit_picture(steps, {one.address: OUTCOME_WORDS[one.outcome] for one in applied.results}),)
        if steps
        else (),
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
    yield from (f"ways into production besides: {closed}" for _ in closed[:1])


def _accepted_lines(compared: Comparison) -> Iterable[str]:
    """What this apply has taken as it is, so that nobody approves drift without being told."""
    shown = compared.accepted[:_FIRST_ROWS]
    yield from (f"drifted, accepted by this apply: {row.subject}: {row.found}" for row in shown)
    hidden = len(compared.accepted) - len(shown)
    yield from (f"  and {hidden} more in comparison.json" for _ in range(hidden)[:1])


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
