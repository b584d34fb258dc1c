"""RB-040's order of things, out of values alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook import clock
from pantheon_runbook.database.migrations.units import Unit
from pantheon_runbook.errors import NotApprovedError
from pantheon_runbook.evidence.approval import Person
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.model import Finding, Resource, Snapshot
from pantheon_runbook.permission import Permission, Signed
from pantheon_runbook.planning import plan_changes
from pantheon_runbook.promotion import way_back
from pantheon_runbook.promotion.backups import restoring
from pantheon_runbook.promotion.way_back import VENDORS, Promoted
from pantheon_runbook.providers.supabase_backups import Backup, Backups
from pantheon_runbook.rolling_back import Cover

API, WORKER, PAGE = "production/deployment/api", "production/deployment/worker", "vercel/promotion"
SMOKE, BEGIN, END = "production/smoke", "database/unit/begin", "database/unit/end"
OLD, NEW, OTHER = "a" * 40, "b" * 40, "c" * 40
FORMER = {"id": "d-old", "commit": OLD, "image_digest": "sha256:old"}
POINTERS: dict[str, Any] = {
    API: FORMER,
    WORKER: {**FORMER, "id": "w-old"},
    PAGE: {"id": "p-old", "commit": OLD},
    "database/revision": {"heads": ["8"], "schema": "f" * 64},
}
CLEAN = {"9": "clean", "10": "clean", "11": "clean"}


def promoted(*, undo: dict[str, str] = CLEAN, **pointers: dict[str, Any]) -> Promoted:
    """9 and 10 came before the smoke checks, 11 after them; `pointers` by address replace what was captured."""
    order = ("database/revision/9", "database/revision/10", API, WORKER, PAGE, SMOKE, "database/revision/11", END)
    after = {API: {"commit": NEW}, WORKER: {"commit": NEW}, PAGE: {"commit": NEW}}
    changes = [{"address": one, "after": after.get(one, {"digest": f"digest of {one}"})} for one in order]
    release = {"pointers": {**POINTERS, **pointers}, "undo": undo}
    return Promoted(json.dumps({"changes": changes, "release": release}).encode())


def backend(name: str, *, commit: str = NEW, kept: bool = True, former: str = "", **more: Any) -> Resource:
    known = {"id": f"{name[0]}-new", "commit": commit, "image_digest": "sha256:new", **more}
    back = [{"id": former or POINTERS[f"production/deployment/{name}"]["id"], "can_roll_back": kept}]
    return Resource(f"production/deployment/{name}", "present", {**known, "former": back})


def page(identifier: str = "p-new", *, commit: str = NEW, back: str = "p-old", **more: Any) -> Resource:
    known = {"id": identifier, "commit": commit, "can_go_back_to": [{"id": back}], **more}
    return Resource(PAGE, "present", known)


UNDOABLE = tuple(Resource(f"database/undo/{one}", "present", {"stands": True}) for one in CLEAN)


def seen(*others: Resource) -> Snapshot:
    """Everything was promoted, but for `others`."""
    listed = {one.address: one for one in (backend("api"), backend("worker"), page(), *UNDOABLE, *others)}
    return Snapshot("sandbox", "production", {}, {}, tuple(listed.values()), (), "")


def planned(unit: Promoted, snapshot: Snapshot, *, undone: tuple[str, ...] = ("11", "10", "9"), **more: Any):
    given = {"undone": undone, "vendors": VENDORS, "begins": False, "is_told": False, **more}
    return {one.address: one for one in plan_changes(way_back.desired_way_back(unit, snapshot, **given), snapshot)[0]}


def found(unit: Promoted, snapshot: Snapshot, **more: Any) -> dict[str, Finding]:
    given = {"standing": (), "restore": "restore it", "held": {}, **more}
    return {one.code: one for one in way_back.findings(unit, snapshot, **given)}


# ---- order


def test_way_back_is_the_unit_in_reverse():
    changes = planned(promoted(), seen())

    waits = {name: set(one.depends_on) for name, one in changes.items()}
    assert {
        "database/undo/11": set(),
        PAGE: set(),
        API: {"database/undo/11", PAGE},
        WORKER: {"database/undo/11", PAGE},
        "database/undo/10": {"database/undo/11", API, WORKER},
        "database/undo/9": {"database/undo/10"},
        SMOKE: {"database/undo/11", PAGE, API, WORKER, "database/undo/10", "database/undo/9"},
        END: {SMOKE},
    } == waits


def test_downgrades_stay_in_turn_when_the_backend_is_back_already():
    """As after a way back of one vendor alone."""
    back = (backend(name, commit=OLD, image_digest="sha256:old") for name in ("api", "worker"))

    assert {"database/undo/11"} <= set(planned(promoted(), seen(*back))["database/undo/10"].depends_on)


def test_own_approval_is_used_up_before_anything_else():
    changes = planned(promoted(), seen(), begins=True)

    assert BEGIN == next(iter(changes))
    assert all(BEGIN in one.depends_on for name, one in changes.items() if name not in {BEGIN, END})


@pytest.mark.parametrize(
    ("vendor", "addresses"),
    [
        ("vercel", [PAGE]),
        ("railway", [API, WORKER]),
        ("database", ["database/undo/11", "database/undo/10", "database/undo/9", SMOKE, END]),
    ],
)
def test_vendor_alone_is_taken_back_alone(vendor: str, addresses: list[str]):
    undone = ("11", "10", "9") if vendor == "database" else ()

    assert addresses == list(planned(promoted(), seen(), vendors=(vendor,), undone=undone))


def test_backend_alone_may_lack_what_was_contracted():
    """Nobody has looked whether it was: that is no low risk."""
    alone, whole = (planned(promoted(), seen(), undone=(), vendors=one) for one in (("railway",), VENDORS))

    assert "high: it may need what 11 took away, and the database was not looked at" == alone[API].risk
    assert whole[API].risk.startswith("low")


def test_unit_that_changed_nothing_is_still_ended():
    """It failed right after it was begun: otherwise no other promotion could ever begin."""
    as_before = seen(backend("api", commit=OLD, image_digest="sha256:old"), page("p-old", commit=OLD))
    worker = backend("worker", commit=OLD, image_digest="sha256:old")
    as_before = replace(as_before, resources=(*(one for one in as_before.resources if one.address != WORKER), worker))

    assert [SMOKE, END] == list(planned(promoted(), as_before, undone=()))
    assert [] == list(planned(promoted(), as_before, undone=(), is_told=True))
    assert [BEGIN, SMOKE, END] == list(planned(promoted(), as_before, undone=(), begins=True))


# ---- what can be undone


@pytest.mark.parametrize(
    ("undo", "standing", "expected"),
    [
        (CLEAN, "8 9 10 11", ("11", "10", "9")),
        (CLEAN, "8 9", ("9",)),
        (CLEAN, "8", ()),
        ({**CLEAN, "11": "differs"}, "8 9 10 11", ()),
        ({**CLEAN, "11": "differs"}, "8 9 10", ("10", "9")),
        ({**CLEAN, "10": "forward-fix-only"}, "8 9 10 11", ("11",)),
        ({"11": "clean", "9": "clean"}, "8 9 10 11", ("11",)),
        ({}, "8 9 10 11", ()),
    ],
)
def test_undone_as_far_as_it_was_proven(undo: dict[str, str], standing: str, expected: tuple[str, ...]):
    assert expected == way_back.undoable(promoted(undo=undo), standing.split())


def test_revision_that_another_unit_built_on_stays():
    held = {"9": "12", "10": "12", "11": "12"}
    told = found(promoted(), seen(), standing=("9", "10", "11", "12"), held=held)

    assert () == way_back.undoable(promoted(), ("9", "10", "11", "12"), held=held)
    assert "12 builds on it, which is not of this unit" in told["revision-stays"].what


def test_what_stays_is_named_with_both_ways_out():
    unit = promoted(undo={**CLEAN, "10": "differs"})
    told = list(way_back.findings(unit, seen(), standing=("9", "10", "11"), restore="restore it", held={}))
    stays = {one.address: one for one in told if one.code == "revision-stays"}

    assert ["database/undo/9", "database/undo/10"] == list(stays)
    assert "its downgrade is not proven (differs)" in stays["database/undo/10"].what
    assert "one above it stays" in stays["database/undo/9"].what
    assert all("write a revision that puts it right" in one.next_step for one in stays.values())
    assert all(one.next_step.endswith("restore it") and not one.blocks for one in stays.values())


def test_former_backend_is_not_put_on_what_was_contracted_unasked():
    unit = promoted(undo={**CLEAN, "11": "differs"})
    told = found(unit, seen(), standing=("9", "10", "11"))["contracted"]

    assert told.blocks
    assert "-p only=railway" in told.next_step
    assert "contracted" not in found(promoted(undo={**CLEAN, "10": "differs"}), seen(), standing=("9", "10", "11"))


def test_tree_that_does_not_fit_blocks():
    files = {"9": "digest of database/revision/9", "10": "edited", "11": "digest of database/revision/11"}
    told = {one.code: one for one in way_back.tree_findings(promoted(), ("11", "10", "9"), files=files, heads=["12"])}

    assert {"beyond-tree": "database/undo/12", "file-changed": "database/undo/10"} == {
        code: one.address for code, one in told.items()
    }
    assert all(one.blocks for one in told.values())


def test_later_unit_that_is_open_comes_first():
    """Its line would be hidden under the end of the older one; a way back that was broken off goes on."""
    unit = promoted()
    later = Unit("e" * 64, "begun", "5" * 32, "somebody", "2026-11-01T10:00:00Z", frozenset())
    others = (None, replace(later, state="done"), replace(later, plan_digest=unit.digest))

    (told,) = way_back.unit_findings(unit, later, is_of_a_way_back=lambda _: False)

    assert told.blocks
    assert "take that one back first: -p unit=55555555" == told.next_step
    assert [] == list(way_back.unit_findings(unit, later, is_of_a_way_back=lambda run_id: run_id == "5" * 32))
    assert [] == [
        one for each in others for one in way_back.unit_findings(unit, each, is_of_a_way_back=lambda _: False)
    ]


# ---- page and backend


def test_backend_goes_back_by_its_image():
    change = planned(promoted(), seen())[API]

    assert "roll back" == change.action
    assert {"commit": OLD, "image_digest": "sha256:old", "roll_back_to": "d-old"} == change.after


def test_image_that_is_gone_is_built_anew_and_not_covered():
    snapshot = seen(backend("api", kept=False))
    change, told = planned(promoted(), snapshot)[API], found(promoted(), snapshot)

    assert ("update", {"commit": OLD}) == (change.action, change.after)
    assert not told["image-gone"].blocks
    assert not way_back.is_as_captured(told.values())
    rebuilt = seen(backend("api", commit=OLD, kept=False))
    assert API not in planned(promoted(), rebuilt)
    assert {} == found(promoted(), rebuilt)


def test_pointer_without_an_image_digest_is_told_by_its_commit():
    unit = promoted(**{API: {"id": "d-old", "commit": OLD}})

    assert {"commit": OLD, "roll_back_to": "d-old"} == planned(unit, seen())[API].after
    assert API not in planned(unit, seen(backend("api", commit=OLD)))


def test_pointer_without_a_commit_is_run_again_or_left():
    """It was deployed from somebody's folder: without its image nobody can build it."""
    unit = promoted(**{API: {"id": "d-old"}})
    gone = seen(backend("api", kept=False))
    back = Resource(API, "present", {"id": "d-newer", "former": []})

    assert {"roll_back_to": "d-old"} == planned(unit, seen())[API].after
    assert API not in planned(unit, gone)
    assert found(unit, gone)["image-gone"].blocks
    assert API not in planned(unit, seen(back))


def test_nothing_that_served_before_is_said():
    """There is no pointer to go back to, and nothing is deployed or shown in its place."""
    unit = promoted(**{API: {}, PAGE: {}})
    told = list(way_back.findings(unit, seen(), standing=(), restore="", held={}))

    assert [WORKER] == [name for name in planned(unit, seen()) if name in {API, WORKER, PAGE}]
    assert [("nothing-before", API, False), ("nothing-before", PAGE, False)] == [
        (one.code, one.address, one.blocks) for one in told
    ]


def test_build_that_is_gone_blocks():
    """Known before the first downgrade, and not when the page's turn has come."""
    told = found(promoted(), seen(page(back="p-older")))["build-gone"]

    assert told.blocks
    assert "-p only=railway and -p only=database" in told.next_step


def test_what_another_has_deployed_is_not_covered():
    told = found(promoted(), seen(backend("api", commit=OTHER)))

    assert API == told["moved-since"].address
    assert not way_back.is_as_captured(told.values())
    assert way_back.is_as_captured(found(promoted(), seen()).values())


@pytest.mark.parametrize(
    "coming",
    [
        backend("api", commit=OLD, image_digest="sha256:old", coming_commit=NEW),
        page("p-old", commit=OLD, moving_to="p-new"),
    ],
    ids=["backend", "page"],
)
def test_what_is_on_its_way_forward_blocks(coming: Resource):
    """Killed in the middle of a promotion: it would serve after everything was taken back."""
    assert found(promoted(), seen(coming))["on-its-way"].blocks


@pytest.mark.parametrize(
    "coming",
    [
        backend("api", coming_commit=OLD),
        backend("api", commit=OLD, image_digest="sha256:old", coming_commit=OLD, status="REPLACING"),
        page(moving_to="p-old"),
    ],
    ids=["backend", "what it replaces", "page"],
)
def test_what_is_on_its_way_back_is_waited_for(coming: Resource):
    """Killed in the middle of a way back."""
    assert "wait" == planned(promoted(), seen(coming))[coming.address].action
    assert "on-its-way" not in found(promoted(), seen(coming))


# ---- whose approval


def cover(**more: Any) -> Cover:
    signed = Signed(b"{}", "bundle", "2026-11-01T09:00:00Z", Person("somebody", "test"))
    return Cover(signed, {}, **{"nonces": frozenset({"n"}), "sealed_at": "2026-11-01T10:00:00Z", **more})


@pytest.mark.parametrize(
    ("after", "covers"),
    [(timedelta(0), True), (timedelta(hours=24, seconds=-1), True), (timedelta(hours=24), False)],
)
def test_cover_is_a_day_from_sealing(monkeypatch: pytest.MonkeyPatch, after: timedelta, *, covers: bool):
    monkeypatch.setattr(clock, "now", lambda: moment_of("2026-11-01T10:00:00Z") + after)

    assert covers is (cover().why_not() == "")


def test_cover_of_a_run_that_nobody_let_through_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "now", lambda: moment_of("2026-11-01T10:00:00Z"))

    assert "nobody had let that run through" == cover(nonces=frozenset()).why_not()
    assert "he is its executor" == cover(refused="he is its executor").why_not()


class Refusing(Permission):
    """Somebody who may not carry out what he has approved."""

    def decided(self, *_args: Any, **_more: Any) -> Any:
        raise NotApprovedError("X cannot approve this plan", why="he is its executor", state="", next_step="")


def test_cover_is_none_for_who_approved_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "now", lambda: moment_of("2026-11-01T10:00:00Z"))
    refusing = Refusing(None, Path(), Path(), Person("X", "test"))  # type: ignore[arg-type]  nobody asks the config

    assert "X cannot approve this plan: he is its executor" == cover().judged(refusing).why_not()
    assert "nobody had let that run through" == cover(nonces=frozenset()).judged(refusing).why_not()


# ---- how the database could be put back


BEGAN = "2026-11-01T10:00:00Z"
NONE = Backups(is_point_in_time=False, earliest="", latest="", backups=())
WINDOW = replace(NONE, is_point_in_time=True, earliest="2026-10-25T00:00:00Z", latest="2026-11-01T10:20:00Z")
DAILY = Backup(id=1, is_physical=True, status="COMPLETED", at="2026-11-01T03:00:00Z")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (WINDOW, f"restore production's database to just before {BEGAN}: https://"),
        (
            replace(WINDOW, latest="2026-11-01T09:58:00Z"),
            f"restore production's database to just before {BEGAN}: https://",
        ),
        (replace(WINDOW, latest="2026-11-01T09:00:00Z"), "it cannot be; there is no backup from before it"),
        (replace(WINDOW, earliest="2026-11-01T10:10:00Z"), "it cannot be; there is no backup from before it"),
        (
            replace(NONE, backups=(DAILY,)),
            "it cannot be; the vendor's last whole backup before it is of 2026-11-01T03",
        ),
        (replace(NONE, backups=(replace(DAILY, at="2026-11-01T11:00:00Z"),)), "there is no backup from before it"),
        (replace(NONE, backups=(replace(DAILY, status="FAILED"),)), "there is no backup from before it"),
        (None, "whether it can be is not known (403)"),
    ],
)
def test_restore_says_whether_the_moment_is_reached(kept: Backups | None, words: str):
    assert words in restoring(kept, ref="ref", moment=BEGAN, why_not="403")
