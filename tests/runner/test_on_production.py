"""What the sealed runs say of a roll back of production that was begun, and of its end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from pantheon_runbook.errors import ParameterError
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns
from pantheon_runbook.permission import signed_plan
from pantheon_runbook.runner.on_production import broken_off_roll_back, roll_back_since, unit_of_work

# (runbook, verdict, has it begun a change, only), the oldest first.
PROMOTED = ("RB-030", "done", True, "")
BROKEN_OFF, BACK = ("RB-040", "partial", True, ""), ("RB-040", "done", True, "")
IDLE = ("RB-040", "nothing-to-do", False, "")
PAGE_BACK = ("RB-040", "done", True, "vercel")
REFUSED = ("RB-040", "refused", False, "")


def sealed(evidence: Path, runs: list[tuple[str, str, bool, str]]) -> SealedRuns:
    listed = []
    for number, (runbook, verdict, has_begun, only) in enumerate(runs):
        bundle = f"bundle-{number}"
        (evidence / bundle).mkdir()
        lines: list[dict[str, Any]] = [{"event": "run-opened", "parameters": {"only": only}}]
        lines += [{"event": "change-begins"}] if has_begun else []
        (evidence / bundle / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        about = (bundle, runbook, "sandbox", "production", verdict, "apply")
        listed.append(SealedRun(*about, sealed_at="", manifest="", sealed_by="", key=""))
    return SealedRuns(tuple(listed))


@pytest.mark.parametrize(
    ("runs", "since", "broken_off"),
    [
        ([PROMOTED], None, None),
        ([PROMOTED, BROKEN_OFF], 1, 1),
        ([PROMOTED, BROKEN_OFF, REFUSED], 1, 1),
        ([PROMOTED, BROKEN_OFF, IDLE], 1, None),
        ([PROMOTED, BROKEN_OFF, BACK], 2, None),
        ([PROMOTED, BROKEN_OFF, PAGE_BACK], 2, 1),
        ([PROMOTED, PAGE_BACK], 1, None),
        ([PROMOTED, BROKEN_OFF, PROMOTED], None, None),
    ],
)
def test_roll_back_is_known_until_something_comes_after_it(
    tmp_path: Path, runs: list[Any], since: int | None, broken_off: int | None
) -> None:
    told = sealed(tmp_path, runs)
    found = (roll_back_since(told, tmp_path), broken_off_roll_back(told, tmp_path))

    assert [None if one is None else f"bundle-{one}" for one in (since, broken_off)] == [
        None if one is None else one.bundle for one in found
    ]


# ---- the unit of work that is named, and who made its plan

RUN = "4372016e7121abcd"
PLAN = b"{}"
DIGEST = hashlib.sha256(PLAN).hexdigest()


@dataclass(frozen=True)
class World:
    """As much of it as says where the evidence lies."""

    evidence: Path


def promoted_by(evidence: Path, *operators: tuple[str, str]) -> SealedRuns:
    """Runs with one and the same plan, (verdict, operator) each, the oldest first."""
    listed = []
    for number, (verdict, operator) in enumerate(operators):
        bundle = evidence / f"{number}-RB-030-production-{RUN[:8]}"
        bundle.mkdir()
        (bundle / "plan.json").write_bytes(PLAN)
        opened = {"event": "run-opened", "run": RUN, "parameters": {"resume": ""}}
        opened |= {"operator": operator, "operator_source": "login"}
        (bundle / "journal.jsonl").write_text(f"{json.dumps(opened)}\n")
        about = (bundle.name, "RB-030", "sandbox", "production", verdict, "apply")
        listed.append(SealedRun(*about, sealed_at="", manifest="", sealed_by="", key=""))
    return SealedRuns(tuple(listed))


@pytest.mark.parametrize("named", [RUN, RUN[:8], RUN[:12], f"1-RB-030-production-{RUN[:8]}"])
def test_unit_is_found_by_its_bundle_or_its_run(tmp_path: Path, named: str) -> None:
    told = promoted_by(tmp_path, ("planned", "ana"), ("partial", "ben"))

    assert f"1-RB-030-production-{RUN[:8]}" == unit_of_work(cast(Any, World(tmp_path)), lambda: told, named)[1].bundle


@pytest.mark.parametrize("named", [f"{RUN[:8]}2", f"{RUN[:8]}XYZ", RUN[:7], f"{RUN}0"])
def test_mistyped_run_is_no_run(tmp_path: Path, named: str) -> None:
    """It would go on with what nobody has named."""
    told = promoted_by(tmp_path, ("planned", "ana"), ("partial", "ben"))

    with pytest.raises(ParameterError, match="there is no unit of work"):
        unit_of_work(cast(Any, World(tmp_path)), lambda: told, named)


def test_whoever_made_the_plan_is_its_requester(tmp_path: Path) -> None:
    """Whoever makes the same plan anew, or only tries to apply it, takes that from nobody."""
    told = promoted_by(tmp_path, ("planned", "ana"), ("planned", "ben"), ("held", "cy"))
    signed = signed_plan(tmp_path, told, DIGEST)

    assert signed is not None
    assert ("ben", ["ana"]) == (signed.requester.name, [one.name for one in signed.others])


def test_plan_that_was_only_held_is_asked_for_by_who_tried(tmp_path: Path) -> None:
    signed = signed_plan(tmp_path, promoted_by(tmp_path, ("held", "cy")), DIGEST)

    assert signed is not None
    assert ("cy", ()) == (signed.requester.name, signed.others)
