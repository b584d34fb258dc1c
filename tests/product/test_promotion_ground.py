"""What real runs on the sandbox leave and see, as a promotion finds it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook import clock
from pantheon_runbook.config import AcceptedExposure
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence.runs import SealedRuns, content_of, sealed_runs
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.promotion.artefacts import backend_artefact, frontend_artefact
from pantheon_runbook.promotion.exposures import exposure_findings
from pantheon_runbook.promotion.staging_evidence import Asked, Release, StagingEvidence, staging_evidence
from pantheon_runbook.runner import wiring

pytestmark = pytest.mark.xdist_group("migrating")
API, WORKER, WEB = "railway/deployment/api", "railway/deployment/worker", "vercel/deployment/preview"


@dataclass(frozen=True)
class Migrated:
    """The first migration and the run after it, which found nothing to do; what other tests ran later is left out."""

    evidence: Path
    asked: Asked
    release: Release

    def sealed(self, evidence: Path) -> SealedRuns:
        whole = sealed_runs(evidence, None)
        ends = [number for number, run in enumerate(whole.runs) if run.verdict == "nothing-to-do"]
        return SealedRuns(whole.runs[: ends[0] + 1] if ends else (), whole.problem)

    def found(self, evidence: Path | None = None, **asked: Any) -> StagingEvidence:
        folder = evidence or self.evidence
        return staging_evidence(self.release, replace(self.asked, **asked), self.sealed(folder), folder)


@pytest.fixture
def migrated(staging: Any, first: Any) -> Migrated:
    """The release is what the plan named, and the commit that the vendors have."""
    planned = {one.address.removeprefix("database/revision/"): one.after for one in first.plan.changes}
    revisions = {name: str(after["digest"]) for name, after in planned.items() if name.isdecimal()}
    head = staging.world.facts["railway"]["commits"]["head"]
    release = Release(revisions, tuple(revisions), dict.fromkeys((API, WORKER, WEB), head))
    evidence = staging.world.evidence
    asked = Asked("sandbox", "staging", staging.ref, moment_of("2026-01-01T00:00:00Z"), 7)
    made = Migrated(evidence, asked, release)
    return replace(made, asked=replace(asked, now=moment_of(made.sealed(evidence).runs[-1].sealed_at)))


def test_release_is_proven_by_its_run(migrated: Migrated) -> None:
    found = migrated.found()

    assert () == found.findings
    assert found.is_good
    assert ("nothing-to-do", found.run.manifest) == (found.run.verdict, found.for_plan["manifest"])
    assert 11 == len(migrated.release.pending)
    assert set(migrated.release.pending) == found.standing.revisions
    assert {API, WORKER, WEB} <= set(found.standing.deployments)


def test_run_tells_the_images_of_the_backend(migrated: Migrated) -> None:
    held = migrated.found().standing.deployments
    assert [True, True] == [str(held[one]["image_digest"]).startswith("sha256:") for one in (API, WORKER)]


def test_sandbox_run_proves_nothing_for_live(migrated: Migrated) -> None:
    assert ["staging-evidence-rehearsed"] == [one.code for one in migrated.found(cloud="live").findings]


def test_changed_bundle_proves_nothing(migrated: Migrated, tmp_path: Path) -> None:
    copy = shutil.copytree(migrated.evidence, tmp_path / "evidence")
    snapshot = copy / migrated.found().for_plan["bundle"] / "snapshot.json"
    snapshot.write_bytes(snapshot.read_bytes().replace(b'"applied"', b'"applies"', 1))

    (one,) = migrated.found(copy).findings

    assert ("evidence-tampered", True) == (one.code, one.blocks)
    assert "snapshot.json" in one.what


@pytest.mark.parametrize("name", ["snapshot.json", "manifest.json"])
def test_bundle_changed_after_it_was_verified_proves_nothing(migrated: Migrated, tmp_path: Path, name: str) -> None:
    """Between the check and the reading somebody has another file put there."""
    copy = shutil.copytree(migrated.evidence, tmp_path / "evidence")
    sealed = migrated.sealed(copy)
    path = copy / sealed.runs[-1].bundle / name
    path.write_bytes(path.read_bytes() + b" ")

    found = staging_evidence(migrated.release, migrated.asked, sealed, copy)

    assert ["evidence-tampered"] == [one.code for one in found.findings]
    assert name in found.findings[0].what


def test_file_that_a_run_has_not_left_is_no_content(migrated: Migrated) -> None:
    run = migrated.sealed(migrated.evidence).runs[-1]
    with pytest.raises(EvidenceError, match=r"comparison-of-nothing\.json cannot be rested on"):
        content_of(run, migrated.evidence, "comparison-of-nothing.json")


def test_artefacts_of_a_real_run_are_weak_until_they_are_built(migrated: Migrated) -> None:
    """In the words of the looks: the same commit, and for the backend the image that runs on staging."""
    held, commit = migrated.found().standing.deployments, {"commit": migrated.release.commits[API]}
    again = {**commit, "image_digest": held[API]["image_digest"]}

    assert "met" == backend_artefact(API, staging=held[API], production=again).standing
    assert "weak" == backend_artefact(API, staging=held[API], production=commit).standing
    assert "weak" == frontend_artefact(WEB, staging=held[WEB], production=commit).standing
    assert "blocks" == backend_artefact(API, staging=held[API], production={"commit": "0" * 40}).standing


@pytest.mark.rare
def test_open_ways_of_a_real_check_block_until_they_are_declared(staging: Any) -> None:
    """By the addresses that RB-060's looks have."""
    run = wiring.open_run("RB-060", {"environment": "staging"})
    try:
        run.session.perform("observe")
        exposures = run.session.perform("compare").exposures
    finally:
        staging.world.seal(run)
    now = clock.now()

    blocking = [one for one in exposure_findings(exposures, (), now=now) if one.blocks]
    declared = [
        AcceptedExposure(address=one.address, owner="ops", reason="open in the sandbox", expires="2999-12-31")
        for one in exposures
        if one.state == "open"
    ]

    print("\n  open: " + ", ".join(one.address for one in declared))
    assert {"open-exposure"} == {one.code for one in blocking}
    assert {f"exposure/{one.address}" for one in declared} == {one.address for one in blocking}
    assert [] == [one for one in exposure_findings(exposures, declared, now=now) if one.blocks]
