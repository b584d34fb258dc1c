"""A database that bare Alembic migrated is taken over at a stated revision, in one transaction or not at all."""

from __future__ import annotations

import psycopg
import pytest
from test_tally import COMMANDS
from trees import digest, row, tree

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.baseline import Stated, accept, after, baseline_finding, refusal
from pantheon_runbook.database.migrations.tally import Release, tally
from pantheon_runbook.errors import ParameterError, RefusedError

LINE = tree("a", "b < a", "c < b", "d < c")
JOINED = tree("a", "b < a", "x < a", "m < b x")
BY = {"version_table": "alembic_version", "run_id": "r1", "operator": "supervisor"}
EXPECTED = ("relation public.t r", "column public.t id integer", "index i")


@pytest.fixture
def made(connection):
    ledger.make(connection)
    return connection


def at(connection: psycopg.Connection, *heads: str) -> None:
    connection.execute("create table alembic_version (version_num varchar(32) primary key)")
    for head in heads:
        connection.execute("insert into alembic_version values (%s)", (head,))


def add(connection: psycopg.Connection, name: str, state: str = "applied", of: str = "") -> None:
    connection.execute(
        f"insert into {SCHEMA}.migrations (revision, file, digest, state, run_id, operator, began_at, ended_at)"
        " values (%s, '', %s, %s, 'r0', 'x', now(), case when %s = 'begun' then null else now() end)",
        (name, digest(of or name), state, state),
    )


def states(connection: psycopg.Connection) -> dict[str, str]:
    return {each.revision: each.state for each in ledger.rows(connection)}


def test_statement_is_read():
    assert Stated(("0008",)) == Stated.of("0008")
    assert Stated(("0008",), "4be1-c09d") == Stated.of("0008+4be1-c09d")
    assert Stated(("b", "x"), "4be1-c09d") == Stated.of("b,x+4be1-c09d")
    assert Stated(()) == Stated.of("base")


@pytest.mark.parametrize("text", ["", "+4be1-c09d", "a b", "a+", "a+code", "a,,b", "a+4be1-c09d+4be1-c09d"])
def test_statement_that_is_none_is_refused(text):
    with pytest.raises(ParameterError, match="is no revision"):
        Stated.of(text)


def test_equal_schema_may_be_accepted_in_any_order():
    finding = baseline_finding(EXPECTED, EXPECTED[::-1], Stated(("c",)), run=COMMANDS.run)

    assert ("baseline-equal", False) == (finding.code, finding.blocks)


def test_different_schema_is_refused_until_its_code_is_typed():
    found = (*EXPECTED[:2], "index other")
    finding = baseline_finding(EXPECTED, found, Stated(("c",)), run=COMMANDS.run)
    assert ("baseline-differs", True) == (finding.code, finding.blocks)
    assert "missing: index i; only here: index other" in finding.what
    parameter = finding.next_step.rpartition("-p baseline=")[2]

    accepted = baseline_finding(EXPECTED, found, Stated.of(parameter), run=COMMANDS.run)
    assert ("baseline-accepted", False) == (accepted.code, accepted.blocks)

    again = baseline_finding(EXPECTED, (*found, "more"), Stated.of(parameter), run=COMMANDS.run)
    assert again.blocks
    assert "the code given is another difference's" in again.next_step


def test_swapped_difference_has_another_code():
    """Missing here and only here are not the same."""
    one = baseline_finding(EXPECTED, EXPECTED[1:], Stated(("c",)), run="")
    other = baseline_finding(EXPECTED[1:], EXPECTED, Stated(("c",)), run="")

    assert one.next_step[-9:] != other.next_step[-9:]


def test_long_difference_is_cut_and_counted():
    finding = baseline_finding(tuple(f"line {n}" for n in range(9)), (), Stated(("c",)), run="")

    assert finding.what.endswith("missing: line 5; and 3 more")


def test_bare_alembics_revisions_get_their_rows(made):
    at(made, "c")

    assert ("a", "b", "c") == accept(made, LINE, Stated(("c",)), **BY)

    assert {"a": "baseline", "b": "baseline", "c": "baseline"} == states(made)
    assert {("r1", "supervisor", "versions/a.py", digest("a"))} == {
        (each.run_id, each.operator, each.file, each.digest) for each in ledger.rows(made) if each.revision == "a"
    }
    assert ("c",) == ledger.heads(made, "alembic_version")
    assert () == accept(made, LINE, Stated(("c",)), **BY)


def test_row_of_the_same_file_is_left_as_it_is(made):
    """What we applied stays applied; only what bare Alembic added, and what was edited, is taken for the baseline."""
    at(made, "c")
    add(made, "a")
    add(made, "b", of="before it was edited")

    assert ("b", "c") == accept(made, LINE, Stated(("c",)), **BY)

    assert {"a": "applied", "b": "baseline", "c": "baseline"} == states(made)


def test_rows_of_what_does_not_stand_are_ended(made):
    at(made, "b")
    for name in "abcq":
        add(made, name)

    assert () == accept(made, LINE, Stated(("b",)), **BY)

    assert {"a": "applied", "b": "applied"} == states(made)
    ended = f"select revision, run_id from {SCHEMA}.migrations where state = 'undone' order by 1"
    assert [("c", "r1"), ("q", "r1")] == made.execute(ended).fetchall()


def test_missing_version_table_is_made_and_stamped(made):
    accept(made, LINE, Stated(("c",)), **BY)

    assert ("c",) == ledger.heads(made, "alembic_version")
    key = made.execute("select conname from pg_constraint where conrelid = 'alembic_version'::regclass and contype='p'")
    assert ("alembic_version_pkc",) == key.fetchone()


def test_empty_version_table_is_stamped(made):
    at(made)
    accept(made, JOINED, Stated(("b", "x")), **BY)

    assert ("b", "x") == ledger.heads(made, "alembic_version")
    assert {"a", "b", "x"} == set(states(made))


def test_schema_that_was_made_anew_is_base(made):
    add(made, "a")
    add(made, "b")

    assert () == accept(made, LINE, Stated(()), **BY)

    assert {} == states(made)


def test_begun_revision_that_stands_is_stamped(made):
    at(made, "b")
    for name, state in (("a", "applied"), ("b", "applied"), ("c", "begun")):
        add(made, name, state)

    assert ("c",) == accept(made, LINE, Stated(("c",)), **BY)

    assert ("c",) == ledger.heads(made, "alembic_version")
    assert {"a": "applied", "b": "applied", "c": "baseline"} == states(made)


@pytest.mark.parametrize("stated", ["a", "c", "d", "q", "base", "b,c"])
def test_statement_that_alembic_denies_writes_nothing(made, stated):
    at(made, "b")
    add(made, "d", "begun")

    with pytest.raises(RefusedError, match="cannot be taken for"):
        accept(made, LINE, Stated.of(stated), **BY)

    assert {"d": "begun"} == states(made)
    assert ("b",) == ledger.heads(made, "alembic_version")


def test_unknown_head_is_never_overwritten(made):
    at(made, "q")
    add(made, "a", "begun")

    for stated in ("a", "b", "base"):
        with pytest.raises(RefusedError, match="cannot be taken for"):
            accept(made, LINE, Stated.of(stated), **BY)
    assert ("q",) == ledger.heads(made, "alembic_version")


def test_failure_half_way_leaves_nothing(made):
    """Stamped and half recorded would be a third truth."""
    made.execute(f"alter table {SCHEMA}.migrations add constraint no_c check (revision <> 'c')")

    with pytest.raises(psycopg.errors.CheckViolation):
        accept(made, LINE, Stated(("c",)), **BY)

    assert ({}, None) == (states(made), ledger.heads(made, "alembic_version"))


def test_migration_at_that_moment_is_waited_for(target, made):
    """Alembic's table moves under no acceptance: the one comes after the other."""
    at(made, "b")
    other = target.open()
    other.execute("begin; update alembic_version set version_num = 'c'")
    made.execute("set lock_timeout = '300ms'")

    with pytest.raises(psycopg.errors.LockNotAvailable):
        accept(made, LINE, Stated(("b",)), **BY)
    other.execute("commit")
    with pytest.raises(RefusedError, match="cannot be taken for b"):
        accept(made, LINE, Stated(("b",)), **BY)
    assert {} == states(made)


@pytest.mark.parametrize(
    ("heads", "rows", "stated"),
    [
        (("c",), (), "c"),
        (("c",), (row("a"), row("b", digest="edited")), "c"),
        (("b",), (row("a"), row("b"), row("c"), row("q")), "b"),
        (None, (), "d"),
        (None, (row("a"), row("b")), "base"),
        (("b",), (row("a"), row("b"), row("c", "begun")), "c"),
    ],
)
def test_what_is_accepted_leaves_no_finding(heads, rows, stated):
    """The plan shows the state after it: nothing blocks that acceptance settles, and what is left is pending."""
    said = Stated.of(stated)
    assert refusal(LINE, heads, rows, said) is None

    release = Release("main", "main")
    tables = 3 if said.revisions else 0
    later = tally(LINE, said.revisions, after(LINE, rows, said), release=release, tables=tables, commands=COMMANDS)

    assert () == later.findings
    assert tuple("abcd"["abcd".find(stated) + 1 :] if said.revisions else "abcd") == tuple(
        each.id for each in later.pending
    )


def test_forecast_is_what_is_written(made):
    at(made, "c")
    add(made, "a")
    add(made, "b", of="edited")
    add(made, "q")
    forecast = after(LINE, ledger.rows(made), Stated(("c",)))

    accept(made, LINE, Stated(("c",)), **BY)

    def told(rows):
        return sorted((each.revision, each.digest, each.state) for each in rows)

    assert told(forecast) == told(ledger.rows(made))
