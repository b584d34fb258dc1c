"""Projects: create, read, rename, delete, pause, restore, health."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, ClosedBody, read
from pantheon_runbook.sandbox.planes.supabase import data_api
from pantheon_runbook.sandbox.planes.supabase.keys import new_keys
from pantheon_runbook.sandbox.planes.supabase.lifecycle import advance
from pantheon_runbook.sandbox.planes.supabase.regions import FIRST_OF_GROUP, Region, SmartGroup
from pantheon_runbook.sandbox.planes.supabase.state import (
    Supabase,
    is_up,
    message,
    organization_of,
    project_of,
    refuse_body,
    vendor_of,
)
from pantheon_runbook.sandbox.world import Record, World

FREE_PROJECTS: Final = 2
SERVICES: Final = ("auth", "db", "db_postgres_user", "pooler", "realtime", "rest", "storage", "pg_bouncer")
_STOPPED: Final = {"INACTIVE", "REMOVED", "GOING_DOWN", "INIT_FAILED", "PAUSING"}

Size = Literal[
    "nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge",
    "24xlarge", "24xlarge_optimized_memory", "24xlarge_optimized_cpu", "24xlarge_high_memory",
    "48xlarge", "48xlarge_optimized_memory", "48xlarge_optimized_cpu", "48xlarge_high_memory",
]  # fmt: skip


class SpecificRegion(Body):
    type: Literal["specific"]
    code: Region


class GroupRegion(Body):
    type: Literal["smartGroup"]
    code: SmartGroup


class CreateProject(ClosedBody):
    """V1CreateProjectBody; what the vendor calls ignored is taken and ignored."""

    db_pass: str
    name: Annotated[str, Field(max_length=256)]
    organization_slug: Annotated[str, Field(pattern=r"^[\w-]+$")]
    organization_id: str | None = None
    plan: Literal["free", "pro"] | None = None
    region: Region | None = None
    region_selection: Annotated[SpecificRegion | GroupRegion, Field(discriminator="type")] | None = None
    kps_enabled: bool | None = None
    desired_instance_size: Size | None = None
    template_url: Annotated[str, Field(pattern=r"^\w+:")] | None = None

    def chosen_region(self) -> str:
        if isinstance(self.region_selection, SpecificRegion):
            return self.region_selection.code
        if isinstance(self.region_selection, GroupRegion):
            return FIRST_OF_GROUP[self.region_selection.code]
        return self.region or FIRST_OF_GROUP["americas"]


class RenameProject(Body):
    name: Annotated[str, Field(min_length=1, max_length=256)]


def new_project(world: World, *, name: str, organization_slug: str, region: str, created_at: str) -> Record:
    """The memory of one project that is COMING_UP; names are not unique, refs are."""
    ref = world.letters("supabase.project", f"{organization_slug}/{name}")
    return {
        "ref": ref,
        "number": int.from_bytes(world.digest("supabase.project.number", ref)[:4]),
        "name": name,
        "organization_slug": organization_slug,
        "region": region,
        "instance_size": "micro",
        "created_at": created_at,
        "status": "COMING_UP",
        "services_ready": False,
        # The number of the pooler's cluster cannot be derived from anything a client knows.
        "pooler_cluster": f"aws-{world.digest('supabase.pooler', ref)[0] % 2}",
        "pooler": {"default_pool_size": None, "pool_mode": "transaction"},
        "auth_config": {},
        "secrets": {},
        "keys": new_keys(world, ref, created_at),
        "file_size_limit": 52428800,
        "network": {"dbAllowedCidrs": ["0.0.0.0/0"], "dbAllowedCidrsV6": ["::/0"]},
        "ssl_enforced": False,
    }


async def create_project(request: Request) -> Response:
    """201 and COMING_UP; the answer names no database host yet."""
    body = await read(request, CreateProject, refuse_body)
    organization = organization_of(request, body.organization_slug)
    vendor = vendor_of(request)
    _refuse_over_plan(vendor, organization)
    project = new_project(
        vendor.world,
        name=body.name,
        organization_slug=body.organization_slug,
        region=body.chosen_region(),
        created_at=vendor.now(),
    )
    project["instance_size"] = body.desired_instance_size or "nano"
    project["pending_password"] = body.db_pass
    vendor.projects[project["ref"]] = project
    advance(vendor)
    return JSONResponse(_shown(project, organization), 201)


def _refuse_over_plan(vendor: Supabase, organization: Record) -> None:
    if organization["plan"] != "free":
        return
    active = [
        project
        for project in vendor.projects.values()
        if project["organization_slug"] == organization["slug"] and project["status"] not in _STOPPED
    ]
    if len(active) >= FREE_PROJECTS:
        raise message(
            400,
            "The following organization members have reached their maximum limits for the number of active free "
            f"projects: {organization['owner']} ({FREE_PROJECTS} project limit). Delete, pause, or upgrade one or "
            "more of these projects before creating a new project.",
        )


def _shown(project: Record, organization: Record) -> Record:
    return {
        "id": project["ref"],
        "ref": project["ref"],
        "organization_id": organization["id"],
        "organization_slug": organization["slug"],
        "name": project["name"],
        "region": project["region"],
        "created_at": project["created_at"],
        "status": project["status"],
    }


def _shown_with_database(project: Record, organization: Record) -> Record:
    database = {
        "host": f"db.{project['ref']}.supabase.co",
        "version": "17.6.1.054",
        "postgres_engine": "17",
        "release_channel": "ga",
    }
    return {**_shown(project, organization), "database": database}


async def list_projects(request: Request) -> Response:
    """Everything the token reaches, unpaged, newest first."""
    vendor = vendor_of(request)
    allowed = request.state.account["organizations"]
    found = [project for project in vendor.projects.values() if project["organization_slug"] in allowed]
    found.sort(key=lambda project: (project["created_at"], project["ref"]), reverse=True)
    shown = [_shown_with_database(one, vendor.organizations[one["organization_slug"]]) for one in found]
    return JSONResponse(shown)


async def get_project(request: Request) -> Response:
    project = project_of(request)
    organization = vendor_of(request).organizations[project["organization_slug"]]
    return JSONResponse(_shown_with_database(project, organization))


def _reference(project: Record) -> dict[str, Any]:
    return {"id": project["number"], "ref": project["ref"], "name": project["name"]}


async def rename_project(request: Request) -> Response:
    project = project_of(request)
    project["name"] = (await read(request, RenameProject, refuse_body)).name
    return JSONResponse(_reference(project))


async def delete_project(request: Request) -> Response:
    """Gone at once, with its database."""
    project, vendor = project_of(request), vendor_of(request)
    vendor.work.cancel(project["ref"])
    del vendor.projects[project["ref"]]
    await vendor.platform.delete_cluster(project["ref"])
    return JSONResponse(_reference(project))


async def pause_project(request: Request) -> Response:
    project = project_of(request)
    if not is_up(project):
        raise message(400, f"Only an active project can be paused; its status is {project['status']}.")
    project["status"] = "PAUSING"
    advance(vendor_of(request))
    return Response(status_code=200)


async def restore_project(request: Request) -> Response:
    project, vendor = project_of(request), vendor_of(request)
    if project["status"] != "INACTIVE":
        raise message(400, f"Only a paused project can be restored; its status is {project['status']}.")
    _refuse_over_plan(vendor, vendor.organizations[project["organization_slug"]])
    project["status"] = "RESTORING"
    advance(vendor)
    return Response(status_code=200)


async def project_health(request: Request) -> Response:
    """`services` is required and repeated; services become healthy after the project."""
    project = project_of(request)
    services = request.query_params.getlist("services")
    if not services:
        raise message(400, "services: Required")
    if unknown := [service for service in services if service not in SERVICES]:
        raise message(400, f"services: Invalid enum value, received '{unknown[0]}'")
    timeout = request.query_params.get("timeout_ms", "0")
    if not timeout.isdecimal() or int(timeout) > 10_000:  # noqa: PLR2004  the description's own maximum
        raise message(400, "timeout_ms: Expected a whole number from 0 to 10000")
    return JSONResponse([_service_health(project, service) for service in services])


def _service_health(project: Record, service: str) -> Record:
    if is_up(project) and project["services_ready"]:
        health: Record = {"name": service, "healthy": True, "status": "ACTIVE_HEALTHY"}
        if service == "auth":
            health["info"] = {"name": "GoTrue", "version": "v2.189.0", "description": "GoTrue is a user registration"}
        if service == "rest":
            health["info"] = {"db_schema": data_api.settings(project)["db_schema"]}
        return health
    status = "COMING_UP" if is_up(project) or project["status"] in {"COMING_UP", "RESTORING"} else "UNHEALTHY"
    return {"name": service, "healthy": False, "status": status}
