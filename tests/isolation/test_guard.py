"""`guard` on the command line: by what the team has committed, without vendor, network or credentials."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pantheon_runbook import cli, guarding

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("runner-quiet")


@pytest.fixture
def team(quiet_world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A repository with what a team commits, no credentials and no way to a vendor."""
    for name in ("pantheon.toml", "identities.toml"):
        (tmp_path / name).write_text((quiet_world.customer / name).read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PANTHEON_SANDBOX", str(tmp_path / "none"))
    return quiet_world


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, arguments)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def change(name: str, before: str, after: str) -> None:
    text = Path(name).read_text()
    assert before in text
    Path(name).write_text(text.replace(before, after, 1))


def test_clean_folder_is_clean(team):
    """The config itself names production, which it has to."""
    code, out, _ = call("guard")

    assert 0 == code
    assert out.startswith("0 findings, 2 files, 0 skipped; production is ")
    assert f"{team.facts['supabase']['ref']} (sandbox), 9 pins of identities.toml" in out


def test_production_secret_is_refused(team, monkeypatch: pytest.MonkeyPatch):
    """Its name, place and what to do; never the value. Nothing is asked over the network."""
    monkeypatch.setattr(socket, "socket", lambda *_arguments, **_more: pytest.fail("the network was used"))
    secret = team.facts["supabase"]["service_role_key"]
    Path(".env").write_text(f"LOG_LEVEL=debug\nSUPABASE_SERVICE_ROLE_KEY={secret}\n")

    code, out, _ = call("guard")

    assert 4 == code
    first, second, *_, last = out.splitlines()
    assert first.startswith(".env:2  production's ")
    assert "production's secret SUPABASE_SERVICE_ROLE_KEY" in first
    assert "next: rotate it in production, and put staging's there: pantheon-runbook env write .env" in second
    assert last.startswith("1 finding, 3 files")
    assert secret not in out


def test_hosts_of_production_are_found(team):
    Path("vercel.json").write_text(f'{{"api": "https://{team.facts["railway"]["api_domain"]}"}}')

    assert (4, True) == (call("guard", "vercel.json")[0], "production's host" in call("guard")[1])


def test_json_says_everything(team):
    """The keys are a contract."""
    Path(".env").write_text(team.facts["supabase"]["url"])
    Path("photo.json").write_bytes(b"\0")

    code, out, _ = call("guard", "--json")
    found = json.loads(out)

    assert 4 == code
    assert ["cloud", "files", "findings", "notes", "pins", "pins_from", "production", "skipped"] == sorted(found)
    (finding,) = found["findings"]
    assert ["line", "next_step", "path", "what"] == sorted(finding)
    assert [{"path": "photo.json", "why": "binary"}] == found["skipped"]


def test_nothing_to_go_by_is_said(team):
    """Neither file, and no sandbox: exit 2, so that no hook takes it for clean."""
    Path("pantheon.toml").unlink()
    code, _, err = call("guard")

    assert 2 == code
    assert "there is no identities.toml to know production by" in err
    assert "no sandbox runs" in err


def test_identities_of_another_production_are_refused(team):
    """What no run goes by, guard does not go by either."""
    ref = team.facts["supabase"]["ref"]
    change("identities.toml", ref, ref[::-1])

    code, _, err = call("guard")

    assert (2, True) == (code, "protects nothing" in err)


def test_missing_path_is_a_mistyped_line(team):
    assert 2 == call("guard", "no-such-file")[0]


def test_running_sandbox_stands_in_for_a_config(team, monkeypatch: pytest.MonkeyPatch):
    """Its customer's files are read where they are; with a vendor's token about, it must be said what is meant."""
    Path("pantheon.toml").unlink()
    monkeypatch.setenv("PANTHEON_SANDBOX", str(team.running.folder))
    Path(".env").write_text(team.facts["supabase"]["secret_key"])

    assert 4 == call("guard")[0]
    monkeypatch.setenv("VERCEL_TOKEN", "x" * 24)
    assert 2 == call("guard")[0]


def test_evidence_is_left_out_without_a_config(quiet_world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The sandbox's own customer says what production is, and its bundles lie in ./evidence."""
    monkeypatch.chdir(tmp_path)
    bundle = tmp_path / "evidence" / "a-run"
    bundle.mkdir(parents=True)
    (bundle / "snapshot.json").write_text(f'"{quiet_world.facts["supabase"]["ref"]}"')

    code, out, _ = call("guard")

    assert (0, True) == (code, out.startswith("evidence  skipped: evidence, which is searched for secrets"))
    assert out.rstrip().endswith(f"9 pins of {quiet_world.customer / 'identities.toml'}")


def test_no_pins_is_said(team):
    text = Path("identities.toml").read_text()
    Path("identities.toml").write_text(text.partition("[production.pins]")[0])

    code, out, _ = call("guard")

    assert (0, True) == (code, "0 pins in identities.toml: only ids and hosts were looked for" in out)


@pytest.mark.parametrize(
    ("pinned_at", "said"),
    [("2026-11-01T08:00:00Z", ""), ("2026-01-31", "days old"), ("last week", "unknown age"), ("2099-01-01", "")],
)
def test_age_of_the_pins_is_said_when_it_matters(team, pinned_at: str, said: str):
    change("identities.toml", "2026-11-01T08:00:00Z", pinned_at)

    notes = guarding.guard().notes

    assert bool(said) == bool(notes)
    assert all(said in note for note in notes)


def test_name_of_a_file_does_not_reach_the_terminal_as_it_is(team):
    """An escape sequence in it would be obeyed there."""
    Path("\x1b[2J.json").write_bytes(b"\0")

    assert "\x1b" not in call("guard")[1]
    assert r"\x1b[2J.json  skipped: binary" in call("guard")[1]


def test_own_repository_holds_what_we_planted_only(team):
    """No false alarm in everything that we have written: a test plants the sandbox's own password, and the stored
    outputs of a notebook name the sandbox's own production.
    """
    planted = {"tests/core/test_no_leak.py": {"production's secret database password"}}
    shown = {"production's Supabase project", "production's Railway environment"}
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    paths = [REPOSITORY / name for name in listed.stdout.split("\0") if name]

    report = guarding.guard(paths).report
    found: dict[str, set[str]] = {}
    for finding in report.findings:
        found.setdefault(str(Path(finding.path).relative_to(REPOSITORY)), set()).update(finding.what.split(", "))
    notebooks = [found.pop(name) for name in sorted(found) if name.endswith(".ipynb")]

    assert planted == found
    assert all(names <= shown for names in notebooks)
    assert len(paths) == report.files + len(report.skipped)


def test_hook_calls_the_command():
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())

    assert ("guard", ["text"], True, "python") == (hook["id"], hook["types"], hook["pass_filenames"], hook["language"])
    program, command = hook["entry"].split()
    assert "pantheon-runbook" == program
    assert command in cli.main.commands
