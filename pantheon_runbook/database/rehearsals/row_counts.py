"""How much is in each of the application's tables, by what PostgreSQL remembers of it: no table is read."""

from __future__ import annotations

from typing import Any

import psycopg

from pantheon_runbook.database.schema import about_schemas

# The planner's own figure is -1 for a table that was never analysed; the live count is then all there is. A
# partitioned table has what its partitions have.
_QUERY = about_schemas("""
with recursive tables as (
    select c.oid, format('%I.%I', nspname, relname) as name,
        greatest(reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0) as tuples
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p', 'm') and $application
), below (top, oid) as (
    select oid, oid from tables
    union all
    select top, inhrelid from below join pg_inherits on inhparent = below.oid
    where (select relkind = 'p' from pg_class where oid = top)
)
select (select name from tables where oid = top), sum(case when leaf.relkind = 'p' then 0 else t.tuples end)::bigint
from below join pg_class leaf on leaf.oid = below.oid join tables t on t.oid = leaf.oid
group by top order by 1
""")


def row_counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """By name in full, "public.messages"; estimates, as old as the last VACUUM or ANALYZE. Errors: psycopg.Error.

    Reads the catalogue and the statistics only.
    """
    rows = connection.execute(_QUERY).fetchall()
    return {str(name): int(count) for name, count in rows}
