"""Whether what is checked out is what the release branch has; asked of git, which is told to change nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pantheon_runbook.database.migrations.revisions import Revision
from pantheon_runbook.database.migrations.tally import Release

_SECONDS = 10


def look_at_release(ini: Path, branch: str, revisions: Sequence[Revision]) -> Release:
    """The tree beside the release branch: its own, else the one that was last fetched. Nothing is known without git."""
    for reference in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"):
        if asked_of_git(ini.parent, "rev-parse", "--verify", "--quiet", reference) is None:
            continue
        beyond = tuple(one.id for one in revisions if not _has(ini.parent, reference, one))
        return Release(branch, _checked_out(ini.parent), beyond)
    return Release(branch, "")


def _has(folder: Path, reference: str, revision: Revision) -> bool:
    content = asked_of_git(folder, "show", f"{reference}:./{revision.file}")
    return content is not None and hashlib.sha256(content).hexdigest() == revision.digest


def _checked_out(folder: Path) -> str:
    """A branch's name, or the commit where none is checked out, as in CI."""
    name = asked_of_git(folder, "symbolic-ref", "--quiet", "--short", "HEAD") or asked_of_git(
        folder, "rev-parse", "--short", "HEAD"
    )
    return (name or b"").decode(errors="replace").strip()


def asked_of_git(folder: Path, *arguments: str) -> bytes | None:
    """What git says in this folder, which it is told not to change; None when it says no, or is not there."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
