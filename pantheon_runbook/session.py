"""One run: its acts in order, each once, with a journal line before and after. Here: the five acts of a change."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Protocol

from pantheon_runbook import clock
from pantheon_runbook.applying import Applying, current_change, order_of_looks, raise_unfinished
from pantheon_runbook.errors import (
    ActOrderError,
    BlockedPlanError,
    EvidenceError,
    NotVerifiedError,
    RunbookError,
    StalePlanError,
    UnrecordedError,
)
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.isolation.identity import Known, refuse_others, refuse_unobserved
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import (
    Approval,
    ApprovalKind,
    Change,
    Check,
    Comparison,
    Desired,
    Finding,
    Held,
    Plan,
    Resource,
    Snapshot,
    StepResult,
    Verification,
    WithFiles,
    digest_of,
)
from pantheon_runbook.moved_ground import as_kept, ground_difference
from pantheon_runbook.planning import build_plan, difference, is_plan_for, plan_difference, shown
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.runbooks import spelled
from pantheon_runbook.standing import with_standing

# A plan that was read in a plan run is the same plan in the apply run that names it.
_HOW_IT_IS_RUN = frozenset({"mode", "plan_file", "resume"})
ACTS = ("observe", "plan", "approve", "apply", "verify")


@dataclass(frozen=True)
class Opening:
    """The first card: who runs what, where, and as what."""

    runbook: str
    title: str
    cloud: str
    environment: str
    mode: str
    run_id: str
    started_at: str
    operator: str
    operator_source: str
    warnings: tuple[str, ...] = ()
    host: str = ""
    tool: Mapping[str, str] = field(default_factory=dict)  # versions of what ran, by name
    decided_by: Mapping[str, str] = field(default_factory=dict)  # sha256 of the committed files, by name
    ci: str = ""  # where the job is that runs this, and its attempt; "" on somebody's machine


@dataclass(frozen=True)
class Measured:
    """What the looks have measured beside what they saw, by file of the bundle."""

    files: Mapping[str, bytes] = field(default_factory=dict)


class Definition(Protocol):
    """What one runbook wants of the world; pure, apart from `probes` and `isolation`, which read."""

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]: ...

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]: ...

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]: ...

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]: ...

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]: ...

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]: ...

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison | None: ...


@dataclass
class Session:
    """Everything one run needs; made by `runner.wiring`, driven by whoever serves the notebook.

    `read_plan` holds the bytes of a plan.json that the operator has read (b"" when none was named).
    `hold_writer_lock` keeps other machines out while this one writes; `stop` is set when the run is to end early.
    `keep` puts what an act brought on the disk. `acts` are the ones there are, in their order.
    """

    acts: ClassVar[tuple[str, ...]] = ACTS
    opening: Opening
    definition: Definition
    kinds: Mapping[str, Kind]
    journal: Journal
    gate: WriteGate
    runbook_digest: str
    parameters: Mapping[str, Any]
    known: Known
    read_plan: bytes = b""
    progress: Callable[[str], None] = print
    hold_writer_lock: Callable[[], AbstractContextManager[str]] = lambda: nullcontext("none")
    stop: threading.Event = field(default_factory=threading.Event)
    keep: Callable[[Any], None] = lambda _value: None

    def __post_init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.plan: Plan | None = None
        self.approval: Approval | None = None
        self.results: tuple[StepResult, ...] = ()
        self.checks: tuple[Check, ...] = ()
        self._measured = Measured()
        self._done: list[str] = []
        self.gate.before = self._before_write
        self.gate.after = self._after_write
        self.journal.write(
            "run-opened",
            runbook=self.opening.runbook,
            cloud=self.opening.cloud,
            environment=self.opening.environment,
            mode=self.opening.mode,
            operator=self.opening.operator,
            operator_source=self.opening.operator_source,
            **({"ci": self.opening.ci} if self.opening.ci else {}),
            host=self.opening.host,
            decided_by=dict(self.opening.decided_by),
            parameters=dict(self.parameters),
            read_plan=hashlib.sha256(self.read_plan).hexdigest() if self.read_plan else None,
            tool=dict(self.opening.tool),
        )
        self.journal.write("act-begins", act="open")
        self.journal.write("act-ends", act="open")

    def perform(self, act: str) -> Any:
        """The value of one act: Snapshot, Plan, Approval, results, checks, or Held. Raises RunbookError."""
        self._require_order(act)
        self.journal.write("act-begins", act=act)
        try:
            value, facts = self._act(act)
            self.keep(value)  # before its end is journalled: an act that ended can be shown
        except RunbookError as error:
            self.journal.write("act-failed", act=act, **error.as_json())
            raise
        self._done.append(act)
        self.journal.write("act-ends", act=act, **facts)
        return value

    def _act(self, act: str) -> tuple[Any, dict[str, Any]]:
        """What it came to, and what its last line says of it."""
        value, facts = getattr(self, f"_{act}")()
        return value, facts

    def end(self, stopped_by: str = "") -> None:
        """The run's own last line, and who asked for an early end.

        Its chain goes on from what this process wrote: a journal that somebody else rewrote meanwhile is broken by it.
        """
        self.journal.write("run-ends", **({"stopped_by": stopped_by} if stopped_by else {}))

    def _require_order(self, act: str) -> None:
        expected = self.acts[len(self._done)] if len(self._done) < len(self.acts) else ""
        if act == expected:
            return
        error = ActOrderError(
            f"the act {act} came out of order",
            why=f"next in this run is {expected or 'the end: every act has been done'}",
            next_step=f"run the {expected} cell, or restart the kernel and run from the top"
            if expected
            else "restart the kernel for another run",
        )
        self.journal.write("act-failed", act=act, out_of_order=True, **error.as_json())
        raise error

    def _observe(self) -> tuple[Snapshot, dict[str, Any]]:
        self.snapshot = self._look_at_everything()
        facts = {"resources": len(self.snapshot.resources), "snapshot": self.snapshot.digest}
        if not self._measured.files:
            return self.snapshot, facts
        self.keep(self._measured)
        return self.snapshot, {**facts, "files": file_digests(self._measured)}

    def _plan(self) -> tuple[Plan, dict[str, Any]]:
        assert self.snapshot is not None
        self.plan = self._plan_for(self.snapshot)
        blocking = sum(finding.blocks for finding in self.plan.findings)
        facts: dict[str, Any] = {"digest": self.plan.digest, "changes": len(self.plan.changes)}
        return self.plan, {**facts, **({"blocking": blocking} if blocking else {})}

    def _approve(self) -> tuple[Any, dict[str, Any]]:
        """On staging the operator may approve his own plan; a blocking finding nobody can."""
        assert self.plan is not None
        if self.opening.mode == "plan":
            return self._held("approve"), {"held": True}
        refuse_findings(self.plan)
        pre_read = self.read_plan == self.plan.to_bytes()
        if self.read_plan and not pre_read and not self._was_carried_out():
            raise StalePlanError(
                "the plan that was read is not the plan of now",
                why=plan_difference(self.read_plan, self.plan),
                next_step=self._plan_command,
            )
        kind: ApprovalKind = "self-approved, pre-read" if pre_read else "self-approved, not pre-read"
        self.approval = Approval(
            plan_digest=self.plan.digest,
            approver=self.opening.operator,
            source=self.opening.operator_source,
            kind=kind if self.plan.changes else "nothing to approve",
            at=clock.stamp(),
        )
        facts = {"digest": self.approval.plan_digest, "kind": self.approval.kind}
        return self.approval, {**facts, "approval": digest_of(asdict(self.approval))}

    def _was_carried_out(self) -> bool:
        """A plan of ours that was read, with nothing left to do today: naming it twice does no harm."""
        assert self.plan is not None
        return not self.plan.changes and is_plan_for(self.read_plan, self.plan)

    def _apply(self) -> tuple[tuple[StepResult, ...] | Held, dict[str, Any]]:
        if self.opening.mode == "plan":
            return self._held("apply"), {"held": True}
        assert self.plan is not None
        assert self.approval is not None
        applying = Applying(
            {change.address: self._kind_of(change.address) for change in self.plan.changes},
            look=self._look_at,
            journal=self.journal,
            progress=self.progress,
            stop=self.stop,
            settled=self._accept,
        )
        with self.hold_writer_lock() as lock:
            self.journal.write("writer-locked", lock=lock)
            self._refuse_moved_ground(self.plan)  # inside the lock: nobody moves it from here on
            self._begin()
            self.gate.is_open = True
            try:
                self.results = applying.run(self.plan)
            finally:
                self.gate.is_open = False
        raise_unfinished(self.results, applying.errors)
        return self.results, {"done": len(self.results)}

    def _verify(self) -> tuple[Verification | Held, dict[str, Any]]:
        if self.opening.mode == "plan":
            return self._held("verify"), {"held": True}
        snapshot = self._look_at_everything()
        assert self.plan is not None
        comparison = self.definition.isolation(snapshot, self.plan.changes)
        self.checks = (*self._as_desired(snapshot), *self.definition.probes(snapshot))
        self.checks += (_isolated(comparison),) if comparison else ()
        failed = [check for check in self.checks if not check.passed]
        self.journal.write(
            "checks", checks=[[check.name, check.expected, check.found, check.passed] for check in self.checks]
        )
        if failed:
            raise NotVerifiedError(
                f"{len(failed)} of {len(self.checks)} checks failed, first: {failed[0].name}",
                why=f"expected {failed[0].expected}, found {failed[0].found}",
                state="applied, not verified",
                next_step=f"put right what it names, then {self._plan_command} --apply: that checks again",
            )
        endpoints, by_hand = self.definition.endpoints(snapshot), self.definition.manual_steps(snapshot)
        facts = {"passed": len(self.checks), "endpoints": dict(endpoints), "by_hand": list(by_hand)}
        facts["identities"] = dict(snapshot.identities)
        if comparison:
            facts["files"] = file_digests(comparison)
            facts["drift_accepted"] = [row.subject for row in comparison.accepted]
        return Verification(self.checks, snapshot, endpoints, by_hand, comparison), facts

    def _look_at_everything(self) -> Snapshot:
        """Reads only: the gate is shut, and a request that writes would be refused."""
        resources: list[Resource] = []
        findings: list[Finding] = []
        identities: dict[str, str] = {}
        files: dict[str, bytes] = {}
        groups = order_of_looks((prefix, kind.looks_after) for prefix, kind in self.kinds.items())
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="look") as pool:
            for group in groups:
                for look in pool.map(lambda prefix: self.kinds[prefix].look(), group):
                    resources.extend(look.resources)
                    findings.extend(look.findings)
                    identities.update(look.identities)
                    files.update(look.files)
                self._refuse_production(identities)
        self._measured = Measured(files)
        refuse_unobserved(resources, identities, self.known)
        self.gate.accepted = frozenset(name for kind in self.kinds.values() for name in kind.ids())
        seen = Snapshot(
            cloud=self.opening.cloud,
            environment=self.opening.environment,
            identities=dict(sorted(identities.items())),
            production=dict(sorted(self.known.production.items())),
            resources=tuple(sorted(resources, key=lambda resource: resource.address)),
            findings=(),
            observed_at=clock.stamp(),
        )
        everything = (*findings, *self.definition.findings(seen))
        return replace(self._judged(seen), findings=tuple(sorted(everything, key=lambda one: (one.address, one.code))))

    def _refuse_production(self, identities: Mapping[str, str]) -> None:
        refuse_others(identities, self.known)

    def _judged(self, seen: Snapshot) -> Snapshot:
        return with_standing(self.definition.desired(seen), seen)

    def _plan_for(self, snapshot: Snapshot) -> Plan:
        desired = self.definition.desired(snapshot)
        return build_plan(
            desired,
            snapshot,
            runbook=self.opening.runbook,
            runbook_digest=self.runbook_digest,
            parameters={name: value for name, value in self.parameters.items() if name not in _HOW_IT_IS_RUN},
            manual_steps=self.definition.manual_steps(snapshot),
            calls=self.definition.calls(desired, snapshot),
        )

    def _begin(self) -> None:
        """The last word before the gate opens, inside the lock; nothing, unless a session says otherwise."""

    def _refuse_moved_ground(self, plan: Plan) -> None:
        """Observe again; what was approved holds only for what was seen then."""
        assert self.snapshot is not None
        now = self._look_at_everything()
        new = self._plan_for(now)
        self.journal.write("looked-again", snapshot=now.digest, plan=new.digest)
        if not self._is_left_of(plan, new):
            moved = ground_difference(as_kept(self.snapshot), as_kept(now))
            others = f"; {plan_difference(plan.to_bytes(), new)}" if new.changes != plan.changes else ""
            raise StalePlanError(
                f'the plan for "{self.opening.environment}" is out of date',
                why=f"{moved} (planned {self.snapshot.observed_at}, found {now.observed_at}){others}",
                next_step=self._plan_anew,
            )

    def _is_left_of(self, plan: Plan, new: Plan) -> bool:
        """Whether the plan of a moment later is this one, or what is left of it, so that it may be carried out."""
        return new.digest == plan.digest

    def _as_desired(self, snapshot: Snapshot) -> tuple[Check, ...]:
        """One check per resource with what it should be and what it is; secrets by fingerprint, never by value."""
        checks = []
        for desired in sorted(self.definition.desired(snapshot), key=lambda one: one.address):
            seen = snapshot.get(desired.address)
            expected, found = shown(desired.attributes), shown(seen.attributes, like=desired.attributes)
            checks.append(Check(desired.address, expected, found or seen.state, not difference(desired, seen)))
        blocking = [finding.what for finding in snapshot.findings if finding.blocks]
        checks.append(Check("findings", "none", "; ".join(blocking) or "none", not blocking))
        return tuple(checks)

    def _accept(self, change: Change) -> None:
        """What came into being in this run may be written to from now on."""
        self.gate.accepted |= frozenset(self._kind_of(change.address).ids())

    def _look_at(self, address: str) -> Resource:
        seen = self._kind_of(address).look().resources
        return next((resource for resource in seen if resource.address == address), Resource(address, "absent"))

    def _kind_of(self, address: str) -> Kind:
        return next(
            kind for prefix, kind in self.kinds.items() if address == prefix or address.startswith(f"{prefix}/")
        )

    def _held(self, act: str) -> Held:
        assert self.plan is not None
        return Held(
            act,
            "this is a plan run: it ends after the plan",
            f"{self._plan_command} --apply",
        )

    @property
    def _plan_command(self) -> str:
        said = spelled(self.parameters, self.opening.runbook)
        return f"pantheon-runbook run {self.opening.runbook} -e {self.opening.environment}{said}"

    @property
    def _plan_anew(self) -> str:
        """What to do about a plan that is out of date."""
        return self._plan_command

    def _before_write(self, event: dict[str, Any]) -> None:
        self.journal.write("write-intent", address=current_change.get(), **event)

    def _after_write(self, event: dict[str, Any]) -> None:
        try:
            self.journal.write("write-result", address=current_change.get(), **event)
        except EvidenceError as error:
            raise UnrecordedError(
                f"{event['vendor']}: {event['operation']} was sent, and its result cannot be written down",
                why=error.why,
                state=f"sent, with the result {event['result']}",
                next_step=error.next_step,
            ) from error


def _isolated(comparison: Comparison) -> Check:
    alarms = ", ".join(f"{row.subject} {row.relation}" for row in comparison.alarms)
    return Check("beside production", "nothing shared or wrong", alarms or "nothing shared or wrong", not alarms)


def file_digests(kept: WithFiles) -> dict[str, str]:
    """So that the journal tells of each file that an act has left."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in kept.files.items()}


def refuse_findings(plan: Plan) -> None:
    blocking = [finding for finding in plan.findings if finding.blocks]
    if blocking:
        raise BlockedPlanError(
            f"{len(blocking)} finding{'s' if len(blocking) > 1 else ''} must be cleared first: {blocking[0].what}",
            why=f"found at {blocking[0].address}",
            next_step=blocking[0].next_step,
        )
