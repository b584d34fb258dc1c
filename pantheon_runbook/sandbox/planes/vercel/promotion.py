"""What changes which build the production domains show, and what opens protected ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, ClosedBody, read
from pantheon_runbook.sandbox.planes.vercel.pages import is_moving, move, route_all
from pantheon_runbook.sandbox.planes.vercel.state import (
    Vercel,
    deployment_of,
    project_of,
    refuse,
    refuse_body,
    vendor_of,
)
from pantheon_runbook.sandbox.world import Record

BypassSecret = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]{32}$")]


class Generate(Body):
    secret: BypassSecret | None = None
    note: str | None = None


class Revoke(Body):
    secret: str
    regenerate: bool


class Update(Body):
    secret: str
    isEnvVar: bool | None = None  # noqa: N815  the vendor's own spelling
    note: str | None = None


class ProtectionBypass(ClosedBody):
    generate: Generate | None = None
    revoke: Revoke | None = None
    update: Update | None = None


async def promote(request: Request) -> Response:
    """201: the build as it is takes the production domains a while later; no rebuild."""
    project, deployment = _production_build(request)
    if project["productionDeploymentId"] == deployment["id"]:
        raise refuse(409, "conflict", "The deployment is already the current production deployment.")
    _take_over(vendor_of(request), project, deployment, kind="promote")
    return Response(status_code=201)


async def rollback(request: Request) -> Response:
    """201: back to a build that was live before; domains are not assigned by themselves from then on."""
    vendor = vendor_of(request)
    project, deployment = _production_build(request)
    if deployment["readySubstate"] != "PROMOTED" or project["productionDeploymentId"] == deployment["id"]:
        raise refuse(400, "bad_request", "The deployment is not a candidate for a rollback.")
    if vendor.memory["teams"][project["accountId"]]["plan"] == "hobby" and not _is_previous(
        vendor, project, deployment
    ):
        raise refuse(402, "payment_required", "On this plan only the previous production deployment can be restored.")
    _take_over(vendor, project, deployment, kind="rollback")
    project["autoAssignCustomDomains"] = False
    return Response(status_code=201)


def _is_previous(vendor: Vercel, project: Record, deployment: Record) -> bool:
    promoted = [
        one
        for one in vendor.deployments_of(project)
        if one["readySubstate"] == "PROMOTED" and one["id"] != project["productionDeploymentId"]
    ]
    return bool(promoted and promoted[0]["id"] == deployment["id"])


def _production_build(request: Request) -> tuple[Record, Record]:
    project, deployment = project_of(request, "projectId"), deployment_of(request, "deploymentId")
    if deployment["projectId"] != project["id"]:
        raise refuse(404, "not_found", "The deployment could not be found.")
    if deployment["target"] != "production" or deployment["readyState"] != "READY":
        raise refuse(400, "bad_request", "Only a finished production build can take the production domains.")
    return project, deployment


def _take_over(vendor: Vercel, project: Record, deployment: Record, *, kind: str) -> None:
    """Asked for now, done in the background; a second one waits for nobody."""
    if is_moving(project):
        raise refuse(409, "conflict", "Another change of the production domains is in progress.")
    project["lastAliasRequest"] = {
        "fromDeploymentId": project["productionDeploymentId"],
        "toDeploymentId": deployment["id"],
        "jobStatus": "pending",
        "requestedAt": vendor.now(),
        "type": kind,
    }
    move(vendor, project)


async def promote_aliases(request: Request) -> Response:
    """How far the last promotion's domains are; an empty object when there was none."""
    project = project_of(request, "projectId")
    if project["lastAliasRequest"] is None:
        return JSONResponse({})
    failed_only = request.query_params.get("failedOnly", "false") == "true"
    status = "in-progress" if is_moving(project) else "completed"
    aliases = [
        {"status": status, "alias": domain, "id": f"als_{project['id'].removeprefix('prj_')}"}
        for domain in project["domains"]
        if not failed_only
    ]
    return JSONResponse({"aliases": aliases, "pagination": {"count": len(aliases), "next": None, "prev": None}})


async def update_protection_bypass(request: Request) -> Response:
    """The secrets are the keys of the answer."""
    project, vendor = project_of(request), vendor_of(request)
    body = await read(request, ProtectionBypass, refuse_body)
    known: dict[str, Record] = project["protectionBypass"]
    user = request.state.account["user"]
    if body.revoke is not None:
        if known.pop(body.revoke.secret, None) is None:
            raise refuse(404, "not_found", "The secret to revoke does not exist.")
        if body.revoke.regenerate:
            _generate(vendor, project, Generate(), user)
    if body.update is not None:
        if body.update.secret not in known:
            raise refuse(404, "not_found", "The secret to update does not exist.")
        known[body.update.secret] |= body.update.model_dump(include={"isEnvVar", "note"}, exclude_none=True)
    if body.generate is not None or (body.revoke is None and body.update is None):
        _generate(vendor, project, body.generate or Generate(), user)
    await route_all(vendor, project)
    return JSONResponse({"protectionBypass": known})


def _generate(vendor: Vercel, project: Record, wanted: Generate, user: str) -> None:
    known: dict[str, Record] = project["protectionBypass"]
    secret = wanted.secret or vendor.world.token("vercel.bypass", project["id"], length=32)
    if secret in known:
        raise refuse(409, "conflict", "The secret exists already.")
    made: Record = {"createdAt": vendor.now(), "createdBy": user, "scope": "automation-bypass"}
    made |= {} if wanted.note is None else {"note": wanted.note}
    known[secret] = made | {"isEnvVar": not known}
