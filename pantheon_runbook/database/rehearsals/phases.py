"""Which revisions may run while the former backend still does, and which have to wait for the new one: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pantheon_runbook.database.migrations.revisions import Effect, Phase, Ran, Revision, Statement
from pantheon_runbook.database.rehearsals.hazards import Hazard
from pantheon_runbook.database.rehearsals.narrowing import is_narrower
from pantheon_runbook.database.rehearsals.recipes import Recipe

# Made anew under its name in the same revision, it was replaced and not taken away.
_REPLACEABLE = ("function", "trigger", "policy", "view", "type")
_MISSED = ("table", "column", *_REPLACEABLE, "label")

LATE_EXPAND = Recipe(
    "release in two steps: first up to the contract revision, then the rest; or let what contracts come last"
)
CONFLICT = Recipe('let the author correct what the revision says: phase = "expand" or phase = "contract"')


@dataclass(frozen=True, slots=True)
class Phased:
    """A revision's phase, and what of its statements made it that; `why` is "" for what takes nothing away."""

    phase: Phase
    why: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """The pending revisions around the deployment, in order; a hazard for each that cannot stand where it should."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    hazards: tuple[Hazard, ...]


def phase_of(revision: Revision, statements: Iterable[Statement]) -> Phased:
    """As declared; otherwise contract, if it takes away or demands what the former backend does not know of."""
    derived = derived_phase(statements)
    if not revision.phase or revision.phase == derived.phase:
        return derived
    return Phased(revision.phase, "its author says so")


def derived_phase(statements: Iterable[Statement]) -> Phased:
    """What the statements' effects make of it; what came with the pending revisions is used by nobody yet."""
    effects = [effect for statement in statements for effect in statement.effects]
    made = {(one.kind, one.table, one.name) for one in effects if one.change == "added"}
    why = next((words for one in effects if (words := _contracts(one, made))), "")
    return Phased("contract" if why else "expand", why)


def _contracts(one: Effect, made: set[tuple[str, str, str]]) -> str:
    where = f" of {one.table}" if one.table and one.kind != "table" else ""
    named = f"{one.kind} {one.name}{where}"
    if one.kind == "column" and one.change == "added" and one.is_on_old and one.is_demanding:
        return f"{named} demands a value"
    if not one.is_old:
        return ""
    if one.change == "removed" and one.kind in _MISSED:
        is_replaced = one.kind in _REPLACEABLE and (one.kind, one.table, one.name) in made
        return "" if is_replaced else f"{named} is dropped"
    if one.change != "changed":
        return ""
    if one.is_rename:
        return f"{named} is renamed to {one.after['name']}"
    return _column_contracts(one, named) if one.kind == "column" else ""


def _column_contracts(one: Effect, named: str) -> str:
    if is_narrower(one.before["type"], one.after["type"]):
        return f"{named} is narrowed to {one.after['type']}"
    if one.is_tightening:
        return f"{named} is demanded"
    if one.is_demanding and one.before.get("filled"):
        return f"{named} loses its default"
    return ""


def conflicts(revision: Revision, ran: Ran) -> tuple[Hazard, ...]:
    """Where the author says one thing and the statements another: only an unfounded "expand" can hurt anybody.

    A contract revision that meets nothing old, in a first installation, is one all the same.
    """
    derived = derived_phase(ran.statements)
    if not revision.phase or revision.phase == derived.phase:
        return ()
    if revision.phase == "contract" and derived_phase(map(_as_if_old, ran.statements)).phase == "contract":
        return ()
    if revision.phase == "expand":
        what = f"is declared to expand, but {derived.why}: the former backend may need it"
    else:
        what = "is declared to contract, but takes nothing away: it waits for the new backend without need"
    tier = "blocks" if revision.phase == "expand" else "advice"
    return (Hazard("phase-conflict", revision.id, -1, tier, what, CONFLICT.text),)  # type: ignore[arg-type]


def _as_if_old(statement: Statement) -> Statement:
    effects = (one if one.change == "added" else replace(one, is_old=True) for one in statement.effects)
    return replace(statement, effects=tuple(effects))


def split(
    pending: Sequence[Revision], phases: Mapping[str, Phase], *, harmless: Collection[str] = frozenset()
) -> Split:
    """What runs before the new backend is deployed, and what after it; a revision stays behind what it builds on.

    `harmless`: contract revisions that took nothing away which stood there before. They wait too, unless an expanding
    one builds on them: in a schema that is made from its beginning old releases follow each other without a backend.
    """
    late: dict[str, str] = {}  # a revision that waits, and the contract one that makes it
    hazards: list[Hazard] = []
    free = _needed_by_expands(pending, phases).intersection(harmless)
    for revision in pending:
        is_contract = phases[revision.id] == "contract"
        if is_contract and revision.id not in free:
            late[revision.id] = revision.id
            continue
        earlier = next((late[one] for one in (*revision.down, *revision.depends_on) if one in late), None)
        if earlier is not None:
            late[revision.id] = earlier
        if earlier is not None and not is_contract:
            what = f"expands, but builds on {earlier}, which waits for the new backend, which may need this one"
            hazards.append(Hazard("expand-after-contract", revision.id, -1, "blocks", what, LATE_EXPAND.text))
    before = tuple(one.id for one in pending if one.id not in late)
    return Split(before, tuple(late), tuple(hazards))


def _needed_by_expands(pending: Sequence[Revision], phases: Mapping[str, Phase]) -> set[str]:
    needed: set[str] = set()
    for revision in reversed(pending):
        if phases[revision.id] == "expand" or revision.id in needed:
            needed.update(revision.down, revision.depends_on)
    return needed
