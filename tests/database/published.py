"""Alembic trees that other projects have published: installed from the package index, beside our own environment.

Each is pinned with what its env.py and its revisions import and nothing else; alembic, SQLAlchemy and the drivers are
those of the environment that runs the tests. env.py and the revisions are as they were published.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pantheon_runbook.database.migrations.alembic_process import Backend
from pantheon_runbook.servers.places import cache_folder

INSTALL_SECONDS = 180
ALEMBIC = Path(sys.executable).with_name("alembic")  # `python -m` would look for it in the tree's own folder first


@dataclass(frozen=True)
class Published:
    """`ini` is in the package; `variable` is where its documentation tells to put the URL, "" for the ini itself."""

    name: str
    revisions: int
    middle: str
    ini: str
    variable: str
    driver: str
    pins: tuple[str, ...]

    def url(self, url: str) -> str:
        """As its own configuration would have it, driver included."""
        return url.replace("postgresql:", f"postgresql+{self.driver}:", 1)


# A gating system: 38 revisions; the URL is in the ini, and env.py hands arguments to each revision (run_migrations).
ZUUL = Published("zuul", 38, "32e28a297c3e", "zuul/driver/sql/alembic.ini", "", "psycopg", ("zuul==14.3.0",))
# An orchestrator: 141 revisions in folders by year; asyncpg, a settings object, a SET lock_timeout of its own in
# env.py, a transaction for each revision, indexes built concurrently, enums.
DSTACK = Published(
    "dstack",
    141,
    "644b8a114187",
    "dstack/_internal/server/alembic.ini",
    "DSTACK_DATABASE_URL",
    "asyncpg",
    (
        "dstack==0.22.5",
        "alembic-postgresql-enum==1.11.0",
        "apscheduler==3.11.3",
        "bcrypt==5.0.0",
        "filelock==4.3.1",
        "gitdb==4.0.12",
        "gitpython==3.2.1",
        "gpuhunt==0.1.34",
        "greenlet==3.5.6",
        "ignore-python==0.4.2",
        "paramiko==5.1.0",
        "pynacl==1.6.2",
        "smmap==5.0.3",
        "sqlalchemy-utils==0.43.0",
        "tzlocal==5.4.5",
    ),
)
# A metrics platform: 74 revisions with a merge; the URL is read when env.py is imported, with an address in the code
# for when it is not set.
DATAJUNCTION = Published(
    "datajunction",
    74,
    "2a3b4c5d6e7f",
    "datajunction_server/alembic.ini",
    "DATABASE_URI",
    "psycopg",
    (
        "datajunction-server==0.0.272",
        "amqp==5.4.2",
        "annotated-doc==0.0.7",
        "antlr4-python3-runtime==4.13.2",
        "billiard==4.3.2",
        "cachelib==0.17.0",
        "celery==5.7.0",
        "fastapi==0.165.0",
        "greenlet==3.5.6",
        "kombu==5.7.0",
        "msgpack==1.2.4",
        "opentelemetry-api==1.45.2",
        "rich==15.0.0",
        "sqlalchemy-utils==0.43.0",
        "sqlglot==30.30.0",
        "strawberry-graphql==0.341.2",
        "tzlocal==5.4.5",
        "vine==5.1.0",
    ),
)


@dataclass(frozen=True)
class Installed:
    """One of them on this machine. `home` is where it may keep files of its own."""

    tree: Published
    folder: Path
    home: Path

    @property
    def backend(self) -> Backend:
        if self.tree.variable:
            return Backend(self.folder / self.tree.ini, sys.executable, self.tree.variable)
        return Backend(self._ini_with(self.tree.url("postgresql://somebody:else@localhost/nowhere")), sys.executable)

    def environment(self) -> dict[str, str]:
        """What its user's shell would have, without the URL."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(self.folder)}

    def bare(self, url: str, revision: str = "head") -> None:
        """`alembic upgrade`, as its documentation tells."""
        own = self.tree.url(url)
        ini = self.folder / self.tree.ini if self.tree.variable else self._ini_with(own)
        variables = {self.tree.variable: own} if self.tree.variable else {}
        done = subprocess.run(
            [str(ALEMBIC), "-c", str(ini), "upgrade", revision],
            cwd=ini.parent,
            env={**self.environment(), **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, done.stderr

    def _ini_with(self, url: str) -> Path:
        """A copy of the published one with a URL, which it leaves to its user."""
        published = self.folder / self.tree.ini
        settings = configparser.RawConfigParser()
        settings.read(published)
        place = published.parent / settings["alembic"]["script_location"]
        settings["alembic"].update({"script_location": str(place), "sqlalchemy.url": url.replace("%", "%%")})
        copy = self.home / "alembic.ini"
        with copy.open("w") as file:
            settings.write(file)
        return copy


def installed(tree: Published, home: Path) -> Installed:
    """Installed once per machine and kept in the cache; skips the test when the index cannot be reached."""
    key = hashlib.sha256(" ".join((sys.version, *tree.pins)).encode()).hexdigest()[:12]
    folder = cache_folder() / "published" / f"{tree.name}-{key}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(tree, folder)
    return Installed(tree, folder, home)


def _install(tree: Published, folder: Path) -> None:
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    options = ["--disable-pip-version-check", "--target", str(unfinished)]
    done = subprocess.run(
        [*command, *options, *tree.pins], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode:
        pytest.skip(f"{tree.pins[0]} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    unfinished.rename(folder)
