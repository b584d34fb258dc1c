"""How much is in each of the application's tables, by what PostgreSQL remembers of it: no table is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from pantheon_runbook.database.schema import SCHEMAS_OF_OTHERS

# The planner's own figure is -1 for a table that was never analysed; the live count is then all there is. A
# partitioned table has what its partitions have. Pages are the planner's too: a size in bytes would ask for a lock.
_QUERY = """
with recursive tables as (
    select c.oid, format('%I.%I', nspname, relname) as name, relpages, reltoastrelid,
        greatest(reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) as tuples
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p', 'm') and nspname <> all($1::text[]) and nspname not like 'pg\\_%'
), below (top, oid) as (
    select oid, oid from tables
    union all
    select top, inhrelid from below join pg_inherits on inhparent = below.oid
    where (select relkind = 'p' from pg_class where oid = top)
)
select (select name from tables where oid = top), sum(case when leaf.relkind = 'p' then 0 else t.tuples end)::bigint,
    sum((leaf.relpages
        + coalesce((select sum(i.relpages) from pg_index join pg_class i on i.oid = indexrelid
                    where indrelid in (leaf.oid, leaf.reltoastrelid)), 0)
        + coalesce((select toast.relpages from pg_class toast where toast.oid = leaf.reltoastrelid), 0))
        * current_setting('block_size')::bigint)::bigint
from below join pg_class leaf on leaf.oid = below.oid join tables t on t.oid = leaf.oid
group by top order by 1
"""


@dataclass(frozen=True, slots=True)
class TableSize:
    """Estimates, as old as the last VACUUM or ANALYZE; `size_bytes` is with indexes and TOAST."""

    rows: int
    size_bytes: int


def table_sizes(connection: psycopg.Connection[Any]) -> dict[str, TableSize]:
    """By name in full, "public.messages". Reads the catalogue and the statistics only. Errors: psycopg.Error."""
    rows = psycopg.RawCursor(connection).execute(_QUERY.encode(), [list(SCHEMAS_OF_OTHERS)]).fetchall()
    return {str(name): TableSize(int(count), int(size)) for name, count, size in rows}


def row_counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """The rows alone. Errors: psycopg.Error."""
    return {name: size.rows for name, size in table_sizes(connection).items()}


def about(rows: int) -> int:
    """To one digit: a plan that names rows must not be out of date because one was added."""
    return round(rows, 1 - len(str(rows)))
