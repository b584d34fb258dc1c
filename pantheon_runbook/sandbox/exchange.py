"""One HTTP exchange taken apart: read the whole request, hold the answer, send it, cut it, or drop the line."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

TRANSPORT = "pantheon.transport"  # key in scope["extensions"]
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST


class TransportProtocol(H11Protocol):
    """uvicorn's protocol, except that the application can reach the connection itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        application = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = transport
            await application(scope, receive, send)

        self.app = with_transport


@dataclass
class Answer:
    """A whole response, not yet sent."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def send(self, send: Send) -> None:
        """Send it as it is."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})

    async def send_half(self, send: Send, transport: asyncio.Transport) -> None:
        """Promise the full length, send half of the body, hang up."""
        length = (b"content-length", str(len(self.body)).encode())
        headers = [header for header in self.headers if header[0].lower() != b"content-length"]
        await send({"type": "http.response.start", "status": self.status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        transport.close()  # unlike abort(), it lets the half that was written go out


async def read_body(receive: Receive) -> bytes:
    """The whole request body."""
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(chunks)


async def answer_of(application: ASGIApp, scope: Scope, body: bytes, receive: Receive) -> Answer:
    """Run the application on a request whose body has been read; nothing is sent yet."""
    answer = Answer()
    bodies = iter((body,))

    async def replay() -> Message:
        for again in bodies:
            return {"type": "http.request", "body": again, "more_body": False}
        return await receive()

    async def hold(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    await application(scope, replay, hold)
    return answer


def plain_answer(status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """A response of our own, as JSON."""
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return Answer(status, [*fixed, *headers], body)


def transport_of(scope: Scope) -> asyncio.Transport:
    """The connection on which this request came."""
    transport: asyncio.Transport = scope["extensions"][TRANSPORT]
    return transport


def drop(transport: asyncio.Transport) -> None:
    """Hang up without a word: a reset over TCP, an end of file over a Unix socket."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family != socket.AF_UNIX:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()


async def wait_for_hang_up(receive: Receive, seconds: float | None) -> None:
    """Return when the client has gone, or after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
