"""Check evidence offline: raw bytes first, exact file sets, pinned keys only.

One file that needs the standard library and cryptography, nothing else of ours:

python verify.py EVIDENCE_FOLDER [TRUST_FILE]
"""

from __future__ import annotations

import base64
import hashlib
import json
import stat
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
LEDGER = "ledger.jsonl"
RUNNING = ".running"
NOTEBOOK = "runbook.ipynb"
_SHAPE: Mapping[str, type] = {
    "bundle": str, "cloud": str, "environment": str, "runbook": str, "run_id": str, "verdict": str, "sealed_at": str,
    "ledger": dict, "files": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file; `bundle` is "" for the ledger and the trust file."""

    bundle: str
    file: str
    problem: str


@dataclass(frozen=True)
class Report:
    """`bundles` are the names that were checked, in order; no finding means intact.

    By bundle: `clouds`, `verdicts` and `sealed_by` (owner of the key) of those whose seal holds. `unsealed` are runs
    that are still running, or were killed and wait for the next run to seal them.
    """

    bundles: tuple[str, ...]
    findings: tuple[Finding, ...]
    clouds: Mapping[str, str]
    verdicts: Mapping[str, str]
    sealed_by: Mapping[str, str]
    unsealed: tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        return not self.findings


@dataclass(frozen=True)
class _Key:
    public: Ed25519PublicKey
    owner: str
    cloud: str


@dataclass(frozen=True)
class _Sealed:
    """A manifest that a pinned key signed: the truth about its bundle."""

    raw: bytes
    manifest: Mapping[str, Any]
    key: _Key


class _Problem(Exception):  # noqa: N818  what a finding will say, on its way up
    pass


def verify(evidence: Path, trust: Path | None = None, *, with_rehearsals: bool = False) -> Report:
    """Check every bundle and the ledger; never raises for what it finds in the folder, only names it.

    The keys are those of `trust`, else those of the folder itself; `with_rehearsals` adds what the folder pins for the
    sandbox, which can seal nothing live.
    """
    own = evidence / "trust.toml"
    keys, findings = pinned_keys(trust or own)
    if with_rehearsals:
        keys = {name: key for name, key in pinned_keys(own)[0].items() if key.cloud == "sandbox"} | keys
    bundles = sorted(path for path in _children(evidence) if path.is_dir() and not path.name.startswith("."))
    sealed: dict[str, _Sealed] = {}
    for bundle in bundles:
        findings.extend(_bundle_findings(bundle, keys, sealed))
    findings.extend(_ledger_findings(evidence, {bundle.name for bundle in bundles}, sealed))
    return Report(
        bundles=tuple(bundle.name for bundle in bundles),
        findings=tuple(findings),
        clouds={name: one.manifest["cloud"] for name, one in sealed.items()},
        verdicts={name: one.manifest["verdict"] for name, one in sealed.items()},
        sealed_by={name: one.key.owner for name, one in sealed.items()},
        unsealed=tuple(sorted(path.name for path in _children(evidence / RUNNING) if path.is_dir())),
    )


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def pinned_keys(trust: Path) -> tuple[dict[str, _Key], list[Finding]]:
    """The keys of a trust file by their id; none, and what is wrong with it, when it cannot be read."""
    try:
        table = tomllib.loads(trust.read_text(encoding="utf-8"))
        keys = {
            str(entry["keyid"]): _Key(
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["public"])),
                str(entry["owner"]),
                str(entry["cloud"]),
            )
            for entry in table["keys"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {}, [Finding("", trust.name, f"no pinned keys: {type(error).__name__}")]
    return keys, []


def _bundle_findings(bundle: Path, keys: Mapping[str, _Key], sealed: dict[str, _Sealed]) -> Iterator[Finding]:
    name = bundle.name
    if bundle.is_symlink():
        yield Finding(name, "", "a link, not a folder")
        return
    try:
        one = _opened(_bytes_of(bundle / "seal.json"), keys)
    except _Problem as problem:
        yield Finding(name, "seal.json", str(problem))
        return
    sealed[name] = one
    if _bytes_of(bundle / "manifest.json") != one.raw:
        yield Finding(name, "manifest.json", "missing or changed: it is not what was sealed")
    if one.manifest["bundle"] != name:
        yield Finding(name, "manifest.json", f"sealed as {one.manifest['bundle']}: the folder was renamed")
    changed = list(_file_findings(bundle, one.manifest["files"]))
    yield from changed
    if not changed:  # a file that was changed is named already; what is left is what was sealed, and must agree
        yield from (Finding(name, file, problem) for file, problem in disagreements(bundle, one.manifest))


def _file_findings(bundle: Path, files: Mapping[str, Any]) -> Iterator[Finding]:
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*")}
    for name in sorted(there - set(files) - SEALED_BESIDE):
        yield Finding(bundle.name, name, "not in the manifest: added after sealing")
    for name, facts in sorted(files.items()):
        content = _bytes_of(bundle / name)
        if content is None:
            yield Finding(bundle.name, name, "missing, or no longer a file")
        elif not isinstance(facts, dict) or hashlib.sha256(content).hexdigest() != facts.get("sha256"):
            yield Finding(bundle.name, name, "changed after sealing")


def _opened(raw: bytes | None, keys: Mapping[str, _Key]) -> _Sealed:
    """The manifest inside a DSSE envelope that a pinned key signed (one signature is enough), or _Problem."""
    if raw is None:
        raise _Problem("missing, or no longer a file")
    envelope = _json_object(raw)
    if envelope is None:
        raise _Problem("not JSON")
    payload, signatures = _unpacked(envelope)
    kind = envelope.get("payloadType")
    if kind != PAYLOAD_TYPE:
        raise _Problem(f"it seals a {kind!r}")
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    key = next((key for key in keys.values() for one in signatures.values() if _is_signed_by(key, one, signed)), None)
    if key is None:
        named = ", ".join(sorted(keyid[:12] for keyid in signatures)) or "none"
        raise _Problem(f"no pinned key signed it (it names {named})")
    manifest = _json_object(payload)
    if manifest is None or any(not isinstance(manifest.get(name), kind) for name, kind in _SHAPE.items()):
        raise _Problem("what it seals is no manifest")
    if manifest["cloud"] != key.cloud:
        raise _Problem(f"sealed as {manifest['cloud']} by a key that is pinned for {key.cloud}")
    return _Sealed(payload, manifest, key)


def _unpacked(envelope: Mapping[str, Any]) -> tuple[bytes, dict[str, bytes]]:
    """Payload, and signatures by the key id that they claim."""
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = {
            str(entry["keyid"]): base64.b64decode(entry["sig"], validate=True) for entry in envelope["signatures"]
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Problem("not a DSSE envelope") from error
    return payload, signatures


def _is_signed_by(key: _Key, signature: bytes, signed: bytes) -> bool:
    try:
        key.public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _broken_journal_line(path: Path) -> int | None:
    """Number, from zero, of the first line that does not carry the hash of the one before it."""
    previous = NO_PREVIOUS
    for number, line in enumerate((_bytes_of(path) or b"").splitlines()):
        if not _carries(_json_object(line), previous, number):
            return number
        previous = hashlib.sha256(line).hexdigest()
    return None


def _carries(entry: Mapping[str, Any] | None, previous: str, number: int) -> bool:
    return entry is not None and entry.get("previous") == previous and entry.get("seq") == number


@dataclass(frozen=True)
class _Told:
    """What the files of one run say, and what is known `about` it; a file that is not there says nothing."""

    about: Mapping[str, Any]
    raw: Mapping[str, bytes]
    events: tuple[Mapping[str, Any], ...]

    def line(self, number: int, event: str) -> Mapping[str, Any]:
        """One line of the journal when it is of this kind."""
        there = self.events[number] if self.events else {}
        return there if there.get("event") == event else {}

    def document(self, name: str) -> Mapping[str, Any]:
        return _plain(_json_object(self.raw.get(name, b"")) or {})

    def digest_of(self, name: str) -> str | None:
        return hashlib.sha256(self.raw[name]).hexdigest() if name in self.raw else None

    def is_about(self, said: Mapping[str, Any]) -> bool:
        return all(said.get(name) == self.about[name] for name in ("cloud", "environment", "runbook"))

    def of_act(self, act: str, event: str) -> Mapping[str, Any] | None:
        """The first line of this kind about an act."""
        return next((one for one in self.events if one.get("act") == act and one.get("event") == event), None)

    def is_in_place(self, name: str, act: str) -> bool:
        """What an act brings is kept before its end is journalled: a kill in between leaves the file and no end."""
        end = self.of_act(act, "act-ends")
        if end is None:
            return name not in self.raw or self.of_act(act, "act-begins") is not None
        return (name in self.raw) is not bool(end.get("held"))


def _agreements(told: _Told) -> Iterator[tuple[str, str, bool]]:
    """A file, what would be wrong with it, and whether it is in order. What is sealed is asked when there is a seal."""
    opened, sealed = told.line(0, "run-opened"), told.line(-1, "run-sealed")
    planned, approved = told.of_act("plan", "act-ends") or {}, told.of_act("approve", "act-ends") or {}
    plan, approval, verdict = (told.document(f"{name}.json") for name in ("plan", "approval", "verdict"))
    digest, notebook = told.digest_of("plan.json"), told.digest_of(NOTEBOOK)
    has_written = any(event.get("event") == "write-intent" for event in told.events)
    of_others = [event for event in told.events if event.get("run") != told.about["run_id"]]

    yield "journal.jsonl", "its first line does not open this run", told.is_about(opened)
    yield "journal.jsonl", "it holds a line of another run", not of_others
    yield "journal.jsonl", "it tells of a write that nobody had approved", not has_written or "kind" in approved
    yield "plan.json", "there without a plan act, or the other way round", told.is_in_place("plan.json", "plan")
    yield "plan.json", "not the plan that the journal tells of", digest == planned.get("digest", digest)
    yield "plan.json", "for another cloud, environment or runbook", digest is None or told.is_about(plan)
    yield (
        "approval.json",
        "there without approval, or the other way round",
        told.is_in_place("approval.json", "approve"),
    )
    if "approval.json" in told.raw:
        kind, is_by_operator = approval.get("kind"), approval.get("approver") == opened.get("operator")
        is_self_approved = str(kind).startswith("self-approved")
        yield "approval.json", "it approves another plan", approval.get("plan_digest") == digest
        yield "approval.json", "not as the journal tells of it", kind == approved.get("kind", kind)
        yield "approval.json", "self-approved by another than the operator", is_by_operator or not is_self_approved
    yield NOTEBOOK, "not the notebook that the runner saw", notebook in (None, sealed.get("notebook"))
    if "verdict" in told.about:
        word = told.about["verdict"]
        yield "journal.jsonl", "its last line is not the sealed verdict", sealed.get("word") == word
        yield "verdict.json", "not the sealed verdict", told.is_about(verdict) and verdict.get("word") == word
        yield "verdict.json", "it gives another reason than the journal", verdict.get("why") == sealed.get("why")
        yield "plan.json", "not the plan whose digest was sealed", digest == told.about.get("plan_digest")


def disagreements(folder: Path, about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) where the files of one run contradict each other, or what is known `about` the run.

    `about` is its manifest; before there is one, {"run_id", "cloud", "environment", "runbook"}.
    """
    broken = _broken_journal_line(folder / "journal.jsonl")
    if broken is not None:
        yield "journal.jsonl", f"line {broken + 1} does not follow the one before it"
    raw = {path.name: content for path in _children(folder) if (content := _bytes_of(path)) is not None}
    lines = (_json_object(line) for line in raw.get("journal.jsonl", b"").splitlines())
    told = _Told(about, raw, tuple(_plain(line) for line in lines if line is not None))
    yield from ((file, problem) for file, problem, is_in_order in _agreements(told) if not is_in_order)


def _plain(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what is nested: nothing here needs it, and comparing what somebody nested too deep would raise."""
    return {name: item for name, item in value.items() if not isinstance(item, dict | list)}


def entry_of(raw_manifest: bytes) -> dict[str, Any]:
    """The ledger's line for a bundle: everything in it follows from the signed manifest."""
    manifest = json.loads(raw_manifest)
    return {
        "seq": manifest["ledger"].get("seq"),
        "previous": manifest["ledger"].get("previous"),
        "at": manifest["sealed_at"],
        "bundle": manifest["bundle"],
        "cloud": manifest["cloud"],
        "runbook": manifest["runbook"],
        "verdict": manifest["verdict"],
        "manifest_sha256": hashlib.sha256(raw_manifest).hexdigest(),
    }


def _ledger_findings(evidence: Path, bundles: set[str], sealed: Mapping[str, _Sealed]) -> Iterator[Finding]:
    """A chain over all bundles: one that was taken away, slipped in or told otherwise is named."""
    previous = NO_PREVIOUS
    listed: set[str] = set()
    raw = _bytes_of(evidence / LEDGER)
    if raw is None:
        yield Finding("", LEDGER, "missing" if bundles else "missing: there is nothing to check")
    for number, line in enumerate((raw or b"").splitlines()):
        entry = _json_object(line)
        if not _carries(entry, previous, number):
            yield Finding("", LEDGER, f"line {number + 1} does not follow the one before it")
        previous = hashlib.sha256(line).hexdigest()
        yield from _entry_findings(evidence, entry or {}, f"line {number + 1}", bundles - listed, sealed)
        listed.add(str((entry or {}).get("bundle")))
    for name in sorted(bundles - listed):
        yield Finding(name, LEDGER, "the bundle is not in the ledger")


def _entry_findings(
    evidence: Path, entry: Mapping[str, Any], line: str, bundles: set[str], sealed: Mapping[str, _Sealed]
) -> Iterator[Finding]:
    """One line against the manifest that was signed; a bundle whose seal does not hold is named elsewhere."""
    name = str(entry.get("bundle"))
    if name not in bundles:
        waits = any(path.name == name for path in _children(evidence / RUNNING))
        gone = "in the ledger, but not in its place: the next run moves it" if waits else "in the ledger, but gone"
        yield Finding(name, "", f"{gone} ({line})")
        return
    if name not in sealed:
        return
    truth = entry_of(sealed[name].raw)
    wrong = sorted(key for key in {*truth, *entry} if truth.get(key) != entry.get(key))
    if wrong:
        yield Finding("", LEDGER, f"{line} is not what was sealed for {name}: {', '.join(wrong)}")


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _bytes_of(path: Path) -> bytes | None:
    """None for what is not there, not readable, or not a plain file: a link may lead anywhere, a pipe never ends."""
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
    except (OSError, ValueError):
        return None


def lines_of(report: Report) -> Iterator[str]:
    """The report as text, one line per bundle, then one per finding; names are shown harmless."""
    wrong = {finding.bundle for finding in report.findings}
    for name in report.bundles:
        state = "WRONG " if name in wrong else "intact"
        sealed_by = report.sealed_by.get(name, "nobody we know")
        yield _shown(
            f"{state}  {name}  {report.verdicts.get(name, '?')}  "
            f"({report.clouds.get(name, '?')}; sealed by {sealed_by})"
        )
    for finding in report.findings:
        where = "/".join(part for part in (finding.bundle, finding.file) if part)
        yield _shown(f"WRONG   {where}: {finding.problem}")
    for name in report.unsealed:
        yield _shown(f"open    {name}  (it runs, or was killed: then the next run seals it)")
    yield f"{len(report.bundles)} bundles, {len(report.findings)} findings"


def _shown(text: str) -> str:
    """A file's name may hold anything: what could move a terminal's cursor is spelled out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _main(arguments: list[str]) -> int:
    if len(arguments) not in {1, 2} or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python verify.py EVIDENCE_FOLDER [TRUST_FILE]\n")
        return 2
    report = verify(Path(arguments[0]), Path(arguments[1]) if arguments[1:] else None)
    sys.stdout.write("\n".join(lines_of(report)) + "\n")
    return 0 if report.is_intact else 4


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
