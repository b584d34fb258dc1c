"""One word for a run, from what its journal says and what became of its notebook. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pantheon_runbook.model import counted

EXIT_CODES: Mapping[str, int] = {
    "planned": 0,
    "nothing-to-do": 0,
    "done": 0,
    "failed": 1,
    "held": 3,
    "refused": 4,
    "partial": 5,
    "unknown": 5,
    "incomplete": 5,
    "abandoned": 5,
    "not-verified": 6,
}
_NOTHING_RAN = "no-run"  # errors.UsageError, which mostly comes before there is a run
CHANGES_PENDING_EXIT_CODE = 3
_CHANGING = ("open", "observe", "plan", "approve", "apply", "verify")
# By the run's mode; a plan run shows the later acts as held.
_ACTS = {"apply": _CHANGING, "plan": _CHANGING[:3], "check": ("open", "observe", "compare", "verify")}


@dataclass(frozen=True)
class NotebookStatus:
    """What the runner saw of the notebook. "not-observed": somebody else's program ran the cells."""

    cells: Literal["all-run", "not-all-run", "not-observed"]
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """`word` and `exit_code` by DESIGN 3; `why` is one line for the reader."""

    word: str
    exit_code: int
    why: str
    cells: str


def judge(events: Iterable[Mapping[str, Any]], notebook: NotebookStatus, *, abandoned: bool = False) -> Verdict:
    """The verdict of one run.

    The acts outrank the notebook: a write that happened is not undone by a cell that failed after it.
    """
    listed = list(events)
    ended = {event["act"]: event for event in listed if event["event"] == "act-ends"}
    failures = [event for event in listed if event["event"] == "act-failed" and _counts(event, ended)]
    if failures:
        word, why = _worst(failures, has_written=any(event["event"] == "write-intent" for event in listed))
        asked = next((str(event["stopped_by"]) for event in listed if event.get("stopped_by")), "")
        why = f"{why} {asked}" if asked else why
        why = f"{why}; then the runner was killed" if abandoned else why
    elif abandoned:
        word, why = "abandoned", f"the runner was killed {_moment(listed, ended)}"
    else:
        word, why = _by_acts(listed, ended)
        if notebook.cells == "not-all-run" and EXIT_CODES[word] == 0:
            word, why = "incomplete", notebook.reason or "not every cell ran"
        elif word == "incomplete" and notebook.reason and notebook.cells == "not-all-run":
            why = f"{why}: {notebook.reason}"
    return Verdict(word, EXIT_CODES[word], why, notebook.cells)


def _counts(failure: Mapping[str, Any], ended: Mapping[str, Any]) -> bool:
    """An act called too early did nothing, and one that ended after it had failed has not failed."""
    return not failure.get("out_of_order") and failure["act"] not in ended


def _worst(failures: list[Mapping[str, Any]], *, has_written: bool) -> tuple[str, str]:
    """An apply that stopped after a write stays what it was, whatever was refused when it was tried again."""
    for grave in ("unknown", "failed", "partial"):
        for failure in failures:
            if failure["word"] == grave:
                return grave, str(failure["what"])
    last = failures[-1]
    if has_written and last["act"] == "apply":
        return "partial", str(last["what"])
    # A config that is found to be wrong once a run is open, like an interpreter that is not there: the run is sealed.
    word = "refused" if last["word"] == _NOTHING_RAN else str(last["word"])
    return word, str(last["what"])


def _moment(events: list[Mapping[str, Any]], ended: Mapping[str, Any]) -> str:
    begun = [event["act"] for event in events if event["event"] == "act-begins"]
    open_act = next((act for act in reversed(begun) if act not in ended), None)
    return f"during the act {open_act}" if open_act else "before it could seal this run"


def _by_acts(events: list[Mapping[str, Any]], ended: Mapping[str, Any]) -> tuple[str, str]:
    mode = next((event["mode"] for event in events if event["event"] == "run-opened"), "plan")
    if "apply" not in ended and any(event["event"] == "act-begins" and event["act"] == "apply" for event in events):
        return "partial", "apply began and did not end"
    missing = [act for act in _ACTS.get(mode, _CHANGING[:3]) if act not in ended]
    if missing:
        return "incomplete", f"the act {missing[0]} never happened"
    if mode == "check":
        return "done", str(ended["verify"].get("summary"))
    changes = int(ended["plan"].get("changes", 0))
    drift = len(ended.get("verify", {}).get("drift_accepted", ()))
    accepted = f"; {counted(drift, 'thing')} drifted and {'is' if drift == 1 else 'are'} accepted" if drift else ""
    if changes == 0:
        return "nothing-to-do", f"everything is as desired{accepted}"
    if mode == "plan":
        blocking = int(ended["plan"].get("blocking", 0))
        return "planned", f"{changes} to change" + (f", BLOCKED by {counted(blocking, 'finding')}" if blocking else "")
    by_hand = len(ended["verify"].get("by_hand", ()))
    left = f"; {counted(by_hand, 'step')} by hand {'is' if by_hand == 1 else 'are'} left to people" if by_hand else ""
    return "done", f"{counted(changes, 'change')} made with {_writes(events)}, and verified{accepted}{left}"


def _writes(events: list[Mapping[str, Any]]) -> str:
    """The vendors' logs count the calls, the database's log counts the rest."""
    vendors = [event.get("vendor") for event in events if event["event"] == "write-intent"]
    calls, rest = len(vendors) - vendors.count("database"), vendors.count("database")
    return counted(calls, "API call") + (f" and {counted(rest, 'write')} to the database" if rest else "")
