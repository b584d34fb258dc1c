"""How much the tables of the target weigh: the same statement is nothing on an empty one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pantheon_runbook.database.migrations.revisions import Statement

Rows = Mapping[str, int | None]  # every table of the target; None: it was never counted


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
        rows = self.rows.get(table, 0)
        if rows is None:
            return "an unknown number of rows"
        return "1 row" if rows == 1 else f"{rows:,} rows"

    def after(self, statement: Statement) -> Weights:
        """Rows go along with a table that is renamed."""
        renamed = {
            one.before["name"]: one.after["name"] for one in statement.effects if one.kind == "table" and one.is_rename
        }
        if not renamed:
            return self
        return replace(self, rows={renamed.get(table, table): rows for table, rows in self.rows.items()})
