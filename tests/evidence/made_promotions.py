"""A change of production that other people have signed: its plan run, and runs under their decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from made_runs import ACTS, CHANGES, PLAN, Maker
from test_approval import KEYS

from pantheon_runbook import clock
from pantheon_runbook.evidence import approval, decision, seal, verify
from pantheon_runbook.evidence.approval import Case, Person, Policy
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.decision import About, Said
from pantheon_runbook.evidence.decisions import Decisions, decisions_of
from pantheon_runbook.model import canonical
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

NOW, EXPIRES, PAST = (f"2026-11-24T{hour}:00:00Z" for hour in ("10", "22", "23"))
PLANNED = {**PLAN, "environment": "production", "runbook": "RB-030", "parameters": {}}
# What is left to do is planned anew when it goes on: another digest, under the approval of the first.
LEFT = {**PLANNED, "changes": CHANGES[1:]}
BACK = {**PLANNED, "runbook": "RB-040"}
ABOUT = About.of(canonical(PLANNED))
ANA = Said(ABOUT, "approve", "ana", "read it", ABOUT.short_code, NOW, EXPIRES, "1" * 32)
BEN = replace(ANA, approver="ben", reason="read it too", nonce="2" * 32)
SOURCE = "self-asserted (PANTHEON_OPERATOR)"


@dataclass
class Promotions:
    """One evidence folder, with keys of ana and ben pinned in it, and the sealed plan run by req."""

    make: Maker
    registry: Registry = field(default_factory=Registry)

    def __post_init__(self) -> None:
        self.trust = self.make.evidence / seal.TRUST
        for name in ("ana", "ben"):
            seal.pin(KEYS[name], self.trust, owner=name, cloud="sandbox", role="approve")
        self.planned = self._planned()

    def _planned(self) -> Path:
        about = {"runbook": "RB-030", "environment": "production"}
        bundle, lines = self.make.begun(0, acts=ACTS[:3], mode="plan", operator="req", plan=PLANNED, **about)
        for act in ACTS[3:]:
            lines.write("act-begins", act=act)
            lines.write("act-ends", act=act, held=True)
        return bundle.seal(self.make.key, NotebookStatus("not-observed"))[0]

    @property
    def case(self) -> Case:
        return Case(
            plan=canonical(PLANNED),
            sealed_at=json.loads((self.planned / "manifest.json").read_bytes())["sealed_at"],
            keys=verify.pinned_keys(self.trust)[0],
            policy=Policy(),
            requester=Person("req", SOURCE),
            executor=Person("exe", SOURCE),
            authors=(Person("Dev Loper", "git", ("dev@example.org",)),),
            now=clock.stamp(),
        )

    @property
    def envelopes(self) -> dict[str, bytes]:
        return {f"{one.approver}.json": decision.signed(one, KEYS[one.approver]) for one in (ANA, BEN)}

    def decided(
        self, *envelopes: Mapping[str, bytes], plan: Mapping[str, Any] = PLANNED, continues: str = "", **case: Any
    ) -> Decisions:
        """As RB-030 has it, from the real judgement."""
        asked, signed = replace(self.case, **case), (envelopes or (self.envelopes,))[0]
        found = approval.approved(asked, signed)
        own = canonical(plan)
        return decisions_of(found, asked, signed, planned_in=self.planned.name, own_plan=own, continues=continues)

    def begun(
        self,
        decisions: Decisions | None,
        number: int = 1,
        *,
        plan: Mapping[str, Any] = PLANNED,
        acts: tuple[str, ...] = ACTS,
        operator: str = "exe",
    ) -> Bundle:
        about = {"runbook": plan["runbook"], "environment": "production"}
        return self.make.begun(
            number, self.registry, acts=acts, operator=operator, plan=plan, decisions=decisions, **about
        )[0]

    def sealed(self, decisions: Decisions | None, number: int = 1, **how: Any) -> Path:
        """An apply run by exe under these decisions."""
        bundle = self.begun(decisions, number, **how)
        return bundle.seal(self.make.key, NotebookStatus("not-observed"))[0]

    def gone_on(self, *, plan: Mapping[str, Any] = LEFT) -> Path:
        """What is sealed as number 1 began; this goes on with it, or takes it back, after the approvals have ended."""
        former = self.sealed(self.decided())
        clock.pin(PAST)
        nonces = frozenset({ANA.nonce, BEN.nonce})
        decisions = self.decided(plan=plan, continues=former.name, started=nonces, consumed=nonces)
        return self.sealed(decisions, 2, plan=plan)
