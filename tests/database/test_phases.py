"""Which revisions wait for the new backend: what their statements say, what their author says, and both together."""

from __future__ import annotations

import pytest

from pantheon_runbook.database.migrations.revisions import Effect, Ran, Revision, Statement
from pantheon_runbook.database.rehearsals.phases import Phased, conflicts, phase_of, split

OLD = {"is_old": True, "is_on_old": True}
DROPPED = Effect("removed", "column", "role", "public.messages", {"name": "role", "type": "text"}, **OLD)
ADDED = Effect("added", "column", "author", "public.messages", {}, {"name": "author", "type": "text"}, is_on_old=True)
OF_THIS_RELEASE = Effect("removed", "column", "draft", "public.messages", {"name": "draft"}, is_on_old=True)


def revision(name: str, *down: str, phase: str = "", depends_on: tuple[str, ...] = ()) -> Revision:
    return Revision(name, down, depends_on, (), f"{name}.py", "0" * 64, name, phase)


def ran(*effects: Effect) -> Ran:
    return Ran("a", (Statement("alter table messages", 0.0, effects=effects),), 0.0, ("a",))


def made(kind: str, name: str, change: str) -> Effect:
    return Effect(change, kind, name, "", {}, {}, is_old=change == "removed")


def test_what_is_taken_away_waits():
    assert Phased("contract", "column role of public.messages is dropped") == phase_of(
        revision("a"), ran(ADDED, DROPPED).statements
    )
    assert Phased("expand") == phase_of(revision("a"), ran(ADDED).statements)


def test_what_came_with_this_release_is_missed_by_nobody():
    """From an empty database to head nothing is a contract: no former backend ever ran on it."""
    assert Phased("expand") == phase_of(revision("a"), ran(OF_THIS_RELEASE).statements)


@pytest.mark.parametrize("kind", ["function", "view", "trigger", "policy", "type"])
def test_what_is_made_anew_was_not_taken_away(kind):
    gone, anew = made(kind, "public.f", "removed"), made(kind, "public.f", "added")

    assert "expand" == phase_of(revision("a"), ran(gone, anew).statements).phase
    assert "contract" == phase_of(revision("a"), ran(gone).statements).phase


def test_column_made_anew_has_lost_what_was_in_it():
    anew = Effect("added", "column", "role", "public.messages", {}, {"name": "role"}, is_on_old=True)

    assert "contract" == phase_of(revision("a"), ran(DROPPED, anew).statements).phase


def test_declared_phase_is_taken():
    assert Phased("expand", "its author says so") == phase_of(revision("a", phase="expand"), ran(DROPPED).statements)


@pytest.mark.parametrize(
    ("declared", "effect", "tiers"),
    [
        ("", DROPPED, []),
        ("contract", DROPPED, []),
        ("expand", ADDED, []),
        ("expand", DROPPED, ["blocks"]),
        ("contract", ADDED, ["advice"]),
        ("contract", OF_THIS_RELEASE, []),  # a first installation has nothing old
    ],
)
def test_author_and_statements_in_conflict_are_told(declared, effect, tiers):
    assert tiers == [one.tier for one in conflicts(revision("a", phase=declared), ran(effect))]


def test_contract_revisions_come_after_the_deployment():
    pending = [revision("a"), revision("b", "a"), revision("c", "b"), revision("d", "c")]

    found = split(pending, {"a": "expand", "b": "expand", "c": "contract", "d": "contract"})

    assert (("a", "b"), ("c", "d"), ()) == (found.before, found.after, found.hazards)


def test_expand_that_builds_on_contract_blocks():
    """The new backend may need it, and it cannot come before what waits for the new backend."""
    pending = [revision("a"), revision("b", "a"), revision("c", "b"), revision("x", "a"), revision("y", "x", "c")]

    found = split(pending, {"a": "contract", "b": "expand", "c": "expand", "x": "contract", "y": "contract"})

    assert ((), ("a", "b", "c", "x", "y")) == (found.before, found.after)
    assert [("b", "blocks"), ("c", "blocks")] == [(one.revision, one.tier) for one in found.hazards]
    assert all("builds on a" in one.what for one in found.hazards)


def test_contract_that_met_nothing_old_lets_later_ones_pass():
    """From an empty schema; the last one waits all the same, and what takes away something old always does."""
    pending = [revision("a"), revision("b", "a"), revision("c", "b"), revision("d", "c")]
    phases = {"a": "expand", "b": "contract", "c": "expand", "d": "contract"}

    found = split(pending, phases, harmless={"b", "d"})
    assert (("a", "b", "c"), ("d",), ()) == (found.before, found.after, found.hazards)

    found = split(pending, phases, harmless={"d"})
    assert (("a",), ["c"]) == (found.before, [one.revision for one in found.hazards])


def test_other_branch_need_not_wait():
    pending = [revision("a"), revision("b"), revision("c", "b", depends_on=("a",))]

    found = split(pending, {"a": "contract", "b": "expand", "c": "expand"})

    assert (("b",), ("a", "c")) == (found.before, found.after)
    assert ["c"] == [one.revision for one in found.hazards]
