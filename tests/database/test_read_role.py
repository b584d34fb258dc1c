"""Production's read role: what the printed SQL makes can read and cannot write; the probe finds one that can."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from holder import PASSWORD, READ, Holder

from pantheon_runbook.checks import PROBE_REQUESTS, ProductionRead
from pantheon_runbook.database.read_role import creation_sql, judged, probe_read_role

pytestmark = pytest.mark.xdist_group("read-role")
SPARE = """
create table public.ledger (id bigserial primary key, note text);
create view public.session_count as select count(*) as n from public.sessions;
create function public.purge() returns void language plpgsql security definer set search_path = '' as
    $$ begin delete from public.jobs; end $$;
revoke execute on function public.purge() from public;
create function public.count_and_purge() returns int language plpgsql stable security definer set search_path = '' as
    $$ begin perform public.purge(); return 1; end $$;
revoke execute on function public.count_and_purge() from public;
create schema hidden;
create function hidden.purge() returns int language plpgsql security definer set search_path = '' as
    $$ begin delete from public.jobs; return 1; end $$;
revoke execute on function hidden.purge() from public;
select lo_from_bytea(424242, 'x');
"""
WRITE = "insert into public.jobs (session_id) values (gen_random_uuid())"
DONE = ""


@pytest.fixture(scope="module")
def holder(new_world) -> Iterator[Holder]:
    with new_world() as world:
        holder = Holder(world.running)
        holder.run(SPARE)
        assert [] == holder.make_role()
        yield holder
        holder.close()


def told(connection: psycopg.Connection, *statements: str) -> str:
    """The SQLSTATE that the last statement was told, after the others; everything is rolled back."""
    *before, last = statements
    for statement in before:
        connection.execute(statement)
    try:
        if last.startswith("copy") and "stdin" in last:
            with connection.cursor().copy(last) as copy:
                copy.write(b"1\n")
        else:
            connection.execute(last)
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        if connection.info.transaction_status:
            connection.execute("rollback")
    return DONE


BEGIN = "begin read write"
WAYS = {
    "insert": (BEGIN, WRITE),
    "insert by a with": (BEGIN, f"with new as ({WRITE} returning id) select * from new"),
    "update": (BEGIN, "update public.jobs set state = 'lost'"),
    "delete": (BEGIN, "delete from public.jobs"),
    "truncate": (BEGIN, "truncate public.jobs"),
    "merge": (BEGIN, "merge into public.jobs j using (select 1) s on true when matched then delete"),
    "copy from stdin": (BEGIN, "copy public.jobs (state) from stdin"),
    "copy from a program": (BEGIN, "copy public.jobs from program 'true'"),
    "copy to a file": (BEGIN, "copy public.jobs to '/tmp/jobs'"),
    "select for update": (BEGIN, "select * from public.jobs for update"),
    "lock table": (BEGIN, "lock table public.jobs in exclusive mode"),
    "table of a vendor": (BEGIN, "update storage.buckets set public = true"),
    "users": (BEGIN, "delete from auth.users"),
    "create table": (BEGIN, "create table public.mine ()"),
    "create function": (BEGIN, "create function public.f() returns int language sql as 'select 1'"),
    "create schema": (BEGIN, "create schema mine"),
    "create index": (BEGIN, "create index on public.jobs (state)"),
    "create trigger": (BEGIN, "create trigger t before insert on public.jobs execute function auth.uid()"),
    "create role": (BEGIN, "create role mine"),
    "create publication": (BEGIN, "create publication mine"),
    "alter table": (BEGIN, "alter table public.jobs add column mine int"),
    "drop table": (BEGIN, "drop table public.jobs"),
    "comment": (BEGIN, "comment on table public.jobs is 'mine'"),
    "grant": (BEGIN, "grant insert on public.sessions to pantheon_read"),
    "alter system": ("alter system set work_mem = '1GB'",),
    "alter database": (BEGIN, "alter database postgres set default_transaction_read_only = off"),
    "nextval": (BEGIN, "select nextval('public.ledger_id_seq')"),
    "setval": (BEGIN, "select setval('public.ledger_id_seq', 1)"),
    "large object of another": (BEGIN, "select lo_put(424242, 0, 'y')"),
    "lo_import": (BEGIN, "select lo_import('/etc/hostname')"),
    "security definer": (BEGIN, "select public.purge()"),
    "set role": ("set role postgres",),
    "set session authorization": ("set session authorization postgres",),
    "end other sessions": (BEGIN, "select pg_terminate_backend(pid) from pg_stat_activity where usename <> user"),
    "undo 1: set default_transaction_read_only": ("set default_transaction_read_only = off", WRITE),
    "undo 2: set session characteristics": ("set session characteristics as transaction read write", WRITE),
    "undo 3: begin read write": ("begin read write", WRITE),
    "undo 4: set transaction read write": ("begin", "set transaction read write", WRITE),
    "undo 5: set_config": ("select set_config('default_transaction_read_only', 'off', false)", WRITE),
}  # fmt: skip
# PostgreSQL gives these to every role, and only its superuser could take them away: the printed SQL says so.
LEFT_TO_EVERYBODY = {
    "temporary table": "create temp table mine ()",
    "large object of its own": "select lo_create(0)",
    "its own settings": "alter role pantheon_read set work_mem = '1MB'",
}


def test_role_reads_what_it_was_given(holder):
    with holder.login() as reader:
        assert [("0008",)] == reader.execute("select version_num from public.alembic_version").fetchall()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select * from public.sessions")


def test_every_way_of_writing_is_refused(holder):
    """With the soft guard off; and by PostgreSQL's own log nothing was done."""
    done, rows = holder.done(), []
    for what, statements in WAYS.items():
        with holder.login() as reader:
            rows.append((what, told(reader, *statements), statements[-1]))
    print()
    for what, state, statement in rows:
        print(f"{state:6} {what:42} {statement[:70]}")

    assert {"42501"} == {state for _, state, _ in rows}
    assert 39 == len(rows)
    assert done == holder.done()


@pytest.mark.parametrize("what", sorted(LEFT_TO_EVERYBODY))
def test_what_is_left_to_every_role_meets_the_soft_guard(holder, what: str):
    """Not held by a missing grant; nothing of it is production's data. Said in the SQL and in the README."""
    with holder.login() as reader:
        assert ("25006", DONE) == (
            told(reader, LEFT_TO_EVERYBODY[what]),
            told(reader, BEGIN, LEFT_TO_EVERYBODY[what]),
        )


def test_grant_of_a_table_that_it_may_read_grants_nothing(holder):
    """PostgreSQL only warns then; what counts is that the right is not there afterwards."""
    with holder.login() as reader:
        assert DONE == told(reader, BEGIN, "grant insert on public.jobs to pantheon_read")
        assert "42501" == told(reader, BEGIN, "grant insert on public.jobs to pantheon_read; " + WRITE)


def test_role_has_no_attribute_and_soft_guards(holder):
    attributes = holder.run(
        "select rolcanlogin, rolsuper or rolcreatedb or rolcreaterole or rolinherit or rolreplication or rolbypassrls,"
        " rolconnlimit from pg_roles where rolname = 'pantheon_read'"
    )
    with holder.login() as reader:
        names = ("default_transaction_read_only", "statement_timeout", "lock_timeout", "search_path")
        settings = [reader.execute(f"show {name}").fetchone()[0] for name in names]

    assert [(True, False, 3)] == attributes
    assert ["on", "5s", "1s", '""'] == settings


def test_running_the_sql_again_takes_away_what_is_not_named(holder):
    """No other role is touched, and no password is in it."""
    others = "select rolname, rolconfig, oid from pg_roles where rolname <> 'pantheon_read' order by 1"
    grants = "select grantee, table_name, privilege_type from information_schema.role_table_grants order by 1, 2, 3"
    before, granted = holder.run(others), holder.run(grants)
    holder.run("grant select, insert on public.messages to pantheon_read")

    assert [] == holder.make_role()

    assert (before, granted) == (holder.run(others), holder.run(grants))
    assert PASSWORD not in creation_sql(READ)
    assert "password '" not in creation_sql(READ).lower()


def test_sql_shows_what_the_role_could_write(holder):
    holder.run("grant insert on public.ledger to pantheon_read")
    try:
        assert [("may write to public.ledger",)] == holder.run(creation_sql(READ).replace("revoke all on all", "--"))
    finally:
        assert [] == holder.make_role()


def probe(holder: Holder, role: str = READ.role, relations: tuple[str, ...] = READ.relations):
    sent: list[str] = []
    with holder.login(role) as reader:
        return probe_read_role(reader, relations, spend=sent.append), sent


def test_probe_believes_the_refusals(holder):
    """As many statements as are set aside for it; each was refused, and the log has them all."""
    done, before = holder.done(), len(holder.running.statements(holder.ref))
    check, sent = probe(holder)
    tried = holder.running.statements(holder.ref)[before:]

    assert (True, "every write refused with 42501") == (check.passed, check.expected)
    assert check.found.startswith("5 of 5 refused with 42501")
    assert PROBE_REQUESTS == len(sent) + 2
    assert [("pantheon_read", "42501")] * 5 == [(one["role"], one["refused"]) for one in tried]
    assert sent[2:] == [one["statement"] for one in tried]
    assert done == holder.done()


GRANTS = {
    "insert on public.jobs": "may write to public.jobs",
    "update (state) on public.jobs": "may write to public.jobs",
    "delete on public.jobs": "may write to public.jobs",
    "truncate on public.sessions": "may write to public.sessions",
    "trigger on public.sessions": "may write to public.sessions",
    "insert (note) on public.ledger": "may write to public.ledger",
    "insert on public.session_count": "may write to public.session_count",
    "update on public.messages": "may write to public.messages",
    "usage on sequence public.ledger_id_seq": "may advance public.ledger_id_seq",
    "create on schema public": "may create in schema public",
    "create on database postgres": "may create schemas",
    "execute on function public.purge()": "may execute public.purge",
    "execute on function public.count_and_purge()": "may execute public.count_and_purge",
    "execute on function hidden.purge()": "may execute hidden.purge",
    "update on large object 424242": "may write large object 424242",
    "service_role": "is a member of service_role",
}


@pytest.mark.parametrize("grant", sorted(GRANTS))
def test_probe_finds_one_write_grant(holder, grant: str):
    rows = "select (select count(*) from public.jobs), (select count(*) from public.alembic_version)"
    before = holder.run(rows)
    holder.run(f"grant {grant} to pantheon_read")
    try:
        check, _ = probe(holder)
    finally:
        holder.run(f"revoke {grant} from pantheon_read")

    assert not check.passed
    assert "this role can write production" in check.found
    assert GRANTS[grant] in check.found
    assert before == holder.run(rows)
    assert probe(holder)[0].passed


def test_soft_guard_alone_is_found(holder):
    """default_transaction_read_only, and every right: a plain write meets 25006, the probe meets nothing."""
    holder.run(
        "create role soft_only login; alter role soft_only set default_transaction_read_only = on;"
        "grant all on public.jobs, public.alembic_version to soft_only; grant create on schema public to soft_only"
    )
    holder.connection.pgconn.change_password(b"soft_only", PASSWORD.encode())
    with holder.login("soft_only") as reader:
        assert "25006" == told(reader, WRITE)

    check, _ = probe(holder, "soft_only")

    assert not check.passed
    assert check.found.startswith(
        "this role can write production: insert into public.alembic_version was done, and rolled"
    )
    assert [("0008",)] == holder.run("select version_num from public.alembic_version")
    assert [] == holder.run("select relname from pg_class where relname = 'pantheon_probe'")


def test_the_refusal_of_a_soft_guard_is_no_proof():
    """25006 is what a replica says, or a pooler that makes every transaction read only."""
    check = judged([], {"insert into t": "25006", "delete from t": "42501"})

    assert not check.passed
    assert "not proven: insert into t met the soft guard only (25006)" == check.found


@pytest.mark.parametrize("state", ["42P01", "53300", "0A000"])
def test_another_refusal_is_no_proof(state: str):
    assert not judged([], {"insert into t": state}).passed
    assert not judged([], {}).passed


def test_probe_of_a_view_tries_the_table_beside_it(holder):
    """A view that counts refuses a write for what it is, which would say nothing about the role."""
    read = ProductionRead(role="view_reader", relations=("public.session_count",))
    assert [] == holder.make_role(read)

    check, sent = probe(holder, read.role, read.relations)

    assert check.passed
    assert sent[2].startswith("insert into public.alembic_version")
    with holder.login(read.role) as reader:
        assert [(40,)] == reader.execute("select n from public.session_count").fetchall()
