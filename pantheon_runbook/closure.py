"""RB-050: whether strategy F25 can be closed. Pure: what was found in, a table with the next thing to type out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from pantheon_runbook.config import Closure
from pantheon_runbook.evidence.attestation import Read, file_name
from pantheon_runbook.evidence.runs import SealedRun, SealedRuns
from pantheon_runbook.evidence.statement import CLOCKS_DIFFER
from pantheon_runbook.evidence.verify import moment_of

STRATEGY, ENDPOINTS, TEAM, PROVISIONING = "strategy", "endpoints", "team", "provisioning"
TITLES: Mapping[str, str] = {
    STRATEGY: "strategy approved",
    ENDPOINTS: "staging endpoints exist and are documented",
    TEAM: "the team's work uses staging by default",
    PROVISIONING: "provisioning confirmed by the supervisor",
}
State = Literal["met", "missing", "stale", "not pinned", "rests on sandbox evidence", "forged"]


@dataclass(frozen=True)
class Row:
    """One thing that a criterion rests on. `why` says what is wrong with it; an open one has the next thing to type."""

    criterion: str
    evidence: str
    state: State
    next_step: str = ""
    why: str = ""
    date: str = ""
    signer: str = ""
    source: str = ""

    @property
    def is_met(self) -> bool:
        return self.state == "met"


@dataclass(frozen=True)
class Found:
    """One thing that was looked at now: "" for `problem` when it is in order; `next_step` mends it."""

    what: str
    problem: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that was found, at `now` (UTC).

    `attestations` are by file name, `decided_by` the sha256 of the committed files by name, `strategy` that of the
    document ("" when there is none); `staging` is its Supabase ref as it was seen now, and `found` what else was looked
    at now, by criterion. `open_ways` are those into production that the latest isolation proof found open.
    """

    cloud: str
    environment: str
    now: str
    decided: Closure | None
    decided_by: Mapping[str, str] = field(default_factory=dict)
    strategy: str = ""
    attestations: Mapping[str, Read] = field(default_factory=dict)
    sealed: SealedRuns = field(default_factory=SealedRuns)
    staging: str = ""
    evidence: str = "evidence"
    found: Mapping[str, tuple[Found, ...]] = field(default_factory=dict)
    open_ways: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """What `compare` gives: every row, and who asked about what."""

    cloud: str
    environment: str
    at: str
    rows: tuple[Row, ...]

    @property
    def open(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.is_met)


def signers(decided: Closure) -> dict[str, tuple[str, ...]]:
    """Who signs which criterion."""
    return {STRATEGY: (decided.approver,), TEAM: decided.members, PROVISIONING: (decided.supervisor,)}


def subject_of_strategy(sha256: str) -> Mapping[str, str]:
    return {"strategy.md": sha256}


def subject_of_run(run: SealedRun) -> Mapping[str, str]:
    return {f"{run.bundle}/manifest.json": run.manifest}


def provisioned(runs: Sequence[SealedRun], cloud: str, environment: str) -> SealedRun | None:
    """The apply run of RB-010 that made what stands, when the latest came to its end.

    One that was refused, or that found nothing left to do, has changed nothing: what was signed before it still holds.
    """
    applied = [run for run in _of("RB-010", runs, environment) if run.cloud == cloud and run.mode == "apply"]
    counting = [run for run in reversed(applied) if run.verdict != "refused"]
    latest = counting[0] if counting else None
    if latest is None or latest.verdict not in {"done", "nothing-to-do"}:
        return None
    changed = next((run for run in counting if run.verdict != "nothing-to-do"), latest)
    return changed if (changed.verdict, changed.staging) == ("done", latest.staging) else latest


def table_of(facts: Facts) -> Table:
    """Every criterion with what it rests on, in the strategy's order."""
    rows = (*_strategy(facts), *_endpoints(facts), *_team(facts), *_provisioning(facts))
    return Table(facts.cloud, facts.environment, facts.now, rows)


def _strategy(facts: Facts) -> Iterator[Row]:
    if facts.decided is None:
        yield _undecided(STRATEGY, "approver")
    elif not facts.strategy:
        document = facts.decided.strategy
        put = f"put the document at {document}, or correct closure.strategy in pantheon.toml"
        yield Row(STRATEGY, document, "missing", put, "it is not there, or no text that can be kept as it is")
    else:
        changed = "the document is another than was signed"
        yield _signed(facts, STRATEGY, facts.decided.approver, subject_of_strategy(facts.strategy), changed=changed)


def _endpoints(facts: Facts) -> Iterator[Row]:
    found = facts.found.get(ENDPOINTS, ())
    yield from (_of_found(ENDPOINTS, one, facts) for one in found)
    if not found:
        yield Row(ENDPOINTS, "staging", "missing", _provision(facts), "nothing was seen of it")


def _team(facts: Facts) -> Iterator[Row]:
    if facts.decided is None:
        yield _undecided(TEAM, "members")
    else:
        changed = "pantheon.toml or identities.toml are others than were signed"
        for member in facts.decided.members:
            yield _signed(facts, TEAM, member, facts.decided_by, changed=changed)
    yield from (_of_found(TEAM, one, facts) for one in facts.found.get(TEAM, ()))
    yield _isolated(facts)


def latest_proof(facts: Facts) -> SealedRun | None:
    """The latest check counts, whatever it came to: an older one that passed says nothing of today."""
    runs = _of("RB-060", facts.sealed.runs, facts.environment)
    return next((run for run in reversed(runs) if run.cloud == facts.cloud), None)


def _isolated(facts: Facts) -> Row:
    command = f"pantheon-runbook run RB-060 -e {facts.environment}"
    latest = latest_proof(facts)
    if facts.sealed.problem or latest is None:
        runs = _of("RB-060", facts.sealed.runs, facts.environment)
        return _without_run(facts, TEAM, "isolation proof", runs, command)
    row = Row(TEAM, f"isolation proof {latest.bundle}: {latest.why}", "met", date=latest.sealed_at)
    row = replace(row, signer=latest.sealed_by, source=f"sealed with {latest.key}")
    days = facts.decided.max_age_days if facts.decided else Closure.model_fields["max_age_days"].default
    age = moment_of(facts.now) - moment_of(latest.sealed_at)
    another = "it went by another pantheon.toml or identities.toml than is here now"
    problems: tuple[tuple[bool, State, str], ...] = (
        (latest.verdict != "done", "missing", f"the latest check came to {latest.verdict}: {latest.why}"),
        (latest.staging != facts.staging, "stale", "it is of another staging than is there now"),
        (dict(latest.decided_by) != dict(facts.decided_by), "stale", another),
        (age < -CLOCKS_DIFFER, "forged", f"it is dated {latest.sealed_at}, which has not come yet"),
        (age > timedelta(days=days), "stale", f"it is {age.days} days old, and may be {days}"),
    )
    return next((_opened(row, state, why, command) for is_so, state, why in problems if is_so), row)


def _provisioning(facts: Facts) -> Iterator[Row]:
    if facts.decided is None:
        yield _undecided(PROVISIONING, "supervisor")
        return
    run = provisioned(facts.sealed.runs, facts.cloud, facts.environment)
    if facts.sealed.problem or run is None:
        runs = _of("RB-010", facts.sealed.runs, facts.environment)
        yield _without_run(facts, PROVISIONING, "provisioning run", runs, _provision(facts))
        return
    if run.staging != facts.staging:
        why = "it is of another staging than is there now"
        yield Row(PROVISIONING, f"provisioning run {run.bundle}", "stale", _provision(facts), why, run.sealed_at)
        return
    changed = f"the latest provisioning run is another than was signed: {run.bundle}"
    row = _signed(facts, PROVISIONING, facts.decided.supervisor, subject_of_run(run), changed=changed)
    if row.is_met and moment_of(row.date) < moment_of(run.sealed_at) - CLOCKS_DIFFER:
        sign = f"pantheon-runbook attest {PROVISIONING} -e {facts.environment} --key {facts.decided.supervisor}"
        why = f"it is dated {row.date}, before the run that it confirms was sealed ({run.sealed_at})"
        row = _opened(row, "forged", why, sign)
    yield row


def _without_run(facts: Facts, criterion: str, what: str, runs: Sequence[SealedRun], command: str) -> Row:
    if facts.sealed.problem:
        verify = f"pantheon-runbook evidence verify {facts.evidence}"
        return Row(criterion, what, "forged", verify, f"the evidence is not what was sealed: {facts.sealed.problem}")
    if facts.cloud != "sandbox" and any(run.cloud == "sandbox" for run in runs):
        return Row(criterion, what, "rests on sandbox evidence", command, f"{runs[-1].bundle} is a rehearsal")
    return Row(criterion, what, "missing", command, f"no sealed run for {facts.environment} ({facts.cloud}) succeeded")


def _signed(facts: Facts, criterion: str, person: str, subject: Mapping[str, str], *, changed: str) -> Row:
    """The row of one person's word: the signature first, then whether it is about what is there now."""
    name = file_name(criterion, person)
    sign = f"pantheon-runbook attest {criterion} -e {facts.environment} --key {person}"
    read = facts.attestations.get(name)
    if read is None:
        return Row(criterion, f"attestation of {person}", "missing", sign, f"attestations/{name} is not there")
    said = read.said
    row = Row(criterion, f"attestations/{name}", "met", source=read.source)
    if read.standing != "signed" or said is None:
        state: State = read.standing if read.standing != "signed" else "forged"
        pin = f"pantheon-runbook keys new {person} --role attest >> trust.toml"
        is_unknown = state == "not pinned" and facts.cloud != "sandbox" and not read.source
        return _opened(row, state, read.why, pin if is_unknown else sign)
    row = replace(row, date=said.issued_at, signer=said.signer)
    if (said.criterion, said.signer) != (criterion, person):
        return _opened(row, "forged", f"it is {said.signer}'s word on {said.criterion}", sign)
    if said.environment != facts.environment:
        return _opened(row, "stale", f"it was signed for {said.environment}", sign)
    if dict(said.subject) != dict(subject):
        return _opened(row, "stale", changed, sign)
    return row


def _of_found(criterion: str, found: Found, facts: Facts) -> Row:
    if found.problem:
        return Row(criterion, found.what, "missing", found.next_step, found.problem)
    return Row(criterion, found.what, "met", date=facts.now, signer="RB-050", source="looked at now")


def _undecided(criterion: str, name: str) -> Row:
    next_step = f"add closure.{name} to pantheon.toml: [closure] names the document and the people who sign"
    return Row(criterion, f"closure.{name}", "missing", next_step, "pantheon.toml has no [closure]")


def _opened(row: Row, state: State, why: str, next_step: str) -> Row:
    return replace(row, state=state, why=why, next_step=next_step)


def _of(runbook: str, runs: Iterable[SealedRun], environment: str) -> list[SealedRun]:
    return [run for run in runs if (run.runbook, run.environment) == (runbook, environment)]


def _provision(facts: Facts) -> str:
    return f"pantheon-runbook run RB-010 -e {facts.environment} --apply"
