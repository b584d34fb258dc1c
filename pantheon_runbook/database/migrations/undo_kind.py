"""What RB-040 does to the target database: it undoes revisions, each by its own downgrade and as one change."""

from __future__ import annotations

from collections.abc import Sequence

from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.revision_kinds import REVISION, Ground, Site, digest_in
from pantheon_runbook.database.migrations.revisions import Revision
from pantheon_runbook.errors import RefusedError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Change, Resource

UNDO = "database/undo"


class Undo(Kind):
    """Revisions that this run may undo: those with these ids, and no other, whatever a change says.

    Shape: one Resource each, {"stands": True}, or {"stands": False, "digest": its file's}; so that a change has both
        when {"stands": False, "digest": ...} is wanted. It is "unreadable" at heads that the tree does not know.
    """

    prefix = UNDO
    looks_after = (REVISION,)

    def __init__(self, site: Site, revisions: Sequence[str]) -> None:
        self._site = site
        self._revisions = frozenset(revisions)

    def look(self) -> Look:
        """The tree as the revisions' own look has read it; the database anew, which an undo has changed."""
        ground = self._site.ground
        if ground is None or not self._site.is_there:
            return Look()
        with self._site.session() as connection:
            heads = ledger.heads(connection, self._site.version_table) or ()
        undoable = (one for one in ground.history.revisions if one.id in self._revisions)
        return Look(tuple(_seen(one, ground, heads) for one in undoable))

    def write(self, change: Change) -> str | None:
        revision = change.address.removeprefix(f"{UNDO}/")
        if revision not in self._revisions:
            raise RefusedError(
                f"revision {revision} was about to be undone",
                why=f"this run may undo {', '.join(sorted(self._revisions)) or 'none'}",
                next_step="report this as a bug, with the journal of this run",
            )
        sent = {"revision": revision, "digest": digest_in(change)}
        with self._site.gate.write("undo a revision", path=self._site.version_table, sent=sent):
            self._site.undo(revision, digest=sent["digest"])
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """Gone from Alembic's table, and so undone in the ledger: both are written in one transaction."""
        return seen.attributes.get("stands") is False


def _seen(one: Revision, ground: Ground, heads: Sequence[str]) -> Resource:
    address = f"{UNDO}/{one.id}"
    if strangers := [head for head in heads if ground.history.get(head) is None]:
        return Resource(address, "unreadable", note=f"the database is at {', '.join(strangers)}, not in this tree")
    if one.id in ground.history.below(heads):
        return Resource(address, "present", {"stands": True}, one.title)
    return Resource(address, "present", {"stands": False, "digest": one.digest}, one.title)
