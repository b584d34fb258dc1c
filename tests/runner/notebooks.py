"""Copies of RB-010 to break, and our engine called as papermill calls it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill

from pantheon_runbook.runbooks import FOLDER
from pantheon_runbook.runner.engine import Outcome, RunbookEngine, RunEnded

IS_FULL_SWEEP = os.environ.get("PANTHEON_SWEEP") == "full"
NOTEBOOK = FOLDER / "RB-010-provision-staging.ipynb"


class Copy:
    """The notebook at another path, to be changed cell by cell; an act is named by its method of `Run`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "elsewhere.ipynb"
        self.path.write_bytes(NOTEBOOK.read_bytes())

    def before(self, act: str, source: str, **metadata: Any) -> Copy:
        """One more code cell before the one of this act."""
        cell = nbformat.v4.new_code_cell(source, metadata=metadata)
        return self._edited(lambda cells: cells.insert(_index(cells, act), cell))

    def after(self, act: str, source: str) -> Copy:
        """One more code cell after the one of this act."""
        cell = nbformat.v4.new_code_cell(source)
        return self._edited(lambda cells: cells.insert(_index(cells, act) + 1, cell))

    def without(self, act: str) -> Copy:
        return self._edited(lambda cells: cells.pop(_index(cells, act)))

    def moved(self, act: str, *, before: str) -> Copy:
        def move(cells: list[Any]) -> None:
            cell = cells.pop(_index(cells, act))
            cells.insert(_index(cells, before), cell)

        return self._edited(move)

    def _edited(self, edit: Callable[[list[Any]], Any]) -> Copy:
        notebook = nbformat.read(self.path, as_version=4)
        edit(notebook.cells)
        nbformat.write(notebook, self.path)
        return self


def _index(cells: list[Any], act: str) -> int:
    wanted = "Run.open" if act == "open" else f"run.{act}()"
    return next(i for i, cell in enumerate(cells) if cell.cell_type == "code" and wanted in cell.source)


def execute(path: Path, *, output: Path | None = None, given: dict[str, Any] | None = None, **limits: float) -> Outcome:
    """The notebook through papermill and our engine, in this process. Raises what opened no run."""
    returned = False
    with suppress(RunEnded):
        papermill.execute_notebook(
            str(path),
            str(output) if output else None,
            parameters=given,
            engine_name="pantheon-runbook",
            kernel_name="python3",
            progress_bar=False,
            **limits,
        )
        returned = True
    assert isinstance(RunbookEngine.last, Outcome)
    assert returned == (RunbookEngine.last.verdict.exit_code == 0)
    return RunbookEngine.last


def verdicts(evidence: Path) -> list[dict[str, Any]]:
    """verdict.json of every sealed bundle, oldest first."""
    return [json.loads(path.read_bytes()) for path in sorted(evidence.glob("2*/verdict.json"))]


def texts(notebook: Path) -> str:
    """Every output of an executed notebook, as it is on the disk."""
    cells = nbformat.read(notebook, as_version=4).cells
    return json.dumps([cell.outputs for cell in cells if cell.cell_type == "code"])
