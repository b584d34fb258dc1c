"""What became of every planned change, as the journal tells it; for the auditor, and for whoever finds a killed run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pantheon_runbook.model import OUTCOME_WORDS

Facts = Mapping[str, Any]
# "not reached" is for what the journal never saw begin, "planned" for what a plan run was not to begin.
_WORDS: Mapping[str, str] = {str(outcome): words for outcome, words in OUTCOME_WORDS.items()}


class Row(NamedTuple):
    """One planned change; `outcome` is a word of _WORDS or "not reached", `seconds` "" when it was not measured."""

    address: str
    action: str
    outcome: str
    reason: str
    seconds: str


def rows_of(events: Sequence[Facts], plan: Facts) -> list[Row]:
    """One row for each change of the plan, in its order."""
    changes = plan.get("changes")
    planned = [change for change in changes if isinstance(change, dict)] if isinstance(changes, list) else []
    done = {str(event.get("address")) for event in events if event.get("outcome") == "done"}
    return [_row(change, [event for event in events if _is_of(event, change)], events, done) for change in planned]


def summary(rows: Sequence[Row], events: Sequence[Facts]) -> str:
    """How many came to what, and how many writes were sent to whom, in one line."""
    outcomes = Counter(row.outcome for row in rows)
    counts = [f"{outcomes[word]} {word}" for word in (*_WORDS.values(), "not reached", "planned") if outcomes[word]]
    parts = [f"{len(rows)} in the plan: {', '.join(counts)}" if rows else "none planned"]
    sent = Counter(str(event.get("vendor")) for event in events if event["event"] == "write-intent")
    answered = Counter(str(event.get("vendor")) for event in events if _is_answer(event))
    parts.append(f"writes sent: {_listed(sent)}")
    if sent - answered:
        parts.append(f"no clear answer: {_listed(sent - answered)}")
    return "; ".join(filter(None, (*parts, made_before(events))))


def made_before(events: Sequence[Facts]) -> str:
    """Of a unit of work that goes on, how much of it was done before this run; "" of any other."""
    count = next((one["made_before"] for one in events if one.get("made_before")), 0)
    return f"earlier runs of this unit made {count} of its changes, none of which is made again" if count else ""


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{vendor} {count}" for vendor, count in sorted(counts.items())) or "none"


def _is_answer(event: Facts) -> bool:
    """A status, or the database's "committed"; the name of an error is what came instead of an answer."""
    return event["event"] == "write-result" and (
        isinstance(event.get("result"), int) or event.get("result") == "committed"
    )


def _is_of(event: Facts, change: Facts) -> bool:
    return event.get("address") == change.get("address")


def _row(change: Facts, own: Sequence[Facts], events: Sequence[Facts], done: set[str]) -> Row:
    outcome, reason, seconds = _end(own) or _begun(own) or _not_reached(change, events, done)
    told = "; ".join(filter(None, (reason, _made(own))))
    words = (str(change.get("address")), str(change.get("action")), outcome, told, seconds)
    return Row(*(" ".join(word.split()) for word in words))  # a line of its own in the report stays one


def _made(own: Sequence[Facts]) -> str:
    """What the vendor called the thing: whoever undoes the work has to find it."""
    answers = [event["made"] for event in own if event["event"] == "write-result" and event.get("made")]
    names = dict.fromkeys(name for answer in answers for name in _leaves(answer))
    return f"made {', '.join(names)}" if names else ""


def _leaves(answer: Any) -> Iterator[str]:
    if isinstance(answer, dict | list):
        for item in answer.values() if isinstance(answer, dict) else answer:
            yield from _leaves(item)
    else:
        yield str(answer)


def _end(own: Sequence[Facts]) -> tuple[str, str, str] | None:
    end = next((event for event in own if event["event"] == "change-ends"), None)
    if end is None:
        return None
    return _WORDS.get(str(end.get("outcome")), "unknown"), str(end.get("reason")), str(end.get("seconds"))


def _begun(own: Sequence[Facts]) -> tuple[str, str, str] | None:
    """Begun and never ended: the runner was killed in it. No write is sent without its line, so none means none."""
    if not own:
        return None
    write = next((event for event in reversed(own) if event["event"] in {"write-intent", "write-result"}), None)
    if write is None:
        return "not done", "the runner ended before it had sent a write", ""
    answer = f"answer {write.get('result')}" if _is_answer(write) else "no answer seen"
    return "unknown", f"the runner ended in it; last write: {write.get('operation')}, {answer}", ""


def _not_reached(change: Facts, events: Sequence[Facts], done: set[str]) -> tuple[str, str, str]:
    needs = change.get("depends_on")
    waits = [str(need) for need in needs if str(need) not in done] if isinstance(needs, list) else []
    if not any(event["event"] == "act-begins" and event.get("act") == "apply" for event in events):
        return "not reached", "the apply act did not begin", ""
    if any(event["event"] == "act-ends" and event.get("act") == "apply" and event.get("held") for event in events):
        return "planned", "", ""
    return "not reached", f"waits for {', '.join(waits)}" if waits else "the run ended before it", ""
