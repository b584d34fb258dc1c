"""Production at Vercel and Railway: built and not live, promoted, rolled back; by the sandbox's log and by its pages.

One world; what each test begins with is what the one before it left, so they compare with what they found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from promotion_road import ALIAS, API, BUILD, RELEASE, Road, Run, change, road_of

from pantheon_runbook.config import Frontend
from pantheon_runbook.errors import (
    AmbiguousTargetError,
    RefusedError,
    StalePlanError,
    VendorRefusedError,
    WrongEnvironmentError,
)
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.providers import railway_promotion
from pantheon_runbook.providers.http import Client
from pantheon_runbook.providers.railway_promotion import ProductionServices
from pantheon_runbook.providers.vercel_builds import ProductionBuild
from pantheon_runbook.providers.vercel_promotion import ProductionAlias
from pantheon_runbook.secrets import Registry, Vault

pytestmark = pytest.mark.xdist_group("promotion")
IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
LOST = ["reset-after", "500-after", "truncated", "500-before"] if IS_FULL else ["reset-after"]
MAKE, PROMOTE, BACK = (
    "vercel POST /v13/deployments",
    "vercel POST /v10/projects/{projectId}/promote/{deploymentId}",
    "vercel POST /v1/projects/{projectId}/rollback/{deploymentId}",
)


@pytest.fixture(scope="module")
def road(new_world: Any) -> Iterator[Road]:
    with road_of(new_world) as road:
        yield road


@pytest.fixture(autouse=True)
def _no_faults_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "road" in request.fixturenames:
        request.getfixturevalue("road").world.running.faults([])


def built(road: Road, release: str) -> Run:
    """A run that has a staged build of the head, made with a variable that tells it apart."""
    road.set_variable(RELEASE, release)
    run = road.run()
    results = run.apply(change(BUILD, commit=road.commits["head"]))
    assert "done" == results[BUILD].outcome, run.applying.errors
    return run


def promoted(road: Road, release: str) -> tuple[str, str]:
    """What served before and what serves now."""
    run, before = built(road, release), road.serves()
    assert "done" == run.apply(change(ALIAS, commit=road.commits["head"]))[ALIAS].outcome, run.applying.errors
    return before, road.serves()


def rolled_back(road: Road, to: str) -> Run:
    run = road.run()
    assert "done" == run.apply(change(ALIAS, "roll back", id=to))[ALIAS].outcome, run.applying.errors
    return run


def test_production_changes_when_promoted_and_not_before(road: Road) -> None:
    """Served is A, a build of B is made; then B is promoted, then A is back. Nothing else is written."""
    first, page, mark = road.serves(), road.page(), road.hands.mark()
    variable = "vercel POST /v10/projects/{idOrName}/env"

    run = built(road, "B")
    build = run.look()[BUILD]
    after_build = (road.serves(), road.page(), road.hands.sent_since(mark))
    run.apply(change(ALIAS, before={"id": first}, commit=road.commits["head"]))
    after_promotion = (road.serves(), road.page(), road.hands.sent_since(mark))
    seen = run.look()
    back = rolled_back(road, first)

    assert (first, page, [variable, MAKE]) == after_build
    assert (build.attributes["id"], "B", [variable, MAKE, PROMOTE]) == after_promotion
    assert ("STAGED", "READY", road.commits["head"]) == tuple(
        build.attributes[name] for name in ("substate", "state", "commit")
    )
    assert (build.attributes["id"], road.commits["head"], first, road.commits["released"]) == tuple(
        seen[ALIAS].attributes[name] for name in ("id", "commit", "previous", "previous_commit")
    )
    assert [road.vercel["domain"]] == seen[ALIAS].attributes["hosts"]
    assert "PROMOTED" == seen[BUILD].attributes["substate"]
    assert (first, page) == (road.serves(), road.page())
    assert [variable, MAKE, PROMOTE, BACK] == road.hands.sent_since(mark)
    assert {"production"} == {one["environment"] for one in road.world.running.mutating(mark)}
    assert ["roll production back"] * 2 == [event["operation"] for event in back.journal]


@pytest.mark.alike
@pytest.mark.parametrize("kind", LOST)
def test_lost_answer_does_not_build_twice(road: Road, kind: str) -> None:
    before = len(road.builds())
    road.world.running.faults([{"service": "vercel", "operation": "POST /v13/deployments", "kind": kind}])

    run = built(road, "lost")

    assert before + 1 == len(road.builds())
    assert road.builds()[0]["uid"] == run.vault.text("vercel.production_build")


@pytest.mark.alike
@pytest.mark.parametrize("kind", LOST)
def test_lost_answer_does_not_move_domains_twice(road: Road, kind: str) -> None:
    first = road.serves()
    road.world.running.faults([{"service": "vercel", "operation": "POST */promote/*", "kind": kind}])
    before, after = promoted(road, "moved")
    mark = road.hands.mark()
    road.world.running.faults([{"service": "vercel", "operation": "POST */rollback/*", "kind": kind}])
    rolled_back(road, before)

    assert first == before != after
    assert (first, 1 if kind != "500-before" else 2) == (road.serves(), road.hands.sent_since(mark).count(BACK))


@pytest.mark.alike
def test_failed_build_leaves_production_as_it_was(road: Road) -> None:
    """Built anew for want of a variable that the page needs."""
    before, url = (road.serves(), road.page()), f"https://{road.world.facts['railway']['api_domain']}"
    road.set_variable("NEXT_PUBLIC_API_URL", "")
    run = road.run()
    results = run.apply(change(BUILD, commit=road.commits["head"]))
    road.set_variable("NEXT_PUBLIC_API_URL", url)

    error = run.applying.errors[BUILD]
    assert "not-ready" == results[BUILD].outcome
    assert "NEXT_PUBLIC_API_URL" in error.why
    assert "production serves what it served before" in error.state
    assert before == (road.serves(), road.page())


@pytest.mark.parametrize("when", ["before the look", "after the look"])
def test_build_that_would_go_live_is_refused(road: Road, when: str) -> None:
    run = road.run()
    road.assign_domains(by_itself=True)
    if when == "before the look":
        run.look()
        assert run.findings["goes-live-by-itself"].blocks
    mark = road.hands.mark()

    results = run.apply(change(BUILD, commit=road.commits["head"]))
    road.assign_domains(by_itself=False)

    assert ("not-done", []) == (results[BUILD].outcome, road.hands.sent_since(mark)[:-1])
    assert "would go live by itself" in results[BUILD].reason


def test_build_of_another_commit_is_refused(road: Road) -> None:
    mark = road.hands.mark()

    results = road.run().apply(change(BUILD, commit=road.commits["released"]))

    assert ("not-done", []) == (results[BUILD].outcome, road.hands.sent_since(mark))


def test_preview_is_never_promoted(road: Road) -> None:
    """Neither by the kind, which looks what it is, nor by the gate, to which its id is nobody's."""
    source = {"type": "github", "repoId": 1, "ref": "staging", "sha": road.commits["head"]}
    body = {"name": "pantheon-web", "project": road.vercel["project_id"], "gitSource": source}
    preview = road.hands.call("vercel", "POST", f"/v13/deployments?teamId={road.vercel['team_id']}", body)["id"]
    run, mark = road.run(), road.hands.mark()

    results = run.apply(change(ALIAS, id=preview))
    with pytest.raises(RefusedError) as stopped:
        run.clients["vercel"].write(
            "POST", f"/v10/projects/{road.vercel['project_id']}/promote/{preview}", operation="promote", body={}
        )

    assert "was not built for production" in run.applying.errors[ALIAS].why
    assert f"names {preview}" in stopped.value.what
    assert ("not-done", []) == (results[ALIAS].outcome, road.hands.sent_since(mark))


def test_build_of_other_commit_is_not_promoted(road: Road) -> None:
    run, mark = built(road, "other"), road.hands.mark()

    results = run.apply(change(ALIAS, commit="c" * 40))

    assert ("not-done", []) == (results[ALIAS].outcome, road.hands.sent_since(mark))


@pytest.mark.parametrize("then", [{"id": "dpl_that_served_then"}, {"commit": "c" * 40}])
def test_production_that_moved_since_the_plan_is_left(road: Road, then: dict[str, str]) -> None:
    run, mark = built(road, "stale"), road.hands.mark()

    results = run.apply(change(ALIAS, before=then, commit=road.commits["head"]))

    assert ("not-done", []) == (results[ALIAS].outcome, road.hands.sent_since(mark))
    assert isinstance(run.applying.errors[ALIAS], StalePlanError)


def test_what_is_on_its_way_is_waited_for(road: Road) -> None:
    """As after a runner that was killed: neither the build nor the promotion is asked for again."""
    first = road.serves()
    road.world.running.pace(2)
    try:
        source = {"type": "github", "repoId": 1, "ref": "staging", "sha": road.commits["head"]}
        body = {"name": "pantheon-web", "project": road.vercel["project_id"], "gitSource": source}
        where = f"/v13/deployments?teamId={road.vercel['team_id']}"
        made = road.hands.call("vercel", "POST", where, {**body, "target": "production"})["id"]
        run, mark = road.run(), road.hands.mark()
        coming = run.look()[BUILD].attributes["coming_commit"]
        waited = run.apply(change(BUILD, "wait", commit=road.commits["head"]))
        sent = road.hands.sent_since(mark)
        road.on_project("POST", f"/promote/{made}", {}, version=10)
        mark = road.hands.mark()
        moving = run.look()[ALIAS].attributes["moving_to"]
        waited |= run.apply(change(ALIAS, "wait", id=made))
        sent += road.hands.sent_since(mark)
    finally:
        road.world.running.pace(0.02)

    assert ["done", "done"] == [one.outcome for one in waited.values()]
    assert (road.commits["head"], made, made) == (coming, moving, road.serves())
    assert [] == sent
    rolled_back(road, first)


@pytest.mark.alike
def test_hobby_plan_goes_back_one_step(road: Road) -> None:
    first, second = promoted(road, "two")
    _, third = promoted(road, "three")
    before = road.page()
    road.hands.edit(lambda whole: whole["vercel"]["teams"][road.vercel["team_id"]].update(plan="hobby"))
    run, mark = road.run(), road.hands.mark()

    offered = [one["id"] for one in run.look()[ALIAS].attributes["can_go_back_to"]]
    refused = run.apply(change(ALIAS, "roll back", id=first))
    left = (road.serves(), road.page(), road.hands.sent_since(mark))
    rolled_back(road, second)
    road.hands.edit(lambda whole: whole["vercel"]["teams"][road.vercel["team_id"]].update(plan="pro"))

    assert [second] == offered
    assert "goes back one step" in run.applying.errors[ALIAS].why
    assert "not-done" == refused[ALIAS].outcome
    assert (third, before, []) == left
    assert second == road.serves()


def scripted(client: Client, stub: Any, *projects: dict[str, Any], aliases: Any = None) -> ProductionAlias:
    """What a project says, one reading after the other."""
    for project in projects:
        stub.will_answer(200, {"id": "prj_1", **project})
    if aliases is not None:
        stub.will_answer(200, aliases)
    return ProductionAlias(client, Frontend(vercel_project="prj_1", vercel_team="t"), surroundings())


def surroundings() -> Surroundings:
    return Surroundings(Vault(Registry(), salt="ab" * 32), 1.0, lambda _words: None)


def test_domain_that_was_not_moved_is_named(client: Client, stub: Any) -> None:
    job = {"fromDeploymentId": "dpl_1", "toDeploymentId": "dpl_2", "jobStatus": "pending", "type": "promote"}
    serving = {"targets": {"production": {"id": "dpl_1", "alias": []}}}
    aliases = {"aliases": [{"status": "failed", "alias": "www.pantheon.example", "id": "a"}], "pagination": {}}
    projects = ({**serving, "lastAliasRequest": {**job, "jobStatus": one}} for one in ("pending", "failed"))
    kind = scripted(client, stub, *projects, aliases=aliases)

    with pytest.raises(VendorRefusedError) as stopped:
        kind.settle(change(ALIAS, id="dpl_2"))

    assert "www.pantheon.example" in stopped.value.why
    assert "production serves dpl_1" in stopped.value.state
    assert "failedOnly=true" in stub.requests[-1][1]


def test_promotion_lasts_until_every_domain_shows_it(client: Client, stub: Any) -> None:
    job = {"fromDeploymentId": "dpl_1", "toDeploymentId": "dpl_2", "jobStatus": "succeeded", "type": "promote"}
    hosts = ["pantheon.example", "www.pantheon.example"]
    said = ({"targets": {"production": {"id": "dpl_2", "alias": hosts[:count]}}} for count in (0, 1, 2))
    kind = scripted(client, stub, *({**one, "lastAliasRequest": job} for one in said))
    kind._domains = hosts

    kind.settle(change(ALIAS, id="dpl_2"))

    assert 3 == len(stub.requests)


@pytest.mark.parametrize(
    ("project", "domains", "code"),
    [
        ({"rollingRelease": {"target": "production"}}, [], "rolling-release"),
        ({}, [{"name": "www.pantheon.example", "verified": True}], "domains-apart"),
    ],
)
def test_promotion_that_would_be_half_is_blocked(
    client: Client, stub: Any, project: dict[str, Any], domains: Any, code: str
) -> None:
    """Stages of the vendor's own, or a domain of production that shows something else already."""
    live = {"targets": {"production": {"id": "dpl_1", "createdAt": 1, "alias": ["pantheon.example"], "meta": {}}}}
    kind = scripted(client, stub, {**live, **project})
    stub.will_answer(200, {"domains": domains, "pagination": {"next": None}})
    stub.will_answer(200, {"id": "t", "billing": {"plan": "pro"}})
    stub.will_answer(200, {"deployments": []})

    assert [(code, True)] == [(one.code, one.blocks) for one in kind.look().findings]


def test_build_that_serves_by_itself_is_told(client: Client, stub: Any) -> None:
    frontend = Frontend(vercel_project="prj_1", vercel_team="t")
    kind = ProductionBuild(client, frontend, surroundings(), branch="main", commit=lambda: "a" * 40)
    kind._begun = "dpl_2"
    ready = {"id": "dpl_2", "readyState": "READY", "target": "production", "readySubstate": "PROMOTED"}
    stub.will_answer(200, ready)
    stub.will_answer(200, ready)
    stub.will_answer(200, {"id": "prj_1", "targets": {"production": {"id": "dpl_2"}}})

    with pytest.raises(VendorRefusedError) as stopped:
        kind.settle(change(BUILD, commit="a" * 40))

    assert "changed: production serves dpl_2." == stopped.value.state


def api_of(run: Run) -> dict[str, Any]:
    return dict(run.look()[API].attributes)


def deployed(road: Road, commit: str) -> Run:
    run = road.run()
    results = run.apply(change(API, commit=road.commits[commit], status="SUCCESS"))
    assert "done" == results[API].outcome, run.applying.errors
    return run


def test_backend_is_deployed_and_rolled_back_to_its_image(road: Road) -> None:
    """Another commit, then the very image of before; the worker is not touched."""
    run, mark, worker = road.run(), road.hands.mark(), road.deployments("worker")
    first = api_of(run)
    deployed(road, "head")
    second = api_of(run)
    results = run.apply(change(API, "roll back", roll_back_to=first["id"], commit=first["commit"]))
    third = api_of(run)

    assert (road.commits["released"], road.commits["head"]) == (first["commit"], second["commit"])
    assert first["image_digest"] != second["image_digest"]
    assert first["id"] == second["previous"]
    assert "done" == results[API].outcome
    assert (first["commit"], first["image_digest"], second["id"]) == (
        third["commit"],
        third["image_digest"],
        third["previous"],
    )
    assert "ok" == road.health()["status"]
    assert ["railway serviceInstanceDeployV2", "railway deploymentRollback"] == road.hands.sent_since(mark)
    assert worker == road.deployments("worker")


@pytest.mark.alike
def test_deployment_is_done_when_the_former_one_has_ended(road: Road) -> None:
    """It overlaps for a second: a revision that takes away what it needs comes after that."""
    former = api_of(road.run())["id"]
    deployed(road, "head")

    assert {"id": former, "status": "REMOVED"}.items() <= next(
        one for one in road.deployments("api") if one["id"] == former
    ).items()
    deployed(road, "released")


@pytest.mark.alike
def test_former_one_that_still_runs_is_waited_for(road: Road) -> None:
    """As after a runner that was killed: nothing is begun again."""
    made = road.begun("head")
    road.until(lambda: ("SUCCESS", made) == (road.deployments("api")[0]["status"], road.deployments("api")[0]["id"]))
    run, mark = road.run(), road.hands.mark()
    seen = api_of(run)
    waited = [run.apply(change(API, "wait", status="SUCCESS"))[API].outcome for _ in range(2)]  # has ended meanwhile

    assert (made, "REPLACING", road.commits["head"]) == (seen["id"], seen["status"], seen["coming_commit"])
    assert (["done", "done"], []) == (waited, road.hands.sent_since(mark))
    left = api_of(run)
    assert (made, "SUCCESS", False) == (left["id"], left["status"], "coming_commit" in left)
    deployed(road, "released")


@pytest.mark.alike
def test_deployment_that_has_failed_meanwhile_is_not_waited_for(road: Road) -> None:
    """It was on its way when the plan was made: what serves now is what served then."""
    road.set_level("Zx9-no-such-level")
    made = road.begun("head")
    road.until(lambda: (made, "CRASHED") == (road.deployments("api")[0]["id"], road.deployments("api")[0]["status"]))
    road.set_level("info")
    run, mark = road.run(), road.hands.mark()
    results = run.apply(change(API, "wait", commit=road.commits["head"], status="SUCCESS"))

    error = run.applying.errors[API]
    assert ("not-done", []) == (results[API].outcome, road.hands.sent_since(mark))
    assert isinstance(error, StalePlanError)
    assert "the newest one crashed." == error.why


@pytest.mark.alike
@pytest.mark.parametrize("kind", LOST)
def test_lost_answer_does_not_deploy_production_twice(road: Road, kind: str) -> None:
    before, first = len(road.deployments("api")), api_of(road.run())
    road.world.running.faults([{"service": "railway", "operation": "serviceInstanceDeployV2", "kind": kind}])
    run = deployed(road, "head")
    after_deploying = len(road.deployments("api"))
    road.world.running.faults([{"service": "railway", "operation": "deploymentRollback", "kind": kind}])
    run.look()
    results = run.apply(change(API, "roll back", roll_back_to=first["id"], commit=first["commit"]))

    assert "done" == results[API].outcome
    assert (before + 1, before + 2) == (after_deploying, len(road.deployments("api")))
    assert first["image_digest"] == api_of(run)["image_digest"]


@pytest.mark.alike
def test_image_that_is_gone_is_built_anew(road: Road) -> None:
    """A rollback is refused and nothing sent; the commit can be deployed, which makes another image."""
    first = api_of(road.run())
    deployed(road, "head")
    road.hands.edit(lambda whole: [one.update(imageGone=True) for one in whole["railway"]["deployments"].values()])
    run, mark = road.run(), road.hands.mark()
    seen = api_of(run)
    refused = run.apply(change(API, "roll back", roll_back_to=first["id"]))
    sent = road.hands.sent_since(mark)
    again = api_of(deployed(road, "released"))

    assert ("previous" in seen, False) == (False, seen["former"][0]["can_roll_back"])
    assert ("not-done", []) == (refused[API].outcome, sent)
    assert "does not keep its image" in run.applying.errors[API].why
    assert (first["commit"], True) == (again["commit"], first["image_digest"] != again["image_digest"])


@pytest.mark.alike
def test_crash_of_production_is_told_without_its_log(road: Road) -> None:
    """The former one serves; what the process said is left at Railway."""
    serving = api_of(road.run())["id"]
    road.set_level("Zx9-no-such-level")
    run, mark = road.run(), len(road.world.running.log())
    results = run.apply(change(API, commit=road.commits["head"]))
    road.set_level("info")

    error = run.applying.errors[API]
    assert ("not-ready", serving) == (results[API].outcome, api_of(run)["id"])
    assert "is not quoted" in error.why
    assert "the former one still serves" in error.state
    asked = {one["operation"] for one in road.world.running.log()[mark:]}
    assert set() == asked & {"variables", "deploymentLogs", "buildLogs"}
    assert "ok" == road.health()["status"]


def test_staging_is_refused_by_the_gate(road: Road) -> None:
    """A vault with staging's ids, and a bare id of a deployment there: none of them leaves."""
    run, mark = road.run(), road.hands.mark()
    run.vault.hold("railway.environment_id", road.staging["environment"], secret=False)
    with pytest.raises(RefusedError, match="names staging"):
        run.kinds["production/deployment"].write(change(API, commit=road.commits["head"]))

    run = road.run()
    back = run.apply(change(API, "roll back", roll_back_to=road.staging["deployment"]))
    run.gate.forbidden = {}
    with pytest.raises(RefusedError) as stopped:
        run.api.mutate(railway_promotion._ROLL_BACK, {"deploymentId": road.staging["deployment"]})

    assert "of another service or environment" in run.applying.errors[API].why
    assert f"names {road.staging['deployment']}" in stopped.value.what
    assert ("not-done", []) == (back[API].outcome, road.hands.sent_since(mark))


def test_production_has_each_service_once(road: Road) -> None:
    run = road.run()
    given = {"projectId": road.production["project_id"], "name": "worker"}

    def kind(*services: str) -> ProductionServices:
        return ProductionServices(run.api, run.around, **road.production, services=services)

    with pytest.raises(WrongEnvironmentError, match="no Railway service called billing"):
        kind("api", "billing").look()
    document = "mutation M($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }"
    twin = road.hands.railway(document, i=given)["serviceCreate"]["id"]
    with pytest.raises(AmbiguousTargetError, match="two Railway services called worker"):
        kind("api", "worker").look()
    road.hands.railway("mutation M($id: String!) { serviceDelete(id: $id) }", id=twin)

    look = kind("api", "worker").look()
    assert {"railway_project": given["projectId"], "railway_environment": road.production["environment_id"]} == dict(
        look.identities
    )
    assert {name: road.world.facts["railway"]["services"][name] for name in ("api", "worker")} == {
        one.address.removeprefix("production/service/"): one.attributes["id"] for one in look.resources
    }


def test_service_that_is_ended_at_once_is_named(road: Road) -> None:
    """What it has in hand, and what is on its way to it, fails when it is promoted; a worker is sent no requests."""
    run, place = road.run(), road.production
    document = """mutation S($s: String!, $e: String!, $i: ServiceInstanceUpdateInput!) {
      serviceInstanceUpdate(serviceId: $s, environmentId: $e, input: $i) }"""
    kind = ProductionServices(run.api, run.around, **place, services=("api", "worker"))
    asked_for = kind.look().findings
    for name in ("api", "worker"):
        given = {"s": road.world.facts["railway"]["services"][name], "e": place["environment_id"]}
        road.hands.railway(document, **given, i={"drainingSeconds": None, "overlapSeconds": None})

    assert () == asked_for
    api, worker = "production/service/api", "production/service/worker"
    assert [("no-draining", api), ("no-overlap", api), ("no-draining", worker)] == [
        (one.code, one.address) for one in kind.look().findings if not one.blocks
    ]
