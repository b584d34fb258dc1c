"""A throw-away world for each test that talks: its own sandbox, home, evidence and working folder."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from forks import Forks
from promoting_world import Production, production_in
from vendors import Hands

from pantheon_runbook.model import Plan
from pantheon_runbook.runner import wiring
from pantheon_runbook.runner.serve import OpenRun
from pantheon_runbook.sandbox import control, customer
from pantheon_runbook.verdict import NotebookStatus, Verdict

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOK = REPOSITORY / "runbooks" / "RB-010-provision-staging.ipynb"
PACE = 0.02


class SandboxWorld:
    """A running sandbox and the product pointed at it; `folder` is the working folder, with ./evidence in it."""

    def __init__(self, folder: Path, running: control.Running) -> None:
        self.folder = folder
        self.running = running
        self.customer = customer.files(running)
        self.evidence = folder / "evidence"
        self.facts = running.facts()

    def environment(self, **more: str) -> dict[str, str]:
        """What a process needs to work on this world."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": tempfile.gettempdir(),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PANTHEON_SANDBOX": str(self.running.folder),
            "PANTHEON_OPERATOR": "supervisor",
            **more,
        }

    def cli(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a user would call it."""
        return subprocess.run(
            [sys.executable, "-m", "pantheon_runbook", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def open(self, mode: str = "apply", *, runbook: str = "RB-010", **parameters: Any) -> OpenRun:
        """A run in this process, not yet observed."""
        return wiring.open_run(runbook, {"mode": mode, **parameters})

    def plan(self, run: OpenRun) -> Plan:
        """Observe and plan."""
        run.session.perform("observe")
        plan: Plan = run.session.perform("plan")
        return plan

    def provision(self, **parameters: Any) -> Verdict:
        """All five acts in this process, sealed; raises what an act raises, sealed too."""
        return self._applied("RB-010", parameters)

    def migrate(self, **parameters: Any) -> Verdict:
        """The same with RB-020."""
        return self._applied("RB-020", parameters)

    def _applied(self, runbook: str, parameters: dict[str, Any]) -> Verdict:
        run = self.open("apply", runbook=runbook, **parameters)
        try:
            for act in ("observe", "plan", "approve", "apply", "verify"):
                run.session.perform(act)
        finally:
            verdict = self.seal(run)
        return verdict

    def seal(self, run: OpenRun) -> Verdict:
        try:
            return run.bundle.seal(run.key, NotebookStatus("not-observed", "driven by a test"))[1]
        finally:
            run.close()

    def mutating(self) -> list[str]:
        """ "<service> <operation>" of every mutating request the sandbox received."""
        return [f"{record['service']} {record['operation']}" for record in self.running.mutating()]

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it the world of this process."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        for name in ("PANTHEON_CONFIG", "PANTHEON_PIN", "PANTHEON_CREDENTIALS", "JPY_PARENT_PID"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(self.folder)

    def staging_ref(self) -> str:
        """The Supabase ref of the one project that is not production's."""
        production = self.facts["supabase"]["ref"]
        (ref,) = [ref for ref in self.running.status()["clusters"] if ref != production]
        return str(ref)


_forks = Forks()


def pytest_sessionfinish() -> None:
    _forks.close()


@contextmanager
def _new_world() -> Iterator[SandboxWorld]:
    folder = Path(tempfile.mkdtemp(prefix="pr-t-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "_spawn_detached", _forks.spawn)
        running = control.start(folder / "sandbox", pace=PACE, in_memory=True)
    yield SandboxWorld(folder, running)
    running.discard()
    shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the tests marked `alike` a third of each module runs, unless all are wanted or a module was named."""
    if os.environ.get("PANTHEON_SWEEP") == "full" or any(".py" in argument for argument in config.args):
        return
    by_module: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("alike"):
            by_module.setdefault(item.path, []).append(item)
    dice = random.Random(f"alike {os.environ.get('PANTHEON_SEED', '1')}")
    left_out = {one for alike in by_module.values() for one in dice.sample(alike, len(alike) - -(-len(alike) // 3))}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxWorld]:
    """A production and no staging; gone after the test."""
    with _new_world() as world:
        world.enter(monkeypatch)
        yield world


@pytest.fixture(scope="session")
def new_world() -> Callable[[], AbstractContextManager[SandboxWorld]]:
    """For fixtures that keep a world for several tests."""
    return _new_world


@pytest.fixture(scope="session")
def _standing_world() -> Iterator[SandboxWorld]:
    with _new_world() as world:
        yield world


@pytest.fixture(scope="session")
def _proven() -> Iterator[Production]:
    """A staging that is proven, and a production that is behind it, for the modules of the group "promoting"."""
    with production_in(_new_world) as production:
        yield production


@pytest.fixture
def quiet_world(_standing_world: SandboxWorld, monkeypatch: pytest.MonkeyPatch) -> SandboxWorld:
    """One world for all tests that change nothing in it: plan runs and refusals. Its evidence grows."""
    _standing_world.enter(monkeypatch)
    return _standing_world


@pytest.fixture
def hands(world: SandboxWorld) -> Iterator[Hands]:
    """Somebody else's hands on this world's vendors."""
    hands = Hands(world.running)
    yield hands
    hands.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of the guards that were taken out, from whatever process tried them."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    rows = sorted(text for report in reports for name, text in report.user_properties if name == "guard")
    if rows:
        terminalreporter.section("guards taken out")
        terminalreporter.write_line("\n".join(rows))
