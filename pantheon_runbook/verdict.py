"""One word for a run, from what its journal says and what became of its notebook. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
CHANGES_PENDING_EXIT_CODE = 3
_ACTS = ("open", "observe", "plan", "approve", "apply", "verify")


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
    word, why = _by_acts(listed)
    if abandoned and word in {"incomplete", "planned", "nothing-to-do", "done"}:
        word, why = "abandoned", "the runner was killed before it could seal this run"
    elif abandoned:
        why = f"{why}; then the runner was killed"
    elif notebook.cells == "not-all-run" and EXIT_CODES[word] == 0:
        word, why = "incomplete", notebook.reason or "not every cell ran"
    return Verdict(word, EXIT_CODES[word], why, notebook.cells)


def _by_acts(events: list[Mapping[str, Any]]) -> tuple[str, str]:
    mode = next((event["mode"] for event in events if event["event"] == "run-opened"), "plan")
    failures = [event for event in events if event["event"] == "act-failed" and not event.get("out_of_order")]
    if failures:
        return str(failures[-1]["word"]), str(failures[-1]["what"])
    ended = {event["act"]: event for event in events if event["event"] == "act-ends"}
    begun = {event["act"] for event in events if event["event"] == "act-begins"}
    if "apply" in begun - set(ended):
        return "partial", "apply began and did not end"
    wanted = _ACTS if mode == "apply" else _ACTS[:3]
    missing = [act for act in wanted if act not in ended]
    if missing:
        return "incomplete", f"the act {missing[0]} never happened"
    changes = int(ended["plan"].get("changes", 0))
    if mode == "plan":
        return ("planned", f"{changes} to change") if changes else ("nothing-to-do", "everything is as desired")
    return ("done", f"{changes} changed and verified") if changes else ("nothing-to-do", "everything is as desired")
