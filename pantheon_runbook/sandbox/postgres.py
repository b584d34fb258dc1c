"""One PostgreSQL cluster per Supabase project."""

from __future__ import annotations

import asyncio
import decimal
import json
import shutil
import signal
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql as composed
from psycopg.rows import dict_row

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.children import Child, Children
from pantheon_runbook.sandbox.network import LOOPBACK, free_port
from pantheon_runbook.sandbox.platform import QueryFailedError
from pantheon_runbook.servers import templates
from pantheon_runbook.servers.cluster import BOOTSTRAP_USER, command
from pantheon_runbook.servers.places import spawn_identity

START_ATTEMPTS = 3
START_SECONDS = 20.0
READ_ONLY_ROLE = "supabase_read_only_user"


class Cluster:
    """The server of one project: TCP on loopback with SCRAM, and a Unix socket for the daemon alone."""

    def __init__(self, ref: str, data: Path, children: Children) -> None:
        self.ref = ref
        self.data = data
        self.port = 0
        self._children = children
        self._server: Child | None = None

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.is_running

    async def create(self, slot: int, password: str) -> None:
        """Make the files from the slot's template and start; slot n has a system identifier of its own."""
        if not self.data.exists():
            await asyncio.to_thread(templates.install, self.data, slot)
        await self.start()
        await self.set_password("postgres", password)

    async def start(self) -> None:
        """Start on the files that are there; returns when a connection succeeds."""
        for attempt in range(START_ATTEMPTS):  # another process may take the port between choice and start
            self.port = free_port() if attempt or not self.port else self.port
            self._server = self._spawn()
            if await self._answers():
                return
        raise SandboxError(f"PostgreSQL of {self.ref} does not start; its log is {self._output}")

    async def stop(self, *, keep_consistent: bool = True) -> None:
        """End the server; an inconsistent end is faster and repaired at the next start."""
        if self._server is not None:
            await self._server.end(with_signal=signal.SIGINT if keep_consistent else signal.SIGQUIT)
            self._server = None

    async def delete(self) -> None:
        """End the server and remove its files."""
        await self.stop(keep_consistent=False)
        await asyncio.to_thread(shutil.rmtree, self.data, ignore_errors=True)
        self._output.unlink(missing_ok=True)

    async def set_password(self, role: str, password: str) -> None:
        """Change a role's password; sessions that are open stay open."""
        statement = composed.SQL("ALTER ROLE {} PASSWORD {}").format(
            composed.Identifier(role), composed.Literal(password)
        )
        async with await self._connect(BOOTSTRAP_USER) as connection:
            await connection.execute(statement)

    async def create_login_role(self, role: str, password: str, *, read_only: bool, ttl_seconds: int) -> None:
        """A temporary login beside `postgres`; its password ends with the time to live."""
        until = datetime.now(UTC) + timedelta(seconds=ttl_seconds)
        name = composed.Identifier(role)
        async with await self._connect(BOOTSTRAP_USER) as connection:
            await connection.execute(
                composed.SQL("CREATE ROLE {} LOGIN PASSWORD {} VALID UNTIL {}").format(
                    name, composed.Literal(password), composed.Literal(until.isoformat())
                )
            )
            granted = composed.Identifier("pg_read_all_data" if read_only else "postgres")
            await connection.execute(composed.SQL("GRANT {} TO {}").format(granted, name))

    async def query(
        self, statement: str, parameters: Sequence[Any] = (), *, role: str = BOOTSTRAP_USER
    ) -> list[dict[str, Any]]:
        """Rows of the last statement as JSON objects. Raises QueryFailedError."""
        try:
            async with await self._connect(role) as connection, connection.cursor(row_factory=dict_row) as cursor:
                # Without parameters libpq's simple protocol takes several statements, as the vendor's endpoint does.
                await cursor.execute(statement, list(parameters) or None)
                while cursor.nextset():
                    pass
                rows = await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            message = error.diag.message_primary or str(error).strip()
            raise QueryFailedError(error.sqlstate or "08006", message) from error
        return [{name: json_value(value) for name, value in row.items()} for row in rows]

    async def mutating_statements(self) -> list[dict[str, Any]]:
        """What `log_statement = mod` wrote down, in order, without what the vendor did by itself.

        Shape: {"at", "role", "database", "application_name", "statement", "refused"} per statement; it is written down
        before it is carried out, and `refused` is the SQLSTATE with which it then was not, or null.
        """
        await self._flush_log()
        entries = [json.loads(line) for line in self._log.read_text().splitlines()]
        errors = {
            (entry["session_id"], entry["line_num"]): entry for entry in entries if entry["error_severity"] == "ERROR"
        }
        return [
            {
                "at": entry["timestamp"],
                "role": entry["user"],
                "database": entry["dbname"],
                "application_name": entry.get("application_name", ""),
                "statement": (statement := entry["message"].partition(": ")[2]),
                "refused": error["state_code"] if error.get("statement") == statement else None,
            }
            for entry in entries
            if entry["error_severity"] == "LOG"
            and entry.get("user", BOOTSTRAP_USER) != BOOTSTRAP_USER
            and entry["message"].startswith(("statement: ", "execute "))
            for error in [errors.get((entry["session_id"], entry["line_num"] + 1), {})]
        ]

    async def _flush_log(self) -> None:
        """Everything logged before now is in the file: one pipe leads there, and our mark has come out of it."""
        mark = f"mark {uuid.uuid4()}"
        async with await self._connect(BOOTSTRAP_USER) as connection:
            await connection.execute("SET log_statement = 'all'")
            await connection.execute(composed.SQL("SELECT {}").format(composed.Literal(mark)))
        deadline = asyncio.get_running_loop().time() + 5.0
        while mark not in self._log.read_text():
            if asyncio.get_running_loop().time() > deadline:
                raise SandboxError(f"PostgreSQL of {self.ref} does not write its log {self._log}")
            await asyncio.sleep(0.005)

    @property
    def _log(self) -> Path:
        return self.data / "log" / "statements.json"

    @property
    def _output(self) -> Path:
        return self.data.with_suffix(".log")

    def _spawn(self) -> Child:
        return self._children.spawn(
            f"postgres-{self.ref}",
            command(self.data, "-p", str(self.port)),
            output=self._output,
            environment={"LC_ALL": "C"},
            death_signal=signal.SIGQUIT,
            options=spawn_identity(),
        )

    async def _answers(self) -> bool:
        """Whether the server accepts connections; False when it ended instead."""
        assert self._server is not None
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while self._server.is_running and asyncio.get_running_loop().time() < deadline:
            try:
                async with await self._connect(BOOTSTRAP_USER):
                    pass
                _reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
                writer.close()
            except (psycopg.OperationalError, OSError):
                await asyncio.sleep(0.01)
                continue
            return True
        await self.stop(keep_consistent=False)
        return False

    async def _connect(self, role: str) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            host=str(self.data),
            port=self.port,
            user=role,
            dbname="postgres",
            autocommit=True,
            cursor_factory=psycopg.AsyncRawCursor,
        )


def json_value(value: Any) -> Any:
    """A database value as the vendor's JSON shows it."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal, timedelta)):
        return str(value)
    if isinstance(value, (bytes, memoryview)):
        return f"\\x{bytes(value).hex()}"
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return value
