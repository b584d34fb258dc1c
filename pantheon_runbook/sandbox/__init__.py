"""The embedded cloud: the vendors' control planes in front of real databases, Redis servers and processes."""

from __future__ import annotations

from pantheon_runbook.servers import ServerError

__all__ = ["SandboxError"]


class SandboxError(ServerError):
    """The sandbox could not do what was asked; the message says what, why and what to do."""
