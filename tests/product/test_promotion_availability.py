"""Production serves while it is promoted: a client in a process of its own reads and writes all the while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from promoting_world import Production

pytestmark = [pytest.mark.xdist_group("promoting"), pytest.mark.rare]
CLIENT = Path(__file__).parents[1] / "polling_client.py"
RATE_PER_SECOND = 20
ROUNDS = 5 if os.environ.get("PANTHEON_SWEEP") == "full" else 1
TIMEOUT_SECONDS = 2.0  # on a machine that has time: more, where others want its processors too
BEATS_PER_MESSAGE = 10
_RESTART = "mutation R($id: String!) { deploymentRestart(id: $id) }"


@dataclass
class Polled:
    """What the client was answered; whole once the polling has ended."""

    timeout_seconds: float
    answers: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [one for one in self.answers if one["error"] or one["status"] >= 400]

    @property
    def longest(self) -> dict[str, Any]:
        return max(self.answers, key=lambda one: one["seconds"])

    @property
    def beats(self) -> Counter[str]:
        return Counter(one["what"] for one in self.answers)

    def told(self, journal: Iterable[Mapping[str, Any]] = ()) -> str:
        """One line, and what was being done when the answer took longest, by a journal of whole seconds."""
        counts = ", ".join(f"{count} x {what}" for what, count in sorted(self.beats.items()))
        why = Counter(f"{one['what']} {one['status'] or one['error']}" for one in self.failed)
        longest, failed = self.longest, f"{len(self.failed)} failed{_listed(why)}"
        during = ", ".join(_under_way(journal, longest["at"], longest["seconds"])) or "no change"
        return (
            f"{len(self.answers)} requests in {self.seconds:.1f} s ({counts}), {failed}, "
            f"timeout {self.timeout_seconds:.1f} s, "
            f"longest {longest['seconds'] * 1000:.0f} ms ({longest['what']}), during: {during}"
        )


def _listed(counted: Counter[str]) -> str:
    return f" ({', '.join(f'{count} x {what}' for what, count in counted.items())})" if counted else ""


def _under_way(journal: Iterable[Mapping[str, Any]], at: float, seconds: float) -> Iterator[str]:
    begun: dict[str, float] = {}
    for line in journal:
        moment = datetime.fromisoformat(line["at"]).timestamp()
        if line["event"] == "change-begins":
            begun[line["address"]] = moment
        elif line["event"] == "change-ends" and begun[line["address"]] <= at + seconds and at < moment + 1:
            yield line["address"]


@contextmanager
def polled(production: Production) -> Iterator[Polled]:
    """Every process is awake and a session is there before the first request."""
    found = Polled(TIMEOUT_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
    running, host = production.world.running, production.world.facts["railway"]["api_domain"]
    running.wake()
    (made,) = production.hands.sql(
        production.production, "insert into public.sessions (title) values ('polled') returning id::text"
    )
    given = {"socket": str(running.socket), "host": host, "session": made["id"]}
    given |= {"rate_per_second": RATE_PER_SECOND, "beats_per_message": BEATS_PER_MESSAGE}
    given["timeout_seconds"] = found.timeout_seconds
    command = [sys.executable, str(CLIENT), json.dumps(given)]
    out = production.world.folder / "polled.jsonl"
    with out.open("w") as sink, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sink) as client:
        assert client.stdin is not None
        while not out.read_text():
            assert client.poll() is None
            time.sleep(0.02)
        began = time.monotonic()
        try:
            yield found
        finally:
            found.seconds = time.monotonic() - began
            client.stdin.close()
            client.wait(timeout=30)
    found.answers += [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_no_request_fails_while_production_is_promoted(production: Production, _round: int) -> None:
    """Expand, deploy, contract: the schema changes twice under both versions of the backend."""
    path = production.approved()
    before = production.state()
    with polled(production) as found:
        verdict, stopped, _ = production.promote(path)

    print(found.told(production.journal()))
    assert ("done", None) == (verdict.word, stopped)
    after = production.state()
    assert ["0008"] == before["heads"]
    assert ["0011"] == after["heads"]
    assert before["serving"]["api"][0] != after["serving"]["api"][0]
    assert [] == found.failed
    expected = int(found.seconds * RATE_PER_SECOND * 0.95)
    assert found.beats["health"] >= expected
    assert found.beats["session"] >= expected
    assert found.beats["message"] >= expected // BEATS_PER_MESSAGE


def test_request_fails_without_a_switch_over(production: Production) -> None:
    """The same client sees it when the process that serves ends before the next one is healthy."""
    with polled(production) as found:
        production.hands.railway(_RESTART, id=production.serving("api")[0])
        time.sleep(1.0)

    print(found.told())
    assert found.failed
    assert {"message", "health", "session"} >= {one["what"] for one in found.failed}


def test_request_fails_when_the_contraction_comes_first(production: Production) -> None:
    """The same client sees it when the former backend still runs."""
    with polled(production) as found:
        production.checkout.bare(production.url_of_production, "upgrade", "head")
        time.sleep(0.5)

    print(found.told())
    assert "session" in {one["what"] for one in found.failed}
