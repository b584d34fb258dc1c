"""A local file of variables that points at staging: how it reads, and how it comes to stand where it stands."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.errors import RefusedError, UsageError
from pantheon_runbook.isolation.marks import Search

_OURS = "# Written by pantheon-runbook env write"
_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_ASSIGNED = re.compile(r"""^([A-Za-z_]\w*)=("(?:[^"\\]|\\.)*"|'[^'\n]*'|[^\n]*)$""", re.MULTILINE | re.DOTALL)
_NEEDS_A_BACKSLASH = re.compile(r'[\\"$`]')


@dataclass(frozen=True)
class Line:
    """One variable. Without a value it is left out, and `note` says why; beside one, `note` says what to know."""

    name: str
    value: str | None
    note: str = ""


def rendered(lines: Sequence[Line], *, environment: str, command: str) -> str:
    """As a shell and the usual dotenv readers read it, beginning with the mark by which it is known again."""
    text = f"{_OURS} for {environment}: {command}\n# What is changed here is lost when it is written again.\n"
    for line in lines:
        if line.value is None:
            text += f"# {line.name} is left out: {line.note}\n"
        else:
            text += f"# {line.note}:\n" if line.note else ""
            text += f"{line.name}={_quoted(line.value)}\n"
    return text


def _quoted(value: str) -> str:
    if _BARE.fullmatch(value):
        return value
    if "'" not in value and "\n" not in value and "\\" not in value:
        return f"'{value}'"
    return '"' + _NEEDS_A_BACKSLASH.sub(r"\\\g<0>", value) + '"'


def values_of(text: str) -> dict[str, str]:
    """The variables of a text that `rendered` has made; none of any other."""
    if not text.startswith(_OURS):
        return {}
    return {name: _unquoted(spelled) for name, spelled in _ASSIGNED.findall(text)}


def _unquoted(spelled: str) -> str:
    if spelled.startswith('"'):
        return re.sub(r"\\(.)", r"\1", spelled[1:-1], flags=re.DOTALL)
    return spelled[1:-1] if spelled.startswith("'") else spelled


def refuse_production(text: str, lines: Sequence[Line], search: Search, *, environment: str) -> None:
    """Nothing that `guard` would find afterwards is written. Errors: RefusedError; it names variables, no value."""
    traces = search.find(text)
    if not traces:
        return
    names = [line.name for line in lines if line.value is not None and search.find(line.value)]
    raise RefusedError(
        f"{environment} holds something of production's in {', '.join(names) or 'what would be written'}",
        why=f"found: {', '.join(sorted({trace.what for trace in traces}))}",
        state="no file was written",
        next_step=f"give {environment} a value of its own there: pantheon-runbook run RB-010 -e {environment}",
    )


def refuse_others(path: Path) -> None:
    """Only a file that this command has written is written over. Errors: RefusedError, UsageError."""
    try:
        is_ours = path.read_text(encoding="utf-8", errors="replace").startswith(_OURS)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error) from error
    if not is_ours:
        raise RefusedError(
            f"{path} is there already, and somebody else wrote it",
            why="its first line is not the one that env write begins with",
            state="the file is as it was",
            next_step="name another file, or write over it with --force",
        )


def put(path: Path, text: str) -> None:
    """The whole file, readable by its owner only, or none: beside it first, then in its place. Errors: UsageError."""
    try:
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # 0600 from the first byte on
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except OSError as error:
        raise _unusable(path, error) from error
    finally:
        Path(beside).unlink(missing_ok=True)


def _unusable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{path} cannot be written",
        why=str(error.strerror or type(error).__name__),
        state="no file was written",
        next_step="name a file in a folder that is there and may be written to",
    )
