"""A run that takes a unit of work back: the unit's own approval covers it for a day, or it has one of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from pantheon_runbook import clock, outages
from pantheon_runbook.errors import HeldError, NotVerifiedError, RefusedError, RunbookError
from pantheon_runbook.evidence.decisions import Decisions
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.model import Approval, Held, Snapshot
from pantheon_runbook.permission import Permission, Signed
from pantheon_runbook.promoting import LetThrough, OnProduction, PromotingSession
from pantheon_runbook.session import Session, refuse_findings

COVERS = clock.span("24h")


@dataclass(frozen=True)
class Cover:
    """What the unit was let through by, as its sealed bundle keeps it; `sealed_at` is that bundle's.

    `refused`: why whoever runs this cannot rest on it, "" when he can.
    """

    signed: Signed
    envelopes: Mapping[str, bytes]
    nonces: frozenset[str]
    sealed_at: str
    refused: str = ""

    def why_not(self) -> str:
        """Until a day after sealing it covers; a withdrawal stops a promotion, and never the way back."""
        if not self.nonces:
            return "nobody had let that run through"
        if clock.now() >= moment_of(self.sealed_at) + COVERS:
            return f"it did for 24 hours after the promotion was sealed, at {self.sealed_at}"
        return self.refused

    def judged(self, permission: Permission) -> Cover:
        """For whoever runs it now: an approver who carries it out himself has nobody beside him."""
        try:
            if self.nonces:
                self.decided(permission, b"")
        except (HeldError, RefusedError) as error:
            return replace(self, refused=f"{error.what.rstrip('.')}: {error.why.rstrip('.')}")
        return self

    def decided(self, permission: Permission, own_plan: bytes) -> Decisions:
        """With who has withdrawn since, whom it does not wait for. Errors: HeldError, RefusedError."""
        decided = permission.decided(self.signed, own_plan, envelopes=self.envelopes, started=self.nonces)
        withdrawn = permission.withdrawn(self.signed, self.nonces)
        beside = [f"{withdrawn} (it stops no way back)"] if withdrawn else []
        return replace(decided, told={**decided.told, "not_counted": [*decided.told["not_counted"], *beside]})


class ToTheWayBack(OnProduction, Protocol):
    def is_covered(self, snapshot: Snapshot) -> bool:
        """Whether what is about to be done leads to the captured pointers, and to nothing else, in time."""
        ...


@dataclass
class RollingBackSession(PromotingSession):
    """`cover` is asked as long as the definition says that it does."""

    definition: ToTheWayBack
    permission: Permission = field(kw_only=True)
    cover: Cover = field(kw_only=True)
    _stopped_by: ClassVar[tuple[type[RunbookError], ...]] = ()  # what its own approval does not give, another one does

    def __post_init__(self) -> None:
        self._is_covered = False
        super().__post_init__()

    def _approve(self) -> tuple[Approval | LetThrough | Held, dict[str, Any]]:
        assert self.plan is not None
        assert self.snapshot is not None
        if self.opening.mode == "plan" or not self.plan.changes or not self.definition.is_covered(self.snapshot):
            return super()._approve()
        refuse_findings(self.plan)
        self._refuse_another_plan(self.plan)
        self._under, self._is_covered = self.cover.signed, True
        return self._let_through(self.cover.decided(self.permission, self.plan.to_bytes()))

    def _begin(self) -> None:
        if not self._is_covered:
            super()._begin()

    def _before_write(self, event: dict[str, Any]) -> None:
        if self._is_covered:
            Session._before_write(self, event)  # noqa: SLF001  what was approved is the way back, to the end of it
        else:
            super()._before_write(event)

    def _told(self, act: str, error: RunbookError) -> RunbookError:
        """An outage is told there in the words of a promotion, which may have ended long ago."""
        told = super()._told(act, error)
        if outages.outage(told):
            told.what = told.what.replace("the promotion", "the way back").replace("promoted", "taken back")
            told.state = told.state.replace("the unit is open, and nothing", "nothing")
        return told

    def _not_verified(self, error: RunbookError) -> RunbookError:
        if isinstance(error, NotVerifiedError):
            error.state = "all that was to be taken back is, and not verified."
            error.next_step = f"put right what it names and look again: {self._plan_command} --apply"
        return error

    @property
    def _plan_anew(self) -> str:
        """What is back already is not in the plan of now; that needs nobody else as long as it is covered."""
        assert self.snapshot is not None
        if self.definition.is_covered(self.snapshot):
            return f"{self._plan_command} --apply: from what stands now, under the approval of the promotion"
        return super()._plan_anew

    @property
    def _goes_on_by(self) -> str:
        return f"{self._plan_command} --apply"

    @property
    def _ways_back(self) -> str:
        return "it looks at what is left, and goes on from there"

    def _held(self, act: str) -> Held:
        assert self.snapshot is not None
        if not self.definition.is_covered(self.snapshot):
            return super()._held(act)
        step = f"{self._plan_command} --apply: the approval of the promotion covers it"
        return Held(act, "this is a plan run: it ends after the plan", step)
