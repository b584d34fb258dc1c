"""Folders, disks and sandboxes that fail, before a run and in the middle of it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pantheon_runbook.errors import RunbookError
from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.sandbox import control

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
Disk = Callable[[int], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Makes a disk of so many bytes; as root on Linux only."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root on Linux only")
    point = tmp_path / "disk"
    point.mkdir()

    def mount(size_bytes: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(point)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
        return point

    yield mount
    subprocess.run(["umount", str(point)], check=False, capture_output=True)


def config_with_evidence(world, folder: Path, evidence: Path) -> str:
    """The customer's files, with the evidence somewhere else."""
    for name in ("pantheon.toml", "identities.toml"):
        shutil.copy(world.customer / name, folder / name)
    with (folder / "pantheon.toml").open("a") as config:
        config.write(f'\n[evidence]\npath = "{evidence}"\n')
    return str(folder / "pantheon.toml")


def fill(folder: Path) -> None:
    """To the last byte, whose write then fails."""
    with (folder / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        any(filler.write(b"x" * 1024) == 0 for _ in iter(int, 1))


def assert_card(done: subprocess.CompletedProcess[str], expected: int, words: str) -> None:
    assert expected == done.returncode, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert words in done.stderr
    assert [1, 1, 1, 1] == [done.stderr.count(f"{name} ") for name in ("Stopped:", "Why:    ", "State:  ", "Next:   ")]


def test_full_disk_opens_nothing(world, disk, tmp_path):
    evidence = disk(64 * 1024)
    config = config_with_evidence(world, tmp_path, evidence)
    fill(evidence)

    done = world.cli("run", "RB-010", "--apply", PANTHEON_CONFIG=config)

    assert_card(done, 4, "No space left on device")
    assert [] == world.mutating()
    assert ["filler"] == [path.name for path in evidence.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.rare
def test_read_only_folder_opens_nothing(world, disk, tmp_path):
    """A mount, since root may write to every folder."""
    evidence = disk(64 * 1024)
    config = config_with_evidence(world, tmp_path, evidence)
    subprocess.run(["mount", "-o", "remount,ro", str(evidence)], check=True)

    done = world.cli("run", "RB-010", "--apply", PANTHEON_CONFIG=config)

    assert_card(done, 4, "Read-only file system")
    assert [] == world.mutating()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder; the read-only disk shows it for root")
def test_folder_without_permission_opens_nothing(world):
    world.evidence.mkdir(mode=0o555)

    assert_card(world.cli("run", "RB-010", "--apply"), 4, "Permission denied")
    assert [] == world.mutating()


@pytest.mark.rare
@pytest.mark.sweep
@pytest.mark.parametrize("room", [16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56] if IS_FULL else [28])
def test_disk_that_fills_up_stops_writing(world, disk, tmp_path, room: int):
    """No journal line, no write; once there is room the next command seals what happened, and the work goes on."""
    evidence = disk(room * 1024)
    config = config_with_evidence(world, tmp_path, evidence)

    done = world.cli("run", "RB-010", "--apply", PANTHEON_CONFIG=config)

    (lines,) = evidence.glob(".running/*/journal.jsonl")
    intents = [event for event in journal.read(lines) if event["event"] == "write-intent"]
    assert len(world.mutating()) <= len(intents)
    assert_card(done, 5 if intents else 4, "No space left on device")
    sent = f"writes sent or about to be sent: {len(intents)}, see " if intents else "nothing was changed"
    assert f"State:   {sent}" in done.stderr

    subprocess.run(["mount", "-o", "remount,size=8m", str(evidence)], check=True)
    again = world.cli("run", "RB-010", "--apply", PANTHEON_CONFIG=config)

    assert 0 == again.returncode, again.stderr
    report = verify(evidence)
    assert ((), (), 2) == (report.findings, report.unsealed, len(report.bundles))
    assert report.verdicts[report.bundles[-1]] in {"done", "nothing-to-do"}


def test_sandbox_that_died_is_a_card(world):
    os.kill(world.running.pid, signal.SIGKILL)
    world.running._wait_for_end()

    assert_card(world.cli("run", "RB-010"), 2, "no sandbox runs in")
    assert not world.evidence.exists()


def test_sandbox_without_its_socket_is_a_card(world):
    world.running.socket.unlink()

    assert_card(world.cli("run", "RB-010"), 5, "supabase cannot be reached")
    assert not world.evidence.exists()


@pytest.mark.rare
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_vendor_lost_before_apply_writes_nothing(world):
    """The cloud goes away between approval and apply: the run is sealed, and says that it did not finish."""
    run = world.open()
    world.plan(run)
    run.session.perform("approve")
    os.kill(world.running.pid, signal.SIGKILL)
    world.running._wait_for_end()

    with pytest.raises(RunbookError) as stopped:
        run.session.perform("apply")

    assert "cannot be reached" in stopped.value.what
    assert "incomplete" == world.seal(run).word
    assert [] == [event for event in _events(world) if event["event"] == "write-intent"]
    assert () == verify(world.evidence).findings
    del stopped, run
    gc.collect()  # here, and not in another test: httpcore leaves sockets that could not connect to the collector


def _events(world) -> list[dict[str, object]]:
    (path,) = world.evidence.glob("*/journal.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.rare
def test_occupied_port_is_passed_over(world, tmp_path):
    """The sandbox takes a free port, also when its last one has been taken by somebody else meanwhile."""
    port = world.running.tcp_port
    world.running.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        again = control.start(world.running.folder, pace=0.02)
        try:
            assert port != again.tcp_port
            assert "done" == world.provision().word
        finally:
            again.discard()
            world.running.folder.mkdir(exist_ok=True)
    assert tmp_path.exists()


def test_sandbox_that_cannot_start_is_a_card(world):
    """No named one, none in this folder, and no room to make one."""
    (world.folder / ".pantheon").write_text("a file where the sandbox's folder would be")

    done = world.cli("run", "RB-010", PANTHEON_SANDBOX="")

    assert_card(done, 2, "the sandbox cannot be used")
    assert not world.evidence.exists()
