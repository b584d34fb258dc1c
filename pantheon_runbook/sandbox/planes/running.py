"""What has to run for a world to be alive: read from its memory, started by the platform's owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pantheon_runbook.sandbox.planes.railway import deploys
from pantheon_runbook.sandbox.planes.supabase import state
from pantheon_runbook.sandbox.planes.vercel import pages
from pantheon_runbook.sandbox.platform import Deployment
from pantheon_runbook.sandbox.world import World


@dataclass(frozen=True)
class Redis:
    """One Redis server: arguments of `Platform.create_redis`."""

    service_id: str
    network: str
    host: str
    password: str


@dataclass(frozen=True)
class Page:
    """One built page and the hosts that serve it; `bypass_secrets` None means open to all."""

    deployment_id: str
    variables: Mapping[str, str]
    hosts: Mapping[str, tuple[str, ...] | None]


@dataclass(frozen=True)
class Running:
    """Everything real behind one world, in the order in which it can be started."""

    clusters: tuple[str, ...]  # Supabase refs whose server should run
    redis: tuple[Redis, ...]
    deployments: tuple[tuple[Deployment, tuple[str, ...]], ...]  # with the public hosts that route to each
    pages: tuple[Page, ...]


def running(world: World) -> Running:
    """What the platform has to bring up for this world; reads only."""
    return Running(
        clusters=tuple(state.running_refs(world)),
        redis=tuple(Redis(**server) for server in deploys.redis_servers(world)),
        deployments=tuple(deploys.live(world)),
        pages=tuple(Page(**page) for page in pages.live(world)),
    )
