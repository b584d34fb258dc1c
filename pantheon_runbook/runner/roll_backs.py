"""RB-040 as the session sees it: production, and what served before the unit of work that is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pantheon_runbook.database.migrations.indexes import index_findings
from pantheon_runbook.database.migrations.revision_kinds import REVISION, Revisions
from pantheon_runbook.database.migrations.undo_kind import Undo
from pantheon_runbook.database.migrations.units import BEGIN, UNIT, Unit, Units
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.kind import Kind
from pantheon_runbook.model import Change, Check, Comparison, Desired, Finding, Snapshot
from pantheon_runbook.planning import plan_changes
from pantheon_runbook.promotion import way_back
from pantheon_runbook.promotion.backups import restoring
from pantheon_runbook.promotion.way_back import VENDORS, Promoted
from pantheon_runbook.providers import vercel_promotion
from pantheon_runbook.providers.supabase_backups import ProductionBackups
from pantheon_runbook.provisioning import calls
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.production import (
    backend_of_production,
    endpoints_of,
    marker_of_production,
    production_project,
)
from pantheon_runbook.runner.promotions import Under
from pantheon_runbook.runner.revising import site_of
from pantheon_runbook.runner.smoke_step import SmokeStep

_READS = {"supabase": 12, "railway": 48, "vercel": 12}  # measured on the sandbox: an apply looks three times


class RollingBack:
    """The definition. `only` is the one vendor that is rolled back, "" for all three.

    `told` is the run that is taken back, what it came to and why, and the reason that was given.
    `why_not_covered` says why the approval of the unit itself does not cover it, "" when it does, as far as it leads
    to the captured pointers; `is_of_a_way_back` whether a run with this id took something back; `command` applies it.
    """

    def __init__(
        self,
        parts: Parts,
        promoted: Promoted,
        *,
        only: str,
        writer: Writer,
        under: Under,
        told: Mapping[str, str],
        why_not_covered: Callable[[], str],
        is_of_a_way_back: Callable[[str], bool],
        command: str,
    ) -> None:
        self._parts = parts
        self._config = parts.outside.config
        self._promoted = promoted
        self._vendors = (only,) if only else VENDORS
        self._told = told
        self._why_not_covered = why_not_covered
        self._is_of_a_way_back = is_of_a_way_back
        self._command = command
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
        undo = Undo(self._site, self._promoted.revisions)
        own = (Revisions(self._site), undo, self._units, self._backups, self._smoke)
        return (production_project(parts), marker_of_production(parts), *own)

    def _of_railway(self) -> tuple[Kind, ...]:
        return backend_of_production(self._parts)

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

    @property
    def _held(self) -> Mapping[str, str]:
        """Revisions that another one builds on which stands and is not of the unit, and which that is."""
        ground, held = self._site.ground, dict[str, str]()
        for one in sorted(self._standing - set(self._promoted.revisions)):
            assert ground is not None
            held |= dict.fromkeys(ground.history.below([one]), one)
        return held

    @property
    def _undone(self) -> tuple[str, ...]:
        return way_back.undoable(self._promoted, self._standing, held=self._held)

    @property
    def _is_told(self) -> bool:
        """Whether the ledger says how the unit ended, and nothing that was begun is open."""
        last = self._units.last
        if last is None or last.state == "rolled back":
            return True
        return last.plan_digest != self._promoted.digest and not last.is_open

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        return way_back.desired_way_back(
            self._promoted,
            snapshot,
            undone=self._undone,
            vendors=self._vendors,
            begins=not self.is_covered(snapshot),
            is_told=self._is_told,
        )

    def _of_way(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        standing, restore = tuple(self._standing), self._restore()
        return tuple(way_back.findings(self._promoted, snapshot, standing=standing, restore=restore, held=self._held))

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        return (*self._of_the_database(), *self._of_way(snapshot), *self._of_the_run(snapshot))

    def _of_the_database(self) -> Iterable[Finding]:
        if not self._has("database"):
            return
        ground = self._site.ground
        if ground is None:
            what = "production's database is not there to be looked at"
            step = "look at production's project in Supabase; what needs no database: -p only=railway, -p only=vercel"
            yield Finding("no-database", "database", what, step)
            return
        yield from way_back.unit_findings(self._promoted, self._units.last, is_of_a_way_back=self._is_of_a_way_back)
        files = {one.id: one.digest for one in ground.history.revisions}
        yield from way_back.tree_findings(self._promoted, self._undone, files=files, heads=ground.heads or ())
        sources = {one: self._source(one) for one in self._promoted.revisions}
        for one in index_findings(ground.invalid, ground.rows, sources):
            yield replace(one, blocks=False)

    def _source(self, revision: str) -> str:
        """Of its file in the tree; it says whether it has begun an index that is not usable."""
        found = self._site.ground.history.get(revision) if self._site.ground else None
        path = self._site.backend.ini.parent / found.file if found else None
        return path.read_text(errors="replace") if path and path.is_file() else ""

    def _of_the_run(self, snapshot: Snapshot) -> Iterable[Finding]:
        if not plan_changes(self.desired(snapshot), snapshot)[0]:
            return
        if why := self._why_not_covered():
            what = f"the approval of the promotion does not cover this: {why}"
            step = f"another person signs this plan; or somebody else runs it: {self._command}"
            yield Finding("not-covered", BEGIN, what, step, blocks=False)
        if not self._has("database"):
            what = "whether a promotion runs on another machine is not looked at: that stands in the database"
            yield Finding("lock-of-this-machine", UNIT, what, "ask before you apply it", blocks=False)

    def _restore(self) -> str:
        """In words: to which moment, and by what."""
        began = self._units.began.get(self._promoted.digest)
        if self._backups is None or began is None:
            return "restore production's database to just before the unit was begun"
        ref = self._parts.outside.identities.production.supabase_ref
        return restoring(self._backups.seen, ref=ref, moment=began, why_not=self._backups.why_not)

    def is_covered(self, snapshot: Snapshot) -> bool:
        """Whether the unit's own approval covers what is about to be done."""
        return not self._why_not_covered() and way_back.is_as_captured(self._of_way(snapshot))

    @property
    def unit(self) -> Unit | None:
        return self._units.last

    @property
    def consumed(self) -> frozenset[str]:
        return self._units.consumed

    def release(self, snapshot: Snapshot) -> Mapping[str, Any]:
        pointers = {address: dict(one) for address, one in self._promoted.pointers.items()}
        return {"pointers": pointers, "covered": self.is_covered(snapshot), "takes_back": dict(self._told)}

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
        """Nothing stands that could be undone; and where nothing had to stay, the schema is as it was."""
        ground = self._site.ground
        name = "the schema is as it was before the unit"
        if ground is None:
            yield Check(name, "as it was", "the database is not there to be looked at", passed=False)
            return
        before = str(self._promoted.pointers[REVISION].get("schema", ""))
        stays = sorted(self._standing & set(self._promoted.revisions))
        left = ", ".join(self._undone) or "none"
        yield Check("revisions that could be undone and stand", "none", left, passed=not self._undone)
        if not stays:
            found = ground.schema.fingerprint
            yield Check(name, before[:12], found[:12], passed=found == before)

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison | None:
        return None
