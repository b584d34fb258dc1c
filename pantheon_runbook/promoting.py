"""A run on production: other people's signatures let it through, are judged anew before each write, and start one unit.

A unit that was begun goes on (`resumes`) under the plan and the approvals that it was begun under, from what stands on
the ground now: what is left must be part of what was approved, and nobody else may have moved the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from pantheon_runbook import clock
from pantheon_runbook.database.migrations.units import Unit
from pantheon_runbook.errors import HeldError, NotApprovedError, StalePlanError
from pantheon_runbook.model import Approval, Change, Held, Plan, Snapshot, digest_of
from pantheon_runbook.moved_ground import as_kept, ground_difference
from pantheon_runbook.permission import Permission, Signed
from pantheon_runbook.planning import plan_difference
from pantheon_runbook.session import Definition, Session, refuse_findings


class OnProduction(Definition, Protocol):
    """What such a runbook says beside its changes, and what production's ledger says of units of work."""

    def release(self, snapshot: Snapshot) -> Mapping[str, Any]: ...

    @property
    def unit(self) -> Unit | None: ...

    @property
    def consumed(self) -> frozenset[str]: ...


@dataclass
class PromotingSession(Session):
    """`signed` finds the sealed plan run of a plan's digest; `resumes` is the plan of the unit that goes on."""

    definition: OnProduction
    permission: Permission = field(kw_only=True)
    signed: Callable[[str], Signed | None] = field(kw_only=True)
    resumes: Signed | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._under: Signed | None = self.resumes
        self._started: frozenset[str] = frozenset()
        super().__post_init__()

    @property
    def under(self) -> tuple[str, Iterable[str]]:
        """The digest of the plan that was approved, and the nonces of its approvals, once the unit may begin."""
        assert self._under is not None
        return self._under.digest, self._started

    def _plan_for(self, snapshot: Snapshot) -> Plan:
        return replace(super()._plan_for(snapshot), release=dict(self.definition.release(snapshot)))

    def _approve(self) -> tuple[Approval | Held, dict[str, Any]]:
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
        self.keep(decisions)
        self.approval = decisions.approval
        return self.approval, {**self._facts(), **decisions.facts}

    def _facts(self) -> dict[str, Any]:
        assert self.approval is not None
        facts = {"digest": self.approval.plan_digest, "kind": self.approval.kind}
        return {**facts, "approval": digest_of(asdict(self.approval))}

    def _refuse_another_plan(self, plan: Plan) -> None:
        """The plan that was named is the one of now; of a unit that goes on, what is left is part of it."""
        if self.resumes is not None:
            self._refuse_beyond(plan, json.loads(self.resumes.plan))
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

    def _asked(self) -> dict[str, frozenset[str]]:
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

    def _before_write(self, event: dict[str, Any]) -> None:
        assert self._under is not None
        self.permission.judge(self._under, started=self._started)
        super()._before_write(event)

    def _held(self, act: str) -> Held:
        step = "another person reads this plan and signs it: pantheon-runbook approve PLAN --key NAME --reason TEXT"
        return Held(act, "this is a plan run: it ends after the plan", step)


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
