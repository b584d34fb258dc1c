"""Counting requests as a vendor does: so many in a window that starts with the first one."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass
class Window:
    """One caller's open window on the machine's monotonic clock (a pinned world still has a rate)."""

    started_at: float
    requests: int = 0


@dataclass(frozen=True)
class Count:
    """Where a caller stands after this request."""

    limit: int
    remaining: int
    resets_in_seconds: int
    exceeded: bool


@dataclass
class RateLimit:
    """Requests per window and caller; what is over the limit is refused until the window closes."""

    window_seconds: float
    windows: dict[str, Window] = field(default_factory=dict)

    def count(self, caller: str, limit: int) -> Count:
        """Count one request of `caller` against `limit`."""
        now = time.monotonic()
        window = self.windows.get(caller)
        if window is None or now - window.started_at >= self.window_seconds:
            window = self.windows[caller] = Window(now)
        window.requests += 1
        return Count(
            limit=limit,
            remaining=max(0, limit - window.requests),
            resets_in_seconds=max(1, math.ceil(window.started_at + self.window_seconds - now)),
            exceeded=window.requests > limit,
        )
