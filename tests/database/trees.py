"""Trees of revisions as values, for what is decided without Alembic."""

from __future__ import annotations

import hashlib

from pantheon_runbook.database.migrations.revisions import History, LedgerRow, Revision


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tree(*lines: str, depends: dict[str, tuple[str, ...]] | None = None) -> History:
    """Each line is "id" or "id < down down", in the order in which they are applied."""
    revisions = []
    for line in lines:
        name, _, down = line.partition(" < ")
        about = {"down": tuple(down.split()), "depends_on": (depends or {}).get(name, ()), "branch_labels": ()}
        revisions.append(Revision(name, file=f"versions/{name}.py", digest=digest(name), title=name, **about))
    below = {one for revision in revisions for one in revision.down}
    return History(tuple(revisions), tuple(one.id for one in revisions if one.id not in below))


def row(name: str, state: str = "applied", **more: object) -> LedgerRow:
    ended = "" if state == "begun" else "2026-11-23T10:00:02Z"
    given = {"digest": digest(name), "file": f"versions/{name}.py", **more}
    return LedgerRow(
        name, state=state, run_id="1a2b3c4d5e6f", operator="supervisor", began_at="2026-11-23T10:00:00Z",
        ended_at=ended, **given,
    )  # fmt: skip
