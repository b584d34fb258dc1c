"""`env write`: staging's values in a local file, production's never, and nobody else's file written over."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from vendors import Hands

from pantheon_runbook import cli, provisioning
from pantheon_runbook.config import load_config
from pantheon_runbook.isolation.environment_file import Line, rendered

pytestmark = pytest.mark.xdist_group("env-write")
NASTY = "P@ss/37d\"c'<&>\\ß+% =:ü,;|#{x}$HOME`id`\nsecond line"


@pytest.fixture(scope="module")
def provisioned(new_world) -> Iterator[object]:
    """A staging as RB-010 leaves it."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        assert "done" == world.provision().word
        yield world


@pytest.fixture
def staging(provisioned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    provisioned.enter(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return provisioned


@pytest.fixture
def others(staging) -> Iterator[Hands]:
    hands = Hands(staging.running)
    yield hands
    hands.close()


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, arguments)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def sourced(path: Path, name: str) -> str:
    """What a shell makes of it."""
    script = f'. "{path.absolute()}"; printf %s "${name}"'
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_backend_gets_what_staging_holds(staging, others):
    """Every variable of the public service, with its references resolved; guard finds nothing in it."""
    sent = staging.mutating()
    code, out, _ = call("env", "write", ".env", "-e", "staging")

    held = others.variables("api")
    names = [
        one.name for one in provisioning.variables_for(load_config(staging.customer / "pantheon.toml"), "railway:api")
    ]
    assert (0, f".env: {len(names)} variables, readable by you only\n") == (code, out)
    plain = [name for name in names if name != "REDIS_URL"]
    assert [held[name] for name in plain] == [sourced(Path(".env"), name) for name in plain]
    assert sourced(Path(".env"), "REDIS_URL").startswith("redis://default:")
    assert "# answers inside Railway only:\nREDIS_URL=" in Path(".env").read_text()
    assert 0o600 == stat.S_IMODE(Path(".env").stat().st_mode)
    assert 0 == call("guard", ".env")[0]
    assert sent == staging.mutating()
    assert [".env"] == [path.name for path in Path().iterdir()]  # no evidence, and nothing left beside it


def test_frontend_gets_what_previews_are_built_with(staging):
    code, out, _ = call("env", "write", "web.env", "--for", "frontend")

    assert (0, "web.env: 3 variables, readable by you only\n") == (code, out)
    assert f"https://{staging.staging_ref()}.supabase.co" == sourced(Path("web.env"), "NEXT_PUBLIC_SUPABASE_URL")
    assert 0 == call("guard", "web.env")[0]


def test_value_that_vercel_does_not_hold_is_left_out(staging, others):
    """Only what previews are really built with is written; the others are named, with what to do."""
    path, name = f"{others._env_path('v10')}&upsert=true", "NEXT_PUBLIC_API_URL"
    (before,) = [one for one in others.preview() if one["key"] == name]
    setting = {"key": name, "type": "plain", "target": ["preview"]}
    others.call("vercel", "POST", path, {**setting, "value": "https://api.example.com"})

    _, out, _ = call("env", "write", "web.env", "--for", "frontend")
    others.call("vercel", "POST", path, {**setting, "value": before["value"]})

    assert f"{name} is left out: Vercel's Preview holds another value than staging; run RB-010" in out
    assert f"\n{name}=" not in Path("web.env").read_text()


def test_production_value_is_refused(staging, others):
    """Guard's own search, over what is about to be written; the file that was there stays."""
    call("env", "write", ".env")
    before, model = Path(".env").read_bytes(), others.variables("api")["OPENROUTER_MODEL"]
    others.set_variable("api", "OPENROUTER_MODEL", f"x={staging.facts['openrouter']['key']}")

    code, out, err = call("env", "write", ".env")
    others.set_variable("api", "OPENROUTER_MODEL", model)

    assert (4, "") == (code, out)
    assert "something of production's in OPENROUTER_MODEL" in err
    assert "production's secret OPENROUTER_API_KEY" in err
    assert staging.facts["openrouter"]["key"] not in err
    assert (before, [".env"]) == (Path(".env").read_bytes(), [path.name for path in Path().iterdir()])


def test_production_is_refused(staging):
    code, _, err = call("env", "write", ".env", "-e", "production")

    assert (4, True) == (code, "rule 2 of the strategy" in err)
    assert not Path(".env").exists()


def test_staging_that_is_production_is_refused(staging, monkeypatch: pytest.MonkeyPatch):
    """By what the vendor itself calls it, before a value is read."""
    production = staging.facts["supabase"]["project_name"]
    for name in ("pantheon.toml", "identities.toml"):
        text = (staging.customer / name).read_text()
        Path(name).write_text(text.replace('name = "pantheon-staging", org', f'name = "{production}", org'))

    code, _, err = call("env", "write", ".env")

    assert (4, True) == (code, "is production by its supabase_ref" in err)
    assert not Path(".env").exists()


def test_staging_that_is_not_there_is_refused(quiet_world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What cannot be seen is not proven to be something else than production."""
    monkeypatch.chdir(tmp_path)
    code, _, err = call("env", "write", ".env")

    assert (4, True) == (code, "cannot be told from production" in err)
    assert "run RB-010 -e staging" in err
    assert not Path(".env").exists()


def test_file_of_somebody_else_is_left_alone(staging):
    """And no vendor is asked; --force writes over it, and our own file is written anew."""
    Path(".env").write_text("MINE=1\n")
    asked = len(staging.running.log())

    code, _, err = call("env", "write", ".env")

    assert (4, True) == (code, "somebody else wrote it" in err)
    assert ("MINE=1\n", asked) == (Path(".env").read_text(), len(staging.running.log()))
    assert 0 == call("env", "write", ".env", "--force")[0]
    assert 0 == call("env", "write", ".env")[0]


def test_file_that_cannot_be_written_is_said(staging):
    code, _, err = call("env", "write", "no/such/folder/.env")

    assert (2, True) == (code, "cannot be written" in err)


@pytest.mark.parametrize("value", ["plain", "a b", "it's", NASTY, "", '"', "a\\b", "$HOME", "#x", "ü"])
def test_shell_reads_what_was_written(value: str, tmp_path: Path):
    path = tmp_path / ".env"
    path.write_text(rendered([Line("KEY", value), Line("LAST", "x")], environment="staging", command="c"))

    assert [value, "x"] == [sourced(path, "KEY"), sourced(path, "LAST")]
