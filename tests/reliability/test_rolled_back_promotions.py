"""A promotion that stops at each of its steps, and RB-040 after it: production is as it was, by its vendors' word.

Railway runs a former image in a deployment of its own: there the image is the same, and the id where none was replaced.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from promoting_world import Production, production_in, remembered_rehearsals

from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.errors import VendorRefusedError

STEPS = (
    "database/marker", "database/ledger", "database/unit/begin", "database/ledger/baseline", "database/revision/0009",
    "database/revision/0010", "vercel/deployment/production", "production/deployment/api",
    "production/deployment/worker", "vercel/promotion", "production/smoke", "database/revision/0011",
    "database/unit/end",
)  # fmt: skip
HOW = ("refused", "stopped after it")
ALL = [(step, how) for step in STEPS for how in HOW]
SAMPLE = random.Random(f"rolled back {os.environ.get('PANTHEON_SEED', '1')}").sample(ALL, 2)
pytestmark = pytest.mark.xdist_group("promoting")


@pytest.fixture(scope="module")
def _kept(new_world: Any) -> Iterator[Production]:
    with production_in(new_world) as production, remembered_rehearsals():
        yield production


@pytest.fixture
def production(_kept: Production, monkeypatch: pytest.MonkeyPatch) -> Production:
    _kept.world.enter(monkeypatch)
    _kept.back_to("proven")
    return _kept


def images(production: Production) -> dict[str, tuple[str, str]]:
    """(image, commit) of what serves, by service."""
    railway = production.world.facts["railway"]
    query = "query D($i: DeploymentListInput!) { deployments(input: $i, first: 1) { edges { node { meta } } } }"
    found = {}
    for service in ("api", "worker"):
        given = {
            "projectId": railway["project_id"],
            "environmentId": railway["environment_id"],
            "serviceId": railway["services"][service],
            "status": {"in": ["SUCCESS", "SLEEPING"]},
        }
        (edge,) = production.hands.railway(query, i=given)["deployments"]["edges"]
        meta = edge["node"]["meta"]
        found[service] = (meta["imageDigest"], meta["commitHash"])
    return found


def held(production: Production) -> dict[str, Any]:
    """The schema by the database's owner, what serves, what the domains show, and how many rows there are."""
    with production.superuser(production.production) as connection:
        schema = look_at_schema(connection).fingerprint
        rows = connection.execute("select count(*), sum(length(content)) from public.messages").fetchone()
    return {"schema": schema, "images": images(production), "page": production.page(), "rows": rows}


def stopped_at(production: Production, step: str, how: str) -> Any:
    """An approved promotion that does not get past this step: refused by whom it asks, or told to stop behind it."""
    path = production.approved()
    run = production.open("apply", plan_file=str(path))
    session, write = run.session, run.session.journal.write
    if how == "refused":
        kind = session._kind_of(step)
        own = kind.write

        def refuse(change: Any) -> Any:
            if change.address != step:
                return own(change)
            raise VendorRefusedError(
                f"{step} is refused",
                vendor="nobody",
                operation=change.action,
                status=403,
                why="for good",
                state="nothing was changed by this call",
                next_step="ask them",
            )

        kind.write = refuse
    else:

        def written(event: str, **fields: Any) -> None:
            write(event, **fields)
            if (event, fields.get("address")) == ("change-ends", step):
                session.stop.set()

        session.journal.write = written
    return production.world.driven(run)


def check(production: Production, step: str, how: str) -> tuple[str, str, int]:
    before = held(production)
    verdict, _ = stopped_at(production, step, how)
    mark = production.touched()
    back, error, _ = production.roll_back()
    after, sent = held(production), production.calls_since(mark)

    assert before == after, (step, how, back, error)
    assert back.word in {"done", "nothing-to-do"}, (step, how, back, error)
    allowed = {"railway deploymentRollback", "vercel POST /v1/projects/{projectId}/rollback/{deploymentId}"}
    assert set(sent) <= allowed, sent
    return verdict.word, back.word, len(sent)


@pytest.mark.parametrize(("step", "how"), SAMPLE)
def test_production_is_as_it_was(production: Production, step: str, how: str) -> None:
    check(production, step, how)


@pytest.mark.sweep
@pytest.mark.parametrize(("step", "how"), [one for one in ALL if one not in SAMPLE])
def test_production_is_as_it_was_after_each_step(production: Production, step: str, how: str) -> None:
    told = check(production, step, how)
    print(f"\n  {step:<32} {how:<16} {told[0]:<8} RB-040 {told[1]}, {told[2]} calls")
