"""A whole approved promotion with every API call slowed: beside the sum of its calls and of its steps, and the chain.

The chain is the plan's own: of the steps that wait for one another, the row that took longest, by what each took.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before the folder of another conftest

from promoting_world import ACTS, Production, production_in

import conftest
from pantheon_runbook.model import Plan, StepResult

CALL_SECONDS = 0.05
LOOKS = ("observe", "verify")


@dataclass(frozen=True)
class Round:
    """Seconds of one run, and how many calls the vendors were asked for, by act; and of the changes alone."""

    acts: Mapping[str, float]
    calls: Mapping[str, int]
    changes: float
    steps: float
    chain: float

    @property
    def whole(self) -> float:
        return sum(self.acts.values())


def timed_round(production: Production) -> Round:
    """Approved beforehand; from the first look of the apply run to the last check."""
    running = production.world.running
    production.back_to("proven")
    path = production.approved()
    running.wake()
    running.pace(1.0, call_latency_seconds=CALL_SECONDS)
    run = production.open(plan_file=str(path))
    began: list[float] = []
    progress = run.session.progress
    run.session.progress = lambda words: (began.append(time.perf_counter()), progress(words))
    acts, calls = {}, {}
    try:
        for act in ACTS:
            before, started = len(running.log()), time.perf_counter()
            began.clear()
            run.session.perform(act)
            ended = time.perf_counter()
            acts[act], calls[act] = ended - started, len(running.log()) - before
            if act == "apply":
                changes = ended - began[0]
    finally:
        running.pace(conftest.PACE)
        production.world.seal(run)
    plan, results = run.session.plan, run.session.results
    return Round(acts, calls, changes, sum(one.seconds for one in results), longest_chain(plan, results))


def longest_chain(plan: Plan, results: tuple[StepResult, ...]) -> float:
    """Seconds of the longest row of steps of which each waits for the one before."""
    took, needs = {one.address: one.seconds for one in results}, {one.address: one.depends_on for one in plan.changes}

    def until(address: str) -> float:
        return took[address] + max((until(need) for need in needs[address] if need in took), default=0.0)

    return max(until(address) for address in took)


def main(rounds: int = 5) -> None:
    """Print the figures."""
    with production_in(conftest._new_world) as production:
        measured = [timed_round(production) for _ in range(rounds)]
    first = measured[0]
    whole = sum(first.calls.values())
    print(f"promotion, {CALL_SECONDS * 1000:.0f} ms per API call")
    print(f"  longest chain of dependent steps                  {median([one.chain for one in measured]):.2f} s")
    told("the steps one after the other", [(one.steps, one.chain) for one in measured])
    told("the changes", [(one.changes, one.chain) for one in measured])
    told("the apply act, which observes everything again", [(one.acts["apply"], one.chain) for one in measured])
    for act in LOOKS:
        told(f"{act}, {first.calls[act]} calls", [(one.acts[act], first.calls[act] * CALL_SECONDS) for one in measured])
    told(f"the whole run, {whole} calls", [(one.whole, one.chain) for one in measured])
    told("the same beside the sum of its calls", [(one.whole, whole * CALL_SECONDS) for one in measured])


def told(what: str, pairs: list[tuple[float, float]]) -> None:
    """Seconds, and how many times what it is held against in the same round."""
    seconds, ratios = [one for one, _ in pairs], [one / beside for one, beside in pairs]
    print(
        f"  {what:49} {median(seconds):.2f} s  {median(ratios):.2f} x  (min {min(ratios):.2f}, max {max(ratios):.2f})"
    )


def median(of: list[float]) -> float:
    return statistics.median(of)


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))
