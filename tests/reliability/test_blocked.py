"""What must stop an apply before its first write: production's values, production's places, no room, no right."""

from __future__ import annotations

import pytest
from attempts import attempt, config_with, share_project
from runners import until

from pantheon_runbook.config import load_identities
from pantheon_runbook.errors import BlockedPlanError, CredentialError, RefusedError
from pantheon_runbook.model import Change

pytestmark = pytest.mark.alike


def refused(world, hands, *, because: str, **parameters) -> None:
    """Blocked by a finding that says so, and not one write was sent."""
    mark = hands.mark()
    stopped = attempt(world, **parameters)
    assert isinstance(stopped.error, BlockedPlanError), stopped
    assert because in stopped.error.what
    assert "refused" == stopped.word
    assert [] == hands.sent_since(mark)


def test_each_shared_value_blocks(world, hands):
    """A Railway variable, an edge secret (by digests), a Preview comment, a plain value, one variable for both."""
    assert "done" == attempt(world).word
    pin = load_identities(world.customer / "identities.toml").production.pins["SUPABASE_SERVICE_ROLE_KEY"]
    production = hands.facts["supabase"]
    hands.edit(lambda whole: share_an_edge_secret(whole, production["ref"]))
    hands.set_variable("worker", "LEGACY", production["session_url"])
    comment = f"pantheon-runbook fingerprint {pin}"
    hands.new_vercel_variable(key="NOTED", value="x", type="sensitive", target=["preview"], comment=comment)
    hands.new_vercel_variable(key="PLAIN", value=production["service_role_key"], target=["preview"])
    hands.new_vercel_variable(key="SHARED", value="x", target=["preview", "production"])

    run = world.open("plan")
    found = {(one.address, one.code, one.blocks) for one in world.plan(run).findings}
    world.seal(run)
    assert {
        ("railway/variables/worker/LEGACY", "production-secret", True),
        ("supabase/secrets/SENTRY_DSN", "production-secret", True),
        ("vercel/variables/preview/NOTED", "production-secret", True),
        ("vercel/variables/preview/PLAIN", "production-secret", True),
        ("vercel/variables/preview/SHARED", "shared-variable", True),
    } == found
    refused(world, hands, because="5 findings must be cleared first")


def test_variable_that_points_at_production_blocks(world, hands):
    """Not one of the pinned values, and still production's database; on a branch's own Preview variable too."""
    assert "done" == attempt(world).word
    production = hands.facts["supabase"]
    hands.set_variable("api", "LEGACY", f"{production['session_url']}?application_name=x")
    hands.new_vercel_variable(
        key="NEXT_PUBLIC_SUPABASE_URL", value=f"{production['url']}/", target=["preview"], gitBranch="staging"
    )

    run = world.open("plan")
    found = {(one.address, one.code, one.blocks) for one in world.plan(run).findings}
    world.seal(run)
    preview = "vercel/variables/preview/NEXT_PUBLIC_SUPABASE_URL"
    assert {
        ("railway/variables/api/LEGACY", "points-at-production", True),
        (preview, "points-at-production", True),
        (preview, "branch-variable", False),
    } == found
    refused(world, hands, because="2 findings must be cleared first")


def test_config_that_names_production_blocks(world, hands, monkeypatch):
    """The gate would refuse it after half of the writes."""
    ref = hands.facts["supabase"]["ref"]
    old = 'redirect_urls = ["'
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (old, f'{old}https://{ref}.supabase.co/**", "'))))

    refused(world, hands, because="supabase/auth would name production's Supabase project")


def share_an_edge_secret(whole, production: str) -> None:
    projects = whole["supabase"]["projects"]
    (staging,) = set(projects) - {production}
    projects[staging]["secrets"]["SENTRY_DSN"] = projects[production]["secrets"]["SENTRY_DSN"]


@pytest.mark.rare
def test_free_plan_without_room_blocks(world, hands):
    health = f"/v1/projects/{hands.new_project('somebody-elses-experiment')}/health?services=storage"
    until(lambda: "ACTIVE_HEALTHY" == hands.projects("somebody-elses-experiment")[0]["status"])
    until(lambda: hands.call("supabase", "GET", health)[0]["healthy"])  # a world in motion is not saved whole
    slug = hands.facts["supabase"]["organization_slug"]
    hands.edit(lambda whole: whole["supabase"]["organizations"][slug].update(plan="free"))
    refused(world, hands, because="the Free plan holds 2 active projects and there are 2")


def test_wrong_organization_opens_no_run(world, hands, monkeypatch):
    slug, foreign = hands.facts["supabase"]["organization_slug"], hands.facts["supabase"]["foreign_slug"]
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (slug, foreign))))

    stopped = attempt(world)
    assert ("no-run", CredentialError) == (stopped.word, type(stopped.error))
    assert [] == world.mutating()


@pytest.mark.rare
def test_service_is_not_made_in_a_shared_project(world, hands, monkeypatch):
    """serviceCreate would make it in production too."""
    before = hands.railway_projects("pantheon")[0]["environments"]["production"]
    share_project(world, monkeypatch)

    stopped = attempt(world)
    assert ("refused", BlockedPlanError) == (stopped.word, type(stopped.error))
    assert "cannot be created in the Railway project that holds production" in stopped.error.what
    assert [] == world.mutating()
    assert before == hands.railway_projects("pantheon")[0]["environments"]["production"]


@pytest.mark.parametrize("named", [("staging", "qa"), ("production",)], ids=["beside ours", "instead of ours"])
def test_own_project_with_other_environments_blocks(world, hands, named):
    """Found by the plan: an apply that found it at the first service would have made half of staging by then."""
    project = hands.new_railway_project(environment=named[0])
    confirm = hands.railway_staging(project)
    for name in named[1:]:
        new_environment(hands, project, name)
    other = named[-1]

    run = world.open("plan", confirm=confirm)
    (finding,) = world.plan(run).findings
    assert "planned" == world.seal(run).word
    assert ("other-environments", "railway/service", True) == (finding.code, finding.address, finding.blocks)
    assert f"the Railway project also has {other}, and they would appear there too" in finding.what
    assert 'leave it no environment but "staging"' in finding.next_step
    refused(
        world,
        hands,
        because=f"api, worker, Redis cannot be created: the Railway project also has {other}",
        confirm=confirm,
    )


@pytest.mark.rare
def test_other_environments_do_not_matter_once_the_services_are_there(world, hands):
    assert "done" == attempt(world).word
    new_environment(hands, hands.railway_projects()[0]["id"], "qa")

    assert "nothing-to-do" == attempt(world).word


@pytest.mark.rare
def test_fork_for_a_pull_request_does_not_matter(world, hands):
    """serviceCreate leaves forks alone."""
    project = hands.new_railway_project()
    new_environment(hands, project, "pr-1", ephemeral=True)

    run = world.open("plan", confirm=hands.railway_staging(project))
    assert () == world.plan(run).findings
    world.seal(run)


def new_environment(hands, project: str, name: str, **more) -> None:
    given = {"projectId": project, "name": name, **more}
    hands.railway("mutation M($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }", i=given)


def test_service_kind_itself_refuses_a_shared_project(world, hands, monkeypatch):
    """The step looks again right before it writes, whatever the plan said."""
    project = hands.railway_projects("pantheon")[0]
    new_environment(hands, project["id"], "staging")
    share_project(world, monkeypatch)
    run = world.open()
    world.plan(run)
    change = Change("railway/service/extra", "create", {}, {"name": "extra"}, (), "", "")
    sent = hands.mark()
    run.session.gate.is_open = True

    with pytest.raises(RefusedError) as stopped:
        run.session.kinds["railway/service"].write(change)

    assert "serviceCreate would also create it in production." == stopped.value.why
    assert [] == hands.sent_since(sent)
    world.seal(run)


@pytest.mark.rare
def test_refusal_inside_a_200_is_not_taken_for_success(world, hands, monkeypatch):
    """GraphQL says no with status 200, here to a credential of nobody's."""
    text = (world.customer / "credentials.toml").read_text()
    file = world.folder / "credentials.toml"
    file.touch(0o600)
    file.write_text(text.replace(hands.facts["railway"]["token"], "00000000-0000-4000-8000-000000000000"))
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(file))
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world)))

    stopped = attempt(world)
    assert ("no-run", CredentialError) == (stopped.word, type(stopped.error))
    assert "railway refused Workspaces" in stopped.error.what


@pytest.mark.sweep
def test_part_that_failed_inside_a_201_is_named(world, hands):
    """Preview already has the name on another target's variable: Vercel sets the rest and says so."""
    hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL", value="x", target=["development", "preview"])

    stopped = attempt(world)
    assert "partial" == stopped.word
    assert "NEXT_PUBLIC_API_URL" in stopped.error.what
