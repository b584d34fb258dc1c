"""The one statement that provisioning sends to a database goes through the same door as every request."""

from __future__ import annotations

import pytest

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.errors import RefusedError, WrongEnvironmentError
from pantheon_runbook.kind import Look
from pantheon_runbook.model import Change

CHANGE = Change("database/marker", "create", {}, {}, (), "none", "drop it")


@pytest.fixture
def marker(world):
    """Of a staging that stands; its row can be taken away or rewritten through `database`."""
    assert "done" == world.provision().word
    run = world.open()
    world.plan(run)
    yield run.session.kinds["database/marker"]
    world.seal(run)


def sql(marker, statement: str, *values: str) -> None:
    with marker._database.session() as connection:
        connection.execute(statement, values)


def test_marking_outside_apply_is_refused(world, marker):
    sql(marker, f"delete from {SCHEMA}.environment")
    before = world.running.statements(world.staging_ref())

    with pytest.raises(RefusedError, match="outside the apply act"):
        marker.write(CHANGE)

    assert before == world.running.statements(world.staging_ref())


def test_productions_database_is_not_marked(world, marker):
    sql(marker, f"delete from {SCHEMA}.environment")
    before = world.running.statements(world.staging_ref())
    marker._gate.gate.is_open = True
    marker._vault.hold("supabase.ref", world.facts["supabase"]["ref"], secret=False)

    with pytest.raises(RefusedError, match="names production's Supabase project"):
        marker.write(CHANGE)

    assert before == world.running.statements(world.staging_ref())


@pytest.mark.rare
def test_database_of_productions_tenant_is_not_marked(world, marker):
    """The row names staging; the login would lead to production."""
    sql(marker, f"delete from {SCHEMA}.environment")
    before = world.running.statements(world.staging_ref())
    marker._gate.gate.is_open = True
    marker._vault.hold("supabase.pooler_user", f"postgres.{world.facts['supabase']['ref']}", secret=False)

    with pytest.raises(RefusedError, match="names production's Supabase project"):
        marker.write(CHANGE)

    assert before == world.running.statements(world.staging_ref())


@pytest.mark.rare
def test_copy_of_another_projects_staging_is_refused(marker):
    """A restored backup brings its marker along."""
    sql(marker, f"update {SCHEMA}.environment set ref = %s", "a" * 20)

    with pytest.raises(WrongEnvironmentError, match='"staging" of project aaaa') as stopped:
        marker.look()

    assert "restored copy" in stopped.value.why


@pytest.mark.rare
def test_marker_that_came_between_look_and_write_is_believed(world, marker, monkeypatch):
    """Whoever marked the database meanwhile is asked in the transaction that writes, not before it."""
    sql(marker, f"update {SCHEMA}.environment set name = 'production'")
    before = world.running.statements(world.staging_ref())
    monkeypatch.setattr(marker, "look", Look)  # it saw none
    marker._gate.gate.is_open = True

    with pytest.raises(WrongEnvironmentError, match='says it is "production"'):
        marker.write(CHANGE)

    sent = [one["statement"] for one in world.running.statements(world.staging_ref())[len(before) :]]
    assert (True, []) == (bool(sent), [one for one in sent if "insert" in one])
