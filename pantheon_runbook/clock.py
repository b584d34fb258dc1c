"""Time, identifiers and randomness: the one place they come from, and the one place a test pins them.

A pin makes passwords predictable, so it is honoured for the sandbox only (`runner.wiring` refuses it on live).
"""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST_NUMBER = 4


@dataclass
class _Source:
    pinned: str | None = None
    counted: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_source = _Source()


def pin(moment: str | None) -> None:
    """Stand still at `moment` (ISO 8601, UTC) and derive every id and password from it; None unpins."""
    _source.pinned = moment
    _source.counted.clear()


def now() -> datetime:
    """UTC, whole seconds."""
    if _source.pinned is not None:
        return datetime.fromisoformat(_source.pinned).astimezone(UTC).replace(microsecond=0)
    return datetime.now(UTC).replace(microsecond=0)


def stamp(*, after_seconds: float = 0) -> str:
    """`now`, or some time after it, as text, for example "2026-11-23T10:00:00Z"."""
    return (now() + timedelta(seconds=after_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(text: str) -> timedelta:
    """How long "90m", "24h" or "7d" is. Raises ValueError for anything else."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit()) or unit not in _UNITS or len(number) > _LONGEST_NUMBER:
        raise ValueError("it is no time such as 90m, 24h or 7d")
    return int(number) * _UNITS[unit]


def token(name: str, *, length: int = 32) -> str:
    """`length` hexadecimal characters (at most 64) that nobody can guess; `name` keeps pinned ones apart."""
    if _source.pinned is None:
        return secrets.token_hex(32)[:length]
    with _source.lock:
        _source.counted[name] = _source.counted.get(name, 0) + 1
        seed = f"{_source.pinned}|{name}|{_source.counted[name]}"
    return hashlib.sha256(seed.encode()).hexdigest()[:length]


def monotonic() -> float:
    """Seconds for measuring durations; never pinned."""
    return time.monotonic()


def sleep(seconds: float, *, unless: threading.Event | None = None) -> bool:
    """Wait, and say whether `unless` was set meanwhile; durations are real even when the calendar is pinned."""
    if unless is not None:
        return unless.wait(seconds)
    time.sleep(seconds)
    return False


def jittered(seconds: float) -> float:
    """Between half and all of `seconds`, so that clients who failed together do not return together."""
    return seconds * (0.5 + random.random() / 2)  # noqa: S311  spreading retries needs no cryptography
