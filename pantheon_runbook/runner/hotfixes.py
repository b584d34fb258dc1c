"""Which hotfixes have changed production and still owe something: by the sealed bundles, and what was signed since."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.approving import envelopes_for, policy_of
from pantheon_runbook.attesting import keys_of
from pantheon_runbook.database.migrations.revision_kinds import REVISION
from pantheon_runbook.errors import EvidenceError, RunbookError
from pantheon_runbook.evidence import approval, ledger, ssh
from pantheon_runbook.evidence.approval import Case, Person
from pantheon_runbook.evidence.decision import Read, read
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns, content_of, sealed_runs
from pantheon_runbook.evidence.verify import DECISIONS, moment_of
from pantheon_runbook.promotion.hotfixes import Hotfix, release_of
from pantheon_runbook.promotion.staging_evidence import Asked, staging_evidence
from pantheon_runbook.runner.surroundings import World

_HAS_MORE = "staging-beyond-release"  # staging may well be ahead of the hotfix by then
_FOR_EVER = 36_500  # days: how old the proof is does not matter here
_CHANGED = frozenset({"done", "not-verified", "partial", "unknown", "abandoned"})


def hotfixes(outside: World, sealed: Callable[[], SealedRuns]) -> tuple[Hotfix, ...]:
    """In the order of the ledger; asks for the sealed runs only where there is one. Errors: EvidenceError."""
    named = {str(entry.get("bundle")) for entry in ledger.entries(outside.evidence)}
    if not any(_goes_around(outside, bundle) for bundle in named if "-RB-030-production-" in bundle):
        return ()
    runs = sealed()
    return tuple(_of(outside, runs, run) for run in runs.runs if _is_one(outside, run))


def warnings(outside: World) -> Iterator[str]:
    """For the first card of every run."""
    for one in hotfixes(outside, lambda: sealed_runs(outside.evidence, outside.trust)):
        if one.owes:
            yield f"! {one.in_words(clock.now())}"


def _goes_around(outside: World, bundle: str) -> bool:
    try:
        told = json.loads((outside.evidence / bundle / "plan.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and bool(told.get("parameters", {}).get("hotfix"))


def _is_one(outside: World, run: SealedRun) -> bool:
    is_promotion = (run.runbook, run.mode) == ("RB-030", "apply") and run.verdict in _CHANGED
    return is_promotion and _goes_around(outside, run.bundle) and (outside.evidence / run.bundle / DECISIONS).is_file()


def _of(outside: World, sealed: SealedRuns, run: SealedRun) -> Hotfix:
    plan, told = (content_of(run, outside.evidence, name) for name in ("plan.json", DECISIONS))
    reason = str(plan["parameters"]["hotfix"])
    signers = _signers(outside, told)
    return Hotfix(
        run.bundle, str(told["planned_in"]), run.sealed_at, reason, signers, _proven(outside, sealed, run, plan)
    )


def _signers(outside: World, told: Mapping[str, Any]) -> frozenset[str]:
    """Whose approval of the plan counts and stands, each judged as of when it was signed: a second one comes later."""
    plan = (outside.evidence / str(told["planned_in"]) / "plan.json").read_bytes()
    policy = replace(policy_of(outside.config), required=1)
    authors = tuple(Person(one["name"], one["source"], tuple(one["also"])) for one in told["authors"])
    keys = keys_of(outside.folder, outside.evidence)
    found = set[str]()
    signed = envelopes_for(outside.folder, str(told["plan_digest"]))
    trusted = {where: read(raw, keys, check=ssh.is_signed_by) for where, raw in signed.items()}
    said = {where: one for where, one in trusted.items() if isinstance(one, Read)}
    withdrawals = {where: signed[where] for where, one in said.items() if one.said.decision == "withdraw"}
    for where, known in said.items():
        if known.said.decision != "approve":
            continue
        case = Case(
            plan=plan,
            sealed_at=str(told["sealed_at"]),
            keys=keys,
            policy=policy,
            requester=Person(**told["requester"]),
            executor=Person(**told["executor"]),
            authors=authors,
            now=known.said.issued_at,
            check=ssh.is_signed_by,
        )
        try:
            found |= {one.name for one in approval.approved(case, {where: signed[where], **withdrawals}).approvers}
        except RunbookError:
            continue  # it does not count
    return frozenset(found)


def _proven(outside: World, sealed: SealedRuns, run: SealedRun, plan: Mapping[str, Any]) -> bool:
    """Whether a run of RB-020 that was sealed since has left what the hotfix brought on some staging of ours."""
    release = release_of(plan, REVISION)
    for name in outside.config.environments:
        latest = [one for one in sealed.runs if (one.runbook, one.environment) == ("RB-020", name)]
        if not latest or moment_of(latest[-1].sealed_at) < moment_of(run.sealed_at):
            continue
        asked = Asked(outside.config.cloud, name, latest[-1].staging, clock.now(), _FOR_EVER)
        try:
            found = staging_evidence(release, asked, sealed, outside.evidence)
            if not {one.code for one in found.findings if one.blocks} - {_HAS_MORE}:
                return True
        except EvidenceError:
            continue
    return False
