"""Who let a run of production through, as its bundle keeps it: checked offline against whoever can seal a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from closing_team import CONFIG
from made_promotions import ABOUT, ANA, BACK, EXPIRES, LEFT, NOW, PAST, PLANNED, SOURCE, Promotions
from made_runs import ACTS
from test_agreement import all_of, chained, edit, put, remove, seal_again, seal_what_is_left, where, without
from test_approval import KEYS
from test_tampering import cut, flip

from pantheon_runbook import cli
from pantheon_runbook.attesting import keys_of
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence import approval, decision
from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.runs import sealed_runs
from pantheon_runbook.evidence.seal import trust_of
from pantheon_runbook.evidence.statement import Statement
from pantheon_runbook.evidence.verify import ALONE, DECISIONS, SIGNED_PLAN
from pantheon_runbook.model import canonical, digest_of

Found = set[tuple[str, str]]
Attack = Callable[[Promotions, Path], object]
PLAN_RUN, FIRST = (f"20261123T10000{number}Z-RB-030-production-0000000{number}" for number in (0, 1))
SECOND = "20261123T100002Z-RB-030-production-00000002"
EARLY, HOUR_LATER = "2026-11-24T09:00:00Z", "2026-11-24T11:00:00Z"
OTHER = "0" * 64


def found(promotions: Promotions) -> Found:
    return {(one.file, one.problem) for one in verifier.verify(promotions.make.evidence).findings}


def of_decisions(*problems: str) -> Found:
    return {(DECISIONS, problem) for problem in problems}


def by_both(*problems: str) -> Found:
    return of_decisions(*(problem.format(name) for problem in problems for name in ("ana", "ben")))


def told(change: Callable[[dict[str, Any]], object]) -> Attack:
    """decisions.json by somebody who knows that its digest is in the journal."""

    def write(_: Promotions, folder: Path) -> None:
        content = json.loads((folder / DECISIONS).read_bytes())
        change(content)
        raw = json.dumps(content).encode()
        (folder / DECISIONS).write_bytes(raw)
        where({"decisions": sha256(raw).hexdigest()}, event="act-ends", act="approve")(folder)

    return write


def says(**changed: object) -> Attack:
    return told(lambda content: content.update(changed))


def ana_is(**changed: object) -> Attack:
    return told(lambda content: content["approvers"][0].update(changed))


def in_folder(*changes: Callable[[Path], object]) -> Attack:
    return lambda _, folder: all_of(*changes)(folder)


def both(*attacks: Attack) -> Attack:
    return lambda promotions, folder: [attack(promotions, folder) for attack in attacks]


def approval_is(**changed: object) -> Attack:
    """approval.json, and what the journal says of it."""

    def write(_: Promotions, folder: Path) -> None:
        edit("approval.json", **changed)(folder)
        digest = sha256((folder / "approval.json").read_bytes()).hexdigest()
        kind = json.loads((folder / "approval.json").read_bytes())["kind"]
        where({"approval": digest, "kind": kind}, event="act-ends", act="approve")(folder)

    return write


def ana_signs(said: decision.Said | None = None, *, by: str = "ana", **changed: Any) -> Attack:
    """Her envelope is another one."""
    envelope = decision.signed(replace(said or ANA, **changed), KEYS[by])
    return told(lambda content: content["envelopes"].update({"approvals/ana.json": envelope.decode()}))


def ana_signs_of(**changed: Any) -> Attack:
    return ana_signs(about=replace(ABOUT, **changed))


def ana_withdraws(*, by: str = "ana", at: str = EXPIRES, **changed: Any) -> Attack:
    taken = replace(ANA, decision="withdraw", issued_at=at, expires_at="", **changed)
    envelope = decision.signed(taken, KEYS[by]).decode()
    return told(lambda content: content["envelopes"].update({"approvals/ana-withdrawn.json": envelope}))


def forged(promotions: Promotions, folder: Path) -> None:
    """By the runner's own key: it is there, and it is pinned, and it may seal."""
    raw = decision.signed(ANA, promotions.make.key)
    named = raw.replace(promotions.make.key.keyid.encode(), KEYS["ana"].keyid.encode())
    told(lambda content: content["envelopes"].update({"approvals/ana.json": named.decode()}))(promotions, folder)


def other_statement(promotions: Promotions, folder: Path) -> None:
    same = Statement("urn:pantheon-runbook:attestation:1", ANA.statement.subject, ANA.statement.predicate)
    raw = same.signed(KEYS["ana"]).decode()
    told(lambda content: content["envelopes"].update({"approvals/ana.json": raw}))(promotions, folder)


def pinned(old: str, new: str) -> Attack:
    """Ana's pin, which is the first in the file, says something else."""

    def write(promotions: Promotions, _: Path) -> None:
        text = promotions.trust.read_text()
        assert old in text
        promotions.trust.write_text(text.replace(old, new, 1))

    return write


NOT_THE_JOURNALS = "not what the journal says an act has left"
MISSING = "missing, though production was to be written to"
NOT_SIGNED_PLAN = (SIGNED_PLAN, "not the plan that was signed, or there beside it")
SHAPE = "not of the shape that we write"
NOT_APART = "an approver is its requester, its executor or an author"
NOT_WITHIN = "not judged in this run, before its approve act ended"
NO_ENVELOPE = "no envelope holds the approval by {} with its nonce"
NOT_BY_HER = "the key of ana did not sign what stands there as the approval by ana"
NOT_PINNED = "the key of ana is not pinned to approve for sandbox"
OF_ANOTHER_PLAN = f"not the plan that was sealed as {PLAN_RUN}"
self_approved = approval_is(kind="self-approved, not pre-read", approver="exe")
no_decisions = in_folder(remove(DECISIONS), where({"decisions": None}, event="act-ends", act="approve"))

FORGED: dict[str, tuple[Attack, Found]] = {
    "no decisions, and approved by whoever ran it": (both(no_decisions, self_approved), of_decisions(MISSING)),
    "the same in another mode": (
        both(no_decisions, self_approved, in_folder(where({"mode": "check"}, event="run-opened"))),
        of_decisions(MISSING) | {("journal.jsonl", "it gives a verdict that it does not lead to")},
    ),
    "no decisions, and approved": (
        both(no_decisions, in_folder(without(event="write-intent"))),
        of_decisions("missing, though approval.json says approved"),
    ),
    "decisions removed": (
        in_folder(remove(DECISIONS), without(event="write-intent")),
        of_decisions("missing, though approval.json says approved", NOT_THE_JOURNALS),
    ),
    "not the journal's": (in_folder(edit(DECISIONS, unknown=[])), of_decisions(NOT_THE_JOURNALS)),
    "a plan beside it that is its own": (
        in_folder(
            put(SIGNED_PLAN, PLANNED), where({"approved_plan": digest_of(PLANNED)}, event="act-ends", act="approve")
        ),
        {NOT_SIGNED_PLAN},
    ),
    "a plan beside no decisions": (
        both(no_decisions, self_approved, in_folder(put(SIGNED_PLAN, LEFT))),
        of_decisions(MISSING) | {(SIGNED_PLAN, f"there without {DECISIONS}"), (SIGNED_PLAN, NOT_THE_JOURNALS)},
    ),
    "another plan was signed": (
        says(plan_digest=OTHER),
        {NOT_SIGNED_PLAN}
        | of_decisions("another plan was signed, and it goes on with nothing", OF_ANOTHER_PLAN)
        | by_both("{} signed for another plan", "{} signed for another short code"),
    ),
    "another kind than the approval": (says(kind=ALONE), of_decisions("not the kind of approval.json")),
    "a kind of no kind": (
        both(says(kind="great"), approval_is(kind="great")),
        of_decisions("its kind is none that signatures give"),
    ),
    "an approver left out": (
        told(lambda content: content["approvers"].pop()),
        {("approval.json", f"not the approvers of {DECISIONS}")},
    ),
    "nobody approved": (both(says(approvers=[]), approval_is(approver="")), of_decisions("nobody approved")),
    "another executor": (
        says(executor={"name": "somebody", "source": SOURCE}),
        of_decisions("its executor is not the operator of the run"),
    ),
    "an executor known in another way": (
        says(executor={"name": "exe", "source": "CI identity"}),
        of_decisions("its executor is not the operator of the run"),
    ),
    "approver is an author": (
        says(authors=[{"name": "Anyone <ANA>", "source": "git", "also": []}]),
        of_decisions(NOT_APART),
    ),
    "approver is an author by another name": (
        says(authors=[{"name": "Dev", "source": "git", "also": [" Ana "]}]),
        of_decisions(NOT_APART),
    ),
    "approver is an author, it seems": (
        says(authors=[{"name": "An\u200ba", "source": "git", "also": []}]), of_decisions(NOT_APART)
    ),
    "approver is the requester": (
        says(requester={"name": "ana", "source": SOURCE}),
        of_decisions(NOT_APART, f"its requester is not the operator of {PLAN_RUN}"),
    ),
    "approver is the executor": (
        both(
            says(executor={"name": "ana", "source": SOURCE}), in_folder(where({"operator": "ana"}, event="run-opened"))
        ),
        of_decisions(NOT_APART),
    ),
    "judged before the run": (
        says(judged_at=EARLY),
        of_decisions(NOT_WITHIN) | by_both("{} signed after it was judged", "the key of {} was not valid then"),
    ),
    "judged after its act": (says(judged_at=HOUR_LATER), of_decisions(NOT_WITHIN)),
    "judged when it had ended": (
        says(judged_at=EXPIRES), of_decisions(NOT_WITHIN) | by_both("the approval by {} had ended")
    ),
    "judged in its last second": (says(judged_at="2026-11-24T21:59:59Z"), of_decisions(NOT_WITHIN)),
    "judged at no time": (
        says(judged_at="now"),
        of_decisions(NOT_WITHIN)
        | by_both("{} signed after it was judged", "the approval by {} had ended", "the key of {} was not valid then"),
    ),
    "another nonce": (ana_is(nonce="9" * 32), of_decisions(NO_ENVELOPE.format("ana"))),
    "no envelope": (
        told(lambda content: content["envelopes"].pop("approvals/ana.json")), of_decisions(NO_ENVELOPE.format("ana"))
    ),
    "no envelopes": (says(envelopes={}), by_both(NO_ENVELOPE)),
    "an envelope of no kind": (
        told(lambda content: content["envelopes"].update({"approvals/ana.json": "{\ud800"})),
        of_decisions(NO_ENVELOPE.format("ana")),
    ),
    "another statement": (other_statement, of_decisions(NO_ENVELOPE.format("ana"))),
    "a withdrawal in the place of the approval": (
        ana_signs(decision="withdraw", expires_at=""),
        of_decisions(NO_ENVELOPE.format("ana"), "ana had withdrawn the approval"),
    ),
    "another reason": (ana_is(reason="because"), of_decisions("not the reason that ana signed")),
    "another end": (ana_is(expires_at=PAST), of_decisions("not the expires_at that ana signed")),
    "another beginning": (
        ana_is(issued_at=EARLY), of_decisions("not the issued_at that ana signed", "the key of ana was not valid then")
    ),
    "another name": (
        both(ana_is(name="cy"), approval_is(approver="cy, ben")),
        of_decisions("not the name that cy signed", "the key of cy is not pinned to approve for sandbox"),
    ),
    "signed by the runner": (forged, of_decisions(NOT_BY_HER)),
    "signed by another approver": (ana_signs(by="ben"), of_decisions(NOT_BY_HER)),
    "signed by a stranger": (ana_signs(by="stranger"), of_decisions(NOT_BY_HER)),
    "signed by a stranger, and named so": (
        both(ana_signs(by="stranger"), ana_is(keyid=KEYS["stranger"].keyid)), of_decisions(NOT_PINNED)
    ),
    "signed for another plan": (ana_signs_of(plan_digest=OTHER), of_decisions("ana signed for another plan")),
    "signed for another cloud": (ana_signs_of(cloud="live"), of_decisions("ana signed for another cloud")),
    "signed for another environment": (
        ana_signs_of(environment="staging"), of_decisions("ana signed for another environment")
    ),
    "signed for another runbook": (ana_signs_of(runbook="RB-040"), of_decisions("ana signed for another runbook")),
    "signed for a hotfix": (
        ana_signs_of(is_hotfix=True), of_decisions("ana signed for another kind of plan: hotfix or none")
    ),
    "signed by another code": (ana_signs(code="0000-0000"), of_decisions("ana signed for another short code")),
    "key of another role": (pinned('role = "approve"', 'role = "attest"'), of_decisions(NOT_PINNED)),
    "key of another owner": (pinned('owner = "ana"', 'owner = "cy"'), of_decisions(NOT_PINNED)),
    "key that had ended": (
        pinned('valid_from = "2026-11-24T10:00:00Z"\nvalid_until = "', f'valid_until = "{EARLY}"\nx = "'),
        of_decisions("the key of ana was not valid then"),
    ),
    "withdrawn": (ana_withdraws(), of_decisions("ana had withdrawn the approval")),
    "withdrawn by another nonce, later": (
        ana_withdraws(at="2026-11-24T10:00:01Z", nonce="4" * 32), of_decisions("ana had withdrawn the approval")
    ),
    "withdrawn by another nonce, in the same second": (
        ana_withdraws(at=NOW, nonce="4" * 32), of_decisions("ana had withdrawn the approval")
    ),
    "withdrawn by another nonce, and a clock that is behind": (
        ana_withdraws(at="2026-11-24T09:55:01Z", nonce="4" * 32), of_decisions("ana had withdrawn the approval")
    ),
    "withdrawn by another person": (ana_withdraws(by="ben"), set()),
    "withdrawn, and approved again": (ana_withdraws(at="2026-11-24T09:55:00Z", nonce="4" * 32), set()),
    "withdrawn, another plan": (ana_withdraws(nonce="4" * 32, about=replace(ABOUT, plan_digest=OTHER)), set()),
    "planned elsewhere": (
        says(planned_in="elsewhere"), of_decisions("elsewhere, where the plan was made, is no run before it")
    ),
    "planned in itself": (
        says(planned_in=FIRST), of_decisions(f"{FIRST}, where the plan was made, is no run before it")
    ),
    "planned at another time": (says(sealed_at=EARLY), of_decisions(OF_ANOTHER_PLAN)),
    "requested by another": (
        says(requester={"name": "somebody", "source": SOURCE}),
        of_decisions(f"its requester is not the operator of {PLAN_RUN}"),
    ),
    "goes on with nothing that is here": (
        says(continues="nothing"), of_decisions("nothing, which it goes on with, is no run before it")
    ),
    "goes on with itself": (
        says(continues=FIRST), of_decisions(f"{FIRST}, which it goes on with, is no run before it")
    ),
    "goes on with a plan run": (
        says(continues=PLAN_RUN), of_decisions(f"{PLAN_RUN}, which it goes on with, began under other approvals")
    ),
}  # fmt: skip


def test_approver_pinned_by_people_counts_on_the_sandbox_too(promotions, monkeypatch):
    """Beside the config, where the judgement looks: for whoever checks it, and for the runs that rest on it."""
    promotions.sealed(promotions.decided())
    pins = promotions.trust.read_text().split("[[keys]]")
    people = [pin for pin in pins if 'role = "approve"' in pin]
    folder = promotions.make.evidence.parent
    (folder / "trust.toml").write_text("[[keys]]".join(("", *people)))
    (folder / "pantheon.toml").write_text(CONFIG.format(cloud="sandbox"))
    promotions.trust.write_text("[[keys]]".join(pin for pin in pins if pin not in people))
    monkeypatch.chdir(folder)

    keys = keys_of(folder, promotions.make.evidence)
    assert "approved" == approval.approved(replace(promotions.case, keys=keys), promotions.envelopes).kind
    assert "" == sealed_runs(promotions.make.evidence, trust_of(folder, "sandbox")).problem
    result = CliRunner().invoke(cli.main, ["evidence", "verify", promotions.make.evidence.name])
    assert 0 == result.exit_code, result.output


def test_promotion_is_intact(promotions):
    folder = promotions.sealed(promotions.decided())

    assert set() == found(promotions)
    assert "done" == json.loads((folder / "verdict.json").read_bytes())["word"]
    assert not (folder / SIGNED_PLAN).exists()


@pytest.mark.parametrize("case", FORGED)
def test_forgery_by_whoever_can_seal_is_named(promotions, case: str):
    """The seal holds; the approvers' keys are elsewhere."""
    attack, expected = FORGED[case]
    folder = promotions.sealed(promotions.decided())
    attack(promotions, folder)
    seal_again(promotions.make, folder)

    assert expected == found(promotions)


DEEP: list[Any] = [[], {"a": [1]}]
SHAPES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda content: content.update(schema="pantheon-runbook/decisions/2"),
    "a field missing": lambda content: content.pop("continues"),
    "a person without a source": lambda content: content["requester"].pop("source"),
    "an executor of no kind": lambda content: content.update(executor=DEEP),
    "an author of no kind": lambda content: content.update(authors=[5]),
    "names of no kind": lambda content: content["authors"][0].update(also=5),
    "a name of no kind": lambda content: content["authors"][0].update(also=[DEEP]),
    "an approver of no kind": lambda content: content.update(approvers=DEEP),
    "an approver without a nonce": lambda content: content["approvers"][0].pop("nonce"),
    "an envelope of no kind": lambda content: content["envelopes"].update(x=DEEP),
    "a remark of no kind": lambda content: content.update(not_counted=[DEEP]),
}


@pytest.mark.parametrize("case", SHAPES)
def test_other_shape_is_named(promotions, case: str):
    folder = promotions.sealed(promotions.decided())
    told(SHAPES[case])(promotions, folder)
    seal_again(promotions.make, folder)

    assert of_decisions(SHAPE) == found(promotions)


@pytest.mark.parametrize("how", [flip, cut, Path.unlink], ids=lambda how: how.__name__)
def test_changed_decisions_are_named(promotions, how: Callable[[Path], None]):
    how(promotions.sealed(promotions.decided()) / DECISIONS)

    assert {(DECISIONS, "missing" if how is Path.unlink else "changed after sealing")} == found(promotions)


def test_clocks_of_a_team_may_differ(promotions):
    """What may start by the judgement is in order for the auditor, too."""
    ahead = replace(ANA, issued_at="2026-11-24T10:05:00Z")
    promotions.sealed(promotions.decided({"ana.json": decision.signed(ahead, KEYS["ana"])}))

    assert set() == found(promotions)


def test_bundle_alone_is_checked_by_the_keys_too(promotions):
    folder = promotions.sealed(promotions.decided())
    forged(promotions, folder)
    seal_again(promotions.make, folder)

    assert [NOT_BY_HER] == [one.problem for one in verifier.verify(folder).findings]


# ---- what goes on under the same approval


@pytest.mark.parametrize("plan", [LEFT, BACK], ids=["goes on", "takes back"])
def test_what_goes_on_after_the_end_is_intact(promotions, plan: Mapping[str, Any]):
    """The signed plan is beside it, for its own is another; the key of an approver may have ended meanwhile."""
    folder = promotions.gone_on(plan=plan)
    pinned('valid_from = "2026-11-24T10:00:00Z"\nvalid_until = "', f'valid_until = "{NOW}"\nx = "')(promotions, folder)

    assert canonical(PLANNED) == (folder / SIGNED_PLAN).read_bytes()
    assert set() == found(promotions)


ELSEWHERE = {**PLANNED, "environment": "elsewhere"}


def signed_plan_is(plan: Mapping[str, Any]) -> Attack:
    digest = digest_of(plan)
    return in_folder(put(SIGNED_PLAN, plan), where({"approved_plan": digest}, event="act-ends", act="approve"))


def new_approval(promotions: Promotions, folder: Path) -> None:
    """An approval of hers that has ended, and under which nothing began."""
    other = replace(ANA, nonce="7" * 32)
    both(ana_signs(other), ana_is(nonce=other.nonce))(promotions, folder)


GONE_ON: dict[str, tuple[Attack, Found]] = {
    "goes on with nothing": (
        says(continues=""),
        of_decisions("another plan was signed, and it goes on with nothing") | by_both("the approval by {} had ended"),
    ),
    "the signed plan removed": (
        in_folder(remove(SIGNED_PLAN), where({"approved_plan": None}, event="act-ends", act="approve")),
        {NOT_SIGNED_PLAN},
    ),
    "the signed plan removed alone": (
        in_folder(remove(SIGNED_PLAN)), {NOT_SIGNED_PLAN, (SIGNED_PLAN, NOT_THE_JOURNALS)}
    ),
    "another plan beside it": (signed_plan_is({**PLANNED, "changes": []}), {NOT_SIGNED_PLAN}),
    "a plan for elsewhere": (
        both(signed_plan_is(ELSEWHERE), says(plan_digest=digest_of(ELSEWHERE))),
        {(SIGNED_PLAN, "for another cloud or environment")}
        | by_both("{} signed for another environment", "{} signed for another plan", "{} signed for another short code")
        | of_decisions(OF_ANOTHER_PLAN, f"{FIRST}, which it goes on with, began under other approvals"),
    ),
    "an approval under which nothing began": (
        new_approval, of_decisions(f"{FIRST}, which it goes on with, began under other approvals")
    ),
    "goes on with itself": (
        says(continues=SECOND), of_decisions(f"{SECOND}, which it goes on with, is no run before it")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GONE_ON)
def test_forged_going_on_is_named(promotions, case: str):
    attack, expected = GONE_ON[case]
    folder = promotions.gone_on()
    attack(promotions, folder)
    seal_again(promotions.make, folder)

    assert expected == found(promotions)


# ---- keeping


def test_envelopes_are_kept_to_the_byte(promotions):
    bundle = promotions.begun(promotions.decided(), acts=ACTS[:4])

    kept = json.loads((bundle.folder / DECISIONS).read_bytes())["envelopes"]
    expected = {f"approvals/{name}": raw.decode() for name, raw in promotions.envelopes.items()}
    assert expected == kept
    promotions.make.forget(bundle)


def test_killed_before_the_act_could_end_is_no_contradiction(promotions):
    bundle = promotions.begun(promotions.decided(), acts=ACTS[:4])
    chained(lambda events: events[: -len(("act-ends", "card"))])(bundle.folder)
    (bundle.folder / "approval.json").unlink()

    seal_what_is_left(promotions.make, bundle)

    assert set() == found(promotions)


SECRET = "correct horse battery"


def test_secret_in_what_was_signed_stops_before_any_write(promotions):
    """Masked it would be nobody's word any more: in base64, in the envelope, it is just as readable."""
    promotions.registry.add(SECRET, name="database.password")
    about = replace(ANA, reason=f"the password is {SECRET}")
    decisions = promotions.decided({"ana.json": decision.signed(about, KEYS["ana"])})
    bundle = promotions.begun(None, acts=ACTS[:3])

    with pytest.raises(EvidenceError, match="what was signed holds a secret") as stopped:
        bundle.keep(decisions)

    assert ("it holds database.password", "nothing was changed.") == (stopped.value.why[:26], stopped.value.state)
    assert not (bundle.folder / DECISIONS).exists()
    promotions.make.forget(bundle)


def test_files_that_are_called_alike_are_both_kept(promotions):
    envelopes = promotions.envelopes
    given = {"approvals/x.json": envelopes["ana.json"], "elsewhere/x.json": envelopes["ben.json"]}
    given["again/x.json"] = given["approvals/x.json"]

    kept = promotions.decided(given).told["envelopes"]

    assert sorted(raw.decode() for raw in envelopes.values()) == sorted(kept.values())
    assert all(name.startswith("approvals/") and name.count("/") == 1 for name in kept)


def test_keys_are_a_contract(promotions):
    decisions = promotions.decided()

    person = {"name", "source"}
    assert set(verifier._DECIDED) == set(decisions.told)
    assert person == set(decisions.told["requester"]) == set(decisions.told["executor"])
    assert person | {"also"} == set(decisions.told["authors"][0])
    assert {*person, "keyid", "nonce", "reason", "issued_at", "expires_at"} == set(decisions.told["approvers"][0])
    assert {"decisions": sha256(decisions.files[DECISIONS]).hexdigest()} == decisions.facts


def test_approval_is_of_the_runs_own_plan(promotions):
    decisions = promotions.decided(plan=LEFT)

    assert (digest_of(LEFT), "ana, ben", "approved", NOW) == (
        decisions.approval.plan_digest,
        decisions.approval.approver,
        decisions.approval.kind,
        decisions.approval.at,
    )
    assert digest_of(PLANNED) == decisions.facts["approved_plan"]
