"""Others at the same database: a second run, a reader that keeps its lock."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from alembic_trees import Server, asked
from dumps import differences, dump
from runs import Run
from stand_in import Scene, apply_pending

from pantheon_runbook.database.migrations.blocking import Watcher
from pantheon_runbook.errors import VendorUnavailableError

TIMES = 50 if os.environ.get("PANTHEON_SWEEP") == "full" else 1
LOCK_TIMEOUT_SECONDS = 1.0
# Between the lock's time-out and the moment at which a reader that stood behind it has been served, on a busy machine.
SLACK_SECONDS = 2.0


@pytest.fixture
def scene(tree_server: Server, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tree_server, tmp_path)
    with scene.ends:
        yield scene


@pytest.mark.sweep
def test_of_two_runs_at_one_instant_one_migrates(scene):
    """Two clones, two homes, no folder in common; where the first makes the ledger while the second asks for it."""
    homes = [scene.another_clone(name) for name in ("hers", "his")]
    expected = scene.bare_schema()
    for _ in range(TIMES):
        scene.url = scene.new_database()
        runs = [scene.prepared_run(home) for home in homes]
        for run in runs:
            run.start()
        winner, ready, refused = told_apart(runs)

        assert ("AnotherWriterError", 4) == (refused["kind"], refused["error"]["exit_code"])
        assert winner.run_id in refused["error"]["what"], refused
        assert len(ready["pending"]) == 11 == winner.finish()
        assert ([], []) == (scene.wrong(), differences(expected, dump(scene.url)))
        assert [(winner.run_id,)] == asked(scene.url, "select distinct run_id from pantheon_runbook.migrations")
        assert [] == asked(scene.url, "select run_id from pantheon_runbook.writer")


def told_apart(runs: list[Run]) -> tuple[Run, dict[str, Any], dict[str, Any]]:
    """The one that got as far as its first revision, what it said, and what the one that was refused said."""
    said = [run.next("ready", "error") for run in runs]
    assert 1 == sum("ready" in one for one in said), said
    first = 0 if "ready" in said[0] else 1
    assert 4 == runs[1 - first].end()[0]
    return runs[first], said[first], said[1 - first]


def test_reader_in_the_way_is_named_and_others_go_on(scene):
    """A revision that waits for its lock keeps later readers waiting behind it: no longer than lock_timeout."""
    apply_pending(scene.backend, scene.url, up_to="0005")
    before = scene.rows()
    with psycopg.connect(scene.url, application_name="a report") as reader, Readers(scene.url) as others:
        reader.execute("select count(*) from messages")
        stopped, watcher, took = tried(scene, "0006")

    assert LOCK_TIMEOUT_SECONDS <= took < LOCK_TIMEOUT_SECONDS + SLACK_SECONDS
    assert LOCK_TIMEOUT_SECONDS / 2 < others.longest < LOCK_TIMEOUT_SECONDS + SLACK_SECONDS
    seen = [(one.application_name, one.relation, one.holds) for one in watcher.blockers]
    assert [("a report", "public.messages", True)] == seen
    assert "nothing was changed by 0006" in stopped.state
    assert (before, [("0005",)]) == (scene.rows(), scene.version())

    with scene.migration() as one:
        one.step("0006")
    assert ([], [("0006",)]) == (scene.wrong(), scene.version())


def tried(scene: Scene, revision: str) -> tuple[VendorUnavailableError, Watcher, float]:
    """How it gave up, who was seen in the way meanwhile, and after how many seconds."""
    try:
        with (
            scene.migration(lock_timeout_ms=int(LOCK_TIMEOUT_SECONDS * 1000)) as one,
            Watcher(scene.session, one.backend_pid) as watcher,
        ):
            began = time.monotonic()
            one.step(revision)
    except VendorUnavailableError as error:
        return error, watcher, time.monotonic() - began
    raise AssertionError("nothing was in its way")


class Readers:
    """The application meanwhile: one short query after the other; `longest` is what one of them took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.longest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _read(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ended.wait(0.01):
                began = time.monotonic()
                connection.execute("select count(*) from messages")
                self.longest = max(self.longest, time.monotonic() - began)
