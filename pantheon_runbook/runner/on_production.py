"""What earlier runs have done to production, by what is sealed: the unit that goes on, or is taken back, and how."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pantheon_runbook.errors import EvidenceError, ParameterError, RefusedError
from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns, content_of
from pantheon_runbook.evidence.verify import DECISIONS, SIGNED_PLAN
from pantheon_runbook.permission import Signed, signed_plan
from pantheon_runbook.rolling_back import Cover
from pantheon_runbook.runner.production import PRODUCTION
from pantheon_runbook.runner.surroundings import World

_PROMOTES, _ROLLS_BACK = "RB-030", "RB-040"
_SHORT = 8


def roll_back_since(sealed: SealedRuns, evidence: Path) -> SealedRun | None:
    """The run of RB-040 that has changed production last; None when a promotion has, or nothing."""
    for run in reversed(sealed.runs):
        if _is_on_production(run) and _has_begun(_events(run, evidence)):
            return run if run.runbook == _ROLLS_BACK else None
    return None


def broken_off_roll_back(sealed: SealedRuns, evidence: Path) -> SealedRun | None:
    """One that came to no good end, and that neither another one nor a promotion has come after.

    One of a single vendor (`only`) ends nothing but itself.
    """
    for run in reversed(sealed.runs):
        if not _is_on_production(run):
            continue
        events = _events(run, evidence)
        if run.runbook == _ROLLS_BACK and run.came_to_good_end:
            if not events[0]["parameters"].get("only"):
                return None
        elif _has_begun(events):
            return run if run.runbook == _ROLLS_BACK else None
    return None


def unit_of_work(outside: World, sealed: Callable[[], SealedRuns], named: str) -> tuple[Signed, SealedRun]:
    """The plan of the unit of work that a promotion began or went on with, and that run; "" is the latest.

    One that was to go on, and did not come so far, leads to the run that it named. Errors: ParameterError.
    """
    wanted = named
    if problem := sealed().problem:
        raise EvidenceError(
            "the evidence is not what was sealed, and says nothing of any unit of work",
            why=problem,
            state="nothing was changed",
            next_step=f"pantheon-runbook evidence verify {outside.evidence}, and put it back as it was sealed",
        )
    for run in reversed(sealed().runs):
        if not _is_named(run, outside.evidence, wanted) or run.runbook != _PROMOTES or run.mode != "apply":
            continue
        folder = outside.evidence / run.bundle
        plan = next((folder / one for one in (SIGNED_PLAN, "plan.json") if (folder / one).is_file()), None)
        digest = hashlib.sha256(plan.read_bytes()).hexdigest() if plan else ""
        signed, is_let_through = signed_plan(outside.evidence, sealed(), digest), (folder / DECISIONS).is_file()
        if signed is not None and (named or is_let_through):
            return replace(signed, continues=run.bundle if is_let_through else ""), run
        if named:
            wanted = str(journal.read(folder / "journal.jsonl")[0]["parameters"]["resume"]) or wanted
    raise ParameterError(
        f'there is no unit of work "{named}"' if named else "no promotion was ever let through",
        why=f"no sealed apply run of RB-030 in {outside.evidence} is called so and has a plan that was read",
        next_step="name its bundle, or the first 8 characters of its run: pantheon-runbook list",
    )


def _is_named(run: SealedRun, evidence: Path, wanted: str) -> bool:
    """By its bundle, or by its run's id, the first 8 characters at least; a name with more to it is another one's."""
    if wanted in {"", run.bundle}:
        return True
    is_like = len(wanted) >= _SHORT and run.bundle.endswith(f"-{wanted[:_SHORT]}")
    return is_like and str(_events(run, evidence)[0]["run"]).startswith(wanted)


def require_let_through(resumes: Signed, named: str) -> None:
    """Errors: ParameterError."""
    if not resumes.continues:
        raise ParameterError(
            f"run {named[:50]} has nothing to go on with",
            why="it was never let through: no approval of its plan counted",
            next_step="name the plan that was approved: pantheon-runbook run RB-030 --apply --plan PLAN",
        )


def require_no_way_back(sealed: SealedRuns, evidence: Path) -> None:
    """Errors: RefusedError."""
    if back := roll_back_since(sealed, evidence):
        raise RefusedError(
            "the unit of work does not go on: a way back was begun",
            why=f"run {back.bundle} of RB-040 has changed production since ({back.verdict})",
            state="nothing was changed",
            next_step=(
                "" if back.came_to_good_end else f"finish it: pantheon-runbook run RB-040 -e {PRODUCTION} --apply; "
            )
            + f"make a new plan: pantheon-runbook run RB-030 -e {PRODUCTION}",
        )


def cover_of(outside: World, signed: Signed, run: SealedRun) -> Cover:
    """What let the unit through, by its sealed bundle; nothing where nobody did."""
    if not signed.continues:
        return Cover(signed, {}, frozenset(), run.sealed_at)
    kept = content_of(run, outside.evidence, DECISIONS)
    envelopes = {name: text.encode() for name, text in kept["envelopes"].items()}
    nonces = frozenset(one["nonce"] for one in kept["approvers"])
    ended_at = journal.last_act_at(journal.read(outside.evidence / run.bundle / "journal.jsonl"))
    return Cover(signed, envelopes, nonces, ended_at or run.sealed_at)


def _is_on_production(run: SealedRun) -> bool:
    return run.runbook in {_PROMOTES, _ROLLS_BACK} and run.mode == "apply"


def _events(run: SealedRun, evidence: Path) -> list[dict[str, Any]]:
    return journal.read(evidence / run.bundle / "journal.jsonl")


def _has_begun(events: list[dict[str, Any]]) -> bool:
    return any(one["event"] == "change-begins" for one in events)
