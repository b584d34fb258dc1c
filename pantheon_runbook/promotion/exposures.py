"""Whether production could be changed past a promotion: ways in that are open, and who accepts which. Pure.

RB-060 tells of them; here they keep a promotion from starting, unless pantheon.toml declares them and the day has not
passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

from pantheon_runbook.config import AcceptedExposure
from pantheon_runbook.model import Exposure, Finding

VENDORS = ("railway", "supabase", "vercel")
_DECLARE = "accepted_exposures in pantheon.toml, with owner, reason and expiry"


def exposure_findings(
    exposures: Iterable[Exposure], accepted: Iterable[AcceptedExposure], *, now: datetime
) -> tuple[Finding, ...]:
    """What RB-060's looks found, held against what the team declared; sorted by address.

    Open and undeclared, and declared until a day that has passed, block; so does a vendor that nobody looked at.
    """
    seen, declared = tuple(exposures), {one.address: one for one in accepted}
    found = [
        *_unseen(seen),
        *(finding for one in seen for finding in _of(one, declared.get(one.address), now)),
        *_needless(seen, declared),
    ]
    return tuple(sorted(found, key=lambda one: (one.address, one.code)))


def _of(one: Exposure, accepted: AcceptedExposure | None, now: datetime) -> Iterator[Finding]:
    address, is_open = f"exposure/{one.address}", f"a way into production is open, {one.what}: {one.found}"
    if one.state == "cannot be read":
        what = f"whether a way into production is open cannot be read, {one.what}: {one.found}"
        yield Finding("exposure-not-read", address, what, one.next_step, blocks=False)
    elif one.state == "open" and accepted is None:
        yield Finding("open-exposure", address, is_open, f"{one.next_step}; or declare {one.address} under {_DECLARE}")
    elif one.state == "open" and accepted is not None and _has_passed(accepted, now):
        what = f"{is_open}; {accepted.owner} accepted it until {accepted.expires}, which has passed"
        step = f"{one.next_step}; or let {accepted.owner} say anew until when, under {_DECLARE}"
        yield Finding("acceptance-expired", address, what, step)
    elif one.state == "open" and accepted is not None:
        what = f"{is_open}; accepted by {accepted.owner} until {accepted.expires}: {accepted.reason}"
        yield Finding("accepted-exposure", address, what, one.next_step, blocks=False)


def _has_passed(accepted: AcceptedExposure, now: datetime) -> bool:
    """It holds for the whole of its last day, in UTC."""
    return now.date() > date.fromisoformat(accepted.expires)


def _unseen(seen: Iterable[Exposure]) -> Iterator[Finding]:
    """An empty list is no proof that nothing is open."""
    looked_at = {one.address.partition("/")[0] for one in seen}
    for vendor in VENDORS:
        if vendor not in looked_at:
            what = f"nobody has looked whether production can be changed past this tool at {vendor}"
            step = "pantheon-runbook doctor, and give a token that sees production; then plan again"
            yield Finding("exposures-not-looked-at", f"exposure/{vendor}", what, step)


def _needless(seen: Iterable[Exposure], declared: Mapping[str, AcceptedExposure]) -> Iterator[Finding]:
    """A declaration that outlives what it was for would let it be opened again unnoticed."""
    open_ones = {one.address for one in seen if one.state in {"open", "cannot be read"}}
    for address, one in sorted(declared.items()):
        if address not in open_ones:
            what = f"{one.owner} accepts {address} until {one.expires}, and it is not open"
            step = f"take {address} out of accepted_exposures in pantheon.toml"
            yield Finding("accepts-nothing", f"exposure/{address}", what, step, blocks=False)
