"""The lock timeline of a rehearsal: which statement locked which table against whom, and until when that lasted.

Drawn over the order of the statements, not over seconds: the rehearsal has no rows, so its seconds say nothing about
the target, and a lock is held to the end of its transaction however long that takes. A deterministic SVG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pantheon_runbook.database.migrations.revisions import Lock, Ran, Statement
from pantheon_runbook.database.rehearsals.weights import in_words as rows_in_words
from pantheon_runbook.drawing import picture, text
from pantheon_runbook.model import Snapshot, counted
from pantheon_runbook.runner.rehearsals import PRODUCTION, STAGING

_LEFT, _RIGHT, _LINE, _TOP, _PLOT = 190, 20, 24, 58, 620
# Mode, what it keeps out, colour; the strongest first. Weaker locks keep nobody out who reads or writes rows.
_KEEPS_OUT = {
    "AccessExclusiveLock": ("reads and writes", "#e5866f"),
    "ExclusiveLock": ("writes", "#f0b48a"),
    "ShareRowExclusiveLock": ("writes", "#f0b48a"),
    "ShareLock": ("writes", "#f0b48a"),
    "ShareUpdateExclusiveLock": ("other changes of the schema", "#cfe0ee"),
}


@dataclass(frozen=True)
class Bar:
    """One lock: from the statement that took it to the last one of its transaction, both counted from 0."""

    relation: str
    mode: str
    revision: str
    first: int
    last: int


def bars(ran: Sequence[Ran]) -> tuple[Bar, ...]:
    """Every lock that keeps somebody out, table by table, the strongest last: it is drawn over the others."""
    found: list[Bar] = []
    start = 0
    for one in ran:
        for number, statement in enumerate(one.statements):
            end = number if statement.is_alone else _end_of_transaction(one, number)
            found += [
                Bar(lock.relation, lock.mode, one.revision, start + number, start + end)
                for lock in statement.locks
                if lock.mode in _KEEPS_OUT
            ]
        start += len(one.statements)
    return tuple(sorted(found, key=lambda bar: (bar.relation, -_rank(bar.mode), bar.first)))


def longest(ran: Sequence[Ran]) -> Bar | None:
    """The one that keeps out most, for the most statements; None when nothing was locked against anybody."""
    return min(bars(ran), key=lambda bar: (_rank(bar.mode), bar.first - bar.last, bar.first), default=None)


def longest_lock_of(snapshot: Snapshot) -> str:
    """In words, of the same rehearsal as the picture; "" when none locked anything."""
    for address in (PRODUCTION, STAGING):
        told = snapshot.get(address).attributes
        bar = longest([_ran(one) for one in told.get("ran") or ()])
        if bar is not None:
            return in_words(bar, told.get("rows") or {})
    return ""


def in_words(bar: Bar, rows: Mapping[str, int]) -> str:
    rows_there = f" ({rows_in_words(rows[bar.relation])})" if bar.relation in rows else ""
    number = bar.last - bar.first + 1
    held = f"{counted(number, 'statement')} of revision {bar.revision}"
    return f"{_short(bar.relation)}{rows_there}, against {_KEEPS_OUT[bar.mode][0]}, for {held}"


def _end_of_transaction(ran: Ran, number: int) -> int:
    """The last statement before one that runs outside a transaction, else the last of all."""
    later = range(number + 1, len(ran.statements))
    return next((one - 1 for one in later if ran.statements[one].is_alone), len(ran.statements) - 1)


def lock_timeline_of(snapshot: Snapshot) -> str:
    """Of the rehearsal on production's schema, else of staging's; "" when none locked anything."""
    for address in (PRODUCTION, STAGING):
        told = snapshot.get(address).attributes.get("ran") or ()
        if told:
            return lock_timeline([_ran(one) for one in told], snapshot.get(address).attributes.get("rows") or {})
    return ""


def _ran(told: Mapping[str, Any]) -> Ran:
    statements = (
        Statement(one["sql"], 0.0, tuple(Lock(**lock) for lock in one["locks"]), one["is_alone"])
        for one in told["statements"]
    )
    return Ran(told["revision"], tuple(statements), 0.0, tuple(told["heads"]))


def lock_timeline(ran: Sequence[Ran], rows: Mapping[str, int]) -> str:
    """One line per table with the rows that the target has; "" when nothing was locked against anybody."""
    listed = bars(ran)
    if not listed:
        return ""
    tables = sorted({bar.relation for bar in listed})
    width, height = _LEFT + _PLOT + _RIGHT, _TOP + _LINE * len(tables) + 40
    parts = [
        text(10, 20, "what each revision locks, statement by statement", bold=True),
        *_revisions(ran, height - 34),
    ]
    for number, table in enumerate(tables):
        y = _TOP + _LINE * number
        rows_there = f" ({rows_in_words(rows[table])})" if table in rows else ""
        parts.append(text(10, y + 15, f"{_short(table)}{rows_there}"))
        parts += [_drawn(bar, y, _step(ran)) for bar in listed if bar.relation == table]
    parts.append(_legend(height - 10))
    return picture("Lock timeline of the rehearsal", parts, width=width, height=height)


def _revisions(ran: Sequence[Ran], bottom: float) -> list[str]:
    step, start, parts = _step(ran), 0, []
    for one in ran:
        x = _LEFT + start * step
        parts.append(f'<line x1="{x:g}" y1="34" x2="{x:g}" y2="{bottom:g}" stroke="#d0d7de"></line>')
        parts.append(text(x + 3, 46, one.revision[:12]))
        start += len(one.statements)
    return parts


def _step(ran: Sequence[Ran]) -> float:
    return _PLOT / max(1, sum(len(one.statements) for one in ran))


def _drawn(bar: Bar, y: float, step: float) -> str:
    x, width = _LEFT + bar.first * step, max(4.0, (bar.last - bar.first + 1) * step - 2)
    fill = _KEEPS_OUT[bar.mode][1]
    return f'<rect x="{x:g}" y="{y + 2}" width="{width:g}" height="{_LINE - 6}" rx="3" fill="{fill}"></rect>'


def _legend(y: float) -> str:
    parts, x = [], float(_LEFT)
    for words, fill in dict(_KEEPS_OUT.values()).items():
        parts.append(f'<rect x="{x:g}" y="{y - 10:g}" width="12" height="12" rx="2" fill="{fill}"></rect>')
        parts.append(text(x + 17, y, f"keeps out {words}"))
        x += 60 + 6.6 * len(words) + 20
    return "".join(parts)


def _short(relation: str) -> str:
    return relation.removeprefix("public.")


def _rank(mode: str) -> int:
    return list(_KEEPS_OUT).index(mode)
