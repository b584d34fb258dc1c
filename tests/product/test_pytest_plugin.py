"""The product team's own pytest runs: what is marked staging runs against staging, and against nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vendors import Hands

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.xdist_group("pytest-plugin"), pytest.mark.alike]
SUITE = """
import os, pathlib, pytest

@pytest.mark.staging
def test_marked(staging):
    assert staging["DATABASE_URL"] and staging.ref
    pathlib.Path("marked-ran").touch()

def test_plain():
    pass
"""


@pytest.fixture(scope="module")
def provisioned(new_world: Any) -> Iterator[Any]:
    """One staging for all the tests here, which only read it; `env_file` is what env write makes of it."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        world.provision()
        world.env_file = world.folder / ".env"
        assert 0 == world.cli("env", "write", ".env").returncode
        yield world


@pytest.fixture
def suite(provisioned: Any, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A repository of the product team's with two tests, the committed files and the .env of env write."""
    provisioned.enter(monkeypatch)
    monkeypatch.chdir(pytester.path)
    for name in ("pantheon.toml", "identities.toml"):
        shutil.copy2(provisioned.customer / name, pytester.path / name)
    shutil.copy2(provisioned.env_file, pytester.path / ".env")
    pytester.makepyfile(SUITE)
    return pytester


def ran(suite: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, str]:
    """A real run in a process of its own, warnings as errors; and everything it said."""
    result = suite.runpytest_subprocess("-W", "error", "-rs", "-p", "no:cacheprovider", *arguments)
    return result, result.stdout.str() + result.stderr.str()


def touched(suite: pytest.Pytester) -> bool:
    return (suite.path / "marked-ran").exists()


def staging_url(suite: pytest.Pytester, name: str = "DATABASE_URL") -> str:
    found = re.search(rf"^{name}='?([^'\n]+)'?$", (suite.path / ".env").read_text(), re.MULTILINE)
    assert found
    return found[1]


# Each row alone with the tests, and by workers too with the sweep.
BESIDE = pytest.param(("-n", "2"), marks=pytest.mark.rare)
WAYS = {"alone": (), **({"xdist": ("-n", "2")} if os.environ.get("PANTHEON_SWEEP") == "full" else {})}
EACH_WAY = pytest.mark.parametrize("more", WAYS.values(), ids=WAYS)


@pytest.mark.parametrize("more", [(), ("-m", "staging"), BESIDE], ids=["alone", "selected", "xdist"])
def test_not_asked_for_is_skipped_with_the_way(suite, more):
    result, said = ran(suite, *more)

    assert (0, False) == (result.ret, touched(suite))
    assert "staging was not asked for: pytest --staging" in said


@pytest.mark.parametrize("more", [(), BESIDE, ("--require-staging",)], ids=["alone", "xdist", "required"])
def test_proven_staging_is_used(suite, provisioned, more):
    """Nothing is asked of a vendor for it."""
    before = len(provisioned.running.log())

    result, said = ran(suite, "--staging", *more)

    assert (0, True) == (result.ret, touched(suite)), said
    result.assert_outcomes(passed=2)
    assert more[:1] == ("-n",) or f"staging: proven, project {provisioned.staging_ref()}" in said
    assert before == len(provisioned.running.log())


@pytest.mark.rare
def test_variable_of_the_process_comes_first(suite, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", staging_url(suite).replace("postgresql://", "postgresql+psycopg://"))
    (suite.path / ".env").unlink()

    result, said = ran(suite, "--staging")

    assert (0, True) == (result.ret, touched(suite)), said


def with_production_password(suite: pytest.Pytester, facts: Any) -> str:
    password = urllib.parse.quote(facts["supabase"]["password"], safe="")
    return re.sub(r":[^:@/]+@", lambda _old: f":{password}@", staging_url(suite))


PRODUCTIONS = {
    "its own URL": lambda _suite, facts: ("DATABASE_URL", facts["supabase"]["session_url"]),
    "its own URL, encoded": lambda _suite, facts: (
        "DATABASE_URL",
        urllib.parse.quote(facts["supabase"]["session_url"], safe=""),
    ),
    "staging's host, its password": lambda suite, facts: ("DATABASE_URL", with_production_password(suite, facts)),
    "its Supabase": lambda _suite, facts: ("SUPABASE_URL", facts["supabase"]["url"]),
    "its API": lambda _suite, facts: ("NEXT_PUBLIC_API_URL", f"https://{facts['railway']['api_domain']}"),
    "its key": lambda _suite, facts: ("ANY_NAME", facts["supabase"]["service_role_key"]),
}


@EACH_WAY
@pytest.mark.parametrize("which", PRODUCTIONS)
def test_production_in_the_environment_is_refused(suite, provisioned, monkeypatch, which, more):
    """The whole session, before any test; four lines, and no value in them."""
    name, value = PRODUCTIONS[which](suite, provisioned.facts)
    monkeypatch.setenv(name, value)

    result, said = ran(suite, "--staging", *more)

    assert (pytest.ExitCode.USAGE_ERROR, False) == (result.ret, touched(suite)), said
    lines = ["*Stopped: *production: *%s in *", "Why:     found: production's*", "State:   no test was run.", "Next: *"]
    result.stderr.fnmatch_lines([lines[0].replace("%s", name), *lines[1:]])
    assert value not in said
    assert provisioned.facts["supabase"]["password"] not in said
    assert "passed" not in said


@pytest.mark.parametrize("more", [(), BESIDE], ids=["alone", "xdist"])
def test_production_set_by_a_test_module_is_refused(suite, provisioned, more):
    """After the session began: the next marked test ends it."""
    url = provisioned.facts["supabase"]["session_url"]
    suite.makepyfile(SUITE.replace("\n@pytest", f"\nos.environ['DATABASE_URL'] = {url!r}\n@pytest", 1))

    result, said = ran(suite, "--staging", *more)

    assert (False, False) == (0 == result.ret, touched(suite)), said
    assert "Stopped: tests marked staging would use production: DATABASE_URL in the environment." in said
    assert url not in said.replace(SUITE, "")


def test_production_in_a_file_that_is_not_ours_is_refused(suite, provisioned, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", staging_url(suite))
    (suite.path / ".env").write_text(f"DATABASE_URL={provisioned.facts['supabase']['session_url']}\n")

    assert (pytest.ExitCode.USAGE_ERROR, False) == (ran(suite, "--staging")[0].ret, touched(suite))


@pytest.mark.rare
def test_without_being_asked_production_is_nobodys_business(suite, provisioned, monkeypatch):
    """The other tests of a team run as they always did."""
    monkeypatch.setenv("DATABASE_URL", provisioned.facts["supabase"]["session_url"])

    ran(suite)[0].assert_outcomes(passed=1, skipped=1)


def no_variables(suite: pytest.Pytester) -> None:
    (suite.path / ".env").unlink()


def a_file_of_somebody_else(suite: pytest.Pytester) -> None:
    text = (suite.path / ".env").read_text()
    (suite.path / ".env").write_text(text.partition("\n")[2])


def a_wrong_password(suite: pytest.Pytester) -> None:
    text = (suite.path / ".env").read_text()
    (suite.path / ".env").write_text(re.sub(r":[^:@/\n]+@", ":not-the-password@", text))


def a_host_that_is_not_there(suite: pytest.Pytester) -> None:
    text = (suite.path / ".env").read_text()
    (suite.path / ".env").write_text(re.sub(r"@[\w.-]+:5432", "@nowhere.example:5432", text))


def two_projects(suite: pytest.Pytester) -> None:
    text = (suite.path / ".env").read_text()
    (suite.path / ".env").write_text(re.sub(r"https://[a-z]{20}\.supabase", f"https://{'q' * 20}.supabase", text))


def another_project_in_the_config(suite: pytest.Pytester) -> None:
    config = suite.path / "pantheon.toml"
    config.write_text(config.read_text().replace('name = "pantheon-staging"', f'ref = "{"q" * 20}"', 1))


def no_identities(suite: pytest.Pytester) -> None:
    config = suite.path / "pantheon.toml"
    config.write_text(config.read_text().replace('cloud = "sandbox"', 'cloud = "live"'))
    (suite.path / "identities.toml").unlink()


UNKNOWN = {
    "no variables": (no_variables, "there is no DATABASE_URL"),
    "a file of somebody else": (a_file_of_somebody_else, "there is no DATABASE_URL"),
    "a wrong password": (a_wrong_password, "cannot be asked what it is"),
    "a host that is not there": (a_host_that_is_not_there, "cannot be asked what it is"),
    "two projects": (two_projects, "name different projects"),
    "another project in the config": (another_project_in_the_config, "and pantheon.toml says"),
    "no identities": (no_identities, "identities.toml cannot be read"),
}


@EACH_WAY
@pytest.mark.parametrize("which", UNKNOWN)
def test_what_cannot_be_proven_is_skipped_with_the_reason(suite, which, more):
    spoil, why = UNKNOWN[which]
    spoil(suite)

    result, said = ran(suite, "--staging", *more)

    result.assert_outcomes(passed=1, skipped=1)
    assert (0, False) == (result.ret, touched(suite))
    assert re.search(rf"staging is not proven: .*{re.escape(why)}.*Next:", said), said


def test_required_staging_that_is_not_proven_fails(suite):
    """For CI, where a job of skipped tests would be green."""
    no_variables(suite)

    result, said = ran(suite, "--require-staging")

    assert (pytest.ExitCode.USAGE_ERROR, False) == (result.ret, touched(suite))
    assert "staging is required: there is no DATABASE_URL" in said


@pytest.fixture
def row(provisioned, monkeypatch) -> Iterator[Any]:
    """What staging's database says it is, changed by somebody, and back again."""
    hands, ref = Hands(provisioned.running), provisioned.staging_ref()

    def change(statement: str) -> None:
        hands.call("supabase", "POST", f"/v1/projects/{ref}/database/query", {"query": statement})

    yield change
    change("drop table if exists pantheon_runbook.environment")
    change("alter table if exists kept set schema pantheon_runbook")
    change("alter table if exists pantheon_runbook.kept rename to environment")
    hands.close()


KEEP = "create table kept as table pantheon_runbook.environment; "


@pytest.mark.rare
def test_database_without_its_row_is_skipped(suite, row):
    row(f"{KEEP} drop table pantheon_runbook.environment")

    result, said = ran(suite, "--staging")

    result.assert_outcomes(passed=1, skipped=1)
    assert "the database of DATABASE_URL does not say what it is" in said


def test_database_of_another_environment_is_skipped(suite, row):
    row(f"{KEEP} update pantheon_runbook.environment set ref = repeat('q', 20)")

    result, said = ran(suite, "--staging")

    result.assert_outcomes(passed=1, skipped=1)
    assert f'says it is "staging" of project {"q" * 20} (sandbox), not staging of' in said


@pytest.mark.parametrize("change", ["name = 'production'", "ref = '{production}'"])
def test_copy_of_production_is_refused(suite, row, provisioned, change):
    """A restored copy behind staging's own address and password."""
    said_to_be = change.format(production=provisioned.facts["supabase"]["ref"])
    row(f"{KEEP} update pantheon_runbook.environment set {said_to_be}")

    result, said = ran(suite, "--staging")

    assert (pytest.ExitCode.USAGE_ERROR, False) == (result.ret, touched(suite))
    assert "the database of DATABASE_URL says so itself" in said


def test_fixture_is_for_marked_tests_only(suite):
    suite.makepyfile("def test_unmarked(staging):\n    pass\n")

    result, said = ran(suite, "--staging")

    result.assert_outcomes(errors=1)
    assert "the fixture staging is for tests marked staging" in said


def test_proof_shows_no_value(suite):
    suite.makepyfile("import pytest\n@pytest.mark.staging\ndef test_shown(staging):\n    assert not staging\n")

    said = ran(suite, "--staging", "--showlocals")[1]

    assert "Staging(ref=" in said
    assert staging_url(suite) not in said


def test_loading_it_costs_nothing(tmp_path: Path):
    """It is loaded in every run of whoever installed us, with a config or without."""
    script = """
import pytest, sys, time
before = set(sys.modules); start = time.perf_counter()
import pantheon_runbook.pytest_plugin
print(time.perf_counter() - start, sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    seconds, _, loaded = done.stdout.partition(" ")

    assert "['pantheon_runbook', 'pantheon_runbook.pytest_plugin']" == loaded.strip()
    assert float(seconds) < 0.02
