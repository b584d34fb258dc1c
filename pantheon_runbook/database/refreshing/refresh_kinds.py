"""What RB-020 does to a staging that is made anew: it drops what the application has made, and seeds it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable

from pantheon_runbook.database.kinds import SCHEMA, marker_of
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.alembic_process import held_proof
from pantheon_runbook.database.migrations.blocking import Watcher
from pantheon_runbook.database.migrations.revision_kinds import Site, digest_in
from pantheon_runbook.database.refreshing import refreshed
from pantheon_runbook.database.refreshing.addresses import USERS, look_at_addresses
from pantheon_runbook.database.refreshing.emptying import Losses, empty, losses
from pantheon_runbook.database.refreshing.refreshed import Refreshed
from pantheon_runbook.database.refreshing.seeding import SeedFile, seed
from pantheon_runbook.errors import RefusedError, VendorUnavailableError, WrongEnvironmentError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Change, Resource

REFRESH, SEED = "database/refresh", "database/seed"
ANEW, AS_IT_STANDS = "made anew by this run", "as it stands"
# Nobody changes the row until the transaction ends, and whoever reads it need not wait.
_LOCK_MARKER = f"lock table {SCHEMA}.environment in share mode"


@dataclass(frozen=True, slots=True)
class Marked:
    """What the marker row has to say, word by word."""

    environment: str
    cloud: str
    ref: str


class Refresh(Kind):
    """The application's schemas as a whole. `lost` is what a refresh that is still to come would take away."""

    prefix = REFRESH
    looks_after = ("database/marker", "database/password")

    def __init__(self, site: Site, *, environment: str, cloud: str, is_asked: bool, has_seed: bool) -> None:
        self._site = site
        self._environment = environment
        self._cloud = cloud
        self._is_asked = is_asked
        self._has_seed = has_seed
        self.last: Refreshed | None = None
        self.lost = Losses({}, 0)

    @property
    def is_due(self) -> bool:
        """It was asked for, and this run has not done it yet."""
        return self._is_asked and not self._is_done

    @property
    def _is_done(self) -> bool:
        return self.last is not None and self.last.run_id == self._site.writer.run_id

    def look(self) -> Look:
        if not self._site.is_there:
            return Look()
        with self._site.session() as connection:
            self.last = refreshed.last(connection)
            self.lost = losses(connection, version_table=self._site.version_table) if self.is_due else Losses({}, 0)
        if not self._is_asked and self.last is None:
            return Look()
        note = f"last made anew {self.last.at}" if self.last else "never made anew"
        attributes = {"schema": ANEW if self._is_done else AS_IT_STANDS}
        return Look((Resource(self.prefix, "present", attributes, note),))

    def write(self, change: Change) -> str | None:
        marked = Marked(self._environment, self._cloud, self._site.vault.text("supabase.ref"))
        sent = {"environment": marked.environment, "ref": marked.ref, "tables": sorted(self.lost.rows)}
        writer = self._site.writer
        with (
            self._site.gate.write("make the schema anew", path="the application's schemas", sent=sent),
            self._site.database.writing(application_name=writer.session_name) as connection,
            self._watched(connection),
        ):
            kept = refresh(
                connection,
                marked,
                version_table=self._site.version_table,
                lock_timeout_ms=self._site.limits.lock_timeout_ms,
                record={"run_id": writer.run_id, "operator": writer.operator, "has_seed": self._has_seed},
            )
        return f"kept, as it is another role's: {', '.join(kept)}" if kept else None

    @contextmanager
    def _watched(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Who keeps it waiting is told, and named when it gives up. Errors: VendorUnavailableError."""
        (pid,) = connection.execute("select pg_backend_pid()").fetchone() or (0,)
        with Watcher(self._site.writing, pid, tell=self._site.tell) as seen:
            try:
                yield
            except (LockNotAvailable, DeadlockDetected) as error:
                raise VendorUnavailableError(
                    "the schema could not be made anew: it did not get the locks that it needs",
                    vendor="database",
                    operation="make the schema anew",
                    why=f"{error.diag.message_primary} (SQLSTATE {error.sqlstate}).{seen.in_words}",
                    state="nothing was changed: it is one transaction",
                    next_step="end what holds the lock, or wait until it has ended, then run again",
                ) from error


def refresh(
    connection: psycopg.Connection[Any],
    marked: Marked,
    *,
    version_table: str,
    lock_timeout_ms: int,
    record: dict[str, Any],
) -> tuple[str, ...]:
    """Drop everything that the application has made, end its ledger rows and record it, in one transaction.

    What stays although it should not, in words. Errors: RefusedError and WrongEnvironmentError (the marker), with
    nothing dropped; psycopg.Error.
    """
    with connection.transaction():
        connection.execute(f"set local lock_timeout = {int(lock_timeout_ms)}".encode())
        _require_marker(connection, marked)
        kept = empty(connection, version_table=version_table)
        standing = [row.revision for row in ledger.rows(connection)]
        ledger.undo(connection, standing, run_id=record["run_id"], operator=record["operator"])
        users = look_at_addresses(connection).elsewhere.get(USERS, 0)
        refreshed.record(connection, **record, users_elsewhere=users)
    return kept


def _require_marker(connection: psycopg.Connection[Any], marked: Marked) -> None:
    """In the very transaction that drops: no look before it can say whose database this is."""
    if marked.environment == "production":
        raise RefusedError(
            "production's schema was about to be made anew",
            why="that is done to staging only",
            next_step="report this as a bug, with the journal of this run",
        )
    stands = connection.execute("select to_regclass(%s)", (f"{SCHEMA}.environment",)).fetchone() != (None,)
    if stands:
        connection.execute(_LOCK_MARKER)
    found = marker_of(connection) if stands else None
    if found is None:
        raise RefusedError(
            "the database does not say which environment it is",
            why=f"{SCHEMA}.environment has no row, and nothing is dropped without it",
            next_step=f"pantheon-runbook run RB-010 -e {marked.environment}",
        )
    if found != (marked.environment, marked.cloud, marked.ref):
        raise WrongEnvironmentError(
            f'the database says it is "{found[0]}" of {found[1]} project {found[2]}',
            why=f'this run is for "{marked.environment}" of {marked.cloud} project {marked.ref}',
            next_step=f"look at {SCHEMA}.environment in that database before anything else",
        )


class Seed(Kind):
    """The rows of a staging that was made anew. `file` is None without one in the config."""

    prefix = SEED
    looks_after = ("database/marker", "database/password")

    def __init__(self, site: Site, file: SeedFile | None, *, seconds: float) -> None:
        self._site = site
        self.file = file
        self._seconds = seconds

    def look(self) -> Look:
        if not self._site.is_there:
            return Look()
        with self._site.session() as connection:
            last = refreshed.last(connection)
        if last is None or not last.is_seeded:
            return Look()
        note = f"{last.addresses} addresses, {sum(last.elsewhere.values())} at other than test domains"
        return Look((Resource(self.prefix, "present", {"digest": last.seed_digest}, note),))

    def write(self, change: Change) -> str | None:
        """Once after each refresh, whatever becomes of it."""
        site, file = self._site, self.file
        assert file is not None
        approved = SeedFile(file.written, file.path, digest_in(change))
        sent = {"file": approved.written, "digest": approved.digest}
        with (
            site.gate.write("seed the database", path=approved.written, sent=sent),
            site.database.writing(application_name=site.writer.session_name) as connection,
            held_proof(connection) as proof,
        ):
            last = refreshed.last(connection)
            assert last is not None
            seed(
                site.backend,
                approved,
                site.database.url_from_here(site.database.writes_by),
                proof=proof,
                seconds=self._seconds,
                begin=lambda: _begin(connection, last, approved.digest),
            )
            found = look_at_addresses(connection)
            elsewhere = {table: count - _stayed(last, table) for table, count in found.elsewhere.items()}
            brought = {table: count for table, count in elsewhere.items() if count > 0}
            refreshed.end_seed(connection, last.number, addresses=found.total, elsewhere=brought)
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """What is seen is of the last refresh only."""
        return seen.attributes.get("digest") == digest_in(change)


def _stayed(last: Refreshed, table: str) -> int:
    """Users who were there before the refresh are no seed's."""
    return last.users_elsewhere if table == USERS else 0


def _begin(connection: psycopg.Connection[Any], last: Refreshed, digest: str) -> None:
    if not refreshed.begin_seed(connection, last.number, digest=digest):
        raise RefusedError(
            "the seed was about to be run a second time",
            why="it was begun after this refresh already, and what it had committed by then stands",
            next_step="make the schema anew: RB-020 with -p refresh=true",
        )
