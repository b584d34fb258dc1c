"""One embedded cloud: memory, machines and control planes of one folder, from seed or saved world to stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox import SandboxError, planes, saving, seed
from pantheon_runbook.sandbox.front import Front
from pantheon_runbook.sandbox.log import RequestLog
from pantheon_runbook.sandbox.machines import Machines
from pantheon_runbook.sandbox.places import write_atomically
from pantheon_runbook.sandbox.planes.supabase.pooler import pooler_host
from pantheon_runbook.sandbox.world import Pace, World, empty_world

ORIGIN = "origin"  # file that names the saved world to which `reset` returns


class Cloud:
    """Everything one daemon owns; `world` stays the same object, whatever is loaded into it."""

    def __init__(self, folder: Path, *, pace: Pace, pinned_at: float | None, in_memory: bool) -> None:
        self.folder = folder
        self.world = World(empty_world().document, pace, pinned_at)
        self.machines = Machines(folder, self._pooler_host_of, in_memory=in_memory)
        self.log = RequestLog(folder / "requests.jsonl")
        self._saved_text = ""
        self._replacing = asyncio.Lock()  # held while another world takes the place of this one
        self.front = Front(world=self.world, platform=self.machines, planes=planes, log=self.log, keep=self.keep)

    async def start(self, *, seed_text: str, load: str | None) -> None:
        """Continue the world of this folder, else load a saved one, else make the initial one."""
        await self.machines.start()
        if (self.folder / saving.WORLD).exists():
            await self._resume()
        elif load is not None:
            await self.load(load)
            (self.folder / ORIGIN).write_text(load)
        else:
            await self._seed(seed_text)

    async def stop(self) -> None:
        """Write the memory down and end everything."""
        self.front.close()
        self.keep(self.world.dumps())
        await self.machines.stop()
        self.log.close()

    def keep(self, text: str) -> None:
        """Write the vendors' memory; nothing to do when it is what the file says."""
        if text != self._saved_text:
            write_atomically(self.folder / saving.WORLD, text)
            self._saved_text = text

    async def keep_in_background(self, every_seconds: float = 1.0) -> None:
        """The vendors' own work changes their memory between requests too."""
        while True:
            await asyncio.sleep(every_seconds)
            async with self._replacing:
                self.keep(self.world.dumps())

    def facts(self) -> dict[str, Any]:
        """Ids, names, hosts, tokens and passwords of the seeded world."""
        facts: dict[str, Any] = json.loads((self.folder / saving.FACTS).read_text())
        return facts

    async def save(self, name: str) -> Path:
        """Copy this world aside; databases are away for a fraction of a second."""
        target = saving.saved_path(self.folder, name)
        self.keep(self.world.dumps())
        async with self._clusters_at_rest():
            await asyncio.to_thread(saving.copy_out, self.folder, self.machines.clusters_folder, target)
        return target

    async def load(self, name: str) -> None:
        """Replace this world by a saved one; the log begins anew."""
        source = saving.saved_path(self.folder, name)
        if not (source / saving.WORLD).exists():
            raise SandboxError(f"there is no saved world {name!r} in {source.parent}")
        async with self._replacing:
            self.front.close()
            await self.machines.stop_servers()
            await asyncio.to_thread(saving.copy_in, source, self.folder, self.machines.clusters_folder)
            self.log.clear()
            await self._resume()

    async def reset(self) -> None:
        """Back to the world this folder began with."""
        await self.load((self.folder / ORIGIN).read_text())

    def _pooler_host_of(self, ref: str) -> str:
        return pooler_host(self.world.document["supabase"]["projects"][ref])

    async def _seed(self, seed_text: str) -> None:
        self.world.document = empty_world(seed_text).document
        facts = planes.seed_production(self.world)
        write_atomically(self.folder / saving.FACTS, json.dumps({"seed": seed_text, **facts}, indent=1))
        await seed.production_database(facts, self.machines)
        await self._bring_up()
        await self.machines.deployments.wake()
        if failed := [name for name, state in self.machines.deployments.states().items() if state != "running"]:
            raise SandboxError(f"production does not come up: see {self.folder}/deployments/{failed[0]}/output.log")
        self.front.open()
        self.keep(self.world.dumps())
        await self.save(str(self.folder / "saved" / "initial"))
        (self.folder / ORIGIN).write_text("initial")

    async def _resume(self) -> None:
        self._saved_text = (self.folder / saving.WORLD).read_text()
        self.world.document = json.loads(self._saved_text)
        await asyncio.gather(*(self.machines.resume_cluster(ref) for ref in planes.running(self.world).clusters))
        await self._bring_up()
        self.front.open()

    async def _bring_up(self) -> None:
        """Everything but the clusters; deployed processes sleep until somebody asks for them."""
        running = planes.running(self.world)
        for deployment, hosts in running.deployments:
            self.machines.deployments.know(deployment)
            for host in hosts:
                self.machines.deployments.route(host, deployment.deployment_id)
        servers = [vars(redis) for redis in running.redis]
        await asyncio.gather(*(self.machines.create_redis(**server) for server in servers))
        for page in running.pages:
            if not self.machines.pages.is_built(page.deployment_id):
                await self.machines.build_page(page.deployment_id, page.variables)
            for host, secrets in page.hosts.items():
                await self.machines.page_route(host, page.deployment_id, bypass_secrets=secrets)

    @asynccontextmanager
    async def _clusters_at_rest(self) -> AsyncIterator[None]:
        refs = [ref for ref, state in self.machines.state()["clusters"].items() if state["running"]]
        await asyncio.gather(*(self.machines.pause_cluster(ref) for ref in refs))
        try:
            yield
        finally:
            await asyncio.gather(*(self.machines.resume_cluster(ref) for ref in refs))
