"""What the tables share: which cases are run, and how requests are counted."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

GREEN = {"done", "nothing-to-do"}
Call = tuple[str, str, int]  # service, operation, how many of the same came before


def chosen(cases: list[Any], name: str, *, size: int) -> list[Any]:
    """All of them, or a sample that changes only with its name; PANTHEON_SEED moves it."""
    if os.environ.get("PANTHEON_SWEEP") == "full":
        return cases
    return random.Random(f"{name} {os.environ.get('PANTHEON_SEED', '1')}").sample(cases, size)


def calls_of(log: list[dict[str, Any]], *, mutating: bool) -> list[Call]:
    """Each request of a log with its number among its like."""
    seen: Counter[tuple[str, str]] = Counter()
    calls = []
    for record in log:
        if record["mutating"] is mutating:
            key = (record["service"], record["operation"])
            calls.append((*key, seen[key]))
            seen[key] += 1
    return sorted(calls)


def rule(call: Call, kind: str) -> dict[str, Any]:
    """The switchboard's rule for one fault at one call."""
    service, operation, skip = call
    seconds = {"429": 0.05, "latency": 0.3}.get(kind)
    return {"service": service, "operation": operation, "skip": skip, "kind": kind, "seconds": seconds}


def differences(census: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in census.items() if value != expected[name]}
