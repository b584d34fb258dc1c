"""Who belongs to a team with which role, and the variables that a team shares among its projects.

Neither is in the published description of 2025-10; the shapes are those of the vendor's own SDK 1.28.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.vercel.state import members_of, refuse, refuse_body, vendor_of
from pantheon_runbook.sandbox.planes.vercel.variables import Target
from pantheon_runbook.sandbox.world import Record


async def list_members(request: Request) -> Response:
    """The newest first."""
    vendor, wanted = vendor_of(request), request.path_params["teamId"]
    for team in vendor.memory["teams"].values():
        if wanted in {team["id"], team["slug"]} and team["id"] in request.state.account["teams"]:
            found = sorted(members_of(vendor.memory, team["id"]).items(), key=lambda one: -one[1]["createdAt"])
            members = [_member(vendor.memory["users"][uid], member) for uid, member in found]
            pagination = {"hasNext": False, "count": len(members), "next": None, "prev": None}
            return JSONResponse({"members": members, "pagination": pagination})
    raise refuse(403, "forbidden", "Not authorized")


def _member(user: Record, member: Record) -> Record:
    return {
        **{name: user[name] for name in ("email", "username", "name")},
        **{name: member[name] for name in ("role", "confirmed", "createdAt", "projects") if name in member},
        "uid": user["id"],
    }


class SharedEntry(Body):
    key: str
    value: str
    comment: Annotated[str, Field(max_length=500)] | None = None


class SharedVariables(Body):
    """One request makes several variables of one type for the same targets and projects."""

    evs: list[SharedEntry]
    type: Literal["encrypted", "sensitive", "plain"] = "encrypted"
    target: list[Target]
    projectId: list[str]  # noqa: N815  the vendor's own spelling


async def list_shared(request: Request) -> Response:
    """Of the team in scope, or of one of its projects; no value of one that is not plain."""
    project = request.query_params.get("projectId")
    found = [
        _shown(one)
        for one in vendor_of(request).memory.get("sharedEnv", {}).values()
        if one["ownerId"] == request.state.owner and project in {None, *one["projectId"]}
    ]
    return JSONResponse({"data": found, "pagination": {"count": len(found), "next": None, "prev": None}})


async def create_shared(request: Request) -> Response:
    vendor, owner = vendor_of(request), request.state.owner
    body, now = await read(request, SharedVariables, refuse_body), vendor_of(request).now()
    made = []
    for entry in body.evs:
        variable: Record = {
            **entry.model_dump(),
            **body.model_dump(exclude={"evs"}),
            "id": f"env_{vendor.world.token('vercel.shared_env', f'{owner}/{entry.key}', length=28)}",
            "ownerId": owner,
            "createdAt": now,
            "updatedAt": now,
        }
        vendor.memory.setdefault("sharedEnv", {})[variable["id"]] = variable
        made.append(_shown(variable))
    return JSONResponse({"created": made, "failed": []}, 201)


def _shown(variable: Record) -> Record:
    """Only a plain one's value is shown in a list."""
    readable = variable["type"] == "plain"
    created = datetime.fromtimestamp(variable["createdAt"] / 1000, UTC).isoformat().replace("+00:00", "Z")
    kept = {name: value for name, value in variable.items() if value is not None and (readable or name != "value")}
    return {**kept, "created": created, "decrypted": readable, "securityIssues": []}
