"""A provisioned world at Railway, somebody else's hands on it, and the product's reading client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from vendors import Hands

from pantheon_runbook.model import Resource
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.railway import BASE_URL, RailwayApi
from pantheon_runbook.providers.railway_exposure import exposure
from pantheon_runbook.providers.railway_inventory import inventory
from pantheon_runbook.secrets import Secret, fingerprints_under

FINGERPRINT = fingerprints_under("5a" * 16)
_INSTANCES = """query I($id: String!) {
  environment(id: $id) { serviceInstances { edges { node { serviceId serviceName } } } }
}"""


class Denying(httpx.BaseTransport):
    """Railway's answer to what a role may not see, given to one question: the sandbox knows no such role."""

    def __init__(self, inner: httpx.BaseTransport, question: str) -> None:
        self._inner = inner
        self._question = question

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if json.loads(request.read())["operationName"] == self._question:
            return httpx.Response(200, json={"errors": [{"message": "Not Authorized"}], "data": None})
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@dataclass
class Place:
    """A provisioned world, somebody else's hands on it, and the product's reading client."""

    world: Any
    hands: Hands
    staging: dict[str, str]
    production: dict[str, str]
    ends: ExitStack

    def __post_init__(self) -> None:
        self.api = self.client(Authorization=f"Bearer {self.hands.facts['railway']['token']}")

    def look(self, of: dict[str, str] | None = None, api: RailwayApi | None = None) -> tuple[Resource, ...]:
        return inventory(api or self.api, **(of or self.staging), fingerprint=FINGERPRINT)

    def ways(self, api: RailwayApi | None = None) -> dict[str, Any]:
        found = exposure(api or self.api, **self.production, staging_environment_id=self.staging["environment_id"])
        assert len(found) == len({one.address for one in found})
        return {one.address: one for one in found}

    def denied(self, question: str) -> RailwayApi:
        """As an account whose role is refused this one question."""
        transport = Reach.transport
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Reach, "transport", lambda reach: Denying(transport(reach), question))
            return self.client(Authorization=f"Bearer {self.hands.facts['railway']['token']}")

    def client(self, **headers: str) -> RailwayApi:
        reach = Reach(str(self.world.running.socket))
        kept = {name.replace("_", "-"): Secret(value) for name, value in headers.items()}
        client = Client("railway", BASE_URL, reach=reach, gate=WriteGate(), headers=kept)
        self.ends.callback(client.close)
        return RailwayApi(client)

    def do(self, field: str, kind: str, answer: str = "", **given: Any) -> Any:
        """One mutation with an input."""
        document = f"mutation M($i: {kind}!) {{ {field}(input: $i) {answer} }}"
        return self.hands.railway(document, i=given)[field]

    def service(self, name: str, of: dict[str, str] | None = None) -> dict[str, str]:
        of = of or self.staging
        found = self.hands.railway(_INSTANCES, id=of["environment_id"])["environment"]["serviceInstances"]["edges"]
        known = {edge["node"]["serviceName"]: edge["node"]["serviceId"] for edge in found}
        return {"serviceId": known[name], **ids(of)}

    def instance(self, name: str, *, of: dict[str, str] | None = None, **settings: Any) -> None:
        where = self.service(name, of)
        del where["projectId"]
        document = (
            "mutation M($environmentId: String!, $serviceId: String!, $i: ServiceInstanceUpdateInput!)"
            " { serviceInstanceUpdate(environmentId: $environmentId, serviceId: $serviceId, input: $i) }"
        )
        self.hands.railway(document, **where, i=settings)

    def project(self, of: dict[str, str], **settings: Any) -> None:
        document = "mutation M($id: String!, $i: ProjectUpdateInput!) { projectUpdate(id: $id, input: $i) { id } }"
        self.hands.railway(document, id=of["project_id"], i=settings)


def ids(of: dict[str, str]) -> dict[str, str]:
    return {"projectId": of["project_id"], "environmentId": of["environment_id"]}


def trigger_of(place: Place, name: str, of: dict[str, str]) -> str:
    (found,) = [one for one in place.look(of) if one.address.startswith(f"railway/trigger/{name}/")]
    return str(found.attributes["id"])


def trigger(place: Place, of: dict[str, str], name: str, branch: str) -> None:
    given = {**place.service(name, of), "branch": branch, "repository": "pantheon/pantheon", "provider": "github"}
    place.do("deploymentTriggerCreate", "DeploymentTriggerCreateInput", "{ id }", **given)


def beside(place: Place, of: dict[str, str], name: str, **given: Any) -> None:
    given = {"projectId": of["project_id"], "name": name, "skipInitialDeploys": True, **given}
    place.do("environmentCreate", "EnvironmentCreateInput", "{ id }", **given)


def member(place: Place, of: dict[str, str], name: str, role: str) -> None:
    given = {"projectId": of["project_id"], "userId": name, "role": role}
    place.do("projectMemberAdd", "ProjectMemberAddInput", "{ id }", **given)


def staged(place: Place, of: dict[str, str]) -> None:
    def stage(whole: Any) -> None:
        whole["railway"]["environments"][of["environment_id"]]["unmergedChangesCount"] = 2

    place.hands.edit(stage)


def project_token(place: Place, of: dict[str, str], name: str) -> RailwayApi:
    value = place.do("projectTokenCreate", "ProjectTokenCreateInput", **ids(of), name=name)
    return place.client(Project_Access_Token=value)


@contextmanager
def provisioned(new_world: Any) -> Iterator[Place]:
    """Enough requests an hour for tests."""
    with new_world() as world, ExitStack() as ends:
        with pytest.MonkeyPatch.context() as patch:
            world.enter(patch)
            world.provision()
        hands = ends.enter_context(closing(Hands(world.running)))
        hands.edit(lambda whole: whole["railway"]["limits"].update(requests_per_hour=1_000_000))
        facts, (project,) = world.facts["railway"], hands.railway_projects()
        staging = {"project_id": project["id"], "environment_id": project["environments"]["staging"]["id"]}
        production = {"project_id": facts["project_id"], "environment_id": facts["environment_id"]}
        yield Place(world, hands, staging, production, ends)
