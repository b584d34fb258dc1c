"""Which signed decisions let a plan of production through: a good case, and each way of being none, by its message."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from pantheon_runbook.errors import HeldError, NotApprovedError, RunbookError, StalePlanError
from pantheon_runbook.evidence import approval, decision, verify
from pantheon_runbook.evidence.approval import Approved, Case, Person, Policy
from pantheon_runbook.evidence.decision import About, Said
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.evidence.statement import Statement
from pantheon_runbook.model import canonical

SEALED, ISSUED, NOW, EXPIRES = (f"2026-11-24T{hour}:00:00Z" for hour in ("08", "09", "10", "12"))
PLAN = {"cloud": "live", "environment": "production", "runbook": "RB-030", "parameters": {}, "changes": []}
ABOUT = About.of(canonical(PLAN))


def key_of(number: int) -> SealingKey:
    return SealingKey(CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)))


KEYS = {name: key_of(number) for number, name in enumerate(("ana", "ben", "cy", "req", "stranger", "ana-2"), 1)}
SECOND = Said(ABOUT, "approve", "ben", "read it too", ABOUT.short_code, ISSUED, EXPIRES, "2" * 32)
GOOD = replace(SECOND, approver="ana", reason="read it", nonce="1" * 32)


def pinned(name: str, **other: str) -> verify.Key:
    public = Ed25519PrivateKey.from_private_bytes(bytes([[*KEYS].index(name) + 1]) * 32).public_key()
    told = {"owner": name, "cloud": "live", "role": "approve", **other}
    return verify.Key(public, told.pop("owner"), told.pop("cloud"), f"{name}'s pin", **told)


@dataclass
class Desk:
    """What the judgement is given: changed by a case of the table, then judged."""

    keys: dict[str, verify.Key] = field(
        default_factory=lambda: {KEYS[name].keyid: pinned(name) for name in ("ana", "ben", "cy")}
    )
    envelopes: dict[str, bytes] = field(default_factory=lambda: {"ana.json": decision.signed(GOOD, KEYS["ana"])})
    case: Case = field(
        default_factory=lambda: Case(
            plan=canonical(PLAN),
            sealed_at=SEALED,
            keys={},
            policy=Policy(),
            requester=Person("req", "login name"),
            executor=Person("exe", "login name"),
            authors=(Person("Dev Loper <dev@example.org>", "git"),),
            now=NOW,
        )
    )

    def judged(self) -> Approved:
        return approval.approved(replace(self.case, keys=self.keys), self.envelopes)

    def says(self, said: Said = GOOD, *, by: str = "ana") -> None:
        self.envelopes[f"{said.approver}.json"] = decision.signed(said, KEYS[by])

    def withdraws(self, said: Said = GOOD, *, at: str = ISSUED, by: str = "ana") -> None:
        taken = replace(said, decision="withdraw", issued_at=at, expires_at="", reason="it was wrong")
        self.envelopes["withdrawn.json"] = decision.signed(taken, KEYS[by])

    def set(self, **facts: object) -> None:
        self.case = replace(self.case, **facts)

    def policy(self, **facts: object) -> None:
        self.set(policy=replace(self.case.policy, **facts))

    def repin(self, name: str, **facts: str) -> None:
        self.keys[KEYS[name].keyid] = pinned(name, **facts)


def test_plan_is_approved_by_another_person():
    found = Desk().judged()

    assert ("approved", frozenset({"1" * 32}), EXPIRES, False) == (
        found.kind,
        found.nonces,
        found.expires_at,
        found.is_hotfix,
    )
    (one,) = found.approvers
    assert ("ana", "repository-pinned key of ana (ana's pin)", "read it") == (one.name, one.source, one.reason)


def test_decision_is_read_as_it_was_signed():
    desk = Desk()
    found = decision.read(desk.envelopes["ana.json"], desk.keys)

    assert decision.Read(GOOD, KEYS["ana"].keyid, desk.keys[KEYS["ana"].keyid]) == found


def edited(desk: Desk, change: Callable[[dict], object]) -> None:
    """The envelope is another than was signed, spelled as we spell it."""
    envelope = json.loads(desk.envelopes["ana.json"])
    change(envelope)
    desk.envelopes["ana.json"] = json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n"


def payload(desk: Desk, old: str, new: str) -> None:
    def change(envelope: dict) -> None:
        text = base64.b64decode(envelope["payload"]).decode()
        assert old in text
        envelope["payload"] = base64.b64encode(text.replace(old, new).encode()).decode()

    edited(desk, change)


def about(**other: object) -> Callable[[Desk], None]:
    return lambda desk: desk.says(replace(GOOD, about=replace(ABOUT, **other)))


def said(**other: str) -> Callable[[Desk], None]:
    return lambda desk: desk.says(replace(GOOD, **other))


def other_type(desk: Desk) -> None:
    desk.envelopes["ana.json"] = KEYS["ana"].sign(GOOD.statement.to_bytes(), "application/x") + b"\n"


def other_predicate(desk: Desk) -> None:
    told = GOOD.statement
    desk.envelopes["ana.json"] = Statement("urn:else", told.subject, told.predicate).signed(KEYS["ana"])


def more_said(desk: Desk) -> None:
    """What is signed says more than we read."""
    told = GOOD.statement
    more = Statement(told.kind, told.subject, {**told.predicate, "unless": "it rains"})
    desk.envelopes["ana.json"] = more.signed(KEYS["ana"])


def half_a_character(of: str) -> Callable[[Desk], None]:
    """JSON can spell it, and nothing can be written with it."""

    def sign(desk: Desk) -> None:
        told = GOOD.statement.to_bytes()
        halved = told.replace(f'"{of}"'.encode(), b'"\\ud800"')
        assert told != halved
        desk.envelopes["ana.json"] = KEYS["ana"].sign(halved, decision.PAYLOAD_TYPE) + b"\n"

    return sign


def half_a_character_in_the_key(desk: Desk) -> None:
    payload(desk, "read it", "read it too")
    edited(desk, lambda envelope: envelope["signatures"][0].update(keyid="\ud800"))


def renamed(name: str, *, source: str = "git") -> Callable[[Desk], None]:
    return lambda desk: desk.set(authors=(Person(name, source),))


def alias(desk: Desk) -> None:
    desk.policy(known=(frozenset({"ana", "Ana Lee", "ana@example.org"}),))
    renamed("A. Lee <ANA@Example.org>")(desk)


def two_keys(desk: Desk) -> None:
    """Ana has two pinned keys, and two are needed."""
    desk.repin("ana-2", owner="ana")
    desk.envelopes["ana-2.json"] = decision.signed(replace(GOOD, nonce="3" * 32), KEYS["ana-2"])
    desk.policy(required=2)


def two_names(desk: Desk) -> None:
    """One of the two is the other by another name."""
    desk.says(SECOND, by="ben")
    desk.policy(required=2, known=(frozenset({"ana", "Ben"}),))


def key_of_requester(desk: Desk) -> None:
    """Ana's key is pinned a second time, under another id, as the requester's."""
    desk.keys["0" * 64] = pinned("ana", owner="req", role="attest")


def withdrawn_as_another(desk: Desk) -> None:
    """With her other key, which is pinned as one of the names that [[people]] knows."""
    desk.repin("ana-2", owner="Ana Lee")
    desk.policy(known=(frozenset({"ana", "Ana Lee"}),))
    desk.withdraws(replace(GOOD, approver="Ana Lee", nonce="4" * 32), by="ana-2")


def known_by_key(desk: Desk) -> None:
    desk.set(requester=Person("somebody", "pinned key", keyid=KEYS["ana"].keyid))


def one_of_two_old(desk: Desk) -> None:
    desk.policy(required=2)
    desk.says(replace(SECOND, about=replace(ABOUT, plan_digest="0" * 64)), by="ben")


def replayed(desk: Desk) -> None:
    desk.set(consumed={GOOD.nonce})


def solo(desk: Desk) -> None:
    desk.policy(is_solo=True)
    desk.set(requester=Person("ana", "login name"), executor=Person("ana", "login name"))


def solo_too_soon(desk: Desk) -> None:
    solo(desk)
    desk.set(sealed_at="2026-11-24T08:45:01Z")


def begun(desk: Desk) -> None:
    """The unit began under another approval."""
    desk.set(started=frozenset({"9" * 32}))


def begun_and_withdrawn(desk: Desk) -> None:
    desk.set(started=frozenset({GOOD.nonce, SECOND.nonce}))
    desk.says(SECOND, by="ben")
    desk.withdraws()


def begun_and_gone(desk: Desk) -> None:
    begun_and_withdrawn(desk)
    del desk.envelopes["ana.json"]


REFUSED, STALE, HELD = NotApprovedError, StalePlanError, HeldError
# what: (what is done to the good case, the error, words of its message)
REFUSALS: dict[str, tuple[Callable[[Desk], object], type[RunbookError], str]] = {
    "nobody signed": (lambda desk: desk.envelopes.clear(), HELD, "waits for 1 more approval"),
    "one of two": (lambda desk: desk.policy(required=2), HELD, "asks for 2 people, and ana approved"),
    "one of two, and an old one": (one_of_two_old, HELD, "and ana approved"),
    "same person, two keys": (two_keys, HELD, "asks for 2 people, and ana approved"),
    "same person, two names": (two_names, HELD, "asks for 2 people"),
    "expired, at the very instant": (lambda desk: desk.set(now=EXPIRES), REFUSED, "by ana has expired"),
    "dated ahead": (said(issued_at="2026-11-24T10:05:01Z"), REFUSED, "is not valid yet"),
    "ends before it begins": (said(expires_at="2026-11-24T08:59:59Z"), REFUSED, "valid for too long, or never"),
    "longer than is allowed": (said(expires_at="2026-11-25T09:00:01Z"), REFUSED, "allows 1 day"),
    "replayed nonce": (replayed, REFUSED, "has started something already"),
    "other cloud": (about(cloud="other"), STALE, 'for the cloud "other"'),
    "other environment": (about(environment="staging"), STALE, 'for "staging", and this plan is for "production"'),
    "other runbook": (about(runbook="RB-040"), STALE, "for RB-040, and this plan is of RB-030"),
    "other plan": (about(plan_digest="0" * 64), STALE, "for the plan 0000-0000"),
    "hotfix, and the plan is none": (about(is_hotfix=True), STALE, "given for a hotfix"),
    "other code typed": (said(code="0000-0000"), REFUSED, "short code of another plan"),
    "approver is the requester": (lambda desk: desk.set(requester=Person("ana", "")), REFUSED, "are its requester"),
    "approver has made the same plan": (
        lambda desk: desk.set(requesters=(Person("ana", "login name"),)),
        REFUSED,
        "they are its requester",
    ),
    "approver is the executor": (lambda desk: desk.set(executor=Person(" ANA ", "")), REFUSED, "they are its executor"),
    "approver is an author": (renamed("Ana"), REFUSED, "an author of a commit in the release"),
    "approver is an author, it seems": (renamed("An\u200ba"), REFUSED, "an author of a commit in the release"),
    "approver is an author with a selector": (renamed("ana\ufe0f"), REFUSED, "an author of a commit in the release"),
    "approver is an author in wide letters": (
        renamed("\uff21n\u00ada"),
        REFUSED,
        "an author of a commit in the release",
    ),
    "approver is an author by an alias": (alias, REFUSED, "an author of a commit in the release"),
    "key is the requester's too": (key_of_requester, REFUSED, "they are its requester"),
    "requester is known by this key": (known_by_key, REFUSED, "they are its requester"),
    "not asked": (lambda desk: desk.policy(approvers=("ben", "cy")), REFUSED, "ana is not asked to approve"),
    "unknown key": (lambda desk: desk.says(by="stranger"), REFUSED, "no pinned key signed it"),
    "key outside its validity": (
        lambda desk: desk.repin("ana", valid_until="2026-11-24T09:30:00Z"),
        REFUSED,
        "outside its validity",
    ),
    "key not valid when it signed": (
        lambda desk: desk.repin("ana", valid_from="2026-11-24T09:30:00Z"),
        REFUSED,
        f"not on {ISSUED}",
    ),
    "key of another role": (lambda desk: desk.repin("ana", role="attest"), REFUSED, "pinned to attest for live"),
    "key of another cloud": (lambda desk: desk.repin("ana", cloud="moon"), REFUSED, "pinned to approve for moon"),
    "sandbox key": (lambda desk: desk.repin("ana", cloud="sandbox"), REFUSED, "a rehearsal approves no live plan"),
    "signed for the sandbox": (about(cloud="sandbox"), REFUSED, "a rehearsal approves no live plan"),
    "signed by another pinned key": (lambda desk: desk.says(by="ben"), REFUSED, "its key is pinned as ben's"),
    "signature stripped": (
        lambda desk: edited(desk, lambda envelope: envelope.update(signatures=[])),
        REFUSED,
        "its signature is gone",
    ),
    "keyid lies": (
        lambda desk: edited(desk, lambda envelope: envelope["signatures"][0].update(keyid=KEYS["ben"].keyid)),
        REFUSED,
        "names another key than the one that signed",
    ),
    "changed after signing": (lambda desk: payload(desk, EXPIRES, "2027" + EXPIRES[4:]), REFUSED, "did not sign it as"),
    "written in another way": (
        lambda desk: desk.envelopes.update({"ana.json": desk.envelopes["ana.json"] + b"\n"}),
        REFUSED,
        "not byte for byte",
    ),
    "malformed": (lambda desk: desk.envelopes.update({"ana.json": b"{"}), REFUSED, "it is no approval: not JSON"),
    "no envelope": (lambda desk: desk.envelopes.update({"ana.json": b"{}"}), REFUSED, "not a DSSE envelope"),
    "other type of payload": (other_type, REFUSED, "it holds a 'application/x'"),
    "other predicate": (other_predicate, REFUSED, "no decision of ours"),
    "more is signed than we read": (more_said, REFUSED, "no decision of ours"),
    "half a character": (half_a_character("read it"), REFUSED, "no decision of ours"),
    "half a character in the plan's": (half_a_character(ABOUT.environment), REFUSED, "no decision of ours"),
    "half a character in its digest": (half_a_character(ABOUT.plan_digest), REFUSED, "no decision of ours"),
    "half a character in the key's name": (half_a_character_in_the_key, REFUSED, "no pinned key signed it"),
    "what moves the cursor": (said(reason="read\x1b[2Jit"), REFUSED, "no decision of ours"),
    "decision of no kind": (said(decision="perhaps"), REFUSED, "no decision of ours"),
    "date of no kind": (said(expires_at="2026-13-24T12:00:00Z"), REFUSED, "no decision of ours"),
    "nonce of no kind": (said(nonce="1"), REFUSED, "no decision of ours"),
    "withdrawn": (lambda desk: desk.withdraws(), REFUSED, "withdrawn the approval"),
    "withdrawn later, by another nonce": (
        lambda desk: desk.withdraws(replace(GOOD, nonce="4" * 32), at=NOW),
        REFUSED,
        f"on {NOW}: it was wrong",
    ),
    "withdrawn in the same second, by another nonce": (
        lambda desk: desk.withdraws(replace(GOOD, nonce="4" * 32)),
        REFUSED,
        "withdrawn the approval",
    ),
    "withdrawn by a clock that is behind": (
        lambda desk: desk.withdraws(replace(GOOD, nonce="4" * 32), at="2026-11-24T08:55:01Z"),
        REFUSED,
        "approved anew, 0:05:00 after it was withdrawn",
    ),
    "withdrawn under another of their names": (withdrawn_as_another, REFUSED, "withdrawn the approval"),
    "begun under another approval": (begun, REFUSED, "has not begun under this approval"),
    "begun, and withdrawn by one of two": (begun_and_withdrawn, REFUSED, "withdrawn the approval"),
    "begun, and withdrawn where no approval lies": (begun_and_gone, REFUSED, "that the unit began under"),
    "alone, too soon": (solo_too_soon, REFUSED, "signed too soon"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal_has_its_own_message(what: str):
    change, kind, words = REFUSALS[what]
    desk = Desk()
    change(desk)

    with pytest.raises(RunbookError) as stopped:
        desk.judged()

    assert (kind, True) == (type(stopped.value), words in str(stopped.value)), stopped.value
    assert str(stopped.value).encode()
    step = "pantheon-runbook run RB-040 -e production" if desk.case.started else "pantheon-runbook approve plan.json"
    assert step in stopped.value.next_step


@pytest.mark.parametrize("who", ["requester", "executor", "authors"])
def test_who_has_no_name_is_not_another_person(who: str):
    desk = Desk()
    nobody = Person(" <\u200b> ", "login name")
    desk.set(**{who: (nobody,) if who == "authors" else nobody})

    with pytest.raises(NotApprovedError, match="nobody can be told apart"):
        desk.judged()


@pytest.mark.parametrize("name", ["ana", "ben"])
def test_what_does_not_count_beside_enough_is_told(name: str):
    """Whoever is the requester is passed over; the other is enough."""
    desk = Desk()
    desk.says(SECOND, by="ben")
    desk.set(requester=Person(name, "login name"))

    found = desk.judged()

    assert [{"ana": "ben", "ben": "ana"}[name]] == [one.name for one in found.approvers]
    assert f"{name} cannot approve this plan. they are its requester" in found.not_counted[0]


def test_two_of_three_are_two_people():
    """The plan may start for as long as both of them stand."""
    desk = Desk()
    desk.policy(required=2, approvers=("ana", "ben", "cy"))
    desk.says(replace(SECOND, expires_at="2026-11-24T11:00:00Z"), by="ben")

    found = desk.judged()

    assert (["ana", "ben"], "2026-11-24T11:00:00Z") == ([one.name for one in found.approvers], found.expires_at)
    assert {GOOD.nonce, SECOND.nonce} == found.nonces


def test_last_second_counts():
    desk = Desk()
    desk.set(now="2026-11-24T11:59:59Z")

    assert "approved" == desk.judged().kind


@pytest.mark.parametrize("seconds", [0, 1])
def test_whose_plan_it_is_may_wait_alone(seconds: int):
    """After the delay, never as "approved": nobody else has read it."""
    desk = Desk()
    solo(desk)
    desk.set(sealed_at=f"2026-11-24T08:{45 - seconds}:00Z")

    assert "separation of duties: not met" == desk.judged().kind


def test_other_person_approves_for_one_who_is_alone():
    desk = Desk()
    solo(desk)
    desk.says(SECOND, by="ben")

    found = desk.judged()

    assert ("approved", ["ben"]) == (found.kind, [one.name for one in found.approvers])


def test_unit_that_began_goes_on_past_the_expiry():
    """Its nonce is consumed, the key has ended meanwhile: it began under that approval, and finishes under it."""
    desk = Desk()
    desk.repin("ana", valid_until=NOW)
    desk.set(now="2026-11-26T10:00:00Z", consumed={GOOD.nonce}, started=frozenset({GOOD.nonce}))

    assert "approved" == desk.judged().kind


def test_stopped_unit_says_that_it_has_begun():
    desk = Desk()
    begun_and_withdrawn(desk)

    with pytest.raises(NotApprovedError) as stopped:
        desk.judged()

    assert "the unit has begun and is not finished" in stopped.value.state


@pytest.mark.parametrize("by", ["ben", "sandbox"])
def test_nobody_withdraws_for_another(by: str):
    """Nor does a rehearsal's key withdraw anything on live."""
    desk = Desk()
    if by == "sandbox":
        desk.repin("ana-2", owner="ana", cloud="sandbox")
    desk.withdraws(by={"ben": "ben", "sandbox": "ana-2"}[by])

    assert "approved" == desk.judged().kind


def test_approval_after_a_withdrawal_counts():
    """Once no two clocks can be that far apart: what he has signed since then is new."""
    desk = Desk()
    desk.withdraws(replace(GOOD, nonce="4" * 32), at="2026-11-24T08:55:00Z")

    assert "approved" == desk.judged().kind


def test_ended_key_still_withdraws():
    """To stop is always allowed."""
    desk = Desk()
    desk.repin("ana-2", owner="ana", valid_until="2020-01-01T00:00:00Z")
    desk.withdraws(by="ana-2")

    with pytest.raises(NotApprovedError, match="withdrawn"):
        desk.judged()


def test_author_whom_nobody_knows_is_named():
    """Only his name was compared: a reader must know."""
    desk = Desk()
    desk.set(authors=(Person("Dev <dev@example.org>", "git"), Person("Stranger", "git")))
    desk.policy(known=(frozenset({"dev", "DEV@example.org"}),))

    assert ("Stranger",) == desk.judged().unknown


def test_hotfix_is_said_by_the_plan():
    plan = canonical({**PLAN, "parameters": {"hotfix": True}})
    desk = Desk()
    desk.set(plan=plan)
    desk.says(replace(GOOD, about=About.of(plan), code=About.of(plan).short_code))

    assert desk.judged().is_hotfix


def flipped(raw: bytes, position: int, mask: int) -> bytes:
    position %= len(raw)
    return raw[:position] + bytes([raw[position] ^ mask]) + raw[position + 1 :]


def is_accepted(desk: Desk, envelopes: Mapping[str, bytes]) -> bool:
    desk.envelopes = dict(envelopes)
    try:
        desk.judged()
    except RunbookError:
        return False
    return True


@settings(max_examples=300, deadline=timedelta(seconds=2))
@given(position=st.integers(0, 10_000), mask=st.integers(1, 255), which=st.sampled_from(["ana.json", "withdrawn.json"]))
def test_flipped_byte_never_accepts(position: int, mask: int, which: str):
    """Neither of an approval, nor of the withdrawal beside one: a damaged withdrawal still stops."""
    desk = Desk()
    if which == "withdrawn.json":
        desk.withdraws()

    desk.envelopes[which] = flipped(desk.envelopes[which], position, mask)

    assert not is_accepted(desk, desk.envelopes)


@pytest.mark.parametrize("mask", [1, 3, ord(" ") ^ ord("\n")])
def test_every_position_of_an_approval_is_held(mask: int):
    """Each byte, and what JSON and base64 would pass over: another space, a bit behind the last byte."""
    raw = Desk().envelopes["ana.json"]

    assert [] == [at for at in range(len(raw)) if is_accepted(Desk(), {"ana.json": flipped(raw, at, mask)})]
