"""Where servers may keep their files, and the account under which they may run."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pantheon_runbook.servers import ServerError

SERVER_ACCOUNT = "nobody"
SHARED_TEMPORARY = Path("/var/tmp")  # noqa: S108  survives a restart; folders in it are made by mkdtemp
MEMORY = Path("/dev/shm")  # noqa: S108  Linux's memory file system, likewise only by mkdtemp
MEMORY_FREE_BYTES = 512 << 20  # a world with three clusters takes about 100 MB


def server_account() -> pwd.struct_passwd | None:
    """The account PostgreSQL has to run under because it refuses root; None: run it as ourselves."""
    return pwd.getpwnam(SERVER_ACCOUNT) if os.geteuid() == 0 else None


def spawn_identity() -> Mapping[str, object]:
    """The keyword arguments of Popen that make a child run as the servers' account."""
    account = server_account()
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def own_by_server(folder: Path) -> None:
    """Give a tree to the servers' account; nothing to do for an ordinary user."""
    account = server_account()
    if account is None:
        return
    for parent, _folders, files in os.walk(folder):
        os.chown(parent, account.pw_uid, account.pw_gid)
        for name in files:
            os.chown(os.path.join(parent, name), account.pw_uid, account.pw_gid)  # noqa: PTH118  hot loop


def is_reachable_by_server(folder: Path) -> bool:
    """Whether the servers' account may pass through every parent of this folder."""
    if server_account() is None:
        return True
    chain = [folder.resolve(), *folder.resolve().parents]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in chain if parent.exists())


def cache_folder() -> Path:
    """Where templates and prepared worlds are kept between runs: $XDG_CACHE_HOME/pantheon-runbook."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "pantheon-runbook"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def reachable_cache_folder() -> Path:
    """The cache, or (root's home is closed to the servers' account) the machine's own cache folder."""
    own = cache_folder()
    if is_reachable_by_server(own):
        return own
    shared = Path("/var/cache/pantheon-runbook")
    shared.mkdir(parents=True, exist_ok=True, mode=0o755)
    if shared.stat().st_uid != os.geteuid() or not is_reachable_by_server(shared):
        raise ServerError(f"{shared} must belong to root and be open to {SERVER_ACCOUNT} (mode 0755)")
    return shared


def temporary_base(*, in_memory: bool = False) -> Path:
    """The folder for a server's own: short, open to its account; in memory where that is asked for and has room."""
    return MEMORY if in_memory and _has_room(MEMORY) else SHARED_TEMPORARY


def _has_room(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > MEMORY_FREE_BYTES


def copy_tree(source: Path, target: Path) -> None:
    """Copy with modes, times and (as root) owners: the system's own cp is three times as fast as shutil here."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True, stdin=subprocess.DEVNULL)
