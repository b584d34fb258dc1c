"""A desk: a working folder with the customer's three files in it, in front of a world that nobody changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pantheon_runbook import cli


@dataclass
class Desk:
    """`environment` is what the command line is started with; `None` takes a variable away."""

    folder: Path
    world: Any
    environment: dict[str, str | None] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "pantheon.toml"

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials.toml"

    def replace(self, path: Path, pattern: str, by: str) -> None:
        """Change the first match in a file; there must be one."""
        text, count = re.subn(pattern, by, path.read_text(), count=1, flags=re.DOTALL)
        assert 1 == count, f"{pattern} is not in {path.name}"
        path.write_text(text)

    def live(self) -> None:
        """The same decisions, about the vendors' real clouds."""
        self.replace(self.config, '"sandbox"', '"live"')

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the command line, run in this process."""
        result = CliRunner(env=self.environment).invoke(cli.main, arguments)
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    def call_for_real(self, *arguments: str) -> tuple[int, str, str]:
        """The same in a process of its own."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            [sys.executable, "-m", "pantheon_runbook", *arguments],
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def evidence(self) -> list[str]:
        """Everything in the evidence folder but its ledger's own files."""
        return sorted(path.name for path in (self.folder / "evidence").rglob("*") if path.is_file())


@pytest.fixture
def desk(quiet_world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in ("pantheon.toml", "identities.toml", "credentials.toml"):
        shutil.copy2(quiet_world.customer / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(tmp_path / "credentials.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("SUPABASE_ACCESS_TOKEN", "RAILWAY_API_TOKEN", "VERCEL_TOKEN", "OPENROUTER_MANAGEMENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield Desk(tmp_path, quiet_world)
    os.environ.pop("PANTHEON_CONFIG", None)  # --config sets it
