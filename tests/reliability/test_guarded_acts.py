"""Guards that show only when somebody has got past the ones before them, or changes the world during a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from attempts import attempt, config_with, share_project

from pantheon_runbook.errors import (
    BlockedPlanError,
    NotVerifiedError,
    RefusedError,
    StalePlanError,
    StoppedError,
    WrongEnvironmentError,
)
from pantheon_runbook.model import Change
from pantheon_runbook.providers import vercel
from pantheon_runbook.runner import wiring
from pantheon_runbook.runner.surroundings import world as world_of_this_process
from pantheon_runbook.secrets import Registry
from pantheon_runbook.session import ACTS

pytestmark = pytest.mark.alike

_ENVIRONMENT_CREATE = "mutation M($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }"
_CONNECT = "mutation M($id: String!, $i: ServiceConnectInput!) { serviceConnect(id: $id, input: $i) { id } }"
_DEPLOYMENTS = "query D($i: DeploymentListInput!) { deployments(input: $i) { edges { node { id } } } }"


def begun(world: Any, *, until: str) -> Any:
    """An apply run that has done its acts up to this one."""
    run = world.open()
    for act in ACTS[: ACTS.index(until) + 1]:
        run.session.perform(act)
    return run


def change(address: str, action: str = "update", **after: Any) -> Change:
    return Change(address, action, {}, after, (), "none", "put it back")


def write(world: Any, what: Change) -> None:
    """One change past all acts, with the gate open: what the step itself still refuses, or leaves alone."""
    run = begun(world, until="plan")
    run.session.gate.is_open = True
    try:
        run.session._kind_of(what.address).write(what)
    finally:
        world.seal(run)


def test_ground_that_moves_before_the_lock_is_ours_stops_apply(world, hands):
    """Whoever held the lock before us has changed something."""
    run = begun(world, until="approve")

    @contextmanager
    def taken_after_another() -> Iterator[None]:
        hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL", value="https://theirs.example", target=["preview"])
        yield

    run.session.hold_writer_lock = taken_after_another

    with pytest.raises(StalePlanError, match="out of date"):
        run.session.perform("apply")

    assert ["vercel POST /v10/projects/{idOrName}/env"] == world.mutating()
    world.seal(run)


def test_write_after_apply_is_refused(world):
    run = begun(world, until="approve")
    run.session.stop.set()
    with pytest.raises(StoppedError):
        run.session.perform("apply")

    with pytest.raises(RefusedError, match="outside the apply act"):
        run.session.kinds["supabase/auth"]._client.write("POST", "/v1/projects", operation="change", body={})

    assert [] == world.mutating()
    world.seal(run)


@pytest.mark.rare
def test_change_that_did_not_last_is_not_verified(world, hands):
    run = begun(world, until="apply")
    hands.set_variable("api", "LOG_LEVEL", "error")

    with pytest.raises(NotVerifiedError, match="railway/variables/api"):
        run.session.perform("verify")

    assert "not-verified" == world.seal(run).word


@pytest.mark.rare
def test_finding_that_turns_up_during_apply_is_not_verified(world, hands):
    run = begun(world, until="apply")
    hands.new_vercel_variable(key="SHARED", value="x", target=["preview", "production"])

    with pytest.raises(NotVerifiedError, match="findings") as stopped:
        run.session.perform("verify")

    assert "SHARED is one variable for preview and production" in stopped.value.why
    world.seal(run)


def test_productions_buckets_cannot_be_written(quiet_world):
    with pytest.raises(RefusedError, match="production/bucket/uploads was about to be written"):
        write(quiet_world, change("production/bucket/uploads", public=True))


@pytest.mark.parametrize(
    ("vendor", "fact"), [("supabase", "ref"), ("railway", "environment_id"), ("railway", "project_id")]
)
def test_write_that_names_production_never_leaves(quiet_world, vendor: str, fact: str):
    """Whatever step it comes from, and whatever the plan said."""
    run = quiet_world.open("plan")
    run.session.gate.is_open = True
    client = run.session.kinds["supabase/auth"]._client
    before = len(quiet_world.running.log())

    with pytest.raises(RefusedError, match="names production's"):
        client.write("POST", "/v1/projects", operation="change", body={"id": quiet_world.facts[vendor][fact]})

    assert before == len(quiet_world.running.log())
    quiet_world.seal(run)


def refused_as_production(world: Any, by: str) -> None:
    run = world.open()
    with pytest.raises(WrongEnvironmentError, match=f'"staging" is production by its {by}'):
        run.session.perform("observe")
    world.seal(run)


def test_shared_project_does_not_share_productions_environment(world, hands, monkeypatch):
    """Renamed at Railway, it is production all the same: its id says so."""
    production = world.facts["railway"]["environment_id"]
    rename = 'mutation M($i: String!) { environmentRename(id: $i, input: {name: "live"}) { id } }'
    hands.railway(rename, i=production)
    mark = hands.mark()
    ours = 'project_name = "pantheon-staging"'
    share_project(world, monkeypatch, (ours, f'{ours}, environment_name = "live"'))

    refused_as_production(world, "railway_environment")
    assert [] == hands.sent_since(mark)


def test_own_project_is_not_productions(world, hands, monkeypatch):
    """Another environment, so only the project itself tells."""
    railway = world.facts["railway"]
    hands.railway(_ENVIRONMENT_CREATE, i={"projectId": railway["project_id"], "name": "staging"})
    names = ('project_name = "pantheon-staging"', f'project_name = "{railway["project_name"]}"')
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, names)))
    mark = hands.mark()

    refused_as_production(world, "railway_project")
    assert [] == hands.sent_since(mark)


def test_vercels_target_production_is_refused(quiet_world, monkeypatch):
    """Nothing but a bug of ours could choose it."""
    monkeypatch.setattr(vercel, "PREVIEW", "production")

    refused_as_production(quiet_world, "vercel_target")


def test_live_database_is_reached_by_tls_only(quiet_world):
    outside = world_of_this_process()
    live = replace(outside, config=outside.config.model_copy(update={"cloud": "live"}))
    with ExitStack() as ends:
        parts = wiring._parts(live, "staging", Registry(), ends, print, restores_paused=False)
    vault = parts.surroundings.vault
    for name in ("supabase.ref", "supabase.pooler_user", "supabase.pooler_host", "database.password"):
        vault.hold(name, "x")

    parts.database.hold_urls()

    urls = [vault.text(f"database.{name}_url") for name in ("session", "pool", "direct")]
    assert [True] * 3 == [url.endswith("?sslmode=require") for url in urls]


def test_value_that_nobody_provides_blocks(world, monkeypatch):
    text = (world.customer / "credentials.toml").read_text()
    file = world.folder / "credentials.toml"
    file.touch(0o600)
    file.write_text(text.replace("SENTRY_DSN", "ANOTHER_NAME"))
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(file))
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world)))

    stopped = attempt(world)

    assert ("refused", BlockedPlanError) == (stopped.word, type(stopped.error))
    assert "nobody provides a value for SENTRY_DSN" in stopped.error.what
    assert [] == world.mutating()


@pytest.mark.rare
def test_preview_variables_are_previews_alone_and_secrets_sensitive(world, hands):
    assert "done" == attempt(world).word

    assert {
        "NEXT_PUBLIC_API_URL": (["preview"], "plain"),
        "NEXT_PUBLIC_SUPABASE_ANON_KEY": (["preview"], "sensitive"),
        "NEXT_PUBLIC_SUPABASE_URL": (["preview"], "plain"),
    } == {one["key"]: (one["target"], one["type"]) for one in hands.preview()}


@pytest.mark.rare
def test_key_pair_of_a_new_project_is_adopted(world):
    assert "done" == attempt(world).word

    assert [] == [call for call in world.mutating() if "api-keys" in call]


def test_setting_variables_deploys_nothing(world, hands):
    """The service runs by now, and a variable of it is put right."""
    assert "done" == attempt(world).word
    api = hands.service("api")
    hands.railway(_CONNECT, id=api["serviceId"], i={"image": "example/api"})
    hands.set_variable("api", "LOG_LEVEL", "error")
    before = hands.railway(_DEPLOYMENTS, i=api)

    assert "done" == attempt(world).word

    assert "debug" == hands.variables("api")["LOG_LEVEL"]
    assert 1 == len(before["deployments"]["edges"])
    assert before == hands.railway(_DEPLOYMENTS, i=api)


def test_new_environment_holds_nothing_of_production(world, hands, monkeypatch):
    """Railway has production's services in it; their variables stay where they are."""
    share_project(world, monkeypatch)

    write(world, change("railway/environment", "create", name="staging"))

    project = hands.railway_projects("pantheon")[0]
    variables = {
        name: [
            set(hands._service_facts(projectId=project["id"], environmentId=one["id"], serviceId=service)["variables"])
            for one in (project["environments"]["production"], project["environments"]["staging"])
        ]
        for name, service in project["environments"]["production"]["services"]
    }
    assert "DATABASE_URL" in variables["api"][0]
    assert [] == [name for name, (theirs, ours) in variables.items() if "DATABASE_URL" in theirs & ours]


@pytest.mark.rare
def test_redirect_added_after_the_plan_is_kept(world, hands):
    """The list is one text that is replaced whole; what may be secret in it is not shown, and written back as it is."""
    assert "done" == attempt(world).word
    path = f"/v1/projects/{hands.projects()[0]['ref']}/config/auth"
    theirs = "https://theirs.example/**,https://theirs.example/?key=hunter22"
    hands.call("supabase", "PATCH", path, {"uri_allow_list": theirs})
    shown = shown_redirects(world)

    write(world, change("supabase/auth", redirect_urls=[*shown, "https://ours.example/**"]))

    assert ("https://theirs.example/**", 2) == (shown[0], len(shown))
    assert "hunter22" not in shown[1]
    assert f"{theirs},https://ours.example/**" == hands.call("supabase", "GET", path)["uri_allow_list"]


def shown_redirects(world) -> list[str]:
    run = world.open("plan")
    snapshot = run.session.perform("observe")
    world.seal(run)
    return list(snapshot.get("supabase/auth").attributes["redirect_urls"])


@pytest.fixture
def used_key(world, hands) -> str:
    """The hash of a key of staging's name that has spent something, and whose value nobody of ours holds."""
    made = hands.call("openrouter", "POST", "/api/v1/keys", {"name": "pantheon-staging", "limit": 5.0})
    hands.edit(lambda whole: whole["openrouter"]["keys"][made["data"]["hash"]].update(usage=1.5))
    return str(made["data"]["hash"])


def test_key_that_was_used_blocks(world, hands, used_key):
    mark = hands.mark()

    stopped = attempt(world)

    assert isinstance(stopped.error, BlockedPlanError)
    assert 'the key "pantheon-staging" has been used' in stopped.error.what
    assert [] == hands.sent_since(mark)


def test_key_that_was_used_is_never_deleted(world, hands, used_key):
    write(world, change("openrouter/key", "replace"))

    there = hands.keys()
    assert used_key in {key["hash"] for key in there}


@pytest.mark.rare
def test_value_of_another_key_is_not_taken_for_ours(world, hands):
    assert "done" == attempt(world).word
    other = hands.call("openrouter", "POST", "/api/v1/keys", {"name": "another", "limit": 5.0})["key"]
    for service in ("api", "worker"):
        hands.set_variable(service, "OPENROUTER_API_KEY", other)

    run = begun(world, until="plan")

    assert "replace" == {one.address: one.action for one in run.session.plan.changes}["openrouter/key"]
    world.seal(run)
