"""A run's folder while it runs: private, under `.running`, owned by whoever holds the lock on the note beside it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pantheon_runbook.errors import EvidenceError, UnrecordedError
from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.decisions import Decisions
from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.evidence.sealing import complete, is_entered, masked, move_to_its_place
from pantheon_runbook.evidence.verify import NOTE, RUNNING
from pantheon_runbook.model import Approval, Plan, Snapshot, Verification, WithFiles, canonical
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus, Verdict

_MAKE_ROOM = "make room, give write permission, or name another folder in pantheon.toml (evidence.path)"
KILLED = "killed; the next run of its cloud seals it"


class Bundle:
    """The folder of one run. Errors: EvidenceError when it cannot be made; later EvidenceError or UnrecordedError."""

    def __init__(self, place: Place, registry: Registry) -> None:
        self.place = place
        self._registry = registry
        with _refused(f"the evidence folder {place.evidence} cannot be used"):
            if place.sealed.exists():
                raise FileExistsError(0, f"there is a bundle {place.name} already")
            (place.evidence / RUNNING).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._note = _new_note(place)
            place.running.mkdir(mode=0o700)
        self._snapshots: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        return self.place.running

    def keep(self, value: object) -> None:
        """What an act brought, as a file of the bundle; values that are shown on a card only are passed over."""
        if isinstance(value, Plan):
            self.write("plan.json", value.to_bytes())
        elif isinstance(value, Approval):
            self.write("approval.json", canonical(asdict(value)))
        elif isinstance(value, Snapshot):
            self._write_snapshot("observed", value)
        elif isinstance(value, Verification):
            self._write_snapshot("verified", value.snapshot)
        elif isinstance(value, Decisions):
            self._refuse_secrets(value)
        if isinstance(value, WithFiles):
            for name, content in value.files.items():
                self.write(name, content)

    def _refuse_secrets(self, decisions: Decisions) -> None:
        """What is signed cannot be masked: nobody could check it any more. Errors: EvidenceError."""
        names = {name for content in decisions.files.values() for name in self._registry.names_in(content.decode())}
        if names:
            raise EvidenceError(
                "what was signed holds a secret, and cannot be kept",
                why=f"it holds {', '.join(sorted(names))}, and masked it would be nobody's word any more",
                next_step="give that secret a new value, and have the plan approved anew without it",
            )

    def _write_snapshot(self, name: str, snapshot: Snapshot) -> None:
        self._snapshots[name] = asdict(snapshot)
        self.write("snapshot.json", canonical(self._snapshots))

    def write(self, name: str, content: bytes) -> None:
        """One file, whole or not at all, with every known secret masked; JSON stays JSON."""
        with self._recorded(f"{name} of this run cannot be written"):
            write_file(self.folder / name, masked(self._registry, name, content.decode()).encode())

    def seal(
        self, key: SealingKey, notebook: NotebookStatus, *, notebook_json: str | None = None
    ) -> tuple[Path, Verdict]:
        """Judge, report, seal, enter in the ledger, move. The sealed folder and the verdict."""
        what = f"the run {self.place.name} cannot be sealed"
        with self._note, self._recorded(what, then="; the next run seals this one"):
            verdict = complete(self.place, self._registry, key, notebook, abandoned=False, notebook_json=notebook_json)
            self.place.note.unlink()
        return self.place.sealed, verdict

    @contextmanager
    def _recorded(self, what: str, *, then: str = "") -> Iterator[None]:
        """Errors: EvidenceError while nothing has been sent, then UnrecordedError: a refusal changes nothing."""
        try:
            yield
        except (OSError, EvidenceError) as error:  # the journal's own, when its last line finds no room
            path = self.folder / "journal.jsonl"
            sent = _writes_in(path)
            kind = UnrecordedError if sent else EvidenceError
            state = f"writes sent or about to be sent: {sent}, see {path}" if sent else "nothing was changed"
            raise kind(what, why=_reason(error), state=f"{state}{then}", next_step=_MAKE_ROOM) from error

    def close(self) -> None:
        """Give up a run that has not begun: nothing of it is left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.place.note.unlink(missing_ok=True)
        self._note.close()


def _new_note(place: Place) -> IO[str]:
    """The note of a run: made under another name, and locked and whole before anybody can find it."""
    hidden = place.note.with_name(f".{place.name}.new")
    note = hidden.open("x+")
    fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
    json.dump({**asdict(place), "evidence": ""}, note)
    note.flush()
    os.fsync(note.fileno())
    hidden.rename(place.note)
    return note


@contextmanager
def _refused(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvidenceError(what, why=_reason(error), next_step=_MAKE_ROOM) from error


def _reason(error: OSError | EvidenceError) -> str:
    return error.why if isinstance(error, EvidenceError) else error.strerror or type(error).__name__


def _writes_in(journal_path: Path) -> int | str:
    """How many writes the journal announced; a journal that cannot be read does not say that there were none."""
    try:
        return len([event for event in journal.read(journal_path) if event["event"] == "write-intent"])
    except OSError:
        return "an unknown number of"


def seal_abandoned(evidence: Path, key: SealingKey, registry: Registry, *, cloud: str) -> tuple[str, ...]:
    """Seal every run of this cloud whose owner is gone; names of the bundles, oldest first. Errors: EvidenceError.

    A run of the other cloud waits for a run of its own kind: each cloud has its own key.
    """
    sealed: list[str] = []
    with _refused(f"an abandoned run in {evidence} cannot be sealed"):
        for note in sorted((evidence / RUNNING).glob(f"*{NOTE}")):
            with _told_by_us(note), _ownerless(note) as text:
                place = _place_of(note, text) if text is not None else None
                if place is not None and place.cloud == cloud and _was_sealed(place, key, registry):
                    sealed.append(place.name)
    return tuple(sealed)


def unsealed(evidence: Path) -> dict[str, str]:
    """By name, whether each run that is not sealed is at work or was killed; reads only."""
    found = {}
    for note in sorted((evidence / RUNNING).glob(f"*{NOTE}")):
        with _ownerless(note) as text:
            found[note.stem] = "running now" if text is None else KILLED
    return found


@contextmanager
def _ownerless(path: Path) -> Iterator[str | None]:
    """The note's text when nobody holds it; it is ours until the end of the block. None: somebody does, or did."""
    try:
        note = path.open()
    except FileNotFoundError:
        yield None
        return
    with note:
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield note.read() if os.fstat(note.fileno()).st_nlink else None


@contextmanager
def _told_by_us(note: Path) -> Iterator[None]:
    """What no run of ours leaves behind is for people to look at; it is neither sealed nor taken away."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceError(
            f"the abandoned run {note.stem} cannot be sealed",
            why=f"its files are not as a run leaves them: {type(error).__name__}, {error}",
            next_step=f"look at {note.with_suffix('')}, then move it and {note.name} out of {note.parent}",
        ) from error


def _place_of(note: Path, text: str) -> Place:
    """The place that a note tells of, which must be the note's own: its name is where things are moved."""
    place = Place(**{**json.loads(text), "evidence": note.parent.parent})
    if place.name != note.stem:
        raise ValueError(f"{note.name} tells of {place.name}")
    return place


def _was_sealed(place: Place, key: SealingKey, registry: Registry) -> bool:
    """Goes on where the run was killed; one without a first line and without any file sent nothing."""
    began = _has_begun(place.running)
    if began and is_entered(place):
        move_to_its_place(place)
    elif began:
        complete(place, registry, key, NotebookStatus("not-observed", "the runner was killed"), abandoned=True)
    elif place.running.exists():
        shutil.rmtree(place.running)
    place.note.unlink()
    return began


def _has_begun(folder: Path) -> bool:
    """Whether there is a line, or a file that came after one. Errors: ValueError for what no run puts there."""
    files = sorted(folder.iterdir()) if folder.exists() else []
    odd = [path.name for path in files if not stat.S_ISREG(path.lstat().st_mode)]  # a pipe would keep us waiting
    if odd:
        raise ValueError(f"{odd[0]} is no plain file")
    return any(path.name != "journal.jsonl" or b"\n" in path.read_bytes() for path in files)
