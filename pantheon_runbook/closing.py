"""What closing F25 rests on, as it lies here: the document, what people signed, sealed runs, local files. Only read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pantheon_runbook import attesting, clock, guarding
from pantheon_runbook.attesting import Desk
from pantheon_runbook.closure import TEAM, Facts, Found, latest_proof, signers
from pantheon_runbook.config import Closure, read_regular
from pantheon_runbook.errors import ConfigError
from pantheon_runbook.evidence import attestation, verify
from pantheon_runbook.isolation.local_files import BINARY, Report
from pantheon_runbook.providers.naming import refs_in

_LARGEST_ATTESTATION = 100_000  # bytes; one of ours has about a thousand
_RAILWAY_HOST = re.compile(r"[a-z0-9-]+\.up\.railway\.app")


def facts_of(
    desk: Desk,
    environment: str,
    *,
    document: bytes | None,
    staging: Mapping[str, str],
    found: Mapping[str, tuple[Found, ...]],
) -> Facts:
    """Everything on this side, added to what was `found`. `document` is the strategy as it will be kept, None for none.

    `staging` is what was seen of it now: {"supabase_ref", "api_host"}.

    Errors: ConfigError when local files cannot be told from production's.
    """
    decided = desk.config.closure
    sealed = desk.sealed()
    team = (*found.get(TEAM, ()), *(_local_files(desk, decided, environment, staging) if decided else ()))
    facts = Facts(
        cloud=desk.config.cloud,
        environment=environment,
        now=clock.stamp(),
        decided=decided,
        decided_by=desk.decided_by,
        strategy=hashlib.sha256(document).hexdigest() if document is not None else "",
        attestations=_attestations(desk, decided) if decided else {},
        sealed=sealed,
        staging=staging.get("supabase_ref", ""),
        evidence=str(desk.evidence),
        found={**found, TEAM: team},
    )
    return replace(facts, open_ways=tuple(_open_ways(desk, facts)))


def _open_ways(desk: Desk, facts: Facts) -> Iterator[Mapping[str, str]]:
    """What the latest isolation proof found open, row by row: its bundle has been verified."""
    proof = latest_proof(facts)
    path = desk.evidence / proof.bundle / "comparison.json" if proof else None
    if path and path.exists():
        for one in json.loads(path.read_bytes()).get("exposures", ()):
            if one["state"] == "open":
                yield {name: str(one[name]) for name in ("address", "what", "found", "next_step")}


def strategy(desk: Desk) -> bytes | None:
    """The document's exact bytes; None when there is none that can be kept."""
    if desk.config.closure is None:
        return None
    try:
        return attesting.document(desk, desk.config.closure)
    except ConfigError:
        return None


def _attestations(desk: Desk, decided: Closure) -> dict[str, attestation.Read]:
    """Those that are asked for, by file name; others beside them are nobody's word on this."""
    keys, read = desk.keys(), {}
    for criterion, people in signers(decided).items():
        for name in (attestation.file_name(criterion, person) for person in people):
            path = desk.folder / attesting.FOLDER / name
            if path.exists():
                read[name] = _read(path, keys, desk.config.cloud)
    return read


def _read(path: Path, keys: Mapping[str, verify.Key], cloud: str) -> attestation.Read:
    try:
        raw = read_regular(path)
    except OSError as error:
        return attestation.Read("forged", f"it cannot be read: {error.strerror}")
    if len(raw) > _LARGEST_ATTESTATION:
        return attestation.Read("forged", "it is larger than any attestation")
    return attestation.read(raw, keys, cloud=cloud, now=clock.stamp())


def _local_files(desk: Desk, decided: Closure, environment: str, staging: Mapping[str, str]) -> Iterator[Found]:
    yield _guarded(desk, decided)
    write = "pantheon-runbook env write {} -e " + environment
    for name in decided.env_files:
        yield Found(f"local file {name}", _wrong_in(desk.folder / name, staging), write.format(name))
    if not decided.env_files:
        why = "closure.env_files names none: nothing shows where local work points"
        yield Found("local files", why, f"{write.format('.env')}, and name it under closure.env_files")


def _guarded(desk: Desk, decided: Closure) -> Found:
    """Without a pin only ids and hosts are found: what holds a secret would pass for clean."""
    there = [path for path in decided.env_files if (desk.folder / path).exists()]  # one that is not has its own row
    listed = tuple(dict.fromkeys((*decided.guard_paths, *there)))
    guarded = guarding.guard(tuple(desk.folder / path for path in listed))
    command = f"pantheon-runbook guard {' '.join(listed)}"
    what = f"guard over {', '.join(listed)}: {guarded.report.files} files{_left_out(guarded.report, desk.folder)}"
    if not guarded.pins:
        return Found(what, "no secret of production's is pinned", "pantheon-runbook init --pin-production")
    if guarded.report.findings:
        first = guarded.report.findings[0]
        return Found(what, f"{len(guarded.report.findings)} findings, first: {first.path}: {first.what}", command)
    unseen = {str(desk.folder / path) for path in there} & {one.path for one in guarded.report.skipped}
    if unseen:
        return Found(what, f"{min(unseen)} was skipped: nobody looked into it", command)
    return Found(what, "" if guarded.report.files else "there was no file to look into", command)


def _left_out(report: Report, folder: Path) -> str:
    """What nobody looked into: by name, but for files that hold no text."""
    binaries = sum(one.why == BINARY for one in report.skipped)
    named = [f"{os.path.relpath(one.path, folder)} ({one.why})" for one in report.skipped if one.why != BINARY]
    counted = [f"{binaries} that hold no text"] if binaries else []
    return f"; not looked into: {', '.join((*named, *counted))}" if report.skipped else ""


def _wrong_in(path: Path, staging: Mapping[str, str]) -> str:
    """Why a local file does not point at staging, without any value of it; "" when it does."""
    try:
        text = read_regular(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        return str(getattr(error, "strerror", None) or "it is no text")
    return points_elsewhere(text, staging)


def points_elsewhere(text: str, staging: Mapping[str, str]) -> str:
    """By the Supabase projects and Railway hosts that it names: staging's, and no other, in commented lines neither."""
    values = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    hosts = set(_RAILWAY_HOST.findall(text))
    if not staging.get("supabase_ref"):
        return "staging was not seen, so nothing points at it"
    if not refs_in(values):
        return "it names no Supabase project"
    if refs_in(text) != {staging["supabase_ref"]}:
        return "it names another Supabase project than staging's"
    return "it names another API than staging's" if hosts - {staging.get("api_host")} else ""
