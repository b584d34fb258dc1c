"""Clients that somebody else wrote and published read what RB-010 made, and write what it can.

They call the vendors by their real names: the sandbox's TCP port is their HTTP proxy, as it would be anybody's.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
import uvicorn
from openrouter import OpenRouter
from plane_cloud import Cloud
from railway import RailwayClient
from storage3 import SyncStorageClient
from vendors import Hands

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("published-clients")]


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


class Made(NamedTuple):
    """A world in which RB-010 has been applied; where Railway's staging is, and what its API service is given."""

    facts: dict[str, Any]
    hands: Hands
    railway: RailwayClient
    place: dict[str, str]
    variables: dict[str, str]


@pytest.fixture(scope="module")
def made(new_world: Any) -> Iterator[Made]:
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        assert "done" == world.provision().word
        for name in ("http_proxy", "HTTP_PROXY"):
            patch.setenv(name, f"http://127.0.0.1:{world.running.tcp_port}")
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        hands = Hands(world.running)
        facts, place = world.facts, hands.service("api")
        endpoint = "http://backboard.railway.com/graphql/v2"
        with RailwayClient(api_token=facts["railway"]["token"], endpoint=endpoint) as client:
            given = client.variables(place["environmentId"], place["projectId"], service_id=place["serviceId"])
            yield Made(facts, hands, client, place, dict(given))
        hands.close()


def buckets(url: str, key: str) -> list[tuple[Any, ...]]:
    """As storage3 lists them."""
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    with httpx.Client() as http:
        listed = SyncStorageClient(
            f"{url.replace('https', 'http')}/storage/v1/", headers, http_client=http
        ).list_buckets()
    return [(one.id, one.name, one.public, one.file_size_limit, one.allowed_mime_types) for one in listed]


def test_storage3_finds_productions_buckets_in_staging(made: Made) -> None:
    """With the address and the key that the API service is given, as the backend itself would ask."""
    production = made.facts["supabase"]
    staging = buckets(made.variables["SUPABASE_URL"], made.variables["SUPABASE_SERVICE_ROLE_KEY"])
    assert made.variables["SUPABASE_URL"] != production["url"]
    assert len(staging) > 1
    assert buckets(production["url"], production["service_role_key"]) == staging


def test_railway_client_reads_staging(made: Made) -> None:
    client, place = made.railway, made.place
    project = client.project(place["projectId"])
    environment = client.environment(place["environmentId"], project_id=place["projectId"])
    names = [client.service(made.hands.service(name)["serviceId"]).name for name in ("api", "worker", "Redis")]
    instance = client.service_instance(place["environmentId"], place["serviceId"])
    found = client.domains(place["environmentId"], place["projectId"], place["serviceId"]).service_domains
    (domain,) = [one.domain for one in found]
    previewed = {one["key"]: one["value"] for one in made.hands.preview()}
    assert ("pantheon-staging", "staging", ["api", "worker", "Redis"]) == (project.name, environment.name, names)
    assert (environment.id, None) == (project.base_environment_id, instance.latest_deployment)
    assert f"https://{domain}" == previewed["NEXT_PUBLIC_API_URL"]


def test_railway_client_reads_staging_variables_and_leaves_productions(made: Made) -> None:
    facts, railway = made.facts, made.facts["railway"]
    theirs = dict(
        made.railway.variables(railway["environment_id"], railway["project_id"], service_id=railway["services"]["api"])
    )
    assert ("debug", "info") == (made.variables["LOG_LEVEL"], theirs["LOG_LEVEL"])
    assert facts["supabase"]["ref"] not in str(made.variables)
    assert made.variables["REDIS_URL"].endswith("@redis.railway.internal:6379")  # the reference, rendered
    assert [] == [name for name, value in made.variables.items() if value == theirs.get(name)]


def test_openrouter_client_reads_the_key(made: Made) -> None:
    """Its models demand what the vendor's description says of a key."""
    management = made.facts["openrouter"]["management_key"]
    with OpenRouter(api_key=management, server_url="http://openrouter.ai/api/v1") as client:
        found = {key.name: key for key in client.api_keys.list().data}
    key = found["pantheon-staging"]
    start, _, end = key.label.partition("...")
    held = made.variables["OPENROUTER_API_KEY"]
    assert {"pantheon-production", "pantheon-staging"} == set(found)
    assert (20.0, "monthly", False) == (key.limit, key.limit_reset, key.disabled)
    assert (True, True) == (held.startswith(start), held.endswith(end))
