"""Railway's GraphQL API: where staging's services live, the services, their domain and their variables.

An HTTP 200 can carry `errors`; "Not Authorized" is also the answer for an id that does not exist (FACTS 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pantheon_runbook.config import Railway, Service
from pantheon_runbook.errors import (
    AmbiguousTargetError,
    OutcomeUnknownError,
    RefusedError,
    VendorRefusedError,
    VendorUnavailableError,
    WrongEnvironmentError,
)
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of, wait_until
from pantheon_runbook.providers.kind import Kind, Look, Surroundings, pinned_finding, values_have_landed
from pantheon_runbook.secrets import Vault

VENDOR = "railway"
BASE_URL = "https://backboard.railway.com"
REDIS = "Redis"
REDIS_URL = "${{Redis.REDIS_URL}}"
_PATH = "/graphql/v2"
_REFUSALS = ("not authorized", "already exists", "not found", "two factor", "invalid", "validation", "cannot query")

_WORKSPACES = "query Workspaces { apiToken { workspaces { id name } } }"
_PROJECTS = """
query Projects($workspaceId: String, $after: String) {
  projects(workspaceId: $workspaceId, first: 100, after: $after) {
    edges { node {
      id name
      environments { edges { node { id name isEphemeral } } }
      services { edges { node { id name } } }
    } }
    pageInfo { hasNextPage endCursor }
  }
}"""
_INSTANCES = """
query Instances($id: String!, $projectId: String) {
  environment(id: $id, projectId: $projectId) { serviceInstances { edges { node { serviceId serviceName } } } }
}"""
_DOMAINS = """
query Domains($projectId: String!, $environmentId: String!, $serviceId: String!) {
  domains(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId) { serviceDomains { domain } }
}"""
_VARIABLES = """
query Variables($projectId: String!, $environmentId: String!, $serviceId: String) {
  variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId, unrendered: true)
}"""
_TEMPLATE = 'query RedisTemplate { template(code: "redis") { id serializedConfig } }'
_WORKFLOW = "query Workflow($id: String!) { workflowStatus(workflowId: $id) { status error } }"
_PROJECT_CREATE = "mutation ProjectCreate($input: ProjectCreateInput!) { projectCreate(input: $input) { id } }"
_ENVIRONMENT_CREATE = (
    "mutation EnvironmentCreate($input: EnvironmentCreateInput!) { environmentCreate(input: $input) { id } }"
)
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


class RailwayApi:
    """Queries with the patience of reads, mutations sent once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`data` of a query. Errors: VendorRefusedError when Railway says no."""
        operation = f"{_name_of(document)} (query)"
        answer = self._client.read("POST", _PATH, operation=operation, body=_body(document, variables))
        return _data(json_of(answer), operation, is_write=False)

    def mutate(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """`data` of a mutation. Errors: VendorRefusedError (not applied), OutcomeUnknownError."""
        operation = _name_of(document)
        answer = self._client.write("POST", _PATH, operation=operation, body=_body(document, variables))
        return _data(json_of(answer), operation, is_write=True)


def _name_of(document: str) -> str:
    return document.split(None, 2)[1].partition("(")[0]


def _body(document: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """Absent and null differ for Railway, so nulls are left out (FACTS 2)."""
    given = {name: value for name, value in (variables or {}).items() if value is not None}
    return {"query": document, "variables": given, "operationName": _name_of(document)}


def _data(answer: Mapping[str, Any], operation: str, *, is_write: bool) -> dict[str, Any]:
    errors = answer.get("errors") or []
    if not errors:
        return dict(answer["data"])
    message = str(errors[0].get("message", ""))
    if is_write and not any(word in message.lower() for word in _REFUSALS):
        raise OutcomeUnknownError(
            f"railway answered {operation} with an error",
            vendor=VENDOR,
            operation=operation,
            why=message,
            state="unknown until looked up",
            next_step="run the plan again: it looks first",
        )
    raise VendorRefusedError(
        f"railway refused {operation}",
        vendor=VENDOR,
        operation=operation,
        status=200,
        why=message,
        state="nothing was changed by this call",
        next_step="check the railway token and the ids in pantheon.toml: pantheon-runbook doctor",
    )


def check_token(api: RailwayApi, workspace: str | None) -> str:
    """The workspace's name; proves that the token works and reaches it. Reads only."""
    workspaces = api.query(_WORKSPACES)["apiToken"]["workspaces"]
    found = next((entry["name"] for entry in workspaces if workspace in {None, entry["id"]}), None)
    if found is None:
        raise VendorRefusedError(
            f"the railway token does not reach workspace {workspace}",
            vendor=VENDOR,
            operation="read the workspaces",
            status=403,
            why=f"it reaches {', '.join(sorted(entry['id'] for entry in workspaces)) or 'none'}",
            state="nothing was changed",
            next_step="correct environments.<name>.railway.workspace in pantheon.toml, or use another token",
        )
    return str(found)


def _nodes(connection: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in connection["edges"]]


class EnvironmentKind(Kind):
    """The project and environment that staging's services live in.

    Vault: railway.project_id, railway.environment_id.
    """

    prefix = "railway/environment"

    def __init__(
        self, api: RailwayApi, settings: Railway, surroundings: Surroundings, *, production_project: str
    ) -> None:
        self._api = api
        self._settings = settings
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._production_project = production_project

    def look(self) -> Look:
        project = self._project()
        environment = self._environment(project) if project else None
        if project is not None:
            self._vault.hold("railway.project_id", project["id"], secret=False)
        if project is None or environment is None:
            return Look((Resource(self.prefix, "absent"),))
        self._vault.hold("railway.environment_id", environment["id"], secret=False)
        attributes = {"project": project["name"], "name": environment["name"]}
        return Look(
            (Resource(self.prefix, "present", attributes, note=f"environment {environment['id']}"),),
            (),
            {"railway_project": project["id"], "railway_environment": environment["id"]},
        )

    def write(self, change: Change) -> None:
        if self._vault.get("railway.project_id") is None:
            project = {
                "name": self._settings.project_name,
                "workspaceId": self._settings.workspace,
                "defaultEnvironmentName": self._settings.environment_name,
            }
            self._api.mutate(_PROJECT_CREATE, {"input": project})
            return
        # Without sourceEnvironmentId: a copy would bring production's variables along (FACTS 2).
        environment = {
            "projectId": self._vault.text("railway.project_id"),
            "name": self._settings.environment_name,
            "skipInitialDeploys": True,
            "applyChangesInBackground": True,
        }
        self._api.mutate(_ENVIRONMENT_CREATE, {"input": environment})

    def settle(self, change: Change) -> None:
        wait_until(
            lambda: self.look().resources[0].state == "present",
            seconds=self._surroundings.wait_seconds,
            what=f"the Railway environment {self._settings.environment_name}",
            vendor=VENDOR,
            progress=self._surroundings.progress,
        )

    def _project(self) -> dict[str, Any] | None:
        """The shared project by its id; an own one by id, else by name, of which there may be only one."""
        projects = all_projects(self._api, self._settings.workspace)
        is_shared = self._settings.layout == "shared-project"
        named_id = self._production_project if is_shared else self._settings.project
        if named_id is not None:
            return _with_id(projects, named_id)
        named = [entry for entry in projects if entry["name"] == self._settings.project_name]
        if len(named) > 1:
            raise AmbiguousTargetError(
                f'there are {len(named)} Railway projects called "{self._settings.project_name}"',
                why=f"names are not unique: {', '.join(sorted(entry['id'] for entry in named))}",
                state="nothing more was written",
                next_step="delete the ones you do not want, or put the id of the right one into pantheon.toml",
            )
        return named[0] if named else None

    def _environment(self, project: Mapping[str, Any]) -> dict[str, Any] | None:
        return next(
            (node for node in _nodes(project["environments"]) if node["name"] == self._settings.environment_name), None
        )


def _with_id(projects: list[dict[str, Any]], identifier: str) -> dict[str, Any]:
    """The project that pantheon.toml names: a typing error must not make another one."""
    for entry in projects:
        if entry["id"] == identifier:
            return entry
    raise WrongEnvironmentError(
        f"there is no Railway project {identifier} in this workspace",
        why=f"the token reaches {', '.join(sorted(entry['id'] for entry in projects)) or 'none'}",
        next_step="correct environments.<name>.railway in pantheon.toml, or leave the id out to go by name",
    )


def all_projects(api: RailwayApi, workspace: str | None) -> list[dict[str, Any]]:
    """Every project of the workspace, page by page."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = api.query(_PROJECTS, {"workspaceId": workspace, "after": after})["projects"]
        found.extend(_nodes(page))
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


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

    def look(self) -> Look:
        if self._vault.get("railway.environment_id") is None:
            return Look()
        ids = {"id": self._vault.text("railway.environment_id"), "projectId": self._vault.text("railway.project_id")}
        instances = _nodes(self._api.query(_INSTANCES, ids)["environment"]["serviceInstances"])
        names = [instance["serviceName"] for instance in instances]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise AmbiguousTargetError(
                f"there are two Railway services called {', '.join(twice)}",
                why="variables and references go by the service's name",
                state="nothing more was written",
                next_step="delete the one you do not want in Railway, then plan again",
            )
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
        where = {
            "projectId": self._vault.text("railway.project_id"),
            "environmentId": self._vault.text("railway.environment_id"),
        }
        if name != REDIS:
            self._api.mutate(_SERVICE_CREATE, {"input": {**where, "name": name}})
            return
        template = self._api.query(_TEMPLATE)["template"]
        answer = self._api.mutate(
            _TEMPLATE_DEPLOY,
            {"input": {**where, "templateId": template["id"], "serializedConfig": template["serializedConfig"]}},
        )
        self._workflows[change.address] = answer["templateDeployV2"]["workflowId"]

    def settle(self, change: Change) -> None:
        workflow = self._workflows.get(change.address)

        def is_there() -> bool:
            if workflow is not None and self._workflow_runs(workflow):
                return False
            return any(seen.address == change.address for seen in self.look().resources)

        wait_until(
            is_there,
            seconds=self._surroundings.wait_seconds,
            what=f"the Railway service {change.after['name']}",
            vendor=VENDOR,
            progress=self._surroundings.progress,
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

    def _project(self) -> dict[str, Any]:
        project_id = self._vault.text("railway.project_id")
        for entry in all_projects(self._api, self._settings.workspace):
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

    def _refuse_other_environments(self, name: str) -> None:
        """`serviceCreate` makes a service in every environment that is not a fork, production included (FACTS 2)."""
        project = self._project()
        others = [
            node["name"]
            for node in _nodes(project["environments"])
            if node["id"] != self._vault.text("railway.environment_id") and not node["isEphemeral"]
        ]
        if others:
            raise RefusedError(
                f'the service "{name}" was not created in the shared Railway project',
                why=f"serviceCreate would also create it in {', '.join(sorted(others))}",
                next_step=f'add "{name}" to {self._settings.environment_name} in Railway\'s dashboard, or choose '
                'layout = "own-project"',
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
        found = self._api.query(_DOMAINS, {**_where(self._vault), "serviceId": service_id.reveal()})
        domains = sorted(entry["domain"] for entry in found["domains"]["serviceDomains"])
        if not domains:
            return Look()
        self._vault.hold("railway.api_url", f"https://{domains[0]}", secret=False)
        address = f"{self.prefix}/{self._service}"
        return Look((Resource(address, "present", {"public": True}, note=domains[0]),))

    def write(self, change: Change) -> None:
        service_id = self._vault.text(f"railway.service.{self._service}")
        place = {"serviceId": service_id, "environmentId": self._vault.text("railway.environment_id")}
        self._api.mutate(_DOMAIN_CREATE, {"input": place})

    def settle(self, change: Change) -> None:
        wait_until(
            lambda: bool(self.look().resources),
            seconds=self._surroundings.wait_seconds,
            what=f"the public domain of {self._service}",
            vendor=VENDOR,
            progress=self._surroundings.progress,
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
        for service in self._services:
            service_id = self._vault.get(f"railway.service.{service.name}")
            if service_id is None:
                continue
            values = self._read(service_id.reveal())
            address = f"{self.prefix}/{service.name}"
            resources.append(self._resource(address, values))
            findings.extend(self._findings(address, values))
        return Look(tuple(resources), tuple(findings))

    def write(self, change: Change) -> None:
        service = change.address.removeprefix(f"{self.prefix}/")
        variables = {name: self._vault.text(want["from"]) for name, want in sorted(change.after.items())}
        self._api.mutate(
            _VARIABLES_UPSERT,
            {
                "input": {
                    **_where(self._vault),
                    "serviceId": self._vault.text(f"railway.service.{service}"),
                    "variables": variables,
                    "skipDeploys": True,
                }
            },
        )

    def has_landed(self, change: Change, seen: Resource) -> bool:
        return values_have_landed(self._vault, change, seen)

    def _read(self, service_id: str) -> dict[str, str]:
        answer = self._api.query(_VARIABLES, {**_where(self._vault), "serviceId": service_id})
        return {name: value for name, value in answer["variables"].items() if not name.startswith("RAILWAY_")}

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
        pins = self._surroundings.pins
        found = (
            pinned_finding(pins, address, name, self._vault.fingerprint_of(value)) for name, value in values.items()
        )
        return [finding for finding in found if finding is not None]


def _where(vault: Vault) -> dict[str, str]:
    return {
        "projectId": vault.text("railway.project_id"),
        "environmentId": vault.text("railway.environment_id"),
    }
