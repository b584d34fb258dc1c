"""/v1/projects/{ref}/postgrest: what the Data API serves. Who reads it is shown the project's JWT secret as well."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.supabase.state import project_of, refuse_body
from pantheon_runbook.sandbox.world import Record

_FIRST: Final[Record] = {
    "db_schema": "public,graphql_public",
    "max_rows": 1000,
    "db_extra_search_path": "public, extensions",
    "db_pool": None,
}


class UpdateDataApi(Body):
    db_schema: str | None = None
    db_extra_search_path: str | None = None
    max_rows: Annotated[int, Field(ge=0, le=1000000)] | None = None
    db_pool: Annotated[int, Field(ge=0, le=1000)] | None = None


def settings(project: Record) -> Record:
    """What was set, over the first values of a new project."""
    return {**_FIRST, **project.get("data_api", {})}


async def get_config(request: Request) -> Response:
    project = project_of(request)
    return JSONResponse({**settings(project), "jwt_secret": project["keys"]["jwt_secret"]})


async def update_config(request: Request) -> Response:
    """An empty `db_schema` switches the Data API off; the answer is without the secret."""
    project = project_of(request)
    body = await read(request, UpdateDataApi, refuse_body)
    project["data_api"] = {**project.get("data_api", {}), **body.model_dump(exclude_unset=True)}
    return JSONResponse(settings(project))
