"""/v1/projects/{ref}/secrets: bare arrays in, digests out."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.supabase.state import project_of, refuse_body, vendor_of
from pantheon_runbook.sandbox.world import Record


class Secret(Body):
    name: Annotated[str, Field(max_length=256)]
    value: Annotated[str, Field(max_length=24576)]


def stored_secret(value: str, at: str) -> Record:
    """Only the digest is kept: the vendor never answers anything else."""
    return {"value": hashlib.sha256(value.encode()).hexdigest(), "updated_at": at}


async def list_secrets(request: Request) -> Response:
    """`value` is the sha256 of the secret."""
    secrets: Record = project_of(request)["secrets"]
    return JSONResponse([{"name": name, **secrets[name]} for name in sorted(secrets)])


async def upsert_secrets(request: Request) -> Response:
    """201 without a body; what is there under the same name is replaced."""
    project, now = project_of(request), vendor_of(request).now()
    body = await read(request, list[Secret], refuse_body)
    for secret in body:
        if secret.name.startswith("SUPABASE_"):
            raise refuse_body(f"name: Secret name must not start with the SUPABASE_ prefix ('{secret.name}')")
    project["secrets"].update({secret.name: stored_secret(secret.value, now) for secret in body})
    return Response(status_code=201)


async def delete_secrets(request: Request) -> Response:
    """200 without a body, also for names that are not there."""
    project = project_of(request)
    for name in await read(request, list[str], refuse_body):
        project["secrets"].pop(name, None)
    return Response(status_code=200)
