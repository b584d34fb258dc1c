"""Which sealed run proves that a release works on staging, and what is wrong with it. Pure, but for `standing`.

A release is proven by the latest RB-020 apply run: not by any that went well once, since a later one may have failed.
What it saw at its end, after its checks had passed, is the `verified` part of its snapshot.json.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pantheon_runbook.database.migrations.revision_kinds import REVISION, TREE
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns, content_of
from pantheon_runbook.evidence.statement import CLOCKS_DIFFER
from pantheon_runbook.evidence.verify import moment_of
from pantheon_runbook.model import Finding, short_code

RUNBOOK = "RB-020"
ADDRESS = "staging/evidence"
_DEPLOYED = ("railway/deployment/", "vercel/deployment/")
_FEW = 5


@dataclass(frozen=True)
class Release:
    """What is to be promoted. `revisions` are digests by id, all of its tree; `pending` those that production lacks.

    `commits` are by the address of what runs on staging, for example {"railway/deployment/api": 40 hex characters}.
    """

    revisions: Mapping[str, str]
    pending: Sequence[str]
    commits: Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """Whose proof is asked for, and when. `staging` is the Supabase ref of today's staging; `days` how old it may be.

    `holds` are the revisions that staging's database is seen to have now; None: nobody looked.
    """

    cloud: str
    environment: str
    staging: str
    now: datetime
    days: int
    evidence: str = "evidence"
    holds: Collection[str] | None = None


@dataclass(frozen=True)
class Standing:
    """What stood on staging when the run had been verified.

    `revisions` are those in its database, `recorded` what the ledger said of each: (digest of its file, state).
    `deployments` are attributes by address, with "commit" and, of a backend, "image_digest".
    """

    revisions: frozenset[str] = frozenset()
    recorded: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    deployments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class StagingEvidence:
    """The run that a promotion rests on, as far as there is one; nothing blocks when it is good."""

    run: SealedRun | None
    standing: Standing | None
    findings: tuple[Finding, ...]

    @property
    def is_good(self) -> bool:
        return self.run is not None and not any(one.blocks for one in self.findings)

    @property
    def for_plan(self) -> Mapping[str, str]:
        """What is approved with the plan: the bundle, and the sha256 of its manifest, which fixes every byte of it."""
        return {"bundle": self.run.bundle, "manifest": self.run.manifest} if self.run else {}

    @property
    def in_words(self) -> str:
        if self.run is None:
            return "none"
        by = f"sealed {self.run.sealed_at} by {self.run.sealed_by}"
        return f"{self.run.bundle}, {by}, manifest {short_code(self.run.manifest)}"


def latest_run(sealed: SealedRuns, *, cloud: str, environment: str) -> SealedRun | None:
    """The latest apply run that can have changed something: one that was refused has not."""
    return next(reversed(_applied(sealed, cloud, environment)), None)


def standing(run: SealedRun, evidence: Path) -> Standing:
    """What the run left on staging; reads its bundle. Errors: EvidenceError when that is not what was sealed."""
    return standing_of(content_of(run, evidence, "snapshot.json"))


def standing_of(snapshots: Mapping[str, Any]) -> Standing:
    """Out of a bundle's snapshot.json; of a run that did not come to its verification nothing stands."""
    seen = snapshots.get("verified", {}).get("resources", ())
    present = {one["address"]: one["attributes"] for one in seen if one["state"] == "present"}
    prefix = f"{REVISION}/"
    recorded = present.get(TREE, {}).get("recorded", ())
    return Standing(
        frozenset(one.removeprefix(prefix) for one in present if one.startswith(prefix)),
        {str(revision): (str(digest), str(state)) for revision, digest, state in recorded},
        {address: held for address, held in present.items() if address.startswith(_DEPLOYED)},
    )


def staging_evidence(release: Release, asked: Asked, sealed: SealedRuns, evidence: Path) -> StagingEvidence:
    """`judge` with what the latest run's bundle holds."""
    run = latest_run(sealed, cloud=asked.cloud, environment=asked.environment)
    try:
        stood = standing(run, evidence) if run and run.came_to_good_end else None
    except EvidenceError as error:
        return StagingEvidence(run, None, (_tampered(f"{error.what} {error.why}", asked),))
    return judge(release, asked, sealed, stood)


def judge(release: Release, asked: Asked, sealed: SealedRuns, stood: Standing | None) -> StagingEvidence:
    """`stood` is what the latest run left, None when it came to no good end. Every reason has a finding of its own."""
    if sealed.problem:
        return StagingEvidence(None, None, (_tampered(sealed.problem, asked),))
    run = latest_run(sealed, cloud=asked.cloud, environment=asked.environment)
    if run is None:
        return StagingEvidence(None, None, (_missing(sealed, asked),))
    if not run.came_to_good_end or stood is None:
        return StagingEvidence(run, None, (_failed(run, asked),))
    findings = (
        *_of_the_run(run, sealed, asked),
        *_of_revisions(release, asked, stood),
        *_beyond(release, asked, stood),
        *_of_commits(release, asked, stood),
    )
    return StagingEvidence(run, stood, findings)


def _applied(sealed: SealedRuns, cloud: str, environment: str) -> list[SealedRun]:
    about = (RUNBOOK, cloud, environment, "apply")
    runs = (one for one in sealed.runs if (one.runbook, one.cloud, one.environment, one.mode) == about)
    return [one for one in runs if one.verdict != "refused"]


def _run(asked: Asked) -> str:
    return f"pantheon-runbook run {RUNBOOK} -e {asked.environment} --apply"


def _tampered(problem: str, asked: Asked) -> Finding:
    what = f"the evidence is not what was sealed, and proves nothing: {problem}"
    step = f"pantheon-runbook evidence verify {asked.evidence}, and put it back as it was sealed"
    return Finding("evidence-tampered", ADDRESS, what, step)


def _missing(sealed: SealedRuns, asked: Asked) -> Finding:
    """Runs of the sandbox are told apart: who has rehearsed must not take that for the proof."""
    others = _applied(sealed, "sandbox", asked.environment) if asked.cloud != "sandbox" else []
    if others:
        what = f"{others[-1].bundle} is a sandbox rehearsal: it says nothing of the {asked.environment} of now"
        return Finding("staging-evidence-rehearsed", ADDRESS, what, _run(asked))
    what = f"no sealed {RUNBOOK} run has applied anything to {asked.environment} ({asked.cloud})"
    return Finding("staging-evidence-missing", ADDRESS, what, _run(asked))


def _failed(run: SealedRun, asked: Asked) -> Finding:
    what = f"the latest {RUNBOOK} run, {run.bundle}, came to {run.verdict}: {run.why}"
    return Finding("staging-run-failed", ADDRESS, what, f"put right what it says, then {_run(asked)}")


def _of_the_run(run: SealedRun, sealed: SealedRuns, asked: Asked) -> Iterator[Finding]:
    age = asked.now - moment_of(run.sealed_at)
    if age > timedelta(days=asked.days):
        what = f"{run.bundle} was sealed {run.sealed_at}, more than {asked.days} days ago"
        yield Finding("staging-evidence-too-old", ADDRESS, what, _run(asked))
    if age < -CLOCKS_DIFFER:
        what = f"{run.bundle} is dated {run.sealed_at}, which has not come yet"
        step = f"set the clock of the machine that is wrong, then {_run(asked)}"
        yield Finding("staging-evidence-in-the-future", ADDRESS, what, step)
    if run.staging != asked.staging:
        what = f"{run.bundle} is of the staging {run.staging or '(not known)'}, and today's is {asked.staging}"
        yield Finding("staging-evidence-of-another", ADDRESS, what, _run(asked))
    runs = _applied(sealed, asked.cloud, asked.environment)
    if run.verdict == "nothing-to-do" and all(one.verdict == "nothing-to-do" for one in runs):
        what = f"{run.bundle} found nothing to do, and no {RUNBOOK} run has applied what stands on {asked.environment}"
        step = f"let it be applied there once: {_run(asked)} -p refresh=true"
        yield Finding("staging-evidence-applied-nothing", ADDRESS, what, step)


def _of_revisions(release: Release, asked: Asked, stood: Standing) -> Iterator[Finding]:
    """Each that production lacks: in staging's database, and in its ledger with the same file."""
    for revision in release.pending:
        address, digest = f"{REVISION}/{revision}", release.revisions[revision]
        held, state = stood.recorded.get(revision, ("", ""))
        if revision not in stood.revisions or state not in {"applied", "baseline"}:
            what = f"revision {revision} was not on {asked.environment} when its run was verified"
            yield Finding("revision-not-on-staging", address, what, _run(asked))
        elif held != digest:
            what = (
                f"revision {revision} is another file than {asked.environment} has proven: "
                f"{short_code(digest)} is to be promoted, {short_code(held)} was applied"
            )
            step = f"put the file back as it was, or write a new revision and {_run(asked)}"
            yield Finding("revision-differs-from-staging", address, what, step)
        elif state == "baseline":
            what = f"revision {revision} was accepted on {asked.environment} as it stood: nobody saw it applied there"
            step = f"to have it applied: {_run(asked)} -p refresh=true"
            yield Finding("revision-only-accepted", address, what, step, blocks=False)


def _beyond(release: Release, asked: Asked, stood: Standing) -> Iterator[Finding]:
    """What passed its checks there passed them with these in place; and production would not have them."""
    more = sorted({*stood.revisions, *stood.recorded, *(asked.holds or ())} - set(release.revisions))
    if more:
        what = f"{asked.environment} holds revisions that are not in the release: {_few(more)}"
        step = f"release them too, or make {asked.environment} anew without them: {_run(asked)} -p refresh=true"
        yield Finding("staging-beyond-release", ADDRESS, what, step)
    lost = sorted(set(release.pending) & stood.revisions - set(asked.holds)) if asked.holds is not None else []
    if lost:
        what = f"{asked.environment} no longer holds what its run has proven: {_few(lost)}"
        yield Finding("staging-moved-since", ADDRESS, what, _run(asked))


def _of_commits(release: Release, asked: Asked, stood: Standing) -> Iterator[Finding]:
    if not release.commits:
        step = "name what is to be promoted: the commit of each service and of the frontend"
        yield Finding("no-commit-to-promote", ADDRESS, "no commit is named that staging could have proven", step)
    for address, commit in sorted(release.commits.items()):
        proven = str(stood.deployments.get(address, {}).get("commit") or "")
        if proven and proven == commit:
            continue
        what = f"{asked.environment} was proven with {proven[:12] or 'no commit that is known'} at {address}"
        step = f"put that one back on {asked.environment}, or prove the other: {_run(asked)}" + (
            f" -p commit={commit}" if commit else ""
        )
        yield Finding("commit-not-on-staging", address, f"{what}, and {commit[:12] or 'none'} is to be promoted", step)


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_FEW]) + (f" and {len(listed) - _FEW} more" if len(listed) > _FEW else "")
