"""Production's holder: the owner's connection to production's database, and the read role as he makes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pantheon_runbook.checks import ProductionRead
from pantheon_runbook.database.read_role import creation_sql
from pantheon_runbook.sandbox import network

PASSWORD = "the holder typed this"
READ = ProductionRead(relations=("public.alembic_version", "public.jobs"))


class Holder:
    """Role postgres of the production project, by its session pooler; no superuser, as at Supabase."""

    def __init__(self, running: Any) -> None:
        self.running = running
        self.ref = running.facts()["supabase"]["ref"]
        self._settings = conninfo_to_dict(running.facts()["supabase"]["session_url"])
        address, port = network.resolve(self._settings["host"], 5432, running.networks_file)
        self._settings |= {"hostaddr": address, "port": str(port)}
        self.connection = psycopg.connect(**self._settings, autocommit=True)

    def close(self) -> None:
        self.connection.close()

    def run(self, script: str) -> list[tuple[Any, ...]]:
        """One or several statements; the rows of the last one."""
        cursor = self.connection.execute(script.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []

    def make_role(self, read: ProductionRead = READ) -> list[tuple[Any, ...]]:
        """Run what the product prints, then \\password; what the script shows in the end."""
        shown = self.run(creation_sql(read))
        self.connection.pgconn.change_password(read.role.encode(), PASSWORD.encode())
        return shown

    @contextmanager
    def login(self, role: str = READ.role) -> Iterator[psycopg.Connection[Any]]:
        settings = {**self._settings, "user": f"{role}.{self.ref}", "password": PASSWORD}
        with psycopg.connect(**settings, autocommit=True, prepare_threshold=None) as connection:
            yield connection

    def done(self) -> list[str]:
        """Every statement that changed the database and was not refused, in its own log's words."""
        return [one["statement"] for one in self.running.statements(self.ref) if one["refused"] is None]
