"""One JSON line per event, each carrying the hash of the line before it, each on the disk before work goes on."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.model import canonical
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
            text = self._registry.redact(canonical(line).decode())
            try:
                with self._path.open("ab") as file:
                    file.write(text.encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise EvidenceError(
                    "the journal cannot be written",
                    why=f"{error.strerror} ({self._path.parent.name}/journal.jsonl)",
                    state="no write is sent without its journal line",
                    next_step="make room or give write permission to the evidence folder, then run again",
                ) from error
            self._sequence += 1
            self._previous = hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a journal; a last line cut off by a crash is left out."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _whole_lines(path: Path) -> list[bytes]:
    """The lines to go on from; what a crash left of a last one is cut off the file."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    return whole.splitlines()


def broken_link(path: Path) -> int | None:
    """Number of the first line that does not carry the hash of the one before it; None when all do."""
    previous = FIRST_PREVIOUS
    for number, line in enumerate(path.read_bytes().splitlines()):
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            return number
        if event.get("previous") != previous or event.get("seq") != number:
            return number
        previous = hashlib.sha256(line).hexdigest()
    return None
