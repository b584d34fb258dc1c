"""Where a run's folder is, while it runs and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.evidence.verify import NOTE, RUNNING


@dataclass(frozen=True)
class Place:
    """Where a bundle will be, and what it is about. `name` is `<utc>-<RB id>-<environment>-<short run id>`."""

    evidence: Path
    cloud: str
    environment: str
    runbook: str
    run_id: str
    started_at: str

    @property
    def name(self) -> str:
        moment = self.started_at.replace("-", "").replace(":", "")
        return f"{moment}-{self.runbook}-{self.environment}-{self.run_id[:8]}"

    @property
    def running(self) -> Path:
        return self.evidence / RUNNING / self.name

    @property
    def sealed(self) -> Path:
        return self.evidence / self.name

    @property
    def note(self) -> Path:
        """Beside the folder, not in it: what is in the folder is sealed."""
        return self.evidence / RUNNING / f"{self.name}{NOTE}"
