"""What PostgreSQL really did on a scratch server, and what is made of it: each case is run, none is only read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import psycopg
import pytest
from statements import run_alone, run_together

from pantheon_runbook.config import MigrationPolicy
from pantheon_runbook.database.migrations.revisions import Effect, Lock, Ran, Statement
from pantheon_runbook.database.rehearsals.effects import watch, with_effects
from pantheon_runbook.database.rehearsals.hazards import hazards_of
from pantheon_runbook.database.rehearsals.lint import lint
from pantheon_runbook.database.rehearsals.phases import derived_phase
from pantheon_runbook.database.rehearsals.scratch import scratch
from pantheon_runbook.database.rehearsals.verdicts import verdicts
from pantheon_runbook.database.rehearsals.weights import Weights, in_words, magnitude

TABLES = """
create table sessions (id uuid primary key default gen_random_uuid(), title text);
create table messages (
    id bigint primary key, session_id uuid, role text not null, tokens int, code varchar(20), price numeric(10, 2),
    kind text not null default 'plain', at timestamp
);
alter table messages add constraint tokens_known check (tokens >= 0) not valid;
create table drafts (id int primary key, body text);
create table logs (id int primary key, line text);
create table "Odd Names" (id int primary key, "Note" text);
create type mood as enum ('good', 'bad');
create view spoken as select id, role from messages;
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamped before insert on messages for each row execute function stamp();
create index tokens_now on messages (tokens);
create function fill() returns void language sql as 'update messages set tokens = 0';
create domain small as int;
create table scores (id int primary key, score small);
"""
ROWS = {
    "public.messages": 1_203_000, "public.sessions": 12, "public.drafts": 0, "public.logs": None,
    'public."Odd Names"': 500_000, "public.scores": 900_000,
}  # fmt: skip
WEIGHTS = Weights(ROWS, 100_000)
BIG = {"rewrite-under-lock": "blocks"}
EXCLUSIVE = Lock("public.logs", "AccessExclusiveLock")
ADVICE = "advice"
BLOCKS = "blocks"


@dataclass(frozen=True)
class Case:
    """`says` is {rule: tier} of everything that is said of it; `what` is in one of the sentences."""

    sql: tuple[str, ...]
    phase: str
    says: dict[str, str]
    what: str = ""
    is_alone: bool = False


def case(*sql: str, phase: str = "expand", says: dict[str, str] | None = None, what: str = "", alone: bool = False):
    return Case(sql, phase, says or {}, what, alone)


CASES = (
    # Tables and columns that come.
    case("create table fresh (id int primary key, name text not null)"),
    case("create table fresh (id int)", "create index on fresh (id)", "alter table fresh add x int not null"),
    case("alter table messages add note text"),
    case("alter table messages add note text not null default ''"),
    case(
        "alter table messages add key uuid default gen_random_uuid()",
        says={"rewrite-under-lock": BLOCKS},
        what="locks public.messages against reads and writes while 1,203,000+ rows are rewritten",
    ),
    case("alter table sessions add key uuid default gen_random_uuid()", says={"rewrite-under-lock": ADVICE}),
    case("alter table messages add number serial", says={"rewrite-under-lock": BLOCKS}),
    case("alter table messages add twice int generated always as (tokens * 2) stored", says=BIG),
    case(
        "alter table messages add note text not null",
        phase="contract",
        says={"required-column": BLOCKS, "scan-under-lock": BLOCKS},
        what="fails: column note demands a value that 1,203,000+ rows of public.messages do not have",
    ),
    case(
        "alter table drafts add note text not null",
        phase="contract",
        says={"required-column": ADVICE, "scan-under-lock": ADVICE},
    ),
    case(
        "alter table messages add session uuid references sessions (id)", says={"adding-foreign-key-constraint": ADVICE}
    ),
    # Columns that change.
    case(
        "alter table messages alter tokens type bigint",
        says={"rewrite-under-lock": BLOCKS},
    ),
    case("alter table messages alter code type varchar(40)", says={"changing-column-type": ADVICE}),
    case("alter table messages alter code type text", says={"changing-column-type": ADVICE}),
    case(
        "alter table messages alter code type varchar(5)",
        phase="contract",
        says={"rewrite-under-lock": BLOCKS, "data-loss": BLOCKS},
        what="narrows column code of public.messages from character varying(20) to character varying(5)",
    ),
    case("alter table messages alter price type numeric(12, 2)", says={"changing-column-type": ADVICE}),
    case("alter table messages alter price type numeric(10, 1)", phase="contract", says={**BIG, "data-loss": BLOCKS}),
    case(
        "alter table drafts alter body type varchar(5)",
        phase="contract",
        says={"rewrite-under-lock": ADVICE, "data-loss": ADVICE},
    ),
    case(
        "alter table messages alter tokens set not null",
        phase="contract",
        says={"scan-under-lock": BLOCKS, "may-fail": ADVICE},
        what="locks public.messages against reads and writes while 1,203,000+ rows are read through",
    ),
    case(
        "alter table messages add constraint held check (tokens is not null) not valid",
        "alter table messages validate constraint held",
        "alter table messages alter tokens set not null",
        phase="contract",
        says={"scan-under-lock": BLOCKS, "may-fail": ADVICE},  # the lock of the first is held while the second reads
    ),
    case("alter table messages alter role drop not null", says={"ban-drop-not-null": ADVICE}),
    case("alter table messages alter kind drop default", phase="contract"),
    case("alter table messages alter kind set default 'x'"),
    case("alter table messages rename role to author", phase="contract", says={"rename": BLOCKS}),
    case("alter table drafts rename body to text", phase="contract", says={"rename": ADVICE}),
    case("alter table sessions rename to threads", phase="contract", says={"rename": BLOCKS}),
    # Constraints and indexes.
    case("alter table messages add constraint positive check (tokens > 0) not valid"),
    case(
        "alter table messages add constraint positive check (tokens > 0)",
        says={"scan-under-lock": BLOCKS, "may-fail": ADVICE},
    ),
    case("alter table messages validate constraint tokens_known", says={"may-fail": ADVICE}),
    case(
        "alter table messages add constraint of_session foreign key (session_id) references sessions (id)",
        says={"scan-under-lock": BLOCKS, "may-fail": ADVICE},
        what="locks public.messages and public.sessions against writes while 1,203,000+ rows of public.messages are",
    ),
    case("alter table messages add constraint of_session foreign key (session_id) references sessions (id) not valid"),
    case(
        "alter table messages add constraint one unique (code)",
        says={"index-under-lock": BLOCKS, "may-fail": ADVICE},
    ),
    case(
        "create index by_code on messages (code)",
        says={"index-under-lock": BLOCKS},
        what="locks public.messages against writes while 1,203,000+ rows are indexed",
    ),
    case("create index by_title on sessions (title)", says={"index-under-lock": ADVICE}),
    case("create index by_line on logs (line)", says={"index-under-lock": BLOCKS}, what="an unknown number of rows"),
    case('create index odd on "Odd Names" ("Note")', says={"index-under-lock": BLOCKS}),
    case("create unique index by_code on messages (code)", says={"index-under-lock": BLOCKS, "may-fail": ADVICE}),
    case("create index concurrently if not exists by_code on messages (code)", alone=True),
    case("create index concurrently by_code on messages (code)", says={"prefer-robust-stmts": ADVICE}, alone=True),
    case("create index if not exists by_code on messages (code)", says={"index-under-lock": BLOCKS}, alone=True),
    case("drop index tokens_now", says={"require-concurrent-index-deletion": ADVICE}),
    case("drop index concurrently if exists tokens_now", alone=True),
    case("alter table messages drop constraint tokens_known", says={"ban-drop-constraint": ADVICE}),
    case("reindex table messages", says={"index-under-lock": BLOCKS}),
    case(
        "alter domain small add constraint few check (value < 10)",
        says={"scan-under-lock": BLOCKS, "ban-alter-domain-with-add-constraint": BLOCKS},
    ),
    # Rows.
    case(
        "update messages set tokens = length(code) / 4 where tokens is null",
        says={"data-migration": BLOCKS},
        what="1,203,000+ rows of public.messages are updated in one transaction",
    ),
    case("update messages set tokens = 0 where id in (select id from messages where tokens is null limit 5000)"),
    case("update messages set tokens = 0 where id = 7"),
    case("update sessions set title = ''", says={"data-migration": ADVICE}),
    case("with old as (select 1) update messages set tokens = 0", says={"data-migration": BLOCKS}),
    case("delete from messages where tokens is null", says={"data-migration": BLOCKS}),
    case("delete from messages", says={"data-migration": BLOCKS, "data-loss": BLOCKS}),
    case("insert into drafts select id::int, role from messages", says={"data-migration": BLOCKS}),
    case("insert into drafts values (1, 'delete from messages')"),
    case("do $$ begin update messages set tokens = 0; end $$", says={"data-migration": BLOCKS}),
    case('update "Odd Names" set "Note" = \'\'', says={"data-migration": BLOCKS}),
    case(
        "alter table messages add author text",
        "update messages set author = role where author is null",
        says={"data-under-lock": BLOCKS},
        what="locks public.messages against reads and writes while 1,203,000+ rows are updated",
    ),
    case(
        "alter table sessions add closed boolean",
        "update messages set tokens = 0",
        says={"data-under-lock": BLOCKS},
        what="locks public.sessions against reads and writes while 1,203,000+ rows of public.messages are updated",
    ),
    case("select fill()", says={"data-migration": BLOCKS}, what="public.messages are written by what it calls"),
    case("select max(id) from messages", says={"not-seen": ADVICE}, what="what it does with 1,203,000+ rows there"),
    case("select max(id) from drafts"),
    case("do $$ begin perform fill(); end $$", says={"data-migration": BLOCKS}),
    case("create table copied as select * from messages"),
    # What is gone.
    case(
        "alter table messages drop column tokens",
        phase="contract",
        says={"data-loss": BLOCKS},
        what="drops column tokens of public.messages with what 1,203,000+ rows hold in it",
    ),
    case(
        "-- squawk-ignore ban-drop-column\nalter table messages drop column tokens",
        phase="contract",
        says={"data-loss": ADVICE},
    ),
    case("alter table drafts drop column body", phase="contract", says={"data-loss": ADVICE}),
    case(
        "-- squawk-ignore adding-required-field, adding-not-nullable-field\nalter table logs add note text not null",
        phase="contract",
        says={"required-column": BLOCKS, "scan-under-lock": ADVICE},  # what is certain to fail, nobody accepts
    ),
    case("drop table logs", phase="contract", says={"data-loss": BLOCKS}),
    case("do $$ begin execute 'drop ' || 'table logs'; end $$", phase="contract", says={"data-loss": BLOCKS}),
    case(
        "alter table messages drop column role cascade",
        phase="contract",
        says={"data-loss": BLOCKS, "cascade": BLOCKS},
        what="also drops view public.spoken, which the statement does not name",
    ),
    case("truncate messages", says={"data-loss": BLOCKS}, what="empties public.messages of 1,203,000+ rows"),
    case("truncate drafts", says={"data-loss": ADVICE}),
    case("drop view spoken", phase="contract"),
    case("create or replace view spoken as select id, role, 1 as one from messages"),
    case("drop view spoken", "create view spoken as select id from messages"),
    case("drop trigger stamped on messages", phase="contract"),
    case("alter type mood rename value 'bad' to 'poor'", phase="contract", says={"rename": BLOCKS}),
    case("alter type mood add value 'fair' before 'bad'", alone=True),
    # Others.
    case("alter table messages enable row level security", says={"row-security": ADVICE}),
    case("set local lock_timeout = 0", says={"timeout-off": BLOCKS}),
    case("set local lock_timeout = '2s'"),
    case("cluster messages using messages_pkey", says={"rewrite-under-lock": BLOCKS}),
    case("vacuum full drafts", says={"rewrite-under-lock": ADVICE}, alone=True),
    case("comment on table messages is 'what was said'"),
    case(
        'lock table messages, "Odd Names" in access exclusive mode',
        says={"several-locks": ADVICE},
    ),
)


@pytest.fixture(scope="module")
def rans():
    """Every case run once: together and rolled back, or alone in a database of its own."""
    with scratch() as server:
        base = server.make("base")
        with base.connection("postgres") as connection:
            connection.execute(TABLES)
        with base.connection() as connection:
            watch(connection)
            found = {number: _together(connection, number, one) for number, one in enumerate(CASES) if not one.is_alone}
        for number, one in enumerate(CASES):
            if one.is_alone:
                database = server.make(f"alone{number}")
                with database.connection("postgres") as connection:
                    connection.execute(TABLES)
                with database.connection() as superuser, database.connection("postgres") as connection:
                    watch(superuser)
                    found[number] = with_effects(superuser, run_alone(connection, str(number), one.sql))
        yield found


def _together(connection: psycopg.Connection, number: int, one: Case):
    with connection.transaction(force_rollback=True):
        return with_effects(connection, run_together(connection, str(number), one.sql))


@pytest.fixture(scope="module")
def linted(rans):
    found = lint(list(rans.values()), server_version="17.6")
    assert "" == found.not_linted
    return found.hazards


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: " ; ".join(CASES[number].sql)[:70])
def test_statement_is_weighed_by_what_it_did(rans, linted, number):
    one, ran = CASES[number], rans[number]
    ours = [hazard for hazard in linted if hazard.revision == ran.revision]

    found = verdicts(hazards_of(ran, WEIGHTS), ours, weights=WEIGHTS, policy=MigrationPolicy())

    assert one.says == {hazard.rule: hazard.tier for hazard in found}
    assert one.what in " | ".join(hazard.what for hazard in found)
    assert all(hazard.recipe for hazard in found)
    assert one.phase == derived_phase(ran.statements).phase


def only(effect: Effect, *, rows: int | None, **options) -> list[str]:
    ran = Ran("a", (Statement("alter table logs", 0.0, (EXCLUSIVE,), effects=(effect,)),), 0.0, ("a",))
    return [one.tier for one in hazards_of(ran, Weights({"public.logs": rows}, 100), **options)]


@pytest.mark.parametrize("big", [10, 1_000, 20_000, 100_000])
def test_growing_table_changes_its_order_of_magnitude_seldom(big: int):
    """Empty, few, and then each tenth and tenfold of what is big, which is told exactly."""
    sizes = [*range(2_000), *(rows + more for rows in (2_000, 20_000, 100_000, 10**7) for more in (-1, 0, 1))]
    told = [magnitude(rows, big=big) for rows in sizes]

    assert all(least <= rows for rows, least in zip(sizes, told, strict=True))
    assert [rows >= big for rows in sizes] == [least >= big for least in told]
    assert len(set(told)) <= 2 + math.ceil(math.log10(10**7 / min(big, 1_000))) + 1
    assert (0, 1, 1) == tuple(magnitude(rows, big=100_000) for rows in (0, 1, 999))


@pytest.mark.parametrize(
    ("rows", "words"),
    [(None, "an unknown number of rows"), (0, "0 rows"), (1, "up to 1,000 rows"), (10_000, "10,000+ rows")],
)
def test_rows_in_words(rows: int | None, words: str):
    assert words == in_words(rows)


@pytest.mark.parametrize(("rows", "tier"), [(None, BLOCKS), (100, BLOCKS), (99, ADVICE), (0, ADVICE)])
def test_table_that_nobody_counted_is_big(rows, tier):
    assert [tier] == only(Effect("rewritten", "table", "public.logs", "public.logs", is_on_old=True), rows=rows)


def test_loss_blocks_until_it_is_declared():
    dropped = Effect("removed", "column", "line", "public.logs", {"name": "line"}, is_old=True, is_on_old=True)

    assert [BLOCKS] == only(dropped, rows=1)
    assert [ADVICE] == only(dropped, rows=0)
    assert [ADVICE] == only(dropped, rows=1, is_declared_contract=True)
