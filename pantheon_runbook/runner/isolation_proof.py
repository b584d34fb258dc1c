"""RB-060: everything that staging and production hold, seen side by side and held against the last sealed run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from pantheon_runbook import provisioning
from pantheon_runbook.errors import NotVerifiedError
from pantheon_runbook.isolation import matrix
from pantheon_runbook.isolation.matrix import subject_of
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Change, Comparison, Exposure, Finding, Resource, Snapshot, Verification
from pantheon_runbook.providers import (
    railway_exposure,
    railway_inventory,
    supabase_exposure,
    supabase_inventory,
    vercel_exposure,
    vercel_inventory,
)
from pantheon_runbook.runner.before import Before, before_of, drift_since
from pantheon_runbook.runner.clients import Parts

SIDES = ("staging", "production")
VENDORS = ("supabase", "railway", "vercel")
_EXPOSURE = "exposure"
_NOT_LISTED = ("database/", "openrouter/")  # what RB-010 looks at and no inventory has
# What changes without anybody's decision: services come and go, and both sides are deployed to. And the one
# Vercel project that both targets are of, which staging's side tells of.
_NO_DRIFT = (
    *("supabase/health", "production/supabase/health", "production/vercel/project"),
    *("railway/deployment/", "production/railway/deployment/"),
)


class Inventory(Kind):
    """What one side holds at one vendor, read without a value: addresses "staging/…", "production/…", "exposure/…"."""

    def __init__(self, prefix: str, read: Callable[[], Iterable[Resource]], *, after: tuple[str, ...] = ()) -> None:
        self.prefix = prefix
        self.looks_after = after
        self._read = read

    def look(self) -> Look:
        return Look(tuple(self._read()))


def on(side: str, resources: Iterable[Resource]) -> Iterator[Resource]:
    """At the addresses of one side."""
    return (replace(seen, address=f"{side}/{seen.address}") for seen in resources)


def exposed(exposures: Iterable[Exposure]) -> Iterator[Resource]:
    """As resources, so that they are part of what was observed."""
    return on(_EXPOSURE, (Resource(one.address, "present", asdict(one)) for one in exposures))


def inventories(of_run: Inventories) -> dict[str, Kind]:
    """What both sides hold, by vendor; staging's once it is known where it is."""
    held = (
        Inventory("staging/supabase", of_run.staging_supabase, after=("supabase/project",)),
        Inventory("staging/railway", of_run.staging_railway, after=("railway/environment",)),
        Inventory("staging/vercel", of_run.staging_vercel),
        Inventory("production/supabase", of_run.production_supabase),
        Inventory("production/vercel", of_run.production_vercel),
        Inventory("production/railway", of_run.production_railway),
    )
    return {kind.prefix: kind for kind in held}


def ways_in(of_run: Inventories) -> dict[str, Kind]:
    """How production can change without this tool, by vendor; at Railway after what asks much the same."""
    after = ("production/railway", "railway/environment", "staging")
    held = (
        Inventory("exposure/supabase", of_run.ways_into_supabase),
        Inventory("exposure/vercel", of_run.ways_into_vercel),
        Inventory("exposure/railway", of_run.ways_into_railway, after=after),
    )
    return {kind.prefix: kind for kind in held}


class Inventories:
    """What each inventory of one run is read with: which client, whose ids."""

    def __init__(self, parts: Parts) -> None:
        self._supabase, self._railway = parts.clients.supabase, parts.clients.railway.remembering()
        self._vercel, self._frontend = parts.clients.vercel, parts.outside.config.frontend
        self._organization = str(parts.environment.supabase.organization)
        self._production = parts.outside.identities.production
        self._vault = parts.surroundings.vault

    def staging_supabase(self) -> Iterator[Resource]:
        if ref := self._known("supabase.ref"):
            yield from on("staging", self._of_supabase(ref))

    def production_supabase(self) -> Iterator[Resource]:
        yield from on("production", self._of_supabase(self._production.supabase_ref))

    def ways_into_supabase(self) -> Iterator[Resource]:
        ref = self._production.supabase_ref
        yield from exposed(supabase_exposure.exposure(self._supabase, ref=ref, organization=self._organization))

    def staging_vercel(self) -> Iterator[Resource]:
        yield from on("staging", self._of_vercel("preview"))

    def staging_railway(self) -> Iterator[Resource]:
        project, environment = self._known("railway.project_id"), self._known("railway.environment_id")
        if project and environment:
            yield from on("staging", self._of_railway(project, environment))

    def production_vercel(self) -> Iterator[Resource]:
        yield from on("production", self._of_vercel("production"))

    def ways_into_vercel(self) -> Iterator[Resource]:
        yield from exposed(vercel_exposure.exposure(self._vercel, **self._vercel_place()))

    def production_railway(self) -> Iterator[Resource]:
        place = (self._production.railway_project, self._production.railway_environment)
        yield from on("production", self._of_railway(*place))

    def ways_into_railway(self) -> Iterator[Resource]:
        yield from exposed(
            railway_exposure.exposure(
                self._railway,
                project_id=self._production.railway_project,
                environment_id=self._production.railway_environment,
                staging_environment_id=self._known("railway.environment_id"),
            )
        )

    def _of_vercel(self, target: str) -> Iterable[Resource]:
        shown = self._vault.fingerprint_of
        return vercel_inventory.inventory(self._vercel, **self._vercel_place(), target=target, fingerprint=shown)

    def _vercel_place(self) -> dict[str, str]:
        return {"project": self._frontend.vercel_project, "team": self._frontend.vercel_team}

    def _of_supabase(self, ref: str) -> Iterable[Resource]:
        return supabase_inventory.inventory(self._supabase, ref, fingerprint=self._vault.fingerprint_of)

    def _of_railway(self, project: str, environment: str) -> Iterable[Resource]:
        shown = self._vault.fingerprint_of
        return railway_inventory.inventory(
            self._railway, project_id=project, environment_id=environment, fingerprint=shown
        )

    def _known(self, name: str) -> str | None:
        held = self._vault.get(name)
        return held.reveal() if held else None


def beside_production(
    parts: Parts, snapshot: Snapshot, desired: tuple[Any, ...], *, changes: Iterable[Change]
) -> Comparison:
    """The matrix for a run that has just changed staging, by these `changes`: what else drifted is taken with it."""
    kinds = inventories(Inventories(parts))
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="look") as pool:
        looks = pool.map(lambda kind: kind.look(), kinds.values())
        held = tuple(seen for look in looks for seen in look.resources)
    everything = replace(snapshot, resources=(*snapshot.resources, *held))
    before = before_of(parts, snapshot)
    seen = _compared(parts, everything, desired, before=Before())
    drift = tuple(matrix.accepted(drift_since(before, seen.ground), changes))
    return replace(seen, baseline=before.ground[0] if before.ground else "", accepted=drift)


def _compared(parts: Parts, snapshot: Snapshot, desired: tuple[Any, ...], *, before: Before) -> Comparison:
    outside = parts.outside
    return compared(
        snapshot,
        desired=desired,
        pins=outside.identities.production.pins,
        exceptions=tuple(_exceptions(parts)),
        before=before,
    )


def _exceptions(parts: Parts) -> Iterator[matrix.Allowed]:
    """What the team declared, and the project that is shared by its layout."""
    for one in parts.outside.config.exceptions:
        yield matrix.Allowed(one.subject, one.reason, one.owner, one.attributes)
    if parts.environment.railway.layout == "shared-project":
        yield matrix.Allowed("railway/project", "layout = shared-project", "pantheon.toml", ("id",))


class IsolationProof:
    """The comparing part of RB-060; the looks are RB-010's and the inventories."""

    def __init__(self, parts: Parts, desired: Callable[[Snapshot], tuple[Any, ...]]) -> None:
        self._parts = parts
        self._desired = desired

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        """The whole picture adds none here: what is missing or wrong is a row of the matrix."""
        del snapshot
        return ()

    def compare(self, snapshot: Snapshot) -> Comparison:
        """Held against what sealed runs have seen."""
        return _compared(self._parts, snapshot, self._desired(snapshot), before=before_of(self._parts, snapshot))

    def conclude(self, snapshot: Snapshot, compared: Comparison) -> Verification:
        """Errors: NotVerifiedError as long as there is an alarm; an open exposure is told and is none."""
        if alarms := compared.alarms:
            first = alarms[0]
            gone = {"supabase/project", "railway/environment"} <= {
                row.subject for row in alarms if row.relation == "missing"
            }
            what = f"{len(alarms)} of {len(compared.rows)} rows are alarms, first: {first.subject} ({first.relation})"
            raise NotVerifiedError(
                f"{snapshot.environment} does not exist yet" if gone else what,
                why=f"{first.subject}: expected {first.expected}, found {first.in_words}",
                state="nothing was changed: this runbook only reads",
                next_step=first.next_step,
            )
        endpoints = provisioning.endpoints(self._parts.outside.config, snapshot.environment, snapshot)
        open_ones = tuple(f"close {one.address}: {one.next_step}" for one in compared.open_exposures)
        return Verification(compared.checks, snapshot, endpoints, open_ones)

    def summary(self, compared: Comparison) -> str:
        unread = sum(row.relation == "cannot be read" for row in compared.rows)
        since = f"nothing drifted since {compared.baseline}" if compared.baseline else "the first one, so no drift yet"
        return (
            f"{len(compared.rows)} rows compared, nothing shared, {since}; {unread} cannot be read, "
            f"{len(compared.open_exposures)} ways into production are open"
        )


def compared(
    snapshot: Snapshot,
    *,
    desired: tuple[Any, ...],
    pins: Mapping[str, str],
    exceptions: tuple[matrix.Allowed, ...],
    before: Before,
) -> Comparison:
    """The matrix of one moment, held against the ground of an earlier run where there is one."""
    staging, production = (dict(_side(snapshot, side)) for side in SIDES)
    known = _with_fingerprints(staging, _values_of(snapshot))
    theirs = _with_fingerprints(production, {subject: _pin(pins, subject) for subject in production})
    ground = {**_ground(known, ""), **_ground(production, "production/"), **_others(snapshot)}
    ground = {subject: held for subject, held in ground.items() if not subject.startswith(_NO_DRIFT)}
    exposures = tuple(Exposure(**one.attributes) for _, one in _side(snapshot, _EXPOSURE))
    rows = [
        *matrix.as_wanted(desired, snapshot),
        *matrix.of_findings(snapshot.findings),
        *matrix.side_by_side(known, theirs),
        *matrix.pinned(known, pins),
        *matrix.copied(known, production),
    ]
    rows += drift_since(before, ground)
    if before.ways is not None:
        rows += matrix.opened(before.ways[1]["exposures"], exposures, since=before.ways[0])
    return Comparison(
        environment=snapshot.environment,
        rows=matrix.settled(rows, exceptions),
        exposures=exposures,
        ground=ground,
        baseline=before.ground[0] if before.ground else "",
    )


def _side(snapshot: Snapshot, side: str) -> Iterator[tuple[str, Resource]]:
    """By the address without the side; "production/bucket/…" is RB-010's own look, and no part of it."""
    for seen in snapshot.resources:
        if seen.address.startswith(tuple(f"{side}/{vendor}/" for vendor in VENDORS)):
            yield seen.address.removeprefix(f"{side}/"), seen


def _values_of(snapshot: Snapshot) -> dict[str, str | None]:
    """Fingerprints of staging's own values, as RB-010 sees them, by subject."""
    return {
        subject_of(seen.address, name): value.get("fingerprint")
        for seen in snapshot.resources
        if seen.address.startswith(("railway/variables/", "vercel/variables/", "supabase/secrets"))
        for name, value in seen.attributes.items()
    }


def _pin(pins: Mapping[str, str], subject: str) -> str | None:
    """Production's pinned fingerprint of a variable, by its name or, where two have that, by place and name."""
    place, _, name = subject.rpartition("/")
    return pins.get(f"{place.rpartition('/')[2]}/{name}") or pins.get(name)


def _with_fingerprints(side: Mapping[str, Resource], values: Mapping[str, str | None]) -> dict[str, Resource]:
    return {
        subject: replace(seen, attributes={**seen.attributes, "fingerprint": values.get(subject) or _own(seen)})
        if "variable/" in subject and seen.state == "present"
        else seen
        for subject, seen in side.items()
    }


def _own(seen: Resource) -> str | None:
    """Of a value that the vendor shows: RB-010 looks at fewer variables than there are."""
    value = seen.attributes.get("value")
    return value.get("fingerprint") if isinstance(value, Mapping) else None


def _ground(side: Mapping[str, Resource], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{subject}": {"state": seen.state, **seen.attributes} for subject, seen in side.items()}


def _others(snapshot: Snapshot) -> dict[str, Any]:
    return {
        seen.address: {"state": seen.state, **seen.attributes}
        for seen in snapshot.resources
        if seen.address.startswith(_NOT_LISTED)
    }
