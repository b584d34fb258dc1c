"""RB-040 as the session sees it: production, and what served before the unit of work that is taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.database.kinds import Marker
from pantheon_runbook.database.migrations.revision_kinds import REVISION, Revisions
from pantheon_runbook.database.migrations.undo_kind import Undo
from pantheon_runbook.database.migrations.units import Unit, Units
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import Change, Check, Comparison, Desired, Finding, Snapshot
from pantheon_runbook.planning import few, plan_changes
from pantheon_runbook.promotion import way_back
from pantheon_runbook.promotion.backups import backup_evidence
from pantheon_runbook.promotion.way_back import VENDORS, Promoted
from pantheon_runbook.providers import railway_promotion, vercel_promotion
from pantheon_runbook.providers.supabase_backups import ProductionBackups
from pantheon_runbook.provisioning import calls, services_of
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.production import endpoints_of, production_project
from pantheon_runbook.runner.promotions import Under
from pantheon_runbook.runner.revising import site_of
from pantheon_runbook.runner.smoke_step import SmokeStep

_READS = {"supabase": 12, "railway": 48, "vercel": 12}  # measured on the sandbox: an apply looks three times


class RollingBack:
    """The definition. `only` is the one vendor that is rolled back, "" for all three.

    `is_covered`: the approval of the unit itself covers it, as far as it leads to the captured pointers.
    """

    def __init__(
        self, parts: Parts, promoted: Promoted, *, only: str, writer: Writer, under: Under, is_covered: bool
    ) -> None:
        self._parts = parts
        self._config = parts.outside.config
        self._promoted = promoted
        self._vendors = (only,) if only else VENDORS
        self._is_covered = is_covered
        self._site = site_of(parts, writer)
        self._units = Units(self._site, under=under, ends="rolled back", begins_anew=True)
        known = parts.outside.identities.production
        self._backups = ProductionBackups(parts.clients.supabase, known.supabase_ref) if self._has("database") else None
        self._smoke = SmokeStep(parts.outside, parts.surroundings.progress)

    def _has(self, vendor: str) -> bool:
        return vendor in self._vendors

    def kinds(self, ends: ExitStack) -> dict[str, Kind]:
        """Those of the vendors that are rolled back, by prefix; closed with `ends`."""
        by_vendor = {"database": self._of_database, "railway": self._of_railway, "vercel": self._of_vercel}
        kinds = tuple(kind for vendor in self._vendors for kind in by_vendor[vendor]())
        for kind in kinds:
            ends.callback(kind.close)
        return {kind.prefix: kind for kind in kinds}

    def _of_database(self) -> tuple[Kind, ...]:
        parts = self._parts
        assert self._backups is not None
        marks = {"environment": parts.name, "cloud": self._config.cloud}
        marker = Marker(parts.surroundings, database=parts.database, gate=parts.gate, **marks)
        undo = Undo(self._site, self._promoted.revisions)
        return (production_project(parts), marker, Revisions(self._site), undo, self._units, self._backups, self._smoke)

    def _of_railway(self) -> tuple[Kind, ...]:
        api, around, names = self._parts.clients.railway, self._parts.surroundings, services_of(self._config)
        known = self._parts.outside.identities.production
        place = {"project_id": known.railway_project, "environment_id": known.railway_environment}
        return (
            railway_promotion.ProductionServices(api, around, **place, services=names),
            railway_promotion.ProductionDeployments(api, around, services=names),
        )

    def _of_vercel(self) -> tuple[Kind, ...]:
        return (
            vercel_promotion.ProductionAlias(
                self._parts.clients.vercel, self._config.frontend, self._parts.surroundings
            ),
        )

    @property
    def _standing(self) -> frozenset[str]:
        """The revisions that production's database holds, as it was last looked at."""
        ground = self._site.ground
        return ground.history.below(ground.heads or ()) if ground is not None else frozenset()

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        return way_back.desired_way_back(
            self._promoted,
            snapshot,
            undone=way_back.undoable(self._promoted, self._standing),
            vendors=self._vendors,
            begins=not self._is_covered or not way_back.is_as_captured(self._of_way(snapshot)),
        )

    def _of_way(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        standing = tuple(self._standing)
        return tuple(way_back.findings(self._promoted, snapshot, standing=standing, restore=self._restore()))

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        missing = self._has("database") and self._site.ground is None
        what = "production's database is not there to be looked at"
        step = "look at production's project in Supabase; what needs no database: -p only=railway, -p only=vercel"
        lost = (Finding("no-database", "database", what, step),) if missing else ()
        return (*lost, *self._of_way(snapshot))

    def _restore(self) -> str:
        """In words: to which moment, and by what."""
        last, backups = self._units.last, self._backups
        since = f"just before {last.at}" if last is not None else "just before the unit was begun"
        if backups is None:
            return f"restore production's database to {since}"
        ref = self._parts.outside.identities.production.supabase_ref
        found = backup_evidence(backups.seen, ref=ref, now=clock.now(), why_not=backups.why_not)
        where = f"https://supabase.com/dashboard/project/{ref}/database/backups/pitr"
        if found.strength == "strong":
            return f"restore production's database to {since} ({where})"
        return f"restore production's database; to {since} it cannot be, there is: {found.in_words}"

    def is_covered(self, snapshot: Snapshot) -> bool:
        """Whether the unit's own approval covers what is about to be done."""
        return self._is_covered and way_back.is_as_captured(self._of_way(snapshot))

    @property
    def unit(self) -> Unit | None:
        return self._units.last

    @property
    def consumed(self) -> frozenset[str]:
        return self._units.consumed

    def release(self, snapshot: Snapshot) -> Mapping[str, Any]:
        pointers = {address: dict(one) for address, one in self._promoted.pointers.items()}
        return {"pointers": pointers, "covered": self.is_covered(snapshot)}

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return endpoints_of(self._parts.outside)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        stays = [one.next_step for one in self._of_way(snapshot) if one.code == "revision-stays"]
        unchecked = () if self._has("database") else ("pantheon-runbook check -e production",)
        return (*dict.fromkeys(stays), *unchecked)

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return calls(plan_changes(desired, snapshot)[0], reads=_READS)

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        return (*self._smoke.checks(), *self._of_the_schema()) if self._has("database") else ()

    def _of_the_schema(self) -> Iterable[Check]:
        """As it was before the unit, unless something of it stays: then that is named."""
        ground = self._site.ground
        assert ground is not None
        before = str(self._promoted.pointers[REVISION].get("schema", ""))
        stays = sorted(self._standing & set(self._promoted.revisions))
        name = "the schema is as it was before the unit"
        if stays:
            yield Check(name, f"but for {few(stays)}", f"but for {few(stays)}", passed=True)
        else:
            found = ground.schema.fingerprint
            yield Check(name, before[:12], found[:12], passed=found == before)

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison | None:
        return None
