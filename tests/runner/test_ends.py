"""However a run ends, nothing that it started is left, and what it did is sealed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from notebooks import IS_FULL_SWEEP, Copy, execute, verdicts

from pantheon_runbook.evidence import journal
from pantheon_runbook.runner.run import _Line

linux = pytest.mark.skipif(sys.platform != "linux", reason="what left the process group is found through /proc")
END_SECONDS = 15

# One child in the kernel's process group, one in a session of its own, and one of that one's.
LITTER = """
import json, os, subprocess
children = [
    subprocess.Popen(["sleep", "300"]),
    subprocess.Popen(["sleep", "300"], start_new_session=True),
    subprocess.Popen(["sh", "-c", "sleep 300 & echo $!; wait"], start_new_session=True, stdout=subprocess.PIPE),
]
grandchild = int(children[-1].stdout.readline())
open("{pids}.new", "w").write(json.dumps([os.getpid(), *(child.pid for child in children), grandchild]))
os.rename("{pids}.new", "{pids}")
"""


def is_alive(pid):
    """A zombie has ended, whoever has yet to collect it."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1] not in {"", "Z"}


def left_of(pids, *, within=0.0):
    deadline = time.monotonic() + within
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in pids if is_alive(pid)]


def pids_in(path):
    wait_for(path.exists)
    return json.loads(path.read_text())


def wait_for(condition):
    deadline = time.monotonic() + END_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def started(world, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=world.folder,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def papermill(world, path):
    return started(world, "papermill", "--engine", "pantheon-runbook", str(path), str(path.with_name("out.ipynb")))


@pytest.mark.alike
@linux
@pytest.mark.xdist_group("runner-quiet")
@pytest.mark.usefixtures("quiet_world")
@pytest.mark.parametrize("end", ["import signal; os.kill(os.getpid(), signal.SIGKILL)", "import time; time.sleep(60)"])
def test_dead_or_hanging_kernel_leaves_no_process(tmp_path, end):
    pids = tmp_path / "pids"

    verdict = execute(Copy(tmp_path).before("plan", LITTER.format(pids=pids) + end).path, cell_seconds=2).verdict

    assert "incomplete" == verdict.word
    assert [] == left_of(pids_in(pids))


@linux
@pytest.mark.xdist_group("runner-quiet")
@pytest.mark.usefixtures("quiet_world")
def test_finished_run_leaves_no_process(tmp_path):
    pids = tmp_path / "pids"

    assert "planned" == execute(Copy(tmp_path).before("plan", LITTER.format(pids=pids)).path).verdict.word

    assert [] == left_of(pids_in(pids))


@linux
@pytest.mark.xdist_group("runner-quiet")
@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT] if IS_FULL_SWEEP else [signal.SIGTERM])
def test_signal_leaves_no_process_and_a_sealed_run(quiet_world, tmp_path, number):
    pids = tmp_path / "pids"
    running = papermill(
        quiet_world, Copy(tmp_path).before("plan", LITTER.format(pids=pids) + "import time; time.sleep(60)").path
    )
    processes = pids_in(pids)

    running.send_signal(number)
    _, errors = running.communicate(timeout=END_SECONDS)

    last = verdicts(quiet_world.evidence)[-1]
    assert 0 != running.returncode
    assert [] == left_of([running.pid, *processes])
    assert ("incomplete", f"the act plan never happened: {number.name} was received") == (last["word"], last["why"])
    assert f"incomplete: the act plan never happened: {number.name} was received" in errors


@pytest.mark.xdist_group("runner-quiet")
def test_killed_command_takes_its_kernel_along(quiet_world, tmp_path):
    """What left the kernel's process group is not covered here: nobody is left to look for it."""
    pids = tmp_path / "pids"
    running = papermill(
        quiet_world, Copy(tmp_path).before("plan", LITTER.format(pids=pids) + "import time; time.sleep(60)").path
    )
    kernel, child, *outside = pids_in(pids)

    running.kill()
    running.communicate(timeout=END_SECONDS)

    try:
        assert [] == left_of([kernel, child], within=END_SECONDS)
    finally:
        for pid in outside:
            os.kill(pid, signal.SIGKILL)

    assert "planned" == execute(Copy(tmp_path).path).verdict.word
    assert "abandoned" in [verdict["word"] for verdict in verdicts(quiet_world.evidence)]
    assert [] == list((quiet_world.evidence / ".running").iterdir())


def events(world):
    """Of every journal, sealed or not."""
    journals = sorted((*world.evidence.glob("2*/journal.jsonl"), *world.evidence.glob(".running/2*/journal.jsonl")))
    return [event for path in journals for event in journal.read(path)]


def addresses(world, event):
    return sorted(one["address"] for one in events(world) if one["event"] == event)


@pytest.fixture
def applying(world):
    """Our command in the middle of its first write, which takes a second."""
    world.running.faults(
        [{"kind": "latency", "service": "supabase", "operation": "*project", "seconds": 1.0, "times": 9}]
    )
    running = started(world, "pantheon_runbook", "run", "RB-010", "--apply")
    try:
        wait_for(lambda: "supabase/project" in addresses(world, "write-intent"))
        yield running
    finally:
        running.kill()
        running.communicate()


@pytest.mark.rare
@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM] if IS_FULL_SWEEP else [signal.SIGINT])
def test_signal_during_apply_finishes_what_is_in_hand(world, applying, number):
    """The Supabase project is in hand for seconds; what waits for it would begin right after, and must not."""
    applying.send_signal(number)
    out, _ = applying.communicate(timeout=60)

    (verdict,) = verdicts(world.evidence)
    assert 5 == applying.returncode
    assert out.splitlines()[1].startswith("PARTIAL: ")
    assert ("partial", 5, "not-all-run") == (verdict["word"], verdict["exit_code"], verdict["cells"])
    begun = addresses(world, "change-begins")
    assert begun == addresses(world, "change-ends")
    assert "supabase/project" in begun
    assert [] == [
        address for address in begun if address.startswith(("supabase/auth", "database/", "supabase/api-key"))
    ]
    assert len(addresses(world, "write-intent")) == len(addresses(world, "write-result")) == len(world.mutating())
    assert [] == list((world.evidence / ".running").iterdir())


@pytest.mark.rare
def test_signal_does_not_wait_out_a_vendor(world):
    """A project takes minutes to come up; whoever presses Ctrl-C meanwhile gets the terminal back, and the truth."""
    world.running.pace(8)
    running = started(world, "pantheon_runbook", "run", "RB-010", "--apply")
    try:
        wait_for(lambda: "supabase/project" in addresses(world, "write-result"))
        sent = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=60)
    finally:
        running.kill()
        running.communicate()

    assert 5 == running.returncode
    assert time.monotonic() - sent < 6
    assert "made but not ready: supabase/project" in out
    assert "SIGINT was received: no further change begins" in errors
    world.running.pace(0.02)
    assert 0 == world.cli("run", "RB-010", "--apply").returncode
    assert ["partial", "done"] == [verdict["word"] for verdict in verdicts(world.evidence)]
    assert 1 == world.mutating().count("supabase POST /v1/projects")


@pytest.mark.rare
def test_killed_apply_is_abandoned_and_gone_on_with(world, applying):
    applying.kill()
    applying.communicate()
    world.running.faults([])

    assert 0 == world.cli("run", "RB-010", "--apply").returncode

    assert ["abandoned", "done"] == [verdict["word"] for verdict in verdicts(world.evidence)]
    assert "the runner was killed during the act apply" == verdicts(world.evidence)[0]["why"]
    assert [] == list((world.evidence / ".running").iterdir())
    assert 0 == world.cli("evidence", "verify", "evidence").returncode


def runner_of_its_own(world):
    """`python -m pantheon_runbook.runner`, and a connection to it."""
    folder = Path(tempfile.mkdtemp(prefix="pr-t-"))
    running = started(world, "pantheon_runbook.runner", str(folder / "s"))
    wait_for((folder / "s").exists)
    connection = socket.socket(socket.AF_UNIX)
    wait_for(lambda: 0 == connection.connect_ex(str(folder / "s")))
    return running, _Line(connection), folder


@pytest.mark.xdist_group("runner-quiet")
def test_runner_of_its_own_seals_when_it_is_told_to_stop(quiet_world):
    running, line, folder = runner_of_its_own(quiet_world)
    line.ask("open", runbook="RB-010", parameters={})

    running.terminate()
    out, errors = running.communicate(timeout=END_SECONDS)
    line.end()
    folder.rmdir()

    assert (0, "", "") == (running.returncode, out, errors)
    assert ("incomplete", "not-observed") == (
        verdicts(quiet_world.evidence)[-1]["word"],
        verdicts(quiet_world.evidence)[-1]["cells"],
    )


class _Interrupted:
    """A socket that is interrupted the first time somebody waits for an answer."""

    def __init__(self, connection):
        self._connection = connection
        self._is_first = True

    def recv(self, size):
        if self._is_first:
            self._is_first = False
            raise KeyboardInterrupt
        return self._connection.recv(size)

    def __getattr__(self, name):
        return getattr(self._connection, name)


@pytest.mark.xdist_group("runner-quiet")
def test_interrupted_act_does_not_answer_for_the_next(quiet_world):
    running, line, folder = runner_of_its_own(quiet_world)
    line.ask("open", runbook="RB-010", parameters={})
    line._connection = _Interrupted(line._connection)

    with pytest.raises(KeyboardInterrupt):
        line.ask("observe")
    again, plan = line.ask("observe")["text"], line.ask("plan")["text"]
    line.end()
    running.communicate(timeout=END_SECONDS)
    folder.rmdir()

    assert again.startswith("OBSERVED  staging  (already done)")
    assert plan.startswith("PLAN  staging")
