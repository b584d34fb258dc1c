"""Carry out a plan: independent changes side by side, and a lost answer is looked up before anything else happens."""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from typing import Protocol

from pantheon_runbook import clock
from pantheon_runbook.errors import (
    OutcomeUnknownError,
    RunbookError,
    StoppedError,
    UnknownOutcomeError,
    UnrecordedError,
    VendorUnavailableError,
)
from pantheon_runbook.model import OUTCOME_WORDS, Change, Outcome, Plan, Resource, StepResult

_WIDTH = 8
_WRITE_ATTEMPTS = 4
_LOOKS_AFTER_A_LOST_ANSWER = 3
_FIRST_PAUSE_SECONDS = 0.3
_LONGEST_PAUSE_SECONDS = 5.0

current_change: contextvars.ContextVar[str] = contextvars.ContextVar("current_change", default="")


class Worker(Protocol):
    """One kind's part in a change; see kind.Kind."""

    def write(self, change: Change) -> str | None: ...

    def settle(self, change: Change) -> None: ...

    def seconds_until_seen(self, change: Change) -> float: ...

    def has_landed(self, change: Change, seen: Resource) -> bool: ...


class Journal(Protocol):
    def write(self, event: str, **fields: object) -> None: ...


class Applying:
    """`look` gives what stands at an address now; `stop` is set when no further change may begin.

    `settled` is told of a change before anything that depends on it begins.
    """

    def __init__(
        self,
        workers: Mapping[str, Worker],
        *,
        look: Callable[[str], Resource],
        journal: Journal,
        progress: Callable[[str], None],
        stop: threading.Event,
        settled: Callable[[Change], None] = lambda _change: None,
    ) -> None:
        self._workers = workers
        self._look = look
        self._journal = journal
        self._progress = progress
        self._stop = stop
        self._settled = settled
        self._lost = threading.Event()  # a write's outcome is not known: nothing further may begin
        self.errors: dict[str, RunbookError] = {}

    def run(self, plan: Plan) -> tuple[StepResult, ...]:
        """One result per change, in the plan's order. Never raises for a vendor's failure: see `errors`.

        A bug of ours is raised, once what else runs has ended.
        """
        changes = {change.address: change for change in plan.changes}
        sorter = TopologicalSorter({address: change.depends_on for address, change in changes.items()})
        sorter.prepare()
        results: dict[str, StepResult] = {}
        running: dict[Future[StepResult], str] = {}
        with ThreadPoolExecutor(max_workers=_WIDTH, thread_name_prefix="apply") as pool:
            while sorter.is_active():
                for address in sorter.get_ready():
                    running[pool.submit(self._step, changes[address])] = address
                if not running:
                    break  # what is left depends on something that failed
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    address = running.pop(future)
                    results[address] = future.result()
                    if results[address].outcome == "done":
                        sorter.done(address)
        return tuple(results.get(address) or _not_reached(changes[address], results) for address in changes)

    def _step(self, change: Change) -> StepResult:
        started = clock.monotonic()
        current_change.set(change.address)
        if self._stop.is_set() or self._lost.is_set():
            return StepResult(change.address, "not-done", "the run was stopped before it")
        self._journal.write("change-begins", address=change.address, action=change.action)
        self._progress(f"{change.action} {change.address}")
        try:
            outcome, reason = self._attempt(change)
        except BaseException as bug:
            self._end(change, "unknown", f"broken off by a bug of ours: {type(bug).__name__}", started)
            raise
        return self._end(change, outcome, reason, started)

    def _end(self, change: Change, outcome: Outcome, reason: str, started: float) -> StepResult:
        if outcome == "unknown":
            self._lost.set()
        result = StepResult(change.address, outcome, reason, round(clock.monotonic() - started, 3))
        self._progress(f"{change.address} is {OUTCOME_WORDS[outcome]} ({result.seconds:.1f} s)")
        self._journal.write(
            "change-ends", address=change.address, outcome=result.outcome, reason=result.reason, seconds=result.seconds
        )
        return result

    def _attempt(self, change: Change) -> tuple[Outcome, str]:
        """What became of it; a change whose write went through is never called "not done"."""
        written = False
        try:
            reason = self._write_surely(change)
            written = True
            self._workers[change.address].settle(change)
            self._settled(change)
        except RunbookError as error:
            self.errors[change.address] = error
            if isinstance(error, OutcomeUnknownError | UnrecordedError):
                return "unknown", error.what
            return ("not-ready" if written else "not-done"), error.what
        return "done", reason

    def _write_surely(self, change: Change) -> str:
        """Write; after a lost answer or a "later", look before anything else. The reason, for the reader."""
        worker = self._workers[change.address]
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                unsent = worker.write(change)
            except (OutcomeUnknownError, VendorUnavailableError) as error:
                if self._is_found(change, error):
                    return "its answer was lost; found by looking"
                if attempt == _WRITE_ATTEMPTS - 1:
                    # Looked up and not there: known not to be done, whatever the last answer was.
                    raise _given_up(change, error) from error
                clock.sleep(clock.jittered(_FIRST_PAUSE_SECONDS * 2**attempt))
                continue
            return unsent or ("" if attempt == 0 else f"at try {attempt + 1}")
        raise AssertionError("the last attempt returns or raises")

    def _is_found(self, change: Change, error: RunbookError) -> bool:
        """Several looks: a read may be answered from before the write. Raises when looking fails too."""
        if not isinstance(error, OutcomeUnknownError):
            return self._has_landed(change)
        until = clock.monotonic() + self._workers[change.address].seconds_until_seen(change)
        for number in itertools.count():
            clock.sleep(clock.jittered(min(_FIRST_PAUSE_SECONDS * number, _LONGEST_PAUSE_SECONDS)))
            try:
                if self._has_landed(change):
                    return True
            except RunbookError as failure:
                raise _unknown(change, error) from failure
            if number + 1 >= _LOOKS_AFTER_A_LOST_ANSWER and clock.monotonic() >= until:
                return False
        raise AssertionError("counting has no end")

    def _has_landed(self, change: Change) -> bool:
        landed = self._workers[change.address].has_landed(change, self._look(change.address))
        self._journal.write("looked-up", address=change.address, landed=landed)
        return landed


def _given_up(change: Change, error: RunbookError) -> VendorUnavailableError:
    is_limited = isinstance(error, VendorUnavailableError) and error.again_at is not None
    return VendorUnavailableError(
        f"{change.action} {change.address} did not take effect in {_WRITE_ATTEMPTS} tries",
        vendor=change.address.partition("/")[0],
        operation=change.action,
        why=error.why,
        state=f"{change.address} was looked up and is as before",
        next_step=error.next_step if is_limited else "look at the vendor's status page, then run the plan again",
    )


def _unknown(change: Change, error: RunbookError) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"what became of {change.action} {change.address} is not known",
        vendor=change.address.partition("/")[0],
        operation=change.action,
        why=f"{error.why} Looking it up failed too",
        state=f"unknown: {change.address}",
        next_step="run the plan again when the vendor answers: it looks first",
    )


def _not_reached(change: Change, results: Mapping[str, StepResult]) -> StepResult:
    failed = sorted(need for need in change.depends_on if need not in results or results[need].outcome != "done")
    return StepResult(change.address, "not-done", f"waits for {', '.join(failed)}")


def _state_of(results: tuple[StepResult, ...], errors: Mapping[str, RunbookError]) -> str:
    """What a reader fears most, in one line: counts, the addresses that are not done, and what a vendor half did."""
    left: tuple[Outcome, ...] = ("not-ready", "not-done")
    listed = {OUTCOME_WORDS[one]: [result.address for result in results if result.outcome == one] for one in left}
    parts = [f"{sum(result.outcome == 'done' for result in results)} of {len(results)} changes are done"]
    parts += [f"{words}: {', '.join(addresses)}" for words, addresses in listed.items() if addresses]
    parts += [error.state.rstrip(".") for error in errors.values() if error.state.startswith("changed in part")]
    return "; ".join(parts)


def raise_unfinished(results: tuple[StepResult, ...], errors: Mapping[str, RunbookError]) -> None:
    """Nothing, when every change is done. Errors: UnknownOutcomeError before StoppedError, with what is left."""
    left = [result for result in results if result.outcome != "done"]
    if not left:
        return
    unknown = [result.address for result in left if result.outcome == "unknown"]
    first = errors.get(unknown[0]) if unknown else next(iter(errors.values()), None)
    state = _state_of(results, errors)
    next_step = first.next_step if first else "run the plan again: it shows what is left"
    why = first.why if first else left[0].reason
    if unknown:
        raise UnknownOutcomeError(
            f"the outcome of {', '.join(unknown)} is unknown", why=why, state=state, next_step=next_step
        ) from first
    what = first.what if first else "the run was stopped"
    raise StoppedError(what, why=why, state=state, next_step=next_step) from first


def order_of_looks(kinds: Iterable[tuple[str, tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Prefixes in groups that can be looked at side by side, each group after what it needs."""
    present = dict(kinds)
    sorter = TopologicalSorter(
        {prefix: tuple(need for need in needs if need in present) for prefix, needs in present.items()}
    )
    sorter.prepare()
    groups: list[tuple[str, ...]] = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready()))
        groups.append(ready)
        sorter.done(*ready)
    return groups
