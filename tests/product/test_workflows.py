"""The workflow files for the product team's repository: held to rules, and their commands run here as written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
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
NAMES = ("isolation", "promotion", "tests")
PASSWORD = "secrets.PANTHEON_PRODUCTION_PASSWORD"
TRUSTED = {"schedule", "workflow_dispatch"}  # nobody without write access to the repository sets these off


def problems(text: str) -> list[str]:
    """What is wrong with a workflow file by the rules for one that is given secrets of a shared staging."""
    document = yaml.safe_load(text)
    triggers = set(document[True])  # YAML 1.1 reads `on` so
    used = re.findall(r"^ *-? *uses: (.*)$", text, re.MULTILINE)
    found = [f"trigger {name}" for name in triggers - TRUSTED - {"push", "pull_request"}]
    found += [] if document.get("permissions") == {"contents": "read"} else ["permissions are not the least"]
    found += [f"{one} is not pinned" for one in used if not re.fullmatch(PINNED, one)]
    for name, job in document["jobs"].items():
        waiting = [one["concurrency"] for one in (document, job) if "concurrency" in one]
        found += [f"{name}: {problem}" for problem in _of_job(job, triggers, waiting)]
    return found


PINNED = r"actions/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+"  # a tag can be moved


def _of_job(job: dict[str, Any], triggers: set[str], waiting: list[dict[str, Any]]) -> Iterator[str]:
    text, cancels = json.dumps(job), any(one["cancel-in-progress"] is not False for one in waiting)
    groups = {one["group"] for one in waiting}
    if "permissions" in job:
        yield "permissions of its own"
    if not 0 < job.get("timeout-minutes", 0) <= 90:
        yield "no timeout"
    if "latest" in job["runs-on"]:
        yield "the machine is not pinned"
    if "environment" in job:
        if not (triggers <= TRUSTED or job.get("if") == "github.event_name == 'workflow_dispatch'"):
            yield "a pull request gets the environment"
        if cancels or ("staging" in job["environment"] and "pantheon-staging" not in groups):
            yield "two of them at once"
    elif "secrets." in text:
        yield "secrets without an environment"
    if "evidence push" in text and "pantheon-evidence" not in groups:
        yield "two that add to one chain"
    if PASSWORD in text and job["environment"] != "production":
        yield "production's password outside production"
    yield from _of_steps(job)


def _of_steps(job: dict[str, Any]) -> Iterator[str]:
    if "secrets." in json.dumps({key: value for key, value in job.items() if key != "steps"}):
        yield "secrets for every step"
    last = job["steps"][-1]
    if "credentials.toml" in json.dumps(job) and not ("rm -rf" in last.get("run", "") and last["if"] == "always()"):
        yield "secrets are left"
    is_guarded = False
    for step in job["steps"]:
        run, uses = step.get("run", ""), step.get("uses")
        is_guarded |= run == "pantheon-runbook guard ."
        if uses and "checkout" in uses and step["with"].get("persist-credentials") is not False:
            yield "the checkout keeps its token"
        if "${{" in run:
            yield "an expression inside a script"
        if "evidence push" in run and "always()" not in step.get("if", ""):
            yield "a run that failed leaves no evidence"
        if PASSWORD in json.dumps(step) and step["name"] != "run":
            yield "production's password before the run"
        if re.search(r"pytest|pantheon-runbook run", run) and not is_guarded:
            yield "not guarded first"


@pytest.mark.parametrize("name", NAMES)
def test_workflow_keeps_the_rules(name):
    assert [] == problems((FOLDER / f"{name}.yml").read_text())


CHECKOUT = "11bd71901bbe5b1630ceea73d27597364c9af683"
BREAKS = {
    "trigger pull_request_target": ("tests", "  pull_request:", "  pull_request_target:"),
    "permissions are not the least": ("isolation", "contents: read", "contents: write"),
    "runbook: no timeout": ("isolation", "    timeout-minutes: 60\n", ""),
    "runbook: the machine is not pinned": ("isolation", "ubuntu-24.04", "ubuntu-latest"),
    "integration: a pull request gets the environment": ("tests", "    if: github.event_name == '", "    if: true #"),
    "runbook: two of them at once": ("isolation", "cancel-in-progress: false", "cancel-in-progress: true"),
    "integration: two of them at once": ("tests", "group: pantheon-staging", "group: other"),
    "integration: secrets without an environment": ("tests", "    environment: staging\n", ""),
    "runbook: two that add to one chain": ("isolation", "pantheon-evidence", "other"),
    "promote: two that add to one chain": ("promotion", "pantheon-evidence", "other", 2),
    "promote: two of them at once": ("promotion", "cancel-in-progress: false", "cancel-in-progress: true", 2),
    "plan: secrets without an environment": ("promotion", "    environment: production-plan\n", ""),
    "plan: production's password outside production": ("promotion", "secrets.VERCEL_TOKEN", PASSWORD),
    "promote: production's password before the run": ("promotion", "secrets.VERCEL_TOKEN", PASSWORD, 2),
    "plan: a run that failed leaves no evidence": (
        "promotion",
        "push the evidence\n        if: always()",
        "x\n        if: true",
    ),
    "roll-back: secrets are left": ("promotion", "secret is left\n        if: always()", "x\n        if: success()", 3),
    "roll-back: not guarded first": ("promotion", "run: pantheon-runbook guard .", "run: pantheon-runbook list", 3),
    "promote: an expression inside a script": ("promotion", '--plan "$PLAN"', '--plan "${{ inputs.plan }}"'),
    "actions/checkout@v4.2.2 is not pinned": ("promotion", f"@{CHECKOUT}  # v4.2.2", "@v4.2.2"),
    f"actions/checkout@{CHECKOUT} is not pinned": ("tests", f"{CHECKOUT}  # v4.2.2", CHECKOUT),
    "unit: the checkout keeps its token": ("tests", "persist-credentials: false", "persist-credentials: true"),
    "runbook: an expression inside a script": ("isolation", '"$RUNBOOK" -e', '"${{ inputs.runbook }}" -e'),
    "unit: not guarded first": ("tests", "run: pantheon-runbook guard .", "run: pantheon-runbook list"),
}


@pytest.mark.parametrize("expected", BREAKS)
def test_rule_is_noticed_when_broken(expected):
    name, old, new, *which = BREAKS[expected]
    parts = (FOLDER / f"{name}.yml").read_text().split(old)
    number = which[0] if which else 1

    assert number < len(parts)
    broken = new.join([old.join(parts[:number]), old.join(parts[number:])])
    assert expected in problems(broken)


LINTERS = {
    "zizmor": ("--offline", "--no-progress", "--persona=pedantic", "--min-severity=low", "--quiet"),
    "check-jsonschema": ("--builtin-schema", "vendor.github-workflows"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("linter", LINTERS)
def test_linter_has_nothing_to_say(linter, name):
    """Without the network: zizmor looks for what can be abused, the other for what GitHub would not read."""
    program = Path(sys.executable).with_name(linter)
    if not program.exists():
        pytest.skip(f"{linter} is not installed beside this Python")

    command = [program, *LINTERS[linter], FOLDER / f"{name}.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr


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
        collected = {each: self.temporary / each.lower() for each in ("GITHUB_ENV", "GITHUB_OUTPUT", SUMMARY)}
        for file in collected.values():
            file.write_text("")
        codes: dict[str, int] = {}
        for step in job["steps"]:
            if "run" not in step or step["name"] in without or not self._is_due(step, codes):
                continue
            kept = pairs(collected["GITHUB_ENV"])
            runner = {**{each: str(file) for each, file in collected.items()}, "RUNNER_TEMP": str(self.temporary)}
            given = {**self.base, **runner, **self._env(job), **kept, **self._env(step)}
            codes[step["name"]] = self._run(step, given)
            outputs = pairs(collected["GITHUB_OUTPUT"])
            self.expressions |= {f"steps.{step.get('id')}.outputs.{each}": text for each, text in outputs.items()}
        return codes

    @staticmethod
    def _is_due(step: dict[str, Any], codes: dict[str, int]) -> bool:
        condition = step.get("if", "")
        if "steps.evidence.outcome == 'success'" in condition and codes.get("the evidence so far") != 0:
            return False
        return "always()" in condition or not any(codes.values())

    @property
    def summary(self) -> str:
        return (self.temporary / SUMMARY.lower()).read_text()

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


SUMMARY = "GITHUB_STEP_SUMMARY"


def pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


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


@pytest.mark.alike
def test_unit_job_stops_at_productions_value(machine, provisioned):
    (machine.workspace / "settings.toml").write_text(f'url = "{provisioned.facts["supabase"]["session_url"]}"\n')

    assert ({GUARD: 4}, set()) == (machine.job("tests", "unit"), ran(machine))


def test_integration_job_runs_against_staging(machine):
    codes = machine.job("tests", "integration")

    assert [0, 0, 0] == list(codes.values()), machine.said
    assert {"marked-ran"} == ran(machine)
    assert 0o600 == (machine.workspace / ".env").stat().st_mode & 0o777


@pytest.mark.alike
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


@pytest.mark.rare
def test_isolation_job_says_which_job_it_was(machine):
    """In the journal, which is sealed, and at the head of the report."""
    told = {"SERVER_URL": "https://github.com", "REPOSITORY": "pantheon/product", "RUN_ID": "4711", "RUN_ATTEMPT": "2"}
    machine.base |= {f"GITHUB_{name}": text for name, text in {**told, "ACTIONS": "true", "ACTOR": "ana"}.items()}

    machine.job("isolation", "runbook", without=frozenset({"install", *PUSHED}))

    (bundle,) = (path for path in (machine.workspace / "evidence").iterdir() if path.name.startswith("20"))
    where = "https://github.com/pantheon/product/actions/runs/4711 attempt 2"
    assert where == json.loads((bundle / "journal.jsonl").read_text().partition("\n")[0])["ci"]
    assert f"- CI job: {where}, self-asserted" in (bundle / "report.md").read_text()
    assert [("plan", "ana")] == opened(machine.workspace / "evidence")


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
    subprocess.run(["git", "clone", "--quiet", "--branch", "evidence", str(remote), str(copy)], check=True)
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

    assert {GUARD: 0, "the runbook is in this version": 2, "nothing secret is left": 0} == codes
    assert "::error::RB-099 is not in this version" in machine.said["the runbook is in this version"]
    assert not {"credentials.toml", "config"} & {path.name for path in machine.temporary.iterdir()}


# ---- promotion: RB-030 and RB-040 are stood in for, everything else is real

CALLED = "called.json"
TESTS_OF_EVIDENCE = str(Path(__file__).resolve().parents[1] / "evidence")
STUB = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from made_runs import ACTS, Maker
from pantheon_runbook.verdict import NotebookStatus

names = ("PANTHEON_CREDENTIALS", "PANTHEON_PRODUCTION_PASSWORD", "EVIDENCE_KEY", "VERCEL_TOKEN")
told = {{name: os.environ.get(name) for name in names}}
path = Path(told["PANTHEON_CREDENTIALS"])
told |= {{"arguments": sys.argv[1:], "credentials": path.read_text(), "mode": path.stat().st_mode & 0o777}}
Path({called!r}).write_text(json.dumps(told))
code, is_apply = {code}, "--apply" in sys.argv
if code == 2:
    sys.exit(2)
maker = Maker(Path("evidence"))
number = len(Path("evidence/ledger.jsonl").read_text().splitlines())
acts = ACTS if is_apply and not code else ACTS[:3]
bundle, _ = maker.begun(number, acts=acts, mode="apply" if is_apply else "plan")
folder, verdict = bundle.seal(maker.key, NotebookStatus("not-observed"))
print(f"{{verdict.word.upper()}}: {{verdict.why}}", f"report    {{folder}}/report.html", sep="\\n")
sys.exit(code)
"""


@dataclass
class Promotion:
    """The product's repository on GitHub: each job begins on a new machine, with one repository for the evidence."""

    machine: Machine
    remote: Path

    def job(self, name: str, *, code: int = 0, **inputs: str) -> dict[str, int]:
        """Exit codes by step; `code` is what RB-030 or RB-040 ends with."""
        stub = self.machine.temporary / "stub.py"
        stub.write_text(STUB.format(tests=TESTS_OF_EVIDENCE, called=str(self.called), code=code))
        self.called.unlink(missing_ok=True)
        shutil.rmtree(self.machine.workspace / "evidence", ignore_errors=True)
        given = {"plan": "", "resume": "", "baseline": "", "unit": "", "reason": "", **inputs}
        self.machine.expressions |= {f"inputs.{each}": text for each, text in given.items()}
        self.machine.expressions |= {"steps.run.outputs.code": ""}
        return self.machine.job("promotion", name)

    @property
    def called(self) -> Path:
        return self.machine.temporary / CALLED

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.called.read_text()))

    def ledger(self, branch: str = "evidence") -> list[dict[str, Any]]:
        command = ["git", "-C", str(self.remote), "show", f"{branch}:ledger.jsonl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def branches(self) -> set[str]:
        command = ["git", "-C", str(self.remote), "branch", "--format=%(refname:short)"]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.fixture
def promotion(machine: Machine, tmp_path: Path) -> Promotion:
    remote = tmp_path / "evidence.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    installed = machine.temporary / "bin" / "pantheon-runbook"
    stub = machine.temporary / "stub.py"
    installed.write_text(
        f"""#!/bin/sh
case "$1 $2" in
  "list "*) echo "RB-030  Promote"; echo "RB-040  Roll back" ;;
  "run RB-030" | "run RB-040") exec python {stub} "$@" ;;
  *) exec python -m pantheon_runbook "$@" ;;
esac
"""
    )
    machine.base |= {"GITHUB_REF": "refs/heads/main", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1"}
    machine.expressions |= {
        "github.event.repository.default_branch": "main",
        "vars.EVIDENCE_REMOTE": str(remote),
        "secrets.SUPABASE_ACCESS_TOKEN": "sbp_0123456789",
        "secrets.RAILWAY_API_TOKEN": "railway-0123456789",
        "secrets.VERCEL_TOKEN": "vercel-0123456789",
        "secrets.PRODUCTION_READ_PASSWORD": "reading 'a\\\" $b` ü",
        "secrets.PRODUCTION_DUMP_PASSWORD": "",
        "secrets.PANTHEON_PRODUCTION_PASSWORD": "migrating-0123456789",
    }
    return Promotion(machine, remote)


def secrets_left(promotion: Promotion) -> list[str]:
    kept = ("credentials.toml", "config", "evidence-key")
    return [name for name in kept if (promotion.machine.temporary / name).exists()]


def test_plan_job_says_what_to_approve(promotion):
    codes = promotion.job("plan", code=3)

    assert {0} == set(codes.values()), promotion.machine.said
    (entry,) = promotion.ledger()
    assert f"Plan: `evidence/{entry['bundle']}/plan.json`" in promotion.machine.summary
    assert f"approve evidence/{entry['bundle']}/plan.json --key NAME" in promotion.machine.summary
    assert "code " in promotion.machine.summary  # the report's own head, with the short code
    assert ["run", "RB-030", "--detailed-exitcode"] == promotion.told["arguments"]
    assert (None, []) == (promotion.told["PANTHEON_PRODUCTION_PASSWORD"], secrets_left(promotion))


@pytest.mark.alike
def test_credentials_are_in_one_private_file(promotion):
    """Whatever a password is made of; a token that is not set is none."""
    promotion.job("plan", code=3)

    told, known = promotion.told, promotion.machine.expressions
    table = tomllib.loads(told["credentials"])
    assert 0o600 == told["mode"]
    assert known["secrets.RAILWAY_API_TOKEN"] == table["tokens"]["RAILWAY_API_TOKEN"]
    assert known["secrets.PRODUCTION_READ_PASSWORD"] == table["values"]["PRODUCTION_READ_PASSWORD"]
    assert (None, None) == (told["EVIDENCE_KEY"], told["VERCEL_TOKEN"])


@pytest.mark.alike
def test_first_plan_states_where_production_is(promotion):
    promotion.job("plan", code=3, baseline="0008")

    assert ["run", "RB-030", "--detailed-exitcode", "-p", "baseline=0008"] == promotion.told["arguments"]


@pytest.mark.rare
def test_plan_job_with_nothing_to_promote(promotion):
    codes = promotion.job("plan", code=0)

    assert {0} == set(codes.values())
    assert "something to promote" not in promotion.machine.summary
    assert 1 == len(promotion.ledger())


@pytest.mark.alike
@pytest.mark.parametrize("code", [4, 5])
def test_plan_job_that_fails_leaves_its_evidence(code, promotion):
    codes = promotion.job("plan", code=code)

    assert (code, 0, 0) == (codes["run"], codes["push the evidence"], codes["nothing secret is left"])
    assert "something to promote" not in promotion.machine.summary
    assert (1, []) == (len(promotion.ledger()), secrets_left(promotion))


def planned(promotion: Promotion) -> str:
    promotion.job("plan", code=3)
    return f"evidence/{promotion.ledger()[-1]['bundle']}/plan.json"


def test_promote_job_goes_on_from_the_plan(promotion):
    """On another machine, with another key: the plan is where the plan job said that it is."""
    plan = planned(promotion)

    codes = promotion.job("promote", plan=plan)

    assert {0} == set(codes.values()), promotion.machine.said
    assert ["run", "RB-030", "--apply", "--plan", plan] == promotion.told["arguments"]
    assert "migrating-0123456789" == promotion.told["PANTHEON_PRODUCTION_PASSWORD"]
    assert ["planned", "done"] == [entry["verdict"] for entry in promotion.ledger()]
    assert (promotion.machine.workspace / plan).is_file()
    assert [] == secrets_left(promotion)


@pytest.mark.rare
@pytest.mark.alike
@pytest.mark.parametrize("code", [3, 5])
def test_promote_job_that_stops_leaves_its_evidence(code, promotion):
    """Held, or broken off."""
    codes = promotion.job("promote", code=code, plan=planned(promotion))

    assert (code, 0) == (codes["run"], codes["push the evidence"])
    assert 2 == len(promotion.ledger())


@pytest.mark.alike
def test_inputs_are_words_and_nothing_else(promotion):
    hostile = 'evidence/a b"; touch x; $(touch y) `touch z` "/plan.json'

    promotion.job("promote", plan=hostile, resume="b; touch w $(touch v)", baseline="$(touch u)")

    expected = ["--plan", hostile, "-p", "resume=b; touch w $(touch v)", "-p", "baseline=$(touch u)"]
    assert ["run", "RB-030", "--apply", *expected] == promotion.told["arguments"]
    assert [] == [name for name in "uvwxyz" if (promotion.machine.workspace / name).exists()]


@pytest.mark.alike
def test_roll_back_job_names_the_unit(promotion):
    codes = promotion.job("roll-back", unit="it's one; $x", reason="it's slow")

    assert {0} == set(codes.values()), promotion.machine.said
    given = ["-p", "unit=it's one; $x", "-p", "reason=it's slow"]
    assert ["run", "RB-040", "--apply", *given] == promotion.told["arguments"]
    assert 1 == len(promotion.ledger())


@pytest.mark.alike
@pytest.mark.parametrize(
    ("job", "inputs"),
    [
        ("promote", {}),
        ("promote", {"plan": "../plan.json"}),
        ("promote", {"plan": "evidence/x/other.json"}),
        ("roll-back", {}),
    ],
    ids=str,
)
def test_job_without_its_input_stops_first(job, inputs, promotion):
    """Before anything secret is written."""
    codes = promotion.job(job, **inputs)

    assert (2, False) == (codes["this is the place for it"], promotion.called.exists())
    assert "credentials and keys, for this job only" not in codes


@pytest.mark.alike
@pytest.mark.parametrize("job", ["plan", "promote", "roll-back"])
def test_job_of_another_branch_stops_first(job, promotion):
    """Its keys and approvals have been merged by nobody."""
    promotion.machine.base["GITHUB_REF"] = "refs/heads/feature"

    codes = promotion.job(job, plan="evidence/x/plan.json", unit="x")

    assert (2, False) == (codes["this is the place for it"], promotion.called.exists())


@pytest.mark.alike
@pytest.mark.parametrize("remote", ["", "/nowhere/evidence.git"], ids=["unset", "gone"])
def test_job_without_the_evidence_does_not_run(remote, promotion):
    promotion.machine.expressions["vars.EVIDENCE_REMOTE"] = remote

    codes = promotion.job("promote", plan="evidence/x/plan.json")

    assert (True, False) == (codes["the evidence so far"] != 0, promotion.called.exists())
    assert (False, []) == ("push the evidence" in codes, secrets_left(promotion))


@pytest.mark.rare
def test_run_that_leaves_nothing_is_pushed_as_nothing(promotion):
    """Refused before it opened: its exit code is the job's, and the summary says where to look."""
    codes = promotion.job("plan", code=2)

    assert (2, 0) == (codes["run"], codes["push the evidence"])
    assert "No run was opened" in promotion.machine.summary
    assert [] == promotion.ledger()


LAPTOP = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from made_runs import Maker
from pantheon_runbook.evidence import sharing

evidence = Path({folder!r}) / "evidence"
sharing.pull(evidence, None, remote={remote!r})
Maker(evidence).sealed(9)
sharing.push(evidence, None)
"""


@pytest.mark.rare
def test_evidence_that_came_second_is_kept_beside(promotion, tmp_path):
    """A laptop has pushed while the job ran: the chain is not ours to go on, and nothing is lost."""
    plan = planned(promotion)
    laptop = tmp_path / "laptop.py"
    laptop.write_text(LAPTOP.format(folder=str(tmp_path), tests=TESTS_OF_EVIDENCE, remote=str(promotion.remote)))
    installed = promotion.machine.temporary / "bin" / "pantheon-runbook"
    late = f'if [ "$*" = "evidence push" ]; then python {laptop}; fi\ncase "$1 $2" in'
    installed.write_text(installed.read_text().replace('case "$1 $2" in', late, 1))

    codes = promotion.job("promote", plan=plan)

    assert (0, 4) == (codes["run"], codes["push the evidence"]), promotion.machine.said
    assert "the chain has forked at line 2" in promotion.machine.said["push the evidence"]
    assert {"evidence", "run-7-1"} == promotion.branches()
    assert (2, 2) == (len(promotion.ledger()), len(promotion.ledger("run-7-1")))
