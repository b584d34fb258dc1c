"""Papermill's engine `pantheon-runbook`: papermill's way in, our own kernel, clock, redaction and verdict.

Papermill saves a killed kernel's cells as completed, takes `quit()` for success and truncates before it writes
(measured, DESIGN 3); so it is given nothing to save while cells run, every output is redacted before it can be saved,
and the verdict comes from the journal and from the cells that were really seen to end.
"""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from papermill.engines import Engine
from papermill.iorw import write_ipynb

from pantheon_runbook.config import Policy
from pantheon_runbook.errors import ParameterError, RunbookError, StopRequestedError
from pantheon_runbook.runbooks import Runbook, checked_parameters, declared_in, find
from pantheon_runbook.runner.cells import Cells
from pantheon_runbook.runner.processes import forbid_dumps
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.runner.surroundings import world
from pantheon_runbook.runner.wiring import open_run
from pantheon_runbook.verdict import NotebookStatus, Verdict


class RunEnded(Exception):  # noqa: N818  not always an error of anybody: it carries the verdict out of papermill
    """Raised out of papermill when the verdict is not a success, so that "it returned" never means "it worked"."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{outcome.verdict.word}: {outcome.verdict.why}\nevidence: {outcome.folder}")
        self.outcome = outcome


class Outcome:
    """Where the sealed bundle is, and its verdict."""

    def __init__(self, folder: Path, verdict: Verdict) -> None:
        self.folder = folder
        self.verdict = verdict


class RunbookEngine(Engine):  # type: ignore[misc]  # papermill has no types
    """Registered as the papermill engine "pantheon-runbook"; `last` is what the latest run in this process came to."""

    last: Outcome | RunbookError | None = None
    progress: Any = staticmethod(lambda _words: None)

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **kwargs: Any) -> Any:
        """Refuse undeclared parameters and a wrong config before papermill writes or starts anything."""
        cls.last = None
        try:
            runbook, expected = _runbook_of(nb)
            given = {"runbook": runbook, "expected": expected, "policy": _policy(kwargs), "progress_bar": False}
            return super().execute_notebook(nb, kernel_name, output_path=None, **given)
        except RunEnded:
            # Papermill writes the notebook of a run that succeeded; this one is worth reading too.
            if output_path is not None:
                write_ipynb(nb, output_path)
            raise
        except RunbookError as error:
            cls.last = error
            raise

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, runbook: Runbook, expected: dict[str, Any], policy: Policy, **_: Any
    ) -> None:
        """Run the cells in a kernel of ours while a thread serves the acts; then judge, seal and report."""
        forbid_dumps()
        host = Host(lambda runbook_id, given: open_run(runbook_id, given, progress=cls.progress), expected=expected)
        status = NotebookStatus("not-all-run", "the engine met a bug of ours")
        with _private_folder() as folder:
            cells = Cells(nb_man, host, folder, policy=policy)
            with _stopped_by_signals(cells, cls.progress):
                try:
                    with _serving(host, folder / "s"):
                        status = cells.run(kernel_name, runbook)
                finally:
                    _redact(nb_man.nb, host)
                    notebook = str(nbformat.writes(nb_man.nb))  # type: ignore[no-untyped-call]
                    sealed = host.finish(status, notebook_json=notebook)
        if sealed is None:
            raise host.usage_error or _nothing_opened(status, host.stopped_by)
        cls.last = Outcome(*sealed)
        if cls.last.verdict.exit_code:
            raise RunEnded(cls.last)


def _nothing_opened(status: NotebookStatus, stopped_by: str) -> RunbookError:
    if stopped_by:
        return StopRequestedError("stopped before a run was opened", why=stopped_by, next_step="run it again")
    return RunbookError(
        "the notebook opened no run",
        why=status.reason or "it has no open cell of ours",
        next_step="pantheon-runbook list",
    )


def _runbook_of(nb: Any) -> tuple[Runbook, dict[str, Any]]:
    """The runbook, and the parameters that it is to be opened with: those of its own cell, and papermill's over them.

    Papermill only warns of unknown parameters; it has put them into the notebook's metadata by now.
    """
    given = dict(nb.metadata.get("papermill", {}).get("parameters", {}))
    title = next((cell.source for cell in nb.cells if cell.cell_type == "markdown"), "")
    runbook_id = title.lstrip("# ").split(" ", 1)[0]
    if not runbook_id.startswith("RB-"):
        raise ParameterError(
            "this notebook is not a runbook",
            why="its first heading does not begin with an id such as RB-010",
            next_step="pantheon-runbook list",
        )
    runbook = find(runbook_id)
    return runbook, checked_parameters(runbook, {**declared_in(nb.cells), **given})


def _policy(kwargs: Mapping[str, Any]) -> Policy:
    """The limits of the config; `cell_seconds`, `run_seconds` and papermill's own `execution_timeout` go before it."""
    given = {"cell_seconds": kwargs.get("execution_timeout")}
    given |= {name: kwargs[name] for name in ("cell_seconds", "run_seconds") if name in kwargs}
    return Policy(**{**world().config.policy.model_dump(), **{name: float(v) for name, v in given.items() if v}})


@contextmanager
def _private_folder() -> Iterator[Path]:
    """0700 and short: a Unix socket's path holds about 100 characters."""
    folder = Path(tempfile.mkdtemp(prefix="pr-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _serving(host: Host, path: Path) -> Iterator[None]:
    """A thread that answers the kernel; it ends when the kernel has gone and the act in hand is finished."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    thread = threading.Thread(target=host.serve, args=(listener,), name="runner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        host.hang_up()
        _wake(path)
        thread.join()


def _wake(path: Path) -> None:
    """A thread to which no cell ever connected still waits for one."""
    with socket.socket(socket.AF_UNIX) as nobody:
        try:
            nobody.connect(str(path))
        except ConnectionRefusedError:
            return  # a cell did connect, and the door was shut behind it


@contextmanager
def _stopped_by_signals(cells: Cells, progress: Any) -> Iterator[None]:
    """SIGTERM and Ctrl-C: no further change begins, what is in hand is finished, the run is sealed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        reason = f"{signal.Signals(number).name} was received"
        progress(f"{reason}: no further change begins, what was sent is finished and sealed")
        cells.stop(reason)

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _redact(node: Any, host: Host) -> None:
    """Every text in a notebook, in place: what a child wrote to the terminal is in the outputs too."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        if isinstance(node[key], str):
            node[key] = host.redact(node[key])
        else:
            _redact(node[key], host)
