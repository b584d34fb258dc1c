"""Drift made by somebody else's hands at Railway: each kind is named, and nothing else."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from railway_place import FINGERPRINT, Place, beside, ids, member, project_token, staged, trigger, trigger_of

from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.model import Resource

pytestmark = pytest.mark.xdist_group("railway-place")
NOT_AUTHORIZED = "Railway does not show this to the token: Not Authorized."


def differences(before: tuple[Resource, ...], after: tuple[Resource, ...]) -> set[tuple[str, str]]:
    """(address, attribute), or (address, "+") and (address, "-") for what came and went."""
    old, new = ({one.address: one for one in seen} for seen in (before, after))
    found = {(address, "+") for address in new.keys() - old.keys()} | {
        (address, "-") for address in old.keys() - new.keys()
    }
    for address in old.keys() & new.keys():
        names = old[address].attributes.keys() | new[address].attributes.keys()
        found |= {
            (address, name) for name in names if old[address].attributes.get(name) != new[address].attributes.get(name)
        }
        if (old[address].state, old[address].note) != (new[address].state, new[address].note):
            found.add((address, "state"))
    return found


@pytest.mark.rare
def test_two_looks_at_the_same_thing_are_equal(place: Place) -> None:
    mark = place.hands.mark()
    looks = [place.look() for _ in range(50)]
    assert [looks[0]] * 50 == looks
    assert [] == place.hands.sent_since(mark)


def test_addresses_go_by_name_and_are_sorted(place: Place) -> None:
    staging, production = ([one.address for one in place.look(of)] for of in (place.staging, place.production))
    for addresses in (staging, production):
        assert sorted(set(addresses)) == addresses
        assert not [address for address in addresses if re.search(r"staging|production|[0-9a-f]{8}-", address)]
    assert {"railway/service/api", "railway/service/worker", "railway/service/Redis", "railway/domain/api"} <= {
        *staging
    } & {*production}
    assert {"railway/deployment/api", "railway/member/supervisor@pantheon.example"} <= {*production}


def test_no_value_is_asked_for_or_kept(place: Place) -> None:
    mark = place.hands.mark()
    text = json.dumps([one.attributes for of in (place.staging, place.production) for one in place.look(of)])
    text += json.dumps([one.found for one in place.ways().values()])
    asked = {record["operation"] for record in place.world.running.log(mark)}
    values = {
        value
        for of in (place.staging, place.production)
        for name in ("api", "worker", "Redis")
        for value in place.hands._service_facts(**place.service(name, of))["variables"].values()
        if len(value) > 12
    }
    facts = {value for key, value in _texts(place.world.facts) if re.search(r"key|token|password|secret|_url$", key)}

    assert asked.isdisjoint({"variables", "variablesForServiceDeployment"})
    assert len(values | facts) > 20
    assert [] == [value for value in values | facts if value in text]
    assert [] == place.hands.sent_since(mark)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, str):
        yield key, value


def test_command_with_a_secret_in_it_is_a_fingerprint(place: Place) -> None:
    secret = "sb_secret_" + "a1B2" * 6
    command = f"CLIENT={secret} python -m app"
    plan = {"variables": {"CLIENT": secret}}
    commands = ["echo one", f"login --password {secret}"]
    place.instance("worker", startCommand=command, preDeployCommand=commands, nixpacksPlan=plan)
    (worker,) = [one for one in place.look() if one.address == "railway/service/worker"]
    place.instance("worker", startCommand=None, preDeployCommand=None, nixpacksPlan=None)

    plain = {"program": "python", "migrates": False}
    assert {**plain, "fingerprint": FINGERPRINT(command)} == worker.attributes["start_command"]
    assert "echo" == worker.attributes["pre_deploy_command"]["program"]
    assert secret not in json.dumps(worker.attributes)


def test_every_page_is_read(place: Place) -> None:
    names = {f"PAGE_{number:03d}" for number in range(450)} | {"RAILWAY_OF_THE_VENDOR"}
    where = place.service("worker")
    given = {"variables": dict.fromkeys(names, "1"), "skipDeploys": True}
    place.do("variableCollectionUpsert", "VariableCollectionUpsertInput", **where, **given)
    seen = {one.address for one in place.look()}
    kept = {name: value for name, value in place.hands.variables("worker").items() if name not in names}
    place.do("variableCollectionUpsert", "VariableCollectionUpsertInput", **where, variables=kept, replace=True)

    left_out = {f"railway/variable/worker/{name}" for name in names} - seen
    assert {"railway/variable/worker/RAILWAY_OF_THE_VENDOR"} == left_out


def _made(place: Place, name: str) -> str:
    given = {"projectId": place.staging["project_id"], "name": name}
    return str(place.do("serviceCreate", "ServiceCreateInput", "{ id }", **given)["id"])


def test_nothing_is_lost_where_names_are_the_same(place: Place) -> None:
    """Railway lets two services have one name; "shared" is the owner of shared variables in an address."""
    made = {name: _made(place, name.rstrip("2")) for name in ("twin", "twin2", "shared")}
    for mount_path in ("/a", "/b"):
        given = {**place.service("Redis"), "mountPath": mount_path}
        place.do("volumeCreate", "VolumeCreateInput", "{ id }", **given)
    addresses = [one.address for one in place.look()]
    for service_id in made.values():
        place.hands.railway("mutation M($id: String!) { serviceDelete(id: $id) }", id=service_id)

    assert {f"railway/service/{name.rstrip('2')}#{service_id[:8]}" for name, service_id in made.items()} <= {*addresses}
    assert 2 == len([address for address in addresses if address.startswith("railway/volume/Redis#")])
    assert len(addresses) == len({*addresses})


# ---- drift


def _set(place: Place, **given: Any) -> None:
    where = {**ids(place.staging), **given}
    place.do("variableCollectionUpsert", "VariableCollectionUpsertInput", **where, skipDeploys=True)


def _branch_moved(place: Place) -> None:
    document = (
        "mutation M($id: String!, $i: DeploymentTriggerUpdateInput!) { deploymentTriggerUpdate(id: $id, input: $i)"
        " { id } }"
    )
    place.hands.railway(document, id=trigger_of(place, "api", place.staging), i={"branch": "develop"})


def _redis_deployed(place: Place) -> str:
    where = place.service("Redis")
    document = "mutation M($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
    made = place.hands.railway(document, s=where["serviceId"], e=where["environmentId"])["serviceInstanceDeployV2"]
    status = "query S($id: String!) { deployment(id: $id) { status } }"
    until = time.monotonic() + 20
    while place.hands.railway(status, id=made)["deployment"]["status"] != "SUCCESS":
        assert time.monotonic() < until
        time.sleep(0.05)
    return str(made)


def _service_gone(place: Place) -> None:
    where = place.service("extra")
    document = "mutation M($id: String!, $e: String) { serviceDelete(id: $id, environmentId: $e) }"
    place.hands.railway(document, id=where["serviceId"], e=where["environmentId"])


def _sealed(place: Place) -> None:
    def seal(whole: Any) -> None:
        api = place_of(whole, place.staging, "api")
        api["sealed"] = ["LOG_LEVEL"]

    place.hands.edit(seal)


def place_of(whole: Any, of: dict[str, str], name: str) -> Any:
    """A service's record in the vendors' memory."""
    railway = whole["railway"]
    return next(
        one
        for one in railway["instances"].values()
        if one["environmentId"] == of["environment_id"] and railway["services"][one["serviceId"]]["name"] == name
    )


def _renamed(place: Place) -> None:
    document = 'mutation M($id: String!) { environmentRename(id: $id, input: {name: "stage"}) { id } }'
    place.hands.railway(document, id=place.staging["environment_id"])


def _settings(place: Place, name: str, settings: dict[str, Any]) -> None:
    place.instance(name, **settings)


def setting(**settings: Any) -> Callable[[Place], None]:
    return lambda place: _settings(place, "api", settings)


API, WORKER = "railway/service/api", "railway/service/worker"
DRIFT: tuple[tuple[str, Callable[[Place], object], set[tuple[str, str]]], ...] = (
    ("start command", setting(startCommand="python -m other"), {(API, "start_command")}),
    ("pre-deploy command", setting(preDeployCommand=["alembic upgrade head"]), {(API, "pre_deploy_command")}),
    ("build command", setting(buildCommand="make"), {(API, "build_command")}),
    ("root directory", setting(rootDirectory="elsewhere"), {(API, "root_directory")}),
    ("config file", setting(railwayConfigFile="deploy/railway.json"), {(API, "config_file")}),
    ("replicas", setting(numReplicas=3), {(API, "replicas")}),
    ("region", setting(region="us-west2"), {(API, "region")}),
    ("healthcheck path", setting(healthcheckPath="/alive"), {(API, "healthcheck_path")}),
    ("cron", setting(cronSchedule="0 3 * * *"), {(API, "cron")}),
    ("restart policy", setting(restartPolicyType="NEVER"), {(API, "restart_policy")}),
    ("sleeping", setting(sleepApplication=True), {(API, "sleeps")}),
    ("watched paths", setting(watchPatterns=["backend/**"]), {(API, "watch_patterns")}),
    ("plan with variables", setting(nixpacksPlan={"variables": {"A": "1"}}), {(API, "nixpacks_plan")}),
    ("image", setting(source={"image": "other:1"}), {(API, "image")}),
    (
        "repository",
        lambda place: place.instance("worker", source={"repo": "somebody/else"}),
        {(WORKER, "repository")},
    ),
    (
        "value of a variable",
        lambda place: _set(place, serviceId=place.service("api")["serviceId"], variables={"LOG_LEVEL": "error"}),
        {("railway/variable/api/LOG_LEVEL", "updated_at")},
    ),
    (
        "new variable",
        lambda place: _set(place, serviceId=place.service("api")["serviceId"], variables={"BY_HAND": "1"}),
        {("railway/variable/api/BY_HAND", "+")},
    ),
    (
        "variable becomes a reference",
        lambda place: _set(
            place, serviceId=place.service("api")["serviceId"], variables={"BY_HAND": "${{Redis.REDIS_URL}}"}
        ),
        {("railway/variable/api/BY_HAND", "updated_at"), ("railway/variable/api/BY_HAND", "references")},
    ),
    (
        "variable removed",
        lambda place: place.do("variableDelete", "VariableDeleteInput", **place.service("api"), name="BY_HAND"),
        {("railway/variable/api/BY_HAND", "-")},
    ),
    (
        "shared variable",
        lambda place: _set(place, variables={"FOR_ALL": "1"}),
        {("railway/variable/shared/FOR_ALL", "+")},
    ),
    ("variable sealed", _sealed, {("railway/variable/api/LOG_LEVEL", "is_sealed")}),
    (
        "service domain",
        lambda place: place.do(
            "serviceDomainCreate",
            "ServiceDomainCreateInput",
            "{ id }",
            **{name: value for name, value in place.service("worker").items() if name != "projectId"},
        ),
        {("railway/domain/worker", "+")},
    ),
    (
        "custom domain",
        lambda place: place.do(
            "customDomainCreate",
            "CustomDomainCreateInput",
            "{ id }",
            **place.service("api"),
            domain="api.pantheon.example",
        ),
        {("railway/domain/api", "custom_domains")},
    ),
    (
        "TCP proxy",
        lambda place: place.do(
            "tcpProxyCreate",
            "TCPProxyCreateInput",
            "{ id }",
            **{name: value for name, value in place.service("Redis").items() if name != "projectId"},
            applicationPort=6379,
        ),
        {("railway/tcp-proxy/Redis", "+")},
    ),
    (
        "volume",
        lambda place: place.do(
            "volumeCreate", "VolumeCreateInput", "{ id }", **place.service("api"), mountPath="/data"
        ),
        {("railway/volume/api", "+")},
    ),
    (
        "branch that deploys",
        lambda place: trigger(place, place.staging, "api", "main"),
        {("railway/trigger/api/main", "+")},
    ),
    ("branch moved", _branch_moved, {("railway/trigger/api/main", "-"), ("railway/trigger/api/develop", "+")}),
    (
        "deployment",
        _redis_deployed,
        {("railway/deployment/Redis", "id"), ("railway/deployment/Redis", "image_digest")},
    ),
    (
        "new service",
        lambda place: place.do(
            "serviceCreate", "ServiceCreateInput", "{ id }", projectId=place.staging["project_id"], name="extra"
        ),
        {("railway/service/extra", "+")},
    ),
    ("service removed", _service_gone, {("railway/service/extra", "-")}),
    (
        "project token",
        lambda place: place.do("projectTokenCreate", "ProjectTokenCreateInput", **ids(place.staging), name="by hand"),
        {("railway/project-token/by hand", "+")},
    ),
    (
        "new member",
        lambda place: member(place, place.staging, "guest", "VIEWER"),
        {("railway/member/guest@pantheon.example", "+")},
    ),
    (
        "role of a member",
        lambda place: member(place, place.staging, "guest", "ADMIN"),
        {("railway/member/guest@pantheon.example", "role")},
    ),
    (
        "pull request environments",
        lambda place: place.project(place.staging, prDeploys=True),
        {("railway/project", "pull_request_environments")},
    ),
    (
        "environment beside",
        lambda place: beside(place, place.staging, "before"),
        {("railway/project", "other_environments")},
    ),
    ("staged changes", lambda place: staged(place, place.staging), {("railway/environment", "staged_changes")}),
    ("environment renamed", _renamed, {("railway/environment", "name")}),
)


def test_each_kind_of_drift_is_named_and_nothing_else(place: Place) -> None:
    rows, wrong = [], []
    before = place.look()
    for kind, by_hand, expected in DRIFT:
        by_hand(place)
        after = place.look()
        found = differences(before, after)
        rows.append(f"{kind:<28}{', '.join(sorted(f'{address} {what}' for address, what in found))}")
        if found != expected:
            wrong.append((kind, expected, found))
        before = after
    print("\n".join(["", f"{len(rows)} kinds of drift at Railway, and what differs", *rows]))
    place.hands.railway(
        'mutation M($id: String!) { environmentRename(id: $id, input: {name: "staging"}) { id } }',
        id=place.staging["environment_id"],
    )
    assert len(rows) >= 12
    assert [] == wrong


# ---- what the token may not see


def test_what_the_token_may_not_see_is_unreadable(place: Place) -> None:
    """A project token of staging is refused the list of tokens, and everything of production's."""
    api = project_token(place, place.staging, "for the inventory")
    all_of_staging = {one.address: one for one in place.look()}
    seen = {one.address: one for one in place.look(api=api)}
    production = {one.address: (one.state, one.note) for one in place.look(place.production, api=api)}

    assert Resource("railway/project-token", "unreadable", note=NOT_AUTHORIZED) == seen.pop("railway/project-token")
    assert seen == {address: one for address, one in all_of_staging.items() if "/project-token" not in address}
    assert {("unreadable", NOT_AUTHORIZED)} == set(production.values())
    parts = "deployment domain environment member project project-token service tcp-proxy trigger variable volume"
    assert [f"railway/{part}" for part in parts.split()] == list(production)


@pytest.mark.parametrize(
    ("question", "hidden"),
    [
        ("ProjectSettings", {"project"}),
        ("ProjectMembers", {"member"}),
        ("ProjectTokens", {"project-token"}),
        ("EnvironmentSettings", {"environment"}),
        ("ServiceSettings", {"service", "domain", "tcp-proxy"}),
        ("VariableTimes", {"variable"}),
        ("VolumeSettings", {"volume"}),
        ("Triggers", {"trigger"}),
        ("LiveDeployments", {"deployment"}),
        ("TcpProxies", {"tcp-proxy/api", "tcp-proxy/worker", "tcp-proxy/Redis"}),
    ],
)
def test_one_refused_question_hides_its_part_only(place: Place, question: str, hidden: set[str]) -> None:
    everything, seen = place.look(), place.look(api=place.denied(question))
    unreadable = {one.address for one in seen if one.state == "unreadable"}

    assert {f"railway/{part}" for part in hidden} == unreadable
    assert {NOT_AUTHORIZED} == {one.note for one in seen if one.address in unreadable}
    if question != "ServiceSettings":  # without the names, the others go by ids
        hidden_now = {one.address for one in everything} - {one.address for one in seen}
        assert all(address.startswith(tuple(f"railway/{part}" for part in hidden)) for address in hidden_now)
        assert [one for one in seen if one.address not in unreadable] == [
            one for one in everything if one.address not in hidden_now | unreadable
        ]


def test_environments_that_are_not_shown_are_not_none(place: Place) -> None:
    (project,) = [
        one for one in place.look(api=place.denied("ProjectEnvironments")) if one.address == "railway/project"
    ]
    assert {"unreadable": True} == project.attributes["other_environments"]


def test_id_that_does_not_exist_is_unreadable(place: Place) -> None:
    nowhere = dict.fromkeys(("project_id", "environment_id"), "00000000-0000-4000-8000-000000000000")
    assert {"unreadable"} == {one.state for one in place.look(nowhere)}


@pytest.mark.parametrize("look", [Place.look, Place.ways], ids=["inventory", "exposure"])
def test_token_that_is_refused_stops(place: Place, look: Any) -> None:
    for api in (place.client(Authorization="Bearer nobody's"), place.client(Project_Access_Token="nobody's")):
        with pytest.raises(VendorRefusedError):
            look(place, api=api)


def test_railway_that_does_not_answer_stops(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pantheon_runbook.clock.sleep", lambda _seconds: None)
    for operation in ("environment", "tcpProxies", "projectTokens"):
        place.world.running.faults([{"service": "railway", "operation": operation, "kind": "500-before", "times": 10}])
        for look in (place.look, place.ways):
            with pytest.raises(VendorUnavailableError):
                look()
    place.world.running.faults([])


# ---- what changes by itself


def _statuses(place: Place, **becomes: str) -> None:
    """Staging's deployments of Redis go from one status to another, as they do without anybody's hands."""

    def change(whole: Any) -> None:
        service = place.service("Redis")["serviceId"]
        for one in whole["railway"]["deployments"].values():
            if one["serviceId"] == service:
                one["status"] = becomes.get(one["status"], one["status"])

    place.hands.edit(change)


def test_newest_of_several_deployments_counts(place: Place) -> None:
    """Railway lists the newest first, and an older one that nobody removed with it."""
    made = [_redis_deployed(place) for _ in range(2)]
    (live,) = [one for one in place.look() if one.address == "railway/deployment/Redis"]
    assert made[-1] == live.attributes["id"]


@pytest.mark.rare
def test_application_that_sleeps_or_crashes_is_no_drift(place: Place) -> None:
    before = place.look()
    for change in ({"SUCCESS": "SLEEPING"}, {"SLEEPING": "CRASHED"}):
        _statuses(place, **change)
        assert place.look() == before
