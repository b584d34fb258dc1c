"""Drift made by somebody else's hands at Railway, and the ways in which production can change without us."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
from vendors import Hands

from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.model import Resource
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.railway import BASE_URL, RailwayApi
from pantheon_runbook.providers.railway_exposure import exposure
from pantheon_runbook.providers.railway_inventory import inventory
from pantheon_runbook.providers.railway_looks import may_hold_secret
from pantheon_runbook.secrets import Secret, fingerprints_under

pytestmark = pytest.mark.xdist_group("railway-inventory")
FINGERPRINT = fingerprints_under("5a" * 16)
_INSTANCES = """query I($id: String!) {
  environment(id: $id) { serviceInstances { edges { node { serviceId serviceName } } } }
}"""
NOT_AUTHORIZED = "Railway does not show this to the token: Not Authorized."


@dataclass
class Place:
    """A provisioned world, somebody else's hands on it, and the product's reading client."""

    world: Any
    hands: Hands
    api: RailwayApi
    staging: dict[str, str]
    production: dict[str, str]
    ends: ExitStack

    def look(self, of: dict[str, str] | None = None, api: RailwayApi | None = None) -> tuple[Resource, ...]:
        return inventory(api or self.api, **(of or self.staging), fingerprint=FINGERPRINT)

    def ways(self, api: RailwayApi | None = None) -> dict[str, Any]:
        found = exposure(api or self.api, **self.production, staging_environment_id=self.staging["environment_id"])
        assert len(found) == len({one.address for one in found})
        return {one.address: one for one in found}

    def client(self, **headers: str) -> RailwayApi:
        reach = Reach(str(self.world.running.socket))
        kept = {name.replace("_", "-"): Secret(value) for name, value in headers.items()}
        client = Client("railway", BASE_URL, reach=reach, gate=WriteGate(), headers=kept)
        self.ends.callback(client.close)
        return RailwayApi(client)

    def do(self, field: str, kind: str, answer: str = "", **given: Any) -> Any:
        """One mutation with an input."""
        document = f"mutation M($i: {kind}!) {{ {field}(input: $i) {answer} }}"
        return self.hands.railway(document, i=given)[field]

    def service(self, name: str, of: dict[str, str] | None = None) -> dict[str, str]:
        of = of or self.staging
        found = self.hands.railway(_INSTANCES, id=of["environment_id"])["environment"]["serviceInstances"]["edges"]
        known = {edge["node"]["serviceName"]: edge["node"]["serviceId"] for edge in found}
        return {"serviceId": known[name], **ids(of)}

    def instance(self, name: str, *, of: dict[str, str] | None = None, **settings: Any) -> None:
        where = self.service(name, of)
        del where["projectId"]
        document = (
            "mutation M($environmentId: String!, $serviceId: String!, $i: ServiceInstanceUpdateInput!)"
            " { serviceInstanceUpdate(environmentId: $environmentId, serviceId: $serviceId, input: $i) }"
        )
        self.hands.railway(document, **where, i=settings)

    def project(self, of: dict[str, str], **settings: Any) -> None:
        document = "mutation M($id: String!, $i: ProjectUpdateInput!) { projectUpdate(id: $id, input: $i) { id } }"
        self.hands.railway(document, id=of["project_id"], i=settings)


def ids(of: dict[str, str]) -> dict[str, str]:
    return {"projectId": of["project_id"], "environmentId": of["environment_id"]}


@pytest.fixture(scope="module")
def place(new_world: Any) -> Iterator[Place]:
    with new_world() as world, pytest.MonkeyPatch.context() as patch, ExitStack() as ends:
        world.enter(patch)
        world.provision()
        hands = ends.enter_context(closing(Hands(world.running)))
        hands.edit(lambda whole: whole["railway"]["limits"].update(requests_per_hour=1_000_000))
        facts = world.facts["railway"]
        staging = hands.railway_projects()[0]
        made = Place(
            world,
            hands,
            RailwayApi.__new__(RailwayApi),
            {"project_id": staging["id"], "environment_id": staging["environments"]["staging"]["id"]},
            {"project_id": facts["project_id"], "environment_id": facts["environment_id"]},
            ends,
        )
        made.api = made.client(Authorization=f"Bearer {facts['token']}")
        yield made


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
    assert {"railway/trigger/api/main", "railway/trigger/worker/main", "railway/deployment/api"} <= {*production}


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
    place.instance("worker", startCommand=command, preDeployCommand=["echo one", f"login --password {secret}"])
    (worker,) = [one for one in place.look() if one.address == "railway/service/worker"]
    place.instance("worker", startCommand=None, preDeployCommand=None)

    assert {"fingerprint": FINGERPRINT(command)} == worker.attributes["start_command"]
    assert "echo one" == worker.attributes["pre_deploy_command"][0]
    assert secret not in json.dumps(worker.attributes)


@pytest.mark.parametrize(
    ("text", "is_hidden"),
    [
        ("python -m app", False),
        ("alembic upgrade head && python -m app.auth_worker --keys 3", True),
        ("uvicorn app.main:api --host 0.0.0.0 --port $PORT", False),
        ("redis-server --requirepass hunter22", True),
        ('redis-server --requirepass "$REDIS_PASSWORD"', False),
        ("PGPASSWORD=hunter22 psql -f schema.sql", True),
        ("PGPASSWORD=$SECRET psql -f schema.sql", False),
        ("psql postgresql://postgres:hunter22@db.example/postgres -f schema.sql", True),
        ("curl -H 'Authorization: Bearer abc' https://example.com", True),
        ("sk-or-v1-" + "0" * 40, True),
    ],
)
def test_what_is_taken_for_a_secret_in_a_command(text: str, is_hidden: bool) -> None:  # noqa: FBT001  a table
    assert is_hidden == may_hold_secret(text)


def test_every_page_is_read(place: Place) -> None:
    names = {f"PAGE_{number:03d}" for number in range(450)}
    where = place.service("worker")
    given = {"variables": dict.fromkeys(names, "1"), "skipDeploys": True}
    place.do("variableCollectionUpsert", "VariableCollectionUpsertInput", **where, **given)
    seen = {one.address for one in place.look()}
    kept = {name: value for name, value in place.hands.variables("worker").items() if name not in names}
    place.do("variableCollectionUpsert", "VariableCollectionUpsertInput", **where, variables=kept, replace=True)

    assert {f"railway/variable/worker/{name}" for name in names} <= seen
    assert not any("RAILWAY_" in address for address in seen)


# ---- drift


def _set(place: Place, **given: Any) -> None:
    where = {**ids(place.staging), **given}
    place.do("variableCollectionUpsert", "VariableCollectionUpsertInput", **where, skipDeploys=True)


def _trigger_of(place: Place, name: str, of: dict[str, str]) -> str:
    (found,) = [one for one in place.look(of) if one.address.startswith(f"railway/trigger/{name}/")]
    return str(found.attributes["id"])


def _branch_moved(place: Place) -> None:
    document = (
        "mutation M($id: String!, $i: DeploymentTriggerUpdateInput!) { deploymentTriggerUpdate(id: $id, input: $i)"
        " { id } }"
    )
    place.hands.railway(document, id=_trigger_of(place, "api", place.staging), i={"branch": "develop"})


def _trigger(place: Place, of: dict[str, str], name: str, branch: str) -> None:
    given = {**place.service(name, of), "branch": branch, "repository": "pantheon/pantheon", "provider": "github"}
    place.do("deploymentTriggerCreate", "DeploymentTriggerCreateInput", "{ id }", **given)


def _beside(place: Place, of: dict[str, str], name: str, **given: Any) -> None:
    given = {"projectId": of["project_id"], "name": name, "skipInitialDeploys": True, **given}
    place.do("environmentCreate", "EnvironmentCreateInput", "{ id }", **given)


def _redis_deployed(place: Place) -> None:
    where = place.service("Redis")
    document = "mutation M($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
    made = place.hands.railway(document, s=where["serviceId"], e=where["environmentId"])["serviceInstanceDeployV2"]
    status = "query S($id: String!) { deployment(id: $id) { status } }"
    until = time.monotonic() + 20
    while place.hands.railway(status, id=made)["deployment"]["status"] != "SUCCESS":
        assert time.monotonic() < until
        time.sleep(0.05)


def _service_gone(place: Place) -> None:
    where = place.service("extra")
    document = "mutation M($id: String!, $e: String) { serviceDelete(id: $id, environmentId: $e) }"
    place.hands.railway(document, id=where["serviceId"], e=where["environmentId"])


def _member(place: Place, of: dict[str, str], name: str, role: str) -> None:
    given = {"projectId": of["project_id"], "userId": name, "role": role}
    place.do("projectMemberAdd", "ProjectMemberAddInput", "{ id }", **given)


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


def _staged(place: Place, of: dict[str, str]) -> None:
    def stage(whole: Any) -> None:
        whole["railway"]["environments"][of["environment_id"]]["unmergedChangesCount"] = 2

    place.hands.edit(stage)


def _renamed(place: Place) -> None:
    document = 'mutation M($id: String!) { environmentRename(id: $id, input: {name: "stage"}) { id } }'
    place.hands.railway(document, id=place.staging["environment_id"])


def _settings(place: Place, name: str, settings: dict[str, Any]) -> None:
    place.instance(name, **settings)


def setting(**settings: Any) -> Callable[[Place], None]:
    return lambda place: _settings(place, "api", settings)


API, WORKER = "railway/service/api", "railway/service/worker"
DRIFT: tuple[tuple[str, Callable[[Place], None], set[tuple[str, str]]], ...] = (
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
        lambda place: _trigger(place, place.staging, "api", "main"),
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
        lambda place: _member(place, place.staging, "guest", "VIEWER"),
        {("railway/member/guest@pantheon.example", "+")},
    ),
    (
        "role of a member",
        lambda place: _member(place, place.staging, "guest", "ADMIN"),
        {("railway/member/guest@pantheon.example", "role")},
    ),
    (
        "pull request environments",
        lambda place: place.project(place.staging, prDeploys=True),
        {("railway/project", "pull_request_environments")},
    ),
    (
        "environment beside",
        lambda place: _beside(place, place.staging, "before"),
        {("railway/project", "other_environments")},
    ),
    ("staged changes", lambda place: _staged(place, place.staging), {("railway/environment", "staged_changes")}),
    ("environment renamed", _renamed, {("railway/environment", "name")}),
)


def test_each_kind_of_drift_is_named_and_nothing_else(place: Place, capsys: Any) -> None:
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
    with capsys.disabled():
        print("\n".join(["", f"{len(rows)} kinds of drift at Railway, and what differs", *rows]))
    place.hands.railway(
        'mutation M($id: String!) { environmentRename(id: $id, input: {name: "staging"}) { id } }',
        id=place.staging["environment_id"],
    )
    assert len(rows) >= 12
    assert [] == wrong


# ---- what the token may not see


def project_token(place: Place, of: dict[str, str], name: str) -> RailwayApi:
    value = place.do("projectTokenCreate", "ProjectTokenCreateInput", **ids(of), name=name)
    return place.client(Project_Access_Token=value)


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


# ---- exposure


def _branches_gone(place: Place) -> None:
    for name in ("api", "worker"):
        document = "mutation M($id: String!) { deploymentTriggerDelete(id: $id) }"
        place.hands.railway(document, id=_trigger_of(place, name, place.production))


def _on(name: str, **settings: Any) -> Callable[[Place], None]:
    """Something set for one of production's services."""
    return lambda place: place.instance(name, of=place.production, **settings)


def _environment_gone(place: Place, name: str) -> None:
    (project,) = place.hands.railway_projects("pantheon")
    document = "mutation M($id: String!) { environmentDelete(id: $id) }"
    place.hands.railway(document, id=project["environments"][name]["id"])


def _nothing_staged(place: Place) -> None:
    def discard(whole: Any) -> None:
        del whole["railway"]["environments"][place.production["environment_id"]]["unmergedChangesCount"]

    place.hands.edit(discard)


def _proxy(place: Place) -> None:
    where = place.service("Redis", place.production)
    del where["projectId"]
    place.do("tcpProxyCreate", "TCPProxyCreateInput", "{ id }", **where, applicationPort=6379)


def _only_viewers(place: Place) -> None:
    (owner,) = [one for one in place.look(place.production) if "member/supervisor" in one.address]
    _member(place, place.production, owner.attributes["id"], "VIEWER")


def _fork(place: Place) -> None:
    """What Railway makes for a pull request."""
    _beside(place, place.production, "pr-7", ephemeral=True, sourceEnvironmentId=place.production["environment_id"])


def _base(place: Place, **settings: Any) -> None:
    place.project(place.production, **settings)


OPEN, BY_VENDOR, BY_US, HIDDEN = "open", "closed by vendor", "closed by this tool", "cannot be read"
AT_FIRST = {
    "railway/commands/Redis": (BY_VENDOR, "none is set; image redis:8.2.1"),
    "railway/commands/api": (
        HIDDEN,
        'start command "python -m app"; railway.json or railway.toml in pantheon/pantheon',
    ),
    "railway/commands/worker": (HIDDEN, 'start command "python -m worker"; railway.json'),
    "railway/members": (OPEN, "supervisor@pantheon.example (ADMIN)"),
    "railway/project-tokens": (BY_VENDOR, "there is none"),
    "railway/pull-request-environments": (BY_VENDOR, "off; none is a copy of production"),
    "railway/shared-project": (BY_VENDOR, "production is alone in its project"),
    "railway/staged-changes": (BY_VENDOR, "none"),
    "railway/tcp-proxies": (BY_VENDOR, "there is none"),
    "railway/token": (BY_US, "could write production: yes, only this tool holds it back"),
    "railway/trigger/Redis": (BY_VENDOR, "no branch deploys it"),
    "railway/trigger/api": (OPEN, "every push to main of pantheon/pantheon"),
    "railway/trigger/worker": (OPEN, "every push to main of pantheon/pantheon"),
}
COMMANDS, PULLS, SHARED = "railway/commands/worker", "railway/pull-request-environments", "railway/shared-project"
WAYS: tuple[tuple[str, Callable[[Place], None], dict[str, tuple[str, str]]], ...] = (
    (
        "branches disconnected",
        _branches_gone,
        dict.fromkeys(("railway/trigger/api", "railway/trigger/worker"), (BY_VENDOR, "no branch deploys it")),
    ),
    (
        "pre-deploy command migrates",
        _on("worker", preDeployCommand=["alembic upgrade head"]),
        {COMMANDS: (OPEN, 'pre-deploy command "alembic upgrade head"')},
    ),
    (
        "start command migrates, with a password in it",
        _on("worker", preDeployCommand=None, startCommand="PGPASSWORD=hunter22 npx prisma db push && python -m worker"),
        {COMMANDS: (OPEN, "start command (not shown: a secret may be written into it)")},
    ),
    (
        "config file named",
        _on("worker", startCommand="python -m worker", railwayConfigFile="deploy/railway.toml"),
        {COMMANDS: (HIDDEN, "deploy/railway.toml in pantheon/pantheon can set others")},
    ),
    (
        "image without a command",
        _on("worker", startCommand=None, railwayConfigFile=None, source={"image": "pantheon/worker:1"}),
        {COMMANDS: (HIDDEN, "what the image pantheon/worker:1 starts by itself, Railway does not show")},
    ),
    (
        "image with a command",
        _on("worker", startCommand="python -m worker"),
        {COMMANDS: (BY_VENDOR, 'start command "python -m worker"; image pantheon/worker:1')},
    ),
    (
        "pull requests, from production, bots too",
        lambda place: _base(place, prDeploys=True, botPrEnvironments=True),
        {PULLS: (OPEN, "on, copied from production, for those of bots too")},
    ),
    (
        "environment beside production",
        lambda place: _beside(place, place.production, "preview"),
        {SHARED: (OPEN, "beside production: preview")},
    ),
    (
        "pull requests, from another",
        lambda place: _base(
            place, baseEnvironmentId=place.hands.railway_projects("pantheon")[0]["environments"]["preview"]["id"]
        ),
        {PULLS: (BY_VENDOR, "on, copied from another environment")},
    ),
    ("a copy of production for a pull request", _fork, {PULLS: (OPEN, "copied from production: pr-7")}),
    (
        "the copy deleted",
        lambda place: _environment_gone(place, "pr-7"),
        {PULLS: (BY_VENDOR, "on, copied from another environment")},
    ),
    (
        "project token of production",
        lambda place: place.do(
            "projectTokenCreate", "ProjectTokenCreateInput", **ids(place.production), name="deploy from CI"
        ),
        {"railway/project-tokens": (OPEN, "by name: deploy from CI")},
    ),
    ("TCP proxy", _proxy, {"railway/tcp-proxies": (OPEN, "Redis:6379")}),
    ("only viewers", _only_viewers, {"railway/members": (BY_VENDOR, "none of 1 members may write")}),
    (
        "staged changes",
        lambda place: _staged(place, place.production),
        {"railway/staged-changes": (OPEN, "2 staged")},
    ),
    ("staged changes discarded", _nothing_staged, {"railway/staged-changes": (BY_VENDOR, "none")}),
)


def _agrees(found: Any, expected: tuple[str, str]) -> bool:
    state, words = expected
    return state == found.state and words in found.found


@pytest.fixture(scope="module")
def first_ways(place: Place) -> dict[str, Any]:
    """As provisioned, before anybody has changed production."""
    return place.ways()


def test_every_way_into_production_is_listed(first_ways: dict[str, Any]) -> None:
    assert list(AT_FIRST) == list(first_ways)
    assert [] == [one for address, one in first_ways.items() if not _agrees(one, AT_FIRST[address])]
    steps = {one.address: one.next_step for one in first_ways.values()}
    assert {address for address, (state, _) in AT_FIRST.items() if state != BY_VENDOR} == {
        address for address, step in steps.items() if step
    }


def test_each_way_is_seen_to_open_and_close(place: Place, first_ways: dict[str, Any], capsys: Any) -> None:
    rows, wrong = [], []
    before = first_ways
    for kind, by_hand, expected in WAYS:
        by_hand(place)
        after = place.ways()
        changed = {address for address in before.keys() | after.keys() if before.get(address) != after.get(address)}
        rows += [f"{kind:<46}{after[one].state:<20}{one}: {after[one].found}" for one in sorted(changed)]
        if changed != set(expected) or not all(_agrees(after[one], words) for one, words in expected.items()):
            wrong.append((kind, expected, changed))
        assert "hunter22" not in str(after)
        before = after
    with capsys.disabled():
        print("\n".join(["", "ways to change production at Railway", *rows]))
    assert [] == wrong


def test_project_token_of_staging_cannot_write_production(place: Place) -> None:
    """Closed by the vendor; in return nothing else of production can be read with it."""
    ways = place.ways(project_token(place, place.staging, "for the exposure"))
    own = ways.pop("railway/token")

    assert (BY_VENDOR, "a project token of another environment: could write production: no") == (own.state, own.found)
    assert {HIDDEN} == {one.state for one in ways.values()}
    parts = (
        "commands members project-tokens pull-request-environments shared-project staged-changes tcp-proxies trigger"
    )
    assert [f"railway/{part}" for part in parts.split()] == list(ways)
    assert all(one.next_step for one in ways.values())


def test_project_token_of_production_is_held_back_by_us_only(place: Place) -> None:
    api = project_token(place, place.production, "of production")
    own = place.ways(api)["railway/token"]
    place.hands.railway(
        "mutation M($id: String!) { projectTokenDelete(id: $id) }",
        id=next(one for one in place.look(place.production) if one.address.endswith("/of production")).attributes["id"],
    )

    assert BY_US == own.state
    assert "could write production: yes" in own.found
