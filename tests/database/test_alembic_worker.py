"""The worker on a real PostgreSQL: every usual env.py, revisions that break the rules, and ends at any point."""

from __future__ import annotations

import pytest
from alembic_trees import ENVIRONMENTS, LEDGER, LEDGER_TABLE, Tree, asked, migrating, running_server, tell

TABLES = (
    "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'"
    " and table_name not in ('alembic_version', 'applied', 'kept') order by 1, 2"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def url(server):
    return server.new_database()


def three_revisions(tree: Tree) -> Tree:
    tree.sql("a1", "create table notes (id int primary key)")
    tree.sql("b2", "alter table notes add text varchar(20)", "insert into notes values (1, '100% : it')")
    tree.sql("c3", "create index on notes (text)")
    return tree


@pytest.fixture(scope="module")
def bare_tables(server, tmp_path_factory):
    """What the user's own command leaves."""
    tree, url = three_revisions(Tree(tmp_path_factory.mktemp("bare"))), server.new_database()
    assert 0 == tree.bare(url).returncode
    return asked(url, TABLES)


@pytest.mark.parametrize("shape", ENVIRONMENTS)
def test_env_py_of_every_shape_works_untouched(server, url, bare_tables, tmp_path, shape):
    """Each revision is committed when its step returns, and all of them leave what the bare command leaves."""
    ini, env = ENVIRONMENTS[shape]
    tree = three_revisions(Tree(tmp_path, ini=ini, env=env))
    (tmp_path / ".env").write_text(f"DATABASE_URL={server.url('elsewhere')}\n")
    tell(url, LEDGER_TABLE)
    with migrating(tree.backend, url, ledger=LEDGER) as one:
        seen = []
        for revision in one.history.pending(one.heads):
            one.step(revision.id)
            seen += asked(
                url, f"select version_num, state from {one.version_table} join kept on revision = version_num"
            )

    assert [("a1", "applied"), ("b2", "applied"), ("c3", "applied")] == seen
    assert bare_tables == asked(url, TABLES)
