"""The API service: health, sessions, messages, background jobs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import uvicorn
import valkey.asyncio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from valkey.exceptions import ValkeyError

from pantheon_runbook.sandbox.pantheon.backend import store
from pantheon_runbook.sandbox.pantheon.backend.settings import JOBS_QUEUED, Settings, from_environment

VERSION = "1.4.0"
MAXIMUM_LISTED = 100
AUTHORS = ("user", "assistant", "system")
CONNECT_SECONDS = 5


class Api:
    """The routes of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = store.Database(settings.database_pool_url)
        self._queue = valkey.asyncio.Valkey.from_url(
            settings.redis_url, socket_connect_timeout=CONNECT_SECONDS, decode_responses=True
        )

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/sessions", self.list_sessions, methods=["GET"]),
                Route("/sessions", self.create_session, methods=["POST"]),
                Route("/sessions/{session_id:uuid}", self.show_session, methods=["GET"]),
                Route("/sessions/{session_id:uuid}", self.delete_session, methods=["DELETE"]),
                Route("/sessions/{session_id:uuid}/messages", self.add_message, methods=["POST"]),
                Route("/jobs", self.create_job, methods=["POST"]),
                Route("/jobs/{job_id:uuid}", self.show_job),
            ],
            exception_handlers={HTTPException: _refusal},
        )

    async def health(self, _request: Request) -> Response:
        """200 when database and Redis answer, else 503; names hosts and revision, never a secret."""
        database, revision = await self._probe(self._ask_database)
        redis, _pong = await self._probe(self._ask_redis)
        healthy = database == redis == "ok"
        body = {
            "status": "ok" if healthy else "unhealthy",
            "version": VERSION,
            "environment": self._settings.environment,
            "revision": revision,
            "database": database,
            "redis": redis,
            "supabase": urlsplit(self._settings.supabase_url).hostname,
            "model": self._settings.openrouter_model,
        }
        return JSONResponse(body, 200 if healthy else 503)

    async def list_sessions(self, request: Request) -> Response:
        limit = min(int(request.query_params.get("limit", "20")), MAXIMUM_LISTED)
        async with self._database.connection() as connection:
            return _json(await store.list_sessions(connection, limit))

    async def create_session(self, request: Request) -> Response:
        body = await _body(request)
        async with self._database.connection() as connection:
            return _json(await store.create_session(connection, str(body.get("title", ""))), 201)

    async def show_session(self, request: Request) -> Response:
        session_id, release = request.path_params["session_id"], self._settings.release
        async with self._database.connection() as connection:
            session = await store.find_session(connection, session_id, release=release)
        return _json(_found(session, "session"))

    async def delete_session(self, request: Request) -> Response:
        async with self._database.connection() as connection:
            found = await store.delete_session(connection, request.path_params["session_id"])
        return _json(_found(found, "session"))

    async def add_message(self, request: Request) -> Response:
        body, session_id, release = await _body(request), request.path_params["session_id"], self._settings.release
        author, content = body.get("author", "user"), body.get("content")
        if author not in AUTHORS or not isinstance(content, str) or not content:
            raise HTTPException(422, f"content must be text and author one of {', '.join(AUTHORS)}")
        async with self._database.connection() as connection:
            try:
                added = await store.add_message(connection, session_id, author, content, release=release)
            except psycopg.errors.ForeignKeyViolation as error:
                raise HTTPException(404, "no such session") from error
        return _json({**added, "author": author, "content": content}, 201)

    async def create_job(self, request: Request) -> Response:
        body = await _body(request)
        try:
            session_id = UUID(str(body.get("session_id")))
        except ValueError as error:
            raise HTTPException(422, "session_id must be a UUID") from error
        async with self._database.connection() as connection:
            try:
                job_id = await store.create_job(connection, session_id)
            except psycopg.errors.ForeignKeyViolation as error:
                raise HTTPException(404, "no such session") from error
        await self._queue.lpush(JOBS_QUEUED, str(job_id))
        return _json({"id": job_id, "state": "queued"}, 202)

    async def show_job(self, request: Request) -> Response:
        async with self._database.connection() as connection:
            job = await store.find_job(connection, request.path_params["job_id"])
        return _json(_found(job, "job"))

    async def _ask_database(self) -> str | None:
        async with self._database.connection() as connection:
            return await store.revision(connection)

    async def _ask_redis(self) -> str | None:
        await self._queue.ping()
        return None

    async def _probe(self, ask: Callable[[], Awaitable[str | None]]) -> tuple[str, str | None]:
        try:
            return "ok", await ask()
        except (psycopg.Error, ValkeyError, OSError) as error:
            return type(error).__name__, None


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(422, "the body must be a JSON object")
    return body


def _found(row: dict[str, Any] | None, what: str) -> dict[str, Any]:
    if row is None:
        raise HTTPException(404, f"no such {what}")
    return row


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, default=str), status, media_type="application/json")


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def main() -> None:
    """Serve until SIGTERM, then finish the requests in hand."""
    settings = from_environment()
    # Loopback because this container is a process on somebody's machine.
    uvicorn.run(
        Api(settings).application(),
        host="127.0.0.1",
        port=settings.port,
        log_level=settings.log_level,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
