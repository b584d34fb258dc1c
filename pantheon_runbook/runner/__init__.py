"""The notebook's way in: `Run`."""

from pantheon_runbook.runner.run import Run

__all__ = ["Run"]
