"""The one door: the Host header says which of the vendors, or which deployed thing, is meant."""

from __future__ import annotations

import fnmatch
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pantheon_runbook.sandbox import proxy
from pantheon_runbook.sandbox.exchange import Answer
from pantheon_runbook.sandbox.front import Front
from pantheon_runbook.sandbox.machines import Machines

CONTROL_HOST = "sandbox.internal"
SERVICES = {
    "api.supabase.com": "supabase",
    "backboard.railway.com": "railway",
    "api.vercel.com": "vercel",
    "openrouter.ai": "openrouter",
}
PROJECT_HOSTS = "*.supabase.co"
# Browsers and curl resolve *.localhost to loopback: http://api.supabase.com.localhost:PORT reaches us unconfigured.
LOCAL_SUFFIX = ".localhost"
NO_DEPLOYMENT = b"The deployment could not be found on Vercel.\n\nDEPLOYMENT_NOT_FOUND\n"


class Router:
    """The ASGI application of the daemon."""

    def __init__(self, *, front: Front, machines: Machines, control: ASGIApp) -> None:
        self._front = front
        self._machines = machines
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one HTTP request; a host that none of the vendors has gets 421."""
        if scope["type"] != "http":
            return
        host, scope = _host_of(scope)
        if host == CONTROL_HOST:
            await self._control(scope, receive, send)
        elif service := service_of(host):
            await self._front.handle(service, host, scope, receive, send)
        elif self._machines.deployments.has_route(host):
            await self._to_process(host, scope, receive, send)
        elif self._machines.pages.has_route(host):
            await self._machines.pages.serve(host, Request(scope))(scope, receive, send)
        elif host.endswith(".up.railway.app"):
            await proxy.no_such_application().send(send)
        elif host.endswith(".vercel.app"):
            await Answer(404, [(b"content-type", b"text/plain"), (b"server", b"Vercel")], NO_DEPLOYMENT).send(send)
        else:
            await PlainTextResponse(f"no vendor has the host {host!r}\n", 421)(scope, receive, send)

    async def _to_process(self, host: str, scope: Scope, receive: Receive, send: Send) -> None:
        port = await self._machines.deployments.port_of(host)
        if port is None:
            await proxy.not_responding().send(send)
            return
        await proxy.forward(port, scope, receive, send)


def service_of(host: str) -> str | None:
    """Which control plane answers for this host."""
    if fnmatch.fnmatchcase(host, PROJECT_HOSTS):
        return "supabase-project"
    return SERVICES.get(host)


def _host_of(scope: Scope) -> tuple[str, Scope]:
    """The host that is meant, and the scope without it where a client used us as its HTTP proxy."""
    if scope["path"].startswith("http://"):
        target = urlsplit(scope["path"])
        scope = {**scope, "path": target.path or "/", "raw_path": (target.path or "/").encode()}
        return (target.hostname or "").removesuffix(LOCAL_SUFFIX), scope
    named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    return named.partition(":")[0].lower().removesuffix(LOCAL_SUFFIX), scope
