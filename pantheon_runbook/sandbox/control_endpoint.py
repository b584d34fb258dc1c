"""The daemon's own endpoint, host `sandbox.internal`: none of it is in the request log."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pantheon_runbook.sandbox.cloud import Cloud
from pantheon_runbook.sandbox.faults import rule_of
from pantheon_runbook.sandbox.platform import QueryFailedError
from pantheon_runbook.sandbox.world import Pace
from pantheon_runbook.servers import ServerError


class ControlEndpoint:
    """Status, oracles, faults, saving: one method per route."""

    def __init__(self, cloud: Cloud, *, status: Callable[[], dict[str, Any]], stop: Callable[[], None]) -> None:
        self._cloud = cloud
        self._status = status
        self._stop = stop

    def application(self) -> Starlette:
        """The ASGI application; every refusal is 400 {"message"}."""
        routes: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/status", self.status),
            ("GET", "/facts", self.facts),
            ("GET", "/log", self.log),
            ("GET", "/statements", self.statements),
            ("GET", "/faults", self.show_faults),
            ("POST", "/faults", self.replace_faults),
            ("DELETE", "/faults", self.clear_faults),
            ("POST", "/pace", self.pace),
            ("POST", "/wake", self.wake),
            ("POST", "/save", self.save),
            ("POST", "/load", self.load),
            ("POST", "/reset", self.reset),
            ("POST", "/stop", self.stop),
        ]
        refusals = dict.fromkeys((ServerError, QueryFailedError, ValueError, KeyError, TypeError), _refusal)
        return Starlette(
            routes=[Route(path, handler, methods=[method]) for method, path, handler in routes],
            exception_handlers=refusals,
        )

    async def status(self, _request: Request) -> Response:
        return JSONResponse({**self._status(), **self._cloud.machines.state()})

    async def facts(self, _request: Request) -> Response:
        return JSONResponse(self._cloud.facts())

    async def log(self, request: Request) -> Response:
        return JSONResponse(self._cloud.log.read(int(request.query_params.get("after", "0"))))

    async def statements(self, request: Request) -> Response:
        return JSONResponse(await self._cloud.machines.mutating_statements(request.query_params["ref"]))

    async def show_faults(self, _request: Request) -> Response:
        return JSONResponse(self._cloud.front.faults.describe())

    async def replace_faults(self, request: Request) -> Response:
        self._cloud.front.faults.replace([rule_of(document) for document in await request.json()])
        return await self.show_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._cloud.front.faults.replace([])
        return await self.show_faults(request)

    async def pace(self, request: Request) -> Response:
        """{"factor": how long the vendors' work takes, "call_latency_seconds": added to each call}."""
        body = await request.json()
        pace = Pace().scaled(float(body.get("factor", 1.0)))
        latency = float(body.get("call_latency_seconds", self._cloud.world.pace.call_latency_seconds))
        self._cloud.world.pace = dataclasses.replace(pace, call_latency_seconds=latency)
        return JSONResponse(vars(self._cloud.world.pace))

    async def wake(self, _request: Request) -> Response:
        await self._cloud.machines.deployments.wake()
        return JSONResponse(self._cloud.machines.deployments.states())

    async def save(self, request: Request) -> Response:
        return JSONResponse({"path": str(await self._cloud.save(str((await request.json())["name"])))})

    async def load(self, request: Request) -> Response:
        await self._cloud.load(str((await request.json())["name"]))
        return JSONResponse({})

    async def reset(self, _request: Request) -> Response:
        await self._cloud.reset()
        return JSONResponse({})

    async def stop(self, _request: Request) -> Response:
        self._stop()
        return JSONResponse({})


async def _refusal(_request: Request, error: Exception) -> Response:
    return JSONResponse({"message": f"{type(error).__name__}: {error}"}, 400)
