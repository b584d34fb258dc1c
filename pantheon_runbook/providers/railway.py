"""Railway's GraphQL API: the calls, and the project and environment where staging's services live.

An HTTP 200 can carry `errors`; "Not Authorized" is also the answer for an id that does not exist (FACTS 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pantheon_runbook.config import Railway
from pantheon_runbook.errors import (
    AmbiguousTargetError,
    OutcomeUnknownError,
    VendorRefusedError,
    WrongEnvironmentError,
)
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Resource, canonical
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.http import GRAPHQL_PATH, Client, json_of

VENDOR = "railway"
BASE_URL = "https://backboard.railway.com"
_REFUSALS = ("not authorized", "already exists", "not found", "two factor", "invalid", "validation", "cannot query")

_WORKSPACES = reads("query Workspaces { apiToken { workspaces { id name } } }")
_PROJECTS = reads("""
query Projects($workspaceId: String, $after: String) {
  projects(workspaceId: $workspaceId, first: 100, after: $after) {
    edges { node {
      id name
      environments { edges { node { id name isEphemeral } } }
      services { edges { node { id name } } }
    } }
    pageInfo { hasNextPage endCursor }
  }
}""")
_ASKS_SCOPE = reads("query ProjectToken { projectToken { projectId environmentId } }")
_PROJECT_SEEN = reads("query ProjectSeen($id: String!) { project(id: $id) { id } }")
_PROJECT_CREATE = "mutation ProjectCreate($input: ProjectCreateInput!) { projectCreate(input: $input) { id } }"
_ENVIRONMENT_CREATE = (
    "mutation EnvironmentCreate($input: EnvironmentCreateInput!) { environmentCreate(input: $input) { id } }"
)


class RailwayApi:
    """Queries with the patience of reads, mutations sent once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.requests_an_hour: int | None = None  # what the last answer said that this token may send

    def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`data` of a query. Errors: VendorRefusedError when Railway says no."""
        operation = f"{_name_of(document)} (query)"
        answer = self._client.read("POST", GRAPHQL_PATH, operation=operation, body=_body(document, variables))
        limit = answer.headers.get("X-RateLimit-Limit", "")
        self.requests_an_hour = int(limit) if limit.isdecimal() else None
        return _data(json_of(answer), operation, is_write=False)

    def remembering(self) -> RailwayApi:
        """For one look from several sides: the same question is sent once."""
        return _RememberingRailway(self._client)

    def mutate(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """`data` of a mutation. Errors: VendorRefusedError (not applied), OutcomeUnknownError."""
        operation = _name_of(document)
        answer = self._client.write("POST", GRAPHQL_PATH, operation=operation, body=_body(document, variables))
        return _data(json_of(answer), operation, is_write=True)


class _RememberingRailway(RailwayApi):
    """Reads alone: what was written would not be seen."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._answers: dict[bytes, dict[str, Any]] = {}

    def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        key = canonical([document, dict(variables or {})])
        if key not in self._answers:
            self._answers[key] = super().query(document, variables)
        return self._answers[key]


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
    reached = workspaces(api)
    found = next((entry["name"] for entry in reached if workspace in {None, entry["id"]}), None)
    if found is None:
        raise VendorRefusedError(
            f"the railway token does not reach workspace {workspace}",
            vendor=VENDOR,
            operation="read the workspaces",
            status=403,
            why=f"it reaches {', '.join(sorted(entry['id'] for entry in reached)) or 'none'}",
            state="nothing was changed",
            next_step="correct environments.<name>.railway.workspace in pantheon.toml, or use another token",
        )
    return str(found)


@dataclass(frozen=True)
class Scope:
    """What a project token is for, by id."""

    project: str
    environment: str


def project_token(api: RailwayApi) -> Scope | None:
    """What the token that comes in Project-Access-Token is for; None when it is no project token. Reads only."""
    try:
        found = api.query(_ASKS_SCOPE)["projectToken"]
    except VendorRefusedError:
        return None
    return Scope(found["projectId"], found["environmentId"])


def sees_project(api: RailwayApi, project_id: str) -> bool:
    """Whether the token is shown this project; what is out of its scope is "not authorized", as what is not there."""
    try:
        api.query(_PROJECT_SEEN, {"id": project_id})
    except VendorRefusedError as error:
        if "not authorized" in error.why.lower():
            return False
        raise
    return True


def workspaces(api: RailwayApi) -> list[dict[str, Any]]:
    """[{"id", "name"}] of every workspace that the token reaches."""
    return list(api.query(_WORKSPACES)["apiToken"]["workspaces"])


def nodes(connection: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in connection["edges"]]


def every_page(
    api: RailwayApi, document: str, path: Sequence[str], given: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """Everything at `path` of the answers, page by page; a list or a single thing has no pages."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        data = api.query(document, {**given, "after": after})
        value: Any = reduce(lambda inner, name: inner[name], path, data)
        if isinstance(value, list):
            return value
        if "edges" not in value:
            return [value]
        found += nodes(value)
        if not value["pageInfo"]["hasNextPage"]:
            return found
        after = value["pageInfo"]["endCursor"]


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
        others = other_environments(project, environment["id"] if environment else None) if project else []
        beside = {"other_environments": others} if others else {}
        if project is None:
            return Look((Resource(self.prefix, "absent"),))
        if environment is None:
            return Look((Resource(self.prefix, "absent", beside),), (), {"railway_project": project["id"]})
        self._vault.hold("railway.environment_id", environment["id"], secret=False)
        attributes = {"project": project["name"], "name": environment["name"], **beside}
        return Look(
            (Resource(self.prefix, "present", attributes, note=f"environment {environment['id']}"),),
            (),
            {"railway_project": project["id"], "railway_environment": environment["id"]},
        )

    def ids(self) -> tuple[str, ...]:
        return self._vault.texts("railway.project_id", "railway.environment_id")

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

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def settle(self, change: Change) -> None:
        self._surroundings.wait_until(
            lambda: self.look().resources[0].state == "present",
            what=f"the Railway environment {self._settings.environment_name}",
            vendor=VENDOR,
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
        """By its name; where pantheon.toml gives the id too, both have to be of one environment."""
        wanted, found = self._settings, nodes(project["environments"])
        named = next((node for node in found if node["name"] == wanted.environment_name), None)
        if wanted.environment is not None and (named is None or named["id"] != wanted.environment):
            there = ", ".join(sorted(f"{node['name']} {node['id']}" for node in found)) or "none"
            raise WrongEnvironmentError(
                f'the Railway project has no environment "{wanted.environment_name}" with the id {wanted.environment}',
                why=f"it has {there}",
                next_step="correct environments.<name>.railway in pantheon.toml, or leave the id out to go by name",
            )
        return named


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


def other_environments(project: Mapping[str, Any], own_id: str | None) -> list[str]:
    """Names of the environments besides ours that are no forks: `serviceCreate` would reach them too (FACTS 2)."""
    return sorted(
        node["name"] for node in nodes(project["environments"]) if node["id"] != own_id and not node["isEphemeral"]
    )


def all_projects(api: RailwayApi, workspace: str | None, *, document: str = _PROJECTS) -> list[dict[str, Any]]:
    """Every project of the workspace; `document` asks for more of each."""
    return every_page(api, document, ("projects",), {"workspaceId": workspace})
