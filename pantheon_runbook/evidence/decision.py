"""What one person decided about one plan, signed: an in-toto Statement in a DSSE envelope. Pure: no I/O, no clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from pantheon_runbook.evidence import verify
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.evidence.statement import (
    PAYLOAD_TYPE,
    Statement,
    is_as_written,
    is_ssh,
    signature_in,
    statement_in,
)
from pantheon_runbook.model import short_code

Decision = Literal["approve", "withdraw"]

_PREDICATE_TYPE = verify.APPROVAL
_SUBJECT = "plan.json"
_OF_THE_PLAN = ("cloud", "environment", "runbook")
_OF_THE_PERSON = ("decision", "approver", "reason", "code", "issued_at", "expires_at", "nonce")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class About:
    """The plan that a decision is about: its digest, and what a person must not mistake it for."""

    plan_digest: str
    cloud: str
    environment: str
    runbook: str
    is_hotfix: bool = False

    @classmethod
    def of(cls, plan: bytes) -> About:
        """By the bytes of a plan.json, whose parameter `hotfix` says why it goes around staging, if it does."""
        told = json.loads(plan)
        is_hotfix = bool(told["parameters"].get("hotfix"))
        return cls(sha256(plan).hexdigest(), told["cloud"], told["environment"], told["runbook"], is_hotfix)

    @property
    def short_code(self) -> str:
        return short_code(self.plan_digest)


@dataclass(frozen=True)
class Said:
    """What one person decided; times are UTC. `code` is the short code as typed, `nonce` 32 hexadecimal characters.

    A withdrawal names the nonce that it withdraws, and has no end (`expires_at` is ""): it takes back whatever its
    approver had signed for this plan before it, too, and what he signs until clocks can no longer differ by so much.
    """

    about: About
    decision: Decision
    approver: str
    reason: str
    code: str
    issued_at: str
    expires_at: str
    nonce: str

    @property
    def statement(self) -> Statement:
        plan = {name: getattr(self.about, name) for name in (*_OF_THE_PLAN, "is_hotfix")}
        person = {name: getattr(self, name) for name in _OF_THE_PERSON}
        return Statement(_PREDICATE_TYPE, {_SUBJECT: self.about.plan_digest}, plan | person)


@dataclass(frozen=True)
class Read:
    """A decision that a pinned key has signed as it stands; whether it counts is another question."""

    said: Said
    keyid: str
    key: verify.Key
    by_ssh: bool = False


def file_name(said: Said) -> str:
    """An approval replaces the one before it, a withdrawal none: a copy of what it withdraws may come back."""
    ending = f"-withdrawn-{said.nonce[:8]}" if said.decision == "withdraw" else ""
    return f"{said.about.plan_digest[:12]}-{said.approver}{ending}.json"


def signed(said: Said, key: SealingKey) -> bytes:
    """The envelope to commit."""
    return said.statement.signed(key)


def is_for(plan_digest: str, raw: bytes) -> bool:
    """Whether an envelope says that it is about this plan, whoever has signed it."""
    envelope = verify.opened(raw, PAYLOAD_TYPE, ())
    told = None if isinstance(envelope, str) else statement_in(envelope.payload, _PREDICATE_TYPE)
    return told is not None and told.subject.get(_SUBJECT) == plan_digest


def read(raw: bytes, keys: Mapping[str, verify.Key], *, check: verify.Check = verify.is_signed_by) -> Read | str:
    """The decision in an envelope, or why it is nobody's word; never raises for its content."""
    envelope = verify.opened(raw, PAYLOAD_TYPE, keys.values(), check=check)
    if isinstance(envelope, str):
        return f"it is no approval: {envelope}"
    if envelope.key is None:
        return _unsigned(envelope.named, keys)
    same = {keyid: key for keyid, key in keys.items() if is_one_key(key, envelope.key)}
    named = sorted(same.keys() & envelope.named)
    if not named:
        return "it names another key than the one that signed it"
    if not is_as_written(raw):
        return "it is not byte for byte as it was written"
    said = _said(envelope.payload)
    if said is None:
        return "what it holds is no decision of ours"
    return Read(said, named[0], same[named[0]], is_ssh(signature_in(raw)))


def _unsigned(named: frozenset[str], keys: Mapping[str, verify.Key]) -> str:
    if not named:
        return "its signature is gone"
    if named & keys.keys():
        return "the pinned key that it names did not sign it as it stands"
    return f"no pinned key signed it (it names {ascii(min(named))[1:-1][:12]})"


def is_one_key(one: verify.Key, other: verify.Key) -> bool:
    return one.public.public_bytes_raw() == other.public.public_bytes_raw()


def _said(payload: bytes) -> Said | None:
    """The decision; None for anything that `signed` does not make."""
    told = statement_in(payload, _PREDICATE_TYPE)
    if told is None:
        return None
    texts = [told.subject.get(_SUBJECT, ""), *map(told.predicate.get, (*_OF_THE_PLAN, *_OF_THE_PERSON))]
    if not all(_is_plain(text) for text in texts):
        return None
    plan, person = ({name: told.predicate[name] for name in names} for names in (_OF_THE_PLAN, _OF_THE_PERSON))
    about = About(told.subject.get(_SUBJECT, ""), **plan, is_hotfix=told.predicate.get("is_hotfix") is True)
    said = Said(about, **person)
    is_ours = said.statement.to_bytes() == payload and _is_dated(said) and bool(_NONCE.fullmatch(said.nonce))
    return said if is_ours else None


def _is_plain(text: object) -> bool:
    """Nothing that moves a cursor, and no half of a character, with which nothing could be written."""
    return isinstance(text, str) and text.isprintable()


def _is_dated(said: Said) -> bool:
    times = {"approve": (said.issued_at, said.expires_at), "withdraw": (said.issued_at,)}.get(said.decision, ())
    try:
        moments = [verify.moment_of(text) for text in times if _MOMENT.fullmatch(text)]
    except ValueError:
        return False
    return bool(times) and len(moments) == len(times) and bool(said.expires_at) == (said.decision == "approve")
