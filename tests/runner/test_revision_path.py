"""Where the databases stand on the path of revisions, as an observer is shown it."""

from __future__ import annotations

from dataclasses import asdict

from pantheon_runbook.database.migrations.revision_kinds import TREE
from pantheon_runbook.database.migrations.revisions import History, Revision
from pantheon_runbook.model import Resource, Snapshot
from pantheon_runbook.runner.revision_path import Stand, headline, revision_path, stand_of

IDS = ("8", "9", "10")


def revision(one: str, *down: str) -> Revision:
    return Revision(one, down, (), (), f"{one}.py", "d" * 64, f"Title of {one}")


REVISIONS = tuple(revision(one, *IDS[: IDS.index(one)][-1:]) for one in IDS)


def marks(stand: Stand) -> list[str]:
    return [part.partition("<")[0] for part in revision_path(stand).split("▲ ")[1:]]


def test_promotion_is_told_where_production_is_and_will_be():
    stand = Stand(History(REVISIONS, ("10",)), ("8",), ("10",), {}, "production", "staging")

    assert ["production now", "staging", "production after"] == marks(stand)
    assert "production at 8, staging at 10, head 10: 2 to apply on production" == headline(stand)


def test_way_back_is_told_where_production_was_before():
    """Whether each of them can be undone is the plan's to say."""
    undo = [Resource(f"database/undo/{one}", "present", {"stands": True}) for one in IDS[1:]]
    told = {"revisions": [asdict(one) for one in REVISIONS], "heads": ["10"], "at": ["10"]}
    tree = Resource(TREE, "present", told)
    stand = stand_of(Snapshot("sandbox", "production", {}, {}, (tree, *undo), (), ""))

    assert stand is not None
    assert ["production before", "production", "head"] == marks(stand)
    assert headline(stand).startswith("production at 10 (before the unit at 8), ")
