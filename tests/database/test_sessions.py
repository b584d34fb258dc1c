"""A transaction pooler is found by what it does: always, however idle or busy it is, and a session never is."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from target import SESSION, TRANSACTION

from pantheon_runbook.database import sessions
from pantheon_runbook.database.sessions import require_session
from pantheon_runbook.errors import RefusedError, VendorUnavailableError
from pantheon_runbook.sandbox.network import free_port
from pantheon_runbook.sandbox.pooling import IDLE_CONNECTIONS_KEPT

BOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
TIMES = 200 if os.environ.get("PANTHEON_SWEEP") == "full" else 4
needs_bouncer = pytest.mark.skipif(BOUNCER is None, reason="no pgbouncer on this machine (apt-get install pgbouncer)")


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that waits for what never comes waits this long; a session is told within a few hundredths of it."""
    monkeypatch.setattr(sessions, "_SECONDS_TO_BE_TOLD", 0.4)


class Bouncer:
    """A real pgbouncer in front of the target's database."""

    def __init__(self, folder: Path, settings: dict[str, str], *, mode: str, size: int) -> None:
        self.port = free_port()
        user = pwd.getpwnam("nobody").pw_name if os.getuid() == 0 else ""  # it refuses to run as root
        folder.chmod(0o755)
        logins = folder / "logins.txt"
        logins.write_text(f'"{settings["user"]}" "{settings["password"]}"\n')
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={settings['hostaddr']} port={settings['port']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {logins}\npool_mode = {mode}\ndefault_pool_size = {size}\n"
            f"query_wait_timeout = 1\nserver_login_retry = 1\n{f'user = {user}' if user else ''}\n"
        )
        self._process = subprocess.Popen(
            [str(BOUNCER), str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._settings = {**settings, "hostaddr": "127.0.0.1", "port": str(self.port), "connect_timeout": "10"}

    def open(self) -> psycopg.Connection:
        for _ in range(100):
            try:
                return psycopg.connect(**self._settings, autocommit=True, prepare_threshold=None)
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("pgbouncer does not answer")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def bounced(target, tmp_path_factory) -> Iterator:
    """A function that starts one, and gives connections through it."""
    with ExitStack() as ends:

        def start(*, mode: str, size: int = 5):
            # The target's session pooler stands for its server: each connection there is one backend.
            bouncer = Bouncer(tmp_path_factory.mktemp("bouncer"), target.settings(SESSION), mode=mode, size=size)
            ends.callback(bouncer.end)

            def opened() -> psycopg.Connection:
                return ends.enter_context(bouncer.open())

            return opened

        yield start


class Traffic:
    """Other clients of the same pool, each in short transactions with pauses that never fall into step."""

    def __init__(self, opened, clients: int) -> None:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(opened(), n)) for n in range(clients)]

    def _run(self, connection: psycopg.Connection, number: int) -> None:
        for turn in itertools.count(number):
            if self._ended.is_set():
                return
            with connection.transaction():
                connection.execute("select pg_sleep(%s)", (0.0007 * (turn % 5),))
            time.sleep(0.0011 * (turn % 3))

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def refused(opened) -> str:
    with opened() as connection, pytest.raises(RefusedError, match="is a transaction pooler") as stopped:
        require_session(connection)
    return stopped.value.why


@pytest.mark.sweep
@pytest.mark.parametrize("busy", [0, 3])
def test_sandboxs_transaction_pooler_is_refused(target, busy):
    def opened() -> psycopg.Connection:
        return target.open(TRANSACTION)

    with Traffic(opened, busy):
        assert TIMES == len([refused(opened) for _ in range(TIMES)])


@needs_bouncer
@pytest.mark.sweep
@pytest.mark.parametrize(("size", "busy"), [(1, 0), (1, 2), (2, 0), (5, 0), (5, 4)])
def test_real_transaction_pooler_is_refused(bounced, size, busy):
    """With one server there is only one to be given, with an idle pool it is always the same one."""
    opened = bounced(mode="transaction", size=size)

    with Traffic(opened, busy):
        assert TIMES == len([refused(opened) for _ in range(TIMES)])


@needs_bouncer
def test_statement_pooler_is_refused(bounced):
    assert refused(bounced(mode="statement")).startswith("it answers no transaction at all")


@needs_bouncer
def test_real_session_pooler_is_a_session(bounced):
    opened = bounced(mode="session", size=20)

    for _ in range(8):
        require_session(opened())


@needs_bouncer
def test_session_pool_without_room_is_said(bounced):
    """The question needs a second connection; without one nothing is known."""
    with pytest.raises(VendorUnavailableError, match=r"no second connection[\s\S]*query_wait_timeout"):
        require_session(bounced(mode="session", size=1)())


@pytest.mark.sweep
def test_session_is_believed_every_time(target):
    """While others notify, and under a name that they listen to."""
    connection = target.open()
    connection.execute("listen other")
    with Traffic(target.open, 2):
        for _ in range(TIMES):
            with target.session() as other:
                other.execute("notify other")
            require_session(connection)

    assert [("other",)] == connection.execute("select pg_listening_channels()").fetchall()


def test_question_is_quick_and_leaves_nothing(target, monkeypatch):
    connection = target.open()
    before = connection.execute("select count(*) from pg_stat_activity where datname = current_database()").fetchone()
    began = time.monotonic()

    require_session(connection)

    assert time.monotonic() - began < 0.3
    assert [] == connection.execute("select pg_listening_channels()").fetchall()
    for _ in range(50):
        now = connection.execute("select count(*) from pg_stat_activity where datname = current_database()").fetchone()
        if now == before:
            break
        time.sleep(0.02)
    assert before == now


def test_pooler_that_listens_for_its_clients_is_refused(target, monkeypatch):
    """Some poolers pass messages on from a connection of their own: then the server that was asked keeps nothing."""

    def through_its_own(connection: psycopg.Connection, channel: str) -> bool:
        connection.execute("unlisten *")
        return True

    monkeypatch.setattr(sessions, "_is_told", through_its_own)
    with pytest.raises(RefusedError, match="had asked the server to keep was gone"):
        require_session(target.open())


def test_pool_that_gives_the_same_server_back_is_refused(target, monkeypatch):
    """Somebody else has it in between, and it comes back: what is asked of it is answered as a session would."""
    crowd = [target.open(TRANSACTION) for _ in range(IDLE_CONNECTIONS_KEPT + 5)]
    asking, free = target.open(TRANSACTION), iter(crowd)
    second, is_told = sessions._second_in_transaction, sessions._is_told
    for _ in range(IDLE_CONNECTIONS_KEPT - 1):
        next(free).execute("begin")  # one is left idle, which the asking client is given each time
    between = next(free)

    def second_while_it_is_taken(connection: psycopg.Connection) -> psycopg.Connection:
        between.execute("begin")
        return second(connection)

    def told_until_it_is_given_back(connection: psycopg.Connection, channel: str) -> bool:
        told = is_told(connection, channel)
        next(free).execute("begin")  # takes the second one's server
        between.execute("commit")
        assert (True,) == connection.execute("select %s in (select pg_listening_channels())", (channel,)).fetchone()
        return told

    monkeypatch.setattr(sessions, "_second_in_transaction", second_while_it_is_taken)
    monkeypatch.setattr(sessions, "_is_told", told_until_it_is_given_back)

    with pytest.raises(RefusedError, match="nothing that the database sent to it came through"):
        require_session(asking)
