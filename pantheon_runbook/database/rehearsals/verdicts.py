"""What PostgreSQL showed, what squawk says and what policy allows, put together: each concern once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pantheon_runbook.config import MigrationPolicy, RuleException
from pantheon_runbook.database.migrations.revisions import Ran, Revision
from pantheon_runbook.database.rehearsals.hazards import Hazard, hazards_of
from pantheon_runbook.database.rehearsals.phases import Phased, conflicts, derived_phase, phase_of, split
from pantheon_runbook.database.rehearsals.recipes import RECIPES
from pantheon_runbook.database.rehearsals.weights import Rows, Weights

# What squawk expects from the text, and the copy showed to happen or not to happen.
_OBSERVED = frozenset[str]().union(*(recipe.squawk for recipe in RECIPES.values()))


@dataclass(frozen=True, slots=True)
class Judged:
    """`before` and `after` are the revisions around the deployment of the new backend."""

    hazards: tuple[Hazard, ...]
    phases: Mapping[str, Phased]
    before: tuple[str, ...]
    after: tuple[str, ...]


def judge(
    pending: Sequence[Revision], rans: Sequence[Ran], linted: Iterable[Hazard], *, rows: Rows, policy: MigrationPolicy
) -> Judged:
    """Everything about revisions that ran one after the other on a copy; `rows` are the target's."""
    start = weights = Weights(rows, policy.big_table_rows)
    seen: list[Hazard] = []
    phases: dict[str, Phased] = {}
    for revision, ran in zip(pending, rans, strict=True):
        phases[revision.id] = phase_of(revision, ran.statements)
        seen += hazards_of(ran, weights, is_declared_contract=revision.phase == "contract")
        seen += conflicts(revision, ran)
        for statement in ran.statements:
            weights = weights.after(statement)
    harmless = {one.id for one, ran in zip(pending, rans, strict=True) if not derived_phase(ran.statements).why}
    parts = split(pending, {name: phased.phase for name, phased in phases.items()}, harmless=harmless)
    hazards = verdicts((*seen, *parts.hazards), linted, weights=start, policy=policy)
    return Judged(hazards, phases, parts.before, parts.after)


def verdicts(
    seen: Sequence[Hazard], linted: Iterable[Hazard], *, weights: Weights, policy: MigrationPolicy
) -> tuple[Hazard, ...]:
    """All of them after policy, the blocking ones first, then in the order in which they were given.

    squawk's word is left out where ours says the same of the same statement, and where the copy showed that it touches
    no table that the target has; it is advice where the copy did not confirm it, or where the table is small.
    """
    said = {
        (one.revision, one.statement, rule) for one in seen if one.rule in RECIPES for rule in RECIPES[one.rule].squawk
    }
    news = [_weighed(one, weights) for one in linted if (one.revision, one.statement, one.rule) not in said]
    allowed = filter(None, (_after(policy, one) for one in (*seen, *filter(None, news))))
    once: dict[tuple[str, str, str], Hazard] = {}
    for one in allowed:
        once.setdefault((one.revision, one.rule, one.what), one)
    return tuple(sorted(once.values(), key=lambda one: one.tier != "blocks"))


def _weighed(one: Hazard, weights: Weights) -> Hazard | None:
    if one.rule not in _OBSERVED:
        return one
    if not set(one.tables) & weights.rows.keys():
        return None
    what = f"{one.what}; the rehearsal did not see it happen here"
    return replace(one, tier="advice", what=what)


def _after(policy: MigrationPolicy, one: Hazard) -> Hazard | None:
    exception = next((rule for rule in policy.rules if _is_meant(rule, one)), None)
    if exception is None:
        return one
    if exception.tier == "off":
        return None
    return replace(one, tier="advice", what=f"{one.what} (accepted by {exception.owner}: {exception.reason})")


def _is_meant(exception: RuleException, one: Hazard) -> bool:
    return exception.rule == one.rule and (not exception.revisions or one.revision in exception.revisions)
