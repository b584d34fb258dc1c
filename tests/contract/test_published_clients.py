"""Clients that somebody else wrote read what the planes say, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from plane_cloud import Cloud
from railway import RailwayClient
from storage3 import SyncStorageClient

from pantheon_runbook.sandbox import planes

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.contract


@contextmanager
def served(application: Starlette, *, host: str) -> Iterator[str]:
    """A URL on loopback where `application` believes to be called by its real host name."""

    async def renamed(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope.get("headers", ()) if name != b"host"]
        await application({**scope, "headers": [*headers, (b"host", host.encode())]}, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(renamed, log_level="error", lifespan="off"))
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_storage3_reads_and_writes_buckets(cloud: Cloud) -> None:
    facts = cloud.facts["supabase"]
    key = facts["service_role_key"]
    host = facts["url"].removeprefix("https://")
    with served(cloud.applications["supabase-project"], host=host) as url, httpx.Client() as http:
        client = SyncStorageClient(
            f"{url}/storage/v1/", {"apikey": key, "Authorization": f"Bearer {key}"}, http_client=http
        )
        options: Any = {"public": True, "file_size_limit": 1048576, "allowed_mime_types": ["image/png"]}
        client.create_bucket("avatars", options=options)
        client.update_bucket("avatars", {"public": False})
        found = client.list_buckets()
        with pytest.raises(Exception, match="already exists"):
            client.create_bucket("avatars")
    assert [("avatars", False, 1048576, ["image/png"])] == [
        (bucket.id, bucket.public, bucket.file_size_limit, bucket.allowed_mime_types) for bucket in found
    ]


def test_railway_client_reads_project_services_and_variables(cloud: Cloud) -> None:
    facts = cloud.facts["railway"]
    api, environment = facts["services"]["api"], facts["environment_id"]
    with served(cloud.applications["railway"], host="backboard.railway.com") as url:
        client = RailwayClient(api_token=facts["token"], endpoint=f"{url}/graphql/v2")
        with client:
            project = client.project(facts["project_id"])
            service = client.service(api)
            named = client.environment(environment)
            variables = client.variables(environment, facts["project_id"], service_id=api)
    assert ("pantheon", "api", "production") == (project.name, service.name, named.name)
    assert "info" == dict(variables)["LOG_LEVEL"]


def test_nothing_is_started_by_serving(cloud: Cloud) -> None:
    """The clients above only look: no server, process or page was asked for."""
    assert [] == cloud.platform.calls
    assert planes.running(cloud.world).clusters == (cloud.facts["supabase"]["ref"],)
