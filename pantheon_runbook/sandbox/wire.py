"""PostgreSQL's message framing: just enough for a pooler that looks at few messages and passes on the rest.

Source: PostgreSQL documentation, "Frontend/Backend Protocol", message formats of protocol 3.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
SHORTEST_STARTUP_BYTES = 8  # length and code
MAXIMUM_STARTUP_BYTES = 10_000  # PostgreSQL's own limit


@dataclass(frozen=True)
class Startup:
    """What a client says first: `code` is a protocol version or one of the request codes."""

    code: int
    payload: bytes

    def parameters(self) -> dict[str, str]:
        """user, database, application_name ... of a StartupMessage."""
        words = self.payload.rstrip(b"\0").split(b"\0")
        return {name.decode(): value.decode() for name, value in zip(words[::2], words[1::2], strict=False)}


@dataclass(frozen=True)
class Message:
    """One message after the start: its type letter, and the raw bytes with header."""

    kind: bytes
    raw: bytes

    @property
    def payload(self) -> bytes:
        return self.raw[5:]


async def read_startup(reader: asyncio.StreamReader) -> Startup:
    """The next untyped message. Raises IncompleteReadError when the client hangs up, ValueError for nonsense."""
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    if not SHORTEST_STARTUP_BYTES <= length <= MAXIMUM_STARTUP_BYTES:
        raise ValueError(f"startup packet of {length} bytes")
    body = await reader.readexactly(length - 4)
    return Startup(struct.unpack("!i", body[:4])[0], body[4:])


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next typed message. Raises IncompleteReadError at the end of the connection."""
    header = await reader.readexactly(5)
    (length,) = struct.unpack("!i", header[1:])
    return Message(header[:1], header + await reader.readexactly(length - 4))


def startup_message(code: int, parameters: Mapping[str, str]) -> bytes:
    """A StartupMessage with these parameters."""
    words = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!ii", len(words) + 8, code) + words


def cancel_request(key: bytes) -> bytes:
    """A CancelRequest for the process id and secret of a BackendKeyData message."""
    return struct.pack("!ii", len(key) + 8, CANCEL_REQUEST) + key


def backend_key_data(key: bytes) -> bytes:
    """The message that tells a client with which key it may cancel."""
    return b"K" + struct.pack("!i", len(key) + 4) + key


def error_response(severity: str, sqlstate: str, message: str) -> bytes:
    """An ErrorResponse as a server sends it."""
    fields = (("S", severity), ("V", severity), ("C", sqlstate), ("M", message))
    words = b"".join(f"{letter}{value}\0".encode() for letter, value in fields) + b"\0"
    return b"E" + struct.pack("!i", len(words) + 4) + words
