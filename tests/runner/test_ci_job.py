"""Which job it was, and who set it off: a run in CI says both, as far as its environment tells."""

from __future__ import annotations

import pytest

from pantheon_runbook.evidence.report import report_html, report_markdown
from pantheon_runbook.runner import wiring

JOB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "ana",
    "GITHUB_TRIGGERING_ACTOR": "ana",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "pantheon/product",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "2",
}
WHERE = "https://github.com/pantheon/product/actions/runs/4711 attempt 2"
OPENED = {
    "event": "run-opened",
    "at": "2026-11-23T10:00:00Z",
    "run": "f" * 32,
    "mode": "plan",
    "operator": "ana",
    "operator_source": "self-asserted (GITHUB_ACTOR)",
}
VERDICT = {"cloud": "live", "runbook": "RB-030", "environment": "production", "word": "planned", "why": "", "cells": ""}


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, text in JOB.items():
        monkeypatch.setenv(name, text)
    return monkeypatch


def test_job_is_told_by_its_address(job):
    assert WHERE == wiring._ci()


@pytest.mark.parametrize("name", sorted(set(JOB) - {"GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"}))
def test_job_without_a_part_is_none(name, job):
    """Half an address leads nowhere."""
    job.delenv(name)

    assert "" == wiring._ci()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GITHUB_SERVER_URL", "javascript:alert(1)"),
        ("GITHUB_REPOSITORY", "a/b/../.."),
        ("GITHUB_RUN_ID", "1?x=1"),
        ("GITHUB_RUN_ATTEMPT", "1\n2"),
    ],
)
def test_odd_part_is_none(name, text, job):
    job.setenv(name, text)

    assert "" == wiring._ci()


def test_whoever_runs_a_job_again_is_its_operator(job):
    """An approver who presses "re-run" on somebody else's job carries it out."""
    job.setenv("GITHUB_TRIGGERING_ACTOR", "ben")
    assert ("ben", "self-asserted (GITHUB_TRIGGERING_ACTOR)") == wiring._operator()

    job.delenv("GITHUB_TRIGGERING_ACTOR")
    assert ("ana", "self-asserted (GITHUB_ACTOR)") == wiring._operator()


def test_report_says_which_job(job):
    told = {**OPENED, "ci": WHERE}

    assert f"- CI job: {WHERE}, self-asserted" in report_markdown([told], VERDICT, {}).splitlines()
    assert WHERE in report_html([told], VERDICT, {}, None).partition("</header>")[0]
    assert "CI job" not in report_markdown([OPENED], VERDICT, {})
