"""No journal line, no write: what the journal does when a line cannot be put down."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence.journal import Journal, read, told
from pantheon_runbook.evidence.verify import broken_lines, lines_in
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.secrets import Registry


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """The nearest thing to a full disk that an ordinary user can have."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", run_id="r", registry=Registry())


def test_lines_carry_the_hash_of_the_one_before(journal, tmp_path):
    for number in range(3):
        journal.write("card", number=number)

    assert [0, 1, 2] == [event["number"] for event in read(tmp_path / "journal.jsonl")]
    assert [] == list(broken_lines(lines_in((tmp_path / "journal.jsonl").read_bytes())))


def test_line_without_room_leaves_nothing(journal, tmp_path):
    """Not even a part of it, which the next line would be written behind."""
    path = tmp_path / "journal.jsonl"
    journal.write("first")
    before = path.read_bytes()

    with no_file_longer_than(len(before) + 30), pytest.raises(EvidenceError) as stopped:
        journal.write("second")

    assert before == path.read_bytes()
    assert "no write is sent without its journal line." == stopped.value.state
    journal.write("third")
    assert [] == list(broken_lines(lines_in(path.read_bytes())))
    assert ["first", "third"] == [event["event"] for event in read(path)]


def test_goes_on_where_a_crash_cut_it(journal, tmp_path):
    path = tmp_path / "journal.jsonl"
    journal.write("first")
    with path.open("ab") as file:
        file.write(b'{"seq": 1, "ev')

    Journal(path, run_id="r", registry=Registry()).write("second")

    assert ["first", "second"] == [event["event"] for event in read(path)]
    assert [] == list(broken_lines(lines_in(path.read_bytes())))


@pytest.mark.xdist_group("runner-quiet")
def test_notebook_gets_the_card_all_the_same(quiet_world):
    """The runner has nowhere to write, but somebody waits for its answer."""
    run = quiet_world.open("plan")
    host = Host(lambda _runbook, _parameters: run)
    host.answer({"act": "open", "runbook": "RB-010", "parameters": {}})

    with no_file_longer_than(1):
        answer = host.answer({"act": "observe"})

    assert "EvidenceError" == answer["error"]["error"]
    assert "Stopped: the journal cannot be written." == answer["error"]["lines"][0]
    assert "incomplete" == quiet_world.seal(run).word


@pytest.mark.parametrize(
    ("runbook", "parameters", "writes", "following"),
    [
        ("RB-030", {"baseline": "0008"}, 0, "run RB-030 -e production -p baseline=0008"),
        ("RB-030", {"baseline": "0008"}, 1, "run RB-030 -e production --apply --resume 4372016e; to go back: "),
        ("RB-040", {"only": "vercel", "unit": "b1"}, 1, "run RB-040 -e production -p only=vercel -p unit=b1 --apply"),
    ],
)
def test_killed_run_is_gone_on_with_as_it_was_asked_for(runbook, parameters, writes, following):
    """A way back of one vendor does not become one of all three because somebody was killed in it."""
    opened = {"event": "run-opened", "run": "4372016e7121", "runbook": runbook, "environment": "production"}
    events = [{**opened, "parameters": parameters}, *([{"event": "write-intent"}] * writes)]

    found = told(events, why="it was killed")

    assert found["next"].startswith(f"pantheon-runbook {following}")
    assert found["state"].startswith("1 write went out" if writes else "nothing was changed")
