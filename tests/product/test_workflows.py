"""The workflow files for the product team's repository: held to rules, and their commands run here as written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from vendors import Hands

from pantheon_runbook import cli

pytestmark = pytest.mark.xdist_group("workflows")
FOLDER = Path(cli.__file__).parent / "workflows"
NAMES = ("isolation", "tests")
TRUSTED = {"schedule", "workflow_dispatch"}  # nobody without write access to the repository sets these off


def problems(text: str) -> list[str]:
    """What is wrong with a workflow file by the rules for one that is given secrets of a shared staging."""
    document = yaml.safe_load(text)
    triggers = set(document[True])  # YAML 1.1 reads `on` so
    found = [f"trigger {name}" for name in triggers - TRUSTED - {"push", "pull_request"}]
    found += [] if document.get("permissions") == {"contents": "read"} else ["permissions are not the least"]
    for name, job in document["jobs"].items():
        shared = document.get("concurrency")
        found += [f"{name}: {problem}" for problem in _of_job(job, triggers, job.get("concurrency", shared) or {})]
    return found


def _of_job(job: dict[str, Any], triggers: set[str], concurrency: dict[str, Any]) -> Iterator[str]:
    if "permissions" in job:
        yield "permissions of its own"
    if not 0 < job.get("timeout-minutes", 0) <= 60:
        yield "no timeout"
    if "latest" in job["runs-on"]:
        yield "the machine is not pinned"
    if "environment" in job:
        if not (triggers <= TRUSTED or job.get("if") == "github.event_name == 'workflow_dispatch'"):
            yield "a pull request gets the environment"
        if concurrency.get("group") != "pantheon-staging" or concurrency.get("cancel-in-progress") is not False:
            yield "two of them at once"
    elif "secrets." in json.dumps(job):
        yield "secrets without an environment"
    yield from _of_steps(job)


def _of_steps(job: dict[str, Any]) -> Iterator[str]:
    if "secrets." in json.dumps({key: value for key, value in job.items() if key != "steps"}):
        yield "secrets for every step"
    is_guarded = False
    for step in job["steps"]:
        run, uses = step.get("run", ""), step.get("uses")
        is_guarded |= run == "pantheon-runbook guard ."
        if uses and not re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", uses):
            yield f"{uses} is not pinned"
        if uses and "checkout" in uses and step["with"].get("persist-credentials") is not False:
            yield "the checkout keeps its token"
        if "${{" in run:
            yield "an expression inside a script"
        if re.search(r"pytest|pantheon-runbook run", run) and not is_guarded:
            yield "not guarded first"


@pytest.mark.parametrize("name", NAMES)
def test_workflow_keeps_the_rules(name):
    assert [] == problems((FOLDER / f"{name}.yml").read_text())


BREAKS = {
    "trigger pull_request_target": ("tests", "  pull_request:", "  pull_request_target:"),
    "permissions are not the least": ("isolation", "contents: read", "contents: write"),
    "runbook: no timeout": ("isolation", "    timeout-minutes: 60\n", ""),
    "runbook: the machine is not pinned": ("isolation", "ubuntu-24.04", "ubuntu-latest"),
    "integration: a pull request gets the environment": ("tests", "    if: github.event_name == '", "    if: true #"),
    "runbook: two of them at once": ("isolation", "cancel-in-progress: false", "cancel-in-progress: true"),
    "integration: two of them at once": ("tests", "group: pantheon-staging", "group: other"),
    "integration: secrets without an environment": ("tests", "    environment: staging\n", ""),
    "runbook: actions/setup-python@v5 is not pinned": ("isolation", "python@v5.3.0", "python@v5"),
    "unit: the checkout keeps its token": ("tests", "persist-credentials: false", "persist-credentials: true"),
    "runbook: an expression inside a script": ("isolation", '"$RUNBOOK" -e', '"${{ inputs.runbook }}" -e'),
    "unit: not guarded first": ("tests", "run: pantheon-runbook guard .", "run: pantheon-runbook list"),
}


@pytest.mark.parametrize("expected", BREAKS)
def test_rule_is_noticed_when_broken(expected):
    name, old, new = BREAKS[expected]
    text = (FOLDER / f"{name}.yml").read_text()

    assert old in text
    assert expected in problems(text.replace(old, new, 1))


@pytest.mark.parametrize("name", NAMES)
def test_command_prints_the_file(name):
    result = CliRunner().invoke(cli.main, ["workflow", name])

    assert (0, (FOLDER / f"{name}.yml").read_text()) == (result.exit_code, result.stdout)


@dataclass
class Machine:
    """Runs the `run:` steps of a job as the vendor's runner does: bash -e, a step's env, what GITHUB_ENV collects.

    `expressions` are the values of what stands between ${{ and }}; one that is not listed fails the test.
    """

    workspace: Path
    temporary: Path
    base: dict[str, str]
    expressions: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)

    def job(self, name: str, job_name: str, *, without: frozenset[str] = frozenset({"install"})) -> dict[str, int]:
        """Exit codes by step; after the first that fails only those that run always."""
        job = yaml.safe_load((FOLDER / f"{name}.yml").read_text())["jobs"][job_name]
        collected = self.temporary / "github-env"
        collected.write_text("")
        codes: dict[str, int] = {}
        for step in job["steps"]:
            condition = step.get("if", "")
            has_failed = any(codes.values())
            if "run" not in step or step["name"] in without or (has_failed and "always()" not in condition):
                continue
            kept = dict(line.split("=", 1) for line in collected.read_text().splitlines())
            runner = {"GITHUB_ENV": str(collected), "RUNNER_TEMP": str(self.temporary)}
            given = {**self.base, **runner, **self._env(job), **kept, **self._env(step)}
            codes[step["name"]] = self._run(step, given)
        return codes

    def _env(self, holder: dict[str, Any]) -> dict[str, str]:
        replaced = re.compile(r"\$\{\{ (.*?) \}\}")
        return {
            key: replaced.sub(lambda found: self.expressions[found[1]], value)
            for key, value in holder.get("env", {}).items()
        }

    def _run(self, step: dict[str, Any], environment: dict[str, str]) -> int:
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=self.workspace,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said[step["name"]] = done.stdout + done.stderr
        return done.returncode


SUITE = """
import pathlib, pytest

@pytest.mark.staging
def test_marked(staging):
    pathlib.Path("marked-ran").touch()

def test_plain():
    pathlib.Path("plain-ran").touch()
"""
GUARD = "nothing of production's is in the repository"
GUARD_OF_BOTH = f"{GUARD} or in staging's variables"


@pytest.fixture(scope="module")
def provisioned(new_world: Any) -> Iterator[Any]:
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        world.provision()
        assert 0 == world.cli("env", "write", ".env").returncode
        yield world


@pytest.fixture
def machine(provisioned: Any, tmp_path: Path) -> Machine:
    """A checkout of the product's repository, and the secrets of its environment "staging"."""
    workspace, temporary = tmp_path / "workspace", tmp_path / "temporary"
    workspace.mkdir()
    temporary.mkdir()
    for name in ("pantheon.toml", "identities.toml"):
        shutil.copy2(provisioned.customer / name, workspace / name)
    (workspace / "test_product.py").write_text(SUITE)
    (workspace / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:cacheprovider\n")
    installed = temporary / "bin" / "pantheon-runbook"  # what the step "install" puts there, of this very code
    installed.parent.mkdir()
    installed.write_text('#!/bin/sh\nexec python -m pantheon_runbook "$@"\n')
    installed.chmod(0o755)
    base = provisioned.environment()
    base["PATH"] = f"{installed.parent}{os.pathsep}{base['PATH']}"
    del base["XDG_CONFIG_HOME"], base["PANTHEON_OPERATOR"]
    expressions = {
        "secrets.STAGING_ENV": (provisioned.folder / ".env").read_text(),
        "secrets.PANTHEON_CREDENTIALS": (provisioned.customer / "credentials.toml").read_text(),
        "secrets.SEAL_KEY": "a key of the live cloud, which a rehearsal does not use",
        "secrets.EVIDENCE_KEY": "a deploy key, which a path needs not",
        "inputs.runbook || 'RB-060'": "RB-010",
        "inputs.apply && 'yes' || ''": "",
        "github.event_name == 'schedule' && 'schedule' || github.actor": "a-supervisor",
    }
    return Machine(workspace, temporary, base, expressions)


def ran(machine: Machine) -> set[str]:
    return {path.name for path in machine.workspace.glob("*-ran")}


def test_unit_job_needs_nothing(machine, provisioned):
    """No secret, no staging, no vendor."""
    before = len(provisioned.running.log())

    codes = machine.job("tests", "unit")

    assert {GUARD: 0, "unit tests": 0} == codes, machine.said
    assert {"plain-ran"} == ran(machine)
    assert before == len(provisioned.running.log())


def test_unit_job_stops_at_productions_value(machine, provisioned):
    (machine.workspace / "settings.toml").write_text(f'url = "{provisioned.facts["supabase"]["session_url"]}"\n')

    assert ({GUARD: 4}, set()) == (machine.job("tests", "unit"), ran(machine))


def test_integration_job_runs_against_staging(machine):
    codes = machine.job("tests", "integration")

    assert [0, 0, 0] == list(codes.values()), machine.said
    assert {"marked-ran"} == ran(machine)
    assert 0o600 == (machine.workspace / ".env").stat().st_mode & 0o777


def test_integration_job_stops_at_productions_value(machine, provisioned):
    machine.expressions["secrets.STAGING_ENV"] = f"DATABASE_URL={provisioned.facts['supabase']['session_url']}"

    codes = machine.job("tests", "integration")

    assert ({"staging's variables": 0, GUARD_OF_BOTH: 4}, set()) == (codes, ran(machine))


@pytest.mark.rare
def test_integration_job_without_its_secret_is_red(machine):
    """Not green with everything skipped."""
    machine.expressions["secrets.STAGING_ENV"] = ""

    codes = machine.job("tests", "integration")

    assert (pytest.ExitCode.USAGE_ERROR, set()) == (codes["integration tests"], ran(machine))


PUSHED = ("the evidence so far", "push the evidence")


def opened(evidence: Path) -> list[tuple[str, str]]:
    """(mode, operator) of each run, by the first line of its journal, in the order of the ledger."""
    bundles = [json.loads(line)["bundle"] for line in (evidence / "ledger.jsonl").read_text().splitlines()]
    first = [json.loads((evidence / name / "journal.jsonl").read_text().partition("\n")[0]) for name in bundles]
    return [(event["mode"], event["operator"]) for event in first]


def test_isolation_job_plans_and_leaves_evidence(machine, provisioned):
    """Without a repository for the evidence."""
    before = provisioned.mutating()

    codes = machine.job("isolation", "runbook", without=frozenset({"install", *PUSHED}))

    assert {0} == set(codes.values()), machine.said
    assert (machine.workspace / "evidence" / "ledger.jsonl").is_file()
    assert before == provisioned.mutating()
    assert [("plan", "a-supervisor")] == opened(machine.workspace / "evidence")


@pytest.fixture
def shared(provisioned: Any) -> Iterator[None]:
    """Production's Supabase in staging's backend, for as long as a test lasts."""
    hands = Hands(provisioned.running)
    own = hands.variables("api")["SUPABASE_URL"]
    hands.set_variable("api", "SUPABASE_URL", provisioned.facts["supabase"]["url"])
    yield
    hands.set_variable("api", "SUPABASE_URL", own)
    hands.close()


def as_scheduled(machine: Machine) -> dict[str, int]:
    """Without an input and without a person."""
    machine.expressions["inputs.runbook || 'RB-060'"] = "RB-060"
    machine.expressions["github.event_name == 'schedule' && 'schedule' || github.actor"] = "schedule"
    codes = machine.job("isolation", "runbook", without=frozenset({"install", *PUSHED}))
    assert [("check", "schedule")] == opened(machine.workspace / "evidence")
    return codes


@pytest.mark.rare
def test_scheduled_job_is_green_while_nothing_is_shared(machine):
    assert {0} == set(as_scheduled(machine).values()), machine.said


@pytest.mark.rare
def test_scheduled_job_is_red_when_something_is_shared(machine, provisioned, shared):
    """The evidence is kept and checked all the same, and nothing is written."""
    before = provisioned.mutating()

    codes = as_scheduled(machine)

    assert (6, 0) == (codes["run"], codes["the evidence is whole"]), machine.said
    assert before == provisioned.mutating()


@pytest.mark.rare
def test_isolation_job_goes_on_with_one_ledger(machine, tmp_path):
    """Twice, the second time applied, with a repository in between; the checker takes the whole."""
    remote = tmp_path / "evidence.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    machine.expressions["vars.EVIDENCE_REMOTE"] = str(remote)

    codes = [machine.job("isolation", "runbook")]
    machine.expressions["inputs.apply && 'yes' || ''"] = "yes"
    codes += [machine.job("isolation", "runbook")]

    assert [{0}, {0}] == [set(one.values()) for one in codes], machine.said
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", str(remote), str(copy)], check=True)
    assert 2 == len((copy / "ledger.jsonl").read_text().splitlines())
    assert [("plan", "a-supervisor"), ("apply", "a-supervisor")] == opened(copy)
    secrets = [machine.expressions[f"secrets.{name}"] for name in ("PANTHEON_CREDENTIALS", "EVIDENCE_KEY")]
    texts = "\n".join(path.read_text(errors="replace") for path in copy.rglob("*") if path.is_file())
    assert [] == [secret for secret in secrets if secret in texts]


@pytest.mark.rare
def test_isolation_job_that_leaves_nothing_pushes_nothing(machine, tmp_path):
    """Refused before it opened: the step is no second fault."""
    remote = tmp_path / "evidence.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    machine.expressions["vars.EVIDENCE_REMOTE"] = str(remote)
    machine.expressions["secrets.PANTHEON_CREDENTIALS"] = "[tokens]"

    codes = machine.job("isolation", "runbook", without=frozenset({"install", "the evidence is whole"}))

    assert (2, 0) == (codes["run"], codes["push the evidence"]), machine.said


def test_isolation_job_without_the_runbook_says_so(machine):
    """Before anything secret is written."""
    machine.expressions["inputs.runbook || 'RB-060'"] = "RB-099"

    codes = machine.job("isolation", "runbook", without=frozenset({"install", *PUSHED, "the evidence is whole"}))

    assert {GUARD: 0, "the runbook is in this version": 2} == codes
    assert "::error::RB-099 is not in this version" in machine.said["the runbook is in this version"]
    assert {"bin", "github-env"} == {path.name for path in machine.temporary.iterdir()}
