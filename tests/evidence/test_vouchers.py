"""What the journals of runs say was created: by id, by name, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_runs import KIND, PLAN, Maker

from pantheon_runbook.evidence.vouchers import made_by_runs
from pantheon_runbook.isolation.identity import Made
from pantheon_runbook.model import canonical, digest_of
from pantheon_runbook.verdict import NotebookStatus

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


def run(make: Maker, number: int, *events: dict[str, Any], is_sealed: bool = True) -> Path:
    """A run that planned, approved and wrote what the events tell of; its folder."""
    bundle, journal = make.begun(number, acts=("open", "observe"))
    addresses = sorted({str(event["address"]) for event in events})
    plan = {**PLAN, "changes": [{"address": address, "action": "create", "depends_on": []} for address in addresses]}
    bundle.write("plan.json", canonical(plan))
    journal.write("act-begins", act="plan")
    journal.write("act-ends", act="plan", digest=digest_of(plan), changes=len(addresses))
    approval = {"plan_digest": digest_of(plan), "kind": KIND, "approver": "supervisor"}
    journal.write("act-begins", act="approve")
    bundle.write("approval.json", canonical(approval))
    journal.write("act-ends", act="approve", digest=digest_of(plan), kind=KIND)
    journal.write("act-begins", act="apply")
    for event in events:
        journal.write(**event)
    if is_sealed:
        return bundle.seal(make.key, NotebookStatus("not-observed"))[0]
    make.forget(bundle)
    return bundle.folder


def told(make: Maker, *, running: Path | None = None, **other: str) -> Made:
    about = {"cloud": "sandbox", "environment": "staging", **other}
    return made_by_runs(make.evidence, running=running or make.evidence / ".running" / "now", trust=None, **about)


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
def test_journal_vouches_by_id_else_by_name(make, events, expected):
    run(make, 1, *events)

    assert expected == told(make)


def test_railway_is_told_by_project_and_environment(make):
    project = {
        **CREATE,
        "address": "railway/environment",
        "operation": "ProjectCreate",
        "sent": {"input": {"name": "p"}},
    }
    inside = {**project, "operation": "EnvironmentCreate", "sent": {"input": {"projectId": "p-1", "name": "staging"}}}
    answer = {**inside, "event": "write-result", "result": 200, "made": {"data": {"environmentCreate": {"id": "e-1"}}}}
    run(make, 1, project)
    run(make, 2, inside)
    run(make, 3, inside, answer)

    names = frozenset({("railway/project", "p"), ("railway/p-1", "staging")})
    assert Made(frozenset({"e-1"}), names) == told(make)


@pytest.mark.parametrize("other", [{"cloud": "live"}, {"environment": "qa"}])
def test_runs_for_something_else_vouch_for_nothing(make, other):
    run(make, 1, CREATE, MADE)

    assert Made() == told(make, **other)


def test_only_sealed_runs_vouch_and_the_one_that_asks(make):
    folder = run(make, 1, CREATE, MADE, is_sealed=False)
    assert Made() == told(make)

    assert Made(frozenset({"r"})) == told(make, running=folder)


def test_run_that_somebody_changed_vouches_for_nothing(make):
    folder = run(make, 1, CREATE, MADE)
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"ref":"r"', b'"ref":"x"'))

    assert Made() == told(make)


def test_bundle_that_nobody_sealed_vouches_for_nothing(make):
    """A folder put there by hand, with a line in the ledger."""
    folder = run(make, 1, CREATE, MADE)
    (folder / "seal.json").unlink()

    assert Made() == told(make)
