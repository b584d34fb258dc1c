"""Carrying out a plan, with workers that are told what to do: order, lost answers, and when nothing more may begin."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pantheon_runbook import clock
from pantheon_runbook.applying import Applying, order_of_looks
from pantheon_runbook.errors import (
    AmbiguousTargetError,
    OutcomeUnknownError,
    RunbookError,
    UnrecordedError,
    VendorRefusedError,
    VendorUnavailableError,
)
from pantheon_runbook.model import Change, Plan, Resource

FIELDS = {"vendor": "v", "operation": "o", "why": "w", "state": "s", "next_step": "n"}
LOST = OutcomeUnknownError("lost", **FIELDS)
UNRECORDED = UnrecordedError("sent", why="w", next_step="n")
LATER = VendorUnavailableError("later", **FIELDS)
REFUSED = VendorRefusedError("no", status=400, **FIELDS)
TWINS = AmbiguousTargetError("two", why="w", next_step="n")


def change(address: str, *needs: str) -> Change:
    return Change(address, "create", {}, {}, needs, "none", "delete it")


class World:
    """A worker, a look and a journal in one; `fails` are the errors of an address's writes in turn."""

    def __init__(self) -> None:
        self.fails: dict[str, Iterator[Exception | None]] = {}
        self.lines: list[tuple[str, ...]] = []
        self.look_fails: RunbookError | None = None
        self.there: set[str] = set()
        self.lands_when_lost = False
        self.lands_after_looks = 0
        self.patience = 0.0
        self.did: list[str] = []

    def write(self, what: Any, **said: Any) -> None:
        if isinstance(what, str):  # the journal's write
            self.lines.append((what, said["address"], *(said[name] for name in ("outcome", "reason") if name in said)))
            return
        self.did.append(f"write {what.address}")
        error = next(self.fails.get(what.address, iter(())), None)
        if error is None or self.lands_when_lost:
            self.there.add(what.address)
        if error is not None:
            raise error

    def settle(self, what: Change) -> None:
        self.did.append(f"settle {what.address}")

    def seconds_until_seen(self, _what: Change) -> float:
        return self.patience

    def has_landed(self, _what: Change, seen: Resource) -> bool:
        return seen.state == "present"

    def look(self, address: str) -> Resource:
        self.did.append(f"look {address}")
        if self.look_fails is not None:
            raise self.look_fails
        self.lands_after_looks -= 1
        return Resource(address, "present" if address in self.there and self.lands_after_looks < 0 else "absent")

    def apply(self, *changes: Change) -> tuple[dict[str, str], Applying]:
        plan = Plan("c", "e", "r", "d", {}, {}, "s", {}, changes, (), (), (), {})
        workers = {one.address: self for one in changes}
        applying = Applying(workers, look=self.look, journal=self, progress=str, stop=threading.Event())
        return {result.address: result.outcome for result in applying.run(plan)}, applying


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """A clock that only sleeping moves."""
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(clock, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


@pytest.fixture
def world(now) -> World:
    return World()


def test_dependencies_come_first(world):
    outcomes, _ = world.apply(change("v/c", "v/b"), change("v/b", "v/a"), change("v/a"))

    assert {"v/c": "done", "v/b": "done", "v/a": "done"} == outcomes
    assert ["write v/a", "settle v/a", "write v/b", "settle v/b", "write v/c", "settle v/c"] == world.did


def test_what_needs_a_failed_change_does_not_begin(world):
    world.fails["v/a"] = iter([REFUSED])
    outcomes, applying = world.apply(change("v/a"), change("v/b", "v/a"), change("w/x"))

    assert {"v/a": "not-done", "v/b": "not-done", "w/x": "done"} == outcomes
    assert {"v/a": REFUSED} == applying.errors
    assert "write v/b" not in world.did


def test_lost_answer_is_looked_up_and_not_repeated(world):
    world.fails["v/a"] = iter([LOST])
    world.lands_when_lost = True

    assert {"v/a": "done"} == world.apply(change("v/a"))[0]
    assert ["write v/a", "look v/a", "settle v/a"] == world.did


def test_stale_look_does_not_repeat_a_write(world):
    world.fails["v/a"] = iter([LOST])
    world.lands_when_lost, world.lands_after_looks = True, 2

    assert {"v/a": "done"} == world.apply(change("v/a"))[0]
    assert 1 == world.did.count("write v/a")


def test_slow_effect_is_waited_for(world, now):
    world.fails["v/a"] = iter([LOST])
    world.lands_when_lost, world.lands_after_looks, world.patience = True, 8, 30.0

    assert {"v/a": "done"} == world.apply(change("v/a"))[0]
    assert 1 == world.did.count("write v/a")
    assert now[0] < 30


def test_write_without_effect_is_repeated_after_looking(world):
    world.fails["v/a"] = iter([LOST, LATER])

    assert {"v/a": "done"} == world.apply(change("v/a"))[0]
    assert [*["write v/a"], *["look v/a"] * 3, "write v/a", "look v/a", "write v/a", "settle v/a"] == world.did


def test_write_is_given_up_after_four_tries(world):
    world.fails["v/a"] = iter([LATER] * 9)
    outcomes, applying = world.apply(change("v/a"))

    assert {"v/a": "not-done"} == outcomes
    assert 4 == world.did.count("write v/a")
    assert "is as before" in applying.errors["v/a"].state


@pytest.mark.parametrize("failure", [LATER, REFUSED])
def test_lost_answer_that_cannot_be_looked_up_is_unknown(world, failure):
    """Whatever keeps us from looking: nothing is repeated, and nothing else begins."""
    world.fails["v/a"] = iter([LOST])
    world.look_fails = failure
    outcomes, applying = world.apply(change("v/a"), change("v/b", "v/a"))

    assert {"v/a": "unknown", "v/b": "not-done"} == outcomes
    assert "unknown" == applying.errors["v/a"].word
    assert 1 == world.did.count("write v/a")


def test_write_without_its_result_on_the_disk_is_unknown(world):
    """It was sent; "not done" would be a lie, and sending it again a second write."""
    world.fails["v/a"] = iter([UNRECORDED])
    outcomes, applying = world.apply(change("v/a"), change("v/b", "v/a"))

    assert {"v/a": "unknown", "v/b": "not-done"} == outcomes
    assert {"v/a": UNRECORDED} == applying.errors
    assert ["write v/a"] == world.did


def test_nothing_begins_after_an_unknown_outcome(now):
    """What runs is finished; what waits for it does not begin."""
    other_runs = threading.Event()

    class Together(World):
        def settle(self, what: Change) -> None:
            other_runs.set()
            while not applying._lost.is_set():
                time.sleep(0.001)

        def look(self, address: str) -> Resource:
            other_runs.wait(5)
            raise LATER

    world = Together()
    world.fails["v/a"] = iter([LOST])
    changes = (change("v/a"), change("w/b"), change("w/c", "w/b"))
    plan = Plan("c", "e", "r", "d", {}, {}, "s", {}, changes, (), (), (), {})
    workers = {one.address: world for one in changes}
    applying = Applying(workers, look=world.look, journal=world, progress=str, stop=threading.Event())

    assert ["unknown", "done", "not-done"] == [result.outcome for result in applying.run(plan)]
    assert "write w/c" not in world.did


def test_bug_in_the_middle_is_told_and_not_swallowed(world):
    """Whether it was sent nobody knows."""
    world.fails["v/a"] = iter([ZeroDivisionError("of ours")])

    with pytest.raises(ZeroDivisionError, match="of ours"):
        world.apply(change("v/a"), change("v/b", "v/a"))

    ended = ("change-ends", "v/a", "unknown", "broken off by a bug of ours: ZeroDivisionError")
    assert [("change-begins", "v/a"), ended] == world.lines


def test_nothing_begins_after_a_bug(world):
    """Such as what waits for one of the eight threads."""
    _, applying = world.apply()
    applying._workers = {"v/a": world, "v/b": world}
    world.fails["v/a"] = iter([ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        applying._step(change("v/a"))

    assert "the run was stopped before it" == applying._step(change("v/b")).reason
    assert ["write v/a"] == world.did


def test_two_of_one_name_stop_the_change(world):
    world.fails["v/a"] = iter([LATER])
    world.look_fails = TWINS
    outcomes, applying = world.apply(change("v/a"))

    assert ({"v/a": "not-done"}, TWINS) == (outcomes, applying.errors["v/a"])
    assert 1 == world.did.count("write v/a")


def test_stopped_run_begins_nothing(world):
    _, applying = world.apply()
    applying._stop.set()

    result = applying._step(change("v/a"))
    assert ("not-done", "the run was stopped before it") == (result.outcome, result.reason)
    assert [] == world.did


def test_looks_are_grouped_by_what_they_need():
    kinds = [("c", ("b",)), ("a", ()), ("b", ("a", "not there")), ("d", ())]

    assert [("a", "d"), ("b",), ("c",)] == order_of_looks(kinds)
    assert order_of_looks(kinds) == order_of_looks(reversed(kinds))
