"""The certificate as a picture: what is closed, by whose word, and across all of it which cloud it is of.

A deterministic SVG of plain rectangles and text; its text twin is the card that it stands on.
"""

from __future__ import annotations

import html

from pantheon_runbook.certificate import Certificate, stood_for
from pantheon_runbook.closure import TITLES
from pantheon_runbook.drawing import picture, text

_WIDTH, _LINE, _TOP = 820, 30, 96
_REHEARSAL_MARKS = ((30, 200), (310, 262))


def certificate_picture(certificate: Certificate) -> str:
    """One line per criterion with who stands for it; a rehearsal is watermarked from edge to edge."""
    content, bottom = certificate.content, _TOP + _LINE * len(TITLES)
    height = bottom + 60
    mark, title = str(content["watermark"]), f"{content['watermark']}: {certificate.title}"
    parts = [
        f'<rect x="4" y="4" width="{_WIDTH - 8}" height="{height - 8}" fill="#ffffff" stroke="#57606a"></rect>',
    ]
    if certificate.cloud != "live":
        parts += [_watermark(x, y, mark) for x, y in _REHEARSAL_MARKS]
    parts += [text(24, 36, title, bold=True), text(24, 62, f"{content['closes']}; {content['environment']}")]
    for number, (words, stands) in enumerate(stood_for(certificate).items()):
        parts.append(text(24, _TOP + _LINE * number, f"met: {words}"))
        parts.append(text(400, _TOP + _LINE * number, _shortened(stands)))
    parts.append(text(24, bottom + 20, f"issued {content['issued_at']} by run {str(content['run'])[:8]}"))
    return picture(title, parts, width=_WIDTH, height=height, font_size=13)


def _shortened(words: str) -> str:
    return words if len(words) <= 60 else f"{words[:59]}…"  # noqa: PLR2004  what fits beside the criterion


def _watermark(x: float, y: float, words: str) -> str:
    turned = f'transform="rotate(-18 {x} {y})"'
    return (
        f'<text x="{x}" y="{y}" font-size="44" font-weight="bold" fill="#f6c9c2" {turned}>{html.escape(words)}</text>'
    )
