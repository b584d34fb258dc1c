"""The two files as text: they load, whatever the vendors' names look like, and say what the choice said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from surveys import APART, API, LIVE, NAMES, PRODUCTION, REDIS, SAID, STAGING, SURVEY, WEB

from pantheon_runbook.config import Config, parse_config, parse_identities
from pantheon_runbook.isolation.choosing import choose
from pantheon_runbook.isolation.drafting import config_text, identities_text
from pantheon_runbook.isolation.survey import Names

SALT = "5a" * 32
NEW = replace(SAID, staging_supabase="new", staging_railway="new")


def drafted(wanted=SAID, survey=SURVEY, names=NAMES, *, has_management_key: bool = True) -> str:
    choice = choose(survey, wanted)
    return config_text("live", choice, names, has_management_key=has_management_key, written_at="2026-11-23T10:00:00Z")


def config(*arguments, **more) -> Config:
    return parse_config(drafted(*arguments, **more), Path("pantheon.toml"))


def sources(loaded: Config) -> dict[tuple[str, str], str]:
    return {(variable.name, target): variable.source for variable in loaded.variables for target in variable.targets}


def test_chosen_staging_is_named_by_id():
    staging = config().environments["staging"]

    assert (STAGING.ref, STAGING.organization) == (staging.supabase.ref, staging.supabase.organization)
    assert ("own-project", "p-2", "e-3") == (
        staging.railway.layout,
        staging.railway.project,
        staging.railway.environment,
    )


def test_new_staging_has_a_name_and_production_its_ids():
    loaded = config(NEW)
    staging = loaded.environments["staging"]

    assert (None, "pantheon-staging") == (staging.supabase.ref, staging.supabase.name)
    assert ("own-project", None, "pantheon-staging", "w-1") == (
        staging.railway.layout,
        staging.railway.project,
        staging.railway.project_name,
        staging.railway.workspace,
    )
    assert (PRODUCTION.ref, "p-1", "e-1") == (
        loaded.production.supabase.ref,
        loaded.production.railway.project,
        loaded.production.railway.environment,
    )


def test_environment_of_productions_project_is_shared():
    railway = config(replace(SAID, staging_railway="pantheon/staging")).environments["staging"].railway

    assert ("shared-project", "staging") == (railway.layout, railway.environment_name)


def test_services_are_productions_without_stores():
    backend = config().backend

    assert [("api", "backend", True), ("worker", ".", False)] == [(s.name, s.root, s.public) for s in backend.services]
    assert backend.background_jobs
    assert "backend/alembic.ini" == backend.alembic


def test_strategy_names_come_with_their_sources():
    """Where production has the name; everywhere, where it is missing in production."""
    found = sources(config())

    assert "database.session_url" == found["DATABASE_URL", "railway:api"]
    assert "database.direct_url" == found["DIRECT_URL", "railway:api"]
    assert "redis.url" == found["REDIS_URL", "railway:worker"]
    assert ("REDIS_URL", "railway:api") not in found
    assert {"railway:api", "railway:worker"} == {target for name, target in found if name == "DATABASE_POOL_URL"}
    assert "railway.api_url" == found["NEXT_PUBLIC_API_URL", "vercel:preview"]
    assert "supabase.anon_key" == found["VITE_SUPABASE_ANON_KEY", "vercel:preview"]
    assert "openrouter.key" == found["OPENROUTER_API_KEY", "supabase:secrets"]


def test_what_is_not_known_is_a_comment_to_decide():
    """STRIPE_API_URL ends like one of ours, and is none."""
    text = drafted()

    assert not {"STRIPE_API_URL", "LOG_LEVEL", "SENTRY_DSN", "REDIS_PASSWORD"} & {name for name, _ in sources(config())}
    for name in ("STRIPE_API_URL", "LOG_LEVEL", "SENTRY_DSN"):
        assert f'# name = "{name}"' in text
    assert "# mixedCase in railway:api: only names in capitals can be set" in text
    assert "REDIS_PASSWORD" not in text


def test_comments_taken_away_are_a_config():
    text = drafted()
    decided = re.sub(r"^# (?=\[\[variables|name = |targets = |source = )", "", text, flags=re.MULTILINE)

    loaded = parse_config(decided, Path("pantheon.toml"))

    assert "credentials.SENTRY_DSN" == sources(loaded)["SENTRY_DSN", "supabase:secrets"]
    assert "credentials.STRIPE_API_URL" == sources(loaded)["STRIPE_API_URL", "vercel:preview"]


def test_without_a_management_key_the_team_gives_one():
    loaded = config(has_management_key=False)

    assert loaded.environments["staging"].openrouter is None
    assert "credentials.OPENROUTER_API_KEY" == sources(loaded)["OPENROUTER_API_KEY", "railway:api"]


def test_identities_name_production_and_its_hosts():
    text = identities_text(choose(SURVEY, SAID), salt=SALT, pinned_at="2026-11-23T10:00:00Z", pins={"A key": "0f" * 32})
    production = parse_identities(text, Path("identities.toml")).production

    assert (PRODUCTION.ref, "p-1", "e-1", "prj_1") == (
        production.supabase_ref,
        production.railway_project,
        production.railway_environment,
        production.vercel_project,
    )
    assert ("api.example.app", "web.example.app") == production.hosts
    assert {"A key": "0f" * 32} == production.pins


@pytest.mark.parametrize("name", ["Main Database", 'a"b', "x\n[policy]\ncell_seconds = 1", "\x7f\x1b[0m", "ä" * 80])
def test_odd_names_leave_a_config_that_loads(name: str):
    supabase = (replace(PRODUCTION, name=name), replace(STAGING, name=f"{name}2"))
    apart = replace(APART, project=name)
    survey = replace(
        SURVEY, supabase=supabase, railway=(replace(LIVE, project=name), apart), vercel=(replace(WEB, name=name),)
    )
    by_id = replace(SAID, production_supabase="p" * 20, staging_supabase="s" * 20, vercel="prj_1")

    loaded = config(replace(by_id, production_railway="p-1/e-1", staging_railway="p-2/e-3"), survey)

    assert 900 == loaded.policy.cell_seconds
    assert ("s" * 20, "p-2") == (
        loaded.environments["staging"].supabase.ref,
        loaded.environments["staging"].railway.project,
    )


@given(st.lists(st.text(), max_size=6), st.lists(st.text(), max_size=4), st.text())
def test_any_variable_and_service_name_leaves_a_config_that_loads(railway, others, service):
    services = (API, REDIS, replace(API, id="other", name=service, root=service, hosts=()))
    names = Names({"api": tuple(railway), service: tuple(railway)}, tuple(others), tuple(others))

    config(survey=replace(SURVEY, railway=(replace(LIVE, services=services), APART)), names=names)
