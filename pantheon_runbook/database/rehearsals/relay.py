"""A way to a database for programs that cannot speak TLS themselves: PostgreSQL's own, as the embedded build has them.

pg_dump connects to a Unix socket in a folder of ours; what it says is carried on over the connection that the URL
asks for, encrypted and checked as libpq would. Nothing is read or kept on the way, and the login stays pg_dump's own.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantheon_runbook.servers.places import temporary_base

PORT = 5432
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_CONNECT_SECONDS = 10
_SEND_SECONDS = 60
_LOOK_UP_SECONDS = 0.2
_CHUNK = 1 << 16


@dataclass
class Relay:
    """`folder` is the host that a client names, with port 5432; `failed` says why nothing could be carried."""

    folder: Path
    failed: str = ""
    _ended: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket, settings: Mapping[str, Any]) -> None:
        """Carry one client after another until the end is told."""
        listener.settimeout(_LOOK_UP_SECONDS)
        while not self._ended.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            with client:
                try:
                    with _upstream(settings) as server:
                        _carry(client, server, self._ended)
                except (OSError, ssl.SSLError) as error:
                    self.failed = str(error)

    def end(self) -> None:
        self._ended.set()


@contextmanager
def relayed(settings: Mapping[str, Any]) -> Iterator[Relay]:
    """A relay to what these connection settings name (host, hostaddr, port, sslmode, sslrootcert); gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pantheon-relay-", dir=temporary_base()))  # mode 0700: for us alone
    relay = Relay(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f".s.PGSQL.{PORT}"))
        listener.listen(1)
        carrier = threading.Thread(target=relay.serve, args=(listener, settings), daemon=True)
        carrier.start()
        try:
            yield relay
        finally:
            relay.end()
            carrier.join()
            shutil.rmtree(folder, ignore_errors=True)


def _upstream(settings: Mapping[str, Any]) -> socket.socket:
    """Connected, and encrypted where the settings demand it or the server offers it. Errors: OSError."""
    address = (str(settings.get("hostaddr") or settings["host"]), int(settings.get("port") or PORT))
    plain = socket.create_connection(address, timeout=_CONNECT_SECONDS)
    mode = settings.get("sslmode") or "prefer"
    if mode in {"disable", "allow"}:
        return plain
    plain.sendall(_SSL_REQUEST)
    answer = plain.recv(1)
    if answer == b"S":
        return _context(mode, settings).wrap_socket(plain, server_hostname=str(settings["host"]))
    plain.settimeout(_SEND_SECONDS)
    if answer == b"N" and mode == "prefer":
        return plain
    plain.close()
    raise ConnectionError(f"the server does not speak TLS, and sslmode={mode} demands it")


def _context(mode: str, settings: Mapping[str, Any]) -> ssl.SSLContext:
    """As libpq understands the words: `require` alone encrypts, and checks where a root certificate is kept."""
    kept = Path.home() / ".postgresql" / "root.crt"
    root = settings.get("sslrootcert") or os.environ.get("PGSSLROOTCERT") or (str(kept) if kept.exists() else "")
    context = ssl.create_default_context(cafile=None if root in {"", "system"} else str(root))
    context.check_hostname = mode == "verify-full" or root == "system"
    if mode not in {"verify-ca", "verify-full"} and not root:
        context.verify_mode = ssl.CERT_NONE
    return context


def _carry(client: socket.socket, server: socket.socket, ended: threading.Event) -> None:
    """Both ways until one side hangs up. Reading never waits: a TLS record may hold nothing for us."""
    other = {client: server, server: client}
    while not ended.is_set():
        ready, _, _ = select.select([client, server], [], [], _LOOK_UP_SECONDS)
        for one in ready:
            for piece in _waiting_in(one):
                if not piece:
                    return
                other[one].settimeout(_SEND_SECONDS)
                other[one].sendall(piece)


def _waiting_in(one: socket.socket) -> Iterator[bytes]:
    """What can be read now; the last piece is empty when the other side has hung up."""
    one.settimeout(0)
    with suppress(BlockingIOError, ssl.SSLWantReadError):
        yield one.recv(_CHUNK)
    while isinstance(one, ssl.SSLSocket) and one.pending():
        yield one.recv(_CHUNK)
