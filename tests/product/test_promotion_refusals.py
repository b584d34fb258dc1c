"""RB-030 says no: each way of being refused, its card, and that nothing reached production.

Asked of the cloud's request log and of production's own statement log. An act that was refused may be tried again in
the same run, so one run stands before its approval for all approvals, and one before its apply for all moved grounds.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from migrating_world import until
from promoting_world import ACTS, APPROVER, Production, remembered_rehearsals
from securesystemslib.signer import CryptoSigner

from pantheon_runbook import approving, clock
from pantheon_runbook.config import load_config
from pantheon_runbook.errors import (
    AnotherWriterError,
    BlockedPlanError,
    CredentialError,
    HeldError,
    NotApprovedError,
    NotVerifiedError,
    ParameterError,
    RunbookError,
    StalePlanError,
    StoppedError,
    WrongEnvironmentError,
)
from pantheon_runbook.evidence import decision, seal
from pantheon_runbook.evidence.decision import About, Said
from pantheon_runbook.evidence.seal import SealingKey
from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.model import canonical
from pantheon_runbook.verdict import Verdict

pytestmark = pytest.mark.xdist_group("promoting")
EXECUTOR = "release-manager"  # who applies; "supervisor" made the plan, "developer" wrote what it brings
UNTOUCHED = "nothing was changed."
APPROVE = r"pantheon-runbook approve \S+/plan\.json --key NAME --reason TEXT"
PLAN = r"pantheon-runbook run RB-030 -e production -p baseline=0008"
PLACE = (
    r"pantheon-runbook |https://|\.toml|PANTHEON_|pantheon_runbook\.|-p |plan\.json"  # a command or a place to look at
)
# A command, or a place to look at; another run is only waited for.
PLACE = r"pantheon-runbook |https://|\.toml|PANTHEON_|pantheon_runbook\.|-p |plan\.json|wait for it to end|grant usage"
CARDS: dict[str, RunbookError] = {}


def shown(name: str, error: RunbookError) -> None:
    """Its card, for whoever reads the test's output, and for the comparison of all of them."""
    CARDS[name] = error
    print("\n".join(("", *error.lines())))


@dataclass
class Standing:
    """One run at a time that waits before its approval or before its apply; `path` is the plan that was read."""

    production: Production
    path: Path | None = None
    run: Any = None

    def before_approval(self) -> Any:
        if self.run is None or self.run.session.approval is not None:
            self._open()
        return self.run.session

    def before_apply(self) -> Any:
        """Signed as `approve` does it, with a key that the evidence pins: the run is sealed as approved."""
        if self.run is None:
            self._open()
        self.production.approved(self.path)
        if self.run.session.approval is None:
            self.run.session.perform("approve")
        return self.run.session

    def _open(self) -> None:
        self.close()
        if self.path is None:
            self.path = self.production.planned()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PANTHEON_OPERATOR", EXECUTOR)
            self.run = self.production.open("apply", plan_file=str(self.path))
        self.production.world.plan(self.run)

    def close(self) -> None:
        """Its verdict is what its last refusal says."""
        if self.run is not None:
            word = self.production.world.seal(self.run).word
            self.run = None
            assert word in {"refused", "held", "incomplete"}, word


def key_of(number: int) -> SealingKey:
    return SealingKey(CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)))


OWNERS = ("ana", "ben", "supervisor", EXECUTOR, "developer", "stranger", "ana-2")
KEYS = {name: key_of(number) for number, name in enumerate(OWNERS, 1)}


def ago(**span: float) -> str:
    return (clock.now() - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Desk:
    """What lies in approvals/ and what trust.toml pins, beside a run that waits."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.folder = standing.production.world.folder
        self.clear()

    def clear(self) -> None:
        shutil.rmtree(self.folder / "approvals", ignore_errors=True)
        self.pins: dict[str, dict[str, str]] = {}
        for name in OWNERS:
            if name != "stranger":
                self.pin(name, owner=name.removesuffix("-2"))

    @property
    def plan(self) -> bytes:
        assert self.standing.path is not None
        return self.standing.path.read_bytes()

    @property
    def about(self) -> About:
        return About.of(self.plan)

    @property
    def where(self) -> Path:
        return self.folder / "approvals" / f"{self.about.plan_digest[:12]}-ana.json"

    @property
    def said(self) -> Said:
        code, times = self.about.short_code, (ago(minutes=1), ago(hours=-2))
        return Said(self.about, "approve", "ana", "read and compared", code, *times, "1" * 32)

    def pin(self, name: str, *, again: str = "", **other: str) -> None:
        """`again` is the id of one more entry for the same key."""
        key = KEYS[name]
        entry = {"keyid": again or key.keyid, "public": key.public, "owner": name, "cloud": "sandbox"}
        self.pins[again or name] = {**entry, "role": "approve", "valid_from": "2020-01-01T00:00:00Z", **other}
        tables = ("[[keys]]\n" + "".join(f'{k} = "{v}"\n' for k, v in one.items()) for one in self.pins.values())
        (self.folder / seal.TRUST).write_text("\n".join(tables))

    def put(self, envelope: bytes, *, name: str = "ana") -> None:
        path = self.where.with_name(self.where.name.replace("-ana", f"-{name}"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(envelope)

    def signs(self, *, by: str = "ana", **other: Any) -> None:
        """An approval that is good but for `other`, by its own key or `by` another's."""
        said = replace(self.said, **other)
        self.put(decision.signed(said, KEYS[by]), name=said.approver)

    def edits(self, change: Callable[[dict[str, Any]], object]) -> None:
        """The envelope is another than was signed, spelled as we spell it."""
        self.signs()
        envelope = json.loads(self.where.read_text())
        change(envelope)
        self.where.write_text(json.dumps(envelope, indent=1, sort_keys=True) + "\n")

    def config(self, more: str) -> None:
        """What the team has committed meanwhile."""
        production, session = self.standing.production, self.standing.run.session
        production.configure(more=more)
        session.permission = replace(session.permission, config=load_config(self.folder / "pantheon.toml"))


@pytest.fixture(scope="module", autouse=True)
def _remembered() -> Iterator[None]:
    with remembered_rehearsals():
        yield


@pytest.fixture(scope="module")
def _standing(_proven: Production) -> Iterator[Standing]:
    standing = Standing(_proven)
    yield standing
    with pytest.MonkeyPatch.context() as patch:
        _proven.world.enter(patch)
        standing.close()


@pytest.fixture
def standing(production: Production, _standing: Standing) -> Iterator[Standing]:
    yield _standing
    shutil.rmtree(production.world.folder / "approvals", ignore_errors=True)
    (production.world.folder / seal.TRUST).unlink(missing_ok=True)


@pytest.fixture
def free(standing: Standing) -> Production:
    """Production with no run that waits: another may write."""
    standing.close()
    return standing.production


# ---- approvals: one run before its approval, nothing of it has written


def payload(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(envelope: dict[str, Any]) -> None:
        text = base64.b64decode(envelope["payload"]).decode()
        assert old in text
        envelope["payload"] = base64.b64encode(text.replace(old, new).encode()).decode()

    return change


def of_plan(**other: Any) -> Callable[[Desk], None]:
    """Signed for something else, and put where this plan's approvals are."""
    return lambda desk: desk.signs(about=replace(desk.about, **other))


def expired(desk: Desk) -> None:
    desk.signs(issued_at=ago(hours=3), expires_at=ago(hours=1))


def at_the_very_instant(desk: Desk) -> None:
    desk.signs()
    session, ends = desk.standing.run.session, desk.said.expires_at
    desk.signs(expires_at=ends)
    session.permission = replace(session.permission, now=lambda: ends)


def same_key(desk: Desk) -> None:
    """Ana's key is pinned once more, under another id, as that of whoever made the plan."""
    desk.signs()
    desk.pin("ana", again="0" * 64, owner="supervisor", role="attest")


def same_person(desk: Desk) -> None:
    """Who made the plan has a key of another name."""
    desk.signs()
    desk.config('\n[[people]]\nname = "ana"\nalso = ["supervisor", "supervisor@example.org"]\n')


def two_keys(desk: Desk) -> None:
    """Two people are asked for, and ana signs with both of her keys."""
    desk.signs()
    desk.put(decision.signed(replace(desk.said, nonce="3" * 32), KEYS["ana-2"]), name="ana-2")
    desk.config("\n[approval]\nrequired = 2\n")


def author_by_another_name(desk: Desk) -> None:
    desk.signs()
    desk.config('\n[[people]]\nname = "ana"\nalso = ["developer"]\n')


def withdrawn(desk: Desk) -> None:
    desk.signs()
    taken = replace(desk.said, decision="withdraw", issued_at=ago(), expires_at="", reason="the index is missing")
    desk.put(decision.signed(taken, KEYS["ana-2"]), name="ana-withdrawn-11111111")


def key_ended(desk: Desk) -> None:
    desk.pin("ana", valid_until=ago(minutes=5))
    desk.signs(issued_at=ago(hours=1))


def began_later(desk: Desk) -> None:
    desk.pin("ana", valid_from=ago(minutes=5))
    desk.signs(issued_at=ago(hours=1))


REFUSED, STALE, HELD = NotApprovedError, StalePlanError, HeldError
# what: (what lies there, the error, words of what, words of why)
APPROVALS: dict[str, tuple[Callable[[Desk], object], type[RunbookError], str, str]] = {
    "nobody signed": (Desk.clear, HELD, "nobody has approved this plan", "no signed decision on it in app"),
    "expired": (expired, REFUSED, "the approval by ana has expired", r"valid until just before \S+Z, and it is \S+Z"),
    "at the very instant": (at_the_very_instant, REFUSED, "by ana has expired", r"just before (\S+Z), and it is \1 "),
    "for too long": (
        lambda desk: desk.signs(expires_at=ago(hours=-30)), REFUSED, "for too long", r"\[approval\] allows 1 day"),
    "other plan": (of_plan(plan_digest="0" * 64), STALE, "for another plan", "plan 0000-0000, and this is "),
    "other environment": (
        of_plan(environment="staging"), STALE, "for another environment", 'for "staging", and this plan is for "produ'),
    "other cloud": (of_plan(cloud="live"), STALE, "for another cloud", '"live", and this plan is for "sandbox"'),
    "other runbook": (of_plan(runbook="RB-040"), STALE, "for another runbook", "RB-040, and this plan is of RB-030"),
    "other type": (
        lambda desk: desk.put(KEYS["ana"].sign(desk.said.statement.to_bytes(), "application/x") + b"\n"),
        REFUSED, "ana.json cannot be trusted", "holds a 'application/x'"),
    "hotfix": (of_plan(is_hotfix=True), STALE, "of another kind", "given for a hotfix, and this plan is no hotfix"),
    "requester": (
        lambda desk: desk.signs(by="supervisor", approver="supervisor"),
        REFUSED, "supervisor cannot approve", "they are its requester, and approving is another person's"),
    "executor": (
        lambda desk: desk.signs(by=EXECUTOR, approver=EXECUTOR),
        REFUSED, f"{EXECUTOR} cannot approve", "they are its executor"),
    "author": (
        lambda desk: desk.signs(by="developer", approver="developer"),
        REFUSED, "developer cannot approve", "they are an author of a commit in the release"),
    "author by another name": (author_by_another_name, REFUSED, "ana cannot approve", 'author of .* ."developer", by'),
    "same key": (same_key, REFUSED, "ana cannot approve this plan", "its requester"),
    "same person, another key": (same_person, REFUSED, "ana cannot approve this plan", 'ter ."supervisor", by ..'),
    "same person, two keys": (two_keys, HELD, "waits for 1 more approval", "asks for 2 people, and ana approved"),
    "unknown key": (
        lambda desk: desk.put(decision.signed(desk.said, KEYS["stranger"])),
        REFUSED, "cannot be trusted", f"no pinned key signed it .it names {KEYS['stranger'].keyid[:12]}"),
    "key has ended": (key_ended, REFUSED, "the key of ana is outside its validity", r"until \S+Z, not on \S+Z"),
    "key began later": (began_later, REFUSED, "the key of ana is outside its validity", r"from \S+Z until ever, not"),
    "key for another job": (
        lambda desk: (desk.pin("ana", role="attest"), desk.signs()),
        REFUSED, "the key of ana may not approve", "pinned to attest for sandbox, not to approve"),
    "stripped": (
        lambda desk: desk.edits(lambda one: one.update(signatures=[])), REFUSED, "cannot be trusted", "ure is gone"),
    "signed again by another": (
        lambda desk: desk.put(decision.signed(desk.said, KEYS["ben"])),
        REFUSED, "ana has not signed the approval themselves", "its key is pinned as ben's"),
    "names another key": (
        lambda desk: desk.edits(lambda one: one["signatures"][0].update(keyid=KEYS["ben"].keyid)),
        REFUSED, "cannot be trusted", "names another key than the one that signed it"),
    "changed after signing": (
        lambda desk: desk.edits(payload("read and compared", "read, not compared")),
        REFUSED, "cannot be trusted", "the pinned key that it names did not sign it as it stands"),
    "written in another way": (
        lambda desk: desk.put(decision.signed(desk.said, KEYS["ana"]) + b" "), REFUSED, "cannot be t", "byte for byte"),
    "wrong short code": (
        lambda desk: desk.signs(code="0000-0000"),
        REFUSED, "short code of another plan was typed", '"0000-0000" was typed, and the plan is [0-9a-f]{4}-'),
    "withdrawn": (withdrawn, REFUSED, "ana has withdrawn the approval", r"on \S+Z: the index is missing"),
}  # fmt: skip


@pytest.mark.alike
@pytest.mark.parametrize("name", APPROVALS)
def test_approval_that_does_not_count(name: str, standing: Standing) -> None:
    put, kind, what, why = APPROVALS[name]
    session = standing.before_approval()
    permission, mark = session.permission, standing.production.touched()
    put(Desk(standing))

    try:
        with pytest.raises(RunbookError) as stopped:
            session.perform("approve")
    finally:
        session.permission = permission

    shown(name, stopped.value)
    assert (kind, UNTOUCHED) == (type(stopped.value), stopped.value.state)
    assert re.search(what, stopped.value.what), stopped.value.what
    assert re.search(why, stopped.value.why), stopped.value.why
    assert re.search(APPROVE, stopped.value.next_step), stopped.value.next_step
    assert mark == standing.production.touched()


def test_sandbox_approves_no_live_plan(standing: Standing) -> None:
    """The same plan, but of the real cloud; everything else is as it lies there."""
    session, desk = standing.before_approval(), Desk(standing)
    plan = canonical({**json.loads(desk.plan), "cloud": "live"})
    desk.put(decision.signed(replace(desk.said, about=(of := About.of(plan)), code=of.short_code), KEYS["ana"]))
    desk.where.rename(desk.where.with_name(f"{of.plan_digest[:12]}-ana.json"))
    signed = replace(session.signed(desk.about.plan_digest), plan=plan)

    with pytest.raises(NotApprovedError) as stopped:
        session.permission.judge(signed)

    shown("sandbox key, live plan", stopped.value)
    assert "a rehearsal approves no live plan." == stopped.value.what
    assert UNTOUCHED == stopped.value.state


# ---- the ground has moved: one approved run before its apply


def of_production(production: Production, **more: Any) -> dict[str, Any]:
    railway = production.world.facts["railway"]
    place = {"projectId": railway["project_id"], "environmentId": railway["environment_id"]}
    return {**place, "serviceId": railway["services"]["api"], **more}


def new_variable(production: Production) -> None:
    given = of_production(production, variables={"FEATURE_FLAG": "on"}, skipDeploys=True)
    upsert = "mutation M($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }"
    production.hands.railway(upsert, i=given)


def new_revision(production: Production) -> None:
    note = "op.add_column('jobs', sa.Column('note', sa.Text))"
    production.checkout.add("0012", note, down="0011", downgrade="op.drop_column('jobs', 'note')")


def edited_revision(production: Production) -> None:
    production.checkout.edit("0010", 'INDEX = "messages_session_id_id"', 'INDEX = "messages_of_session"')
    production.checkout.commit()


DEPLOY = """mutation D($s: String!, $e: String!, $c: String) {
  serviceInstanceDeployV2(serviceId: $s, environmentId: $e, commitSha: $c) }"""


def new_deployment(production: Production) -> None:
    place, commits = of_production(production), production.world.facts["railway"]["commits"]
    production.hands.railway(DEPLOY, s=place["serviceId"], e=place["environmentId"], c=commits["head"])


def moved(production: Production) -> None:
    """Somebody has migrated it by hand."""
    production.checkout.bare(production.url_of_production, "upgrade", "0009")


def marked(environment: str) -> Callable[[Production], None]:
    """Its database says what it is, or that it is a copy of another's."""

    def mark(production: Production) -> None:
        ref = production.production if environment == "production" else production.ref
        production.hands.sql(
            production.production,
            f"""create schema pantheon_runbook; grant usage on schema pantheon_runbook to pantheon_dump;
            create table pantheon_runbook.environment (name text, ref text, cloud text);
            grant select on pantheon_runbook.environment to pantheon_dump;
            insert into pantheon_runbook.environment values ('{environment}', '{ref}', 'sandbox')""",
        )

    return mark


OUT_OF_DATE = 'the plan for "production" is out of date.'
# what: (what somebody does, the error, what, words of why)
MOVED: dict[str, tuple[Callable[[Production], None], type[RunbookError], str, str]] = {
    "new variable": (
        new_variable, STALE, OUT_OF_DATE, r"production/variables/railway changed: api \(FEATURE_FLAG is new\)"),
    "new revision": (
        new_revision, STALE, OUT_OF_DATE, r"revisions \(0012 is new\).*; new: database/revision/0012"),
    "edited revision": (
        edited_revision, STALE, OUT_OF_DATE,
        r"database/tree changed: revisions \(0010 is another\) .*to change in another way: database/revision/0010\."),
    "new deployment": (
        new_deployment, STALE, OUT_OF_DATE, r"production/deployment/api changed: coming_commit \([0-9a-f]{40}, was"),
    "production moved": (
        moved, STALE, OUT_OF_DATE, r"database/revision/0009 is present, and was absent.*no longer to change: data"),
    "identity changed": (
        marked("production"), STALE, OUT_OF_DATE, "database/marker is present, and was absent: cloud, environment"),
    "identity of another": (
        marked("staging"), WrongEnvironmentError, 'the database says it is "staging" of project',
        'this run is for "production"; perhaps a restored copy'),
}  # fmt: skip


@pytest.mark.alike
@pytest.mark.parametrize("name", MOVED)
def test_plan_does_not_outlive_what_it_was_made_for(name: str, standing: Standing) -> None:
    """It was approved, and before its apply somebody changes something."""
    change, kind, what, why = MOVED[name]
    session = standing.before_apply()
    change(standing.production)
    mark = standing.production.touched()

    with pytest.raises(RunbookError) as stopped:
        session.perform("apply")

    shown(name, stopped.value)
    assert (kind, UNTOUCHED) == (type(stopped.value), stopped.value.state)
    assert what in stopped.value.what
    assert re.search(why, stopped.value.why), stopped.value.why
    assert re.search(f"{PLAN}.*, and have the new plan approved|pantheon_runbook.environment", stopped.value.next_step)
    assert mark == standing.production.touched()


def test_second_run_beside_one_that_applies(standing: Standing) -> None:
    standing.before_apply()
    mark = standing.production.touched()

    with pytest.raises(AnotherWriterError) as stopped:
        standing.production.open("apply")

    shown("another writer", stopped.value)
    assert ("refused", UNTOUCHED, mark) == (stopped.value.word, stopped.value.state, standing.production.touched())


# ---- whole runs: sealed as refused


def refused(name: str, production: Production, *, state: str = UNTOUCHED, **parameters: Any) -> RunbookError:
    """What an apply run is stopped with before its apply; its sealed verdict is the card's, and nothing was written."""
    mark = production.touched()
    verdict, stopped, _ = production.promote(until="approve", **parameters)
    assert stopped is not None
    shown(name, stopped)
    assert (stopped.word, stopped.exit_code, stopped.what) == (verdict.word, verdict.exit_code, verdict.why)
    assert stopped.state.startswith(state)
    assert mark == production.touched()
    return stopped


@pytest.fixture
def evidence(free: Production) -> Iterator[Path]:
    """As it was, whatever a test makes of it."""
    folder, kept = free.world.evidence, free.world.folder / "kept"
    shutil.copytree(folder, kept)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    kept.rename(folder)


def staging_failed(production: Production) -> None:
    """Somebody has changed its schema by hand, and its last run says so."""
    production.sql("alter table public.jobs add column by_hand text")
    run = production.world.open("apply", runbook="RB-020")
    try:
        for act in ACTS[:-1]:
            run.session.perform(act)
        with pytest.raises(NotVerifiedError):
            run.session.perform("verify")
    finally:
        production.world.seal(run)


def proof_is_gone(production: Production) -> None:
    shutil.rmtree(production.world.evidence)


def proof_was_changed(production: Production) -> None:
    (path,) = production.world.evidence.glob("*-RB-020-*/snapshot.json")
    path.write_bytes(path.read_bytes().replace(b'"applied"', b'"applies"', 1))


def another_commit(production: Production) -> None:
    """Staging runs another one than its run has proven."""
    place, commit = production.hands.service("api"), production.world.facts["railway"]["commits"]["released"]
    production.hands.railway(DEPLOY, s=place["serviceId"], e=place["environmentId"], c=commit)
    until(lambda: production.hands.railway(DEPLOYED, i=place)["deployments"]["edges"][0]["node"]["status"] == "SUCCESS")


DEPLOYED = "query D($i: DeploymentListInput!) { deployments(input: $i, first: 1) { edges { node { status } } } }"


def staging_moved(production: Production) -> None:
    production.sql("update public.alembic_version set version_num = '0010'")


def no_backup(production: Production) -> None:
    production.spoil()
    production.hands.can_be_restored_from(**{production.production: "none"})


def undeclared(production: Production) -> None:
    path = production.world.folder / "pantheon.toml"
    declared = '[[accepted_exposures]]\naddress = "supabase/network"\nowner = "ops"\nreason = "open in the sandbox"\n'
    assert declared in path.read_text()
    path.write_text(path.read_text().replace(f'{declared}expires = "2999-12-31"\n', ""))


def declared_until(day: str) -> Callable[[Production], None]:
    def change(production: Production) -> None:
        path = production.world.folder / "pantheon.toml"
        path.write_text(path.read_text().replace("2999-12-31", day, 1))

    return change


def variable_gone(production: Production) -> None:
    delete = "mutation M($i: VariableDeleteInput!) { variableDelete(input: $i) }"
    production.hands.railway(delete, i=of_production(production, name="LOG_LEVEL"))


def schema_by_hand(production: Production) -> None:
    production.hands.sql(production.production, "alter table public.jobs add column by_hand text")


def no_checks(production: Production) -> None:
    path = production.world.folder / "pantheon.toml"
    path.write_text(path.read_text().replace('environments = ["staging", "production"]', 'environments = ["staging"]'))


RB_020 = r"pantheon-runbook run RB-020 -e staging --apply"
# what: (what was done, what, where it was found, the next step)
BLOCKED: dict[str, tuple[Callable[[Production], None], str, str, str]] = {
    "proof is missing": (
        proof_is_gone, r"no sealed RB-020 run has applied anything to staging \(sandbox\)", "staging/evidence", RB_020),
    "proof has failed": (
        staging_failed, r"the latest RB-020 run, \S+, came to not-verified: .*the schema is what its revisions make",
        "staging/evidence", f"put right what it says, then {RB_020}"),
    "proof was changed": (
        proof_was_changed, r"the evidence is not what was sealed, and proves nothing: \S+-RB-020-\S+/snapshot.json",
        "staging/evidence", "pantheon-runbook evidence verify evidence, and put it back"),
    "proof of another revision": (
        edited_revision, "revision 0010 is another file than staging has proven: .{9} is to be promoted, .{9} was",
        "database/revision/0010", f"put the file back as it was, or write a new revision and {RB_020}"),
    "proof of another commit": (
        another_commit, "production would get is different: staging has proven .{12}, and .{12} would run",
        "production/deployment/api", r"put \S{12} back on staging, or let RB-020 prove the other: -p commit=\S{40}"),
    "staging has moved": (
        staging_moved, "staging no longer holds what its run has proven: 0011", "staging/evidence", RB_020),
    "no backup": (
        no_backup, "production has no backup: Supabase lists none", "production/backups",
        r"switch point in time on: https://supabase.com/dashboard/project/\S+/database/backups/pitr"),
    "open exposure": (
        undeclared, "a way into production is open, addresses from which the database can be reached",
        "exposure/supabase/network", "or declare supabase/network under accepted_exposures in pantheon.toml"),
    "acceptance has passed": (
        declared_until("2026-01-01"), "ops accepted it until 2026-01-01, which has passed",
        "exposure/railway/members", "let ops say anew until when, under accepted_exposures in pantheon.toml"),
    "variable is missing": (
        variable_gone, "api has variables on staging that production lacks: LOG_LEVEL", "production/variables/api",
        "set them for api in production's environment in Railway"),
    "schema by hand": (
        schema_by_hand, r"the schema is not what the revisions up to 0008 make \(1 difference, .{9}\): .*jobs.by_hand",
        "database/ledger", rf"to accept this difference: {PLAN}\+.{{9}}"),
    "no smoke checks": (
        no_checks, "no smoke check is declared for production", "production/smoke",
        r"add \[\[checks\]\] with environments = ..production..; pantheon.example.toml"),
}  # fmt: skip


@pytest.mark.alike
@pytest.mark.parametrize("name", BLOCKED)
def test_what_it_stands_on_is_not_there(name: str, free: Production, evidence: Path) -> None:
    change, what, where, step = BLOCKED[name]
    change(free)

    stopped = refused(name, free)

    assert isinstance(stopped, BlockedPlanError)
    assert re.match(rf"\d findings? must be cleared first: .*{what}", stopped.what), stopped.what
    assert f"found at {where}." == stopped.why
    assert re.search(step, stopped.next_step), stopped.next_step


@pytest.mark.usefixtures("evidence")
def test_proof_grows_old(free: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight days later; the team has taken a dump by itself meanwhile."""
    later = clock.now() + timedelta(days=8)
    free.configure(more='\n[backup]\nstore = "s3://pantheon-dumps/production"\nreceipt = "receipt.json"\n')
    receipt = {"sha256": "0" * 64, "taken_at": later.isoformat(), "encrypted_for": "ops", "project": free.production}
    (free.world.folder / "receipt.json").write_text(json.dumps(receipt))
    monkeypatch.setenv("PANTHEON_PIN", later.isoformat())
    try:
        stopped = refused("proof is too old", free)
    finally:
        clock.pin(None)

    assert re.search(r"RB-020-staging-\S+ was sealed \S+Z, more than 7 days ago", stopped.what), stopped.what
    assert ("found at staging/evidence.", RB_020) == (stopped.why, stopped.next_step)


def test_sandbox_proves_nothing_for_live(free: Production) -> None:
    """All of the run is real but for the word that its config has for the cloud."""
    mark, run = free.touched(), free.open("apply")
    run.session.definition._config = run.session.definition._config.model_copy(update={"cloud": "live"})
    try:
        free.world.plan(run)
        with pytest.raises(BlockedPlanError) as stopped:
            run.session.perform("approve")
    finally:
        verdict = free.world.seal(run)

    shown("proof of the sandbox for live", stopped.value)
    assert re.search(
        "RB-020-staging-.{8} is a sandbox rehearsal: it says nothing of the staging of now", str(stopped.value)
    )
    assert ("refused", UNTOUCHED, mark) == (verdict.word, stopped.value.state, free.touched())
    assert RB_020 == stopped.value.next_step


@pytest.mark.rare
def test_revision_that_fails_on_productions_schema(free: Production) -> None:
    """Production has the column already, and somebody has accepted that difference."""
    free.hands.sql(free.production, "alter table public.messages add column author text")
    code = re.search(r"baseline=(0008\+\S+)\.", refused("schema by hand, too", free).next_step)
    assert code is not None

    stopped = refused("fails in the rehearsal", free, baseline=code.group(1))

    assert "3 pending revisions were not rehearsed on production's schema" in stopped.what
    assert "found at database/rehearsal." == stopped.why
    assert "correct the revision, and prove it: pantheon-runbook run RB-020 -e staging --apply" in stopped.next_step


def test_plan_that_was_read_is_not_the_plan_of_now(free: Production, standing: Standing) -> None:
    """Hours later: what has changed since is told, though the same steps would be taken."""
    standing.path = standing.path or free.planned()
    new_variable(free)

    stopped = refused("read another plan", free, path=standing.path)

    assert (STALE, "the plan that was read is not the plan of now.") == (type(stopped), stopped.what)
    assert re.search(r"railway changed: api \(FEATURE_FLAG is new\) \(planned \S+Z, found \S+Z\)\.$", stopped.why)
    assert re.fullmatch(rf"{PLAN}, and have the new plan approved\.", stopped.next_step)


def test_plan_that_nobody_has_read(free: Production) -> None:
    new_variable(free)

    stopped = refused("nobody has read it", free)

    assert (HELD, "nobody has had this plan to read.") == (type(stopped), stopped.what)
    assert re.search("no sealed plan run has the plan .{9}", stopped.why)
    assert re.search(PLAN, stopped.next_step)


def test_password_that_is_not_productions(free: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before the lock, which nobody would hold without it."""
    path = free.approved()
    text = (free.world.customer / "credentials.toml").read_text()
    credentials = free.world.folder / "credentials.toml"
    credentials.write_text(re.sub(r"(\[production\]\npassword) = .*", r'\1 = "of another project"', text))
    credentials.chmod(0o600)
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(credentials))
    mark = free.touched()

    verdict, stopped, _ = free.promote(path)

    assert isinstance(stopped, CredentialError)
    shown("wrong password", stopped)
    assert ("refused", UNTOUCHED, mark) == (verdict.word, stopped.state, free.touched())
    assert "the database refused the login that writes to it." == stopped.what
    assert "or set PANTHEON_PRODUCTION_PASSWORD" in stopped.next_step


def test_database_that_does_not_let_itself_be_read(free: Production) -> None:
    """Somebody has put our schema there, and the login that looks may not see what it says."""
    marked("production")(free)
    free.hands.sql(free.production, "revoke usage on schema pantheon_runbook from pantheon_dump")
    mark = free.touched()

    verdict, stopped, _ = free.promote(until="approve")

    assert isinstance(stopped, CredentialError)
    shown("its schema cannot be read", stopped)
    assert ("refused", UNTOUCHED, mark) == (verdict.word, stopped.state, free.touched())
    assert "permission denied for schema pantheon_runbook, for pantheon_dump." == stopped.why
    assert "grant usage on schema pantheon_runbook to pantheon_dump;" in stopped.next_step


# ---- no run is opened: another environment, no password, somebody else


def no_password(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (production.world.customer / "credentials.toml").read_text()
    path = production.world.folder / "credentials.toml"
    path.write_text(re.sub(r"\[production\]\npassword = .*\n", "", text))
    path.chmod(0o600)
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(path))


# what: (parameters, the error, what, words of why, the next step)
UNOPENED: dict[str, tuple[dict[str, Any], type[RunbookError], str, str, str]] = {
    "staging": (
        {"environment": "staging"}, ParameterError, "RB-030 was asked to work on staging.",
        "it works on production", "pantheon-runbook run RB-030 -e production"),
    "production to itself": (
        {"staging": "production"}, ParameterError, "production cannot be promoted to itself.",
        "staging names it", "leave -p staging out"),
    "no such unit": (
        {"resume": "01234567"}, ParameterError, 'there is no unit of work "01234567".',
        "no sealed apply run of RB-030 in", "pantheon-runbook list"),
    "no such plan": (
        {"plan_file": "nowhere/plan.json"}, ParameterError, "the plan nowhere/plan.json cannot be read.",
        "No such file", "name a plan.json of a sealed bundle"),
    "no password": (
        {}, CredentialError, "the password of production's database is missing.",
        "migrations need it, and .*credentials.toml has none", "PANTHEON_CREDENTIALS"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNOPENED)
def test_run_that_is_not_opened(name: str, free: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: there is no run, and no evidence of one."""
    parameters, kind, what, why, step = UNOPENED[name]
    if name == "no password":
        no_password(free, monkeypatch)
    mark, kept = free.touched(), sorted(free.world.evidence.iterdir())

    with pytest.raises(RunbookError) as stopped:
        free.open("apply", **parameters)

    shown(name, stopped.value)
    assert (kind, 2, what, UNTOUCHED) == (
        type(stopped.value), stopped.value.exit_code, stopped.value.what, stopped.value.state,
    )  # fmt: skip
    assert re.search(why, stopped.value.why), stopped.value.why
    assert step in stopped.value.next_step
    assert (mark, kept) == (free.touched(), sorted(free.world.evidence.iterdir()))


# ---- one approval, one unit of work


@dataclass(frozen=True)
class Stopped:
    """What a unit was that lost its approval on its way; `since` is what was sent when it was withdrawn."""

    verdict: Verdict
    card: RunbookError | None
    run: str
    since: tuple[int, int]
    after: tuple[int, int]


@pytest.fixture(scope="module")
def _stopped(_proven: Production, _standing: Standing) -> Stopped:
    """Its world is kept as "stopped"."""
    with pytest.MonkeyPatch.context() as patch:
        _proven.world.enter(patch)
        _standing.close()
        _proven.back_to("proven")
        path, marks = _proven.approved(), []

        def withdraw() -> None:
            approving.withdraw(path, key=APPROVER, reason="the index is missing")
            marks.append(_proven.touched())

        begun = ("change-ends", "database/unit/begin")
        verdict, card, session = _proven.promote(path, when=begun, then=withdraw)
        after = _proven.touched()
        _proven.keep_all("stopped")
    return Stopped(verdict, card, session.opening.run_id[:8], marks[0], after)


@pytest.fixture
def stopped(free: Production, _stopped: Stopped) -> Stopped:
    free.all_back_to("stopped")
    return _stopped


def test_approval_withdrawn_between_two_writes(free: Production, stopped: Stopped) -> None:
    """Nothing is sent after it, and what is done and what is not is told."""
    assert isinstance(stopped.card, StoppedError)
    shown("withdrawn between two writes", stopped.card)
    assert ("partial", 5) == (stopped.verdict.word, stopped.verdict.exit_code)
    assert stopped.since == stopped.after
    assert "second-person has withdrawn the approval." == stopped.card.what
    assert re.search(r"on \S+Z: the index is missing", stopped.card.why)
    done = (
        "production: done: mark the database, make the ledger, begin the unit of work; not done: accept revision 0008, "
    )
    assert stopped.card.state.startswith(done)
    (bundle,) = free.world.evidence.glob(f"2*-{stopped.run}")
    kept = [json.loads(one.read_bytes())["envelopes"] for one in bundle.glob("stopped-by.json")]
    assert [[True, False]] == [["second-person-withdrawn" in name for name in sorted(one)] for one in kept]
    assert () == verify(free.world.evidence).findings
    back = f"to go back: pantheon-runbook run RB-040 -p unit={stopped.run}"
    assert f"ask second-person about it; {back}" == stopped.card.next_step
    assert [("unit", "begun")] == free.ledger()


def test_unit_that_has_not_ended(free: Production, stopped: Stopped) -> None:
    """Nothing else is begun beside it."""
    began = f"nothing was changed by this run; the unit of work that run {stopped.run} began at "
    card = refused("unit has not ended", free, state=began)

    assert f"a unit of work that run {stopped.run} of supervisor began at " in card.what
    assert "found at database/unit/begin." == card.why
    assert f"pantheon-runbook run RB-030 -e production --apply --resume {stopped.run}" in card.next_step


def refused_on_its_way(name: str, production: Production, stopped: Stopped) -> RunbookError:
    mark = production.touched()
    verdict, card, _ = production.promote(until="approve", resume=stopped.run)
    assert card is not None
    shown(name, card)
    assert "the unit has begun and is not finished; nothing further was sent." == card.state
    assert (card.word, mark) == (verdict.word, production.touched())
    assert "pantheon-runbook run RB-040 -e production" in card.next_step
    return card


def test_unit_goes_on_under_no_withdrawn_approval(free: Production, stopped: Stopped) -> None:
    card = refused_on_its_way("withdrawn, and to go on", free, stopped)

    assert (REFUSED, "second-person has withdrawn the approval.") == (type(card), card.what)


@pytest.mark.rare
def test_unit_goes_on_under_no_approval_that_is_gone(free: Production, stopped: Stopped) -> None:
    shutil.rmtree(free.world.folder / "approvals")

    card = refused_on_its_way("gone, and to go on", free, stopped)

    assert (HELD, "the plan waits for 1 more approval.") == (type(card), card.what)


def ended(production: Production, plan_digest: str, nonce: str = "") -> None:
    """As a run on another machine says it: a unit was begun and rolled back, and its approval is used up."""
    rows = [f"('{plan_digest}', '{state}', 'another', 'somebody')" for state in ("begun", "rolled back")]
    insert = "insert into pantheon_runbook.units (plan_digest, state, run_id, operator) values"
    made = production.hands.sql(production.production, f"{insert} {', '.join(rows)} returning id")
    if nonce:
        unit = min(row["id"] for row in made)
        production.hands.sql(production.production, f"insert into pantheon_runbook.nonces values ('{nonce}', {unit})")


@pytest.fixture
def again(free: Production, stopped: Stopped) -> tuple[Path, str, str]:
    """A plan that was approved once more after the unit had been rolled back; its digest, and the nonce."""
    ended(free, free.hands.sql(free.production, "select plan_digest from pantheon_runbook.units")[0]["plan_digest"])
    shutil.rmtree(free.world.folder / "approvals")
    path = free.approved()
    (signed,) = (free.world.folder / "approvals").iterdir()
    told = json.loads(base64.b64decode(json.loads(signed.read_text())["payload"]))
    return path, told["subject"][0]["digest"]["sha256"], told["predicate"]["nonce"]


def test_approval_starts_nothing_a_second_time(free: Production, again: tuple[Path, str, str]) -> None:
    """Everything is as it was when it was given, but that it has been used."""
    path, digest, nonce = again
    ended(free, digest, nonce)

    card = refused("replayed", free, path=path)

    assert (REFUSED, "the approval by second-person has started something already.") == (type(card), card.what)
    assert f"its nonce {nonce[:8]} has been used: one approval starts one unit of work" in card.why
    assert re.search(APPROVE, card.next_step)


def test_approval_used_at_the_last_moment(free: Production, again: tuple[Path, str, str]) -> None:
    """By another machine, after this run's approval was judged and before its lock: judged once more inside."""
    path, digest, nonce = again
    marks = []

    def used() -> None:
        ended(free, digest, nonce)
        marks.append(free.touched())

    verdict, card, _ = free.promote(path, when=("act-begins", "apply"), then=used)

    assert card is not None
    shown("replayed at the last moment", card)
    assert ("refused", REFUSED, UNTOUCHED) == (verdict.word, type(card), card.state)
    assert f"its nonce {nonce[:8]} has been used" in card.why
    sent = free.world.running.statements(free.production)[marks[0][1] :]
    assert [] == [one["statement"] for one in sent if "pantheon_runbook.writer" not in one["statement"]]
    assert marks[0][0] == free.touched()[0]


# ---- all of them


def test_each_refusal_has_its_own_card(standing: Standing) -> None:
    """Of those that were shown before this test: all of them when the module is named."""
    standing.close()
    told: dict[tuple[str, ...], list[str]] = {}
    for name, card in CARDS.items():
        assert re.search(PLACE, card.next_step), name
        assert not re.search(r"\b(he|his|him|she|her)\b", str(card)), name
        said = re.sub(r"\(approvals/.*?\)", "", card.why)
        told.setdefault((card.what, said, card.state), []).append(name)

    print(f"\n  {len(CARDS)} refusals, {len({type(one) for one in CARDS.values()})} errors")
    assert [] == [names for names in told.values() if len(names) > 1]
