from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from plane_cloud import FAST, Cloud

BOTH = "environmentId: $environment, serviceId: $service"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


def ids(cloud: Cloud, service: str = "api") -> dict[str, str]:
    facts = cloud.facts["railway"]
    return {
        "project": facts["project_id"],
        "environment": facts["environment_id"],
        "service": facts["services"][service],
    }


def do(cloud: Cloud, step: str, known: dict[str, str], **more: Any) -> Any:
    """One mutation or query with the ids that it uses."""
    used = {name: value for name, value in known.items() if f"${name}" in step}
    declared = ", ".join(f"${name}: String!" for name in used)
    kind = "query" if step.startswith("?") else "mutation"
    data = cloud.railway(f"{kind}{f'({declared})' if used else ''} {{ {step.lstrip('?')} }}", used, **more)
    return next(iter(data.values()))


def environment(cloud: Cloud, name: str, extra: str = "") -> dict[str, str]:
    made = do(cloud, f'environmentCreate(input: {{projectId: $project, name: "{name}" {extra}}}) {{ id }}', ids(cloud))
    return {**ids(cloud), "environment": made["id"]}


def variables(cloud: Cloud, known: dict[str, str], extra: str = "") -> Any:
    return do(cloud, f"?variables(projectId: $project, {BOTH}{extra})", known)


def error(cloud: Cloud, query: str, **more: Any) -> str:
    answer = cloud.graphql(query, **more)
    assert 200 == answer.status_code
    return str(answer.json()["errors"][0]["message"])


def test_service_create_reaches_every_environment_that_is_no_fork(cloud: Cloud) -> None:
    """The hazard: asked for in staging, it appears in production too."""
    staging, fork = environment(cloud, "staging"), environment(cloud, "pr-1", "ephemeral: true")
    step = 'serviceCreate(input: {projectId: $project, environmentId: $environment, name: "api2"}) { id }'
    service = do(cloud, step, staging)["id"]
    instances = cloud.world.document["railway"]["instances"].values()
    found = {one["environmentId"] for one in instances if one["serviceId"] == service}
    assert {staging["environment"], ids(cloud)["environment"]} == found
    only = do(cloud, step, fork)["id"]
    assert {fork["environment"]} == {one["environmentId"] for one in instances if one["serviceId"] == only}


def test_taken_environment_name_is_refused_also_while_it_is_made() -> None:
    cloud = Cloud(pace=replace(FAST, environment_create_seconds=60))
    create = f'mutation {{ environmentCreate(input: {{projectId: "{ids(cloud)["project"]}", name: "staging", '
    create += "applyChangesInBackground: true}) { id } }"
    assert 200 == cloud.graphql(create).status_code
    assert "already exists" in error(cloud, create)
    cloud.close()


@pytest.mark.parametrize("background", [False, True])
def test_environment_create_blocks_unless_in_the_background(background: bool) -> None:  # noqa: FBT001  a case
    cloud = Cloud(pace=replace(FAST, environment_create_seconds=0.1))
    made = environment(cloud, "staging", f"applyChangesInBackground: {str(background).lower()}")
    instances = cloud.world.document["railway"]["instances"].values()

    def services() -> int:
        return sum(one["environmentId"] == made["environment"] for one in instances)

    assert (0 if background else 3) == services()
    cloud.until(lambda: 3 == services())
    cloud.close()


def test_template_deploys_in_the_background_and_names_no_service(cloud: Cloud) -> None:
    """What it makes is seen later, and has to be looked for."""
    known = {**ids(cloud), "template": cloud.world.document["railway"]["redis_template_id"]}
    before = dict(cloud.world.document["railway"]["services"])
    config = cloud.railway('{ template(code: "redis") { serializedConfig } }')["template"]["serializedConfig"]
    answer = cloud.railway(
        "mutation($i: TemplateDeployV2Input!) { templateDeployV2(input: $i) { projectId workflowId } }",
        {
            "i": {
                "projectId": known["project"],
                "environmentId": known["environment"],
                "templateId": known["template"],
                "serializedConfig": config,
            }
        },
    )["templateDeployV2"]
    services = cloud.world.document["railway"]["services"]
    assert (known["project"], before) == (answer["projectId"], services)
    cloud.until(lambda: len(before) + 1 == len(services))


def test_copied_environment_brings_productions_values(cloud: Cloud) -> None:
    copied = environment(cloud, "copy", f'sourceEnvironmentId: "{ids(cloud)["environment"]}", skipInitialDeploys: true')
    assert variables(cloud, ids(cloud), ", unrendered: true") == variables(cloud, copied, ", unrendered: true")
    assert [] == cloud.platform.names()


def test_copied_environment_deploys_unless_told_not_to(cloud: Cloud) -> None:
    environment(cloud, "copy", f'sourceEnvironmentId: "{ids(cloud)["environment"]}"')
    cloud.until(lambda: {"create_redis", "deploy"} <= set(cloud.platform.names()))


def test_references_are_rendered_by_service_name(cloud: Cloud) -> None:
    shown = variables(cloud, ids(cloud))["REDIS_URL"]
    assert shown.startswith("redis://default:") and shown.endswith("@redis.railway.internal:6379")  # noqa: PT018  one value
    assert "${{Redis.REDIS_URL}}" == variables(cloud, ids(cloud), ", unrendered: true")["REDIS_URL"]
    do(cloud, 'serviceUpdate(id: $service, input: {name: "Cache"}) { id }', ids(cloud, "Redis"))
    assert "" == variables(cloud, ids(cloud))["REDIS_URL"]


def test_reference_to_itself_ends(cloud: Cloud) -> None:
    own = 'projectId: $project, environmentId: $environment, serviceId: $service, name: "A", skipDeploys: true'
    do(cloud, f'variableUpsert(input: {{{own}, value: "x${{{{A}}}}"}})', ids(cloud))
    assert "x" * 11 == variables(cloud, ids(cloud))["A"]


def test_change_of_a_variable_deploys_unless_skipped(cloud: Cloud) -> None:
    given = f'projectId: $project, {BOTH}, variables: {{LOG_LEVEL: "debug"}}'
    do(cloud, f"variableCollectionUpsert(input: {{{given}, skipDeploys: true}})", ids(cloud))
    quiet = list(cloud.platform.calls)
    do(cloud, f"variableCollectionUpsert(input: {{{given}}})", ids(cloud))
    cloud.until(lambda: "deploy" in cloud.platform.names())
    deployed = next(iter(cloud.platform.deployed.values()))

    assert [] == quiet
    assert ("debug", "api") == (deployed.variables["LOG_LEVEL"], deployed.variables["RAILWAY_SERVICE_NAME"])


def test_replace_deletes_what_is_not_in_the_map(cloud: Cloud) -> None:
    given = f'projectId: $project, {BOTH}, variables: {{ONLY: "1"}}, replace: true, skipDeploys: true'
    do(cloud, f"variableCollectionUpsert(input: {{{given}}})", ids(cloud))
    assert {"ONLY": "1"} == variables(cloud, ids(cloud))


def test_new_deployment_takes_over_when_healthy(cloud: Cloud) -> None:
    old = cloud.facts["railway"]["deployments"]["api"]
    new = do(cloud, f"serviceInstanceDeployV2({BOTH})", ids(cloud))
    cloud.until(lambda: "remove" in cloud.platform.names())
    host = cloud.facts["railway"]["api_domain"]
    assert [("deploy", new), ("route", host, new), ("remove", old)] == cloud.platform.calls


@pytest.mark.parametrize("status", ["FAILED", "CRASHED"])
def test_failed_deployment_leaves_the_old_one(cloud: Cloud, status: str) -> None:
    cloud.platform.deploy_answers = [status]
    new = do(cloud, f"serviceInstanceDeployV2({BOTH})", ids(cloud))
    cloud.until(lambda: cloud.world.document["railway"]["deployments"][new]["status"] == status)
    old = cloud.facts["railway"]["deployments"]["api"]
    assert "SUCCESS" == cloud.world.document["railway"]["deployments"][old]["status"]
    assert ["deploy"] == cloud.platform.names()


def test_rollback_runs_the_same_image_with_the_variables_of_then(cloud: Cloud) -> None:
    first = cloud.facts["railway"]["deployments"]["api"]
    known = cloud.world.document["railway"]["deployments"]
    new = do(cloud, f"serviceInstanceDeployV2({BOTH})", ids(cloud))
    cloud.until(lambda: known[first]["status"] == "REMOVED")
    given = f'projectId: $project, {BOTH}, name: "LOG_LEVEL", value: "debug", skipDeploys: true'
    do(cloud, f"variableUpsert(input: {{{given}}})", ids(cloud))
    assert do(cloud, "deploymentRollback(id: $id)", {"id": first})
    cloud.until(lambda: known[new]["status"] == "REMOVED")
    latest = max(known.values(), key=lambda one: int(one["number"]) * (one["serviceId"] == ids(cloud)["service"]))
    assert known[first]["meta"]["imageDigest"] == latest["meta"]["imageDigest"] != known[new]["meta"]["imageDigest"]
    assert "info" == cloud.platform.deployed[latest["id"]].variables["LOG_LEVEL"]


@pytest.mark.parametrize("lost", ["hasServed", "imageGone"])
def test_rollback_needs_an_image_that_served_and_is_kept(cloud: Cloud, lost: str) -> None:
    first = cloud.facts["railway"]["deployments"]["api"]
    known = cloud.world.document["railway"]["deployments"]
    do(cloud, f"serviceInstanceDeployV2({BOTH})", ids(cloud))
    cloud.until(lambda: known[first]["status"] == "REMOVED")
    query = "query($id: String!) { deployment(id: $id) { canRollback } }"
    before = cloud.railway(query, {"id": first})["deployment"]["canRollback"]
    known[first][lost] = lost == "imageGone"
    after = cloud.railway(query, {"id": first})["deployment"]["canRollback"]

    assert (True, False) == (before, after)
    assert "cannot be rolled back" in error(cloud, f'mutation {{ deploymentRollback(id: "{first}") }}')


def test_unknown_commit_is_not_found(cloud: Cloud) -> None:
    known = ids(cloud)
    given = f'environmentId: "{known["environment"]}", serviceId: "{known["service"]}", commitSha: "x"'
    assert "Commit not found" == error(cloud, f"mutation {{ serviceInstanceDeployV2({given}) }}")


def test_service_without_source_has_no_process(cloud: Cloud) -> None:
    service = do(cloud, 'serviceCreate(input: {projectId: $project, name: "new"}) { id }', ids(cloud))["id"]
    assert [] == cloud.platform.names()
    step = f'serviceInstanceDeployV2(environmentId: "{ids(cloud)["environment"]}", serviceId: "{service}")'
    assert "no source" in error(cloud, f"mutation {{ {step} }}")


def test_second_domain_call_makes_a_second_domain(cloud: Cloud) -> None:
    hosts = {do(cloud, f"serviceDomainCreate(input: {{{BOTH}}}) {{ domain }}", ids(cloud))["domain"] for _ in range(2)}
    assert 2 == len(hosts)
    assert ["route", "route"] == cloud.platform.names()


def test_redis_template_makes_a_server_and_its_variables(cloud: Cloud) -> None:
    project = cloud.railway('mutation { projectCreate(input: {name: "own"}) { id baseEnvironmentId } }')[
        "projectCreate"
    ]
    template = cloud.railway('{ template(code: "redis") { id serializedConfig } }', token="-")["template"]
    workflow = cloud.railway(
        "mutation($input: TemplateDeployV2Input!) { templateDeployV2(input: $input) { projectId workflowId } }",
        {
            "input": {
                "projectId": project["id"],
                "environmentId": project["baseEnvironmentId"],
                "templateId": template["id"],
                "serializedConfig": template["serializedConfig"],
            }
        },
    )["templateDeployV2"]["workflowId"]
    wait = f'{{ workflowStatus(workflowId: "{workflow}") {{ status error }} }}'
    first = cloud.railway(wait)["workflowStatus"]["status"]
    cloud.until(lambda: cloud.railway(wait)["workflowStatus"]["status"] == "Complete")
    services = cloud.railway(
        f'{{ project(id: "{project["id"]}") {{ services {{ edges {{ node {{ id name }} }} }} }} }}'
    )
    redis = services["project"]["services"]["edges"][0]["node"]
    known = {"project": project["id"], "environment": project["baseEnvironmentId"], "service": redis["id"]}
    made = cloud.platform.calls[0]
    shown = variables(cloud, known)

    assert ("Running", "Redis") == (first, redis["name"])
    assert ("create_redis", known["environment"], "redis.railway.internal", shown["REDIS_PASSWORD"]) == (
        made[0],
        *made[2:],
    )
    assert f"redis://default:{made[4]}@redis.railway.internal:6379" == shown["REDIS_URL"]
    assert shown["REDIS_PASSWORD"] != cloud.world.document["railway"]["redis_template_id"]


def test_project_token_reaches_one_environment_only(cloud: Cloud) -> None:
    known = {**environment(cloud, "staging")}
    value = do(cloud, 'projectTokenCreate(input: {projectId: $project, environmentId: $environment, name: "r"})', known)
    header = {"headers": {"project-access-token": value}, "token": "-"}
    told = cloud.railway("{ projectToken { projectId environmentId } }", **header)["projectToken"]
    production = ids(cloud)["environment"]
    assert (known["project"], known["environment"]) == (told["projectId"], told["environmentId"])
    assert "Not Authorized" == error(cloud, "{ me { id } }", **header)
    assert "Not Authorized" == error(cloud, f'{{ environment(id: "{production}") {{ id }} }}', **header)


def test_refusals_are_two_hundreds_with_errors(cloud: Cloud) -> None:
    me = "{ me { id } }"
    assert "Not Authorized" == error(cloud, me, token="-")
    assert "Not Authorized" == error(cloud, me, token="wrong")
    assert "Not Authorized" == error(cloud, '{ project(id: "unknown") { id } }')
    assert "project token not found" == error(cloud, me, token="-", headers={"project-access-token": "wrong"})
    assert 400 == cloud.graphql("{ me { shoeSize } }").status_code


def test_rate_limit_is_a_real_429(cloud: Cloud) -> None:
    cloud.world.document["railway"]["limits"]["requests_per_hour"] = 1
    first, second = (cloud.graphql("{ me { id } }") for _ in range(2))
    assert (200, "0") == (first.status_code, first.headers["x-ratelimit-remaining"])
    assert (429, True) == (second.status_code, 0 < int(second.headers["retry-after"]) <= 3600)


def test_service_delete_without_environment_is_everywhere(cloud: Cloud) -> None:
    environment(cloud, "copy", f'sourceEnvironmentId: "{ids(cloud)["environment"]}", skipInitialDeploys: true')
    assert do(cloud, "serviceDelete(id: $service)", ids(cloud))
    left = {one["serviceId"] for one in cloud.world.document["railway"]["instances"].values()}
    assert ids(cloud)["service"] not in left
    assert ("remove", cloud.facts["railway"]["deployments"]["api"]) in cloud.platform.calls


def test_pages_follow_relay(cloud: Cloud) -> None:
    query = """query($project: String!, $after: String) {
      project(id: $project) {
        services(first: 2, after: $after) { edges { node { name } } pageInfo { hasNextPage endCursor } }
      }
    }"""
    first = cloud.railway(query, {"project": ids(cloud)["project"]})["project"]["services"]
    known = {"project": ids(cloud)["project"], "after": first["pageInfo"]["endCursor"]}
    second = cloud.railway(query, known)["project"]["services"]
    names = [edge["node"]["name"] for edge in (*first["edges"], *second["edges"])]
    assert ["api", "worker", "Redis"] == names
    assert [True, False] == [page["pageInfo"]["hasNextPage"] for page in (first, second)]


def _times(cloud: Cloud, known: dict[str, str]) -> dict[str, tuple[str, str]]:
    """By name of a variable of this service: when it was made, and when it was set last."""
    step = "?environment(id: $environment) { variables { edges { node { name serviceId createdAt updatedAt } } } }"
    found = [edge["node"] for edge in do(cloud, step, known)["variables"]["edges"]]
    return {one["name"]: (one["createdAt"], one["updatedAt"]) for one in found if one["serviceId"] == known["service"]}


def test_each_variable_has_times_of_its_own(cloud: Cloud) -> None:
    """Setting one, or the service, says nothing of the others; the time is known without the value."""
    known = ids(cloud)
    before = _times(cloud, known)
    assert cloud.world.pinned_at is not None
    cloud.world.pinned_at += 60
    step = 'variableUpsert(input: {projectId: $project, BOTH, name: "LOG_LEVEL", value: "error", skipDeploys: true})'
    do(cloud, step.replace("BOTH", BOTH), known)
    do(cloud, f"serviceInstanceUpdate({BOTH}, input: {{numReplicas: 2}})", known)
    after = _times(cloud, known)
    assert {"LOG_LEVEL"} == {name for name in before if before[name] != after[name]}
    assert before["LOG_LEVEL"][0] == after["LOG_LEVEL"][0]


def test_sealed_value_is_nowhere(cloud: Cloud) -> None:
    """Its name is, and its processes have it."""
    known = ids(cloud)
    instances = cloud.world.document["railway"]["instances"]
    owner = instances[f"{known['environment']}|{known['service']}"]
    owner["sealed"], value = ["SEALED"], "not to be seen"
    owner["variables"]["SEALED"] = value
    names = "variables { edges { node { name isSealed } } }"
    step = f"?environment(id: $environment) {{ config(decryptVariables: true) {names} }}"
    shown = do(cloud, step, known)
    rendered = do(cloud, f"?variablesForServiceDeployment(projectId: $project, {BOTH})", known)
    everything = json.dumps([variables(cloud, known), variables(cloud, known, ", unrendered: true"), rendered, shown])
    assert value not in everything
    assert {"SEALED"} == {one["node"]["name"] for one in shown["variables"]["edges"] if one["node"]["isSealed"]}
    deployed = do(cloud, f"serviceInstanceDeployV2({BOTH})", known)
    assert value == cloud.world.document["railway"]["deployments"][deployed]["variables"]["SEALED"]


def test_setting_of_a_service_reaches_every_environment_that_is_no_fork(cloud: Cloud) -> None:
    """The hazard: asked for in staging, production is set too."""
    staging = environment(cloud, "staging", f'sourceEnvironmentId: "{ids(cloud)["environment"]}"')
    fork = environment(cloud, "pr-1", f'ephemeral: true, sourceEnvironmentId: "{ids(cloud)["environment"]}"')
    step = f'serviceInstanceUpdate({BOTH}, input: {{startCommand: "other"}})'

    def commands() -> list[str]:
        query = f"?serviceInstance({BOTH}) {{ startCommand }}"
        return [do(cloud, query, of)["startCommand"] for of in (ids(cloud), staging, fork)]

    do(cloud, step, fork)
    assert ["python -m app", "python -m app", "other"] == commands()
    do(cloud, step, staging)
    assert ["other", "other", "other"] == commands()


def test_pushes_are_turned_off_in_one_environment_only(cloud: Cloud) -> None:
    step = f"serviceInstanceAutoDeployUpdate(input: {{projectId: $project, {BOTH}, enabled: false}}) {{ enabled }}"
    status = f"?serviceInstanceAutoDeployStatus(projectId: $project, {BOTH}) {{ enabled canEnable }}"
    before = do(cloud, status, ids(cloud))
    do(cloud, step, ids(cloud))
    after, other = do(cloud, status, ids(cloud)), do(cloud, status, ids(cloud, "worker"))
    assert [True, False, True] == [one["enabled"] for one in (before, after, other)]
    assert not do(cloud, status, ids(cloud, "Redis"))["canEnable"]


def test_logs_tell_of_build_and_process(cloud: Cloud) -> None:
    new = {"id": do(cloud, f"serviceInstanceDeployV2({BOTH})", ids(cloud))}
    cloud.until(lambda: "remove" in cloud.platform.names())
    said = do(cloud, "?deploymentLogs(deploymentId: $id) { message }", new)
    built = do(cloud, "?buildLogs(deploymentId: $id, limit: 1) { message }", new)
    assert ([f"{new['id']} speaks"], 1) == ([one["message"] for one in said], len(built))
