"""The little that is read out of SQL: which rows are written, and what an author switched off."""

from __future__ import annotations

import pytest

from pantheon_runbook.database.rehearsals.narrowing import is_narrower
from pantheon_runbook.database.rehearsals.sql_text import (
    bare,
    ignored_rules,
    is_repeatable,
    timeouts_off,
    truncated,
    writes,
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE Messages SET a = 1", [("update", "messages", False)]),
        ('update only "Odd Names" set a = 1', [("update", '"Odd Names"', False)]),
        ("update public . messages set a = 1", [("update", "public.messages", False)]),
        ("delete from a; update b set c = 1 where id = %(id)s", [("delete", "a", False), ("update", "b", True)]),
        ("update a set b = 1 where x_id = 4", [("update", "a", False)]),
        ("update a set b = 1 where a.id in (select id from a limit 500)", [("update", "a", True)]),
        ("update a set b = 1 where id in (select id from a)", [("update", "a", False)]),
        ("update a set b = c.b from c where a.id = c.id", [("update", "a", False)]),
        ("update a set b = 1 where id = 'x'::uuid", [("update", "a", True)]),
        ("update a set b = 1 where id in (1, 2)", [("update", "a", True)]),
        ("insert into a values (1)", []),
        ("insert into a (x) select x from b", [("insert", "a", False)]),
        ("merge into a using b on true when matched then update set x = 1", [("merge", "a", False)]),
        ("select * from a for update", []),
        ("insert into a values (1) on conflict do update set x = 1", []),
        ("create trigger t before update on a for each row execute function f()", []),
        ("grant update on a to b", []),
        ("create function f() returns void as $$ update a set b = 1 $$ language sql", []),
        ("do $x$ begin update a set b = 1; end $x$", [("update", "a", False)]),
        ("/* before */ do $$ begin\n-- update z\nupdate a set b = 'delete from c'; end $$", [("update", "a", False)]),
        (
            "with x as (delete from a returning *) insert into b select * from x",
            [("delete", "a", False), ("insert", "b", False)],
        ),
        ("comment on table a is 'update b set c = 1'", []),
    ],
)
def test_written_rows_are_found(sql, expected):
    assert expected == [(one.verb, one.table, one.is_bounded) for one in writes(sql)]


def test_comments_and_literals_say_nothing():
    assert "select '' from \"A b\" where ''" == bare("SELECT 'x''y' -- z\n FROM \"A b\" /* no */ WHERE E'it\\'s'")


def test_truncated_tables_are_found():
    assert ("a", "public.b") == truncated("TRUNCATE TABLE ONLY a, public.b RESTART IDENTITY CASCADE")
    assert () == truncated("select date_trunc('day', now())")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("set lock_timeout = 0", ("lock_timeout",)),
        ("SET LOCAL statement_timeout TO '0'", ("statement_timeout",)),
        ("set lock_timeout = default", ("lock_timeout",)),
        ("set lock_timeout = '0.5s'", ()),
        ("set lock_timeout = '2s'", ()),
        ("-- set lock_timeout = 0\nselect 1", ()),
    ],
)
def test_endless_waits_are_found(sql, expected):
    assert expected == timeouts_off(sql)


def test_ignored_rules_are_read():
    sql = "-- squawk-ignore ban-drop-column, renaming-column\nalter table a drop b"

    assert {"ban-drop-column", "renaming-column"} == ignored_rules(sql)
    assert frozenset() == ignored_rules("alter table a drop b -- squawk-ignore")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("integer", "bigint", False),
        ("bigint", "integer", True),
        ("integer", "text", False),
        ("text", "integer", True),
        ("character varying(10)", "character varying(20)", False),
        ("character varying(20)", "character varying(10)", True),
        ("character varying", "character varying(10)", True),
        ("character varying(10)", "text", False),
        ("numeric(10,2)", "numeric(12,2)", False),
        ("numeric(10,2)", "numeric(12,5)", True),  # three digits before the point are gone
        ("numeric(10,2)", "numeric", False),
        ("bigint", "numeric(10,0)", True),
        ("timestamp without time zone", "timestamp with time zone", False),
        ("timestamp(6) with time zone", "timestamp(0) with time zone", True),
        ("timestamp with time zone", "date", True),
        ("uuid", "text", False),
        ("text", "uuid", True),
        ("jsonb", "json", True),  # not known to hold all, so not trusted to
    ],
)
def test_narrower_type_is_told(before, after, expected):
    assert expected is is_narrower(before, after)


REPEATABLE = {
    "create index concurrently if not exists i on t (a)": True,
    "alter table public.t validate constraint c;": True,
    "analyze t": True,
    "analyze t; insert into counted values (1)": False,
    "alter table t alter column a type bigint using a * 2, validate constraint c": False,
    "create index concurrently i on t (a)": False,
}


@pytest.mark.parametrize("sql", REPEATABLE)
def test_only_what_may_run_twice_is_repeatable(sql):
    assert REPEATABLE[sql] == is_repeatable(sql)
