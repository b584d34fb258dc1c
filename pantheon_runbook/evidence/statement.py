"""An in-toto Statement in a DSSE envelope, whatever it says: made, taken apart, and whose word it is. No I/O."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pantheon_runbook.evidence import verify
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.model import canonical

PAYLOAD_TYPE = verify.STATEMENT
CLOCKS_DIFFER = verify.CLOCKS_DIFFER
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True)
class Statement:
    """What is said (`predicate`) of what: `subject` are sha256 by name. `kind` is its predicate's type."""

    kind: str
    subject: Mapping[str, str]
    predicate: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        return canonical(
            {
                "_type": _STATEMENT_TYPE,
                "subject": [
                    {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(self.subject.items())
                ],
                "predicateType": self.kind,
                "predicate": dict(self.predicate),
            }
        )

    def signed(self, key: SealingKey) -> bytes:
        """The envelope to commit."""
        return key.sign(self.to_bytes(), PAYLOAD_TYPE) + b"\n"


def statement_in(payload: bytes, kind: str) -> Statement | None:
    """The statement of this kind; None for anything else."""
    try:
        told = json.loads(payload)
        subject = {one["name"]: one["digest"]["sha256"] for one in told["subject"]}
        predicate = dict(told["predicate"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    are_texts = all(isinstance(text, str) for text in (*subject, *subject.values()))
    is_of_kind = (told.get("_type"), told.get("predicateType")) == (_STATEMENT_TYPE, kind)
    return Statement(kind, subject, predicate) if is_of_kind and are_texts else None


def is_as_written(raw: bytes) -> bool:
    """Whether an envelope is, byte for byte, what `signed` makes: one signature, and nothing beside what is signed."""
    held = json.loads(raw)
    if len(held["signatures"]) != 1:
        return False
    (signature,) = held["signatures"]
    envelope = {
        "payload": _encoded_again(held["payload"]),
        "payloadType": held["payloadType"],
        "signatures": [{"keyid": signature["keyid"], "sig": _encoded_again(signature["sig"])}],
    }
    return json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n" == raw


def signature_in(raw: bytes) -> bytes:
    """The one signature of an envelope that is as it was written."""
    return base64.b64decode(json.loads(raw)["signatures"][0]["sig"])


def is_ssh(signature: bytes) -> bool:
    return signature.startswith(b"SSHSIG")


def _encoded_again(text: str) -> str:
    """The bits behind the last byte are nobody's: the one spelling has none."""
    return base64.b64encode(base64.b64decode(text)).decode()


def is_dated_ahead(moment: str, now: str) -> bool:
    return verify.moment_of(moment) > verify.moment_of(now) + CLOCKS_DIFFER


def source_of(key: verify.Key, now: str) -> str:
    """Where an identity comes from, as it is. Of a key that has ended nothing bounds when it signed: that is said."""
    kind = "sandbox" if key.cloud == "sandbox" else "repository-pinned"
    ended = "" if key.is_valid_at(now) else f", ended {key.valid_until}: that it signed before is its holder's word"
    return f"{kind} key of {key.owner} ({key.where}){ended}"
