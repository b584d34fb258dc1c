"""The shared pooler's address of a project, and what its password can do."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.supabase.state import (
    project_of,
    refuse_body,
    require_up,
    vendor_of,
)
from pantheon_runbook.sandbox.world import Record

LOGIN_ROLE_SECONDS: Final = 3600
_TRANSACTION_PORT: Final = 6543


class UpdatePooler(Body):
    default_pool_size: Annotated[int, Field(ge=0, le=3000)] | None = None
    pool_mode: Literal["transaction", "session"] | None = None


class UpdatePassword(Body):
    password: Annotated[str, Field(min_length=4)]


class CreateLoginRole(Body):
    read_only: bool


def pooler_host(project: Record) -> str:
    """The number in it is assigned per project: read it, never build it."""
    return f"{project['pooler_cluster']}-{project['region']}.pooler.supabase.com"


async def get_pooler(request: Request) -> Response:
    """One PRIMARY entry; its connection string has a placeholder where the password belongs."""
    project = project_of(request)
    host, user = pooler_host(project), f"postgres.{project['ref']}"
    url = f"postgresql://{user}:[YOUR-PASSWORD]@{host}:{_TRANSACTION_PORT}/postgres"
    entry = {
        "identifier": project["ref"],
        "database_type": "PRIMARY",
        "is_using_scram_auth": True,
        "db_user": user,
        "db_host": host,
        "db_port": _TRANSACTION_PORT,
        "db_name": "postgres",
        "connection_string": url,
        "connectionString": url,
        "default_pool_size": project["pooler"]["default_pool_size"],
        "max_client_conn": 200,
        "pool_mode": project["pooler"]["pool_mode"],
    }
    return JSONResponse([entry])


async def update_pooler(request: Request) -> Response:
    project = project_of(request)
    body = await read(request, UpdatePooler, refuse_body)
    if "default_pool_size" in body.model_fields_set:
        project["pooler"]["default_pool_size"] = body.default_pool_size
    if body.pool_mode is not None:
        project["pooler"]["pool_mode"] = body.pool_mode
    return JSONResponse(project["pooler"])


async def update_password(request: Request) -> Response:
    """The only way to a password that was not kept."""
    project = project_of(request)
    body = await read(request, UpdatePassword, refuse_body)
    require_up(project)
    await vendor_of(request).platform.set_password(project["ref"], body.password)
    return JSONResponse({"message": "Successfully updated password"})


async def create_login_role(request: Request) -> Response:
    """A temporary login whose password nobody has to store."""
    project = project_of(request)
    body = await read(request, CreateLoginRole, refuse_body)
    require_up(project)
    role, password = await vendor_of(request).platform.login_role(
        project["ref"], read_only=body.read_only, ttl_seconds=LOGIN_ROLE_SECONDS
    )
    return JSONResponse({"role": role, "password": password, "ttl_seconds": LOGIN_ROLE_SECONDS}, 201)
