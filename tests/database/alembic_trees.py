"""Small Alembic trees written into a folder, with env.py files as people have them; and a server to run them on."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from pantheon_runbook.database.migrations.alembic_process import Backend, LockProof, Migration, held_proof, migration
from pantheon_runbook.database.migrations.revisions import LedgerEntry, Ran
from pantheon_runbook.sandbox import places
from pantheon_runbook.sandbox.children import Children
from pantheon_runbook.sandbox.network import LOOPBACK
from pantheon_runbook.sandbox.postgres import Cluster
from pantheon_runbook.secrets import Secret

PASSWORD = "s3c%re t@p/ss:w+rd?"
INI = "[alembic]\nscript_location = %(here)s/migrations\n"

_SYNC = """
with {engine}.connect() as connection:
    context.configure(connection=connection{options})
    with context.begin_transaction():
        context.run_migrations()
"""
_ASYNC = """
import asyncio
from sqlalchemy.ext.asyncio import {make}

def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()

async def run_async_migrations():
    connectable = {engine}
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()

asyncio.run(run_async_migrations())
"""
_HEAD = "import os\nimport sqlalchemy\nfrom alembic import context\nconfig = context.config\n"
_FROM_INI = (
    "sqlalchemy.engine_from_config(config.get_section(config.config_ini_section), poolclass=sqlalchemy.NullPool)"
)


def sync_env(engine: str, *, before: str = "", options: str = "") -> str:
    return _HEAD + before + _SYNC.format(engine=engine, options=options)


def url_from(expression: str, driver: str = "psycopg") -> str:
    return f"sqlalchemy.create_engine(sqlalchemy.make_url({expression}).set(drivername='postgresql+{driver}'))"


FROM_ENVIRONMENT = sync_env(url_from("os.environ['DATABASE_URL']"))
SETTINGS = """
from pathlib import Path

class Settings:
    def __init__(self, env_file=None):
        values = {}
        if env_file and Path(env_file).exists():
            values = dict(line.split("=", 1) for line in Path(env_file).read_text().splitlines())
        values.update(os.environ)
        self.database_url = values["DATABASE_URL"]
"""
PLAIN_INI = f"{INI}sqlalchemy.url = postgresql+{{driver}}://somebody:else@localhost/nowhere\n"
ENVIRONMENTS: dict[str, tuple[str, str]] = {  # ini, env.py
    "ini, psycopg": (PLAIN_INI.format(driver="psycopg"), sync_env(_FROM_INI)),
    "ini, psycopg2": (PLAIN_INI.format(driver="psycopg2"), sync_env(_FROM_INI)),
    "ini with logging": (
        PLAIN_INI.format(driver="psycopg")
        + "[loggers]\nkeys = root\n[handlers]\nkeys = console\n[formatters]\nkeys =\n"
        "[logger_root]\nlevel = INFO\nhandlers = console\n[handler_console]\nclass = StreamHandler\nargs = ()\n",
        sync_env(_FROM_INI, before="from logging.config import fileConfig\nfileConfig(config.config_file_name)\n"),
    ),
    "ini, asyncpg": (
        PLAIN_INI.format(driver="asyncpg"),
        _HEAD
        + _ASYNC.format(
            make="async_engine_from_config",
            engine="async_engine_from_config(config.get_section(config.config_ini_section), prefix='sqlalchemy.')",
        ),
    ),
    "variable": (INI, FROM_ENVIRONMENT),
    "variable, psycopg2": (INI, sync_env(url_from("os.environ['DATABASE_URL']", "psycopg2"))),
    "variable, asyncpg": (
        INI,
        _HEAD
        + _ASYNC.format(
            make="create_async_engine",
            engine="create_async_engine(os.environ['DATABASE_URL'].replace('postgresql://', 'postgresql+asyncpg://'))",
        ),
    ),
    "variable into the ini": (
        f"{INI}sqlalchemy.url = driver://user:pass@localhost/dbname\n",
        sync_env(
            _FROM_INI,
            before="config.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'].replace('%', '%%')"
            ".replace('postgresql:', 'postgresql+psycopg:'))\n",
        ),
    ),
    "settings": (INI, sync_env(url_from("Settings().database_url"), before=SETTINGS)),
    "settings with .env": (INI, sync_env(url_from("Settings('.env').database_url"), before=SETTINGS)),
    "own begin": (INI, FROM_ENVIRONMENT.replace(".connect()", ".begin()")),
    "begun by a statement": (
        INI,
        FROM_ENVIRONMENT.replace(
            "    context.configure",
            "    connection.execute(sqlalchemy.text('create schema if not exists prepared'))\n    context.configure",
        )
        + "    connection.commit()\n",
    ),
    "transaction per migration": (
        INI,
        sync_env(url_from("os.environ['DATABASE_URL']"), options=", transaction_per_migration=True"),
    ),
    "version table": (
        INI,
        sync_env(
            url_from("os.environ['DATABASE_URL']"),
            options=", version_table='applied', version_table_schema='public'",
        ),
    ),
}


class Tree:
    """A backend's folder: alembic.ini, env.py and the revisions that are added."""

    def __init__(self, folder: Path, *, ini: str = INI, env: str = FROM_ENVIRONMENT) -> None:
        self.folder = folder
        self.versions = folder / "migrations" / "versions"
        self.versions.mkdir(parents=True)
        (folder / "alembic.ini").write_text(ini)
        (folder / "migrations" / "env.py").write_text(env)
        self._last: str | None = None

    @property
    def backend(self) -> Backend:
        return Backend(self.folder / "alembic.ini", sys.executable)

    def add(self, revision: str, upgrade: str, downgrade: str = "pass", *, head: str = "", **names: Any) -> Path:
        """One revision above the last, unless `down_revision` says otherwise; the bodies are Python."""
        declared = {
            "revision": revision,
            "down_revision": self._last,
            "depends_on": None,
            "branch_labels": None,
            **names,
        }
        lines = [
            f'"""What {revision} does.\n\nAnd why.\n"""',
            "from alembic import op",
            "import sqlalchemy as sa",
            head,
        ]
        lines += [f"{name} = {value!r}" for name, value in declared.items()]
        for name, body in (("upgrade", upgrade), ("downgrade", downgrade)):
            lines += [f"def {name}():", *(f"    {line}" for line in body.splitlines())]
        path = self.versions / f"{revision}_it.py"
        path.write_text("\n".join(lines) + "\n")
        self._last = revision
        return path

    def sql(self, revision: str, *statements: str, **names: Any) -> Path:
        return self.add(revision, "\n".join(f"op.execute({one!r})" for one in statements), **names)

    def bare(self, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the user's own command would do."""
        return subprocess.run(
            [sys.executable, "-m", "alembic", *(arguments or ("upgrade", "head"))],
            cwd=self.folder,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


class Server:
    """A PostgreSQL of its own, and a new database for each test."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._numbers = itertools.count()

    def url(self, database: str = "postgres") -> str:
        password = urllib.parse.quote(PASSWORD, safe="")
        return f"postgresql://postgres:{password}@{LOOPBACK}:{self.cluster.port}/{database}"

    def new_database(self) -> str:
        name = f"tree{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return self.url(name)


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    children = Children(folder / "children")
    cluster = Cluster("migrations", places.servers_folder(folder, in_memory=True) / "migrations", children)
    asyncio.run(cluster.create(0, PASSWORD))
    try:
        yield Server(cluster)
    finally:
        asyncio.run(cluster.delete())
        children.close()
        places.discard(folder)


@contextmanager
def migrating(backend: Backend, url: str, *, handed: str = "", **more: Any) -> Iterator[Migration]:
    """A migration with the proof held by another session, as the runner has it; `handed` is the URL for the worker."""
    options: dict[str, Any] = {
        "ledger": None,
        "lock_timeout_ms": 500,
        "statement_timeout_ms": 20_000,
        "observe": False,
        "application_name": "pantheon-runbook test",
        "seconds": 30.0,
        **more,
    }
    with held(url) as proof, migration(backend, Secret(handed or url), proof=proof, **options) as one:
        yield one


@contextmanager
def held(url: str) -> Iterator[LockProof]:
    with psycopg.connect(url, autocommit=True) as connection, held_proof(connection) as proof:
        yield proof


def apply(tree: Tree, url: str, *revisions: str, **options: Any) -> list[Ran]:
    with migrating(tree.backend, url, **options) as one:
        return [one.step(revision) for revision in revisions]


HALF = "op.execute('create table half (id int)')"
ALONE = "with op.get_context().autocommit_block():"
LEDGER = LedgerEntry(
    "insert into kept (revision, file, digest, state, run_id) values (:revision, :file, :digest, 'begun', :run_id)",
    "insert into kept (revision, file, digest, state, run_id) values (:revision, :file, :digest, 'applied', :run_id)",
    "insert into kept (revision, file, digest, state, run_id) values (:revision, :file, :digest, 'undone', :run_id)",
    {"run_id": "run-1"},
)
LEDGER_TABLE = "create table kept (id serial, revision text, file text, digest text, state text, run_id text)"


def asked(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def tell(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
