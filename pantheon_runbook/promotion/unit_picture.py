"""A unit of work as a picture: from top to bottom in the order of doing, a lane for each part of production.

Steps that may be under way at the same time stand side by side. A deterministic SVG; its text twin is the numbered
list of the same steps. Colours only repeat what the words say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pantheon_runbook.drawing import picture, text
from pantheon_runbook.promotion.steps import LANES, Step

_WIDTHS = {"database": 230, "backend": 380, "page": 240, "checks": 150}
_LEFT, _TOP, _BOX, _ROW, _GAP = 10, 44, 40, 60, 10
_FILLS = {
    "done": "#dff0dd", "not done": "#f7d4cd", "made but not ready": "#fbeec2", "unknown": "#fbeec2",
    "not reached": "#ffffff",
}  # fmt: skip
_PLANNED = "#eef3f8"
_LETTER = 6.4  # width of one at the font's size, about
_COMMIT = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{4}\b")  # as the list has it; here is room for less


@dataclass(frozen=True)
class _Place:
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def unit_picture(steps: Sequence[Step], outcomes: Mapping[str, str] | None = None) -> str:
    """`outcomes` are words by address, of `evidence.changes`, with what was measured after a comma.

    Without them every step is drawn as it is planned.
    """
    places = _places(steps)
    height = max((place.y for place in places.values()), default=_TOP) + _BOX + 12
    parts = [*_lanes(height), *_lines(steps, places)]
    for one in steps:
        word = (outcomes or {}).get(one.address, "not reached") if outcomes is not None else ""
        parts.append(_drawn(one, places[one.number], word))
    return picture("The unit of work, step by step", parts, width=_LEFT * 2 + sum(_WIDTHS.values()), height=int(height))


def _places(steps: Sequence[Step]) -> dict[int, _Place]:
    """As far down as the longest way there has steps; those of one lane that are equally far share its width."""
    depth: dict[int, int] = {}
    for one in steps:
        depth[one.number] = 1 + max((depth[need] for need in one.waits), default=-1)
    found = {}
    for one in steps:
        beside = [other.number for other in steps if (other.lane, depth[other.number]) == (one.lane, depth[one.number])]
        width = (_WIDTHS[one.lane] - _GAP) / len(beside)
        x = _x_of(one.lane) + width * beside.index(one.number)
        found[one.number] = _Place(x, _TOP + depth[one.number] * _ROW, width - _GAP)
    return found


def _x_of(lane: str) -> float:
    return _LEFT + sum(_WIDTHS[one] for one in LANES[: LANES.index(lane)]) + _GAP


def _lanes(height: float) -> list[str]:
    parts = []
    for lane in LANES:
        x = _x_of(lane) - _GAP
        parts.append(text(x + _WIDTHS[lane] / 2, 22, lane, anchor="middle", bold=True))
        parts.append(f'<line x1="{x:g}" y1="8" x2="{x:g}" y2="{height - 6:g}" stroke="#d0d7de"></line>')
    return parts[:1] + parts[2:]  # nothing to be parted left of the first


def _lines(steps: Sequence[Step], places: Mapping[int, _Place]) -> list[str]:
    """From what a step waits for to the step; behind the boxes."""
    return [
        f'<path d="M {places[need].middle:g} {places[need].y + _BOX:g} C {places[need].middle:g} '
        f"{places[need].y + _BOX + 14:g}, {places[one.number].middle:g} {places[one.number].y - 14:g}, "
        f'{places[one.number].middle:g} {places[one.number].y:g}" fill="none" stroke="#57606a"></path>'
        for one in steps
        for need in one.waits
    ]


def _drawn(one: Step, place: _Place, word: str) -> str:
    fill = _FILLS.get(word.partition(",")[0], _PLANNED)
    dash = ' stroke-dasharray="4 4"' if word == "not reached" else ""
    room, where = int(place.width / _LETTER), f'x="{place.x:g}" y="{place.y:g}" width="{place.width:g}"'
    return "".join(
        (
            f'<rect {where} height="{_BOX}" rx="4" fill="{fill}" stroke="#57606a"{dash}></rect>',
            text(place.middle, place.y + 16, _fitting(f"{one.number} {one.name}", room), anchor="middle", bold=True),
            text(place.middle, place.y + 32, _fitting(word or _COMMIT.sub(r"\1", one.change), room), anchor="middle"),
        )
    )


def _fitting(words: str, room: int) -> str:
    return words if len(words) <= room else f"{words[: room - 1]}…"
