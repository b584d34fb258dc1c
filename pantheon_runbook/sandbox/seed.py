"""The initial world: a production that has been used for a while, and no staging."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.children import python_module
from pantheon_runbook.sandbox.deployments import CONTAINER
from pantheon_runbook.sandbox.machines import Machines

BACKEND = Path(__file__).parent / "pantheon" / "backend"
PRODUCTION_REVISION = "0008"  # head minus three: what is pending is an expand, an index and a contract
SESSIONS, MESSAGES_EACH = 40, 8

ROWS = f"""
SET ROLE postgres;
INSERT INTO public.sessions (id, title, created_at)
SELECT md5('session ' || n)::uuid, 'Session ' || n, timestamptz '2026-10-01 08:00Z' + n * interval '7 hours'
FROM generate_series(1, {SESSIONS}) AS n;
INSERT INTO public.messages (session_id, role, content, tokens, created_at)
SELECT md5('session ' || n)::uuid, (ARRAY['user', 'assistant'])[1 + m % 2], repeat('word ', m * 3), m * 4,
       timestamptz '2026-10-01 08:00Z' + n * interval '7 hours' + m * interval '1 minute'
FROM generate_series(1, {SESSIONS}) AS n, generate_series(1, {MESSAGES_EACH}) AS m ORDER BY n, m;
INSERT INTO public.jobs (id, session_id, state, result, attempts, created_at, finished_at)
SELECT md5('job ' || n)::uuid, md5('session ' || n)::uuid, 'done', '{{"messages": {MESSAGES_EACH}}}', 1,
       timestamptz '2026-10-20 08:00Z', timestamptz '2026-10-20 08:01Z'
FROM generate_series(1, {SESSIONS}) AS n;
"""  # noqa: S608  two numbers of ours
BUCKET = """
INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
VALUES ($1, $2, $3, $4, $5)
"""


async def production_database(facts: Mapping[str, Any], machines: Machines) -> None:
    """A running cluster with the older schema, a few hundred rows, and the buckets."""
    supabase = facts["supabase"]
    ref = supabase["ref"]
    await machines.create_cluster(ref, supabase["password"])
    await migrate(supabase["session_url"], PRODUCTION_REVISION, machines.names.file)
    await machines.query(ref, ROWS)
    for bucket in supabase["buckets"]:
        values = [bucket[name] for name in ("id", "name", "public", "file_size_limit", "allowed_mime_types")]
        await machines.query(ref, BUCKET, values)


async def migrate(database_url: str, revision: str, networks_file: Path) -> None:
    """Run the stand-in backend's Alembic tree to a revision, over the same names a deployed process uses."""
    alembic = ("alembic", "-c", str(BACKEND / "alembic.ini"), "upgrade", revision)
    process = await asyncio.create_subprocess_exec(
        *python_module(CONTAINER, "--networks", str(networks_file), *alembic),
        env={"DATABASE_URL": database_url, "PATH": os.environ.get("PATH", os.defpath)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _nothing = await process.communicate()
    if process.returncode != 0:
        raise SandboxError(f"migrating production to {revision} failed:\n{output.decode(errors='replace')}")
