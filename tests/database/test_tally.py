"""Tree, database and ledger beside each other: each thing that does not fit has its own words and its own way on."""

from __future__ import annotations

import time

import pytest
from trees import digest, row, tree

from pantheon_runbook.database.migrations.tally import Commands, Release, Tally, tally

LINE = tree("a", "b < a", "c < b", "d < c")
FORK = tree("a", "b < a", "x < a")
JOINED = tree("a", "b < a", "x < a", "m < b x")
COMMANDS = Commands("pantheon-runbook run RB-020 -e staging", "alembic -c backend/alembic.ini")
ACCEPT = "pantheon-runbook run RB-020 -e staging -p baseline="


def of(history, heads, rows=(), *, release=None, tables=3, again=()) -> Tally:
    release = release or Release("main", "main")
    return tally(history, heads, rows, release=release, tables=tables, commands=COMMANDS, again=again)


def one(found: Tally, code: str, *, blocks: bool = True):
    """The only finding."""
    assert [(code, blocks)] == [(finding.code, finding.blocks) for finding in found.findings]
    return found.findings[0]


def rows(names: str):
    return tuple(row(name) for name in names)


def test_what_fits_has_no_finding():
    found = of(LINE, ("b",), rows("ab"))

    assert (("c", "d"), ()) == (tuple(one.id for one in found.pending), found.findings)


def test_empty_database_is_migrated_from_the_beginning():
    found = of(LINE, None, tables=0)

    assert (4, ()) == (len(found.pending), found.findings)


def test_edited_file_is_named_with_both_digests():
    edited = (row("a", digest=digest("before")), row("b"))

    finding = one(of(LINE, ("b",), edited), "edited-after-apply")

    assert "database/revision/a" == finding.address
    was, now = digest("before"), digest("a")
    assert (
        "versions/a.py was edited after it was applied 2026-11-23T10:00:02Z by supervisor, run 1a2b3c4d: "
        f"it was {was[:4]}-{was[4:8]} then, and is {now[:4]}-{now[4:8]} now" == finding.what
    )
    assert finding.next_step.endswith(f"{ACCEPT}b")


@pytest.mark.parametrize("recorded", [(row("q", file="versions/q.py"),), ()])
def test_database_beyond_the_release_is_named(recorded):
    """Nothing is pending: what stands above is not known."""
    found = of(LINE, ("q",), (*rows("ab"), *recorded))

    finding = one(found, "beyond-release")
    assert () == found.pending
    whose = "q (applied 2026-11-23T10:00:02Z by supervisor, run 1a2b3c4d)" if recorded else "q (no row: applied by bare"
    assert whose in finding.what
    assert "pantheon-runbook run RB-020 -e staging -p refresh=true" in finding.next_step


def test_revision_that_only_the_ledger_knows_is_told():
    finding = one(of(LINE, ("b",), rows("abq")), "ledger-unknown")

    assert "q (applied" in finding.what
    assert finding.next_step.endswith(f"{ACCEPT}b")


def test_ledger_ahead_of_alembic_is_told():
    finding = one(of(LINE, ("b",), rows("abc")), "ledger-ahead")

    assert "c (applied 2026-11-23T10:00:02Z by supervisor, run 1a2b3c4d), but Alembic's table is at b" in finding.what
    assert finding.next_step.endswith(f"{ACCEPT}b")


@pytest.mark.parametrize(("tables", "offered"), [(3, "c"), (0, "base")])
def test_lost_version_table_is_told(tables, offered):
    """Where tables stand it is the table that was lost; where none do, everything was."""
    finding = one(of(LINE, None, rows("abc"), tables=tables), "ledger-ahead")

    assert "Alembic's table is at nothing" in finding.what
    assert finding.next_step.endswith(ACCEPT + offered)


@pytest.mark.parametrize(("recorded", "count"), [("", 3), ("ab", 1), ("bc", 1)])
def test_revisions_of_bare_alembic_are_offered_as_baseline(recorded, count):
    finding = one(of(LINE, ("c",), rows(recorded)), "unrecorded")

    assert finding.what.startswith(f"{count} revisions were applied by bare Alembic")
    assert finding.next_step.endswith(f"{ACCEPT}c")


def test_tables_without_alembic_are_offered_as_baseline():
    for heads in (None, ()):
        finding = one(of(LINE, heads), "schema-without-alembic")
        assert "the database has 3 tables" in finding.what
        assert finding.next_step.endswith(f"{ACCEPT}<revision>")


@pytest.mark.parametrize(
    ("followed", "words"), [(True, "what it had written by then is committed"), (False, "nothing")]
)
def test_revision_left_half_way_waits_for_a_word(followed, words):
    begun = (*rows("ab"), row("c", "begun", followed_writes=followed))

    finding = one(of(LINE, ("b",), begun), "left-half-way")

    assert (
        "versions/c.py was begun 2026-11-23T10:00:00Z by supervisor, run 1a2b3c4d, left its transaction" in finding.what
    )
    assert words in finding.what
    assert "-p again=c" in finding.next_step
    assert finding.next_step.endswith(f"{ACCEPT}c")


def test_half_way_revision_runs_again_when_told_so():
    begun = (*rows("ab"), row("c", "begun", digest=digest("before")))

    found = of(LINE, ("b",), begun, again=("c",))

    assert "and the file was edited since" in one(found, "left-half-way", blocks=False).what
    assert ["c", "d"] == [each.id for each in found.pending]


def test_half_way_revision_that_alembic_knows_is_bare_alembics():
    """Undone in part or stamped by hand: whether it stands has to be compared."""
    finding = one(of(LINE, ("c",), (*rows("ab"), row("c", "begun"))), "unrecorded")

    assert "1 revisions" in finding.what
    assert "being undone when it ended half-way, or stamped by hand since: c (begun 2026" in finding.what


def test_several_heads_have_their_merge_command():
    finding = one(of(FORK, ("a",), rows("a")), "several-heads")

    assert "b (versions/b.py), x (versions/x.py)" in finding.what
    assert finding.next_step.endswith('alembic -c backend/alembic.ini merge -m "merge heads" b x')


def test_head_that_another_one_depends_on_is_none():
    history = tree("a", "b < a", "x", depends={"b": ("x",)})

    assert () == of(history, ("b", "x"), rows("abx")).findings


def test_database_at_several_heads_is_told():
    """Joined by what is pending it is in order; in a tree that does not join them it is not."""
    one(of(JOINED, ("b", "x"), rows("abx")), "database-at-several-heads", blocks=False)

    codes = [(each.code, each.blocks) for each in of(FORK, ("b", "x"), rows("abx")).findings]
    assert [("several-heads", True), ("database-at-several-heads", True)] == codes


def test_several_heads_of_bare_alembic_are_stated_together():
    found = of(JOINED, ("x", "b"))

    assert f"{ACCEPT}b,x" in found.findings[0].next_step


def test_only_the_release_branch_migrates():
    release = Release("main", "feature/search", beyond=("d",))

    finding = one(of(LINE, ("b",), rows("ab"), release=release), "not-released")
    assert "(feature/search): versions/d.py" in finding.what
    assert () == of(LINE, ("d",), rows("abcd"), release=release).findings


def test_unknown_branch_is_said_and_no_reason_to_stop():
    one(of(LINE, ("b",), rows("ab"), release=Release("main", "")), "release-not-known", blocks=False)


def test_long_lists_are_cut_and_counted():
    history = tree("r0", *(f"r{n} < r{n - 1}" for n in range(1, 9)))

    assert "r0, r1, r2, r3, r4 and 4 more" in of(history, ("r8",)).findings[0].what


def test_a_thousand_revisions_take_no_time():
    history = tree("r0", *(f"r{n} < r{n - 1}" for n in range(1, 1000)))
    known = tuple(row(f"r{n}") for n in range(900))
    began = time.monotonic()

    assert 100 == len(of(history, ("r899",), known).pending)
    assert time.monotonic() - began < 2
