"""The sandbox daemon: one process that owns everything the embedded cloud runs.

python -m pantheon_runbook.sandbox.daemon --folder DIR [--seed TEXT] [--pace FACTOR] [--pin UTC] [--load NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import uvicorn
from starlette.types import Receive, Scope, Send

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.children import began
from pantheon_runbook.sandbox.cloud import Cloud
from pantheon_runbook.sandbox.control_endpoint import ControlEndpoint
from pantheon_runbook.sandbox.exchange import TransportProtocol
from pantheon_runbook.sandbox.network import LOOPBACK
from pantheon_runbook.sandbox.places import write_atomically
from pantheon_runbook.sandbox.router import Router
from pantheon_runbook.sandbox.world import Pace
from pantheon_runbook.servers import ServerError

STATE = "state.json"
IDLE_SECONDS = 7200.0
IDLE_POLL_SECONDS = 1.0
CLOSE_SECONDS = 1
BACKLOG = 128
REFUSED = 2  # exit code: the folder is in use or the arguments are wrong


class Server(uvicorn.Server):
    """uvicorn without signal handling of its own: the daemon decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Daemon:
    """Sockets, signals and idle time around one cloud."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._folder: Path = options.folder
        self._cloud = Cloud(
            options.folder, pace=Pace().scaled(options.pace), pinned_at=options.pin, in_memory=options.in_memory
        )
        self._began = datetime.now(UTC)
        self._last_request = time.monotonic()
        control = ControlEndpoint(self._cloud, status=self._state, stop=self._stop)
        self._router = Router(front=self._cloud.front, machines=self._cloud.machines, control=control.application())
        configuration = uvicorn.Config(
            self._application,
            http=TransportProtocol,
            interface="asgi3",
            proxy_headers=False,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
        self._server = Server(configuration)
        self._socket_path = self._cloud.machines.clusters_folder / "s"
        self._sockets = _listen(self._socket_path)
        self._tcp_port = self._sockets[1].getsockname()[1]

    async def run(self) -> None:
        """Serve until a signal, a stop request, or two hours without a request."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        background = []
        try:
            await self._cloud.start(seed_text=self._options.seed, load=self._options.load)
            background += [loop.create_task(self._cloud.keep_in_background()), loop.create_task(self._watch_idle())]
            loop.call_soon(self._say_ready)
            await self._server.serve(sockets=self._sockets)
        finally:
            for task in background:
                task.cancel()
            self._say_gone()
            await self._cloud.stop()

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._last_request = time.monotonic()
        await self._router(scope, receive, send)

    def _stop(self) -> None:
        self._server.should_exit = True

    async def _watch_idle(self) -> None:
        while time.monotonic() - self._last_request < self._options.idle_seconds:  # noqa: ASYNC110  each request moves it
            await asyncio.sleep(min(IDLE_POLL_SECONDS, self._options.idle_seconds))
        self._stop()

    def _say_ready(self) -> None:
        # The sockets have been listening since before the start: a client that reads this file is not refused.
        write_atomically(self._folder / STATE, json.dumps(self._state(), indent=1))

    def _say_gone(self) -> None:
        (self._folder / STATE).unlink(missing_ok=True)
        self._socket_path.unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "began": began(os.getpid()),
            "folder": str(self._folder),
            "socket": str(self._socket_path),
            "tcp_port": self._tcp_port,
            "started_at": self._began.isoformat(timespec="milliseconds"),
            "networks_file": str(self._cloud.machines.names.file),
        }


def _listen(path: Path) -> list[socket.socket]:
    """The Unix socket for ourselves, and loopback TCP for other people's clients."""
    path.unlink(missing_ok=True)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    path.chmod(0o600)
    tcp = socket.socket()
    tcp.bind((LOOPBACK, 0))
    for listening in (unix, tcp):
        listening.listen(BACKLOG)
    return [unix, tcp]


def _lock(folder: Path) -> TextIO:
    """Hold this folder for as long as the file is open. Raises SandboxError when another daemon does."""
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SandboxError(f"a sandbox already runs in {folder}") from error
    return file


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pantheon_runbook.sandbox.daemon")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", default="pantheon")
    parser.add_argument("--pace", type=float, default=1.0)
    parser.add_argument("--pin", type=lambda text: datetime.fromisoformat(text).timestamp())
    parser.add_argument("--load")
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    return options


def main() -> int:
    """Run one daemon; 0 after a clean stop, 2 when the folder is in use or cannot be started."""
    options = _arguments()
    options.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with _lock(options.folder):
            asyncio.run(Daemon(options).run())
    except ServerError as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201  the daemon's log
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
