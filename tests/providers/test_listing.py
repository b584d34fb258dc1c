"""What the listings make of answers that the sandbox does not give: several pages, odd shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook import initializing
from pantheon_runbook.errors import RefusedError
from pantheon_runbook.initializing import Order
from pantheon_runbook.isolation.choosing import Wanted
from pantheon_runbook.isolation.survey import RailwayEnvironment, VercelProject
from pantheon_runbook.providers import listing
from pantheon_runbook.providers.http import GRAPHQL_PATH, Reach
from pantheon_runbook.providers.railway import RailwayApi
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.secrets import Secret


class Answers:
    """A client that hands out answers in order, and keeps what was asked."""

    vendor = "vendor"

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, Any]] = []

    def read(
        self, _method: str, path: str, *, operation: str, params: Any = None, body: Any = None, **_more: Any
    ) -> Any:
        self.asked.append((path, params if body is None else body["variables"]))
        return _Answer(self._answers.pop(0))


class _Answer:
    is_success = True
    headers: Mapping[str, str] = {}

    def __init__(self, body: Any) -> None:
        self.content = json.dumps(body).encode()
        self.headers: dict[str, str] = {}

    def json(self) -> Any:
        return json.loads(self.content)


def _page(held_in: str, entries: list[Any], following: Any) -> dict[str, Any]:
    return {held_in: entries, "pagination": {"count": len(entries), "next": following, "prev": None}}


def test_vercel_is_read_to_its_last_page():
    team = {"id": "team_1", "slug": "pantheon"}
    web = {"id": "prj_1", "name": "web", "framework": None}
    live = {
        **web,
        "id": "prj_2",
        "link": {"productionBranch": "trunk"},
        "targets": {"production": {"alias": ["b", "a"]}},
    }
    client = Answers(
        _page("teams", [team], 1700000000000),
        _page("projects", [web], "cursor"),
        _page("projects", [live], None),
        _page("teams", [], None),
    )

    found = listing.vercel_projects(client)

    assert (
        VercelProject("prj_1", "web", "team_1", "pantheon", "", "main", ()),
        VercelProject("prj_2", "web", "team_1", "pantheon", "", "trunk", ("a", "b")),
    ) == found
    asked = [(path, params.get("until"), params.get("from")) for path, params in client.asked]
    first, second = ("/v2/teams", None, None), ("/v2/teams", "1700000000000", None)
    assert [first, ("/v10/projects", None, None), ("/v10/projects", None, "cursor"), second] == asked


def _instance(name: str, **more: Any) -> dict[str, Any]:
    empty = {"serviceDomains": [], "customDomains": []}
    return {"serviceId": name, "serviceName": name, "rootDirectory": None, "source": None, "domains": empty, **more}


STORES = {
    "template": (_instance("cache", source={"image": "bitnami/redis:7.2", "repo": None}), True),
    "name only": (_instance("Postgres"), True),
    "an API about Redis": (_instance("redis-dashboard", source={"image": None, "repo": "a/b"}), False),
    "an image of ours": (_instance("api", source={"image": "ghcr.io/pantheon/api", "repo": None}), False),
}


@pytest.mark.parametrize("name", STORES)
def test_store_is_told_from_a_service(name: str):
    instance, is_store = STORES[name]

    assert is_store == listing._service(instance).is_store


def test_service_has_its_folder_and_both_kinds_of_hosts():
    domains = {"serviceDomains": [{"domain": "b.up.railway.app"}], "customDomains": [{"domain": "api.example"}]}

    service = listing._service(_instance("api", rootDirectory="/backend/", domains=domains))

    assert ("backend", ("api.example", "b.up.railway.app")) == (service.root, service.hosts)


def test_variable_names_are_read_to_the_last_page():
    """Shared ones have no service; the platform's own are left out."""
    production = RailwayEnvironment("e", "production", "p", "pantheon", "w", "Team", ())

    def page(names: list[str], following: str | None) -> Any:
        edges = [{"node": {"name": name, "serviceId": None, "isSealed": name == "B"}} for name in names]
        info = {"hasNextPage": following is not None, "endCursor": following}
        return {"data": {"environment": {"variables": {"edges": edges, "pageInfo": info}}}}

    client = Answers(page(["A", "RAILWAY_PROJECT_ID"], "c"), page(["B"], None))

    found = listing.railway_variables(RailwayApi(client), production)

    assert [("A", False), ("B", True)] == [(one["name"], one["isSealed"]) for one in found]
    where = {"id": "e", "projectId": "p"}
    assert [(GRAPHQL_PATH, where), (GRAPHQL_PATH, {**where, "after": "c"})] == client.asked


def test_branches_and_removed_projects_are_left_out():
    def project(name: str, **more: Any) -> dict[str, Any]:
        return {"ref": name, "name": name, "region": "r", "status": "ACTIVE_HEALTHY", "is_branch": False, **more}

    projects = [project("kept"), project("branch", is_branch=True), project("gone", status="REMOVED")]
    listed = {"projects": projects, "pagination": {"count": 3}}
    client = Answers([{"slug": "o", "name": "Pantheon"}], {"plan": "free"}, listed)

    assert [("kept", "o", "free")] == [
        (one.name, one.organization, one.plan) for one in listing.supabase_projects(client)
    ]


def test_environments_of_pull_requests_are_left_out():
    """They come and go, and may be copies of production."""
    environments = [
        {"node": {"id": name, "name": name, "isEphemeral": name == "pr-7", "serviceInstances": {"edges": []}}}
        for name in ("production", "pr-7")
    ]
    project = {"node": {"id": "p", "name": "pantheon", "environments": {"edges": environments}}}
    workspaces = {"data": {"apiToken": {"workspaces": [{"id": "w", "name": "Team"}]}}}
    page = {"data": {"projects": {"edges": [project], "pageInfo": {"hasNextPage": False, "endCursor": None}}}}

    found = listing.railway_environments(RailwayApi(Answers(workspaces, page)))

    assert ["production"] == [one.name for one in found]


def test_sealed_variable_is_named_as_not_read():
    """Railway has no value of it anywhere in its API: it would be missing from the pins without a word."""
    production = RailwayEnvironment("e", "production", "p", "pantheon", "w", "Team", ())
    edges = [{"node": {"name": "STRIPE_KEY", "serviceId": None, "isSealed": True}}]
    names = {"edges": edges, "pageInfo": {"hasNextPage": False, "endCursor": None}}
    api = RailwayApi(Answers({"data": {"environment": {"variables": names}}}, {"data": {"variables": {}}}))
    said: list[str] = []

    pins = initializing._pins(
        Order(Wanted(), Path("pantheon.toml"), pins=True), api, production, "5a" * 32, said.append
    )

    assert {} == pins
    assert any(line.startswith("sealed      STRIPE_KEY: no token reads these") for line in said)


def test_client_for_looking_around_cannot_write(stub):
    stub.will_answer(201, {})
    client = reading_client("supabase", "https://api.supabase.com", Secret("t" * 24), reach=Reach(stub.path))
    with pytest.raises(RefusedError):
        client.write("POST", "/v1/projects", operation="create the project", body={})
    client.close()

    assert [] == stub.requests
