"""Projects, custom environments, teams and the user."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.vercel.pages import route_all
from pantheon_runbook.sandbox.planes.vercel.state import (
    Vercel,
    members_of,
    project_of,
    refuse,
    refuse_body,
    vendor_of,
)
from pantheon_runbook.sandbox.planes.vercel.variables import shown as shown_variable
from pantheon_runbook.sandbox.world import Record

_CUSTOM_ENVIRONMENTS: Final = {"hobby": 0, "pro": 1, "enterprise": 12}
# What is shown once somebody has set it; a project begins without.
_SETTINGS: Final = (
    "buildCommand", "installCommand", "outputDirectory", "rootDirectory", "commandForIgnoringBuildStep",
    "skewProtectionMaxAge", "gitForkProtection", "publicSource", "autoExposeSystemEnvs", "trustedIps",
)  # fmt: skip


class SsoProtection(Body):
    deploymentType: Literal["all", "preview", "prod_deployment_urls_and_all_previews", "all_except_custom_domains"]  # noqa: N815  the vendor's own spelling


class PasswordProtection(SsoProtection):
    password: str | None = None


class ChangedProject(Body):
    """The settings that the runbooks care about; others are taken and ignored."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9]([a-z0-9-._]*)$")] | None = None
    framework: str | None = None
    nodeVersion: Literal["22.x", "20.x", "18.x", "16.x", "14.x", "12.x", "10.x"] | None = None  # noqa: N815  the vendor's own spelling
    autoAssignCustomDomains: bool | None = None  # noqa: N815  the vendor's own spelling
    ssoProtection: SsoProtection | None = None  # noqa: N815  the vendor's own spelling
    passwordProtection: PasswordProtection | None = None  # noqa: N815  the vendor's own spelling
    trustedIps: dict[str, Any] | None = None  # noqa: N815  the vendor's own spelling
    buildCommand: Annotated[str, Field(max_length=256)] | None = None  # noqa: N815  the vendor's own spelling
    installCommand: Annotated[str, Field(max_length=256)] | None = None  # noqa: N815  the vendor's own spelling
    outputDirectory: Annotated[str, Field(max_length=256)] | None = None  # noqa: N815  the vendor's own spelling
    rootDirectory: Annotated[str, Field(max_length=256)] | None = None  # noqa: N815  the vendor's own spelling
    commandForIgnoringBuildStep: Annotated[str, Field(max_length=256)] | None = None  # noqa: N815  the vendor's own spelling
    skewProtectionMaxAge: int | None = None  # noqa: N815  the vendor's own spelling
    gitForkProtection: bool | None = None  # noqa: N815  the vendor's own spelling
    publicSource: bool | None = None  # noqa: N815  the vendor's own spelling
    autoExposeSystemEnvs: bool | None = None  # noqa: N815  the vendor's own spelling


class BranchMatcher(Body):
    type: Literal["equals", "startsWith", "endsWith"]
    pattern: str


class CustomEnvironment(Body):
    slug: Annotated[str, Field(max_length=32)] | None = None
    description: Annotated[str, Field(max_length=256)] | None = None
    branchMatcher: BranchMatcher | None = None  # noqa: N815  the vendor's own spelling
    copyEnvVarsFrom: str | None = None  # noqa: N815  the vendor's own spelling


async def get_user(request: Request) -> Response:
    return JSONResponse({"user": vendor_of(request).memory["users"][request.state.account["user"]]})


async def get_token(request: Request) -> Response:
    """What is known of the token that is presented, by the name "current"; `expiresAt` is left out of a lasting one.

    Source: the vendor's reference, "Get Auth Token Metadata", and @vercel/sdk 1.28.35 (getAuthToken).
    """
    if request.path_params["tokenId"] != "current":
        raise refuse(404, "not_found", "Token not found.")
    account, vendor = request.state.account, vendor_of(request)
    made = vendor.memory["users"][account["user"]].get("createdAt", vendor.now())
    token = {
        "id": "current",
        "name": "pantheon-runbook",
        "type": "token",
        "origin": "manual",
        "scopes": [{"type": "user", "origin": "manual", "createdAt": made}],
        "createdAt": made,
        "activeAt": vendor.now(),
    }
    until = {"expiresAt": account["expiresAt"]} if account.get("expiresAt") else {}
    return JSONResponse({"token": token | until})


async def list_teams(request: Request) -> Response:
    teams = vendor_of(request).memory["teams"]
    found = [_team(request, teams[team_id]) for team_id in request.state.account["teams"]]
    return JSONResponse({"teams": found, "pagination": {"count": len(found), "next": None, "prev": None}})


async def get_team(request: Request) -> Response:
    """By id or slug; 403 for a team of somebody else, as for one that does not exist."""
    wanted = request.path_params["teamId"]
    for team in vendor_of(request).memory["teams"].values():
        if wanted in {team["id"], team["slug"]} and team["id"] in request.state.account["teams"]:
            return JSONResponse(_team(request, team))
    raise refuse(403, "forbidden", "Not authorized")


def _team(request: Request, team: Record) -> Record:
    """`membership` is that of the user whose token asks."""
    user = request.state.account["user"]
    member = members_of(vendor_of(request).memory, team["id"])[user]
    shown = {name: member[name] for name in ("role", "confirmed", "createdAt")}
    membership = {**shown, "created": member["createdAt"], "uid": user, "teamId": team["id"]}
    return {**team, "billing": {"plan": team["plan"]}, "membership": membership}


async def list_projects(request: Request) -> Response:
    """`search` and a limit; one page is enough for this cloud."""
    vendor, search = vendor_of(request), request.query_params.get("search", "")
    found = [
        project
        for project in vendor.projects.values()
        if project["accountId"] == request.state.owner and search in project["name"]
    ]
    pagination = {"count": len(found), "next": None, "prev": None}
    return JSONResponse({"projects": [_shown(vendor, one) for one in found], "pagination": pagination})


async def get_project(request: Request) -> Response:
    return JSONResponse(_shown(vendor_of(request), project_of(request)))


async def update_project(request: Request) -> Response:
    project, vendor = project_of(request), vendor_of(request)
    body = await read(request, ChangedProject, refuse_body)
    changes = body.model_dump(include=body.model_fields_set)
    project |= {**changes, "updatedAt": vendor.now()}
    if "ssoProtection" in changes:
        await route_all(vendor, project)
    return JSONResponse(_shown(vendor, project))


def _shown(vendor: Vercel, project: Record) -> Record:
    deployments = vendor.deployments_of(project)
    live = vendor.deployments.get(project["productionDeploymentId"] or "")
    regions = {"functionDefaultRegions": ["fra1"]}
    names = (
        "id", "name", "accountId", "framework", "nodeVersion", "createdAt", "updatedAt", "link", "ssoProtection",
        "autoAssignCustomDomains", "lastAliasRequest", "protectionBypass",
    )  # fmt: skip
    optional = {"targets": {"production": _summary(live)}} if live else {}
    optional |= {name: project[name] for name in _SETTINGS if name in project}
    password = project.get("passwordProtection")
    return {
        **{name: project[name] for name in names},
        **optional,
        "live": False,
        "passwordProtection": password and {"deploymentType": password["deploymentType"]},
        "directoryListing": False,
        "resourceConfig": regions,
        "defaultResourceConfig": regions,
        "env": [shown_variable(entry, decrypt=False) for entry in project["env"].values()],
        "customEnvironments": list(project["customEnvironments"].values()),
        "latestDeployments": [_summary(one) for one in deployments[:3]],
        "lastRollbackTarget": None,
    }


def _summary(deployment: Record) -> dict[str, Any]:
    names = ("id", "name", "url", "alias", "readyState", "createdAt", "meta")
    known = {name: deployment[name] for name in names}
    optional = {name: deployment[name] for name in ("readySubstate",) if deployment[name] is not None}
    return {
        **known,
        **optional,
        "createdIn": "fra1",
        "creator": {"uid": deployment["creator"], "email": "", "username": "supervisor"},
        "deploymentHostname": deployment["url"].removesuffix(".vercel.app"),
        "plan": "pro",
        "private": True,
        "target": deployment["target"],
        "type": "LAMBDAS",
        "userId": deployment["creator"],
    }


async def list_custom_environments(request: Request) -> Response:
    vendor, project = vendor_of(request), project_of(request)
    environments = list(project["customEnvironments"].values())
    return JSONResponse({"accountLimit": {"total": _limit(vendor, project)}, "environments": environments})


def _limit(vendor: Vercel, project: Record) -> int:
    return _CUSTOM_ENVIRONMENTS[vendor.memory["teams"][project["accountId"]]["plan"]]


async def create_custom_environment(request: Request) -> Response:
    """402 when the plan has none left; `copyEnvVarsFrom` copies variables, production's too."""
    vendor, project = vendor_of(request), project_of(request)
    body = await read(request, CustomEnvironment, refuse_body)
    slug = body.slug or ""
    if not slug or slug.lower() in {"production", "preview", "development"}:
        raise refuse_body("`slug` is missing or reserved.")
    if any(one["slug"] == slug for one in project["customEnvironments"].values()):
        raise refuse(400, "bad_request", f'A custom environment "{slug}" already exists.')
    if len(project["customEnvironments"]) >= _limit(vendor, project):
        raise refuse(402, "payment_required", "The plan has no custom environment left.")
    now = vendor.now()
    environment: Record = {
        "id": f"env_{vendor.world.token('vercel.custom_environment', slug, length=28)}",
        "slug": slug,
        "type": "preview",
        "createdAt": now,
        "updatedAt": now,
        **body.model_dump(include={"description", "branchMatcher"}, exclude_none=True),
    }
    project["customEnvironments"][environment["id"]] = environment
    _copy_variables(vendor, project, body.copyEnvVarsFrom, environment["id"])
    return JSONResponse(environment, 201)


def _copy_variables(vendor: Vercel, project: Record, source: str | None, environment_id: str) -> None:
    for entry in list(project["env"].values()):
        if source is not None and source in {*entry["target"], *entry["customEnvironmentIds"]}:
            copied = {**entry, "target": [], "customEnvironmentIds": [environment_id], "gitBranch": None}
            copied["id"] = vendor.world.token("vercel.env", f"{environment_id}/{entry['key']}", length=16)
            project["env"][copied["id"]] = copied


def _custom_environment(request: Request) -> tuple[Record, Record]:
    project, wanted = project_of(request), request.path_params["environmentSlugOrId"]
    for environment in project["customEnvironments"].values():
        if wanted in {environment["id"], environment["slug"]}:
            return project, environment
    raise refuse(404, "not_found", "Custom environment not found.")


async def get_custom_environment(request: Request) -> Response:
    return JSONResponse(_custom_environment(request)[1])


async def update_custom_environment(request: Request) -> Response:
    _, environment = _custom_environment(request)
    body = await read(request, CustomEnvironment, refuse_body)
    environment |= body.model_dump(include={"slug", "description", "branchMatcher"}, exclude_none=True)
    environment["updatedAt"] = vendor_of(request).now()
    return JSONResponse(environment)


async def delete_custom_environment(request: Request) -> Response:
    project, environment = _custom_environment(request)
    del project["customEnvironments"][environment["id"]]
    return JSONResponse(environment)
