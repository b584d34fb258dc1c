"""A production, something of staging beside it, and a gate as an approved promotion opens it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace
from typing import Any

from vendors import Hands

from pantheon_runbook.applying import Applying
from pantheon_runbook.config import Frontend
from pantheon_runbook.kind import Kind, Surroundings
from pantheon_runbook.model import Change, Resource, StepResult
from pantheon_runbook.providers import railway, vercel
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.railway_promotion import ProductionDeployments, ProductionServices
from pantheon_runbook.providers.vercel_builds import ProductionBuild
from pantheon_runbook.providers.vercel_promotion import ProductionAlias
from pantheon_runbook.secrets import Registry, Secret, Vault

BUILD, ALIAS = ProductionBuild.address, ProductionAlias.address
API = "production/deployment/api"
RELEASE = "NEXT_PUBLIC_RELEASE"  # goes into the page when it is built


def change(address: str, action: str = "update", *, before: Any = None, **after: Any) -> Change:
    return Change(address, action, before or {}, after, (), "", "")


class Run:
    """What one approved run holds: kinds that have looked, and a gate for production alone."""

    def __init__(self, road: Road, ends: ExitStack, commit: str) -> None:
        self.road, self.journal = road, list[dict[str, Any]]()
        self.gate = WriteGate(
            dict.fromkeys(road.staging.values(), "staging"),
            before=self.journal.append,
            after=self.journal.append,
            is_open=True,
        )
        self.vault = Vault(Registry(), salt="ab" * 32)
        self.around = Surroundings(self.vault, 30.0, lambda _words: None)
        self.clients = {one.VENDOR: self._client(one, ends) for one in (vercel, railway)}
        self.api = railway.RailwayApi(self.clients["railway"])
        facts = road.world.facts
        frontend = Frontend(vercel_project=facts["vercel"]["project_id"], vercel_team=facts["vercel"]["team_id"])
        kinds: tuple[Kind, ...] = (
            ProductionBuild(self.clients["vercel"], frontend, self.around, branch="staging", commit=lambda: commit),
            ProductionAlias(self.clients["vercel"], frontend, self.around),
            ProductionServices(self.api, self.around, **road.production, services=("api", "worker")),
            ProductionDeployments(self.api, self.around, services=("api", "worker")),
        )
        self.kinds = {kind.prefix: kind for kind in kinds}
        self.look()

    def look(self) -> dict[str, Resource]:
        looks = [kind.look() for kind in self.kinds.values()]
        self.findings = {one.code: one for look in looks for one in look.findings}
        self.gate.accepted = frozenset(name for kind in self.kinds.values() for name in kind.ids())
        return {one.address: one for look in looks for one in look.resources}

    def kind(self, address: str) -> Kind:
        return next(kind for prefix, kind in self.kinds.items() if address.startswith(prefix))

    def apply(self, *changes: Change) -> dict[str, StepResult]:
        """As the session does it: a lost answer is looked up, and what came into being is accepted."""

        def look(address: str) -> Resource:
            seen = self.kind(address).look().resources
            return next((one for one in seen if one.address == address), Resource(address, "absent"))

        def settled(done: Change) -> None:
            self.gate.accepted |= frozenset(self.kind(done.address).ids())

        self.applying = Applying(
            {one.address: self.kind(one.address) for one in changes},  # type: ignore[misc]  # they are workers
            look=look,
            journal=SimpleNamespace(write=lambda *_event, **_fields: None),
            progress=lambda _words: None,
            stop=threading.Event(),
            settled=settled,
        )
        results = self.applying.run(SimpleNamespace(changes=changes))  # type: ignore[arg-type]  # all it is asked for
        return {one.address: one for one in results}

    def _client(self, vendor: Any, ends: ExitStack) -> Client:
        token = Secret(f"Bearer {self.road.world.facts[vendor.VENDOR]['token']}")
        reach = Reach(str(self.road.world.running.socket))
        made = Client(vendor.VENDOR, vendor.BASE_URL, reach=reach, gate=self.gate, headers={"Authorization": token})
        ends.callback(made.close)
        return made


class Road:
    """One world; `run` opens what a run holds, the rest is somebody else's hands and eyes."""

    def __init__(self, world: Any, hands: Hands, ends: ExitStack) -> None:
        """Staging is there, with an API that has been deployed."""
        self.world, self.hands, self._ends = world, hands, ends
        facts = world.facts["railway"]
        self.commits = facts["commits"]
        self.production = {name: facts[name] for name in ("project_id", "environment_id")}
        self.vercel = world.facts["vercel"]
        (project,) = hands.railway_projects()
        place = hands.service("api")
        named = {"project": project["id"], "environment": place["environmentId"], "service": place["serviceId"]}
        only = {name: place[name] for name in ("projectId", "environmentId")}
        deployment = next(one["id"] for one in self.deployments("api", only))
        self.staging = {**named, "deployment": deployment}

    def run(self, commit: str = "head") -> Run:
        return Run(self, self._ends, self.commits.get(commit, commit))

    def deployments(self, service: str, place: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """The newest first, removed ones too."""
        ours = {"projectId": self.production["project_id"], "environmentId": self.production["environment_id"]}
        named = {} if place else {"serviceId": self.world.facts["railway"]["services"][service]}
        query = """query D($i: DeploymentListInput!) {
          deployments(input: $i, first: 100) { edges { node { id status meta canRollback } } } }"""
        edges = self.hands.railway(query, i={**(place or ours), **named})["deployments"]["edges"]
        return [edge["node"] for edge in edges]

    def begun(self, commit: str) -> str:
        """Somebody's deployment of the API, on its way."""
        document = """mutation D($s: String!, $e: String!, $c: String) {
          serviceInstanceDeployV2(serviceId: $s, environmentId: $e, commitSha: $c) }"""
        given = {"s": self.world.facts["railway"]["services"]["api"], "e": self.production["environment_id"]}
        return str(self.hands.railway(document, **given, c=self.commits[commit])["serviceInstanceDeployV2"])

    def set_level(self, value: str) -> None:
        """LOG_LEVEL of the API; one that there is none of makes the next deployment crash."""
        place = {"projectId": self.production["project_id"], "environmentId": self.production["environment_id"]}
        body = {**place, "serviceId": self.world.facts["railway"]["services"]["api"], "skipDeploys": True}
        document = "mutation M($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }"
        self.hands.railway(document, i={**body, "variables": {"LOG_LEVEL": value}})

    def health(self) -> dict[str, Any]:
        host = self.world.facts["railway"]["api_domain"]
        return dict(json.loads(self.hands._http.get(f"http://{host}/health").content))

    def page(self) -> str | None:
        """Which release production's own domain shows."""
        answer = self.hands._http.get(f"http://{self.vercel['domain']}/config.json")
        return dict(json.loads(answer.content)).get(RELEASE)

    def on_project(self, method: str, path: str = "", body: Any = None, *, version: int = 9, more: str = "") -> Any:
        where = f"/v{version}/projects/{self.vercel['project_id']}{path}?teamId={self.vercel['team_id']}{more}"
        return self.hands.call("vercel", method, where, body)

    def serves(self) -> str:
        return str(self.on_project("GET")["targets"]["production"]["id"])

    def builds(self) -> list[dict[str, Any]]:
        """Production builds, the newest first."""
        where = f"projectId={self.vercel['project_id']}&target=production&limit=100&teamId={self.vercel['team_id']}"
        return list(self.hands.call("vercel", "GET", f"/v6/deployments?{where}")["deployments"])

    def set_variable(self, key: str, value: str) -> None:
        """Of production alone."""
        body = {"key": key, "value": value, "type": "plain", "target": ["production"]}
        self.on_project("POST", "/env", body, version=10, more="&upsert=true")

    def assign_domains(self, *, by_itself: bool) -> None:
        self.on_project("PATCH", body={"autoAssignCustomDomains": by_itself})

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)


def staging_by_hand(hands: Hands) -> None:
    """Somebody's project beside production, with a service that has a deployment."""
    project = hands.new_railway_project()
    (found,) = hands.railway_projects()
    given = {"projectId": project, "environmentId": found["environments"]["staging"]["id"], "name": "api"}
    document = "mutation M($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }"
    hands.railway(document, i={**given, "source": {"repo": "pantheon/pantheon"}})


@contextmanager
def road_of(new_world: Any) -> Iterator[Road]:
    """Domains are assigned by promoting only, and there are enough requests an hour for tests."""
    with new_world() as world, ExitStack() as ends:
        hands = ends.enter_context(closing(Hands(world.running)))
        hands.edit(lambda whole: whole["railway"]["limits"].update(requests_per_hour=1_000_000))
        staging_by_hand(hands)
        road = Road(world, hands, ends)
        road.assign_domains(by_itself=False)
        yield road
