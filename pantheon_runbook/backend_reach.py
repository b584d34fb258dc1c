"""What `doctor` says of the backend: its Alembic tree, its interpreter, and what a rehearsal stands on; reads only.

None of it is missing in the sense of `doctor`: every runbook but RB-020 does without.
"""

from __future__ import annotations

from collections.abc import Iterator

from pantheon_runbook.database.migrations import alembic_process
from pantheon_runbook.database.rehearsals.lint import squawk_path
from pantheon_runbook.diagnosis import Item
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.runner.surroundings import World, backend_of
from pantheon_runbook.servers import ServerError
from pantheon_runbook.servers.binaries import EXTRA, postgres_binaries


def examined(outside: World) -> Iterator[Item]:
    """The tree is read by the interpreter that will run it; no database is asked."""
    yield _tree(outside)
    yield _rehearsals()
    yield _production(outside)


def _tree(outside: World) -> Item:
    backend = backend_of(outside)
    try:
        history = alembic_process.history(backend)
    except RunbookError as error:
        return Item("backend", f"RB-020 cannot run yet: {error.what} {error.why} {error.next_step}")
    head = ", ".join(history.heads) or "none"
    return Item("backend", f"{len(history.revisions)} revisions, head {head}, read by {backend.python}")


def _rehearsals() -> Item:
    try:
        server = postgres_binaries().version
    except ServerError as error:
        return Item("rehearsals", f"none: {error}: {EXTRA}")
    if squawk_path() is None:
        return Item("rehearsals", f"on {server}; squawk is not installed, so nothing is linted: {EXTRA}")
    return Item("rehearsals", f"on {server}, linted by squawk")


def _production(outside: World) -> Item:
    name = "production's dump role"
    read = outside.config.production_read
    if read is None or read.dump_password not in outside.credentials.values:
        return Item(name, "none: only staging's schema is rehearsed; read-role --dump prints what makes it")
    return Item(name, f"{read.dump_role}, its password is at hand")
