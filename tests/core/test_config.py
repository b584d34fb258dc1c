"""pantheon.toml, identities.toml and credentials as a customer keeps them; what is wrong is in tests/cli."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from pantheon_runbook import clock, config
from pantheon_runbook.credentials import from_environment, from_file, tokens_in
from pantheon_runbook.errors import ConfigError, CredentialError, ParameterError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and no variable of ours."""
    for name in ("PANTHEON_CONFIG", "PANTHEON_CREDENTIALS", *tokens_in(dict.fromkeys(_TOKENS, "x"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


_TOKENS = ("SUPABASE_ACCESS_TOKEN", "RAILWAY_API_TOKEN", "VERCEL_TOKEN", "OPENROUTER_MANAGEMENT_KEY")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """What newcomers copy, once the placeholders are filled in."""
    text = (REPOSITORY / "pantheon.example.toml").read_text()
    path = tmp_path / "example.toml"
    path.write_text(re.sub(r'(?<=["/-])<[^>]+>', "x", text))
    return path


def test_example_is_a_config(example):
    loaded = config.load_config(example)

    assert ("live", {"production", "staging"}) == (loaded.cloud, set(loaded.environments))


def test_config_is_found_where_it_stands(alone, example, monkeypatch):
    assert (None, Path("evidence")) == (config.config_path(), config.evidence_folder())

    text = example.read_text().replace('path = "evidence"', 'path = "proofs"')
    (alone / "pantheon.toml").write_text(text)
    assert (Path("pantheon.toml"), Path("proofs")) == (config.config_path(), config.evidence_folder())

    (alone / "sub").mkdir()
    (alone / "sub" / "other.toml").write_text(text)
    monkeypatch.setenv("PANTHEON_CONFIG", "sub/other.toml")
    assert Path("sub/proofs") == config.evidence_folder()


def test_first_wrong_field_is_named(alone):
    (alone / "pantheon.toml").write_text("cloud = 5")

    with pytest.raises(ConfigError) as stopped:
        config.load_config(Path("pantheon.toml"))

    assert "pantheon.toml: cloud is wrong." == stopped.value.what
    assert "correct cloud in pantheon.toml." == stopped.value.next_step


def test_unknown_environment_lists_the_known(example):
    example = config.load_config(example)

    with pytest.raises(ParameterError, match='no environment "prod"') as stopped:
        example.environment("prod")

    assert "it names production, staging." == stopped.value.why
    assert stopped.value.next_step.endswith("-e staging.")


@pytest.mark.usefixtures("alone")
def test_tokens_come_from_the_vendors_variables(monkeypatch):
    monkeypatch.setenv("VERCEL_TOKEN", "  abcdefgh\n")

    credentials = from_environment()

    assert {"VERCEL_TOKEN"} == set(credentials.tokens)
    assert "abcdefgh" == credentials.token("VERCEL_TOKEN").reveal()
    assert "the environment" == credentials.source


@pytest.mark.usefixtures("alone")
def test_missing_token_says_where_to_get_one():
    with pytest.raises(CredentialError, match="RAILWAY_API_TOKEN is missing") as stopped:
        from_environment().token("RAILWAY_API_TOKEN")

    assert "railway.com/account/tokens" in stopped.value.next_step


def test_file_outranks_the_environment(alone, monkeypatch):
    path = alone / "credentials.toml"
    path.write_text('[tokens]\nVERCEL_TOKEN = "from-the-file"\n[values]\nSENTRY_DSN = "two words"\nEMPTY = ""\n')
    path.chmod(0o600)
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(path))
    monkeypatch.setenv("VERCEL_TOKEN", "from-the-environment")

    credentials = from_environment()

    assert "from-the-file" == credentials.token("VERCEL_TOKEN").reveal()
    assert {"SENTRY_DSN": "two words"} == {name: value.reveal() for name, value in credentials.values.items()}
    assert "from-the-file" not in repr(credentials)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_file_that_others_can_read_is_refused(alone, mode: int):
    path = alone / "credentials.toml"
    path.write_text("")
    path.chmod(mode)

    with pytest.raises(CredentialError, match="can be read by others") as stopped:
        from_file(path)

    assert f"chmod 600 {path}." == stopped.value.next_step
    assert mode == stat.S_IMODE(path.stat().st_mode)


PRODUCTION = """salt = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
[production]
supabase_ref = "aaaaaaaaaaaaaaaaaaaa"
railway_project = "p"
railway_environment = "e"
vercel_project = "v"
pinned_at = "2026-11-24"
"""


def test_allow_list_may_name_some_ids_and_the_shared_frontend():
    text = f'{PRODUCTION}[environments.staging]\nvercel_project = "v"\nrailway_project = "q"\n'
    identities = config.parse_identities(text, Path("identities.toml"))

    assert {"vercel_project": "v", "railway_project": "q"} == identities.allowed("staging")
    assert {} == identities.allowed("qa")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('staging]\nsupabase_ref = "aaaaaaaaaaaaaaaaaaaa"', "environments.staging.supabase_ref is production's"),
        ('staging]\nrailway_project = "P"', "environments.staging.railway_project is production's"),
        ('staging]\nrailway_environment = "e"', "environments.staging.railway_environment is production's"),
        ('production]\nsupabase_ref = "bbbbbbbbbbbbbbbbbbbb"', "environments.production is a contradiction"),
        ('staging]\nsupabase = "b"', "Extra inputs are not permitted"),
    ],
    ids=["ref", "project", "environment", "production", "field"],
)
def test_allow_list_that_names_production_is_refused(table: str, why: str):
    with pytest.raises(ConfigError) as stopped:
        config.parse_identities(f"{PRODUCTION}[environments.{table}\n", Path("identities.toml"))

    assert why in stopped.value.why


def test_exception_of_a_rule_needs_owner_and_reason(example):
    """Who reads the plan sees both."""
    rule = '[[migration_policy.rules]]\nrule = "data-loss"\ntier = "advice"\n'
    text = example.read_text()
    example.write_text(f'{text}\n{rule}owner = "ops"\nreason = "nobody reads it any more"\n')
    (loaded,) = config.load_config(example).migration_policy.rules

    assert ("data-loss", "advice", (), "ops") == (loaded.rule, loaded.tier, loaded.revisions, loaded.owner)
    for left_out in (f'{rule}owner = "ops"\n', f'{rule}reason = "nobody reads it any more"\n'):
        example.write_text(f"{text}\n{left_out}")
        with pytest.raises(ConfigError, match=r"migration_policy\.rules\.0"):
            config.load_config(example)


@pytest.mark.parametrize(("environment", "target"), [("staging", "production"), ("production", "preview")])
def test_target_at_vercel_is_the_environments_own(example, environment: str, target: str):
    document = re.sub(
        rf"(environments\.{environment}\].*?target = )\"\w+\"", rf'\1"{target}"', example.read_text(), flags=re.DOTALL
    )

    with pytest.raises(ConfigError) as stopped:
        config.parse_config(document, example)

    assert f"environments.{environment}.vercel.target is not {environment}'s" in stopped.value.why


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("90m", 5400), ("24h", 86_400), ("7d", 604_800)])
def test_span_is_read(text: str, seconds: int):
    assert seconds == clock.span(text).total_seconds()


@pytest.mark.parametrize("text", ["", "h", "24", "24 h", "-1h", "+1h", "1.5h", "\u0661h", "99999h", "1w"])
def test_span_of_no_kind_is_refused(text: str):
    with pytest.raises(ValueError, match="no time such as"):
        clock.span(text)


def test_one_person_approves_when_nothing_is_said(example):
    """By whoever's key is pinned for it; never alone."""
    assert ((), 1, False, "24h", "15m") == tuple(
        getattr(config.ApprovalPolicy(), name) for name in ("approvers", "required", "solo", "longest", "delay")
    )
    assert config.ApprovalPolicy() == config.load_config(example).approval
