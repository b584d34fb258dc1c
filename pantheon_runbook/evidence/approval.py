"""Who let a plan of production through: signed decisions, and what they come to. Pure: no I/O, no clock.

An envelope that cannot be trusted as it stands refuses the whole
case, whoever else has signed: it may be what is left of a withdrawal. One that can be trusted and does not count is
passed over as long as enough others do.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Literal

from pantheon_runbook.errors import HeldError, NotApprovedError, RunbookError, StalePlanError
from pantheon_runbook.evidence import verify
from pantheon_runbook.evidence.decision import About, Read, is_one_key, read
from pantheon_runbook.evidence.statement import CLOCKS_DIFFER, is_dated_ahead, source_of

APPROVES = verify.APPROVES
Kind = Literal["approved", "separation of duties: not met"]

_UNTOUCHED = "nothing was changed"
_NEXT = "have somebody who may approve it sign the plan of now: {}"
_BEGUN = "put back what the unit began under as it was signed, and go on with it; or go back: {}"


@dataclass(frozen=True)
class Person:
    """Somebody by name, and where that name comes from; `also` are other names, for example e-mail addresses.

    `keyid` is the key by which the name is known, when it is by one.
    """

    name: str
    source: str
    also: tuple[str, ...] = ()
    keyid: str = ""


def authors_of(plan: bytes) -> tuple[Person, ...]:
    """As a plan.json names them: they are approved with it."""
    named = json.loads(plan)["release"].get("authors", ())
    return tuple(Person(one["name"], one["source"], tuple(one["also"])) for one in named)


@dataclass(frozen=True)
class Policy:
    """What [approval] and [[people]] in pantheon.toml say. `known` are the names that each person goes by."""

    required: int = 1
    approvers: tuple[str, ...] = ()  # empty: whoever has a key that is pinned for it
    is_solo: bool = False
    longest: timedelta = timedelta(hours=24)
    delay: timedelta = timedelta(minutes=15)
    known: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Approver:
    """One who approved, and what stands behind his name."""

    name: str
    source: str
    keyid: str
    nonce: str
    reason: str
    issued_at: str
    expires_at: str


@dataclass(frozen=True)
class Approved:
    """The plan may start until just before `expires_at`; then all `nonces` are consumed.

    `not_counted` says what else was signed and why it does not count; `unknown` are authors of whom nobody has said
    under which other names they go, so that only the name itself was compared.
    """

    kind: Kind
    approvers: tuple[Approver, ...]
    nonces: frozenset[str]
    expires_at: str
    is_hotfix: bool
    not_counted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """What is asked about: this plan, by these people, now (UTC).

    `sealed_at` is when the plan was sealed, `keys` are all that are pinned, `consumed` the nonces that have been used.
    `requesters` are others who have made the same plan.
    `started` are those under which this very unit of work has begun: then only they count, they go on past their
    expiry, and the withdrawal of any of them stops it.
    """

    plan: bytes
    sealed_at: str
    keys: Mapping[str, verify.Key]
    policy: Policy
    requester: Person
    executor: Person
    authors: tuple[Person, ...]
    now: str
    consumed: Container[str] = frozenset()
    started: frozenset[str] = frozenset()
    check: verify.Check = verify.is_signed_by  # `ssh.is_signed_by` knows SSH's signatures, too, and starts ssh-keygen
    where: str = "plan.json"  # how the plan is called in what to do next
    requesters: tuple[Person, ...] = ()

    @cached_property
    def about(self) -> About:
        return About.of(self.plan)

    @property
    def state(self) -> str:
        return "the unit has begun and is not finished; nothing further was sent" if self.started else _UNTOUCHED

    @property
    def people(self) -> tuple[tuple[str, Person], ...]:
        authors = (("an author of a commit in the release", author) for author in self.authors)
        asked = (("its requester", one) for one in (self.requester, *self.requesters))
        return (*asked, ("its executor", self.executor), *authors)

    @property
    def next_step(self) -> str:
        """For what is refused: a unit that has begun has no use for another approval."""
        return _BEGUN.format(self.back) if self.started else _NEXT.format(self.anew)

    @property
    def back(self) -> str:
        return f"pantheon-runbook run RB-040 -e {self.about.environment}"

    @property
    def anew(self) -> str:
        return f"pantheon-runbook approve {self.where} --key NAME --reason TEXT"


@dataclass(frozen=True)
class _Weighed:
    """One approval, what keeps it from counting (None: it counts), and which duty its approver has beside."""

    one: Read
    problem: RunbookError | None = None
    duty: str = ""
    names: frozenset[str] = field(default_factory=frozenset)


def approved(case: Case, envelopes: Mapping[str, bytes]) -> Approved:
    """Whether these decisions, by the names of their files, let the plan through. Reads nothing else.

    Errors: NotApprovedError, and StalePlanError for another plan, which tell of the first that does not count;
    HeldError when nothing is wrong, but more are needed.
    """
    _refuse_nobody(case)
    decisions = {where: _trusted(where, envelopes[where], case) for where in sorted(envelopes)}
    withdrawals = {where: one for where, one in decisions.items() if one.said.decision == "withdraw"}
    approvals = {where: one for where, one in decisions.items() if one.said.decision == "approve"}
    _refuse_stopped(approvals, withdrawals, case)
    weighed = [_weighed(where, one, withdrawals, case) for where, one in approvals.items()]
    counted = _one_for_each_person(one for one in weighed if one.problem is None)
    apart = [one for one in counted if not one.duty]
    if len(apart) >= case.policy.required:
        return _approved("approved", apart, weighed, case)
    if case.policy.is_solo and len(counted) >= case.policy.required:
        return _approved("separation of duties: not met", counted, weighed, case)
    raise _first_refusal(apart, weighed, case)


def stopped(case: Case, envelopes: Mapping[str, bytes]) -> NotApprovedError | None:
    """What stops the unit that was begun under these, as a reader is told it; None for nothing."""
    found = {where: read(raw, case.keys, check=case.check) for where, raw in envelopes.items()}
    trusted = {where: one for where, one in found.items() if isinstance(one, Read)}
    withdrawals = {where: one for where, one in trusted.items() if one.said.decision == "withdraw"}
    try:
        _refuse_stopped({where: trusted[where] for where in trusted.keys() - withdrawals.keys()}, withdrawals, case)
    except NotApprovedError as stop:
        return stop
    return None


def _refuse_nobody(case: Case) -> None:
    """Somebody without a name would be told apart from everybody."""
    for duty, person in case.people:
        if not _names((person.name,), ()):
            raise NotApprovedError(
                "nobody can be told apart from the approver",
                why=f"there is no name for {duty} ({person.source})",
                state=case.state,
                next_step="run it under a login with a name, from commits whose authors have one",
            )


def _trusted(where: str, raw: bytes, case: Case) -> Read:
    found = read(raw, case.keys, check=case.check)
    if isinstance(found, Read):
        return found
    raise NotApprovedError(
        f"{where} cannot be trusted",
        why=f"{found}; it may be what is left of a withdrawal, so nothing beside it counts",
        state=case.state,
        next_step=case.next_step
        if case.started
        else f"look where it comes from, take it away or pin its key, and approve anew: {case.anew}",
    )


def _refuse_stopped(approvals: Mapping[str, Read], withdrawals: Mapping[str, Read], case: Case) -> None:
    """Enough others or not: what somebody stops on purpose does not go on, whether his approval still lies there."""
    for one in approvals.values():
        if one.said.nonce in case.started and (error := _withdrawn(one, withdrawals, case)):
            raise error
    for where, one in withdrawals.items():
        if one.said.nonce in case.started and _may_withdraw(one, case):
            what = f"{one.said.approver} has withdrawn the approval that the unit began under"
            raise _taken_back(where, case, what, one)


def _may_withdraw(one: Read, case: Case) -> bool:
    """With any key that is pinned to him for approving, valid now or not: to stop is always allowed."""
    is_of_plan = one.said.about.plan_digest == case.about.plan_digest
    return is_of_plan and (one.key.role, one.key.cloud, one.key.owner) == (
        APPROVES,
        case.about.cloud,
        one.said.approver,
    )


def _weighed(where: str, one: Read, withdrawals: Mapping[str, Read], case: Case) -> _Weighed:
    names = _names_of_signer(one, case)
    duty = next(
        (_duty(duty, person, one, case) for duty, person in case.people if _is_of(person, one, names, case)), ""
    )
    weighed = _Weighed(one, None, duty, names)
    return _Weighed(one, next(_problems(where, weighed, withdrawals, case), None), duty, names)


def _duty(duty: str, person: Person, one: Read, case: Case) -> str:
    """With the name by which they are it, and how that is known, where it is not the one that the approval has."""
    if verify.plain_name(person.name) == verify.plain_name(one.said.approver):
        return duty
    owners = verify.names_in(key.owner for key in case.keys.values() if is_one_key(key, one.key))
    how = "by the same key" if verify.plain_name(person.name) in owners else "by [[people]]"
    return f'{duty} ("{person.name}", {how})'


def _problems(where: str, weighed: _Weighed, withdrawals: Mapping[str, Read], case: Case) -> Iterator[RunbookError]:
    """What keeps an approval from counting, the gravest first."""
    yield from _of_the_key(where, weighed.one, case)
    yield from _of_the_plan(where, weighed.one, case)
    if error := _withdrawn(weighed.one, withdrawals, case):
        yield error
    yield from _of_the_time(where, weighed.one, case)
    yield from _of_the_person(where, weighed, case)


def _of_the_key(where: str, one: Read, case: Case) -> Iterator[RunbookError]:
    key, said, cloud = one.key, one.said, case.about.cloud
    if cloud != "sandbox" and "sandbox" in {said.about.cloud, key.cloud}:
        yield _refused(where, case, "a rehearsal approves no live plan", "it was signed for the sandbox, or by its key")
    if (key.role, key.cloud) != (APPROVES, cloud):
        pinned = f"its key is pinned to {key.role} for {key.cloud}, not to {APPROVES} for {cloud}"
        yield _refused(where, case, f"the key of {key.owner} may not approve this plan", pinned)
    if key.owner != said.approver:
        why = f"its key is pinned as {key.owner}'s"
        yield _refused(where, case, f"{said.approver} has not signed the approval themselves", why)
    times = (said.issued_at,) if case.started else (said.issued_at, case.now)
    outside = next((moment for moment in times if not key.is_valid_at(moment)), "")
    if outside:
        why = (
            f"{key.where} is valid from {key.valid_from or 'ever'} until {key.valid_until or 'ever'}, not on {outside}"
        )
        yield _refused(where, case, f"the key of {key.owner} is outside its validity", why)


def _of_the_plan(where: str, one: Read, case: Case) -> Iterator[RunbookError]:
    said, plan = one.said.about, case.about
    if said.cloud != plan.cloud:
        why = f'it is for the cloud "{said.cloud}", and this plan is for "{plan.cloud}"'
        yield _stale(where, case, "another cloud", why)
    if said.environment != plan.environment:
        why = f'it is for "{said.environment}", and this plan is for "{plan.environment}"'
        yield _stale(where, case, "another environment", why)
    if said.runbook != plan.runbook:
        yield _stale(where, case, "another runbook", f"it is for {said.runbook}, and this plan is of {plan.runbook}")
    if said.plan_digest != plan.plan_digest:
        yield _stale(
            where, case, "another plan", f"it is for the plan {said.short_code}, and this is {plan.short_code}"
        )
    if said.is_hotfix != plan.is_hotfix:
        kinds = ("a hotfix", "no hotfix") if said.is_hotfix else ("no hotfix", "a hotfix")
        yield _stale(where, case, "a plan of another kind", f"it was given for {kinds[0]}, and this plan is {kinds[1]}")
    if one.said.code != plan.short_code:
        why = f'"{one.said.code}" was typed, and the plan is {plan.short_code}'
        yield _refused(where, case, "the short code of another plan was typed", why)


def _withdrawn(one: Read, withdrawals: Mapping[str, Read], case: Case) -> RunbookError | None:
    """By whoever has signed it, unless he clearly signed it after that: what clocks leave in doubt is stopped."""
    said = one.said
    for where, withdrawal in withdrawals.items():
        taken = withdrawal.said
        is_his = _may_withdraw(withdrawal, case) and _names_of_signer(withdrawal, case) & _names_of_signer(one, case)
        since = verify.moment_of(said.issued_at) - verify.moment_of(taken.issued_at)
        if is_his and (taken.nonce == said.nonce or since < CLOCKS_DIFFER):
            return _taken_back(where, case, f"{said.approver} has withdrawn the approval", withdrawal)
    return None


def _of_the_time(where: str, one: Read, case: Case) -> Iterator[RunbookError]:
    said, policy = one.said, case.policy
    issued, expires, now = (verify.moment_of(text) for text in (said.issued_at, said.expires_at, case.now))
    if is_dated_ahead(said.issued_at, case.now):
        why = f"it is dated {said.issued_at}, and it is {case.now}"
        yield _refused(where, case, f"the approval by {said.approver} is not valid yet", why)
    if not issued < expires <= issued + policy.longest:
        why = f"from {said.issued_at} until {said.expires_at}, and [approval] allows {policy.longest}"
        yield _refused(where, case, f"the approval by {said.approver} is valid for too long, or never", why)
    if case.started and said.nonce not in case.started:
        why = "its nonce is none of those that the unit has begun with"
        yield _refused(where, case, f"the unit has not begun under this approval by {said.approver}", why)
    if not case.started and not now < expires:
        why = f"it was valid until just before {said.expires_at}, and it is {case.now}"
        yield _refused(where, case, f"the approval by {said.approver} has expired", why)
    if not case.started and said.nonce in case.consumed:
        why = f"its nonce {said.nonce[:8]} has been used: one approval starts one unit of work"
        yield _refused(where, case, f"the approval by {said.approver} has started something already", why)


def _of_the_person(where: str, weighed: _Weighed, case: Case) -> Iterator[RunbookError]:
    said, policy = weighed.one.said, case.policy
    if policy.approvers and not weighed.names & _names(policy.approvers, policy.known):
        why = f"[approval] in pantheon.toml names {', '.join(policy.approvers)}"
        yield _refused(where, case, f"{said.approver} is not asked to approve", why)
    if weighed.duty and not policy.is_solo:
        why = f"they are {weighed.duty}, and approving is another person's"
        yield _refused(where, case, f"{said.approver} cannot approve this plan", why)
    if weighed.duty and policy.is_solo:
        ready = verify.moment_of(case.sealed_at) + policy.delay
        if min(verify.moment_of(said.issued_at), verify.moment_of(case.now)) < ready:
            why = f"they are {weighed.duty}: alone they approve {policy.delay} after it was sealed ({case.sealed_at})"
            yield _refused(where, case, f"{said.approver} signed too soon after making the plan", why)


def _refused(where: str, case: Case, what: str, why: str, *, next_step: str = "") -> NotApprovedError:
    return NotApprovedError(what, why=f"{why} ({where})", state=case.state, next_step=next_step or case.next_step)


def _taken_back(where: str, case: Case, what: str, withdrawal: Read) -> NotApprovedError:
    """Whoever has withdrawn it is asked first, and not somebody else for another signature."""
    taken = withdrawal.said
    anew = f"once that is settled it may be approved anew, {CLOCKS_DIFFER} after it was withdrawn: {case.anew}"
    go_on = f"go back: {case.back}" if case.started else anew
    step = f"ask {taken.approver} about it; {go_on}"
    return _refused(where, case, what, f"on {taken.issued_at}: {taken.reason}", next_step=step)


def _stale(where: str, case: Case, other: str, why: str) -> StalePlanError:
    what = f"the approval is for {other}"
    return StalePlanError(what, why=f"{why} ({where})", state=case.state, next_step=case.next_step)


def _first_refusal(counted: list[_Weighed], weighed: list[_Weighed], case: Case) -> RunbookError:
    """Approvals of this plan before those of others: old ones lie about."""
    problems = [one.problem for one in weighed if one.problem]
    stale = [problem for problem in problems if isinstance(problem, StalePlanError)]
    ours = [problem for problem in problems if not isinstance(problem, StalePlanError)]
    if ours or (stale and not counted):
        return (ours or stale)[0]
    names = ", ".join(one.one.said.approver for one in counted) or "nobody"
    missing, people = case.policy.required - len(counted), "person" if case.policy.required == 1 else "people"
    return HeldError(
        f"the plan waits for {missing} more approval{'s' if missing > 1 else ''}",
        why=f"[approval] asks for {case.policy.required} {people}, and {names} approved",
        state=case.state,
        next_step=case.next_step if case.started else case.anew,
    )


def _approved(kind: Kind, counted: list[_Weighed], weighed: list[_Weighed], case: Case) -> Approved:
    ends = sorted((one.one.said.expires_at for one in counted), reverse=True)
    return Approved(
        kind,
        tuple(_approver(one.one, case.now) for one in counted),
        nonces=frozenset(one.one.said.nonce for one in weighed if one.problem is None),
        expires_at=ends[case.policy.required - 1],
        is_hotfix=case.about.is_hotfix,
        not_counted=tuple(f"{one.problem.what} {one.problem.why}" for one in weighed if one.problem),
        unknown=tuple(sorted(_unknown(case))),
    )


def _approver(one: Read, now: str) -> Approver:
    said = one.said
    source = f"{'SSH signature by ' if one.by_ssh else ''}{source_of(one.key, now)}"
    return Approver(said.approver, source, one.keyid, said.nonce, said.reason, said.issued_at, said.expires_at)


def _unknown(case: Case) -> Iterator[str]:
    people = frozenset().union(*(_names(group, ()) for group in case.policy.known))
    yield from (author.name for author in case.authors if not _names((author.name, *author.also), ()) & people)


def _one_for_each_person(weighed: Iterable[_Weighed]) -> list[_Weighed]:
    """With two keys, or two names, he is still one; what lasts longest is kept."""
    kept: list[_Weighed] = []
    for one in sorted(weighed, key=lambda one: (one.one.said.expires_at, one.one.said.approver), reverse=True):
        if not any(one.names & other.names for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: one.one.said.approver)


def _names_of_signer(one: Read, case: Case) -> frozenset[str]:
    """All that his key is pinned as: under another keyid it is still the same key."""
    owners = (key.owner for key in case.keys.values() if is_one_key(key, one.key))
    return _names(owners, case.policy.known)


def _is_of(person: Person, one: Read, names: frozenset[str], case: Case) -> bool:
    known_by = case.keys.get(person.keyid)
    has_his_key = person.keyid == one.keyid or (known_by is not None and is_one_key(known_by, one.key))
    return has_his_key or bool(names & _names((person.name, *person.also), case.policy.known))


def _names(given: Iterable[str], known: Iterable[Iterable[str]]) -> frozenset[str]:
    """Every name of those who go by these, in one spelling."""
    names = verify.names_in(given)
    for group in known:
        others = {verify.plain_name(name) for name in group}
        if names & others:
            names |= others
    return names
