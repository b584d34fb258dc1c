"""One JSON line per event, each carrying the hash of the line before it, each on the disk before work goes on."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.model import canonical, counted
from pantheon_runbook.runbooks import spelled
from pantheon_runbook.secrets import Registry

FIRST_PREVIOUS = "0" * 64


class Journal:
    """Appends only; thread-safe. A line: {"seq", "at" (UTC), "run", "previous", "event", ...}, redacted."""

    def __init__(self, path: Path, *, run_id: str, registry: Registry) -> None:
        self._path = path
        self._run_id = run_id
        self._registry = registry
        self._lock = threading.Lock()
        lines = _whole_lines(path) if path.exists() else []
        self._sequence = len(lines)
        self._previous = hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST_PREVIOUS

    def write(self, event: str, **fields: Any) -> None:
        """Put one line on the disk. Errors: EvidenceError when it cannot be; then nothing may be done either."""
        with self._lock:
            line = {
                "seq": self._sequence,
                "at": clock.stamp(),
                "run": self._run_id,
                "previous": self._previous,
                "event": event,
                **fields,
            }
            encoded = canonical(self._registry.redact_in(line))
            try:
                _append(self._path, encoded)
            except OSError as error:
                raise EvidenceError(
                    "the journal cannot be written",
                    why=f"{error.strerror} ({self._path.parent.name}/journal.jsonl)",
                    state="no write is sent without its journal line",
                    next_step="make room or give write permission to the evidence folder, then run again",
                ) from error
            self._sequence += 1
            self._previous = hashlib.sha256(encoded).hexdigest()


def _append(path: Path, line: bytes) -> None:
    """The whole line or, on a full disk, nothing of it; unbuffered, so that closing has nothing left to write."""
    left = line + b"\n"
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, end)
            raise


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a journal, up to the first line that is none: a crash cut it off, or somebody damaged it."""
    events: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(event, dict) or "event" not in event:
            break
        events.append(event)
    return events


def last_failure(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The act that stopped a run, with its four fields; an act that was only called too early did not."""
    failures = [event for event in events if event["event"] == "act-failed" and not event.get("out_of_order")]
    return failures[-1] if failures else None


def last_act_at(events: Sequence[Mapping[str, Any]]) -> str:
    """When the run did something for the last time, "" for never: one that was killed is sealed by whoever comes."""
    acts = {"write-intent", "write-result", "change-ends", "act-ends"}
    return max((str(one["at"]) for one in events if one["event"] in acts), default="")


def told(events: Sequence[Mapping[str, Any]], *, why: str) -> dict[str, str]:
    """{"why", "state", "next"} of a run that stopped: as its last act said, else as its writes say."""
    stopped = last_failure(events)
    if stopped is not None:
        return {name: str(stopped.get(name, "not said")) for name in ("why", "state", "next")}
    opened = next((event for event in events if event["event"] == "run-opened"), {})
    writes = sum(event["event"] == "write-intent" for event in events)
    return {
        "why": f"{why}.",
        "state": f"{counted(writes, 'write')} went out or {'was' if writes == 1 else 'were'} about to: "
        "see Changes in the report."
        if writes
        else "nothing was changed.",
        "next": _goes_on_by(opened, has_written=bool(writes)),
    }


def _goes_on_by(opened: Mapping[str, Any], *, has_written: bool) -> str:
    """What goes on with a run that said nothing any more: as it was asked for, and never with more than that.

    A unit of work goes on under the plan that it has.
    """
    runbook, named = str(opened.get("runbook")), str(opened.get("run", ""))[:8]
    again = f"pantheon-runbook run {runbook} -e {opened.get('environment')}"
    if has_written and runbook == "RB-030":
        return f"{again} --apply --resume {named}; to go back: pantheon-runbook run RB-040 -p unit={named}"
    said = spelled(opened.get("parameters", {}), runbook)
    return f"{again}{said}{' --apply' if has_written else ''}"


def mask(path: Path, registry: Registry) -> None:
    """Take out what should never have been written, and tie the chain anew."""
    previous, lines = FIRST_PREVIOUS, []
    for event in read(path):
        lines.append(canonical(registry.redact_in({**event, "previous": previous})))
        previous = hashlib.sha256(lines[-1]).hexdigest()
    write_file(path, b"".join(line + b"\n" for line in lines))


def _whole_lines(path: Path) -> list[bytes]:
    """The lines to go on from; what a crash left of a last one is cut off the file."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    return whole.splitlines()
