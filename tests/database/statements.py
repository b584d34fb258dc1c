"""Statements run as the worker runs a revision: what each newly locked is looked up in between."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from pantheon_runbook.database.migrations.revisions import Lock, Ran, Statement

_HELD = """
select format('%I.%I', nspname, relname), mode from pg_locks join pg_class c on c.oid = relation
join pg_namespace n on n.oid = relnamespace
where pid = pg_backend_pid() and locktype = 'relation' and nspname not in ('pg_catalog', 'pantheon_runbook')
order by 1, 2
"""


def run_together(connection: psycopg.Connection, revision: str, statements: Sequence[str]) -> Ran:
    """In the transaction that is open."""
    held: set[Lock] = set()
    ran = []
    for sql in statements:
        connection.execute(sql)
        found = tuple(Lock(*row) for row in connection.execute(_HELD) if Lock(*row) not in held)
        held |= set(found)
        ran.append(Statement(sql, 0.0, found))
    return Ran(revision, tuple(ran), 0.0, (revision,))


def run_alone(connection: psycopg.Connection, revision: str, statements: Sequence[str]) -> Ran:
    """Each outside a transaction."""
    for sql in statements:
        connection.execute(sql)
    return Ran(revision, tuple(Statement(sql, 0.0, is_alone=True) for sql in statements), 0.0, (revision,))
