"""What the runner knows stays in the runner: environment, memory, outputs, files."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from notebooks import NOTEBOOK, Copy, execute, texts

from pantheon_runbook.evidence import files
from pantheon_runbook.runner import cells

pytestmark = [pytest.mark.xdist_group("runner-quiet"), pytest.mark.usefixtures("quiet_world"), pytest.mark.alike]
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel through /proc and prctl")
PLANTED = "x1y2z3" * 4
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 3, 4, 24


@pytest.fixture
def tokens_around(quiet_world, monkeypatch):
    """Vendor tokens in the environment of whoever runs the notebook, with a config, so that they are no error."""
    monkeypatch.setenv("PANTHEON_CONFIG", str(quiet_world.customer / "pantheon.toml"))
    for name in ("VERCEL_TOKEN", "MY_OWN_SECRET"):
        monkeypatch.setenv(name, PLANTED)


def printed(outcome, cell):
    return "".join(output.text for output in code_cell(outcome, cell).outputs)


def code_cell(outcome, source):
    executed = nbformat.read(outcome.folder / "runbook.ipynb", as_version=4)
    return next(one for one in executed.cells if one.cell_type == "code" and source in one.source)


@pytest.mark.usefixtures("tokens_around")
def test_kernel_gets_an_allow_list_of_variables(tmp_path):
    """Asked of the kernel process itself, through /proc where there is one."""
    source = (
        "import os, pathlib; proc = pathlib.Path('/proc/self/environ')\n"
        "print(proc.read_text() if proc.exists() else dict(os.environ)); print(sorted(os.environ))"
    )

    outcome = execute(Copy(tmp_path).before("observe", source).path)

    assert "planned" == outcome.verdict.word
    *_, names = printed(outcome, "proc").splitlines()
    made_by_jupyter = {"JPY_PARENT_PID", "JPY_SESSION_NAME"}
    made_by_ipython = {"CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "PAGER", "GIT_PAGER", "TERM", "MPLBACKEND"}
    made_by_ipython |= {"PYDEVD_USE_FRAME_EVAL", "LC_CTYPE"}
    ours = {"PANTHEON_RUN_SOCKET", "PYTHONDONTWRITEBYTECODE", *cells._PASSED_ON}
    assert set() == set(eval(names)) - made_by_jupyter - made_by_ipython - ours  # noqa: S307  our own repr
    assert PLANTED not in printed(outcome, "proc")


@pytest.mark.usefixtures("tokens_around")
def test_our_kernel_is_never_said_to_have_tokens(monkeypatch):
    """Also when the command line itself was started from a notebook that has them."""
    monkeypatch.setenv("JPY_PARENT_PID", "1")

    assert "was started with" not in texts(execute(NOTEBOOK).folder / "runbook.ipynb")


@pytest.mark.rare
@pytest.mark.usefixtures("tokens_around")
def test_kernel_of_others_with_tokens_is_told_so(tmp_path):
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--output", "out.ipynb"]
    subprocess.run([*command, "--output-dir", str(tmp_path), str(NOTEBOOK)], check=True, capture_output=True)

    shown = texts(tmp_path / "out.ipynb")
    assert "! this kernel was started with VERCEL_TOKEN in its environment: any cell can read them" in shown
    assert PLANTED not in shown


def test_what_a_child_writes_is_masked_and_not_passed_on(quiet_world, tmp_path, capfd):
    """Outputs of a child go around every hook of nbclient, into the cell and into the runner's own stdout."""
    token = _a_token(quiet_world)
    source = (
        f"import os, subprocess, time; _ = subprocess.run(['sh', '-c', 'echo {token}; echo {token} >&2'])\n"
        f"_ = os.write(1, b'{token}'); time.sleep(0.5)"
    )

    outcome = execute(Copy(tmp_path).before("approve", source).path, output=tmp_path / "out.ipynb")

    assert 3 == printed(outcome, "subprocess").count("[secret]")
    everything = [path for path in (*outcome.folder.iterdir(), tmp_path / "out.ipynb") if path.is_file()]
    assert [] == [path.name for path in everything if token in path.read_text()]
    out, errors = capfd.readouterr()
    assert token not in out + errors


def test_executed_notebook_of_a_failed_run_is_masked_too(quiet_world, tmp_path):
    token = _a_token(quiet_world)
    copy = Copy(tmp_path).before("approve", f"raise ValueError('{token}')")

    outcome = execute(copy.path, output=tmp_path / "out.ipynb")

    assert "incomplete" == outcome.verdict.word
    for path in (outcome.folder / "runbook.ipynb", outcome.folder / "journal.jsonl", tmp_path / "out.ipynb"):
        assert token not in path.read_text()
    assert "ValueError: [secret]" in texts(tmp_path / "out.ipynb")


def _a_token(world):
    """A credential that the run knows."""
    lines = (world.customer / "credentials.toml").read_text().splitlines()
    return next(line.partition('"')[2].rstrip('"') for line in lines if line.startswith("VERCEL_TOKEN"))


def test_nothing_is_saved_while_cells_run(tmp_path):
    """Papermill saves after every cell, by truncating: a kill in between leaves half a notebook, unmasked."""
    out = tmp_path / "out.ipynb"
    source = f"import pathlib; print(pathlib.Path({str(out)!r}).exists())"

    outcome = execute(Copy(tmp_path).before("evidence", source).path, output=out)

    assert "False\n" == printed(outcome, "pathlib")
    assert out.exists()


@linux
def test_executed_notebook_is_on_the_disk_before_it_has_its_name(monkeypatch):
    """A reader, and a power cut, find the whole notebook or none."""
    done = []

    def sync(descriptor):
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def replace(path, target):
        done.append(str(target))
        return path.rename(target)

    monkeypatch.setattr(files.os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)

    execute(NOTEBOOK)

    names = [Path(path).name for path in done]
    named = names.index("runbook.ipynb")
    assert ".runbook.ipynb.new" == names[named - 1]


def test_socket_is_in_a_private_folder_that_is_removed(tmp_path):
    source = (
        "import os; folder = os.path.dirname(os.environ['PANTHEON_RUN_SOCKET'])\n"
        "print(oct(os.stat(folder).st_mode & 0o777), folder)"
    )

    mode, folder = printed(execute(Copy(tmp_path).before("observe", source).path), "dirname").split()

    assert "0o700" == mode
    assert not Path(folder).exists()


def without_capabilities():
    """In a child: root without its capabilities is held to what anybody else is."""
    libc = ctypes.CDLL(None)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


READ_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
try:
    print(len(open(f"/proc/{child.pid}/environ").read()) > 0)
except PermissionError:
    print("denied")
child.kill()
child.wait()
"""


def what_a_neighbour_reads(*arguments):
    """Of the environment of `python ARGUMENTS`, once it has printed a line: "True" or "denied"."""
    command = [sys.executable, "-c", READ_CHILD, sys.executable, *arguments]
    ended = subprocess.run(command, preexec_fn=without_capabilities, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


WAIT = "print('ready', flush=True); import time; time.sleep(60)"


@linux
def test_neighbour_cannot_read_a_process_that_forbids_dumps():
    own = "from pantheon_runbook.runner.processes import forbid_dumps; forbid_dumps(); "

    assert "True" == what_a_neighbour_reads("-c", WAIT)
    assert "denied" == what_a_neighbour_reads("-c", own + WAIT)


@linux
def test_neighbour_cannot_read_a_runner_of_its_own():
    """Its `main`, with a listener that says when it has come so far."""
    source = """
import sys
from pantheon_runbook.runner import __main__ as runner
from pantheon_runbook.runner.serve import Host
def serve(self, listener):
    listener.close()
    print("ready", flush=True)
    import time; time.sleep(60)
Host.serve = serve
sys.argv = ["runner", sys.argv[1]]
runner.main()
"""
    with tempfile.TemporaryDirectory(prefix="pr-t-") as folder:
        assert "denied" == what_a_neighbour_reads("-c", source, f"{folder}/s")


@linux
def test_engine_forbids_dumps_before_a_cell_runs():
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    assert 1 == libc.prctl(PR_GET_DUMPABLE)

    execute(NOTEBOOK)

    assert 0 == libc.prctl(PR_GET_DUMPABLE)


def test_help_imports_nothing_heavy():
    source = """
import sys
from pantheon_runbook.cli import main
try:
    main(["run", "--help"])
except SystemExit:
    print(sorted({name.partition(".")[0] for name in sys.modules} & set(HEAVY)))
"""
    heavy = ("papermill", "httpx", "nbformat", "nbclient", "nbconvert", "pydantic", "psycopg", "alembic", "zmq")
    command = [sys.executable, "-c", source.replace("HEAVY", repr(heavy))]

    assert "[]" == subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
