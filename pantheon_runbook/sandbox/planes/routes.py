"""One table of operations per vendor: it builds the application and names what a request asks for."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Handler = Callable[[Request], Awaitable[Response]]
Guard = Callable[[Request], None]
ErrorBody = Callable[[int, str], Any]


@dataclass(frozen=True)
class Described:
    """What a request is about, known before anything happens."""

    operation: str  # "POST /v1/projects", or GraphQL's root fields joined by ","
    environment: str | None  # "production", "staging", or None when the request does not tell
    mutating: bool


@dataclass(frozen=True)
class Operation:
    """One documented operation: its path template as the vendor writes it, and what answers."""

    method: str
    template: str
    handler: Handler
    mutating: bool
    documented: str = ""  # the template as documented, where what is matched differs from it

    @property
    def name(self) -> str:
        return f"{self.method} {self.documented or self.template}"


@dataclass(frozen=True)
class Matched:
    """An operation and the values of its path parameters."""

    operation: Operation
    parameters: Mapping[str, str]


class RefusedError(Exception):
    """The vendor says no: `status`, the JSON `body` and extra `headers` of its answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def reads(method: str, template: str, handler: Handler) -> Operation:
    """An operation that changes nothing, whatever its method."""
    return Operation(method, template, handler, mutating=False)


def writes(method: str, template: str, handler: Handler) -> Operation:
    """An operation that changes what the vendor remembers."""
    return Operation(method, template, handler, mutating=True)


@lru_cache(maxsize=512)
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    literals = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>[^/]+)" for index, part in enumerate(parts)]
    return re.compile("".join(literals))


def undocumented(method: str, path: str, environment: str | None = None) -> Described:
    """A request that no operation of the table answers."""
    return Described(f"{method} {path.partition('?')[0]}", environment, method not in {"GET", "HEAD", "OPTIONS"})


def match(operations: Sequence[Operation], method: str, path: str) -> Matched | None:
    """The first operation of the table that this request means; a query string in `path` is ignored."""
    bare = path.partition("?")[0]
    for operation in operations:
        if operation.method == method.upper() and (found := _pattern(operation.template).fullmatch(bare)):
            return Matched(operation, found.groupdict())
    return None


def application(operations: Sequence[Operation], *, vendor: object, guard: Guard, error_body: ErrorBody) -> Starlette:
    """The ASGI application of one host; `guard` runs before each handler, `error_body` shapes 404 and 405."""

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return JSONResponse(error.body, error.status, headers=error.headers)

    async def unknown(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse(error_body(error.status_code, error.detail), error.status_code, headers=error.headers)

    built = Starlette(
        routes=[
            Route(operation.template, _guarded(operation.handler, guard), methods=[operation.method])
            for operation in operations
        ],
        exception_handlers={RefusedError: refused, HTTPException: unknown},
    )
    built.router.redirect_slashes = False
    built.state.vendor = vendor
    return built


def _guarded(handler: Handler, guard: Guard) -> Handler:
    async def endpoint(request: Request) -> Response:
        guard(request)
        return await handler(request)

    return endpoint
