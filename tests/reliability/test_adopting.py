"""Staging that is half there already, made by hand or left by others: taken over, never made twice."""

from __future__ import annotations

import pytest
from attempts import attempt, config_with
from runners import until

from pantheon_runbook.errors import AmbiguousTargetError, WrongEnvironmentError


def actions(world, **parameters) -> dict[str, str]:
    """Address and action of what a plan run would change."""
    run = world.open("plan", **parameters)
    planned = {change.address: change.action for change in world.plan(run).changes}
    world.seal(run)
    return planned


def healthy(hands, ref: str) -> None:
    path = f"/v1/projects/{ref}/health?services=storage"
    until(lambda: "ACTIVE_HEALTHY" == hands.projects()[0]["status"])
    until(lambda: hands.call("supabase", "GET", path)[0]["healthy"])


def paused(hands, ref: str) -> None:
    hands.call("supabase", "POST", f"/v1/projects/{ref}/pause")
    until(lambda: "INACTIVE" == hands.projects()[0]["status"])


def test_project_made_by_hand_is_adopted(world, hands):
    """Its password is nobody's to read: it is reset, and the marker comes after that."""
    ref = hands.new_project()
    healthy(hands, ref)
    mark = hands.mark()

    planned = actions(world, confirm=ref)
    assert ("reset", "create") == (planned["database/password"], planned["database/marker"])
    assert "supabase/project" not in planned
    assert "done" == attempt(world, confirm=ref).word
    assert [ref] == [one["ref"] for one in hands.projects()]
    assert "supabase PATCH /v1/projects/{ref}/database/password" in hands.sent_since(mark)
    assert [1] == hands.census()["marker"]


@pytest.mark.sweep
def test_project_that_comes_up_is_waited_for(world, hands):
    world.running.pace(0.5)
    ref = hands.new_project()

    assert "supabase/project" not in actions(world)  # a plan made on the way would be stale at its end
    assert "done" == attempt(world, confirm=ref).word
    assert [ref] == [one["ref"] for one in hands.projects()]


@pytest.mark.rare
def test_plan_waits_for_services_that_come_up(world, hands):
    """The project says that it is healthy some time before its services are; what is planned meanwhile is stale."""
    world.running.pace(1.0)
    ref = hands.new_project()
    until(lambda: "ACTIVE_HEALTHY" == hands.projects()[0]["status"])

    run = world.open("plan")
    addresses = {change.address for change in world.plan(run).changes}
    world.seal(run)

    health = hands.call("supabase", "GET", f"/v1/projects/{ref}/health?services=storage")
    assert [True] == [one["healthy"] for one in health]
    assert not {one for one in addresses if one.startswith("supabase/api-key")}


@pytest.mark.rare
def test_paused_project_is_a_finding(world, hands):
    ref = hands.new_project()
    healthy(hands, ref)
    paused(hands, ref)
    mark = hands.mark()

    stopped = attempt(world)
    assert "refused" == stopped.word
    assert "restore_paused=true" in stopped.error.next_step
    assert [] == hands.sent_since(mark)


@pytest.mark.rare
def test_paused_project_is_restored_as_it_was(world, hands):
    """While it is paused nothing in it can be seen; what is there must not be made again."""
    assert "done" == attempt(world).word
    before = hands.census()
    paused(hands, hands.projects()[0]["ref"])
    mark = hands.mark()

    assert "done" == attempt(world, restore_paused=True).word
    assert before == hands.census()
    sent = hands.sent_since(mark)
    assert 1 == sent.count("supabase POST /v1/projects/{ref}/restore")
    assert "supabase POST /v1/projects" not in sent
    assert "supabase-project POST /storage/v1/bucket" not in sent


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["500-after", "timeout-after", "500-before"])
def test_restore_whose_answer_is_lost_is_not_repeated(world, hands, impatient, kind):
    ref = hands.new_project()
    healthy(hands, ref)
    paused(hands, ref)
    world.running.pace(0.5)
    world.running.faults([{"operation": "POST /v1/projects/{ref}/restore", "kind": kind}])

    assert "done" == attempt(world, restore_paused=True, confirm=ref).word


@pytest.mark.alike
@pytest.mark.parametrize(
    ("service", "write", "read"),
    [
        ("railway", "projectCreate", "projects"),
        ("supabase", "POST /v1/projects", "GET /v1/organizations/{slug}/projects"),
    ],
)
def test_project_that_is_listed_late_is_not_made_twice(world, hands, monkeypatch, service, write, read):
    """The answer is lost, and the list is answered from before it four times more: names are not unique."""
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, policy="wait_seconds = 240")))
    lost = {"service": service, "operation": write, "kind": "500-after"}
    late = {"service": service, "operation": read, "kind": "stale", "skip": 2, "times": 4}
    world.running.faults([lost, late])

    assert "done" == attempt(world).word
    census = hands.census()
    assert (1, [["staging"]]) == (census["supabase projects"], census["railway projects"])


@pytest.mark.sweep
def test_template_whose_answer_is_lost_is_not_deployed_twice(world, hands, monkeypatch):
    """Railway deploys a template in the background: for a while there is nothing to see of it."""
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, policy="wait_seconds = 120")))
    world.running.pace(2.5)
    world.running.faults([{"operation": "templateDeployV2", "kind": "500-after"}])

    assert "done" == attempt(world).word
    assert ["Redis", "api", "worker"] == hands.census()["services"]


@pytest.mark.rare
@pytest.mark.sweep
def test_railway_project_without_services_is_filled(world, hands):
    project = hands.new_railway_project()

    assert "done" == attempt(world, confirm=hands.railway_staging(project)).word
    assert [["staging"]] == hands.census()["railway projects"]
    assert ["Redis", "api", "worker"] == hands.census()["services"]


@pytest.mark.rare
@pytest.mark.sweep
def test_missing_service_is_put_back(world, hands):
    assert "done" == attempt(world).word
    before = hands.census()
    worker = hands.service("worker")["serviceId"]
    hands.railway("mutation M($i: String!) { serviceDelete(id: $i) }", i=worker)

    assert {"railway/service/worker": "create", "railway/variables/worker": "create"} == actions(world)
    assert "done" == attempt(world).word
    assert before == hands.census()


@pytest.mark.sweep
def test_what_others_added_is_left_alone(world, hands):
    """A variable, a redirect, a bucket, a Preview variable of somebody else: all still there."""
    assert "done" == attempt(world).word
    ref = hands.projects()[0]["ref"]
    listed = hands.call("supabase", "GET", f"/v1/projects/{ref}/config/auth")["uri_allow_list"]
    hands.call(
        "supabase",
        "PATCH",
        f"/v1/projects/{ref}/config/auth",
        {"uri_allow_list": f"https://theirs.example/**,{listed}"},
    )
    hands.set_variable("api", "THEIR_FLAG", "on")
    hands.storage(ref, "POST", "/bucket", {"id": "theirs", "name": "theirs", "public": True})
    hands.new_vercel_variable(key="THEIRS", value="x", target=["preview"])
    before = hands.census()

    assert {} == actions(world)
    hands.set_variable("api", "LOG_LEVEL", "error")
    hands.call("supabase", "PATCH", f"/v1/projects/{ref}/config/auth", {"uri_allow_list": "https://theirs.example/**"})
    assert {"railway/variables/api": "update", "supabase/auth": "update"} == actions(world)
    assert "done" == attempt(world).word
    after = hands.census()
    assert set(before["auth"][0][1].split(",")) == set(after["auth"][0][1].split(","))
    assert "debug" == hands.variables("api")["LOG_LEVEL"]
    assert {**before, "auth": 0} == {**after, "auth": 0}


@pytest.mark.sweep
def test_bucket_with_other_settings_is_set(world, hands):
    assert "done" == attempt(world).word
    before = hands.census()
    hands.storage(hands.projects()[0]["ref"], "PUT", "/bucket/uploads", {"public": True})
    mark = hands.mark()

    assert {"supabase/bucket/uploads": "update"} == actions(world)
    assert "done" == attempt(world).word
    assert before == hands.census()
    assert ["supabase-project PUT /storage/v1/bucket/{bucketId}"] == hands.sent_since(mark)


def test_two_projects_of_one_name_stop_and_are_listed(world, hands):
    refs = sorted((hands.new_project(), hands.new_project()))
    mark = hands.mark()

    stopped = attempt(world)
    assert "refused" == stopped.word
    assert isinstance(stopped.error, AmbiguousTargetError)
    assert ", ".join(refs) in stopped.error.what
    assert [] == hands.sent_since(mark)


@pytest.mark.sweep
def test_two_railway_projects_of_one_name_stop_and_are_listed(world, hands):
    made = sorted((hands.new_railway_project(), hands.new_railway_project()))
    mark = hands.mark()

    stopped = attempt(world)
    assert isinstance(stopped.error, AmbiguousTargetError)
    assert ", ".join(made) in stopped.error.why
    assert [] == hands.sent_since(mark)


@pytest.mark.sweep
def test_one_of_two_projects_is_taken_by_its_ref(world, hands, monkeypatch):
    refs = [hands.new_project(), hands.new_project()]
    old = 'supabase = { name = "pantheon-staging"'
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (old, f'supabase = {{ ref = "{refs[0]}"'))))

    assert "done" == attempt(world, confirm=refs[0]).word
    assert sorted(refs) == sorted(one["ref"] for one in hands.projects())
    assert 0 == sum("insert" in one["statement"] for one in world.running.statements(refs[1]))


@pytest.mark.alike
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            'supabase = { name = "pantheon-staging"',
            'supabase = { ref = "abcdefghijklmnopqrst", name = "pantheon-staging"',
        ),
        ('project_name = "pantheon-staging"', 'project_name = "pantheon-staging", project = "no-such-id"'),
    ],
)
def test_wrong_id_does_not_make_another_project(world, hands, monkeypatch, old, new):
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (old, new), policy="wait_seconds = 2")))

    stopped = attempt(world)
    assert isinstance(stopped.error, WrongEnvironmentError)
    assert [] == world.mutating()


@pytest.mark.sweep
def test_lost_openrouter_key_is_replaced(world, hands):
    body = {"name": "pantheon-staging", "limit": 5.0}
    for _ in range(2):
        hands.call("openrouter", "POST", "/api/v1/keys", body)

    assert "done" == attempt(world).word
    assert [(20.0, "monthly")] == hands.census()["keys"]
    value = hands.variables("api")["OPENROUTER_API_KEY"]
    start, _, end = hands.keys()[0]["label"].partition("...")
    assert (True, True) == (value.startswith(start), value.endswith(end))


@pytest.mark.rare
@pytest.mark.sweep
def test_key_with_another_limit_is_set_and_kept(world, hands):
    assert "done" == attempt(world).word
    before = hands.keys()[0]
    hands.call("openrouter", "PATCH", f"/api/v1/keys/{before['hash']}", {"name": before["name"], "limit": 900.0})
    mark = hands.mark()

    assert "done" == attempt(world).word
    assert ["openrouter PATCH /api/v1/keys/{hash}"] == hands.sent_since(mark)
    assert (before["hash"], 20.0) == (hands.keys()[0]["hash"], hands.keys()[0]["limit"])


@pytest.mark.rare
def test_staging_on_the_second_page_is_not_made_again(world, hands):
    """Supabase gives a hundred projects at a time, Railway a page, OpenRouter a hundred keys."""
    assert "done" == attempt(world).word
    hands.edit(crowd)
    assert "pantheon-staging" not in str(hands.call("openrouter", "GET", "/api/v1/keys"))

    assert {} == actions(world)


def crowd(whole) -> None:
    """A hundred of each kind that are listed before staging's."""
    projects, keys = whole["supabase"]["projects"], whole["openrouter"]["keys"]
    (staging,) = [one for one in projects.values() if one["name"] == "pantheon-staging"]
    (railway,) = [one for one in whole["railway"]["projects"].values() if one["name"] == "pantheon-staging"]
    (key,) = [one for one in keys.values() if one["name"] == "pantheon-staging"]
    theirs = {}
    for number in range(100):
        ref, identifier = f"{'a' * 18}{chr(97 + number // 10)}{chr(97 + number % 10)}", f"{number:08}-0000-4000-8000-0"
        projects[ref] = {**staging, "ref": ref, "name": f"a-{number}", "status": "INACTIVE"}
        theirs[identifier] = {**railway, "id": identifier, "name": f"a-{number}"}
        keys[f"{number:064}"] = {**key, "hash": f"{number:064}", "name": f"a-{number}", "created_at": "2099-01-01"}
    whole["railway"]["projects"] = {**theirs, **whole["railway"]["projects"]}


@pytest.mark.rare
def test_password_changed_by_hand_is_reset_once(world, hands):
    """The copy in Railway no longer connects: one run resets it everywhere, the next finds nothing to do."""
    assert "done" == attempt(world).word
    ref = world.staging_ref()
    hands.call("supabase", "PATCH", f"/v1/projects/{ref}/database/password", {"password": "by hand 1234567"})
    sent = hands.mark()

    assert "done" == attempt(world).word
    assert ["railway variableCollectionUpsert"] * 2 + ["supabase PATCH /v1/projects/{ref}/database/password"] == sorted(
        hands.sent_since(sent)
    )
    assert "nothing-to-do" == attempt(world).word
