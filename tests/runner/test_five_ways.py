"""The same notebook run five ways: the same calls reach the vendors, and each bundle says what was seen."""

from __future__ import annotations

import subprocess
import sys
import time

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from notebooks import NOTEBOOK, execute, texts, verdicts

pytestmark = pytest.mark.xdist_group("runner-ways")
SEAL_SECONDS = 30


@pytest.fixture(scope="module")
def reference(new_world):
    """Every mutating call of the acts driven without any notebook."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        assert "done" == world.provision().word
        return sorted(world.mutating())


def the_verdict(world):
    """Of the one sealed bundle; whoever runs the notebook, its runner may seal after the command has ended."""
    deadline = time.monotonic() + SEAL_SECONDS
    while (not verdicts(world.evidence) or left_running(world)) and time.monotonic() < deadline:
        time.sleep(0.05)
    (verdict,) = verdicts(world.evidence)
    assert [] == left_running(world)
    return verdict["word"], verdict["cells"]


def left_running(world):
    return list((world.evidence / ".running").iterdir())


def command(world, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=world.folder, env=world.environment(), capture_output=True, check=False
    )


def apply_copy(world):
    """Not every program can hand parameters over."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = parameters.source.replace('mode = "plan"', 'mode = "apply"')
    nbformat.write(notebook, world.folder / "apply.ipynb")
    return world.folder / "apply.ipynb"


def test_our_command_line(world, reference):
    ended = world.cli("run", "RB-010", "--apply")

    assert (0, "") == (ended.returncode, ended.stdout if ended.returncode else "")
    assert ended.stdout.splitlines()[1].startswith(
        "DONE: 19 changes made with 15 API calls and 1 write to the database, and"
    )
    assert ("done", "all-run") == the_verdict(world)
    assert reference == sorted(world.mutating())


@pytest.mark.rare
def test_papermill_with_our_engine(world, reference):
    ended = command(
        world, "papermill", "--engine", "pantheon-runbook", str(NOTEBOOK), "out.ipynb", "-p", "mode", "apply"
    )

    assert 0 == ended.returncode
    assert ("done", "all-run") == the_verdict(world)
    assert reference == sorted(world.mutating())
    assert "VERIFIED" in texts(world.folder / "out.ipynb")


@pytest.mark.rare
def test_bare_papermill(world, reference):
    ended = command(world, "papermill", str(NOTEBOOK), "out.ipynb", "-p", "mode", "apply")

    assert 0 == ended.returncode
    assert ("done", "not-observed") == the_verdict(world)
    assert reference == sorted(world.mutating())


@pytest.mark.rare
def test_nbconvert(world, reference):
    ended = command(
        world, "nbconvert", "--execute", "--to", "notebook", "--output", "out.ipynb", str(apply_copy(world))
    )

    assert 0 == ended.returncode
    assert ("done", "not-observed") == the_verdict(world)
    assert reference == sorted(world.mutating())


@pytest.fixture
def kernel(world):
    """A kernel as JupyterLab has one, in its notebook's folder; `ask` runs code in it and gives all that it printed."""
    (world.folder / ".pantheon").mkdir()
    (world.folder / "runbooks").mkdir()
    manager = KernelManager()
    manager.start_kernel(cwd=str(world.folder / "runbooks"))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def ask(code):
        shown = []

        def keep(message):
            content = message["content"]
            shown.append(content.get("data", {}).get("text/plain", "") or "\n".join(content.get("traceback", [])))

        client.execute_interactive(code, output_hook=keep, timeout=60)
        return "\n".join(shown)

    ask.manager = manager
    yield ask
    client.stop_channels()
    manager.shutdown_kernel(now=True)


OPEN = 'from pantheon_runbook.runner import Run\nrun = Run.open("RB-010", mode="{}")\nrun'


def test_cells_in_wrong_order(world, reference, kernel):
    """Each act too early is refused and none is done twice."""
    kernel(OPEN.format("apply"))
    order = ["apply", "plan", "observe", "approve", "observe", "plan", "verify"]
    order += ["apply", "approve", "approve", "apply", "apply", "verify"]
    shown = [(act, kernel(f"run.{act}()")) for act in order]
    kernel.manager.shutdown_kernel(now=True)

    refused = [act for act, text in shown if "came out of order" in text]
    repeated = [act for act, text in shown if "(already done)" in text]
    assert ["apply", "plan", "approve", "verify", "apply"] == refused
    assert ["observe", "approve", "apply"] == repeated
    assert ("done", "not-observed") == the_verdict(world)
    assert reference == sorted(world.mutating())


@pytest.mark.rare
def test_kernel_killed_during_apply_leaves_a_finished_act(world, kernel):
    """End of file is the whole protocol: the runner finishes what is in hand, then seals."""
    kernel(OPEN.format("apply"))
    for act in ("observe", "plan", "approve"):
        kernel(f"run.{act}()")
    world.running.faults([{"kind": "latency", "service": "railway", "operation": "*", "seconds": 0.5}])
    client = kernel.manager.client()
    client.start_channels()
    client.execute("run.apply()")
    while not world.mutating():
        time.sleep(0.01)
    kernel.manager.shutdown_kernel(now=True)
    client.stop_channels()

    assert ("incomplete", "not-observed") == the_verdict(world)
    assert "nothing-to-do" == execute(NOTEBOOK).verdict.word


@pytest.mark.rare
def test_run_again_from_the_top_without_a_restart(world, kernel):
    """The run before is sealed first; otherwise it would hold the lock until the kernel ends."""
    for _ in range(2):
        kernel(OPEN.format("apply"))
        shown = [kernel(f"run.{act}()") for act in ("observe", "plan", "approve", "apply", "verify")]
        assert "VERIFIED" in shown[-1]
    kernel.manager.shutdown_kernel(now=True)

    while left_running(world):
        time.sleep(0.05)
    assert ["done", "nothing-to-do"] == [verdict["word"] for verdict in verdicts(world.evidence)]
