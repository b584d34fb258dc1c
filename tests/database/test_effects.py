"""Which statement had which effect: the server knows it by its text, and the worker's text is not always the same."""

from __future__ import annotations

from pantheon_runbook.database.migrations.revisions import Effect, Lock, Ran, Statement
from pantheon_runbook.database.rehearsals.effects import _Told, attached

ADDED = Effect("added", "table", "public.a")
GONE = Effect("removed", "table", "public.a")
SHARE = Lock("public.a", "ShareLock")


def ran(*statements: Statement) -> Ran:
    return Ran("a", statements, 0.0, ("a",))


def test_effects_go_to_their_statements_in_order():
    """The same text twice is two statements."""
    found = attached(
        ran(
            Statement("create  table a ();", 0.1),
            Statement("select '100 %%'", 0.1),
            Statement("create table a ()", 0.2),
        ),
        [
            _Told("create table a ()", ADDED, None),
            _Told("select '100 %'", GONE, None),
            _Told("create table a ()", ADDED, None),
        ],
    )

    assert [(ADDED,), (GONE,), (ADDED,)] == [one.effects for one in found.statements]


def test_effect_of_an_unseen_statement_has_one_of_its_own():
    found = attached(ran(Statement("select 1", 0.1)), [_Told("drop table a", GONE, None)])

    assert [("select 1", ()), ("drop table a", (GONE,))] == [(one.sql, one.effects) for one in found.statements]


def test_locks_are_taken_from_the_server_where_nobody_else_saw_them():
    """Inside a transaction the worker tells new locks from those that were held."""
    told = [_Told("one", None, SHARE), _Told("two", None, SHARE)]
    found = attached(ran(Statement("one", 0.1), Statement("two", 0.1, is_alone=True)), told)

    assert [(), (SHARE,)] == [one.locks for one in found.statements]
