"""One sandbox for a module's tests, or one PostgreSQL for Alembic trees; and a new database in it for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic_trees import Server, running_server
from target import Target

from pantheon_runbook.sandbox import control


@pytest.fixture(scope="module")
def target_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[control.Running]:
    running = control.start(tmp_path_factory.mktemp("target") / "sandbox", pace=0.0, idle_seconds=600, in_memory=True)
    yield running
    running.discard()


@pytest.fixture
def target(target_server: control.Running) -> Iterator[Target]:
    target = Target(target_server)
    target.begin()
    yield target
    target.end()


@pytest.fixture
def connection(target: Target) -> psycopg.Connection[Any]:
    return target.open()


@pytest.fixture(scope="session")
def tree_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def url(tree_server: Server) -> str:
    return tree_server.new_database()
