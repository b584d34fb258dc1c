"""The backend's tree beside one database: what is pending, what does not fit, and what a baseline makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pantheon_runbook.database.migrations import baseline
from pantheon_runbook.database.migrations.baseline import Stated, baseline_finding
from pantheon_runbook.database.migrations.indexes import index_findings
from pantheon_runbook.database.migrations.release import look_at_release
from pantheon_runbook.database.migrations.revision_kinds import REVISION, Ground, Ledger, Limits, Revisions, Site
from pantheon_runbook.database.migrations.revisions import History, LedgerRow, Ran
from pantheon_runbook.database.migrations.tally import Commands, Release, Tally, tally
from pantheon_runbook.database.rehearsals.differences import differences
from pantheon_runbook.database.rehearsals.rehearsal import Rehearsal
from pantheon_runbook.database.rehearsals.sql_text import is_repeatable
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.database.writes import DatabaseGate
from pantheon_runbook.isolation.local_files import Decided, examine
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import Check, Finding
from pantheon_runbook.planning import few
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.rehearsals import Rehearsals
from pantheon_runbook.runner.surroundings import backend_of


class Revising:
    """Pure over what its kinds have seen last and the backend's files. `command` is the run that asks.

    `made_anew` says whether the schema will be dropped before the revisions.
    """

    def __init__(
        self,
        parts: Parts,
        writer: Writer,
        *,
        parameters: Mapping[str, Any],
        command: str,
        made_anew: Callable[[], bool] = lambda: False,
    ) -> None:
        self._parts = parts
        self.stated = Stated.of(parameters["baseline"]) if parameters["baseline"] else None
        self._again = tuple(filter(None, str(parameters["again"]).split(",")))
        # Secrets alone: a backend may well name production's hosts, among those it answers to for example.
        self._secrets = Search(replace(Marks.of(parts.outside.identities), ids={}, hosts={}))
        self._released: tuple[History, Release] | None = None
        self._made_anew = made_anew
        self.site = site_of(parts, writer)
        self.rehearsals = Rehearsals(
            parts,
            self.site,
            ground=lambda: self.ground,
            pending=lambda ground: self.tally(ground).pending,
            heads=self._heads,
        )
        self.commands = Commands(command, f"alembic -c {self.site.backend.ini}")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (Ledger(self.site, self.stated), Revisions(self.site), self.rehearsals)

    @property
    def ground(self) -> Ground | None:
        """What the revisions begin on: the database as it is, or as it will be left when it is made anew."""
        ground = self.site.ground
        return ground.made_anew() if ground is not None and self._made_anew() else ground

    @property
    def rehearsed(self) -> Rehearsal:
        """On the schema of the database itself."""
        return self.rehearsals.found.staging

    def tally(self, ground: Ground) -> Tally:
        """With the baseline taken as accepted, when one is stated that can be."""
        stated = self._to_accept(ground)
        return tally(
            ground.history,
            stated.revisions if stated else ground.heads,
            baseline.after(ground.history, ground.rows, stated) if stated else ground.rows,
            release=self._release(ground),
            tables=ground.schema.tables,
            commands=self.commands,
            again=(*self._again, *self._repeatable(ground)),
        )

    def _repeatable(self, ground: Ground) -> Iterable[str]:
        """Revisions that were begun, and do no harm when they begin anew: nobody has to say so."""
        begun = {row.revision: row for row in ground.rows if row.state == "begun"}
        for ran in self.rehearsed.ran:
            row, revision = begun.get(ran.revision), ground.history.get(ran.revision)
            is_as_it_was = row and revision and row.digest == revision.digest and not row.followed_writes
            if is_as_it_was and _is_repeatable(ran):
                yield ran.revision

    def _heads(self, ground: Ground) -> Sequence[str]:
        stated = self._to_accept(ground)
        return stated.revisions if stated else ground.heads or ()

    def _to_accept(self, ground: Ground) -> Stated | None:
        """The stated baseline, if it can be accepted and has not been."""
        if self.stated is None or self._is_accepted(ground) or self._refusal(ground):
            return None
        return self.stated

    def _is_accepted(self, ground: Ground) -> bool:
        assert self.stated is not None
        return baseline.is_accepted(ground.history, ground.heads, ground.rows, self.stated)

    def _refusal(self, ground: Ground) -> Finding | None:
        assert self.stated is not None
        return baseline.refusal(ground.history, ground.heads, ground.rows, self.stated)

    def _release(self, ground: Ground) -> Release:
        """Of what is pending; asked of git once for each look."""
        if self._released is None or self._released[0] is not ground.history:
            pending = ground.history.pending(ground.heads or ())
            release = look_at_release(self.site.backend.ini, self._parts.outside.config.backend.release_branch, pending)
            self._released = (ground.history, release)
        return self._released[1]

    def findings(self, ground: Ground) -> tuple[Finding, ...]:
        """What does not fit: in the files, between tree, database and ledger, in the rehearsal and in the schema."""
        found = self.rehearsals.found
        return (
            *self._of_the_files(),
            *self.tally(ground).findings,
            *self._of_the_baseline(ground),
            *self._of_again(ground),
            *index_findings(ground.invalid, ground.rows, self._sources(ground)),
            *dict.fromkeys((*found.staging.findings, *found.production.findings)),
            *self._drift(ground),
        )

    def _of_the_files(self) -> Iterable[Finding]:
        """Secrets of production's in the backend's folder: whatever stands there is within reach of each revision."""
        folder = self.site.backend.ini.parent
        found = examine((folder,), self._secrets, Decided(folder=self._parts.outside.evidence.resolve())).findings
        for one in found:
            address = f"backend/{Path(one.path).relative_to(folder).as_posix()}"
            if one.line is None:
                yield Finding("backend-not-read", address, f"{address} {one.what}", one.next_step, blocks=False)
            else:
                what = f"line {one.line} of {address} holds {one.what}"
                yield Finding("production-in-backend", address, what, one.next_step)

    def _of_the_baseline(self, ground: Ground) -> tuple[Finding, ...]:
        if self.stated is None or self._is_accepted(ground):
            return ()
        if (no := self._refusal(ground)) is not None:
            return (no,)
        found = self.rehearsals.found
        if found.why_not:
            what = f"what the revisions up to {self.stated.in_words} make is not known: {found.why_not}"
            return (Finding("baseline-not-compared", "database/ledger", what, found.next_step),)
        return (baseline_finding(found.expected, ground.schema.lines, self.stated, run=self.commands.run),)

    def _of_again(self, ground: Ground) -> Iterable[Finding]:
        begun = {row.revision for row in ground.rows if row.state == "begun"}
        for one in self._again:
            if one not in begun:
                what = f"revision {one} was not left half-way: -p again={one} says nothing"
                yield Finding("nothing-to-begin-again", f"{REVISION}/{one}", what, "leave it out", blocks=False)

    def _drift(self, ground: Ground) -> tuple[Finding, ...]:
        """What stands in staging and no revision has made, or the other way round."""
        drift = self._differences(ground)
        if not drift or (self.stated is not None and not self._is_accepted(ground)):
            return ()
        what = f"the schema is not what its revisions make: {few(drift, parted='; ')}"
        at, code = ",".join(ground.heads or ()), baseline.code_of(self.rehearsals.found.expected, ground.schema.lines)
        accepted = f"to let this run accept it: {self.commands.run} -p baseline={at}+{code}"
        step = f"write a revision that makes it so, or take it back by hand; {accepted}"
        return (Finding("schema-drift", "database/schema", what, step, blocks=False),)

    def _differences(self, ground: Ground) -> tuple[str, ...]:
        found = self.rehearsals.found
        return () if found.why_not or not ground.heads else differences(found.expected, ground.schema.lines)

    def _sources(self, ground: Ground) -> dict[str, str]:
        folder = self.site.backend.ini.parent
        begun = [row.revision for row in ground.rows if row.state == "begun"]
        files = {one.id: folder / one.file for one in ground.history.revisions if one.id in begun}
        return {name: path.read_text(errors="replace") for name, path in files.items() if path.is_file()}

    def checks(self, ground: Ground) -> tuple[Check, ...]:
        """Heads, that the ledger agrees, and that the schema is what the revisions make of nothing."""
        wanted, at = ", ".join(ground.history.heads), ", ".join(ground.heads or ()) or "nothing"
        applied = ground.history.below(ground.heads or ())
        lacking = [one for one in sorted(applied) if not _is_recorded(one, ground.rows)]
        drift = self._differences(ground)
        why_not = self.rehearsals.found.why_not
        schema = f"cannot be read: {why_not}" if why_not else "; ".join(drift) or "the same"
        code = baseline.code_of(self.rehearsals.found.expected, ground.schema.lines)
        accepted = self.stated is not None and self.stated.code == code
        return (
            Check("the database is at the tree's head", wanted, at, wanted == at),
            Check("every revision is in the ledger", "all", ", ".join(lacking) or "all", not lacking),
            Check("the schema is what its revisions make", "the same", schema, not drift or accepted),
        )


def _is_repeatable(ran: Ran) -> bool:
    """Whether a revision that left its transaction and did not end does no harm when it runs from its beginning.

    What it ran in a transaction between two statements outside one was committed by the second of them.
    """
    last = max((number for number, one in enumerate(ran.statements) if one.is_alone), default=-1)
    return last >= 0 and all(is_repeatable(one.sql) for one in ran.statements[: last + 1])


def _is_recorded(revision: str, rows: Sequence[LedgerRow]) -> bool:
    return any(row.revision == revision and row.state != "begun" for row in rows)


def _lookers(parts: Parts) -> tuple[str, ...]:
    read = parts.outside.config.production_read
    return (read.role, read.dump_role) if read is not None and parts.database.read_by else ()


def site_of(parts: Parts, writer: Writer) -> Site:
    """The backend that the config names, before staging's database."""
    backend = parts.outside.config.backend
    return Site(
        parts.surroundings,
        database=parts.database,
        gate=DatabaseGate(parts.gate, parts.surroundings.vault),
        backend=backend_of(parts.outside),
        version_table=backend.version_table,
        writer=writer,
        limits=Limits(int(backend.lock_seconds * 1000), int(backend.statement_seconds * 1000)),
        environment=parts.name,
        without_roles=_lookers(parts),
    )
