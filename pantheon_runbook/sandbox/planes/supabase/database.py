"""SQL over HTTP, and the buckets as the Management API shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.supabase.state import message, project_of, refuse_body, require_up, vendor_of
from pantheon_runbook.sandbox.platform import QueryFailedError


class ReadOnlyQuery(Body):
    query: Annotated[str, Field(min_length=1)]
    parameters: list[Any] | None = None


class Query(ReadOnlyQuery):
    read_only: bool | None = None


async def run_query(request: Request) -> Response:
    """201 and an array of row objects; what PostgreSQL refuses is a 400 with its words."""
    body = await read(request, Query, refuse_body)
    return await _run(request, body, read_only=bool(body.read_only))


async def run_read_only_query(request: Request) -> Response:
    """As supabase_read_only_user: names have to be schema qualified."""
    return await _run(request, await read(request, ReadOnlyQuery, refuse_body), read_only=True)


async def _run(request: Request, body: ReadOnlyQuery, *, read_only: bool) -> Response:
    project = project_of(request)
    require_up(project)
    try:
        rows = await vendor_of(request).platform.query(
            project["ref"], body.query, body.parameters or (), read_only=read_only, role="postgres"
        )
    except QueryFailedError as error:
        raise message(400, f"Failed to run sql query: ERROR:  {error.sqlstate}: {error}") from error
    return JSONResponse(rows, 201)


async def list_buckets(request: Request) -> Response:
    """The management view: neither size limits nor MIME types, and no way to write."""
    project = project_of(request)
    require_up(project)
    rows = await vendor_of(request).platform.query(
        project["ref"],
        "select id, name, coalesce(owner::text, '') as owner, public, created_at::text as created_at, "
        "updated_at::text as updated_at from storage.buckets order by id",
    )
    return JSONResponse(rows)
