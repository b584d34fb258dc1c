"""The cards of a unit of work on production: its plan, who let it through, and what became of each step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from pantheon_runbook.evidence.verify import ALONE
from pantheon_runbook.model import OUTCOME_WORDS, Plan, short_code
from pantheon_runbook.promoting import AppliedUnit, LetThrough
from pantheon_runbook.promotion.steps import Step, steps_of
from pantheon_runbook.promotion.unit_picture import unit_picture
from pantheon_runbook.runbooks import spelled
from pantheon_runbook.runner.card import Card
from pantheon_runbook.runner.production_lines import TOLD_ELSEWHERE, rests_on


def unit_plan_card(plan: Plan) -> Card:
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


def let_through_card(let: LetThrough) -> Card:
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


def applied_unit_card(applied: AppliedUnit) -> Card:
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
