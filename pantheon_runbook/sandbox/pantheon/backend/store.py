"""The backend's SQL, of two releases: 41 knows revisions 0008 to 0010, 42 knows those and 0011."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Rows = list[dict[str, Any]]
Connection = psycopg.AsyncConnection[dict[str, Any]]
CONNECTIONS = 8
FORMER_RELEASE = "Release 41"


class Database:
    """A few connections, kept between requests: a login costs more than what most requests ask for."""

    def __init__(self, pool_url: str) -> None:
        self._pool_url = pool_url
        self._kept: list[Connection] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)  # who comes when all are busy waits

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One transaction, through the transaction pooler: nothing may be prepared, since the next runs elsewhere."""
        async with self._turns:
            connection = await self._of_before() or await psycopg.AsyncConnection.connect(
                self._pool_url, prepare_threshold=None, row_factory=dict_row, autocommit=True
            )
            try:
                async with connection.transaction():
                    yield connection
            except BaseException:
                await connection.close()
                raise
            self._kept.append(connection)

    async def _of_before(self) -> Connection | None:
        """One that was kept and still answers: the server behind the pooler may have been away."""
        while self._kept:
            connection = self._kept.pop()
            try:
                await connection.execute("SELECT")
            except psycopg.OperationalError:
                await connection.close()
            else:
                return connection
        return None


async def revision(connection: Connection) -> str | None:
    """The schema's Alembic revision; None before the first migration."""
    found = await (await connection.execute("SELECT to_regclass('public.alembic_version') AS name")).fetchone()
    if found is None or found["name"] is None:
        return None
    row = await (await connection.execute("SELECT version_num FROM public.alembic_version")).fetchone()
    return None if row is None else str(row["version_num"])


async def create_session(connection: Connection, title: str) -> dict[str, Any]:
    """A new session, empty."""
    cursor = await connection.execute(
        "INSERT INTO sessions (title) VALUES (%s) RETURNING id, title, created_at", [title]
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_sessions(connection: Connection, limit: int) -> Rows:
    """The newest sessions first."""
    cursor = await connection.execute(
        "SELECT id, title, created_at FROM sessions ORDER BY created_at DESC, id LIMIT %s", [limit]
    )
    return await cursor.fetchall()


async def find_session(connection: Connection, session_id: UUID, *, release: str) -> dict[str, Any] | None:
    """One session with its messages, oldest first; None when there is none."""
    cursor = await connection.execute("SELECT id, title, created_at FROM sessions WHERE id = %s", [session_id])
    session = await cursor.fetchone()
    if session is None:
        return None
    messages = sql.SQL(
        "SELECT id, {author} AS author, content, tokens, created_at FROM messages WHERE session_id = %s ORDER BY id"
    ).format(author=await _author_column(connection, release))
    return {**session, "messages": await (await connection.execute(messages, [session_id])).fetchall()}


async def delete_session(connection: Connection, session_id: UUID) -> dict[str, Any] | None:
    """The session that is gone, with its messages and jobs; None when there was none."""
    cursor = await connection.execute("DELETE FROM sessions WHERE id = %s RETURNING id, title", [session_id])
    return await cursor.fetchone()


async def add_message(
    connection: Connection, session_id: UUID, author: str, content: str, *, release: str
) -> dict[str, Any]:
    """A new message. Raises psycopg.errors.ForeignKeyViolation when there is no such session."""
    insert = sql.SQL(
        "INSERT INTO messages (session_id, {author}, content, tokens) VALUES (%s, %s, %s, %s) RETURNING id, created_at"
    ).format(author=await _author_column(connection, release))
    cursor = await connection.execute(insert, [session_id, author, content, len(content) // 4])
    row = await cursor.fetchone()
    assert row is not None
    return row


async def create_job(connection: Connection, session_id: UUID) -> UUID:
    """A queued job that will count a session's messages and tokens."""
    cursor = await connection.execute("INSERT INTO jobs (session_id) VALUES (%s) RETURNING id", [session_id])
    row = await cursor.fetchone()
    assert row is not None
    return UUID(str(row["id"]))


async def find_job(connection: Connection, job_id: UUID) -> dict[str, Any] | None:
    """One job with its state and result; None when there is none."""
    cursor = await connection.execute(
        "SELECT id, session_id, state, result, attempts, created_at, finished_at FROM jobs WHERE id = %s", [job_id]
    )
    return await cursor.fetchone()


def finish_job(connection: psycopg.Connection[Any], job_id: UUID) -> bool:
    """Do a job's work and write its result in one transaction; False when there is no such job."""
    with connection.transaction():
        found = connection.execute(
            "UPDATE jobs SET attempts = attempts + 1 WHERE id = %s RETURNING session_id", [job_id]
        ).fetchone()
        if found is None:
            return False
        counted = connection.execute(
            "SELECT count(*), coalesce(sum(tokens), 0)::bigint FROM messages WHERE session_id = %s", [found[0]]
        ).fetchone()
        assert counted is not None
        result = Jsonb({"messages": counted[0], "tokens": counted[1]})
        connection.execute(
            "UPDATE jobs SET state = 'done', result = %s, finished_at = now() WHERE id = %s", [result, job_id]
        )
    return True


async def _author_column(connection: Connection, release: str) -> sql.Identifier:
    """`author` since revision 0009, `role` before: asked each time, since migrations run while we serve.

    The former release was written before there was an `author`, and fails once `role` is gone.
    """
    if release == FORMER_RELEASE:
        return sql.Identifier("role")
    cursor = await connection.execute(
        "SELECT 1 FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attname = 'author' AND NOT attisdropped"
    )
    return sql.Identifier("role" if await cursor.fetchone() is None else "author")
