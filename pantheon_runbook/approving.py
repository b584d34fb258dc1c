"""What `approve` does: a person reads a sealed plan and signs its digest, or takes the signature back.

No vendor, no network, no credentials: a signature is over files that are here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pantheon_runbook import clock
from pantheon_runbook.attesting import Desk, IsValid, believed, one_line, pin_at_first_use, putting, signer_of
from pantheon_runbook.config import Config, read_regular
from pantheon_runbook.errors import (
    BlockedPlanError,
    CredentialError,
    EvidenceError,
    NotApprovedError,
    ParameterError,
    WrongEnvironmentError,
)
from pantheon_runbook.evidence import approval, decision, journal, seal, ssh, verify
from pantheon_runbook.evidence.approval import APPROVES, Case, Person, Policy
from pantheon_runbook.evidence.decision import About, Said
from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.evidence.verify import shown
from pantheon_runbook.model import banner
from pantheon_runbook.planning import is_plan
from pantheon_runbook.promotion.steps import steps_of

FOLDER = "approvals"
MAY_BE_APPROVED = ("planned", "held")  # verdicts of runs whose plan nobody has begun to carry out


@dataclass(frozen=True)
class Sheet:
    """A plan that may be approved, as it is shown to who does it; `requester` made it, `sealed_at` is UTC."""

    desk: Desk
    path: Path
    plan: bytes
    sealed_at: str
    requester: Person

    @property
    def about(self) -> About:
        return About.of(self.plan)

    @property
    def report(self) -> Path:
        """Where the short code is to be read."""
        return self.path.with_name("report.html")

    @cached_property
    def told(self) -> Mapping[str, Any]:
        return dict(json.loads(self.plan))

    def lines(self) -> Iterator[str]:
        """In plain words, and harmless on a terminal whatever is in the plan.

        Neither digest nor short code: who types that has looked into the report.
        """
        yield from map(shown, self._lines())

    def _lines(self) -> Iterator[str]:
        about, changes = self.about, self.told["changes"]
        yield f'{banner(about.cloud)}  {about.runbook} for "{about.environment}"{_HOTFIX if about.is_hotfix else ""}'
        yield f"made by {self.requester.name} ({self.requester.source}), sealed {self.sealed_at}"
        yield from self._release()
        yield f"{_counted(changes, 'change')}:"
        for change in changes:
            yield f"  {change['action']:<8} {change['address']}"
            yield f"           risk  {change['risk']}"
            yield f"           undo  {change['undo']}"
        for name, texts in (
            ("step", self.told["manual_steps"]),
            ("finding", _each_once(self.told["findings"])),
        ):
            yield from (f"{_counted(texts, name)}:", *(f"  {text}" for text in texts)) if texts else ()

    def _release(self) -> Iterator[str]:
        """Which commits production has and gets, and whose they are as far as the plan knows."""
        served = [one for one in steps_of(self.told) if one.lane in {"backend", "page"} and " -> " in one.change]
        if served:
            yield "what production has -> gets:"
        yield from (f"  {one.name:<20} {one.change}" for one in served)
        authors = [f"{one['name']} ({one['source']})" for one in self.told["release"].get("authors", ())]
        if authors:
            yield f"authors: {'; '.join(authors)}"


def _each_once(findings: list[Mapping[str, Any]]) -> list[str]:
    """What is found at several places is told once, with all of them."""
    places: dict[str, list[str]] = {}
    for one in findings:
        places.setdefault(one["what"], []).append(one["address"])
    return [f"{what} ({', '.join(dict.fromkeys(found))})" for what, found in places.items()]


_HOTFIX = "  HOTFIX: it goes around staging"


def _counted(things: list[Any], name: str) -> str:
    words = {"step": "step by hand"}.get(name, name) if len(things) == 1 else {"step": "steps by hand"}.get(name)
    return f"{len(things)} {words or f'{name}s'}"


@dataclass(frozen=True)
class Decided:
    """What was signed and where it stands; `source` is where the signer's identity comes from."""

    path: Path
    said: Said
    source: str
    kind: str = ""
    pinned_in: Path | None = None  # where the key was pinned by this very use of it, as on the sandbox only

    def lines(self) -> Iterator[str]:
        said, plan = self.said, self.said.about
        word = "withdrawn" if said.decision == "withdraw" else self.kind
        yield f'{word}: {plan.runbook} for "{plan.environment}" ({plan.cloud}), plan {plan.short_code}'
        yield f"  by {said.approver}, {self.source}"
        if said.expires_at:
            yield f"  it may start until just before {said.expires_at}"
        if self.pinned_in:
            yield believed(said.approver, self.pinned_in)
        yield f"  {self.path}: commit it"


def policy_of(config: Config) -> Policy:
    """[approval] and [[people]] as the judgement takes them."""
    said = config.approval
    return Policy(
        required=said.required,
        approvers=said.approvers,
        is_solo=said.solo,
        longest=clock.span(said.longest),
        delay=clock.span(said.delay),
        known=tuple(person.names for person in config.people),
    )


def envelopes_for(folder: Path, plan_digest: str) -> dict[str, bytes]:
    """What was signed for this plan, by the names of the files beside the config in `folder`. Errors: EvidenceError.

    What is called by its digest is for it, whatever is in it; under another name, what says so: a withdrawal that was
    renamed still stops.
    """
    found: dict[str, bytes] = {}
    for path in sorted((folder / FOLDER).glob("*")):
        is_named = path.match(f"{plan_digest[:12]}-*.json")
        if not is_named and (path.is_dir() or path.match(".*.new")):
            continue  # a folder, or what is being written this moment and gone the next
        raw = _content(path, "the approval", "give permission, or have it approved anew")
        if is_named or decision.is_for(plan_digest, raw):
            found[f"{FOLDER}/{path.name}"] = raw
    return found


def opened(path: Path) -> Sheet:
    """The plan of a sealed bundle, when it may be approved. Errors: RunbookError; reads only."""
    desk = Desk.here()
    plan = _plan_at(path)
    about = About.of(plan)
    if about.cloud != desk.config.cloud:
        raise WrongEnvironmentError(
            f'the plan is for the cloud "{about.cloud}"',
            why=f'pantheon.toml says cloud = "{desk.config.cloud}"',
            next_step="name a plan of this cloud, or the other config with --config",
        )
    desk.config.environment(about.environment)
    bundle = path.resolve().parent
    _refuse_unsealed(desk, bundle, path)
    sheet = Sheet(desk, path, plan, _sealed_at(bundle), _requester(bundle))
    _refuse_blocked(sheet)
    return sheet


def approve(sheet: Sheet, *, key: str, reason: str, expires: str, code: str) -> Decided:
    """Sign the plan's digest, and put it where RB-030 looks. `expires` is a span, "" for the longest there may be.

    Errors: UsageError, NotApprovedError, EvidenceError; then nothing is written.
    """
    policy = policy_of(sheet.desk.config)
    lasts = _span(expires, policy.longest)
    refuse_code(sheet, code)
    own, name = _whose(sheet.desk, key)
    said = Said(
        about=sheet.about,
        decision="approve",
        approver=name,
        reason=_reason(reason),
        code=sheet.about.short_code,
        issued_at="",
        expires_at="",
        nonce=clock.token(f"approval of {sheet.about.plan_digest} by {name}"),
    )
    kind = _judged(sheet, _dated(said, lasts), own, policy)
    return replace(_put(sheet.desk, said, own, lasts), kind=kind)


def withdraw(path: Path, *, key: str, reason: str) -> Decided:
    """Take back what one has signed for this plan; its bundle need not be whole for that, nor the key valid still.

    Errors: RunbookError.
    """
    desk = Desk.here()
    about = About.of(_plan_at(path))
    own, name = _whose(desk, key, is_valid=_was_valid)
    given = _own_approval(desk, about, name, path)
    said = replace(given, decision="withdraw", reason=_reason(reason), code=about.short_code)
    return _put(desk, said, own, None)


def _plan_at(path: Path) -> bytes:
    plan = _content(path, "the plan", "name the plan.json of a bundle")
    if path.name == "plan.json" and is_plan(plan):
        return plan
    raise EvidenceError(
        f"{path} is no plan",
        why="it is not the plan.json that this version of the tool writes",
        next_step="name the plan.json of a bundle in the evidence folder",
    )


def _content(path: Path, what: str, next_step: str) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise EvidenceError(f"{what} {path} cannot be read", why=str(error.strerror), next_step=next_step) from error


def _refuse_unsealed(desk: Desk, bundle: Path, path: Path) -> None:
    """Only what a run of ours has sealed, and nobody has changed, is shown as its plan."""
    if not (bundle / "seal.json").is_file():
        raise EvidenceError(
            f"the plan {path} is not sealed",
            why=f"{bundle.name} holds no seal.json: it is no bundle, or its run has not ended",
            next_step="name the plan.json of a sealed bundle, as the plan run printed it",
        )
    report = verify.verify(bundle, seal.trust_of(desk.folder, desk.config.cloud), with_rehearsals=True)
    if not report.is_intact:
        first = report.findings[0]
        raise EvidenceError(
            "the plan's bundle is not what was sealed",
            why=f"{first.file}: {first.problem}",
            next_step=f"pantheon-runbook evidence verify {bundle}",
        )
    verdict = report.verdicts[bundle.name]
    if verdict not in MAY_BE_APPROVED:
        raise NotApprovedError(
            "the plan is none that waits for an approval",
            why=f'its run came to "{verdict}", not to {" or ".join(MAY_BE_APPROVED)}',
            next_step="make a plan run, and approve its plan",
        )


def _sealed_at(bundle: Path) -> str:
    return str(json.loads((bundle / "manifest.json").read_bytes())["sealed_at"])


def _requester(bundle: Path) -> Person:
    opened_by = journal.read(bundle / "journal.jsonl")[0]
    return Person(str(opened_by["operator"]), str(opened_by["operator_source"]))


def _refuse_blocked(sheet: Sheet) -> None:
    blocking = [one for one in sheet.told["findings"] if one["blocks"]]
    if blocking:
        raise BlockedPlanError(
            f"{_counted(blocking, 'finding')} must be cleared first: {blocking[0]['what']}",
            why=f"found at {blocking[0]['address']}: nobody can approve that away",
            next_step=blocking[0]["next_step"],
        )


def _span(expires: str, longest: timedelta) -> timedelta:
    try:
        lasts = clock.span(expires) if expires else longest
    except ValueError as error:
        raise ParameterError(
            f'"{expires}" is no time', why="minutes, hours or days are meant", next_step="write --expires 24h"
        ) from error
    if timedelta() < lasts <= longest:
        return lasts
    raise ParameterError(
        f"an approval cannot last {lasts}",
        why=f"[approval] in pantheon.toml allows {longest}",
        next_step="shorten it, or leave --expires out",
    )


def refuse_code(sheet: Sheet, code: str) -> None:
    """Errors: NotApprovedError for a code that is not the plan's, and for none."""
    if code.strip().lower() == sheet.about.short_code:
        return
    raise NotApprovedError(
        "the short code is not this plan's" if code else "the short code was not typed",
        why=f'"{code}" was typed' if code else "there is no terminal to ask for it",
        next_step=f"read it in {sheet.report}, and type that, or give it with --code",
    )


def _reason(reason: str) -> str:
    if not reason.strip():
        raise ParameterError(
            "there is no reason", why="an auditor asks for it next year", next_step="say it with --reason"
        )
    return one_line(reason, "reason")


def _was_valid(key: verify.Key, now: str) -> bool:
    """Now or before: the judgement takes a withdrawal by any key that is pinned, so that to stop is never hard."""
    has_ended = key.valid_until and verify.moment_of(key.valid_until) <= verify.moment_of(now)
    return key.is_valid_at(key.valid_until if has_ended else now)


def _whose(desk: Desk, key: str, *, is_valid: IsValid = verify.Key.is_valid_at) -> tuple[seal.SealingKey, str]:
    """The key and its owner, whose name becomes part of a file's. Errors: CredentialError."""
    own = ssh.own_key(key, role=APPROVES)
    name = signer_of(desk, own, "", default=Path(key).stem, role=APPROVES, is_valid=is_valid)
    if seal.is_file_name(name):
        return own, name
    raise CredentialError(
        f'"{name}" cannot approve',
        why="the owner of a key becomes part of a file name: letters, digits, dot, dash and underscore",
        next_step=f"correct the owner of the key {own.keyid[:12]} in {desk.pins}",
    )


def _dated(said: Said, lasts: timedelta | None) -> Said:
    """As of now; a withdrawal has no end, and is never dated before what it takes back, whatever this clock says."""
    end = (clock.now() + lasts).strftime("%Y-%m-%dT%H:%M:%SZ") if lasts else ""
    return replace(said, issued_at=max(said.issued_at, clock.stamp()), expires_at=end)


def _judged(sheet: Sheet, said: Said, own: seal.SealingKey, policy: Policy) -> str:
    """What the approval will come to, by the very judgement that RB-030 makes; what is refused is never written.

    Beside it lies what has been withdrawn: whoever signs anew too soon after that is told so now.
    """
    keys = _keys_with(sheet.desk, own, said.approver)
    taken = (raw for raw, one in _trusted(sheet.desk, sheet.about, keys) if one.decision == "withdraw")
    case = Case(
        plan=sheet.plan,
        sealed_at=sheet.sealed_at,
        keys=keys,
        policy=replace(policy, required=1),
        requester=sheet.requester,
        executor=sheet.requester,
        authors=approval.authors_of(sheet.plan),
        now=said.issued_at,
        check=ssh.is_signed_by,
        where=str(sheet.path),
    )
    envelopes = {f"withdrawal {number}": raw for number, raw in enumerate(taken)}
    return approval.approved(case, {**envelopes, "as you would sign it": decision.signed(said, own)}).kind


def _keys_with(desk: Desk, own: seal.SealingKey, owner: str) -> dict[str, verify.Key]:
    """The pinned ones, and on the sandbox this one as it will be pinned."""
    keys = desk.keys()
    if own.keyid not in keys:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(own.public))
        keys[own.keyid] = verify.Key(public, owner, desk.config.cloud, f"key {own.keyid[:12]}", APPROVES)
    return keys


def _own_approval(desk: Desk, about: About, name: str, path: Path) -> Said:
    """The last that he signed for this plan, whatever its file is called. Errors: EvidenceError."""
    keys, own = desk.keys(), ("approve", name, about)
    signed = [one for _, one in _trusted(desk, about, keys) if (one.decision, one.approver, one.about) == own]
    if signed:
        return max(signed, key=lambda one: one.issued_at)
    there = desk.folder / FOLDER / decision.file_name(Said(about, "approve", name, "", "", "", "", ""))
    content = _content(there, "the approval", f"name the plan that you approved; {path} it is not")
    found = decision.read(content, keys, check=ssh.is_signed_by)
    raise EvidenceError(
        f"the approval {there} cannot be trusted",
        why=found if isinstance(found, str) else f"it is no approval of this plan by {name}",
        next_step="take the file away: while it is there no approval of this plan counts",
    )


def _trusted(desk: Desk, about: About, keys: Mapping[str, verify.Key]) -> Iterator[tuple[bytes, Said]]:
    """What lies here for this plan and is somebody's word, with its envelope."""
    for raw in envelopes_for(desk.folder, about.plan_digest).values():
        found = decision.read(raw, keys, check=ssh.is_signed_by)
        if isinstance(found, decision.Read):
            yield raw, found.said


def _put(desk: Desk, said: Said, own: seal.SealingKey, lasts: timedelta | None) -> Decided:
    path = desk.folder / FOLDER / decision.file_name(said)
    pinned = desk.keys()
    with putting(path):
        pin_at_first_use(desk, own, owner=said.approver, role=APPROVES)
        said = _dated(said, lasts)  # once its key is pinned, for a key signs nothing before that
        write_file(path, decision.signed(said, own))
    source = f"key {own.keyid[:12]} in {desk.pins}"
    return Decided(path, said, source, pinned_in=None if own.keyid in pinned else desk.pins)
