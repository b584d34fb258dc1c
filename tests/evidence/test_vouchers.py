"""What the journals of runs say was created: by id, by name, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.evidence.vouchers import made_by_runs
from pantheon_runbook.isolation.identity import Made

SENT = {"name": "ours"}
CREATE = {"event": "write-intent", "address": "supabase/project", "operation": "create the project", "sent": SENT}
RESULT = {"event": "write-result", "address": "supabase/project", "operation": "create the project"}
MADE = {**RESULT, "result": 201, "made": {"id": "r", "ref": "r", "name": "ours"}}
LOST = Made(names=frozenset({("supabase/project", "ours")}))
MARK = {
    "event": "write-intent",
    "address": "database/marker",
    "operation": "mark the environment",
    "sent": {"ref": "r"},
}
MARKED = {**MARK, "event": "write-result", "result": "committed"}


def ends(outcome: str) -> dict[str, Any]:
    return {"event": "change-ends", "address": "supabase/project", "outcome": outcome}


def run(evidence: Path, name: str, *events: dict[str, Any], is_sealed: bool = True, **opened: str) -> Path:
    folder = evidence / name
    folder.mkdir(parents=True)
    first = {"event": "run-opened", "cloud": "sandbox", "environment": "staging", **opened}
    (folder / "journal.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in (first, *events)))
    if is_sealed:
        with (evidence / "ledger.jsonl").open("a") as ledger:
            ledger.write(f"{json.dumps({'bundle': name})}\n")
    return folder


def told(evidence: Path) -> Made:
    return made_by_runs(evidence, cloud="sandbox", environment="staging", running=evidence / ".running" / "now")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((CREATE, MADE), Made(ids=frozenset({"r"}))),
        ((CREATE,), LOST),
        ((CREATE, {**RESULT, "result": "OutcomeUnknownError"}), LOST),
        ((CREATE, {**RESULT, "result": "OutcomeUnknownError"}, CREATE, MADE), Made(frozenset({"r"}), LOST.names)),
        ((CREATE, {**RESULT, "result": "OutcomeUnknownError"}, ends("done")), LOST),
        ((CREATE, {**RESULT, "result": "OutcomeUnknownError"}, ends("not-done")), Made()),
        ((CREATE, {**RESULT, "result": "VendorRefusedError"}), Made()),
        ((CREATE, {**RESULT, "result": "VendorUnavailableError"}), Made()),
        ((CREATE, MADE, MARK, MARKED), Made(frozenset({"r"}), marked=frozenset({"r"}))),
        ((CREATE, MADE, MARK), Made(frozenset({"r"}))),
        ((MARK, MARKED, CREATE, MADE), Made(frozenset({"r"}))),
    ],
)
def test_journal_vouches_by_id_else_by_name(tmp_path, events, expected):
    run(tmp_path, "one", *events)

    assert expected == told(tmp_path)


def test_railway_is_told_by_project_and_environment(tmp_path):
    project = {
        **CREATE,
        "address": "railway/environment",
        "operation": "ProjectCreate",
        "sent": {"input": {"name": "p"}},
    }
    inside = {**project, "operation": "EnvironmentCreate", "sent": {"input": {"projectId": "p-1", "name": "staging"}}}
    answer = {**inside, "event": "write-result", "result": 200, "made": {"data": {"environmentCreate": {"id": "e-1"}}}}
    run(tmp_path, "one", project)
    run(tmp_path, "two", inside)
    run(tmp_path, "three", inside, answer)

    names = frozenset({("railway/project", "p"), ("railway/p-1", "staging")})
    assert Made(frozenset({"e-1"}), names) == told(tmp_path)


@pytest.mark.parametrize("opened", [{"cloud": "live"}, {"environment": "qa"}])
def test_runs_for_something_else_vouch_for_nothing(tmp_path, opened):
    run(tmp_path, "one", CREATE, MADE, **opened)

    assert Made() == told(tmp_path)


def test_only_sealed_runs_vouch_and_the_one_that_asks(tmp_path):
    run(tmp_path, "unsealed", CREATE, MADE, is_sealed=False)
    assert Made() == told(tmp_path)

    run(tmp_path / ".running", "now", CREATE, MADE, is_sealed=False)
    assert Made(frozenset({"r"})) == told(tmp_path)
