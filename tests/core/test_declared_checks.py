"""[[checks]] and [production_read] in pantheon.toml: what is wrong is named by its field, before anything is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pantheon_runbook.checks import PROBE_REQUESTS
from pantheon_runbook.config import Config, parse_config
from pantheon_runbook.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
HTTP = {"name": "a", "kind": "http", "on": "backend", "path": "/health", "environments": ["production"]}
SQL = {"name": "b", "kind": "sql", "query": "select 1", "rows": 1, "environments": ["production"]}
AUTH = {"name": "c", "kind": "auth", "settings": {"disable_signup": False}, "environments": ["production"]}
READ = {"relations": ["public.alembic_version"]}


def config_with(*checks: dict[str, object], read: object = None, budget: object = None) -> Config:
    """The example's config with these tables; JSON's spelling of a value is TOML's too, but for a table."""
    text = re.sub(r'(?<=["/-])<[^>]+>', "x", (REPOSITORY / "pantheon.example.toml").read_text())
    text = text.partition("[[checks]]")[0].partition("[production_read]")[0]
    if budget is not None:
        text = re.sub(r"smoke_requests = 20", f"smoke_requests = {json.dumps(budget)}", text)
    for check in checks:
        text += "\n[[checks]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in check.items())
    if read is not None:
        text += "\n[production_read]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in read.items())
    return parse_config(text, Path("pantheon.toml"))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def test_what_is_declared_is_taken():
    config = config_with({**HTTP, "json_fields": {"status": "ok", "queue": 0, "live": True}}, SQL, AUTH, read=READ)

    assert ["a", "b", "c"] == [check.name for check in config.checks]
    assert ("pantheon_read", "PRODUCTION_READ_PASSWORD") == (
        config.production_read.role,
        config.production_read.password,
    )
    assert 20 == config.policy.smoke_requests


@pytest.mark.parametrize(
    "name", ["smtp_pass", "external_google_secret", "security_captcha_secret", "hook_send_sms_uri"]
)
def test_secret_setting_is_no_check(name: str):
    with pytest.raises(ConfigError, match="is a secret"):
        config_with({**AUTH, "settings": {"site_url": "https://x.example", name: "x"}})


def test_without_any_there_are_none():
    assert ((), None) == (config_with().checks, config_with().production_read)


@pytest.mark.parametrize(
    ("check", "field"),
    [
        (HTTP | {"kind": "ftp"}, "checks.0"),
        (HTTP | {"name": ""}, "checks.0.http.name"),
        (HTTP | {"name": "two\nlines"}, "checks.0.http.name"),
        (HTTP | {"on": "database"}, "checks.0.http.on"),
        (HTTP | {"path": "health"}, "checks.0.http.path"),
        (HTTP | {"path": "/health?full=1"}, "checks.0.http.path"),
        (HTTP | {"path": "/a/../b"}, "checks.0.http.path"),
        (HTTP | {"path": "/a/./b"}, "checks.0.http.path"),
        (HTTP | {"path": "//evil.example/x"}, "checks.0.http.path"),
        (HTTP | {"path": "/%2e"}, "checks.0.http.path"),
        (HTTP | {"path": "/a b"}, "checks.0.http.path"),
        (HTTP | {"path": "/a\\b"}, "checks.0.http.path"),
        (HTTP | {"path": "/x#y"}, "checks.0.http.path"),
        (HTTP | {"method": "POST"}, "checks.0.http.method"),
        (HTTP | {"status": "200"}, "checks.0.http.status"),
        (HTTP | {"status": 99}, "checks.0.http.status"),
        (HTTP | {"latency_ms": 0}, "checks.0.http.latency_ms"),
        (HTTP | {"latency_ms": 1.5}, "checks.0.http.latency_ms"),
        (HTTP | {"environments": []}, "checks.0.http.environments"),
        (HTTP | {"json_fields": {"a": [1]}}, "checks.0.http.json_fields.a"),
        (SQL | {"query": ""}, "checks.0.sql.query"),
        (SQL | {"query": " \n "}, "checks.0.sql.query"),
        (SQL | {"rows": -1}, "checks.0.sql.rows"),
        (SQL | {"rows": 101}, "checks.0.sql.rows"),
        (SQL | {"columns": "a"}, "checks.0.sql.columns"),
        (SQL | {"path": "/x"}, "checks.0.sql.path"),
        ({name: value for name, value in SQL.items() if name != "rows"}, "checks.0.sql"),
    ],
)
def test_wrong_field_of_a_check_is_named(check: dict[str, object], field: str):
    with pytest.raises(ConfigError) as stopped:
        config_with(check)

    assert stopped.value.what.startswith(f"pantheon.toml: {field}")
    assert f"correct {field}" in stopped.value.next_step


@pytest.mark.parametrize(
    ("read", "field"),
    [
        ({}, "relations"),
        (READ | {"relations": []}, "relations"),
        (READ | {"relations": ["alembic_version"]}, "relations.0"),
        (READ | {"relations": ['public."x"; drop table y']}, "relations.0"),
        (READ | {"role": "postgres"}, "role"),
        (READ | {"role": "anon"}, "role"),
        (READ | {"role": "pg_read_all_data"}, "role"),
        (READ | {"role": "supabase_admin"}, "role"),
        (READ | {"role": 'x"; drop role y; --'}, "role"),
        (READ | {"password": "a secret in here"}, "password"),
        (READ | {"statement_timeout_ms": 0}, "statement_timeout_ms"),
        (READ | {"connections": 0}, "connections"),
        (READ | {"host": "aws-0-eu-west-1.pooler.supabase.com"}, "host"),
    ],
)
def test_wrong_field_of_the_read_role_is_named(read: dict[str, object], field: str):
    with pytest.raises(ConfigError, match=re.escape(f"production_read.{field}")):
        config_with(read=read)


@pytest.mark.parametrize(
    "more", [{"dump_role": "pantheon_read"}, {"dump_password": "PRODUCTION_READ_PASSWORD"}, {"dump_role": "postgres"}]
)
def test_dump_role_is_not_the_read_role(more: dict[str, object]):
    """A check must not run as the login that can read what the dump may lock."""
    with pytest.raises(ConfigError, match="production_read"):
        config_with(read={**READ, **more})


@pytest.mark.parametrize("budget", [0, -1, 201, "20", 1.5, True])
def test_wrong_budget_is_named(budget: object):
    with pytest.raises(ConfigError, match=r"policy\.smoke_requests"):
        config_with(budget=budget)


def test_two_checks_of_one_name_are_refused():
    with pytest.raises(ConfigError) as stopped:
        config_with(HTTP, SQL | {"name": "a"})

    assert 'checks.1.name: there are two checks called "a"' in stopped.value.why


def test_check_of_an_unknown_environment_is_refused():
    with pytest.raises(ConfigError) as stopped:
        config_with(HTTP | {"environments": ["prod"]})

    assert "checks.0.environments: prod is none of production, staging" in stopped.value.why


def test_more_for_production_than_the_budget_holds_is_refused():
    """Production's must be few; the read role's probe is among them, staging's are not."""
    many = [HTTP | {"name": f"check {number}"} for number in range(6)]

    assert 6 == len(config_with(*many, budget=6).checks)
    assert 6 == len(config_with(*many, read=READ, budget=6 + PROBE_REQUESTS).checks)
    assert 6 == len(config_with(*[one | {"environments": ["staging"]} for one in many], budget=1).checks)
    for arguments in ({"budget": 5}, {"read": READ, "budget": 5 + PROBE_REQUESTS}):
        with pytest.raises(ConfigError, match=r"pantheon\.toml") as stopped:
            config_with(*many, **arguments)
        assert "checks: production's need" in stopped.value.why
