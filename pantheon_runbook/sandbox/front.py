"""In front of the control planes: every request is described, perhaps made to fail, logged, and answered."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from pantheon_runbook.sandbox.exchange import (
    Answer,
    answer_of,
    drop,
    plain_answer,
    read_body,
    transport_of,
    wait_for_hang_up,
)
from pantheon_runbook.sandbox.faults import WITHOUT_EFFECT, Rule, Switchboard
from pantheon_runbook.sandbox.log import Entry, RequestLog
from pantheon_runbook.sandbox.platform import Platform
from pantheon_runbook.sandbox.world import World

RETRY_AFTER_SECONDS = 1.0
UNANSWERED = frozenset({"reset-before", "reset-after", "timeout-after"})

ReadKey = tuple[str, str, str, str, bytes]  # service, host, method, path with query, body


class Described(Protocol):
    """What a request is about, known before anything happens."""

    @property
    def operation(self) -> str: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def mutating(self) -> bool: ...


class Planes(Protocol):
    """The control planes as a package offers them; `pantheon_runbook.sandbox.planes` is one."""

    def applications(self, world: World, platform: Platform) -> dict[str, Starlette]: ...

    def resume(self, applications: Mapping[str, Starlette]) -> None: ...

    def halt(self, applications: Mapping[str, Starlette]) -> None: ...

    def describe(
        self, service: str, method: str, path: str, body: bytes, world: World, *, host: str = ""
    ) -> Described: ...


@dataclass(frozen=True)
class Request:
    """One request with its whole body, and what it is about."""

    service: str
    host: str
    scope: Scope
    receive: Receive
    body: bytes
    about: Described

    @property
    def path(self) -> str:
        query = self.scope["query_string"].decode("latin-1")
        return f"{self.scope['path']}?{query}" if query else str(self.scope["path"])

    @property
    def key(self) -> ReadKey:
        return self.service, self.host, self.scope["method"], self.path, self.body


class Front:
    """One sandbox's control planes, behind log and switchboard.

    `keep` is called with the world's text after each mutation, before the answer goes out.
    """

    def __init__(
        self, *, world: World, platform: Platform, planes: Planes, log: RequestLog, keep: Callable[[str], None]
    ) -> None:
        self.faults = Switchboard()
        self._world = world
        self._platform = platform
        self._planes = planes
        self._log = log
        self._keep = keep
        self._applications: dict[str, Starlette] = {}
        self._now = self._before = ""
        self._answers: dict[ReadKey, Answer] = {}
        self._answers_before: dict[ReadKey, Answer] = {}

    def open(self) -> None:
        """The world is complete, or another one now: build its planes, go on with their work, remember no answers."""
        self._applications = self._planes.applications(self._world, self._platform)
        self._planes.resume(self._applications)
        self._now = self._before = self._world.dumps()
        self._answers.clear()
        self._answers_before.clear()

    def close(self) -> None:
        """Break off the vendors' own work; `open` goes on with it."""
        if self._applications:
            self._planes.halt(self._applications)
            self._applications = {}

    async def handle(self, service: str, host: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to a control plane, or fail to, as the switchboard says."""
        body = await read_body(receive)
        path = scope["raw_path"].decode("latin-1") + "?" + scope["query_string"].decode("latin-1")
        about = self._planes.describe(service, scope["method"], path.rstrip("?"), body, self._world, host=host)
        request = Request(service, host, scope, receive, body, about)
        rule = self.faults.pick(
            service=service, operation=about.operation, environment=about.environment, mutating=about.mutating
        )
        extra_seconds = (rule.seconds or 0.0) if rule and rule.kind == "latency" else 0.0
        await asyncio.sleep(self._world.pace.call_latency_seconds + extra_seconds)
        answer = await self._answer(request, rule)
        self._write_down(request, rule, answer)
        await _deliver(request, rule, answer, send)

    async def _answer(self, request: Request, rule: Rule | None) -> Answer:
        kind = rule.kind if rule else None
        if rule is not None and kind in WITHOUT_EFFECT:
            return _refusal(request.service, rule)
        if kind == "stale":
            return await self._stale(request)
        answer = await self._effect(self._applications[request.service], request)
        if request.about.mutating:
            self._mutated()
        else:
            self._answers[request.key] = answer
        if kind == "500-after":
            return error_answer(request.service, 500, "Internal Server Error")
        return answer

    async def _effect(self, application: ASGIApp, request: Request) -> Answer:
        try:
            return await answer_of(application, request.scope, request.body, request.receive)
        except Exception:
            # A bug of the sandbox: loud in the daemon's log, and an answer so that the client need not guess.
            logging.getLogger(__name__).exception("%s %s", request.scope["method"], request.path)
            return error_answer(request.service, 500, "The sandbox itself failed; see daemon.log")

    async def _stale(self, request: Request) -> Answer:
        """What this read answered before the last mutation; asked of the old memory when nobody asked it then."""
        if (remembered := self._answers_before.get(request.key)) is not None:
            return remembered
        past = World(json.loads(self._before), self._world.pace, self._world.pinned_at)
        applications = self._planes.applications(past, self._platform)
        return await self._effect(applications[request.service], request)

    def _mutated(self) -> None:
        self._before, self._now = self._now, self._world.dumps()
        self._answers_before |= self._answers
        self._answers.clear()
        self._keep(self._now)

    def _write_down(self, request: Request, rule: Rule | None, answer: Answer) -> None:
        self._log.write(
            Entry(
                at=self._world.now().isoformat(timespec="milliseconds"),
                service=request.service,
                method=request.scope["method"],
                path=request.path,
                operation=request.about.operation,
                environment=request.about.environment,
                mutating=request.about.mutating,
                status=None if rule and rule.kind in UNANSWERED else answer.status,
                fault=rule.kind if rule else None,
            )
        )


async def _deliver(request: Request, rule: Rule | None, answer: Answer, send: Send) -> None:
    kind = rule.kind if rule else None
    if rule is not None and kind == "timeout-after":
        await wait_for_hang_up(request.receive, rule.seconds)
    if kind in UNANSWERED:
        drop(transport_of(request.scope))
    elif kind == "truncated":
        await answer.send_half(send, transport_of(request.scope))
    else:
        await answer.send(send)


def _refusal(service: str, rule: Rule) -> Answer:
    if rule.kind == "429":
        answer = error_answer(service, 429, "Too Many Requests")
        seconds = RETRY_AFTER_SECONDS if rule.seconds is None else rule.seconds
        answer.headers.append((b"retry-after", f"{seconds:g}".encode()))
        return answer
    return error_answer(service, 500, "Internal Server Error")


def error_answer(service: str, status: int, message: str) -> Answer:
    """A failure in the words of that vendor."""
    shapes: dict[str, object] = {
        "railway": {"errors": [{"message": message}]},
        "vercel": {"error": {"code": "internal_server_error" if status >= 500 else "rate_limited", "message": message}},  # noqa: PLR2004  HTTP
        "openrouter": {"error": {"code": status, "message": message}},
        "supabase-project": {"statusCode": str(status), "error": message, "message": message},
    }
    return plain_answer(status, json.dumps(shapes.get(service, {"message": message})).encode())
