"""How each thing that should stand was found: adopted as it is, wrong, missing, or out of sight. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pantheon_runbook.model import Desired, Resource, Snapshot
from pantheon_runbook.planning import difference

ADOPTED, WRONG, MISSING, UNSEEN = "adopted", "wrong", "missing", "out of sight"
_INSIDE_SUPABASE = ("supabase/", "database/")


def with_standing(wanted: Iterable[Desired], seen: Snapshot) -> Snapshot:
    """The snapshot with a note at each thing that should stand, which begins with one of the four words.

    What is missing gets a place too. Everything else is left as it was seen: it is not ours to judge.
    """
    judged = {desired.address: _judged(desired, seen) for desired in wanted}
    others = (resource for resource in seen.resources if resource.address not in judged)
    return replace(seen, resources=tuple(sorted((*others, *judged.values()), key=lambda one: one.address)))


def _judged(desired: Desired, seen: Snapshot) -> Resource:
    found = seen.get(desired.address)
    if found.state == "absent":
        return replace(found, note=f"{UNSEEN} while the project is not healthy" if _hides(seen, found) else MISSING)
    names = difference(desired, found)
    word = f"{WRONG}: {', '.join(names)}" if names else ADOPTED
    if not names and found.note.startswith(ADOPTED):
        return found
    return replace(found, note="; ".join(part for part in (word, found.note) if part))


def _hides(seen: Snapshot, found: Resource) -> bool:
    """A project that is paused or on its way answers for nothing in it."""
    project = seen.get("supabase/project")
    is_up = project.state == "absent" or project.attributes.get("status") == "ACTIVE_HEALTHY"
    return not is_up and found.address.startswith(_INSIDE_SUPABASE)
