"""From production's schema to a scratch database: nothing differs, no row comes along, nothing is written."""

from __future__ import annotations

import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from holder import PASSWORD, READ, Holder

from pantheon_runbook.database.connection import opened
from pantheon_runbook.database.rehearsals.comparable import comparable
from pantheon_runbook.database.rehearsals.differences import differences
from pantheon_runbook.database.rehearsals.dump import dump_schema, restore
from pantheon_runbook.database.rehearsals.dump_role import dump_role_sql
from pantheon_runbook.database.rehearsals.row_counts import row_counts
from pantheon_runbook.database.rehearsals.scratch import Scratch, ScratchDatabase, scratch
from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.errors import UsageError, VendorRefusedError, VendorUnavailableError
from pantheon_runbook.sandbox import network
from pantheon_runbook.secrets import Secret

pytestmark = pytest.mark.xdist_group("dump")
STUBBED = tuple(
    f"extension {name} is not in the scratch server: its functions are stubs"
    for name in ("pgcrypto 1.3", "uuid-ossp 1.1")
)
TABLES = ("public.sessions", "public.messages", "public.jobs")
ODD = (Path(__file__).parent / "odd_schema.sql").read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Scratch]:
    with scratch() as server:
        yield server


@pytest.fixture(scope="module")
def holder(new_world) -> Iterator[Holder]:
    with new_world() as world:
        holder = Holder(world.running)
        assert [] == holder.run(dump_role_sql(READ))
        holder.connection.pgconn.change_password(READ.dump_role.encode(), PASSWORD.encode())
        yield holder
        holder.close()


def resolver(holder: Holder):
    return lambda host, port: network.resolve(host, port, holder.running.networks_file)


def production(holder: Holder) -> Secret:
    host = holder.connection.info.host
    password = urllib.parse.quote(PASSWORD)
    return Secret(f"postgresql+psycopg://{READ.dump_role}.{holder.ref}:{password}@{host}:5432/postgres")


def dumped(holder: Holder, **more):
    return dump_schema(production(holder), resolve=resolver(holder), **more)


def itself(_host: str, _port: int) -> None:
    return None


def all_rows(database: ScratchDatabase) -> dict[str, int]:
    """By counting, as nobody may in production."""
    with database.connection() as connection:
        names = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in"
            " ('pg_catalog', 'information_schema', 'auth', 'storage')"
        ).fetchall()
        return {name: connection.execute(f"select count(*) from {name}").fetchone()[0] for (name,) in names}


def test_production_restored_has_the_same_schema_and_no_rows(holder, server):
    """As the dump role; and by production's own log nothing was written by it, nor refused."""
    before = holder.running.statements(holder.ref)
    began = time.monotonic()
    dump = dumped(holder)
    middle = time.monotonic()
    database = server.make("whole")
    restore(dump, database)
    print(f"dump {middle - began:.2f} s, restore {time.monotonic() - middle:.2f} s, {len(dump.standing.lines)} lines")

    with database.connection() as connection:
        there = look_at_schema(connection)
        assert () == differences(dump.standing.lines, there.lines)
        assert (dump.standing.fingerprint, "0008") == (there.fingerprint, there.revision)
    assert STUBBED == comparable(dump.server, server)
    assert dict.fromkeys(TABLES, 0) | {"public.alembic_version": 1} == all_rows(database)
    assert before == holder.running.statements(holder.ref)
    with holder.login(READ.dump_role) as role:
        assert dump.standing == look_at_schema(role)


def test_dump_is_of_one_moment(holder, server):
    """What somebody makes while pg_dump runs is in neither the lines nor the archive."""
    dump = dumped(holder)
    holder.run("create table public.later (id int)")
    try:
        assert ("- table public.later",) == tuple(
            line.partition(":")[0] for line in differences(dumped(holder).standing.lines, dump.standing.lines)
        )
    finally:
        holder.run("drop table public.later")


@contextmanager
def odd_source(server: Scratch) -> Iterator[ScratchDatabase]:
    source = server.make("odd")
    with source.connection() as connection:
        connection.execute(ODD)
    yield source


def test_everything_odd_comes_back_as_it_was(server):
    """Whatever PostgreSQL can spell in two ways, and what pg_dump of schemas leaves out."""
    with odd_source(server) as source:
        dump = dump_schema(Secret(source.url.reveal()), resolve=itself)
        there = server.make("odd_again")
        restore(dump, there)
        with source.connection() as one, there.connection() as other:
            expected, found = look_at_schema(one), look_at_schema(other)
        assert () == differences(expected.lines, found.lines)
        assert expected == found
        assert "a1, b2" == found.revision
        assert ("a1", "b2") == dump.heads
        assert {2} == {count for name, count in all_rows(there).items() if count}
        assert len(expected.lines) > 100


def test_dump_says_which_table_it_may_not_lock(holder):
    """A table of somebody else's, or one that came after the SQL was run, by another role."""
    holder.run("create table public.closed (id int); revoke all on public.closed from pantheon_dump;")
    holder.run("grant select (id) on public.closed to pantheon_dump")
    try:
        with pytest.raises(VendorRefusedError) as stopped:
            dumped(holder)
    finally:
        holder.run("drop table public.closed")

    assert "permission denied for table closed" in stopped.value.why
    assert "pantheon-runbook read-role --dump" == stopped.value.next_step


def test_dump_steps_back_from_a_locked_table(holder):
    """PostgreSQL spells an index or a default under a lock; whoever queues there holds up all who come later."""
    holder.run("begin; lock table public.messages in access exclusive mode")
    began = time.monotonic()
    try:
        with pytest.raises(VendorUnavailableError, match="lock timeout"):
            dumped(holder)
    finally:
        holder.run("rollback")

    assert 2.5 < time.monotonic() - began < 6


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells")
def test_password_is_in_no_argument_and_no_environment(holder):
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for place in Path("/proc").glob("[0-9]*"):
                try:
                    told = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
                except OSError:
                    continue  # it has ended
                if b"/pg_dump" in told[0].split(b"\0")[0]:
                    seen.add("password" if PASSWORD.encode() in b"".join(told) else "no password")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    dumped(holder)
    ended.set()
    watcher.join()

    assert {"no password"} == seen


def test_wrong_password_is_a_clear_no(holder):
    url = production(holder).reveal().replace(urllib.parse.quote(PASSWORD), "wrong")
    with pytest.raises(VendorRefusedError):
        dump_schema(Secret(url), resolve=resolver(holder))


def test_dump_role_reads_tables_and_nothing_else(holder):
    holder.run("create view public.seen as select * from public.messages")
    try:
        holder.run(dump_role_sql(READ))
        with holder.login(READ.dump_role) as role:
            allowed = role.execute(
                "select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace"
                " where relkind in ('r', 'p', 'v', 'm') and nspname not in ('pg_catalog', 'information_schema')"
                " and has_any_column_privilege(c.oid, 'SELECT') order by 1"
            ).fetchall()
            shown = role.execute("select count(*) from public.messages").fetchone()
            for refused in ("select * from public.seen", "select * from auth.users", "table storage.objects"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    role.execute(refused)
    finally:
        holder.run("drop view public.seen")

    assert [("public.alembic_version",), *((name,) for name in sorted(TABLES))] == sorted(allowed)
    assert (0,) == shown  # row level security shows it nothing


def test_dump_role_can_be_made_again_and_shows_what_it_could_write(holder):
    """A table that is made later by the same owner can be dumped at once."""
    holder.run("create table public.later (id int); grant insert on public.jobs to pantheon_dump")
    try:
        assert [("may write to public.jobs",)] == holder.run(dump_role_sql(READ).replace("revoke all on all", "--"))
        assert [] == holder.run(dump_role_sql(READ))
        holder.run("create table public.latest (id int)")
        assert any(line.startswith("table public.latest") for line in dumped(holder).standing.lines)
    finally:
        holder.run("drop table public.later; drop table if exists public.latest")


@pytest.mark.rare
def test_dump_waits_while_the_roles_connections_are_used_up(holder):
    """Two runs at the same instant: a dump needs two connections, and the role has three."""
    url, resolve = production(holder), resolver(holder)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(opened(url.reveal(), resolve=resolve, seconds=10))
        freed = threading.Timer(1.5, held.pop_all().close)
        freed.start()
        dump = dump_schema(url, resolve=resolve)
        freed.join()

    assert dump.rows.keys() >= set(TABLES)


def test_row_counts_come_from_statistics(holder):
    """And are asked for by a role that may not read a row."""
    holder.run("analyze")
    with holder.login(READ.dump_role) as role:
        found = row_counts(role)

    counted = {name: holder.run(f"select count(*) from {name}")[0][0] for name in (*TABLES, "public.alembic_version")}
    assert counted == found
    assert all(counted[name] > 0 for name in TABLES)


def test_dump_that_cannot_be_restored_is_not_rehearsed(server):
    source = server.make("lost")
    with source.connection() as connection:
        connection.execute("create extension hstore schema public; create table public.t (a hstore)")
    dump = dump_schema(source.url, resolve=itself)
    lost = type(dump.around)(**{**vars(dump.around), "extensions": ()})
    with pytest.raises(UsageError) as stopped:
        restore(type(dump)(**{**vars(dump), "around": lost}), server.make("lost_again"))

    assert "Not rehearsed" in str(stopped.value) or "not rehearsed" in str(stopped.value)
    assert "hstore" in stopped.value.why
