"""The planes' SQL against a real cluster: buckets are rows, and queries run as who they should."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from pantheon_runbook.sandbox import places, planes
from pantheon_runbook.sandbox.machines import Machines
from pantheon_runbook.sandbox.world import Pace, empty_world


class RealCloud:
    """A seeded world whose platform has real servers."""

    def __init__(self, folder: Path) -> None:
        self.world = empty_world("test", Pace().scaled(0.02))
        self.facts = planes.seed_production(self.world)["supabase"]
        self.machines = Machines(folder, lambda ref: planes.pooler_host_of(self.world, ref))
        self.applications = planes.applications(self.world, self.machines)

    async def ask(self, method: str, url: str, body: Any = None, *, token: str = "") -> Any:
        host = httpx.URL(url).host
        application = self.applications["supabase" if host == "api.supabase.com" else "supabase-project"]
        headers = {"authorization": f"Bearer {token or self.facts['token']}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=application), headers=headers) as client:
            return (await client.request(method, url, json=body)).json()

    async def project(self) -> str:
        body = {"name": "staging", "organization_slug": self.facts["organization_slug"], "db_pass": "p@ss word/%"}
        ref = str((await self.ask("POST", "https://api.supabase.com/v1/projects", body))["ref"])
        await self.applications["supabase"].state.vendor.work.finished(ref)
        return ref


async def story(folder: Path) -> dict[str, Any]:
    cloud = RealCloud(folder)
    await cloud.machines.start()
    try:
        ref = await cloud.project()
        at, management = f"https://{ref}.supabase.co/storage/v1/bucket", f"https://api.supabase.com/v1/projects/{ref}"
        keys = {key["name"]: key["api_key"] for key in await cloud.ask("GET", f"{management}/api-keys?reveal=true")}
        key = keys["service_role"]
        wanted = {"name": "a", "file_size_limit": "1MB", "allowed_mime_types": ["image/*"], "public": True}
        who = "select current_user::text as who, count(*)::int as buckets from storage.buckets"
        return {
            "created": await cloud.ask("POST", at, wanted, token=key),
            "again": (await cloud.ask("POST", at, wanted, token=key))["statusCode"],
            "updated": await cloud.ask("PUT", f"{at}/a", {"file_size_limit": None}, token=key),
            "found": (await cloud.ask("GET", f"{at}?search=A&limit=1&sortColumn=name&sortOrder=desc", token=key))[0],
            "managed": [bucket["id"] for bucket in await cloud.ask("GET", f"{management}/storage/buckets")],
            "customer": await cloud.ask("POST", f"{management}/database/query", {"query": who}),
            "reader": await cloud.ask("POST", f"{management}/database/query/read-only", {"query": who}),
            "refused": await cloud.ask(
                "POST", f"{management}/database/query", {"query": "create table public.t ()", "read_only": True}
            ),
            "deleted": await cloud.ask("DELETE", f"{at}/a", token=key),
        }
    finally:
        await cloud.machines.stop()


def test_buckets_and_queries_are_real(tmp_path: Path) -> None:
    try:
        told = asyncio.run(story(tmp_path))
    finally:
        places.discard(tmp_path)
    assert ({"name": "a"}, "409") == (told["created"], told["again"])
    assert (None, ["image/*"], True) == tuple(
        told["found"][name] for name in ("file_size_limit", "allowed_mime_types", "public")
    )
    assert ["a"] == told["managed"]
    assert [{"who": "postgres", "buckets": 1}] == told["customer"]
    assert [{"who": "supabase_read_only_user", "buckets": 1}] == told["reader"]
    assert "25006" in told["refused"]["message"]
    assert {"message": "Successfully deleted"} == told["deleted"]
