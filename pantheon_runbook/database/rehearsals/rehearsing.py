"""The rehearsal: every pending revision up, down and up again on a copy of the target's schema, which has no rows.

The copy is on a private server. The backend's own Alembic works on it as it will on the target, watched by the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from pantheon_runbook.config import MigrationPolicy
from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations.alembic_process import Backend, Migration, held_proof, migration
from pantheon_runbook.database.migrations.revisions import Ran, Revision, Statement
from pantheon_runbook.database.reading import RoleReader
from pantheon_runbook.database.rehearsals.comparable import comparable
from pantheon_runbook.database.rehearsals.differences import differences
from pantheon_runbook.database.rehearsals.dump import Dump, restore
from pantheon_runbook.database.rehearsals.effects import old_tables, watch, watch_no_more, with_effects
from pantheon_runbook.database.rehearsals.lint import lint
from pantheon_runbook.database.rehearsals.rehearsal import Checked, Failed, Rehearsal, Undone, Way
from pantheon_runbook.database.rehearsals.scratch import OWNER, Scratch, ScratchDatabase
from pantheon_runbook.database.rehearsals.sql_text import without_passwords
from pantheon_runbook.database.rehearsals.verdicts import judge
from pantheon_runbook.database.rehearsals.weights import Rows
from pantheon_runbook.database.schema import Standing, look_at_schema
from pantheon_runbook.errors import RunbookError, VendorRefusedError

_APPLICATION = "pantheon-runbook rehearsal"
_UNLIKE_SHOWN = 5
_LOCK_MILLISECONDS = 5_000  # nobody else is there; who waits for longer waits for itself


class _StoppedError(Exception):
    """A revision ended the worker. It has to leave the worker's context, which would ask it to end in good order."""

    def __init__(self, revision: str, way: Way, error: RunbookError) -> None:
        super().__init__(revision)
        self.revision = revision
        self.way = Undone(revision, way, why=error.why)
        self.error = error


def rehearse(
    pending: Sequence[Revision],
    dump: Dump,
    *,
    rows: Rows,
    server: Scratch,
    backend: Backend,
    policy: MigrationPolicy,
) -> Rehearsal:
    """Up through all of them, and each back and up again as far as it allows; what that showed, weighed with the rows.

    `pending` are the revisions above `dump.heads`, in order; `rows` are what the dumped database has in its tables.
    A revision that fails ends it there, and the rehearsal says so.

    Errors: UsageError when a copy cannot be made; RunbookError when env.py does not run on it.
    """
    stage = _Stage(tuple(pending), dump, server, backend, policy)
    with stage.copy() as copy:
        watch(copy.superuser)
        climb = _Climb(old_tables(copy.superuser), [copy.look()])
        _up_and_down(stage, copy, climb)
    _down_from_below(stage, climb)
    counted = {**dict.fromkeys(climb.tables), **rows}  # a table that was not counted may be of any size
    table = dump.version_table.rpartition(".")[2]
    linted = lint(climb.ran, server_version=dump.server.version, version_table=table)
    judged = judge(stage.pending[: len(climb.ran)], climb.ran, linted.hazards, rows=counted, policy=policy)
    last = climb.looks[-1]
    return Rehearsal(
        ran=tuple(climb.ran),
        undone=tuple(climb.ways[one.id] for one in pending),
        checks=tuple(climb.checks),
        hazards=judged.hazards,
        phases=judged.phases,
        before=judged.before,
        after=judged.after,
        fingerprint=last.fingerprint,
        server_version=server.version,
        caveats=(*comparable(dump.server, server), *_unlike(dump.standing, climb.looks[0])),
        not_linted=linted.not_linted,
        failed=climb.failed,
    )


@contextmanager
def worker_on(
    database: ScratchDatabase,
    superuser: psycopg.Connection[Any],
    *,
    backend: Backend,
    policy: MigrationPolicy,
    observe: bool,
) -> Iterator[Migration]:
    """The backend's Alembic, connected to a scratch database as the role that owns it."""
    with (
        held_proof(superuser) as proof,
        migration(
            backend,
            database.url,
            proof=proof,
            ledger=None,
            lock_timeout_ms=_LOCK_MILLISECONDS,
            statement_timeout_ms=policy.rehearsal_statement_seconds * 1000,
            observe=observe,
            application_name=_APPLICATION,
        ) as worker,
    ):
        yield worker


def _unlike(original: Standing, copy: Standing) -> tuple[str, ...]:
    """What the restored copy shows otherwise than the dumped database did."""
    found = differences(original.lines, copy.lines)
    told = tuple(f"the copy is not the same: {line}" for line in found[:_UNLIKE_SHOWN])
    return (*told, f"and {len(found) - _UNLIKE_SHOWN} more") if len(found) > _UNLIKE_SHOWN else told


@dataclass
class _Copy:
    """One database; the backend is another role there than `superuser`."""

    database: ScratchDatabase
    superuser: psycopg.Connection[Any]
    dump: Dump

    def look(self) -> Standing:
        dump = self.dump
        return look_at_schema(self.superuser, version_table=dump.version_table, without_roles=dump.without_roles)

    def watched(self, ran: Ran, tables: tuple[str, ...]) -> Ran:
        """With what the server saw of it, and tables spelled as everywhere else."""
        spelled = {name.replace('"', ""): name for name in tables}
        seen = with_effects(self.superuser, ran)
        return replace(seen, statements=tuple(_spelled(statement, spelled) for statement in seen.statements))


def _spelled(statement: Statement, names: Mapping[str, str]) -> Statement:
    locks = (replace(lock, relation=names.get(lock.relation, lock.relation)) for lock in statement.locks)
    felt = tuple(lock for lock in locks if not lock.relation.startswith(f"{SCHEMA}."))
    return replace(statement, sql=without_passwords(statement.sql), locks=felt)


@dataclass
class _Stage:
    pending: tuple[Revision, ...]
    dump: Dump
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
            restore(self.dump, database)
            with database.connection() as superuser:
                yield _Copy(database, superuser, self.dump)
        finally:
            self.server.drop(database)

    def worker(self, copy: _Copy) -> AbstractContextManager[Migration]:
        return worker_on(copy.database, copy.superuser, backend=self.backend, policy=self.policy, observe=True)


@dataclass
class _Climb:
    """What came of it. `looks` has one schema more than `ran` has revisions, the first is the original's.

    `tables` are the original's; `ways` are filled from the last revision to the first.
    """

    tables: tuple[str, ...]
    looks: list[Standing]
    ran: list[Ran] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)
    ways: dict[str, Undone] = field(default_factory=dict)
    failed: Failed | None = None


def _up_and_down(stage: _Stage, copy: _Copy, climb: _Climb) -> None:
    try:
        with stage.worker(copy) as worker:
            for revision in stage.pending:
                climb.ran.append(copy.watched(_up(worker, revision), climb.tables))
                climb.looks.append(copy.look())
                if revision.check is not None:
                    climb.checks.append(_checked(copy, revision.id, revision.check))
            watch_no_more(copy.superuser)
            _down_from(stage.pending, worker, copy, climb)
    except _StoppedError as stopped:
        if len(climb.ran) == len(stage.pending):
            climb.ways[stopped.revision] = stopped.way
            return
        code = stopped.error.code if isinstance(stopped.error, VendorRefusedError) else ""
        climb.failed = Failed(stopped.revision, stopped.error.why, code)
        why = "not every revision could be applied"
        climb.ways = {one.id: Undone(one.id, "not tried", why=why) for one in stage.pending}


def _down_from_below(stage: _Stage, climb: _Climb) -> None:
    """Below a revision that has no clean way back, on a copy that it never touched; and so on."""
    while left := stage.pending[: len(stage.pending) - len(climb.ways)]:
        if left[-1].forward_fix_only:
            climb.ways[left[-1].id] = Undone(left[-1].id, "forward fix only", why="its author says so")
            continue
        try:
            with stage.copy() as copy, stage.worker(copy) as worker:
                for revision in left:
                    worker.step(revision.id)
                _down_from(left, worker, copy, climb)
        except _StoppedError as stopped:
            climb.ways[stopped.revision] = stopped.way


def _down_from(applied: Sequence[Revision], worker: Migration, copy: _Copy, climb: _Climb) -> None:
    """As far as the ways back are clean, and meant to be there."""
    for number in range(len(applied), 0, -1):
        revision = applied[number - 1]
        if revision.forward_fix_only:
            return
        way = _way_back(worker, copy, revision, around=(climb.looks[number - 1], climb.looks[number]))
        climb.ways[revision.id] = way
        if way.way != "clean":
            return


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


def _way_back(worker: Migration, copy: _Copy, revision: Revision, *, around: tuple[Standing, Standing]) -> Undone:
    """Down, up and down once more: that it can be applied again is half of what a way back is for."""
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
