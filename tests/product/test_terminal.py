"""What a terminal shows at the end of a run, and a report at its beginning: the state of things, and what to type."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys

import pytest

from pantheon_runbook.errors import StoppedError
from pantheon_runbook.evidence import ledger


@pytest.mark.rare
def test_plan_run_shows_the_plan_and_what_to_type(world):
    """Its last line is typed as it stands: it approves the plan that was shown, and may be typed twice."""
    shown = world.cli("run", "RB-010").stdout.splitlines()

    assert ["SANDBOX REHEARSAL  RB-010  staging  plan run", "PLANNED: 19 to change"] == shown[:2]
    assert (
        "  + supabase/project                 create  undo: delete the project in Supabase; its data is lost" in shown
    )
    label, program, *arguments = shlex.split(shown[-1])
    assert ("type", "pantheon-runbook") == (label, program)

    assert "DONE: 19 changes made" in world.cli(*arguments).stdout
    assert "NOTHING-TO-DO: everything is as desired" in world.cli(*arguments).stdout
    assert ["self-approved, pre-read", "nothing to approve"] == [ledgered(world, number)["kind"] for number in (1, 2)]


def ledgered(world, number):
    """approval.json of the bundle with this place in the ledger."""
    name = list(ledger.entries(world.evidence))[number]["bundle"]
    return json.loads((world.evidence / name / "approval.json").read_bytes())


@pytest.mark.rare
def test_blocked_plan_run_shows_what_to_do_first(world, hands):
    """Not the command that would be blocked again; and a pipeline that asks for more than "planned" is told."""
    ref = hands.new_project()

    plain, detailed = world.cli("run", "RB-010"), world.cli("run", "RB-010", "--detailed-exitcode")
    shown = plain.stdout.splitlines()

    assert (0, 4) == (plain.returncode, detailed.returncode)
    assert "BLOCKED by 1 finding" in shown[1]
    (blocking,) = [line for line in shown if line.startswith("BLOCKS ")]
    assert f"nothing says that the Supabase project {ref}" in blocking
    assert f"first     pantheon-runbook run RB-010 -e staging -p confirm={ref}" == shown[-1]


def test_rate_limit_is_told_while_it_waits_and_on_the_card(world):
    """Nobody takes it for an outage, or for a run that hangs."""
    world.running.faults([{"kind": "429", "service": "railway", "seconds": 0.1, "times": 99}])

    ended = world.cli("run", "RB-010")
    world.running.faults([])

    assert "  railway asks to wait: its rate limit is reached (1 s)\n" in ended.stderr
    assert "Stopped: the rate limit of railway is reached: " in ended.stderr
    assert re.search(r"Next:    from [0-9T:-]{19}Z on, run again\.", ended.stderr)


@pytest.mark.parametrize("arguments", [("doctor", "--json"), ("init", "--cloud", "sandbox", "--out", ".")], ids=str)
def test_rate_limit_is_told_before_there_is_a_run(world, arguments):
    """In the same words, and beside the answer, which a program may read."""
    world.running.faults([{"kind": "429", "service": "railway", "seconds": 0.1, "times": 1}])

    ended = world.cli(*arguments)
    world.running.faults([])

    assert "  railway asks to wait: its rate limit is reached (1 s)\n" in ended.stderr
    assert "asks to wait" not in ended.stdout


@pytest.mark.rare
def test_apply_run_shows_where_staging_answers_and_what_people_must_do(world):
    done = world.cli("run", "RB-010", "--apply").stdout

    assert f"Supabase  https://{world.staging_ref()}.supabase.co\n" in done
    assert "by hand:  SMTP: " in done


@pytest.mark.rare
def test_stopped_run_tells_all_four_things(world, hands):
    world.cli("run", "RB-010")
    (read,) = world.evidence.glob("2*/plan.json")
    hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL", value="https://by-hand.example", target=["preview"])

    ended = world.cli("run", "RB-010", "--apply", "--plan", str(read))

    lines = ended.stdout.splitlines()
    assert 4 == ended.returncode
    assert "REFUSED: the plan that was read is not the plan of now." == lines[1]
    assert ["Why:", "State:", "Next:"] == [line.split()[0] for line in lines[2:5]]
    assert "State:   nothing was changed." == lines[3]
    assert "Next:    pantheon-runbook run RB-010 -e staging" == lines[4]
    assert not any(line.startswith("type") for line in lines), "one thing to type is enough"


@pytest.mark.rare
def test_reader_that_goes_away_does_not_stop_the_run(world):
    """`pantheon-runbook run RB-010 --apply 2>&1 | head -1`: what is half done is worth more than who listens."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "pantheon_runbook", "run", "RB-010", "--apply"],
            cwd=world.folder,
            env=world.environment(),
            stdout=subprocess.PIPE,
            stderr=nobody,
            text=True,
            check=False,
        )

    assert 0 == done.returncode
    assert "DONE: 19 changes made" in done.stdout


@pytest.mark.rare
def test_progress_leaves_its_line_on_a_terminal(world):
    """One line that is written over, and wiped before the result."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "pantheon_runbook", "run", "RB-010", "--apply"],
        cwd=world.folder,
        env=world.environment(),
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out, _ = done.communicate(timeout=120)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)

    assert 0 == done.returncode
    assert b"\r\x1b[K  create supabase/project" in shown
    assert shown.endswith(b"\r\x1b[K")
    assert b"\n" not in shown
    assert out.startswith(b"SANDBOX REHEARSAL")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""  # Linux's way of saying that nobody writes any more


def head_of_the_report(world) -> str:
    """Of the newest bundle, up to its first section."""
    *_, entry = ledger.entries(world.evidence)
    return (world.evidence / entry["bundle"] / "report.md").read_text().partition("\n## ")[0]


@pytest.mark.rare
def test_report_begins_with_where_it_is_and_what_people_must_do(world):
    world.provision()

    head = head_of_the_report(world)
    assert f"- observed supabase_ref: {world.staging_ref()}\n" in head
    assert f"- answers: Supabase: https://{world.staging_ref()}.supabase.co\n" in head
    assert "- by hand: SMTP: " in head
    assert "- state: " not in head


@pytest.mark.rare
def test_report_of_a_stopped_run_begins_with_the_state_and_what_to_type(world, hands, monkeypatch):
    own = world.folder / "impatient.toml"
    own.write_text(f"{(world.customer / 'pantheon.toml').read_text()}\n[policy]\nwait_seconds = 30\n")
    monkeypatch.setenv("PANTHEON_CONFIG", str(own))
    world.running.faults([{"kind": "500-before", "operation": "POST /v1/projects", "times": 99}])
    with pytest.raises(StoppedError):
        world.provision()

    head = head_of_the_report(world)
    assert "PARTIAL" in head.splitlines()[0]
    assert "- state: 6 of 19 changes are done; not done: supabase/project, " in head
    assert "- next: look at the vendor's status page, then run the plan again.\n" in head
