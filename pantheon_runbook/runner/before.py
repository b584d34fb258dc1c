"""What a run is held against: what both sides held and which ways into production were open, by sealed runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pantheon_runbook.evidence.runs import SealedRun, each_with, latest_with, sealed_runs
from pantheon_runbook.isolation import matrix
from pantheon_runbook.model import MatrixRow, Snapshot
from pantheon_runbook.runner.clients import Parts

Sealed = tuple[str, dict[str, Any]]  # a bundle's name, and its comparison.json


@dataclass(frozen=True)
class Before:
    """What was seen before; nothing where no run can be rested on, and then `problem` may say why."""

    ground: Sealed | None = None
    ways: Sealed | None = None
    problem: str = ""  # what is wrong with the evidence; then nothing of it is taken for the ground


def before_of(parts: Parts, snapshot: Snapshot) -> Before:
    """The latest matrix, and the ways that RB-060 has found: RB-010 looks for none."""
    outside = parts.outside
    sealed = sealed_runs(outside.evidence, outside.trust)
    about = {"cloud": snapshot.cloud, "environment": snapshot.environment, "holds": "comparison.json"}
    ground = latest_with(sealed, outside.evidence, **about, runbooks={"RB-010", "RB-020", "RB-060"})
    ways = known_ways(each_with(sealed, outside.evidence, **about, runbooks={"RB-060"}))
    return Before(ground, ways, sealed.problem)


def known_ways(looks: Iterable[tuple[SealedRun, dict[str, Any]]]) -> Sealed | None:
    """What the last good end found open, or without one the first look of all; `looks` come newest first.

    A staging that never came to a good end would otherwise hide what is opened meanwhile; and the latest look of any
    end would make one alarm of it and then be silent. What was closed in between is opened when it is open again.
    """
    closed: set[str] = set()
    known: Sealed | None = None
    for run, compared in looks:
        left = [one for one in compared["exposures"] if one["address"] not in closed]
        known = run.bundle, {"exposures": left}
        if run.came_to_good_end:
            break
        closed |= {one["address"] for one in left if one["state"].startswith("closed")}
    return known


def drift_since(before: Before, ground: Mapping[str, Any]) -> Iterator[MatrixRow]:
    """Each thing that is not as it was; and when the evidence cannot tell, that."""
    if before.problem:
        yield matrix.untold(before.problem)
    if before.ground is not None:
        yield from matrix.drifted(before.ground[1]["ground"], ground, since=before.ground[0])
