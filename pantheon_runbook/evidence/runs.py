"""The sealed runs of an evidence folder as facts for others to rest on: checked first, then told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence import journal, ledger
from pantheon_runbook.evidence.verify import verify

_SHORT = 8


@dataclass(frozen=True)
class SealedRun:
    """One bundle whose seal holds; `mode` is how it was run, `manifest` its manifest's sha256, times are UTC.

    `sealed_by` is its key's owner, `key` which that is. `staging` is the Supabase ref of what it ended on, as the
    vendor called it then; "" when it did not come so far. `why` is what its verdict says,
    `decided_by` the sha256 of the committed files that it went by.
    """

    bundle: str
    runbook: str
    cloud: str
    environment: str
    verdict: str
    mode: str
    sealed_at: str
    manifest: str
    sealed_by: str
    key: str
    staging: str = ""
    why: str = ""
    decided_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def came_to_good_end(self) -> bool:
        return self.verdict in {"done", "nothing-to-do"}


@dataclass(frozen=True)
class SealedRuns:
    """In the order of the ledger. `problem` is the first thing that is wrong in the whole folder, "" for nothing.

    Whoever takes a run away, or damages it, would otherwise make an older one the latest.
    """

    runs: tuple[SealedRun, ...] = ()
    problem: str = ""


def failed_checks(evidence: Path, *, cloud: str, runbook: str, environment: str) -> tuple[str, str]:
    """(run, first check that failed) of the last apply run, ("", "") without one; for advice: no seal is checked."""
    about = {"cloud": cloud, "runbook": runbook, "environment": environment, "mode": "apply"}
    for entry in reversed(list(ledger.entries(evidence))):
        try:
            events = journal.read(evidence / str(entry.get("bundle")) / "journal.jsonl")
        except OSError:
            continue
        if events and about.items() <= events[0].items():
            checks = next((event["checks"] for event in reversed(events) if event["event"] == "checks"), ())
            failed = next((check for check in checks if not check[-1]), None)
            told = f"{failed[0]}: expected {failed[1]}, found {failed[2]}" if failed else ""
            return str(events[0]["run"])[:_SHORT], told
    return "", ""


def sealed_runs(evidence: Path, trust: Path | None) -> SealedRuns:
    """What can be rested on; reads only. `trust` pins live keys, the folder itself those of the sandbox."""
    report = verify(evidence, trust, with_rehearsals=True)
    if not report.bundles and not (evidence / "ledger.jsonl").exists():
        return SealedRuns()
    problem = next((f"{one.bundle}/{one.file}: {one.problem}".strip("/") for one in report.findings), "")
    if problem:
        return SealedRuns((), problem)
    in_order = (str(entry["bundle"]) for entry in ledger.entries(evidence))
    return SealedRuns(tuple(_run(evidence / name, report.sealed_by[name], report.keys[name]) for name in in_order))


def latest_with(
    sealed: SealedRuns, evidence: Path, *, cloud: str, environment: str, runbooks: Container[str], holds: str
) -> tuple[str, dict[str, Any]] | None:
    """Name and content of the JSON file `holds`, of the newest of these runs that came to a good end and has one."""
    kept = each_with(sealed, evidence, cloud=cloud, environment=environment, runbooks=runbooks, holds=holds)
    return next(((run.bundle, content) for run, content in kept if run.came_to_good_end), None)


def each_with(
    sealed: SealedRuns, evidence: Path, *, cloud: str, environment: str, runbooks: Container[str], holds: str
) -> Iterator[tuple[SealedRun, dict[str, Any]]]:
    """The same of every such run, whatever its end, the newest first.

    By what is signed, and only of a folder with nothing wrong in it: a run that was taken away or changed would
    make an older one the ground.
    """
    for run in reversed(sealed.runs):
        is_about = (run.cloud, run.environment) == (cloud, environment) and run.runbook in runbooks
        if is_about and (evidence / run.bundle / holds).exists():
            yield run, dict(json.loads((evidence / run.bundle / holds).read_bytes()))


def content_of(run: SealedRun, evidence: Path, name: str) -> dict[str, Any]:
    """One JSON file of a run, by what is signed: its bytes are those of the manifest, also when it is read later.

    Errors: EvidenceError when there is none, or when it was changed since the folder was verified.
    """
    try:
        manifest, raw = ((evidence / run.bundle / one).read_bytes() for one in ("manifest.json", name))
    except OSError as error:
        raise _changed(run, name, f"it cannot be read: {error.strerror}") from error
    if hashlib.sha256(manifest).hexdigest() != run.manifest:
        raise _changed(run, "manifest.json", "it is another than was verified")
    if json.loads(manifest)["files"].get(name, {}).get("sha256") != hashlib.sha256(raw).hexdigest():
        raise _changed(run, name, "it is another than was sealed")
    return dict(json.loads(raw))


def _changed(run: SealedRun, name: str, why: str) -> EvidenceError:
    what = f"{run.bundle}/{name} cannot be rested on"
    return EvidenceError(what, why=why, next_step="pantheon-runbook evidence verify, and put it back as it was sealed")


def _run(bundle: Path, sealed_by: str, key: str) -> SealedRun:
    """Of a bundle that has been verified: its files are as a run leaves them."""
    raw = (bundle / "manifest.json").read_bytes()
    manifest = json.loads(raw)
    events = journal.read(bundle / "journal.jsonl")
    ended = next((one for one in events if (one["event"], one.get("act")) == ("act-ends", "verify")), {})
    return SealedRun(
        bundle=bundle.name,
        decided_by=dict(events[0].get("decided_by", {})) if events else {},
        mode=str(events[0].get("mode", "")) if events else "",
        staging=str(ended.get("identities", {}).get("supabase_ref", "")),
        why=str(json.loads((bundle / "verdict.json").read_bytes())["why"]),
        manifest=hashlib.sha256(raw).hexdigest(),
        sealed_by=sealed_by,
        key=key,
        **{name: manifest[name] for name in ("runbook", "cloud", "environment", "verdict", "sealed_at")},
    )
