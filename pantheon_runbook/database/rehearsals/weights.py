"""How much the tables of the target weigh: the same statement is nothing on an empty one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pantheon_runbook.database.migrations.revisions import Statement

Rows = Mapping[str, int | None]  # every table of the target; None: it was never counted
_FEW = 1_000


def magnitude(rows: int, *, big: int) -> int:
    """The least that a table of its order of magnitude has; orders are counted from `big`, few rows are all one.

    A plan that names rows must not be out of date because a busy table goes on growing.
    """
    if rows < min(_FEW, big):
        return min(rows, 1)
    exponent = math.floor(math.log10(rows / big))
    return round(big * 10.0**exponent)


def in_words(rows: int | None) -> str:
    """Of what `magnitude` gives; None was never counted."""
    if rows is None:
        return "an unknown number of rows"
    return {0: "0 rows", 1: f"up to {_FEW:,} rows"}.get(rows, f"{rows:,}+ rows")


@dataclass(frozen=True, slots=True)
class Weights:
    """`rows` of the target; from `big` rows on, a table is one that must not be held up."""

    rows: Rows
    big: int

    def is_big(self, table: str) -> bool:
        """A table that nobody counted may be of any size."""
        rows = self.rows.get(table, 0)
        return rows is None or rows >= self.big

    def weight(self, table: str) -> float:
        rows = self.rows.get(table, 0)
        return float("inf") if rows is None else rows

    def has_rows(self, table: str) -> bool:
        return self.rows.get(table, 0) != 0

    def words(self, table: str) -> str:
        return in_words(self.rows.get(table, 0))

    def after(self, statement: Statement) -> Weights:
        """Rows go along with a table that is renamed."""
        renamed = {
            one.before["name"]: one.after["name"] for one in statement.effects if one.kind == "table" and one.is_rename
        }
        if not renamed:
            return self
        return replace(self, rows={renamed.get(table, table): rows for table, rows in self.rows.items()})
