"""Connections to an environment's database: which URL, whether it connects, one connection at a time."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pantheon_runbook import clock
from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.secrets import Secret, Vault

SESSION_PORT = 5432
TRANSACTION_PORT = 6543
_CONNECT_SECONDS = 10
_CONNECT_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.2

_RESET = "run the plan again: it resets a password that does not connect"
_CORRECT = "correct its password in the credentials: pantheon-runbook doctor says which"
_URLS = ("database.session_url", "database.pool_url", "database.direct_url")

Resolve = Callable[[str, int], tuple[str, int] | None]


class Database:
    """An environment's database behind its pooler. `resolve` gives another address for a host (the sandbox has one).

    Vault: database.session_url (5432, for migrations), database.pool_url (6543), database.direct_url (IPv6 only
    unless bought; FACTS 1.1). `writes_by` names the URL of the login that writes, where another one only looks; then
    `read_by` is the role that does.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        resolve: Resolve,
        options: str,
        writes_by: str = "database.session_url",
        read_by: str = "",
    ) -> None:
        self._vault = vault
        self._resolve = resolve
        self._options = options
        self.writes_by = writes_by
        self.read_by = read_by

    @property
    def has_own_writer(self) -> bool:
        """Whether people gave it the login that writes: nothing resets that one's password."""
        return self.writes_by != _URLS[0]

    def recover_password(self) -> bool:
        """Take the password out of Railway's DATABASE_URL, if that names this project and connects.

        One that does not connect is not kept: what is built from it would look as if it were known.
        """
        copy = self._vault.get("railway.DATABASE_URL")
        password = _password_for(self._vault.text("supabase.ref"), copy.reveal()) if copy is not None else None
        if not password:
            return False
        self._vault.hold("database.password", urllib.parse.unquote(password))
        self.hold_urls()
        if self.connects():
            return True
        self._vault.let_go("database.password", *_URLS)
        return False

    def hold_urls(self) -> None:
        """The three URLs, from the pooler that was read and the password that is held."""
        password = urllib.parse.quote(self._vault.text("database.password"), safe="")
        ref = self._vault.text("supabase.ref")
        user, host = self._vault.text("supabase.pooler_user"), self._vault.text("supabase.pooler_host")
        shared = f"postgresql://{user}:{password}@{host}"
        direct = f"postgresql://postgres:{password}@db.{ref}.supabase.co"
        self._vault.hold("database.session_url", f"{shared}:{SESSION_PORT}/postgres{self._options}")
        self._vault.hold("database.pool_url", f"{shared}:{TRANSACTION_PORT}/postgres{self._options}")
        self._vault.hold("database.direct_url", f"{direct}:{SESSION_PORT}/postgres{self._options}")

    def url_from_here(self, name: str) -> Secret:
        """One of the URLs for another program on this machine: in the sandbox its host is no name that others know."""
        url = self._vault.text(name)
        parts = urllib.parse.urlsplit(url)
        elsewhere = self._resolve(str(parts.hostname), parts.port or SESSION_PORT)
        if elsewhere is None:
            return Secret(url)
        login = parts.netloc.rpartition("@")[0]
        return Secret(parts._replace(netloc=f"{login}@{elsewhere[0]}:{elsewhere[1]}").geturl())

    def connects(self, *, url: str = "database.session_url") -> bool:
        """Whether this URL logs in. Errors: VendorUnavailableError when nobody answers at all."""
        try:
            with self.session(url=url):
                return True
        except VendorRefusedError:
            return False

    def writing(self, *, application_name: str = "pantheon-runbook") -> AbstractContextManager[psycopg.Connection[Any]]:
        """The same by the login that writes. Errors: as of `session`."""
        return self.session(url=self.writes_by, application_name=application_name)

    @contextmanager
    def session(
        self, *, url: str = "database.session_url", application_name: str = "pantheon-runbook"
    ) -> Iterator[psycopg.Connection[Any]]:
        """One connection in autocommit, through the session pooler unless `url` names another; closed at the end.

        Errors: VendorRefusedError (the login), VendorUnavailableError (nobody answers, after three tries).
        """
        settings = _resolved(self._vault.text(url), self._resolve)
        step = _CORRECT if self.has_own_writer else _RESET
        connection = _connected({**settings, "application_name": application_name}, refused_step=step)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def opened(
    url: str, *, resolve: Resolve, seconds: int, application_name: str = "pantheon-runbook"
) -> Iterator[psycopg.Connection[Any]]:
    """One connection to a URL as an application has it, tried once; closed at the end. Errors: psycopg's own."""
    settings = settings_of(url, resolve)
    connection = psycopg.connect(
        **{**settings, "connect_timeout": seconds, "application_name": application_name},
        autocommit=True,
        prepare_threshold=None,
    )
    try:
        yield connection
    finally:
        connection.close()


def settings_of(url: str, resolve: Resolve) -> dict[str, Any]:
    """What libpq is given for a URL as an application has it."""
    plain = re.sub(r"^(postgres(?:ql)?)\+\w+:", r"\1:", url)  # SQLAlchemy's names carry the driver
    return _resolved(plain, resolve)


def _resolved(url: str, resolve: Resolve) -> dict[str, Any]:
    settings = conninfo_to_dict(url)
    elsewhere = resolve(str(settings.get("host", "")), int(str(settings.get("port", SESSION_PORT))))
    if elsewhere is not None:
        settings["hostaddr"], settings["port"] = elsewhere[0], str(elsewhere[1])
    return settings


def _password_for(ref: str, url: str) -> str | None:
    """The password in a database URL whose login is this project's own: on the pooler, or on its direct host."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_own = parts.username == f"postgres.{ref}" or parts.hostname == f"db.{ref}.supabase.co"
    except ValueError:
        return None  # somebody's typing error is no URL
    return parts.password if is_own else None


def _connected(settings: dict[str, Any], *, refused_step: str) -> psycopg.Connection[Any]:
    for attempt in range(_CONNECT_ATTEMPTS):
        try:
            return psycopg.connect(
                **settings, autocommit=True, connect_timeout=_CONNECT_SECONDS, prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            if is_refused_login(error):
                raise _refused_login(refused_step) from error
            if attempt == _CONNECT_ATTEMPTS - 1:
                raise unreachable(error) from error
            clock.sleep(clock.jittered(_FIRST_PAUSE_SECONDS * 2**attempt))
    raise AssertionError("the last attempt returns or raises")


def unreachable(error: psycopg.Error) -> VendorUnavailableError:
    """The database did not answer a connection or a read."""
    return VendorUnavailableError(
        "the database cannot be reached",
        vendor="supabase",
        operation="connect to the database",
        why=f"{type(error).__name__} on the pooler",
        state="nothing was changed by this call",
        next_step="check the network (the session pooler is port 5432, the other 6543), then run again",
    )


def _refused_login(next_step: str) -> VendorRefusedError:
    return VendorRefusedError(
        "the database refused the login",
        vendor="supabase",
        operation="connect to the database",
        status=401,
        why="the password that is held is not the database's",
        state="nothing was changed by this call",
        next_step=next_step,
    )


def is_refused_login(error: psycopg.Error) -> bool:
    """The client library gives no SQLSTATE for a failed login; the server's words are all there is."""
    text = str(error)
    return "password authentication failed" in text or "Tenant or user not found" in text
