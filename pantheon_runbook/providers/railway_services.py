"""Railway, inside one environment: the services, the public domain and the variables of staging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pantheon_runbook.config import Railway, Service
from pantheon_runbook.errors import (
    AmbiguousTargetError,
    RefusedError,
    VendorRefusedError,
    VendorUnavailableError,
)
from pantheon_runbook.kind import Kind, Look, Surroundings, production_finding, values_have_landed
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.railway import VENDOR, RailwayApi, all_projects, nodes, other_environments
from pantheon_runbook.providers.railway_looks import SHARED, VARIABLES, ask
from pantheon_runbook.secrets import Vault

REDIS = "Redis"


REDIS_URL = "${{Redis.REDIS_URL}}"


_INSTANCES = reads("""
query Instances($id: String!, $projectId: String) {
  environment(id: $id, projectId: $projectId) { serviceInstances { edges { node { serviceId serviceName } } } }
}""")


_DOMAINS = reads("""
query Domains($projectId: String!, $environmentId: String!, $serviceId: String!) {
  domains(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId) { serviceDomains { domain } }
}""")


_VARIABLES = reads("""
query Variables($projectId: String!, $environmentId: String!, $serviceId: String, $unrendered: Boolean) {
  variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId, unrendered: $unrendered)
}""")


_TEMPLATE = reads('query RedisTemplate { template(code: "redis") { id serializedConfig } }')


_WORKFLOW = reads("query Workflow($id: String!) { workflowStatus(workflowId: $id) { status error } }")


_SERVICE_CREATE = "mutation ServiceCreate($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }"


_TEMPLATE_DEPLOY = (
    "mutation TemplateDeploy($input: TemplateDeployV2Input!)"
    " { templateDeployV2(input: $input) { projectId workflowId } }"
)


_DOMAIN_CREATE = (
    "mutation DomainCreate($input: ServiceDomainCreateInput!) { serviceDomainCreate(input: $input) { domain } }"
)


_VARIABLES_UPSERT = (
    "mutation VariablesUpsert($input: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $input) }"
)


class ServiceKind(Kind):
    """API and worker without source (RB-020 connects it after migrating), and Redis from Railway's own template.

    Vault: railway.service.<name>, the service's id.
    """

    prefix = "railway/service"
    looks_after = ("railway/environment",)

    def __init__(self, api: RailwayApi, settings: Railway, surroundings: Surroundings) -> None:
        self._api = api
        self._settings = settings
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._workflows: dict[str, str] = {}
        self._ids: tuple[str, ...] = ()

    def ids(self) -> tuple[str, ...]:
        return self._ids

    def look(self) -> Look:
        if self._vault.get("railway.environment_id") is None:
            return Look()
        ids = {"id": self._vault.text("railway.environment_id"), "projectId": self._vault.text("railway.project_id")}
        instances = nodes(self._api.query(_INSTANCES, ids)["environment"]["serviceInstances"])
        names = [instance["serviceName"] for instance in instances]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise AmbiguousTargetError(
                f"there are two Railway services called {', '.join(twice)}",
                why="variables and references go by the service's name",
                state="nothing more was written",
                next_step="delete the one you do not want in Railway, then plan again",
            )
        self._ids = tuple(instance["serviceId"] for instance in instances)
        for instance in instances:
            self._vault.hold(f"railway.service.{instance['serviceName']}", instance["serviceId"], secret=False)
        return Look(
            tuple(
                Resource(f"{self.prefix}/{instance['serviceName']}", "present", {"name": instance["serviceName"]})
                for instance in instances
            )
        )

    def write(self, change: Change) -> None:
        name = str(change.after["name"])
        self._refuse_other_environments(name)
        place = where(self._vault)
        if name != REDIS:
            self._api.mutate(_SERVICE_CREATE, {"input": {**place, "name": name}})
            return
        template = self._api.query(_TEMPLATE)["template"]
        answer = self._api.mutate(
            _TEMPLATE_DEPLOY,
            {"input": {**place, "templateId": template["id"], "serializedConfig": template["serializedConfig"]}},
        )
        self._workflows[change.address] = answer["templateDeployV2"]["workflowId"]

    def settle(self, change: Change) -> None:
        workflow = self._workflows.get(change.address)

        def is_there() -> bool:
            if workflow is not None and self._workflow_runs(workflow):
                return False
            return any(seen.address == change.address for seen in self.look().resources)

        self._surroundings.wait_until(
            is_there,
            what=f"the Railway service {change.after['name']}",
            vendor=VENDOR,
        )

    def seconds_until_seen(self, change: Change) -> float:
        """A template is deployed in the background, and without its answer nothing tells that it is on its way."""
        return self._surroundings.wait_seconds / 30 if change.after["name"] == REDIS else 0.0

    def _workflow_runs(self, workflow: str) -> bool:
        status = self._api.query(_WORKFLOW, {"id": workflow})["workflowStatus"]
        if status["status"] == "Error":
            raise VendorRefusedError(
                "railway could not deploy the Redis template",
                vendor=VENDOR,
                operation="TemplateDeploy",
                status=200,
                why=str(status["error"]),
                state="changed in part: look at the project in Railway",
                next_step="remove a half-made Redis service, then run again",
            )
        return bool(status["status"] == "Running")

    def _refuse_other_environments(self, name: str) -> None:
        """`serviceCreate` makes a service in every environment that is not a fork, production included (FACTS 2)."""
        others = beside_ours(self._api, self._settings, self._vault)
        if others:
            raise RefusedError(
                f'the service "{name}" was not created: the Railway project has other environments',
                why=f"serviceCreate would also create it in {', '.join(others)}",
                next_step=f'add "{name}" to {self._settings.environment_name} in Railway\'s dashboard, or use a '
                "project of staging's own",
            )


class DomainKind(Kind):
    """One public domain of the API service; a second call would make a second one, so it looks first.

    Vault: railway.api_url.
    """

    prefix = "railway/domain"
    looks_after = ("railway/service",)

    def __init__(self, api: RailwayApi, service: str, surroundings: Surroundings) -> None:
        self._api = api
        self._service = service
        self._surroundings = surroundings
        self._vault = surroundings.vault

    def look(self) -> Look:
        service_id = self._vault.get(f"railway.service.{self._service}")
        if service_id is None:
            return Look()
        found = self._api.query(_DOMAINS, {**where(self._vault), "serviceId": service_id.reveal()})
        domains = sorted(entry["domain"] for entry in found["domains"]["serviceDomains"])
        if not domains:
            return Look()
        self._vault.hold("railway.api_url", f"https://{domains[0]}", secret=False)
        address = f"{self.prefix}/{self._service}"
        return Look((Resource(address, "present", {"public": True, "host": domains[0]}, note=domains[0]),))

    def write(self, change: Change) -> None:
        service_id = self._vault.text(f"railway.service.{self._service}")
        place = {"serviceId": service_id, "environmentId": self._vault.text("railway.environment_id")}
        self._api.mutate(_DOMAIN_CREATE, {"input": place})

    def settle(self, change: Change) -> None:
        self._surroundings.wait_until(
            lambda: bool(self.look().resources),
            what=f"the public domain of {self._service}",
            vendor=VENDOR,
        )


class VariablesKind(Kind):
    """Variables of one service, upserted in one call that triggers no deploy; others there are left alone.

    Vault: railway.DATABASE_URL, the one readable copy of the database password.
    """

    prefix = "railway/variables"
    looks_after = ("railway/service",)

    def __init__(self, api: RailwayApi, services: tuple[Service, ...], surroundings: Surroundings) -> None:
        self._api = api
        self._services = services
        self._surroundings = surroundings
        self._vault = surroundings.vault

    def look(self) -> Look:
        resources: list[Resource] = []
        findings: list[Finding] = []
        services = self._vault.held_under("railway.service.")
        for service in self._services:
            service_id = services.pop(service.name, None)
            if service_id is None:
                continue
            values = self._read(service_id)
            address = f"{self.prefix}/{service.name}"
            resources.append(self._resource(address, values))
            findings.extend(self._findings(address, values))
        # What is nobody's of ours may hold production's all the same: other services, and what they all share.
        others: dict[str, str | None] = {"shared": None, **services} if services or resources else {}
        for name, other_id in others.items():
            findings.extend(self._findings(f"{self.prefix}/{name}", self._read(other_id)))
        return Look(tuple(resources), tuple(findings))

    def write(self, change: Change) -> None:
        service = change.address.removeprefix(f"{self.prefix}/")
        variables = {name: self._vault.text(want["from"]) for name, want in sorted(change.after.items())}
        self._api.mutate(
            _VARIABLES_UPSERT,
            {
                "input": {
                    **where(self._vault),
                    "serviceId": self._vault.text(f"railway.service.{service}"),
                    "variables": variables,
                    "skipDeploys": True,
                }
            },
        )

    def has_landed(self, change: Change, seen: Resource) -> bool:
        return values_have_landed(self._vault, change, seen)

    def _read(self, service_id: str | None) -> dict[str, str]:
        return variables_of(self._api, self._vault, service_id, is_rendered=False)

    def _resource(self, address: str, values: Mapping[str, str]) -> Resource:
        for name, value in values.items():
            # Read back, so as secret as any of ours until the plan says otherwise.
            if name == "DATABASE_URL":
                self._vault.hold("railway.DATABASE_URL", value)
            if name == "OPENROUTER_API_KEY":
                self._vault.hold("railway.OPENROUTER_API_KEY", value)
        attributes = {name: {"fingerprint": self._vault.fingerprint_of(value)} for name, value in values.items()}
        return Resource(address, "present" if attributes else "absent", attributes)

    def _findings(self, address: str, values: Mapping[str, str]) -> list[Finding]:
        fingerprint_of = self._vault.fingerprint_of
        found = (
            production_finding(self._surroundings, address, name, fingerprint=fingerprint_of(value), value=value)
            for name, value in values.items()
        )
        return [finding for finding in found if finding is not None]


class ProductionVariables(Kind):
    """Names of what production's services are given: staging lacks those that nobody names a value for."""

    prefix = "production/variables"

    def __init__(self, api: RailwayApi, *, project_id: str, environment_id: str) -> None:
        self._api = api
        self._where = {"id": environment_id, "projectId": project_id}

    def look(self) -> Look:
        """A token that is shown nothing of production tells nothing: then nothing is known to be missing."""
        variables = ask(self._api, VARIABLES, **self._where)
        if variables.refused:
            return Look()
        instances = nodes(self._api.query(_INSTANCES, self._where)["environment"]["serviceInstances"])
        names = {one["serviceId"]: one["serviceName"] for one in instances}
        held: dict[str, list[str]] = {}
        for one in variables.found:
            if not one["name"].startswith("RAILWAY_"):
                held.setdefault(names.get(one["serviceId"], SHARED), []).append(one["name"])
        return Look((Resource(f"{self.prefix}/railway", "present", {key: sorted(held[key]) for key in sorted(held)}),))


def variables_of(api: RailwayApi, vault: Vault, service_id: str | None, *, is_rendered: bool) -> dict[str, str]:
    """What was set for a service, by name; rendered, with references resolved as its processes get them. Reads only."""
    answer = api.query(_VARIABLES, {**where(vault), "serviceId": service_id, "unrendered": not is_rendered})
    return {name: value for name, value in answer["variables"].items() if not name.startswith("RAILWAY_")}


def beside_ours(api: RailwayApi, settings: Railway, vault: Vault) -> list[str]:
    """Names of the project's other environments: what is made or set in one that is no fork reaches them (FACTS 2)."""
    return other_environments(_project(api, settings, vault), vault.text("railway.environment_id"))


def _project(api: RailwayApi, settings: Railway, vault: Vault) -> dict[str, Any]:
    project_id = vault.text("railway.project_id")
    for entry in all_projects(api, settings.workspace):
        if entry["id"] == project_id:
            return entry
    raise VendorUnavailableError(
        "railway does not list the project that it showed before",
        vendor=VENDOR,
        operation="Projects (query)",
        why=f"{project_id} is not among the workspace's projects",
        state="nothing was changed by this call",
        next_step="look at the project in Railway, then run the plan again",
    )


def where(vault: Vault) -> dict[str, str]:
    """Staging's project and environment, as the vendor's inputs call them."""
    return {
        "projectId": vault.text("railway.project_id"),
        "environmentId": vault.text("railway.environment_id"),
    }
