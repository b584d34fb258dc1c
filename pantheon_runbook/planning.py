"""From what is and what should be to what to do; pure, and the same bytes for the same inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pantheon_runbook.model import Change, Desired, Plan, Resource, Snapshot


def difference(desired: Desired, seen: Resource) -> tuple[str, ...]:
    """Names of the attributes that are not as desired, sorted; () means there is nothing to do."""
    if seen.state == "absent":
        return tuple(sorted(desired.attributes)) or ("existence",)
    return tuple(
        sorted(name for name, want in desired.attributes.items() if not is_same(want, seen.attributes.get(name)))
    )


def is_same(want: Any, have: Any) -> bool:
    """Equal values; a value of ours is the same when its fingerprint is known on both sides and equal."""
    if isinstance(want, Mapping) and "from" in want:
        expected = want["fingerprint"]
        return expected is not None and isinstance(have, Mapping) and have.get("fingerprint") == expected
    return bool(want == have)


def plan_changes(
    wanted: Iterable[Desired], snapshot: Snapshot
) -> tuple[tuple[Change, ...], tuple[tuple[str, str], ...]]:
    """The changes in an order that respects dependencies, and each address left alone with its reason."""
    changes: list[Change] = []
    left_alone: list[tuple[str, str]] = []
    for desired in in_order(wanted):
        seen = snapshot.get(desired.address)
        names = difference(desired, seen)
        if not names:
            left_alone.append((desired.address, seen.note or "already as desired"))
            continue
        changes.append(_change(desired, seen, names))
    addresses = {change.address for change in changes}
    return tuple(_with_open_dependencies(change, addresses) for change in changes), tuple(left_alone)


def _change(desired: Desired, seen: Resource, names: tuple[str, ...]) -> Change:
    is_new = seen.state == "absent"
    return Change(
        address=desired.address,
        action=desired.action or ("create" if is_new else "update"),
        before={name: seen.attributes[name] for name in names if name in seen.attributes},
        after={name: desired.attributes[name] for name in names if name in desired.attributes},
        depends_on=desired.depends_on,
        risk=desired.risk,
        undo=desired.undo_of_create if is_new else desired.undo,
    )


def _with_open_dependencies(change: Change, addresses: set[str]) -> Change:
    """A dependency that needs no change is met already; only the others order the work."""
    open_ones = tuple(sorted(set(change.depends_on) & addresses))
    return replace(change, depends_on=open_ones)


def in_order(wanted: Iterable[Desired]) -> tuple[Desired, ...]:
    """Dependencies first, then by address: one order, whatever order they came in."""
    waiting = {desired.address: desired for desired in wanted}
    ordered: list[Desired] = []
    while waiting:
        ready = sorted(
            address for address, desired in waiting.items() if not any(need in waiting for need in desired.depends_on)
        )
        if not ready:
            raise ValueError(f"these depend on each other: {', '.join(sorted(waiting))}")
        ordered.extend(waiting.pop(address) for address in ready)
    return tuple(ordered)


def build_plan(
    wanted: Iterable[Desired],
    snapshot: Snapshot,
    *,
    runbook: str,
    runbook_digest: str,
    parameters: Mapping[str, Any],
    manual_steps: Iterable[str],
    calls: Mapping[str, Mapping[str, Any]],
) -> Plan:
    """One plan; time, host and tool versions stay outside, so that it can be made again and compared."""
    changes, left_alone = plan_changes(wanted, snapshot)
    return Plan(
        cloud=snapshot.cloud,
        environment=snapshot.environment,
        runbook=runbook,
        runbook_digest=runbook_digest,
        identities=dict(snapshot.identities),
        snapshot_digest=snapshot.digest,
        parameters=dict(parameters),
        changes=changes,
        left_alone=left_alone,
        findings=snapshot.findings,
        manual_steps=tuple(manual_steps),
        calls={vendor: dict(cost) for vendor, cost in calls.items()},
    )
