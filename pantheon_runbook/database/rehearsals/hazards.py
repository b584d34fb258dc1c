"""What the statements of one revision would do to the people who use the target while it runs: pure.

Each statement is judged by what it did on the copy (`effects`, locks) and weighed with the rows that the target has:
the same ALTER TABLE is nothing on an empty table and an outage on a big one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pantheon_runbook.database.migrations.revisions import Effect, Ran, Statement
from pantheon_runbook.database.rehearsals import sql_text
from pantheon_runbook.database.rehearsals.narrowing import is_narrower
from pantheon_runbook.database.rehearsals.recipes import RECIPES
from pantheon_runbook.database.rehearsals.weights import Weights
from pantheon_runbook.model import Finding

Tier = Literal["blocks", "advice"]

READS_AND_WRITES = "reads and writes"
BLOCKED_BY: Mapping[str, str] = {
    "AccessExclusiveLock": READS_AND_WRITES,
    "ExclusiveLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ShareLock": "writes",
}
_DONE: Mapping[str, str] = {"update": "updated", "delete": "deleted", "merge": "merged", "insert": "copied"}
_CERTAIN = "required-column"  # it fails on the target, whatever its author accepts
_OF_WRITERS = "RowExclusiveLock"
_READING = "AccessShareLock"
_CALLS = ("select", "call", "do", "")  # "": what was sent past SQLAlchemy
_READS = ("select", "with", "copy", "declare", "table", "")
_UNNAMED_LOSS = ("view", "function", "trigger")  # an index or a constraint goes with its column, as everybody expects


@dataclass(frozen=True, slots=True)
class Hazard:
    """`statement` counts from 0 within the revision, -1 is all of it; `tables` are those that it is about."""

    rule: str
    revision: str
    statement: int
    tier: Tier
    what: str
    recipe: str
    tables: tuple[str, ...] = ()
    source: Literal["runbook", "squawk"] = "runbook"

    @property
    def finding(self) -> Finding:
        address = f"database/revision/{self.revision}"
        return Finding(f"migration-{self.rule}", address, self.what, self.recipe, blocks=self.tier == "blocks")


@dataclass(frozen=True, slots=True)
class _Place:
    """One statement in its transaction: `held` are the target's tables that somebody is kept from, and from what."""

    revision: str
    number: int
    statement: Statement
    held: Mapping[str, str]
    weights: Weights
    touched: frozenset[str]  # by any statement of its revision, as far as the server told
    is_intended: bool  # its author declared that it takes away what the former backend needs

    def hazard(self, rule: str, what: str, *tables: str, blocks: bool) -> Hazard:
        is_accepted = bool(sql_text.ignored_rules(self.statement.sql) & RECIPES[rule].squawk) and rule != _CERTAIN
        tier: Tier = "blocks" if blocks and not is_accepted else "advice"
        return Hazard(rule, self.revision, self.number, tier, what, RECIPES[rule].text, tables)


@dataclass
class _Transaction:
    held: dict[str, str] = field(default_factory=dict)

    def take(self, statement: Statement, weights: Weights) -> Mapping[str, str]:
        """What is held while this one runs; one that runs alone ends the transaction before it, and holds its own."""
        held = {} if statement.is_alone else self.held
        for lock in statement.locks:
            against = BLOCKED_BY.get(lock.mode)
            if against and lock.relation in weights.rows and held.get(lock.relation) != READS_AND_WRITES:
                held[lock.relation] = against
        for name in sql_text.reclustered(statement.sql):  # no trigger tells of these, and outside nobody sees the lock
            held[sql_text.full_name(name, weights.rows)] = READS_AND_WRITES
        if statement.is_alone:
            self.held = {}
        return held


def hazards_of(ran: Ran, weights: Weights, *, is_declared_contract: bool = False) -> tuple[Hazard, ...]:
    """Everything about one revision that somebody should know before it runs on the target, in its order."""
    transaction = _Transaction()
    found: list[Hazard] = []
    big: dict[str, None] = {}
    touched = frozenset(one.table for statement in ran.statements for one in statement.effects)
    for number, statement in enumerate(ran.statements):
        held = dict(transaction.take(statement, weights))
        place = _Place(ran.revision, number, statement, held, weights, touched, is_declared_contract)
        found += (*_work(place), *_losses(place), *_changes(place), *_doubts(place), *_settings(place))
        big |= {table: None for table, against in held.items() if against == READS_AND_WRITES and weights.is_big(table)}
        weights = weights.after(statement)
    return (*found, *_several(ran.revision, tuple(big)))


def _work(place: _Place) -> Iterator[Hazard]:
    """Statements that take as long as a table is big, and whom they keep waiting meanwhile."""
    for table, rule, done in _worked_on(place):
        blocked = _blocked(place.held)
        rows = place.weights.words(table)
        blocks = place.weights.is_big(table)
        if not blocked and rule != "data-migration":
            continue  # VALIDATE CONSTRAINT, CREATE INDEX CONCURRENTLY: long, and in nobody's way
        if not blocked:
            what = f"{rows} of {table} are {done} in one transaction"
            yield place.hazard("data-migration", what, table, blocks=blocks)
        else:
            of_table = "" if set(place.held) == {table} else f" of {table}"
            what = f"locks {blocked} while {rows}{of_table} are {done}"
            held_rule = "data-under-lock" if rule == "data-migration" else rule
            yield place.hazard(held_rule, what, table, *place.held, blocks=blocks)


def _worked_on(place: _Place) -> Iterator[tuple[str, str, str]]:
    """(table of the target, rule, what is done with its rows), each table once."""
    yield from _read_through(place)
    writes = {_worked(place, write): write for write in sql_text.writes(place.statement.sql)}
    for table, write in writes.items():
        if table in place.weights.rows and not write.is_bounded:
            yield table, "data-migration", _DONE[write.verb]
    if sql_text.verb(place.statement.sql) in _CALLS:
        for lock in place.statement.locks:
            if lock.mode == _OF_WRITERS and lock.relation in place.weights.rows and lock.relation not in writes:
                yield lock.relation, "data-migration", "written by what it calls"


def _read_through(place: _Place) -> Iterator[tuple[str, str, str]]:
    """By a change of the schema, as the server counted it."""
    effects = [one for one in place.statement.effects if one.is_on_old]
    rewritten = [one.table for one in effects if one.change == "rewritten"]
    rewritten += [_full(place, name) for name in sql_text.reclustered(place.statement.sql)]
    yield from ((table, "rewrite-under-lock", "rewritten") for table in rewritten)
    indexed = {one.table for one in effects if one.kind == "index" and one.change == "added"}
    for one in effects:
        if one.change == "scanned" and one.table not in rewritten:
            is_index = one.table in indexed or sql_text.verb(place.statement.sql) == "reindex"
            yield one.table, *(("index-under-lock", "indexed") if is_index else ("scan-under-lock", "read through"))


def _worked(place: _Place, write: sql_text.Write) -> str:
    """The table whose size says how long it takes: for INSERT ... SELECT the biggest that is read."""
    if write.verb != "insert":
        return _full(place, write.table)
    sources = [_full(place, name) for name in write.sources]
    return max(sources, key=place.weights.weight, default="")


def _blocked(held: Mapping[str, str]) -> str:
    """For example "public.a and public.b against writes": the gravest first."""
    kinds = [kind for kind in (READS_AND_WRITES, "writes") if kind in held.values()]
    return ", ".join(f"{' and '.join(table for table in held if held[table] == kind)} against {kind}" for kind in kinds)


def _losses(place: _Place) -> Iterator[Hazard]:
    """What is gone afterwards, and no downgrade brings back."""
    for one in place.statement.effects:
        if not one.is_old or one.table not in place.weights.rows:
            continue
        rows = place.weights.words(one.table)
        if one.change == "removed" and one.kind == "table":
            yield _loss(place, f"drops table {one.table} with {rows}", one.table)
        elif one.change == "removed" and one.kind == "column":
            yield _loss(place, f"drops column {one.name} of {one.table} with what {rows} hold in it", one.table)
        elif one.kind == "column" and one.change == "changed" and is_narrower(one.before["type"], one.after["type"]):
            change = f"from {one.before['type']} to {one.after['type']}"
            yield _loss(place, f"narrows column {one.name} of {one.table} {change} in {rows}", one.table)
    for name in sql_text.truncated(place.statement.sql):
        table = _full(place, name)
        if table in place.weights.rows:
            yield _loss(place, f"empties {table} of {place.weights.words(table)}", table)
    for write in sql_text.writes(place.statement.sql):
        table = _full(place, write.table)
        if write.is_of_all and table in place.weights.rows:
            yield _loss(place, f"deletes {place.weights.words(table)} of {table}: all that it has", table)


def _loss(place: _Place, what: str, table: str) -> Hazard:
    return place.hazard("data-loss", what, table, blocks=place.weights.has_rows(table) and not place.is_intended)


def _changes(place: _Place) -> Iterator[Hazard]:
    """What the running backend stops finding."""
    for one in place.statement.effects:
        if one.is_old and one.is_rename:
            where = f" of {one.table}" if one.kind == "column" else ""
            what = f"renames {one.kind} {one.before['name']}{where} to {one.after['name']}"
            blocks = not place.is_intended and (not one.table or place.weights.has_rows(one.table))
            yield place.hazard("rename", what, *filter(None, (one.table,)), blocks=blocks)
        elif one.is_old and one.change == "removed" and _is_unnamed(one, place.statement.sql):
            what = f"also drops {one.kind} {one.name}, which the statement does not name"
            yield place.hazard("cascade", what, blocks=not place.is_intended)
        elif one.is_old and one.is_securing:
            yield place.hazard("row-security", f"turns row level security on for {one.table}", one.table, blocks=False)


def _doubts(place: _Place) -> Iterator[Hazard]:
    """What the copy, which has no rows, cannot have shown."""
    for one in place.statement.effects:
        if not one.is_on_old or one.table not in place.weights.rows:
            continue
        rows = place.weights.words(one.table)
        has_rows = place.weights.has_rows(one.table)
        if one.kind == "column" and one.change == "added" and one.is_demanding:
            what = f"fails: column {one.name} demands a value that {rows} of {one.table} do not have"
            if not has_rows:
                what = f"column {one.name} demands a value that the running backend does not give to {one.table}"
            yield place.hazard("required-column", what, one.table, blocks=has_rows)
        elif has_rows and (condition := _condition(one, place.statement.effects)):
            what = f"fails if one of {rows} of {one.table} does not meet {condition}: the copy has none to try it on"
            yield place.hazard("may-fail", what, one.table, blocks=False)
    yield from _unseen(place)


def _unseen(place: _Place) -> Iterator[Hazard]:
    """What depends on rows that the copy does not have: a loop over none of them does nothing."""
    verb = sql_text.verb(place.statement.sql)
    for table, modes in _locked(place).items():
        rows = place.weights.words(table)
        if verb in _READS and modes == {_READING}:
            what = f"reads {table}: what it does with {rows} there was not seen on the copy, which has none"
            yield place.hazard("not-seen", what, table, blocks=False)
        elif verb in _CALLS and modes & BLOCKED_BY.keys() and table not in place.touched:
            what = f"locks {table} with {rows}, and does not show what for: a hidden TRUNCATE looks like that"
            yield place.hazard("not-seen", what, table, blocks=False)


def _locked(place: _Place) -> dict[str, set[str]]:
    """Modes by table, of the target's tables that have rows."""
    found: dict[str, set[str]] = {}
    for lock in place.statement.locks:
        if lock.relation in place.weights.rows and place.weights.has_rows(lock.relation):
            found.setdefault(lock.relation, set()).add(lock.mode)
    return found


def _condition(one: Effect, effects: tuple[Effect, ...]) -> str:
    """What rows have to meet from now on; something that is made anew with its column was met before."""
    if not any(other.change == "scanned" and other.table == one.table for other in effects):
        return ""  # nothing was read: it holds for later rows, or for a new column that is empty
    if any(_is_made_anew(one, other) for other in effects):
        return ""
    if one.kind == "column" and one.is_tightening:
        return f"NOT NULL of column {one.name}"
    if one.kind == "constraint" and one.after.get("valid") and not one.before.get("valid"):
        return f"constraint {one.after['name']}"
    if one.kind == "index" and one.change == "added" and one.after.get("unique"):
        return f"unique index {one.after['name']}"
    return ""


def _is_made_anew(one: Effect, other: Effect) -> bool:
    return (
        other.change == "removed"
        and (other.kind, other.name) == (one.kind, one.name)
        and bool(other.before.get("valid"))
    )


def _settings(place: _Place) -> Iterator[Hazard]:
    for setting in sql_text.timeouts_off(place.statement.sql):
        what = f"sets {setting} to wait for ever, while others wait behind it"
        yield place.hazard("timeout-off", what, blocks=True)


def _several(revision: str, tables: tuple[str, ...]) -> Iterator[Hazard]:
    if len(tables) > 1:
        what = f"locks {', '.join(tables)} against reads and writes one after the other: who uses them in another order"
        what += " ends in a deadlock with it"
        yield Hazard("several-locks", revision, -1, "advice", what, RECIPES["several-locks"].text, tables)


def _is_unnamed(one: Effect, sql: str) -> bool:
    return one.kind in _UNNAMED_LOSS and one.name.split("(")[0].split(".")[-1].strip('"').lower() not in sql.lower()


def _full(place: _Place, name: str) -> str:
    return sql_text.full_name(name, place.weights.rows)
