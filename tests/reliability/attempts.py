"""One apply run driven in this process, whatever becomes of it; and where it leaves its evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.errors import RunbookError
from pantheon_runbook.session import ACTS


@dataclass(frozen=True)
class Attempt:
    """`word` is the sealed verdict, "no-run" when nothing was opened; `error` is what an act raised."""

    word: str
    error: RunbookError | None = None


def attempt(world: Any, *, until: str = "verify", **parameters: Any) -> Attempt:
    """All acts up to one of them. Anything but a RunbookError is a traceback, and goes through."""
    try:
        run = world.open("apply", **parameters)
    except RunbookError as error:
        return Attempt("no-run", error)
    stopped = None
    try:
        for act in ACTS[: ACTS.index(until) + 1]:
            run.session.perform(act)
    except RunbookError as error:
        stopped = error
    finally:
        verdict = world.seal(run)
    return Attempt(verdict.word, stopped)


def config_with(world: Any, *changes: tuple[str, str], policy: str = "") -> Path:
    """A copy of the customer's files with pieces replaced; its evidence goes beside it."""
    folder = world.folder / "own"
    folder.mkdir(exist_ok=True)
    text = (world.customer / "pantheon.toml").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "pantheon.toml"
    path.write_text(f"{text}\n[policy]\n{policy}\n" if policy else text)
    (folder / "identities.toml").write_text((world.customer / "identities.toml").read_text())
    return path


def verdicts(evidence: Path) -> list[dict[str, Any]]:
    """Of every sealed bundle, oldest first by the ledger."""
    bundles = [json.loads(line)["bundle"] for line in (evidence / "ledger.jsonl").read_text().splitlines()]
    return [json.loads((evidence / name / "verdict.json").read_text()) for name in bundles]


def share_project(world: Any, monkeypatch: pytest.MonkeyPatch, *more: tuple[str, str]) -> None:
    """From now on staging is configured to live in production's Railway project."""
    layout = ('layout = "own-project"', 'layout = "shared-project"')
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, layout, *more)))
