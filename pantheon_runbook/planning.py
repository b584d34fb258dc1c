"""From what is and what should be to what to do; pure, and the same bytes for the same inputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from pantheon_runbook.model import Change, Desired, Plan, Resource, Snapshot

_LONGEST_VALUE = 40


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


def shown(attributes: Mapping[str, Any], *, like: Mapping[str, Any] | None = None) -> str:
    """Attributes in one line for a reader; values of ours by the first 8 characters of their fingerprints.

    `like` leaves only the attributes that it names.
    """
    names = sorted(attributes if like is None else set(attributes) & set(like))
    return ", ".join(f"{name} {_shown_value(attributes[name])}" for name in names)


def _shown_value(value: Any) -> str:
    if isinstance(value, Mapping):
        fingerprint = value.get("fingerprint")
        return f"#{fingerprint[:8]}" if fingerprint else "cannot be read"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)


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


def plan_difference(read: bytes, plan: Plan) -> str:
    """What is not the same in a plan that was read and in the plan of now, in one line: first of all its changes."""
    before, now = json.loads(read), json.loads(plan.to_bytes())
    then, today = ({one["address"]: one for one in listed["changes"]} for listed in (before, now))
    sorts = {
        "no longer to change": sorted(then.keys() - today.keys()),
        "new": sorted(today.keys() - then.keys()),
        "to change in another way": sorted(one for one in then.keys() & today.keys() if then[one] != today[one]),
    }
    told = [f"{words}: {few(addresses)}" for words, addresses in sorts.items() if addresses]
    others = sorted(name for name in now if before[name] != now[name] and name != "release")
    rested, rests = before["release"], now["release"]
    others += [f"the release's {one}" for one in _differences(rested, rests)]
    return "; ".join(told) or f"the same changes, but {few(others) or 'other bytes'}"


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Each value that differs, by the dotted name of its place: what it is, and what it was."""
    if before == now:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
    else:
        yield f"{name} is {_in_few(now)}, was {_in_few(before)}"


def _in_few(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def few(names: Sequence[str], *, most: int = 3, parted: str = ", ") -> str:
    """The first of them in one line, and how many more there are."""
    left = f"{parted.rstrip(', ')} and {len(names) - most} more" if len(names) > most else ""
    return parted.join(names[:most]) + left


def is_plan(read: bytes) -> bool:
    """Whether these bytes are a plan.json of this version of the tool, by its fields."""
    try:
        told = json.loads(read)
    except (ValueError, RecursionError):
        return False
    if not isinstance(told, dict) or set(told) != {one.name for one in fields(Plan)}:
        return False
    changes = told["changes"]
    return isinstance(changes, list) and all(isinstance(one, dict) and "address" in one for one in changes)


def is_plan_for(read: bytes, plan: Plan) -> bool:
    """Whether a plan that was read is for the same cloud, environment and runbook, and the same production."""
    before, now = json.loads(read), json.loads(plan.to_bytes())
    return all(before[name] == now[name] for name in ("cloud", "environment", "runbook", "production"))


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
        production=dict(snapshot.production),
        snapshot_digest=snapshot.digest,
        parameters=dict(parameters),
        changes=changes,
        left_alone=left_alone,
        findings=snapshot.findings,
        manual_steps=tuple(manual_steps),
        calls={vendor: dict(cost) for vendor, cost in calls.items()},
    )
