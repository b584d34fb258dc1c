"""A worker, its runner or its session ends at any point: nothing hangs, nothing is left half, the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic_trees import ALONE, HALF, LEDGER, LEDGER_TABLE, Tree, apply, asked, migrating, tell

from pantheon_runbook.errors import OutcomeUnknownError

NAME = "a worker to be ended"
SESSIONS = f"select pid, query from pg_stat_activity where application_name = '{NAME}'"
SLOW = "op.execute('select pg_sleep(30)')"
BODIES = {
    "in a statement": f"{HALF}\nSLOW",
    "outside a transaction": f"{HALF}\n{ALONE}\n    SLOW",
    "in Python": f"{HALF}\nop.execute('select 1 as python')\nimport time\nif SLOW_NOW:\n    time.sleep(30)",
}


def tree_with(tmp_path: Path, body: str) -> Tree:
    """Slow as long as there is a file of that name."""
    tree = Tree(tmp_path)
    tree.sql("a1", "create table notes (id int)")
    head = f"import os\nSLOW_NOW = os.path.exists({str(tmp_path / 'slow')!r})"
    tree.add("b2", body.replace("SLOW\n", f"{SLOW}\n").replace("    SLOW", f"    if SLOW_NOW: {SLOW}"), head=head)
    (tmp_path / "slow").touch()
    return tree


def wait_for(is_so, *, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_in_the_middle(url):
    return [pid for pid, query in asked(url, SESSIONS) if "pg_sleep" in query or "as python" in query]


def end_worker(one, url):
    os.kill(one._worker.pid, signal.SIGKILL)


def end_it_as_the_runner_does(one, url):
    one.kill()


def end_its_session(one, url):
    tell(url, f"select pg_terminate_backend({one.backend_pid})")


ENDS = {"worker": end_worker, "kill": end_it_as_the_runner_does, "session": end_its_session}
CASES = [(point, end) for point in BODIES for end in ENDS if (point, end) != ("in Python", "session")]
IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"


@pytest.mark.sweep
@pytest.mark.parametrize(("point", "end"), CASES if IS_FULL else CASES[:4:3])
def test_next_run_goes_on_after_an_end_in_the_middle(url, tmp_path, point, end):
    body = BODIES[point].replace("\nSLOW", f"\nif SLOW_NOW:\n    {SLOW}")
    tree = tree_with(tmp_path, body)
    tell(url, LEDGER_TABLE)
    with migrating(tree.backend, url, ledger=LEDGER, application_name=NAME) as one:
        one.step("a1")
        ender = threading.Thread(target=lambda: wait_for(lambda: is_in_the_middle(url)) and ENDS[end](one, url))
        ender.start()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknownError, match="b2 is not known"):
            one.step("b2")
        ender.join()
    assert time.monotonic() - began < 12
    wait_for(lambda: not asked(url, SESSIONS))
    left = asked(url, "select revision, state from kept where revision = 'b2'")
    (tmp_path / "slow").unlink()
    tell(url, "drop table if exists half")  # what a person does after a revision that left its transaction
    apply(tree, url, "b2", ledger=LEDGER)

    assert ([("b2", "begun")] if point == "outside a transaction" else []) == left
    assert [("b2",)] == asked(url, "select version_num from alembic_version")
    assert [("a1",), ("b2",)] == asked(url, "select revision from kept where state = 'applied' order by id")


RUNNER = """
import sys
sys.path[:0] = [{folder!r}, {root!r}]
from pathlib import Path
from alembic_trees import migrating
from pantheon_runbook.database.migrations.alembic_process import Backend
with migrating(Backend(Path({ini!r}), sys.executable), {url!r}, application_name={name!r}, seconds=60.0) as one:
    one.step("a1")
    print("ready", one._worker.pid, flush=True)
    {then}
"""


@pytest.mark.parametrize("then", ["import time; time.sleep(60)", "one.step('b2')"])
def test_worker_ends_with_its_runner(url, tmp_path, then):
    """Killed without a word; and the server lets go of the statement soon, though nobody reads its answer."""
    tree = tree_with(tmp_path, f"{HALF}\n{SLOW}")
    here = Path(__file__).resolve().parent
    script = RUNNER.format(
        folder=str(here),
        root=str(here.parents[1]),
        ini=str(tree.backend.ini),
        url=url,
        name=NAME,
        then=then,
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as runner:
        worker = int(runner.stdout.readline().split()[1])
        if "step" in then:
            wait_for(lambda: is_in_the_middle(url))
        runner.kill()
    wait_for(lambda: not Path(f"/proc/{worker}").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text().split()[2])
    wait_for(lambda: not asked(url, SESSIONS))

    assert [("a1",)] == asked(url, "select version_num from alembic_version")
    assert [] == asked(url, "select 1 from pg_tables where tablename = 'half'")


GIVEN_UP = {"seconds": (6.0, "no answer in 6 s"), "grace": (60.0, "no answer from the database for 16 s")}


@pytest.mark.rare
@pytest.mark.parametrize("bound", GIVEN_UP if IS_FULL else ["seconds"])
def test_hung_statement_is_given_up(url, tmp_path, bound):
    """Its own limit is PostgreSQL's to keep; where that does not happen, the worker and the runner have theirs."""
    seconds, words = GIVEN_UP[bound]
    tree = tree_with(tmp_path, f"{HALF}\nop.execute('set statement_timeout = 0')\n{SLOW}")
    with migrating(tree.backend, url, statement_timeout_ms=500, seconds=seconds) as one:
        one.step("a1")
        with pytest.raises(OutcomeUnknownError, match=words):
            one.step("b2")

    assert [] == asked(url, "select 1 from pg_tables where tablename = 'half'")


def test_what_it_prints_is_kept_for_its_error(url, tmp_path):
    """The last of it, with no part of a password that a cut-off line may hold."""
    tree = Tree(tmp_path)
    tree.add("a1", "for n in range(300):\n    print('line', n, 'postgresql://me:abc' + 'def' * n)\nraise ValueError")
    with pytest.raises(Exception, match="a1 failed") as stopped:
        apply(tree, url, "a1")

    assert [f"line {n} postgresql://me:[secret]" for n in range(100, 300)] == stopped.value.__notes__
