"""What RB-020 keeps in the database: the ledger, and the backend's revisions with their lines in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg

from pantheon_runbook.database.connection import Database, unreachable
from pantheon_runbook.database.kinds import SCHEMA, let_read, marker_of
from pantheon_runbook.database.migrations import alembic_process, baseline, ledger
from pantheon_runbook.database.migrations.alembic_process import Backend, Migration, held_proof, migration
from pantheon_runbook.database.migrations.baseline import Stated
from pantheon_runbook.database.migrations.blocking import Blocker, Watcher
from pantheon_runbook.database.migrations.indexes import InvalidIndex, invalid_indexes
from pantheon_runbook.database.migrations.revisions import History, LedgerRow, Ran, Revision
from pantheon_runbook.database.schema import NO_TABLE, Standing, look_at_schema
from pantheon_runbook.database.sessions import require_session
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.database.writes import DatabaseGate
from pantheon_runbook.errors import (
    ConfigError,
    RunbookError,
    StalePlanError,
    VendorRefusedError,
    VendorUnavailableError,
    WrongEnvironmentError,
)
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Resource, short_code
from pantheon_runbook.providers.supabase import project_answers

LEDGER, BASELINE, TREE, REVISION = "database/ledger", "database/ledger/baseline", "database/tree", "database/revision"


@dataclass(frozen=True)
class Limits:
    """Milliseconds: how long a revision waits for a lock, while others queue behind it; how long one statement runs."""

    lock_timeout_ms: int
    statement_timeout_ms: int


@dataclass(frozen=True)
class Ground:
    """The files, and the database of one moment. `heads` None: Alembic's table is not there.

    `is_foretold`: the database will be so when it has been made anew, and `schema` is not known by then.
    """

    history: History
    heads: tuple[str, ...] | None
    rows: tuple[LedgerRow, ...]
    invalid: tuple[InvalidIndex, ...]
    schema: Standing
    is_foretold: bool = False

    def made_anew(self) -> Ground:
        """As a refresh will leave it: nothing stands, and nothing is said to have been applied."""
        schema = replace(self.schema, tables=0, revision=NO_TABLE, lines=())
        return replace(self, heads=None, rows=(), invalid=(), schema=schema, is_foretold=True)


class Site:
    """The backend's tree and the database it migrates, for the kinds of one run; one thread at a time writes."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        database: Database,
        gate: DatabaseGate,
        backend: Backend,
        version_table: str,
        writer: Writer,
        limits: Limits,
        environment: str,
        without_roles: tuple[str, ...] = (),
    ) -> None:
        """Grants to `without_roles` are no part of the schema: those who look at production have some there."""
        self._environment = environment
        self._without_roles = without_roles
        self.vault = surroundings.vault
        self.database = database
        self.gate = gate
        self.backend = backend
        self.version_table = version_table
        self.writer = writer
        self.limits = limits
        self._progress = surroundings.progress
        self._held = ExitStack()
        self._migration: Migration | None = None
        self._checked: psycopg.Connection[Any] | None = None  # the session that holds the proof
        self.ground: Ground | None = None
        self.late: tuple[str, ...] = ()  # revisions that wait for the new backend, by the plan
        self.before_late: Callable[[], None] = lambda: None  # refuses while the former backend runs

    @property
    def is_there(self) -> bool:
        return project_answers(self.vault) and self.vault.get("database.session_url") is not None

    def look(self) -> Ground:
        """Files and database anew. Errors: RefusedError (a transaction pooler, the tree), VendorUnavailableError."""
        history = alembic_process.history(self.backend)
        with self.session() as connection:
            require_session(connection)
            self.ground = Ground(
                history,
                ledger.heads(connection, self.version_table),
                ledger.rows(connection),
                invalid_indexes(connection),
                look_at_schema(connection, version_table=self.version_table, without_roles=self._without_roles),
            )
        return self.ground

    def session(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """One connection that looks. Errors: VendorUnavailableError, also when it is lost on the way."""
        return _told(self.database.session(application_name=self.writer.session_name))

    def writing(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """The same by the login that writes, which sees what the worker's session does."""
        return _told(self.database.writing(application_name=self.writer.session_name))

    def step(self, revision: str, *, digest: str) -> None:
        """Apply one revision with its row in the ledger; whoever keeps it waiting is named.

        Errors: VendorError; StalePlanError when the file is not the one of this digest.
        """
        self._carry_out(Migration.step, revision, digest)

    def undo(self, revision: str, *, digest: str) -> None:
        """Downgrade one revision, which has to be a last one; otherwise as `step`."""
        self._carry_out(Migration.undo, revision, digest)

    def _carry_out(self, act: Callable[[Migration, str], Ran], revision: str, digest: str) -> None:
        worker = self._worker(revision)
        self._require_its_file(worker, revision, digest)
        self._require_marked()
        with Watcher(self.writing, worker.backend_pid, tell=self.tell) as seen:
            try:
                act(worker, revision)
            except VendorUnavailableError as error:
                self.let_go()
                error.why += seen.in_words
                raise
            except BaseException:
                self.let_go()
                raise

    def _require_marked(self) -> None:
        """Before each revision, and by the session that holds the worker's proof: a marker may be gone by then."""
        assert self._checked is not None
        try:
            row = marker_of(self._checked)
        except psycopg.OperationalError as error:
            self.let_go()
            raise unreachable(error) from error
        if row is None or (row[0], row[2]) != (self._environment, self.vault.text("supabase.ref")):
            self.let_go()
            raise WrongEnvironmentError(
                f"the database no longer says that it is {self._environment}",
                why=f"its marker is {f'of {row[0]}' if row else 'gone'}; it was there when the run looked",
                state="what was done before stands; nothing further was",
                next_step="find out who changed pantheon_runbook.environment in that database before anything else",
            )

    def tell(self, one: Blocker) -> None:
        """Whoever keeps this run waiting, for who watches it."""
        self._progress(f"waits for {one.in_words}")

    def _require_its_file(self, worker: Migration, revision: str, digest: str) -> None:
        """What this process has loaded, not what lies on the disk by now."""
        loaded = worker.history.get(revision)
        if loaded is None or loaded.digest != digest:
            found = short_code(loaded.digest) if loaded else "not there"
            raise StalePlanError(
                f"the file of revision {revision} is not the one that was approved",
                why=f"it was {short_code(digest)}, and is {found}",
                next_step="run the plan again, read it, and approve the new digest",
            )

    def _worker(self, revision: str) -> Migration:
        """One process for all revisions; after a failure a new one, which looks anew."""
        if self._migration is None:
            with ExitStack() as held:
                connection = held.enter_context(self.database.writing(application_name=self.writer.session_name))
                self._require_whole(connection, revision)
                started = held.enter_context(
                    migration(
                        self.backend,
                        self.database.url_from_here(self.database.writes_by),
                        proof=held.enter_context(held_proof(connection)),
                        ledger=ledger.entry(run_id=self.writer.run_id, operator=self.writer.operator, late=self.late),
                        observe=False,
                        application_name=self.writer.session_name,
                        **asdict(self.limits),
                    )
                )
                self.require_version_table(started, ledger.heads(connection, self.version_table) or ())
                self._migration, self._checked, self._held = started, connection, held.pop_all()
        return self._migration

    def _require_whole(self, connection: psycopg.Connection[Any], revision: str) -> None:
        """A revision that this run has begun and lost is not begun again in it: it may have done half of its work."""
        rows = ledger.rows(connection)
        if not any((row.revision, row.state, row.run_id) == (revision, "begun", self.writer.run_id) for row in rows):
            return
        raise VendorRefusedError(
            f"revision {revision} was left half-way",
            vendor="database",
            operation=f"carry out {revision}",
            status=400,
            why="it had left its transaction when its answer was lost; what it has done must be looked at first",
            state=f"changed in part: {revision} left its transaction, and it is not done",
            next_step="run the plan again: it looks, and says whether the revision can begin anew",
        )

    def require_version_table(self, started: Migration, seen: Sequence[str]) -> None:
        """env.py keeps its revision where we look for it; a table without a schema is found by the search path.

        `seen` is what we find there. Errors: ConfigError.
        """
        ours = {self.version_table, self.version_table.partition(".")[2]}
        if started.version_table in ours and set(seen) == set(started.heads):
            return
        raise ConfigError(
            f"env.py keeps its revision in {started.version_table}, at {', '.join(started.heads) or 'none'}",
            why=f"{self.version_table} was looked at, which is at {', '.join(seen) or 'none'}",
            next_step="write version_table under [backend] as env.py has it, with its schema, then plan again",
        )

    def let_go(self) -> None:
        """End the worker now, after a failure; what it has not committed is rolled back."""
        if self._migration is not None:
            self._migration.kill()
        self.close()

    def close(self) -> None:
        """End the worker, which is idle: what it was asked for is done, so that nothing is lost by how it ends."""
        self._migration = None
        with suppress(RunbookError):
            self._held.close()


@contextmanager
def _told(opened: AbstractContextManager[psycopg.Connection[Any]]) -> Iterator[psycopg.Connection[Any]]:
    """A connection that is lost on the way is told in our words."""
    with opened as connection:
        try:
            yield connection
        except psycopg.OperationalError as error:
            raise unreachable(error) from error


class Ledger(Kind):
    """The tables of the ledger, and the baseline in it."""

    prefix = LEDGER
    looks_after = ("database/revision",)

    def __init__(self, site: Site, stated: Stated | None) -> None:
        self._site = site
        self._stated = stated

    def look(self) -> Look:
        if not self._site.is_there:
            return Look()
        with self._site.session() as connection:
            stands, rows = ledger.stands(connection), ledger.rows(connection)
        found = []
        if stands:
            note = f"{len(rows)} revisions in it"
            found.append(Resource(LEDGER, "present", {"layout": ledger.LAYOUT}, note))
        ground, stated = self._site.ground, self._stated
        if stated and ground and baseline.is_accepted(ground.history, ground.heads, rows, stated):
            found.append(Resource(BASELINE, "present", {"revision": stated.in_words}, "accepted"))
        return Look(tuple(found))

    def write(self, change: Change) -> str | None:
        if change.address == LEDGER:
            sent = {"layout": ledger.LAYOUT}
            with (
                self._site.gate.write("make the ledger", path=f"{SCHEMA}.migrations", sent=sent),
                self._site.database.writing() as connection,
            ):
                ledger.make(connection)
                let_read(connection, self._site.database.read_by)
            return None
        return self._accept()

    def _accept(self) -> str:
        site, ground = self._site, self._site.ground
        assert self._stated is not None
        assert ground is not None
        sent = {"revision": self._stated.in_words}
        with (
            site.gate.write("accept a baseline", path=f"{SCHEMA}.migrations", sent=sent),
            site.database.writing() as connection,
        ):
            new = baseline.accept(
                connection,
                ground.history,
                self._stated,
                version_table=site.version_table,
                run_id=site.writer.run_id,
                operator=site.writer.operator,
            )
        return f"{len(new)} revisions recorded"


class Revisions(Kind):
    """The tree's revisions: one resource for each that the database holds, and the tree as a whole."""

    prefix = REVISION
    looks_after = ("database/marker", "database/password", "production/project")

    def __init__(self, site: Site) -> None:
        self._site = site

    def look(self) -> Look:
        if not self._site.is_there:
            return Look()
        ground = self._site.look()
        applied = ground.history.below(ground.heads or ())
        return Look(
            (
                Resource(TREE, "present", _described(ground), note=f"head {', '.join(ground.history.heads)}"),
                *(
                    Resource(f"{REVISION}/{one.id}", "present", {"digest": one.digest, "title": one.title}, one.title)
                    for one in ground.history.revisions
                    if one.id in applied
                ),
            )
        )

    def write(self, change: Change) -> str | None:
        revision = change.address.removeprefix(f"{REVISION}/")
        sent = {"revision": revision, "digest": digest_in(change)}
        if revision in self._site.late:
            self._site.before_late()
        with self._site.gate.write("apply a revision", path=self._site.version_table, sent=sent):
            self._site.step(revision, digest=sent["digest"])
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """In Alembic's table and in the ledger, which are written in one transaction."""
        return seen.state == "present"

    def close(self) -> None:
        self._site.close()


def digest_in(change: Change) -> str:
    """Of the file that was approved; of what stands already and is made anew, "anew" alone is a change."""
    return str(change.after.get("anew") or change.after["digest"])


def _described(ground: Ground) -> Mapping[str, Any]:
    """Everything that the plan depends on; the ledger's own times apart, which say nothing of what stands."""
    return {
        "revisions": [asdict(one) for one in ground.history.revisions],
        "heads": list(ground.history.heads),
        "at": list(ground.heads) if ground.heads is not None else None,
        "schema": ground.schema.fingerprint,
        "recorded": [[one.revision, one.digest, one.state] for one in ground.rows],
        "invalid_indexes": [one.name for one in ground.invalid],
    }


def history_of(described: Mapping[str, Any]) -> History:
    """The tree out of what a snapshot says of it."""
    several = ("down", "depends_on", "branch_labels")
    revisions = (Revision(**{**one, **{name: tuple(one[name]) for name in several}}) for one in described["revisions"])
    return History(tuple(revisions), tuple(described["heads"]))
