"""Deploying a provisioned, migrated staging: sources, commits, a preview, and what it says when one fails.

One world, and each test leaves it deployed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from release import Stage, staged

from pantheon_runbook.errors import StoppedError

pytestmark = [pytest.mark.xdist_group("deploys"), pytest.mark.alike]
IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
LOST = ["reset-after", "500-after", "truncated", "500-before"] if IS_FULL else ["reset-after"]
UNKNOWN_TO_US = "Zx9-value-that-somebody-set-by-hand"


@pytest.fixture(scope="module")
def stage(new_world: Any) -> Iterator[Stage]:
    with staged(new_world) as stage:
        stage.first = stage.release()
        yield stage


@pytest.fixture(autouse=True)
def _no_faults_afterwards(stage: Stage) -> Iterator[None]:
    yield
    stage.world.running.faults([])


def test_first_release_deploys_and_is_proven(stage: Stage) -> None:
    first = stage.first

    assert first.error is None
    assert {
        "railway/source/api": "create",
        "railway/source/worker": "create",
        "railway/deployment/api": "create",
        "railway/deployment/worker": "create",
        "vercel/deployment/preview": "create",
    } == first.changed
    assert all(check.passed for check in first.checks.values())
    assert [stage.commits["head"]] == [one["meta"]["commitHash"] for one in stage.deployments("worker")]
    assert ("ok", "0011") == (stage.health()["status"], stage.health()["revision"])
    assert [] == [one for one in stage.world.running.mutating() if one["environment"] == "production"]
    assert 0 == stage.hands.rows(stage.world.staging_ref(), "public.sessions")


def test_second_release_has_nothing_to_do(stage: Stage) -> None:
    assert ({}, None) == ((again := stage.release()).changed, again.error)


def test_commit_of_the_branch_is_known_without_naming_it(stage: Stage) -> None:
    """Vercel saw the push, and both are of one repository."""
    assert {} == stage.release(until="plan", commit="").changed


@pytest.mark.rare
def test_changed_variable_asks_for_new_deployments(stage: Stage) -> None:
    """Of the same commit; the API reads a Redis variable of another service, and both of them are older now."""
    before = {name: len(stage.deployments(name)) for name in ("api", "worker")}
    stage.hands.set_variable("Redis", "REDIS_PASSWORD", "another-password-77")
    stage.hands.railway(
        "mutation M($e: String!, $s: String!) { serviceInstanceRedeploy(environmentId: $e, serviceId: $s) }",
        e=stage.hands.service("Redis")["environmentId"],
        s=stage.hands.service("Redis")["serviceId"],
    )
    stage.until(lambda: stage.deployments("Redis")[0]["status"] == "SUCCESS")
    broken = stage.prove()

    ended = stage.release()

    assert "redis" in broken["the API is healthy"].found
    assert not broken["the API is healthy"].passed
    assert not broken["a job reaches the worker"].passed
    changes = {change.address: change for change in ended.plan.changes}
    assert {"railway/deployment/api", "railway/deployment/worker"} == set(changes)
    assert "variables were changed at" in changes["railway/deployment/api"].after["anew"]
    assert ended.error is None
    assert {name: count + 1 for name, count in before.items()} == {
        name: len(stage.deployments(name)) for name in before
    }


@pytest.mark.rare
def test_crash_is_told_while_the_former_serves(stage: Stage) -> None:
    """The last lines of the process, without a value that the service has, known to us or not."""
    serving = stage.deployments("api")[0]["id"]
    stage.hands.set_variable("api", "LOG_LEVEL", UNKNOWN_TO_US)

    ended = stage.release()

    assert isinstance(ended.error, StoppedError)
    assert "the deployment of api crashed" in ended.error.what
    assert "KeyError" in ended.error.why
    assert "the former one still serves" in ended.error.state
    assert UNKNOWN_TO_US.casefold() not in str(ended.error).casefold()
    assert "not-ready" == ended.results["railway/deployment/api"].outcome
    assert ("CRASHED", serving) == (stage.deployments("api")[0]["status"], stage.deployments("api")[1]["id"])
    assert "ok" == stage.health()["status"]

    stage.hands.set_variable("api", "LOG_LEVEL", "debug")
    assert stage.release().error is None


@pytest.mark.rare
@pytest.mark.sweep
@pytest.mark.parametrize("kind", LOST)
def test_lost_answer_does_not_deploy_twice(stage: Stage, kind: str) -> None:
    before = {name: len(stage.deployments(name)) for name in ("api", "worker")}
    for name in before:
        stage.hands.set_variable(name, "LOG_LEVEL", "debug")
    rule = {"service": "railway", "operation": "serviceInstanceDeployV2", "kind": kind, "times": 2}
    stage.world.running.faults([rule])

    ended = stage.release()

    assert ended.error is None
    assert {name: count + 1 for name, count in before.items()} == {
        name: len(stage.deployments(name)) for name in before
    }


@pytest.mark.rare
@pytest.mark.sweep
@pytest.mark.parametrize("kind", LOST)
def test_lost_answer_does_not_build_twice(stage: Stage, kind: str) -> None:
    before = len(stage.previews())
    stage.set_preview("NEXT_PUBLIC_SUPABASE_URL")
    stage.world.running.faults([{"service": "vercel", "operation": "POST /v13/deployments", "kind": kind}])

    ended = stage.release()

    assert ended.error is None
    assert {"vercel/deployment/preview": "update"} == ended.changed
    assert before + 1 == len(stage.previews())


@pytest.mark.rare
def test_deployment_on_its_way_is_waited_for(stage: Stage) -> None:
    """As after a runner that was killed: the write is not sent again."""
    before = len(stage.deployments("api"))
    stage.hands.set_variable("api", "LOG_LEVEL", "debug")
    stage.world.running.pace(12)
    place = stage.hands.service("api")
    stage.hands.railway(
        "mutation M($e: String!, $s: String!, $c: String!)"
        " { serviceInstanceDeployV2(environmentId: $e, serviceId: $s, commitSha: $c) }",
        e=place["environmentId"],
        s=place["serviceId"],
        c=stage.commits["head"],
    )
    try:
        ended = stage.release()
    finally:
        stage.world.running.pace(0.02)

    assert ended.error is None
    assert {"railway/deployment/api": "wait"} == ended.changed
    assert before + 1 == len(stage.deployments("api"))


@pytest.mark.rare
def test_other_commit_is_deployed_and_put_back(stage: Stage) -> None:
    released = stage.release(commit=stage.commits["released"])
    undo = next(change.undo for change in released.plan.changes if change.address == "railway/deployment/api")
    back = stage.release()

    assert (None, None) == (released.error, back.error)
    assert f"commit={stage.commits['head']}" in undo
    assert [stage.commits["head"], stage.commits["released"]] == [
        one["meta"]["commitHash"] for one in stage.deployments("api")[:2]
    ]


def test_unknown_commit_changes_nothing(stage: Stage) -> None:
    before = stage.deployments("api")

    ended = stage.release(commit="c" * 40)

    assert "not done: railway/deployment/api" in str(ended.error)
    assert "Commit not found" in str(ended.error)
    assert before == stage.deployments("api")


@pytest.mark.rare
def test_push_does_not_deploy_by_itself(stage: Stage) -> None:
    given = {**stage.hands.service("api"), "enabled": True}
    kind = "ServiceInstanceAutoDeployUpdateInput!"
    stage.hands.railway(
        f"mutation M($i: {kind}) {{ serviceInstanceAutoDeployUpdate(input: $i) {{ enabled }} }}", i=given
    )

    ended = stage.release()

    assert ended.error is None
    assert ({"deploys_by_itself": True}, {"deploys_by_itself": False}) == (
        ended.plan.changes[0].before,
        ended.plan.changes[0].after,
    )


def stop_worker(stage: Stage) -> None:
    current = stage.deployments("worker")[0]["id"]
    stage.hands.railway("mutation M($id: String!) { deploymentStop(id: $id) }", id=current)


def change_sign_in(stage: Stage, url: str = "https://elsewhere.example") -> None:
    ref = stage.world.staging_ref()
    stage.hands.call("supabase", "PATCH", f"/v1/projects/{ref}/config/auth", {"site_url": url})


def open_bucket(stage: Stage, public: bool = True) -> None:  # noqa: FBT001, FBT002  a switch of the vendor's
    stage.hands.storage(stage.world.staging_ref(), "PUT", "/bucket/uploads", {"public": public})


def show_production(stage: Stage) -> None:
    stage.set_preview("NEXT_PUBLIC_API_URL", f"https://{stage.world.facts['railway']['api_domain']}")
    stage.build_preview()


def show_staging(stage: Stage) -> None:
    stage.set_preview("NEXT_PUBLIC_API_URL", f"https://{stage.api_host()}")
    assert stage.release().error is None


def lock_out(stage: Stage) -> None:
    stage.bypass({"revoke": {"secret": stage.vercel["bypass_secret"], "regenerate": False}})


def let_in(stage: Stage) -> None:
    stage.bypass({"generate": {"secret": stage.vercel["bypass_secret"]}})


SITE = "https://pantheon-web-git-staging-pantheon.vercel.app"


@pytest.mark.parametrize(
    ("breaks", "puts_right", "failing", "words"),
    [
        (stop_worker, lambda stage: stage.release(), "a job reaches the worker", 'state = "queued"'),
        (change_sign_in, lambda stage: change_sign_in(stage, SITE), "supabase/auth", "elsewhere.example"),
        (open_bucket, lambda stage: open_bucket(stage, public=False), "supabase/bucket/uploads", "public True"),
        (show_production, show_staging, ".vercel.app talks to staging", "production's host"),
        (lock_out, let_in, ".vercel.app talks to staging", "no bypass secret is known"),
    ],
)
def test_proof_fails_when_what_it_proves_is_broken(
    stage: Stage, breaks: Any, puts_right: Any, failing: str, words: str
) -> None:
    """And no other does."""
    breaks(stage)

    checks = stage.prove()

    failed = [one for one in checks.values() if not one.passed]
    assert failed
    assert all(failing in one.name for one in failed), failed
    assert all(words in one.found for one in failed), failed
    puts_right(stage)


@pytest.mark.rare
def test_schema_of_another_revision_is_no_proof(stage: Stage) -> None:
    checks = stage.prove(head="0010")

    assert ["the API is healthy"] == [name for name, check in checks.items() if not check.passed]
    assert 'revision = "0011"' in checks["the API is healthy"].found


def test_preview_nobody_can_open_is_not_built(stage: Stage) -> None:
    lock_out(stage)
    ended = stage.release(until="approve")
    let_in(stage)

    assert "no bypass secret is known" in ended.error.what
