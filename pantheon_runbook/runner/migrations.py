"""RB-020 as the session sees it: staging as RB-010 left it, the revisions, then the deployment and its proofs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pantheon_runbook import deploying, migrating
from pantheon_runbook.database.migrations import baseline
from pantheon_runbook.database.migrations.baseline import Stated, baseline_finding
from pantheon_runbook.database.migrations.indexes import index_findings
from pantheon_runbook.database.migrations.release import look_at_release
from pantheon_runbook.database.migrations.revision_kinds import REVISION, TREE, Ground, Ledger, Limits, Revisions, Site
from pantheon_runbook.database.migrations.revisions import History, LedgerRow, Ran
from pantheon_runbook.database.migrations.tally import Commands, Release, Tally, tally
from pantheon_runbook.database.refreshing.refresh_kinds import SEED, Refresh, Seed
from pantheon_runbook.database.refreshing.seeding import SeedFile
from pantheon_runbook.database.rehearsals.differences import differences
from pantheon_runbook.database.rehearsals.sql_text import is_repeatable
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.database.writes import DatabaseGate
from pantheon_runbook.errors import ParameterError
from pantheon_runbook.evidence.runs import failed_checks
from pantheon_runbook.isolation.local_files import Decided, examine
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import Change, Check, Comparison, Desired, Finding, Snapshot
from pantheon_runbook.planning import few, plan_changes
from pantheon_runbook.providers.staging_app import Note
from pantheon_runbook.providers.vercel_deploys import BYPASS
from pantheon_runbook.provisioning import calls, services_of
from pantheon_runbook.runner.clients import Parts, deployments
from pantheon_runbook.runner.isolation_proof import beside_production
from pantheon_runbook.runner.rehearsals import PRODUCTION_REVISION, Rehearsals
from pantheon_runbook.runner.surroundings import backend_of
from pantheon_runbook.staging_proofs import Proving, proofs


class Provisioned(Protocol):
    """RB-010's side of it: what staging consists of, and whether it answers."""

    def wanted(self, snapshot: Snapshot) -> tuple[Desired, ...]: ...

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]: ...

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]: ...

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]: ...

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]: ...


class Migrating:
    """The definition: pure over what its kinds have seen last and the backend's files, apart from `probes`."""

    def __init__(
        self, parts: Parts, provisions: Provisioned, *, parameters: Mapping[str, Any], writer: Writer, note: Note
    ) -> None:
        self._parts = parts
        self._config = parts.outside.config
        self._provisions = provisions
        self._commit = str(parameters["commit"])
        self._stated = Stated.of(parameters["baseline"]) if parameters["baseline"] else None
        self._again = tuple(filter(None, str(parameters["again"]).split(",")))
        self._note = note
        # Secrets alone: a backend may well name production's hosts, among those it answers to for example.
        self._secrets = Search(replace(Marks.of(parts.outside.identities), ids={}, hosts={}))
        self._released: tuple[History, Release] | None = None
        self._own: tuple[str, ...] = ()  # addresses that RB-060 does not know
        self.site = site_of(parts, writer)
        self.refresh, self.seed = refreshing(parts, self.site, is_asked=self._is_refresh(parameters))
        self.rehearsals = Rehearsals(
            parts,
            self.site,
            ground=lambda: self._ground,
            pending=lambda ground: self._tally(ground).pending,
            heads=self._heads,
        )
        self._commands = Commands(f"pantheon-runbook run RB-020 -e {parts.name}", f"alembic -c {self.site.backend.ini}")

    def _is_refresh(self, parameters: Mapping[str, Any]) -> bool:
        """Errors: ParameterError with what says that something stands."""
        others = [name for name in ("baseline", "again") if parameters["refresh"] and parameters[name]]
        if others:
            raise ParameterError(
                f"refresh and {others[0]} cannot both be asked for",
                why=f"refresh drops what stands in the database, and {others[0]} goes on from it",
                next_step=f"leave out one of the two: -p refresh=true, or -p {others[0]}=...",
            )
        return bool(parameters["refresh"])

    @property
    def _ground(self) -> Ground | None:
        """What the revisions begin on: the database as it is, or as the refresh will leave it."""
        ground = self.site.ground
        return ground.made_anew() if ground is not None and self.refresh.is_due else ground

    def kinds(self, ends: ExitStack) -> dict[str, Kind]:
        """What RB-020 has beside RB-010's kinds; those that hold connections are closed with `ends`."""
        database = (Ledger(self.site, self._stated), self.refresh, Revisions(self.site), self.seed)
        own: tuple[Kind, ...] = (*database, self.rehearsals)
        for kind in own:
            ends.callback(kind.close)
        kinds = {**{kind.prefix: kind for kind in own}, **deployments(self._parts)}
        self._own = (*kinds, TREE, PRODUCTION_REVISION)
        return kinds

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        ground = self._ground
        if ground is None:
            return ()
        path = self._path(ground)
        self.site.late = path.late
        deployed = deploying.desired_deployments(
            self._config,
            self._parts.name,
            snapshot,
            commit=self._commit,
            migrated_at=max((row.ended_at for row in ground.rows if _ages_a_backend(row)), default=""),
            migrations=path.before,
        )
        return (*migrating.desired_revisions(path, has_alembic=ground.heads is not None), *deployed)

    def _path(self, ground: Ground) -> migrating.Path:
        services = tuple(f"railway/deployment/{name}" for name in services_of(self._config))
        return migrating.Path(
            self._tally(ground).pending,
            self.rehearsals.found.staging,
            self._stated,
            services,
            lost=self.refresh.lost if self.refresh.is_due else None,
            seed=self.seed.file if self._is_seed_due else None,
        )

    @property
    def _is_seed_due(self) -> bool:
        last = self.refresh.last
        return self.refresh.is_due or (last is not None and last.waits_for_seed)

    def _tally(self, ground: Ground) -> Tally:
        """With the baseline taken as accepted, when one is stated that can be."""
        stated = self._to_accept(ground)
        return tally(
            ground.history,
            stated.revisions if stated else ground.heads,
            baseline.after(ground.history, ground.rows, stated) if stated else ground.rows,
            release=self._release(ground),
            tables=ground.schema.tables,
            commands=self._commands,
            again=(*self._again, *self._repeatable(ground)),
        )

    def _repeatable(self, ground: Ground) -> Iterable[str]:
        """Revisions that were begun, and do no harm when they begin anew: nobody has to say so."""
        begun = {row.revision: row for row in ground.rows if row.state == "begun"}
        for ran in self.rehearsals.found.staging.ran:
            row, revision = begun.get(ran.revision), ground.history.get(ran.revision)
            is_as_it_was = row and revision and row.digest == revision.digest and not row.followed_writes
            if is_as_it_was and _is_repeatable(ran):
                yield ran.revision

    def _heads(self, ground: Ground) -> Sequence[str]:
        stated = self._to_accept(ground)
        return stated.revisions if stated else ground.heads or ()

    def _to_accept(self, ground: Ground) -> Stated | None:
        """The stated baseline, if it can be accepted and has not been."""
        if self._stated is None or self._is_accepted(ground) or self._refusal(ground):
            return None
        return self._stated

    def _is_accepted(self, ground: Ground) -> bool:
        assert self._stated is not None
        return baseline.is_accepted(ground.history, ground.heads, ground.rows, self._stated)

    def _refusal(self, ground: Ground) -> Finding | None:
        assert self._stated is not None
        return baseline.refusal(ground.history, ground.heads, ground.rows, self._stated)

    def _release(self, ground: Ground) -> Release:
        """Of what is pending; asked of git once for each look."""
        if self._released is None or self._released[0] is not ground.history:
            pending = ground.history.pending(ground.heads or ())
            release = look_at_release(self.site.backend.ini, self._config.backend.release_branch, pending)
            self._released = (ground.history, release)
        return self._released[1]

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        ground = self._ground
        if ground is None:
            what = "staging's database is not there to be migrated"
            return (Finding("no-database", "database", what, f"pantheon-runbook run RB-010 -e {self._parts.name}"),)
        found = self.rehearsals.found
        return (
            *self._provisions.findings(snapshot),
            *self._unprovisioned(snapshot),
            *self._of_the_files(),
            *self._tally(ground).findings,
            *self._of_the_baseline(ground),
            *self._of_again(ground),
            *self._of_the_refresh(),
            *index_findings(ground.invalid, ground.rows, self._sources(ground)),
            *dict.fromkeys((*found.staging.findings, *found.production.findings)),
            *self._drift(ground),
            *self._unverified(),
            *deploying.findings(self._config, self._parts.name, snapshot, commit=self._commit),
        )

    def _unprovisioned(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        left = [change.address for change in plan_changes(self._provisions.wanted(snapshot), snapshot)[0]]
        if not left:
            return ()
        what = f"{self._parts.name} is not as RB-010 leaves it: {few(left)}"
        step = f"pantheon-runbook run RB-010 -e {self._parts.name} --apply"
        return (Finding("not-provisioned", left[0], what, step),)

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
        if self._stated is None or self._is_accepted(ground):
            return ()
        if (no := self._refusal(ground)) is not None:
            return (no,)
        found = self.rehearsals.found
        if found.why_not:
            what = f"what the revisions up to {self._stated.in_words} make is not known: {found.why_not}"
            return (Finding("baseline-not-compared", "database/ledger", what, found.next_step),)
        return (baseline_finding(found.expected, ground.schema.lines, self._stated, run=self._commands.run),)

    def _of_again(self, ground: Ground) -> Iterable[Finding]:
        begun = {row.revision for row in ground.rows if row.state == "begun"}
        for one in self._again:
            if one not in begun:
                what = f"revision {one} was not left half-way: -p again={one} says nothing"
                yield Finding("nothing-to-begin-again", f"{REVISION}/{one}", what, "leave it out", blocks=False)

    def _of_the_refresh(self) -> Iterable[Finding]:
        """What is wrong with the seed that follows one."""
        file, last = self.seed.file, self.refresh.last
        if self._is_seed_due and file is not None and not file.digest:
            what = f"there is no {file.written} that could seed the database"
            yield Finding(
                "no-seed-file", SEED, what, "correct backend.seed in pantheon.toml: its path starts beside it"
            )
        if self.refresh.is_due and file is None:
            what = "nothing fills the schema that is made anew"
            yield Finding("not-seeded", SEED, what, "name a Python file: backend.seed in pantheon.toml", blocks=False)
        if last is not None and last.is_half_seeded and not self.refresh.is_due:
            what = "the seed was begun after the last refresh and did not end: what it had committed stands"
            yield Finding("seeded-half-way", SEED, what, f"correct it, and begin anew: {self._commands.refresh}")

    def _unverified(self) -> Iterable[Finding]:
        """So that "nothing to change" is not taken for "it works"."""
        where = {"cloud": self._config.cloud, "runbook": "RB-020", "environment": self._parts.name}
        run, failed = failed_checks(self._parts.outside.evidence, **where)
        if failed:
            step = f"put that right, by a new revision if need be; {self._commands.run} --apply checks it again"
            yield Finding(
                "not-verified", TREE, f"the last apply (run {run}) failed a check: {failed}", step, blocks=False
            )

    def _drift(self, ground: Ground) -> tuple[Finding, ...]:
        """What stands in staging and no revision has made, or the other way round."""
        drift = self._differences(ground)
        if not drift or (self._stated is not None and not self._is_accepted(ground)):
            return ()
        what = f"the schema is not what its revisions make: {few(drift, parted='; ')}"
        at, code = ",".join(ground.heads or ()), baseline.code_of(self.rehearsals.found.expected, ground.schema.lines)
        accepted = f"to let this run accept it: {self._commands.run} -p baseline={at}+{code}"
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

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return self._provisions.endpoints(snapshot)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        return self._provisions.manual_steps(snapshot)

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return calls(plan_changes(desired, snapshot)[0])

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        ground = self.site.ground
        assert ground is not None
        head = ", ".join(ground.heads or ())
        proving = Proving(
            self._config,
            self._parts.name,
            self._parts.outside.reach,
            self._note,
            self._parts.outside.identities.production.hosts,
            self._parts.surroundings.find,
            bypass=self._parts.surroundings.vault.get(BYPASS),
            progress=self._parts.surroundings.progress,
        )
        wanted = self._provisions.wanted(snapshot)
        return (
            *self._provisions.probes(snapshot),
            *self._of_the_schema(ground),
            *self._of_the_seed(),
            *proofs(proving, snapshot, head=head, wanted=wanted),
        )

    def _of_the_schema(self, ground: Ground) -> tuple[Check, ...]:
        """Heads, that the ledger agrees, and that the schema is what the revisions make of nothing."""
        wanted, at = ", ".join(ground.history.heads), ", ".join(ground.heads or ()) or "nothing"
        applied = ground.history.below(ground.heads or ())
        lacking = [one for one in sorted(applied) if not _is_recorded(one, ground.rows)]
        drift = self._differences(ground)
        why_not = self.rehearsals.found.why_not
        schema = f"cannot be read: {why_not}" if why_not else "; ".join(drift) or "the same"
        code = baseline.code_of(self.rehearsals.found.expected, ground.schema.lines)
        accepted = self._stated is not None and self._stated.code == code
        return (
            Check("the database is at the tree's head", wanted, at, wanted == at),
            Check("every revision is in the ledger", "all", ", ".join(lacking) or "all", not lacking),
            Check("the schema is what its revisions make", "the same", schema, not drift or accepted),
        )

    def _of_the_seed(self) -> Iterable[Check]:
        """As it was counted when the seed had ended: who signs up later is no seed's."""
        last = self.refresh.last
        if last is not None and last.is_seeded:
            elsewhere = ", ".join(f"{count} in {table}" for table, count in sorted(last.elsewhere.items()))
            expected = "no address elsewhere"
            found = f"{last.addresses} addresses, elsewhere {elsewhere}" if elsewhere else expected
            yield Check("seeded users have test domains", expected, found, not elsewhere)

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison:
        """Staging beside production, as RB-060 sees them: what this run has changed is no drift."""
        seen = tuple(one for one in snapshot.resources if not one.address.startswith(self._own))
        wanted = self._provisions.wanted(snapshot)
        return beside_production(self._parts, replace(snapshot, resources=seen), wanted, changes=changes)


def _is_repeatable(ran: Ran) -> bool:
    """Whether a revision that left its transaction and did not end does no harm when it runs from its beginning.

    What it ran in a transaction between two statements outside one was committed by the second of them.
    """
    last = max((number for number, one in enumerate(ran.statements) if one.is_alone), default=-1)
    return last >= 0 and all(is_repeatable(one.sql) for one in ran.statements[: last + 1])


def _ages_a_backend(row: LedgerRow) -> bool:
    """Whether what was deployed before it has to be deployed again: not for what waited for it, or stood already."""
    return row.state == "applied" and not row.after_deployment


def _is_recorded(revision: str, rows: Sequence[LedgerRow]) -> bool:
    return any(row.revision == revision and row.state != "begun" for row in rows)


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
    )


def refreshing(parts: Parts, site: Site, *, is_asked: bool) -> tuple[Refresh, Seed]:
    """What is done around the revisions when the schema is made anew."""
    config = parts.outside.config
    file = SeedFile.of(config.backend.seed, parts.outside.folder) if config.backend.seed else None
    refresh = Refresh(site, environment=parts.name, cloud=config.cloud, is_asked=is_asked, has_seed=file is not None)
    return refresh, Seed(site, file, seconds=config.policy.wait_seconds)
