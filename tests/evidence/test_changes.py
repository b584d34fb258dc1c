"""What became of every planned change: the section that is read after a run was stopped or killed."""

from __future__ import annotations

import html
from typing import Any

import pytest
from made_runs import ACTS, CHANGES, KIND, carried_out

from pantheon_runbook.evidence.bundle import seal_abandoned
from pantheon_runbook.evidence.changes import rows_of, summary
from pantheon_runbook.evidence.report import report_html, report_markdown
from pantheon_runbook.secrets import Registry

KEY, ENVIRONMENT, SERVICE = (str(change["address"]) for change in CHANGES)
PLAN = {"changes": CHANGES}
APPLY_BEGAN = {"event": "act-begins", "act": "apply"}
VERDICT = {
    "cloud": "sandbox",
    "environment": "staging",
    "runbook": "RB-010",
    "word": "partial",
    "why": "-",
    "cells": "-",
}


def began(address: str) -> dict[str, Any]:
    return {"event": "change-begins", "address": address, "action": "create"}


def ended(address: str, outcome: str, reason: str = "") -> dict[str, Any]:
    return {"event": "change-ends", "address": address, "outcome": outcome, "reason": reason, "seconds": 0.5}


def write(event: str, address: str, **more: object) -> dict[str, Any]:
    vendor = address.partition("/")[0]
    return {"event": event, "address": address, "vendor": vendor, "operation": "make it", **more}


def outcomes(*events: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row.outcome, row.reason) for row in rows_of(events, PLAN)]


def test_every_outcome_has_its_words():
    events = (APPLY_BEGAN, ended(KEY, "done"), ended(ENVIRONMENT, "not-ready", "slow"), ended(SERVICE, "unknown", "?"))

    assert [("done", ""), ("made but not ready", "slow"), ("unknown", "?")] == outcomes(*events)
    assert ("not done", "no") == outcomes(APPLY_BEGAN, ended(KEY, "not-done", "no"))[0]


def test_what_depends_on_a_failure_was_not_reached():
    """Its own reason is what it waited for; the rest was in nobody's way."""
    assert [
        ("not reached", "the run ended before it"),
        ("not done", "no"),
        ("not reached", f"waits for {ENVIRONMENT}"),
    ] == outcomes(APPLY_BEGAN, began(ENVIRONMENT), ended(ENVIRONMENT, "not-done", "no"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ("not done", "the runner ended before it had sent a write")),
        (
            [write("write-intent", KEY)],
            ("unknown", "the runner ended in it; last write: make it, no answer seen"),
        ),
        (
            [write("write-intent", KEY), write("write-result", KEY, result="ReadTimeout")],
            ("unknown", "the runner ended in it; last write: make it, no answer seen"),
        ),
        (
            [write("write-intent", KEY), write("write-result", KEY, result=201)],
            ("unknown", "the runner ended in it; last write: make it, answer 201"),
        ),
        (
            [
                write("write-intent", KEY),
                write("write-result", KEY, result=201),
                write("write-intent", KEY),
            ],
            ("unknown", "the runner ended in it; last write: make it, no answer seen"),
        ),
    ],
    ids=["no write", "no answer", "no answer but an error", "answered", "answered, then another"],
)
def test_change_that_never_ended_is_told_by_its_writes(lines: list[dict[str, Any]], expected: tuple[str, str]):
    """A kill between the intent and the end: nobody knows, except where no write was announced."""
    assert expected == outcomes(APPLY_BEGAN, began(KEY), *lines)[0]


def test_plan_run_plans_and_refused_run_reaches_nothing():
    held = {"event": "act-ends", "act": "apply", "held": True}

    assert {("planned", "")} == set(outcomes(APPLY_BEGAN, held))
    assert {("not reached", "the apply act did not begin")} == set(outcomes())


def test_writes_are_counted_by_vendor():
    events = [
        write("write-intent", KEY),
        write("write-result", KEY, result="ReadTimeout"),
        write("write-intent", ENVIRONMENT),
        write("write-result", ENVIRONMENT, result=200),
        write("write-intent", SERVICE),
        write("write-intent", "database/marker"),
        write("write-result", "database/marker", result="committed"),
    ]

    told = "none planned; writes sent: database 1, openrouter 1, railway 2; no clear answer: openrouter 1, railway 1"
    assert told == summary([], events)
    assert "none planned; writes sent: none" == summary([], [])


def test_unit_that_goes_on_tells_of_the_runs_before():
    """Its plan is what is left, and what is done is done by all of them."""
    planned = {"event": "act-ends", "act": "plan", "digest": "", "changes": 3, "made_before": 6}

    told = "earlier runs of this unit made 6 of its changes, none of which is made again"
    assert f"none planned; writes sent: none; {told}" == summary([], [planned])
    assert told not in summary([], [{**planned, "made_before": 0}])


@pytest.mark.parametrize(
    "plan", [{}, {"changes": 5}, {"changes": [5, {}, {"address": [], "action": {}, "depends_on": 7}]}], ids=repr
)
def test_plan_of_no_kind_is_no_traceback(plan: dict[str, Any]):
    """A damaged plan.json is sealed as it is, and named elsewhere."""
    events = [APPLY_BEGAN, began(KEY), write("write-intent", KEY)]

    assert "writes sent: openrouter 1" in report_markdown(events, VERDICT, plan)
    assert "writes sent: openrouter 1" in report_html(events, VERDICT, plan, None)


def test_reports_tell_the_same_each_time():
    events = [APPLY_BEGAN, ended(KEY, "done"), began(ENVIRONMENT), write("write-intent", ENVIRONMENT)]
    first, page = report_markdown(events, VERDICT, PLAN), report_html(events, VERDICT, PLAN, None)

    assert (first, page) == (report_markdown(events, VERDICT, PLAN), report_html(events, VERDICT, PLAN, None))
    assert f"- done | create | {KEY} | 0.5 s\n" in first
    assert f"<tr><td>{KEY}</td><td>create</td><td>done</td><td></td><td>0.5</td></tr>" in page
    for row in rows_of(events, PLAN):
        assert f"- {row.outcome} | create | {row.address}" in first
        assert f"<td>{row.address}</td><td>create</td><td>{row.outcome}</td><td>{html.escape(row.reason)}</td>" in page


def test_killed_run_shows_where_it_was_killed(make):
    bundle, lines = make.begun(acts=ACTS[:4])
    lines.write("act-begins", act="apply")
    carried_out(lines, KEY)
    carried_out(lines, ENVIRONMENT, until="write-intent")
    make.forget(bundle)
    seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")

    told = (make.folders[0] / "report.md").read_text()

    assert KIND in told
    assert "3 in the plan: 1 done, 1 unknown, 1 not reached; writes sent: openrouter 1, railway 1" in told
    assert f"- unknown | create | {ENVIRONMENT} | the runner ended in it; last write: create, no answer seen\n" in told
