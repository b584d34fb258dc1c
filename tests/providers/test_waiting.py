"""Waiting for a vendor's own work: few calls, an end, and nobody is kept waiting who wants to stop."""

from __future__ import annotations

import threading

import pytest

from pantheon_runbook import clock
from pantheon_runbook.errors import StopRequestedError, VendorUnavailableError
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.secrets import Registry, Vault


def surroundings(seconds: float, told: list[str] | None = None) -> Surroundings:
    vault = Vault(Registry(), salt="00" * 32)
    return Surroundings(vault, seconds, (told if told is not None else []).append)


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """Seconds on a clock that only sleeping moves."""
    now = [0.0]

    def sleep(seconds: float, *, unless: threading.Event | None = None) -> bool:
        now[0] += seconds
        return unless is not None and unless.is_set()

    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(clock, "sleep", sleep)
    return now


@pytest.mark.parametrize(("minutes", "most"), [(1, 50), (5, 60), (15, 80)])
def test_waiting_asks_seldom_and_ends_soon(now, minutes, most):
    """Few calls for a wait of any length, and never more than ten seconds too late."""
    asked: list[float] = []

    def is_done() -> bool:
        asked.append(now[0])
        return now[0] >= minutes * 60

    surroundings(3600).wait_until(is_done, what="it", vendor="v")
    assert len(asked) <= most
    assert now[0] <= minutes * 60 + 10


def test_waiting_says_for_what_and_how_long(now):
    told: list[str] = []

    surroundings(3600, told).wait_until(lambda: now[0] >= 60, what="the project", vendor="v")

    assert "waiting for the project (0 s)" == told[0]
    assert told[-1] in {f"waiting for the project ({seconds} s)" for seconds in range(50, 60)}


def test_waiting_ends_at_its_limit(now):
    with pytest.raises(VendorUnavailableError) as stopped:
        surroundings(30).wait_until(lambda: False, what="it", vendor="v")
    assert 30 < now[0] < 40
    assert "running again goes on" in stopped.value.next_step


def test_waiting_is_broken_off_when_the_run_is_to_stop():
    """In earnest, with a real clock: a pause has grown to seconds by the time somebody presses Ctrl-C."""
    around = surroundings(8)
    began = clock.monotonic()
    threading.Timer(0.2, around.stop.set).start()

    with pytest.raises(StopRequestedError, match="the wait for it was broken off"):
        around.wait_until(lambda: False, what="it", vendor="v")

    assert clock.monotonic() - began < 2
