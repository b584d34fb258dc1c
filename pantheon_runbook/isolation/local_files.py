"""The files on somebody's own machine and in their repository: which of them hold something of production's.

Reads only, and only here: no vendor and no network. Nothing is left out silently: what was not looked into is named.
"""

from __future__ import annotations

import codecs
import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pantheon_runbook.isolation.marks import Search, Trace

LARGEST_BYTES = 5_000_000
BINARY = "binary"
ENV_FILE = ".env"
_KINDS = (".env*", "*.env", "*.toml", "*.json", "*.yaml", "*.yml", "*.ini", "*.cfg", "*.sh")
_IS_OF_A_KIND = re.compile("|".join(fnmatch.translate(kind) for kind in _KINDS), re.IGNORECASE)
_FOLDERS_OF_OTHERS = frozenset({".git", "node_modules", ".venv", ".pantheon", "__pycache__"})
_FILES_THAT_SAY_SO = ("pyvenv.cfg", "CACHEDIR.TAG")
_BYTES_OF_A_HEAD = 8192  # a zero byte here makes a file binary, as git decides it
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Finding:
    """Something of production's in a line, counted from one; or a file or folder (no line) that cannot be read."""

    path: str
    line: int | None
    what: str
    next_step: str


@dataclass(frozen=True)
class Skipped:
    """What was not looked into, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Report:
    """`files` is how many were looked into from beginning to end."""

    files: int
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing was found; what could not be read is not clean."""
        return not self.findings


@dataclass(frozen=True)
class Decided:
    """Where production is named by decision, so that only its secrets are looked for: `files`, and `folder`.

    `folder` holds the evidence; it is left out unless somebody names it, or a file in it.
    """

    files: frozenset[Path] = frozenset()
    folder: Path | None = None

    def names(self, path: Path) -> bool:
        whole = _whole(path)
        return whole in self.files or (self.folder is not None and whole.is_relative_to(self.folder))


def _whole(path: Path) -> Path:
    """Where it is in the end; unlike `Path.resolve` it says so of a link to itself too."""
    return Path(os.path.realpath(path))


def examine(paths: Sequence[Path], search: Search, decided: Decided) -> Report:
    """Look into each file and into everything in each folder; without paths, into those kinds of file in this folder
    that hold settings: environment files, compose and CI files, TOML, JSON, YAML, INI, shell.
    """
    files = 0
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    for entry in _entries(paths, decided):
        seen = _looked_into(entry, search, decided) if isinstance(entry, Path) else entry
        if isinstance(seen, Skipped):
            skipped.append(seen)
        elif isinstance(seen, Finding):
            findings.append(seen)
        else:
            files += 1
            findings.extend(seen)
    findings.sort(key=lambda finding: (finding.path, finding.line or 0))
    return Report(files, tuple(findings), tuple(sorted(skipped, key=lambda one: one.path)))


def _entries(paths: Sequence[Path], decided: Decided) -> Iterator[Path | Skipped | Finding]:
    """Every file once, and what stood in the way."""
    seen: set[Path] = set()
    for path in paths or (Path(),):
        found = _below(path, decided, _IS_OF_A_KIND if not paths else None) if path.is_dir() else iter((path,))
        for entry in found:
            if not isinstance(entry, Path):
                yield entry
            elif entry not in seen:
                seen.add(entry)
                yield entry


def _below(top: Path, decided: Decided, kinds: re.Pattern[str] | None) -> Iterator[Path | Skipped | Finding]:
    """What is in the folder, in the order of its names; links that lead out of it are not followed."""
    troubles: list[OSError] = []
    inside = _whole(top)
    for name, folders, files in os.walk(top, onerror=troubles.append):
        folder = Path(name)
        for one in sorted(folders):
            why = _why_left_out(folder / one, inside, decided)
            if why is not None:
                folders.remove(one)
                yield from [Skipped(str(folder / one), why)] if why else []
        folders.sort()
        for one in sorted(files):
            if kinds is None or kinds.match(one):
                yield _unless_it_leads_out(folder / one, inside)
        yield from (_unreadable(Path(str(error.filename)), error) for error in troubles)
        troubles.clear()


def _why_left_out(folder: Path, inside: Path, decided: Decided) -> str | None:
    """None: it is looked into; "": it is looked into elsewhere."""
    if folder.is_symlink():
        return "" if _whole(folder).is_relative_to(inside) else "a link that leads out of the folder"
    if folder.name in _FOLDERS_OF_OTHERS or any((folder / name).is_file() for name in _FILES_THAT_SAY_SO):
        return "what tools put there"
    if decided.folder is not None and _whole(folder) == decided.folder:
        return "evidence, which is searched for secrets when it is written"
    return None


def _unless_it_leads_out(path: Path, inside: Path) -> Path | Skipped:
    if not path.is_symlink() or _whole(path).is_relative_to(inside):
        return path
    return Skipped(str(path), "a link that leads out of the folder")


def _text_of(path: Path) -> str | Skipped | Finding:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Skipped(str(path), "not a file")
        if status.st_size > LARGEST_BYTES:
            return Skipped(str(path), f"larger than {LARGEST_BYTES // 1_000_000} MB")
        content = path.read_bytes()
    except OSError as error:
        return _unreadable(path, error)
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:_BYTES_OF_A_HEAD]:
        return Skipped(str(path), BINARY)
    return content.decode(encoding or "utf-8", errors="replace")


def _unreadable(path: Path, error: OSError) -> Finding:
    return Finding(
        str(path),
        None,
        f"cannot be read: {error.strerror or type(error).__name__}",
        "make it readable, or take it away: what is in it is not known",
    )


def _looked_into(path: Path, search: Search, decided: Decided) -> tuple[Finding, ...] | Skipped | Finding:
    text = _text_of(path)
    if not isinstance(text, str):
        return text
    traces = search.find(text)
    if traces and decided.names(path):
        traces = tuple(trace for trace in traces if trace.is_secret)
    return tuple(_finding(path, line, tuple(listed)) for line, listed in groupby(traces, key=lambda trace: trace.line))


def _finding(path: Path, line: int, traces: tuple[Trace, ...]) -> Finding:
    """One for a line, whatever is in it."""
    next_step = f"put staging's there: pantheon-runbook env write {ENV_FILE} -e staging"
    if any(trace.is_secret for trace in traces):
        next_step = f"rotate it in production, and {next_step}"
    return Finding(str(path), line, ", ".join(trace.what for trace in traces), next_step)
