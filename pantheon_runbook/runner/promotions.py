"""RB-030 as the session sees it: production beside what staging has proven, and the unit that brings it there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from pantheon_runbook import clock, migrating, smoke
from pantheon_runbook.config import read_regular
from pantheon_runbook.database.migrations.revision_kinds import REVISION, Ground
from pantheon_runbook.database.migrations.units import BEGIN, Unit, Units
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.deploying import COMMIT, PREVIEW
from pantheon_runbook.errors import ParameterError, StalePlanError
from pantheon_runbook.evidence.approval import Person
from pantheon_runbook.evidence.runs import SealedRuns
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import Change, Check, Comparison, Desired, Exposure, Finding, Snapshot, digest_of
from pantheon_runbook.planning import plan_changes
from pantheon_runbook.promotion import unit
from pantheon_runbook.promotion.artefacts import Artefact, artefact_findings, backend_artefact, frontend_artefact
from pantheon_runbook.promotion.authors import authors_by_git, authors_by_vendors
from pantheon_runbook.promotion.backups import BackupEvidence, backup_evidence
from pantheon_runbook.promotion.dumps import better_of, dump_evidence
from pantheon_runbook.promotion.exposures import exposure_findings
from pantheon_runbook.promotion.hotfixes import SHORTEST_REASON, hotfix_findings
from pantheon_runbook.promotion.staging_evidence import Asked, Release, StagingEvidence, staging_evidence
from pantheon_runbook.promotion.unit import Released
from pantheon_runbook.providers import railway_services, vercel_builds, vercel_promotion
from pantheon_runbook.providers.railway_looks import SHARED
from pantheon_runbook.providers.supabase_backups import ProductionBackups
from pantheon_runbook.provisioning import calls, services_of
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.hotfixes import hotfixes
from pantheon_runbook.runner.isolation_proof import Inventories, ways_in
from pantheon_runbook.runner.lock_timeline import longest_lock_of
from pantheon_runbook.runner.on_production import broken_off_roll_back
from pantheon_runbook.runner.production import (
    PRODUCTION,
    backend_of_production,
    endpoints_of,
    marker_of_production,
    place_of,
    production_project,
)
from pantheon_runbook.runner.revising import Revising
from pantheon_runbook.runner.smoke_step import SmokeStep
from pantheon_runbook.runner.staging_now import DEPLOYMENT, StagingNow

_RULES = {"approval", "people", "promotion", "migration_policy"}  # by which it is judged, and by whom
_READS = {"supabase": 45, "railway": 80, "vercel": 50}  # measured on the sandbox: an apply looks three times
Under = Callable[[], tuple[str, Iterable[str]]]


class Promoting:
    """The definition. `parts` are production's, `staging` those of the environment that is promoted.

    `resumes` is the digest of the plan that goes on, "" for none: once its unit was begun, what it was begun on is not
    asked again. `under` is what the unit is begun under.
    """

    def __init__(
        self,
        parts: Parts,
        staging: Parts,
        *,
        parameters: Mapping[str, Any],
        writer: Writer,
        sealed: Callable[[], SealedRuns],
        under: Under,
        resumes: str,
    ) -> None:
        self._parts = parts
        self._outside = parts.outside
        self._config = parts.outside.config
        self._resumes = resumes
        self._command = f"pantheon-runbook run RB-030 -e {parts.name}"
        self._staging_name = staging.name
        self._hotfix, self._commit = _hotfix_of(parameters)
        self.staging = StagingNow(staging)
        self.revising = Revising(parts, writer, parameters=parameters, command=self._command)
        self.revising.site.before_late = self._require_released
        self.units = Units(self.revising.site, under=under)
        self._backend = backend_of_production(parts)
        self._ways_in = ways_in(Inventories(staging))
        self._backups = ProductionBackups(parts.clients.supabase, parts.outside.identities.production.supabase_ref)
        self._smoke = SmokeStep(parts.outside, parts.surroundings.progress)
        self._sealed = sealed

    def kinds(self, ends: ExitStack) -> dict[str, Kind]:
        """By prefix, the more particular ones first; those that hold connections are closed with `ends`."""
        kinds = (*self._of_database(), *self._of_railway(), *self._of_vercel(), self._backups, self._smoke)
        for kind in kinds:
            ends.callback(kind.close)
        return {**{kind.prefix: kind for kind in kinds}, **self._ways_in, self.staging.prefix: self.staging}

    def _of_database(self) -> tuple[Kind, ...]:
        parts = self._parts
        return (production_project(parts), marker_of_production(parts), *self.revising.kinds, self.units)

    def _of_railway(self) -> tuple[Kind, ...]:
        variables = railway_services.ProductionVariables(self._parts.clients.railway, **place_of(self._outside))
        return (variables, *self._backend)

    def _of_vercel(self) -> tuple[Kind, ...]:
        client, frontend, around = self._parts.clients.vercel, self._config.frontend, self._parts.surroundings
        branch = self._config.backend.release_branch
        return (
            vercel_builds.ProductionBuild(client, frontend, around, branch=branch, commit=lambda: self.released.page),
            vercel_promotion.ProductionAlias(client, frontend, around),
        )

    @property
    def commits(self) -> Mapping[str, str]:
        """By staging's address, what is promoted: what runs there, or the commit of a hotfix."""
        addresses = (*(f"{DEPLOYMENT}/{name}" for name in services_of(self._config)), PREVIEW)
        return dict.fromkeys(addresses, self._commit) if self._commit else self.staging.commits

    @property
    def released(self) -> Released:
        services = {name: self.commits.get(f"{DEPLOYMENT}/{name}", "") for name in services_of(self._config)}
        return Released(services, self.commits.get(PREVIEW, ""))

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        ground, ref = self.revising.ground, snapshot.identities.get("supabase_ref")
        if ground is None or ref is None:
            return ()
        path = self._path(ground)
        self.revising.site.late = path.late
        return unit.desired_unit(
            self.released,
            snapshot,
            marked=unit.marker(self._parts.name, self._config.cloud, ref),
            revisions=migrating.desired_revisions(path, has_alembic=ground.heads is not None),
            before=path.before,
            checks=digest_of([one.model_dump(mode="json") for one in smoke.declared_for(self._outside, PRODUCTION)]),
        )

    def _require_released(self) -> None:
        """The last look before something is taken away that the former backend needs. Errors: StalePlanError."""
        seen = {one.address: one.attributes for kind in self._backend for one in kind.look().resources}
        for name, commit in self.released.services.items():
            found = seen.get(f"{unit.DEPLOYMENT}/{name}", {})
            if (found.get("commit"), found.get("status")) != (commit, "SUCCESS"):
                serves = f"{name} serves commit {str(found.get('commit') or 'unknown')[:12]}"
                raise StalePlanError(
                    f"{name} is not what this unit has brought any more",
                    why=f"{serves} ({found.get('status', 'nothing')}), and {commit[:12]} was deployed and checked",
                    state="changed in part: what came before stands, and nothing was taken away",
                    next_step=f"ask who deployed it; deploy {commit[:12]} again in Railway",
                )

    def _path(self, ground: Ground) -> migrating.Path:
        """Contract revisions wait for the smoke checks."""
        pending, rehearsed = self.revising.tally(ground).pending, self.revising.rehearsed
        return migrating.Path(pending, rehearsed, self.revising.stated, (unit.SMOKE,))

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        ground = self.revising.ground
        if ground is None:
            return (self._no_database(),)
        found = (
            *self.revising.findings(ground),
            *self._of_the_rehearsal(ground),
            *self._of_the_release(snapshot),
            *self._of_the_checks(),
        )
        if self.unit is not None and self.unit.plan_digest == self._resumes:
            return found
        evidence = self._evidence(ground)
        # Without a run to hold them against there is one thing to clear, and that is said already.
        artefacts = artefact_findings(self._artefacts(ground, snapshot)) if evidence.standing else ()
        proof = (*evidence.findings, *artefacts)
        return (
            *found,
            *self._of_another_unit(),
            *self._of_a_way_back(),
            *(self._of_the_hotfix(ground, proof) if self._hotfix else proof),
            *self._of_former_hotfixes(),
            *self._backup().findings,
            *exposure_findings(self._exposures(snapshot), self._config.accepted_exposures, now=clock.now()),
        )

    def _no_database(self) -> Finding:
        read = self._config.production_read
        if read is None or read.dump_password not in self._outside.credentials.values:
            step = "pantheon-runbook read-role --dump prints what makes one; its password goes into the credentials"
            return Finding("no-read-login", "database", "no role may look at production's database", step)
        what = "production's database is not there to be looked at: is the project paused?"
        return Finding("no-database", "database", what, "look at production's project in Supabase, then plan again")

    def _of_the_rehearsal(self, ground: Ground) -> Iterable[Finding]:
        """On staging it is advice; what nobody has rehearsed on production's schema does not go there."""
        pending, rehearsed = self.revising.tally(ground).pending, self.revising.rehearsed
        left = {one.id for one in pending} - {one.revision for one in rehearsed.ran}
        if left:
            why = rehearsed.not_rehearsed or (rehearsed.failed.why if rehearsed.failed else "it did not get that far")
            what = f"{len(left)} pending revisions were not rehearsed on production's schema: {why}"
            prove = f"pantheon-runbook run RB-020 -e {self._staging_name} --apply"
            step = rehearsed.next_step or f"correct the revision, and prove it: {prove}"
            yield Finding("not-rehearsed-on-production", "database/rehearsal", what, step)

    def _of_the_release(self, snapshot: Snapshot) -> Iterable[Finding]:
        for name, commit in {**self.released.services, "the page": self.released.page}.items():
            if not commit:
                what = f"nobody can say which commit of {name} runs on {self._staging_name}"
                step = f"pantheon-runbook run RB-020 -e {self._staging_name} --apply"
                yield Finding("no-commit-to-promote", "staging/place", what, step)
        held = snapshot.get("production/variables/railway").attributes
        for service, names in sorted(self._lacking(held).items()):
            what = f"{service} has variables on {self._staging_name} that production lacks: {', '.join(names)}"
            step = f"set them for {service} in production's environment in Railway, or take them out of pantheon.toml"
            yield Finding("variable-missing", f"production/variables/{service}", what, step)

    def _lacking(self, held: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """What pantheon.toml gives to each service of the backend, and production has under no such name."""
        shared = held.get(SHARED, ())
        lacking = {}
        for service in services_of(self._config):
            wanted = {one.name for one in self._config.variables if f"railway:{service}" in one.targets}
            if names := sorted(wanted - {*held.get(service, ()), *shared}):
                lacking[service] = names
        return lacking if held else {}

    def _of_the_hotfix(self, ground: Ground, proof: Iterable[Finding]) -> Iterable[Finding]:
        """What staging has not proven is told and does not block; what cannot be taken back does."""
        yield from (replace(one, blocks=False) for one in proof)
        late = self._path(ground).late
        if late:
            what = f"a hotfix only expands, and {', '.join(late)} waits for the new backend: it takes something away"
            yield Finding("hotfix-contracts", unit.SMOKE, what, "leave it to a promotion that staging has proven")
        what = f"this goes around staging: {self._hotfix}"
        step = "within 48 hours a second person signs the same plan, and staging proves what it brought"
        yield Finding("hotfix", "staging/evidence", what, step, blocks=False)

    def _of_former_hotfixes(self) -> Iterable[Finding]:
        """One that is not made up for keeps others from being promoted once it is overdue; another hotfix may go."""
        told = {"evidence": str(self._outside.evidence), "staging": self._staging_name}
        for one in hotfix_findings(hotfixes(self._outside, self._sealed), now=clock.now(), **told):
            yield replace(one, blocks=one.blocks and not self._hotfix)

    def _of_another_unit(self) -> Iterable[Finding]:
        last = self.units.last
        if last is not None and last.is_open:
            what = f"a unit of work that run {last.run_id[:8]} of {last.operator} began at {last.at} has not ended"
            on, back = f"{self._command} --apply --resume {last.run_id[:8]}", "pantheon-runbook run RB-040"
            step = f"go on with it: {on}; or back: {back} -e {self._parts.name}"
            yield Finding("unit-not-ended", BEGIN, what, step)

    def _of_a_way_back(self) -> Iterable[Finding]:
        """One that was broken off leaves production between two releases, also when the unit has ended."""
        if back := broken_off_roll_back(self._sealed(), self._outside.evidence):
            what = f"the way back of run {back.bundle} has not come to its end ({back.verdict})"
            step = f"pantheon-runbook run RB-040 -e {self._parts.name} --apply"
            yield Finding("way-back-not-ended", BEGIN, what, step)

    def _evidence(self, ground: Ground) -> StagingEvidence:
        outside = self._outside
        pending = [one.id for one in self.revising.tally(ground).pending]
        release = Release({one.id: one.digest for one in ground.history.revisions}, pending, self.commits)
        holds = None if self.staging.holds is None else ground.history.below(self.staging.holds)
        days = self._config.promotion.staging_evidence_days
        where = (self._config.cloud, self._staging_name, self.staging.ref, clock.now(), days)
        asked = Asked(*where, evidence=str(outside.evidence), holds=holds)
        return staging_evidence(release, asked, self._sealed(), outside.evidence)

    def _backup(self) -> BackupEvidence:
        now, ref = clock.now(), self._outside.identities.production.supabase_ref
        vendor = backup_evidence(self._backups.seen, ref=ref, now=now, why_not=self._backups.why_not)
        backup = self._config.backup
        if backup is None:
            return vendor
        receipt = self._outside.folder / backup.receipt
        raw = read_regular(receipt) if receipt.exists() else None
        return better_of(vendor, dump_evidence(raw, backup, ref=ref, now=now))

    def _exposures(self, snapshot: Snapshot) -> Iterable[Exposure]:
        return (Exposure(**one.attributes) for one in snapshot.resources if one.address.startswith("exposure/"))

    def _artefacts(self, ground: Ground, snapshot: Snapshot) -> tuple[Artefact, ...]:
        stood = self._evidence(ground).standing
        proven = stood.deployments if stood else {}
        made = []
        for name, commit in self.released.services.items():
            serving = snapshot.get(f"{unit.DEPLOYMENT}/{name}").attributes
            would = serving if serving.get("commit") == commit else {"commit": commit}
            made.append(
                backend_artefact(
                    f"{unit.DEPLOYMENT}/{name}", staging=proven.get(f"{DEPLOYMENT}/{name}", {}), production=would
                )
            )
        build = snapshot.get(unit.BUILD)
        page = {"commit": self.released.page}
        would = {**build.attributes, "target": PRODUCTION} if build.state == "present" else page
        made.append(frontend_artefact(unit.BUILD, staging=proven.get(PREVIEW, {}), production=would))
        return tuple(made)

    def _of_the_checks(self) -> Iterable[Finding]:
        if not smoke.declared_for(self._outside, self._parts.name):
            what = "no smoke check is declared for production: nothing would say whether it still works"
            step = 'add [[checks]] with environments = ["production"]; pantheon.example.toml shows how'
            yield Finding("no-smoke-checks", unit.SMOKE, what, step)

    @property
    def unit(self) -> Unit | None:
        """The last one that production's ledger tells of."""
        return self.units.last

    @property
    def consumed(self) -> frozenset[str]:
        return self.units.consumed

    def release(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """What is approved beside the changes: which proof it rests on, what goes where, and the way back of each."""
        ground = self.revising.ground
        if ground is None:
            return {}
        evidence, backup = self._evidence(ground), self._backup()
        return {
            "staging": dict(evidence.for_plan),
            "commits": dict(self.commits),
            "artefacts": {one.address: one.relation for one in self._artefacts(ground, snapshot)},
            "backup": backup.strength,
            "authors": [asdict(one) for one in self._authors(snapshot)],
            "rules": self._config.model_dump(mode="json", include=_RULES),
            "pointers": self._pointers(snapshot),
            "longest_lock": longest_lock_of(snapshot),
            "undo": {one.revision: one.way for one in self.revising.rehearsed.undone},
        }

    def _authors(self, snapshot: Snapshot) -> tuple[Person, ...]:
        """Of the commits that production lacks; by git where the backend's repository has them."""
        folder = self.revising.site.backend.ini.parent
        people = list(authors_by_vendors(self.staging.authors))
        for name, commit in self.released.services.items():
            serving = str(snapshot.get(f"{unit.DEPLOYMENT}/{name}").attributes.get("commit") or "")
            people += authors_by_git(folder, serving, commit) or ()
        return tuple(dict.fromkeys(people))

    def _pointers(self, snapshot: Snapshot) -> dict[str, Any]:
        """What serves before the first step: where RB-040 goes back to. The revision is the database's own."""
        addresses = [f"{unit.DEPLOYMENT}/{name}" for name in services_of(self._config)]
        seen = {address: snapshot.get(address).attributes for address in (*addresses, unit.PROMOTION)}
        ground = self.revising.ground
        known = ("id", "commit", "image_digest")
        kept = {address: {name: held[name] for name in known if name in held} for address, held in seen.items()}
        schema = {"heads": list(ground.heads or ()), "schema": ground.schema.fingerprint} if ground else {}
        return {**kept, REVISION: schema}

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return endpoints_of(self._outside)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        return ()

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return calls(plan_changes(desired, snapshot)[0], reads=_READS)

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        ground = self.revising.ground
        assert ground is not None
        return (*self._smoke.checks(), *self.revising.checks(ground))

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison | None:
        """RB-060's part, and the staging evidence's: this run has changed production."""
        return None


def _hotfix_of(parameters: Mapping[str, Any]) -> tuple[str, str]:
    """Why it goes around staging, and the commit that it brings; "" for neither. Errors: ParameterError."""
    reason, commit = str(parameters["hotfix"]).strip(), str(parameters["commit"])
    if commit and not reason:
        raise ParameterError(
            "a commit was named, and no reason for a hotfix",
            why="without one, what staging has proven is what is promoted",
            next_step='leave -p commit out, or say why it goes around staging: -p hotfix="..."',
        )
    if reason and len(reason) < SHORTEST_REASON:
        raise ParameterError(
            "the reason of the hotfix is too short to be one",
            why=f"it has {len(reason)} characters; an auditor reads it next year",
            next_step="say in a sentence why it cannot wait for staging",
        )
    if commit and not COMMIT.fullmatch(commit):
        raise ParameterError(
            f"{commit[:50]!r} is no commit",
            why="all 40 hexadecimal characters are needed",
            next_step="git rev-parse shows them",
        )
    return reason, commit
