"""Who keeps a session of the database waiting: named while it waits, so that a time-out can say it afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg

from pantheon_runbook import clock
from pantheon_runbook.errors import RunbookError

_EVERY_SECONDS = 0.2
_ENDS_WITHIN_SECONDS = 10.0
# A prepared transaction has no process: PostgreSQL gives 0 for it. One that waits in front of the waiting one counts.
_BLOCKERS = """
with waiting as (select * from pg_locks where pid = %(pid)s and not granted limit 1),
     blocking as (select distinct unnest(pg_blocking_pids(%(pid)s)) as pid)
select b.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''), coalesce(a.state, ''),
    coalesce(extract(epoch from clock_timestamp() - a.query_start), 0)::float8,
    coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8,
    coalesce((select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n
              on n.oid = c.relnamespace where c.oid = w.relation), ''),
    coalesce(held.mode, ''), coalesce(held.granted, false)
from blocking b left join pg_stat_activity a on a.pid = b.pid left join waiting w on true
left join lateral (
    select mode, granted from pg_locks l
    where l.pid is not distinct from nullif(b.pid, 0) and l.relation = w.relation and l.database = w.database
    order by granted desc, mode limit 1) held on true
order by b.pid
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One session in the way; `pid` 0 is a prepared transaction.

    The seconds are since its query and its transaction began.
    `relation` is what the waiting session waits for, "" when it is no relation; `mode` is this one's lock on it, which
    it holds, or (`holds` False) waits for in front of the other.
    """

    pid: int
    application_name: str
    user: str
    state: str
    query_seconds: float
    transaction_seconds: float
    relation: str
    mode: str
    holds: bool

    @property
    def in_words(self) -> str:
        if not self.pid:
            return "a prepared transaction (see pg_prepared_xacts)"
        name = f' "{self.application_name}"' if self.application_name else ""
        has = f", {'holds' if self.holds else 'waits for'} {self.mode} on {self.relation}" if self.mode else ""
        return (
            f"process {self.pid}{name} of {self.user} ({self.state}, query began {self.query_seconds:.0f} s ago, "
            f"transaction {self.transaction_seconds:.0f} s ago){has}"
        )


def blockers(connection: psycopg.Connection[Any], pid: int) -> tuple[Blocker, ...]:
    """Who keeps this process waiting at this moment; () when nobody does. Reads only. Errors: psycopg.Error."""
    return tuple(Blocker(*row) for row in connection.execute(_BLOCKERS, {"pid": pid}))


class Watcher:
    """While it is entered, a thread with a session of its own sees who blocks `pid`; `tell` hears of each one once.

    `blockers` are the last ones seen, also after they have gone; `lost` says why nobody looks any more, "" while one
    does. It never raises: who waits for a lock has his own time limit.
    """

    def __init__(
        self,
        session: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
        pid: int,
        *,
        tell: Callable[[Blocker], None] = lambda _blocker: None,
    ) -> None:
        self._session = session
        self._pid = pid
        self._tell = tell
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"who blocks {pid}", daemon=True)
        self.blockers: tuple[Blocker, ...] = ()
        self.lost = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_ENDS_WITHIN_SECONDS)

    @property
    def in_words(self) -> str:
        """To be put behind the reason of a time-out: who it was, or why that is not known; "" when nobody blocked."""
        if self.blockers:
            return f" It waited for {'; '.join(one.in_words for one in self.blockers)}."
        return f" Who was in the way is not known: the session that looked was lost ({self.lost})." if self.lost else ""

    def _watch(self) -> None:
        told: set[int] = set()
        try:
            with self._session() as connection:
                while not clock.sleep(_EVERY_SECONDS, unless=self._ended):
                    found = blockers(connection, self._pid)
                    self.blockers = found or self.blockers
                    for one in found:
                        if one.pid not in told:
                            told.add(one.pid)
                            self._tell(one)
        except (psycopg.Error, RunbookError) as error:
            self.lost = type(error).__name__
