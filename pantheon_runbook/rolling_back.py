"""A run that takes a unit of work back: the unit's own approval covers it for a day, or it has one of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pantheon_runbook import clock
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.model import Approval, Held, Snapshot
from pantheon_runbook.permission import Permission, Signed
from pantheon_runbook.promoting import LetThrough, OnProduction, PromotingSession
from pantheon_runbook.session import Session, refuse_findings

COVERS = clock.span("24h")


@dataclass(frozen=True)
class Cover:
    """What the unit was let through by, as its sealed bundle keeps it; `sealed_at` is that bundle's."""

    signed: Signed
    envelopes: Mapping[str, bytes]
    nonces: frozenset[str]
    sealed_at: str

    def holds(self) -> bool:
        """Until a day after sealing; a withdrawal stops a promotion, and never the way back."""
        return bool(self.nonces) and clock.now() < moment_of(self.sealed_at) + COVERS


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
        cover = self.cover
        decisions = self.permission.decided(
            cover.signed, self.plan.to_bytes(), envelopes=cover.envelopes, started=cover.nonces
        )
        self._under, self._is_covered = cover.signed, True
        return self._let_through(decisions)

    def _begin(self) -> None:
        if not self._is_covered:
            super()._begin()

    def _before_write(self, event: dict[str, Any]) -> None:
        if self._is_covered:
            Session._before_write(self, event)  # noqa: SLF001  what was approved is the way back, to the end of it
        else:
            super()._before_write(event)

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
