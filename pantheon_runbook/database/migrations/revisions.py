"""What a tree of Alembic revisions is, and what became of some of them: values, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["expand", "contract", ""]


@dataclass(frozen=True, slots=True)
class Revision:
    """One file of the tree. `file` is relative to the folder of alembic.ini, `digest` is sha256 over its bytes.

    The last three are what its author declared in it: `phase`, `forward_fix_only`, and
    `check = {"query": "select ...", "expect": value}`, one SELECT whose only value is compared.
    """

    id: str
    down: tuple[str, ...]
    depends_on: tuple[str, ...]
    branch_labels: tuple[str, ...]
    file: str
    digest: str
    title: str
    phase: Phase = ""
    forward_fix_only: bool = False
    check: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Every revision, each after those it builds on; `heads` has several entries when the tree has to be merged."""

    revisions: tuple[Revision, ...]
    heads: tuple[str, ...]

    def get(self, revision: str) -> Revision | None:
        """None: the tree does not know it."""
        return next((one for one in self.revisions if one.id == revision), None)

    def below(self, heads: Iterable[str]) -> frozenset[str]:
        """These revisions and all that they build on; those that the tree does not know are left out."""
        found: set[str] = set()
        waiting = list(heads)
        while waiting:
            revision = self.get(waiting.pop())
            if revision is not None and revision.id not in found:
                found.add(revision.id)
                waiting += (*revision.down, *revision.depends_on)
        return frozenset(found)

    def tops(self, revisions: Iterable[str]) -> tuple[str, ...]:
        """Those of these that no other one of them builds on, sorted; one that the tree does not know is always one."""
        given = set(revisions)
        return tuple(sorted(one for one in given if not any(one in self.below([other]) for other in given - {one})))

    def pending(self, heads: Iterable[str]) -> tuple[Revision, ...]:
        """What is above these, in the order in which it is applied."""
        applied = self.below(heads)
        return tuple(one for one in self.revisions if one.id not in applied)


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock on one relation, as PostgreSQL names both: "public.messages", "AccessExclusiveLock"."""

    relation: str
    mode: str


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a statement did, as the catalog of the rehearsal's server shows it (`database.effects`).

    `kind` is table, column, constraint, index, policy, trigger, function, view, sequence, type or label; `table` is the
    one that it belongs to, "" for none. `name` is the one before; `before` and `after` have "name", and for a column
    "type", "required", "filled", for a table "security", for a constraint and an index "valid".
    `is_old`: it stood there before the first pending revision; `is_on_old`: its table did.
    """

    change: Literal["added", "changed", "removed", "rewritten", "scanned"]
    kind: str
    name: str
    table: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    is_old: bool = False
    is_on_old: bool = False

    @property
    def is_rename(self) -> bool:
        """The same thing under another name; a constraint's or an index's is nobody's business."""
        is_named = self.kind not in {"constraint", "index", "sequence"}
        return is_named and self.change == "changed" and self.before["name"] != self.after["name"]

    @property
    def is_tightening(self) -> bool:
        """A column that could be empty, and may not any more."""
        return self.change == "changed" and bool(self.after.get("required")) and not self.before.get("required")

    @property
    def is_demanding(self) -> bool:
        """A column that has to have a value, and that nobody fills who does not know of it."""
        return bool(self.after.get("required")) and not self.after.get("filled")

    @property
    def is_securing(self) -> bool:
        """A table whose rows are from now on seen by policies only."""
        return self.change == "changed" and bool(self.after.get("security")) and not self.before.get("security")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that ran: its text, how long it took, and the locks that were not held before it.

    `is_alone`: it ran outside a transaction, so its locks ended with it and were seen by somebody else, or not at all.
    `effects` are known in a rehearsal only.
    """

    sql: str
    seconds: float
    locks: tuple[Lock, ...] = ()
    is_alone: bool = False
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Ran:
    """One revision that was carried out, in either direction; `heads` are the database's when it was done."""

    revision: str
    statements: tuple[Statement, ...]
    seconds: float
    heads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What pantheon_runbook.migrations says last of one revision: what was done, by whom, with which file.

    `state`: "begun" (a revision left its transaction and has not ended), "applied", or "baseline" (it stood there
    before we came, and was accepted). Times are UTC, ISO 8601; `ended_at` is "" for "begun".
    `after_deployment`: it had waited for the new backend, which therefore need not be deployed again.
    `followed_writes`: "begun" only; something that the revision wrote was committed when it left its transaction.
    """

    revision: str
    digest: str
    state: Literal["begun", "applied", "baseline"]
    run_id: str
    operator: str
    began_at: str
    ended_at: str
    file: str = ""
    followed_writes: bool = False
    after_deployment: bool = False


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the worker runs on the migrating connection, in the revision's own transaction, for each revision.

    `begun` when a revision leaves its transaction (just before that commits), `applied` or `undone` when it is done.
    All have SQLAlchemy's named parameters: `parameters`, the same for every revision, and :revision, :file and :digest.
    """

    begun: str
    applied: str
    undone: str
    parameters: Mapping[str, str]
