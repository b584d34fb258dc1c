"""Supabase: what production's database could be restored from, as the vendor lists it; reads only.

Objects in storage buckets are in none of these backups (Supabase's guide "Database Backups", read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Resource, State, canonical
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.supabase_inventory import why_unreadable

ADDRESS = "production/backups"
FILE = "backups.json"
WHOLE = "COMPLETED"
FRESH = timedelta(hours=24)
# The log is put away every two minutes; one that is further behind than this has stopped.
FURTHEST_BEHIND = timedelta(minutes=15)
AHEAD = timedelta(minutes=5)  # what the vendor's clock and ours may be apart
_SCHEMA = "pantheon-runbook/backups/1"


@dataclass(frozen=True, slots=True)
class Backup:
    """One of the vendor's list. `status` is its word, `at` (UTC) when it was entered in the list."""

    id: int
    is_physical: bool
    status: str
    at: str


@dataclass(frozen=True, slots=True)
class Backups:
    """Everything that can be restored, the newest first. `earliest` and `latest` bound a point in time; "" for none."""

    is_point_in_time: bool
    earliest: str
    latest: str
    backups: tuple[Backup, ...]

    def reaches(self, now: datetime) -> bool:
        """Whether any moment up to now can be gone back to."""
        behind = now - datetime.fromisoformat(self.latest) if self.is_point_in_time and self.latest else None
        return behind is not None and -AHEAD <= behind <= FURTHEST_BEHIND

    @property
    def newest(self) -> Backup | None:
        """The newest that is whole."""
        return next((one for one in self.backups if one.status == WHOLE), None)

    def is_fresh(self, now: datetime) -> bool:
        """Whether the newest whole one is younger than a day."""
        age = now - datetime.fromisoformat(self.newest.at) if self.newest else None
        return age is not None and -AHEAD <= age < FRESH


def backups(client: Client, ref: str) -> Backups:
    """What project `ref` can be restored from.

    Units: times are UTC, whole seconds, as `clock.stamp` writes them.
    Errors: VendorRefusedError (401 the token, 403 its reach), VendorUnavailableError (after read retries).
    Source: the Management API's description, v1-list-all-backups; V1BackupsResponse.
    """
    answer = json_of(client.read("GET", f"/v1/projects/{ref}/database/backups", operation="list backups"))
    window = answer["physical_backup_data"] if answer["pitr_enabled"] else {}
    taken = [
        Backup(int(one["id"]), bool(one["is_physical_backup"]), str(one["status"]), _utc(_moment(one["inserted_at"])))
        for one in answer["backups"]
    ]
    return Backups(
        bool(answer["pitr_enabled"]),
        _at(window, "earliest_physical_backup_date_unix"),
        _at(window, "latest_physical_backup_date_unix"),
        tuple(sorted(taken, key=lambda one: (one.at, one.id), reverse=True)),
    )


def _moment(text: str) -> datetime:
    """One without an offset is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _at(window: Mapping[str, Any], name: str) -> str:
    return _utc(datetime.fromtimestamp(window[name], UTC)) if window.get(name) else ""


class ProductionBackups(Kind):
    """One resource: whether there is something to go back to. What exactly moves by itself, and is kept as a file.

    An approval does not go out of date because another daily backup was taken; it does when there is none any more.
    """

    prefix = ADDRESS

    def __init__(self, client: Client, ref: str) -> None:
        self._client = client
        self._ref = ref
        self.seen: Backups | None = None  # by the last look; None: it could not be read
        self.why_not = ""

    def look(self) -> Look:
        self.seen, self.why_not = None, ""
        try:
            found = backups(self._client, self._ref)
        except VendorRefusedError as error:
            self.why_not = why_unreadable(error)
            return Look((Resource(ADDRESS, "unreadable", note=self.why_not),))
        self.seen, now = found, clock.now()
        attributes = {"point_in_time": found.reaches(now), "of_the_last_day": found.is_fresh(now)}
        kept = {"schema": _SCHEMA, "ref": self._ref, "looked_at": clock.stamp(), **asdict(found)}
        state: State = "present" if any(attributes.values()) else "absent"
        return Look((Resource(ADDRESS, state, attributes),), files={FILE: canonical(kept)})
