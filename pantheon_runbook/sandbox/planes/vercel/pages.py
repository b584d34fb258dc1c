"""Builds and the hosts that serve them: previews, staged and live production builds, deployment protection."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from pantheon_runbook.sandbox.planes.vercel.state import Vercel
from pantheon_runbook.sandbox.planes.vercel.variables import for_build
from pantheon_runbook.sandbox.platform import BuildFailedError
from pantheon_runbook.sandbox.world import Record, World

_UNFINISHED: Final = {"QUEUED", "BUILDING", "INITIALIZING"}
_LABEL_MAX: Final = 63


def advance(vendor: Vercel) -> None:
    """Go on with builds and promotions that an ended process left half-way."""
    for deployment in vendor.deployments.values():
        if deployment["readyState"] in _UNFINISHED:
            work(vendor, deployment)
    for project in vendor.projects.values():
        if is_moving(project):
            move(vendor, project)


def work(vendor: Vercel, deployment: Record) -> None:
    """Build in the background."""

    def failed(error: Exception) -> None:
        deployment.update({"readyState": "ERROR", "errorMessage": str(error)})

    vendor.work.start(deployment["id"], lambda: _build(vendor, deployment), failed=failed)


async def _build(vendor: Vercel, deployment: Record) -> None:
    project = vendor.projects[deployment["projectId"]]
    deployment |= {"readyState": "BUILDING", "buildingAt": vendor.now()}
    deployment["variables"] = build_variables(project, deployment)
    await asyncio.sleep(vendor.world.pace.build_seconds)
    try:
        await vendor.platform.build_page(deployment["id"], deployment["variables"])
    except BuildFailedError as error:
        deployment |= {"readyState": "ERROR", "errorMessage": str(error)}
        return
    deployment |= {"readyState": "READY", "ready": vendor.now()}
    if deployment["target"] == "production":
        deployment["readySubstate"] = "STAGED"
    else:
        _take_branch_alias(vendor, project, deployment)
    await route(vendor, project, deployment)
    if deployment["target"] == "production" and deployment["assignDomains"]:
        await assign_domains(vendor, project, deployment)


def build_variables(project: Record, deployment: Record) -> dict[str, str]:
    """The variables of its target, and the vendor's own."""
    source = deployment["gitSource"] or {}
    target = deployment["target"] or "preview"
    variables = for_build(project, target, branch=source.get("ref"), custom=deployment["customEnvironmentId"])
    variables |= {"VERCEL": "1", "VERCEL_ENV": target, "VERCEL_URL": deployment["url"]}
    if source:
        variables |= {"VERCEL_GIT_COMMIT_SHA": source["sha"], "VERCEL_GIT_COMMIT_REF": source["ref"]}
    for secret, bypass in project["protectionBypass"].items():
        if bypass.get("isEnvVar"):
            variables["VERCEL_AUTOMATION_BYPASS_SECRET"] = secret
    return variables


def deployment_host(project: Record, unique: str, team_slug: str) -> str:
    """A deployment's own host: <project>-<hash>-<team>.vercel.app."""
    return f"{project['name']}-{unique}-{team_slug}.vercel.app"


def branch_host(project: Record, branch: str, team_slug: str) -> str:
    """A branch's host, <project>-git-<branch>-<team>.vercel.app, cut where a label of a host name must end."""
    label = re.sub(r"[^a-z0-9]+", "-", branch.lower()).strip("-")
    whole = f"{project['name']}-git-{label}-{team_slug}"
    return f"{whole[:_LABEL_MAX]}.vercel.app"


def _take_branch_alias(vendor: Vercel, project: Record, deployment: Record) -> None:
    """The branch's host belongs to the newest preview of that branch."""
    source = deployment["gitSource"]
    if not source:
        return
    host = branch_host(project, source["ref"], vendor.team_slug(project))
    for other in vendor.deployments_of(project):
        other["alias"] = [alias for alias in other["alias"] if alias != host]
    deployment["alias"].append(host)


def protection(project: Record, host: str) -> tuple[str, ...] | None:
    """The secrets that open a host; None where it is open to all (the production domains)."""
    if project["ssoProtection"] is None or host in project["domains"]:
        return None
    return tuple(project["protectionBypass"])


async def route(vendor: Vercel, project: Record, deployment: Record) -> None:
    """Serve a built page on all its hosts."""
    for host in (deployment["url"], *deployment["alias"]):
        secrets = protection(project, host)
        await vendor.platform.page_route(host, deployment["id"], bypass_secrets=secrets)


async def route_all(vendor: Vercel, project: Record) -> None:
    """After a change of the protection: every page of the project again."""
    for deployment in reversed(vendor.deployments_of(project)):
        if deployment["readyState"] == "READY":
            await route(vendor, project, deployment)


async def assign_domains(vendor: Vercel, project: Record, deployment: Record) -> None:
    """The build takes the production domains: it is live."""
    for other in vendor.deployments_of(project):
        other["alias"] = [alias for alias in other["alias"] if alias not in project["domains"]]
    deployment["alias"] = [*deployment["alias"], *project["domains"]]
    deployment["readySubstate"] = "PROMOTED"
    project["productionDeploymentId"] = deployment["id"]
    await route(vendor, project, deployment)


def is_moving(project: Record) -> bool:
    """Whether a promotion or a rollback is on its way."""
    return (project["lastAliasRequest"] or {}).get("jobStatus") in {"pending", "in-progress"}


def move(vendor: Vercel, project: Record) -> None:
    """Give the production domains to what the last promotion or rollback asked for, in the background."""
    job: Record = project["lastAliasRequest"]

    async def moving() -> None:
        job["jobStatus"] = "in-progress"
        await asyncio.sleep(vendor.world.pace.build_seconds)
        await assign_domains(vendor, project, vendor.deployments[job["toDeploymentId"]])
        job["jobStatus"] = "succeeded"

    vendor.work.start(f"move {project['id']}", moving, failed=lambda _error: job.update(jobStatus="failed"))


def live(world: World) -> list[Record]:
    """Every page that is served in this world: deployment_id, variables of its build, hosts with their protection."""
    memory: Record = world.document["vercel"]
    return [
        {
            "deployment_id": deployment["id"],
            "variables": deployment["variables"],
            "hosts": {
                host: protection(memory["projects"][deployment["projectId"]], host)
                for host in (deployment["url"], *deployment["alias"])
            },
        }
        for deployment in memory.get("deployments", {}).values()
        if deployment["readyState"] == "READY"
    ]
