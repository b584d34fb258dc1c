"""No promotion while a way into production is open, unless somebody answers for it until a day."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from pantheon_runbook.config import AcceptedExposure, parse_config
from pantheon_runbook.errors import ConfigError
from pantheon_runbook.model import Exposure, ExposureState, Finding
from pantheon_runbook.promotion.exposures import exposure_findings

NOW = datetime.fromisoformat("2026-11-23T10:00:00Z")
STEP = "give everybody but one owner the role Read-only"
CLOSED = tuple(Exposure(f"{vendor}/token", "", "closed by vendor", "") for vendor in ("railway", "supabase", "vercel"))


def way(state: ExposureState) -> Exposure:
    return Exposure("supabase/members", "members who can write", state, "3 of 5 can write", STEP)


def accepts(expires: str, address: str = "supabase/members") -> AcceptedExposure:
    return AcceptedExposure(address=address, owner="ops", reason="two people are on call", expires=expires)


def found(*seen: Exposure, accepted: tuple[AcceptedExposure, ...] = (), now: datetime = NOW) -> list[Finding]:
    return list(exposure_findings((*CLOSED, *seen), accepted, now=now))


CASES = {
    "open": ("open", "", ("open-exposure", True)),
    "declared": ("open", "2026-12-01", ("accepted-exposure", False)),
    "declared until today": ("open", "2026-11-23", ("accepted-exposure", False)),
    "declared until yesterday": ("open", "2026-11-22", ("acceptance-expired", True)),
    "unread": ("cannot be read", "", ("exposure-not-read", False)),
    "unread and declared": ("cannot be read", "2026-12-01", ("exposure-not-read", False)),
    "closed, still declared": ("closed by vendor", "2026-12-01", ("accepts-nothing", False)),
    "closed by us, still declared": ("closed by this tool", "2026-12-01", ("accepts-nothing", False)),
}


@pytest.mark.parametrize("name", CASES)
def test_each_way_is_judged(name: str) -> None:
    state, expires, expected = CASES[name]
    (one,) = found(way(state), accepted=(accepts(expires),) if expires else ())  # type: ignore[arg-type]

    assert (*expected, "exposure/supabase/members") == (one.code, one.blocks, one.address)


def test_closed_ways_say_nothing() -> None:
    assert [] == found(way("closed by vendor"))


def test_open_way_says_how_to_close_or_declare_it() -> None:
    (one,) = found(way("open"))
    assert "3 of 5 can write" in one.what
    assert one.next_step.startswith(STEP)
    assert "declare supabase/members under accepted_exposures in pantheon.toml" in one.next_step


def test_accepted_way_names_owner_reason_and_day() -> None:
    (one,) = found(way("open"), accepted=(accepts("2026-12-01"),))
    assert one.what.endswith("accepted by ops until 2026-12-01: two people are on call")


def test_acceptance_ends_with_its_day() -> None:
    """In UTC, whatever is the time where somebody runs it."""
    last, next_day = (datetime.fromisoformat(f"2026-11-{moment}Z") for moment in ("23T23:59:59", "24T00:00:00"))
    accepted = (accepts("2026-11-23"),)

    assert [False] == [one.blocks for one in found(way("open"), accepted=accepted, now=last)]
    assert [True] == [one.blocks for one in found(way("open"), accepted=accepted, now=next_day)]


def test_another_way_is_not_accepted_with_it() -> None:
    codes = {one.code for one in found(way("open"), accepted=(accepts("2026-12-01", "supabase/ssl"),))}
    assert {"open-exposure", "accepts-nothing"} == codes


@pytest.mark.parametrize("missing", range(3))
def test_vendor_that_nobody_looked_at_blocks(missing: int) -> None:
    seen = [one for number, one in enumerate(CLOSED) if number != missing]
    (one,) = exposure_findings(seen, (), now=NOW)
    assert ("exposures-not-looked-at", True) == (one.code, one.blocks)
    assert CLOSED[missing].address.partition("/")[0] in one.what


REPOSITORY = Path(__file__).resolve().parents[2]
# What newcomers copy, once the placeholders are filled in.
EXAMPLE_CONFIG = re.sub(r'(?<=["/-])<[^>]+>', "x", (REPOSITORY / "pantheon.example.toml").read_text())


def entry(**changes: str) -> str:
    given = {"address": '"supabase/members"', "owner": '"ops"', "reason": '"two of us are on call"', **changes}
    given.setdefault("expires", "2027-05-01")
    return "\n[[accepted_exposures]]\n" + "\n".join(f"{name} = {value}" for name, value in given.items())


def test_config_takes_a_day_with_or_without_quotes() -> None:
    for day in ("2027-05-01", '"2027-05-01"'):
        (one,) = parse_config(EXAMPLE_CONFIG + entry(expires=day), Path("pantheon.toml")).accepted_exposures
        assert ("supabase/members", "2027-05-01") == (one.address, one.expires)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (entry(expires='"2027-02-30"'), "accepted_exposures.0.expires"),
        (entry(expires='"next year"'), "accepted_exposures.0.expires"),
        (entry(expires="2027-05-01T10:00:00Z"), "accepted_exposures.0.expires"),
        (entry(reason='"so"'), "accepted_exposures.0.reason"),
        (entry(owner='""'), "accepted_exposures.0.owner"),
        (entry() + entry(), "accepted_exposures"),
    ],
)
def test_config_refuses_what_nobody_answers_for(text: str, field: str) -> None:
    with pytest.raises(ConfigError, match=field.replace(".", r"\.") + " is wrong"):
        parse_config(EXAMPLE_CONFIG + text, Path("pantheon.toml"))
