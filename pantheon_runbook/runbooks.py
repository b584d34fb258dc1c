"""The notebooks as files: id, title, declared parameters, digest of what they do (outputs apart)."""

from __future__ import annotations

import ast
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantheon_runbook.errors import ParameterError
from pantheon_runbook.model import canonical
from pantheon_runbook.secrets import has_token_shape

_BY_OPTION = frozenset({"environment", "mode", "plan_file"})
FOLDER = Path(__file__).resolve().parent.parent / "runbooks"


@dataclass(frozen=True)
class Runbook:
    """One notebook. `parameters` are the declared ones with their defaults; `changes` says what an apply run alters."""

    id: str
    title: str
    changes: str
    path: Path
    parameters: Mapping[str, Any]
    digest: str


def all_runbooks(folder: Path = FOLDER) -> tuple[Runbook, ...]:
    """Every notebook of the folder, by id."""
    return tuple(read_runbook(path) for path in sorted(folder.glob("RB-*.ipynb")))


def find(runbook_id: str, folder: Path = FOLDER) -> Runbook:
    """The notebook with this id. Errors: ParameterError that lists the ids there are."""
    for runbook in all_runbooks(folder):
        if runbook.id == runbook_id.upper():
            return runbook
    known = ", ".join(runbook.id for runbook in all_runbooks(folder)) or "none"
    raise ParameterError(
        f'there is no runbook "{runbook_id}"', why=f"there are: {known}", next_step="pantheon-runbook list"
    )


def read_runbook(path: Path) -> Runbook:
    """Facts from the notebook's own cells: the first heading, its "Changes:" line, the cell tagged parameters."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    heading = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    first_line = heading.splitlines()[0].lstrip("# ")
    changes = next((line.partition("**Changes**")[2] for line in heading.splitlines() if "**Changes**" in line), "")
    sources = [[cell["cell_type"], "".join(cell["source"])] for cell in cells if _is_ours(cell)]
    return Runbook(
        id="-".join(path.stem.split("-")[:2]),
        title=first_line.partition("  ")[2].strip() or first_line,
        changes=changes.strip(" :|"),
        path=path,
        parameters=declared_in(cells),
        digest=hashlib.sha256(canonical(sources)).hexdigest(),
    )


def _is_ours(cell: Mapping[str, Any]) -> bool:
    return "injected-parameters" not in cell.get("metadata", {}).get("tags", [])


def declared_in(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Name and literal value of each assignment in the cell tagged "parameters". Errors: ParameterError."""
    tagged = next((cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])), None)
    if tagged is None:
        return {}
    try:
        assignments = [node for node in ast.parse("".join(tagged["source"])).body if isinstance(node, ast.Assign)]
        return {
            target.id: ast.literal_eval(node.value)
            for node in assignments
            for target in node.targets
            if isinstance(target, ast.Name)
        }
    except (ValueError, SyntaxError) as error:
        raise ParameterError(
            "the cell with the parameters holds more than plain values",
            why=str(error),
            next_step="give parameters on the command line, and leave that cell as it is installed",
        ) from error


def checked_parameters(runbook: Runbook, given: Mapping[str, Any]) -> dict[str, Any]:
    """The declared parameters with the given values in place; the wrong name or type is refused, never passed over."""
    for name, value in given.items():
        if name not in runbook.parameters:
            declared = ", ".join(sorted(runbook.parameters))
            raise ParameterError(
                f'{runbook.id} has no parameter "{name}"', why=f"it declares {declared}", next_step="correct the name"
            )
        wanted = type(runbook.parameters[name])
        if type(value) is not wanted:
            raise ParameterError(
                f'the parameter "{name}" is a {type(value).__name__}',
                why=f"it is declared as {wanted.__name__}, default {runbook.parameters[name]!r}",
                next_step=f"give {name} {'true or false' if wanted is bool else f'a {wanted.__name__}'}",
            )
        if isinstance(value, str) and has_token_shape(value):
            raise ParameterError(
                f'the parameter "{name}" looks like a token',
                why="parameters are stored in the notebook in clear",
                next_step="put tokens into the credentials file (PANTHEON_CREDENTIALS)",
            )
    parameters = {**runbook.parameters, **given}
    if parameters.get("mode") not in {None, "plan", "apply"}:
        raise ParameterError(
            f'mode is "{parameters["mode"]}"', why='it is "plan" or "apply"', next_step="leave it out, or use --apply"
        )
    return parameters


def typed(runbook: Runbook, pairs: Mapping[str, str]) -> dict[str, Any]:
    """Texts from the command line as the declared types; "true" and "false" are the two booleans."""
    values: dict[str, Any] = {}
    for name, text in pairs.items():
        kind = type(runbook.parameters.get(name, ""))
        if kind is bool and text.lower() in {"true", "false"}:
            values[name] = text.lower() == "true"
        elif kind in {int, float} and text.lstrip("-").replace(".", "", 1).isdigit():
            values[name] = kind(text)
        else:
            values[name] = text
    return values


def spelled(parameters: Mapping[str, Any], runbook_id: str) -> str:
    """As they are given on the command line, each with a space before it; what was left as it is stays unsaid."""
    defaults = next((one.parameters for one in all_runbooks() if one.id == runbook_id), {})
    own = {
        name: value
        for name, value in sorted(parameters.items())
        if value and name not in _BY_OPTION and value != defaults.get(name)
    }
    texts = {name: "true" if value is True else shlex.quote(str(value)) for name, value in own.items()}
    return "".join(f" -p {name}={text}" for name, text in texts.items())
