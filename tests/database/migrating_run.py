"""A runner of its own: `migrating_run.py {"ini", "scope", "run_id", ...}`; the URL and then each "go" come by stdin.

The locks, the ledger, the proof and one worker, in the order in which RB-020 takes them. One JSON line per event:
{"ready": pid, "worker": pid, "pending": [...]}, {"begins": revision} and then "go" is awaited, {"ended": revision},
{"done": how many}, or {"error": the four lines}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.locks import MachineLock, database_lock
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.alembic_process import Backend, held_proof, migration
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.secrets import Registry, Secret, Vault


def say(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def migrate(about: dict[str, Any], url: str) -> int:
    """Everything that is pending; how many that were."""
    vault = Vault(Registry(), salt="00" * 32)
    vault.hold("database.session_url", url)
    database = Database(vault, resolve=lambda _host, _port: None, options="")
    writer = Writer(about["run_id"], "supervisor", "here")
    backend = Backend(Path(about["ini"]), sys.executable)
    with (
        database_lock(database, vault, scope=about["scope"], writer=writer),
        database.session() as connection,
        held_proof(connection) as proof,
    ):
        ledger.make(connection)
        options = {
            "lock_timeout_ms": about.get("lock_timeout_ms", 30_000),
            "statement_timeout_ms": 60_000,
            "observe": False,
            "application_name": writer.session_name,
        }
        entry = ledger.entry(run_id=writer.run_id, operator=writer.operator)
        with migration(backend, Secret(url), proof=proof, ledger=entry, **options) as one:
            pending = [revision.id for revision in one.history.pending(one.heads)]
            say(ready=one.backend_pid, worker=one._worker.pid, pending=pending)
            for revision in pending:
                say(begins=revision)
                if about["waits"]:
                    sys.stdin.readline()
                one.step(revision)
                say(ended=revision)
            return len(pending)


def main(about: dict[str, Any]) -> int:
    url = sys.stdin.readline().strip()
    say(started=os.getpid())
    sys.stdin.readline()  # the starting shot
    try:
        lock = MachineLock(about["scope"], holder=about["run_id"])
        say(done=migrate(about, url))
    except RunbookError as error:
        say(error=error.as_json(), kind=type(error).__name__)
        return error.exit_code
    lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
