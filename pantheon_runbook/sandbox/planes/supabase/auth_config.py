"""GET and PATCH /v1/projects/{ref}/config/auth: one flat object, secrets hashed on the way out."""

from __future__ import annotations

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import read_json
from pantheon_runbook.sandbox.planes.supabase.auth_settings import SETTINGS, is_secret
from pantheon_runbook.sandbox.planes.supabase.state import project_of, refuse_body
from pantheon_runbook.sandbox.world import Record


def settings(project: Record) -> dict[str, Any]:
    """The full object: what was set, over the first values of a new project."""
    chosen = project["auth_config"]
    return {
        key: setting.first if setting.null_resets and chosen.get(key) is None else chosen.get(key, setting.first)
        for key, setting in SETTINGS.items()
    }


async def get_config(request: Request) -> Response:
    """Every key, always."""
    return JSONResponse(settings(project_of(request)))


async def update_config(request: Request) -> Response:
    """Any subset; keys that the vendor does not know or does not let one write are ignored."""
    project = project_of(request)
    changes = await read_json(request, refuse_body)
    if not isinstance(changes, dict):
        raise refuse_body("Expected object")
    writable = {key: value for key, value in changes.items() if key in SETTINGS and not SETTINGS[key].read_only}
    for key, value in writable.items():
        if why := SETTINGS[key].refusal(value):
            raise refuse_body(f"{key}: {why}")
    project["auth_config"].update({key: stored(key, value) for key, value in writable.items()})
    return JSONResponse(settings(project))


def stored(key: str, value: Any) -> Any:
    """Of a secret only the digest is kept: it is what GET answers, and sending it back breaks the secret."""
    if value and is_secret(key):
        return hashlib.sha256(str(value).encode()).hexdigest()
    return value
