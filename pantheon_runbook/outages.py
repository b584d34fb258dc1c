"""A run on production that a vendor's outage has stopped: in which state production is, and what to do when it is over.

Pure. An outage is told by the error that lies behind the one that stopped the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pantheon_runbook.errors import OutcomeUnknownError, RunbookError, VendorError, VendorUnavailableError, from_when

STATUS_PAGES = {
    "openrouter": "status.openrouter.ai",
    "railway": "status.railway.com",
    "supabase": "status.supabase.com",
    "vercel": "www.vercel-status.com",
}
UNTOUCHED = "production is as it was before this run: nothing was sent to it"


@dataclass(frozen=True)
class Outage:
    """Of a vendor whose calls came to nothing, in words: what is the matter, and what to wait for."""

    what: str
    until: str

    def next_step(self, command: str) -> str:
        return f"{self.until}: {command}"


def outage(error: BaseException) -> Outage | None:
    """None when it is nobody's: a vendor that refuses, or is slow at its work, is there."""
    for one in _behind(error):
        is_unanswered = isinstance(one, VendorUnavailableError | OutcomeUnknownError)
        if is_unanswered and one.vendor in STATUS_PAGES and not one.state.startswith("changed in part"):
            return _told_of(one)
    return None


def _told_of(error: VendorError) -> Outage:
    """A rate limit is no outage of the vendor's: there is nothing to look at, only a time to wait for."""
    vendor = error.vendor
    if isinstance(error, VendorUnavailableError) and error.again_at is not None:
        return Outage(f"the rate limit of {vendor} is reached", from_when(vendor, error.again_at))
    return Outage(f"{vendor} does not answer", f"look at {STATUS_PAGES[vendor]}, and when it answers again")


def _behind(error: BaseException | None) -> Iterator[VendorError]:
    """The deepest first: what a call came to, before what was made of it."""
    found: list[VendorError] = []
    while error is not None:
        found += [error] if isinstance(error, VendorError) else []
        error = error.__cause__
    yield from reversed(found)


def retold(error: RunbookError, *, what: str = "", state: str = "", next_step: str = "") -> RunbookError:
    """The same error, of the same kind, with other words for what is given; what it was is kept as its reason."""
    told = RunbookError(
        what or error.what,
        why=f"{error.what} {error.why}" if what else error.why,
        state=state or error.state,
        next_step=next_step or error.next_step,
    )
    for name in ("what", "why", "state", "next_step"):
        setattr(error, name, getattr(told, name))
    return error


def of_opening(error: RunbookError, command: str) -> RunbookError:
    """Before there is a run."""
    if not (found := outage(error)):
        return error
    what, state = f"{found.what}: the run was not opened", UNTOUCHED
    return retold(error, what=what, state=state, next_step=found.next_step(command))


def before_the_unit(error: RunbookError, command: str, *, left: str = "") -> RunbookError:
    """While it was looked; `left` says of a unit of an earlier run that it goes on some time."""
    if not (found := outage(error)):
        return error
    what = f"{found.what}: the promotion {'does not go on' if left else 'was not begun'}"
    state = f"{UNTOUCHED}; {left}" if left else f"{UNTOUCHED}; a signed approval holds until it expires"
    return retold(error, what=what, state=state, next_step=found.next_step(command))


def in_the_unit(error: RunbookError, command: str, *, is_open: bool) -> RunbookError:
    """Once something was written. What is done and what is not stands in the error's state already."""
    if not (found := outage(error)):
        return error
    what = f"{found.what}: the promotion has stopped part-way"
    unit = "the unit is open" if is_open else "the unit has not begun"
    state = f"{error.state.rstrip('.')}; {unit}, and nothing goes on by itself"
    return retold(error, what=what, state=state, next_step=found.next_step(command))


def after_the_unit(error: RunbookError, command: str) -> RunbookError:
    """All is done, and could not be looked at."""
    if not (found := outage(error)):
        return error
    what = f"{found.what}: what was promoted could not be checked"
    state = "all changes of the plan are done, and not verified"
    return retold(error, what=what, state=state, next_step=found.next_step(command))
