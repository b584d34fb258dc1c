"""Papermill's engine `pantheon-runbook`: papermill's way in, our own kernel, clock, redaction and verdict.

Papermill saves a killed kernel's cells as completed, takes `quit()` for success and hands the whole environment on
(measured, DESIGN 3); so the kernel is started here with an allow-listed environment, every output is redacted before
papermill can save it, and the verdict comes from the journal and from the cells that were really seen to end.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from papermill.engines import Engine

from pantheon_runbook.config import Policy
from pantheon_runbook.errors import ParameterError, RunbookError
from pantheon_runbook.runbooks import checked_parameters, find
from pantheon_runbook.runner.run import SOCKET_VARIABLE
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.runner.wiring import open_run
from pantheon_runbook.verdict import NotebookStatus, Verdict

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
_SERVE_SECONDS = 3600.0


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
        """Refuse undeclared parameters before papermill writes or starts anything."""
        cls.last = None
        try:
            _check_parameters(nb)
        except RunbookError as error:
            cls.last = error
            raise
        # Papermill saves after every cell by default, by truncating the file first: here only at the end.
        kwargs.update(autosave_cell_every=0, request_save_on_cell_execute=False, progress_bar=False, log_output=False)
        return super().execute_notebook(nb, kernel_name, output_path=output_path, **kwargs)

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        """Run the cells in a kernel of ours while a thread serves the acts; then judge, seal and report."""
        host = Host(lambda runbook, parameters: open_run(runbook, parameters, progress=cls.progress))
        policy = Policy(**{name: kwargs[name] for name in ("cell_seconds", "run_seconds") if kwargs.get(name)})
        with _private_folder() as folder, _serving(host, folder / "s"), _stop_on_signals(host):
            status = _Cells(nb_man, host, folder, policy).run(kernel_name)
        _redact(nb_man.nb, host)
        sealed = host.finish(status, notebook_json=str(nbformat.writes(nb_man.nb)))  # type: ignore[no-untyped-call]
        if sealed is None:
            cls.last = host.usage_error or _nothing_opened()
            raise cls.last
        cls.last = Outcome(*sealed)
        if cls.last.verdict.exit_code:
            raise RunEnded(cls.last)


def _nothing_opened() -> RunbookError:
    return RunbookError(
        "the notebook opened no run",
        why="its open cell did not run, or it is not one of ours",
        next_step="pantheon-runbook list",
    )


def _check_parameters(nb: Any) -> None:
    """Papermill only warns of unknown parameters; it has put them into the notebook's metadata by now."""
    given = dict(nb.metadata.get("papermill", {}).get("parameters", {}))
    title = next((cell.source for cell in nb.cells if cell.cell_type == "markdown"), "")
    runbook_id = title.lstrip("# ").split(" ", 1)[0]
    if not runbook_id.startswith("RB-"):
        raise ParameterError(
            "this notebook is not a runbook",
            why="its first heading does not begin with an id such as RB-010",
            next_step="pantheon-runbook list",
        )
    checked_parameters(find(runbook_id), given)


class _Cells:
    """The cells of one notebook in one kernel; what was seen to end is what counts."""

    def __init__(self, nb_man: Any, host: Host, folder: Path, policy: Policy) -> None:
        self._nb_man = nb_man
        self._host = host
        self._folder = folder
        self._policy = policy
        self._timed_out = threading.Event()

    def run(self, kernel_name: str) -> NotebookStatus:
        """Every code cell in order until one fails; always ends the kernel and everything it started."""
        manager = AsyncKernelManager(kernel_name=kernel_name, transport="ipc", ip=str(self._folder / "k"))
        client = NotebookClient(
            self._nb_man.nb,
            km=manager,
            timeout=self._policy.cell_seconds,
            shutdown_kernel="immediate",
            coalesce_streams=True,
            resources={"metadata": {"path": str(Path.cwd())}},
        )
        client.owns_km = True  # nbclient never ends a kernel whose manager it was given
        log = (self._folder / "kernel.log").open("wb")
        started = {"env": self._environment(), "stdout": log, "stderr": log, "start_new_session": True}
        try:
            with log, client.setup_kernel(**started), self._limited(manager):
                return self._all_cells(client)
        except DeadKernelError:
            return NotebookStatus("not-all-run", "the kernel died")
        except RuntimeError as error:
            return NotebookStatus("not-all-run", f"the kernel did not start: {self._host.redact(str(error))}")
        finally:
            _end_group(manager)

    def _all_cells(self, client: Any) -> NotebookStatus:
        for index, cell in enumerate(self._nb_man.nb.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            self._nb_man.cell_start(cell, index)
            try:
                client.execute_cell(cell, index)
            except DeadKernelError:
                reason = "the run's time limit" if self._timed_out.is_set() else "the kernel died"
                self._nb_man.cell_exception(cell, cell_index=index)
                return NotebookStatus("not-all-run", f"{reason} in cell {index}")
            except CellControlSignal as error:
                self._nb_man.cell_exception(cell, cell_index=index, exception=error)
                return NotebookStatus("not-all-run", f"{type(error).__name__} in cell {index}")
            if cell.execution_count is None or not self._reply_was_seen(cell):
                return NotebookStatus("not-all-run", f"cell {index} did not end")
            _redact(cell, self._host)
            self._nb_man.cell_complete(cell, cell_index=index)
        return NotebookStatus("all-run")

    @staticmethod
    def _reply_was_seen(cell: Any) -> bool:
        """`quit()` and `sys.exit()` end the kernel politely: the cell's reply never comes as ok."""
        return "shell.execute_reply" in cell.metadata.get("execution", {})

    def _environment(self) -> dict[str, str]:
        """An allow-list: no token, no vendor's variable, whatever the caller's environment holds."""
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {**passed, SOCKET_VARIABLE: str(self._folder / "s"), "PYTHONDONTWRITEBYTECODE": "1"}

    @contextmanager
    def _limited(self, manager: Any) -> Iterator[None]:
        """The whole run's time limit: at its end the kernel's process group is killed."""

        def expire() -> None:
            self._timed_out.set()
            _end_group(manager)

        timer = threading.Timer(self._policy.run_seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _end_group(manager: Any) -> None:
    """Kernel and children alike: they share the process group that was made for them."""
    process = getattr(manager.provisioner, "process", None) if manager.provisioner else None
    pid = getattr(manager.provisioner, "pid", None) if process is None else process.pid
    if pid:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


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

    def serve() -> None:
        try:
            host.serve(listener)
        except OSError:
            return  # nobody ever connected, and the listener was closed

    thread = threading.Thread(target=serve, name="runner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR) if hasattr(listener, "shutdown") else None
        listener.close()
        thread.join(_SERVE_SECONDS)


@contextmanager
def _stop_on_signals(host: Host) -> Iterator[None]:
    """SIGTERM and Ctrl-C: no further change begins, what is in hand is finished, the run is sealed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        if host.run is not None:
            host.run.session.stop.set()
        raise KeyboardInterrupt

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _redact(node: Any, host: Host) -> None:
    """Every text in a notebook or a cell, in place: what a child wrote to the terminal is in the outputs too."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str):
                node[key] = host.redact(value)
            else:
                _redact(value, host)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            if isinstance(value, str):
                node[index] = host.redact(value)
            else:
                _redact(value, host)
