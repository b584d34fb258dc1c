"""What the sealed runs say of a roll back of production that was begun, and of its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.evidence.runs import SealedRun, SealedRuns
from pantheon_runbook.runner.on_production import broken_off_roll_back, roll_back_since

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
