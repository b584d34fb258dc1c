"""The certificate of RB-050: issued when no row is open, with everything that it rests on. Pure.

Its cloud is in its bytes, and on the sandbox every part of its text says that it closes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pantheon_runbook.closure import TITLES, Facts, Table, latest_proof, signers, subject_of_run
from pantheon_runbook.errors import HeldError
from pantheon_runbook.evidence.attestation import Read, file_name
from pantheon_runbook.model import banner

_SCHEMA = "pantheon-runbook/certificate/1"
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Certificate:
    content: Mapping[str, Any]

    @property
    def cloud(self) -> str:
        return str(self.content["cloud"])

    @property
    def title(self) -> str:
        return title_of(self.cloud)


def title_of(cloud: str) -> str:
    return "CERTIFICATE" if cloud == "live" else "REHEARSAL CERTIFICATE: it closes nothing"


def certified(table: Table, facts: Facts, *, run_id: str) -> Certificate:
    """The certificate. Errors: HeldError that names the first open criterion and what to type."""
    if table.open or not table.rows:
        first = table.open[0]
        raise HeldError(
            f"F25 cannot be closed: {len(table.open)} of {len(table.rows)} rows are open, first: {first.criterion}, "
            f"{first.evidence}",
            why=f"{first.state}: {first.why}",
            state="no certificate was issued",
            next_step=first.next_step,
        )
    return Certificate(
        {
            "schema": _SCHEMA,
            "title": title_of(table.cloud),
            "watermark": banner(table.cloud),
            "counts": f"in the sealed bundle of run {run_id[:8]}, when its verdict is done: evidence verify tells",
            "closes": "F25: isolated staging by default, production write-protected",
            "cloud": table.cloud,
            "environment": table.environment,
            "runbook": "RB-050",
            "issued_at": table.at,
            "run": run_id,
            "dates": "an attestation's signer's own word; the chain shows that it stood here by issued_at",
            "rows": [asdict(row) for row in table.rows],
            "open_ways": [dict(one) for one in facts.open_ways],
            "rests_on": dict(sorted(_rests_on(facts).items())),
            "attestations": {name: dict(read.envelope) for name, read in sorted(_counted(facts).items())},
        }
    )


def _rests_on(facts: Facts) -> dict[str, str]:
    """The sha256 of everything, by name."""
    subjects = [read.said.subject for read in _counted(facts).values() if read.said]
    proof = latest_proof(facts)
    listed = {**facts.decided_by, **(subject_of_run(proof) if proof else _NOTHING)}
    return {name: digest for subject in (*subjects, listed) for name, digest in subject.items()}


def _counted(facts: Facts) -> dict[str, Read]:
    """The attestations that were asked for; a file of somebody else's beside them is not taken along."""
    if facts.decided is None:
        return {}
    names = {file_name(one, person) for one, people in signers(facts.decided).items() for person in people}
    return {name: read for name, read in facts.attestations.items() if name in names}


def stood_for(certificate: Certificate) -> dict[str, str]:
    """Per criterion by its title, by whose word or look it is met."""
    rows = certificate.content["rows"]
    return {
        title: ", ".join(sorted({row["signer"] for row in rows if row["criterion"] == criterion}))
        for criterion, title in TITLES.items()
    }


def open_ways(certificate: Certificate) -> tuple[str, ...]:
    """One line each: closing F25 does not close them, and says so."""
    return tuple(_way(one) for one in certificate.content["open_ways"])


def _way(one: Mapping[str, str]) -> str:
    return f"{one['address']}: {one['what']}: {one['found']} -> {one['next_step']}"


def certificate_text(certificate: Certificate) -> str:
    """As Markdown. The first and the last line, and every heading, say which cloud it is of."""
    content = certificate.content
    mark = content["watermark"]
    lines = [f"# {mark}: {certificate.title}", "", f"{content['closes']}.", "", f"It counts {content['counts']}.", ""]
    lines += [f"- {name}: {content[name]}" for name in ("cloud", "environment", "issued_at", "run")]
    for criterion, title in TITLES.items():
        lines += ["", f"## {title} ({mark})", ""]
        for row in (row for row in content["rows"] if row["criterion"] == criterion):
            by = ", ".join(part for part in (row["date"], row["signer"], row["source"]) if part)
            lines.append(f"- {row['state']}: {row['evidence']} ({by})")
    lines += ["", f"A date is {content['dates']}.", "", f"## ways into production that are open ({mark})", ""]
    lines += [f"- {_way(one)}" for one in content["open_ways"]] or ["- none that the isolation proof could see"]
    lines += ["", f"## what it rests on, by sha256 ({mark})", ""]
    lines += [f"- {digest}  {name}" for name, digest in content["rests_on"].items()]
    return "\n".join((*lines, "", f"{mark}: {certificate.title}")) + "\n"
