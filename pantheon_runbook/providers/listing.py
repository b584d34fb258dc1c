"""What the tokens see at each vendor: reads only, and no value of a variable leaves these functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pantheon_runbook.isolation.survey import (
    Names,
    RailwayEnvironment,
    RailwayService,
    SupabaseProject,
    VercelProject,
)
from pantheon_runbook.providers import railway, supabase
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.vercel_reading import PRODUCTION, Reading, targets_of

_STORES = re.compile(r"redis|valkey|postgres|mysql|mariadb|mongo|clickhouse", re.IGNORECASE)
_PAGE = 100
_SURVEY = reads("""
query Survey($workspaceId: String, $after: String) {
  projects(workspaceId: $workspaceId, first: 50, after: $after) {
    edges { node {
      id name
      environments { edges { node {
        id name isEphemeral
        serviceInstances { edges { node {
          serviceId serviceName rootDirectory
          source { image repo }
          domains { serviceDomains { domain } customDomains { domain } }
        } } }
      } } }
    } }
    pageInfo { hasNextPage endCursor }
  }
}""")
_VARIABLE_NAMES = reads("""
query VariableNames($id: String!, $projectId: String, $after: String) {
  environment(id: $id, projectId: $projectId) {
    variables(first: 200, after: $after) {
      edges { node { name serviceId isSealed } }
      pageInfo { hasNextPage endCursor }
    }
  }
}""")


def supabase_projects(client: Client) -> tuple[SupabaseProject, ...]:
    """Projects of every organization, by name; branches and removed ones are left out."""
    organizations = json_of(client.read("GET", "/v1/organizations", operation="list organizations"))
    found = [project for organization in organizations for project in _projects_of(client, organization)]
    return tuple(sorted(found, key=lambda one: (one.name, one.ref)))


def _projects_of(client: Client, organization: Mapping[str, Any]) -> Iterator[SupabaseProject]:
    slug = str(organization["slug"])
    plan = supabase.check_token(client, slug)
    for project in supabase.all_projects(client, slug):
        if not project.get("is_branch") and project["status"] != "REMOVED":
            seen = {name: str(project[name]) for name in ("ref", "name", "region", "status")}
            yield SupabaseProject(**seen, organization=slug, organization_name=str(organization["name"]), plan=plan)


def railway_environments(api: railway.RailwayApi) -> tuple[RailwayEnvironment, ...]:
    """Lasting environments of every project in every workspace, by project and name."""
    found = [
        _environment(workspace, project, environment)
        for workspace in railway.workspaces(api)
        for project in railway.all_projects(api, workspace["id"], document=_SURVEY)
        for environment in railway.nodes(project["environments"])
        if not environment["isEphemeral"]
    ]
    return tuple(sorted(found, key=lambda one: (one.project, one.name, one.id)))


def _environment(
    workspace: Mapping[str, Any], project: Mapping[str, Any], environment: Mapping[str, Any]
) -> RailwayEnvironment:
    services = [_service(instance) for instance in railway.nodes(environment["serviceInstances"])]
    return RailwayEnvironment(
        id=environment["id"],
        name=environment["name"],
        project_id=project["id"],
        project=project["name"],
        workspace_id=workspace["id"],
        workspace=workspace["name"],
        services=tuple(sorted(services, key=lambda one: one.name)),
    )


def _service(instance: Mapping[str, Any]) -> RailwayService:
    domains = instance["domains"]
    source = instance["source"] or {}
    built = source.get("repo")
    return RailwayService(
        id=instance["serviceId"],
        name=instance["serviceName"],
        root=(instance["rootDirectory"] or ".").strip("/") or ".",
        hosts=tuple(sorted(one["domain"] for one in (*domains["serviceDomains"], *domains["customDomains"]))),
        is_store=not built and _STORES.search(source.get("image") or instance["serviceName"]) is not None,
    )


def vercel_projects(client: Client) -> tuple[VercelProject, ...]:
    """Projects of every team, by team and name."""
    found = [_vercel_project(team, project) for team in _teams(client) for project in _of_team(client, team["id"])]
    return tuple(sorted(found, key=lambda one: (one.team, one.team_id, one.name)))


def _teams(client: Client) -> Iterator[dict[str, Any]]:
    def page(after: Mapping[str, str]) -> Any:
        params = {"limit": str(_PAGE), **after}
        return json_of(client.read("GET", "/v2/teams", operation="list teams", params=params))

    return _pages(page, "teams", cursor="until")


def _of_team(client: Client, team_id: str) -> Iterator[dict[str, Any]]:
    def page(after: Mapping[str, str]) -> Any:
        params = {"teamId": team_id, "limit": str(_PAGE), **after}
        return json_of(client.read("GET", "/v10/projects", operation="list Vercel projects", params=params))

    return _pages(page, "projects", cursor="from")


def _vercel_project(team: Mapping[str, Any], project: Mapping[str, Any]) -> VercelProject:
    live = (project.get("targets") or {}).get("production") or {}
    return VercelProject(
        id=project["id"],
        name=project["name"],
        team_id=team["id"],
        team=team["slug"],
        framework=project.get("framework") or "",
        branch=(project.get("link") or {}).get("productionBranch") or "main",
        hosts=tuple(sorted(live.get("alias") or ())),
    )


def _pages(page: Callable[[Mapping[str, str]], Any], held_in: str, *, cursor: str) -> Iterator[dict[str, Any]]:
    """Entries of every page; `cursor` is the parameter that the next one is asked for with."""
    after: dict[str, str] = {}
    while True:
        answer = page(after)
        yield from answer[held_in]
        following = answer["pagination"]["next"]
        if following is None:
            return
        after = {cursor: str(following)}


def variable_names(
    *,
    supabase_client: Client,
    api: railway.RailwayApi,
    vercel_client: Client,
    production: RailwayEnvironment,
    project: VercelProject,
    ref: str,
) -> Names:
    """What production's variables are called at the three vendors.

    Railway is asked for names only. Vercel sends readable values along and Supabase digests: both end here.
    """
    listed = {(node["name"], node["serviceId"]) for node in railway_variables(api, production)}
    shared = {name for name, service_id in listed if service_id is None}
    by_service = {
        service.name: tuple(sorted(shared | {name for name, owner in listed if owner == service.id}))
        for service in production.services
    }
    return Names(by_service, _vercel_names(vercel_client, project), _edge_secrets(supabase_client, ref))


def railway_variables(api: railway.RailwayApi, production: RailwayEnvironment) -> list[dict[str, Any]]:
    """{"name", "serviceId" (None: shared), "isSealed"} of each variable of one environment; no values."""
    given = {"id": production.id, "projectId": production.project_id}
    listed = railway.every_page(api, _VARIABLE_NAMES, ("environment", "variables"), given)
    return [node for node in listed if not node["name"].startswith("RAILWAY_")]


def _vercel_names(client: Client, project: VercelProject) -> tuple[str, ...]:
    entries = Reading(client, project=project.id, team=project.team_id).every_variable()
    return tuple(sorted({entry["key"] for entry in entries if PRODUCTION in targets_of(entry)}))


def _edge_secrets(client: Client, ref: str) -> tuple[str, ...]:
    """Of a paused or restricted project they cannot be read: that is no reason not to begin."""
    path = f"/v1/projects/{ref}/secrets"
    answer = client.read("GET", path, operation="list edge-function secrets", accept=frozenset({400, 403, 404}))
    entries = json_of(answer) if answer.is_success else []
    return tuple(sorted(entry["name"] for entry in entries if not entry["name"].startswith("SUPABASE_")))
