"""What PostgreSQL showed, what squawk says and what policy allows, put together: each concern once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pantheon_runbook.config import MigrationPolicy, RuleException
from pantheon_runbook.database.hazards import Hazard, Weights
from pantheon_runbook.database.recipes import RECIPES

# What squawk expects from the text, and the copy showed to happen or not to happen.
_OBSERVED = frozenset[str]().union(*(recipe.squawk for recipe in RECIPES.values()))


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
    allowed = [_after(policy, one) for one in (*seen, *filter(None, news))]
    return tuple(sorted(filter(None, allowed), key=lambda one: one.tier != "blocks"))


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
