"""RB-030 broken off anywhere and resumed: production ends where the approved plan says, and nothing is done twice."""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from migrating_world import until
from promoting_world import Production
from promotions import (
    BUILD,
    PROMOTE,
    SMOKE,
    Approved,
    Point,
    failing,
    journals_of,
    killed,
    last_bundle,
    left_by,
    outage,
    runner,
    written,
)
from tables import GREEN, Call, calls_of, chosen

from pantheon_runbook import clock
from pantheon_runbook.errors import BlockedPlanError, NotApprovedError, StalePlanError, VendorUnavailableError
from pantheon_runbook.outages import STATUS_PAGES
from pantheon_runbook.permission import Permission
from pantheon_runbook.runner import sessions

pytestmark = [pytest.mark.xdist_group("promoting"), pytest.mark.sweep]
WRITES = (("before", "write-intent"), ("after", "write-intent"), ("before", "write-result"), ("after", "write-result"))
API, WORKER = "production/deployment/api", "production/deployment/worker"
ONCE = ("refused", "500-after", "429", "reset-before", "reset-after")
ON = ("refused", "500-before", "429")
READ_FAULTS = ("500-before", "429", "reset-before")
VENDORS = ("railway", "supabase", "vercel")
POLICY = "request_seconds = 5\nwait_seconds = 60"
PACE = 0.02  # of every world of the tests
STRANGE = "f" * 40
WHAT_STOPS_IT = {
    "railway": "railway does not answer: the promotion has stopped part-way.",
    "supabase": "smoke checks of production failed",  # the first step that asks it: where the database is
    "vercel": "vercel does not answer: the promotion has stopped part-way.",
}
BUILDS = "select count(*)::int as n from pg_stat_activity where query like 'CREATE INDEX%' and wait_event_type = 'Lock'"
READS = (("before", "change-begins"), ("after", "change-begins"), ("before", "change-ends"), ("after", "change-ends"))


@pytest.fixture(scope="module")
def _approved(_proven: Production) -> Iterator[Approved]:
    with pytest.MonkeyPatch.context() as patch:
        _proven.world.enter(patch)
        patch.setattr(_proven, "configure", functools.partial(_proven.configure, more=f"\n[policy]\n{POLICY}\n"))
        _proven.all_back_to("proven")
        yield Approved.made_in(_proven)


@pytest.fixture
def approved(_approved: Approved, monkeypatch: pytest.MonkeyPatch) -> Approved:
    _approved.production.world.enter(monkeypatch)
    _approved.anew()
    return _approved


@pytest.fixture
def production(approved: Approved) -> Production:
    return approved.production


def points(approved: Approved) -> list[Point]:
    """Four of each change: around its write, or around itself where it only reads."""
    return [Point(*line, address) for address in approved.changes for line in (READS if address == SMOKE else WRITES)]


def resumed(production: Production, bundle: str, **parameters: Any) -> list[str]:
    """What is wrong with going on. Nobody remembers which baseline was stated."""
    verdict, stopped, _ = production.promote(resume=bundle, baseline="", **parameters)
    return [] if verdict.word in GREEN else [f"the resumed run: {verdict.word}, {verdict.why} {stopped or ''}"]


def row(what: object, wrong: list[str]) -> str:
    """Printed at once: these tables take their time."""
    told = f"{what!s:66} {'WRONG: ' if wrong else 'finished'}{'; '.join(wrong)}"
    print(told, flush=True)
    return told


def test_killed_promotion_is_finished_by_resuming(approved: Approved) -> None:
    rows = []
    for point in chosen(points(approved), "killed promotions", size=1):
        production = approved.anew()
        bundle, at = killed(production, point, **approved.named)
        wrong = [] if at == point else [f"killed at {at}"]
        rows.append(row(point, [*wrong, *resumed(production, bundle), *approved.wrong()]))
    assert [] == [one for one in rows if "WRONG" in one]


# ---- calls that fail


@pytest.mark.rare
def test_promotion_survives_each_write_that_fails(approved: Approved) -> None:
    """Once, and for as long as the run lasts."""
    calls = calls_of(approved.log, mutating=True)
    cases = [(call, kind, 1) for call in calls for kind in ONCE] + [(call, kind, 1000) for call in calls for kind in ON]
    rows = [suffer(approved, *case) for case in chosen(cases, "writes of a promotion", size=1)]
    assert [] == [one for one in rows if "WRONG" in one]


@pytest.mark.rare
def test_promotion_survives_reads_that_fail(approved: Approved) -> None:
    """Of each operation one call, one way, by the seed: the same run succeeds."""
    by, calls = random.Random(os.environ.get("PANTHEON_SEED", "1")), calls_of(approved.log, mutating=False)
    each = {
        (vendor, operation): (vendor, operation, number) for vendor, operation, number in by.sample(calls, len(calls))
    }
    some = [(call, by.choice(READ_FAULTS), 1) for _, call in sorted(each.items())]
    rows = [suffer(approved, *case, words=["done"]) for case in chosen(some, "reads of a promotion", size=1)]
    assert [] == [one for one in rows if "WRONG" in one]


def suffer(approved: Approved, call: Call, kind: str, times: int, *, words: list[str] | None = None) -> str:
    """The run either copes, or stops with a card that says how it goes on."""
    production, wrong = approved.anew(), []
    with failing(production, call, kind, times=times):
        verdict, stopped, session = production.promote(approved.path)
    if verdict.word not in GREEN:
        wrong += [] if stopped and all(stopped.lines()) else ["no card"]
        wrong += [] if f"--resume {session.opening.run_id[:8]}" in stopped.next_step else [stopped.next_step]
        wrong += resumed(production, last_bundle(production))
    wrong += [] if words in (None, [verdict.word]) else [f"{verdict.word}, {stopped}"]
    often = "always" if times > 1 else f"#{call[2]}"
    return row(f"{call[0]:8} {call[1]:46.46} {often:6} {kind:12} {verdict.word:8}", [*wrong, *approved.wrong()])


# ---- a vendor that does not answer at all


@pytest.mark.rare
@pytest.mark.parametrize("vendor", VENDORS)
def test_outage_before_the_run_changes_nothing(approved: Approved, production: Production, vendor: str) -> None:
    outage(production, vendor)
    with pytest.raises(VendorUnavailableError) as stopped:
        production.promote(approved.path)

    assert f"{vendor} does not answer: the run was not opened." == stopped.value.what
    assert stopped.value.state.startswith("production is as it was before this run")
    assert f"look at {STATUS_PAGES[vendor]}" in stopped.value.next_step
    assert "pantheon-runbook run RB-030 -e production -p baseline=0008 --apply" in stopped.value.next_step
    assert (0, 0) == production.touched()


@pytest.mark.rare
@pytest.mark.parametrize("vendor", VENDORS)
def test_outage_while_it_looks_changes_nothing(approved: Approved, production: Production, vendor: str) -> None:
    """The approval is not used up: the same command promotes when it is over."""
    begins = ("act-begins", "observe")
    verdict, stopped, _ = production.promote(approved.path, when=begins, then=lambda: outage(production, vendor))
    touched = production.touched()
    production.world.running.faults([])

    assert "incomplete" == verdict.word
    assert f"{vendor} does not answer: the promotion was not begun." == stopped.what
    assert stopped.state.startswith("production is as it was before this run")
    assert STATUS_PAGES[vendor] in stopped.next_step
    assert (0, 0) == touched
    assert "done" == production.promote(approved.path)[0].word
    assert [] == approved.wrong()


@pytest.mark.rare
@pytest.mark.parametrize("vendor", VENDORS)
def test_outage_in_the_middle_says_what_stands(approved: Approved, production: Production, vendor: str) -> None:
    began = ("change-ends", "database/unit/begin")
    verdict, stopped, session = production.promote(approved.path, when=began, then=lambda: outage(production, vendor))
    production.world.running.faults([])

    assert verdict.word in {"partial", "unknown"}
    assert WHAT_STOPS_IT[vendor] in stopped.what
    assert vendor in f"{stopped.what} {stopped.why}"
    assert "done: mark the database, make the ledger, begin the unit of work" in stopped.state
    assert vendor == "supabase" or stopped.state.endswith("the unit is open, and nothing goes on by itself.")
    assert vendor == "supabase" or STATUS_PAGES[vendor] in stopped.next_step
    assert f"--apply --resume {session.opening.run_id[:8]}" in stopped.next_step
    assert [] == resumed(production, session.opening.run_id)
    assert [] == approved.wrong()


@pytest.mark.rare
@pytest.mark.parametrize("vendor", VENDORS)
def test_outage_after_the_unit_is_told_as_not_verified(approved: Approved, production: Production, vendor: str) -> None:
    ends = ("change-ends", "database/unit/end")
    verdict, stopped, _ = production.promote(approved.path, when=ends, then=lambda: outage(production, vendor))
    production.world.running.faults([])

    assert "incomplete" == verdict.word
    assert f"{vendor} does not answer: what was promoted could not be checked." == stopped.what
    assert "all changes of the plan are done, and not verified." == stopped.state
    assert "nothing-to-do" == production.promote(None, baseline="")[0].word
    assert [] == approved.wrong()


# ---- what a resumed run may find


def after(address: str, *, line: str = "write-result") -> Point:
    return Point("after", line, address)


def test_what_is_on_its_way_may_arrive_before_the_lock(approved: Approved, production: Production) -> None:
    """Both deployments begin to serve between plan and lock; neither is begun again."""
    production.world.running.pace(1.5)
    bundle, _ = killed(production, after("vercel/promotion", line="change-begins"), after(WORKER), **approved.named)
    wanted = approved.changes[WORKER]["after"]["commit"]

    def arrive() -> None:
        until(lambda: {wanted} == {production.serving(name)[1] for name in ("api", "worker")})

    verdict, stopped, session = production.promote(
        resume=bundle, baseline="", when=("act-ends", "approve"), then=arrive
    )
    production.world.running.pace(PACE)

    assert {"wait"} == {one.action for one in session.plan.changes if one.address in {API, WORKER}}
    assert ("done", None) == (verdict.word, stopped)
    assert [] == approved.wrong()


@pytest.mark.rare
def test_resumed_run_that_was_killed_is_resumed(approved: Approved, production: Production) -> None:
    """By the name of any of them: also of one that did not come to its plan."""
    first, _ = killed(production, after("database/revision/0009"), **approved.named)
    second, _ = killed(production, Point("after", "act-begins", "plan"), resume=first)
    third, _ = killed(production, Point("before", "write-intent", "vercel/promotion"), resume=second)

    assert [] == resumed(production, third)
    assert ["abandoned"] * 3 + ["done"] == [lines[-1]["word"] for lines in journals_of(production)]
    (planned,) = [one for one in journals_of(production)[-1] if one.get("made_before")]
    assert len(approved.changes) == planned["made_before"] + planned["changes"]
    assert [] == approved.wrong()


@pytest.mark.rare
def test_unit_that_is_done_is_not_gone_on_with(approved: Approved, production: Production) -> None:
    bundle, _ = killed(production, after("database/revision/0010"), **approved.named)
    assert [] == resumed(production, bundle)
    before = written(production)

    words = [production.promote(resume=one, baseline="")[0].word for one in (bundle, last_bundle(production))]

    assert ["nothing-to-do", "nothing-to-do"] == words
    assert before == written(production)
    assert [] == approved.wrong()


def later(monkeypatch: pytest.MonkeyPatch, **more: int) -> None:
    """Approvals are judged as of then."""
    moment = (clock.now() + timedelta(**more)).strftime("%Y-%m-%dT%H:%M:%SZ")
    monkeypatch.setattr(sessions, "Permission", functools.partial(Permission, now=lambda: moment))


@pytest.mark.rare
def test_unit_goes_on_past_the_expiry_of_its_approval(approved: Approved, production: Production, monkeypatch) -> None:
    """Whatever is written down in that run is of then."""
    bundle, _ = killed(production, after("database/revision/0009"), **approved.named)
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=2))

    assert [] == resumed(production, bundle)
    assert [] == approved.wrong()


@pytest.mark.rare
def test_unit_does_not_begin_past_the_expiry_of_its_approval(
    approved: Approved, production: Production, monkeypatch
) -> None:
    bundle, _ = killed(production, after("database/ledger"), **approved.named)
    later(monkeypatch, days=2)
    touched = production.touched()

    verdict, stopped, _ = production.promote(resume=bundle, baseline="")

    assert "refused" == verdict.word
    assert isinstance(stopped, NotApprovedError)
    assert touched == production.touched()


def test_unit_that_has_not_begun_is_asked_everything_again(approved: Approved, production: Production) -> None:
    """What opened since it was approved blocks the resumed run too; a new plan, approved anew, goes its own way."""
    bundle, _ = killed(production, after("database/ledger"), **approved.named)
    text = (production.world.folder / "pantheon.toml").read_text()
    unaccepted = text.replace('address = "railway/members"', 'address = "vercel/nothing"')
    (production.world.folder / "pantheon.toml").write_text(unaccepted)
    touched = production.touched()
    _, stopped, _ = production.promote(resume=bundle, baseline="")

    assert isinstance(stopped, BlockedPlanError)
    assert touched == production.touched()


@pytest.mark.rare
def test_run_that_did_not_begin_its_unit_leaves_room_for_a_new_plan(approved: Approved, production: Production) -> None:
    killed(production, after("database/ledger"), **approved.named)

    assert "done" == production.promote(production.approved())[0].word
    assert [] == approved.wrong()


def test_open_unit_blocks_another_run(approved: Approved, production: Production) -> None:
    """Also one that resumes what is no part of it: the run that was killed before it could begin the same."""
    bundle, _ = killed(production, after("database/marker"), **approved.named)
    other = production.approved()
    killed(production, after("database/ledger/baseline"), plan_file=str(other))
    touched = production.touched()

    blocked = [production.promote(**given)[1] for given in ({}, {"resume": bundle})]

    assert [BlockedPlanError, BlockedPlanError] == [type(one) for one in blocked]
    assert ["has not ended" in one.what for one in blocked] == [True, True]
    assert all("--apply --resume" in one.next_step for one in blocked)
    assert touched == production.touched()


def deployed_by_somebody(production: Production) -> None:
    """A commit that nobody has approved serves."""
    railway = production.world.facts["railway"]
    given = {"s": railway["services"]["api"], "e": railway["environment_id"], "c": STRANGE}
    deploy = "serviceInstanceDeployV2(serviceId: $s, environmentId: $e, commitSha: $c)"
    production.hands.railway(f"mutation D($s: String!, $e: String!, $c: String) {{ {deploy} }}", **given)
    until(lambda: STRANGE == production.serving("api")[1])


def made_known(document: Any) -> None:
    document["railway"]["commits"][STRANGE] = "Somebody's own"


def test_somebody_elses_deployment_stops_the_resumed_run(approved: Approved, production: Production) -> None:
    bundle, _ = killed(production, Point("before", "write-intent", API), **approved.named)
    production.hands.edit(made_known)
    deployed_by_somebody(production)
    touched = production.touched()

    _, stopped, _ = production.promote(resume=bundle, baseline="")

    assert isinstance(stopped, StalePlanError)
    assert f"{API} has commit {STRANGE}" in stopped.why
    assert "the unit has begun and is not finished" in stopped.state
    assert touched == production.touched()


@pytest.mark.parametrize("what", ["another deployment", "a finding"])
def test_ground_that_moves_before_the_lock_stops_the_resumed_run(
    approved: Approved, production: Production, what: str
) -> None:
    bundle, _ = killed(production, after("database/revision/0009"), **approved.named)
    production.hands.edit(made_known)
    wrote: list[tuple[int, int]] = []

    def move() -> None:
        if what == "a finding":
            production.open_the_domains()
        else:
            deployed_by_somebody(production)
        wrote.append(written(production))

    _, stopped, _ = production.promote(resume=bundle, baseline="", when=("act-ends", "approve"), then=move)

    assert isinstance(stopped, StalePlanError)
    assert wrote == [written(production)]


@pytest.mark.rare
def test_index_that_was_being_built_blocks_until_it_is_gone(approved: Approved, production: Production) -> None:
    """A revision that had left its transaction: what it left is named, then it is run again by the resumed run."""
    first, _ = killed(production, after("database/revision/0009"), **approved.named)
    with (
        psycopg.connect(production.url_of_production, application_name="somebody") as somebody,
        runner(production, resume=first) as process,
    ):
        somebody.execute("lock table public.messages in row exclusive mode")
        until(lambda: production.hands.sql(production.production, BUILDS)[0]["n"], seconds=60)
        process.kill()
        process.communicate()
        bundle = left_by(production)  # before the build could go on without its client
        somebody.rollback()
    _, stopped, _ = production.promote(resume=bundle, baseline="")
    assert isinstance(stopped, BlockedPlanError)
    assert "messages_session_id_id" in stopped.what
    production.hands.sql(production.production, "drop index public.messages_session_id_id")

    assert [] == resumed(production, last_bundle(production))
    ledger = [state for revision, state in production.ledger() if revision in {"0009", "0010", "0011", "unit"}]
    assert ["applied", "begun", "begun", "applied", "applied", "begun", "done"] == ledger
    sent = Counter(one for one in production.world.mutating() if not one.startswith("supabase"))
    assert {"railway serviceInstanceDeployV2": 2, f"vercel {BUILD}": 1, f"vercel {PROMOTE}": 1} == sent
