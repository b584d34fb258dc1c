"""The daemon from outside: life, death, and what is left of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from known import PINNED
from talk import supabase, talk

from pantheon_runbook.sandbox import SandboxError, control, places
from pantheon_runbook.sandbox.children import Children, began


def pids_of(running):
    notes = (running.folder / "children").glob("*.json")
    return [json.loads(note.read_text())["pid"] for note in notes]


def wait_until_gone(pids, seconds=5.0):
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if began(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def backend(running, path, **options):
    return talk(running, running.facts()["railway"]["api_domain"], path, **options)


def test_killed_daemon_leaves_no_process(sandbox):
    sandbox.wake()
    pids = pids_of(sandbox)
    assert 4 <= len(pids)  # PostgreSQL, Redis, API, worker
    os.kill(sandbox.pid, signal.SIGKILL)
    os.waitpid(sandbox.pid, 0)
    assert [] == wait_until_gone(pids)


def test_stopped_daemon_leaves_no_process(sandbox):
    pids = [sandbox.pid, *pids_of(sandbox)]
    sandbox.stop()
    assert [] == wait_until_gone(pids, seconds=0)
    assert control.Running.of(sandbox.folder) is None


def test_reaper_ends_children_where_no_signal_comes(tmp_path):
    """What macOS has instead of a parent-death signal."""
    program = (
        "import pathlib, sys, os, signal\n"
        "from pantheon_runbook.sandbox import children\n"
        "children.IS_LINUX, folder = False, pathlib.Path(sys.argv[1])\n"
        "made = children.Children(folder, with_reaper=True)\n"
        "children.IS_LINUX = True\n"
        "children._die_with_parent = lambda number: None\n"
        "print(made.spawn('sleeper', ['sleep', '60'], output=folder / 'out').pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert [] == wait_until_gone([int(done.stdout)])


def test_reaper_spares_a_recycled_pid(tmp_path):
    """A record whose process is another one by now must not end that one."""
    (tmp_path / "old.json").write_text(json.dumps({"pid": os.getpid(), "began": "long ago", "signal": 9}))
    Children(tmp_path, with_reaper=False)
    assert [] == list(tmp_path.glob("*.json"))


def test_second_daemon_on_a_folder_is_refused(sandbox):
    with pytest.raises(SandboxError, match="already runs"):
        control.start(sandbox.folder, idle_seconds=60)
    assert sandbox.pid == sandbox.status()["pid"]


def test_restarted_daemon_continues_its_world(sandbox):
    ref = sandbox.facts()["supabase"]["ref"]
    supabase(sandbox, f"/v1/projects/{ref}", method="PATCH", body={"name": "renamed"})
    session = backend(sandbox, "/sessions", method="POST", body={"title": "kept"}).json()
    os.kill(sandbox.pid, signal.SIGKILL)
    os.waitpid(sandbox.pid, 0)
    again = control.start(sandbox.folder, pace=0.0, pinned=PINNED, idle_seconds=60)
    try:
        assert "renamed" == supabase(again, f"/v1/projects/{ref}").json()["name"]
        assert "kept" == backend(again, f"/sessions/{session['id']}").json()["title"]
        assert [1, 2] == [record["seq"] for record in again.log()]
    finally:
        again.stop()


@pytest.mark.rare
def test_saved_world_loads_elsewhere(sandbox, tmp_path):
    ref = sandbox.facts()["supabase"]["ref"]
    supabase(sandbox, f"/v1/projects/{ref}", method="PATCH", body={"name": "renamed"})
    session = backend(sandbox, "/sessions", method="POST", body={"title": "kept"}).json()
    saved = sandbox.save(str(tmp_path / "saved world"))
    other = control.start(tmp_path / "other", load=str(saved), pace=0.0, pinned=PINNED, idle_seconds=60)
    try:
        assert "renamed" == supabase(other, f"/v1/projects/{ref}").json()["name"]
        assert "kept" == backend(other, f"/sessions/{session['id']}").json()["title"]
        assert 200 == backend(sandbox, f"/sessions/{session['id']}").status, "the first world goes on"
    finally:
        other.discard()


def test_reset_returns_to_the_beginning(sandbox):
    ref = sandbox.facts()["supabase"]["ref"]
    supabase(sandbox, f"/v1/projects/{ref}", method="PATCH", body={"name": "renamed"})
    backend(sandbox, "/sessions", method="POST", body={"title": "lost"})
    sandbox.reset()
    assert [] == sandbox.log()
    assert [] == sandbox.statements(ref)
    assert "pantheon-production" == supabase(sandbox, f"/v1/projects/{ref}").json()["name"]


@pytest.mark.rare
def test_save_replaces_no_folder_of_somebodys(sandbox, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("precious")

    with pytest.raises(SandboxError, match="is no saved world"):
        sandbox.save(str(tmp_path / "theirs"))

    assert ["file"] == [path.name for path in (tmp_path / "theirs").iterdir()]
    sandbox.save(str(tmp_path / "ours"))
    sandbox.save(str(tmp_path / "ours"))


def test_unknown_saved_world_changes_nothing(sandbox):
    with pytest.raises(SandboxError, match="no saved world"):
        sandbox.load("never saved")
    assert 200 == backend(sandbox, "/health").status


def test_idle_daemon_stops_by_itself(tmp_path):
    running = control.start(tmp_path / "sandbox", pinned=PINNED, idle_seconds=0.3)
    assert [] == wait_until_gone([running.pid])
    places.discard(running.folder)


def test_daemon_that_cannot_start_says_why(tmp_path):
    with pytest.raises(SandboxError, match="no saved world"):
        control.start(tmp_path / "sandbox", load=str(tmp_path / "nothing"))
    places.discard(tmp_path / "sandbox")


@pytest.mark.rare
def test_same_seed_gives_the_same_ids(sandbox, tmp_path):
    other = control.start(tmp_path / "other", pinned=PINNED, idle_seconds=60)
    try:
        assert sandbox.facts() == other.facts()
    finally:
        other.discard()


def test_daemon_inherits_no_token(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPABASE_ACCESS_TOKEN", "sbp_of_a_real_account")
    running = control.start(tmp_path / "sandbox", pinned=PINNED, idle_seconds=60)
    try:
        environment = Path(f"/proc/{running.pid}/environ")
        if environment.exists():
            assert b"sbp_of_a_real_account" not in environment.read_bytes()
    finally:
        running.discard()


def test_find_follows_the_environment(sandbox, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PANTHEON_SANDBOX", raising=False)
    assert control.find() is None
    monkeypatch.setenv("PANTHEON_SANDBOX", str(sandbox.folder))
    assert sandbox == control.find()


AS_ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


def can_become_ordinary() -> bool:
    """Whether root may give itself another user id here; many containers forbid it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*AS_ORDINARY_USER, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.rare
@pytest.mark.skipif(not can_become_ordinary(), reason="already an ordinary user, or user namespaces are forbidden")
def test_runs_as_an_ordinary_user(tmp_path):
    """The whole sandbox, servers and all, under a user id that PostgreSQL does not refuse."""
    program = (
        "import os, sys, pathlib\n"
        "from pantheon_runbook.sandbox import control\n"
        "running = control.start(pathlib.Path(sys.argv[1]) / 'sandbox', idle_seconds=60)\n"
        "print(os.geteuid(), sorted(running.wake().values()))\n"
        "running.discard()\n"
    )
    done = subprocess.run(
        [*AS_ORDINARY_USER, sys.executable, "-c", program, str(tmp_path)],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ("1000 ['running', 'running']\n", "") == (done.stdout, done.stderr)
