"""RB-020's order of things, out of values alone."""

from __future__ import annotations

from pantheon_runbook import migrating
from pantheon_runbook.database.migrations.revisions import Revision
from pantheon_runbook.database.refreshing.emptying import Losses
from pantheon_runbook.database.refreshing.seeding import SeedFile
from pantheon_runbook.database.rehearsals.rehearsal import Rehearsal
from pantheon_runbook.model import Resource, Snapshot
from pantheon_runbook.planning import plan_changes

LOST = Losses({"public.jobs": 0, "public.messages": 1000, "public.sessions": 3, "public.huge": None}, 2)
SEED = SeedFile("backend/seed.py", None, "5eed")  # type: ignore[arg-type]  nobody opens it
API = "railway/deployment/api"


def revision(name: str, down: str = "") -> Revision:
    return Revision(name, (down,) if down else (), (), (), f"{name}.py", f"digest of {name}", name)


PENDING = (revision("a"), revision("b", "a"), revision("c", "b"))
STANDING = tuple(
    Resource(f"database/revision/{one.id}", "present", {"digest": one.digest, "title": one.title}) for one in PENDING
)


def planned(path: migrating.Path, *standing: Resource):
    """The changes of a database that has its ledger and stands at the head."""
    seen = (Resource("database/ledger", "present", {"layout": 3}), *STANDING, *standing)
    snapshot = Snapshot("sandbox", "staging", {}, {}, seen, (), "")
    changes, left_alone = plan_changes(migrating.desired_revisions(path, has_alembic=False), snapshot)
    return {change.address: change for change in changes}, dict(left_alone)


def path(**more) -> migrating.Path:
    rehearsal = Rehearsal(before=("a", "b"), after=("c",), not_rehearsed="nobody did")
    return migrating.Path(PENDING, rehearsal, deployments=(API,), **more)


def test_refresh_applies_everything_again():
    """What stands from the very same files too: it will be gone by then."""
    seeded = Resource("database/seed", "present", {"digest": "5eed"})
    changes, left_alone = planned(path(lost=LOST, seed=SEED), seeded)
    revisions = [f"database/revision/{one.id}" for one in PENDING]

    assert ["database/refresh", *revisions, "database/seed"] == list(changes)
    assert ("database/refresh",) == changes[revisions[0]].depends_on
    assert ("database/refresh", *revisions) == changes["database/seed"].depends_on
    assert ["database/ledger"] == list(left_alone)


def test_without_refresh_what_stands_is_left_alone():
    changes, _ = planned(path())

    assert {} == changes


def test_deployment_waits_for_refresh_and_expansion():
    """The contract revision waits for the new backend in turn, and the seed for both."""
    found = path(lost=LOST, seed=SEED)
    desired = {one.address: one for one in migrating.desired_revisions(found, has_alembic=False)}

    assert ("database/refresh", "database/revision/a", "database/revision/b") == found.before
    assert API in desired["database/revision/c"].depends_on
    assert {API, "database/revision/c"} <= set(desired["database/seed"].depends_on)


def test_risk_says_which_rows_are_lost():
    changes, _ = planned(path(lost=LOST))
    refresh = changes["database/refresh"]

    told = (
        "public.messages (about 1000 rows), public.sessions (3 rows), public.huge (nobody knows how many rows),"
        " 1 empty tables, 2 views, functions, types or others"
    )
    assert f"lost for good: {told}; staging does not work until the revisions are applied" == refresh.risk
    assert "none: the rows are lost" == refresh.undo
    nothing, _ = planned(path(lost=Losses({}, 0)))
    assert "none: there is nothing to be dropped" == nothing["database/refresh"].risk


def test_what_builds_on_a_late_revision_is_late():
    """Also one that the rehearsal did not get to: it had ended at the contract revision below."""
    rehearsal = Rehearsal(before=("a",), after=("b",))
    ended = migrating.Path(PENDING, rehearsal, deployments=(API,))
    changes, _ = planned(migrating.Path(PENDING, rehearsal, lost=LOST, deployments=(API,)))

    assert ("database/revision/a",) == ended.before
    assert ["a", "b", "c"] == [name.rpartition("/")[2] for name in changes if "revision" in name]
