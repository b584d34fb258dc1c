"""The worker on a real PostgreSQL: every usual env.py, revisions that break the rules, and ends at any point."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import time
from urllib.parse import quote

import psycopg
import pytest
from alembic_trees import (
    ALONE,
    ENVIRONMENTS,
    FROM_ENVIRONMENT,
    HALF,
    LEDGER,
    LEDGER_TABLE,
    PASSWORD,
    Tree,
    apply,
    asked,
    migrating,
    sync_env,
    tell,
    url_from,
)

from pantheon_runbook.database.migrations.alembic_process import history
from pantheon_runbook.database.migrations.fork_server import WORKER
from pantheon_runbook.database.migrations.revisions import Lock
from pantheon_runbook.errors import (
    RefusedError,
    VendorRefusedError,
    VendorUnavailableError,
    WrongEnvironmentError,
)

pytestmark = pytest.mark.alike

TABLES = (
    "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'"
    " and table_name not in ('alembic_version', 'applied', 'kept') order by 1, 2"
)


def three_revisions(tree: Tree) -> Tree:
    tree.sql("a1", "create table notes (id int primary key)")
    tree.sql("b2", "alter table notes add text varchar(20)", "insert into notes values (1, '100% : it')")
    tree.sql("c3", "create index on notes (text)")
    return tree


@pytest.fixture(scope="module")
def bare_tables(tree_server, tmp_path_factory):
    """What the user's own command leaves."""
    tree, url = three_revisions(Tree(tmp_path_factory.mktemp("bare"))), tree_server.new_database()
    assert 0 == tree.bare(url).returncode
    return asked(url, TABLES)


IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
ALWAYS = ("ini, asyncpg", "variable", "settings with .env", "own begin", "begun by a statement", "version table")


@pytest.mark.sweep
@pytest.mark.parametrize("shape", ENVIRONMENTS if IS_FULL else ALWAYS)
def test_env_py_of_every_shape_works_untouched(tree_server, url, bare_tables, tmp_path, shape):
    """Each revision is committed when its step returns, and all of them leave what the bare command leaves."""
    ini, env = ENVIRONMENTS[shape]
    tree = three_revisions(Tree(tmp_path, ini=ini, env=env))
    (tmp_path / ".env").write_text(f"DATABASE_URL={tree_server.url('elsewhere')}\n")
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


LOOK_AROUND = """
import json, os, sys

found = [dict(os.environ), sys.argv, str(op.get_context().config.get_main_option('sqlalchemy.url'))]
for name in ('environ', 'cmdline'):
    try:
        found.append(open(f'/proc/self/{name}').read())
    except OSError as error:
        found.append(str(error))
op.get_bind().execute(sa.text('create table seen (what text)'))
op.get_bind().execute(sa.text('insert into seen values (:what)'), {'what': json.dumps(found)})
"""


def test_revision_finds_no_credential(url, tmp_path, monkeypatch):
    """Neither the database's password nor anything that the runner has in its own environment."""
    monkeypatch.setenv("RAILWAY_TOKEN", "a-token-of-the-runner")
    ini, env = ENVIRONMENTS["ini, psycopg"]
    tree = Tree(tmp_path, ini=ini, env=env)
    tree.add("a1", LOOK_AROUND.strip())
    apply(tree, url, "a1")
    ((seen,),) = asked(url, "select what from seen")

    assert "only-while-env-py-connects" in seen
    assert [] == [value for value in (PASSWORD, quote(PASSWORD, safe=""), "a-token-of-the-runner") if value in seen]


ELSEWHERE = {
    "in the code": sync_env("sqlalchemy.create_engine('{other}')"),
    ".env wins": sync_env(
        url_from("values['DATABASE_URL']"),
        before="values = dict(os.environ)\nvalues.update(line.split('=', 1) for line in open('.env').read().split())\n",
    ),
    "a second one": FROM_ENVIRONMENT + "sqlalchemy.create_engine('{other}').connect()\n",
    "swallowed": (
        "import sqlalchemy\ntry:\n    sqlalchemy.create_engine('{other}').connect()\nexcept BaseException:\n    pass\n"
        + FROM_ENVIRONMENT
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_env_py_that_goes_elsewhere_is_refused(tree_server, url, tmp_path, name):
    """Whatever it would have done there first: the question whether it is the right one comes before."""
    other = tree_server.new_database()
    env = ELSEWHERE[name].replace("{other}", other.replace("postgresql:", "postgresql+psycopg:"))
    env = env.replace(
        "    context.conf", "    connection.execute(sqlalchemy.text('create schema mine'))\n    context.conf"
    )
    tree = Tree(tmp_path, env=env)
    (tmp_path / ".env").write_text(f"DATABASE_URL={other}\n")
    with pytest.raises(WrongEnvironmentError) as stopped, migrating(tree.backend, url):
        pass

    assert "another database than the one that was checked" in stopped.value.why
    assert [] == asked(other, "select 1 from pg_namespace where nspname = 'mine'")


STRANGE_ENVIRONMENTS = {
    "fails": (f"{FROM_ENVIRONMENT}raise KeyError('REDIS_URL')\n", RefusedError, "KeyError: 'REDIS_URL'"),
    "does nothing": ("pass\n", RefusedError, "ended without running its migrations"),
    "writes SQL": (
        "from alembic import context\ncontext.configure(dialect_name='postgresql')\ncontext.run_migrations()\n",
        RefusedError,
        "no connection",
    ),
    "runs twice": (
        FROM_ENVIRONMENT.replace("    with context.begin", "    for _ in (1, 2):\n     with context.begin"),
        RefusedError,
        "more than once",
    ),
    "connects again": (f"{FROM_ENVIRONMENT}{FROM_ENVIRONMENT}", RefusedError, "'only-while-env-py-connects.invalid'"),
    "commits every statement": (
        FROM_ENVIRONMENT.replace("='postgresql+psycopg')", "='postgresql+psycopg'), isolation_level='AUTOCOMMIT'"),
        RefusedError,
        "commits every statement by itself",
    ),
    "nobody there": (
        sync_env("sqlalchemy.create_engine('postgresql+psycopg://nobody:secret-word@127.0.0.1:9/x')"),
        VendorUnavailableError,
        "env.py:6: OperationalError",
    ),
}


@pytest.mark.parametrize("name", STRANGE_ENVIRONMENTS)
def test_env_py_that_cannot_be_used_is_named(url, tmp_path, name):
    env, error, why = STRANGE_ENVIRONMENTS[name]
    with pytest.raises(error) as stopped, migrating(Tree(tmp_path, env=env).backend, url):
        pass

    assert why in stopped.value.why
    assert "nothing was changed." == stopped.value.state
    assert "secret-word" not in f"{stopped.value}{getattr(stopped.value, '__notes__', '')}"


def test_lock_that_is_held_is_given_up_in_time(url, tmp_path):
    """And no limit that a revision lifts for itself is lifted for the next."""
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)", "set lock_timeout = 0", "set statement_timeout = 0")
    tree.sql("b2", "alter table notes add text text")
    with migrating(tree.backend, url, lock_timeout_ms=300) as one:
        one.step("a1")
        with psycopg.connect(url) as reader:
            reader.execute("select * from notes")
            began = time.monotonic()
            with pytest.raises(VendorUnavailableError) as stopped:
                one.step("b2")
            waited = time.monotonic() - began
        with pytest.raises(RefusedError, match="follow one that failed"):
            one.step("b2")

    assert 0.3 <= waited < 3
    assert stopped.value.why.endswith("/b2_it.py:13: canceling statement due to lock timeout (SQLSTATE 55P03).")
    assert "rolled back" in stopped.value.state
    assert ["b2"] == [ran.revision for ran in apply(tree, url, "b2")]


def test_what_runs_outside_a_transaction_has_its_row_first(url, tmp_path):
    """It is committed with what came before, so that an end in the middle is understood; limits hold inside too."""
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)")
    tree.add("b2", f"{HALF}\n{ALONE}\n    op.execute('select pg_sleep(9)')")
    tell(url, LEDGER_TABLE)
    with pytest.raises(VendorRefusedError) as stopped:
        apply(tree, url, "a1", "b2", ledger=LEDGER, statement_timeout_ms=700)
    digest = hashlib.sha256((tree.versions / "b2_it.py").read_bytes()).hexdigest()

    assert "57014" == stopped.value.code
    assert stopped.value.state.startswith("changed in part: b2 left its transaction")
    assert [("migrations/versions/b2_it.py", digest, "begun", "run-1")] == asked(
        url, "select file, digest, state, run_id from kept where revision = 'b2'"
    )
    assert [("half",)] == asked(url, "select tablename from pg_tables where tablename = 'half'")


@pytest.mark.parametrize("shape", ["variable, psycopg2", "variable, asyncpg", "own begin"])
def test_observer_sees_statements_and_locks(url, tmp_path, shape):
    """What runs, not what it is run with; a table that is gone at the end of a statement still has a name."""
    ini, env = ENVIRONMENTS[shape]
    tree = Tree(tmp_path, ini=ini, env=env)
    tree.sql("a1", "create table notes (id int)", "create table old (id int)")
    alone = f"{ALONE}\n    op.execute('create index concurrently some_index on notes (id)')"
    tree.add(
        "b2",
        "op.execute('alter table notes add text text')\n"
        "op.get_bind().execute(sa.text('insert into notes values (1, :text)'), {'text': 'not to be seen'})\n"
        "op.execute('drop table old')\n" + (alone if shape != "own begin" else ""),
    )
    ran = apply(tree, url, "a1", "b2", observe=True)[1]
    seen = [(one.sql.partition(" values")[0], one.locks, one.is_alone) for one in ran.statements]
    expected = [
        ("alter table notes add text text", (Lock("public.notes", "AccessExclusiveLock"),), False),
        ("insert into notes", (Lock("public.notes", "RowExclusiveLock"),), False),
        ("drop table old", (Lock("public.old", "AccessExclusiveLock"),), False),
        ("create index concurrently some_index on notes (id)", (), True),
    ]

    assert expected[: len(seen)] == seen
    assert (3 if shape == "own begin" else 4) == len(seen)
    assert "not to be seen" not in repr(ran)
    assert all(0 < one.seconds < 5 for one in ran.statements)
    assert ("b2",) == ran.heads


def test_revision_is_undone_and_applied_again(url, tmp_path):
    """In a rehearsal, and where a ledger is kept with a row in it each time."""
    tree = Tree(tmp_path)
    tree.add("a1", HALF, "op.execute('drop table half')")
    with migrating(tree.backend, url) as one:
        heads = [ran.heads for ran in (one.step("a1"), one.undo("a1"), one.step("a1"))]
    tell(url, LEDGER_TABLE)
    with migrating(tree.backend, url, ledger=LEDGER) as one:
        heads += [one.undo("a1").heads, one.step("a1").heads]

    assert [("a1",), (), ("a1",), (), ("a1",)] == heads
    assert [("a1", "undone"), ("a1", "applied")] == asked(url, "select revision, state from kept order by id")
    assert [("a1",)] == asked(url, "select version_num from alembic_version")


@pytest.mark.parametrize(("act", "revision"), [("step", "b2"), ("step", "zz"), ("undo", "a1")])
def test_only_a_next_revision_is_carried_out(url, tmp_path, act, revision):
    tree = three_revisions(Tree(tmp_path))
    with migrating(tree.backend, url) as one, pytest.raises(VendorRefusedError, match="cannot come next"):
        getattr(one, act)(revision)

    assert [] == asked(url, "select 1 from pg_tables where tablename = 'notes'")


def test_branches_and_dependencies_are_followed(url, tmp_path):
    """Two branches, one depending on the other by its label, and a merge at the end."""
    tree = Tree(tmp_path)
    tree.sql("a1", "create table a (id int)", branch_labels=("accounts",))
    tree.sql("b1", "create table b (id int)", down_revision=None, branch_labels=("billing",), depends_on="accounts")
    tree.sql("b2", "alter table b add text text")
    tree.sql("a2", "alter table a add text text", down_revision="a1")
    both = history(tree.backend)
    tree.sql("m1", "select 1", down_revision=("a2", "b2"))
    with migrating(tree.backend, url) as one:
        heads = [one.step(revision.id).heads for revision in one.history.pending(one.heads)]

    assert ("a2", "b2") == both.heads
    assert ("m1",) == heads[-1]
    assert ("m1",) == one.history.heads
    assert one.history.get("b1").depends_on == ("a2",) or one.history.get("b1").depends_on == ("a1",)


def test_worker_is_written_for_old_interpreters():
    """The backend's python is its own: 3.9 is the oldest that we promise."""
    tree = ast.parse(WORKER.read_text(), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {"alembic", "sqlalchemy"} == {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
