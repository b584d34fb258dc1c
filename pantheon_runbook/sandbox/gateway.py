"""The shared pooler in front of all clusters: `postgres.<ref>` on a session port and a transaction port."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from pantheon_runbook.sandbox import pooling, wire
from pantheon_runbook.sandbox.network import LOOPBACK

# Authentication requests after which the client speaks: cleartext, MD5, SASL, SASL-continue.
WAITS_FOR_CLIENT = frozenset({3, 5, 10, 11})
# Of every pooled connection: it outlives the client that it was opened for, whose name is not passed on.
POOLER = "Supavisor"
UNKNOWN_TENANT = wire.error_response("FATAL", "XX000", "Tenant or user not found")
NO_SERVER = wire.error_response("FATAL", "08006", "the connection to the database server is gone")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PoolKey = tuple[int, str, str]  # cluster port, user, database
Serve = Callable[[Streams, Streams, PoolKey], Awaitable[None]]


class Gateway:
    """Two loopback ports; `ports_by_ref` says which clusters run at this moment."""

    def __init__(self, ports_by_ref: Callable[[], Mapping[str, int]]) -> None:
        self._ports_by_ref = ports_by_ref
        self._listeners: list[asyncio.Server] = []
        self._pools: dict[PoolKey, pooling.Pool] = {}
        self._clients: dict[bytes, pooling.Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> tuple[int, int]:
        """Listen; gives (session port, transaction port)."""
        for serve in (self._serve_session, self._serve_transactions):
            self._listeners.append(await asyncio.start_server(self._accept(serve), LOOPBACK, 0))
        session, transaction = (listener.sockets[0].getsockname()[1] for listener in self._listeners)
        return session, transaction

    async def stop(self) -> None:
        """Close the ports and every connection."""
        for listener in self._listeners:
            listener.close()
        for pool in self._pools.values():
            pool.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, serve: Serve) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._introduce((reader, writer), serve))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return connected

    async def _introduce(self, client: Streams, serve: Serve) -> None:
        """The first packets of a connection, then the mode of its port."""
        reader, writer = client
        with suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            try:
                startup = await wire.read_startup(reader)
                while startup.code in {wire.SSL_REQUEST, wire.GSSENC_REQUEST}:
                    writer.write(b"N")
                    startup = await wire.read_startup(reader)
                if startup.code == wire.CANCEL_REQUEST:
                    await self._cancel(startup.payload)
                else:
                    await self._admit(client, startup, serve)
            finally:
                writer.close()

    async def _admit(self, client: Streams, startup: wire.Startup, serve: Serve) -> None:
        parameters = startup.parameters()
        user, _, ref = parameters.get("user", "").rpartition(".")
        port = self._ports_by_ref().get(ref)
        if port is None or not user:
            client[1].write(UNKNOWN_TENANT)
            return
        parameters = {"database": "postgres", **parameters, "user": user}
        if serve == self._serve_transactions:
            parameters["application_name"] = POOLER
        server = await asyncio.open_connection(LOOPBACK, port)
        server[1].write(wire.startup_message(startup.code, parameters))
        await serve(client, server, (port, user, parameters["database"]))

    async def _serve_session(self, client: Streams, server: Streams, _key: PoolKey) -> None:
        """One server connection for as long as the client stays; PostgreSQL itself checks the password."""
        directions = [
            asyncio.create_task(_pipe(client[0], server[1])),
            asyncio.create_task(_pipe(server[0], client[1])),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            server[1].close()

    async def _serve_transactions(self, streams: Streams, server_streams: Streams, key: PoolKey) -> None:
        """The client proves itself on a real server connection, which then joins the pool."""
        client = pooling.Client(*streams)
        server = pooling.Server(*server_streams, port=key[0])
        if not await _authenticate(client, server):
            server.close()
            return
        pool = self._pools.setdefault(key, pooling.Pool())
        pool.add(server)
        self._clients[client.key] = client
        try:
            await pooling.serve(client, pool)
        except pooling.NoServerError:
            client.writer.write(NO_SERVER)
        finally:
            del self._clients[client.key]

    async def _cancel(self, key: bytes) -> None:
        """To the server that works for this client now; a key that is not ours goes to every cluster."""
        client = self._clients.get(key)
        if client is not None:
            targets = [(client.server.port, client.server.key)] if client.server else []
        else:
            targets = [(port, key) for port in self._ports_by_ref().values()]
        for port, server_key in targets:
            _reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(wire.cancel_request(server_key))
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()


async def _authenticate(client: pooling.Client, server: pooling.Server) -> bool:
    """Pass the exchange through until the server is ready; whether it let the client in."""
    while True:
        message = await wire.read_message(server.reader)
        if message.kind == b"K":
            server.key = message.payload
            client.writer.write(wire.backend_key_data(client.key))
            continue
        client.writer.write(message.raw)
        if message.kind in {b"Z", b"E"}:
            return message.kind == b"Z"
        if message.kind == b"R" and struct.unpack("!i", message.payload[:4])[0] in WAITS_FOR_CLIENT:
            server.writer.write((await wire.read_message(client.reader)).raw)
