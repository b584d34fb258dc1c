"""The values that pass between the acts; all frozen, all plain JSON inside, none holds a secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Attributes = Mapping[str, Any]
State = Literal["present", "absent", "unreadable"]
Outcome = Literal["done", "not-ready", "not-done", "unknown"]
_COMPARISON_SCHEMA = "pantheon-runbook/comparison/1"
OUTCOME_WORDS: Mapping[Outcome, str] = {
    "done": "done", "not-ready": "made but not ready", "not-done": "not done", "unknown": "unknown",
}  # fmt: skip
ExposureState = Literal["closed by vendor", "closed by this tool", "open", "cannot be read"]
Relation = Literal[
    "shared", "same", "differs", "missing", "only in staging", "wrong", "drifted",
    "must be equal and is", "must be equal and is not", "cannot be read",
]  # fmt: skip
RELATIONS: tuple[Relation, ...] = (
    "shared", "must be equal and is not", "wrong", "drifted", "cannot be read", "missing",
    "same", "only in staging", "must be equal and is", "differs",
)  # fmt: skip
ApprovalKind = Literal[
    "self-approved, not pre-read", "self-approved, pre-read", "nothing to approve",
    "approved", "separation of duties: not met",
]  # fmt: skip


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8. Digests are taken over these bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def banner(cloud: str) -> str:
    """What stands first wherever a run is shown: a rehearsal must never be taken for the real thing."""
    return "LIVE" if cloud == "live" else "SANDBOX REHEARSAL"


def counted(number: int, noun: str) -> str:
    """For a reader: "1 change", "3 changes"; of nouns that take an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short_code(digest: str) -> str:
    """Eight characters of a digest for people to compare, for example "4be1-c09d"."""
    return f"{digest[:4]}-{digest[4:8]}"


def digest_of(value: Any) -> str:
    """sha256 of the canonical bytes, 64 hexadecimal characters."""
    return hashlib.sha256(canonical(value)).hexdigest()


@dataclass(frozen=True, slots=True)
class Resource:
    """What was seen at one address, for example "supabase/bucket/avatars".

    `attributes` hold values that may be shown; a secret is {"fingerprint": 64 hex}, one that the vendor
    never shows again is {"unreadable": true}. `note` says in a few words what a reader should know.
    """

    address: str
    state: State
    attributes: Attributes = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong or shared; a blocking one keeps apply from starting."""

    code: str
    address: str
    what: str
    next_step: str
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class Exposure:
    """One way in which production can change without this tool, as found; `next_step` closes it, "" when it is closed.

    `address` is stable, for example "vercel/production-branch"; `found` says what the vendor shows, without a value.
    """

    address: str
    what: str
    state: ExposureState
    found: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything observed at one time, sorted by address; the digest covers it all, the time apart.

    `identities` are what the vendors call this environment; `production` is what identities.toml says of production.
    """

    cloud: str
    environment: str
    identities: Mapping[str, str]
    production: Mapping[str, str]
    resources: tuple[Resource, ...]
    findings: tuple[Finding, ...]
    observed_at: str

    def get(self, address: str) -> Resource:
        """The resource at this address; one that nobody saw is absent."""
        return next((seen for seen in self.resources if seen.address == address), Resource(address, "absent"))

    @property
    def digest(self) -> str:
        content = asdict(self)
        del content["observed_at"]
        return digest_of(content)


@dataclass(frozen=True, slots=True)
class Desired:
    """What should stand at one address, and how a reader should think of changing it.

    An attribute {"from": NAME, "fingerprint": 64 hex or null} is a value that the runner holds or will hold;
    null means "known once what it depends on exists".
    """

    address: str
    attributes: Attributes
    depends_on: tuple[str, ...] = ()
    risk: str = "none: new and unused"
    undo: str = "put the former values back"
    undo_of_create: str = "delete it"
    action: str | None = None  # when it is neither "create" nor "update"


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a plan. `action` is its kind's verb: create, update, wait, apply, promote, roll back ..."""

    address: str
    action: str
    before: Attributes
    after: Attributes
    depends_on: tuple[str, ...]
    risk: str
    undo: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be changed, bound to what was seen; equal inputs give equal bytes, so the digest can be approved."""

    cloud: str
    environment: str
    runbook: str
    runbook_digest: str
    identities: Mapping[str, str]
    production: Mapping[str, str]
    snapshot_digest: str
    parameters: Mapping[str, Any]
    changes: tuple[Change, ...]
    left_alone: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    manual_steps: tuple[str, ...]
    calls: Mapping[str, Mapping[str, Any]]
    release: Mapping[str, Any] = field(default_factory=dict)  # of a promotion: what it rests on, and the way back

    def to_bytes(self) -> bytes:
        return canonical(asdict(self))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def short_code(self) -> str:
        return short_code(self.digest)


@dataclass(frozen=True, slots=True)
class Approval:
    """Who let this plan through, and where that name comes from."""

    plan_digest: str
    approver: str
    source: str
    kind: ApprovalKind
    at: str


@dataclass(frozen=True, slots=True)
class Held:
    """An act that does nothing now, by design, and what it waits for."""

    act: str
    why: str
    next_step: str


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one change; `reason` is for the reader, `seconds` is measured."""

    address: str
    outcome: Outcome
    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked after the work: what was expected, what was found."""

    name: str
    expected: str
    found: str
    passed: bool


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """How one thing of staging relates to production's, or to what it should be; `found` is words, never a value."""

    subject: str
    relation: Relation
    expected: str
    found: str
    is_alarm: bool = False
    next_step: str = ""
    attributes: tuple[str, ...] = ()  # the ones that raise it, where it is not the whole thing

    @property
    def in_words(self) -> str:
        """The relation, and what was found of it; once where the latter begins with the former."""
        return self.found if self.found.startswith(self.relation) else f"{self.relation}: {self.found}"


@dataclass(frozen=True)
class Comparison:
    """The whole matrix. `ground` is what a later run is held against; `baseline` names the run that this one was.

    `accepted` is what drifted since then and is the ground of later runs from this one on: an apply run takes it so.
    """

    environment: str
    rows: tuple[MatrixRow, ...]
    exposures: tuple[Exposure, ...]
    ground: Mapping[str, Any]
    baseline: str = ""
    accepted: tuple[MatrixRow, ...] = ()

    @property
    def alarms(self) -> tuple[MatrixRow, ...]:
        """The gravest first."""
        return tuple(
            sorted(
                (row for row in self.rows if row.is_alarm), key=lambda row: (RELATIONS.index(row.relation), row.subject)
            )
        )

    @property
    def open_exposures(self) -> tuple[Exposure, ...]:
        return tuple(one for one in self.exposures if one.state == "open")

    @property
    def checks(self) -> tuple[Check, ...]:
        """One for each row, the gravest first: the table of the report."""
        ordered = (*self.alarms, *(row for row in self.rows if not row.is_alarm))
        return tuple(Check(row.subject, row.expected, row.in_words, not row.is_alarm) for row in ordered)

    @property
    def files(self) -> Mapping[str, bytes]:
        return {"comparison.json": canonical({"schema": _COMPARISON_SCHEMA, **asdict(self)})}


@dataclass(frozen=True, slots=True)
class Verification:
    """The checks after an apply, what was seen when they were made, where it answers, and what is left for people."""

    checks: tuple[Check, ...]
    snapshot: Snapshot
    endpoints: tuple[tuple[str, str], ...]
    manual_steps: tuple[str, ...]
    comparison: Comparison | None = None

    @property
    def files(self) -> Mapping[str, bytes]:
        return self.comparison.files if self.comparison else {}


@runtime_checkable
class WithFiles(Protocol):
    """What an act brought, when it is kept as files of the bundle: content by name."""

    @property
    def files(self) -> Mapping[str, bytes]: ...
