"""SIGKILL of the worker, of the runner and of the server's process, inside each revision: the next run finishes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from alembic_trees import Server
from dumps import differences, dump
from runs import holds, kill, until
from stand_in import LEDGER, VERSION, Scene

from pantheon_runbook.database.migrations.indexes import invalid_indexes

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
REVISIONS = [f"{number:04}" for number in range(1, 12)]
ALONE = "0010"  # it leaves its transaction to build an index concurrently
# Where it is when it is killed: all its statements done and the version not yet; all done but the commit.
WRITES = "lock table public.messages in row exclusive mode"  # a concurrent build waits for whoever may have written
PLACES = [VERSION, LEDGER]
KILLED = ["worker", "runner", "server"]
SEQUENCES = [(what, place, REVISIONS) for what in KILLED for place in PLACES]
SAMPLE = [("worker", LEDGER, ["0007"]), ("server", VERSION, ["0005"])]
EXIT_CODES = {"worker": 5, "server": 5, "runner": -signal.SIGKILL}


@pytest.fixture
def scene(tree_server: Server, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tree_server, tmp_path)
    with scene.ends:
        yield scene


@pytest.fixture(scope="module")
def bare_schema(tree_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    return Scene(tree_server, tmp_path_factory.mktemp("bare")).bare_schema()


def killed_inside(scene: Scene, revision: str, what: str, place: str) -> None:
    run = scene.run()
    ready = run.next("ready")
    run.go_through(revision)
    before = scene.version()
    pause = scene.pause(holds(place))
    run.go()
    pause.wait_until_reached(ready["ready"])
    kill(run, pause, ready, what)
    if what != "runner":
        assert "OutcomeUnknownError" == run.next("error")["kind"]
    code, trouble = run.end()
    pause.let_go()
    pause.until_gone(ready["ready"])
    assert (EXIT_CODES[what], "") == (code, trouble)
    assert before == scene.version()
    assert revision not in {name for name, state in scene.rows() if state == "applied"}


@pytest.mark.sweep
@pytest.mark.parametrize(("what", "place", "revisions"), SEQUENCES if IS_FULL else SAMPLE)
def test_next_run_finishes_what_was_killed(scene, bare_schema, what, place, revisions):
    """Killed again and again, a revision further each time."""
    scene.make_ledger()
    for revision in revisions:
        killed_inside(scene, revision, what, place)

    assert len(REVISIONS) >= scene.run().finish()
    assert [] == scene.wrong()
    assert [("0011",)] == scene.version()
    assert [] == differences(bare_schema, dump(scene.url))


@pytest.mark.sweep
@pytest.mark.parametrize("what", KILLED if IS_FULL else ["runner"])
def test_index_build_that_was_killed_is_found_and_named(scene, bare_schema, what):
    """Inside its autocommit block: the ledger says that it has begun, and the broken index is named with its drop."""
    run = scene.run()
    ready = run.next("ready")
    run.go_through(ALONE)
    pause = scene.pause(WRITES)
    run.go()
    pause.wait_until_reached(ready["ready"])
    kill(run, pause, ready, what)
    if what != "runner":
        assert "OutcomeUnknownError" == run.next("error")["kind"]
    run.end()
    pause.until_gone(ready["ready"])  # while it waits still: the server looks after its client
    pause.let_go()

    assert [("0009",)] == scene.version()
    assert (ALONE, "begun") == scene.rows()[-1]
    with psycopg.connect(scene.url, autocommit=True) as connection:
        broken = invalid_indexes(connection)
        assert [("public.messages", "public.messages_session_id_id")] == [(one.table, one.name) for one in broken]
        connection.execute(broken[0].drop.encode())
    assert 2 == scene.run().finish()
    assert ([], []) == (scene.wrong(), differences(bare_schema, dump(scene.url)))


@pytest.mark.rare
@pytest.mark.sweep
@pytest.mark.parametrize("what", KILLED if IS_FULL else ["worker"])
def test_killed_after_its_block_is_run_again(scene, bare_schema, what):
    """The index stands, the version does not: the ledger alone knows that it had begun."""
    run = scene.run()
    ready = run.next("ready")
    run.go_through(ALONE)
    writer = scene.pause(WRITES)
    run.go()
    writer.wait_until_reached(ready["ready"])
    pause = scene.pause(holds(LEDGER))
    writer.close()
    until(lambda: pause.stands_before(LEDGER), "the build is over")
    kill(run, pause, ready, what)
    if what != "runner":
        assert "OutcomeUnknownError" == run.next("error")["kind"]
    run.end()
    pause.let_go()
    pause.until_gone(ready["ready"])

    assert ([("0009",)], (ALONE, "begun")) == (scene.version(), scene.rows()[-1])
    assert 2 == scene.run().finish()
    assert ([], []) == (scene.wrong(), differences(bare_schema, dump(scene.url)))


@pytest.mark.rare
@pytest.mark.sweep
def test_killed_between_revisions_goes_on_from_there(scene, bare_schema):
    for revision in ("0001", "0006", ALONE, "0011") if IS_FULL else ("0006", ALONE):
        run = scene.run()
        run.next("ready")
        run.go_through(revision)
        run.process.kill()
        run.end()
    assert scene.run().finish() in {1, 2}
    assert ([], []) == (scene.wrong(), differences(bare_schema, dump(scene.url)))


@pytest.mark.skipif(not IS_FULL, reason="at any moment, sixty times: with the sweep")
@pytest.mark.sweep
def test_killed_at_any_moment_never_leaves_half(tree_server, tmp_path, bare_schema):
    """Nothing is held in its way: what is killed may be waiting, working, or just being committed."""
    chance = random.Random(1)
    for number in range(20):
        scene = Scene(tree_server, tmp_path / str(number))
        for _ in range(3):
            run = scene.run(waits=False)
            ready = run.next("ready")
            time.sleep(chance.uniform(0, 0.25))
            with suppress(ProcessLookupError):  # it was done by then
                os.kill(chance.choice([ready["worker"], run.process.pid]), signal.SIGKILL)
            run.end()
            scene.until_nobody_is_left()
            assert [] == [one for one in scene.wrong() if not one.endswith(": begun")]
            scene.drop_broken_indexes()
        scene.run().finish()
        assert ([], []) == (scene.wrong(), differences(bare_schema, dump(scene.url)))
