"""Whatever only reads can send what is on the list, and nothing else: not by odd names, not by raw requests."""

from __future__ import annotations

import ast
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile import DELETION, DOCUMENTS, KINDS, Hostile, Raw, enumerated_ones, graphql, hostile_text

import pantheon_runbook
from pantheon_runbook import clock
from pantheon_runbook.config import Frontend, OpenRouter, Railway, Supabase
from pantheon_runbook.database.reading import EndpointReader
from pantheon_runbook.errors import RefusedError
from pantheon_runbook.isolation.survey import RailwayEnvironment, RailwayService, VercelProject
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.model import Change
from pantheon_runbook.providers import (
    enumerated,
    listing,
    openrouter,
    production_values,
    railway,
    railway_deploys,
    railway_exposure,
    railway_inventory,
    railway_looks,
    railway_promotion,
    railway_services,
    railway_sources,
    supabase,
    supabase_backups,
    supabase_exposure,
    supabase_inventory,
    supabase_settings,
    supabase_storage,
    vercel,
    vercel_builds,
    vercel_deploys,
    vercel_exposure,
    vercel_inventory,
    vercel_promotion,
    vercel_reading,
)
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.reading import OnlyReads
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.secrets import Registry, Secret, Vault

pytestmark = pytest.mark.xdist_group("enumerated")
PACKAGE = Path(pantheon_runbook.__file__).parent
PRODUCT = [path for path in sorted(PACKAGE.rglob("*.py")) if "sandbox" not in path.relative_to(PACKAGE).parts]
IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
ARGUMENT_SETS = 10_000 if IS_FULL else 1_000
RAW_REQUESTS = 10_000 if IS_FULL else 1_000
SEED = os.environ.get("PANTHEON_SEED", "1")
Say = Callable[[str], str]


class Counting(httpx.BaseTransport):
    """What came out below the reading transport; it goes on to the sandbox."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.passed: list[tuple[str, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.passed.append((request.method, str(request.url)))
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class Desk:
    """One reading client a vendor, with the sandbox's own tokens; `passed` is what got out of them."""

    modules = (supabase, railway, vercel, openrouter)

    def __init__(self, world: Any, ends: ExitStack, patch: pytest.MonkeyPatch) -> None:
        self.world, self.facts = world, world.facts
        self.reach = Reach(str(world.running.socket))
        transport, self._ways = Reach.transport, []
        patch.setattr(Reach, "transport", lambda reach: self._counted(transport(reach)))
        patch.setattr(clock, "sleep", lambda _seconds: None)
        self.clients = {}
        for module in self.modules:
            facts = self.facts[module.VENDOR]
            token = Secret(facts["management_key"] if module is openrouter else facts["token"])
            client = reading_client(module.VENDOR, module.BASE_URL, token, reach=self.reach)
            ends.callback(client.close)
            self.clients[module.VENDOR] = client
        self.api = railway.RailwayApi(self.clients["railway"])

    def _counted(self, inner: httpx.BaseTransport) -> httpx.BaseTransport:
        self._ways.append(Counting(inner))
        return self._ways[-1]

    @property
    def passed(self) -> list[tuple[str, str]]:
        return [one for way in self._ways for one in way.passed]

    def around(self, say: Say) -> Surroundings:
        """What the kinds are given, with the vendors' ids as they come."""
        vault = Vault(Registry(), salt="ab" * 32)
        ids = {"project_id": "project_id", "environment_id": "environment_id", "service.api": "project_id"}
        for name, fact in ids.items():
            vault.hold(f"railway.{name}", say(self.facts["railway"][fact]), secret=False)
        vault.hold("supabase.status", "ACTIVE_HEALTHY", secret=False)
        vault.hold("supabase.ref", say(self.facts["supabase"]["ref"]), secret=False)
        vault.hold("supabase.url", f"https://{say(self.facts['supabase']['ref'] + '.supabase.co')}", secret=False)
        vault.hold("supabase.service_role_key", say(self.facts["supabase"]["service_role_key"]))
        return Surroundings(vault, 0.01, lambda _: None)

    def frontend(self, say: Say) -> Frontend:
        """As no config would be read: the check of its fields is not what is tried here."""
        facts = self.facts["vercel"]
        return Frontend.model_construct(vercel_project=say(facts["project_id"]), vercel_team=say(facts["team_id"]))

    def railway_settings(self, say: Say) -> Railway:
        return Railway.model_construct(workspace=say(self.facts["railway"]["workspace_id"]), project_name="x")

    def railway_ids(self, say: Say) -> dict[str, str]:
        return {name: say(self.facts["railway"][name]) for name in ("project_id", "environment_id")}

    def vercel_ids(self, say: Say) -> dict[str, str]:
        return {"project": say(self.facts["vercel"]["project_id"]), "team": say(self.facts["vercel"]["team_id"])}

    def production(self, say: Say) -> RailwayEnvironment:
        facts = self.facts["railway"]
        service = RailwayService(say(facts["project_id"]), "api", ".", (), is_store=False)
        ids = [say(facts[name]) for name in ("environment_id", "project_id", "workspace_id")]
        return RailwayEnvironment(ids[0], "production", ids[1], "pantheon", ids[2], "ours", (service,))

    def vercel_project(self, say: Say) -> VercelProject:
        facts = self.facts["vercel"]
        return VercelProject(say(facts["project_id"]), "web", say(facts["team_id"]), "ours", "nextjs", "main", ())


def _project(desk: Desk, say: Say) -> supabase.Project:
    settings = Supabase.model_construct(name="x", organization=say(desk.facts["supabase"]["organization_slug"]))
    return supabase.Project(desk.clients["supabase"], settings, desk.around(say), plan="pro")


def _edge(desk: Desk, say: Say) -> supabase_settings.EdgeSecrets:
    around, ref = desk.around(say), say(desk.facts["supabase"]["ref"])
    return supabase_settings.EdgeSecrets(desk.clients["supabase"], around, production_ref=ref, sources={})


def _buckets(desk: Desk, say: Say) -> Any:
    """The one client that is made from a host of a vault; it has a gate, which is shut."""
    kind = supabase_storage.Buckets(desk.around(say), reach=desk.reach, gate=WriteGate(), timeout_seconds=5)
    try:
        return kind.look()
    finally:
        kind.close()


def _reach_of_token(desk: Desk, say: Say) -> Any:
    """With a token that may be one of a project: it is asked for another way then."""
    client = reading_client("railway", railway.BASE_URL, Secret(say("not the token")), reach=desk.reach)
    with closing(client):
        return railway_looks.reach_of_token(railway.RailwayApi(client))


def _deployments(desk: Desk, say: Say) -> railway_deploys.DeploymentKind:
    return railway_deploys.DeploymentKind(desk.api, desk.around(say), services=("api",))


def _settled(desk: Desk, say: Say) -> None:
    kind = _deployments(desk, say)
    kind._begun["railway/deployment/api"] = say("x")
    kind.settle(Change("railway/deployment/api", "create", {}, {}, (), "", ""))


def _preview(desk: Desk, say: Say) -> vercel_deploys.PreviewDeployment:
    branch = say("staging")
    return vercel_deploys.PreviewDeployment(desk.clients["vercel"], desk.frontend(say), desk.around(say), branch=branch)


def _built(desk: Desk, say: Say) -> None:
    kind = _preview(desk, say)
    kind._begun = say("dpl_x")
    kind.settle(Change("vercel/deployment/preview", "create", {}, {}, (), "", ""))


def _production_build(desk: Desk, say: Say) -> vercel_builds.ProductionBuild:
    branch, commit = say("staging"), say("a" * 40)
    client, frontend, around = desk.clients["vercel"], desk.frontend(say), desk.around(say)
    return vercel_builds.ProductionBuild(client, frontend, around, branch=branch, commit=lambda: commit)


def _staged(desk: Desk, say: Say) -> None:
    kind = _production_build(desk, say)
    kind._begun = say(desk.facts["vercel"]["deployment_id"])
    kind.settle(Change(kind.address, "create", {}, {}, (), "", ""))


def _alias(desk: Desk, say: Say) -> vercel_promotion.ProductionAlias:
    return vercel_promotion.ProductionAlias(desk.clients["vercel"], desk.frontend(say), desk.around(say))


def _moved(desk: Desk, say: Say) -> None:
    kind = _alias(desk, say)
    kind.settle(Change(kind.address, "update", {}, {"id": say("dpl_x")}, (), "", ""))


def _production_deployments(desk: Desk, say: Say) -> railway_promotion.ProductionDeployments:
    return railway_promotion.ProductionDeployments(desk.api, desk.around(say), services=("api",))


def _rolled_back(desk: Desk, say: Say) -> None:
    """Up to the write, which a reading client has no way to send."""
    kind = _production_deployments(desk, say)
    kind._seen = {"api": []}
    after = {"roll_back_to": say(desk.facts["railway"]["deployments"]["api"])}
    kind.write(Change("production/deployment/api", "roll back", {}, after, (), "", ""))


# Every function of the product that reads; `say` gives back what it is given, or something hostile in its place.
READERS: dict[str, Callable[[Desk, Say], Any]] = {
    "supabase.check_token": lambda d, say: supabase.check_token(d.clients["supabase"], say("pantheon")),
    "supabase.all_projects": lambda d, say: supabase.all_projects(d.clients["supabase"], say("pantheon")),
    "Project.look": lambda d, say: _project(d, say).look(),
    "Project._hold_pooler": lambda d, say: _project(d, say)._hold_pooler(say(d.facts["supabase"]["ref"])),
    "Project._services": lambda d, say: _project(d, say)._services(),
    "ApiKeys.look": lambda d, say: supabase_settings.ApiKeys(d.clients["supabase"], d.around(say)).look(),
    "AuthSettings.look": lambda d, say: supabase_settings.AuthSettings(d.clients["supabase"], d.around(say)).look(),
    "EdgeSecrets.look": lambda d, say: _edge(d, say).look(),
    "ProductionBuckets.look": lambda d, say: supabase_storage.ProductionBuckets(
        d.clients["supabase"], production_ref=say(d.facts["supabase"]["ref"])
    ).look(),
    "Buckets.look": _buckets,
    "EndpointReader.rows": lambda d, say: EndpointReader(d.clients["supabase"], say(d.facts["supabase"]["ref"])).rows(
        say("select 1")
    ),
    "listing.supabase_projects": lambda d, _say: listing.supabase_projects(d.clients["supabase"]),
    "listing.vercel_projects": lambda d, _say: listing.vercel_projects(d.clients["vercel"]),
    "listing._of_team": lambda d, say: list(listing._of_team(d.clients["vercel"], say(d.facts["vercel"]["team_id"]))),
    "listing.railway_environments": lambda d, _say: listing.railway_environments(d.api),
    "listing.railway_variables": lambda d, say: listing.railway_variables(d.api, d.production(say)),
    "listing._vercel_names": lambda d, say: listing._vercel_names(d.clients["vercel"], d.vercel_project(say)),
    "listing._edge_secrets": lambda d, say: listing._edge_secrets(
        d.clients["supabase"], say(d.facts["supabase"]["ref"])
    ),
    "supabase_inventory": lambda d, say: supabase_inventory.inventory(
        d.clients["supabase"], say(d.facts["supabase"]["ref"]), fingerprint=str
    ),
    "supabase_backups": lambda d, say: supabase_backups.ProductionBackups(
        d.clients["supabase"], say(d.facts["supabase"]["ref"])
    ).look(),
    "supabase_exposure": lambda d, say: supabase_exposure.exposure(
        d.clients["supabase"],
        ref=say(d.facts["supabase"]["ref"]),
        organization=say(d.facts["supabase"]["organization_slug"]),
    ),
    "railway_inventory": lambda d, say: railway_inventory.inventory(d.api, **d.railway_ids(say), fingerprint=str),
    "railway_exposure": lambda d, say: railway_exposure.exposure(
        d.api, **d.railway_ids(say), staging_environment_id=say("x")
    ),
    "railway_looks.reach_of_token": _reach_of_token,
    "vercel_inventory": lambda d, say: vercel_inventory.inventory(
        d.clients["vercel"], **d.vercel_ids(say), target="production", fingerprint=str
    ),
    "Reading.value_of": lambda d, say: vercel_reading.Reading(d.clients["vercel"], **d.vercel_ids(say)).value_of(
        {"id": say("x"), "type": "encrypted", "target": ["preview"]}
    ),
    "vercel_exposure": lambda d, say: vercel_exposure.exposure(d.clients["vercel"], **d.vercel_ids(say)),
    "supabase.sees_project": lambda d, say: supabase.sees_project(
        d.clients["supabase"], say(d.facts["supabase"]["ref"])
    ),
    "railway.project_token": lambda d, _say: railway.project_token(d.api),
    "railway.sees_project": lambda d, say: railway.sees_project(d.api, say(d.facts["railway"]["project_id"])),
    "vercel.sees_project": lambda d, say: vercel.sees_project(d.clients["vercel"], d.frontend(say)),
    "vercel.token_facts": lambda d, _say: vercel.token_facts(d.clients["vercel"]),
    "openrouter.expiry_of_own_key": lambda d, _say: openrouter.expiry_of_own_key(d.clients["openrouter"]),
    "vercel.plan_of": lambda d, say: vercel.plan_of(d.clients["vercel"], say(d.facts["vercel"]["team_id"])),
    "railway.check_token": lambda d, say: railway.check_token(d.api, say("x")),
    "railway.all_projects": lambda d, say: railway.all_projects(d.api, say(d.facts["railway"]["workspace_id"])),
    "RailwayApi.query": lambda d, say: d.api.query(say(railway_services._TEMPLATE), {say("id"): say("x")}),
    "ServiceKind.look": lambda d, say: railway_services.ServiceKind(
        d.api, d.railway_settings(say), d.around(say)
    ).look(),
    "ServiceKind._workflow_runs": lambda d, say: railway_services.ServiceKind(
        d.api, d.railway_settings(say), d.around(say)
    )._workflow_runs(say("x")),
    "DomainKind.look": lambda d, say: railway_services.DomainKind(d.api, "api", d.around(say)).look(),
    "railway_services.variables_of": lambda d, say: railway_services.variables_of(
        d.api, d.around(say).vault, say("x"), is_rendered=False
    ),
    "ProductionVariables.look": lambda d, say: railway_services.ProductionVariables(d.api, **d.railway_ids(say)).look(),
    "railway_services.beside_ours": lambda d, say: railway_services.beside_ours(
        d.api, d.railway_settings(say), d.around(say).vault
    ),
    "ProductionSources.look": lambda d, say: railway_sources.ProductionSources(d.api, **d.railway_ids(say)).look(),
    "SourceKind.look": lambda d, say: railway_sources.SourceKind(
        d.api, d.railway_settings(say), d.around(say), services=("api",)
    ).look(),
    "DeploymentKind.look": lambda d, say: _deployments(d, say).look(),
    "DeploymentKind.settle": _settled,
    "DeploymentKind._last_lines": lambda d, say: _deployments(d, say)._last_lines("api", say("x")),
    "DeploymentKind._last_lines of production": lambda d, say: _deployments(d, say)._lines(
        say(d.facts["railway"]["deployments"]["api"])
    ),
    "PreviewDeployment.look": lambda d, say: _preview(d, say).look(),
    "PreviewDeployment.settle": _built,
    "ProductionBuild.look": lambda d, say: _production_build(d, say).look(),
    "ProductionBuild.settle": _staged,
    "ProductionAlias.look": lambda d, say: _alias(d, say).look(),
    "ProductionAlias.settle": _moved,
    "ProductionAlias._stuck": lambda d, say: _alias(d, say)._stuck(),
    "ProductionServices.look": lambda d, say: railway_promotion.ProductionServices(
        d.api, d.around(say), **d.railway_ids(say), services=("api",)
    ).look(),
    "ProductionDeployments.look": lambda d, say: _production_deployments(d, say).look(),
    "ProductionDeployments.write": _rolled_back,
    "production_values": lambda d, say: production_values.production_values(d.api, d.production(say)),
    "vercel.check_token": lambda d, say: vercel.check_token(d.clients["vercel"], d.frontend(say)),
    "PreviewVariables.look": lambda d, say: vercel.PreviewVariables(
        d.clients["vercel"], d.frontend(say), d.around(say), names={}
    ).look(),
    "openrouter.check_token": lambda d, _say: openrouter.check_token(d.clients["openrouter"]),
    "StagingKey.look": lambda d, say: openrouter.StagingKey(
        d.clients["openrouter"],
        OpenRouter.model_construct(key_name=say("x"), limit_usd=1.0, limit_reset="monthly"),
        d.around(say),
    ).look(),
}


def _without_limits(whole: Any) -> None:
    whole["supabase"]["limits"].update(requests_per_minute=10_000_000)
    whole["railway"]["limits"].update(requests_per_hour=10_000_000)


@pytest.fixture
def desk(world: Any, hands: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    hands.edit(_without_limits)
    with ExitStack() as ends:
        yield Desk(world, ends, monkeypatch)


def reads_in(path: Path) -> Iterator[str]:
    """The names under which one module reads; of a document that is its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "read":
            yield from (
                str(one.value.value)
                for one in node.keywords
                if one.arg == "operation" and isinstance(one.value, ast.Constant)
            )


@pytest.mark.sweep
def test_odd_arguments_change_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, refs and ids of every kind, given to everything that reads; the sandbox says what it got."""
    tried: set[str] = set()
    send = Client.read

    def noting(client: Client, *arguments: Any, operation: str, **more: Any) -> Any:
        tried.add(operation)
        return send(client, *arguments, operation=operation, **more)

    monkeypatch.setattr(Client, "read", noting)
    by, outcomes = random.Random(f"arguments {SEED}"), {name: Counter[str]() for name in READERS}
    for number in range(ARGUMENT_SETS):
        name = list(READERS)[number % len(READERS)]
        before = len(desk.passed)
        try:
            READERS[name](desk, lambda good: good if by.random() < 0.4 else hostile_text(by, desk.facts))
            ended = "answered"
        except Exception as error:  # noqa: BLE001  whatever comes of it, it changed nothing: that is what is looked at
            ended = type(error).__name__
        outcomes[name][ended] += 1
        outcomes[name]["requests"] += len(desk.passed) - before
    log = desk.world.running.log()
    print(f"\n{ARGUMENT_SETS} argument sets, {len(log)} requests received, {len(desk.world.mutating())} mutating")
    print("\n".join(f"{name:30} {dict(sorted(seen.items()))}" for name, seen in outcomes.items()))

    assert [] == desk.world.mutating()
    assert len(desk.passed) == len(log)
    assert {name for path in PRODUCT for name in reads_in(path)} <= tried, "give its reader a line in READERS"
    assert {f"{name} (query)" for name in enumerated.DOCUMENTS.values()} <= tried, "give its reader a line in READERS"


def send(desk: Desk, raw: Raw) -> str:
    """Straight to the transport of a reading client, past everything of ours above it."""
    before = len(desk.passed)
    with pytest.raises(RefusedError) as stopped:
        desk.clients[raw.vendor]._http.send(raw.request())
    assert before == len(desk.passed)
    return stopped.value.why


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_request_is_not_sent(desk_of_nobody: Desk, kind: str) -> None:
    hostile = Hostile(desk_of_nobody.facts, f"{kind} {SEED}")
    for _ in range(100):
        send(desk_of_nobody, getattr(hostile, kind)())


@pytest.fixture
def desk_of_nobody(quiet_world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """On a world that stays: nothing arrives there."""
    with ExitStack() as ends:
        yield Desk(quiet_world, ends, monkeypatch)


@pytest.mark.sweep
def test_no_raw_request_gets_through(desk: Desk) -> None:
    """All kinds in turn, and as a control everything that is on the list: that passes, and is answered."""
    rows, refusals = Counter[str](), {kind: Counter[str]() for kind in KINDS}
    made = {kind: Hostile(desk.facts, f"{kind} {SEED} all") for kind in KINDS}
    for number in range(RAW_REQUESTS):
        kind = KINDS[number % len(KINDS)]
        why = send(desk, getattr(made[kind], kind)())
        rows[kind] += 1
        refusals[kind][why.removeprefix("it is not one of the enumerated reads: ")[:44]] += 1
    assert [] == desk.passed
    assert [] == desk.world.running.log()

    statuses = Counter[tuple[str, int]]()
    for raw in enumerated_ones(desk.facts):
        request = raw.request()
        request.headers["Authorization"] = desk.clients[raw.vendor]._http.headers["Authorization"]
        response = desk.clients[raw.vendor]._http.send(request)
        statuses[raw.vendor, response.status_code] += 1
    control = sum(statuses.values())
    print(f"\n{'kind':32} {'sent':>5} passed  why most of them were not")
    print("\n".join(f"{kind:32} {rows[kind]:5} {0:6}  {refusals[kind].most_common(1)[0][0]}" for kind in KINDS))
    print(f"{'all':32} {sum(rows.values()):5} {0:6}\n{'control: the list':32} {control:5} {len(desk.passed):6}")
    print(f"{'':32} {dict(statuses)}")

    assert control == len(desk.passed) == len(enumerated.READS) - 1 + len(enumerated.DOCUMENTS)
    assert [] == desk.world.mutating()


def test_what_is_sent_is_what_was_judged(desk_of_nobody: Desk) -> None:
    """A body can be read as one thing and sent as another: what goes out is made from what was read."""
    raw = next(one for one in enumerated_ones(desk_of_nobody.facts) if one.vendor == "railway")
    request, sent = raw.request(), []
    request.read()
    request.stream = httpx.ByteStream(graphql(DELETION))

    def note(request: httpx.Request) -> httpx.Response:
        sent.append(request.read())
        return httpx.Response(200, json={})

    OnlyReads(httpx.MockTransport(note), "railway").handle_request(request)
    assert [raw.body] == sent


def test_without_the_list_they_would_write(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same requests, let through: what the sandbox says of them shows that they were worth refusing."""
    monkeypatch.setattr(enumerated, "objection", lambda _sent: "")
    arrived = Counter[str]()
    for kind in KINDS:
        hostile, before = Hostile(desk.facts, f"{kind} {SEED}"), len(desk.world.running.mutating())
        for _ in range(20):
            raw = getattr(hostile, kind)()
            request = raw.request()
            request.headers["Authorization"] = desk.clients[raw.vendor]._http.headers["Authorization"]
            with suppress(Exception):  # some of them no HTTP library can send
                desk.clients[raw.vendor]._http.send(request)
        arrived[kind] = len(desk.world.running.mutating()) - before
    print(f"\nmutating requests of 20 each, without the list: {dict(arrived)}")

    writing = {"method", "address_of_a_write", "graphql_document", "statement_by_the_writing_query"}
    assert writing <= {kind for kind, count in arrived.items() if count}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["https://evil.example/", "https://api.vercel.com/v2/teams", "/v2/teams", "//evil.example"]
)
def test_nobody_can_follow_a_redirect(client: Client, stub: Any, status: int, to: str) -> None:
    """Not by asking the HTTP library for it, and not to another read of the list either."""
    stub.will_answer(status, Location=to)

    answer = client._http.get("/v2/teams", follow_redirects=True)

    assert status == answer.status_code
    assert [("GET", "/v2/teams", "api.vercel.com")] == stub.requests


def test_reading_client_has_no_way_to_write(desk_of_nobody: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gate is shut; pried open, there is nothing behind it."""
    client = desk_of_nobody.clients["supabase"]
    path = f"/v1/projects/{desk_of_nobody.facts['supabase']['ref']}"
    with pytest.raises(RefusedError, match="outside the apply act"):
        client.write("DELETE", path, operation="delete")

    client._gate.is_open, client._gate.before = True, lambda _event: None
    monkeypatch.setattr(WriteGate, "require_accepted", lambda *_about: None)
    with pytest.raises(RefusedError, match="about to be sent as a read"):
        client.write("DELETE", path, operation="delete")

    assert [] == desk_of_nobody.passed


@pytest.mark.parametrize(
    ("path", "body", "what_to_add"),
    [
        (
            "/v1/projects/abcdefghijklmnopqrst/new",
            None,
            'Read("supabase", "POST", "api.supabase.com", "/v1/projects/{ref}/new")',
        ),
        (
            "/v1/projects/abcdefghijklmnopqrst/database/query/read-only",
            {"query": "select new from things"},
            'wrap the statement "select new from things" in selects(...)',
        ),
    ],
)
def test_refusal_says_what_to_add_where(supabase_client: Client, path: str, body: Any, what_to_add: str) -> None:
    with pytest.raises(RefusedError) as stopped:
        supabase_client.read("POST", path, operation="look", body=body)

    assert what_to_add in stopped.value.why
    assert "READS in pantheon_runbook/providers/enumerated.py" in stopped.value.next_step


def test_cursor_of_a_vendor_is_passed_on(client: Client, stub: Any) -> None:
    stub.will_answer(200, {"projects": []})

    client.read("GET", "/v10/projects", operation="look", params={"teamId": "team_1", "from": "MTIz+/=="})

    assert [("GET", "/v10/projects?teamId=team_1&from=MTIz%2B%2F%3D%3D", "api.vercel.com")] == stub.requests


def test_document_nobody_declared_is_named(railway_client: Client) -> None:
    with pytest.raises(RefusedError) as stopped:
        railway.RailwayApi(railway_client).query("query New { me { id } }")

    assert 'wrap the GraphQL document "New" in reads(...)' in stopped.value.why


@pytest.mark.parametrize(
    "document",
    [
        *("mutation M { a }", "subscription S { a }", "{ a }", "query { a }", "query Q { a } mutation M { b }", ""),
        *(
            "query Q { a } query R { b }",
            "query Q { ...F } fragment F on Mutation { a }",
            "query Q { a # }\n}",
            "query Q",
        ),
        *("query Q { a", "query Q { a } }", "query Q { Mutation }", 'query Q { a(b: """}""") }', "\ufeffquery Q { a }"),
        'query Q { a(b: "\\"") } mutation M { c(d: "") }',
    ],
)
def test_only_one_plain_query_can_be_declared(document: str) -> None:
    known = dict(enumerated.DOCUMENTS)
    with pytest.raises(ValueError, match="not one plain query"):
        enumerated.reads(document)
    assert known == enumerated.DOCUMENTS


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "delete from x",
            "select a from x; drop table x",
            "with a as (select 1) select a from a",
            "select f() from x",
        ),
        *(
            "select a into y from x",
            "select a from x for update",
            "select a from x -- b",
            "",
            "select a from x\n",
            "do x",
        ),
    ],
)
def test_only_a_plain_select_can_be_declared(statement: str) -> None:
    known = set(enumerated.STATEMENTS)
    with pytest.raises(ValueError, match="not one plain select"):
        enumerated.selects(statement)
    assert known == enumerated.STATEMENTS


def test_list_is_what_the_source_says() -> None:
    """Declared with a literal at the top of a module, so that a review sees it; and touched by nobody else."""
    declared, touching = 0, set()
    for path in PRODUCT:
        tree = ast.parse(path.read_text())
        at_the_top = [inner for node in tree.body if isinstance(node, ast.Assign) for inner in ast.walk(node)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"reads", "selects"}:
                assert node in at_the_top, path
                assert [ast.Constant] == [type(one) for one in node.args], path
                declared += 1
            if isinstance(node, ast.Name | ast.Attribute | ast.alias):
                name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", getattr(node, "name", ""))
                if name in {"DOCUMENTS", "STATEMENTS", "READS"}:
                    touching.add(path.name)

    assert declared == len(DOCUMENTS) + len(enumerated.STATEMENTS)
    assert {"enumerated.py"} == touching
