"""Railway: https://backboard.railway.com/graphql/v2, executed by graphql-core against a schema of our own writing."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, execute, parse, validate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes import routes
from pantheon_runbook.sandbox.planes.bodies import read_json
from pantheon_runbook.sandbox.planes.railway import changes, deploys, projects, queries, services, templates, ways_in
from pantheon_runbook.sandbox.planes.railway.connections import field
from pantheon_runbook.sandbox.planes.railway.described import describe
from pantheon_runbook.sandbox.planes.railway.seed import seed_production
from pantheon_runbook.sandbox.planes.railway.state import Caller, Context, Railway
from pantheon_runbook.sandbox.planes.rates import Count
from pantheon_runbook.sandbox.planes.routes import RefusedError

__all__ = ["Railway", "advance", "application", "describe", "schema", "seed_production"]

_RESOLVERS = {
    **queries.ROOT,
    **changes.MUTATIONS,
    **projects.MUTATIONS,
    **services.MUTATIONS,
    **templates.MUTATIONS,
    **ways_in.MUTATIONS,
}
_ROOT = {name: field(resolve) for name, resolve in _RESOLVERS.items()}


@cache
def schema() -> GraphQLSchema:
    """The part of the vendor's schema that is served."""
    return build_schema(files(__name__).joinpath("schema.graphql").read_text())


def application(vendor: Railway) -> Starlette:
    """One endpoint; a query that is no query is a 400, everything else a 200 that may carry `errors`."""
    return routes.application(
        (routes.writes("POST", "/graphql/v2", _answer),),
        vendor=vendor,
        guard=lambda _request: None,
        error_body=lambda _status, detail: {"message": detail},
    )


def advance(vendor: Railway) -> None:
    """Go on with what an ended process left half-way."""
    deploys.advance(vendor)
    templates.advance(vendor)


async def _answer(request: Request) -> Response:
    vendor: Railway = request.app.state.vendor
    count = vendor.hour.count(_token(request), vendor.memory["limits"]["requests_per_hour"])
    headers = _rate_headers(count)
    if count.exceeded:
        headers["Retry-After"] = str(count.resets_in_seconds)
        raise RefusedError(429, {"message": "Too Many Requests"}, headers)
    body = await read_json(request, _bad_request)
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        raise _bad_request("query is required")
    status, answer = await _execute(vendor, _caller(request, vendor), body)
    return JSONResponse(answer, status, headers=headers)


async def _execute(vendor: Railway, caller: Caller | str | None, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    try:
        document = parse(body["query"])
    except GraphQLError as error:
        return 400, {"errors": [error.formatted]}
    if broken := validate(schema(), document):
        return 400, {"errors": [error.formatted for error in broken]}
    if isinstance(caller, str):
        return 200, {"errors": [_formatted(GraphQLError(caller))], "data": None}
    result = execute(
        schema(),
        document,
        root_value=_ROOT,
        context_value=Context(vendor, caller),
        variable_values=body.get("variables") or {},
        operation_name=body.get("operationName"),
    )
    finished = result if not hasattr(result, "__await__") else await result
    answer: dict[str, Any] = {"data": finished.data}
    for failure in finished.errors or ():
        if failure.original_error is not None and not isinstance(failure.original_error, GraphQLError):
            raise failure.original_error  # a defect of the sandbox, not an answer of the vendor
    if finished.errors:
        answer["errors"] = [_formatted(failure) for failure in finished.errors]
    return 200, answer


def _formatted(error: GraphQLError) -> dict[str, Any]:
    return {**error.formatted, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


def _bad_request(why: str) -> RefusedError:
    return RefusedError(400, {"errors": [{"message": why}]})


def _token(request: Request) -> str:
    return request.headers.get("project-access-token") or request.headers.get("authorization", "")


def _rate_headers(count: Count) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(count.limit),
        "X-RateLimit-Remaining": str(count.remaining),
        "X-RateLimit-Reset": str(count.resets_in_seconds),
    }


def _caller(request: Request, vendor: Railway) -> Caller | str | None:
    """Who asks; None without a token (some queries are open), a text when the token is refused as such."""
    project_token = request.headers.get("project-access-token")
    if project_token:
        for known in vendor.table("project_tokens").values():
            if known["value"] == project_token:
                return Caller("project", project_token=known)
        return "project token not found"
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        return None
    account = vendor.memory["tokens"].get(token) if scheme.lower() == "bearer" else None
    if account is None:
        return "Not Authorized"
    return Caller(account["kind"], workspace_ids=tuple(account["workspaces"]))
