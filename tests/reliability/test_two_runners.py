"""One writer: by a file on one machine, by the database across machines, and by looking before there is one."""

from __future__ import annotations

import pytest
from attempts import attempt
from runners import begin, end

from pantheon_runbook.errors import AmbiguousTargetError, AnotherWriterError
from pantheon_runbook.session import ACTS


@pytest.mark.rare
def test_second_runner_on_one_machine_is_told_who_writes(world):
    """Before anything is looked at; a plan run is no writer."""
    first = world.open()
    stopped = attempt(world)
    assert isinstance(stopped.error, AnotherWriterError)
    assert (4, "no-run") == (stopped.error.exit_code, stopped.word)
    assert first.bundle.place.run_id[:8] in stopped.error.what

    reader = world.open("plan")
    world.plan(reader)
    world.seal(reader)
    world.seal(first)
    assert [] == world.mutating()
    assert "incomplete" == attempt(world, until="observe").word


def test_second_machine_is_told_who_writes(world, monkeypatch):
    """Another home has another lock file; the advisory lock in the database is common to both."""
    assert "done" == attempt(world).word
    first = world.open()
    for act in ACTS[:3]:
        first.session.perform(act)
    calls = world.mutating()
    with first.session.hold_writer_lock():
        monkeypatch.setenv("XDG_STATE_HOME", str(world.folder / "another home"))
        stopped = attempt(world)
        assert isinstance(stopped.error, AnotherWriterError)
        assert ("refused", 4) == (stopped.word, stopped.error.exit_code)
        assert first.bundle.place.run_id[:8] in stopped.error.what
        assert "in the database" in stopped.error.why
    assert "nothing-to-do" == attempt(world).word
    assert calls == world.mutating()
    monkeypatch.setenv("XDG_STATE_HOME", str(world.folder / "state"))
    world.seal(first)


@pytest.mark.sweep
def test_two_creators_stop_and_list_what_they_made(world, hands):
    """Both look before either creates; neither may take the half it made for the whole."""
    world.running.faults(
        [
            {"operation": "POST /v1/projects", "kind": "latency", "seconds": 3, "times": 2},
            {"operation": "projectCreate", "kind": "latency", "seconds": 3, "times": 2},
        ]
    )
    runners = []
    for name in ("first", "second"):
        folder = world.folder / name
        folder.mkdir()
        runners.append(begin(world, cwd=folder, HOME=str(folder), XDG_STATE_HOME=str(folder / "state")))
    ended = [end(runner) for runner in runners]

    refs = sorted(one["ref"] for one in hands.projects())
    assert 2 == len(refs)
    assert [5, 5] == [code for code, _, _ in ended]
    assert ["", ""] == [trouble for _, _, trouble in ended]
    assert all("there are 2" in printed["what"] for _, printed, _ in ended)
    mark = hands.mark()
    third = attempt(world)
    assert isinstance(third.error, AmbiguousTargetError)
    twins = sorted(one["id"] for one in hands.railway_projects())
    assert any(", ".join(names) in str(third.error) for names in (refs, twins) if len(names) == 2)
    assert [] == hands.sent_since(mark)
