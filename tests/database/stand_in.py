"""The stand-in backend's own tree on a database that has every schema and role of a Supabase project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic_trees import Server, asked, migrating, tell
from dumps import disagreements, dump
from published import ALEMBIC
from runs import Pause, Run, until

from pantheon_runbook import sandbox
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.alembic_process import Backend, Migration, history
from pantheon_runbook.database.migrations.indexes import invalid_indexes

STAND_IN = Path(sandbox.__file__).parent / "pantheon" / "backend"
VERSION, LEDGER = "public.alembic_version", "pantheon_runbook.migrations"


def shaped(server: Server) -> str:
    """A new database with all that is in a new Supabase project's."""
    url = server.new_database()
    name = url.rpartition("/")[2]
    tell(server.url("template1"), f"drop database {name}", f"create database {name} template postgres")
    return url


def apply_pending(backend: Backend, url: str, *, handed: str = "", up_to: str = "") -> tuple[str, ...]:
    """As RB-020 does it, with the ledger; the heads before. `handed` is the URL as the backend's own driver has it."""
    with psycopg.connect(url, autocommit=True) as connection:
        ledger.make(connection)
    entry = ledger.entry(run_id="run-0", operator="supervisor")
    with migrating(backend, url, handed=handed, ledger=entry) as one:
        before = one.heads
        for revision in one.history.pending(before):
            one.step(revision.id)
            if revision.id == up_to:
                break
    return before


class Scene:
    """The stand-in backend's own clone, and a database that has every schema and role of a Supabase project."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        folder.mkdir(exist_ok=True)
        self.ini = folder / "backend" / "alembic.ini"
        shutil.copytree(STAND_IN, self.ini.parent)
        self.url = self.new_database()
        self.runs = 0
        self.backend = Backend(self.ini, sys.executable)
        self.ends = ExitStack()

    def new_database(self) -> str:
        return shaped(self.server)

    def run(self, **more: Any) -> Run:
        run = self.prepared_run(self.folder, **more)
        run.start()
        return run

    def prepared_run(self, home: Path, **more: Any) -> Run:
        """From the clone in that home; it waits for the starting shot."""
        self.runs += 1
        run = Run(home / "backend" / "alembic.ini", self.url, home=home, run_id=f"run-{self.runs}", **more)
        self.ends.callback(run.close)
        return run

    def another_clone(self, name: str) -> Path:
        """Somebody else's home, with a clone of the backend in it."""
        home = self.folder / name
        shutil.copytree(STAND_IN, home / "backend")
        return home

    @contextmanager
    def migration(self, **more: Any) -> Iterator[Migration]:
        """In this process, with the ledger; whoever holds the locks is the caller's business."""
        entry = ledger.entry(run_id="run-0", operator="supervisor")
        with migrating(self.backend, self.url, ledger=entry, **more) as one:
            yield one

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    def pause(self, statement: str) -> Pause:
        return self.ends.enter_context(closing(Pause(self.url, statement)))

    def make_ledger(self) -> None:
        """And Alembic's table: so that both can be held before the first revision."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            ledger.make(connection)
            connection.execute(
                "create table alembic_version"
                " (version_num varchar(32) not null, constraint alembic_version_pkc primary key (version_num))"
            )

    def bare(self, url: str, revision: str = "head") -> None:
        """`alembic upgrade`, as the backend's own people would call it."""
        command = [str(ALEMBIC), "-c", str(self.ini), "upgrade", revision]
        done = subprocess.run(command, env={"DATABASE_URL": url}, cwd=self.folder, capture_output=True, check=False)
        assert 0 == done.returncode, done.stderr

    def bare_schema(self) -> str:
        """What it leaves in a new database, in the words of pg_dump."""
        url = self.new_database()
        self.bare(url)
        return dump(url)

    def rows(self) -> list[tuple[str, str]]:
        return asked(self.url, f"select revision, state from {LEDGER} order by id")

    def version(self) -> list[tuple[str]]:
        return asked(self.url, f"select version_num from {VERSION}")

    def until_nobody_is_left(self) -> None:
        query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        until(lambda: [(0,)] == asked(self.url, query), "every session of the killed run ends")

    def drop_broken_indexes(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for one in invalid_indexes(connection):
                connection.execute(one.drop.encode())

    def wrong(self, **more: Any) -> list[str]:
        return disagreements(self.url, history(self.backend), VERSION, **more)
