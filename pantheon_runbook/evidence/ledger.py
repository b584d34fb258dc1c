"""The ledger: one line per sealed bundle, each carrying the hash of the line before it.

Each line repeats what the bundle's signed manifest says, its own place in the chain included: a ledger that somebody
has shortened or written anew does not fit the manifests.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pantheon_runbook.evidence.verify import LEDGER, head_of, lines_in


class LedgerEnd:
    """The end of the ledger while it is ours alone; `seq` and `previous` are what the next line will carry."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.lines = lines = tuple(_whole_lines(file))
        self.seq = len(lines)
        self.previous = head_of(lines)
        self._listed = {json.loads(line).get("manifest_sha256") for line in lines if _is_entry(line)}

    def has(self, manifest_sha256: str) -> bool:
        """Whether a bundle with this manifest is in the ledger."""
        return manifest_sha256 in self._listed

    def append(self, *lines: bytes) -> None:
        """Put them on the disk; called once."""
        self._file.write(b"".join(line + b"\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def held(evidence: Path) -> Iterator[LedgerEnd]:
    """Keep every other sealer of this folder waiting until the end of the block."""
    with (evidence / LEDGER).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield LedgerEnd(file)


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """The lines to go on from; what a crash left of a last one is cut off, its bundle will be entered again."""
    file.seek(0)
    content = file.read()
    head, _, tail = content.rpartition(b"\n")
    if tail and _is_entry(tail):
        file.write(b"\n")  # whole, only its line break is gone: an editor's doing
        return lines_in(content)
    if tail:
        file.truncate(len(content) - len(tail))
    return lines_in(head)


def _is_entry(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def entries(evidence: Path) -> Iterator[dict[str, Any]]:
    """The entries, oldest first; none when there is no ledger yet. Lines that are no entries are left to `verify`."""
    path = evidence / LEDGER
    if path.exists():
        yield from (json.loads(line) for line in lines_in(path.read_bytes()) if _is_entry(line))
