"""The real servers behind the control planes: implements `Platform`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox.children import Children
from pantheon_runbook.sandbox.deployments import Deployments
from pantheon_runbook.sandbox.gateway import Gateway
from pantheon_runbook.sandbox.network import Names
from pantheon_runbook.sandbox.pages import Pages
from pantheon_runbook.sandbox.places import servers_folder
from pantheon_runbook.sandbox.platform import Deployment, QueryFailedError
from pantheon_runbook.sandbox.postgres import READ_ONLY_ROLE, Cluster
from pantheon_runbook.sandbox.redis import Redis

SESSION_PORT, TRANSACTION_PORT, REDIS_PORT = 5432, 6543, 6379
ANY_POOLER_HOST = "*.pooler.supabase.com"


class Machines:
    """Every server, process and name of one sandbox; made and used in the daemon's main thread.

    `pooler_host_of` says at which of the vendor's pooler hosts a project is a tenant; every other pooler host
    exists too and answers "Tenant or user not found", which is what a host built from the region gets one day.
    """

    def __init__(self, folder: Path, pooler_host_of: Callable[[str], str], *, in_memory: bool = False) -> None:
        self.clusters_folder = servers_folder(folder, in_memory=in_memory)
        self.children = Children(folder / "children")
        self.names = Names(folder / "network.json")
        self.deployments = Deployments(folder / "deployments", self.children, self.names.file)
        self.pages = Pages(folder / "pages")
        self._redis_folder = folder / "redis"
        self._pooler_host_of = pooler_host_of
        self._gateways: dict[str, Gateway] = {}
        self._tenant_of: dict[str, str] = {}
        self._clusters: dict[str, Cluster] = {}
        self._redis: dict[str, tuple[Redis, str, str]] = {}

    async def start(self) -> None:
        """Open the pooler hosts at which nobody is a tenant."""
        await self._open_gateway(ANY_POOLER_HOST)

    async def stop(self) -> None:
        """End everything that runs; files stay."""
        await self.stop_servers()
        await asyncio.gather(*(gateway.stop() for gateway in self._gateways.values()))
        self.children.close()

    async def stop_servers(self) -> None:
        """End every process, Redis server and cluster, processes first; the pooler goes on."""
        await self.deployments.stop()
        self.pages.forget()
        await asyncio.gather(*(self.delete_redis(service_id) for service_id in tuple(self._redis)))
        await asyncio.gather(*(cluster.stop() for cluster in self._clusters.values()))
        for ref in tuple(self._clusters):
            self._withdraw(ref)
        self._clusters.clear()

    async def create_cluster(self, ref: str, password: str) -> None:
        cluster = self._cluster(ref)
        await cluster.create(self._next_slot(ref), password)
        await self._publish(cluster)

    async def delete_cluster(self, ref: str) -> None:
        self._withdraw(ref)
        await self._cluster(ref).delete()
        self._clusters.pop(ref, None)

    async def pause_cluster(self, ref: str) -> None:
        self._withdraw(ref)
        await self._cluster(ref).stop()

    async def resume_cluster(self, ref: str) -> None:
        cluster = self._cluster(ref)
        await cluster.start()
        await self._publish(cluster)

    async def set_password(self, ref: str, password: str) -> None:
        await self._running(ref).set_password("postgres", password)

    async def login_role(self, ref: str, *, read_only: bool, ttl_seconds: int) -> tuple[str, str]:
        role, password = f"cli_login_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        await self._running(ref).create_login_role(role, password, read_only=read_only, ttl_seconds=ttl_seconds)
        return role, password

    async def query(
        self,
        ref: str,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        read_only: bool = False,
        role: str = "supabase_admin",
    ) -> list[dict[str, Any]]:
        return await self._running(ref).query(sql, parameters, role=READ_ONLY_ROLE if read_only else role)

    async def mutating_statements(self, ref: str) -> list[dict[str, Any]]:
        """What the cluster's own log says was changed by anybody but the vendor; see Cluster."""
        return await self._running(ref).mutating_statements()

    async def create_redis(self, service_id: str, network: str, host: str, password: str) -> None:
        await self.delete_redis(service_id)  # deployed again, it is another server
        redis = Redis(service_id, self._redis_folder / service_id, self.children)
        await redis.start(password)
        self._redis[service_id] = (redis, network, host)
        self.names.publish_private(network, host, REDIS_PORT, redis.port)

    async def delete_redis(self, service_id: str) -> None:
        if service_id in self._redis:
            redis, network, host = self._redis.pop(service_id)
            self.names.withdraw_private(network, host, REDIS_PORT)
            await redis.stop()

    async def deploy(self, deployment: Deployment) -> str:
        return await self.deployments.deploy(deployment)

    async def output(self, deployment_id: str) -> list[str]:
        return await asyncio.to_thread(self.deployments.output, deployment_id)

    async def remove(self, deployment_id: str) -> None:
        await self.deployments.remove(deployment_id)

    async def route(self, host: str, deployment_id: str | None) -> None:
        self.deployments.route(host, deployment_id)

    async def build_page(self, deployment_id: str, variables: Mapping[str, str]) -> None:
        await self.pages.build(deployment_id, variables)

    async def page_route(self, host: str, deployment_id: str, *, bypass_secrets: Sequence[str] | None) -> None:
        self.pages.route(host, deployment_id, bypass_secrets)

    def state(self) -> dict[str, Any]:
        """What runs, for status displays: no secrets."""
        clusters = {
            ref: {"port": cluster.port, "running": cluster.is_running} for ref, cluster in self._clusters.items()
        }
        return {"clusters": clusters, "redis": sorted(self._redis), "deployments": self.deployments.states()}

    def _cluster(self, ref: str) -> Cluster:
        return self._clusters.setdefault(ref, Cluster(ref, self.clusters_folder / ref, self.children))

    def _running(self, ref: str) -> Cluster:
        cluster = self._clusters.get(ref)
        if cluster is None or not cluster.is_running:
            raise QueryFailedError("08006", f"the database of {ref} is not running")
        return cluster

    def _next_slot(self, ref: str) -> int:
        """Slots in order of creation, never twice in one world: a slot's number is its system identifier."""
        notes = self.clusters_folder / "slots"
        taken = notes.read_text().split() if notes.exists() else []
        if ref not in taken:
            taken.append(ref)
            notes.write_text("\n".join(taken))
        return taken.index(ref)

    async def _publish(self, cluster: Cluster) -> None:
        self.names.publish(f"db.{cluster.ref}.supabase.co", SESSION_PORT, cluster.port)
        host = self._tenant_of[cluster.ref] = self._pooler_host_of(cluster.ref)
        await self._open_gateway(host)

    async def _open_gateway(self, host: str) -> None:
        if host in self._gateways:
            return
        self._gateways[host] = Gateway(lambda: self._tenants(host))
        session, transaction = await self._gateways[host].start()
        self.names.publish(host, SESSION_PORT, session)
        self.names.publish(host, TRANSACTION_PORT, transaction)

    def _tenants(self, host: str) -> dict[str, int]:
        """Port by ref of the running clusters that are tenants of this pooler host."""
        return {
            ref: cluster.port
            for ref, cluster in self._clusters.items()
            if cluster.is_running and self._tenant_of.get(ref) == host
        }

    def _withdraw(self, ref: str) -> None:
        self._tenant_of.pop(ref, None)
        self.names.withdraw(f"db.{ref}.supabase.co", SESSION_PORT)
