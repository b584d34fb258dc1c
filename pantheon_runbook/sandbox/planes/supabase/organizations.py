"""Organizations, their projects page by page, and the user behind the token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.supabase.state import (
    message,
    organization_of,
    vendor_of,
    visible_organizations,
)
from pantheon_runbook.sandbox.world import Record

_PAGE_MAX = 100
_SORTS: dict[str, tuple[Callable[[Record], Any], bool]] = {
    "name_asc": (lambda project: project["name"], False),
    "name_desc": (lambda project: project["name"], True),
    "created_asc": (lambda project: project["created_at"], False),
    "created_desc": (lambda project: project["created_at"], True),
}


async def list_organizations(request: Request) -> Response:
    found = [{"id": one["id"], "slug": one["slug"], "name": one["name"]} for one in visible_organizations(request)]
    return JSONResponse(found)


async def get_organization(request: Request) -> Response:
    organization = organization_of(request, request.path_params["slug"])
    return JSONResponse(
        {
            "id": organization["id"],
            "name": organization["name"],
            "plan": organization["plan"],
            "opt_in_tags": [],
            "allowed_release_channels": ["ga", "preview"],
        }
    )


async def list_members(request: Request) -> Response:
    """Who belongs to it, each with one role for all of its projects; at first the owner alone."""
    organization = organization_of(request, request.path_params["slug"])
    return JSONResponse(organization.get("members") or [_owner(request, organization)])


def _owner(request: Request, organization: Record) -> Record:
    email = organization["owner"]
    owner = {"user_name": email.partition("@")[0], "email": email, "role_name": "Owner", "mfa_enabled": True}
    return {"user_id": request.state.account["user"], **owner}


async def list_organization_projects(request: Request) -> Response:
    """One page; filters are applied before the page is cut."""
    slug = organization_of(request, request.path_params["slug"])["slug"]
    query = request.query_params
    offset = _number(query.get("offset", "0"), "offset", 0, None)
    limit = _number(query.get("limit", str(_PAGE_MAX)), "limit", 1, _PAGE_MAX)
    if query.get("sort", "name_asc") not in _SORTS:
        raise message(400, f"sort: Expected one of {', '.join(_SORTS)}")
    key, backwards = _SORTS[query.get("sort", "name_asc")]
    statuses = {status.strip() for status in query.get("statuses", "").split(",") if status.strip()}
    found = [
        project
        for project in vendor_of(request).projects.values()
        if project["organization_slug"] == slug
        and query.get("search", "").lower() in project["name"].lower()
        and (not statuses or project["status"] in statuses)
    ]
    found.sort(key=key, reverse=backwards)
    page = [_summary(project) for project in found[offset : offset + limit]]
    pagination = {"count": len(found), "limit": limit, "offset": offset}
    return JSONResponse({"projects": page, "pagination": pagination})


async def get_profile(request: Request) -> Response:
    users: Record = vendor_of(request).memory["users"]
    return JSONResponse(users[request.state.account["user"]])


def _number(text: str, name: str, minimum: int, maximum: int | None) -> int:
    if not text.isdecimal() or int(text) < minimum or (maximum is not None and int(text) > maximum):
        raise message(400, f"{name}: Expected a whole number from {minimum} to {maximum or 'any'}")
    return int(text)


def _summary(project: Record) -> Record:
    database = {
        "identifier": project["ref"],
        "type": "PRIMARY",
        "status": _database_status(project["status"]),
        "region": project["region"],
        "cloud_provider": "AWS",
        "infra_compute_size": project["instance_size"],
    }
    return {
        "ref": project["ref"],
        "name": project["name"],
        "cloud_provider": "AWS",
        "region": project["region"],
        "is_branch": False,
        "status": project["status"],
        "inserted_at": project["created_at"],
        "databases": [database],
    }


def _database_status(status: str) -> str:
    """A database knows fewer words than a project."""
    known = {"ACTIVE_HEALTHY", "ACTIVE_UNHEALTHY", "COMING_UP", "INIT_FAILED", "RESTORING"}
    return status if status in known else "UNKNOWN"
