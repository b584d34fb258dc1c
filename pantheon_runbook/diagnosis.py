"""One line of what `doctor` says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pantheon_runbook.errors import RunbookError


@dataclass(frozen=True)
class Item:
    """One thing that a run needs. `next_step` is "" when it is there, or when a run can do without."""

    name: str
    found: str
    next_step: str = ""

    @property
    def passed(self) -> bool:
        return not self.next_step

    def as_json(self) -> dict[str, Any]:
        """{"name", "passed", "found", "next_step"}: the keys are a contract."""
        return {**asdict(self), "passed": self.passed}

    def line(self) -> str:
        """One line, and a second one with what to do."""
        shown = f"{'ok     ' if self.passed else 'MISSING'}  {self.name:<28} {self.found}"
        return f"{shown}\n{'':<9}next: {self.next_step}" if self.next_step else shown


def missing(name: str, error: RunbookError) -> Item:
    """What stops a run, as something that is not there yet."""
    return Item(name, f"{error.what} {error.why}", error.next_step)
