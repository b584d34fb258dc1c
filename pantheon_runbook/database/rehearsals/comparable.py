"""What a server is, and where a scratch server cannot stand for it: found before anything is rehearsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from pantheon_runbook.database.rehearsals.scratch import Scratch
from pantheon_runbook.database.schema import EXTENSIONS_OF_OTHERS


@dataclass(frozen=True)
class Server:
    """`version` as it calls itself ("15.8"), and the version of each extension that is in the database."""

    version: str
    extensions: Mapping[str, str]

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def look_at_server(connection: psycopg.Connection[Any]) -> Server:
    """Reads only. Errors: psycopg.Error."""
    found = connection.execute("select extname, extversion from pg_catalog.pg_extension order by 1").fetchall()
    number = connection.info.server_version
    return Server(f"{number // 10_000}.{number % 10_000}", {str(name): str(version) for name, version in found})


def comparable(source: Server, scratch: Scratch) -> tuple[str, ...]:
    """Every way in which a rehearsal on `scratch` may differ from `source`, in words; none when there is none. Pure."""
    told = []
    here = int(scratch.version.partition(".")[0])
    if source.major != here:
        told.append(f"PostgreSQL {source.version} there, {scratch.version} here")
    if source.major > here:
        told.append(f"pg_dump {scratch.version} cannot read PostgreSQL {source.version}: nothing can be rehearsed")
    for name, version in sorted(source.extensions.items()):
        own = scratch.extensions.get(name)
        if name in EXTENSIONS_OF_OTHERS or own == version:
            continue
        if own is not None:
            told.append(f"extension {name} {version} there, {own} here")
        elif name in scratch.stubbed:
            told.append(f"extension {name} {version} is not in the scratch server: its functions are stubs")
        else:
            told.append(f"extension {name} {version} is not in the scratch server: what needs it cannot be rehearsed")
    return tuple(told)
