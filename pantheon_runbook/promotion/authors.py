"""Who wrote what a release brings, for nobody approves his own commits. Git is asked, else what the vendors say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pantheon_runbook.database.migrations.release import asked_of_git
from pantheon_runbook.evidence.approval import Person

_BY_GIT = "the backend's commits, by git"


def authors_by_git(folder: Path, since: str, until: str) -> tuple[Person, ...] | None:
    """Of every commit that `until` has and `since` has not; None when git does not know them."""
    listed = asked_of_git(folder, "log", "--format=%an%x00%ae", f"{since}..{until}", "--") if since and until else None
    if listed is None:
        return None
    people = sorted({tuple(line.split("\0")) for line in listed.decode(errors="replace").splitlines() if line})
    return tuple(Person(name, _BY_GIT, (address,)) for name, address in people)


def authors_by_vendors(named: Mapping[str, str]) -> tuple[Person, ...]:
    """`named` is who wrote the commit that runs at each address, as the vendor says; the newest commit alone."""
    people: dict[str, str] = {}
    for address, name in sorted(named.items()):
        people.setdefault(name, f"the newest commit, as {address.partition('/')[0]} shows it")
    return tuple(Person(name, source) for name, source in people.items() if name)
