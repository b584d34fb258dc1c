"""The smoke checks of production as a step of a unit of work: what comes after it waits for all of them to pass."""

from __future__ import annotations

from pantheon_runbook import smoke
from pantheon_runbook.errors import NotVerifiedError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Change, Check
from pantheon_runbook.promotion.unit import SMOKE
from pantheon_runbook.runner.surroundings import World


class SmokeStep(Kind):
    """Never "as desired" before it was made: what was true an hour ago is no answer."""

    prefix = SMOKE

    def __init__(self, outside: World, progress: smoke.Progress) -> None:
        self._outside = outside
        self._progress = progress

    def look(self) -> Look:
        return Look()

    def checks(self) -> tuple[Check, ...]:
        """Made now; reads only. Errors: RunbookError."""
        place = smoke.production_place(self._outside)
        return smoke.checked(self._outside, place, progress=self._progress).checks

    def write(self, change: Change) -> str | None:
        return "it only reads"

    def settle(self, change: Change) -> None:
        """Errors: NotVerifiedError for the first that fails."""
        wrong = [one for one in self.checks() if not one.passed]
        if wrong:
            raise NotVerifiedError(
                f"{len(wrong)} smoke checks of production failed, first: {wrong[0].name}",
                why=f"expected {wrong[0].expected}, found {wrong[0].found}",
                state="changed in part: what came before the checks stands, what waits for them was not begun",
                next_step="put right what it names",
            )
