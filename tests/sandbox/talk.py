"""A raw client: what it gets is what was on the wire."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def talk(running, host, path, *, method="GET", body=None, headers=None, timeout=20.0, tcp=False) -> Reply:
    """One request over the daemon's Unix socket, or over loopback TCP."""
    connection = http.client.HTTPConnection("127.0.0.1", running.tcp_port, timeout=timeout)
    with contextlib.closing(connection):
        if not tcp:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(timeout)
            connection.sock.connect(str(running.socket))
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Host": host, **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def supabase(running, path, **options) -> Reply:
    """As the supervisor, to the management API."""
    token = running.facts()["tokens"]["SUPABASE_ACCESS_TOKEN"]
    return talk(running, "api.supabase.com", path, headers={"Authorization": f"Bearer {token}"}, **options)
