"""Every way in which papermill calls a broken run a success, and what our engine calls it.

All of them break after the plan, when the acts of a plan run are complete: only the cells can tell.
"""

from __future__ import annotations

import nbformat
import pytest
from notebooks import Copy, execute

from pantheon_runbook.errors import ParameterError, RunbookError
from pantheon_runbook.runner.engine import RunbookEngine

pytestmark = [pytest.mark.xdist_group("runner-quiet"), pytest.mark.usefixtures("quiet_world"), pytest.mark.alike]
KILLED = "import os, signal; os.kill(os.getpid(), signal.{})"
BROKEN = {
    "killed kernel": (KILLED.format("SIGKILL"), "the kernel died in cell 8"),
    "interrupt": (KILLED.format("SIGINT"), "KeyboardInterrupt was raised in cell 8"),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit was raised in cell 8"),
    "quit": ("quit()", "the kernel was asked to exit in cell 8"),
    "exit": ("exit()", "the kernel was asked to exit in cell 8"),
    "error": ("1 / 0", "ZeroDivisionError was raised in cell 8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_cell_makes_a_planned_run_incomplete(tmp_path, name):
    source, why = BROKEN[name]

    verdict = execute(Copy(tmp_path).before("approve", source).path).verdict

    assert ("incomplete", 5, why, "not-all-run") == (verdict.word, verdict.exit_code, verdict.why, verdict.cells)


@pytest.mark.parametrize(
    ("tag", "source", "why"),
    [
        ("raises-exception", "1 / 0", "ZeroDivisionError was raised in cell 8"),
        ("skip-execution", "1 + 1", "nothing was executed in cell 8"),
    ],
)
def test_tags_that_excuse_a_cell_do_not_excuse_it_here(tmp_path, tag, source, why):
    verdict = execute(Copy(tmp_path).before("approve", source, tags=[tag]).path).verdict

    assert ("incomplete", why) == (verdict.word, verdict.why)


def test_cell_has_a_time_limit(tmp_path):
    path = Copy(tmp_path).before("approve", "import time; time.sleep(20)").path

    verdict = execute(path, cell_seconds=2).verdict

    assert ("incomplete", "the time limit of 2 s was reached in cell 8") == (verdict.word, verdict.why)


@pytest.mark.rare
def test_run_has_a_time_limit(tmp_path):
    path = Copy(tmp_path).before("approve", "import time; time.sleep(20)").path

    verdict = execute(path, run_seconds=3).verdict

    assert ("incomplete", "the run's time limit of 3 s was reached") == (verdict.word, verdict.why)


@pytest.mark.rare
@pytest.mark.parametrize(
    ("act", "lost"), [("evidence", "run.evidence()"), ("verify", "run.verify()"), ("approve", "run.approve()")]
)
def test_deleted_cell_makes_a_run_incomplete(tmp_path, act, lost):
    verdict = execute(Copy(tmp_path).without(act).path).verdict

    assert "incomplete" == verdict.word
    assert "not-all-run" == verdict.cells
    # Without its approve cell the notebook stops before its end, at the act that comes too early.
    expected = "RunStoppedError" if act == "approve" else f"lacks a cell, or has it changed or out of place: {lost}"
    assert expected in verdict.why


def test_acts_out_of_order_make_a_run_incomplete(tmp_path):
    verdict = execute(Copy(tmp_path).moved("plan", before="observe").path).verdict

    assert ("incomplete", "not-all-run") == (verdict.word, verdict.cells)
    assert verdict.why.startswith("the act observe never happened: RunStoppedError was raised in cell")


def test_copy_with_more_cells_is_still_the_runbook(tmp_path):
    assert "planned" == execute(Copy(tmp_path).before("plan", "1 + 1").path).verdict.word


def test_cells_after_the_broken_one_are_not_called_completed(tmp_path):
    """Papermill marks every cell after a killed kernel as completed when it saves."""
    outcome = execute(Copy(tmp_path).before("approve", KILLED.format("SIGKILL")).path, output=tmp_path / "out.ipynb")

    for place in (outcome.folder / "runbook.ipynb", tmp_path / "out.ipynb"):
        cells = nbformat.read(place, as_version=4).cells
        code = [cell.metadata.papermill.status for cell in cells if cell.cell_type == "code"]
        assert ["completed"] * 4 + ["failed"] + ["pending"] * 4 == code


def test_cell_that_opens_another_run_is_refused(quiet_world, tmp_path):
    """Asked for a plan run, a cell that slipped in would have written."""
    source = (
        "from pantheon_runbook.runner import Run; original = Run.open\n"
        "Run.open = staticmethod(lambda runbook, **given: original(runbook, **{**given, 'mode': 'apply'}))"
    )
    before = quiet_world.mutating()

    with pytest.raises(ParameterError, match="the notebook opened a run with mode 'apply'"):
        execute(Copy(tmp_path).before("open", source).path, given={"mode": "plan"})

    assert before == quiet_world.mutating()


def test_journal_rewritten_by_a_cell_is_noticed(quiet_world, tmp_path):
    """Plan and journal made anew, and chained anew: what the runner itself wrote goes on from another line."""
    source = """
import hashlib, json, pathlib
folder = next(pathlib.Path("evidence/.running").glob("2*/journal.jsonl")).parent
plan = json.loads((folder / "plan.json").read_bytes()) | {"changes": []}
raw = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
(folder / "plan.json").write_bytes(raw)
previous, lines = "0" * 64, []
for line in (folder / "journal.jsonl").read_text().splitlines():
    event = json.loads(line) | {"previous": previous}
    if event["event"] == "act-ends" and event["act"] == "plan":
        event |= {"changes": 0, "digest": hashlib.sha256(raw).hexdigest()}
    lines.append(json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    previous = hashlib.sha256(lines[-1].encode()).hexdigest()
(folder / "journal.jsonl").write_text("".join(line + chr(10) for line in lines))
"""
    outcome = execute(Copy(tmp_path).after("evidence", source).path)

    assert "incomplete" == outcome.verdict.word
    assert "journal.jsonl" in outcome.verdict.why


REFUSED = {
    "unknown name": ({"colour": "blue"}, 'RB-010 has no parameter "colour"'),
    "wrong type": ({"restore_paused": "yes"}, 'the parameter "restore_paused" is a str'),
    "token under a declared name": ({"plan_file": "sbp_" + "ab" * 20}, 'the parameter "plan_file" looks like a token'),
    "token under another name": ({"key": "sbp_" + "ab" * 20}, 'RB-010 has no parameter "key"'),
    "wrong mode": ({"mode": "aply"}, 'mode is "aply"'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_parameter_is_refused_before_anything_is_written(quiet_world, tmp_path, monkeypatch, name):
    """Papermill warns at most, and stores what it was given in clear, twice."""
    given, what = REFUSED[name]
    before = sorted(quiet_world.folder.rglob("*"))
    monkeypatch.setattr("pantheon_runbook.runner.engine.Cells", None)  # a kernel would be a TypeError

    with pytest.raises(ParameterError) as refused:
        execute(Copy(tmp_path).path, output=tmp_path / "out.ipynb", given=given)

    assert what in refused.value.what
    assert 2 == refused.value.exit_code
    assert refused.value is RunbookEngine.last
    assert not (tmp_path / "out.ipynb").exists()
    assert before == sorted(quiet_world.folder.rglob("*"))
    assert "sbp_" not in str(refused.value)


def test_notebook_without_an_id_is_refused(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Something else")])
    nbformat.write(notebook, tmp_path / "other.ipynb")

    with pytest.raises(ParameterError, match="this notebook is not a runbook"):
        execute(tmp_path / "other.ipynb")


def test_notebook_that_opens_no_run_is_an_error(tmp_path):
    with pytest.raises(RunbookError, match="the notebook opened no run") as stopped:
        execute(Copy(tmp_path).without("open").path)

    assert "NameError was raised in cell" in stopped.value.why
