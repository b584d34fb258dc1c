"""What production could be restored from, read from the sandbox's vendor; and how long an answer stays the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from vendors import BACKUPS, Hands

from pantheon_runbook import clock
from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.model import Resource
from pantheon_runbook.providers import supabase, supabase_backups
from pantheon_runbook.providers.http import Client, Reach
from pantheon_runbook.providers.supabase_backups import ADDRESS, Backup, Backups, ProductionBackups
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.secrets import Secret

pytestmark = pytest.mark.xdist_group("supabase-backups")
NOW = datetime.fromisoformat("2026-11-23T10:00:00Z")
DENIED = f"sbp_{'b' * 40}"
# By what the vendor has: whether any moment can be gone back to, and whether a backup is of the last day.
SEEN = {
    "point in time": (True, False),
    "point in time that stopped": (False, False),
    "3 hours old": (False, True),
    "30 hours old": (False, False),
    "failed": (False, False),
    "logical": (False, True),
    "none": (False, False),
}


class Vendor:
    """Projects that have one of BACKUPS each, made at once; nothing runs in them."""

    def __init__(self, world: Any, hands: Hands) -> None:
        self.world, self.facts = world, hands.facts["supabase"]
        self.refs = {name: chr(ord("a") + number) * 20 for number, name in enumerate(BACKUPS)}
        hands.edit(self._copies)
        hands.can_be_restored_from(**{ref: name for name, ref in self.refs.items()})

    def _copies(self, document: Any) -> None:
        vendor = document["supabase"]
        for ref in self.refs.values():
            vendor["projects"][ref] = {**vendor["projects"][self.facts["ref"]], "ref": ref, "status": "INACTIVE"}
        (account,) = vendor["tokens"].values()
        vendor["tokens"][DENIED] = {**account, "denied": ["*/backups"]}

    def client(self, token: str = "") -> Client:
        reach = Reach(str(self.world.running.socket))
        return reading_client("supabase", supabase.BASE_URL, Secret(token or self.facts["token"]), reach=reach)


@pytest.fixture(scope="module")
def vendor(new_world: Any) -> Iterator[Vendor]:
    with new_world() as world, closing(Hands(world.running)) as hands:
        yield Vendor(world, hands)


def test_fresh_production_has_a_daily_backup(world: Any) -> None:
    """As the vendor's Pro plan has it: a few hours old, and no point in time."""
    reach = Reach(str(world.running.socket))
    facts, mark = world.facts["supabase"], len(world.running.log())
    with closing(reading_client("supabase", supabase.BASE_URL, Secret(facts["token"]), reach=reach)) as client:
        found = supabase_backups.backups(client, facts["ref"])

    assert (False, "", "", True) == (found.is_point_in_time, found.earliest, found.latest, found.is_fresh(clock.now()))
    assert 7 == len(found.backups)
    assert [False] == [one["mutating"] for one in world.running.log(mark)]


@pytest.mark.parametrize("which", BACKUPS)
def test_look_says_what_can_be_gone_back_to(vendor: Vendor, which: str) -> None:
    with closing(vendor.client()) as client:
        look = ProductionBackups(client, vendor.refs[which]).look()

    names = ("point_in_time", "of_the_last_day")
    state = "present" if any(SEEN[which]) else "absent"
    assert (Resource(ADDRESS, state, dict(zip(names, SEEN[which], strict=True))),) == look.resources
    kept = json.loads(look.files["backups.json"])
    assert (vendor.refs[which], which.startswith("point")) == (kept["ref"], kept["is_point_in_time"])


def test_look_that_is_refused_says_so(vendor: Vendor) -> None:
    with closing(vendor.client(DENIED)) as client:
        kind = ProductionBackups(client, vendor.refs["none"])
        look = kind.look()

    assert "Supabase answers 403: the token may not read it" == kind.why_not == look.resources[0].note
    assert ("unreadable", None, {}) == (look.resources[0].state, kind.seen, look.files)


def test_unknown_token_is_an_error(vendor: Vendor) -> None:
    with closing(vendor.client(f"sbp_{'0' * 40}")) as client, pytest.raises(VendorRefusedError):
        ProductionBackups(client, vendor.refs["none"]).look()


def of(*backups: tuple[float, str], window: float | None = None) -> Backups:
    """`backups` are hours old and have a status; `window` is how many minutes ago it ended."""
    taken = [
        Backup(n, is_physical=True, status=status, at=stamp(hours=hours)) for n, (hours, status) in enumerate(backups)
    ]
    latest = "" if window is None else stamp(hours=window / 60)
    return Backups(window is not None, stamp(hours=168) if latest else "", latest, tuple(taken))


def stamp(*, hours: float) -> str:
    return (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(("minutes", "reaches"), [(-6, False), (-4, True), (0, True), (15, True), (16, False)])
def test_window_has_to_reach_now(minutes: float, *, reaches: bool) -> None:
    """One that ends in the future is no better: somebody's clock is wrong."""
    assert reaches is of(window=minutes).reaches(NOW)


def test_window_that_is_off_reaches_nothing() -> None:
    assert False is Backups(is_point_in_time=False, earliest="", latest=stamp(hours=0), backups=()).reaches(NOW)


@pytest.mark.parametrize(
    ("taken", "fresh"),
    [
        ([(23.9, "COMPLETED")], True),
        ([(24, "COMPLETED")], False),
        ([(-1, "COMPLETED")], False),
        ([(1, "FAILED"), (23, "COMPLETED")], True),
        ([(1, "PENDING"), (25, "COMPLETED")], False),
        ([(1, "REMOVED")], False),
        ([], False),
    ],
)
def test_backup_of_the_last_day_has_to_be_whole(taken: list[tuple[float, str]], *, fresh: bool) -> None:
    assert fresh is of(*taken).is_fresh(NOW)
