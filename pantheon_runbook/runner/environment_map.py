"""The environment map: production and one other environment side by side, what they share between them.

A deterministic SVG of plain rectangles, lines and text; its text twin is the observed card's table.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from pantheon_runbook.model import Snapshot

_ROW = 46
_WIDTH = 760
_BOX = 250


@dataclass(frozen=True)
class _Row:
    vendor: str
    production: str
    ours: str
    relation: str


def environment_map(snapshot: Snapshot) -> str:
    """An SVG drawing of about 760 x 300; colours only repeat what the words say."""
    rows = tuple(_rows(snapshot))
    height = 60 + _ROW * len(rows)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img"'
        ' font-family="sans-serif" font-size="13">',
        f"<title>Environment map: production and {html.escape(snapshot.environment)}</title>",
        _text(10 + _BOX / 2, 24, "production", bold=True),
        _text(_WIDTH - 10 - _BOX / 2, 24, snapshot.environment, bold=True),
    ]
    for number, row in enumerate(rows):
        parts.append(_drawn(row, 40 + number * _ROW))
    parts.append("</svg>")
    return "".join(parts)


def _rows(snapshot: Snapshot) -> Iterable[_Row]:
    ids = snapshot.identities
    project = snapshot.get("supabase/project")
    yield _Row("Supabase", "its own project", ids.get("supabase_ref", "no project yet"), _relation(project.state))
    buckets = sum(r.address.startswith("supabase/bucket/") for r in snapshot.resources)
    theirs = sum(r.address.startswith("production/bucket/") for r in snapshot.resources)
    yield _Row(
        "Storage", f"{theirs} buckets", f"{buckets} buckets", "own copy of names" if buckets else "not there yet"
    )
    environment = snapshot.get("railway/environment")
    name = ids.get("railway_environment", "no environment yet")
    yield _Row("Railway", "its own environment", name, _relation(environment.state))
    key = snapshot.get("openrouter/key")
    yield _Row("OpenRouter", "its own key", str(key.attributes.get("name", "no key yet")), _relation(key.state))
    shared = [finding for finding in snapshot.findings if finding.code in {"shared-variable", "production-secret"}]
    yield _Row("Vercel", "target production", "target preview", "one project, two targets")
    yield _Row("Secrets", "pinned", f"{len(shared)} shared", "SHARED" if shared else "nothing shared")


def _relation(state: str) -> str:
    return "separate" if state == "present" else "not there yet"


def _drawn(row: _Row, top: float) -> str:
    right = _WIDTH - 10 - _BOX
    dash = ' stroke-dasharray="4 4"' if row.relation == "not there yet" else ""
    fill = "#fde0dc" if row.relation == "SHARED" else "#eef3f8"
    middle = top + 18
    return "".join(
        (
            f'<rect x="10" y="{top}" width="{_BOX}" height="36" rx="4" fill="#f3eee4" stroke="#57606a"></rect>',
            f'<rect x="{right}" y="{top}" width="{_BOX}" height="36" rx="4" fill="{fill}" stroke="#57606a"{dash}></rect>',
            f'<line x1="{10 + _BOX}" y1="{middle}" x2="{right}" y2="{middle}" stroke="#8c959f" stroke-dasharray="2 4"></line>',
            _text(10 + _BOX / 2, middle + 5, f"{row.vendor}: {row.production}"),
            _text(right + _BOX / 2, middle + 5, row.ours),
            _text(_WIDTH / 2, middle - 3, row.relation),
        )
    )


def _text(x: float, y: float, words: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle"{weight}>{html.escape(words)}</text>'
