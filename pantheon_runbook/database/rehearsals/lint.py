"""squawk over the statements that really ran: what it says, statement by statement, in tiers and with our recipes.

One call for all revisions. Each is written down as it ran, in its transactions and out of them, so that squawk judges
what happened and not what a file of SQL might do.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantheon_runbook.database.migrations.revisions import Ran, Statement
from pantheon_runbook.database.rehearsals import sql_text
from pantheon_runbook.database.rehearsals.hazards import Hazard
from pantheon_runbook.database.rehearsals.recipes import LEFT_OUT, SQUAWK, UNKNOWN

DISTRIBUTION = "squawk-cli"
_SECONDS = 60
_NUMBERED = re.compile(r"(\d+)\.sql$")


@dataclass(frozen=True, slots=True)
class Linted:
    """`not_linted` says why nobody looked; without hazards it is clean only when that is ""."""

    hazards: tuple[Hazard, ...] = ()
    not_linted: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    """One revision as a file of SQL; `owners` says for each line which statement it belongs to, -1 for none."""

    ran: Ran
    text: str
    owners: tuple[int, ...]


def lint(rans: Sequence[Ran], *, server_version: str, version_table: str = "alembic_version") -> Linted:
    """What squawk finds in these revisions for a server of this version ("17.6"); never raises."""
    squawk = squawk_path()
    if squawk is None:
        return Linted(not_linted="squawk is not installed")
    pages = [_page(ran, version_table) for ran in rans]
    try:
        said = _asked(squawk, pages, server_version)
        return Linted(tuple(hazard for one in said for hazard in _hazard(one, pages)))
    except (OSError, subprocess.SubprocessError) as error:
        return Linted(not_linted=f"squawk did not run: {type(error).__name__}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return Linted(not_linted=f"squawk's answer is not understood: {error}")


def squawk_path() -> Path | None:
    """The one that came with the wheel, and none that happens to be on the PATH."""
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    installed = [Path(str(file.locate())) for file in files if file.stem == "squawk" and file.suffix in {"", ".exe"}]
    beside = Path(sys.executable).with_name("squawk")
    return next((path for path in (*installed, beside) if path.is_file()), None)


def _asked(squawk: Path, pages: Sequence[_Page], server_version: str) -> list[Any]:
    """Its answer as JSON. The empty config keeps it from one that lies about somewhere above."""
    with tempfile.TemporaryDirectory(prefix="pantheon-lint-") as folder:
        (Path(folder) / "squawk.toml").write_text("")
        for number, page in enumerate(pages):
            (Path(folder) / f"{number}.sql").write_text(page.text)
        names = [f"{number}.sql" for number in range(len(pages))]
        options = ["--config", "squawk.toml", "--reporter", "json", "--pg-version", server_version]
        command = [str(squawk), *options, *names]
        answer = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False, env={}
        )
    if answer.returncode not in {0, 1}:  # 1: it found something
        raise ValueError(f"exit {answer.returncode}: {answer.stderr.strip().splitlines()[:1]}")
    said = json.loads(answer.stdout or "null")
    if not isinstance(said, list):
        raise TypeError("no list")
    return said


def _page(ran: Ran, version_table: str) -> _Page:
    lines: list[str] = []
    owners: list[int] = []
    is_inside = False

    def write(text: str, owner: int) -> None:
        for line in text.splitlines() or [""]:
            lines.append(line)
            owners.append(owner)

    for number, statement in enumerate(ran.statements):
        if _is_alembics(statement, version_table):
            continue
        if statement.is_alone == is_inside:
            write("COMMIT;" if is_inside else "BEGIN;", -1)
            is_inside = not is_inside
        write(_readable(statement.sql), number)
    if is_inside:
        write("COMMIT;", -1)
    return _Page(ran, "\n".join((*lines, "")), tuple(owners))


def _is_alembics(statement: Statement, version_table: str) -> bool:
    """Its own bookkeeping, with which no author has to do."""
    table = re.escape(version_table)
    pattern = rf'^(?:insert into|update|delete from|create table)\s+(?:[\w".]+\.)?"?{table}"?(?![\w"])'
    return re.match(pattern, sql_text.bare(statement.sql)) is not None


def _readable(sql: str) -> str:
    """Drivers' placeholders as PostgreSQL's, and one semicolon at the end, past a comment that may stand there."""
    text = re.sub(r"%(?:\(\w+\))?s", "$1", sql).replace("%%", "%").rstrip()
    return text if text.endswith(";") else f"{text}\n;"


def _hazard(said: dict[str, Any], pages: Sequence[_Page]) -> Iterator[Hazard]:
    rule = str(said["rule_name"])
    if rule in LEFT_OUT:
        return
    numbered = _NUMBERED.search(str(said["file"]))
    if numbered is None:
        raise ValueError(f"no file of ours: {said['file']}")
    page = pages[int(numbered[1])]
    line = int(said["line"])
    number = page.owners[line] if line < len(page.owners) else -1
    known = SQUAWK.get(rule, UNKNOWN)
    what = str(said["message"]).strip().rstrip(".").replace("`", '"')
    if rule == "syntax-error":
        what = f"not linted: squawk cannot read this statement ({what})"
    tables = _tables(page.ran.statements[number]) if number >= 0 else ()
    yield Hazard(rule, page.ran.revision, number, known.tier, what, known.text, tables, source="squawk")


def _tables(statement: Statement) -> tuple[str, ...]:
    named = (one.table for one in statement.effects if one.table)
    locked = (lock.relation for lock in statement.locks if lock.mode != "AccessShareLock")
    return tuple(dict.fromkeys((*named, *locked)))
