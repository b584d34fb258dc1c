"""Saved worlds: the vendors' memory as one JSON document, and copies of the clusters."""

from __future__ import annotations

import shutil
from pathlib import Path

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.servers.places import copy_tree, own_by_server

WORLD, FACTS, CLUSTERS, PAGES = "world.json", "facts.json", "clusters", "pages"
SLOTS = "slots"  # which project took which slot, in order


def saved_path(folder: Path, name: str) -> Path:
    """Where a saved world is: a name means this sandbox's own, anything with a separator is a path."""
    if "/" in name:
        return Path(name)
    return folder / "saved" / name


def copy_out(folder: Path, servers: Path, target: Path) -> None:
    """Write a saved world; the servers are stopped. Replaces one of the same name when everything is there.

    Raises SandboxError when something else stands there: a folder of somebody's is not ours to replace.
    """
    if target.exists() and not (target / WORLD).exists():
        raise SandboxError(f"{target} exists and is no saved world")
    unfinished = target.with_name(f".{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / CLUSTERS).mkdir(parents=True, mode=0o700)
    for name in (WORLD, FACTS):
        shutil.copy2(folder / name, unfinished / name)
    if (folder / PAGES).exists():
        copy_tree(folder / PAGES, unfinished / PAGES)
    shutil.copy2(servers / SLOTS, unfinished / CLUSTERS / SLOTS)
    for ref in _refs(servers):
        copy_tree(servers / ref, unfinished / CLUSTERS / ref)
        # The statement log tells what happened *in* a world; a loaded one begins with an empty page.
        shutil.rmtree(unfinished / CLUSTERS / ref / "log", ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def copy_in(source: Path, folder: Path, servers: Path) -> None:
    """Put a saved world into a folder whose servers are stopped. Raises SandboxError when there is none."""
    if not (source / WORLD).exists():
        raise SandboxError(f"there is no saved world {source}")
    for ref in _refs(servers):
        shutil.rmtree(servers / ref)
    shutil.rmtree(folder / PAGES, ignore_errors=True)
    for name in (FACTS, WORLD):
        shutil.copy2(source / name, folder / name)
    if (source / PAGES).exists():
        copy_tree(source / PAGES, folder / PAGES)
    shutil.copy2(source / CLUSTERS / SLOTS, servers / SLOTS)
    for ref in _refs(source / CLUSTERS):
        copy_tree(source / CLUSTERS / ref, servers / ref)
        own_by_server(servers / ref)


def _refs(folder: Path) -> list[str]:
    return [entry.name for entry in sorted(folder.iterdir()) if (entry / "PG_VERSION").exists()]
