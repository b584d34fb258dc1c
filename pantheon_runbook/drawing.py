"""What every picture is drawn with: deterministic SVG, an image of its own with a title for who does not see it."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable


def picture(title: str, parts: Iterable[str], *, width: int, height: int, font_size: int = 12) -> str:
    """The parts as one SVG, in their order; the title becomes the image's alternative text."""
    drawn_as = f'xmlns="http://www.w3.org/2000/svg" role="img" font-family="sans-serif" font-size="{font_size}"'
    opening = f'<svg {drawn_as} viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "".join((opening, f"<title>{html.escape(title)}</title>", *parts, "</svg>"))


def text(x: float, y: float, words: str, *, anchor: str = "", bold: bool = False) -> str:
    """One line of text, escaped; `anchor` is SVG's text-anchor."""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}"{anchored}{weight}>{html.escape(words)}</text>'


def image(drawn: str) -> str:
    """As an image of HTML: JupyterLab strips drawing elements from a notebook that it does not trust yet."""
    title = drawn.partition("<title>")[2].partition("</title>")[0]
    source = base64.b64encode(drawn.encode()).decode()
    return f'<p><img alt="{title}" src="data:image/svg+xml;base64,{source}"></p>'
