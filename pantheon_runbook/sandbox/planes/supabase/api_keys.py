"""/v1/projects/{ref}/api-keys: nothing is there before the services are; secrets only with reveal=true."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.supabase.keys import modern_key
from pantheon_runbook.sandbox.planes.supabase.state import message, project_of, refuse_body, vendor_of
from pantheon_runbook.sandbox.world import Record

KeyName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]+$", min_length=4, max_length=64)]


class CreateKey(Body):
    type: Literal["publishable", "secret"]
    name: KeyName
    description: str | None = None
    secret_jwt_template: dict[str, Any] | None = None


class UpdateKey(Body):
    name: KeyName | None = None
    description: str | None = None
    secret_jwt_template: dict[str, Any] | None = None


def _flag(request: Request, name: str, *, default: str = "false") -> bool:
    value = request.query_params.get(name, default)
    if value not in {"true", "false"}:
        raise message(400, f"{name}: Expected boolean")
    return value == "true"


def _shown(entry: Record, *, reveal: bool) -> Record:
    """Publishable and legacy anon keys are public by nature; a secret is masked or null unless revealed."""
    if entry["type"] == "legacy":
        value = entry["value"] if reveal or entry["name"] == "anon" else None
        shown = {key: entry[key] for key in ("id", "name", "type", "description")}
        return {**shown, "api_key": value, "prefix": entry["value"][:5], "hash": _hash(entry["value"])}
    public = reveal or entry["type"] == "publishable"
    prefix = entry["value"][len(f"sb_{entry['type']}_") :][:5]
    shown = {key: entry[key] for key in ("id", "name", "type", "description", "inserted_at", "updated_at")}
    masked = f"sb_{entry['type']}_{prefix}···············"
    shown |= {"api_key": entry["value"] if public else masked, "prefix": prefix, "hash": _hash(entry["value"])}
    return {**shown, "secret_jwt_template": entry["secret_jwt_template"]}


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _entries(request: Request) -> list[Record]:
    keys: Record = project_of(request)["keys"]
    entries: list[Record] = keys["entries"]
    return [entry for entry in entries if entry["type"] != "legacy" or keys["legacy_enabled"]]


async def list_keys(request: Request) -> Response:
    """An empty list until the project's services are up."""
    reveal = _flag(request, "reveal")
    if not project_of(request)["services_ready"]:
        return JSONResponse([])
    return JSONResponse([_shown(entry, reveal=reveal) for entry in _entries(request)])


async def create_key(request: Request) -> Response:
    project, vendor = project_of(request), vendor_of(request)
    reveal = _flag(request, "reveal")
    body = await read(request, CreateKey, refuse_body)
    entries: list[Record] = project["keys"]["entries"]
    if any(entry["type"] == body.type and entry["name"] == body.name for entry in entries):
        raise message(409, f"API key with name '{body.name}' already exists")
    entry = modern_key(vendor.world, project["ref"], kind=body.type, name=body.name, created_at=vendor.now())
    entry["description"] = body.description
    if body.type == "secret" and body.secret_jwt_template is not None:
        entry["secret_jwt_template"] = body.secret_jwt_template
    entries.append(entry)
    return JSONResponse(_shown(entry, reveal=reveal), 201)


def _entry_of(request: Request) -> Record:
    for entry in _entries(request):
        if entry["id"] == request.path_params["id"] and entry["type"] != "legacy":
            return entry
    raise message(404, "API key not found")


async def get_key(request: Request) -> Response:
    return JSONResponse(_shown(_entry_of(request), reveal=_flag(request, "reveal")))


async def update_key(request: Request) -> Response:
    entry = _entry_of(request)
    body = await read(request, UpdateKey, refuse_body)
    entry.update({key: getattr(body, key) for key in body.model_fields_set})
    entry["updated_at"] = vendor_of(request).now()
    return JSONResponse(_shown(entry, reveal=_flag(request, "reveal")))


async def delete_key(request: Request) -> Response:
    entry = _entry_of(request)
    _flag(request, "was_compromised")
    project_of(request)["keys"]["entries"].remove(entry)
    return JSONResponse(_shown(entry, reveal=_flag(request, "reveal")))


async def get_legacy(request: Request) -> Response:
    return JSONResponse({"enabled": project_of(request)["keys"]["legacy_enabled"]})


async def switch_legacy(request: Request) -> Response:
    keys: Record = project_of(request)["keys"]
    if "enabled" not in request.query_params:
        raise message(400, "enabled: Required")
    keys["legacy_enabled"] = _flag(request, "enabled")
    return JSONResponse({"enabled": keys["legacy_enabled"]})
