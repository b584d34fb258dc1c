"""A run's folder: private while it runs, then sealed, entered in the ledger and moved to its place, in that order."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.report import report_html, report_markdown
from pantheon_runbook.evidence.seal import TRUST, SealingKey, pin
from pantheon_runbook.evidence.verify import NO_PREVIOUS, SEALED_BESIDE
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus, Verdict, judge

RUNNING = ".running"
_SCHEMA = "pantheon-runbook/manifest/1"


@dataclass(frozen=True)
class Place:
    """Where a bundle will be, and what it is about. `name` is `<utc>-<RB id>-<environment>-<short run id>`."""

    evidence: Path
    cloud: str
    environment: str
    runbook: str
    run_id: str
    started_at: str

    @property
    def name(self) -> str:
        moment = self.started_at.replace("-", "").replace(":", "")
        return f"{moment}-{self.runbook}-{self.environment}-{self.run_id[:8]}"

    @property
    def running(self) -> Path:
        return self.evidence / RUNNING / self.name

    @property
    def sealed(self) -> Path:
        return self.evidence / self.name


class Bundle:
    """The folder of one run; its owner holds a file lock for as long as it lives."""

    def __init__(self, place: Place, registry: Registry) -> None:
        self.place = place
        self._registry = registry
        try:
            place.running.mkdir(parents=True, mode=0o700)
            self._lock = (place.running / ".owner").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.write("place.json", _encoded({**asdict(place), "evidence": ""}))
        except OSError as error:
            raise EvidenceError(
                f"the evidence folder {place.evidence} cannot be used",
                why=f"{error.strerror}",
                next_step="make room, give write permission, or name another folder in pantheon.toml (evidence.path)",
            ) from error

    @property
    def folder(self) -> Path:
        return self.place.running

    def write(self, name: str, content: bytes) -> None:
        """One file, whole or not at all, with every known secret masked."""
        write_file(self.folder / name, self._registry.redact(content.decode()).encode())

    def seal(
        self, key: SealingKey, notebook: NotebookStatus, *, notebook_json: str | None = None
    ) -> tuple[Path, Verdict]:
        """Judge, report, seal, enter in the ledger, move. The sealed folder and the verdict."""
        if notebook_json is not None:
            self.write("runbook.ipynb", notebook_json.encode())
        verdict = _complete(self.place, self._registry, key, notebook, abandoned=False)
        self._lock.close()
        return self.place.sealed, verdict


def seal_abandoned(evidence: Path, key: SealingKey) -> tuple[str, ...]:
    """Seal every run whose owner is gone; names of the bundles, oldest first."""
    sealed: list[str] = []
    for folder in sorted((evidence / RUNNING).glob("*/")):
        with _ownerless(folder) as is_ours:
            if is_ours:
                _seal_one_abandoned(evidence, folder, key)
                sealed.append(folder.name)
    return tuple(sealed)


def _seal_one_abandoned(evidence: Path, folder: Path, key: SealingKey) -> None:
    if not (folder / "journal.jsonl").exists() or not (folder / "place.json").exists():
        shutil.rmtree(folder)  # killed before its first line: nothing was looked at, nothing was sent
        return
    facts = json.loads((folder / "place.json").read_bytes())
    place = Place(**{**facts, "evidence": evidence})
    if (folder / "seal.json").exists() and _is_listed(evidence, folder.name):
        folder.rename(place.sealed)  # killed between the ledger and the move
        return
    notebook = NotebookStatus("not-observed", "the runner was killed")
    _complete(place, Registry(), key, notebook, abandoned=True)


class _ownerless:  # noqa: N801  reads as a verb where it is used
    """True inside when nobody holds the run's lock; the lock is ours until the end of the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> bool:
        self._file = (self._folder / ".owner").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _complete(
    place: Place, registry: Registry, key: SealingKey, notebook: NotebookStatus, *, abandoned: bool
) -> Verdict:
    folder = place.running
    lines = journal.Journal(folder / "journal.jsonl", run_id=place.run_id, registry=registry)
    verdict = judge(journal.read(folder / "journal.jsonl"), notebook, abandoned=abandoned)
    lines.write("run-sealed", word=verdict.word, why=verdict.why, cells=verdict.cells)
    events = journal.read(folder / "journal.jsonl")
    shown = {**asdict(verdict), "cloud": place.cloud, "environment": place.environment, "runbook": place.runbook}
    executed = folder / "runbook.ipynb"
    written = {
        "verdict.json": _encoded(shown),
        "report.md": report_markdown(events, shown).encode(),
        "report.html": report_html(events, shown, executed.read_text() if executed.exists() else None).encode(),
    }
    for name, content in written.items():
        write_file(folder / name, registry.redact(content.decode()).encode())
    verdict = _masked_leaks(folder, registry, verdict, shown)
    _seal_files(place, key, verdict)
    _enter_in_ledger(place, verdict)
    folder.rename(place.sealed)
    return verdict


def _masked_leaks(folder: Path, registry: Registry, verdict: Verdict, shown: dict[str, Any]) -> Verdict:
    """The last net: whatever still shows a known secret is masked, and the run is called failed, since it is our bug."""
    leaks = registry.leaks(folder)
    if not leaks:
        return verdict
    for path in folder.iterdir():
        if path.is_file():
            write_file(path, registry.redact(path.read_bytes().decode(errors="replace")).encode())
    found = Verdict("failed", 1, f"a secret had to be masked after the fact: {'; '.join(leaks)}", verdict.cells)
    write_file(folder / "verdict.json", _encoded({**shown, **asdict(found)}))
    return found


def _seal_files(place: Place, key: SealingKey, verdict: Verdict) -> None:
    folder = place.running
    for leftover in (".owner", "place.json", *SEALED_BESIDE):
        if leftover != ".owner":
            (folder / leftover).unlink(missing_ok=True)
    files = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != ".owner"
    }
    plan = folder / "plan.json"
    manifest = {
        "schema": _SCHEMA,
        "bundle": place.name,
        "cloud": place.cloud,
        "environment": place.environment,
        "runbook": place.runbook,
        "run_id": place.run_id,
        "started_at": place.started_at,
        "sealed_at": clock.stamp(),
        "verdict": verdict.word,
        "plan_digest": hashlib.sha256(plan.read_bytes()).hexdigest() if plan.exists() else None,
        "files": files,
    }
    raw = _encoded(manifest)
    write_file(folder / "manifest.json", raw)
    write_file(folder / "seal.json", key.seal(raw))
    pin_for_sandbox(place, key)
    (folder / ".owner").unlink(missing_ok=True)


def pin_for_sandbox(place: Place, key: SealingKey) -> None:
    """First-use pinning exists for the sandbox only; a live trust file is written by people and committed."""
    if place.cloud == "sandbox":
        pin(key, place.evidence / TRUST, owner="sandbox, pinned at first use", cloud="sandbox")


def _enter_in_ledger(place: Place, verdict: Verdict) -> None:
    path = place.evidence / "ledger.jsonl"
    manifest = hashlib.sha256((place.running / "manifest.json").read_bytes()).hexdigest()
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read().splitlines()
        entry = {
            "seq": len(lines),
            "previous": hashlib.sha256(lines[-1]).hexdigest() if lines else NO_PREVIOUS,
            "at": clock.stamp(),
            "bundle": place.name,
            "cloud": place.cloud,
            "runbook": place.runbook,
            "verdict": verdict.word,
            "manifest_sha256": manifest,
        }
        file.write(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _is_listed(evidence: Path, name: str) -> bool:
    return any(entry["bundle"] == name for entry in ledger(evidence))


def ledger(evidence: Path) -> Iterator[dict[str, Any]]:
    """The entries of the ledger, oldest first; none when there is no ledger yet."""
    path = evidence / "ledger.jsonl"
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield json.loads(line)


def write_file(path: Path, content: bytes) -> None:
    """Beside it, to the disk, then in its place: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
