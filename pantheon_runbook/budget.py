"""How much may be sent: every HTTP request, login and statement is counted before it leaves, repeated ones too."""

from __future__ import annotations

from pantheon_runbook.errors import RefusedError


class Budget:
    """`allowed` of them for one environment and one command; BEGIN and ROLLBACK go with their statement."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.spent = 0

    def spend(self, what: str) -> None:
        """Count one that is about to be sent. Errors: RefusedError for the one that would be too many."""
        if self.spent >= self.allowed:
            raise RefusedError(
                f"the budget of {self.allowed} requests for smoke checks is spent",
                why=f"the next one would have been {what}",
                state="nothing was changed: smoke checks only read",
                next_step="declare fewer checks, or raise policy.smoke_requests in pantheon.toml",
            )
        self.spent += 1
