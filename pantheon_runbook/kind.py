"""What every kind of resource can do: be looked at, be written, settle. A provider is a handful of kinds."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pantheon_runbook import clock
from pantheon_runbook.errors import RefusedError, StopRequestedError, VendorUnavailableError
from pantheon_runbook.isolation.marks import Trace
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.secrets import Vault

_LONGEST_PAUSE_SECONDS = 30.0  # 15 minutes of waiting stay under the 100 requests an hour of a Free plan
_SAID_AGAIN_SECONDS = 5.0

ROLL_BACK = "roll back"  # the action by which production goes back to what served before
Fingerprint = Callable[[str], str]


@dataclass(frozen=True)
class Look:
    """What one kind saw. `identities` are the names the vendor itself gives to where we are.

    `files` go into the bundle beside the snapshot: what was measured on the way and differs from time to time.
    """

    resources: tuple[Resource, ...] = ()
    findings: tuple[Finding, ...] = ()
    identities: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What every kind is given: the vault, how long a wait may last, and who to tell what is waited for.

    `stop` is set when the run is to end early. `pins` maps a name to the fingerprint of one of production's secrets.
    """

    vault: Vault
    wait_seconds: float
    progress: Callable[[str], None]
    pins: Mapping[str, str] = field(default_factory=dict)
    restores_paused: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    find: Callable[[str], tuple[Trace, ...]] = lambda _text: ()  # what is production's in a text, as `guard` finds it

    @property
    def seconds_until_listed(self) -> float:
        """How long a thing that was made may be missing in a list before it is made again: names are not unique."""
        return self.wait_seconds / 60

    def wait_until(
        self, is_done: Callable[[], bool], *, what: str, vendor: str, shortest_pause_seconds: float = 0.05
    ) -> None:
        """Ask again and again, each pause 15 % of the time waited so far: few calls, and never much too late.

        `shortest_pause_seconds` is for what is asked side by side under a small limit an hour.
        Errors: VendorUnavailableError after `wait_seconds`, StopRequestedError as soon as `stop` is set.
        """
        started = clock.monotonic()
        while not is_done():
            waited = clock.monotonic() - started
            if waited > self.wait_seconds:
                raise VendorUnavailableError(
                    f"{vendor}: {what} is not there after {waited:.0f} s",
                    vendor=vendor,
                    operation=what,
                    why="the vendor is still working on it, or has given up",
                    state="changed in part: what was asked for exists but is not ready",
                    next_step="look at the vendor's dashboard; running again goes on from there",
                )
            pause = min(_LONGEST_PAUSE_SECONDS, max(shortest_pause_seconds, waited * 0.15))
            if self._paused(pause, waited, what):
                raise StopRequestedError(
                    f"the wait for {what} was broken off",
                    why="the run was told to stop",
                    state=f"{what} may still be on its way at {vendor}",
                    next_step="run the plan again: it looks first and goes on from there",
                )

    def _paused(self, pause: float, waited: float, what: str) -> bool:
        """Whether `stop` was set meanwhile; a long pause says now and then that it still lasts."""
        while pause > 0:
            self.progress(f"waiting for {what} ({waited:.0f} s)")
            part = min(pause, _SAID_AGAIN_SECONDS)
            if clock.sleep(part, unless=self.stop):
                return True
            pause, waited = pause - part, waited + part
        return False


class Kind(ABC):
    """Resources whose addresses begin with `prefix`.

    `look` reads only. `write` makes one change and sends as few requests as the vendor allows. `settle` waits,
    reads only, until others can build on the change, and puts into the vault what it brought.
    """

    prefix: str
    looks_after: tuple[str, ...] = ()

    @abstractmethod
    def look(self) -> Look:
        """What stands there now. Errors: RunbookError."""

    def ids(self) -> tuple[str, ...]:
        """Ids at the vendor that its last look has found, and that a write of this run may name; no request is sent."""
        return ()

    def write(self, change: Change) -> str | None:
        """Refused, unless a kind says otherwise: some are only looked at. The answer says why nothing was sent."""
        raise RefusedError(
            f"{change.address} was about to be written",
            why=f"{self.prefix} is only looked at",
            next_step="report this as a bug, with the journal of this run",
        )

    def settle(self, change: Change) -> None:  # noqa: B027  most kinds have nothing to wait for
        """Nothing to wait for, unless a kind says otherwise."""

    def close(self) -> None:  # noqa: B027  most kinds have nothing to close
        """Let go of connections of its own; most kinds have none."""

    def seconds_until_seen(self, change: Change) -> float:  # noqa: ARG002  some kinds tell by the change
        """How long a write that took effect may go unseen; before that a lost one is not repeated."""
        return 0.0

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """Whether a write whose answer was lost took effect, by what a look has seen since."""
        if change.action == "create":
            return seen.state == "present"
        return all(seen.attributes.get(name) == want for name, want in change.after.items())


def told_apart(found: Iterable[Resource]) -> list[Resource]:
    """Nothing is lost where two things have one address: each gets the head of its id behind it."""
    resources = list(found)
    addresses = Counter(resource.address for resource in resources)
    return [
        resource
        if addresses[resource.address] == 1
        else replace(resource, address=f"{resource.address}#{resource.attributes['id'][:8]}")
        for resource in resources
    ]


def values_have_landed(vault: Vault, change: Change, seen: Resource) -> bool:
    """The plan may not have known the fingerprints; by now the vault holds every value that was sent."""
    return all(
        (seen.attributes.get(name) or {}).get("fingerprint") == vault.fingerprint_of(vault.text(want["from"]))
        for name, want in change.after.items()
    )


def production_finding(
    around: Surroundings, address: str, name: str, *, fingerprint: str | None, value: str = ""
) -> Finding | None:
    """A finding when a variable of staging holds one of production's pinned secrets, or names its database or host."""
    pinned = next((pin for pin, known in around.pins.items() if known == fingerprint), None)
    if pinned is not None:
        return Finding(
            "production-secret",
            f"{address}/{name}",
            f"{name} holds production's secret ({pinned})",
            f"remove {name} from {address} at the vendor, rotate it in production, then plan again",
        )
    trace = next(iter(around.find(value)), None)
    if trace is not None:
        return Finding(
            "production-secret" if trace.is_secret else "points-at-production",
            f"{address}/{name}",
            f"{name} holds {trace.what}",
            f"remove {name} from {address} at the vendor, or give it staging's value, then plan again",
        )
    return None
