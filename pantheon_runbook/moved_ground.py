"""What stands differently than when a plan was made, in one line for whoever made it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pantheon_runbook.model import Snapshot, canonical
from pantheon_runbook.planning import few

# What is measured on a copy of the rest: it moves because something else did.
_FOLLOWS = "database/rehearsal/"
_SHOWN_CHARACTERS = 48  # a digest is longer: that it is another is all there is to say of it

Seen = Mapping[str, Any]


def as_kept(snapshot: Snapshot) -> dict[str, Any]:
    """As snapshot.json holds it."""
    return dict(json.loads(canonical(asdict(snapshot))))


def ground_difference(before: Seen, now: Seen) -> str:
    """The first things that differ, each with what of it; both sides `as_kept`."""
    told = list(_of_resources(before, now))
    told = [one for one in told if not one.startswith(_FOLLOWS)] or told
    told = told or [*_of_identities(before, now), *_of_findings(before, now)]
    return few(told, parted="; ")


def _of_resources(before: Seen, now: Seen) -> Iterator[str]:
    then, today = ({one["address"]: one for one in seen["resources"]} for seen in (before, now))
    for address in sorted(then.keys() | today.keys()):
        old, new = (seen.get(address, {"state": "absent", "attributes": {}}) for seen in (then, today))
        if old["state"] != new["state"]:
            names = sorted(old["attributes"].keys() | new["attributes"].keys())
            yield f"{address} is {new['state']}, and was {old['state']}{f': {few(names)}' if names else ''}"
        elif old != new:
            differ = ", ".join(_of_attributes(old["attributes"], new["attributes"]))
            note = f'now "{new["note"]}"'
            yield f"{address} changed: {differ or note}"


def _of_attributes(old: Seen, new: Seen) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            how = _how(old.get(name), new.get(name))
            yield f"{name} ({how})" if how else name


def _how(old: Any, new: Any) -> str:
    """Which of several, or from what to what; "" when the name alone says it."""
    if isinstance(old, list) and isinstance(new, list):
        return few(list(_of_lists(_by_name(old), _by_name(new))))
    shown = [_shown(one) for one in (old, new)]
    return f"{shown[1]}, was {shown[0]}" if all(shown) else ""


def _by_name(listed: Sequence[Any]) -> dict[str, Any]:
    return {str(one.get("id", one)) if isinstance(one, Mapping) else str(one): one for one in listed}


def _of_lists(old: Seen, new: Seen) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name) and len(name) <= _SHOWN_CHARACTERS:
            yield f"{name} is {'new' if name not in old else 'gone' if name not in new else 'another'}"


def _shown(value: Any) -> str:
    """What fits on a line; "" for all that does not."""
    if value is None:
        return "none"
    text = str(value) if isinstance(value, str | int | float) else ""
    return text if len(text) <= _SHOWN_CHARACTERS and text.isprintable() else ""


def _of_identities(before: Seen, now: Seen) -> Iterator[str]:
    then, today = before["identities"], now["identities"]
    for name in sorted(then.keys() | today.keys()):
        if then.get(name) != today.get(name):
            yield f"{name} is {today.get(name, 'not told')}, and was {then.get(name, 'not told')}"


def _of_findings(before: Seen, now: Seen) -> Iterator[str]:
    yield from (f"found now: {one['what']}" for one in now["findings"] if one not in before["findings"])
    yield from (f"found no longer: {one['what']}" for one in before["findings"] if one not in now["findings"])
