"""Whatever is wrong before a run opens: four lines, the right exit code, nothing written at any vendor or here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
pytestmark = pytest.mark.xdist_group("runner-quiet")
PLAN, APPLY = ("run", "RB-010"), ("run", "RB-010", "--apply")
EXAMPLE = Path(__file__).resolve().parents[2] / "pantheon.example.toml"
A_TOKEN = "sbp_" + "0123456789" * 4


def _no_credentials(desk):
    desk.environment["PANTHEON_CREDENTIALS"] = None
    desk.live()
    _key(desk)


def _key(desk):
    """A live sealing key and its pin, so that what comes after it is what is wrong."""
    code, lines, _ = desk.call("keys", "new", "live-seal")
    assert 0 == code
    (desk.folder / "trust.toml").write_text(lines)


def _live_with_pin(desk):
    desk.live()
    desk.environment["PANTHEON_PIN"] = "2026-11-23T10:00:00+00:00"


def _tokens_but_no_config(desk):
    desk.config.unlink()
    desk.environment["VERCEL_TOKEN"] = "x" * 24


def _config(pattern: str, by: str) -> Callable[..., None]:
    return lambda desk: desk.replace(desk.config, pattern, by)


def _credentials(pattern: str, by: str) -> Callable[..., None]:
    return lambda desk: desk.replace(desk.credentials, pattern, by)


def _identities(pattern: str, by: str) -> Callable[..., None]:
    return lambda desk: desk.replace(desk.folder / "identities.toml", pattern, by)


def _sandbox(path: str) -> Callable[..., None]:
    return lambda desk: desk.environment.update(PANTHEON_SANDBOX=path)


def _damaged_sandbox(desk):
    (desk.folder / "box").mkdir()
    (desk.folder / "box" / "state.json").write_text("{")
    desk.environment["PANTHEON_SANDBOX"] = str(desk.folder / "box")


def _other_token(name: str) -> Callable[..., None]:
    """One of the right form that the vendor has never seen."""

    def change(desk):
        old = desk.world.facts["tokens"][name]
        desk.replace(desk.credentials, old, old[:-8] + "0badc0de")

    return change


def nothing(_desk):
    pass


# name: (what is wrong, command line, exit code, words of the card)
CASES: dict[str, tuple[Callable[..., None], tuple[str, ...], int, str]] = {
    "no such command": (nothing, ("rum",), 2, "No such command"),
    "no such option": (nothing, (*PLAN, "--aply"), 2, "No such option"),
    "no runbook": (nothing, ("run",), 2, "Missing argument"),
    "unknown runbook": (nothing, ("run", "RB-999"), 2, 'no runbook "RB-999"'),
    "unknown environment": (nothing, (*PLAN, "-e", "stagign"), 2, 'no environment "stagign"'),
    "environment is production": (nothing, (*PLAN, "-e", "production"), 2, "production"),
    "unknown parameter": (nothing, (*PLAN, "-p", "colour=red"), 2, 'no parameter "colour"'),
    "wrong type": (nothing, (*PLAN, "-p", "restore_paused=perhaps"), 2, '"restore_paused" is a str'),
    "no NAME=VALUE": (nothing, (*PLAN, "-p", "restore_paused"), 2, "is not NAME=VALUE"),
    "mode behind --apply's back": (nothing, (*APPLY, "-p", "mode=plan"), 2, "use --apply"),
    "environment as a parameter": (nothing, (*PLAN, "-p", "environment=staging"), 2, "use -e"),
    "plan that is none": (
        lambda desk: (desk.folder / "report.md").write_text("# a report"),
        (*APPLY, "--plan", "report.md"),
        2,
        "report.md is no plan",
    ),
    "live: the example as it is": (
        lambda desk: [desk.config.write_text(EXAMPLE.read_text()), _key(desk)],
        PLAN,
        2,
        "it is the example's placeholder",
    ),
    "a token as parameter": (nothing, (*PLAN, "-p", f"restore_paused={A_TOKEN}"), 2, "is a str"),
    "plan that is not there": (nothing, (*APPLY, "--plan", "no.json"), 2, "the plan no.json cannot be read"),
    "config that is not there": (nothing, ("--config", "no.toml", *PLAN), 2, "no.toml cannot be read"),
    "config is a folder": (nothing, ("--config", ".", *PLAN), 2, "cannot be read"),
    "config is not TOML": (_config("^", "= x\n"), PLAN, 2, "pantheon.toml is not TOML"),
    "config is not text": (lambda desk: desk.config.write_bytes(b"\xff\xfe"), PLAN, 2, "cannot be read"),
    "staging called production": (
        _config('project_name = "pantheon-staging"', 'project_name = "x", environment_name = "Production"'),
        PLAN,
        2,
        "environment_name is production's",
    ),
    "redirect with a comma": (
        _config(r'redirect_urls = \["', 'redirect_urls = ["https://a.example/**,https://b.example/**", "'),
        PLAN,
        2,
        "redirect_urls.0 is wrong",
    ),
    "no end of time": (_config("$", "\n[policy]\ncell_seconds = inf\n"), PLAN, 2, "policy.cell_seconds is wrong"),
    "environment of an odd name": (
        _config(r"\[environments.staging\]", '[environments."../x"]'),
        (*PLAN, "-e", "../x"),
        2,
        "environments.../x",
    ),
    "config without an end": (nothing, ("--config", "/dev/zero", *PLAN), 2, "zero cannot be read"),
    "plan without an end": (nothing, (*APPLY, "--plan", "/dev/zero"), 2, "/dev/zero cannot be read"),
    "config nested too deep": (_config("^", f"x = {'[' * 5000}\n"), PLAN, 2, "pantheon.toml is not TOML"),
    "a number of 5,000 digits": (_config("^", f"x = {'9' * 5000}\n"), PLAN, 2, "pantheon.toml is not TOML"),
    "value too short to mask": (
        _credentials('SENTRY_DSN = "[^"]*', 'SENTRY_DSN = "abc12'),
        PLAN,
        2,
        "SENTRY_DSN in",
    ),
    "unknown key": (_config("product =", "colour = 1\nproduct ="), PLAN, 2, "colour is wrong"),
    "wrong value": (_config('"sandbox"', '"sandbox2"'), PLAN, 2, "cloud is wrong"),
    "no production": (
        _config(r"\[environments.production\].*?\n\n", ""),
        PLAN,
        2,
        "environments.production is missing",
    ),
    "no organization": (
        _config(r'(staging\]\nsupabase = {[^}]*?), organization = "[^"]*"', r"\1"),
        PLAN,
        2,
        "organization is missing",
    ),
    "unknown source": (_config('"redis.url"', '"redis.uri"'), PLAN, 2, "source is wrong"),
    "unknown service": (_config('"railway:api"', '"railway:apy"'), PLAN, 2, "railway:apy is none of"),
    "two public services": (
        _config("is_worker = true", "is_worker = true, public = true"),
        PLAN,
        2,
        "exactly one service must be public",
    ),
    "a token in the config": (_config("literal:debug", f"literal:{A_TOKEN}"), PLAN, 2, "holds a token"),
    "no identities": (
        lambda desk: [desk.live(), _key(desk), (desk.folder / "identities.toml").unlink()],
        PLAN,
        2,
        "identities.toml",
    ),
    "salt of no kind": (
        lambda desk: desk.replace(desk.folder / "identities.toml", 'salt = "..', 'salt = "zz'),
        PLAN,
        2,
        "salt is wrong",
    ),
    "tokens but no config": (_tokens_but_no_config, PLAN, 2, "VERCEL_TOKEN, PANTHEON_CREDENTIALS is set"),
    "credentials file but no config": (lambda desk: desk.config.unlink(), APPLY, 2, "PANTHEON_CREDENTIALS is set"),
    "no production ref": (
        _config(r'(production\]\nsupabase = { )ref = "[a-z]*", ', r"\1"),
        PLAN,
        2,
        "environments.production.supabase.ref is missing in pantheon.toml",
    ),
    "no production project": (
        _config(r'(\nrailway = { )project = "[^"]*", ', r"\1"),
        PLAN,
        2,
        "environments.production.railway.project is missing in pantheon.toml",
    ),
    "another Supabase production": (
        _config(r'(production\]\nsupabase = { ref = ")[a-z]*', r"\1aaaaaaaaaaaaaaaaaaaa"),
        APPLY,
        2,
        'production is "aaaaaaaaaaaaaaaaaaaa" in pantheon.toml (environments.production.supabase.ref) and "',
    ),
    "another Railway production": (
        _config(r'(railway = { project = ")[^"]*', r"\1another"),
        APPLY,
        2,
        'production is "another" in pantheon.toml (environments.production.railway.project) and "',
    ),
    "another Railway environment": (
        _identities('(railway_environment = ")[^"]*', r"\1another"),
        APPLY,
        2,
        '(environments.production.railway.environment) and "another" in identities.toml',
    ),
    "another Vercel project": (
        _identities('(vercel_project = ")[^"]*', r"\1another"),
        APPLY,
        2,
        '(frontend.vercel_project) and "another" in identities.toml',
    ),
    "live: another production": (
        lambda desk: [
            desk.live(),
            _key(desk),
            _identities('(supabase_ref = ")[a-z]*', r"\1aaaaaaaaaaaaaaaaaaaa")(desk),
        ],
        APPLY,
        2,
        'and "aaaaaaaaaaaaaaaaaaaa" in identities.toml',
    ),
    "missing tokens": (_no_credentials, PLAN, 2, "SUPABASE_ACCESS_TOKEN is missing"),
    "missing token in the file": (
        _credentials("RAILWAY_API_TOKEN = [^\n]*", ""),
        PLAN,
        2,
        "RAILWAY_API_TOKEN is missing",
    ),
    "missing management key": (
        _credentials("OPENROUTER_MANAGEMENT_KEY = [^\n]*", ""),
        PLAN,
        2,
        "OPENROUTER_MANAGEMENT_KEY is missing",
    ),
    "token with a line break": (
        _credentials('VERCEL_TOKEN = "', 'VERCEL_TOKEN = "a\\\\nb'),
        PLAN,
        2,
        "VERCEL_TOKEN in",
    ),
    "token with an umlaut": (_credentials('VERCEL_TOKEN = "', 'VERCEL_TOKEN = "ä'), PLAN, 2, "is no token"),
    "wrong Supabase token": (_other_token("SUPABASE_ACCESS_TOKEN"), PLAN, 2, "supabase refused"),
    "wrong Railway token": (_other_token("RAILWAY_API_TOKEN"), PLAN, 2, "railway refused"),
    "wrong Vercel token": (_other_token("VERCEL_TOKEN"), PLAN, 2, "vercel refused"),
    "wrong OpenRouter key": (_other_token("OPENROUTER_MANAGEMENT_KEY"), PLAN, 2, "openrouter refused"),
    "wrong organization": (
        _config(r'(staging\]\nsupabase = {[^}]*?organization = ")[^"]*', r"\1aaaaaaaaaaaaaaaaaaaa"),
        PLAN,
        2,
        "supabase refused read the organization",
    ),
    "wrong workspace": (
        _config('workspace = "[^"]*', 'workspace = "00000000-0000-4000-8000-000000000000'),
        PLAN,
        2,
        "does not reach workspace",
    ),
    "wrong team": (_config('vercel_team = "[^"]*', 'vercel_team = "team_x'), PLAN, 2, "vercel refused"),
    "credentials not there": (lambda desk: desk.credentials.unlink(), PLAN, 2, "cannot be read"),
    "credentials open to all": (lambda desk: desk.credentials.chmod(0o644), PLAN, 2, "can be read by others"),
    "credentials not TOML": (_credentials("^", "= x\n"), PLAN, 2, "cannot be read"),
    "credentials hold a number": (_credentials('VERCEL_TOKEN = "[^\n]*', "VERCEL_TOKEN = 5"), PLAN, 2, "[tokens] in"),
    "live and pinned": (_live_with_pin, PLAN, 2, "PANTHEON_PIN is set"),
    "live without a sealing key": (lambda desk: desk.live(), PLAN, 2, "no key to seal live evidence"),
    "sandbox named, none there": (_sandbox("/nowhere/at/all"), PLAN, 2, "no sandbox runs in /nowhere"),
    "sandbox is no folder": (_sandbox("/dev/null"), PLAN, 2, "the sandbox cannot be used"),
    "sandbox state damaged": (_damaged_sandbox, PLAN, 2, "the sandbox cannot be used"),
    "keys cannot be kept": (
        lambda desk: desk.environment.update(XDG_CONFIG_HOME="/dev/null"),
        PLAN,
        2,
        "sandbox-seal cannot be written",
    ),
    "locks cannot be kept": (
        lambda desk: desk.environment.update(XDG_STATE_HOME="/dev/null"),
        APPLY,
        2,
        "the lock folder",
    ),
    "evidence is a file": (
        _config("$", '\n[evidence]\npath = "/dev/null"\n'),
        PLAN,
        4,
        "the evidence folder /dev/null",
    ),
    "key of an odd name": (nothing, ("keys", "new", "../x"), 2, "cannot be the name of a key"),
    "verify: no folder": (nothing, ("evidence", "verify", "nowhere"), 2, "does not exist"),
    "sandbox command, none runs": (nothing, ("sandbox", "status"), 2, "no sandbox runs"),
    "doctor without a config": (_tokens_but_no_config, ("doctor",), 2, ""),
}


def _assert_is_card(text: str, words: str) -> None:
    lines = [
        line for line in text.splitlines() if line.startswith(("Stopped: ", "Why:     ", "State:   ", "Next:    "))
    ]
    assert ["Stopped", "Why", "State", "Next"] == [line.partition(":")[0] for line in lines], text
    assert all(len(line) > len("Stopped: ") for line in lines)
    assert all(line.endswith((".", "?", "!")) or line.startswith("Next:    pantheon-runbook ") for line in lines)
    assert words in "\n".join(lines)


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_a_card(desk, name: str):
    prepare, arguments, expected, words = CASES[name]
    prepare(desk)
    before = desk.world.mutating()

    code, out, error = (desk.call_for_real if IS_FULL else desk.call)(*arguments)

    assert expected == code, error
    assert "Traceback" not in out + error
    if arguments != ("doctor",):
        _assert_is_card(error, words)
    assert before == desk.world.mutating()
    assert [] == desk.evidence()
    assert A_TOKEN not in out + error
