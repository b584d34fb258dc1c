"""What a schema is, in the words of pg_dump; and whether ledger and alembic_version tell the same."""

from __future__ import annotations

import difflib
import os
import subprocess

import psycopg

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.revisions import History
from pantheon_runbook.servers.binaries import postgres_binaries

CHANGES_EACH_TIME = ("\\restrict ", "\\unrestrict ")


def dump(url: str) -> str:
    """Every schema but our own, without rows: pg_dump's text, less what is another in each dump of the same."""
    command = [postgres_binaries().path("pg_dump"), "--schema-only", f"--exclude-schema={SCHEMA}", f"--dbname={url}"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    assert 0 == done.returncode, done.stderr
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith(CHANGES_EACH_TIME))


def differences(expected: str, found: str) -> list[str]:
    """The lines that differ; [] only when both are equal byte for byte."""
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "expected", "found", "", "", n=1, lineterm=""
    )
    return list(lines) or ["other line ends"] * (expected != found)


def disagreements(url: str, history: History, version_table: str, *, before: tuple[str, ...] = ()) -> list[str]:
    """Where the ledger says another thing than alembic_version; `before` are the heads at which the ledger began."""
    with psycopg.connect(url, autocommit=True) as connection:
        heads, rows = ledger.heads(connection, version_table), ledger.rows(connection)
    told = {row.revision: row for row in rows if row.state != "begun"}
    stands = history.below(heads or ()) - history.below(before)
    digests = {one.id: one.digest for one in history.revisions}
    return [
        *(f"{row.revision}: begun" for row in rows if row.state == "begun"),
        *(f"{one}: alembic_version has it, the ledger does not" for one in sorted(stands - set(told))),
        *(f"{one}: the ledger has it, alembic_version does not" for one in sorted(set(told) - stands)),
        *(f"{one}: {row.state}, until {row.ended_at}" for one, row in told.items() if row.state != "applied"),
        *(f"{one}: another digest" for one, row in told.items() if row.digest != digests.get(one)),
    ]
