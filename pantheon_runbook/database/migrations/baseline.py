"""A database that somebody else has migrated is taken over: at a stated revision, after its schema was compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.database.migrations.revisions import History, LedgerRow
from pantheon_runbook.errors import ParameterError, RefusedError
from pantheon_runbook.model import Finding, counted, digest_of, short_code
from pantheon_runbook.planning import few

_BASE = "base"  # Alembic's own word for "none"
_FIRST_DIFFERENCES = 6
_STATED = re.compile(r"(?P<revisions>[^\s,+]+(,[^\s,+]+)*)(\+(?P<code>[0-9a-f]{4}-[0-9a-f]{4}))?")
_ROW = f"""
insert into {SCHEMA}.migrations (revision, file, digest, state, run_id, operator, began_at, ended_at)
values (%s, %s, %s, 'baseline', %s, %s, now(), clock_timestamp())
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Stated:
    """What the operator says that the database is at; () is "base". `code` names a difference that he accepts."""

    revisions: tuple[str, ...]
    code: str = ""

    @classmethod
    def of(cls, parameter: str) -> Stated:
        """<revision>, with several heads <revision>,<revision>, and perhaps +<code>. Errors: ParameterError."""
        match = _STATED.fullmatch(parameter)
        if match is None:
            raise ParameterError(
                f'baseline = "{parameter}" is no revision',
                why="it is a revision, or several with commas between, and the code of an accepted difference after +",
                next_step="write it like baseline=0008 or baseline=0008+4be1-c09d",
            )
        revisions = tuple(one for one in match["revisions"].split(",") if one != _BASE)
        return cls(revisions, match["code"] or "")

    @property
    def in_words(self) -> str:
        return ",".join(self.revisions) or _BASE


def difference_code(expected: Iterable[str], found: Iterable[str]) -> str:
    """Eight characters for this very difference, in whatever order the lines come."""
    return short_code(digest_of([sorted(expected), sorted(found)]))


def code_of(expected: Iterable[str], found: Iterable[str]) -> str:
    """The code of the difference between two schemas, by their lines; "" when there is none."""
    missing, added = set(expected) - set(found), set(found) - set(expected)
    return difference_code(missing, added) if missing or added else ""


def baseline_finding(expected: Sequence[str], found: Sequence[str], stated: Stated, *, run: str) -> Finding:
    """Whether what stands may be taken for the stated revision.

    `expected` are the schema's lines of an empty database that was upgraded to it, `found` the target's. Equal, or
    different with the code of this very difference: it does not block. `run` is the command of the runbook.
    """
    missing, added = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if not missing and not added:
        what = f"the schema is what the revisions up to {stated.in_words} make; they are taken for the baseline"
        return Finding("baseline-equal", "database/ledger", what, "nothing is to be done", blocks=False)
    code = difference_code(missing, added)
    lines = [*(f"missing: {one}" for one in missing), *(f"only here: {one}" for one in added)]
    first = few([" ".join(one.split()) for one in lines], most=_FIRST_DIFFERENCES, parted="; ")
    differences = counted(len(lines), "difference")
    what = f"the schema is not what the revisions up to {stated.in_words} make ({differences}, {code}): "
    if stated.code == code:
        accepted = f"{what}{first}; accepted by its code"
        return Finding("baseline-accepted", "database/ledger", accepted, "read them before you approve", blocks=False)
    other = "the code given is another difference's; " if stated.code else ""
    return Finding(
        "baseline-differs",
        "database/ledger",
        f"{what}{first}",
        f"{other}state the revision that it is, or bring the schema to it; to accept this difference: "
        f"{run} -p baseline={stated.in_words}+{code}",
    )


def is_accepted(history: History, heads: Sequence[str] | None, rows: Sequence[LedgerRow], stated: Stated) -> bool:
    """Whether nothing is left of the statement to be written, also when the database has gone on from there since."""
    standing, said = history.below(heads or ()), history.below(stated.revisions)
    told = {row.revision: row.digest for row in rows if row.state != "begun"}
    is_told = all(told.get(one.id) == one.digest for one in history.revisions if one.id in said)
    return is_told and said <= standing and all(map(history.get, stated.revisions)) and told.keys() <= standing


def refusal(history: History, heads: Sequence[str] | None, rows: Sequence[LedgerRow], stated: Stated) -> Finding | None:
    """Why the statement cannot be true, whatever the schema looks like; None when it can.

    It can where Alembic's table says the same, where it says nothing at all, and where it is one revision short: the
    one that was begun and did not end.
    """
    if unknown := [one for one in stated.revisions if history.get(one) is None]:
        return _refused(stated, f"the tree does not know {', '.join(unknown)}")
    at, said = history.tops(heads or ()), history.tops(stated.revisions)
    begun = {row.revision for row in rows if row.state == "begun"}
    lacking = history.below(said) - history.below(at)
    ends_the_begun = lacking <= begun and history.below(at) < history.below(said)
    if not heads or at == said or (ends_the_begun and all(map(history.get, at))):
        return None
    return _refused(stated, f"Alembic's table is at {', '.join(at)}")


def _refused(stated: Stated, why: str) -> Finding:
    what = f"the database cannot be taken for {stated.in_words}: {why}"
    return Finding("baseline-refused", "database/ledger", what, "state a revision that Alembic's table says, or none")


def after(history: History, rows: Sequence[LedgerRow], stated: Stated) -> tuple[LedgerRow, ...]:
    """The ledger as it will be once the statement has been accepted, its heads being `stated.revisions`.

    Rows of the same file stay as they are. New ones have no run, operator or time yet.
    """
    standing, told = history.below(stated.revisions), {row.revision: row for row in rows if row.state != "begun"}
    return tuple(
        row
        if (row := told.get(one.id)) and row.digest == one.digest
        else LedgerRow(one.id, one.digest, "baseline", "", "", "", "", one.file)
        for one in history.revisions
        if one.id in standing
    )


def accept(
    connection: psycopg.Connection[Any],
    history: History,
    stated: Stated,
    *,
    version_table: str,
    run_id: str,
    operator: str,
) -> tuple[str, ...]:
    """Write the stated revisions and all below them as baseline, in one transaction; the ones that got a row.

    Alembic's table is set to them when it says nothing or is short of a begun one; rows of what does not stand are
    ended. Whoever calls has compared the schema. Errors: RefusedError, with nothing written; psycopg.Error.
    """
    with connection.transaction():
        connection.execute(f"lock table {SCHEMA}.migrations in share row exclusive mode".encode())
        heads = _locked_heads(connection, version_table)
        rows = ledger.rows(connection)
        if no := refusal(history, heads, rows, stated):
            raise RefusedError(
                f"the database cannot be taken for {stated.in_words}", why=no.what, next_step="plan again"
            )
        said = history.tops(stated.revisions)
        if history.tops(heads or ()) != said:
            _stamp(connection, version_table, said, is_new=heads is None)
        kept = after(history, rows, stated)
        ended = [row.revision for row in rows if row.revision not in {one.revision for one in kept}]
        ledger.undo(connection, ended, run_id=run_id, operator=operator)
        new = [row for row in kept if row not in rows]
        _write(connection, new, run_id, operator)
    return tuple(row.revision for row in new)


def _write(connection: psycopg.Connection[Any], new: Sequence[LedgerRow], run_id: str, operator: str) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(_ROW.encode(), [(row.revision, row.file, row.digest, run_id, operator) for row in new])


def _locked_heads(connection: psycopg.Connection[Any], version_table: str) -> tuple[str, ...] | None:
    """Nobody moves it from here on to the end of the transaction."""
    if ledger.heads(connection, version_table) is None:
        return None
    connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(_identifier(version_table)))
    return ledger.heads(connection, version_table)


def _stamp(connection: psycopg.Connection[Any], version_table: str, heads: Sequence[str], *, is_new: bool) -> None:
    table = _identifier(version_table)
    if is_new:
        ledger.make_version_table(connection, version_table)
    connection.execute(sql.SQL("delete from {}").format(table))
    for revision in heads:
        connection.execute(sql.SQL("insert into {} (version_num) values (%s)").format(table), (revision,))


def _identifier(version_table: str) -> sql.Identifier:
    return sql.Identifier(*version_table.split(".", 1))
