"""Which loopback port stands for which of the vendors' host names."""

from __future__ import annotations

import fnmatch
import json
import random
import socket
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox.places import write_atomically

LOOPBACK = "127.0.0.1"
# Below the ranges from which Linux and macOS take ports for outgoing connections, so nobody takes one by chance.
PORTS = range(20000, 32000)
_handed_out: set[int] = set()  # a server binds some time after its port was chosen


def free_port() -> int:
    """A loopback port that nobody listens on at this moment, and that this process never gave before."""
    while True:
        port = random.choice(PORTS)  # noqa: S311  not a secret
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _handed_out.add(port)
        return port


def resolve(host: str, port: int, networks_file: Path, network: str | None = None) -> tuple[str, int] | None:
    """(address, port) on this machine for a vendor's host and port, or None: no such host.

    Public names may begin with "*."; private ones exist inside their own network only.
    """
    names = json.loads(networks_file.read_text())
    wanted = f"{host.lower()}:{port}"
    if network is not None and (found := names["private"].get(network, {}).get(wanted)):
        return LOOPBACK, found
    public: dict[str, int] = names["public"]
    if wanted in public:
        return LOOPBACK, public[wanted]
    return next(((LOOPBACK, local) for name, local in public.items() if fnmatch.fnmatchcase(wanted, name)), None)


class Names:
    """The daemon's side of `network.json`; written as a whole after each change.

    Shape: {"public": {"<host>:<port>": local port}, "private": {"<network>": {"<host>:<port>": local port}}}.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._public: dict[str, int] = {}
        self._private: dict[str, dict[str, int]] = {}
        self._write()

    def publish(self, host: str, port: int, local_port: int) -> None:
        """From now on this public name leads to a local port."""
        self._public[f"{host}:{port}"] = local_port
        self._write()

    def withdraw(self, host: str, port: int) -> None:
        """The public name is gone."""
        self._public.pop(f"{host}:{port}", None)
        self._write()

    def publish_private(self, network: str, host: str, port: int, local_port: int) -> None:
        """From now on this name leads to a local port for processes of that network."""
        self._private.setdefault(network, {})[f"{host}:{port}"] = local_port
        self._write()

    def withdraw_private(self, network: str, host: str, port: int) -> None:
        """The private name is gone."""
        self._private.get(network, {}).pop(f"{host}:{port}", None)
        self._write()

    def _write(self) -> None:
        document: dict[str, Any] = {"public": self._public, "private": self._private}
        write_atomically(self.file, json.dumps(document, indent=1, sort_keys=True))
