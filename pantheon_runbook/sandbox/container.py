"""What surrounds a deployed process: the platform's name resolution, then the module itself.

    python -m pantheon_runbook.sandbox.container --networks FILE [--network ID] MODULE [ARGUMENT...]

The process environment is left alone: it holds the service's variables and nothing of ours.
"""

from __future__ import annotations

import argparse
import ipaddress
import runpy
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox.network import resolve

POSTGRES_PORT = 5432


class Resolver:
    """Maps names by `network.json`; every other name does not exist, since there is no internet here."""

    def __init__(self, networks_file: Path, network: str | None) -> None:
        self._file = networks_file
        self._network = network
        self._system_getaddrinfo = socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
        """Stands in for socket.getaddrinfo; host and port are mapped together."""
        name = host.decode() if isinstance(host, bytes) else host
        if name is None or name == "localhost" or _is_address(name):
            return self._system_getaddrinfo(host, port, *arguments, **named)
        found = resolve(name, int(port or 0), self._file, self._network)
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {name}:{port}")
        return self._system_getaddrinfo(*found, *arguments, **named)

    def postgres_address(self, conninfo: str, named: Mapping[str, Any]) -> dict[str, Any]:
        """Address and local port for libpq, which resolves by itself; the host stays what a certificate would name."""
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415  only where psycopg is used at all

        parameters = {**conninfo_to_dict(conninfo), **named}
        host, port = parameters.get("host"), int(parameters.get("port") or POSTGRES_PORT)
        if not host or host.startswith("/") or _is_address(host):
            return {}
        found = resolve(host, port, self._file, self._network)
        # An unknown host: psycopg asks getaddrinfo next, and reports it in its own words.
        return {} if found is None else {"hostaddr": found[0], "port": found[1]}


def install(resolver: Resolver) -> None:
    """From now on this process lives on the sandbox's network."""
    socket.getaddrinfo = resolver.getaddrinfo
    import psycopg  # noqa: PLC0415  its module-level name `connect` is bound at import and replaced below

    for connection in (psycopg.Connection, psycopg.AsyncConnection):
        _resolve_before_connecting(connection, resolver)
    psycopg.connect = psycopg.Connection.connect


def _resolve_before_connecting(connection: Any, resolver: Resolver) -> None:
    original = connection.connect.__func__

    def connect(cls: type[Any], /, conninfo: str = "", **named: Any) -> Any:
        return original(cls, conninfo, **{**named, **resolver.postgres_address(conninfo, named)})

    connection.connect = classmethod(connect)


def main() -> None:
    """Take our own arguments, then become the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--network")
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    install(Resolver(options.networks, options.network))
    sys.argv = [options.module, *options.arguments]
    runpy.run_module(options.module, run_name="__main__", alter_sys=True)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    main()
