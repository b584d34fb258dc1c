"""What Supabase remembers, and who may see it: tokens, organizations, projects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, cast

from starlette.requests import Request

from pantheon_runbook.sandbox.planes.rates import RateLimit
from pantheon_runbook.sandbox.planes.routes import RefusedError
from pantheon_runbook.sandbox.planes.work import Work
from pantheon_runbook.sandbox.platform import Platform
from pantheon_runbook.sandbox.world import Record, World

# The form the official CLI insists on; the API answers another one as an undecodable token.
_TOKEN = re.compile(r"sbp_(oauth_)?[a-f0-9]{40}")
_FORBIDDEN = "Your account does not have the necessary privileges to access this endpoint."


@dataclass
class Supabase:
    """The vendor at work on one world."""

    world: World
    platform: Platform
    minute: RateLimit = field(default_factory=lambda: RateLimit(60.0))
    work: Work = field(default_factory=Work)

    @property
    def memory(self) -> Record:
        return cast("Record", self.world.document["supabase"])

    @property
    def projects(self) -> dict[str, Record]:
        return cast("dict[str, Record]", self.memory["projects"])

    @property
    def organizations(self) -> dict[str, Record]:
        return cast("dict[str, Record]", self.memory["organizations"])

    def now(self) -> str:
        """UTC as the vendor writes it."""
        return stamp(self.world.now())


def stamp(moment: datetime) -> str:
    """UTC with microseconds: 2026-11-23T07:47:00.000000Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def vendor_of(request: Request) -> Supabase:
    return cast("Supabase", request.app.state.vendor)


def message(status: int, text: str) -> RefusedError:
    """The only error shape that clients of the Management API read."""
    return RefusedError(status, {"message": text})


def refuse_body(why: str) -> RefusedError:
    return message(400, why)


def authenticate(request: Request) -> None:
    """401 without a known token; 429 when its user made too many requests in this minute.

    A token with few permissions has the paths that they do not cover under "denied", as globs.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    vendor = vendor_of(request)
    if scheme.lower() != "bearer" or not token:
        raise message(401, "Unauthorized")
    if not _TOKEN.fullmatch(token):
        raise message(401, "JWT could not be decoded")
    account = vendor.memory["tokens"].get(token)
    if account is None:
        raise message(401, "Unauthorized")
    count = vendor.minute.count(account["user"], vendor.memory["limits"]["requests_per_minute"])
    if count.exceeded:
        seconds = str(count.resets_in_seconds)
        headers = {
            "Retry-After": seconds,
            "X-RateLimit-Limit": str(count.limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": seconds,
        }
        raise RefusedError(429, {"message": "ThrottlerException: Too Many Requests"}, headers)
    if any(fnmatchcase(request.url.path, pattern) for pattern in account.get("denied", ())):
        raise message(403, _FORBIDDEN)
    request.state.account = account


def visible_organizations(request: Request) -> Iterator[Record]:
    """The organizations that this token reaches, in the order of their names."""
    organizations = vendor_of(request).organizations.values()
    allowed = request.state.account["organizations"]
    yield from (one for one in sorted(organizations, key=lambda one: one["name"]) if one["slug"] in allowed)


def organization_of(request: Request, slug: str) -> Record:
    """One organization: 403 when it is somebody else's, and when there is none (no hint which)."""
    if slug not in request.state.account["organizations"]:
        raise message(403, _FORBIDDEN)
    return vendor_of(request).organizations[slug]


def project_of(request: Request) -> Record:
    """The project of the path: 404 when there is none, 403 when its organization is out of reach."""
    ref = request.path_params["ref"]
    if not re.fullmatch(r"[a-z]{20}", ref):
        raise message(400, "ref: String must contain exactly 20 character(s)")
    project = vendor_of(request).projects.get(ref)
    if project is None:
        raise message(404, "Project not found")
    organization_of(request, project["organization_slug"])
    return project


def running_refs(world: World) -> list[str]:
    """Projects whose database server runs."""
    projects: dict[str, Any] = world.document["supabase"].get("projects", {})
    return sorted(ref for ref, project in projects.items() if project["status"] == "ACTIVE_HEALTHY")


def is_up(project: Record) -> bool:
    """Its database answers."""
    return bool(project["status"] == "ACTIVE_HEALTHY")


def require_up(project: Record) -> None:
    """What needs the database is refused until it runs."""
    if not is_up(project):
        raise message(400, f"Project is not active: its status is {project['status']}.")
