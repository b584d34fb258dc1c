"""A run on production that a vendor's outage has stopped: in which state production is, and what to do when it is over.

Pure. An outage is told by the error that lies behind the one that stopped the run.
"""

from __future__ import annotations

from collections.abc import Iterator

from pantheon_runbook.errors import OutcomeUnknownError, RunbookError, VendorError, VendorUnavailableError

STATUS_PAGES = {
    "openrouter": "status.openrouter.ai",
    "railway": "status.railway.com",
    "supabase": "status.supabase.com",
    "vercel": "www.vercel-status.com",
}
UNTOUCHED = "production is as it was before this run: nothing was sent to it"


def vendor_that_is_down(error: BaseException) -> str:
    """Whose calls came to nothing, "" for nobody's: a vendor that refuses, or is slow at its work, is there."""
    for one in _behind(error):
        is_unanswered = isinstance(one, VendorUnavailableError | OutcomeUnknownError)
        if is_unanswered and one.vendor in STATUS_PAGES and not one.state.startswith("changed in part"):
            return one.vendor
    return ""


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
    if not (vendor := vendor_that_is_down(error)):
        return error
    what, state = f"{vendor} does not answer: the run was not opened", UNTOUCHED
    return retold(error, what=what, state=state, next_step=_when_it_answers(vendor, command))


def before_the_unit(error: RunbookError, command: str, *, left: str = "") -> RunbookError:
    """While it was looked; `left` says of a unit of an earlier run that it goes on some time."""
    if not (vendor := vendor_that_is_down(error)):
        return error
    what = f"{vendor} does not answer: the promotion {'does not go on' if left else 'was not begun'}"
    state = f"{UNTOUCHED}; {left}" if left else f"{UNTOUCHED}; a signed approval holds until it expires"
    return retold(error, what=what, state=state, next_step=_when_it_answers(vendor, command))


def in_the_unit(error: RunbookError, command: str, *, is_open: bool) -> RunbookError:
    """Once something was written. What is done and what is not stands in the error's state already."""
    if not (vendor := vendor_that_is_down(error)):
        return error
    what = f"{vendor} does not answer: the promotion has stopped part-way"
    unit = "the unit is open" if is_open else "the unit has not begun"
    state = f"{error.state.rstrip('.')}; {unit}, and nothing goes on by itself"
    return retold(error, what=what, state=state, next_step=_when_it_answers(vendor, command))


def after_the_unit(error: RunbookError, command: str) -> RunbookError:
    """All is done, and could not be looked at."""
    if not (vendor := vendor_that_is_down(error)):
        return error
    what = f"{vendor} does not answer: what was promoted could not be checked"
    state = "all changes of the plan are done, and not verified"
    return retold(error, what=what, state=state, next_step=_when_it_answers(vendor, command))


def _when_it_answers(vendor: str, command: str) -> str:
    return f"look at {STATUS_PAGES[vendor]}, and when it answers again: {command}"
