"""RB-030: the one ordered unit that brings production to what staging has proven. Pure: observed in, desired out.

Begun under an approval, expand revisions, the backend, the page that was built meanwhile, smoke checks, contract
revisions, end. Each step waits for all that it builds on; what is as it should be is no step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pantheon_runbook.database.migrations.revision_kinds import LEDGER
from pantheon_runbook.database.migrations.units import BEGIN, END
from pantheon_runbook.model import Desired, Snapshot
from pantheon_runbook.planning import difference

MARKER, SMOKE = "database/marker", "production/smoke"
DEPLOYMENT = "production/deployment"
BUILD, PROMOTION = "vercel/deployment/production", "vercel/promotion"
MADE_BEFORE = frozenset({MARKER, LEDGER})  # a unit is begun in the tables that these make


@dataclass(frozen=True)
class Released:
    """The commits that staging has proven: by service of the backend, and of the page."""

    services: Mapping[str, str]
    page: str


def desired_unit(
    released: Released,
    snapshot: Snapshot,
    *,
    marked: Desired,
    revisions: Sequence[Desired],
    before: Sequence[str],
    checks: str,
) -> tuple[Desired, ...]:
    """Everything that should stand on production; without anything to change, no unit of work.

    `revisions` are the ledger, what was accepted, and what is pending; `before` are addresses of those that the
    deployments wait for, the others wait for the smoke checks. `checks` is the digest of these: they are approved too.
    """
    deployments = tuple(_deployment(name, commit, snapshot, before) for name, commit in released.services.items())
    page = (_build(released.page, snapshot), _promotion(released.page, snapshot, deployments))
    wanted = (marked, *revisions, *deployments, *page)
    left = tuple(one for one in wanted if difference(one, snapshot.get(one.address)))
    steps = tuple(one for one in left if one.address not in {*MADE_BEFORE, BEGIN})
    if not steps and snapshot.get(BEGIN).state == "absent":
        return wanted
    return (_begin(), *(_in_unit(one) for one in wanted), _smoke(before, deployments, checks), _end(revisions))


def _in_unit(one: Desired) -> Desired:
    return one if one.address in {*MADE_BEFORE, BEGIN} else replace(one, depends_on=(*one.depends_on, BEGIN))


def marker(environment: str, cloud: str, ref: str) -> Desired:
    """The row that lets production's database say what it is."""
    return Desired(
        MARKER,
        {"environment": environment, "cloud": cloud, "ref": ref},
        risk="none: one row in this tool's own schema",
        undo="none needed",
        undo_of_create="drop the table pantheon_runbook.environment",
        action="mark",
    )


def _begin() -> Desired:
    told = "none needed: a line that stays"
    return Desired(
        BEGIN,
        {},
        depends_on=(MARKER, LEDGER),
        risk="none: a line of the ledger; the approval is used up by it",
        undo=told,
        undo_of_create=told,
        action="begin",
    )


def _end(revisions: Iterable[Desired]) -> Desired:
    told = "none needed: a line that stays"
    needs = (SMOKE, *(one.address for one in revisions))
    return Desired(END, {}, needs, "none: a line of the ledger", told, told, action="end")


def _deployment(name: str, commit: str, snapshot: Snapshot, before: Sequence[str]) -> Desired:
    seen = snapshot.get(f"{DEPLOYMENT}/{name}")
    return Desired(
        seen.address,
        {"commit": commit, "status": "SUCCESS"},
        depends_on=tuple(before),
        risk="low: the former one serves until this one is healthy",
        undo=_back(seen.attributes),
        undo_of_create="remove the deployment in Railway",
        action="wait" if seen.attributes.get("coming_commit") == commit else None,
    )


def _back(serving: Mapping[str, Any]) -> str:
    if not serving.get("id"):
        return "none: nothing served before"
    return f"RB-040 goes back to deployment {serving['id']} of commit {str(serving.get('commit') or 'unknown')[:12]}"


def _build(commit: str, snapshot: Snapshot) -> Desired:
    seen = snapshot.get(BUILD)
    return Desired(
        BUILD,
        {"commit": commit, "state": "READY"},
        risk="none: it serves nothing until it is promoted",
        undo="none needed: it serves nothing",
        undo_of_create="none needed: it serves nothing",
        action="wait" if seen.attributes.get("coming_commit") == commit else None,
    )


def _promotion(commit: str, snapshot: Snapshot, deployments: Iterable[Desired]) -> Desired:
    seen = snapshot.get(PROMOTION)
    back = f"RB-040 goes back to build {seen.attributes['id']}" if seen.attributes.get("id") else "none: no page served"
    return Desired(
        PROMOTION,
        {"commit": commit},
        depends_on=(BUILD, *(one.address for one in deployments)),
        risk="low: the domains move to a build that is ready; nothing is built",
        undo=back,
        undo_of_create=back,
        action="wait" if _is_on_its_way(snapshot) else "promote",
    )


def _is_on_its_way(snapshot: Snapshot) -> bool:
    """Whether the vendor is moving the domains to this very build."""
    going, build = snapshot.get(PROMOTION).attributes.get("moving_to"), snapshot.get(BUILD).attributes.get("id")
    return going is not None and going == build


def _smoke(before: Iterable[str], deployments: Iterable[Desired], checks: str) -> Desired:
    needs = (PROMOTION, *before, *(one.address for one in deployments))
    told = "none needed: they only read"
    return Desired(SMOKE, {"checks": checks}, needs, "none: they only read", told, told, action="check")
