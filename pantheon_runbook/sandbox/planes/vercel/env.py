"""/projects/{idOrName}/env: list, create, change, delete, pull."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import ClosedBody, check, read, read_json
from pantheon_runbook.sandbox.planes.routes import RefusedError
from pantheon_runbook.sandbox.planes.vercel.state import project_of, refuse, refuse_body, vendor_of
from pantheon_runbook.sandbox.planes.vercel.variables import (
    ChangedVariable,
    NewVariable,
    change,
    create,
    failure,
    for_build,
    shown,
    wanted_of,
)
from pantheon_runbook.sandbox.world import Record

_FIRST_UPSERTING_VERSION = 10


class DeletedIds(ClosedBody):
    ids: Annotated[list[str], Field(min_length=1, max_length=1000)]


async def list_env(request: Request) -> Response:
    """All that this token may see; `hiddenProductionEnvCount` says how many production variables it may not."""
    project, query = project_of(request), request.query_params
    sees_all = request.state.account.get("sees_production", True)
    decrypt = query.get("decrypt", "false") == "true"
    custom = _custom_environment_id(project, query.get("customEnvironmentId") or query.get("customEnvironmentSlug"))
    found = [
        entry
        for entry in project["env"].values()
        if (sees_all or "production" not in entry["target"])
        and ("target" not in query or query["target"] in entry["target"])
        and ("gitBranch" not in query or entry["gitBranch"] in {None, query["gitBranch"]})
        and (custom is None or custom in entry["customEnvironmentIds"])
    ]
    found.sort(key=lambda entry: (-entry["updatedAt"], entry["id"]))
    hidden = 0 if sees_all else sum("production" in entry["target"] for entry in project["env"].values())
    shown_entries = [shown(entry, decrypt=decrypt) for entry in found]
    return JSONResponse({"envs": shown_entries, "hiddenProductionEnvCount": hidden})


def _custom_environment_id(project: Record, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    known = project["customEnvironments"].values()
    return next((one["id"] for one in known if wanted in {one["id"], one["slug"]}), wanted)


async def create_env(request: Request) -> Response:
    """201 with `created` and `failed`: entries of an array fail one by one, a single entry as a whole request."""
    project, vendor = project_of(request), vendor_of(request)
    body = await read_json(request, refuse_body)
    upsert = request.query_params.get("upsert") == "true" and request.state.version >= _FIRST_UPSERTING_VERSION
    user = request.state.account["user"]
    if not isinstance(body, list):
        wanted = wanted_of(check(body, NewVariable, refuse_body))
        made = create(vendor, project, wanted, upsert=upsert, user=user)
        return JSONResponse({"created": shown(made, decrypt=False), "failed": []}, 201)
    created, failed = [], []
    for entry in check(body, list[NewVariable], refuse_body):
        try:
            made = create(vendor, project, wanted_of(entry), upsert=upsert, user=user)
            created.append(shown(made, decrypt=False))
        except RefusedError as error:
            failed.append(failure(error))
    return JSONResponse({"created": created, "failed": failed}, 201)


def _entry(request: Request, project: Record) -> Record:
    entry: Record | None = project["env"].get(request.path_params["id"])
    if entry is None:
        raise refuse(404, "ENV_NOT_FOUND", "Environment variable not found")
    return entry


async def get_env(request: Request) -> Response:
    """One variable, decrypted, unless it is sensitive."""
    return JSONResponse(shown(_entry(request, project_of(request)), decrypt=True))


async def update_env(request: Request) -> Response:
    project = project_of(request)
    entry = _entry(request, project)
    body = await read(request, ChangedVariable, refuse_body)
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    change(vendor_of(request), project, entry, changes, user=request.state.account["user"])
    return JSONResponse(shown(entry, decrypt=False))


async def delete_env(request: Request) -> Response:
    project = project_of(request)
    entry = _entry(request, project)
    del project["env"][entry["id"]]
    return JSONResponse(shown(entry, decrypt=False))


async def delete_many(request: Request) -> Response:
    """Ids that are not there are left out of the answer."""
    project = project_of(request)
    wanted = (await read(request, DeletedIds, refuse_body)).ids
    removed = [one for one in wanted if project["env"].pop(one, None) is not None]
    return JSONResponse({"deleted": len(removed), "ids": removed})


async def pull(request: Request) -> Response:
    """What `vercel env pull` writes into a file (an unpublished path); sensitive values are empty."""
    project = project_of(request, "projectId")
    target = request.path_params["target"]
    custom = _custom_environment_id(project, target) if target.startswith("env_") else None
    names = for_build(project, target, branch=request.query_params.get("gitBranch"), custom=custom)
    sensitive = {one["key"] for one in project["env"].values() if one["type"] == "sensitive"}
    readable = {name: "" if name in sensitive else value for name, value in names.items()}
    return JSONResponse({"env": readable, "buildEnv": {}})
