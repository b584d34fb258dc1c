"""RB-040 on the sandbox: what it takes back, under whose approval, and what it leaves where it is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from migrating_world import until
from promoting_world import APPROVER, Production, production_in

from pantheon_runbook import approving, clock
from pantheon_runbook.database.locks import MachineLock
from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.database.writer import Writer, writer_lock
from pantheon_runbook.errors import (
    AnotherWriterError,
    BlockedPlanError,
    CredentialError,
    HeldError,
    NotApprovedError,
    ParameterError,
    RefusedError,
)
from pantheon_runbook.evidence.verify import moment_of, verify
from pantheon_runbook.model import Finding, Plan
from pantheon_runbook.runner.surroundings import world as world_of_this_process

pytestmark = pytest.mark.xdist_group("promoting")
DRIVER = Path(__file__).parents[1] / "driver.py"
API, WORKER, PAGE = "production/deployment/api", "production/deployment/worker", "vercel/promotion"
PAGE_BACK = "vercel POST /v1/projects/{projectId}/rollback/{deploymentId}"
IMAGE_BACK = "railway deploymentRollback"
THIRD = "third-person"
NOTE = "op.add_column('jobs', sa.Column('note', sa.Text))"


@dataclass(frozen=True)
class Promoted:
    """A production that was promoted and is kept as "promoted", with the evidence and the approvals of then."""

    production: Production
    path: Path
    bundle: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @classmethod
    def made_in(cls, production: Production, *, kept: str = "promoted") -> Promoted:
        before, path = standing(production), production.approved()
        verdict, stopped, session = production.promote(path)
        assert ("done", None) == (verdict.word, stopped)
        (bundle,) = production.world.evidence.glob(f"2*-{session.opening.run_id[:8]}")
        production.keep_all(kept)
        return cls(production, path, bundle.name, before, standing(production))

    def anew(self, *, kept: str = "promoted") -> Production:
        self.production.all_back_to(kept)
        return self.production


def standing(production: Production) -> dict[str, Any]:
    """What RB-040 goes back to; a rollback at Railway makes a new deployment of the same commit."""
    with production.superuser(production.production) as session:
        fingerprint = look_at_schema(session).fingerprint
    state = production.state()
    serving = {name: commit for name, (_, commit) in state["serving"].items()}
    return {"schema": fingerprint, "heads": state["heads"], "serving": serving, "page": state["page"]}


@pytest.fixture(scope="module")
def _promoted(_proven: Production) -> Promoted:
    with pytest.MonkeyPatch.context() as patch:
        _proven.world.enter(patch)
        _proven.all_back_to("proven")
        return Promoted.made_in(_proven)


@pytest.fixture
def promoted(_promoted: Promoted, monkeypatch: pytest.MonkeyPatch) -> Promoted:
    _promoted.production.world.enter(monkeypatch)
    _promoted.anew()
    return _promoted


@pytest.fixture
def production(promoted: Promoted) -> Production:
    return promoted.production


def planned(production: Production, **parameters: Any) -> tuple[Path, Plan]:
    """A sealed plan run of RB-040, which has written nothing."""
    mark = production.touched()
    run = production.world.open("plan", runbook="RB-040", environment="production", **parameters)
    try:
        plan: Plan = production.world.plan(run)
    finally:
        production.world.seal(run)
    assert mark == production.touched()
    return Path(run.bundle.place.sealed) / "plan.json", plan


def findings(plan: Plan) -> dict[str, Finding]:
    return {one.code: one for one in plan.findings}


def at(monkeypatch: pytest.MonkeyPatch, moment: Any) -> None:
    """From now on it is this time, and goes on from there."""
    real, began = clock.now, clock.now()
    monkeypatch.setattr(clock, "now", lambda: moment + (real() - began))


def sealed_at(production: Production, bundle: str) -> Any:
    seal = json.loads((production.world.evidence / bundle / "manifest.json").read_text())
    return moment_of(seal["sealed_at"])


def is_intact(production: Production) -> bool:
    return () == verify(production.world.evidence).findings


# ---- the whole way


def test_whole_promotion_is_taken_back(promoted: Promoted, production: Production) -> None:
    _, plan = planned(production, reason="sessions are lost")
    mark = production.hands.mark()

    verdict, stopped, session = production.roll_back(reason="sessions are lost")
    sent = [one for one in production.hands.sent_since(mark) if "/database/query" not in one]
    again = production.roll_back()[0]
    with pytest.raises(RefusedError, match="a way back was begun"):
        production.promote(resume=promoted.bundle, baseline="")

    assert plan.to_bytes() == session.plan.to_bytes()
    assert ("done", None, "nothing-to-do") == (verdict.word, stopped, again.word)
    told = plan.release["takes_back"]
    assert (promoted.bundle, "done", "sessions are lost") == tuple(told[name] for name in ("run", "came_to", "reason"))
    assert promoted.before == standing(production)
    assert sorted([PAGE_BACK, IMAGE_BACK, IMAGE_BACK]) == sorted(sent)
    assert [("unit", "begun"), ("unit", "done"), ("unit", "rolled back")] == production.ledger()[-3:]
    assert is_intact(production)


@pytest.mark.alike
@pytest.mark.rare
def test_smoke_check_that_fails_is_looked_at_again(promoted: Promoted, production: Production) -> None:
    """Everything is back by then; what is left is to say so, and the card does not speak of a promotion."""
    failing = 'path = "/health"\njson_fields = { revision = "0000" }\nenvironments = ["production"]\n'
    production.configure(more=f'\n[[checks]]\nname = "never"\nkind = "http"\non = "backend"\n{failing}')

    _, stopped, _ = production.roll_back()
    production.configure()
    ledger = production.ledger()[-1]
    verdict, none, session = production.roll_back()

    assert stopped is not None
    assert "pantheon-runbook run RB-040 -e production --apply; it looks at what is left" in stopped.next_step
    assert "resume" not in stopped.next_step
    assert ("unit", "done") == ledger
    assert ("done", None) == (verdict.word, none)
    assert ["production/smoke", "database/unit/end"] == [one.address for one in session.plan.changes]
    assert ("unit", "rolled back") == production.ledger()[-1]
    assert promoted.before == standing(production)


@pytest.mark.alike
@pytest.mark.rare
def test_vendor_that_is_down_stops_the_way_back(promoted: Promoted, production: Production) -> None:
    """The card speaks of the way back, and running again goes on from there."""
    down = {"service": "railway", "operation": "deploymentRollback", "kind": "500-before", "times": 1000}
    production.world.running.faults([down])
    _, stopped, _ = production.roll_back()
    production.world.running.faults([])
    left = standing(production)
    verdict, none, _ = production.roll_back()

    assert stopped is not None
    assert "railway does not answer: the way back has stopped part-way." == stopped.what
    assert "the unit is open" not in stopped.state
    assert "pantheon-runbook run RB-040 -e production --apply" in stopped.next_step
    assert (promoted.before["page"], promoted.after["serving"]) == (left["page"], left["serving"])
    assert ("done", None) == (verdict.word, none)
    assert promoted.before == standing(production)


@pytest.mark.rare
def test_killed_way_back_is_finished(promoted: Promoted, production: Production) -> None:
    told = {"points": [["after", "change-ends", API]], "parameters": {"environment": "production"}}
    killed = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps({**told, "runbook": "RB-040"})],
        cwd=production.world.folder,
        env=production.world.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    left = standing(production)
    verdict, stopped, _ = production.roll_back()

    assert -signal.SIGKILL == killed.returncode, killed.stderr
    assert promoted.before != left
    assert ("done", None) == (verdict.word, stopped)
    assert promoted.before == standing(production)
    assert is_intact(production)


# ---- under whose approval


@pytest.mark.alike
@pytest.mark.rare
def test_cover_ends_a_day_after_sealing(
    promoted: Promoted, production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 24 hours exactly it needs its own approval, which starts one way back and no other."""
    ends = sealed_at(production, promoted.bundle) + timedelta(hours=24)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: ends - timedelta(seconds=1))
        covered = planned(production)[1]
    at(monkeypatch, ends)
    path, plan = planned(production)
    _, held, _ = production.roll_back(plan_file=str(path))
    production.approved(path)
    verdict, stopped, session = production.roll_back(plan_file=str(path))
    nonces = production.hands.sql(production.production, "select nonce from pantheon_runbook.nonces")
    used = frozenset(row["nonce"] for row in nonces)

    assert "not-covered" not in findings(covered)
    assert "database/unit/begin" not in [one.address for one in covered.changes]
    assert "it did for 24 hours after the promotion was sealed" in findings(plan)["not-covered"].what
    assert "database/unit/begin" == plan.changes[0].address
    assert isinstance(held, HeldError)
    assert ("done", None) == (verdict.word, stopped)
    assert promoted.before == standing(production)
    assert 2 == len(used)
    with pytest.raises(NotApprovedError, match="has started something already"):
        session.permission.judge(session.signed(session.plan.digest), consumed=used)
    assert is_intact(production)


@pytest.mark.alike
@pytest.mark.rare
def test_withdrawal_does_not_block_the_way_back(promoted: Promoted, production: Production) -> None:
    approving.withdraw(promoted.path, key=APPROVER, reason="it looks bad")

    verdict, stopped, session = production.roll_back()
    (bundle,) = production.world.evidence.glob(f"2*-{session.opening.run_id[:8]}")
    (told,) = json.loads((bundle / "decisions.json").read_bytes())["not_counted"]

    assert ("done", None) == (verdict.word, stopped)
    assert promoted.before == standing(production)
    assert re.match(r"second-person has withdrawn the approval: on .*it looks bad .*\(it stops no way back\)", told)
    assert is_intact(production)


@pytest.mark.alike
@pytest.mark.rare
def test_approver_needs_another_person_to_take_it_back(
    promoted: Promoted, production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He approved it, and carries nothing out under his own approval; somebody else may, and the plan says so."""
    monkeypatch.setenv("PANTHEON_OPERATOR", APPROVER)
    path, plan = planned(production)
    _, held, _ = production.roll_back()
    told = findings(plan)["not-covered"]
    with pytest.raises(NotApprovedError, match="second-person"):
        production.approved(path, key=APPROVER)
    production.approved(path, key=THIRD)
    verdict, stopped, _ = production.roll_back(plan_file=str(path))

    assert "second-person cannot approve this plan: they are its executor" in told.what
    assert told.next_step.endswith("or somebody else runs it: pantheon-runbook run RB-040 -e production --apply")
    assert isinstance(held, HeldError)
    assert ("done", None) == (verdict.word, stopped)
    assert promoted.before == standing(production)


@pytest.mark.alike
@pytest.mark.rare
def test_what_somebody_deployed_since_is_not_covered(production: Production) -> None:
    railway, commit = production.world.facts["railway"], "c" * 40
    production.hands.edit(lambda whole: whole["railway"]["commits"].update({commit: "by hand"}))
    mutation = """mutation D($s: String!, $e: String!, $c: String) {
      serviceInstanceDeployV2(serviceId: $s, environmentId: $e, commitSha: $c) }"""
    production.hands.railway(mutation, s=railway["services"]["api"], e=railway["environment_id"], c=commit)
    until(lambda: production.serving("api")[1] == commit)

    _, plan = planned(production)
    _, held, _ = production.roll_back()

    assert "serves commit" in findings(plan)["moved-since"].what
    assert API == findings(plan)["moved-since"].address
    assert "database/unit/begin" == plan.changes[0].address
    assert isinstance(held, HeldError)


@pytest.mark.alike
@pytest.mark.rare
def test_image_that_is_gone_is_built_anew(promoted: Promoted, production: Production) -> None:
    """The same commit is not the same artefact, so that it is not covered."""
    production.hands.edit(
        lambda whole: [one.update(imageGone=True) for one in whole["railway"]["deployments"].values()]
    )
    path, plan = planned(production)
    _, held, _ = production.roll_back()
    production.approved(path)
    mark = production.hands.mark()
    verdict, stopped, _ = production.roll_back(plan_file=str(path))
    sent = production.hands.sent_since(mark)

    assert "its commit is built anew" in findings(plan)["image-gone"].what
    assert isinstance(held, HeldError)
    assert ("done", None) == (verdict.word, stopped)
    assert 2 == sent.count("railway serviceInstanceDeployV2")
    assert promoted.before == standing(production)
    assert "nothing-to-do" == production.roll_back()[0].word


# ---- what stays


@pytest.mark.alike
@pytest.mark.parametrize("kept", ["point in time", "3 hours old", "none"])
@pytest.mark.rare
def test_moment_of_a_restore_is_the_beginning_of_the_unit(
    promoted: Promoted, production: Production, kept: str
) -> None:
    """What is not proven is named, with that moment; here a plan in whose rehearsal nothing was undone."""
    asked = (
        "select to_char(min(at) at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as at from pantheon_runbook.units"
    )
    began = production.hands.sql(production.production, asked)[0]["at"]
    production.hands.can_be_restored_from(**{production.production: kept})
    run = production.world.open("plan", runbook="RB-040", environment="production")
    unproven = {**json.loads(promoted.path.read_bytes())["release"]["undo"], "0010": "differs"}
    object.__setattr__(run.session.definition._promoted, "told", with_undo(run.session.definition._promoted, unproven))
    plan = production.world.plan(run)
    production.world.seal(run)

    stays = [one for one in plan.findings if one.code == "revision-stays"]
    words = {
        "point in time": f"restore production's database to just before {began}: https://supabase.com/dashboard/",
        "3 hours old": f"to just before {began} it cannot be; the vendor's last whole backup before it is of ",
        "none": f"to just before {began} it cannot be; there is no backup from before it",
    }
    assert ["database/undo/0009", "database/undo/0010"] == [one.address for one in stays]
    assert ["one above it stays", "its downgrade is not proven (differs)"] == [
        one.what.partition("stays: ")[2] for one in stays
    ]
    assert all(words[kept] in one.next_step and "write a revision that puts it right" in one.next_step for one in stays)
    assert ["database/undo/0011"] == [one.address for one in plan.changes if "undo" in one.address]


def with_undo(promoted: Any, ways: Mapping[str, str]) -> dict[str, Any]:
    return {**promoted.told, "release": {**promoted.told["release"], "undo": dict(ways)}}


@pytest.mark.rare
def test_unproven_revision_stays_with_those_below(new_world: Callable[[], Any], tmp_path: Path) -> None:
    """A release of its own: 0012 goes forward only. The former backend is not put on what was contracted unasked."""
    with production_in(new_world) as production:
        production.checkout.add("0012", NOTE, down="0011", phase="contract", forward_fix_only=True)
        assert "done" == production.world.migrate().word
        before, path = standing(production), production.approved()
        assert "done" == production.promote(path)[0].word
        _, plan = planned(production)
        _, blocked, _ = production.roll_back()
        words = [production.roll_back(only=only)[0].word for only in ("vercel", "railway")]
        _, then = planned(production)
        ended = production.roll_back()[0].word
        after = standing(production)

        stays = [one.address for one in plan.findings if one.code == "revision-stays"]
        assert [f"database/undo/{one:04}" for one in range(9, 13)] == sorted(stays)
        assert isinstance(blocked, BlockedPlanError)
        assert "may need what it took away" in blocked.what
        assert ["done", "done"] == words
        assert [("revision-stays", False)] * 4 == [(one.code, one.blocks) for one in then.findings]
        assert ["production/smoke", "database/unit/end"] == [one.address for one in then.changes]
        assert "done" == ended
        assert (before["serving"], before["page"], ["0012"]) == (after["serving"], after["page"], after["heads"])
        assert ("unit", "rolled back") == production.ledger()[-1]


@pytest.mark.alike
@pytest.mark.rare
def test_tree_of_another_release_is_told(production: Production) -> None:
    """Before anything is sent: what goes down is the file that went up."""
    production.checkout.edit("0009", "DROP FUNCTION messages", "DROP FUNCTION IF EXISTS messages")
    changed = findings(planned(production)[1])["file-changed"]
    production.checkout.file("0011").unlink()
    production.checkout.commit()
    lacking = findings(planned(production)[1])["beyond-tree"]
    mark = production.touched()
    _, blocked, _ = production.roll_back()

    assert ("database/undo/0009", True) == (changed.address, changed.blocks)
    assert "check out the commit that was promoted" in lacking.next_step
    assert isinstance(blocked, BlockedPlanError)
    assert mark == production.touched()


# ---- one vendor alone


ALONE = {
    "vercel": (("VERCEL_TOKEN",), {"vercel"}),
    "railway": (("RAILWAY_API_TOKEN",), {"railway"}),
    "database": (("SUPABASE_ACCESS_TOKEN",), {"supabase"}),
}


@pytest.mark.alike
@pytest.mark.parametrize("only", ALONE)
@pytest.mark.rare
def test_one_vendor_needs_its_own_identity_alone(
    promoted: Promoted, production: Production, monkeypatch: pytest.MonkeyPatch, only: str
) -> None:
    tokens, services = ALONE[only]
    credentials(production, monkeypatch, tokens, with_database=only == "database")
    mark = production.hands.mark()

    verdict, stopped, session = production.roll_back(only=only)
    log = production.world.running.log(mark)
    locks = [one["lock"] for one in production.journal() if one["event"] == "writer-locked"]
    found = standing(production)

    assert ("done", None) == (verdict.word, stopped)
    # What production itself is asked by the smoke checks is no vendor's API.
    assert services == {one["service"] for one in log if one["service"] in {"vercel", "railway", "supabase"}}
    changed = {"vercel": {"page"}, "railway": {"serving"}, "database": {"schema", "heads"}}[only]
    assert changed == {name for name in found if found[name] != promoted.after[name]}
    assert {name: promoted.before[name] for name in changed} == {name: found[name] for name in changed}
    if only == "database":
        assert ["this machine's and the database's"] == locks
    else:
        assert ["this machine's; this run does not reach the database"] == locks
        assert "lock-of-this-machine" in findings(session.plan)


def credentials(
    production: Production, monkeypatch: pytest.MonkeyPatch, tokens: tuple[str, ...], *, with_database: bool
) -> None:
    """A file with these tokens alone, and what the database asks for."""
    told = tomllib.loads((production.world.customer / "credentials.toml").read_text())
    path = production.world.folder / "alone.toml"
    path.touch(mode=0o600)
    lines = ["[tokens]", *(f'{name} = "{told["tokens"][name]}"' for name in tokens)]
    if with_database:
        read = {name: value for name, value in told["values"].items() if "READ" in name or "DUMP" in name}
        lines += ["[production]", f'password = "{told["production"]["password"]}"', "[values]"]
        lines += [f'{name} = "{value}"' for name, value in read.items()]
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(path))


def test_missing_token_is_named_before_anything_is_asked(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(production, monkeypatch, ("VERCEL_TOKEN",), with_database=False)
    mark = production.hands.mark()

    with pytest.raises(CredentialError, match="RAILWAY_API_TOKEN is missing"):
        production.roll_back(mode="plan", only="railway")

    assert mark == production.hands.mark()


# ---- what is refused


@pytest.mark.parametrize("named", ["rubbish", "../evidence", "0" * 32])
def test_unit_that_there_is_not_is_refused(production: Production, named: str) -> None:
    with pytest.raises(ParameterError, match="there is no unit of work") as refused:
        production.roll_back(mode="plan", unit=named)

    assert "pantheon-runbook list" in refused.value.next_step


def test_bundle_of_another_runbook_is_no_unit(production: Production) -> None:
    others = [one.name for one in production.world.evidence.glob("2*-RB-020-*")]
    others += [one.name for one in production.world.evidence.glob("2*-RB-030-*") if one.name != bundle_of(production)]

    assert others
    for one in others:
        with pytest.raises(ParameterError, match="there is no unit of work"):
            production.roll_back(mode="plan", unit=one)


def bundle_of(production: Production) -> str:
    (done,) = [
        one.parent.name
        for one in production.world.evidence.glob("2*-RB-030-*/verdict.json")
        if json.loads(one.read_text())["word"] == "done"
    ]
    return done


@pytest.mark.alike
@pytest.mark.rare
def test_later_unit_that_is_open_comes_first(production: Production) -> None:
    """Its line would be hidden under the end of the older one."""
    with production.superuser(production.production) as session:
        columns = "insert into pantheon_runbook.units (plan_digest, state, run_id, operator)"
        session.execute(f"{columns} values (repeat('e', 64), 'begun', repeat('5', 32), 'somebody')")

    told = findings(planned(production)[1])["unit-not-ended"]
    with production.superuser(production.production) as session:  # a row of the vendor's own is in no log of ours
        session.execute("delete from pantheon_runbook.units where operator = 'somebody'")

    assert told.blocks
    assert "take that one back first: -p unit=55555555" == told.next_step


def test_vendor_that_there_is_not_is_refused(production: Production) -> None:
    with pytest.raises(ParameterError, match='there is nothing called "aws" to roll back'):
        production.roll_back(mode="plan", only="aws")


def test_way_back_waits_for_the_promotion_on_this_machine(production: Production) -> None:
    lock = MachineLock(f"{world_of_this_process().scope} production", holder="run 12345678")
    try:
        with pytest.raises(AnotherWriterError, match="run 12345678"):
            production.roll_back()
    finally:
        lock.release()


@pytest.mark.rare
def test_way_back_waits_for_the_promotion_on_another_machine(promoted: Promoted, production: Production) -> None:
    """Which holds the lock in production's own database."""
    other = Writer("1" * 32, "somebody", "another-machine")
    with production.superuser(production.production) as session:
        scope = "pantheon-runbook production"
        with writer_lock(session, scope=scope, writer=other, wait_seconds=0.0, signs=True):
            mark = production.hands.mark()
            _, stopped, _ = production.roll_back()
            sent = [one for one in production.hands.sent_since(mark) if "/database/query" not in one]

    assert isinstance(stopped, AnotherWriterError)
    assert [] == sent
    assert promoted.after == standing(production)
