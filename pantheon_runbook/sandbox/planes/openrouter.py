"""OpenRouter's key management (https://openrouter.ai/api/v1/keys).

A management key makes, changes and removes keys; a key's value is shown once. Names are not unique.
Source: OpenRouter documentation, "Management API Keys" and the API description of /keys, read 2026-11.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes import routes
from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.routes import Described, RefusedError, match, reads, undocumented, writes
from pantheon_runbook.sandbox.world import Record, World

PAGE: Final = 100
_WORKSPACE: Final = "00000000-0000-4000-8000-00000000c0de"  # the one workspace of this account
_PERIODS: Final = ("", "_daily", "_weekly", "_monthly")

Limit = Annotated[float, Field(ge=0)]
Reset = Literal["daily", "weekly", "monthly"]


class CreateKey(Body):
    name: Annotated[str, Field(min_length=1)]
    limit: Limit | None = None
    limit_reset: Reset | None = None
    include_byok_in_limit: bool = False
    expires_at: str | None = None


class UpdateKey(Body):
    name: Annotated[str, Field(min_length=1)] = ""
    disabled: bool = False
    limit: Limit | None = None
    limit_reset: Reset | None = None
    include_byok_in_limit: bool = False


@dataclass(frozen=True)
class OpenRouter:
    """The vendor at work on one world."""

    world: World

    @property
    def keys(self) -> dict[str, Record]:
        return cast("dict[str, Record]", self.world.document["openrouter"]["keys"])


def refuse(code: int, text: str) -> RefusedError:
    return RefusedError(code, {"error": {"code": code, "message": text}})


def _vendor(request: Request) -> OpenRouter:
    return cast("OpenRouter", request.app.state.vendor)


def new_key(world: World, *, name: str, limit: float | None, limit_reset: str | None) -> tuple[Record, str]:
    """What is remembered of a key, and the key itself (256 bits)."""
    value = f"sk-or-v1-{world.token('openrouter.key', name, length=64)}"
    now = _stamp(world.now())
    key: Record = {
        "hash": hashlib.sha256(value.encode()).hexdigest(),
        "name": name,
        "label": f"{value[:12]}...{value[-3:]}",
        "disabled": False,
        "limit": limit,
        "limit_reset": limit_reset,
        "include_byok_in_limit": False,
        "created_at": now,
        "updated_at": None,
        "expires_at": None,
        "usage": 0,
    }
    return key, value


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def _shown(key: Record) -> Record:
    """With what the vendor's own SDK demands of every key since 1.3."""
    shown = {name: value for name, value in key.items() if name not in {"usage", "production"}}
    shown |= {"creator_user_id": None, "external_user": None, "last_used_at": None, "workspace_id": _WORKSPACE}
    shown["limit_remaining"] = None if key["limit"] is None else max(0, key["limit"] - key["usage"])
    for period in _PERIODS:
        shown[f"usage{period}"] = key["usage"]
        shown[f"byok_usage{period}"] = 0
    return shown


async def list_keys(request: Request) -> Response:
    """A hundred at a time, the newest first; disabled ones only when asked for."""
    offset = request.query_params.get("offset", "0")
    if not offset.isdecimal():
        raise refuse(400, "offset: Expected a whole number")
    disabled = request.query_params.get("include_disabled", "false") == "true"
    found = [key for key in _vendor(request).keys.values() if disabled or not key["disabled"]]
    found.sort(key=lambda key: (key["created_at"], key["hash"]), reverse=True)
    return JSONResponse({"data": [_shown(key) for key in found[int(offset) : int(offset) + PAGE]]})


async def create_key(request: Request) -> Response:
    """201; the only answer that has the value."""
    body = await read(request, CreateKey, lambda why: refuse(400, why))
    vendor = _vendor(request)
    key, value = new_key(vendor.world, name=body.name, limit=body.limit, limit_reset=body.limit_reset)
    key |= {"include_byok_in_limit": body.include_byok_in_limit, "expires_at": body.expires_at}
    vendor.keys[key["hash"]] = key
    return JSONResponse({"data": _shown(key), "key": value}, 201)


def _key(request: Request) -> Record:
    key = _vendor(request).keys.get(request.path_params["hash"])
    if key is None:
        raise refuse(404, "API key not found")
    return key


async def get_key(request: Request) -> Response:
    return JSONResponse({"data": _shown(_key(request))})


async def update_key(request: Request) -> Response:
    key = _key(request)
    body = await read(request, UpdateKey, lambda why: refuse(400, why))
    key.update({name: getattr(body, name) for name in body.model_fields_set})
    key["updated_at"] = _stamp(_vendor(request).world.now())
    return JSONResponse({"data": _shown(key)})


async def delete_key(request: Request) -> Response:
    del _vendor(request).keys[_key(request)["hash"]]
    return JSONResponse({"deleted": True})


async def current_key(request: Request) -> Response:
    """What the presented key itself is and has left."""
    known = request.state.key
    memory = _vendor(request).world.document["openrouter"]
    shown = _shown(known or {**new_key_like_management(), "expires_at": memory.get("management_key_expires_at")})
    names = ("label", "limit", "limit_remaining", "limit_reset", "include_byok_in_limit", "expires_at",
             "creator_user_id", "workspace_id")  # fmt: skip
    usage = {name: value for name, value in shown.items() if "usage" in name}
    rate = {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."}
    data = {name: shown[name] for name in names} | usage
    free = {"limit": 1000, "remaining": 1000, "used": 0}
    data |= {"is_free_tier": False, "rate_limit": rate, "free_model_daily_requests": free, "organization_id": None}
    data |= {"allowed_data_regions": [], "budgets": [], "effective_budget": None}  # no guardrail is set
    return JSONResponse({"data": data | {"is_management_key": known is None, "is_provisioning_key": known is None}})


def new_key_like_management() -> Record:
    """A management key has no limit and no usage."""
    return {"label": "sk-or-v1-...", "limit": None, "limit_reset": None, "include_byok_in_limit": False,
            "expires_at": None, "usage": 0}  # fmt: skip


def _guard(request: Request) -> None:
    """401 for a missing or unknown key; a key that is no management key manages nothing."""
    presented = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not presented:
        raise refuse(401, "No auth credentials found")
    vendor = _vendor(request)
    is_management = presented == vendor.world.document["openrouter"]["management_key"]
    key = vendor.keys.get(hashlib.sha256(presented.encode()).hexdigest())
    if not is_management and (key is None or key["disabled"]):
        raise refuse(401, "User not found.")
    if not is_management and request.url.path != "/api/v1/key":
        raise refuse(401, "Invalid management key")
    request.state.key = key


OPERATIONS: Final = (
    reads("GET", "/api/v1/key", current_key),
    reads("GET", "/api/v1/keys", list_keys),
    writes("POST", "/api/v1/keys", create_key),
    reads("GET", "/api/v1/keys/{hash}", get_key),
    writes("PATCH", "/api/v1/keys/{hash}", update_key),
    writes("DELETE", "/api/v1/keys/{hash}", delete_key),
)


def application(world: World) -> Starlette:
    """All of https://openrouter.ai that is about keys."""
    return routes.application(
        OPERATIONS,
        vendor=OpenRouter(world),
        guard=_guard,
        error_body=lambda status, detail: {"error": {"code": status, "message": detail}},
    )


def describe(method: str, path: str, body: bytes, world: World) -> Described:
    """A key belongs to production when it was seeded as such; a body that names it does too."""
    found = match(OPERATIONS, method, path)
    if found is None:
        return undocumented(method, path)
    keys: dict[str, Any] = world.document["openrouter"].get("keys", {})
    key = keys.get(found.parameters.get("hash", ""))
    environment = None if key is None else "production" if key.get("production") else "staging"
    if key is None and body and found.operation.mutating:
        environment = _environment_of_name(body, keys)
    return Described(found.operation.name, environment, found.operation.mutating)


def _environment_of_name(body: bytes, keys: dict[str, Any]) -> str | None:
    try:
        name = json.loads(body).get("name")
    except (ValueError, AttributeError):
        return None
    owned = any(key["name"] == name and key.get("production") for key in keys.values())
    return "production" if owned else None


def seed_production(world: World) -> dict[str, Any]:
    """Production's key without a limit, and a management key."""
    key, value = new_key(world, name="pantheon-production", limit=None, limit_reset=None)
    key["production"] = True
    management_key = f"sk-or-v1-{world.token('openrouter.management', 'supervisor', length=64)}"
    world.document["openrouter"] = {"management_key": management_key, "keys": {key["hash"]: key}}
    return {"management_key": management_key, "hash": key["hash"], "key": value, "name": key["name"]}
