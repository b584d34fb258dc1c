"""A unit of work in words: what each step of a plan changes on production, what it waits for, and the way back. Pure.

Plans come as the JSON that is sealed, so that a report tells of them in the same words as the card did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pantheon_runbook.database.migrations.revision_kinds import BASELINE, LEDGER, REVISION
from pantheon_runbook.database.migrations.undo_kind import UNDO
from pantheon_runbook.database.migrations.units import BEGIN, END
from pantheon_runbook.kind import ROLL_BACK
from pantheon_runbook.model import OUTCOME_WORDS, StepResult
from pantheon_runbook.promotion.unit import BUILD, DEPLOYMENT, MARKER, PROMOTION, SMOKE

PRODUCTION = "production"
LANES = ("database", "backend", "page", "checks")
_SHORT = 12
# By address: what is done, to what, and what it comes to.
_ONCE = {
    BEGIN: ("begin", "the unit of work", "its approval is used up by it"),
    END: ("end", "the unit of work", "the ledger says how it came out"),
    MARKER: ("mark", "the database", "no mark -> production"),
    LEDGER: ("make", "the ledger", "none -> tables of this tool's own schema"),
    SMOKE: ("check", "production", "read-only checks"),
}


@dataclass(frozen=True)
class Step:
    """One change of a plan. `number` counts from 1 in the plan's order, `waits` are the numbers that it builds on.

    `risk` and `back` are "" where there is nothing to say.
    """

    number: int
    address: str
    act: str
    subject: str
    change: str
    lane: str
    waits: tuple[int, ...] = ()
    title: str = ""
    artefact: str = ""
    risk: str = ""
    back: str = ""

    @property
    def name(self) -> str:
        return f"{self.act} {self.subject}"

    @property
    def is_served(self) -> bool:
        """Whether it changes what clients get."""
        return self.address == PROMOTION or self.address.startswith(f"{DEPLOYMENT}/")


def is_on_production(plan: Mapping[str, Any]) -> bool:
    return plan.get("environment") == PRODUCTION


def steps_of(plan: Mapping[str, Any]) -> tuple[Step, ...]:
    """One step for each change of a plan of production, in its order."""
    changes = [one for one in plan.get("changes", ()) if isinstance(one, Mapping)]
    needs = _needs(changes)
    numbers = {str(one["address"]): number for number, one in enumerate(changes, 1)}
    artefacts = plan.get("release", {}).get("artefacts", {})
    return tuple(
        _step(one, numbers, direct=_direct(needs, str(one["address"])), is_late=SMOKE in needs[str(one["address"])])
        for one in ({**one, "artefact": artefacts.get(one["address"], "")} for one in changes)
    )


def _step(one: Mapping[str, Any], numbers: Mapping[str, int], *, direct: Iterable[str], is_late: bool) -> Step:
    address = str(one["address"])
    act, subject, change = _words(one, is_late=is_late)
    return Step(
        numbers[address],
        address,
        "wait for" if one["action"] == "wait" else act,
        subject,
        change,
        _lane(address),
        tuple(sorted(numbers[need] for need in direct)),
        str(one.get("after", {}).get("title", "")).rstrip("."),
        str(one["artefact"]),
        _told(one.get("risk", ""), none="none"),
        _told(one.get("undo", ""), none="none needed"),
    )


def _words(one: Mapping[str, Any], *, is_late: bool) -> tuple[str, str, str]:
    address, before, after = str(one["address"]), one.get("before", {}), one.get("after", {})
    name, back = address.rpartition("/")[2], "roll back" if one["action"] == ROLL_BACK else ""
    if address.startswith(f"{DEPLOYMENT}/"):
        return back or "deploy", name, _commits(before, after)
    if address == PROMOTION:
        return back or "promote", "the page", _commits(before, after)
    told = {
        **_ONCE,
        BASELINE: ("accept", f"revision {after.get('revision', '')}", "what stands there is taken for it"),
        BUILD: ("build", "the page", f"{short(after.get('commit'))}, shown to nobody yet"),
        f"{REVISION}/{name}": ("contract" if is_late else "expand", f"revision {name}", "pending -> applied"),
        f"{UNDO}/{name}": ("undo", f"revision {name}", "applied -> undone"),
    }
    return told.get(address, (str(one["action"]), address, ""))


def _commits(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """By commit, else by what the vendor calls it."""
    by = "commit" if "commit" in {*before, *after} else "id"
    return f"{short(before.get(by)) or 'none'} -> {short(after.get(by)) or 'as before'}"


def short(commit: Any) -> str:
    return str(commit)[:_SHORT] if commit else ""


def _lane(address: str) -> str:
    if address == SMOKE:
        return "checks"
    if address.startswith(f"{DEPLOYMENT}/"):
        return "backend"
    return "page" if address in {BUILD, PROMOTION} else "database"


def _told(text: Any, *, none: str) -> str:
    return "" if str(text).startswith(none) else str(text)


def _needs(changes: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """By address everything that a step waits for, also through others; a plan lists it behind what it waits for."""
    found: dict[str, frozenset[str]] = {}
    for one in changes:
        direct = [str(need) for need in one.get("depends_on", ()) if need in found]
        found[str(one["address"])] = frozenset(direct).union(*(found[need] for need in direct))
    return found


def _direct(needs: Mapping[str, frozenset[str]], address: str) -> frozenset[str]:
    """Without what it waits for already through another one."""
    return needs[address] - frozenset().union(*(needs[need] for need in needs[address]))


def taken_back(release: Any) -> dict[str, str]:
    """{"takes back", "reason"}: which run, what it came to, and why; {} of any other plan, or of a damaged one."""
    back = release.get("takes_back") if isinstance(release, Mapping) else None
    if not isinstance(back, Mapping):
        return {}
    return {
        "takes back": f"{back.get('run')} ({back.get('came_to')}: {str(back.get('for')).rstrip('.')})",
        "reason": str(back.get("reason") or "not said (-p reason=...)"),
    }


def state_of(steps: Iterable[Step], results: Iterable[StepResult]) -> str:
    """What state production is in after a unit that stopped: done, not done and unknown, by their names."""
    outcomes = {one.address: OUTCOME_WORDS[one.outcome] for one in results}
    listed: dict[str, list[str]] = {}
    for one in steps:
        listed.setdefault(outcomes.get(one.address, "not done"), []).append(one.name)
    words = [*(word for word in OUTCOME_WORDS.values() if word in listed)]
    return "production: " + "; ".join(f"{word}: {', '.join(listed[word])}" for word in words)
