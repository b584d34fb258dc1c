"""The cells of one notebook in one kernel of ours; what was seen to end is what counts.

Measured: nbclient takes `quit()` for success, excuses an error in a cell tagged "raises-exception", and hands the whole
environment on. So the kernel gets an allow-listed environment and a process group of its own, every error counts, and
whatever ends the run early ends the kernel and all that it started.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, CellTimeoutError, DeadKernelError

from pantheon_runbook.config import Policy
from pantheon_runbook.runbooks import Runbook
from pantheon_runbook.runner.processes import end_group, end_marked
from pantheon_runbook.runner.run import SOCKET_VARIABLE
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.verdict import NotebookStatus

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")


class Cells:
    """Run once, by `run`. `folder` is private, 0700 and short: it holds the sockets of runner and kernel."""

    def __init__(self, nb_man: Any, host: Host, folder: Path, *, policy: Policy) -> None:
        self._nb_man = nb_man
        self._host = host
        self._socket = str(folder / "s")
        self._log = folder / "kernel.log"
        self._policy = policy
        self._manager = AsyncKernelManager(
            transport="ipc", ip=str(folder / "k"), connection_file=str(folder / "connection.json")
        )
        self._stopped_by = ""
        self._has_ended = False
        self._reply: dict[str, Any] | None = None

    def stop(self, reason: str) -> None:
        """End the run early, from a signal or a timer: no further change begins, and the kernel is killed."""
        self._stopped_by = self._stopped_by or reason
        self._host.stop(reason)
        self._end_kernel()

    def run(self, kernel_name: str, runbook: Runbook) -> NotebookStatus:
        """Every code cell in order until one fails; always ends the kernel and everything it started."""
        self._manager.kernel_name = kernel_name
        client = NotebookClient(
            self._nb_man.nb,
            km=self._manager,
            timeout=self._policy.cell_seconds,
            shutdown_kernel="immediate",
            coalesce_streams=True,
            extra_arguments=["--InteractiveShell.colors=NoColor"],  # colours would split a secret in a traceback
            force_raise_errors=True,
            on_cell_executed=self._note_reply,
            resources={"metadata": {"path": str(Path.cwd())}},
        )
        client.owns_km = True  # nbclient never ends a kernel whose manager it was given
        try:
            with self._log.open("wb") as log, self._kernel(client, log), self._limited():
                problem = self._all_cells(client) or _difference(self._nb_man.nb, runbook)
        except RuntimeError as error:  # a dead kernel too
            problem = f"the kernel did not start: {self._host.redact(str(error))}"
        finally:
            self._host.stop()
            self._end_kernel()
            self._has_ended = True
            end_marked(SOCKET_VARIABLE, self._socket)
        problem = self._stopped_by or problem
        return NotebookStatus("not-all-run", problem) if problem else NotebookStatus("all-run")

    def _kernel(self, client: Any, log: Any) -> Any:
        """Its own output channels end in a log that nobody is shown; a token would pass through them unmasked."""
        return client.setup_kernel(env=self._environment(), stdout=log, stderr=log, start_new_session=True)

    def _environment(self) -> dict[str, str]:
        """An allow-list: no token, no vendor's variable, whatever the caller's environment holds."""
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {**passed, SOCKET_VARIABLE: self._socket, "PYTHONDONTWRITEBYTECODE": "1"}

    def _all_cells(self, client: Any) -> str:
        """What went wrong, in one line; "" when every code cell was seen to end well."""
        for index, cell in enumerate(self._nb_man.nb.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            if self._stopped_by:
                return self._stopped_by
            self._nb_man.cell_start(cell, index)
            problem = self._one_cell(client, cell, index)
            if problem:
                self._nb_man.cell_exception(cell, cell_index=index)
                return f"{problem} in cell {index}"
            self._nb_man.cell_complete(cell, cell_index=index)
        return ""

    def _note_reply(self, *, execute_reply: dict[str, Any], **_: Any) -> None:
        self._reply = execute_reply["content"]

    def _one_cell(self, client: Any, cell: Any, index: int) -> str:
        self._reply = None
        try:
            client.execute_cell(cell, index)
        except DeadKernelError:
            return "the kernel died"
        except CellTimeoutError:
            return f"the time limit of {self._policy.cell_seconds:g} s was reached"
        except CellExecutionError as error:
            return f"{error.ename} was raised"
        except CellControlSignal as error:
            return type(error).__name__
        if self._reply is None:
            return "nothing was executed"
        # `quit()` is answered politely, and the kernel lives on for a moment: long enough for a short cell.
        asked = [payload["source"] for payload in self._reply.get("payload", ())]
        return "the kernel was asked to exit" if "ask_exit" in asked else ""

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """The whole run's time limit."""
        limit = self._policy.run_seconds
        timer = threading.Timer(limit, self.stop, [f"the run's time limit of {limit:g} s was reached"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_kernel(self) -> None:
        pid = getattr(self._manager.provisioner, "pid", None)
        if pid and not self._has_ended:  # later the number may be somebody else's
            end_group(pid)


def _difference(nb: Any, runbook: Runbook) -> str:
    """The first code cell of the installed runbook that this notebook does not have in its place; more are welcome."""
    installed = nbformat.read(runbook.path, as_version=4)  # type: ignore[no-untyped-call]
    ours = [cell.source for cell in installed.cells if cell.cell_type == "code" and not _is_parameters(cell)]
    here = iter([cell.source for cell in nb.cells if cell.cell_type == "code"])
    lost = next((source for source in ours if source not in here), None)
    if lost is None:
        return ""
    return f"this copy of {runbook.id} lacks a cell, or has it changed or out of place: {lost.splitlines()[-1]}"


def _is_parameters(cell: Any) -> bool:
    return "parameters" in cell.metadata.get("tags", [])
