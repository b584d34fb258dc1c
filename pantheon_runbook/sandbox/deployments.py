"""Deployed processes: started with the service's variables, watched until healthy, ended with grace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from pantheon_runbook.sandbox.children import Child, Children, python_module
from pantheon_runbook.sandbox.network import LOOPBACK, free_port
from pantheon_runbook.sandbox.platform import Deployment

CONTAINER = "pantheon_runbook.sandbox.container"
HEALTH_SECONDS = 20.0  # the vendor waits 300 s
POLL_SECONDS = 0.02
SETTLE_SECONDS = 0.8  # a worker that has spoken and still runs after this has started; last words need a moment
CLOSING_SECONDS = 8.0  # when the sandbox itself ends, whatever the vendor would give
LOG = "output.log"
HEALTHY_STATUS = b"200"


class Process:
    """One deployment as a running process."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self.port = 0
        self.log = folder / LOG
        self._child: Child | None = None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    async def start(self, children: Children, networks_file: Path, *, settle_seconds: float = SETTLE_SECONDS) -> str:
        """Gives "SUCCESS" when healthy, "CRASHED" when it ended by itself, "FAILED" when it never became healthy."""
        self.port = free_port()
        self.log.write_bytes(b"")
        self._child = children.spawn(
            f"deployment-{self.deployment.deployment_id}",
            self._command(networks_file),
            output=self.log,
            environment=self._environment(),
        )
        status = await (self._listening() if self.deployment.listens else self._working(settle_seconds))
        if status != "SUCCESS":
            await self.end(grace_seconds=CLOSING_SECONDS)
        return status

    async def end(self, *, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL."""
        if self._child is not None:
            await self._child.end(grace_seconds=grace_seconds)

    def _command(self, networks_file: Path) -> list[str]:
        surroundings = ["--networks", str(networks_file), "--network", self.deployment.network]
        return python_module(CONTAINER, *surroundings, *self.deployment.command)

    def _environment(self) -> Mapping[str, str]:
        """The variables of the service, and the port to listen on; nothing of the daemon's own."""
        if not self.deployment.listens:
            return self.deployment.variables
        return {**self.deployment.variables, "PORT": str(self.port)}

    async def _listening(self) -> str:
        deadline = asyncio.get_running_loop().time() + HEALTH_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if not self.is_running:
                return "CRASHED"
            if await self._is_healthy():
                return "SUCCESS"
            await asyncio.sleep(POLL_SECONDS)
        return "FAILED"

    async def _working(self, settle_seconds: float) -> str:
        """Without a health check the vendor only knows that the process runs: it does when it spoke and stayed."""
        deadline = asyncio.get_running_loop().time() + HEALTH_SECONDS
        while self.is_running and not self._has_spoken() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  a file
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(settle_seconds)
        return "SUCCESS" if self.is_running else "CRASHED"

    def _has_spoken(self) -> bool:
        return self.log.stat().st_size > 0

    async def _is_healthy(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        try:
            head = f"GET {self.deployment.health_path} HTTP/1.1", "Host: healthcheck.railway.app", "Connection: close"
            writer.write("\r\n".join([*head, "", ""]).encode())
            line = await asyncio.wait_for(reader.readline(), HEALTH_SECONDS)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return line.split(b" ")[1:2] == [HEALTHY_STATUS]


class Deployments:
    """All deployed processes of one sandbox, and the public hosts that lead to them.

    A deployment may be *known* without running: a loaded world starts its processes when somebody asks for them,
    all those of one private network together, since an API without its worker would answer half of the time.
    """

    def __init__(self, folder: Path, children: Children, networks_file: Path) -> None:
        self._folder = folder
        self._children = children
        self._networks_file = networks_file
        self._processes: dict[str, Process] = {}
        self._hosts: dict[str, str] = {}
        self._dormant: dict[str, Deployment] = {}
        self._waking = asyncio.Lock()

    async def deploy(self, deployment: Deployment) -> str:
        """Start one process; what runs already goes on serving its hosts."""
        return await self._register(deployment).start(self._children, self._networks_file)

    def know(self, deployment: Deployment) -> None:
        """Remember a live deployment of a loaded world; it starts when it is first needed."""
        self._dormant[deployment.deployment_id] = deployment

    async def remove(self, deployment_id: str) -> None:
        """End the process, if it still runs, with as much time to drain as the vendor was told to give it."""
        self._dormant.pop(deployment_id, None)
        if process := self._processes.pop(deployment_id, None):
            await process.end(grace_seconds=process.deployment.draining_seconds)

    def output(self, deployment_id: str) -> list[str]:
        """What it wrote; nothing for one that never ran here."""
        log = self._folder / deployment_id / LOG
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def route(self, host: str, deployment_id: str | None) -> None:
        """From now on this host leads to that deployment (None: to nothing)."""
        if deployment_id is None:
            self._hosts.pop(host, None)
        else:
            self._hosts[host] = deployment_id

    def has_route(self, host: str) -> bool:
        return host in self._hosts

    async def port_of(self, host: str) -> int | None:
        """The local port that serves this host, after waking what sleeps; None when nothing runs there."""
        deployment_id = self._hosts.get(host, "")
        if deployment_id in self._dormant:
            await self.wake(self._dormant[deployment_id].network)
        process = self._processes.get(deployment_id)
        return process.port if process is not None and process.is_running else None

    async def wake(self, network: str | None = None) -> None:
        """Start the sleeping deployments of one network, or of all."""
        async with self._waking:
            sleeping = [found for found in self._dormant.values() if network in {None, found.network}]
            # They were live when the world was saved: no need to see whether the workers stay.
            starts = (
                self._register(deployment).start(self._children, self._networks_file, settle_seconds=0)
                for deployment in sleeping
            )
            await asyncio.gather(*starts)
            for deployment in sleeping:
                self._dormant.pop(deployment.deployment_id, None)

    def _register(self, deployment: Deployment) -> Process:
        process = Process(deployment, self._folder / deployment.deployment_id)
        self._processes[deployment.deployment_id] = process
        return process

    async def stop(self) -> None:
        """End every process and forget all."""
        await asyncio.gather(*(process.end(grace_seconds=CLOSING_SECONDS) for process in self._processes.values()))
        self._processes.clear()
        self._hosts.clear()
        self._dormant.clear()

    def states(self) -> dict[str, str]:
        """By deployment id: "running", "sleeping" or "ended"."""
        states = {key: "running" if process.is_running else "ended" for key, process in self._processes.items()}
        return {**dict.fromkeys(self._dormant, "sleeping"), **states}
