"""Where the sandbox keeps its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.servers.places import MEMORY, SHARED_TEMPORARY, is_reachable_by_server, temporary_base

# A Unix socket's path holds 104 bytes on macOS; "/<20 letters>/.s.PGSQL.65535" is appended to the servers' folder.
SHORT_PATH_CHARACTERS = 68
OWNER_NOTE = "belongs-to"


def servers_folder(folder: Path, *, in_memory: bool = False) -> Path:
    """Short and reachable: where this sandbox's clusters and sockets live.

    It is `<folder>/servers`, or, when that path is too long for a Unix socket or closed to the servers'
    account, a link of this name to a folder of our own under /var/tmp. `in_memory` (for throw-away worlds) puts
    that folder into memory where there is room, which spares the disk a few thousand small files.
    """
    servers = folder / "servers"
    if servers.is_dir():
        return servers.resolve()
    if servers.is_symlink():
        raise SandboxError(f"{servers} leads to {servers.readlink()}, which is gone; remove {folder} and start again")
    base = temporary_base(in_memory=in_memory)
    if base is not MEMORY and len(str(servers.resolve())) <= SHORT_PATH_CHARACTERS and is_reachable_by_server(folder):
        servers.mkdir(mode=0o711)
        return servers.resolve()
    sweep_abandoned()
    elsewhere = Path(tempfile.mkdtemp(prefix="pantheon-", dir=base))
    elsewhere.chmod(0o711)
    (elsewhere / OWNER_NOTE).write_text(str(folder.resolve()))
    servers.symlink_to(elsewhere)
    return elsewhere


def discard(folder: Path) -> None:
    """Remove a stopped sandbox with everything it kept elsewhere."""
    servers = folder / "servers"
    if servers.is_symlink():
        shutil.rmtree(servers.readlink(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def sweep_abandoned() -> None:
    """Remove servers' folders of ours whose sandbox folder somebody has deleted."""
    for candidate in (*SHARED_TEMPORARY.glob("pantheon-*"), *MEMORY.glob("pantheon-*")):
        note = candidate / OWNER_NOTE
        try:
            abandoned = candidate.stat().st_uid == os.geteuid() and not Path(note.read_text()).exists()
        except OSError:
            continue  # somebody else's, or being made this moment
        if abandoned:
            shutil.rmtree(candidate, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old file or the new one; mode 0600, since ids and secrets are in most of them."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).replace(path)
