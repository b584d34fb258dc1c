"""RB-060 on a staging that somebody made by hand, and on one that drifts: everything is named, and nothing else."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from vendors import Hands

from pantheon_runbook.errors import NotVerifiedError
from pantheon_runbook.model import Comparison
from pantheon_runbook.runner import wiring

pytestmark = pytest.mark.xdist_group("isolation")


def checked(world: Any) -> tuple[Comparison, str]:
    """The matrix and the verdict of one sealed RB-060."""
    run = wiring.open_run("RB-060", {"environment": "staging"})
    try:
        run.session.perform("observe")
        compared: Comparison = run.session.perform("compare")
        run.session.perform("verify")
    except NotVerifiedError:
        pass
    finally:
        verdict = world.seal(run)
    return compared, verdict.word


def alarms(compared: Comparison) -> dict[str, str]:
    return {row.subject: row.relation for row in compared.alarms}


def by_hand(world: Any, hands: Hands) -> str:
    """A staging as somebody clicks it together: no marker, no fingerprints noted, two variables wrong, no uploads."""
    world.provision()
    ref = str(world.staging_ref())
    hands.sql(ref, "drop schema pantheon_runbook cascade")
    hands.storage(ref, "DELETE", "/bucket/uploads")
    hands.set_variable("api", "OPENROUTER_MODEL", "somebody/else")
    hands.set_variable("worker", "SUPABASE_URL", "https://old.example")
    hands.forget_comments()
    production = world.facts["supabase"]["session_url"]
    hands.new_vercel_variable(key="REPORTS_URL", value=production, target=["preview"])
    shutil.rmtree(world.evidence)
    return ref


def test_hand_made_staging_is_named_and_nothing_else(world, hands):
    ref = by_hand(world, hands)
    hands.call("supabase", "POST", f"/v1/projects/{ref}/pause")
    mark = hands.mark()

    compared, word = checked(world)

    assert "not-verified" == word
    wrong = {
        "railway/variable/api/OPENROUTER_MODEL": "wrong",
        "railway/variable/worker/SUPABASE_URL": "wrong",
        "vercel/variable/REPORTS_URL": "shared",
    }
    assert {"supabase/project": "wrong", **wrong} == alarms(compared)
    assert [] == hands.sent_since(mark)
    unread = {row.subject for row in compared.rows if row.relation == "cannot be read"}
    assert {"database/marker", "supabase/bucket/uploads"} <= unread, "a paused project hides them, and that is said"

    hands.call("supabase", "POST", f"/v1/projects/{ref}/restore")
    mark = hands.mark()
    compared, _ = checked(world)

    assert {"database/marker": "missing", "supabase/bucket/uploads": "missing", **wrong} == alarms(compared)
    assert [] == hands.sent_since(mark)
    open_ways = {one.address for one in compared.open_exposures}
    assert {"railway/trigger/api", "railway/trigger/worker"} <= open_ways
