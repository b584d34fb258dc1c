"""A hotfix goes around staging, by one signature and with a reason; within 48 hours it owes what it went around. Pure.

What it owes is the signature of a second person under the same plan, and the proof of what it brought on staging. Until
both are there every run says so, and from then on nothing else is promoted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.model import Finding
from pantheon_runbook.promotion.staging_evidence import Release

WITHIN = timedelta(hours=48)
SHORTEST_REASON = 10
ADDRESS = "production/hotfix"
_SIGNERS = 2


@dataclass(frozen=True)
class Hotfix:
    """One that has changed production: by which run (sealed `at`, UTC), why, and what it brought.

    `signers` are those whose approval of its plan counts, `is_proven` whether staging has proven it since.
    """

    bundle: str
    planned_in: str
    at: str
    reason: str
    signers: Collection[str] = ()
    is_proven: bool = False

    @property
    def due(self) -> datetime:
        return moment_of(self.at) + WITHIN

    @property
    def owes(self) -> tuple[str, ...]:
        """In words; () when nothing is left."""
        signature = () if len(self.signers) >= _SIGNERS else ("the signature of a second person",)
        return (*signature, *(() if self.is_proven else ("its proof on staging",)))

    def in_words(self, now: datetime) -> str:
        until = f"until {self.due:%Y-%m-%dT%H:%M:%SZ}" if now < self.due else f"since {self.due:%Y-%m-%dT%H:%M:%SZ}"
        return f"the hotfix {self.bundle} ({self.reason}) owes {' and '.join(self.owes)}, {until}"

    def next_step(self, evidence: str, staging: str) -> str:
        steps = {
            "the signature of a second person": f"pantheon-runbook approve {evidence}/{self.planned_in}/plan.json "
            "--key NAME --reason TEXT",
            "its proof on staging": f"bring it to the release branch, then pantheon-runbook run RB-020 -e {staging} "
            "--apply",
        }
        return "; ".join(steps[one] for one in self.owes)


def release_of(plan: Mapping[str, Any], revision: str) -> Release:
    """What a plan brings, as staging would have to prove it. `revision` is the prefix of the revisions' addresses."""
    prefix = f"{revision}/"
    brought = {
        one["address"].removeprefix(prefix): str(one["after"]["digest"])
        for one in plan["changes"]
        if one["address"].startswith(prefix)
    }
    return Release(brought, tuple(brought), dict(plan["release"]["commits"]))


def hotfix_findings(hotfixes: Iterable[Hotfix], *, now: datetime, evidence: str, staging: str) -> Iterator[Finding]:
    """What is owed is red; what is overdue keeps everything else from being promoted."""
    for one in hotfixes:
        if one.owes:
            step = one.next_step(evidence, staging)
            yield Finding("hotfix-owes", f"{ADDRESS}/{one.bundle}", one.in_words(now), step, blocks=now >= one.due)
