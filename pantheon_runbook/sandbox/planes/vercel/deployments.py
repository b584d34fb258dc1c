"""Deployments: list, read, create."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import ClosedBody, read
from pantheon_runbook.sandbox.planes.vercel.pages import deployment_host, work
from pantheon_runbook.sandbox.planes.vercel.state import (
    Vercel,
    deployment_of,
    refuse,
    refuse_body,
    vendor_of,
)
from pantheon_runbook.sandbox.world import AUTHOR, Record

_PAGE_MAX: Final = 100
_PAGE: Final = 20


class CreateDeployment(ClosedBody):
    """`autoAssignCustomDomains` is what the CLI sends for --skip-domain; it is not in the published description."""

    name: str
    project: str | None = None
    target: str | None = None
    deploymentId: str | None = None  # noqa: N815  the vendor's own spelling
    gitSource: dict[str, Any] | None = None  # noqa: N815  the vendor's own spelling
    gitMetadata: dict[str, Any] | None = None  # noqa: N815  the vendor's own spelling
    meta: dict[str, Annotated[str, Field(max_length=65536)]] | None = None
    files: list[dict[str, Any]] | None = None
    projectSettings: dict[str, Any] | None = None  # noqa: N815  the vendor's own spelling
    customEnvironmentSlugOrId: str | None = None  # noqa: N815  the vendor's own spelling
    monorepoManager: str | None = None  # noqa: N815  the vendor's own spelling
    withLatestCommit: bool = False  # noqa: N815  the vendor's own spelling
    autoAssignCustomDomains: bool = True  # noqa: N815  the vendor's own spelling


def new_deployment(
    vendor: Vercel, project: Record, *, target: str | None, git_source: Record | None, user: str
) -> Record:
    """The memory of one deployment that is QUEUED."""
    earlier = vendor.deployments_of(project)
    number = earlier[0]["number"] + 1 if earlier else 1
    now = vendor.now()
    unique = vendor.world.token("vercel.deployment.host", project["id"], length=9)
    return {
        "id": f"dpl_{vendor.world.token('vercel.deployment', project['id'], length=28)}",
        "number": number,
        "projectId": project["id"],
        "name": project["name"],
        "url": deployment_host(project, unique, vendor.team_slug(project)),
        "alias": [],
        "target": target,
        "readyState": "QUEUED",
        "readySubstate": None,
        "createdAt": now,
        "buildingAt": now,
        "ready": None,
        "creator": user,
        "gitSource": git_source,
        "customEnvironmentId": None,
        "assignDomains": True,
        "meta": {},
        "variables": {},
        "errorMessage": None,
    }


def commit_meta(source: Record) -> Record:
    """What Vercel notes of a commit at GitHub."""
    return {
        "githubCommitSha": source["sha"],
        "githubCommitRef": source["ref"],
        "githubCommitAuthorName": AUTHOR,
    }


async def create_deployment(request: Request) -> Response:
    """A build with the variables of its target; without domains when the project or the request says so."""
    body, vendor = await read(request, CreateDeployment, refuse_body), vendor_of(request)
    earlier = _earlier(request, body.deploymentId)
    project = _project(request, body, earlier)
    custom = _custom_environment(project, body.customEnvironmentSlugOrId)
    source = _git_source(vendor, project, body, earlier)
    target = body.target if body.target == "production" else None
    deployment = new_deployment(vendor, project, target=target, git_source=source, user=request.state.account["user"])
    deployment["customEnvironmentId"] = custom
    deployment["assignDomains"] = project["autoAssignCustomDomains"] and body.autoAssignCustomDomains
    git = {} if source is None else commit_meta(source)
    deployment["meta"] = {**git, **(body.meta or {})}
    if earlier is not None:
        deployment["meta"]["originalDeploymentId"] = earlier["id"]
    vendor.deployments[deployment["id"]] = deployment
    work(vendor, deployment)
    return JSONResponse(_whole(vendor, deployment))


def _earlier(request: Request, deployment_id: str | None) -> Record | None:
    if deployment_id is None:
        return None
    request.scope["path_params"] = {**request.path_params, "deploymentId": deployment_id}
    return deployment_of(request, "deploymentId")


def _project(request: Request, body: CreateDeployment, earlier: Record | None) -> Record:
    wanted = {body.project or body.name} if earlier is None else {earlier["projectId"]}
    for project in vendor_of(request).projects.values():
        if wanted & {project["id"], project["name"]} and project["accountId"] == request.state.owner:
            return project
    raise refuse(404, "not_found", "Project not found.")


def _custom_environment(project: Record, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    for environment in project["customEnvironments"].values():
        if wanted in {environment["id"], environment["slug"]}:
            return str(environment["id"])
    raise refuse(404, "not_found", "Custom environment not found.")


def _git_source(vendor: Vercel, project: Record, body: CreateDeployment, earlier: Record | None) -> Record | None:
    """The commit that is built: as asked, as before, or the head of the branch; of the project's repository only."""
    source: Record | None = body.gitSource or (earlier["gitSource"] if earlier else None)
    if source is None:
        return None
    link = project["link"]
    named = {name: source[name] for name in ("type", "repoId", "org", "repo") if name in source}
    if not source.get("ref") or "type" not in named or not {"repoId", "repo"} & set(named):
        raise refuse_body("`gitSource` should match exactly one schema in anyOf.")
    if any(str(link[name]) != str(value) for name, value in named.items()):
        raise refuse(400, "incorrect_git_source_info", "The provided GitHub repository can't be found.")
    sha = None if body.withLatestCommit else source.get("sha")
    return {**source, "repoId": link["repoId"], "sha": sha or vendor.memory["head_commit"]}


async def get_deployment(request: Request) -> Response:
    return JSONResponse(_whole(vendor_of(request), deployment_of(request, "idOrUrl")))


def _whole(vendor: Vercel, deployment: Record) -> Record:
    """v13: the id is called `id`, the state is there twice."""
    project = vendor.projects[deployment["projectId"]]
    optional = {
        name: deployment[name] for name in ("ready", "readySubstate", "errorMessage") if deployment[name] is not None
    }
    if deployment["gitSource"]:
        optional["gitSource"] = deployment["gitSource"]
    return {
        **_common(deployment),
        **optional,
        "id": deployment["id"],
        "status": deployment["readyState"],
        "alias": deployment["alias"],
        "aliasAssigned": bool(deployment["alias"]),
        "build": {"env": sorted(deployment["variables"])},
        "env": sorted(deployment["variables"]),
        "bootedAt": deployment["buildingAt"],
        "buildSkipped": False,
        "createdIn": "fra1",
        "isInConcurrentBuildsQueue": False,
        "isInSystemBuildsQueue": False,
        "ownerId": project["accountId"],
        "plan": vendor.memory["teams"][project["accountId"]]["plan"],
        "projectSettings": {"framework": project["framework"]},
        "public": False,
        "regions": ["fra1"],
        "routes": None,
        "version": 2,
    }


def _common(deployment: Record) -> Record:
    names = ("name", "projectId", "url", "readyState", "createdAt", "buildingAt", "meta")
    known = {name: deployment[name] for name in names}
    inspector = f"https://vercel.com/{deployment['projectId']}/{deployment['id'].removeprefix('dpl_')}"
    target = {} if deployment["target"] is None else {"target": deployment["target"]}
    return {
        **known,
        **target,
        "type": "LAMBDAS",
        "inspectorUrl": inspector,
        "creator": {"uid": deployment["creator"]},
    }


async def list_deployments(request: Request) -> Response:
    """v6 and v7: the newest first, `until` of the next page in `pagination.next`."""
    vendor, query = vendor_of(request), request.query_params
    limit = _integer(query.get("limit"), "limit") or _PAGE
    until, since = _integer(query.get("until"), "until"), _integer(query.get("since"), "since")
    found = [
        deployment
        for deployment in sorted(vendor.deployments.values(), key=lambda one: (-one["createdAt"], -one["number"]))
        if vendor.projects[deployment["projectId"]]["accountId"] == request.state.owner
        and _is_wanted(deployment, request)
        and (until is None or deployment["createdAt"] < until)
        and (since is None or deployment["createdAt"] > since)
    ]
    page = found[: min(limit, _PAGE_MAX)]
    following = page[-1]["createdAt"] if len(found) > len(page) else None
    pagination = {"count": len(page), "next": following, "prev": page[0]["createdAt"] if page else None}
    return JSONResponse({"deployments": [_listed(one) for one in page], "pagination": pagination})


def _integer(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise refuse_body(f"`{name}` should be number.")
    return int(text)


def _is_wanted(deployment: Record, request: Request) -> bool:
    query = request.query_params
    source = deployment["gitSource"] or {}
    projects = {*query.getlist("projectIds"), *query.getlist("projectId")}
    states = {state for state in query.get("state", "").upper().split(",") if state}
    is_candidate = deployment["readySubstate"] == "PROMOTED"
    return (
        (not projects or deployment["projectId"] in projects)
        and query.get("app", deployment["name"]) == deployment["name"]
        and query.get("target", deployment["target"] or "preview") == (deployment["target"] or "preview")
        and (not states or deployment["readyState"] in states)
        and query.get("branch", source.get("ref")) == source.get("ref")
        and query.get("sha", source.get("sha")) == source.get("sha")
        and query.get("rollbackCandidate", str(is_candidate).lower()) == str(is_candidate).lower()
    )


def _listed(deployment: Record) -> Record:
    """The id is called `uid` here."""
    optional = {name: deployment[name] for name in ("ready", "readySubstate") if deployment[name] is not None}
    return {
        **_common(deployment),
        **optional,
        "uid": deployment["id"],
        "state": deployment["readyState"],
        "created": deployment["createdAt"],
        "isRollbackCandidate": deployment["readySubstate"] == "PROMOTED",
    }
