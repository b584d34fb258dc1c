"""Who let a run through, for its report: the four people as decisions.json names them, and what did not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pantheon_runbook.evidence.verify import ALONE, DECISIONS, decisions_in
from pantheon_runbook.model import short_code

Row = tuple[str, str, str]
_DAMAGED = f"{DECISIONS} is not of the shape that we write: nothing is known of the people"


def is_met(kind: str) -> bool:
    return kind == "approved"


def told_in(raw: bytes) -> tuple[str, list[Row]]:
    """What it came to in one word or sentence, and (duty, who, what stands behind it) of each, one line each."""
    decided = decisions_in(raw)
    if decided is None or decided["kind"] not in {"approved", ALONE}:
        return _DAMAGED, []
    return decided["kind"], [(duty, _line(who), _line(what)) for duty, who, what in _rows(decided)]


def _rows(decided: Mapping[str, Any]) -> Iterator[Row]:
    digest = decided["plan_digest"]
    yield "plan", f"{digest}, code {short_code(digest)}", f"{decided['planned_in']}, sealed {decided['sealed_at']} UTC"
    if decided["continues"]:
        yield "goes on with", decided["continues"], "under the same signatures"
    for author in decided["authors"]:
        also = f" (also {', '.join(author['also'])})" if author.get("also") else ""
        yield "author", f"{author['name']}{also}", author["source"]
    for duty in ("requester", "executor"):
        yield duty, decided[duty]["name"], decided[duty]["source"]
    for approver in decided["approvers"]:
        yield "approver", approver["name"], approver["source"]
        times = f"signed {approver['issued_at']} UTC, to begin before {approver['expires_at']} UTC"
        yield "", f"reason: {approver['reason']}", times
    yield "judged", f"{decided['judged_at']} UTC", "before the first write"
    for name in decided["unknown"]:
        yield "not known", name, "nobody has said under which other names this author goes: only the name was compared"
    for what in decided["not_counted"]:
        yield "did not count", what, ""


def _line(text: str) -> str:
    """What stands there may be anybody's: one line, of letters that can be written."""
    return " ".join(text.encode(errors="replace").decode().split())
