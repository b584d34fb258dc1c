"""Railway: deployments of one environment, each begun once, watched by its own id, and explained when it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pantheon_runbook.errors import StalePlanError, VendorRefusedError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Resource
from pantheon_runbook.providers.commands import may_hold_secret
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.railway import VENDOR, RailwayApi, every_page
from pantheon_runbook.providers.railway_looks import VARIABLES
from pantheon_runbook.providers.railway_services import variables_of, where
from pantheon_runbook.secrets import Registry

SERVING = frozenset({"SUCCESS", "SLEEPING"})
_RUNNING = SERVING | {"REMOVING"}  # a former one ends what it has in hand
COMING = frozenset({"BUILDING", "DEPLOYING", "INITIALIZING", "NEEDS_APPROVAL", "QUEUED", "WAITING"})
# What a deployment that was waited for ended as, other than well.
_ENDED = {
    "CRASHED": "crashed",
    "FAILED": "failed",
    "NEEDS_APPROVAL": "waits for somebody's approval in Railway",
    "REMOVED": "was removed",
    "REMOVING": "was removed",
    "SKIPPED": "was skipped by Railway",
}
_FREE_PLAN = 100  # requests an hour
_PAUSE_ON_FREE_PLAN_SECONDS = 5.0
_LINES, _LINE_LENGTH = 6, 240
_REFERENCE = re.compile(r"[^.]+(?=\.)")
_DEPLOYMENTS = reads("""
query Deployments($projectId: String!, $environmentId: String!, $after: String) {
  deployments(
    input: {projectId: $projectId, environmentId: $environmentId, status: {notIn: [REMOVED, SKIPPED]}}
    first: 100, after: $after
  ) {
    edges { node { id serviceId status createdAt meta } }
    pageInfo { hasNextPage endCursor }
  }
}""")
_DEPLOYMENT = reads("query DeploymentStatus($id: String!) { deployment(id: $id) { id status } }")
_BUILD_LOG = reads("query BuildLog($id: String!) { buildLogs(deploymentId: $id) { message } }")
_OUTPUT = reads("query DeploymentLog($id: String!) { deploymentLogs(deploymentId: $id) { message } }")
_DEPLOY = (
    "mutation Deploy($serviceId: String!, $environmentId: String!, $commitSha: String)"
    " { serviceInstanceDeployV2(serviceId: $serviceId, environmentId: $environmentId, commitSha: $commitSha) }"
)


class DeploymentKind(Kind):
    """What serves of each service: its commit and since when, beside when its variables were last changed.

    A removed variable leaves no time behind: that one was removed is not seen here.
    """

    prefix = "railway/deployment"
    looks_after = ("railway/service",)
    _without_lines = "it left no line in its logs"

    def __init__(self, api: RailwayApi, surroundings: Surroundings, *, services: Iterable[str]) -> None:
        self._api = api
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._services = tuple(services)
        self._seen: dict[str, list[dict[str, Any]]] = {}  # by service, the newest first
        self._before: dict[str, frozenset[str]] = {}  # by address, what was there before the write
        self._begun: dict[str, str] = {}  # by address, the deployment that is waited for

    def look(self) -> Look:
        if self._vault.get("railway.environment_id") is None:
            return Look()
        ids = {name: self._vault.get(f"railway.service.{name}") for name in self._services}
        present = {name: held.reveal() for name, held in ids.items() if held is not None}
        self._seen = self._listed(present)
        changed = self._variables_changed(present)
        return Look(tuple(self._resource(name, changed[name]) for name in present))

    def _listed(self, services: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
        """By service, the newest first."""
        listed = every_page(self._api, _DEPLOYMENTS, ("deployments",), where(self._vault))
        listed.sort(key=lambda one: str(one["createdAt"]), reverse=True)
        return {name: [one for one in listed if one["serviceId"] == known] for name, known in services.items()}

    def author_of(self, name: str) -> str:
        """Who wrote the commit that serves, in Railway's word; "" where it says nothing."""
        serving = self._serving(name) if name in self._seen else {}
        return str((serving.get("meta") or {}).get("commitAuthor") or "")

    def write(self, change: Change) -> str | None:
        """One request, with the commit; where one is on its way already, none."""
        name = self._service_of(change)
        if change.action == "wait":
            self._begun[change.address] = self._awaited(name, change)["id"]
            return "it was on its way"
        self._before.setdefault(change.address, frozenset(one["id"] for one in self._seen[name]))
        given = {
            "serviceId": self._vault.text(f"railway.service.{name}"),
            "environmentId": self._vault.text("railway.environment_id"),
            "commitSha": self._commit_for(change),
        }
        self._begun[change.address] = str(self._api.mutate(_DEPLOY, given)["serviceInstanceDeployV2"])
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """By what was made since the write of the same commit; its id is then what is waited for."""
        commit = self._commit_for(change)
        new = [
            one
            for one in self._seen[self._service_of(change)]
            if one["id"] not in self._before[change.address] and commit in {None, commit_of(one)}
        ]
        if new:
            self._begun[change.address] = new[0]["id"]
        return bool(new)

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def settle(self, change: Change) -> None:
        """Until it serves and what it replaces runs no more: a later step may take away what that one needs."""
        name, identifier = self._service_of(change), self._begun[change.address]
        service = {name: self._vault.text(f"railway.service.{name}")}

        def is_up() -> bool:
            status = self._api.query(_DEPLOYMENT, {"id": identifier})["deployment"]["status"]
            if status in _ENDED:
                raise self._failure(name, identifier, status)
            return status in SERVING

        def is_alone() -> bool:
            return not _others(self._listed(service)[name], identifier)

        self._wait(is_up, f"the deployment of {name}")
        self._wait(is_alone, f"the end of what {name} ran before")

    def _wait(self, is_done: Callable[[], bool], what: str) -> None:
        is_free = (self._api.requests_an_hour or _FREE_PLAN + 1) <= _FREE_PLAN
        pause = _PAUSE_ON_FREE_PLAN_SECONDS if is_free else 0.05
        self._surroundings.wait_until(is_done, what=what, vendor=VENDOR, shortest_pause_seconds=pause)

    def _service_of(self, change: Change) -> str:
        return change.address.removeprefix(f"{self.prefix}/")

    def _commit_for(self, change: Change) -> str | None:
        """The one that serves, when only its surroundings are new: Railway's own choice would be another (FACTS 2)."""
        return change.after.get("commit") or commit_of(self._serving(self._service_of(change)))

    def _serving(self, name: str) -> dict[str, Any]:
        return next((one for one in self._seen[name] if one["status"] in SERVING), {})

    def _coming(self, name: str) -> dict[str, Any]:
        """The newest, when it is on its way: one that serves is older, or has not ended yet."""
        newest = self._seen[name][0] if self._seen[name] else {}
        is_coming = newest.get("status") in COMING or (newest.get("status") in SERVING and self._is_replacing(name))
        return newest if is_coming else {}

    def _is_replacing(self, name: str) -> bool:
        serving = self._serving(name)
        return bool(serving) and bool(_others(self._seen[name], serving["id"]))

    def _awaited(self, name: str, change: Change) -> dict[str, Any]:
        """What was on its way when the plan was made; it may serve by now. Errors: StalePlanError when it failed."""
        serving = self._serving(name)
        arrived = serving if commit_of(serving) == self._commit_for(change) else {}
        if found := self._coming(name) or arrived:
            return found
        raise StalePlanError(
            f"the deployment of {name} that was on its way does not serve",
            why=self._note(name) or "Railway lists it no more",
            next_step="run the plan again: it looks what became of it",
        )

    def _resource(self, name: str, changed: str) -> Resource:
        serving, coming = self._serving(name), self._coming(name)
        attributes = {"id": serving.get("id"), "commit": commit_of(serving), "image_digest": digest_of(serving)}
        attributes |= {"created_at": serving.get("createdAt")}
        attributes |= {"coming_commit": commit_of(coming), "coming_since": coming.get("createdAt")}
        status = "REPLACING" if self._is_replacing(name) else "SUCCESS"
        attributes |= {"status": status if serving else None, "variables_changed_at": changed}
        known = {key: value for key, value in attributes.items() if value}
        return Resource(f"{self.prefix}/{name}", "present" if serving else "absent", known, self._note(name))

    def _note(self, name: str) -> str:
        """What the newest has come to, when that is not what serves."""
        newest = self._seen[name][0] if self._seen[name] else {}
        return f"the newest one {_ENDED[newest['status']]}" if newest.get("status") in _ENDED else ""

    def _variables_changed(self, services: Mapping[str, str]) -> dict[str, str]:
        """When one of the variables that a service gets was last changed: its own, shared ones, and referenced ones."""
        place = where(self._vault)
        given = {"id": place["environmentId"], "projectId": place["projectId"]}
        variables = every_page(self._api, VARIABLES.document, VARIABLES.path, given)
        ids = self._vault.held_under("railway.service.")
        changed = {}
        for name, service_id in services.items():
            owners = _owners(service_id, variables, ids)
            changed[name] = max((str(one["updatedAt"]) for one in variables if one["serviceId"] in owners), default="")
        return changed

    def _failure(self, name: str, identifier: str, status: str) -> VendorRefusedError:
        self.look()
        former = self._serving(name)
        still = "the former one still serves" if former else f"nothing of {name} serves"
        said = " | ".join(self._last_lines(name, identifier))
        return VendorRefusedError(
            f"the deployment of {name} {_ENDED[status]}",
            vendor=VENDOR,
            operation="Deploy",
            status=200,
            why=f"its last lines: {said}" if said else self._without_lines,
            state=f"changed in part: deployment {identifier} of {name} does not run, {still}",
            next_step=f"read the log of {name} in Railway, put right what it says, then run the plan again",
        )

    def _last_lines(self, name: str, identifier: str) -> list[str]:
        """Of what the process said, else of the build; masked, since a log may hold anything that the service has."""
        masked = Registry()
        values = variables_of(self._api, self._vault, self._vault.text(f"railway.service.{name}"), is_rendered=True)
        for variable, value in values.items():
            for spelled in (value, value.lower(), value.upper()):
                masked.add(spelled, name=variable)
        return [self._masked(masked, line) for line in self._lines(identifier)]

    def _lines(self, identifier: str) -> list[str]:
        for document, field in ((_OUTPUT, "deploymentLogs"), (_BUILD_LOG, "buildLogs")):
            said = [str(one["message"]).strip() for one in self._api.query(document, {"id": identifier})[field]]
            lines = [line for line in said if line]
            if lines:
                return lines[-_LINES:]
        return []

    def _masked(self, values: Registry, line: str) -> str:
        safe = self._vault.registry.redact(values.redact(line))
        return "(a line that may hold a secret)" if may_hold_secret(safe) else safe[:_LINE_LENGTH]


def _others(listed: Iterable[Mapping[str, Any]], identifier: str) -> list[Mapping[str, Any]]:
    return [one for one in listed if one["status"] in _RUNNING and one["id"] != identifier]


def commit_of(deployment: Mapping[str, Any]) -> str | None:
    return (deployment.get("meta") or {}).get("commitHash")


def digest_of(deployment: Mapping[str, Any]) -> str | None:
    """Of the image that runs, when Railway tells: `meta` has no description. Two builds of a commit have two."""
    return (deployment.get("meta") or {}).get("imageDigest")


def _owners(service_id: str, variables: Iterable[Mapping[str, Any]], ids: Mapping[str, str]) -> set[str | None]:
    """The service, the environment itself, and every service that its variables lead to."""
    listed, owners, reached = list(variables), {None, service_id}, {service_id}
    while reached:
        named = {
            found.group()
            for one in listed
            if one["serviceId"] in reached
            for reference in one["references"]
            if (found := _REFERENCE.match(reference))
        }
        reached = {ids[name] for name in named if name in ids} - owners
        owners |= reached
    return owners
