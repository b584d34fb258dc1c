import asyncio

import psycopg
import pytest
from known import PASSWORD, POOLER, REF

from pantheon_runbook.sandbox.network import resolve

SESSION, TRANSACTION = 5432, 6543


async def connect(machines, port, *, user=f"postgres.{REF}", password=PASSWORD, host=POOLER, name=None):
    address, local_port = resolve(host, port, machines.names.file)
    return await psycopg.AsyncConnection.connect(
        host=address,
        port=local_port,
        user=user,
        password=password,
        dbname="postgres",
        autocommit=True,
        application_name=name,
    )


async def value(connection, query):
    row = await (await connection.execute(query)).fetchone()
    return row[0]


@pytest.mark.parametrize("port", [SESSION, TRANSACTION])
def test_wrong_password_is_refused_by_postgresql(with_machines, port):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await connect(machines, port, password="wrong")

    with_machines(scenario)


@pytest.mark.parametrize("port", [SESSION, TRANSACTION])
@pytest.mark.parametrize("user", ["postgres", "postgres.tsrqponmlkjihgfedcba"])
def test_unknown_tenant_is_named_as_the_vendor_does(with_machines, port, user):
    async def scenario(machines):
        with pytest.raises(psycopg.OperationalError, match="Tenant or user not found"):
            await connect(machines, port, user=user)

    with_machines(scenario)


def test_tenant_of_another_pooler_host_is_unknown(with_machines):
    """The number in the host name is assigned, so a host built from the region must be able to fail."""

    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        with pytest.raises(psycopg.OperationalError, match="Tenant or user not found"):
            await connect(machines, SESSION, host=POOLER.replace("aws-0", "aws-1"))

    with_machines(scenario)


def test_session_port_keeps_one_session(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, SESSION) as first, await connect(machines, SESSION) as second:
            await first.execute("SET application_name = 'mine'")
            assert "mine" == await value(first, "SHOW application_name")
            assert "mine" != await value(second, "SHOW application_name")

    with_machines(scenario)


def test_transaction_port_leaks_session_state(with_machines):
    """What makes a transaction pooler unfit for migrations must be there to be found."""

    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as first, await connect(machines, TRANSACTION) as second:
            await first.execute("SET statement_timeout = '1234ms'")
            seen = [await value(second, "SHOW statement_timeout") for _turn in range(2)]
            assert {"1234ms", "0"} == set(seen)

    with_machines(scenario)


def test_pooled_connection_has_the_name_of_no_client(with_machines):
    """It outlives who opened it: with that client's name, another one's statements would be logged as his."""

    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION, name="mine") as pooled:
            assert "Supavisor" == await value(pooled, "SHOW application_name")
        async with await connect(machines, SESSION, name="mine") as kept:
            assert "mine" == await value(kept, "SHOW application_name")

    with_machines(scenario)


def test_prepared_statement_is_lost_between_transactions(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as first, await connect(machines, TRANSACTION):
            await first.execute("PREPARE twice AS SELECT 2")
            with pytest.raises(psycopg.errors.InvalidSqlStatementName):
                await first.execute("EXECUTE twice")

    with_machines(scenario)


def test_transaction_stays_on_one_connection(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as first, await connect(machines, TRANSACTION) as second:
            await first.execute("BEGIN")
            mine = await value(first, "SELECT pg_backend_pid()")
            others = {await value(second, "SELECT pg_backend_pid()") for _turn in range(3)}
            assert mine == await value(first, "SELECT pg_backend_pid()")
            assert mine not in others
            await first.execute("COMMIT")

    with_machines(scenario)


def test_pipelined_client_gets_all_answers(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as connection, connection.pipeline():
            cursors = [await connection.execute("SELECT %s::int", [number]) for number in range(50)]
            assert list(range(50)) == [(await cursor.fetchone())[0] for cursor in cursors]

    with_machines(scenario)


def test_copy_passes_through(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as connection:
            await connection.execute("CREATE TABLE number (n int)")
            async with connection.cursor() as cursor, cursor.copy("COPY number FROM STDIN") as copy:
                for n in range(10_000):
                    await copy.write_row([n])
            assert 10_000 == await value(connection, "SELECT count(*) FROM number")

    with_machines(scenario)


@pytest.mark.parametrize("port", [SESSION, TRANSACTION])
def test_cancel_reaches_the_running_query(with_machines, port):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, port) as connection, await connect(machines, port):
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(connection.cancel_safe()))
            with pytest.raises(psycopg.errors.QueryCanceled):
                await connection.execute("SELECT pg_sleep(20)")

    with_machines(scenario)


def test_client_that_vanishes_rolls_back(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as survivor:
            leaving = await connect(machines, TRANSACTION)
            await survivor.execute("CREATE TABLE note (text text)")
            await leaving.execute("BEGIN")
            await leaving.execute("INSERT INTO note VALUES ('half')")
            leaving.pgconn.finish()
            assert 0 == await value(survivor, "SELECT count(*) FROM note")
            await survivor.execute("DROP TABLE note")

    with_machines(scenario)


def test_stopped_cluster_ends_its_clients(with_machines):
    async def scenario(machines):
        await machines.create_cluster(REF, PASSWORD)
        async with await connect(machines, TRANSACTION) as connection:
            await machines.pause_cluster(REF)
            with pytest.raises(psycopg.OperationalError):
                await connection.execute("SELECT 1")

    with_machines(scenario)
