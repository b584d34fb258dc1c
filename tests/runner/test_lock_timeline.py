"""The lock timeline: how long each lock lasts, counted in statements."""

from __future__ import annotations

from pantheon_runbook.database.migrations.revisions import Lock, Ran, Statement
from pantheon_runbook.runner.lock_timeline import Bar, bars, lock_timeline

EXCLUSIVE, SHARED = Lock("public.a", "AccessExclusiveLock"), Lock("public.b", "ShareLock")
OF_WRITERS = Lock("public.a", "RowExclusiveLock")


def ran(revision, *statements):
    return Ran(revision, statements, 0.0, (revision,))


def test_lock_lasts_as_long_as_its_transaction():
    """One that runs alone holds its own locks only, and ends the transaction before it."""
    statements = (
        Statement("one", 0.0, (EXCLUSIVE, OF_WRITERS)),
        Statement("two", 0.0),
        Statement("alone", 0.0, (SHARED,), is_alone=True),
        Statement("three", 0.0, (EXCLUSIVE,)),
        Statement("four", 0.0),
    )

    assert (
        Bar("public.a", "AccessExclusiveLock", "r2", 1, 2),
        Bar("public.a", "AccessExclusiveLock", "r2", 4, 5),
        Bar("public.b", "ShareLock", "r2", 3, 3),
    ) == bars([ran("r1", Statement("before", 0.0)), ran("r2", *statements)])


def test_nothing_is_drawn_where_nobody_waits():
    assert "" == lock_timeline([ran("r", Statement("one", 0.0, (OF_WRITERS,)))], {})
