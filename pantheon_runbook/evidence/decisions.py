"""The decisions that let a run through, as its bundle keeps them: to be checked offline, next year too. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from pantheon_runbook.evidence.approval import Approved, Case, Person
from pantheon_runbook.evidence.verify import DECISIONS, DECISIONS_SCHEMA, SIGNED_PLAN, STOPPED_BY
from pantheon_runbook.model import Approval, ApprovalKind, canonical, digest_of

FOLDER = "approvals"


@dataclass(frozen=True)
class Decisions:
    """What was judged, by whom it is and what it came to; `told` is the content of decisions.json.

    `signed_plan` are the bytes of the plan that people signed, b"" when it is the plan of this very run, whose digest
    is `plan_digest`. Keep it before the act ends: `facts` belong on that line of the journal.
    """

    told: Mapping[str, Any]
    kind: ApprovalKind
    plan_digest: str
    signed_plan: bytes = b""

    @property
    def files(self) -> Mapping[str, bytes]:
        beside = {SIGNED_PLAN: self.signed_plan} if self.signed_plan else {}
        return {DECISIONS: canonical(self.told), **beside}

    @property
    def facts(self) -> Mapping[str, str]:
        beside = {"approved_plan": sha256(self.signed_plan).hexdigest()} if self.signed_plan else {}
        return {"decisions": digest_of(self.told), **beside}

    @property
    def approval(self) -> Approval:
        """The same as every run has it, of the plan of this run."""
        people = self.told["approvers"]
        names, sources = (", ".join(one[what] for one in people) for what in ("name", "source"))
        return Approval(self.plan_digest, names, sources, self.kind, self.told["judged_at"])


@dataclass(frozen=True)
class StoppedBy:
    """What lay there for the plan when people stopped the run, by the names of the files: a withdrawal above all."""

    envelopes: Mapping[str, bytes]

    @property
    def files(self) -> Mapping[str, bytes]:
        return {STOPPED_BY: canonical({"envelopes": _texts(self.envelopes)})}


def decisions_of(
    approved: Approved,
    case: Case,
    envelopes: Mapping[str, bytes],
    *,
    planned_in: str,
    own_plan: bytes = b"",
    continues: str = "",
) -> Decisions:
    """What `approval.approved` made of these `envelopes`, by the names of their files.

    `planned_in` is the bundle in which the plan was made. A run that goes on with another, or undoes it, under the
    same approval names that bundle (`continues`) and has a plan of its own (`own_plan`).
    """
    digest = case.about.plan_digest
    own_digest = sha256(own_plan).hexdigest() if own_plan else digest
    told = {
        "schema": DECISIONS_SCHEMA,
        "kind": approved.kind,
        "plan_digest": digest,
        "planned_in": planned_in,
        "sealed_at": case.sealed_at,
        "judged_at": case.now,
        "requester": _person(case.requester),
        "executor": _person(case.executor),
        "authors": [{**_person(author), "also": list(author.also)} for author in case.authors],
        "approvers": [asdict(one) for one in approved.approvers],
        "unknown": list(approved.unknown),
        "not_counted": list(approved.not_counted),
        "envelopes": _texts(envelopes),
        "continues": continues,
    }
    return Decisions(told, approved.kind, own_digest, b"" if own_digest == digest else case.plan)


def _person(person: Person) -> dict[str, str]:
    return {"name": person.name, "source": person.source}


def _texts(envelopes: Mapping[str, bytes]) -> dict[str, str]:
    """By the name of its file; of two that are called alike in different folders none is lost."""
    texts: dict[str, str] = {}
    for where, raw in sorted(envelopes.items()):
        name, text = PurePath(where).name, raw.decode(errors="backslashreplace")
        is_taken = texts.get(f"{FOLDER}/{name}", text) != text
        texts[f"{FOLDER}/{sha256(raw).hexdigest()[:8]}-{name}" if is_taken else f"{FOLDER}/{name}"] = text
    return texts
