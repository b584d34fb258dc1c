"""The fault switchboard: which request fails, how, and how often."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "429",  # refused with Retry-After, nothing happens
    "500-before",  # answered with 500, nothing happens
    "500-after",  # it happens, the answer is 500
    "timeout-after",  # it happens, the answer never comes
    "reset-before",  # the connection is dropped, nothing happens
    "reset-after",  # it happens, then the connection is dropped
    "truncated",  # it happens, the answer stops in the middle
    "stale",  # a read is answered as it was before the last mutation
    "latency",  # it takes longer
]
KINDS: tuple[str, ...] = get_args(Kind)
WITHOUT_EFFECT = frozenset({"429", "500-before", "reset-before"})
FIELDS = frozenset({"service", "operation", "kind", "skip", "times", "seconds", "environment"})


@dataclass
class Rule:
    """The first `skip` requests that match pass, the next `times` fail, the rest pass again."""

    kind: Kind
    service: str = "*"
    operation: str = "*"  # a glob
    environment: str | None = None
    skip: int = 0
    times: int = 1
    seconds: float | None = None  # latency, Retry-After, or how long a time-out holds the connection
    seen: int = field(default=0, compare=False)

    def matches(self, *, service: str, operation: str, environment: str | None, mutating: bool) -> bool:
        """Whether this rule is about such a request; only a read can be stale."""
        return (
            not (self.kind == "stale" and mutating)
            and fnmatch.fnmatchcase(service, self.service)
            and fnmatch.fnmatchcase(operation, self.operation)
            and self.environment in {None, environment}
        )

    def counts(self) -> bool:
        """Count one more match; whether this one fails."""
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times


def rule_of(document: Mapping[str, Any]) -> Rule:
    """A rule from JSON. Raises ValueError that says what is wrong with it."""
    if unknown := sorted(set(document) - FIELDS):
        raise ValueError(f"a fault has no {', '.join(unknown)}; it may have {', '.join(sorted(FIELDS))}")
    if document.get("kind") not in KINDS:
        raise ValueError(f"fault kind {document.get('kind')!r}: choose one of {', '.join(KINDS)}")
    return Rule(**document)


class Switchboard:
    """The rules in force; the first one that matches and is due decides."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def replace(self, rules: Sequence[Rule]) -> None:
        """From now on these rules and no others, all counts at zero."""
        self._rules = list(rules)

    def pick(self, *, service: str, operation: str, environment: str | None, mutating: bool) -> Rule | None:
        """The fault for this request, if one is due; every rule that matches counts it."""
        due = [
            rule
            for rule in self._rules
            if rule.matches(service=service, operation=operation, environment=environment, mutating=mutating)
            and rule.counts()
        ]
        return due[0] if due else None

    def describe(self) -> list[dict[str, Any]]:
        """The rules with how many requests each has seen."""
        return [vars(rule) for rule in self._rules]
