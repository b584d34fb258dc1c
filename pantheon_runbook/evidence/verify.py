"""Check evidence offline: raw bytes first, exact file sets, pinned keys only. One file, standard library and cryptography.

python verify.py EVIDENCE_FOLDER [TRUST_FILE]
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.pantheon-runbook.manifest+json"
SEALED_BESIDE = frozenset({"manifest.json", "seal.json"})
NO_PREVIOUS = "0" * 64


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file; `bundle` is "" for the ledger."""

    bundle: str
    file: str
    problem: str


@dataclass(frozen=True)
class Report:
    """`bundles` are the names that were checked, in order; no finding means intact."""

    bundles: tuple[str, ...]
    findings: tuple[Finding, ...]
    clouds: Mapping[str, str]
    verdicts: Mapping[str, str]

    @property
    def is_intact(self) -> bool:
        return not self.findings


def verify(evidence: Path, trust: Path | None = None) -> Report:
    """Check every bundle and the ledger; never raises for what it finds in the folder, only names it."""
    keys, findings = _pinned_keys(trust or evidence / "trust.toml")
    bundles = sorted(path for path in evidence.iterdir() if path.is_dir() and not path.name.startswith("."))
    manifests: dict[str, dict[str, Any]] = {}
    for bundle in bundles:
        found = list(_bundle_findings(bundle, keys, manifests))
        findings.extend(found)
    findings.extend(_ledger_findings(evidence, {bundle.name: bundle for bundle in bundles}))
    return Report(
        bundles=tuple(bundle.name for bundle in bundles),
        findings=tuple(findings),
        clouds={name: str(manifest.get("cloud")) for name, manifest in manifests.items()},
        verdicts={name: str(manifest.get("verdict")) for name, manifest in manifests.items()},
    )


def _pinned_keys(trust: Path) -> tuple[dict[str, Ed25519PublicKey], list[Finding]]:
    try:
        table = tomllib.loads(trust.read_text(encoding="utf-8"))
        keys = {
            entry["keyid"]: Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["public"]))
            for entry in table.get("keys", [])
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {}, [Finding("", trust.name, f"no pinned keys: {type(error).__name__}")]
    return keys, []


def _bundle_findings(
    bundle: Path, keys: Mapping[str, Ed25519PublicKey], manifests: dict[str, dict[str, Any]]
) -> Iterator[Finding]:
    raw = _bytes_of(bundle / "manifest.json")
    if raw is None:
        yield Finding(bundle.name, "manifest.json", "missing")
        return
    problem = _seal_problem(bundle / "seal.json", raw, keys)
    if problem is not None:
        yield Finding(bundle.name, "seal.json", problem)
        return
    manifest = json.loads(raw)  # signed by a pinned key: ours, and JSON
    manifests[bundle.name] = manifest
    if manifest["bundle"] != bundle.name:
        yield Finding(bundle.name, "manifest.json", f"sealed as {manifest['bundle']}: the folder was renamed")
    yield from _file_findings(bundle, manifest["files"])
    broken = _broken_journal_line(bundle / "journal.jsonl")
    if broken is not None:
        yield Finding(bundle.name, "journal.jsonl", f"line {broken + 1} does not follow the one before it")


def _file_findings(bundle: Path, files: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_symlink() or path.is_file()}
    for name in sorted(there - set(files) - SEALED_BESIDE):
        yield Finding(bundle.name, name, "not in the manifest: added after sealing")
    for name, sealed in sorted(files.items()):
        content = None if (bundle / name).is_symlink() else _bytes_of(bundle / name)
        if content is None:
            yield Finding(bundle.name, name, "missing")
        elif hashlib.sha256(content).hexdigest() != sealed["sha256"]:
            yield Finding(bundle.name, name, "changed after sealing")


def _seal_problem(path: Path, manifest: bytes, keys: Mapping[str, Ed25519PublicKey]) -> str | None:
    """None when a pinned key signed exactly these bytes (DSSE, one signature is enough)."""
    raw = _bytes_of(path)
    if raw is None:
        return "missing"
    try:
        envelope = json.loads(raw)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [
            (entry["keyid"], base64.b64decode(entry["sig"], validate=True)) for entry in envelope["signatures"]
        ]
        kind = str(envelope["payloadType"])
    except (ValueError, KeyError, TypeError):
        return "not a DSSE envelope"
    if payload != manifest:
        return "it seals another manifest: manifest.json was changed"
    signed = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
    if kind != PAYLOAD_TYPE:
        return f"it seals a {kind}"
    if any(_is_signed_by(key, signature, signed) for key in keys.values() for _, signature in signatures):
        return None
    return f"no pinned key signed it (it names {', '.join(keyid[:12] for keyid, _ in signatures) or 'none'})"


def _is_signed_by(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _broken_journal_line(path: Path) -> int | None:
    """Number, from zero, of the first line that does not carry the hash of the one before it."""
    previous = NO_PREVIOUS
    for number, line in enumerate((_bytes_of(path) or b"").splitlines()):
        if not _carries(line, previous, number):
            return number
        previous = hashlib.sha256(line).hexdigest()
    return None


def _carries(line: bytes, previous: str, number: int) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("previous") == previous and event.get("seq") == number


def _ledger_findings(evidence: Path, bundles: Mapping[str, Path]) -> Iterator[Finding]:
    """A chain over all bundles: one that was taken away or slipped in is named."""
    previous = NO_PREVIOUS
    listed: set[str] = set()
    raw = _bytes_of(evidence / "ledger.jsonl")
    if raw is None and bundles:
        yield Finding("", "ledger.jsonl", "missing")
    for number, line in enumerate((raw or b"").splitlines()):
        if not _carries(line, previous, number):
            yield Finding("", "ledger.jsonl", f"line {number + 1} does not follow the one before it")
            return
        previous = hashlib.sha256(line).hexdigest()
        entry = json.loads(line)
        listed.add(entry["bundle"])
        manifest = _bytes_of(evidence / entry["bundle"] / "manifest.json")
        if manifest is None:
            yield Finding(entry["bundle"], "manifest.json", "in the ledger, but the bundle is gone")
        elif hashlib.sha256(manifest).hexdigest() != entry["manifest_sha256"]:
            yield Finding(entry["bundle"], "manifest.json", "not the one the ledger names")
    for name in sorted(set(bundles) - listed):
        yield Finding(name, "ledger.jsonl", "the bundle is not in the ledger")


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def lines_of(report: Report) -> Iterator[str]:
    """The report as text, one line per bundle, then one per finding."""
    wrong = {finding.bundle for finding in report.findings}
    for name in report.bundles:
        state = "WRONG " if name in wrong else "intact"
        yield f"{state}  {name}  {report.verdicts.get(name, '?')}  ({report.clouds.get(name, '?')})"
    for finding in report.findings:
        yield f"WRONG   {finding.bundle or 'ledger'}/{finding.file}: {finding.problem}"
    yield f"{len(report.bundles)} bundles, {len(report.findings)} findings"


def _main() -> int:
    report = verify(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)  # noqa: PLR2004  two arguments
    sys.stdout.write("\n".join(lines_of(report)) + "\n")
    return 0 if report.is_intact else 4


if __name__ == "__main__":
    sys.exit(_main())
