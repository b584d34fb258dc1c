"""What an act shows: the same facts as fixed-width text and as HTML.

Nothing here depends on the time an act took or on the machine, so that stored outputs can be compared.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from typing import Any

from pantheon_runbook.drawing import image


@dataclass(frozen=True)
class Card:
    """`head` and `tail` are the first line; `rows` are (sign, what, how, remark); `next_step` the last line.

    `alarms` come before the rows and are red; `code` is for people to compare, and big. A row with nothing but `what`
    is a line of its own under the one above it.
    """

    head: str
    tail: str = ""
    alarms: tuple[str, ...] = ()
    code: str = ""
    rows: tuple[tuple[str, str, str, str], ...] = ()
    lines: tuple[str, ...] = ()
    next_step: str = ""
    pictures: tuple[str, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """At most about 120 columns; what does not fit is in the bundle's files."""
        shown = [f"{self.head:<58} {self.tail}".rstrip(), *self.alarms]
        shown += [f"short code  {self.code}"] if self.code else []
        told = [row for row in self.rows if not _is_alone(row)]
        signs, *widths = (min(44, max((len(row[column]) for row in told), default=0)) for column in (0, 1, 2))
        shown += [
            f"  {sign:>{signs}} {what:<{widths[0]}}  {how:<{widths[1]}}  {remark}".rstrip()
            for sign, what, how, remark in self.rows
        ]
        shown += self.lines
        if self.next_step:
            shown.append(f"Next: {self.next_step}")
        return "\n".join(shown)

    def html(self) -> str:
        """The pictures, when there are some, above a table of the same rows."""
        rows = "".join(f"<tr>{_alone(row) if _is_alone(row) else _cells(row)}</tr>" for row in self.rows)
        parts = [f"<p><strong>{html.escape(self.head)}</strong> {html.escape(self.tail)}</p>"]
        parts += map(_alarm, self.alarms)
        parts += [_code(self.code)] if self.code else []
        parts += map(image, self.pictures)
        parts += [f"<table>{rows}</table>"] if self.rows else []
        parts += [f"<p>{html.escape(line)}</p>" for line in self.lines]
        parts += [f"<p><strong>Next:</strong> {html.escape(self.next_step)}</p>"] if self.next_step else []
        return f'<div class="pantheon-card">{"".join(parts)}</div>'

    def again(self) -> Card:
        """The same card, for an act that was called a second time."""
        return replace(self, head=f"{self.head}  (already done)")

    def as_json(self) -> dict[str, Any]:
        return {"text": self.text(), "html": self.html()}


def _cells(row: tuple[str, ...]) -> str:
    """A numbered row is the head of those under it."""
    sign, what, *more = (html.escape(text) for text in row)
    shown = (sign, f"<strong>{what}</strong>" if sign.isdigit() else what, *more)
    return "".join(f'<td style="text-align: left">{text}</td>' for text in shown)


def _alarm(line: str) -> str:
    return f'<p class="not-met" style="color: #b3261e"><strong>{html.escape(line)}</strong></p>'


def _code(code: str) -> str:
    return f'<p>short code <span class="code" style="font-size: 2em">{html.escape(code)}</span></p>'


def _is_alone(row: tuple[str, ...]) -> bool:
    return row[0] == row[2] == row[3] == ""


def _alone(row: tuple[str, ...]) -> str:
    return f'<td></td><td colspan="3" style="text-align: left">{html.escape(row[1].strip())}</td>'
