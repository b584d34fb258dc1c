"""A clone of the stand-in's backend that a test may edit: a repository of its own, on the release branch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pantheon_runbook.sandbox.pantheon import backend

_GIT = ("git", "-c", "user.name=Team", "-c", "user.email=team@example.invalid", "-c", "commit.gpgsign=false")


class Checkout:
    """alembic.ini, env.py and the revisions; `add` puts one more on top and commits it."""

    def __init__(self, folder: Path, *, branch: str = "staging") -> None:
        self.folder = folder
        self.ini = folder / "alembic.ini"
        self.versions = folder / "migrations" / "versions"
        shutil.rmtree(folder, ignore_errors=True)
        kept = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(backend.__file__).with_name("migrations"), folder / "migrations", ignore=kept)
        shutil.copy(Path(backend.__file__).with_name("alembic.ini"), self.ini)
        self.git("init", "--quiet", "--initial-branch", branch)
        self.commit()

    def git(self, *arguments: str) -> None:
        subprocess.run([*_GIT, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "as it is now")

    def file(self, revision: str) -> Path:
        (path,) = self.versions.glob(f"{revision}_*.py")
        return path

    def edit(self, revision: str, old: str, new: str) -> None:
        text = self.file(revision).read_text()
        assert old in text
        self.file(revision).write_text(text.replace(old, new))

    def add(self, revision: str, *upgrade: str, down: str, downgrade: str = "pass", **declared: Any) -> Path:
        """Lines of Python for both ways, where `op` and `sa` are known; what is declared stands beside the revision."""
        names = {"revision": revision, "down_revision": down, **declared}
        lines = [f'"""What {revision} does."""', "from alembic import op", "import sqlalchemy as sa"]
        lines += [f"{name} = {value!r}" for name, value in names.items()]
        lines += ["def upgrade():", *(f"    {line}" for line in upgrade), "def downgrade():", f"    {downgrade}"]
        path = self.versions / f"{revision}_added.py"
        path.write_text("\n".join(lines) + "\n")
        self.commit()
        return path

    def bare(self, url: str, *arguments: str) -> None:
        """What somebody types who does not know of us."""
        subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self.folder,
            env={**os.environ, "DATABASE_URL": url},
            check=True,
            capture_output=True,
            timeout=60,
        )
