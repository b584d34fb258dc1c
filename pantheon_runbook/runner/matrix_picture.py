"""The isolation matrix as a picture: what is compared, in how many ways it came out, and what is open into production.

A deterministic SVG of plain rectangles and text; its text twin is the compared card's table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pantheon_runbook.drawing import picture, text
from pantheon_runbook.model import RELATIONS, Comparison, MatrixRow

_LEFT, _COLUMN, _LINE, _TOP = 170, 64, 26, 66
_HEADS = {
    "must be equal and is not": ("must be", "equal, is not"), "must be equal and is": ("must be", "equal, and is"),
    "only in staging": ("only in", "staging"), "cannot be read": ("cannot", "be read"),
}  # fmt: skip
_ALARM, _UNREAD, _FINE, _NOTHING = "#f6c9c2", "#f3eee4", "#e3eef7", "#ffffff"
_STATES = ("open", "cannot be read", "closed by this tool", "closed by vendor")


def matrix_picture(compared: Comparison) -> str:
    """One line for each group of things, one column for each relation; colours only repeat what the words say."""
    groups = _groups(compared.rows)
    bottom = _TOP + _LINE * len(groups)
    width = _LEFT + _COLUMN * len(RELATIONS) + 10
    height = bottom + 44
    about = f"{compared.environment} beside production"
    parts = [text(10, 20, f"{about}: {len(compared.alarms)} alarms", anchor="start", bold=True)]
    for number, relation in enumerate(RELATIONS):
        x = _LEFT + _COLUMN * number + _COLUMN / 2
        for line, words in enumerate(_HEADS.get(relation, ("", relation))):
            parts.append(text(x, 42 + 14 * line, words, anchor="middle"))
    for number, (group, rows) in enumerate(groups.items()):
        parts.append(_line(group, rows, _TOP + _LINE * number))
    states = Counter[str](one.state for one in compared.exposures)
    told = ", ".join(f"{states[state]} {state}" for state in _STATES if states[state]) or "RB-060 looks at them"
    parts.append(text(10, bottom + 26, f"ways into production: {told}", anchor="start", bold=bool(states["open"])))
    return picture(f"Isolation matrix: {about}", parts, width=width, height=height)


def _groups(rows: Iterable[MatrixRow]) -> dict[str, list[MatrixRow]]:
    """By the first two words of the subject, in the order of the alphabet; production's own drift is apart."""
    found: dict[str, list[MatrixRow]] = {}
    for row in rows:
        found.setdefault(" ".join(row.subject.split("/")[:2]), []).append(row)
    return dict(sorted(found.items()))


def _line(group: str, rows: list[MatrixRow], top: float) -> str:
    counts = Counter(row.relation for row in rows)
    alarms = {row.relation for row in rows if row.is_alarm}
    cells = [text(10, top + 17, group, anchor="start")]
    for number, relation in enumerate(RELATIONS):
        x = _LEFT + _COLUMN * number
        is_unread = relation == "cannot be read"
        fill = _ALARM if relation in alarms else _UNREAD if is_unread else _FINE
        shown = counts[relation]
        cells.append(
            f'<rect x="{x + 2}" y="{top}" width="{_COLUMN - 4}" height="{_LINE - 4}" rx="3" '
            f'fill="{fill if shown else _NOTHING}" stroke="#d0d7de"></rect>'
        )
        if shown:
            words = f"{shown}!" if relation in alarms else str(shown)
            cells.append(text(x + _COLUMN / 2, top + 15, words, anchor="middle", bold=relation in alarms))
    return "".join(cells)
