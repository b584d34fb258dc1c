"""Railway: where a service's code comes from and how it is built and started; nothing here deploys.

`serviceConnect` is not used: it connects every environment of a service, and makes the trigger that deploys each push
(FACTS 2). The repository is set by `serviceInstanceUpdate`, which does not deploy; what is deployed is a commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pantheon_runbook.config import Railway
from pantheon_runbook.errors import RefusedError, VendorError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.commands import command_of, may_hold_secret
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.railway import RailwayApi, every_page
from pantheon_runbook.providers.railway_looks import SERVICES, ask, labels_of
from pantheon_runbook.providers.railway_services import beside_ours, where

# What makes a deployment what it is, by the name that a reader sees; how many run and where is each side's own.
SETTINGS: Mapping[str, str] = {
    "root": "rootDirectory",
    "builder": "builder",
    "build_command": "buildCommand",
    "dockerfile": "dockerfilePath",
    "config_file": "railwayConfigFile",
    "start_command": "startCommand",
    "pre_deploy_command": "preDeployCommand",
    "health_path": "healthcheckPath",
    "health_seconds": "healthcheckTimeout",
    "schedule": "cronSchedule",
}
COMMANDS = frozenset({"build_command", "start_command", "pre_deploy_command"})
PLACES = ("repo", "image")
_INSTANCE_UPDATE = (
    "mutation InstanceUpdate($serviceId: String!, $environmentId: String!, $input: ServiceInstanceUpdateInput!)"
    " { serviceInstanceUpdate(serviceId: $serviceId, environmentId: $environmentId, input: $input) }"
)
_PUSHES = reads("""
query Pushes($projectId: String!, $environmentId: String!, $serviceId: String!) {
  serviceInstanceAutoDeployStatus(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId) {
    enabled
  }
}""")
_PUSHES_UPDATE = (
    "mutation PushesUpdate($input: ServiceInstanceAutoDeployUpdateInput!)"
    " { serviceInstanceAutoDeployUpdate(input: $input) { enabled } }"
)


class ProductionSources(Kind):
    """What staging's services are modelled on; only looked at."""

    prefix = "production/source"

    def __init__(self, api: RailwayApi, *, project_id: str, environment_id: str) -> None:
        self._api = api
        self._where = {"id": environment_id, "projectId": project_id}

    def look(self) -> Look:
        """A token of staging alone is shown none of it, which is no error: staging's own sources can stay."""
        part = ask(self._api, SERVICES, **self._where)
        if part.refused:
            what = f"production's services cannot be read: {part.refused}"
            step = "set source and start command of staging's services in Railway, or use a token that sees production"
            return Look((), (Finding("production-unreadable", self.prefix, what, step, blocks=False),))
        labels = labels_of(part)
        return Look(
            tuple(
                Resource(f"{self.prefix}/{labels[node['serviceId']]}", "present", _with_hosts(node))
                for node in part.found
            )
        )


class SourceKind(Kind):
    """Source and settings of staging's services, and whether a push deploys them, which it must not."""

    prefix = "railway/source"
    looks_after = ("railway/service",)

    def __init__(
        self, api: RailwayApi, settings: Railway, surroundings: Surroundings, *, services: Iterable[str]
    ) -> None:
        self._api = api
        self._settings = settings
        self._vault = surroundings.vault
        self._services = tuple(services)

    def look(self) -> Look:
        if self._vault.get("railway.environment_id") is None:
            return Look()
        place = where(self._vault)
        given = {"id": place["environmentId"], "projectId": place["projectId"]}
        found = every_page(self._api, SERVICES.document, SERVICES.path, given)
        ours = [node for node in found if node["serviceName"] in self._services and not node["deletedAt"]]
        return Look(tuple(self._resource(node) for node in ours))

    def write(self, change: Change) -> None:
        """The settings first: the vendor may let a push deploy with a new source."""
        name = change.address.removeprefix(f"{self.prefix}/")
        self._refuse_other_environments(name)
        place = {**where(self._vault), "serviceId": self._vault.text(f"railway.service.{name}")}
        given = _input(change.after)
        if given:
            instance = {name: place[name] for name in ("serviceId", "environmentId")}
            self._api.mutate(_INSTANCE_UPDATE, {**instance, "input": given})
        try:
            if self._deploys_by_itself(place["serviceId"]):
                self._api.mutate(_PUSHES_UPDATE, {"input": {**place, "enabled": False}})
        except VendorError as error:
            error.state = f"changed in part: the source of {name} is set, and a push may deploy it"
            raise

    def has_landed(self, change: Change, seen: Resource) -> bool:
        return all(seen.attributes.get(name) == want for name, want in change.after.items())

    def _refuse_other_environments(self, name: str) -> None:
        """`serviceInstanceUpdate` sets a service in every environment that is no fork, production's too (FACTS 2)."""
        others = beside_ours(self._api, self._settings, self._vault)
        if others:
            raise RefusedError(
                f'the source of "{name}" was not set: the Railway project has other environments',
                why=f"serviceInstanceUpdate would also set it in {', '.join(others)}",
                next_step=f'set source and commands of "{name}" in {self._settings.environment_name} in Railway\'s '
                "dashboard, or use a project of staging's own",
            )

    def _resource(self, node: Mapping[str, Any]) -> Resource:
        attributes = _attributes(node)
        has_source = any(place in attributes for place in PLACES)
        deploys = self._deploys_by_itself(node["serviceId"])
        address = f"{self.prefix}/{node['serviceName']}"
        return Resource(address, "present" if has_source else "absent", {**attributes, "deploys_by_itself": deploys})

    def _deploys_by_itself(self, service_id: str) -> bool:
        answer = self._api.query(_PUSHES, {**where(self._vault), "serviceId": service_id})
        return bool(answer["serviceInstanceAutoDeployStatus"]["enabled"])


def _attributes(node: Mapping[str, Any]) -> dict[str, Any]:
    """What is set; a command that may hold a secret is not taken out of the vendor's answer."""
    source = {place: value for place in PLACES if (value := (node["source"] or {}).get(place))}
    given = {name: node[field] for name, field in SETTINGS.items() if node[field] not in (None, "", [])}
    said = {name: command_of(value) if name in COMMANDS else value for name, value in given.items()}
    hidden = {name: {"unreadable": True} for name in COMMANDS & said.keys() if may_hold_secret(said[name])}
    return {**source, **said, **hidden}


def _with_hosts(node: Mapping[str, Any]) -> dict[str, Any]:
    """Beside its settings, where production answers: nothing of ours may be sent there."""
    domains = (node["domains"][kind] for kind in ("serviceDomains", "customDomains"))
    return {**_attributes(node), "hosts": sorted(one["domain"] for listed in domains for one in listed)}


def _input(after: Mapping[str, Any]) -> dict[str, Any]:
    """As the vendor takes it: the pre-deploy command is a list there."""
    given = {SETTINGS[name]: value for name, value in after.items() if name in SETTINGS}
    if "preDeployCommand" in given:
        given["preDeployCommand"] = [given["preDeployCommand"]]
    source = {place: after[place] for place in PLACES if place in after}
    return {**given, "source": source} if source else given
