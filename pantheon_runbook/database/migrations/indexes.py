"""Indexes that a CREATE INDEX CONCURRENTLY left unfinished: no query uses them, and every write still pays for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from pantheon_runbook.database.migrations.revisions import LedgerRow
from pantheon_runbook.database.schema import about_schemas
from pantheon_runbook.model import Finding

# The index of a partitioned table is invalid until each partition has its own: that is no accident (relkind 'I').
_INVALID = about_schemas("""
select format('%I.%I', s.nspname, t.relname), format('%I.%I', s.nspname, i.relname),
    format('drop index concurrently %I.%I', s.nspname, i.relname),
    exists (select from pg_stat_progress_create_index p where p.index_relid = i.oid)
from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
join pg_namespace s on s.oid = i.relnamespace
where not (x.indisvalid and x.indisready and x.indislive) and i.relkind = 'i'
    and $application
order by 1, 2
""")


@dataclass(frozen=True, slots=True)
class InvalidIndex:
    """`table` and `name` are "schema.name"; `drop` is the statement. `is_being_built`: a session is at it now."""

    table: str
    name: str
    drop: str
    is_being_built: bool = False


def invalid_indexes(connection: psycopg.Connection[Any]) -> tuple[InvalidIndex, ...]:
    """The application's own that are not usable, by table and name. Reads only. Errors: psycopg.Error."""
    return tuple(InvalidIndex(*row) for row in connection.execute(_INVALID))


def index_findings(
    found: Sequence[InvalidIndex], rows: Sequence[LedgerRow], sources: Mapping[str, str]
) -> tuple[Finding, ...]:
    """One for each, and it blocks. `sources` are the texts of revisions' files, to say which began one has left it."""
    begun = [row.revision for row in rows if row.state == "begun"]
    return tuple(_finding(one, [each for each in begun if _names(sources.get(each, ""), one.name)]) for one in found)


def _names(source: str, index: str) -> bool:
    """REINDEX CONCURRENTLY leaves what it was building under the index's name with an ending."""
    name = re.sub(r"_cc(new|old)\d*$", "", index.partition(".")[2].strip('"'))
    return re.search(rf"\b{re.escape(name)}\b", source) is not None


def _finding(one: InvalidIndex, revisions: Sequence[str]) -> Finding:
    address = f"database/index/{one.name}"
    if one.is_being_built:
        what = f"the index {one.name} on {one.table} is being built by another session"
        return Finding("index-being-built", address, what, "wait until it is done, then plan again")
    left = f"; revision {' or '.join(revisions)} has probably left it, which began and did not end" if revisions else ""
    return Finding(
        "invalid-index",
        address,
        f"the index {one.name} on {one.table} is invalid: its building was broken off, and no query uses it{left}",
        f"drop it, outside a transaction: {one.drop}; then plan again",
    )
