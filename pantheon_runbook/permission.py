"""Who let a plan of production through: the plan as it was sealed, and the signed decisions beside the config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.approving import FOLDER, MAY_BE_APPROVED, envelopes_for, policy_of
from pantheon_runbook.attesting import keys_of
from pantheon_runbook.config import Config
from pantheon_runbook.errors import EvidenceError, HeldError, RunbookError
from pantheon_runbook.evidence import journal, ssh
from pantheon_runbook.evidence.approval import Approved, Case, Person, approved, authors_of, stopped
from pantheon_runbook.evidence.decisions import Decisions, decisions_of
from pantheon_runbook.evidence.runs import SealedRuns

_NOBODY: frozenset[str] = frozenset()
_PLAN, _PLANNED = "plan.json", "planned"


@dataclass(frozen=True)
class Signed:
    """The plan that people sign: its bytes, the sealed bundle of its plan run, who made it, and who else made the same.

    `continues` is the bundle of the run whose unit of work goes on, or is rolled back, under it.
    """

    plan: bytes
    bundle: str
    sealed_at: str
    requester: Person
    continues: str = ""
    others: tuple[Person, ...] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.plan).hexdigest()


def signed_plan(evidence: Path, sealed: SealedRuns, digest: str) -> Signed | None:
    """The newest plan run whose sealed plan is this one; None without one.

    A run that was held only tried to apply it, and is the one where there is no other.
    """
    found: list[Signed] = []
    runs = [run for run in sealed.runs if run.verdict in MAY_BE_APPROVED and (evidence / run.bundle / _PLAN).is_file()]
    planned, held = ([run for run in runs if (run.verdict == _PLANNED) is one] for one in (True, False))
    for run in (*reversed(planned), *reversed(held)):
        plan = (evidence / run.bundle / _PLAN).read_bytes()
        if hashlib.sha256(plan).hexdigest() == digest:
            opened = journal.read(evidence / run.bundle / "journal.jsonl")[0]
            requester = Person(str(opened["operator"]), str(opened["operator_source"]))
            if run.verdict == _PLANNED or not found:
                found.append(Signed(plan, run.bundle, run.sealed_at, requester))
    if not found:
        return None
    return replace(found[0], others=tuple(one.requester for one in found[1:] if one.requester != found[0].requester))


@dataclass(frozen=True)
class Permission:
    """Judged anew whenever it is asked for: a decision may have been withdrawn, and time passes."""

    config: Config
    folder: Path
    evidence: Path
    executor: Person
    now: Callable[[], str] = clock.stamp

    def case(self, signed: Signed, *, consumed: frozenset[str] = _NOBODY, started: frozenset[str] = _NOBODY) -> Case:
        return Case(
            plan=signed.plan,
            sealed_at=signed.sealed_at,
            keys=keys_of(self.folder, self.evidence),
            policy=policy_of(self.config),
            requester=signed.requester,
            executor=self.executor,
            authors=authors_of(signed.plan),
            now=self.now(),
            consumed=consumed,
            started=started,
            check=ssh.is_signed_by,
            where=str(self.evidence / signed.bundle / _PLAN),
            requesters=signed.others,
        )

    def seen(self, signed: Signed) -> dict[str, Any] | None:
        """What the plan run has observed, as snapshot.json holds it; None when that is not there. For a reader only."""
        try:
            return dict(json.loads((self.evidence / signed.bundle / "snapshot.json").read_bytes())["observed"])
        except (OSError, ValueError, KeyError):
            return None

    def envelopes(self, signed: Signed) -> Mapping[str, bytes]:
        """What lies there now, by the names of the files. Errors: EvidenceError."""
        return envelopes_for(self.folder, signed.digest)

    def withdrawn(self, signed: Signed, started: frozenset[str]) -> str:
        """Who has taken back what the unit with these nonces was begun under, when and why; "" for nobody."""
        try:
            stop: RunbookError | None = stopped(self.case(signed, started=started), self.envelopes(signed))
        except EvidenceError as unreadable:
            stop = unreadable
        return f"{stop.what.rstrip('.')}: {stop.why.rstrip('.')}" if stop else ""

    def judge(self, signed: Signed, **asked: Any) -> Approved:
        """Errors: HeldError while nobody has signed; NotApprovedError, StalePlanError."""
        return _judged(self.case(signed, **asked), self.envelopes(signed), self.folder)

    def decided(
        self, signed: Signed, own_plan: bytes, *, envelopes: Mapping[str, bytes] | None = None, **asked: Any
    ) -> Decisions:
        """The same as it is kept in the bundle of the run whose own plan this is. Errors: as above.

        `envelopes` are those that count, when they are not what lies there now.
        """
        case, envelopes = self.case(signed, **asked), self.envelopes(signed) if envelopes is None else envelopes
        found = _judged(case, envelopes, self.folder)
        return decisions_of(
            found, case, envelopes, planned_in=signed.bundle, own_plan=own_plan, continues=signed.continues
        )


def _judged(case: Case, envelopes: Mapping[str, bytes], folder: Path) -> Approved:
    if not envelopes and not case.started:
        raise HeldError(
            "nobody has approved this plan",
            why=f"there is no signed decision on it in {folder / FOLDER}",
            state="nothing was changed",
            next_step=f"another person reads it and signs: {case.anew}",
        )
    return approved(case, envelopes)
