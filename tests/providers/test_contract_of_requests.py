"""Every request that the product can send, and every answer it gets, against the vendors' descriptions.

What "every" means is read from the code: each `operation` given to a client, and each GraphQL document. One that
no chapter of the story below sends fails by its name.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from vendors import Hands

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reliability"))

from attempts import Attempt, attempt, config_with
from promotion_road import ALIAS, API, BUILD, Road, change
from release import Stage
from runners import until
from validate import check_exchange, specs_folder

import pantheon_runbook
from pantheon_runbook import doctoring
from pantheon_runbook.checking import check
from pantheon_runbook.initializing import Order, initialize
from pantheon_runbook.isolation.choosing import Wanted
from pantheon_runbook.model import Change
from pantheon_runbook.providers import (
    supabase,
    supabase_backups,
    supabase_exposure,
    supabase_inventory,
    vercel,
    vercel_exposure,
    vercel_inventory,
)
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.railway import BASE_URL, VENDOR, RailwayApi
from pantheon_runbook.providers.railway_exposure import exposure
from pantheon_runbook.providers.railway_inventory import inventory
from pantheon_runbook.runner import wiring
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.secrets import Secret, fingerprints_under

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not specs_folder().is_dir(), reason=f"no official descriptions in {specs_folder()}"),
    pytest.mark.xdist_group("contract-of-requests"),
]
PACKAGE = Path(pantheon_runbook.__file__).parent
PRODUCT = [path for path in sorted(PACKAGE.rglob("*.py")) if "sandbox" not in path.relative_to(PACKAGE).parts]
# What a name that is put together at run time can be.
VARIANTS = {"create a {} key": ("create a publishable key", "create a secret key")}
CREATE = "create the project"
OF_THE_TEAM = ".up.railway.app"  # what is deployed there answers, and no vendor describes it
UNKNOWN_REF, UNKNOWN_ID = "a" * 20, "00000000-0000-4000-8000-000000000000"


def operations_of(path: Path) -> Iterator[str]:
    """The names under which one module sends requests."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if found := re.match(r"\s*(query|mutation) (\w+)[^{]*{", node.value):
                yield f"{found[2]} (query)" if found[1] == "query" else found[2]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"read", "write"}
        ):
            for keyword in node.keywords:
                if keyword.arg == "operation" and not isinstance(keyword.value, ast.Name):  # a name: from a document
                    yield from _spelled(keyword.value)


def _spelled(value: ast.expr) -> tuple[str, ...]:
    if isinstance(value, ast.Constant):
        return (str(value.value),)
    assert isinstance(value, ast.JoinedStr), ast.dump(value)
    return VARIANTS["".join(part.value if isinstance(part, ast.Constant) else "{}" for part in value.values)]


@dataclass(frozen=True)
class Exchange:
    """One request as it left the product, and its answer; bodies are parsed JSON."""

    operation: str
    method: str
    url: str
    sent: Any
    status: int
    answered: Any

    @property
    def host(self) -> str:
        return re.sub(r"^[a-z]{20}\.", "", httpx.URL(self.url).host)


class Recording(httpx.BaseTransport):
    """Passes everything on and keeps it, under the name that the product has for it."""

    in_hand = threading.local()

    def __init__(self, inner: httpx.BaseTransport, exchanges: list[Exchange]) -> None:
        self._inner = inner
        self._exchanges = exchanges

    @classmethod
    def naming(cls, send: Any) -> Any:
        def named(client: Client, *arguments: Any, operation: str, **more: Any) -> Any:
            cls.in_hand.operation = operation
            return send(client, *arguments, operation=operation, **more)

        return named

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, sent = str(request.url), request.read()
        response = self._inner.handle_request(request)
        answered = response.read()
        self._exchanges.append(
            Exchange(self.in_hand.operation, request.method, url, _json(sent), response.status_code, _json(answered))
        )
        return response

    def close(self) -> None:
        self._inner.close()


def _json(raw: bytes) -> Any:
    return json.loads(raw) if raw else None


class Story:
    """Runs on one world, one after the other, and what they sent; between them other hands change things."""

    def __init__(self, world: Any, hands: Hands, patch: pytest.MonkeyPatch) -> None:
        self.world, self.hands = world, hands
        self.exchanges: list[Exchange] = []
        transport = Reach.transport
        patch.setattr(Reach, "transport", lambda reach: Recording(transport(reach), self.exchanges))
        for name in ("read", "write"):
            patch.setattr(Client, name, Recording.naming(getattr(Client, name)))
        hands.edit(lambda whole: whole["supabase"]["limits"].update(requests_per_minute=10_000))

    def run(self, **parameters: Any) -> Attempt:
        """An apply run to its end; nothing that it sent went past the recording."""
        before, mark = len(self.exchanges), self.hands.mark()
        ended = attempt(self.world, **parameters)
        assert len(self.exchanges) - before == len(self.world.running.log(mark))
        return ended

    def run_with(self, *changes: tuple[str, str]) -> Attempt:
        """The same, with pieces of the customer's three files replaced."""
        path = config_with(self.world, *((old, new) for old, new in changes if old in self._read("pantheon.toml")))
        for name in ("identities.toml", "credentials.toml"):
            text = self._read(name)
            for old, new in changes:
                text = text.replace(old, new)
            path.with_name(name).touch(0o600)
            path.with_name(name).write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PANTHEON_CONFIG", str(path))
            patch.setenv("PANTHEON_CREDENTIALS", str(path.with_name("credentials.toml")))
            return self.run()

    def _read(self, name: str) -> str:
        return (self.world.customer / name).read_text()

    def management(self, method: str, path: str, body: Any = None) -> Any:
        ref = self.hands.projects()[0]["ref"]
        return self.hands.call("supabase", method, f"/v1/projects/{ref}{path}", body)

    def ours(self) -> str:
        """What confirms staging: its first run left its evidence in another folder."""
        return f"{self.hands.projects()[0]['ref']},{self.hands.railway_projects()[0]['environments']['staging']['id']}"


def day_one(story: Story) -> None:
    """Before there are files: what the tokens see, and production's values for their pins."""
    folder = story.world.folder / "day-one"
    folder.mkdir()
    mark = story.hands.mark()
    wanted = Wanted("sandbox", "pantheon-production", "new", "pantheon/production", "new")
    initialize(Order(wanted, folder / "pantheon.toml", pins=True), say=lambda _words: None)
    assert len(story.exchanges) == len(story.world.running.log(mark))


def from_nothing(story: Story) -> None:
    """With what may be left out of the config."""
    region = 'region = "eu-west-1"'
    assert "done" == story.run_with((region, f'{region}, size = "small"')).word
    assert "small" in {one.sent.get("desired_instance_size") for one in story.exchanges if one.operation == CREATE}
    assert "nothing-to-do" == story.run().word


def asked_by_doctor(story: Story) -> None:
    """With the supervisor's tokens, and with a Railway token that is for one environment only."""
    mark, before = story.hands.mark(), len(story.exchanges)
    assert all(item.passed for item in doctoring.examine())
    project = story.hands.railway_projects()[0]
    given = {"projectId": project["id"], "environmentId": project["environments"]["staging"]["id"], "name": "ci"}
    token = story.hands.railway("mutation M($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }", i=given)
    path = story.world.folder / "narrow.toml"
    path.touch(0o600)
    path.write_text(f'[tokens]\nRAILWAY_API_TOKEN = "{token["projectTokenCreate"]}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANTHEON_CREDENTIALS", str(path))
        patch.setenv("PANTHEON_CONFIG", str(story.world.customer / "pantheon.toml"))
        (narrow,) = [item for item in doctoring.examine() if item.name == "RAILWAY_API_TOKEN"]
        assert "is a project token" in narrow.found
    assert len(story.exchanges) - before == len(story.world.running.log(mark)) - 2  # the two calls of other hands


def everything_changed_by_hand(story: Story) -> None:
    """Keys gone, a bucket opened, a limit raised, values replaced, the database's password set by somebody."""
    hands = story.hands
    for key in story.management("GET", "/api-keys?reveal=true"):
        if key["type"] != "legacy":
            story.management("DELETE", f"/api-keys/{key['id']}")
    hands.storage(hands.projects()[0]["ref"], "PUT", "/bucket/uploads", {"public": True})
    hands.call("openrouter", "PATCH", f"/api/v1/keys/{hands.keys()[0]['hash']}", {"limit": 900.0})
    story.management("PATCH", "/config/auth", {"uri_allow_list": ""})
    story.management("POST", "/secrets", [{"name": "SENTRY_DSN", "value": "by hand"}])
    story.management("PATCH", "/database/password", {"password": "by hand 1234567"})
    hands.set_variable("api", "LOG_LEVEL", "error")
    (variable,) = [one for one in hands.preview() if one["key"] == "NEXT_PUBLIC_API_URL"]
    vercel = hands.facts["vercel"]
    path = f"/v9/projects/{vercel['project_id']}/env/{variable['id']}?teamId={vercel['team_id']}"
    hands.call("vercel", "PATCH", path, {"value": "https://elsewhere.example"})
    hands.new_vercel_variable(key="SEALED", value="by hand", target=["preview"], type="encrypted")
    assert "done" == story.run(confirm=story.ours()).word


def what_both_projects_hold(story: Story) -> None:
    """Read for the isolation proof, with production's exposure."""
    facts = story.hands.facts["supabase"]
    reach = Reach(str(story.world.running.socket))
    client = reading_client("supabase", supabase.BASE_URL, Secret(facts["token"]), reach=reach)
    for ref in (facts["ref"], story.hands.projects()[0]["ref"]):
        seen = supabase_inventory.inventory(client, ref, fingerprint=fingerprints_under("ab" * 32))
        assert {"present"} == {one.state for one in seen}
    assert supabase_exposure.exposure(client, ref=facts["ref"], organization=facts["organization_slug"])
    assert supabase_backups.backups(client, facts["ref"]).backups
    client.close()


def deployed(story: Story) -> None:
    """What is released; then one that crashes, and the log of one that said nothing."""
    stage, hands = Stage(story.world, story.hands), story.hands
    given = {**hands.service("worker"), "enabled": True}
    connect = "mutation M($e: String!, $s: String!, $i: ServiceInstanceUpdateInput!)"
    place = {"e": given["environmentId"], "s": given["serviceId"]}
    update = f"{connect} {{ serviceInstanceUpdate(environmentId: $e, serviceId: $s, input: $i) }}"
    hands.railway(update, **place, i={"source": {"repo": "pantheon/pantheon"}})
    pushes = "mutation M($i: ServiceInstanceAutoDeployUpdateInput!)"
    hands.railway(f"{pushes} {{ serviceInstanceAutoDeployUpdate(input: $i) {{ enabled }} }}", i=given)
    assert stage.release(until="apply").error is None
    hands.set_variable("api", "LOG_LEVEL", "no such level")
    ended = stage.release(until="apply")
    assert "crashed" in ended.error.what
    kind, facts = ended.session.kinds["railway/deployment"], hands.facts["railway"]
    reach = Reach(str(story.world.running.socket))
    with closing(reading_client(VENDOR, BASE_URL, Secret(facts["token"]), reach=reach)) as client:
        kind._api = RailwayApi(client)
        assert [] != kind._lines(facts["deployments"]["Redis"])
    hands.set_variable("api", "LOG_LEVEL", "debug")


def production_promoted_and_rolled_back(story: Story) -> None:
    """As RB-030 and RB-040 will: built, promoted, deployed, and each way back; then a promotion that is stuck."""
    with ExitStack() as ends:
        road = Road(story.world, story.hands, ends)
        road.assign_domains(by_itself=False)
        run, mark, before = road.run(), story.hands.mark(), len(story.exchanges)
        head, first = road.commits["head"], run.look()
        former = first[API].attributes["id"]
        run.look()
        for step in (
            change(BUILD, commit=head),
            change(ALIAS, commit=head),
            change(API, commit=head),
            change(ALIAS, "roll back", id=first[ALIAS].attributes["id"]),
            change(API, "roll back", roll_back_to=former),
        ):
            assert "done" == run.apply(step)[step.address].outcome, run.applying.errors
            run.look()
        assert [] == run.kinds[ALIAS]._stuck()
        assert len(story.exchanges) - before == len(story.world.running.log(mark))
        road.assign_domains(by_itself=True)


def whether_it_can_be_closed(story: Story) -> None:
    """RB-050 asks the team's own API too; the run is not driven to its end, where it would be held."""
    mark, before = story.hands.mark(), len(story.exchanges)
    run = wiring.open_run("RB-050", {"environment": "staging"})
    for act in ("observe", "compare"):
        run.session.perform(act)
    story.world.seal(run)
    asked = [one for one in story.exchanges[before:] if one.host.endswith(OF_THE_TEAM)]
    assert len(story.exchanges) - before - len(asked) == len(story.world.running.log(mark))
    assert [("GET", "/health", None)] == [(one.method, httpx.URL(one.url).path, one.sent) for one in asked]


def value_of_a_key_lost(story: Story) -> None:
    for service in ("api", "worker"):
        given = {**story.hands.service(service), "name": "OPENROUTER_API_KEY"}
        story.hands.railway("mutation M($i: VariableDeleteInput!) { variableDelete(input: $i) }", i=given)
    assert "done" == story.run().word


def paused(story: Story) -> None:
    story.hands.set_variable("api", "LOG_LEVEL", "error")
    story.management("POST", "/pause")
    until(lambda: "INACTIVE" == story.hands.projects()[0]["status"])
    assert "refused" == story.run().word
    assert "done" == story.run(restore_paused=True, confirm=story.ours()).word


def coming_up(story: Story) -> None:
    """Made by hand a moment ago, and slow: the run waits for it, then sets what Railway has of the one before."""
    story.management("DELETE", "")
    story.world.running.pace(0.5)
    story.hands.new_project()
    assert "done" == story.run(confirm=story.ours()).word
    statuses = [
        project["status"]
        for exchange in story.exchanges
        if exchange.operation == "list projects" and exchange.status == 200
        for project in exchange.answered["projects"]
    ]
    assert "COMING_UP" in statuses


def environment_that_is_not_there(story: Story) -> None:
    """In an own project and in production's: the plan blocks both for their services, so the step is taken alone."""
    environment = story.hands.railway_projects()[0]["environments"]["staging"]["id"]
    rename = 'mutation M($i: String!) { environmentRename(id: $i, input: {name: "before"}) { id } }'
    story.hands.railway(rename, i=environment)
    confirmed = story.hands.railway_projects()[0]["id"]
    assert "the Railway project also has before" in story.run(confirm=confirmed).error.what
    for layout in ("own-project", "shared-project"):
        path = config_with(story.world, ('layout = "own-project"', f'layout = "{layout}"'))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PANTHEON_CONFIG", str(path))
            run = story.world.open()
        run.session.perform("observe")
        kind, change = (
            run.session.kinds["railway/environment"],
            Change("railway/environment", "create", {}, {}, (), "", ""),
        )
        run.session.gate.is_open = True
        kind.write(change)
        kind.settle(change)
        story.world.seal(run)
    names = {
        name: sorted(story.hands.railway_projects(name)[0]["environments"]) for name in ("pantheon", "pantheon-staging")
    }
    assert {"pantheon": ["production", "staging"], "pantheon-staging": ["before", "staging"]} == names


def smoke_checks(story: Story) -> None:
    """By the read-only query; what the deployed apps answer is not for a vendor's description to say."""
    text = story._read("pantheon.toml").partition("[[checks]]")[0]
    declared = 'name = "one"\nkind = "sql"\nquery = "select 1 as one"\nvalue = 1\nenvironments = ["production"]\n'
    path = config_with(story.world)
    path.write_text(f"{text}[[checks]]\n{declared}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANTHEON_CONFIG", str(path))
        assert check("production").passed


def railway_looked_through(story: Story) -> None:
    """Production and staging, with the account's token and with one of staging's environment."""
    hands = story.hands
    facts, staging = hands.facts["railway"], hands.service("api")
    given = {**{name: staging[name] for name in ("projectId", "environmentId")}, "name": "isolation"}
    create = "mutation M($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }"
    value = hands.railway(create, i=given)["projectTokenCreate"]
    production = {name: facts[name] for name in ("project_id", "environment_id")}
    for headers in ({"Authorization": f"Bearer {facts['token']}"}, {"Project-Access-Token": value}):
        secret = {name: Secret(text) for name, text in headers.items()}
        client = Client(
            VENDOR, BASE_URL, reach=Reach(str(story.world.running.socket)), gate=WriteGate(), headers=secret
        )
        api = RailwayApi(client)
        for place in (production, {"project_id": staging["projectId"], "environment_id": staging["environmentId"]}):
            inventory(api, **place, fingerprint=str)
        exposure(api, **production, staging_environment_id=staging["environmentId"])
        client.close()


def everything_read_at_vercel(story: Story) -> None:
    """Two targets and what can change production, of a project that exists and of one that does not."""
    facts, before, mark = story.hands.facts["vercel"], len(story.exchanges), story.hands.mark()
    reach = Reach(str(story.world.running.socket))
    client = reading_client("vercel", vercel.BASE_URL, Secret(facts["token"]), reach=reach)
    for project in (facts["project_id"], "prj_nobodys"):
        where = {"project": project, "team": facts["team_id"]}
        for target in ("preview", "production"):
            vercel_inventory.inventory(client, **where, target=target, fingerprint=str)
        vercel_exposure.exposure(client, **where)
    client.close()
    assert len(story.exchanges) - before == len(story.world.running.log(mark))


def vendors_that_say_no(story: Story) -> None:
    """Unknown tokens, an organization and a team of others, ids that nobody has."""
    facts = story.hands.facts
    refused = [
        *((token, f"{token[:-8]}0badc0de") for token in facts["tokens"].values()),
        (facts["supabase"]["organization_slug"], facts["supabase"]["foreign_slug"]),
        (facts["vercel"]["team_id"], facts["vercel"]["foreign_team_id"]),
        (facts["vercel"]["project_id"], "prj_nobodys"),
        (facts["railway"]["workspace_id"], UNKNOWN_ID),
    ]
    assert ["no-run"] * len(refused) == [story.run_with(change).word for change in refused]
    assert "404" in story.run_with((facts["supabase"]["ref"], UNKNOWN_REF)).error.what


@pytest.fixture(scope="module")
def exchanges(new_world: Any) -> Iterator[list[Exchange]]:
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        hands = Hands(world.running)
        story = Story(world, hands, patch)
        day_one(story)
        from_nothing(story)
        asked_by_doctor(story)
        everything_changed_by_hand(story)
        what_both_projects_hold(story)
        railway_looked_through(story)
        deployed(story)
        production_promoted_and_rolled_back(story)
        whether_it_can_be_closed(story)
        value_of_a_key_lost(story)
        paused(story)
        coming_up(story)
        environment_that_is_not_there(story)
        smoke_checks(story)
        everything_read_at_vercel(story)
        vendors_that_say_no(story)
        hands.close()
        yield story.exchanges


def test_every_operation_of_the_code_was_sent(exchanges: list[Exchange]) -> None:
    known = {name for path in PRODUCT for name in operations_of(path)}
    assert len(known) > 30
    assert known == {exchange.operation for exchange in exchanges}


def test_every_exchange_is_as_described(exchanges: list[Exchange]) -> None:
    wrong = {
        problem
        for one in exchanges
        if not one.host.endswith(OF_THE_TEAM)
        for problem in check_exchange(one.method, one.url, one.sent, one.status, one.answered)
    }
    assert set() == wrong


def test_each_vendor_was_heard_saying_no(exchanges: list[Exchange]) -> None:
    heard = {(one.host, one.status) for one in exchanges if one.status >= 400 and not one.host.endswith(OF_THE_TEAM)}
    inside = {
        one.host
        for one in exchanges
        if one.status == 200 and isinstance(one.answered, dict) and one.answered.get("errors")
    }
    assert {
        ("api.supabase.com", 401),
        ("api.supabase.com", 403),
        ("api.supabase.com", 404),
        ("api.vercel.com", 403),
        ("api.vercel.com", 404),
        ("openrouter.ai", 401),
    } == heard
    assert {"backboard.railway.com"} == inside
