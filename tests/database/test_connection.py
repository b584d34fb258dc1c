"""Connections to staging's database: patient with a network, quick with a refusal, and one address for everything."""

from __future__ import annotations

import psycopg
import pytest

from pantheon_runbook import clock
from pantheon_runbook.database.connection import Database
from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.secrets import Registry, Vault


@pytest.fixture
def vault() -> Vault:
    vault = Vault(Registry(), salt="00" * 32)
    for name, value in (
        ("supabase.ref", "a" * 20),
        ("supabase.pooler_user", f"postgres.{'a' * 20}"),
        ("supabase.pooler_host", "aws-0.pooler.supabase.com"),
        ("database.password", "p@ss/w:rd%"),
    ):
        vault.hold(name, value)
    return vault


@pytest.fixture
def database(vault) -> Database:
    database = Database(vault, resolve=lambda _host, _port: ("127.0.0.1", 1), options="?sslmode=require")
    database.hold_urls()
    return database


def test_urls_are_encoded_and_go_where_they_should(vault, database):
    user = f"postgres.{'a' * 20}"
    assert (
        f"postgresql://{user}:p%40ss%2Fw%3Ard%25@aws-0.pooler.supabase.com:5432/postgres?sslmode=require"
        == vault.text("database.session_url")
    )
    assert ":6543/postgres" in vault.text("database.pool_url")
    assert f"@db.{'a' * 20}.supabase.co:5432/" in vault.text("database.direct_url")


def failing(monkeypatch, says: str) -> list[str]:
    """Every connection fails with these words; the passwords that were tried."""
    tried: list[str] = []

    def connect(**settings: object) -> None:
        tried.append(str(settings["password"]))
        raise psycopg.OperationalError(says)

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setattr(clock, "sleep", lambda _: None)
    return tried


def test_silent_server_is_tried_three_times(database, monkeypatch):
    tried = failing(monkeypatch, "connection timeout expired")

    with pytest.raises(VendorUnavailableError, match="cannot be reached"):
        database.connects()
    assert ["p@ss/w:rd%"] * 3 == tried


@pytest.mark.parametrize("says", ['password authentication failed for user "postgres"', "Tenant or user not found"])
def test_refused_login_is_tried_once(database, monkeypatch, says):
    """Supabase bans an address after a few wrong passwords."""
    tried = failing(monkeypatch, f"FATAL:  {says}")

    assert database.connects() is False
    with pytest.raises(VendorRefusedError), database.session():
        pass
    assert 2 == len(tried)


def test_writes_have_a_login_of_their_own(vault, monkeypatch):
    """Where nothing else is said it is that of the looks; each URL is asked for by itself whether it connects."""
    place = {"resolve": lambda _host, _port: ("127.0.0.1", 1), "options": ""}
    vault.hold("database.session_url", "postgresql://reader:read-only@pooler:5432/postgres")
    vault.hold("production.write_url", "postgresql://postgres:may-write@pooler:5432/postgres")
    tried = failing(monkeypatch, "FATAL:  password authentication failed")
    database = Database(vault, **place, writes_by="production.write_url")

    for connect in (database.session, database.writing, Database(vault, **place).writing):
        with pytest.raises(VendorRefusedError), connect():
            pass
    assert [False, False] == [database.connects(), database.connects(url=database.writes_by)]

    assert ["read-only", "may-write", "read-only", "read-only", "may-write"] == tried


def test_password_is_taken_from_railways_copy(vault, database, monkeypatch):
    monkeypatch.setattr(Database, "connects", lambda _: True)
    vault.hold("railway.DATABASE_URL", f"postgresql://postgres.{'a' * 20}:n%2Fw@host:5432/postgres")

    assert database.recover_password()
    assert "n/w" == vault.text("database.password")


@pytest.mark.parametrize(
    "copy",
    [
        f"postgresql://postgres.{'b' * 20}:other@host/postgres",
        f"postgresql://postgres.{'a' * 20}@host/postgres",
        f"postgresql://postgres.{'b' * 20}:other@host/postgres?application_name={'a' * 20}",
        f"postgresql://postgres:other@db.{'b' * 20}.supabase.co/{'a' * 20}",
        f"postgresql://postgres.{'a' * 20}:other@[host/postgres",
    ],
)
def test_copy_of_another_project_or_without_password_is_not_taken(vault, database, monkeypatch, copy):
    monkeypatch.setattr(Database, "connects", lambda _: True)
    vault.hold("railway.DATABASE_URL", copy)

    assert not database.recover_password()
    assert "p@ss/w:rd%" == vault.text("database.password")
