"""Every request the control planes received: the oracle that tests ask instead of the client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What is written about one request; `status` None means it got no answer."""

    at: str
    service: str
    method: str
    path: str
    operation: str
    environment: str | None
    mutating: bool
    status: int | None
    fault: str | None = None


class RequestLog:
    """One JSON line per request, flushed before the answer goes out; continues after a restart."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._seq = sum(1 for _line in file.open()) if file.exists() else 0
        file.touch(mode=0o600)
        self._file = file.open("a")

    def write(self, entry: Entry) -> None:
        """Append one request; lines are numbered from one."""
        self._seq += 1
        record = {"seq": self._seq, **vars(entry)}
        if entry.fault is None:
            del record["fault"]
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def read(self, after: int = 0) -> list[Record]:
        """The records with a number above `after`."""
        with self._path.open() as lines:
            return [record for line in lines if (record := json.loads(line))["seq"] > after]

    def clear(self) -> None:
        """Forget everything; the next number is one."""
        self._file.truncate(0)
        self._seq = 0

    def close(self) -> None:
        self._file.close()
