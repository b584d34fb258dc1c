"""Revisions that want more than their part: another's transaction, the runner's tokens, a password in pieces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from alembic_trees import FROM_ENVIRONMENT, HALF, LEDGER, LEDGER_TABLE, PASSWORD, Tree, apply, asked, tell
from target import SESSION, TRANSACTION, Target

from pantheon_runbook.config import Backend as BackendTable
from pantheon_runbook.database.migrations import alembic_process
from pantheon_runbook.database.migrations.alembic_process import Backend, history
from pantheon_runbook.errors import (
    ConfigError,
    OutcomeUnknownError,
    RefusedError,
    RunbookError,
    VendorRefusedError,
    WrongEnvironmentError,
)

pytestmark = pytest.mark.alike

OF_ITS_OWN = {  # connections that commit by themselves: the body, and a word of the card
    "the engine's": (
        "with op.get_bind().engine.connect().execution_options(isolation_level='AUTOCOMMIT') as other:\n"
        "    other.execute(sa.text('create table half (id int)'))\nraise ValueError"
    ),
    "a new engine's": (
        "other = sa.create_engine(op.get_bind().engine.url, isolation_level='AUTOCOMMIT')\n"
        "with other.connect() as it:\n    it.execute(sa.text('create table half (id int)'))"
    ),
    "a thread's": (
        "import threading\nurl = op.get_bind().engine.url\ndef run():\n"
        "    with sa.create_engine(url, isolation_level='AUTOCOMMIT').connect() as it:\n"
        "        it.execute(sa.text('create table half (id int)'))\n"
        "one = threading.Thread(target=run)\none.start()\none.join()\nraise ValueError"
    ),
    "its own, switched over": (
        f"driver = op.get_bind().connection.dbapi_connection\ndriver.rollback()\ndriver.autocommit = True\n{HALF}"
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int primary key)")
    return tree


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("whose", OF_ITS_OWN)
def test_connection_that_commits_by_itself_is_not_used(url, tree, whose):
    """Its card would say that nothing was changed."""
    tree.add("b2", OF_ITS_OWN[whose])
    tell(url, LEDGER_TABLE)
    with pytest.raises(VendorRefusedError):
        apply(tree, url, "a1", "b2", ledger=LEDGER)

    assert [] == asked(url, "select from pg_tables where tablename = 'half'")
    assert [("a1",)] == asked(url, "select version_num from alembic_version")


@pytest.mark.parametrize("then", ["raise ValueError", "pass"])
def test_driver_that_commits_by_itself_is_told(url, tree, then):
    """Past SQLAlchemy nobody can keep it from that; what the card says is true all the same."""
    body = "driver = op.get_bind().connection.dbapi_connection\ndriver.rollback()\ndriver.autocommit = True\n"
    tree.add("b2", f"{body}driver.cursor().execute('create table half (id int)')\n{then}")
    tell(url, LEDGER_TABLE)
    with pytest.raises(VendorRefusedError) as stopped:
        apply(tree, url, "a1", "b2", ledger=LEDGER)

    assert "changed in part" in stopped.value.state
    assert [("half",)] == asked(url, "select tablename from pg_tables where tablename = 'half'")


# ---- what is said of it


LOGIN = "postgresql://me:"
KNOWN = "op.get_bind().engine.url.password"
CUT = {  # each is cut eight characters into the password
    "the message": f"raise ValueError('x' * (480 - len('ValueError: {LOGIN}')) + '{LOGIN}' + SOME)",
    "a bare password": f"raise ValueError('x' * (492 - len('ValueError: ')) + {KNOWN})",
    "an exception of the server's": (
        f"op.get_bind().exec_driver_sql(\"do $$ begin raise exception '%%', '\" + 'x' * 492 + {KNOWN} + \"'; end $$\")"
    ),
    "a printed line": f"print('x' * (1992 - len('{LOGIN}')) + '{LOGIN}' + SOME)\nraise ValueError",
    "a bare password in a printed line": f"print('x' * 1992 + {KNOWN})\nraise ValueError",
}


@pytest.mark.parametrize("where", CUT)
def test_password_that_is_cut_in_two_is_not_shown(url, tree, where):
    """Half of one is what no register of whole ones takes out."""
    tree.add("b2", f"SOME = 'anybodys-own-password-here'\n{CUT[where]}")
    with pytest.raises(VendorRefusedError) as stopped:
        apply(tree, url, "a1", "b2")
    shown = f"{stopped.value}{getattr(stopped.value, '__notes__', '')}"

    pieces = [
        one[start : start + 5] for one in (PASSWORD, "anybodys-own-password-here") for start in range(len(one) - 4)
    ]
    assert [] == [piece for piece in pieces if piece in shown]


def test_rubbish_in_the_pipe_is_an_unknown_outcome(url, tree):
    """Not a bug of ours: the next run looks."""
    tree.add(
        "b2",
        "import os\nfor one in range(3, 20):\n    try:\n        os.write(one, b'rubbish\\n')\n    except OSError: pass",
    )
    with pytest.raises(OutcomeUnknownError, match="b2 is not known"):
        apply(tree, url, "a1", "b2")


ENDLESS = """
import os, time
for _ in range(1000):
    time.sleep(0.01)
    for one in range(3, 20):
        if os.path.exists(f'/proc/self/fd/{{one}}') and 'pipe' in os.readlink(f'/proc/self/fd/{{one}}'):
            try:
                os.write(one, b'x' * {})
            except OSError: pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(("size", "seconds", "words"), [(2**16, 5, "wrote into its pipe"), (1, 1, "no answer in 1 s")])
def test_answer_without_an_end_is_an_unknown_outcome(url, tree, monkeypatch, size, seconds, words):
    """It takes neither the runner's memory nor its time."""
    monkeypatch.setattr(alembic_process, "_LONGEST_ANSWER_BYTES", 2**20)
    tree.add("b2", ENDLESS.strip().format(size))
    with pytest.raises(OutcomeUnknownError, match=words):
        apply(tree, url, "a1", "b2", seconds=seconds)


PROCESS = """
import sys
sys.path[:0] = [{folder!r}, {root!r}]
from pathlib import Path
from alembic_trees import apply, Tree
from pantheon_runbook.database.migrations.alembic_process import Backend
class Here:
    backend = Backend(Path({ini!r}), sys.executable)
apply(Here, {url!r}, "a1", "b2")
"""
OF_THE_RUNNER = """
found, pid = [], 'self'
for _ in range(3):  # who waits for it, the interpreter that it was forked from, the runner
    pid = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1]
    for name in ('environ', 'mem', 'maps'):
        try:
            open(f'/proc/{pid}/{name}', 'rb').read(1)
            found.append(name)
        except OSError: pass
op.execute(f"create table seen as select '{','.join(found)}'::text as what")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_revision_does_not_read_the_runners_environment(url, tree):
    """The tokens are in it. An account that may read every process is kept from nothing: here it gives that up."""
    tree.add("b2", OF_THE_RUNNER.strip())
    here = Path(__file__).resolve().parent
    given = {"folder": str(here), "root": str(here.parents[1]), "ini": str(tree.backend.ini), "url": url}
    command = [
        "setpriv",
        "--bounding-set=-sys_ptrace,-perfmon,-sys_admin",
        sys.executable,
        "-c",
        PROCESS.format(**given),
    ]
    subprocess.run(command if os.geteuid() == 0 else command[2:], check=True)

    assert [("",)] == asked(url, "select what from seen")


# ---- what was run is what was written down


def test_file_that_looks_unchanged_is_read_all_the_same(url, tree):
    """Python would take yesterday's bytecode for a file of the same size and time, as images have them."""
    path = tree.sql("b2", "create table half (id int)")
    before, status = history(tree.backend).get("b2").digest, path.stat()
    path.write_text(path.read_text().replace("table half", "table hole"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    tell(url, LEDGER_TABLE)
    apply(tree, url, "a1", "b2", ledger=LEDGER)

    assert [(history(tree.backend).get("b2").digest,)] == asked(url, "select digest from kept where revision = 'b2'")
    assert before != history(tree.backend).get("b2").digest
    assert [("hole",)] == asked(url, "select tablename from pg_tables where tablename in ('half', 'hole')")


# ---- ways and names


RAW = {
    "psycopg": "import psycopg\npsycopg.connect({!r}, autocommit=True).execute('create table written (id int)')\n",
    "its class": (
        "from psycopg import Connection\n"
        "Connection.connect({!r}, autocommit=True).execute('create table written (id int)')\n"
    ),
    "psycopg2": (
        "import psycopg2\nit = psycopg2.connect({!r})\n"
        "it.cursor().execute('create table written (id int)')\nit.commit()\n"
    ),
}


@pytest.mark.parametrize("driver", RAW)
def test_env_py_that_goes_elsewhere_past_sqlalchemy_is_refused(tree_server, url, tree, driver):
    """With the URL of an .env, for example: it is as much another environment's then."""
    other = tree_server.new_database()
    (tree.folder / "migrations" / "env.py").write_text(RAW[driver].format(other) + FROM_ENVIRONMENT)
    with pytest.raises(WrongEnvironmentError, match="connects to another database"):
        apply(tree, url, "a1")

    assert [] == asked(other, "select from pg_tables where tablename = 'written'")


@pytest.mark.parametrize("driver", RAW)
def test_revision_that_goes_elsewhere_past_sqlalchemy_is_stopped(tree_server, url, tree, driver):
    other = tree_server.new_database()
    tree.add("b2", RAW[driver].format(other))
    with pytest.raises(RunbookError, match="connects to another database"):
        apply(tree, url, "a1", "b2")

    assert [] == asked(other, "select from pg_tables where tablename = 'written'")


def test_raw_connection_to_the_same_database_is_let_in(url, tree):
    (tree.folder / "migrations" / "env.py").write_text(RAW["psycopg"].format(url) + FROM_ENVIRONMENT)
    apply(tree, url, "a1")

    assert [("written",)] == asked(url, "select tablename from pg_tables where tablename = 'written'")


def test_tree_is_read_without_any_database(url, tree):
    """A plan run imports it."""
    tree.add("b2", "pass", head=RAW["psycopg"].format(url))
    with pytest.raises(RefusedError, match="cannot be read") as stopped:
        history(tree.backend)

    assert "connects to a database while it is imported" in stopped.value.why
    assert [] == asked(url, "select from pg_tables where tablename = 'written'")


def test_env_py_that_goes_through_a_transaction_pooler_is_refused(target, tree):
    """The same database, so that it is no other environment; but no server process there is its own."""
    session, pooled = (url_of(target, port) for port in (SESSION, TRANSACTION))
    places = [one.rpartition("@")[2] for one in (session, pooled)]
    env = FROM_ENVIRONMENT.replace("os.environ['DATABASE_URL']", "os.environ['DATABASE_URL'].replace({!r}, {!r})")
    (tree.folder / "migrations" / "env.py").write_text(env.format(*places))
    with pytest.raises(RefusedError, match="through a transaction pooler") as stopped:
        apply(tree, session, "a1")

    assert "with its host and port" in stopped.value.next_step
    assert [] == asked(session, "select from pg_tables where tablename = 'notes'")


def test_env_py_that_goes_another_way_to_a_session_is_let_in(target, tree):
    """The direct host instead of the session pooler, for example."""
    session = url_of(target, SESSION)
    env = FROM_ENVIRONMENT.replace("os.environ['DATABASE_URL']", "os.environ['DATABASE_URL'].replace({!r}, {!r})")
    (tree.folder / "migrations" / "env.py").write_text(env.format("@127.0.0.1:", "@localhost:"))
    apply(tree, session, "a1")

    assert [("notes",)] == asked(session, "select tablename from pg_tables where tablename = 'notes'")


def url_of(target: Target, port: int) -> str:
    to = target.settings(port)
    return f"postgresql://{to['user']}:{quote(to['password'], safe='')}@{to['hostaddr']}:{to['port']}/{to['dbname']}"


NAMELESS = {"nothing": "''", "half a letter": r"'\udcff'", "a line break": r"'a\nb'", "a colour": r"'\x1b[31m'"}


@pytest.mark.parametrize("name", NAMELESS)
def test_revision_with_a_name_that_cannot_be_shown_is_refused(tree, name):
    (tree.versions / "odd.py").write_text(f"revision = {NAMELESS[name]}\ndown_revision = 'a1'\ndef upgrade(): pass\n")
    with pytest.raises(RefusedError, match="is no name that could be shown"):
        history(tree.backend)


def test_title_moves_no_cursor(tree):
    (tree.versions / "b2.py").write_text('"""Add\x1b[2J notes."""\nrevision = "b2"\ndown_revision = "a1"\n')

    assert "Add[2J notes." == history(tree.backend).get("b2").title


def test_check_that_nothing_equals_is_refused(tree):
    tree.add("b2", "pass", head="check = {'query': 'select 1', 'expect': float('nan')}")
    with pytest.raises(RefusedError, match="check expects nan"):
        history(tree.backend)


def test_ini_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no alembic\.ini to migrate by"):
        history(Backend(tmp_path / "gone" / "alembic.ini", sys.executable))


@pytest.mark.parametrize("limit", ["lock_seconds", "statement_seconds"])
def test_limit_that_comes_to_no_limit_is_refused(limit):
    with pytest.raises(ValueError, match=limit):
        BackendTable(**{limit: 0.0004})
