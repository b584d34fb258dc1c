"""Which source, commit and preview should run: config and snapshot in, desired and findings out."""

from __future__ import annotations

from typing import Any

import pytest

from pantheon_runbook.config import Backend, Config, Environment, Frontend, Railway, Service, Supabase, Vercel
from pantheon_runbook.deploying import PREVIEW, desired_deployments, findings
from pantheon_runbook.model import Resource, Snapshot
from pantheon_runbook.planning import plan_changes

OLD, NEW = "a" * 40, "b" * 40
AT_NINE, AT_TEN, AT_ELEVEN = (f"2026-11-24T{hour}:00:00.000Z" for hour in ("09", "10", "11"))
SOURCE = {"repo": "team/backend", "root": "backend", "start_command": "python -m app", "deploys_by_itself": False}
RUNS = {"status": "SUCCESS", "commit": NEW, "created_at": AT_TEN, "variables_changed_at": AT_NINE}
SHOWN = {
    "state": "READY", "commit": NEW, "created_at": AT_TEN, "head": NEW, "repo": "team/backend",
    "can_be_opened": True, "variables_changed_at": AT_NINE,
}  # fmt: skip


def config(**backend: Any) -> Config:
    services = backend.pop("services", (Service(name="api", root="backend", public=True),))
    of = Environment(
        supabase=Supabase(name="x", organization="x"),
        railway=Railway(project_name="x"),
        vercel=Vercel(site_url="https://web-git-staging.vercel.app"),
    )
    production = of.model_copy(update={"vercel": Vercel(target="production")})
    return Config(
        cloud="sandbox",
        environments={"production": production, "staging": of},
        backend=Backend(services=services, **backend),
        frontend=Frontend(vercel_project="p", vercel_team="t"),
        variables=(),
    )


def snapshot(**seen: Any) -> Snapshot:
    """Everything as it should be, unless said otherwise by address."""
    known: dict[str, Any] = {
        "production/source/api": {key: value for key, value in SOURCE.items() if key != "deploys_by_itself"},
        "railway/source/api": SOURCE,
        "railway/deployment/api": RUNS,
        PREVIEW: SHOWN,
        **seen,
    }
    resources = tuple(Resource(address, "present", held) for address, held in known.items() if held is not None)
    return Snapshot("sandbox", "staging", {}, {}, resources, (), "")


def changes(seen: Snapshot, of: Config | None = None, **given: Any) -> dict[str, Any]:
    wanted = desired_deployments(of or config(), "staging", seen, **given)
    return {change.address: change for change in plan_changes(wanted, seen)[0]}


def codes(seen: Snapshot, of: Config | None = None, **given: Any) -> dict[str, bool]:
    return {found.code: found.blocks for found in findings(of or config(), "staging", seen, **given)}


def test_nothing_to_do_where_it_runs() -> None:
    assert ({}, {}) == (changes(snapshot()), codes(snapshot()))


@pytest.mark.parametrize(
    ("held", "given", "reason"),
    [
        ({**RUNS, "variables_changed_at": AT_ELEVEN}, {}, "variables were changed at"),
        (RUNS, {"migrated_at": "2026-11-24T10:00:31+00:00"}, "the schema was migrated at"),
        (RUNS, {"migrations": ("database/revision/0007",)}, "the schema changes in this run"),
    ],
)
def test_what_it_was_started_with_is_old(held: Any, given: dict[str, Any], reason: str) -> None:
    change = changes(snapshot(**{"railway/deployment/api": held}), **given)["railway/deployment/api"]
    assert ("update", True, False) == (change.action, reason in change.after["anew"], "commit" in change.after)


def test_clocks_may_differ_by_seconds() -> None:
    assert {} == changes(snapshot(), migrated_at="2026-11-24T10:00:29+00:00")


def test_changed_source_is_deployed_after_it() -> None:
    seen = snapshot(**{"railway/source/api": {**SOURCE, "start_command": "old"}})
    found = changes(seen)
    assert {"start_command": "python -m app"} == found["railway/source/api"].after
    assert ("railway/source/api",) == found["railway/deployment/api"].depends_on


@pytest.mark.parametrize(("since", "action"), [(AT_ELEVEN, "wait"), ("2026-11-24T08:30:00Z", "update")])
def test_one_on_its_way_is_waited_for_unless_old(since: str, action: str) -> None:
    held = {**RUNS, "commit": OLD, "coming_commit": NEW, "coming_since": since}
    assert action == changes(snapshot(**{"railway/deployment/api": held}))["railway/deployment/api"].action


def test_named_commit_outranks_the_branch() -> None:
    assert OLD == changes(snapshot(), commit=OLD)["railway/deployment/api"].after["commit"]
    assert OLD == changes(snapshot(), commit=OLD)[PREVIEW].after["commit"]


def test_head_of_another_repository_is_not_the_backends() -> None:
    seen = snapshot(**{PREVIEW: {**SHOWN, "repo": "team/web", "head": OLD, "commit": OLD}})
    assert {} == changes(seen, commit=NEW)


def test_worker_is_deployed_when_jobs_are_enabled() -> None:
    services = (Service(name="api", root="backend", public=True), Service(name="worker", is_worker=True))
    for jobs in (True, False):
        found = desired_deployments(config(services=services, background_jobs=jobs), "staging", snapshot())
        assert jobs is ("railway/deployment/worker" in {one.address for one in found})


def test_root_of_the_config_outranks_productions() -> None:
    of = config(services=(Service(name="api", root="apps/api", public=True),))
    assert {"root": "apps/api"} == changes(snapshot(), of)["railway/source/api"].after


def test_command_that_may_hold_a_secret_stays_in_production() -> None:
    seen = snapshot(**{"production/source/api": {**SOURCE, "start_command": {"unreadable": True}}})
    assert ({}, {"secret-in-a-command": False}) == (changes(seen), codes(seen))


def test_pre_deploy_command_that_migrates_is_not_taken_over() -> None:
    production = {**SOURCE, "pre_deploy_command": "alembic upgrade head"}
    assert ({}, {"migrating-command": False}) == (
        changes(snapshot(**{"production/source/api": production})),
        codes(snapshot(**{"production/source/api": production})),
    )


def test_own_source_stays_where_production_is_not_shown() -> None:
    assert {} == changes(snapshot(**{"production/source/api": None}))


@pytest.mark.parametrize(
    ("seen", "given", "code"),
    [
        ({"production/source/api": None, "railway/source/api": None}, {}, "no-source"),
        ({PREVIEW: {}, "railway/deployment/api": None}, {}, "no-commit"),
        ({}, {"commit": "main"}, "no-commit"),
        ({PREVIEW: {**SHOWN, "can_be_opened": False}}, {}, "no-bypass"),
        (
            {"railway/environment": {"other_environments": ["production"]}, "railway/source/api": None},
            {},
            "other-environments",
        ),
    ],
)
def test_what_cannot_be_deployed_blocks(seen: dict[str, Any], given: dict[str, Any], code: str) -> None:
    assert {code: True} == codes(snapshot(**seen), **given)
