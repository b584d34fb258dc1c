"""What stops a run on production because of a vendor: an outage, or a rate limit, which is none."""

from __future__ import annotations

import pytest

from pantheon_runbook import outages
from pantheon_runbook.errors import RunbookError, StoppedError, VendorUnavailableError

COMMAND = "pantheon-runbook run RB-030"
AT = "2026-11-23T10:30:00Z"
LIMITED, SILENT = "the rate limit of railway is reached", "railway does not answer"


def stopped_by(**limit: str) -> RunbookError:
    """The card of a run, and behind it what the vendor's client raised."""
    behind = VendorUnavailableError(
        "it was turned away", vendor="railway", operation="look", why="slow down", state="none", next_step="", **limit
    )
    error = StoppedError("the run was stopped", why="it was", state="nothing", next_step="run again")
    error.__cause__ = behind
    return error


@pytest.mark.parametrize(
    ("limit", "what", "until"),
    [
        ({"again_at": AT}, LIMITED, f"from {AT} on"),
        ({"again_at": ""}, LIMITED, "once railway lets us ask again, of which it has said no time"),
        ({}, SILENT, "look at status.railway.com, and when it answers again"),
    ],
)
def test_rate_limit_is_told_as_what_it_is(limit: dict[str, str], what: str, until: str) -> None:
    """On every card, with the time when the vendor gave one; an outage has its status page."""
    told = (
        (outages.of_opening(stopped_by(**limit), COMMAND), "the run was not opened"),
        (outages.before_the_unit(stopped_by(**limit), COMMAND), "the promotion was not begun"),
        (outages.in_the_unit(stopped_by(**limit), COMMAND, is_open=True), "the promotion has stopped part-way"),
        (outages.after_the_unit(stopped_by(**limit), COMMAND), "what was promoted could not be checked"),
    )

    for error, words in told:
        assert (f"{what}: {words}.", f"{until}: {COMMAND}.") == (error.what, error.next_step)
