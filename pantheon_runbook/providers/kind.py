"""What every kind of resource can do: be looked at, be written, settle. A provider is a handful of kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pantheon_runbook.errors import RefusedError
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.secrets import Vault


@dataclass(frozen=True)
class Look:
    """What one kind saw. `identities` are the names the vendor itself gives to where we are."""

    resources: tuple[Resource, ...] = ()
    findings: tuple[Finding, ...] = ()
    identities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What every kind is given: the vault, how long a wait may last, and who to tell what is waited for."""

    vault: Vault
    wait_seconds: float
    progress: Callable[[str], None]
    pins: Mapping[str, str] = field(default_factory=dict)  # name -> fingerprint of one of production's secrets
    restores_paused: bool = False


class Kind(ABC):
    """Resources whose addresses begin with `prefix`.

    `look` reads only. `write` makes one change and sends as few requests as the vendor allows. `settle` waits,
    reads only, until others can build on the change, and puts into the vault what it brought.
    """

    prefix: ClassVar[str]
    looks_after: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def look(self) -> Look:
        """What stands there now. Errors: RunbookError."""

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

    def seconds_until_seen(self, change: Change) -> float:
        """How long a write that took effect may go unseen; before that a lost one is not repeated."""
        return 0.0

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """Whether a write whose answer was lost took effect, by what a look has seen since."""
        if change.action == "create":
            return seen.state == "present"
        return all(seen.attributes.get(name) == want for name, want in change.after.items())


def values_have_landed(vault: Vault, change: Change, seen: Resource) -> bool:
    """The plan may not have known the fingerprints; by now the vault holds every value that was sent."""
    return all(
        (seen.attributes.get(name) or {}).get("fingerprint") == vault.fingerprint_of(vault.text(want["from"]))
        for name, want in change.after.items()
    )


def pinned_finding(pins: Mapping[str, str], address: str, name: str, fingerprint: str) -> Finding | None:
    """A finding when this value is one of production's pinned secrets."""
    pinned = next((pin for pin, known in pins.items() if known == fingerprint), None)
    if pinned is None:
        return None
    return Finding(
        "production-secret",
        f"{address}/{name}",
        f"{name} holds production's secret ({pinned})",
        f"remove {name} from {address} at the vendor, rotate it in production, then plan again",
    )
