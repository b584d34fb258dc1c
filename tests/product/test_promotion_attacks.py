"""What who may run RB-030 tries so that production gets what nobody has signed: by the logs it gets nothing of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from migrating_world import until
from promoting_world import Production

from pantheon_runbook.errors import EvidenceError, ParameterError, RefusedError, StalePlanError

pytestmark = pytest.mark.xdist_group("promoting")
SMOKE = "production/smoke"
_DEPLOY = """mutation D($s: String!, $e: String!, $c: String) {
  serviceInstanceDeployV2(serviceId: $s, environmentId: $e, commitSha: $c) }"""
_CHECK = """[[checks]]
name = "nothing"
kind = "sql"
query = "select 1 as one"
columns = ["one"]
environments = ["production"]
"""


@pytest.fixture
def production(production: Production) -> Iterator[Production]:
    """Other modules share the world: what was done to its evidence is undone."""
    production.all_back_to("proven")
    yield production
    production.all_back_to("proven")


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def let_through(production: Production, path: Path) -> str:
    """A run whose approval counted, and which ended before its unit was begun."""
    _, stopped, session = production.promote(path, until="approve")
    assert stopped is None
    return str(session.opening.run_id[:8])


def with_checks(production: Production, checks: str) -> None:
    file = production.world.folder / "pantheon.toml"
    others = re.sub(r"(?m)^\[\[checks\]\]\n(?:[^\[\n].*\n)*", "", file.read_text())
    file.write_text(f"{others}\n{checks}")


@pytest.mark.rare
def test_run_that_did_not_begin_resumes_the_very_plan(production: Production) -> None:
    """Staging has proven something else since: what it rests on is not what was signed."""
    named = let_through(production, production.approved())
    production.world.migrate()
    mark = production.touched()

    _, stopped, _ = production.promote(resume=named)

    assert isinstance(stopped, StalePlanError)
    assert "not as it was approved: release" in stopped.why
    assert mark == production.touched()


@pytest.mark.rare
def test_run_that_was_not_let_through_is_no_way_in(production: Production) -> None:
    _, stopped, session = production.promote(production.planned())
    mark = production.touched()

    with pytest.raises(ParameterError, match="has nothing to go on with"):
        production.promote(resume=session.opening.run_id[:8])

    assert stopped is not None
    assert mark == production.touched()


def test_parameter_is_not_slipped_in_by_a_resume(production: Production) -> None:
    """A hotfix blocks less than a promotion does."""
    named = let_through(production, production.approved())
    mark = production.touched()

    with pytest.raises(ParameterError, match="hotfix is not as in the plan that goes on"):
        production.promote(resume=named, hotfix="because it cannot wait")

    assert mark == production.touched()


@pytest.mark.rare
@pytest.mark.parametrize(
    ("checks", "why"),
    [("", "no smoke check is declared for production"), (_CHECK, "production/smoke")],
    ids=["none", "others"],
)
def test_checks_are_approved_with_the_plan(production: Production, checks: str, why: str) -> None:
    path = production.approved()
    mark = production.touched()
    with_checks(production, checks)

    _, stopped, _ = production.promote(path)

    assert stopped is not None
    assert why in f"{stopped.what} {stopped.why}"
    assert mark == production.touched()


@pytest.mark.rare
@pytest.mark.parametrize(
    ("checks", "why"),
    [("", "no smoke check is declared for production"), (_CHECK, "production/smoke would get checks")],
    ids=["none", "others"],
)
def test_check_that_failed_is_not_replaced_for_the_resume(
    production: Production, held: ExitStack, checks: str, why: str
) -> None:
    """Nothing is contracted by it."""

    def fail() -> None:
        session = held.enter_context(production.superuser(production.production))
        held.enter_context(session.transaction())
        session.execute("lock table public.alembic_version in access exclusive mode")

    _, _, session = production.promote(production.approved(), when=("change-begins", SMOKE), then=fail)
    held.close()
    with_checks(production, checks)
    mark = production.touched()

    _, stopped, _ = production.promote(resume=session.opening.run_id[:8])

    assert stopped is not None
    assert why in f"{stopped.what} {stopped.why}"
    assert mark == production.touched()
    assert ["0010"] == production.state()["heads"]


@pytest.mark.rare
def test_way_back_that_was_begun_is_not_undone_by_going_on(production: Production) -> None:
    """Neither by a resume, nor by a new plan over one that was broken off."""
    refused = {"service": "vercel", "operation": "POST */promote/*", "kind": "500-before", "times": 1000}
    production.world.running.faults([refused])
    _, _, session = production.promote(production.approved())
    production.world.running.faults([])
    assert "done" == production.roll_back(only="railway")[0].word
    mark = production.touched()

    with pytest.raises(RefusedError, match="a way back was begun"):
        production.promote(resume=session.opening.run_id[:8])

    assert mark == production.touched()


@pytest.mark.rare
def test_way_back_that_was_broken_off_blocks_a_promotion(production: Production) -> None:
    """The unit has ended, and production stands between two releases."""
    assert "done" == production.promote(production.approved())[0].word
    deployed = {"service": "railway", "operation": "deploymentRollback", "kind": "500-before", "times": 1000}
    production.world.running.faults([deployed])
    assert "partial" == production.roll_back()[0].word
    production.world.running.faults([])

    run = production.open("plan")
    try:
        found = {one.code: one for one in production.world.plan(run).findings}
    finally:
        production.world.seal(run)

    assert found["way-back-not-ended"].blocks
    assert found["way-back-not-ended"].next_step == "pantheon-runbook run RB-040 -e production --apply"


def former_backend(production: Production) -> Callable[[], None]:
    """Deploys it by hand, and waits until it serves."""
    railway = production.world.facts["railway"]
    given = {"s": railway["services"]["api"], "e": railway["environment_id"], "c": railway["commits"]["released"]}

    def serve() -> None:
        made = production.hands.railway(_DEPLOY, **given)["serviceInstanceDeployV2"]
        until(lambda: made == production.serving("api")[0])

    return serve


@pytest.mark.rare
def test_nothing_is_contracted_under_the_former_backend(production: Production) -> None:
    """Somebody deploys it again right after the checks have passed."""
    verdict, stopped, _ = production.promote(
        production.approved(), when=("change-ends", SMOKE), then=former_backend(production)
    )

    assert "partial" == verdict.word
    assert stopped is not None
    assert "api is not what this unit has brought any more" in stopped.what
    assert ["0010"] == production.state()["heads"]


def test_damaged_evidence_is_named_where_a_unit_is_looked_for(production: Production) -> None:
    """At night it must not read as if nothing had ever been promoted."""
    (report, *_) = sorted(production.world.evidence.glob("*-RB-010-*/report.md"))
    report.write_text(report.read_text() + " ")

    with pytest.raises(EvidenceError, match="is not what was sealed") as stopped:
        production.roll_back(mode="plan")

    assert "report.md" in stopped.value.why
