"""The environment map: production and one other environment side by side, what they share between them.

A deterministic SVG of plain rectangles, lines and text; its text twin is the observed card's table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pantheon_runbook.drawing import picture, text
from pantheon_runbook.model import Snapshot

_ROW = 46
_WIDTH = 820
_BOX = 285
_VERCEL, _COMMON, _BUCKETS = "Vercel target", "Secrets in common", "Storage buckets"
_DIFFERENT = ("different ids", "own copies")
_SHARING = frozenset({"shared-variable", "production-secret"})


@dataclass(frozen=True)
class _Row:
    what: str
    production: str
    ours: str
    shared: bool = False


def environment_map(snapshot: Snapshot) -> str:
    """An SVG drawing of about 820 x 340; colours only repeat what the words say."""
    rows = tuple(_rows(snapshot))
    height = 60 + _ROW * len(rows)
    parts = [
        text(10 + _BOX / 2, 24, "production", anchor="middle", bold=True),
        text(_WIDTH - 10 - _BOX / 2, 24, snapshot.environment, anchor="middle", bold=True),
    ]
    parts += [_drawn(row, 40 + number * _ROW) for number, row in enumerate(rows)]
    title = f"Environment map: production and {snapshot.environment}"
    return picture(title, parts, width=_WIDTH, height=height, font_size=13)


def _rows(snapshot: Snapshot) -> Iterable[_Row]:
    ours, theirs = snapshot.identities, snapshot.production
    yield _Row("Supabase project", theirs.get("supabase_ref", ""), ours.get("supabase_ref", ""))
    yield _Row(_BUCKETS, _names(snapshot, "production/bucket/"), _names(snapshot, "supabase/bucket/"))
    yield _Row("Railway environment", theirs.get("railway_environment", ""), ours.get("railway_environment", ""))
    key = snapshot.get("openrouter/key").attributes.get("name", "")
    yield _Row("OpenRouter key", "", str(key))
    yield _Row(_VERCEL, theirs.get("vercel_target", ""), ours.get("vercel_target", ""))
    shared = sum(finding.code in _SHARING for finding in snapshot.findings)
    found = "none of them found here" if not shared else f"{shared} SHARED"
    yield _Row(_COMMON, "known by fingerprint", found, shared=shared > 0)


def _names(snapshot: Snapshot, prefix: str) -> str:
    return ", ".join(r.address.removeprefix(prefix) for r in snapshot.resources if r.address.startswith(prefix))


def _drawn(row: _Row, top: float) -> str:
    """Two boxes and what is compared between them; a dashed box is not there yet."""
    right = _WIDTH - 10 - _BOX
    dash = "" if row.ours else ' stroke-dasharray="4 4"'
    fill = "#fde0dc" if row.shared else "#eef3f8"
    middle = top + 18
    box = f'y="{top}" width="{_BOX}" height="36" rx="4" stroke="#57606a"'
    return "".join(
        (
            f'<rect x="10" {box} fill="#f3eee4"></rect>',
            f'<rect x="{right}" {box} fill="{fill}"{dash}></rect>',
            text(10 + _BOX / 2, middle + 5, row.production or "not looked at", anchor="middle"),
            text(right + _BOX / 2, middle + 5, row.ours or "not there yet", anchor="middle"),
            text(_WIDTH / 2, middle - 2, row.what, anchor="middle"),
            text(_WIDTH / 2, middle + 14, _relation(row), anchor="middle"),
        )
    )


def _relation(row: _Row) -> str:
    """What was compared, and only that."""
    if row.shared:
        return "SHARED"
    if row.what == _VERCEL:
        return "one project, two targets"
    if row.what == _COMMON or not row.ours:
        return ""
    if not row.production:
        return "not compared"
    return "SHARED" if row.production == row.ours and row.what != _BUCKETS else _DIFFERENT[row.what == _BUCKETS]
