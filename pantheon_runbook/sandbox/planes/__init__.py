"""The vendors' control planes: same paths, status codes, bodies and quirks, by their API descriptions.

Nothing here owns a process or a socket: memory is `World`, real servers are `Platform`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette

from pantheon_runbook.sandbox.planes import openrouter, railway, supabase, vercel
from pantheon_runbook.sandbox.planes.routes import Described
from pantheon_runbook.sandbox.planes.running import Running, running
from pantheon_runbook.sandbox.planes.supabase.pooler import pooler_host
from pantheon_runbook.sandbox.platform import Platform
from pantheon_runbook.sandbox.world import World

__all__ = [
    "Described",
    "Running",
    "applications",
    "describe",
    "halt",
    "pooler_host_of",
    "resume",
    "running",
    "seed_production",
]


def applications(world: World, platform: Platform) -> dict[str, Starlette]:
    """One ASGI application per service.

    Keys: "supabase" (api.supabase.com), "supabase-project" (<ref>.supabase.co, told apart by the Host header),
    "railway" (backboard.railway.com), "vercel" (api.vercel.com), "openrouter" (openrouter.ai).
    """
    management = supabase.Supabase(world, platform)
    return {
        "supabase": supabase.management_application(management),
        "supabase-project": supabase.project_application(management),
        "railway": railway.application(railway.Railway(world, platform)),
        "vercel": vercel.application(vercel.Vercel(world, platform)),
        "openrouter": openrouter.application(world),
    }


def pooler_host_of(world: World, ref: str) -> str:
    """The pooler host at which a Supabase project is a tenant; KeyError when there is no such project."""
    return pooler_host(world.document["supabase"]["projects"][ref])


def resume(applications: Mapping[str, Starlette]) -> None:
    """Go on with what an ended process left half-way (projects coming up, builds); call once, in the running loop.

    Not part of `applications`: asking an old copy of the memory must not start anything.
    """
    supabase.advance(applications["supabase"].state.vendor)
    railway.advance(applications["railway"].state.vendor)
    vercel.advance(applications["vercel"].state.vendor)


def halt(applications: Mapping[str, Starlette]) -> None:
    """Break off all background work, because another world is taking the place of this one."""
    for service in ("supabase", "railway", "vercel"):
        applications[service].state.vendor.work.halt()


def describe(service: str, method: str, path: str, body: bytes, world: World, *, host: str = "") -> Described:
    """What a request is about, before it is answered; changes nothing.

    `service` is a key of `applications`; `path` may carry its query string; `host` is needed for
    "supabase-project" only, where the project is named by the Host header alone.
    An unknown path is described by itself, with a mutating flag by its method.
    """
    if service == "supabase":
        return supabase.describe_management(method, path, body, world)
    if service == "supabase-project":
        return supabase.describe_project(method, path, host, world)
    if service == "railway":
        return railway.describe(body, world)
    if service == "vercel":
        return vercel.describe(method, path, body, world)
    return openrouter.describe(method, path, body, world)


def seed_production(world: World) -> dict[str, Any]:
    """Fill an empty world with a production and no staging; gives every id, name, host, token and password.

    The keys of the answer: "supabase", "railway", "vercel", "openrouter" (one object each) and "tokens".
    Nothing real is started: `running(world)` says what the platform has to bring up.
    """
    supabase_facts = supabase.seed_production(world)
    openrouter_facts = openrouter.seed_production(world)
    railway_facts = railway.seed_production(world, supabase_facts, openrouter_facts)
    vercel_facts = vercel.seed_production(world, supabase_facts, railway_facts)
    return {
        "supabase": supabase_facts,
        "railway": railway_facts,
        "vercel": vercel_facts,
        "openrouter": openrouter_facts,
        "tokens": {
            "SUPABASE_ACCESS_TOKEN": supabase_facts["token"],
            "RAILWAY_API_TOKEN": railway_facts["token"],
            "VERCEL_TOKEN": vercel_facts["token"],
            "OPENROUTER_MANAGEMENT_KEY": openrouter_facts["management_key"],
        },
    }
