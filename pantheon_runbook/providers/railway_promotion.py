"""Railway: production's services, what serves of each, and the way back to what served before.

There are two ways back. Action "roll back" runs a former deployment's own image again with the variables of then, as
long as Railway keeps the image (`can_roll_back`). After that the former commit is deployed like any other: built anew,
with the variables of now. The plan says which; one never turns into the other by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from pantheon_runbook.errors import AmbiguousTargetError, RefusedError, WrongEnvironmentError
from pantheon_runbook.kind import ROLL_BACK, Kind, Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.railway import VENDOR, RailwayApi, every_page, nodes
from pantheon_runbook.providers.railway_deploys import COMING, SERVING, DeploymentKind, commit_of, digest_of
from pantheon_runbook.providers.railway_looks import ENVIRONMENT, SERVICES
from pantheon_runbook.providers.railway_services import where

_FORMER = reads("""
query FormerDeployments($projectId: String!, $environmentId: String!, $serviceId: String!) {
  deployments(
    input: {
      projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId, status: {in: [REMOVED, REMOVING]}
    }
    first: 20
  ) {
    edges { node { id status createdAt meta canRollback } }
  }
}""")
_FORMER_ONE = reads("""
query FormerDeployment($id: String!) {
  deployment(id: $id) { id projectId environmentId serviceId meta canRollback }
}""")
# The variable's name is what the gate goes by.
_ROLL_BACK = "mutation RollBack($deploymentId: String!) { deploymentRollback(id: $deploymentId) }"


class ProductionServices(Kind):
    """The services that the config names, by what production is called in identities.toml; only looked at.

    Vault, one of production's own: railway.project_id, railway.environment_id, railway.service.<name>.
    """

    prefix = "production/service"

    def __init__(
        self,
        api: RailwayApi,
        surroundings: Surroundings,
        *,
        project_id: str,
        environment_id: str,
        services: Iterable[str],
    ) -> None:
        self._api = api
        self._vault = surroundings.vault
        self._where = {"id": environment_id, "projectId": project_id}
        self._services = tuple(services)
        self._ids: dict[str, str] = {}

    def look(self) -> Look:
        """Errors: WrongEnvironmentError, AmbiguousTargetError, VendorRefusedError (a token that does not see it)."""
        (environment,) = every_page(self._api, ENVIRONMENT.document, ENVIRONMENT.path, self._where)
        listed = every_page(self._api, SERVICES.document, SERVICES.path, self._where)
        kept = [node for node in listed if not node["deletedAt"]]
        there = [(node["serviceName"], node["serviceId"]) for node in kept]
        self._refuse_others(str(environment["id"]), [name for name, _ in there])
        self._ids = {name: identifier for name, identifier in there if name in self._services}
        self._vault.hold("railway.project_id", self._where["projectId"], secret=False)
        self._vault.hold("railway.environment_id", self._where["id"], secret=False)
        for name, identifier in self._ids.items():
            self._vault.hold(f"railway.service.{name}", identifier, secret=False)
        seen = (
            Resource(f"{self.prefix}/{name}", "present", {"name": name, "id": identifier})
            for name, identifier in sorted(self._ids.items())
        )
        identities = {"railway_project": self._where["projectId"], "railway_environment": str(environment["id"])}
        found = [one for node in kept if node["serviceName"] in self._ids for one in self._of_its_end(node)]
        return Look(tuple(seen), tuple(sorted(found, key=lambda one: one.address)), identities)

    def ids(self) -> tuple[str, ...]:
        return (*self._where.values(), *self._ids.values()) if self._ids else ()

    def _of_its_end(self, node: dict[str, Any]) -> Iterator[Finding]:
        """What fails when another deployment takes over; what answers no requests needs no overlap.

        Source: Railway's documentation, "Deployment teardown": both are 0 seconds unless asked for.
        """
        name = node["serviceName"]
        ends = f"Railway ends {name} in the moment another deployment takes over"
        answers = any(node["domains"].values()) or node["healthcheckPath"]
        if not node["drainingSeconds"]:
            yield self._asks_for("draining", name, f"{ends}: what it has in hand then fails", "10")
        if answers and not node["overlapSeconds"]:
            yield self._asks_for("overlap", name, f"{ends}: a request that is on its way to it fails", "5")

    def _asks_for(self, setting: str, name: str, what: str, seconds: str) -> Finding:
        unless = f"unless its variable RAILWAY_DEPLOYMENT_{setting.upper()}_SECONDS does"
        step = f"set {setting} seconds of {name} in Railway, for example {seconds}, and deploy it once, {unless}"
        return Finding(f"no-{setting}", f"{self.prefix}/{name}", what, step, blocks=False)

    def _refuse_others(self, environment_id: str, names: list[str]) -> None:
        if environment_id != self._where["id"]:
            raise WrongEnvironmentError(
                f"railway shows the environment {environment_id} when production's was asked for",
                why=f"identities.toml says {self._where['id']}",
                next_step="correct production's ids in identities.toml",
            )
        twice = sorted(name for name in self._services if names.count(name) > 1)
        if twice:
            raise AmbiguousTargetError(
                f"production has two Railway services called {', '.join(twice)}",
                why="the config names services by their name",
                state="nothing was changed",
                next_step="rename the one that is not Pantheon's in Railway, then plan again",
            )
        missing = sorted(set(self._services) - set(names))
        if missing:
            raise WrongEnvironmentError(
                f"production has no Railway service called {', '.join(missing)}",
                why=f"it has {', '.join(sorted(names)) or 'none'}",
                next_step="correct backend.services in pantheon.toml or production's ids in identities.toml",
            )


class ProductionDeployments(DeploymentKind):
    """What serves of each of production's services, as in staging; and what each can go back to.

    Actions: as in staging, and "roll back" to the deployment `after["roll_back_to"]`.
    """

    prefix = "production/deployment"
    looks_after = (ProductionServices.prefix,)
    _without_lines = "its log may hold production's secrets and is not quoted"

    def __init__(self, api: RailwayApi, surroundings: Surroundings, *, services: Iterable[str]) -> None:
        super().__init__(api, surroundings, services=services)
        self._former: dict[str, list[dict[str, Any]]] = {}  # by service, the newest first
        self._goes_back_to: dict[str, dict[str, Any]] = {}  # by address, the former deployment

    def look(self) -> Look:
        ids = self._vault.held_under("railway.service.")
        self._former = {name: self._replaced(ids[name]) for name in self._services if name in ids}
        return super().look()

    def ids(self) -> tuple[str, ...]:
        """What a rollback may name: former deployments of production's own services."""
        return tuple(one["id"] for former in self._former.values() for one in former)

    def write(self, change: Change) -> str | None:
        if change.action != ROLL_BACK:
            return super().write(change)
        name = self._service_of(change)
        self._before.setdefault(change.address, frozenset(one["id"] for one in self._seen[name]))
        former = self._api.query(_FORMER_ONE, {"id": change.after["roll_back_to"]})["deployment"]
        self._refuse_others(name, former, change)
        self._goes_back_to[change.address] = former
        self._api.mutate(_ROLL_BACK, {"deploymentId": former["id"]})
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """Of a rollback also when Railway runs the former deployment itself again: it does not say which it does."""
        former = self._goes_back_to.get(change.address)
        if former is not None and self._runs_again(self._service_of(change), former["id"]):
            self._begun[change.address] = former["id"]
            return True
        return super().has_landed(change, seen)

    def settle(self, change: Change) -> None:
        """A rollback's answer names no deployment: it is found by looking."""

        def is_begun() -> bool:
            (seen,) = [one for one in self.look().resources if one.address == change.address]
            return self.has_landed(change, seen)

        if change.address in self._goes_back_to and change.address not in self._begun:
            what = f"the rollback of {self._service_of(change)}"
            self._surroundings.wait_until(is_begun, what=what, vendor=VENDOR)
        super().settle(change)

    def _commit_for(self, change: Change) -> str | None:
        former = self._goes_back_to.get(change.address)
        return super()._commit_for(change) if former is None else commit_of(former)

    def _resource(self, name: str, changed: str) -> Resource:
        seen = super()._resource(name, changed)
        former = [_shown(one) for one in self._former[name]]
        previous = next((one["id"] for one in former if one["can_roll_back"]), None)
        known = {"previous": previous} if previous else {}
        return replace(seen, attributes={**seen.attributes, **known, "former": former})

    def _last_lines(self, name: str, identifier: str) -> list[str]:
        """None: to mask them, production's values would have to be read."""
        return []

    def _replaced(self, service_id: str) -> list[dict[str, Any]]:
        given = {**where(self._vault), "serviceId": service_id}
        found = nodes(self._api.query(_FORMER, given)["deployments"])
        return sorted(found, key=lambda one: str(one["createdAt"]), reverse=True)

    def _runs_again(self, name: str, identifier: str) -> bool:
        return any(one["id"] == identifier and one["status"] in SERVING | COMING for one in self._seen[name])

    def _refuse_others(self, name: str, former: dict[str, Any], change: Change) -> None:
        ours = {**where(self._vault), "serviceId": self._vault.text(f"railway.service.{name}")}
        why = ""
        if any(former[place] != known for place, known in ours.items()):
            why = "it is a deployment of another service or environment"
        elif change.after.get("commit") not in {None, commit_of(former)}:
            why = f"it is of commit {commit_of(former)}"
        elif not former["canRollback"]:
            why = "Railway does not keep its image any more, or it never served"
        if why:
            raise RefusedError(
                f"{name} was not rolled back to {former['id']}",
                why=why,
                next_step="run the plan again: without an image the former commit is built anew",
            )


def _shown(former: dict[str, Any]) -> dict[str, Any]:
    known = {"id": former["id"], "commit": commit_of(former), "image_digest": digest_of(former)}
    shown = {name: value for name, value in known.items() if value}
    return {**shown, "created_at": former["createdAt"], "can_roll_back": bool(former["canRollback"])}
