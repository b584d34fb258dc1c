"""What Vercel remembers, and which team or personal account a request is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request

from pantheon_runbook.sandbox.planes.routes import RefusedError
from pantheon_runbook.sandbox.planes.work import Work
from pantheon_runbook.sandbox.platform import Platform
from pantheon_runbook.sandbox.world import Record, World


@dataclass
class Vercel:
    """The vendor at work on one world."""

    world: World
    platform: Platform
    work: Work = field(default_factory=Work)

    @property
    def memory(self) -> Record:
        return cast("Record", self.world.document["vercel"])

    @property
    def projects(self) -> dict[str, Record]:
        return cast("dict[str, Record]", self.memory["projects"])

    @property
    def deployments(self) -> dict[str, Record]:
        return cast("dict[str, Record]", self.memory["deployments"])

    def now(self) -> int:
        """Milliseconds since 1970, UTC."""
        return milliseconds(self.world)

    def deployments_of(self, project: Record) -> list[Record]:
        """The newest first."""
        found = [one for one in self.deployments.values() if one["projectId"] == project["id"]]
        return sorted(found, key=lambda one: -one["number"])

    def team_slug(self, project: Record) -> str:
        return str(self.memory["teams"][project["accountId"]]["slug"])


def milliseconds(world: World) -> int:
    return int(world.now().timestamp() * 1000)


def members_of(memory: Record, team_id: str) -> dict[str, Record]:
    """Who belongs to a team: role, since when, and for a contributor the roles in single projects; by user id."""
    return cast("dict[str, Record]", memory["members"].get(team_id, {}))


def vendor_of(request: Request) -> Vercel:
    return cast("Vercel", request.app.state.vendor)


def refuse(status: int, code: str, text: str, **more: object) -> RefusedError:
    """The one error shape of this vendor."""
    return RefusedError(status, {"error": {"code": code, "message": text, **more}})


def refuse_body(why: str) -> RefusedError:
    return refuse(400, "bad_request", f"Invalid request: {why}")


def authenticate(request: Request) -> None:
    """403 with `invalidToken`, as this vendor answers a token that it does not know; then the scope."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    memory = vendor_of(request).memory
    account = memory["tokens"].get(token) if scheme.lower() == "bearer" else None
    if not token:
        raise refuse(401, "unauthorized", "Authentication required")
    if account is None:
        raise refuse(403, "forbidden", "Not authorized", invalidToken=True)
    request.state.account = account
    request.state.owner = _owner(request, account)


def _owner(request: Request, account: Record) -> str:
    """The id of the team that `teamId` or `slug` names; without either the user's own account."""
    teams: dict[str, Record] = vendor_of(request).memory["teams"]
    team_id, slug = request.query_params.get("teamId"), request.query_params.get("slug")
    if team_id is None and slug is None:
        return str(account["user"])
    for team in teams.values():
        if team_id in {team["id"], team["slug"]} or (team_id is None and team["slug"] == slug):
            if team["id"] in account["teams"]:
                return str(team["id"])
            break
    raise refuse(403, "forbidden", "Not authorized")


def project_of(request: Request, name: str = "idOrName") -> Record:
    """The project of the path, in the scope of the request only."""
    wanted = request.path_params[name]
    for project in vendor_of(request).projects.values():
        if wanted in {project["id"], project["name"]} and project["accountId"] == request.state.owner:
            return project
    raise refuse(404, "not_found", "Project not found.")


def deployment_of(request: Request, name: str) -> Record:
    """A deployment by id or by one of its hosts, in the scope of the request only."""
    vendor, wanted = vendor_of(request), request.path_params[name]
    for deployment in vendor.deployments.values():
        if wanted in {deployment["id"], deployment["url"], *deployment["alias"]}:
            if vendor.projects[deployment["projectId"]]["accountId"] == request.state.owner:
                return deployment
            break
    raise refuse(404, "not_found", "The deployment could not be found.")
