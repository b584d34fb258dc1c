"""A run that changes nothing: it observes, compares, and says whether what it found may stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pantheon_runbook.model import Check, Finding, Snapshot, Verification, WithFiles
from pantheon_runbook.session import Session, file_digests

MODE = "check"  # neither a plan run nor an apply run


class Compared(WithFiles, Protocol):
    """What was held against what, for a card and for the bundle."""

    @property
    def checks(self) -> tuple[Check, ...]: ...


class Comparing(Protocol):
    """What one such runbook holds against what; reads only."""

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]: ...

    def compare(self, snapshot: Snapshot) -> Compared: ...

    def conclude(self, snapshot: Snapshot, compared: Any) -> Verification:
        """What follows from it. Errors: RunbookError when it may not stand."""
        ...

    def summary(self, compared: Any) -> str:
        """What the verdict says when it may stand, in one line."""
        ...


@dataclass
class ComparingSession(Session):
    """Three acts, and a gate that stays shut in all of them."""

    acts: ClassVar[tuple[str, ...]] = ("observe", "compare", "verify")
    definition: Comparing  # type: ignore[assignment]  # it plans nothing

    def __post_init__(self) -> None:
        super().__post_init__()
        self.compared: Compared | None = None

    def _judged(self, seen: Snapshot) -> Snapshot:
        return seen  # nothing is wanted of it

    def _compare(self) -> tuple[Compared, dict[str, Any]]:
        assert self.snapshot is not None
        self.compared = self.definition.compare(self.snapshot)
        return self.compared, {"compared": len(self.compared.checks), "files": file_digests(self.compared)}

    def _verify(self) -> tuple[Verification, dict[str, Any]]:
        assert self.snapshot is not None
        assert self.compared is not None
        self.checks = tuple(sorted(self.compared.checks, key=lambda check: check.passed))  # what failed comes first
        self.journal.write("checks", checks=[[one.name, one.expected, one.found, one.passed] for one in self.checks])
        concluded = self.definition.conclude(self.snapshot, self.compared)
        facts = {"summary": self.definition.summary(self.compared), "endpoints": dict(concluded.endpoints)}
        facts |= {"by_hand": list(concluded.manual_steps), "identities": dict(self.snapshot.identities)}
        return concluded, {"passed": len(self.checks), **facts, "files": file_digests(concluded)}
