"""SIGKILL at every step: the next run finishes the work, makes nothing twice, and seals what the dead one left."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from attempts import attempt, verdicts
from runners import begin, end, until
from tables import Call, calls_of, chosen, differences, rule

NO_WRITE = {"database/password"}  # "hold": it was chosen with the project


def kill_at_line(world: Any, event: str, address: str) -> None:
    code, printed, trouble = end(begin(world, ("after", event, address)))
    assert (-signal.SIGKILL, ["after", event, address], "") == (code, printed, trouble)


def kill_when_it_has_left(world: Any, call: Call) -> None:
    """The effect is there, the answer never comes, and nobody is left to look."""
    world.running.faults([rule(call, "timeout-after")])
    process = begin(world)
    until(lambda: any(record.get("fault") for record in world.running.log()))
    process.kill()
    assert -signal.SIGKILL == end(process)[0]
    world.running.faults([])


def recovered(world: Any, hands: Any, expected: dict[str, Any]) -> str:
    """What is wrong after one more run; "" when nothing is."""
    last = attempt(world)
    dead = verdicts(world.evidence)[-2]
    wrong = [] if last.word in {"done", "nothing-to-do"} else [f"the next run: {last}"]
    wrong += [] if dead["word"] == "abandoned" and dead["exit_code"] == 5 else [str(dead)]
    wrong += [f"left over: {left}" for left in (world.evidence / ".running").glob("*")]
    different = differences(hands.census(), expected)
    return " ".join([*wrong, str(different) if different else ""]).strip()


@pytest.mark.sweep
def test_killed_run_is_finished_by_the_next(world, hands, clean, monkeypatch):
    expected, log = clean
    monkeypatch.delenv("PANTHEON_CONFIG")
    rows = []
    for when, what in chosen(points(world, log), "kills", size=2):
        world.running.reset()
        if when == "request-left":
            kill_when_it_has_left(world, what)
        else:
            kill_at_line(world, when, what)
        wrong = recovered(world, hands, expected)
        rows.append(f"{when:14} {what!s:62} {f'WRONG: {wrong}' if wrong else 'recovered'}")
    print("\n".join(rows))
    assert [] == [line for line in rows if "WRONG" in line]


def points(world: Any, log: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """After the intent, after the request has left, after the result: of every change."""
    world.running.reset()
    run = world.open("plan")
    written = [change.address for change in world.plan(run).changes if change.address not in NO_WRITE]
    world.seal(run)
    lines = [(event, address) for address in written for event in ("write-intent", "write-result")]
    adopted = {"supabase/api-key/publishable", "supabase/api-key/secret"}  # a new project comes with them: no write
    return [
        *(point for point in lines if point[1] not in adopted),
        *(("request-left", call) for call in calls_of(log, mutating=True)),
    ]


@pytest.mark.sweep
@pytest.mark.parametrize("event", ["change-begins", "write-intent", "write-result", "change-ends"])
def test_password_is_recovered_after_a_crash(world, hands, event):
    """Killed once with the project made and DATABASE_URL not yet set, and again while the password is reset."""
    kill_at_line(world, "write-result", "supabase/project")
    until(lambda: "ACTIVE_HEALTHY" == hands.projects()[0]["status"])

    run = world.open("plan")
    actions = {change.address: change.action for change in world.plan(run).changes}
    world.seal(run)
    kill_at_line(world, event, "database/password")

    assert "reset" == actions["database/password"]
    assert "done" == attempt(world).word
    assert 1 == len(hands.projects())
    assert 1 == hands.census()["marker"][0]
