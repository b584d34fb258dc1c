"""Real transaction pooling: a server connection belongs to a client for one transaction only.

As in the vendor's pooler, nothing is reset in between: what one client SETs, another one finds, and a statement
prepared in one transaction may be missing in the next.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from pantheon_runbook.sandbox import wire

IDLE_CONNECTIONS_KEPT = 15  # the vendor's default_pool_size on the smallest instance
READY, IN_NO_TRANSACTION = b"Z", b"I"
TERMINATE, SYNC = b"X", b"S"
ANSWERED_BY_READY = frozenset({b"Q", b"S", b"F"})  # simple query, Sync, function call
OPENS_A_BATCH = frozenset({b"P", b"B", b"D", b"E", b"C", b"H"})  # extended protocol, until the next Sync


class NoServerError(Exception):
    """Every connection to the cluster has ended."""


@dataclass(eq=False)
class Server:
    """An authenticated connection to a cluster; `client` is whose transaction it runs."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    port: int
    key: bytes = b""
    client: Client | None = None

    def close(self) -> None:
        self.writer.close()


@dataclass(eq=False)
class Client:
    """One client of the transaction port."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: bytes = field(default_factory=lambda: os.urandom(8))
    server: Server | None = None
    answers_owed: int = 0
    has_open_batch: bool = False

    def sent(self, kind: bytes) -> None:
        """Keep count of what the server still has to answer before it can be given to somebody else."""
        if kind in ANSWERED_BY_READY:
            self.answers_owed += 1
        if kind == SYNC:
            self.has_open_batch = False
        elif kind in OPENS_A_BATCH:
            self.has_open_batch = True

    def is_done(self, transaction_status: bytes) -> bool:
        """Whether the ReadyForQuery that just came ends the transaction."""
        self.answers_owed -= 1
        return transaction_status == IN_NO_TRANSACTION and self.answers_owed <= 0 and not self.has_open_batch


class Pool:
    """The server connections of one tenant, user and database; first in, first out."""

    def __init__(self) -> None:
        self._idle: deque[Server] = deque()
        self._waiting: deque[asyncio.Future[Server]] = deque()
        self._pumps: set[asyncio.Task[None]] = set()
        self._alive = 0

    def add(self, server: Server) -> None:
        """A connection on which some client has just authenticated joins the pool."""
        self._alive += 1
        pump = asyncio.create_task(self._pump(server))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        self._give_back(server)

    async def take(self, client: Client) -> Server:
        """A server connection for one transaction; waits while all are busy. Raises NoServerError."""
        if self._idle:
            server = self._idle.popleft()
        elif self._alive == 0:
            raise NoServerError
        else:
            turn: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            server = await turn
        server.client, client.server = client, server
        return server

    def close(self) -> None:
        """Close every connection; the clients see their own connections end."""
        for pump in self._pumps:
            pump.cancel()

    async def _pump(self, server: Server) -> None:
        """Carry the server's messages to the client it works for, for as long as the server lives."""
        try:
            while True:
                message = await wire.read_message(server.reader)
                await self._deliver(server, message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server ended: below is all there is to do about it
        finally:
            self._forget(server)

    async def _deliver(self, server: Server, message: wire.Message) -> None:
        client = server.client
        if client is None:
            return  # a notice between transactions has nobody to go to
        client.writer.write(message.raw)
        if message.kind == READY and client.is_done(message.payload):
            client.server = server.client = None
            self._give_back(server)
        with suppress(ConnectionError):  # the client is gone: its own task ends the transaction
            await client.writer.drain()

    def _give_back(self, server: Server) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(server)
                return
        if len(self._idle) >= IDLE_CONNECTIONS_KEPT:
            server.close()
            return
        self._idle.append(server)

    def _forget(self, server: Server) -> None:
        self._alive -= 1
        if server in self._idle:
            self._idle.remove(server)
        if server.client is not None:
            server.client.writer.close()
        server.close()
        if self._alive == 0:
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_exception(NoServerError)


async def serve(client: Client, pool: Pool) -> None:
    """Forward a client's messages, each transaction to the connection whose turn it is, until it hangs up."""
    try:
        while True:
            message = await wire.read_message(client.reader)
            if message.kind == TERMINATE:
                return
            server = client.server or await pool.take(client)
            client.sent(message.kind)
            server.writer.write(message.raw)
            await server.writer.drain()
    finally:
        if client.server is not None:
            # Half-way through a transaction: ending the connection rolls it back, as the vendor's pooler does.
            client.server.close()
