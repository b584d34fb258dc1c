"""Take one guard out of a copy of the repository and run tests on the copy: its own processes and kernels too."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.runner.processes import end_marked

REPOSITORY = Path(__file__).resolve().parents[2]
GUARDS = Path(__file__).with_name("guards.toml")
COPIED = (
    "pantheon_runbook",
    "tests",
    "runbooks",
    "conftest.py",
    "pyproject.toml",
    "pantheon.example.toml",
    "environment.yml",
    "README.md",
)
COMMANDS = ("alembic", "squawk")  # that tests and product look for beside the interpreter
TEST_FAILED = 1  # pytest's exit code; 2 to 5 mean that no test could say anything
_HANGS_SECONDS = 180  # a test that has not ended by then
# Of what is put in a guard's place, or of the sandbox: a test that fails by these has shown nothing.
_OUR_OWN_FAULT = frozenset(
    {"NameError", "UnboundLocalError", "ImportError", "FileNotFoundError", "SandboxError", "ServerError"}
)


@dataclass(frozen=True)
class Guard:
    """One entry of guards.toml: with `put` in the place of `remove` in `file`, `test` has to fail."""

    id: str
    protects: str
    file: str
    remove: str
    put: str
    test: str

    def removed_from(self, text: str) -> str:
        return text.replace(self.remove, self.put, 1)


@dataclass(frozen=True)
class Outcome:
    """What pytest said: its exit code, the first line of what failed ("" when nothing did), and everything."""

    exit_code: int
    failed: str
    output: str

    @property
    def is_noticed(self) -> bool:
        """A test failed, not only what was prepared for it, and by no fault of our own."""
        error = self.failed.partition(":")[0].rpartition(".")[2]
        return self.exit_code == TEST_FAILED and bool(self.failed) and error not in _OUR_OWN_FAULT


def listed() -> list[Guard]:
    return [Guard(**entry) for entry in tomllib.loads(GUARDS.read_text(encoding="utf-8"))["guards"]]


@contextmanager
def copied(guard: Guard | None = None) -> Iterator[Path]:
    """A folder with the repository in it, without the guard; gone afterwards, with every process begun in it."""
    folder = Path(tempfile.mkdtemp(prefix="pr-g-"))
    try:
        for name in COPIED:
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        _make_environment(folder)
        if guard is not None:
            file = folder / guard.file
            file.write_text(guard.removed_from(file.read_text(encoding="utf-8")), encoding="utf-8")
        yield folder
    finally:
        end_marked("TMPDIR", str(_temporary(folder)))
        shutil.rmtree(folder, ignore_errors=True)


def _make_environment(folder: Path) -> None:
    """An interpreter of its own, with our libraries and the copy: neither a variable nor a kernel can lose that."""
    _temporary(folder).mkdir()
    venv.create(folder / ".venv", symlinks=True)
    site = next((folder / ".venv" / "lib").glob("python*/site-packages"))
    libraries = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "copy.pth").write_text("\n".join([str(folder), *libraries]), encoding="utf-8")
    for name in COMMANDS:
        (folder / ".venv" / "bin" / name).symlink_to(Path(sys.executable).with_name(name))
    (folder / ".venv" / "share").symlink_to(Path(sys.prefix) / "share")  # nbconvert's templates


def _temporary(folder: Path) -> Path:
    return folder / "t"


def environment_of(folder: Path) -> dict[str, str]:
    """Ours without pytest's own, and never the full tables; whatever is begun can be told by its TMPDIR."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "PANTHEON_SWEEP"))}
    ours = {"TMPDIR": str(_temporary(folder)), "VIRTUAL_ENV": str(folder / ".venv"), "COLUMNS": "300"}
    return {**kept, **ours}


def python_of(folder: Path) -> str:
    return str(folder / ".venv" / "bin" / "python")


def run_tests(folder: Path, *tests: str) -> Outcome:
    """Pytest on the copy, until the first failure. One that hangs is ended, and has noticed nothing."""
    process = subprocess.Popen(
        [python_of(folder), "-m", "pytest", "-q", "-x", "--tb=short", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env=environment_of(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seconds = _HANGS_SECONDS * len(tests)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return Outcome(-signal.SIGKILL, "", f"{output}\nstill running after {seconds} s")
    failed = re.search(r"^FAILED (?:.*? - )?(.*)$", output, re.MULTILINE)
    return Outcome(process.returncode, failed.group(1) if failed else "", output)
