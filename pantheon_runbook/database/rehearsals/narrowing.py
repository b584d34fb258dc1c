"""Whether a column's new type holds less than its former one: pure, by PostgreSQL's own spelling of types."""

from __future__ import annotations

import re

# From narrow to wide; a value of the left one is a value of every one to its right.
_WIDENING = (
    ("smallint", "integer", "bigint", "numeric"),
    ("real", "double precision"),
    ("date", "timestamp without time zone"),
    ("date", "timestamp with time zone"),
    ("json", "text"),
    ("cidr", "inet"),
)
_TEXTS = ("text", "character varying", "citext")


def is_narrower(before: str, after: str) -> bool:
    """True when a value may not fit any more, or loses a part; a pair of types that is not known is taken for that."""
    old, old_limits = _parsed(before)
    new, new_limits = _parsed(after)
    if before == after:
        return False
    if new in _TEXTS and (old in _TEXTS or not new_limits):
        return _is_less(old_limits, new_limits)
    if old == new:
        return _is_less(old_limits, new_limits)
    if {old, new} == {"timestamp without time zone", "timestamp with time zone"}:
        return _is_less(old_limits, new_limits)
    is_widening = any(old in chain and new in chain and chain.index(old) < chain.index(new) for chain in _WIDENING)
    return not is_widening or bool(new_limits)


def _is_less(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """No limit is the widest; numeric(p, s) holds p - s digits before the point and s behind it."""
    if not new:
        return False
    if not old:
        return True
    if len(old) > 1 and len(new) > 1:
        return new[0] - new[1] < old[0] - old[1] or new[1] < old[1]
    return new[0] < old[0]


def _parsed(spelled: str) -> tuple[str, tuple[int, ...]]:
    """("timestamp with time zone", (3,)) for "timestamp(3) with time zone"."""
    found = re.search(r"\(([\d, ]+)\)", spelled)
    if found is None:
        return spelled, ()
    limits = tuple(int(number) for number in found[1].split(","))
    return spelled.replace(found[0], ""), limits
