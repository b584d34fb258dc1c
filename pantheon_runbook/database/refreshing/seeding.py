"""The seed: a Python file of the backend, run by its own interpreter with DATABASE_URL and nothing else of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pantheon_runbook.database.migrations import migration_errors
from pantheon_runbook.database.migrations.alembic_process import Backend, LockProof, started
from pantheon_runbook.secrets import Secret


@dataclass(frozen=True, slots=True)
class SeedFile:
    """Which file, as the config writes it, and sha256 over its bytes, "" when it is not there."""

    written: str
    path: Path
    digest: str

    @classmethod
    def of(cls, written: str, folder: Path) -> SeedFile:
        """A path in the config starts beside it."""
        path = (folder / written).absolute()
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            digest = ""
        return cls(written, path, digest)


def seed(
    backend: Backend, file: SeedFile, url: Secret, *, proof: LockProof, seconds: float, begin: Callable[[], None]
) -> None:
    """Run it to its end; `begin` is called when there is an interpreter that can, and before anything is written.

    The URL goes through the pipe and stands in that process alone, for what it starts itself too.
    Errors: ConfigError (no interpreter), VendorRefusedError (it failed, or took longer than `seconds`),
    WrongEnvironmentError (SQLAlchemy was told to connect elsewhere).
    """
    with started(backend) as worker:
        begin()
        worker.send(
            act="seed", file=str(file.path), digest=file.digest, url=url.reveal(), proof=(proof.first, proof.second)
        )
        worker.answer("seeded", seconds=seconds, lost=migration_errors.seed_ended)
