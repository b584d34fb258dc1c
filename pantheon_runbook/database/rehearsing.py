"""The rehearsal: every pending revision up, down and up again on a copy of the target's schema, which has no rows.

The copy is on a private server. The backend's own Alembic works on it as it will on the target, watched by the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from pantheon_runbook.config import MigrationPolicy
from pantheon_runbook.database.alembic_process import Backend, Migration, held_proof, migration
from pantheon_runbook.database.effects import old_tables, watch, with_effects
from pantheon_runbook.database.hazards import Rows
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.lint import lint
from pantheon_runbook.database.reading import RoleReader
from pantheon_runbook.database.rehearsal import Checked, Failed, Rehearsal, Undone, Way
from pantheon_runbook.database.revisions import Ran, Revision, Statement
from pantheon_runbook.database.schema import VERSION_TABLE, Standing, differences, look_at_schema
from pantheon_runbook.database.scratch import OWNER, Scratch, ScratchDatabase
from pantheon_runbook.database.verdicts import judge
from pantheon_runbook.errors import RunbookError, VendorRefusedError

_APPLICATION = "pantheon-runbook rehearsal"
_LOCK_MILLISECONDS = 5_000  # nobody else is there; who waits for longer waits for itself


class _StoppedError(Exception):
    """A revision ended the worker; what it was at, and why. It leaves the worker's context, which then ends quietly."""

    def __init__(self, revision: str, act: Way, error: RunbookError) -> None:
        super().__init__(revision)
        self.revision = revision
        self.act = act
        self.error = error


@dataclass(frozen=True)
class Original:
    """What the copies are of. `restore` puts its schema and Alembic's heads, and no other row, into an empty database.

    `rows` are those of the database that must not be held up, production's. `caveats` say how a copy is unlike it.
    """

    rows: Rows
    restore: Callable[[ScratchDatabase], None]
    version_table: str = VERSION_TABLE
    caveats: tuple[str, ...] = ()


def rehearse(
    pending: Sequence[Revision], original: Original, *, server: Scratch, backend: Backend, policy: MigrationPolicy
) -> Rehearsal:
    """Up through all of them, and each back and up again as far as it allows; what that showed, weighed with the rows.

    A revision that fails ends it there, and the rehearsal says so.

    Errors: UsageError when a copy cannot be made; RunbookError when env.py does not run on it.
    """
    stage = _Stage(tuple(pending), original, server, backend, policy)
    with stage.copy() as copy:
        climb = _climbed(stage, copy)
        rows = {**dict.fromkeys(copy.tables), **original.rows}  # who counted not every table left one of unknown size
        ways = {} if climb.failed else _ways_back(stage, climb, copy)
    if climb.failed:
        ways = {one.id: Undone(one.id, "not tried", why="not every revision could be applied") for one in pending}
    linted = lint(climb.ran, server_version=server.version, version_table=original.version_table)
    judged = judge(stage.pending[: len(climb.ran)], climb.ran, linted.hazards, rows=rows, policy=policy)
    last = climb.looks[-1]
    return Rehearsal(
        ran=tuple(climb.ran),
        undone=tuple(ways[one.id] for one in pending),
        checks=tuple(climb.checks),
        hazards=judged.hazards,
        phases=judged.phases,
        before=judged.before,
        after=judged.after,
        lines=last.lines,
        fingerprint=last.fingerprint,
        server_version=server.version,
        caveats=original.caveats,
        not_linted=linted.not_linted,
        failed=climb.failed,
    )


@dataclass
class _Copy:
    """One database; the backend is another role there than `superuser`. `tables` are those of the original."""

    database: ScratchDatabase
    superuser: psycopg.Connection[Any]
    version_table: str
    tables: tuple[str, ...]

    def look(self) -> Standing:
        return look_at_schema(self.superuser, version_table=self.version_table)

    def watched(self, ran: Ran) -> Ran:
        """With what the server saw of it, and tables spelled as everywhere else."""
        spelled = {name.replace('"', ""): name for name in self.tables}
        seen = with_effects(self.superuser, ran)
        return replace(seen, statements=tuple(_spelled(statement, spelled) for statement in seen.statements))


def _spelled(statement: Statement, names: Mapping[str, str]) -> Statement:
    locks = (replace(lock, relation=names.get(lock.relation, lock.relation)) for lock in statement.locks)
    return replace(statement, locks=tuple(lock for lock in locks if not lock.relation.startswith(f"{SCHEMA}.")))


@dataclass
class _Stage:
    pending: tuple[Revision, ...]
    original: Original
    server: Scratch
    backend: Backend
    policy: MigrationPolicy
    copies: int = 0

    @contextmanager
    def copy(self) -> Iterator[_Copy]:
        """A new copy of the original, gone afterwards."""
        self.copies += 1
        database = self.server.make(f"copy_{self.copies}")
        try:
            self.original.restore(database)
            with database.connection() as superuser:
                watch(superuser)
                yield _Copy(database, superuser, self.original.version_table, old_tables(superuser))
        finally:
            self.server.drop(database)

    @contextmanager
    def worker(self, copy: _Copy) -> Iterator[Migration]:
        """The backend's Alembic, connected to this copy as the role that owns it."""
        with (
            held_proof(copy.superuser) as proof,
            migration(
                self.backend,
                copy.database.url,
                proof=proof,
                ledger=None,
                lock_timeout_ms=_LOCK_MILLISECONDS,
                statement_timeout_ms=self.policy.rehearsal_statement_seconds * 1000,
                observe=True,
                application_name=_APPLICATION,
            ) as worker,
        ):
            yield worker


@dataclass
class _Climb:
    """How far it went; `looks` has one schema more than `ran` has revisions, the first is the original's."""

    looks: list[Standing]
    ran: list[Ran] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)
    failed: Failed | None = None


def _climbed(stage: _Stage, copy: _Copy) -> _Climb:
    climb = _Climb([copy.look()])
    try:
        with stage.worker(copy) as worker:
            for revision in stage.pending:
                climb.ran.append(copy.watched(_up(worker, revision)))
                climb.looks.append(copy.look())
                if revision.check is not None:
                    climb.checks.append(_checked(copy, revision.id, revision.check))
    except _StoppedError as stopped:
        code = stopped.error.code if isinstance(stopped.error, VendorRefusedError) else ""
        climb.failed = Failed(stopped.revision, stopped.error.why, code)
    return climb


def _up(worker: Migration, revision: Revision) -> Ran:
    """Up for the first time, or again."""
    try:
        return worker.step(revision.id)
    except RunbookError as error:
        raise _StoppedError(revision.id, "once", error) from error


def _down(worker: Migration, revision: Revision) -> None:
    try:
        worker.undo(revision.id)
    except RunbookError as error:
        raise _StoppedError(revision.id, "fails", error) from error


def _checked(copy: _Copy, revision: str, check: Mapping[str, Any]) -> Checked:
    """As it will be made on the target: one SELECT that can write nothing."""
    try:
        with copy.database.connection(OWNER) as connection:
            rows = RoleReader(connection, spend=lambda _what: None).rows(str(check["query"]))
    except RunbookError as error:
        return Checked(revision, check["expect"], None, error.why)
    values = [value for row in rows for value in row.values()]
    if len(values) != 1:
        return Checked(revision, check["expect"], None, f"{len(values)} values came back")
    return Checked(revision, check["expect"], values[0])


def _ways_back(stage: _Stage, climb: _Climb, copy: _Copy) -> dict[str, Undone]:
    """For each revision whether it goes back to what was there before it.

    One that does not, or is not meant to, is left out: those below it are tried on a copy that it never touched.
    """
    ways: dict[str, Undone] = {}
    top = _descended(stage, climb, copy, len(stage.pending), ways)
    while top:
        with stage.copy() as other:
            top = _descended(stage, climb, other, top, ways, is_new=True)
    return ways


def _descended(
    stage: _Stage, climb: _Climb, copy: _Copy, top: int, ways: dict[str, Undone], *, is_new: bool = False
) -> int:
    """Down from the revision number `top` to the first that has no clean way back; 0 when there is none."""
    number = top
    try:
        with stage.worker(copy) as worker:
            for revision in stage.pending[: top if is_new else 0]:
                _up(worker, revision)
            for number in range(top, 0, -1):
                revision = stage.pending[number - 1]
                way = _way_back(worker, copy, revision, around=(climb.looks[number - 1], climb.looks[number]))
                ways[revision.id] = way
                if way.way != "clean":
                    return number - 1
    except _StoppedError as stopped:
        ways[stage.pending[number - 1].id] = Undone(stopped.revision, stopped.act, why=stopped.error.why)
        return number - 1
    return 0


def _way_back(worker: Migration, copy: _Copy, revision: Revision, *, around: tuple[Standing, Standing]) -> Undone:
    """Down, up and down once more: that it can be applied again is half of what a way back is for."""
    if revision.forward_fix_only:
        return Undone(revision.id, "forward fix only", why="its author says so")
    before, after = around
    _down(worker, revision)
    left = differences(before.lines, copy.look().lines)
    if left:
        return Undone(revision.id, "differs", left)
    _up(worker, revision)
    left = differences(after.lines, copy.look().lines)
    if left:
        return Undone(revision.id, "once", left)
    _down(worker, revision)
    return Undone(revision.id, "clean")
