"""RB-010 against the sandbox; what it did is asked of the sandbox's and the databases' own logs."""

from __future__ import annotations


def test_provisions_once_and_only_once(world):
    """The second run makes no mutating call and no mutating statement, and says why for each resource."""
    assert "done" == world.provision().word
    calls, statements = world.mutating(), world.running.statements(world.staging_ref())

    run = world.open()
    plan = world.plan(run)
    for act in ("approve", "apply", "verify"):
        run.session.perform(act)

    assert "nothing-to-do" == world.seal(run).word
    assert () == plan.changes
    assert 19 == len(plan.left_alone)
    assert all(reason for _, reason in plan.left_alone)
    assert calls == world.mutating()
    assert statements == world.running.statements(world.staging_ref())


def test_plan_run_writes_nothing(world):
    run = world.open("plan")
    world.plan(run)

    assert "planned" == world.seal(run).word
    assert [] == world.mutating()
