"""What the request log and the fault switchboard are told about a request before it is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from plane_cloud import Cloud

from pantheon_runbook.sandbox.planes import Described, describe


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


def told(cloud: Cloud, service: str, method: str, path: str, body: Any = None, *, host: str = "") -> tuple[Any, ...]:
    before = cloud.world.dumps()
    raw = b"" if body is None else json.dumps(body).encode()
    found: Described = describe(service, method, path, raw, cloud.world, host=host)
    assert before == cloud.world.dumps()
    return found.operation, found.environment, found.mutating


def graphql(cloud: Cloud, query: str, **variables: Any) -> tuple[Any, ...]:
    return told(cloud, "railway", "POST", "/graphql/v2", {"query": query, "variables": variables})


def test_supabase_project_tells_the_environment(cloud: Cloud) -> None:
    production, staging = cloud.facts["supabase"]["ref"], cloud.project()
    patch = "PATCH /v1/projects/{ref}/config/auth"
    assert (patch, "production", True) == told(cloud, "supabase", "PATCH", f"/v1/projects/{production}/config/auth")
    assert (patch, "staging", True) == told(cloud, "supabase", "PATCH", f"/v1/projects/{staging}/config/auth")
    assert ("POST /v1/projects", None, True) == told(cloud, "supabase", "POST", "/v1/projects", {})
    assert ("GET /nowhere", None, False) == told(cloud, "supabase", "GET", "/nowhere?x=1")


def test_read_only_queries_change_nothing(cloud: Cloud) -> None:
    at = f"/v1/projects/{cloud.facts['supabase']['ref']}/database/query"
    assert [False, False, True] == [
        told(cloud, "supabase", "POST", path, body)[2]
        for path, body in (
            (f"{at}/read-only", {}),
            (at, {"query": "select 1", "read_only": True}),
            (at, {"query": "x"}),
        )
    ]


def test_project_host_is_told_by_its_host(cloud: Cloud) -> None:
    host = f"{cloud.facts['supabase']['ref']}.supabase.co:443"
    create = ("POST /storage/v1/bucket", "production", True)
    assert create == told(cloud, "supabase-project", "POST", "/storage/v1/bucket/", host=host)


def test_railway_environment_comes_from_ids_anywhere(cloud: Cloud) -> None:
    facts = cloud.facts["railway"]
    project, production = facts["project_id"], facts["environment_id"]
    staging = cloud.railway(f'mutation {{ environmentCreate(input: {{projectId: "{project}", name: "s"}}) {{ id }} }}')
    staging_id = staging["environmentCreate"]["id"]
    upsert = "mutation($input: VariableUpsertInput!) { variableUpsert(input: $input) }"
    given = {"projectId": project, "environmentId": staging_id, "name": "A", "value": production}
    assert ("variableUpsert", "staging", True) == graphql(cloud, upsert, input=given)
    assert ("variableUpsert", "production", True) == graphql(
        cloud, upsert, input={**given, "environmentId": production}
    )
    assert ("environment", "production", False) == graphql(cloud, f'{{ environment(id: "{production}") {{ id }} }}')
    assert ("deployment", "production", False) == graphql(
        cloud, f'{{ deployment(id: "{facts["deployments"]["api"]}") {{ id }} }}'
    )
    assert ("apiToken,me", None, False) == graphql(cloud, "{ me { id } apiToken { workspaces { id } } }")


def test_service_create_in_a_shared_project_concerns_production(cloud: Cloud) -> None:
    """Whatever environment it names: the service appears in all of them."""
    project = cloud.facts["railway"]["project_id"]
    made = cloud.railway(f'mutation {{ environmentCreate(input: {{projectId: "{project}", name: "s"}}) {{ id }} }}')
    given = {"projectId": project, "environmentId": made["environmentCreate"]["id"], "name": "api2"}
    query = "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }"
    own = cloud.railway('mutation { projectCreate(input: {name: "own"}) { id } }')["projectCreate"]["id"]
    assert ("serviceCreate", "production", True) == graphql(cloud, query, input=given)
    assert ("serviceCreate", "staging", True) == graphql(cloud, query, input={"projectId": own, "name": "api"})


def test_fragments_and_several_operations_are_understood(cloud: Cloud) -> None:
    query = 'query A { ...F } mutation B { environmentDelete(id: "x") } fragment F on Query { me { id } }'
    body = {"query": query, "operationName": "A"}
    assert ("me", None, False) == told(cloud, "railway", "POST", "/graphql/v2", body)
    assert ("environmentDelete", None, True) == told(cloud, "railway", "POST", "/", {**body, "operationName": "B"})
    assert ("", None, False) == told(cloud, "railway", "POST", "/graphql/v2", {"query": "not a query {"})


def test_vercel_environment_is_the_target(cloud: Cloud) -> None:
    facts = cloud.facts["vercel"]
    env = f"/v9/projects/{facts['project_id']}/env"
    create = "POST /v10/projects/{idOrName}/env"
    production = next(iter(cloud.world.document["vercel"]["projects"][facts["project_id"]]["env"]))
    assert (create, "staging", True) == told(cloud, "vercel", "POST", env, {"key": "A", "target": ["preview"]})
    assert (create, "production", True) == told(cloud, "vercel", "POST", env, [{"target": ["preview", "production"]}])
    assert "production" == told(cloud, "vercel", "DELETE", f"{env}/{production}")[1]
    assert "production" == told(cloud, "vercel", "DELETE", env, {"ids": [production]})[1]
    assert "production" == told(cloud, "vercel", "POST", "/v13/deployments", {"target": "production"})[1]
    assert "staging" == told(cloud, "vercel", "POST", "/v13/deployments", {"name": "x"})[1]
    assert "production" == told(cloud, "vercel", "POST", f"/projects/{facts['project_id']}/promote/dpl_x", {})[1]
    assert None is told(cloud, "vercel", "GET", f"/v9/projects/{facts['project_id']}")[1]


def test_vercel_domain_is_productions_unless_it_has_a_branch(cloud: Cloud) -> None:
    at = f"/v10/projects/{cloud.facts['vercel']['project_id']}/domains"
    cloud.vercel("POST", at, {"name": "s.example.com", "gitBranch": "staging"})
    one, live = f"{at}/s.example.com", f"{at}/{cloud.facts['vercel']['domain']}"
    asked = (
        ("POST", at, {"name": "a.example.com"}),
        ("POST", at, {"name": "a.example.com", "gitBranch": "staging"}),
        ("PATCH", one, {"redirect": "b.example.com"}),
        ("PATCH", one, {"gitBranch": None}),
        ("PATCH", live, {"gitBranch": "staging"}),
        ("DELETE", live, None),
        ("GET", at, None),
    )
    told_of = [told(cloud, "vercel", method, path, body)[1] for method, path, body in asked]
    assert ["production", "staging", "staging", "production", "production", "production", None] == told_of


def test_openrouter_key_tells_the_environment(cloud: Cloud) -> None:
    at = f"/api/v1/keys/{cloud.facts['openrouter']['hash']}"
    assert ("DELETE /api/v1/keys/{hash}", "production", True) == told(cloud, "openrouter", "DELETE", at)
    assert ("POST /api/v1/keys", None, True) == told(cloud, "openrouter", "POST", "/api/v1/keys", {"name": "staging"})


def test_secrets_of_the_seed_are_long_enough(cloud: Cloud) -> None:
    """128 bits each, since their fingerprints are pinned in public."""
    facts, known = cloud.facts, cloud.world.document["railway"]["instances"]
    redis = known[f"{facts['railway']['environment_id']}|{facts['railway']['services']['Redis']}"]
    secrets = [
        facts["supabase"]["password"],
        facts["supabase"]["secret_key"],
        facts["openrouter"]["key"],
        redis["variables"]["REDIS_PASSWORD"],
        *facts["tokens"].values(),
    ]
    assert all(len("".join(c for c in secret if c in "0123456789abcdef")) >= 32 for secret in secrets)
