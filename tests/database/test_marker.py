"""The row that says which environment a database is."""

from __future__ import annotations

import pytest

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError, WrongEnvironmentError
from pantheon_runbook.model import Change
from pantheon_runbook.session import ACTS

CHANGE = Change("database/marker", "create", {}, {}, (), "none", "drop it")


def test_marker_is_written_once_and_believed(world):
    """A restored copy of another environment is refused; what a write cannot do is said, not thrown."""
    assert "done" == world.provision().word
    ref = world.staging_ref()
    run = world.open()
    world.plan(run)
    marker = run.session.kinds["database/marker"]
    statements = world.running.statements(ref)
    marker.write(CHANGE)
    assert statements == world.running.statements(ref)

    run.session.gate.is_open = True
    with marker._database.session() as connection:
        connection.execute(f"delete from {SCHEMA}.environment")
        connection.execute(f"alter table {SCHEMA}.environment add constraint never check (name = 'nobody')")
    with pytest.raises(VendorRefusedError, match="refused to mark the environment"):
        marker.write(CHANGE)

    with marker._database.session() as connection:
        connection.execute(f"alter table {SCHEMA}.environment drop constraint never")
        connection.execute(
            f"insert into {SCHEMA}.environment (name, cloud, ref, marked_at) values ('production', 'live', %s, now())",
            (ref,),
        )
    with pytest.raises(WrongEnvironmentError, match='says it is "production"'):
        marker.look()
    world.seal(run)


@pytest.mark.rare
def test_database_that_goes_away_is_not_a_traceback(world, monkeypatch):
    """Reads are refused with a card when nobody answers on the pooler."""
    assert "done" == world.provision().word
    run = world.open()
    run.session.perform(ACTS[0])
    database = run.session.kinds["database/marker"]._database
    monkeypatch.setattr(database, "_resolve", lambda _host, _port: ("127.0.0.1", 1))
    with pytest.raises(VendorUnavailableError):
        run.session.kinds["database/marker"].look()
    world.seal(run)
