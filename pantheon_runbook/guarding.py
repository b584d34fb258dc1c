"""What `guard` says: whether local files hold something of production's, by what the team has committed about it.

Reads only, and only files: no vendor, no network, no credentials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.config import evidence_folder
from pantheon_runbook.isolation.local_files import Decided, Report, examine
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.model import counted
from pantheon_runbook.runner.surroundings import Committed, committed

OLD_DAYS = 90


@dataclass(frozen=True)
class Guarded:
    """A report, and what it was made by: `cloud` and `production` say whose production was looked for."""

    report: Report
    cloud: str
    production: str
    pins: int
    pins_from: str
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """{"cloud", "production", "pins", "pins_from", "files", "findings", "skipped", "notes"}: a contract."""
        return {
            "cloud": self.cloud,
            "production": self.production,
            "pins": self.pins,
            "pins_from": self.pins_from,
            **asdict(self.report),
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """For people: each finding with what to do, what was left out, and the counts last."""
        for finding in self.report.findings:
            place = finding.path if finding.line is None else f"{finding.path}:{finding.line}"
            yield f"{_printable(place)}  {finding.what}"
            yield f"  next: {finding.next_step}"
        for skipped in self.report.skipped:
            yield f"{_printable(skipped.path)}  skipped: {skipped.why}"
        yield from self.notes
        counts = (
            counted(len(self.report.findings), "finding"),
            counted(self.report.files, "file"),
            f"{len(self.report.skipped)} skipped",
        )
        pins = f"{counted(self.pins, 'pin')} of {_printable(self.pins_from)}"
        yield f"{', '.join(counts)}; production is {self.production} ({self.cloud}), {pins}"


def guard(paths: Sequence[Path] = ()) -> Guarded:
    """What is in the paths, or in this folder, of production's. Errors: ConfigError when nothing tells it apart."""
    known = committed()
    production = known.identities.production
    decided = Decided(
        files=frozenset({known.path.resolve(), known.identities_path.resolve()}),
        folder=evidence_folder().resolve(),
    )
    return Guarded(
        report=examine(paths, Search(Marks.of(known.identities)), decided),
        cloud=known.config.cloud,
        production=production.supabase_ref,
        pins=len(production.pins),
        pins_from=str(known.identities_path),
        notes=tuple(_notes(known)),
    )


def _notes(known: Committed) -> Iterator[str]:
    """What weakens the answer."""
    production, name = known.identities.production, known.identities_path.name
    if not production.pins:
        yield f"0 pins in {name}: only ids and hosts were looked for, no secrets"
        return
    days = days_since(production.pinned_at)
    if days is None:
        yield f"the pins are of an unknown age: pinned_at in {name} is no date"
    elif days > OLD_DAYS:
        yield f"the pins are {days} days old: what production has made since is not known; pin again"


def days_since(pinned_at: str) -> int | None:
    """Whole days from then to now; None when it is no date."""
    try:
        moment = datetime.fromisoformat(pinned_at)
    except ValueError:
        return None
    return (clock.now() - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).days


def _printable(name: str) -> str:
    """A file may be called anything, and what a terminal would obey is not for a terminal."""
    return name if name.isprintable() else ascii(name)[1:-1]
