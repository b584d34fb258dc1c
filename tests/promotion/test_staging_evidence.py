"""Each reason for which a release is not promoted on what staging has shown; and the one run it is promoted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pantheon_runbook.evidence.runs import SealedRun, SealedRuns
from pantheon_runbook.promotion.staging_evidence import Asked, Release, StagingEvidence, judge, standing_of

NOW = datetime.fromisoformat("2026-11-23T10:00:00Z")
STAGING, OTHER = "b" * 20, "c" * 20
API, WEB = "railway/deployment/api", "vercel/deployment/preview"
DIGESTS = {"0001": "1" * 64, "0002": "2" * 64, "0003": "3" * 64}
COMMIT = "abcdef0123" * 4
RELEASE = Release(DIGESTS, ("0002", "0003"), {API: COMMIT, WEB: COMMIT})
ASKED = Asked("live", "staging", STAGING, NOW, 7)


def ran(verdict: str = "done", *, days_ago: float = 1, **more: Any) -> SealedRun:
    at = (NOW - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"runbook": "RB-020", "cloud": "live", "environment": "staging", "mode": "apply", "staging": STAGING}
    told = {**about, "sealed_at": at, "manifest": "f" * 64, "sealed_by": "the team", "key": "k", "why": "it was so"}
    return SealedRun(**{"bundle": f"RB-020-{verdict}-{days_ago}", "verdict": verdict, **told, **more})


def snapshot(
    recorded: Mapping[str, tuple[str, str]] | None = None,
    *,
    standing: tuple[str, ...] = ("0001", "0002", "0003"),
    commits: Mapping[str, str] = RELEASE.commits,
) -> dict[str, Any]:
    """As RB-020 leaves it."""
    rows = recorded or {one: (DIGESTS[one], "applied") for one in standing if one in DIGESTS}
    tree = {"recorded": [[one, *row] for one, row in rows.items()]}
    seen = [{"address": "database/tree", "state": "present", "attributes": tree}]
    seen += [{"address": f"database/revision/{one}", "state": "present", "attributes": {}} for one in standing]
    seen += [{"address": one, "state": "present", "attributes": {"commit": sha}} for one, sha in commits.items()]
    return {"observed": {"resources": []}, "verified": {"resources": seen}}


def judged(
    *runs: SealedRun,
    left: Mapping[str, Any] | None = None,
    release: Release = RELEASE,
    asked: Asked = ASKED,
    problem: str = "",
) -> StagingEvidence:
    return judge(release, asked, SealedRuns(runs, problem), standing_of(left or snapshot()))


def codes(found: StagingEvidence) -> list[str]:
    return [one.code for one in found.findings]


def test_good_run_is_named_with_its_manifest() -> None:
    found = judged(ran())

    assert ((), True) == (found.findings, found.is_good)
    assert {"bundle": "RB-020-done-1", "manifest": "f" * 64} == found.for_plan
    assert "RB-020-done-1, sealed 2026-11-22T10:00:00Z by the team, manifest ffff-ffff" == found.in_words


RUNS = {
    "missing": ([], "staging-evidence-missing"),
    "a plan only": ([ran("planned", mode="plan")], "staging-evidence-missing"),
    "another runbook": ([ran(runbook="RB-010")], "staging-evidence-missing"),
    "another environment": ([ran(environment="preview")], "staging-evidence-missing"),
    "refused only": ([ran("refused")], "staging-evidence-missing"),
    "sandbox for live": ([ran(cloud="sandbox")], "staging-evidence-rehearsed"),
    "sandbox after live": ([ran(), ran(cloud="sandbox", days_ago=0)], ""),
    "failing": ([ran("not-verified")], "staging-run-failed"),
    "failed later": ([ran(days_ago=2), ran("partial")], "staging-run-failed"),
    "unknown later": ([ran(days_ago=2), ran("unknown")], "staging-run-failed"),
    "killed later": ([ran(days_ago=2), ran("abandoned")], "staging-run-failed"),
    "failed before": ([ran("not-verified", days_ago=2), ran()], ""),
    "refused later": ([ran(days_ago=2), ran("refused")], ""),
    "planned later": ([ran(days_ago=2), ran("planned", mode="plan")], ""),
    "nothing to do after done": ([ran(days_ago=9), ran("nothing-to-do")], ""),
    "nothing to do after not verified": ([ran("not-verified", days_ago=2), ran("nothing-to-do")], ""),
    "nothing to do, and never done": ([ran("nothing-to-do")], "staging-evidence-applied-nothing"),
    "seven days": ([ran(days_ago=7)], ""),
    "more than seven": ([ran(days_ago=7.01)], "staging-evidence-too-old"),
    "old, a new one failed": ([ran(days_ago=9), ran("failed")], "staging-run-failed"),
    "tomorrow": ([ran(days_ago=-1)], "staging-evidence-in-the-future"),
    "a clock that is a bit ahead": ([ran(days_ago=-4 / 1440)], ""),
    "another staging": ([ran(staging=OTHER)], "staging-evidence-of-another"),
    "staging that was not seen": ([ran(staging="")], "staging-evidence-of-another"),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_has_to_be_the_latest_and_good(name: str) -> None:
    runs, code = RUNS[name]
    found = judged(*runs)

    assert ([code] if code else []) == codes(found)
    assert found.is_good is not any(one.blocks for one in found.findings)


def test_tampered_folder_proves_nothing() -> None:
    found = judged(ran(), problem="RB-020-done-1/journal.jsonl: changed")

    assert (["evidence-tampered"], {}, "none") == (codes(found), found.for_plan, found.in_words)
    assert "journal.jsonl" in found.findings[0].what
    assert "evidence verify" in found.findings[0].next_step


def test_sandbox_proves_for_the_sandbox() -> None:
    assert judged(ran(cloud="sandbox"), asked=replace(ASKED, cloud="sandbox")).is_good


def test_limit_of_age_is_the_config() -> None:
    old = ran(days_ago=20)
    assert [True, False] == [judged(old, asked=replace(ASKED, days=days)).is_good for days in (21, 19)]


CHANGED = {one: (DIGESTS[one] if one != "0003" else "9" * 64, "applied") for one in DIGESTS}
ACCEPTED = {one: (DIGESTS[one], "baseline") for one in DIGESTS}
BEGUN = {one: (DIGESTS[one], "begun" if one == "0003" else "applied") for one in DIGESTS}
LEFT = {
    "another file": (snapshot(CHANGED), [("revision-differs-from-staging", "database/revision/0003", True)]),
    "not there": (
        snapshot(standing=("0001", "0002")),
        [("revision-not-on-staging", "database/revision/0003", True)],
    ),
    "recorded, and gone from the database": (
        snapshot({one: (DIGESTS[one], "applied") for one in DIGESTS}, standing=("0001", "0002")),
        [("revision-not-on-staging", "database/revision/0003", True)],
    ),
    "half-way": (snapshot(BEGUN), [("revision-not-on-staging", "database/revision/0003", True)]),
    "accepted": (
        snapshot(ACCEPTED),
        [("revision-only-accepted", f"database/revision/{one}", False) for one in ("0002", "0003")],
    ),
    "beyond": (
        snapshot(standing=("0001", "0002", "0003", "0004")),
        [("staging-beyond-release", "staging/evidence", True)],
    ),
    "another commit": (snapshot(commits={API: COMMIT, WEB: "9" * 40}), [("commit-not-on-staging", WEB, True)]),
    "no deployment": (snapshot(commits={WEB: COMMIT}), [("commit-not-on-staging", API, True)]),
    "nothing verified": (
        {"observed": snapshot()["verified"]},
        [("revision-not-on-staging", f"database/revision/{one}", True) for one in ("0002", "0003")]
        + [("commit-not-on-staging", one, True) for one in (API, WEB)],
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_release_has_to_be_what_was_proven(name: str) -> None:
    left, expected = LEFT[name]
    found = judged(ran(), left=left)

    assert expected == [(one.code, one.address, one.blocks) for one in found.findings]


def test_differing_revision_is_named_with_both_digests() -> None:
    (one,) = judged(ran(), left=snapshot(CHANGED)).findings
    assert "revision 0003" in one.what
    assert "3333-3333 is to be promoted, 9999-9999 was applied" in one.what


def test_revision_that_production_has_is_not_asked_for() -> None:
    """Only what is pending there has to be proven here."""
    changed = {**CHANGED, "0001": ("8" * 64, "applied"), "0003": (DIGESTS["0003"], "applied")}
    assert judged(ran(), left=snapshot(changed)).is_good


def test_release_without_a_commit_is_not_proven() -> None:
    assert ["no-commit-to-promote"] == codes(judged(ran(), release=replace(RELEASE, commits={})))
    unknown = replace(RELEASE, commits={API: ""})
    assert ["commit-not-on-staging"] == codes(judged(ran(), release=unknown, left=snapshot(commits={API: ""})))


@pytest.mark.parametrize(
    ("holds", "code"),
    [
        (("0001", "0002", "0003"), ""),
        (("0001", "0002", "0003", "0004"), "staging-beyond-release"),
        (("0001", "0002"), "staging-moved-since"),
    ],
)
def test_staging_has_not_moved_since(holds: tuple[str, ...], code: str) -> None:
    assert ([code] if code else []) == codes(judged(ran(), asked=replace(ASKED, holds=holds)))


def test_every_finding_says_what_to_do() -> None:
    seen = [judged(*runs) for runs, _ in RUNS.values()] + [judged(ran(), left=left) for left, _ in LEFT.values()]
    assert all("RB-020 -e staging --apply" in one.next_step for found in seen for one in found.findings)
