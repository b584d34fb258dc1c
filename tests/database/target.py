"""A real database of a real cluster, as role postgres reaches it: each test has a new one of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pantheon_runbook.sandbox import network

SESSION, TRANSACTION = 5432, 6543
_numbers = itertools.count(1)


class Target:
    """Role postgres at Supabase is no superuser; it owns what it makes, through either pooler."""

    def __init__(self, running: Any) -> None:
        self._settings = conninfo_to_dict(running.facts()["supabase"]["session_url"])
        self._networks = running.networks_file
        self.database = "postgres"
        self._ends = ExitStack()

    def settings(self, port: int = SESSION) -> dict[str, Any]:
        address, local_port = network.resolve(self._settings["host"], port, self._networks)
        return {**self._settings, "dbname": self.database, "hostaddr": address, "port": str(local_port)}

    @contextmanager
    def session(self, port: int = SESSION, **more: Any) -> Iterator[psycopg.Connection[Any]]:
        settings = {**self.settings(port), "application_name": "somebody", **more}
        with psycopg.connect(**settings, autocommit=True, prepare_threshold=None) as connection:
            yield connection

    def open(self, port: int = SESSION, **more: Any) -> psycopg.Connection[Any]:
        """A session that ends with the test."""
        return self._ends.enter_context(self.session(port, **more))

    def begin(self) -> None:
        self.database = "postgres"
        name = f"t{next(_numbers)}"
        with self.session() as connection:
            connection.execute(f"create database {name}")
        self.database = name

    def end(self) -> None:
        self._ends.close()
