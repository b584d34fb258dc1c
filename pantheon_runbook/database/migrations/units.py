"""A unit of work on production, in its own database: under which plan it was begun, by which approvals, how it ended.

An approval starts one unit: its nonce is put down in the transaction that begins it, inside the writer's lock. Rows
are added and never altered; a unit is open as long as its plan's last row says "begun".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.revision_kinds import Site
from pantheon_runbook.errors import NotApprovedError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Change, Resource

UNIT = "database/unit"
BEGIN, END = f"{UNIT}/begin", f"{UNIT}/end"
State = Literal["begun", "done", "rolled back"]
_UTC = """'YYYY-MM-DD"T"HH24:MI:SS"Z"'"""
_LAST = f"""
select u.plan_digest, u.state, u.run_id, u.operator, to_char(u.at at time zone 'utc', {_UTC}),
    array(select nonce from {SCHEMA}.nonces join {SCHEMA}.units as began on unit = began.id
          where began.plan_digest = u.plan_digest order by nonce)
from {SCHEMA}.units as u order by u.id desc limit 1
"""  # noqa: S608  every name is ours
_BEGAN = f"""
select distinct on (plan_digest) plan_digest, to_char(at at time zone 'utc', {_UTC})
from {SCHEMA}.units where state = 'begun' order by plan_digest, id
"""  # noqa: S608
_CONSUMED = f"select nonce from {SCHEMA}.nonces"  # noqa: S608
_ADD = f"insert into {SCHEMA}.units (plan_digest, state, run_id, operator) values (%s, %s, %s, %s) returning id"  # noqa: S608
_CONSUME = f"insert into {SCHEMA}.nonces (nonce, unit) values (%s, %s)"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Unit:
    """The last one: the plan that was approved, what it came to, and whose run said so (`at` in UTC)."""

    plan_digest: str
    state: State
    run_id: str
    operator: str
    at: str
    nonces: frozenset[str]

    @property
    def is_open(self) -> bool:
        return self.state == "begun"


def last_unit(connection: psycopg.Connection[Any]) -> Unit | None:
    """Reads only; None when there never was one."""
    row = connection.execute(_LAST.encode()).fetchone() if ledger.stands(connection) else None
    if row is None:
        return None
    digest, state, run_id, operator, at, nonces = row
    return Unit(digest, state, run_id, operator, at, frozenset(nonces))


def consumed(connection: psycopg.Connection[Any]) -> frozenset[str]:
    """The nonces of every approval that has started something; reads only."""
    if not ledger.stands(connection):
        return frozenset()
    return frozenset(str(row[0]) for row in connection.execute(_CONSUMED.encode()))


def beginnings(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """When the unit of each plan was begun (UTC, whole seconds), by the plan's digest; reads only."""
    if not ledger.stands(connection):
        return {}
    return {str(digest): str(at) for digest, at in connection.execute(_BEGAN.encode())}


class Units(Kind):
    """Its beginning and its end. `under` gives, once it is approved, the plan's digest and the nonces of its approvals.

    `ends` is what the end says of it. One that `begins_anew` does not go on with an open one.
    """

    prefix = UNIT
    looks_after = ("database/revision",)

    def __init__(
        self,
        site: Site,
        *,
        under: Callable[[], tuple[str, Iterable[str]]],
        ends: State = "done",
        begins_anew: bool = False,
    ) -> None:
        self._begins_anew = begins_anew
        self._site = site
        self._under = under
        self._ends: State = ends
        self.last: Unit | None = None
        self.began: dict[str, str] = {}  # by the digest of its plan
        self.consumed: frozenset[str] = frozenset()

    def look(self) -> Look:
        self.last, self.consumed, self.began = None, frozenset(), {}
        if not self._site.is_there:
            return Look()
        with self._site.session() as connection:
            self.last, self.consumed = last_unit(connection), consumed(connection)
            self.began = beginnings(connection)
        if self.last is None or not self.last.is_open or self._begins_anew:
            return Look()
        note = f"begun by run {self.last.run_id[:8]} of {self.last.operator} at {self.last.at}"
        return Look((Resource(BEGIN, "present", {"plan": self.last.plan_digest}, note),))

    def write(self, change: Change) -> str | None:
        digest, nonces = self._under()
        state: State = "begun" if change.address == BEGIN else self._ends
        sent = {"plan": digest, "state": state}
        with (
            self._site.gate.write(f"say that a unit of work is {state}", path=f"{SCHEMA}.units", sent=sent),
            self._site.database.writing(application_name=self._site.writer.session_name) as connection,
            connection.transaction(),
        ):
            said = (digest, state, self._site.writer.run_id, self._site.writer.operator)
            row = connection.execute(_ADD.encode(), said).fetchone()
            assert row is not None
            if state == "begun":
                self._consume(connection, sorted(nonces), row[0])
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """By the run that said so: a nonce is put down once."""
        last, ours = self.last, self._site.writer.run_id
        wanted = "begun" if change.address == BEGIN else self._ends
        return last is not None and (last.state, last.run_id) == (wanted, ours)

    def _consume(self, connection: psycopg.Connection[Any], nonces: list[str], unit: int) -> None:
        for nonce in nonces:
            try:
                connection.execute(_CONSUME.encode(), (nonce, unit))
            except psycopg.errors.UniqueViolation as error:
                raise NotApprovedError(
                    "the approval has started something already",
                    why=f"its nonce {nonce[:8]} has been used: one approval starts one unit of work",
                    state="nothing of this unit was begun",
                    next_step="make a plan run, and have its plan approved",
                ) from error
