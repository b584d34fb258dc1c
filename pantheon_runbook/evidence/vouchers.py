"""What the journals of our own runs say was created: the evidence that a thing which stands at a vendor is ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon_runbook.evidence import journal, ledger
from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.isolation.identity import Made

_CREATES = frozenset({"create the project", "ProjectCreate", "EnvironmentCreate"})
_MARKS = "mark the environment"
_NOT_APPLIED = frozenset({"VendorRefusedError", "VendorUnavailableError"})  # what providers.http calls it
_Event = Mapping[str, Any]


def made_by_runs(evidence: Path, *, cloud: str, environment: str, running: Path, trust: Path | None) -> Made:
    """Ids, names and marked databases from the sealed runs for one cloud and environment, and the one in `running`.

    A bundle that somebody changed vouches for nothing; `trust` pins live keys, the folder itself those of the sandbox.
    """
    ids: set[str] = set()
    names: set[tuple[str, str]] = set()
    marked: set[str] = set()
    for events in _journals(evidence, running, {"cloud": cloud, "environment": environment}, trust=trust):
        for intent, result in _pairs(events):
            if intent["operation"] == _MARKS:
                marked |= {str(intent["sent"]["ref"])} if result and result["result"] == "committed" else set()
            elif found := set(_ids_in((result or {}).get("made"))):
                ids |= found
                marked -= found  # made anew (a sandbox that was reset gives the same refs), and not marked yet
            elif _is_lost(intent, result, events):
                names.add(_asked_for(intent))
    return Made(frozenset(ids), frozenset(names), frozenset(marked))


def _journals(
    evidence: Path, running: Path, about: Mapping[str, str], *, trust: Path | None
) -> Iterator[Sequence[_Event]]:
    """What cannot be read, or does not verify, vouches for nothing."""
    sealed = (evidence / str(entry["bundle"]) for entry in ledger.entries(evidence))
    for folder in (*sealed, running):
        try:
            events = journal.read(folder / "journal.jsonl")
        except OSError:
            continue
        is_about = bool(events) and about.items() <= events[0].items()
        if is_about and any(_pairs(events)) and (folder == running or verify(folder, trust).is_intact):
            yield events


def _pairs(events: Sequence[_Event]) -> Iterator[tuple[_Event, _Event | None]]:
    """Each intent that matters with its result; None: the run was killed before there was one.

    One address is written by one thread, so the next result of its operation is its own.
    """
    for number, event in enumerate(events):
        if event["event"] == "write-intent" and event.get("operation") in {*_CREATES, _MARKS}:
            later = (
                one
                for one in events[number + 1 :]
                if one["event"] in {"write-result", "write-intent"}
                and (one.get("address"), one.get("operation")) == (event.get("address"), event["operation"])
            )
            following = next(later, None)
            yield event, following if following and following["event"] == "write-result" else None


def _is_lost(intent: _Event, result: _Event | None, events: Sequence[_Event]) -> bool:
    """Nobody knows whether it took effect: no clear no, and no look afterwards that did not find it."""
    if result is not None and result.get("result") in _NOT_APPLIED:
        return False
    ends = [one for one in events if one["event"] == "change-ends" and one.get("address") == intent.get("address")]
    return not (ends and ends[-1].get("outcome") == "not-done")


def _asked_for(intent: _Event) -> tuple[str, str]:
    """(kind, name), as `isolation.identity` looks them up."""
    sent = intent["sent"]
    if intent["operation"] == "create the project":
        return "supabase/project", str(sent["name"])
    wanted = sent["input"]
    return f"railway/{wanted.get('projectId', 'project')}", str(wanted["name"])


def _ids_in(made: Any) -> Iterable[str]:
    """Every id and ref in what a vendor answered to a create."""
    if isinstance(made, dict):
        for name, value in made.items():
            if name in {"id", "ref"}:
                yield str(value)
            else:
                yield from _ids_in(value)
