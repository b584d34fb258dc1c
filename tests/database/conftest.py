"""A PostgreSQL for the tests of Alembic trees, and a new database in it for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic_trees import Server, running_server


@pytest.fixture(scope="session")
def tree_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def url(tree_server: Server) -> str:
    return tree_server.new_database()
