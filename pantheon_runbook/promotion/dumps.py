"""An encrypted dump that the team takes by itself, by its receipt; where the vendor keeps no backups. Pure.

Nobody here has seen the dump: whoever takes it says so, with its digest, and whoever restores it can hold it against
that. So it is never more than weak.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from pantheon_runbook.config import Backup, Ref
from pantheon_runbook.model import Finding, short_code
from pantheon_runbook.promotion.backups import BackupEvidence, age_in_words
from pantheon_runbook.providers.supabase_backups import AHEAD, FRESH

ADDRESS = "production/dump"
_NAMES = '"sha256", "taken_at", "encrypted_for" and "project"'


class Receipt(BaseModel):
    """`taken_at` is when the dump began, with its offset; `encrypted_for` the key it can be opened with, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    taken_at: datetime
    encrypted_for: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^\S[^\n]*$")]
    project: Ref


def dump_evidence(raw: bytes | None, backup: Backup, *, ref: str, now: datetime) -> BackupEvidence:
    """What the receipt says of a dump of project `ref`; `raw` None: it is not there."""
    receipt = _read(raw)
    if isinstance(receipt, str):
        return _none(f"{backup.receipt} {receipt}", f"let the job that takes the dump write it: {_NAMES}")
    age = now - receipt.taken_at
    if receipt.project != ref:
        return _none(f"{backup.receipt} is of project {receipt.project}", f"take one of production, {ref}")
    if not -AHEAD <= age < FRESH:
        told = f"{age_in_words(age)} old" if age >= -AHEAD else "dated ahead of now"
        return _none(f"the dump of {backup.receipt} is {told}", f"take another one, encrypted, to {backup.store}")
    taken = receipt.taken_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = (
        f"encrypted dump of {taken}, {age_in_words(age)} old, sha256 {short_code(receipt.sha256)} in {backup.store}, "
        f"for {receipt.encrypted_for}"
    )
    told = f"production can be put back to a dump in {backup.store} only, which this tool has not seen"
    step = "restore it once into an empty project, so that you know that it can be"
    return BackupEvidence("weak", what, (Finding("weak-backup", ADDRESS, told, step, blocks=False),))


def better_of(vendor: BackupEvidence, dump: BackupEvidence | None) -> BackupEvidence:
    """The vendor's where there is one: it has been seen. A dump that is wrong blocks only where nothing else is."""
    if vendor.strength != "none" or dump is None:
        return vendor
    if dump.strength == "none":
        return BackupEvidence("none", f"{vendor.what}; {dump.what}", (*vendor.findings, *dump.findings))
    return dump


def _read(raw: bytes | None) -> Receipt | str:
    """The receipt, or what is wrong with it."""
    if raw is None:
        return "is not there"
    try:
        given: Any = json.loads(raw)
        receipt = Receipt.model_validate_json(json.dumps(given))
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        return f"is wrong in {field}" if field else "is no receipt"
    except (ValueError, RecursionError):
        return "is no JSON"
    return receipt if receipt.taken_at.tzinfo else "has a taken_at without its offset"


def _none(what: str, next_step: str) -> BackupEvidence:
    return BackupEvidence("none", what, (Finding("dump-not-usable", ADDRESS, what, next_step),))
