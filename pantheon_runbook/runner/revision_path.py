"""The revision path: where the database that is migrated stands on it, where the other one stands, what is above both.

A deterministic SVG of plain rectangles, lines and text; its text twin is the table of `path_lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pantheon_runbook.database.migrations.revision_kinds import TREE, history_of
from pantheon_runbook.database.migrations.revisions import History, Revision
from pantheon_runbook.database.migrations.undo_kind import UNDO
from pantheon_runbook.drawing import picture, text
from pantheon_runbook.model import Snapshot
from pantheon_runbook.runner.rehearsals import PRODUCTION, PRODUCTION_REVISION, STAGING
from pantheon_runbook.runner.staging_now import STAGING_REVISION

_BOX, _GAP, _HEIGHT, _LEFT, _TOP = 104, 18, 42, 16, 64
_PER_LINE, _MOST = 7, 21  # boxes; of a longer path the lower part is told in words
_BOTH, _STAGING, _PENDING, _CONTRACT = "#e3eef7", "#eef6e8", "#ffffff", "#fbeec2"


@dataclass(frozen=True)
class Stand:
    """Where the databases stand in a tree; heads of None: nobody could look.

    `heads` are those of `environment`, which is migrated; `beside` are those of `other`; `former` are those of before
    the unit of work that is taken back.
    """

    history: History
    heads: tuple[str, ...]
    beside: tuple[str, ...] | None
    phases: Mapping[str, str]
    environment: str = "staging"
    other: str = "production"
    former: tuple[str, ...] = ()

    @property
    def is_production(self) -> bool:
        return self.environment == "production"


def stand_of(snapshot: Snapshot) -> Stand | None:
    """What a snapshot says of it; None when no tree was looked at."""
    is_production = snapshot.environment == "production"
    tree, beside = snapshot.get(TREE), snapshot.get(STAGING_REVISION if is_production else PRODUCTION_REVISION)
    if tree.state != "present":
        return None
    rehearsals = (snapshot.get(address).attributes.get("phases") or {} for address in (STAGING, PRODUCTION))
    phases = {name: one["phase"] for told in rehearsals for name, one in told.items()}
    heads = beside.attributes.get("heads") if beside.state == "present" else None
    history, at = history_of(tree.attributes), tuple(tree.attributes["at"] or ())
    return Stand(
        history,
        at,
        None if heads is None else tuple(heads),
        phases,
        snapshot.environment,
        "staging" if is_production else "production",
        history.tops(history.below(at) - _of_the_unit(snapshot)) if _of_the_unit(snapshot) else (),
    )


def _of_the_unit(snapshot: Snapshot) -> frozenset[str]:
    """Those that stand and came with the unit that is taken back."""
    prefix = f"{UNDO}/"
    stand = (one.address for one in snapshot.resources if one.attributes.get("stands"))
    return frozenset(address.removeprefix(prefix) for address in stand if address.startswith(prefix))


def revision_path(stand: Stand) -> str:
    """Boxes from left to right and line by line in the order of applying; colours only repeat what the words say."""
    hidden, shown = _shown(stand.history.revisions)
    lines = max(1, -(-len(shown) // _PER_LINE))
    width = _LEFT * 2 + _PER_LINE * (_BOX + _GAP)
    height = _TOP + lines * (_HEIGHT + 46)
    parts = [
        text(_LEFT, 20, headline(stand), anchor="start", bold=True),
        text(_LEFT, 40, f"and {hidden} earlier ones" if hidden else "", anchor="start"),
    ]
    parts += [_drawn(one, number, stand) for number, one in enumerate(shown)]
    return picture(f"Revision path: {stand.environment} and {stand.other}", parts, width=width, height=height)


def headline(stand: Stand) -> str:
    """The whole in one line."""
    waiting = len(stand.history.pending(stand.heads))
    before = f" (before the unit at {_at(stand.former)})" if stand.former else ""
    beside = "not looked at" if stand.beside is None else f"at {_at(stand.beside)}"
    return (
        f"{stand.environment} at {_at(stand.heads)}{before}, {stand.other} {beside}, "
        f"head {_at(stand.history.heads)}: {waiting} to apply on {stand.environment}"
    )


def path_lines(stand: Stand) -> Iterable[tuple[str, str, str, str]]:
    """(sign, revision, where it is, title) per revision: "=" applied here, "+" to apply."""
    applied = stand.history.below(stand.heads)
    for one in stand.history.revisions:
        phase = stand.phases.get(one.id, "")
        told = f"{one.title}{f' ({phase})' if phase else ''}"
        yield ("=" if one.id in applied else "+", one.id, _where(one, stand), told)


def _where(one: Revision, stand: Stand) -> str:
    found = [stand.environment] if one.id in stand.history.below(stand.heads) else []
    if stand.beside is not None and one.id in stand.history.below(stand.beside):
        found.append(stand.other)
    return " and ".join(found) or "pending"


def _shown(revisions: Sequence[Revision]) -> tuple[int, Sequence[Revision]]:
    hidden = max(0, len(revisions) - _MOST)
    return hidden, revisions[hidden:]


def _at(heads: tuple[str, ...]) -> str:
    return ", ".join(heads) or "nothing"


def _marks(one: Revision, stand: Stand) -> Iterable[str]:
    """Who is at this revision; of production also where it will be."""
    will_move = stand.is_production and bool(stand.history.pending(stand.heads))
    if one.id in stand.heads:
        yield f"{stand.environment} now" if will_move else stand.environment
    if one.id in stand.former:
        yield f"{stand.environment} before"
    if one.id in (stand.beside or ()):
        yield stand.other
    if one.id in stand.history.heads:
        yield f"{stand.environment} after" if will_move else "head"


def _drawn(one: Revision, number: int, stand: Stand) -> str:
    x = _LEFT + (number % _PER_LINE) * (_BOX + _GAP)
    y = _TOP + (number // _PER_LINE) * (_HEIGHT + 46)
    where, phase = _where(one, stand), stand.phases.get(one.id, "")
    is_to_come = where == "pending" or (stand.is_production and where == stand.other)
    coming = _CONTRACT if phase == "contract" else _PENDING
    fill = coming if is_to_come else _STAGING if where == stand.environment else _BOTH
    dash = ' stroke-dasharray="4 4"' if is_to_come else ""
    line = f'<line x1="{x - _GAP}" y1="{y + 21}" x2="{x}" y2="{y + 21}" stroke="#57606a"></line>' if number else ""
    box = f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_HEIGHT}" rx="4" fill="{fill}" stroke="#57606a"{dash}></rect>'
    marks = list(_marks(one, stand))
    return "".join(
        (
            line,
            box,
            text(x + _BOX / 2, y + 17, one.id[:14], anchor="middle", bold=True),
            text(x + _BOX / 2, y + 33, phase or ("in both" if " and " in where else where[:16]), anchor="middle"),
            *(
                text(x + _BOX / 2, y + 56 + 13 * row, f"▲ {mark}", anchor="middle", bold=True)
                for row, mark in enumerate(marks)
            ),
        )
    )
