"""Every call of RB-010 against every fault: one more run at most, nothing twice, no traceback, a truthful verdict."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import Any

import pytest
from attempts import attempt
from tables import GREEN, Call, calls_of, chosen, differences, rule

WRITE_FAULTS = ("500-before", "500-after", "timeout-after", "reset-before", "reset-after", "truncated", "429")
READ_FAULTS = ("500-before", "429", "reset-before", "truncated", "stale", "latency")

pytestmark = pytest.mark.sweep


def test_write_that_fails_is_survived(world, hands, clean):
    expected, log = clean
    cases = [(call, kind) for call in calls_of(log, mutating=True) for kind in WRITE_FAULTS]
    rows = [row(*case, *suffer(world, hands, rule(*case), expected)) for case in chosen(cases, "writes", size=2)]
    print("\n".join(rows))
    assert [] == [line for line in rows if "WRONG" in line]


def test_read_that_fails_is_repeated(world, hands, clean):
    """The same run succeeds, and no write is sent twice."""
    expected, log = clean
    writes = Counter(calls_of(log, mutating=True))
    reads = [call for call in calls_of(log, mutating=False) if call[2] == 0]
    rows = []
    for case in chosen([(call, kind) for call in reads for kind in READ_FAULTS], "reads", size=2):
        words, problem = suffer(world, hands, rule(*case), expected)
        twice = Counter(calls_of(world.running.log(), mutating=True)) - writes
        problem += "" if words == ["done"] else " WRONG: not in the same run"
        problem += f" WRONG: sent twice {sorted(twice)}" if twice else ""
        rows.append(row(*case, words, problem))
    print("\n".join(rows))
    assert [] == [line for line in rows if "WRONG" in line]


def suffer(world: Any, hands: Any, fault: dict[str, Any], expected: dict[str, Any]) -> tuple[list[str], str]:
    """The words of one run with the fault, and of one more when it was not green; then what is wrong."""
    world.running.reset()
    world.running.faults([fault])
    words: list[str] = []
    try:
        while not words or (words[-1] not in GREEN and len(words) == 1):
            words.append(attempt(world).word)
    except Exception:  # noqa: BLE001  a traceback is a finding of this table, not the end of it
        return [*words, "traceback"], f"WRONG: {traceback.format_exc()}"
    different = differences(hands.census(), expected)
    return words, "" if words[-1] in GREEN and not different else f"WRONG: {different}"


def row(call: Call, kind: str, words: list[str], problem: str) -> str:
    return f"{call[0]:17} {call[1]:44.44} #{call[2]} {kind:13} {' > '.join(words):24} {problem}"
