import asyncio
import os
import pwd

import psycopg
import pytest
from known import PASSWORD, REF

from pantheon_runbook.sandbox.network import resolve
from pantheon_runbook.sandbox.platform import QueryFailedError

OTHER_REF = "tsrqponmlkjihgfedcba"
SYSTEM_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


def test_postgres_is_no_superuser(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        rows = await machines.query(
            REF,
            "SELECT current_user AS name, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb"
            " FROM pg_roles WHERE rolname = current_user",
            role="postgres",
        )
        expected = {"name": "postgres", "rolsuper": False, "rolbypassrls": True}
        assert [{**expected, "rolcreaterole": True, "rolcreatedb": True}] == rows

    with_machines(scenario)


def test_clusters_differ_in_system_identifier(with_machines):
    """Identity is observed through it, so a copied template must not be used twice in one world."""

    async def scenario(machines):
        await asyncio.gather(*(machines.create_cluster(ref, PASSWORD) for ref in (REF, OTHER_REF)))
        first, second = [await machines.query(ref, SYSTEM_IDENTIFIER) for ref in (REF, OTHER_REF)]
        assert first != second

    with_machines(scenario)


def test_server_never_runs_as_root(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        owner = (machines.clusters_folder / REF / "PG_VERSION").stat().st_uid
        expected = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
        assert expected == owner

    with_machines(scenario)


def test_tcp_demands_the_password(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        address, port = resolve(f"db.{REF}.supabase.co", 5432, machines.names.file)
        login = {"host": address, "port": port, "user": "postgres", "dbname": "postgres"}
        async with await psycopg.AsyncConnection.connect(**login, password=PASSWORD) as connection:
            assert connection.info.user == "postgres"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await psycopg.AsyncConnection.connect(**login, password="wrong")
        with pytest.raises(psycopg.OperationalError, match="rejects connection"):
            await psycopg.AsyncConnection.connect(**{**login, "user": "supabase_admin"}, password=PASSWORD)

    with_machines(scenario)


def test_new_password_takes_effect(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        await machines.set_password(REF, "another one")
        address, port = resolve(f"db.{REF}.supabase.co", 5432, machines.names.file)
        login = {"host": address, "port": port, "user": "postgres", "dbname": "postgres"}
        async with await psycopg.AsyncConnection.connect(**login, password="another one"):
            pass
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(**login, password=PASSWORD)

    with_machines(scenario)


def test_read_only_query_cannot_write(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        await machines.query(REF, "CREATE TABLE note (text text)", role="postgres")
        with pytest.raises(QueryFailedError) as refused:
            await machines.query(
                REF,
                "SET default_transaction_read_only = off; COMMIT; INSERT INTO public.note VALUES (1)",
                read_only=True,
            )
        assert "42501" == refused.value.sqlstate

    with_machines(scenario)


def test_last_statement_gives_the_rows(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        assert [{"b": 2}] == await machines.query(REF, "SELECT 1 AS a; SELECT 2 AS b")
        assert [{"sum": 5}] == await machines.query(REF, "SELECT $1::int + $2::int AS sum", [2, 3])
        assert [] == await machines.query(REF, "CREATE TABLE note (text text)", role="postgres")

    with_machines(scenario)


def test_statement_log_names_who_changed_what(with_machines):
    """The second oracle: what the database itself saw, without what the vendor did by itself."""

    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        await machines.query(REF, "CREATE TABLE note (text text)", role="postgres")
        await machines.query(REF, "INSERT INTO note VALUES ($1)", ["hello"], role="postgres")
        await machines.query(REF, "SELECT * FROM note", role="postgres")
        await machines.query(REF, "DELETE FROM public.note")
        statements = await machines.mutating_statements(REF)
        assert ["CREATE TABLE note (text text)", "INSERT INTO note VALUES ($1)"] == [
            statement["statement"] for statement in statements
        ]
        assert {"postgres"} == {statement["role"] for statement in statements}

    with_machines(scenario)


def test_paused_cluster_keeps_its_rows(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        await machines.query(REF, "CREATE TABLE note AS SELECT 7 AS number", role="postgres")
        await machines.pause_cluster(REF)
        with pytest.raises(QueryFailedError):
            await machines.query(REF, "SELECT 1")
        await machines.resume_cluster(REF)
        assert [{"number": 7}] == await machines.query(REF, "SELECT number FROM public.note")

    with_machines(scenario)


def test_login_role_expires(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        role, password = await machines.login_role(REF, read_only=True, ttl_seconds=300)
        expired, expired_password = await machines.login_role(REF, read_only=False, ttl_seconds=-1)
        address, port = resolve(f"db.{REF}.supabase.co", 5432, machines.names.file)
        login = {"host": address, "port": port, "dbname": "postgres"}
        async with await psycopg.AsyncConnection.connect(**login, user=role, password=password) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('a', 'a')")
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(**login, user=expired, password=expired_password)

    with_machines(scenario)
