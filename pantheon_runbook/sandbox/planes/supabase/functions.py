"""/v1/projects/{ref}/functions: edge functions, as they are listed. Nothing runs: of the code a digest is kept."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.supabase.state import message, project_of, refuse_body, vendor_of
from pantheon_runbook.sandbox.world import Record


class CreateFunction(Body):
    slug: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    name: str
    body: str
    verify_jwt: bool = True


class UpdateFunction(Body):
    name: str | None = None
    body: str | None = None
    verify_jwt: bool | None = None


async def list_functions(request: Request) -> Response:
    functions: Record = project_of(request).get("functions", {})
    return JSONResponse([functions[slug] for slug in sorted(functions)])


async def create_function(request: Request) -> Response:
    project, vendor = project_of(request), vendor_of(request)
    body = await read(request, CreateFunction, refuse_body)
    functions: Record = project.setdefault("functions", {})
    if body.slug in functions:
        raise message(400, f"Duplicated function slug: {body.slug}")
    now = int(vendor.world.now().timestamp() * 1000)
    functions[body.slug] = {
        "id": vendor.world.uuid("supabase.function", f"{project['ref']}/{body.slug}"),
        "slug": body.slug,
        "name": body.name,
        "status": "ACTIVE",
        "version": 1,
        "created_at": now,
        "updated_at": now,
        "verify_jwt": body.verify_jwt,
        "ezbr_sha256": _digest(body.body),
    }
    return JSONResponse(functions[body.slug], 201)


async def update_function(request: Request) -> Response:
    """Each deploy is a version."""
    function = _function_of(request)
    body = await read(request, UpdateFunction, refuse_body)
    changes = body.model_dump(exclude_unset=True, exclude={"body"})
    if body.body is not None:
        changes["ezbr_sha256"] = _digest(body.body)
    now = int(vendor_of(request).world.now().timestamp() * 1000)
    function.update(changes, version=function["version"] + 1, updated_at=now)
    return JSONResponse(function)


async def delete_function(request: Request) -> Response:
    project_of(request)["functions"].pop(_function_of(request)["slug"])
    return Response(status_code=200)


def _function_of(request: Request) -> Record:
    function: Record | None = project_of(request).get("functions", {}).get(request.path_params["slug"])
    if function is None:
        raise message(404, "Function not found")
    return function


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
