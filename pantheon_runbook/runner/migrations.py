"""RB-020 as the session sees it: staging as RB-010 left it, the revisions, then the deployment and its proofs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol

from pantheon_runbook import deploying, migrating
from pantheon_runbook.database.migrations.revision_kinds import TREE, Ground, Site
from pantheon_runbook.database.migrations.revisions import LedgerRow
from pantheon_runbook.database.refreshing.refresh_kinds import SEED, Refresh, Seed
from pantheon_runbook.database.refreshing.seeding import SeedFile
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.errors import ParameterError
from pantheon_runbook.evidence.runs import failed_checks
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import Change, Check, Comparison, Desired, Finding, Snapshot
from pantheon_runbook.planning import few, plan_changes
from pantheon_runbook.providers.staging_app import Note
from pantheon_runbook.providers.vercel_deploys import BYPASS
from pantheon_runbook.provisioning import calls, services_of
from pantheon_runbook.runner.clients import Parts, deployments
from pantheon_runbook.runner.isolation_proof import beside_production
from pantheon_runbook.runner.rehearsals import PRODUCTION_REVISION
from pantheon_runbook.runner.revising import Revising
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
        self._note = note
        self._own: tuple[str, ...] = ()  # addresses that RB-060 does not know
        is_refresh = self._is_refresh(parameters)
        self.revising = Revising(
            parts,
            writer,
            parameters=parameters,
            command=f"pantheon-runbook run RB-020 -e {parts.name}",
            made_anew=lambda: self.refresh.is_due,
        )
        self.refresh: Refresh
        self.refresh, self.seed = refreshing(parts, self.revising.site, is_asked=is_refresh)

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

    def kinds(self, ends: ExitStack) -> dict[str, Kind]:
        """What RB-020 has beside RB-010's kinds; those that hold connections are closed with `ends`."""
        own: tuple[Kind, ...] = (*self.revising.kinds, self.refresh, self.seed)
        for kind in own:
            ends.callback(kind.close)
        kinds = {**{kind.prefix: kind for kind in own}, **deployments(self._parts)}
        self._own = (*kinds, TREE, PRODUCTION_REVISION)
        return kinds

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        ground = self.revising.ground
        if ground is None:
            return ()
        path = self._path(ground)
        self.revising.site.late = path.late
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
            self.revising.tally(ground).pending,
            self.revising.rehearsed,
            self.revising.stated,
            services,
            lost=self.refresh.lost if self.refresh.is_due else None,
            seed=self.seed.file if self._is_seed_due else None,
        )

    @property
    def _is_seed_due(self) -> bool:
        last = self.refresh.last
        return self.refresh.is_due or (last is not None and last.waits_for_seed)

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        ground = self.revising.ground
        if ground is None:
            what = "staging's database is not there to be migrated"
            return (Finding("no-database", "database", what, f"pantheon-runbook run RB-010 -e {self._parts.name}"),)
        return (
            *self._provisions.findings(snapshot),
            *self._unprovisioned(snapshot),
            *self.revising.findings(ground),
            *self._of_the_refresh(),
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
            yield Finding(
                "seeded-half-way", SEED, what, f"correct it, and begin anew: {self.revising.commands.refresh}"
            )

    def _unverified(self) -> Iterable[Finding]:
        """So that "nothing to change" is not taken for "it works"."""
        where = {"cloud": self._config.cloud, "runbook": "RB-020", "environment": self._parts.name}
        run, failed = failed_checks(self._parts.outside.evidence, **where)
        if failed:
            step = f"put that right, by a new revision if need be; {self.revising.commands.run} --apply checks it again"
            yield Finding(
                "not-verified", TREE, f"the last apply (run {run}) failed a check: {failed}", step, blocks=False
            )

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return self._provisions.endpoints(snapshot)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        return self._provisions.manual_steps(snapshot)

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return calls(plan_changes(desired, snapshot)[0])

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        ground = self.revising.ground
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
            *self.revising.checks(ground),
            *self._of_the_seed(),
            *proofs(proving, snapshot, head=head, wanted=wanted),
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


def _ages_a_backend(row: LedgerRow) -> bool:
    """Whether what was deployed before it has to be deployed again: not for what waited for it, or stood already."""
    return row.state == "applied" and not row.after_deployment


def refreshing(parts: Parts, site: Site, *, is_asked: bool) -> tuple[Refresh, Seed]:
    """What is done around the revisions when the schema is made anew."""
    config = parts.outside.config
    file = SeedFile.of(config.backend.seed, parts.outside.folder) if config.backend.seed else None
    refresh = Refresh(site, environment=parts.name, cloud=config.cloud, is_asked=is_asked, has_seed=file is not None)
    return refresh, Seed(site, file, seconds=config.policy.wait_seconds)
