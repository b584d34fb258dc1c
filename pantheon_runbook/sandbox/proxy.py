"""The edge in front of deployed processes: passes requests on and streams the answers back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import h11
from starlette.types import Receive, Scope, Send

from pantheon_runbook.sandbox.exchange import Answer, plain_answer
from pantheon_runbook.sandbox.network import LOOPBACK

CHUNK_BYTES = 65536
PER_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer"})


def no_such_application() -> Answer:
    """Railway's edge for a host that belongs to nobody."""
    return _edge_error(404, "Application not found")


def not_responding() -> Answer:
    """Railway's edge for a host whose service does not run."""
    return _edge_error(502, "Application failed to respond")


async def forward(port: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass one request to a local port; a 502 when the process does not answer."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        await not_responding().send(send)
        return
    connection = h11.Connection(h11.CLIENT)
    has_started = False
    try:
        await _send_request(connection, writer, scope, receive)
        async with aclosing(_events(connection, reader)) as events:
            async for event in events:
                has_started = has_started or isinstance(event, h11.Response)
                await _pass_on(event, send)
    except (OSError, h11.RemoteProtocolError):
        if has_started:
            raise  # too late for another status: uvicorn ends the connection in the middle
        await not_responding().send(send)
    finally:
        writer.close()


async def _send_request(
    connection: h11.Connection, writer: asyncio.StreamWriter, scope: Scope, receive: Receive
) -> None:
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [header for header in scope["headers"] if header[0].lower() not in PER_CONNECTION]
    names = {name.lower() for name, _value in headers}
    if b"content-length" not in names:
        headers.append((b"transfer-encoding", b"chunked"))
    headers += [(b"connection", b"close"), (b"x-forwarded-proto", b"https")]
    writer.write(connection.send(h11.Request(method=scope["method"], target=target, headers=headers)) or b"")
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        if message.get("body"):
            writer.write(connection.send(h11.Data(message["body"])) or b"")
            await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _events(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncGenerator[h11.Event]:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(CHUNK_BYTES))
            continue
        assert isinstance(event, h11.Event)
        yield event
        if isinstance(event, h11.EndOfMessage):
            return


async def _pass_on(event: h11.Event, send: Send) -> None:
    if isinstance(event, h11.Response):
        headers = [header for header in event.headers if header[0] not in PER_CONNECTION]
        await send({"type": "http.response.start", "status": event.status_code, "headers": headers})
    elif isinstance(event, h11.Data):
        await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
    elif isinstance(event, h11.EndOfMessage):
        await send({"type": "http.response.body", "body": b""})


def _edge_error(status: int, message: str) -> Answer:
    return plain_answer(status, json.dumps({"status": "error", "code": status, "message": message}).encode())
