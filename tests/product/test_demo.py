"""`demo` as a newcomer meets it: in an empty folder, and again in one that has a sandbox already."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.sandbox import control

README = Path(__file__).resolve().parents[2] / "README.md"
WAY_ON = re.compile(r"go on in the same world +(.+)")


@pytest.fixture
def type_in(tmp_path, monkeypatch):
    """Types one command line in an empty folder, with nothing of ours in the environment; gives what it printed."""
    monkeypatch.chdir(tmp_path)
    own = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_CACHE_HOME", "PYTHONPATH") if name in os.environ}

    def type_in(line: str) -> str:
        said = ""
        for command in line.split(" && "):
            arguments = shlex.split(command.removeprefix(".venv/bin/"))[1:]
            done = subprocess.run(
                [sys.executable, "-m", "pantheon_runbook", *arguments],
                env={**kept, **own},
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
            assert 0 == done.returncode, done.stderr
            said += done.stdout
        return said

    yield type_in
    if Path(".pantheon/sandbox").exists():
        type_in("pantheon-runbook sandbox stop")


def test_demo_leaves_evidence_and_a_world_to_go_on_in(type_in):
    told = type_in("pantheon-runbook demo")

    report = verify(Path("evidence"))
    came_to = ["planned", *["done", "nothing-to-do"] * 2, "done", "planned", "done", "done"]  # RB-060, -030 twice, -050
    assert ((), came_to) == (report.findings, list(report.verdicts.values()))
    assert 14 == len(re.findall(r"^   \d+\.\d s$", told, re.MULTILINE))
    for bundle in report.bundles:
        assert [] == not_run(Path("evidence") / bundle / "runbook.ipynb")

    assert ".venv/bin/pantheon-runbook sandbox start" == way_on(told)
    type_in(way_on(told))
    assert "NOTHING-TO-DO" in type_in("pantheon-runbook run RB-010")
    assert "SQL checks by role pantheon_read" in type_in("pantheon-runbook check -e production")


@pytest.mark.sweep
@pytest.mark.skipif(os.environ.get("PANTHEON_SWEEP") != "full", reason="a second demo, half a minute: with the sweep")
def test_demo_beside_a_sandbox_with_a_world_of_its_own(type_in):
    """That one is left as it is; the way on leads to the demo's world all the same."""
    assert "PLANNED: 19 to change" in type_in("pantheon-runbook run RB-010")

    told = type_in("pantheon-runbook demo")
    assert "PLANNED: 19 to change" in type_in("pantheon-runbook run RB-010")
    type_in(way_on(told))

    assert "NOTHING-TO-DO" in type_in("pantheon-runbook run RB-010")


@pytest.mark.rare
def test_sandbox_that_was_reset_is_prepared_as_it_began(type_in):
    """Whoever holds production there has made the roles that only look, and lets no build take the domains."""
    type_in("pantheon-runbook sandbox start && pantheon-runbook sandbox reset")

    assert "SQL checks by role pantheon_read" in type_in("pantheon-runbook check -e production")
    running = control.Running.of(Path(".pantheon/sandbox"))
    assert running is not None
    vercel = running.facts()["vercel"]
    path = f"/v9/projects/{vercel['project_id']}?teamId={vercel['team_id']}"
    assert not running.call("api.vercel.com", "GET", path, None, token=vercel["token"])["autoAssignCustomDomains"]


@pytest.mark.rare
def test_promotion_by_hand_goes_as_the_readme_says(type_in):
    """In an empty folder, with its commands alone; the code comes out of the report, as for whoever reads it."""
    said: dict[str, str] = {}
    for line in commands_of("### By hand, in an empty folder"):
        planned = max(Path("evidence").glob("*-RB-030-*"), default=Path())
        code = re.search(r'class="code"[^>]*>([0-9a-f]{4}-[0-9a-f]{4})<', reported(planned))
        said[line] = type_in(line.replace("<bundle>", planned.name).replace("<code>", code[1] if code else ""))

    assert "PLANNED: 13 to change\n" in said["pantheon-runbook run RB-030 -p baseline=0008"], "nothing is blocked"
    assert "DONE: 8 changes made" in said["pantheon-runbook run RB-040 --apply"]


def reported(bundle: Path) -> str:
    path = bundle / "report.html"
    return path.read_text() if path.is_file() else ""


def commands_of(heading: str) -> list[str]:
    """The lines of the first block of commands below a heading of the README, without their comments."""
    text = README.read_text().partition(f"\n{heading}\n")[2]
    return [line.partition("  #")[0].strip() for line in text.partition("```sh\n")[2].partition("```")[0].splitlines()]


def way_on(told: str) -> str:
    found = WAY_ON.search(told)
    assert found is not None, told
    return found[1]


def not_run(notebook: Path) -> list[str]:
    """Sources of the code cells without a number, or without the card that each one ends with."""
    cells = [cell for cell in nbformat.reads(notebook.read_text(), as_version=4).cells if cell.cell_type == "code"]
    shown = [cell for cell in cells if "parameters" not in json.dumps(cell.metadata.get("tags", []))]
    return [
        cell.source
        for cell in cells
        if cell.execution_count is None or (cell in shown and not any("text/html" in one.data for one in cell.outputs))
    ]
