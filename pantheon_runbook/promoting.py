"""A run on production: other people's signatures let it through, are judged anew before each write, and start one unit.

A unit that was begun goes on (`resumes`) under the plan and the approvals that it was begun under, from what stands on
the ground now: what is left must be part of what was approved, and nobody else may have moved the rest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Protocol

from pantheon_runbook import clock, outages
from pantheon_runbook.database.migrations.units import BEGIN, Unit
from pantheon_runbook.errors import (
    EvidenceError,
    HeldError,
    NotApprovedError,
    NotVerifiedError,
    RunbookError,
    StalePlanError,
)
from pantheon_runbook.evidence.decisions import Decisions, StoppedBy
from pantheon_runbook.model import Approval, Change, Held, Plan, Snapshot, StepResult, digest_of
from pantheon_runbook.moved_ground import as_kept, ground_difference
from pantheon_runbook.permission import Permission, Signed
from pantheon_runbook.planning import plan_difference
from pantheon_runbook.promotion.steps import state_of, steps_of
from pantheon_runbook.promotion.unit import MADE_BEFORE
from pantheon_runbook.runbooks import spelled
from pantheon_runbook.session import Definition, Session, refuse_findings


class OnProduction(Definition, Protocol):
    """What such a runbook says beside its changes, and what production's ledger says of units of work."""

    def release(self, snapshot: Snapshot) -> Mapping[str, Any]: ...

    @property
    def unit(self) -> Unit | None: ...

    @property
    def consumed(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class LetThrough:
    """The approval, and what was judged for it, as decisions.json has it: who signed, and until when it may begin."""

    approval: Approval
    decisions: Mapping[str, Any]


@dataclass(frozen=True)
class AppliedUnit:
    """A unit of work that came to its end."""

    plan: Plan
    results: tuple[StepResult, ...]


@dataclass
class PromotingSession(Session):
    """`signed` finds the sealed plan run of a plan's digest; `resumes` is the plan of the unit that goes on."""

    definition: OnProduction
    permission: Permission = field(kw_only=True)
    signed: Callable[[str], Signed | None] = field(kw_only=True)
    resumes: Signed | None = field(default=None, kw_only=True)
    _stopped_by: ClassVar[tuple[type[RunbookError], ...]] = (NotApprovedError,)  # it does not go on, whoever resumes it

    def __post_init__(self) -> None:
        self._under: Signed | None = self.resumes
        self._started: frozenset[str] = frozenset()
        super().__post_init__()

    @property
    def under(self) -> tuple[str, Iterable[str]]:
        """The digest of the plan that was approved, and the nonces of its approvals, once the unit may begin."""
        assert self._under is not None
        return self._under.digest, self._started

    def _act(self, act: str) -> tuple[Any, dict[str, Any]]:
        try:
            return super()._act(act)
        except RunbookError as error:
            if self._under is not None and any(isinstance(one, NotApprovedError) for one in (error, error.__cause__)):
                with suppress(EvidenceError):  # what cannot be read now does not hide why it stopped
                    self.keep(StoppedBy(self.permission.envelopes(self._under)))
            raise self._told(act, error) from error.__cause__

    def _told(self, act: str, error: RunbookError) -> RunbookError:
        """What stops a run on production says in which state it leaves it, and how it goes on from there, or back."""
        if act == "verify":
            return outages.after_the_unit(self._not_verified(error), f"{self._plan_command} --apply")
        if any(one.outcome != "not-done" for one in self.results):
            ways = f"{self._goes_on_by}; {self._ways_back}"
            return outages.in_the_unit(self._part_way(error), ways, is_open=self._is_begun())
        asked = " --apply" if self.opening.mode == "apply" else ""
        left = "the unit that was begun is open still" if self.resumes else ""
        return self._beside_what_is_open(outages.before_the_unit(error, f"{self._plan_command}{asked}", left=left))

    def _beside_what_is_open(self, error: RunbookError) -> RunbookError:
        """A run that did nothing does not say that all is well."""
        unit = self.definition.unit
        if unit is not None and unit.is_open and error.state.startswith(_NOTHING):
            began = f"the unit of work that run {unit.run_id[:8]} began at {unit.at} has not ended"
            error.state = f"{_NOTHING} by this run; {began}: production may stand between two releases."
        return error

    def _not_verified(self, error: RunbookError) -> RunbookError:
        if isinstance(error, NotVerifiedError):
            again = f"put right what it names and look again: {self._plan_command} --apply"
            error.state = "the unit has ended; what was found is not all that it brought."
            error.next_step = f"{again}; {self._ways_back}"
        return error

    def _part_way(self, error: RunbookError) -> RunbookError:
        """For who is woken: what production has and lacks, and what to type to go on or back."""
        assert self.plan is not None
        _, found, half_done = error.state.rstrip(".").partition("; changed in part")
        error.state = f"{state_of(steps_of(asdict(self.plan)), self.results)}{found}{half_done}."
        first = _PLAN_AGAIN.sub("", error.next_step.rstrip(".")).strip(" ,;:")
        first = first.partition("; go back: ")[0]
        told = "" if not first or first.startswith("pantheon-runbook ") else f"{first}; "
        on = "" if isinstance(error.__cause__, self._stopped_by) else f"to go on: {self._goes_on_by}; "
        error.next_step = f"{told}{on}{self._ways_back}"
        return error

    def _is_begun(self) -> bool:
        """Its beginning is no step of this run when an earlier one made it."""
        began = {one.address: one.outcome for one in self.results}.get(BEGIN, "done")
        return began != "not-done"

    def _plan_for(self, snapshot: Snapshot) -> Plan:
        return replace(super()._plan_for(snapshot), release=dict(self.definition.release(snapshot)))

    def _plan(self) -> tuple[Plan, dict[str, Any]]:
        """Of a unit that goes on the plan is what is left; its line says how much of the approved one is not."""
        plan, facts = super()._plan()
        if self.resumes is None:
            return plan, facts
        approved = {one["address"] for one in json.loads(self.resumes.plan)["changes"]}
        return plan, {**facts, "made_before": len(approved - {one.address for one in plan.changes})}

    def _approve(self) -> tuple[Approval | LetThrough | Held, dict[str, Any]]:
        assert self.plan is not None
        if self.opening.mode == "plan":
            return self._held("approve"), {"held": True}
        refuse_findings(self.plan)
        if not self.plan.changes:
            who, source = self.opening.operator, self.opening.operator_source
            self.approval = Approval(self.plan.digest, who, source, "nothing to approve", clock.stamp())
            return self.approval, self._facts()
        self._refuse_another_plan(self.plan)
        self._under = self._signed_plan(self.plan)
        decisions = self.permission.decided(self._under, self.plan.to_bytes(), **self._asked())
        return self._let_through(decisions)

    def _let_through(self, decisions: Decisions) -> tuple[LetThrough, dict[str, Any]]:
        """Kept as what was signed, and as the approval that every run has."""
        self.approval = decisions.approval
        self.keep(decisions)
        self.keep(self.approval)
        return LetThrough(self.approval, decisions.told), {**self._facts(), **decisions.facts}

    def _facts(self) -> dict[str, Any]:
        assert self.approval is not None
        facts = {"digest": self.approval.plan_digest, "kind": self.approval.kind}
        return {**facts, "approval": digest_of(asdict(self.approval))}

    def _refuse_another_plan(self, plan: Plan) -> None:
        """The plan that was named is the one of now; of a unit that goes on, what is left is part of it."""
        if self.resumes is not None:
            refuse = self._refuse_beyond if self._goes_on() else self._refuse_another
            refuse(plan, json.loads(self.resumes.plan))
        elif self.read_plan and self.read_plan != plan.to_bytes():
            raise StalePlanError(
                "the plan that was read is not the plan of now",
                why=self._difference(plan),
                next_step=self._plan_anew,
            )

    def _difference(self, plan: Plan) -> str:
        """By what its run has seen, where that is still there to be compared: a plan tells of changes only."""
        assert self.snapshot is not None
        changes = plan_difference(self.read_plan, plan)
        planned = self.signed(hashlib.sha256(self.read_plan).hexdigest())
        seen = self.permission.seen(planned) if planned else None
        if seen is None:
            return changes
        moved = ground_difference(seen, as_kept(self.snapshot))
        times = f"planned {seen['observed_at']}, found {self.snapshot.observed_at}"
        is_same = json.loads(self.read_plan)["changes"] == json.loads(plan.to_bytes())["changes"]
        return f"{moved} ({times})" + ("" if is_same else f"; {changes}") if moved else changes

    @property
    def _plan_anew(self) -> str:
        return f"{self._plan_command}, and have the new plan approved"

    def _refuse_beyond(self, plan: Plan, approved: Mapping[str, Any]) -> None:
        listed = {one["address"]: one for one in approved["changes"]}
        for change in plan.changes:
            then = listed.get(change.address)
            why = f"{change.address} was not in it" if then is None else _moved(change, then)
            if why:
                raise StalePlanError(
                    "what is left to do is not what was approved",
                    why=f"{why}: somebody has changed production or the tree since the unit was begun",
                    state="the unit has begun and is not finished; nothing further was sent",
                    next_step="look what was changed; to go back: pantheon-runbook run RB-040",
                )

    def _refuse_another(self, plan: Plan, approved: Mapping[str, Any]) -> None:
        """Of a unit that was never begun only what comes before it may be done already: the rest is as approved."""
        new = json.loads(plan.to_bytes())
        told = {(one["code"], one["address"], one["what"]) for one in approved["findings"]}
        then, now = ({one["address"]: _without_order(one) for one in each["changes"]} for each in (approved, new))
        differs = [name for name in ("parameters", "release") if new[name] != approved[name]]
        differs += [one["code"] for one in new["findings"] if (one["code"], one["address"], one["what"]) not in told]
        needed = (then.keys() - MADE_BEFORE) | now.keys()
        differs += sorted(name for name in needed if now.get(name) != then.get(name))
        if differs:
            raise StalePlanError(
                "the unit was not begun, and the plan of now is not the one that was approved",
                why=f"not as it was approved: {', '.join(differs)}",
                next_step=self._plan_anew,
            )

    def _is_left_of(self, plan: Plan, new: Plan) -> bool:
        """Of a unit that goes on, what was on its way may arrive at any time: that is no ground that moved."""
        if self.resumes is None or any(one.blocks for one in new.findings):
            return super()._is_left_of(plan, new)
        then, now = ({one.address: (one.action, one.before, one.after) for one in each.changes} for each in (plan, new))
        arrived = {one.address for one in plan.changes if one.action == "wait"} - now.keys()
        return now == {address: told for address, told in then.items() if address not in arrived}

    def _signed_plan(self, plan: Plan) -> Signed:
        found = self.resumes or self.signed(plan.digest)
        if found is not None:
            return found
        raise HeldError(
            "nobody has had this plan to read",
            why=f"no sealed plan run has the plan {plan.short_code}",
            state="nothing was changed",
            next_step=self._plan_anew,
        )

    def _asked(self) -> dict[str, Any]:
        """What production's ledger says of approvals, as far as it was looked at."""
        return {"consumed": self.definition.consumed, "started": self._goes_on()}

    def _goes_on(self) -> frozenset[str]:
        """The nonces that the unit of this plan was begun with, when it is open. Errors: NotApprovedError: it ended."""
        unit = self.definition.unit
        if self.resumes is None or unit is None or unit.plan_digest != self.resumes.digest:
            return frozenset()
        if unit.is_open:
            return unit.nonces
        raise NotApprovedError(
            f"the unit of work cannot go on: it is {unit.state}",
            why=f"run {unit.run_id[:8]} of {unit.operator} said so at {unit.at}",
            state="nothing was changed",
            next_step="make a plan run, and have its plan approved",
        )

    def _begin(self) -> None:
        """From here on it is under way: an approval that expires does not stop it, one that is withdrawn does."""
        assert self.plan is not None
        if self.plan.changes:
            assert self._under is not None
            self._started = self._goes_on() or self.permission.judge(self._under, **self._asked()).nonces

    def _apply(self) -> tuple[Any, dict[str, Any]]:
        value, facts = super()._apply()
        if isinstance(value, Held):
            return value, facts
        assert self.plan is not None
        return AppliedUnit(self.plan, self.results), facts

    @property
    def _goes_on_by(self) -> str:
        return self._goes_on_with(self.opening.run_id[:8])

    def _goes_on_with(self, run: str) -> str:
        own = {name: value for name, value in self.parameters.items() if name != "resume"}
        return f"pantheon-runbook run {self.opening.runbook}{spelled(own, self.opening.runbook)} --apply --resume {run}"

    @property
    def _ways_back(self) -> str:
        return f"to go back: pantheon-runbook run RB-040 -p unit={self.opening.run_id[:8]}"

    def _before_write(self, event: dict[str, Any]) -> None:
        assert self._under is not None
        self.permission.judge(self._under, started=self._started)
        super()._before_write(event)

    def _held(self, act: str) -> Held:
        step = "another person reads this plan and signs it: pantheon-runbook approve PLAN --key NAME --reason TEXT"
        if self.resumes is not None:
            step = f"{self._goes_on_with(str(self.parameters['resume']))}: the approvals that it has cover it"
        return Held(act, "this is a plan run: it ends after the plan", step)


_NOTHING = "nothing was changed"
# What every other runbook advises; a unit of work that has begun goes on under the plan that it has.
_PLAN_AGAIN = re.compile(r"(,? ?(and )?then )?(run the plan|plan|run) again.*")


def _without_order(change: Mapping[str, Any]) -> dict[str, Any]:
    """What is done already is named by no other step as one that it waits for."""
    return {name: value for name, value in change.items() if name != "depends_on"}


def _moved(change: Change, then: Mapping[str, Any]) -> str:
    """How one that is left differs from the one that was approved; "" when it does not, or is on its way."""
    for name, wanted in change.after.items():
        if name in then["after"] and then["after"][name] != wanted:
            return f"{change.address} would get {name} {wanted}, approved was {then['after'][name]}"
    if change.action == "wait":
        return ""
    for name, found in change.before.items():
        if name in then["before"] and then["before"][name] != found:
            return f"{change.address} has {name} {found}, and had {then['before'][name]} when it was approved"
    return ""
