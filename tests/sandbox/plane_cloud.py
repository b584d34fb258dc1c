"""The control planes over an in-memory platform: what a test of the planes alone needs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from starlette.applications import Starlette

from pantheon_runbook.sandbox import planes
from pantheon_runbook.sandbox.platform import BuildFailedError, Deployment, QueryFailedError
from pantheon_runbook.sandbox.world import Pace, World, empty_world

FAST = Pace().scaled(0.02)
AT = 1795420800.0  # 2026-11-23T08:00:00Z
HOSTS = {
    "supabase": "api.supabase.com",
    "railway": "backboard.railway.com",
    "vercel": "api.vercel.com",
    "openrouter": "openrouter.ai",
}


class MemoryPlatform:
    """Writes down what the planes ask for; knows buckets and nothing else of SQL."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.deployed: dict[str, Deployment] = {}
        self.hosts: dict[str, Any] = {}
        self.buckets: dict[str, dict[str, dict[str, Any]]] = {}
        self.deploy_answers: list[str] = []
        self.refuse_builds = False

    async def create_cluster(self, ref: str, password: str) -> None:
        self.calls.append(("create_cluster", ref, password))

    async def delete_cluster(self, ref: str) -> None:
        self.calls.append(("delete_cluster", ref))

    async def pause_cluster(self, ref: str) -> None:
        self.calls.append(("pause_cluster", ref))

    async def resume_cluster(self, ref: str) -> None:
        self.calls.append(("resume_cluster", ref))

    async def set_password(self, ref: str, password: str) -> None:
        self.calls.append(("set_password", ref, password))

    async def login_role(self, ref: str, *, read_only: bool, ttl_seconds: int) -> tuple[str, str]:
        self.calls.append(("login_role", ref, read_only, ttl_seconds))
        return "cli_login_0001", "a temporary password"

    async def query(
        self,
        ref: str,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        read_only: bool = False,
        role: str = "supabase_admin",
    ) -> list[dict[str, Any]]:
        self.calls.append(("query", ref, sql, tuple(parameters), read_only, role))
        if "storage.buckets" not in sql:
            if sql == "broken":
                raise QueryFailedError("42601", 'syntax error at or near "broken"')
            return [{"answer": 1}]
        rows = self.buckets.setdefault(ref, {})
        return _bucket_rows(rows, sql, parameters)

    async def create_redis(self, service_id: str, network: str, host: str, password: str) -> None:
        self.calls.append(("create_redis", service_id, network, host, password))

    async def delete_redis(self, service_id: str) -> None:
        self.calls.append(("delete_redis", service_id))

    async def deploy(self, deployment: Deployment) -> str:
        self.calls.append(("deploy", deployment.deployment_id))
        self.deployed[deployment.deployment_id] = deployment
        return self.deploy_answers.pop(0) if self.deploy_answers else "SUCCESS"

    async def output(self, deployment_id: str) -> list[str]:
        return [f"{deployment_id} speaks"] if deployment_id in self.deployed else []

    async def remove(self, deployment_id: str) -> None:
        self.calls.append(("remove", deployment_id))

    async def route(self, host: str, deployment_id: str | None) -> None:
        self.calls.append(("route", host, deployment_id))

    async def build_page(self, deployment_id: str, variables: Mapping[str, str]) -> None:
        self.calls.append(("build_page", deployment_id, dict(variables)))
        if self.refuse_builds:
            raise BuildFailedError("NEXT_PUBLIC_API_URL is missing")

    async def page_route(self, host: str, deployment_id: str, *, bypass_secrets: Sequence[str] | None) -> None:
        self.hosts[host] = (deployment_id, bypass_secrets)

    def names(self) -> list[str]:
        """What was asked for, without the arguments."""
        return [call[0] for call in self.calls]


def _bucket_rows(rows: dict[str, Any], sql: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    if sql.startswith("insert"):
        if parameters[0] in rows:
            raise QueryFailedError("23505", "duplicate key")
        keys = ("id", "name", "public", "file_size_limit", "allowed_mime_types")
        stamps = dict.fromkeys(("created_at", "updated_at"), "2026-11-23T08:00:00.000Z")
        rows[parameters[0]] = {**dict(zip(keys, parameters, strict=True)), "owner": "", **stamps}
        return [{"name": parameters[1]}]
    if sql.startswith("update"):
        public, size, types, identifier = parameters
        rows[identifier] |= {"public": public, "file_size_limit": size, "allowed_mime_types": types}
        return [{"id": identifier}]
    if sql.startswith("delete"):
        del rows[parameters[0]]
        return [{"id": parameters[0]}]
    if "where id" in sql:
        return [dict(rows[parameters[0]])] if parameters[0] in rows else []
    if not parameters:  # the management view
        shown = ("id", "name", "owner", "public", "created_at", "updated_at")
        return [{key: row[key] for key in shown} for row in rows.values()]
    return [dict(rows[key]) for key in sorted(rows)]


class Cloud:
    """A seeded world, its planes, and one event loop for requests and background work."""

    def __init__(self, *, pace: Pace = FAST, pinned_at: float | None = AT) -> None:
        self.world: World = empty_world("test", pace)
        self.world.pinned_at = pinned_at
        self.facts = planes.seed_production(self.world)
        self.platform = MemoryPlatform()
        self.applications: dict[str, Starlette] = planes.applications(self.world, self.platform)
        self.loop = asyncio.new_event_loop()
        self.observers: list[Callable[[httpx.Request, httpx.Response], None]] = []

    def close(self) -> None:
        planes.halt(self.applications)
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def request(
        self, method: str, url: str, *, body: Any = None, headers: Mapping[str, str] | None = None, token: str = ""
    ) -> httpx.Response:
        """One request to a vendor's real URL; the right token unless another one is given ("-": none)."""
        request = httpx.Request(method, url, json=body) if body is not None else httpx.Request(method, url)
        service = self._service(request.url.host)
        sent = {**({} if token == "-" else self._authorization(service, token)), **(headers or {})}
        request.headers.update(sent)
        response = self.loop.run_until_complete(self._send(service, request))
        for observe in self.observers:
            observe(request, response)
        return response

    async def _send(self, service: str, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.applications[service])
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.send(request)

    def _service(self, host: str) -> str:
        if host.endswith(".supabase.co"):
            return "supabase-project"
        return next(service for service, known in HOSTS.items() if known == host)

    def _authorization(self, service: str, token: str) -> dict[str, str]:
        own = {
            "supabase": self.facts["supabase"]["token"],
            "supabase-project": self.facts["supabase"]["service_role_key"],
            "railway": self.facts["railway"]["token"],
            "vercel": self.facts["vercel"]["token"],
            "openrouter": self.facts["openrouter"]["management_key"],
        }
        return {"authorization": f"Bearer {token or own[service]}"}

    def supabase(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request(method, f"https://api.supabase.com{path}", body=body, **more)

    def storage(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request(method, f"{self.facts['supabase']['url']}{path}", body=body, **more)

    def vercel(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """In the team's scope unless the path says something about it."""
        scope = "" if "teamId=" in path else f"{'&' if '?' in path else '?'}teamId={self.facts['vercel']['team_id']}"
        return self.request(method, f"https://api.vercel.com{path}{scope}", body=body, **more)

    def openrouter(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request(method, f"https://openrouter.ai/api/v1{path}", body=body, **more)

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None, **more: Any) -> httpx.Response:
        body = {"query": query, "variables": dict(variables or {})}
        return self.request("POST", "https://backboard.railway.com/graphql/v2", body=body, **more)

    def railway(self, query: str, variables: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """The data of an answer without errors."""
        answer = self.graphql(query, variables, **more).json()
        assert "errors" not in answer, json.dumps(answer["errors"], indent=1)
        return answer["data"]

    def until(self, is_done: Callable[[], bool], *, seconds: float = 5.0) -> None:
        """Let background work go on until something is so."""
        deadline = time.monotonic() + seconds
        while not is_done():
            assert time.monotonic() < deadline, "it did not happen"
            self.loop.run_until_complete(asyncio.sleep(0.005))

    def project(self, name: str = "staging", **more: Any) -> str:
        """The ref of a new project whose services are up."""
        slug = self.facts["supabase"]["organization_slug"]
        body = {"name": name, "organization_slug": slug, "db_pass": "a long password", "region": "eu-west-1", **more}
        ref = self.supabase("POST", "/v1/projects", body).json()["ref"]
        record = self.world.document["supabase"]["projects"][ref]
        self.until(lambda: bool(record["services_ready"]))
        return str(ref)
