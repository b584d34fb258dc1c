"""Which addresses could be somebody's: by their domain, and never shown."""

from __future__ import annotations

import pytest

from pantheon_runbook.database.refreshing.addresses import Addresses, look_at_addresses
from pantheon_runbook.database.rehearsals.scratch import OWNER, scratch

AT_TEST_DOMAINS = [
    *("a@example.com", "a@example.org", "a@example.net", "A@EXAMPLE.COM", "a@mail.example.com", "a@b.test"),
    *("a@test", "a@shop.example", "a@x.invalid", "a@localhost", "a@dev.localhost", "a@example.com "),
]
ELSEWHERE = [
    *("a@company.com", "a@notexample.com", "a@example.com.company.com", "a@test.com", "a@example.dev"),
    *("Jane <jane@company.com>", "a@example.com@company.com", "a@localhost.company.com", "a@tests"),
]


@pytest.fixture(scope="module")
def connection():
    with scratch() as server, server.make("addresses").connection(OWNER) as connection:
        yield connection


@pytest.mark.parametrize(("addresses", "are_elsewhere"), [(AT_TEST_DOMAINS, False), (ELSEWHERE, True)])
def test_domains_are_told_apart(connection, addresses, are_elsewhere):
    for address in addresses:
        with connection.transaction(force_rollback=True):
            connection.execute("create table public.contacts (email text)")
            connection.execute("insert into public.contacts values (%s)", (address,))
            expected = {"public.contacts": 1} if are_elsewhere else {}
            assert Addresses(1, expected) == look_at_addresses(connection), address


def test_every_email_column_counts(connection):
    """Whatever it is written like, in whichever schema; what holds no address is none."""
    with connection.transaction(force_rollback=True):
        connection.execute('create schema app; create table app.one ("Email" varchar(99), email extensions.citext)')
        connection.execute("create table public.parts (email text) partition by hash (email)")
        connection.execute(
            "create table public.parts_0 partition of public.parts for values with (modulus 1, remainder 0)"
        )
        connection.execute("insert into app.one values ('a@company.com', 'b@company.com'), (null, '')")
        connection.execute("insert into public.parts values ('c@example.com'), ('none'), ('d@company.com')")

        assert Addresses(4, {"app.one": 2, "public.parts": 1}) == look_at_addresses(connection)
