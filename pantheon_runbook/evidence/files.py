"""Files that are whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_file(path: Path, content: bytes) -> None:
    """Beside it, to the disk, then in its place: a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    settle(path.parent)


def settle(folder: Path) -> None:
    """Put a folder's own entries on the disk: a rename is not there after a power cut until this is done."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encoded(value: Mapping[str, Any]) -> bytes:
    """JSON for people and programs: sorted, indented, one line break at the end."""
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
