"""One exit criterion signed by one person: an in-toto Statement in a DSSE envelope. No I/O.

Its file is what people commit; whose word it is follows from the pinned key alone, never from the file's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pantheon_runbook.evidence import verify
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.evidence.statement import PAYLOAD_TYPE, Statement, is_dated_ahead, source_of, statement_in

ATTESTS = "attest"  # the role in trust.toml of a key that signs criteria
Standing = Literal["signed", "stale", "not pinned", "rests on sandbox evidence", "forged"]

_PREDICATE_TYPE = "urn:pantheon-runbook:attestation:1"
_TEXTS = ("cloud", "environment", "criterion", "signer", "statement", "issued_at")


@dataclass(frozen=True)
class Attestation:
    """What somebody says: `subject` are the sha256 of what it is said of, by name; `issued_at` is UTC."""

    cloud: str
    environment: str
    criterion: str
    signer: str
    statement: str
    issued_at: str
    subject: Mapping[str, str]


@dataclass(frozen=True)
class Read:
    """An attestation as it was found. Only a "signed" one is its signer's word; `why` says what is wrong with others.

    `source` is where the signer's identity comes from, "" when nothing pinned stands behind it.
    """

    standing: Standing
    why: str = ""
    said: Attestation | None = None
    source: str = ""
    envelope: Mapping[str, Any] = field(default_factory=dict)


def file_name(criterion: str, signer: str) -> str:
    return f"{criterion}-{signer}.json"


def signed(said: Attestation, key: SealingKey) -> bytes:
    """The envelope to commit."""
    return Statement(_PREDICATE_TYPE, said.subject, {name: getattr(said, name) for name in _TEXTS}).signed(key)


def read(raw: bytes, keys: Mapping[str, verify.Key], *, cloud: str, now: str) -> Read:
    """What an attestation is worth for this cloud at this time (UTC), by the pinned keys; never raises for its content.

    A sandbox is never taken for anything else: its cloud is in what was signed.
    """
    envelope = verify.opened(raw, PAYLOAD_TYPE, keys.values())
    if isinstance(envelope, str):
        return Read("forged", f"it is no attestation: {envelope}")
    said = _said(envelope.payload)
    if said is None:
        return Read("forged", "what it holds is no statement of ours")
    standing, why = _standing(said, envelope, keys, cloud=cloud, now=now)
    source = source_of(envelope.key, now) if envelope.key else ""
    return Read(standing, why, said, source, json.loads(raw))


def _said(payload: bytes) -> Attestation | None:
    """The statement; None for anything that `signed` does not make."""
    told = statement_in(payload, _PREDICATE_TYPE)
    if told is None or not all(isinstance(told.predicate.get(name), str) for name in _TEXTS):
        return None
    return Attestation(**{name: told.predicate[name] for name in _TEXTS}, subject=told.subject)


def _standing(
    said: Attestation, envelope: verify.Signed, keys: Mapping[str, verify.Key], *, cloud: str, now: str
) -> tuple[Standing, str]:
    key = envelope.key
    if cloud != "sandbox" and "sandbox" in {said.cloud, key.cloud if key else ""}:
        return "rests on sandbox evidence", "it was signed for the sandbox, or by a key of the sandbox's"
    if key is None:
        if envelope.named & keys.keys():
            return "forged", "the pinned key that it names did not sign it as it stands"
        return "not pinned", f"no pinned key signed it (it names {', '.join(sorted(envelope.named))[:12] or 'none'})"
    if said.cloud != cloud:
        return "stale", f"signed for {said.cloud}"
    return _by_pinned_key(said, key, cloud=cloud, now=now)


def _by_pinned_key(said: Attestation, key: verify.Key, *, cloud: str, now: str) -> tuple[Standing, str]:
    if (key.role, key.cloud) != (ATTESTS, cloud):
        return "not pinned", f"its key is pinned to {key.role} for {key.cloud}, not to {ATTESTS} for {cloud}"
    if key.owner != said.signer:
        return "not pinned", f"it names {said.signer}, and its key is pinned as {key.owner}'s"
    if not key.is_valid_at(said.issued_at):
        return "not pinned", f"its key was not valid on {said.issued_at}"
    if is_dated_ahead(said.issued_at, now):
        return "forged", f"it is dated {said.issued_at}, which has not come yet"
    return "signed", ""
