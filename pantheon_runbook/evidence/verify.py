"""Check evidence offline: raw bytes first, exact file sets, pinned keys only.

One file that needs the standard library and cryptography, nothing else of ours:

python verify.py EVIDENCE_FOLDER [TRUST_FILE]

The folder is the one of all bundles, or that of one bundle alone.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import stat
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unicodedata import normalize

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

PAYLOAD_TYPE = "application/vnd.pantheon-runbook.manifest+json"
SEALED_BESIDE = frozenset({"manifest.json", "seal.json"})
NO_PREVIOUS = "0" * 64
LEDGER = "ledger.jsonl"
TRUST = "trust.toml"
IN_DOUBT = "no pin in it counts"  # begins the finding about a trust file that can be read and contradicts itself
SEALS = "seal"  # the role of a key that signs bundles; one that is pinned for anything else signs none
APPROVES = "approve"  # the role of a key that signs decisions about a plan of production
APPROVAL, STATEMENT = "urn:pantheon-runbook:approval:1", "application/vnd.in-toto+json"  # what such a decision is
SSH_NAMESPACE = "pantheon-runbook-approval"
CLOCKS_DIFFER = timedelta(minutes=5)  # between two machines of a team: what is dated that far ahead is of now
RUNNING = ".running"
NOTE = ".place"  # beside a run's folder: made before it, removed after it
NOTEBOOK = "runbook.ipynb"
CERTIFICATE = "certificate.json"
DECISIONS, SIGNED_PLAN, STOPPED_BY = "decisions.json", "approved-plan.json", "stopped-by.json"
DECISIONS_SCHEMA = "pantheon-runbook/decisions/1"
ALONE = "separation of duties: not met"
_BY_SIGNATURE = frozenset({"approved", ALONE})  # the kinds of approval that rest on signed decisions
_KEPT = frozenset({
    CERTIFICATE, DECISIONS, SIGNED_PLAN, STOPPED_BY, "backups.json", "certificate.md", "comparison.json",
    "criteria.json", "endpoints.md", "rehearsal.json", "strategy.md",
})  # fmt: skip
_WRITTEN = SEALED_BESIDE | _KEPT | {
    NOTEBOOK, "approval.json", "journal.jsonl", "plan.json", "report.html", "report.md", "snapshot.json",
    "verdict.json",
}  # fmt: skip
# Half-written ones are what a crash leaves; sealing removes them.
_LEFT_BY_RUNS = _WRITTEN | {f".{name}.new" for name in _WRITTEN}
_MISSING = "missing"
_SHAPE: Mapping[str, type] = {
    "bundle": str, "cloud": str, "environment": str, "runbook": str, "run_id": str, "verdict": str, "sealed_at": str,
    "ledger": dict, "files": dict,
}  # fmt: skip
_DECIDED: Mapping[str, type] = {
    "schema": str, "kind": str, "plan_digest": str, "planned_in": str, "sealed_at": str, "judged_at": str,
    "requester": dict, "executor": dict, "authors": list, "approvers": list, "unknown": list, "not_counted": list,
    "envelopes": dict, "continues": str,
}  # fmt: skip
_NAMED = dict.fromkeys(("name", "source"), str)
_APPROVER = _NAMED | dict.fromkeys(("keyid", "nonce", "reason", "issued_at", "expires_at"), str)
_OPERATOR = {"name": "operator", "source": "operator_source"}  # how a journal's first line calls what is said of people
_OF_THE_PLAN = {
    "plan_digest": "plan", "cloud": "cloud", "environment": "environment", "runbook": "runbook", "code": "short code",
    "is_hotfix": "kind of plan: hotfix or none",
}  # fmt: skip
_OF_THE_PERSON = {"approver": "name", "reason": "reason", "issued_at": "issued_at", "expires_at": "expires_at"}
# Fillers, joiners and selectors: for Unicode they are letters, marks or symbols, and nobody sees them.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file; `bundle` is "" for the ledger and the trust file."""

    bundle: str
    file: str
    problem: str


@dataclass(frozen=True)
class Report:
    """`bundles` are the names that were checked, in order; no finding means intact.

    By bundle: `clouds`, `verdicts`, `sealed_by` (owner of the key) and `keys` (its id, and where it is pinned) of those
    whose seal holds. `unsealed` are runs that are still running, or were killed and wait for the next run to seal them.
    `ledger_head` is the hash of the ledger's last line, None when it was not looked at: one bundle is checked alone.
    """

    bundles: tuple[str, ...]
    findings: tuple[Finding, ...]
    clouds: Mapping[str, str]
    verdicts: Mapping[str, str]
    sealed_by: Mapping[str, str]
    keys: Mapping[str, str]
    unsealed: tuple[str, ...]
    ledger_lines: int
    ledger_head: str | None
    certificates: Mapping[str, str] = field(default_factory=dict)  # by bundle: kind, number, and who signed what

    @property
    def is_intact(self) -> bool:
        return not self.findings


@dataclass(frozen=True)
class Key:
    """A pinned key: whose it is, what it may sign (`role`), for which cloud, and from when until when ("": always)."""

    public: Ed25519PublicKey
    owner: str
    cloud: str
    where: str
    role: str = SEALS
    valid_from: str = ""
    valid_until: str = ""

    def is_valid_at(self, moment: str) -> bool:
        """Whether it was pinned for this time (UTC, as we write it); what is no time is outside."""
        try:
            at = moment_of(moment)
            first, last = (moment_of(text) if text else at for text in (self.valid_from, self.valid_until))
        except ValueError:
            return False
        return first <= at <= last


def moment_of(text: str) -> datetime:
    """A time as we write it; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Check = Callable[[Key, bytes, bytes], bool]  # whether this key made this signature over these bytes


@dataclass(frozen=True)
class _Sealed:
    """A manifest that a pinned key signed: the truth about its bundle."""

    raw: bytes
    manifest: Mapping[str, Any]
    key: Key


class _Problem(Exception):  # noqa: N818  what a finding will say, on its way up
    pass


def verify(evidence: Path, trust: Path | None = None, *, with_rehearsals: bool = False) -> Report:
    """Check every bundle and the ledger, or one bundle alone; never raises for what it finds, only names it.

    The keys are those of `trust`; without it, or beside it `with_rehearsals`, those that the evidence folder
    itself pins for the sandbox.
    """
    try:
        inside = _listed(evidence)
    except _Problem as problem:
        return Report((), (Finding("", ".", str(problem)),), {}, {}, {}, {}, (), 0, None)
    is_alone = any(path.name == "seal.json" for path in inside)
    bundles = [evidence.resolve()] if is_alone else [path for path in inside if _is_bundle(path)]
    own = (bundles[0].parent if is_alone else evidence) / TRUST
    keys, findings = _trusted(own, trust, with_rehearsals=with_rehearsals)
    sealed: dict[str, _Sealed] = {}
    for bundle in bundles:
        findings.extend(_bundle_findings(bundle, keys, sealed))
    around = _Around() if is_alone else _around(evidence, {bundle.name for bundle in bundles}, sealed)
    return Report(
        bundles=tuple(bundle.name for bundle in bundles),
        findings=(*findings, *([] if is_alone else _of_other_runs(evidence, sealed)), *around.findings),
        clouds={name: one.manifest["cloud"] for name, one in sealed.items()},
        verdicts={name: one.manifest["verdict"] for name, one in sealed.items()},
        sealed_by={name: one.key.owner for name, one in sealed.items()},
        keys={name: one.key.where for name, one in sealed.items()},
        unsealed=around.unsealed,
        ledger_lines=len(around.ledger),
        ledger_head=None if is_alone else head_of(around.ledger),
        certificates={path.name: told for path in bundles if path.name in sealed and (told := _certificate(path))},
    )


def _certificate(bundle: Path) -> str:
    held = _json_object(_bytes_of(bundle / CERTIFICATE) or b"") or {}
    signed = held.get("attestations")
    names = ", ".join(str(name).removesuffix(".json") for name in signed) if isinstance(signed, dict) else ""
    return f"{held.get('title')}, number {str(held.get('run'))[:8]}, signed: {names or 'by nobody'}" if held else ""


@dataclass(frozen=True)
class _Around:
    """What is not inside a bundle: the ledger's lines, the names of open runs, and what is wrong with either."""

    ledger: tuple[bytes, ...] = ()
    unsealed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def _around(evidence: Path, bundles: set[str], sealed: Mapping[str, _Sealed]) -> _Around:
    ledger: list[bytes] = []
    findings: list[Finding] = []
    running: dict[str, str] = {}
    try:
        ledger = lines_in(_read(evidence / LEDGER))
    except _Problem as problem:
        is_empty = str(problem) == _MISSING and not bundles
        findings.append(Finding("", LEDGER, f"{problem}{': there is nothing to check' if is_empty else ''}"))
    try:
        running = {path.name: _misplaced(path) for path in _listed(evidence / RUNNING) if _is_bundle(path)}
    except _Problem as problem:
        findings.append(Finding("", RUNNING, f"{problem}: give permission, what is in it was not seen"))
    findings += [Finding("", f"{RUNNING}/{name}", wrong) for name, wrong in running.items() if wrong]
    manifests = {name: evidence / RUNNING / name / "manifest.json" for name, wrong in running.items() if not wrong}
    waiting = {name: _sha256(_bytes_of(path) or b"") for name, path in manifests.items()}
    findings += _ledger_findings(ledger, bundles, sealed, waiting)
    listed = {str((_json_object(line) or {}).get("bundle")) for line in ledger}
    return _Around(tuple(ledger), tuple(sorted(waiting.keys() - listed)), tuple(findings))


def _misplaced(folder: Path) -> str:
    """What is wrong with the folder of an open run and the note beside it; "" when both are of one run."""
    what_to_do = f"look at it, and move it out of {RUNNING}"
    note_path = folder.with_name(f"{folder.name}{NOTE}")
    try:
        note = _plain(_json_object(_read(note_path)) or {})
    except _Problem as problem:
        if not _is_bundle(folder):
            return ""  # it came to its end this moment
        return f"its note {note_path.name}: {problem}. No run of ours leaves that, and none will seal it: {what_to_do}"
    ending = f"-{note.get('runbook')}-{note.get('environment')}-{str(note.get('run_id'))[:8]}"
    if not folder.name.endswith(ending) or not _opens(folder / "journal.jsonl", note):
        return f"its note {note_path.name} is not of this run: {what_to_do}, the note too"
    return ""


def _opens(journal: Path, note: Mapping[str, Any]) -> bool:
    """Whether its first line is of the run that the note tells of; a run that has only begun has none yet."""
    first, has_begun, _ = (_bytes_of(journal) or b"").partition(b"\n")
    opened = _plain(_json_object(first) or {})
    names = {"cloud": "cloud", "environment": "environment", "runbook": "runbook", "run_id": "run"}
    return not has_begun or all(note.get(ours) == opened.get(theirs) for ours, theirs in names.items())


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing when there is none. Raises _Problem when it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _Problem(f"cannot be read ({type(error).__name__})") from error


def _is_bundle(path: Path) -> bool:
    """A folder, or a link to one, that is not hidden; what cannot be asked is none: its parent is named for that."""
    try:
        return path.is_dir() and not path.name.startswith(".")
    except OSError:
        return False


def _trusted(own: Path, trust: Path | None, *, with_rehearsals: bool) -> tuple[dict[str, Key], list[Finding]]:
    """Whoever owns the evidence folder can pin any key in it: what is pinned there counts for the sandbox only."""
    if trust is None or _is_same(own, trust):
        return _for_rehearsals(own)
    keys, findings = pinned_keys(trust)
    if with_rehearsals:  # a key that is pinned in both is what the trust file from elsewhere says
        keys |= {name: key for name, key in _for_rehearsals(own)[0].items() if name not in keys}
    return keys, findings


def _for_rehearsals(own: Path) -> tuple[dict[str, Key], list[Finding]]:
    keys, findings = pinned_keys(own)
    for cloud in sorted({key.cloud for key in keys.values()} - {"sandbox"}):
        problem = f"its key for {cloud} does not count: name the trust file that is kept elsewhere"
        findings.append(Finding("", TRUST, problem))
    return {name: key for name, key in keys.items() if key.cloud == "sandbox"}, findings


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def pinned_keys(trust: Path) -> tuple[dict[str, Key], list[Finding]]:
    """The keys of a trust file by their id; none, and what is wrong with it, when it cannot be read."""
    try:
        table = tomllib.loads(_read(trust, follow=True).decode())
        pinned = [(keyid_of(entry), _key(entry, trust)) for entry in table["keys"]]
    except _Problem as problem:
        return {}, [Finding("", trust.name, f"no pinned keys: {problem}")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return {}, [Finding("", trust.name, f"no pinned keys: {type(error).__name__}")]
    doubt = _doubt_in(pinned)
    return ({}, [Finding("", trust.name, f"{IN_DOUBT}: {doubt}")]) if doubt else (dict(pinned), [])


def ssh_keyid(line: str) -> str:
    """What a key is called that is pinned by its line in an OpenSSH .pub file."""
    return _sha256(" ".join(line.split()[:2]).encode())


def keyid_of(entry: Mapping[str, Any]) -> str:
    """What the key of one entry of a trust file is called. Raises KeyError, AttributeError."""
    return ssh_keyid(entry["ssh"]) if "ssh" in entry else str(entry["keyid"])


def _key(entry: Mapping[str, Any], trust: Path) -> Key:
    return Key(
        _public(entry),
        str(entry["owner"]),
        str(entry["cloud"]),
        f"key {keyid_of(entry)[:12]} in {trust}",
        str(entry.get("role", SEALS)),
        _interval(entry, "valid_from"),
        _interval(entry, "valid_until"),
    )


def _doubt_in(pinned: Iterable[tuple[str, Key]]) -> str:
    """Of two entries for one key, one of them ended perhaps, nobody could say which counts; "" for no doubt.

    Nor could he who reads them tell two people apart whose names look alike.
    """
    taken = set[object]()
    for keyid, key in pinned:
        if key.role != SEALS and (not key.owner.isprintable() or _BLANK.search(key.owner)):
            return f"the owner of key {keyid[:12]} has a character in the name that nobody sees"
        names = {keyid, (key.public.public_bytes_raw(), key.role, key.cloud)}
        if names & taken:
            return f"key {keyid[:12]} is pinned twice"
        taken |= names
    return ""


def _public(entry: Mapping[str, Any]) -> Ed25519PublicKey:
    """Raises ValueError, KeyError: for a key of another kind too."""
    if "ssh" not in entry:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["public"]))
    try:
        public = load_ssh_public_key(entry["ssh"].encode())
    except UnsupportedAlgorithm as error:
        raise ValueError("not an ssh-ed25519 key") from error
    if not isinstance(public, Ed25519PublicKey):
        raise ValueError("not an ssh-ed25519 key")  # noqa: TRY004  it is the file that is wrong
    return public


def _interval(entry: Mapping[str, Any], name: str) -> str:
    """One end of a key's validity. Raises ValueError: a key whose end nobody can read would never end."""
    text = str(entry.get(name, ""))
    if text:
        moment_of(text)
    return text


def _bundle_findings(bundle: Path, keys: Mapping[str, Key], sealed: dict[str, _Sealed]) -> Iterator[Finding]:
    name = bundle.name
    if bundle.is_symlink():
        yield Finding(name, "", "a link, not a folder")
        return
    try:
        one = _opened(_read(bundle / "seal.json"), keys)
    except _Problem as problem:
        yield Finding(name, "seal.json", str(problem))
        return
    sealed[name] = one
    if change := _change(bundle / "manifest.json", _sha256(one.raw)):
        yield Finding(name, "manifest.json", change)
    if one.manifest["bundle"] != name:
        yield Finding(name, "manifest.json", f"sealed as {one.manifest['bundle']}: the folder was renamed")
    changed = list(_file_findings(bundle, one.manifest["files"]))
    yield from changed
    if not changed:  # a file that was changed is named already; what is left is what was sealed, and must agree
        yield from (Finding(name, file, problem) for file, problem in disagreements(bundle, one.manifest))
        decided = decisions_in(_bytes_of(bundle / DECISIONS) or b"")
        problems = _unsigned(decided, one.manifest["cloud"], keys) if decided else ()
        yield from (Finding(name, DECISIONS, problem) for problem in problems)


def _file_findings(bundle: Path, files: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        # A run makes no folder: one that is there is named, however deep it is, and not entered.
        there = {path.name for path in _listed(bundle)}
    except _Problem as problem:
        yield Finding(bundle.name, "", str(problem))
        return
    for name in sorted(there - set(files) - SEALED_BESIDE):
        yield Finding(bundle.name, name, "not in the manifest: added after sealing")
    for name, facts in sorted(files.items()):
        if change := _change(bundle / name, facts.get("sha256") if isinstance(facts, dict) else None):
            yield Finding(bundle.name, name, change)


def _change(path: Path, sha256: Any) -> str:
    """Why it is not the file with this digest; "" when it is."""
    try:
        return "" if _sha256(_read(path)) == sha256 else "changed after sealing"
    except _Problem as problem:
        return str(problem)


def _opened(raw: bytes, keys: Mapping[str, Key]) -> _Sealed:
    """The manifest inside a DSSE envelope that a pinned key signed (one signature is enough), or _Problem."""
    sealers = [key for key in keys.values() if key.role == SEALS]
    held = _unpacked(raw, PAYLOAD_TYPE, sealers, is_signed_by)
    if (key := held.key) is None:
        listed = ", ".join(sorted(keyid[:12] for keyid in held.named)) or "none"
        raise _Problem(f"no pinned key signed it (it names {listed})")
    manifest = _json_object(held.payload)
    if manifest is None or any(not isinstance(manifest.get(name), kind) for name, kind in _SHAPE.items()):
        raise _Problem("what it seals is no manifest")
    if manifest["cloud"] != key.cloud:
        raise _Problem(f"sealed as {manifest['cloud']} by a key that is pinned for {key.cloud}")
    if not key.is_valid_at(manifest["sealed_at"]):
        raise _Problem(f"sealed at {manifest['sealed_at']}, when {key.owner}'s key was not valid")
    return _Sealed(held.payload, manifest, key)


@dataclass(frozen=True)
class Signed:
    """What a DSSE envelope holds, the ids of keys that it names, and the key that did sign it (None: none of ours)."""

    payload: bytes
    named: frozenset[str]
    key: Key | None


def opened(raw: bytes, payload_type: str, keys: Iterable[Key], *, check: Check | None = None) -> Signed | str:
    """The content of an envelope of this type, or why it is none; `check` looks at signatures of another kind, too."""
    try:
        return _unpacked(raw, payload_type, keys, check or is_signed_by)
    except _Problem as problem:
        return str(problem)


def _unpacked(raw: bytes, payload_type: str, keys: Iterable[Key], check: Check) -> Signed:
    """With the first of the keys that signed, whatever key is claimed; a signature counts over `payload_type` only."""
    envelope = _json_object(raw)
    if envelope is None:
        raise _Problem("not JSON")
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = {
            str(entry["keyid"]): base64.b64decode(entry["sig"], validate=True) for entry in envelope["signatures"]
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Problem("not a DSSE envelope") from error
    signed = signed_bytes(payload, payload_type)
    key = next((key for key in keys for one in signatures.values() if check(key, one, signed)), None)
    if envelope.get("payloadType") != payload_type:
        raise _Problem(f"it holds a {envelope.get('payloadType')!r}")
    return Signed(payload, frozenset(signatures), key)


def signed_bytes(payload: bytes, payload_type: str) -> bytes:
    """What DSSE has signed: a payload cannot be taken for one of another type."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def is_signed_by(key: Key, signature: bytes, signed: bytes) -> bool:
    try:
        key.public.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def is_approved_by(key: Key, signature: bytes, signed: bytes) -> bool:
    """DSSE's own signature, or SSH's by the same key, for which there is one spelling (OpenSSH's PROTOCOL.sshsig)."""
    bare, public = signature[-64:], _ssh(b"ssh-ed25519", key.public.public_bytes_raw())
    for name in ("sha512", "sha256"):
        about = _ssh(SSH_NAMESPACE.encode(), b"", name.encode())
        if signature == b"SSHSIG\0\0\0\1" + _ssh(public) + about + _ssh(_ssh(b"ssh-ed25519", bare)):
            return is_signed_by(key, bare, b"SSHSIG" + about + _ssh(hashlib.new(name, signed).digest()))
    return is_signed_by(key, signature, signed)


def _ssh(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(4, "big") + text for text in texts)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lines_in(content: bytes) -> list[bytes]:
    """By the one line break that we write; whatever else looks like one to somebody is part of a line."""
    lines = content.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def head_of(lines: Sequence[bytes]) -> str:
    return _sha256(lines[-1]) if lines else NO_PREVIOUS


def broken_lines(lines: Sequence[bytes]) -> Iterator[int]:
    """Numbers, from zero, of the lines that do not carry the hash of the one before them."""
    previous = NO_PREVIOUS
    for number, line in enumerate(lines):
        entry = _json_object(line)
        if entry is None or entry.get("previous") != previous or entry.get("seq") != number:
            yield number
        previous = _sha256(line)


@dataclass(frozen=True)
class _Told:
    """What the files of one run say, and what is known `about` it; a file that is not there says nothing."""

    about: Mapping[str, Any]
    raw: Mapping[str, bytes]
    events: tuple[Mapping[str, Any], ...]

    def line(self, number: int, event: str) -> Mapping[str, Any]:
        """One line of the journal when it is of this kind."""
        there = self.events[number] if self.events else {}
        return _plain(there) if there.get("event") == event else {}

    def document(self, name: str) -> Mapping[str, Any]:
        return _json_object(self.raw.get(name, b"")) or {}

    def digest_of(self, name: str) -> str | None:
        return _sha256(self.raw[name]) if name in self.raw else None

    def is_about(self, said: Mapping[str, Any]) -> bool:
        return all(said.get(name) == self.about[name] for name in ("cloud", "environment", "runbook"))

    def of(self, event: str) -> Iterator[Mapping[str, Any]]:
        return (one for one in self.events if one.get("event") == event)

    def of_act(self, act: str, event: str) -> Mapping[str, Any] | None:
        """The first line of this kind about an act."""
        return next((_plain(one) for one in self.of(event) if one.get("act") == act), None)

    def is_in_place(self, name: str, act: str) -> bool:
        """What an act brings is kept before its end is journalled: a kill in between leaves the file and no end."""
        end = self.of_act(act, "act-ends")
        if end is None:
            return name not in self.raw or self.of_act(act, "act-begins") is not None
        return (name in self.raw) is not bool(end.get("held"))

    @property
    def snapshot_digest(self) -> str | None:
        """Of what was observed, its time apart, as the journal and the plan name it; "" for what is no snapshot."""
        if "snapshot.json" not in self.raw:
            return None
        observed = self.document("snapshot.json").get("observed")
        if not isinstance(observed, dict):
            return ""
        timeless = {name: value for name, value in observed.items() if name != "observed_at"}
        try:
            return _sha256(json.dumps(timeless, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
        except (ValueError, RecursionError):
            return ""

    @property
    def signed_plan(self) -> Mapping[str, Any]:
        return self.document(SIGNED_PLAN if SIGNED_PLAN in self.raw else "plan.json")

    @property
    def kept(self) -> dict[str, Any]:
        """The digests that the journal gives of what acts have left, by file."""
        told = [one.get("files") for one in self.of("act-ends")]
        approved = self.of_act("approve", "act-ends") or {}
        decided = {DECISIONS: approved.get("decisions"), SIGNED_PLAN: approved.get("approved_plan")}
        by_name = {name: digest for files in told if isinstance(files, dict) for name, digest in files.items()}
        return by_name | {name: digest for name, digest in decided.items() if digest is not None}

    def is_left_by_an_act(self, name: str) -> bool:
        """As the journal says; an act that has begun and not ended may have left what it does not tell of."""
        begun, ended = ({one.get("act") for one in self.of(event)} for event in ("act-begins", "act-ends"))
        if name not in self.kept:
            return bool(begun - ended)
        return bool(self.kept[name] == self.digest_of(name))

    @property
    def planned(self) -> list[Any]:
        """The address of every planned change, None for one that has none; [None] when no changes can be read."""
        changes = self.document("plan.json").get("changes")
        there = changes if isinstance(changes, list) else [None]
        return [_address(change) if isinstance(change, dict) else None for change in there]

    def has_been_approved(self) -> bool:
        """Whether the approve act had ended before the first write."""
        first = next((one for one in self.events if one.get("event") == "write-intent" or _approves(one)), {})
        return first.get("event") != "write-intent"

    def leads_to(self, word: Any) -> bool:
        """Whether the journal and the plan bear a success out; every other word claims none."""
        has_written = any(True for _ in self.of("write-intent"))
        planned = self.of_act("plan", "act-ends") or {}
        if word == "done" and self.line(0, "run-opened").get("mode") == "check":
            return not has_written and all(map(self._came_to_its_end, ("compare", "verify"))) and self._passed()
        if word == "done":
            outcomes = {_address(one): one.get("outcome") for one in self.of("change-ends")}
            are_done = all(outcomes.get(address) == "done" for address in self.planned)
            return self._came_to_its_end("apply") and self._came_to_its_end("verify") and are_done and self._passed()
        if word == "nothing-to-do":
            return not has_written and planned.get("changes") == 0 and not self.planned
        return word != "planned" or (not has_written and "changes" in planned)

    def _came_to_its_end(self, act: str) -> bool:
        end = self.of_act(act, "act-ends")
        return end is not None and not end.get("held")

    def _passed(self) -> bool:
        """What was checked last: a list of [name, expected, found, passed]."""
        *_, last = ({}, *self.of("checks"))
        checks = last.get("checks")
        there = checks if isinstance(checks, list) else []
        return bool(there) and all(isinstance(one, list) and one[-1:] and one[-1] is True for one in there)


def _address(of: Mapping[str, Any]) -> str | None:
    address = of.get("address")
    return address if isinstance(address, str) else None


def _approves(event: Mapping[str, Any]) -> bool:
    return event.get("act") == "approve" and event.get("event") == "act-ends" and isinstance(event.get("kind"), str)


_Agreements = Iterator[tuple[str, str, bool]]  # a file, what would be wrong with it, and whether it is in order


def _agreements(told: _Told) -> _Agreements:
    """What must agree in the files of every run; of what is sealed only when there is a seal."""
    observed, planned = (told.of_act(act, "act-ends") or {} for act in ("observe", "plan"))
    plan, digest, seen = _plain(told.document("plan.json")), told.digest_of("plan.json"), told.snapshot_digest
    notebook, sealed = told.digest_of(NOTEBOOK), told.line(-1, "run-sealed")

    yield from ((name, "no run of ours leaves such a file", name in _LEFT_BY_RUNS) for name in sorted(told.raw))
    yield from _of_the_journal(told)
    for name, words, act in (
        ("snapshot.json", "an observe act", "observe"),
        ("plan.json", "a plan act", "plan"),
        ("approval.json", "approval", "approve"),
    ):
        yield name, f"there without {words}, or the other way round", told.is_in_place(name, act)
    for name in sorted({*told.kept, *(_KEPT & told.raw.keys())}):
        yield name, "not what the journal says an act has left", told.is_left_by_an_act(name)
    if CERTIFICATE in told.raw:
        about = told.is_about(told.document(CERTIFICATE))
        yield CERTIFICATE, "for another cloud, environment or runbook", about
    yield "snapshot.json", "not what the journal says was observed", seen in (None, observed.get("snapshot", seen))
    if digest is not None:
        ground = plan.get("snapshot_digest") == observed.get("snapshot")
        yield "plan.json", "for another cloud, environment or runbook", told.is_about(plan)
        yield "plan.json", "not made from what was observed", ground
    yield "plan.json", "not the plan that the journal tells of", digest == planned.get("digest", digest)
    if "approval.json" in told.raw:
        yield from _of_the_approval(told)
    yield from _of_the_decisions(told)
    yield NOTEBOOK, "not the notebook that the runner saw", notebook in (None, sealed.get("notebook"))
    if "verdict" in told.about:
        yield from _of_the_seal(told, sealed)


def _of_the_journal(told: _Told) -> _Agreements:
    planned = told.of_act("plan", "act-ends") or {}
    of_others = [event for event in told.events if event.get("run") != told.about["run_id"]]
    unplanned = [one for one in told.of("write-intent") if _address(one) not in told.planned]
    is_its_plan = "digest" in planned and planned["digest"] == told.digest_of("plan.json")
    untrue = [one for one in told.of("run-sealed") if not told.leads_to(one.get("word"))]

    yield "journal.jsonl", "its first line does not open this run", told.is_about(told.line(0, "run-opened"))
    yield "journal.jsonl", "it holds a line of another run", not of_others
    yield "journal.jsonl", "it tells of a write that nobody had approved", told.has_been_approved()
    yield "journal.jsonl", "it tells of a write that was not planned", not (is_its_plan and unplanned)
    yield "journal.jsonl", "it gives a verdict that it does not lead to", not untrue


def _of_the_approval(told: _Told) -> _Agreements:
    approval, approved = _plain(told.document("approval.json")), told.of_act("approve", "act-ends") or {}
    kind, whole = approval.get("kind"), told.digest_of("approval.json")
    is_by_operator = approval.get("approver") == told.line(0, "run-opened").get("operator")
    is_told_of = (kind, whole) == (approved.get("kind", kind), approved.get("approval", whole))

    yield "approval.json", "it approves another plan", approval.get("plan_digest") == told.digest_of("plan.json")
    yield "approval.json", "not as the journal tells of it", is_told_of
    is_self_approved = str(kind).startswith("self-approved")
    yield "approval.json", "self-approved by another than the operator", is_by_operator or not is_self_approved


def _of_the_decisions(told: _Told) -> _Agreements:
    kind, writes = _plain(told.document("approval.json")).get("kind"), any(True for _ in told.of("write-intent"))
    is_needed = writes and told.about["environment"] == "production"
    decided, is_there = decisions_in(told.raw.get(DECISIONS, b"")), DECISIONS in told.raw

    yield DECISIONS, "missing, though production was to be written to", is_there or not is_needed
    yield DECISIONS, f"missing, though approval.json says {kind}", is_there or kind not in _BY_SIGNATURE
    yield SIGNED_PLAN, f"there without {DECISIONS}", is_there or SIGNED_PLAN not in told.raw
    yield DECISIONS, "not of the shape that we write", bool(decided) or not is_there
    if decided:
        yield from _of_the_signed_plan(told, decided)
        yield from _of_the_people(told, decided)
        for approver in decided["approvers"]:
            yield from _of_one_approver(approver, decided, told.signed_plan)


def _of_the_signed_plan(told: _Told, decided: Mapping[str, Any]) -> _Agreements:
    is_own = decided["plan_digest"] == told.digest_of("plan.json")
    beside = None if is_own else decided["plan_digest"]
    places = [(told.signed_plan.get(name), told.about[name]) for name in ("cloud", "environment")]

    yield SIGNED_PLAN, "not the plan that was signed, or there beside it", told.digest_of(SIGNED_PLAN) == beside
    yield SIGNED_PLAN, "for another cloud or environment", is_own or all(one == other for one, other in places)
    yield DECISIONS, "another plan was signed, and it goes on with nothing", is_own or bool(decided["continues"])


def _of_the_people(told: _Told, decided: Mapping[str, Any]) -> _Agreements:
    opened_by, judged = told.line(0, "run-opened"), decided["judged_at"]
    approval = told.document("approval.json") if "approval.json" in told.raw else None
    names = [one["name"] for one in decided["approvers"]]
    others = [name for one in people_in(decided) for name in (one["name"], *one.get("also", ()))]
    is_apart = decided["kind"] == ALONE or not names_in(names) & names_in(others)
    ended = (told.of_act("approve", "act-ends") or {"at": judged}).get("at")
    is_within = _follows(opened_by.get("at"), judged) and _follows(judged, ended)

    yield DECISIONS, "its kind is none that signatures give", decided["kind"] in _BY_SIGNATURE
    yield DECISIONS, "not the kind of approval.json", approval is None or approval.get("kind") == decided["kind"]
    is_by_them = approval is None or approval.get("approver") == ", ".join(names)
    yield "approval.json", f"not the approvers of {DECISIONS}", is_by_them
    yield DECISIONS, "nobody approved", bool(names)
    yield DECISIONS, "its executor is not the operator of the run", _is_operator(decided["executor"], opened_by)
    yield DECISIONS, "an approver is its requester, its executor or an author", is_apart
    yield DECISIONS, "not judged in this run, before its approve act ended", is_within


def _is_operator(person: Mapping[str, Any], opened_by: Mapping[str, Any]) -> bool:
    return all(person[ours] == opened_by.get(theirs) for ours, theirs in _OPERATOR.items())


def _of_one_approver(approver: Mapping[str, Any], decided: Mapping[str, Any], plan: Mapping[str, Any]) -> _Agreements:
    name, digest, parameters = approver["name"], decided["plan_digest"], plan.get("parameters")
    is_hotfix = isinstance(parameters, dict) and bool(parameters.get("hotfix"))
    asked = {**plan, "plan_digest": digest, "code": f"{digest[:4]}-{digest[4:8]}", "is_hotfix": is_hotfix}
    held = _envelopes_of(approver, decided)
    is_in_time = _follows(decided["judged_at"], approver["expires_at"], by=-timedelta(seconds=1))

    yield DECISIONS, f"no envelope holds the approval by {name} with its nonce", bool(held)
    for _, said in held:
        for field_name, what in _OF_THE_PLAN.items():
            yield DECISIONS, f"{name} signed for another {what}", said.get(field_name) == asked.get(field_name)
        for field_name, what in _OF_THE_PERSON.items():
            yield DECISIONS, f"not the {what} that {name} signed", said.get(field_name) == approver[what]
    yield DECISIONS, f"{name} signed after it was judged", _follows(approver["issued_at"], decided["judged_at"])
    yield DECISIONS, f"the approval by {name} had ended", is_in_time or bool(decided["continues"])


def _unsigned(decided: Mapping[str, Any], cloud: str, keys: Mapping[str, Key]) -> Iterator[str]:
    """What the pinned keys say against these decisions: whoever can seal a bundle cannot sign for an approver."""
    for approver in decided["approvers"]:
        name, issued, digest = approver["name"], approver["issued_at"], decided["plan_digest"]
        his = {keyid: key for keyid, key in keys.items() if (key.role, key.cloud, key.owner) == (APPROVES, cloud, name)}
        if (key := his.get(approver["keyid"])) is None:
            yield f"the key of {name} is not pinned to approve for {cloud}"
            continue
        times = (issued,) if decided["continues"] else (issued, decided["judged_at"])
        if not all(_is_by((key,), raw) for raw, _ in _envelopes_of(approver, decided)):
            yield f"the key of {name} did not sign what stands there as the approval by {name}"
        if not all(map(key.is_valid_at, times)):
            yield f"the key of {name} was not valid then"
        if any(_is_by(his.values(), raw) and _takes_back(said, approver, digest) for raw, said in _said_in(decided)):
            yield f"{name} had withdrawn the approval"


def _of_other_runs(evidence: Path, sealed: Mapping[str, _Sealed]) -> Iterator[Finding]:
    """The plan run of what was approved, and the run that this one goes on with, must be here and say the same."""
    decisions = {name: decisions_in(_bytes_of(evidence / name / DECISIONS) or b"") for name in sealed}
    for name, decided in decisions.items():
        if decided is None:
            continue
        planned_in, continues = decided["planned_in"], decided["continues"]
        if not _is_before(planned_in, name, sealed):
            yield Finding(name, DECISIONS, f"{planned_in}, where the plan was made, is no run before it")
        elif any(decided[one] != sealed[planned_in].manifest.get(one) for one in ("plan_digest", "sealed_at")):
            yield Finding(name, DECISIONS, f"not the plan that was sealed as {planned_in}")
        elif not _is_operator(decided["requester"], _first_line(evidence / planned_in)):
            yield Finding(name, DECISIONS, f"its requester is not the operator of {planned_in}")
        if continues and not _is_before(continues, name, sealed):
            yield Finding(name, DECISIONS, f"{continues}, which it goes on with, is no run before it")
        elif continues and not _is_under(decisions[continues], decided):
            yield Finding(name, DECISIONS, f"{continues}, which it goes on with, began under other approvals")


def _first_line(bundle: Path) -> Mapping[str, Any]:
    return _json_object((_bytes_of(bundle / "journal.jsonl") or b"").partition(b"\n")[0]) or {}


def _is_before(former: str, name: str, sealed: Mapping[str, _Sealed]) -> bool:
    first, then = (sealed[one].manifest["ledger"].get("seq") if one in sealed else None for one in (former, name))
    return isinstance(first, int) and isinstance(then, int) and first < then


def _is_under(former: Mapping[str, Any] | None, decided: Mapping[str, Any]) -> bool:
    before, now = ({one["nonce"] for one in told["approvers"]} for told in (former or {"approvers": ()}, decided))
    return former is not None and former["plan_digest"] == decided["plan_digest"] and now <= before


def decisions_in(raw: bytes) -> dict[str, Any] | None:
    """What a decisions.json says; None for one that is not of our shape."""
    told = _json_object(raw)
    if told is None or not _has(told, _DECIDED) or told["schema"] != DECISIONS_SCHEMA:
        return None
    also = [one.get("also", []) for one in people_in(told) if isinstance(one, dict)]
    texts = [*told["unknown"], *told["not_counted"], *told["envelopes"].values()]
    is_ours = (
        all(_has(one, _NAMED) for one in people_in(told))
        and all(_has(one, _APPROVER) for one in told["approvers"])
        and all(isinstance(one, list) for one in also)
        and all(isinstance(text, str) for text in (*texts, *(name for one in also for name in one)))
    )
    return told if is_ours else None


def _has(value: Any, shape: Mapping[str, type]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), kind) for name, kind in shape.items())


def people_in(decided: Mapping[str, Any]) -> list[Any]:
    """Those who may not approve."""
    return [decided["requester"], decided["executor"], *decided["authors"]]


def names_in(given: Iterable[str]) -> frozenset[str]:
    """Every name in these, in one spelling; "Ana <ana@example.org>" is two of them."""
    return frozenset(plain for name in given for part in re.split(r"[<>]", name) if (plain := plain_name(part)))


def plain_name(name: str) -> str:
    """In one spelling, and without what nobody sees of it."""
    seen = "".join(char for char in _BLANK.sub("", name) if char.isprintable() or char.isspace())
    return " ".join(normalize("NFKC", seen).casefold().split())


def _said_in(decided: Mapping[str, Any]) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
    """Each envelope with what it says, {} for no decision of ours; whose word it is the keys tell."""
    for text in decided["envelopes"].values():
        raw = text.encode(errors="replace")
        held = opened(raw, STATEMENT, ())
        told = {} if isinstance(held, str) else _json_object(held.payload) or {}
        try:
            digest, predicate = told["subject"][0]["digest"]["sha256"], dict(told["predicate"])
        except (LookupError, TypeError, ValueError):
            digest, predicate = None, {}
        yield raw, {**_plain(predicate), "plan_digest": digest} if told.get("predicateType") == APPROVAL else {}


def _envelopes_of(approver: Mapping[str, Any], decided: Mapping[str, Any]) -> list[tuple[bytes, Mapping[str, Any]]]:
    """Those that hold his approval, by its nonce: one, or copies of it."""
    asked = {"decision": "approve", "nonce": approver["nonce"]}
    return [(raw, said) for raw, said in _said_in(decided) if asked.items() <= said.items()]


def _is_by(keys: Iterable[Key], raw: bytes) -> bool:
    held = opened(raw, STATEMENT, keys, check=is_approved_by)
    return isinstance(held, Signed) and held.key is not None


def _takes_back(said: Mapping[str, Any], approver: Mapping[str, Any], digest: str) -> bool:
    is_his = {"decision": "withdraw", "approver": approver["name"], "plan_digest": digest}.items() <= said.items()
    is_long_before = _follows(said.get("issued_at"), approver["issued_at"], by=-CLOCKS_DIFFER)
    return is_his and (said.get("nonce") == approver["nonce"] or not is_long_before)


def _follows(first: Any, then: Any, *, by: timedelta = CLOCKS_DIFFER) -> bool:
    """Whether one time is not before another, or by no more than this; what is no time follows nothing."""
    try:
        return moment_of(str(first)) - moment_of(str(then)) <= by
    except (ValueError, OverflowError):
        return False


def _of_the_seal(told: _Told, sealed: Mapping[str, Any]) -> _Agreements:
    word, verdict = told.about["verdict"], _plain(told.document("verdict.json"))
    is_told_alike = all(verdict.get(name) == sealed.get(name) for name in ("why", "cells"))
    is_shown = NOTEBOOK in told.raw or sealed.get("cells") != "all-run"

    yield "journal.jsonl", "its last line is not the sealed verdict", sealed.get("word") == word
    yield "verdict.json", "not the sealed verdict", told.is_about(verdict) and verdict.get("word") == word
    yield "verdict.json", "its reason or its cells are not the journal's", is_told_alike
    yield NOTEBOOK, "missing, though every cell is said to have run", is_shown
    is_sealed_plan = told.digest_of("plan.json") == told.about.get("plan_digest")
    yield "plan.json", "not the plan whose digest was sealed", is_sealed_plan


def disagreements(folder: Path, about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) where the files of one run contradict each other, or what is known `about` the run.

    `about` is its manifest; before there is one, {"run_id", "cloud", "environment", "runbook"}.
    """
    raw = {path.name: content for path in _listed(folder) if (content := _bytes_of(path)) is not None}
    lines = lines_in(raw.get("journal.jsonl", b""))
    broken = next(broken_lines(lines), None)
    if broken is not None:
        yield "journal.jsonl", f"line {broken + 1} does not follow the one before it"
    events = (_json_object(line) for line in lines)
    told = _Told(about, raw, tuple(event for event in events if event is not None))
    yield from ((file, problem) for file, problem, is_in_order in _agreements(told) if not is_in_order)


def _plain(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what is nested: comparing what somebody nested too deep would raise."""
    return {name: item for name, item in value.items() if not isinstance(item, dict | list)}


def ledger_line(raw_manifest: bytes) -> bytes:
    """The ledger's line for a bundle, without its end: every byte of it follows from the signed manifest."""
    manifest = json.loads(raw_manifest)
    entry = {
        "seq": manifest["ledger"].get("seq"),
        "previous": manifest["ledger"].get("previous"),
        "at": manifest["sealed_at"],
        "bundle": manifest["bundle"],
        "cloud": manifest["cloud"],
        "runbook": manifest["runbook"],
        "verdict": manifest["verdict"],
        "manifest_sha256": _sha256(raw_manifest),
    }
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


def _ledger_findings(
    ledger: Sequence[bytes], bundles: set[str], sealed: Mapping[str, _Sealed], waiting: Mapping[str, str]
) -> Iterator[Finding]:
    """A chain over all bundles: one that was taken away, slipped in or told otherwise is named."""
    yield from (
        Finding("", LEDGER, f"line {number + 1} does not follow the one before it") for number in broken_lines(ledger)
    )
    listed: set[str] = set()
    for number, line in enumerate(ledger, 1):
        entry = _json_object(line) or {}
        name = str(entry.get("bundle"))
        # A bundle whose seal does not hold is named elsewhere: nothing tells what its line should be.
        truth = ledger_line(sealed[name].raw) if name in sealed else line
        if name not in bundles - listed:
            yield Finding(name, "", f"in the ledger (line {number}), but {_where(name, entry, waiting)}")
        elif line != truth:
            yield Finding("", LEDGER, f"line {number} is not, byte for byte, what was sealed for {name}")
        listed.add(name)
    for name in sorted(bundles - listed):
        yield Finding(name, LEDGER, "the bundle is not in the ledger")


def _where(name: str, entry: Mapping[str, Any], waiting: Mapping[str, str]) -> str:
    """What became of a bundle that is not in its place; `waiting` are the digests of the manifests in .running."""
    if name not in waiting:
        return "gone from its place"
    if waiting[name] == entry.get("manifest_sha256"):
        return f"still in {RUNNING}: the next run for this cloud moves it"
    return f"what lies in {RUNNING} is not what was entered"


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read(path: Path, *, follow: bool = False) -> bytes:
    """A plain file's content: a link may lead anywhere, a pipe never ends. Raises _Problem."""
    try:
        if stat.S_ISREG(path.stat(follow_symlinks=follow).st_mode):
            return path.read_bytes()
    except FileNotFoundError:
        raise _Problem(_MISSING) from None
    except (OSError, ValueError) as error:
        raise _Problem(f"cannot be read ({type(error).__name__})") from error
    raise _Problem("no plain file")


def _bytes_of(path: Path) -> bytes | None:
    try:
        return _read(path)
    except _Problem:
        return None


def lines_of(report: Report) -> Iterator[str]:
    """The report as text, one line per bundle, then one per finding; names are shown harmless."""
    wrong = {finding.bundle for finding in report.findings}
    for name in report.bundles:
        state = "WRONG " if name in wrong else "intact"
        sealed_by = f"{report.sealed_by[name]}, {report.keys[name]}" if name in report.keys else "nobody we know"
        verdict, cloud = (told.get(name, "?") for told in (report.verdicts, report.clouds))
        yield shown(f"{state}  {name}  {verdict}  ({cloud}; sealed by {sealed_by})")
        if name in report.certificates and name not in wrong:
            yield shown(f"        {report.certificates[name]}")
    for finding in report.findings:
        where = "/".join(part for part in (finding.bundle, finding.file) if part)
        yield shown(f"WRONG   {where}: {finding.problem}")
    for name in report.unsealed:
        yield shown(f"open    {name}  (it runs, or was killed: then the next run for its cloud seals it)")
    if report.ledger_head is None:
        yield f"ledger  not looked at{': this is one bundle alone' if report.bundles else ''}"
    else:
        yield f"ledger  {report.ledger_lines} lines, head {report.ledger_head}"
    yield f"{len(report.bundles)} bundles, {len(report.findings)} findings"


def write_out(text: str) -> None:
    """To stdout, whatever its encoding: what it does not know is spelled out."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout.write(f"{text}\n")


def shown(text: str) -> str:
    """A name may hold anything: what could move a terminal's cursor is spelled out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _main(arguments: list[str]) -> int:
    if len(arguments) not in {1, 2} or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python verify.py EVIDENCE_FOLDER [TRUST_FILE]\n")
        return 2
    report = verify(Path(arguments[0]), Path(arguments[1]) if arguments[1:] else None)
    write_out("\n".join(lines_of(report)))
    return 0 if report.is_intact else 4


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
