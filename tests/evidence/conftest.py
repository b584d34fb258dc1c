"""Evidence folders to try things on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_promotions import NOW, Promotions
from made_runs import Maker

from pantheon_runbook import clock


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "evidence").mkdir()
    return Maker(tmp_path / "evidence")


@pytest.fixture(scope="session")
def _three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, since a report takes a tenth of a second; copied for each test."""
    home = tmp_path_factory.mktemp("three")
    (home / "evidence").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        maker = Maker(home / "evidence")
        for number in range(3):
            maker.sealed(number)
    return home


@pytest.fixture
def three(_three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Three sealed bundles; `folders` has them oldest first."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shutil.copytree(_three, tmp_path, dirs_exist_ok=True)
    return Maker(tmp_path / "evidence")


@pytest.fixture
def promotions(make: Maker) -> Iterator[Promotions]:
    """At a time that stands still."""
    clock.pin(NOW)
    yield Promotions(make)
    clock.pin(None)
