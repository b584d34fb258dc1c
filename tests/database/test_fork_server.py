"""Workers that are forked from one interpreter: started once, with nothing in common, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic_trees import Tree, apply, asked, migrating

from pantheon_runbook.database.migrations import alembic_process, fork_server
from pantheon_runbook.database.migrations.alembic_process import history
from pantheon_runbook.errors import OutcomeUnknownError, RefusedError

COUNTS_STARTS = "import os\nwith open({!r}, 'a') as starts:\n    starts.write(f'{{os.getpid()}}\\n')\n"


class Starts:
    """Every start of an interpreter with this PYTHONPATH, written down by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "installed"
        self.folder.mkdir()
        self._written = folder / "starts"
        self.runs_first("")

    def runs_first(self, code: str) -> None:
        (self.folder / "sitecustomize.py").write_text(f"{COUNTS_STARTS.format(str(self._written))}{code}\n")

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self._written.read_text().split()] if self._written.exists() else []


@pytest.fixture
def starts(tmp_path, monkeypatch) -> Starts:
    starts = Starts(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(starts.folder))
    return starts


@pytest.fixture
def tree(tmp_path) -> Tree:
    tree = Tree(tmp_path / "backend")
    tree.sql("a1", "create table notes (id int)")
    return tree


def has_ended(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_end(pid: int) -> None:
    wait_until(lambda: has_ended(pid))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def interrupt_when(is_so: Callable[[], object]) -> None:
    def interrupt() -> None:
        while not is_so():
            time.sleep(0.02)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()


def test_interpreter_is_started_once(url, tree, starts):
    for _ in range(3):
        assert ("a1",) == history(tree.backend).heads
    apply(tree, url, "a1")

    assert 1 == len(starts.pids)


def test_what_one_worker_changes_no_other_finds(tree, starts):
    leaves = "import builtins, os\nassert not hasattr(builtins, 'left') and 'LEFT' not in os.environ\n"
    tree.sql("b2", "select 1", head=f"{leaves}builtins.left = os.environ['LEFT'] = 'by b2'")
    for _ in range(2):
        assert ("b2",) == history(tree.backend).heads

    assert 1 == len(starts.pids)


@pytest.mark.parametrize("change", ["package", "environment", "folder"])
def test_other_imports_are_another_start(tmp_path, tree, starts, monkeypatch, change):
    """A package that was installed meanwhile is there, as it is for the backend's developer."""
    history(tree.backend)
    if change == "package":
        (starts.folder / "alembic_utils-1.0.dist-info").mkdir()
    elif change == "environment":
        monkeypatch.setenv("LC_TIME", "C")
    else:
        tree = Tree(tmp_path / "another")
        tree.sql("a1", "select 1")
    history(tree.backend)

    assert 2 == len(starts.pids)


@pytest.mark.skipif(sys.platform != "linux", reason="what a death ends there, a closed pipe ends elsewhere")
def test_server_that_was_killed_is_started_again(url, tree, starts):
    with migrating(tree.backend, url) as one:
        os.kill(starts.pids[0], signal.SIGKILL)
        wait_for_end(one._worker.pid)
        with pytest.raises(OutcomeUnknownError, match="a1 is not known"):
            one.step("a1")
    apply(tree, url, "a1")

    assert 2 == len(starts.pids)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_server_that_was_stopped_is_left_for_another(tree, starts, monkeypatch):
    """A revision can do that to it; nobody waits for it, and what it still has to do it does when it goes on."""
    monkeypatch.setattr(fork_server, "_FORK_SECONDS", 0.5)
    history(tree.backend)
    os.kill(starts.pids[0], signal.SIGSTOP)
    with pytest.raises(RefusedError, match="did not start"):
        history(tree.backend)
    assert ("a1",) == history(tree.backend).heads
    os.kill(starts.pids[0], signal.SIGCONT)

    wait_for_end(starts.pids[0])
    assert 2 == len(starts.pids)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_nobody_waits_for_who_waits_for_a_worker(url, tree, starts, monkeypatch):
    monkeypatch.setattr(alembic_process, "_END_SECONDS", 0.5)
    tree.add("b2", "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)")
    apply(tree, url, "a1", "b2")

    assert [("b2",)] == asked(url, "select version_num from alembic_version")
    os.killpg(starts.pids[0], signal.SIGCONT)
    wait_until(lambda: not children_of(starts.pids[0]))


HIDES = "import os, re\nos.setpgid(0, os.getpgid(os.getppid()))\nre.match('(a+)+$', 'a' * 40 + 'b')"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_worker_that_left_its_process_group_is_ended(url, tree):
    """None of its threads runs meanwhile, so that it does not see the runner's end either."""
    tree.add("b2", HIDES)
    with migrating(tree.backend, url, seconds=1.0) as one:
        one.step("a1")
        with pytest.raises(OutcomeUnknownError, match="no answer in 1 s"):
            one.step("b2")
        wait_for_end(one._worker.pid)


FORKS_NOT = """
import os
fork = os.fork
def refuse():
    if os.path.exists({!r}):
        raise BlockingIOError(11, 'Resource temporarily unavailable')
    return fork()
os.fork = refuse
"""


def test_worker_that_could_not_be_forked_ends_no_other(url, tmp_path, tree, starts):
    """A machine at its limit of processes, for example."""
    at_its_limit = tmp_path / "at its limit"
    starts.runs_first(FORKS_NOT.format(str(at_its_limit)))
    with migrating(tree.backend, url) as one:
        at_its_limit.touch()
        with pytest.raises(RefusedError, match="did not start") as stopped:
            history(tree.backend)
        at_its_limit.unlink()
        one.step("a1")

    assert "Resource temporarily unavailable" in stopped.value.why
    assert ("a1",) == history(tree.backend).heads
    assert 1 == len(starts.pids)


DESCRIPTORS = """
import os
kinds = [os.readlink(f'/proc/self/fd/{fd}').partition(':')[0] for fd in os.listdir('/proc/self/fd') if int(fd) > 2
         and os.path.exists(f'/proc/self/fd/{fd}')]
if 'socket' in kinds:
    raise ValueError('a way to the server')
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_worker_has_no_way_to_the_server(tree):
    """With it, a revision could have code of its own run in the place of the next worker."""
    tree.sql("b2", "select 1", head=DESCRIPTORS.strip())

    assert ("b2",) == history(tree.backend).heads


RUNNER = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from pantheon_runbook.database.migrations.alembic_process import Backend, history
history(Backend(Path({ini!r}), sys.executable))
print("read", flush=True)
time.sleep({seconds})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("seconds", [0, 60])
def test_server_ends_with_its_runner(tree, starts, seconds):
    script = RUNNER.format(path=sys.path, ini=str(tree.backend.ini), seconds=seconds)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as runner:
        assert b"read\n" == runner.stdout.readline()
        if seconds:
            runner.kill()
    _its_own, server = starts.pids
    wait_for_end(server)


def test_interrupted_start_leaves_no_interpreter(tree, starts):
    """A notebook's kernel goes on after it."""
    starts.runs_first("import time\ntime.sleep(30)")
    interrupt_when(lambda: starts.pids)
    with pytest.raises(KeyboardInterrupt):
        history(tree.backend)

    wait_for_end(starts.pids[0])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_interrupted_fork_leaves_no_worker(tree, starts):
    history(tree.backend)
    before, server = descriptors(), starts.pids[0]
    for _ in range(5):
        os.kill(server, signal.SIGSTOP)  # so that it is interrupted at this very point
        interrupt_when(lambda: True)
        with pytest.raises(KeyboardInterrupt):
            history(tree.backend)
        os.kill(server, signal.SIGCONT)

    assert ("a1",) == history(tree.backend).heads
    assert 1 == len(starts.pids)
    wait_until(lambda: descriptors() <= before)
    wait_until(lambda: not children_of(server))


def test_interpreter_that_writes_elsewhere_is_used_all_the_same(tree, starts):
    """A sitecustomize may put anything in the place of sys.stdout."""
    starts.runs_first("import io, sys\nsys.stdout, sys.stderr = io.StringIO(), None")

    assert ("a1",) == history(tree.backend).heads


LOUD = "import os\nos.write(1, b'postgresql://me:anybodys-own@host/db\\n' * {})\n"


def test_what_the_interpreter_prints_at_its_start_is_kept_for_its_error(tree, starts):
    """The last of it, and no password; however much it is."""
    starts.runs_first(f"{LOUD.format(300)}os._exit(3)")
    with pytest.raises(RefusedError, match="did not start") as stopped:
        history(tree.backend)

    assert "exit code 3" in stopped.value.why
    assert ["postgresql://me:[secret]"] * 200 == stopped.value.__notes__


def test_start_that_fails_is_told_though_a_child_of_it_goes_on(tree, starts):
    """It holds what is printed open; its parent's exit code is known all the same."""
    starts.runs_first("import os, subprocess\nsubprocess.Popen(['sleep', '12'])\nos._exit(3)")
    began = time.monotonic()
    with pytest.raises(RefusedError, match="did not start") as stopped:
        history(tree.backend)

    assert "exit code 3" in stopped.value.why
    assert time.monotonic() - began < 10
