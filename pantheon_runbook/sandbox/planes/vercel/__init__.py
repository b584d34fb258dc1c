"""Vercel: https://api.vercel.com. The version in a path is optional, and every version of it is answered alike."""

from __future__ import annotations

import re
from dataclasses import replace

from starlette.applications import Starlette
from starlette.requests import Request

from pantheon_runbook.sandbox.planes import routes
from pantheon_runbook.sandbox.planes.routes import Handler, Operation
from pantheon_runbook.sandbox.planes.vercel import deployments, domains, env, projects, promotion, teams
from pantheon_runbook.sandbox.planes.vercel.described import describe_matched
from pantheon_runbook.sandbox.planes.vercel.pages import advance
from pantheon_runbook.sandbox.planes.vercel.seed import seed_production
from pantheon_runbook.sandbox.planes.vercel.state import Vercel, authenticate, refuse
from pantheon_runbook.sandbox.world import World

__all__ = ["Vercel", "advance", "application", "describe", "seed_production"]

_VERSION = re.compile(r"^/v(\d+)(?=/)")
# A client that names no version gets the newest behaviour.
_NEWEST = 99


def _reads(method: str, template: str, handler: Handler) -> Operation:
    return _unversioned(routes.reads(method, template, handler))


def _writes(method: str, template: str, handler: Handler) -> Operation:
    return _unversioned(routes.writes(method, template, handler))


def _unversioned(operation: Operation) -> Operation:
    bare = _VERSION.sub("", operation.template)
    return replace(operation, template=bare, documented=operation.template)


OPERATIONS = (
    _reads("GET", "/v2/user", projects.get_user),
    _reads("GET", "/v5/user/tokens/{tokenId}", projects.get_token),
    _reads("GET", "/v2/teams", projects.list_teams),
    _reads("GET", "/v2/teams/{teamId}", projects.get_team),
    _reads("GET", "/v3/teams/{teamId}/members", teams.list_members),
    _reads("GET", "/v1/env", teams.list_shared),
    _writes("POST", "/v1/env", teams.create_shared),
    _reads("GET", "/v10/projects", projects.list_projects),
    _reads("GET", "/v9/projects/{idOrName}", projects.get_project),
    _writes("PATCH", "/v9/projects/{idOrName}", projects.update_project),
    _reads("GET", "/v9/projects/{idOrName}/domains", domains.list_domains),
    _writes("POST", "/v10/projects/{idOrName}/domains", domains.add_domain),
    _writes("PATCH", "/v9/projects/{idOrName}/domains/{domain}", domains.update_domain),
    _writes("DELETE", "/v9/projects/{idOrName}/domains/{domain}", domains.remove_domain),
    _reads("GET", "/v10/projects/{idOrName}/env", env.list_env),
    _writes("POST", "/v10/projects/{idOrName}/env", env.create_env),
    _writes("DELETE", "/v1/projects/{idOrName}/env", env.delete_many),
    _reads("GET", "/v1/projects/{idOrName}/env/{id}", env.get_env),
    _writes("PATCH", "/v9/projects/{idOrName}/env/{id}", env.update_env),
    _writes("DELETE", "/v9/projects/{idOrName}/env/{id}", env.delete_env),
    _reads("GET", "/v3/env/pull/{projectId}/{target}", env.pull),
    _reads("GET", "/v9/projects/{idOrName}/custom-environments", projects.list_custom_environments),
    _writes("POST", "/v9/projects/{idOrName}/custom-environments", projects.create_custom_environment),
    _reads(
        "GET",
        "/v9/projects/{idOrName}/custom-environments/{environmentSlugOrId}",
        projects.get_custom_environment,
    ),
    _writes(
        "PATCH",
        "/v9/projects/{idOrName}/custom-environments/{environmentSlugOrId}",
        projects.update_custom_environment,
    ),
    _writes(
        "DELETE",
        "/v9/projects/{idOrName}/custom-environments/{environmentSlugOrId}",
        projects.delete_custom_environment,
    ),
    _writes("PATCH", "/v1/projects/{idOrName}/protection-bypass", promotion.update_protection_bypass),
    _reads("GET", "/v1/projects/{projectId}/promote/aliases", promotion.promote_aliases),
    _writes("POST", "/v10/projects/{projectId}/promote/{deploymentId}", promotion.promote),
    _writes("POST", "/v1/projects/{projectId}/rollback/{deploymentId}", promotion.rollback),
    _reads("GET", "/v6/deployments", deployments.list_deployments),
    _writes("POST", "/v13/deployments", deployments.create_deployment),
    _reads("GET", "/v13/deployments/{idOrUrl}", deployments.get_deployment),
)


def application(vendor: Vercel) -> Starlette:
    """https://api.vercel.com, with and without versions in the path."""
    return routes.application(
        [versioned for operation in OPERATIONS for versioned in _both(operation)],
        vendor=vendor,
        guard=_guard,
        error_body=lambda status, detail: {"error": {"code": f"http_{status}", "message": detail}},
    )


def _both(operation: Operation) -> tuple[Operation, Operation]:
    return replace(operation, template=f"/v{{version:int}}{operation.template}"), operation


def _guard(request: Request) -> None:
    """The token, the team, and then what the role of the token's user keeps from it."""
    request.state.version = request.path_params.get("version", _NEWEST)
    authenticate(request)
    found = routes.match(OPERATIONS, request.method, _VERSION.sub("", request.url.path))
    if found is not None and found.operation.name in request.state.account.get("denied", ()):
        raise refuse(403, "forbidden", "You don't have permission to do this.")


def describe(method: str, path: str, body: bytes, world: World) -> routes.Described:
    """The operation's documented path, whatever version was asked for; see `described` for the environment."""
    found = routes.match(OPERATIONS, method, _VERSION.sub("", path))
    if found is None:
        return routes.undocumented(method, path)
    return describe_matched(found, body, world)
