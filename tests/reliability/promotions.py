"""An approved promotion that is broken off in one world after another, and what must hold when it has been resumed."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from migrating_world import until
from promoting_world import Production
from tables import Call, rule

from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.providers import http
from pantheon_runbook.providers.vercel_deploys import commit_of
from pantheon_runbook.sandbox.faults import WITHOUT_EFFECT

DRIVER = Path(__file__).parents[1] / "driver.py"
HOSTS = {"railway": "backboard.railway.com", "vercel": "api.vercel.com"}
SMOKE = "production/smoke"
PROMOTE = "POST /v10/projects/{projectId}/promote/{deploymentId}"
BUILD, DEPLOY = "POST /v13/deployments", "serviceInstanceDeployV2"
ONCE = {("vercel", BUILD): 1, ("railway", DEPLOY): 2, ("vercel", PROMOTE): 1}
# Whose write a statement of ours on production is, by the operation of its line in the journal; the first that fits.
STATEMENTS = (
    (r"pantheon_runbook\"?\.environment", r"mark the environment"),
    (r"create table pantheon_runbook\.layout", r"make the ledger"),
    (r"^grant .* schema \"pantheon_runbook\"", r"mark the environment|make the ledger"),
    (r"into pantheon_runbook\.(units|nonces)", r"say that a unit of work is"),
    (r"'baseline'|'undone'", r"accept a baseline"),
    (r"'begun'|'applied'|alembic_version|messages", r"apply a revision"),
)
WRITER = re.compile(r"pantheon_runbook\.writer")  # who writes is said of the lock itself, which the journal has
_SESSIONS = """select count(*)::int as n from pg_stat_activity
    where application_name like 'pantheon-runbook%' and pid <> pg_backend_pid()"""


@dataclass(frozen=True)
class Approved:
    """A world in which RB-030's plan is approved, kept as "approved"; what a run without trouble makes of it."""

    production: Production
    path: Path
    plan: Mapping[str, Any]
    before: Mapping[str, Any]
    former: Mapping[str, Any]
    log: tuple[Mapping[str, Any], ...]
    statements: Counter[str]

    @classmethod
    def made_in(cls, production: Production) -> Approved:
        path = production.approved()
        production.keep_all("approved")
        before, former = production.state(), deployments(production)
        production.back_to("approved")
        assert "done" == production.promote(path)[0].word
        log, told = tuple(production.world.running.log()), statements(production)
        return cls(production, path, json.loads(path.read_bytes()), before, former, log, told)

    @property
    def named(self) -> dict[str, str]:
        """What names the plan to the run that carries it out."""
        return {"plan_file": str(self.path)}

    def anew(self) -> Production:
        """The world as it was when the plan had been approved, with the evidence and the decisions of then."""
        self.production.all_back_to("approved")
        return self.production

    @property
    def changes(self) -> dict[str, Any]:
        return {one["address"]: one for one in self.plan["changes"]}

    def wrong(self) -> list[str]:
        """What is not as the approved plan says, by the vendors' own word, the logs and the sealed journals."""
        production = self.production
        log, told = production.world.running.log(), statements(production)
        journals = [line for lines in journals_of(production) for line in lines]
        wrong = [*_of_the_vendors(self, log), *_of_the_database(self, told), *_of_the_state(self)]
        wrong += _without_a_line(log, told, journals)
        wrong += [
            f"evidence: {one.bundle} {one.file} {one.problem}" for one in verify(production.world.evidence).findings
        ]
        return wrong


def _of_the_vendors(approved: Approved, log: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Twice is what took effect twice."""
    sent = Counter((one["service"], one["operation"]) for one in log if _is_ours(one) and _has_effect(one))
    if sent != Counter(ONCE):
        yield f"sent {dict(sent)}"
    for name, ids in deployments(approved.production).items():
        if len(ids - approved.former[name]) != 1:
            yield f"{len(ids - approved.former[name])} deployments of {name} were made"


def _of_the_database(approved: Approved, told: Counter[str]) -> Iterator[str]:
    differ = {one: n - approved.statements[one] for one, n in told.items() if n != approved.statements[one]}
    differ |= {one: -n for one, n in approved.statements.items() if one not in told}
    if differ:
        yield f"statements {differ}"
    production = approved.production
    rows = production.hands.sql(production.production, "select state from pantheon_runbook.units order by id")
    if [row["state"] for row in rows] != ["begun", "done"]:
        yield f"units {rows}"
    rows = production.hands.sql(production.production, "select nonce from pantheon_runbook.nonces")
    if len(rows) != 1:
        yield f"{len(rows)} nonces"
    applied = """select revision from pantheon_runbook.migrations where state = 'applied' order by id"""
    rows = [row["revision"] for row in production.hands.sql(production.production, applied)]
    if rows != ["0009", "0010", "0011"]:
        yield f"applied {rows}"


def _of_the_state(approved: Approved) -> Iterator[str]:
    production, changes = approved.production, approved.changes
    found = production.state()
    if found["heads"] != ["0011"]:
        yield f"heads {found['heads']}"
    for name, (_, commit) in found["serving"].items():
        if commit != changes[f"production/deployment/{name}"]["after"]["commit"]:
            yield f"{name} serves {commit}"
    page = build(production, found["page"])
    if (page["target"], page["readyState"], page["commit"]) != (
        "production",
        "READY",
        changes["vercel/promotion"]["after"]["commit"],
    ) or found["page"] == approved.before["page"]:
        yield f"the page is {page}"


def _without_a_line(
    log: Iterable[Mapping[str, Any]], told: Counter[str], journals: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    intents = [line for line in journals if line["event"] == "write-intent"]
    announced = Counter((line["method"], line["path"]) for line in intents)
    sent = Counter((one["method"], one["path"].partition("?")[0]) for one in log if _is_ours(one))
    if more := sent - announced:
        yield f"without a line: {dict(more)}"
    operations = {line["operation"] for line in intents if line["vendor"] == "database"}
    for statement in told:
        owner = next((name for pattern, name in STATEMENTS if re.search(pattern, statement)), "nobody's")
        if not any(re.match(owner, one) for one in operations):
            yield f"without a line: {statement[:80]}"


def _is_ours(record: Mapping[str, Any]) -> bool:
    """A mutating call; the dashboard's SQL editor is what we look and wait with."""
    return record["mutating"] and not record["operation"].startswith("POST /v1/projects/{ref}/database/query")


def _has_effect(record: Mapping[str, Any]) -> bool:
    return record.get("fault") not in WITHOUT_EFFECT


def statements(production: Production) -> Counter[str]:
    """Ours that changed production: the proofs that the read role cannot write, and who holds the lock, left out."""
    told = (
        " ".join(one["statement"].split())
        for one in production.world.running.statements(production.production)
        if one["application_name"].startswith("pantheon-runbook") and one["refused"] is None
    )
    return Counter(one for one in told if not WRITER.search(one))


def written(production: Production) -> tuple[int, int]:
    """Mutating calls, and statements of ours on production, so far; who held the lock is none."""
    return len(production.world.mutating()), statements(production).total()


def journals_of(production: Production) -> list[list[dict[str, Any]]]:
    """Of every sealed apply run on production, the oldest first."""
    folders = sorted(production.world.evidence.glob("2*-RB-030-*"), key=lambda one: one.stat().st_mtime)
    read = [[json.loads(line) for line in (one / "journal.jsonl").read_text().splitlines()] for one in folders]
    return [lines for lines in read if lines[0].get("mode") == "apply"]


def deployments(production: Production) -> dict[str, frozenset[str]]:
    """By service, all that the vendor knows, whatever became of them."""
    railway = production.world.facts["railway"]
    query = "query D($i: DeploymentListInput!) { deployments(input: $i, first: 50) { edges { node { id } } } }"
    place = {"projectId": railway["project_id"], "environmentId": railway["environment_id"]}
    found = {}
    for name in ("api", "worker"):
        listed = production.hands.railway(query, i={**place, "serviceId": railway["services"][name]})
        found[name] = frozenset(edge["node"]["id"] for edge in listed["deployments"]["edges"])
    return found


def build(production: Production, identifier: str) -> dict[str, Any]:
    """What Vercel says of one deployment, and the commit that it is of."""
    team = production.world.facts["vercel"]["team_id"]
    found = production.hands.call("vercel", "GET", f"/v13/deployments/{identifier}?teamId={team}")
    return {**found, "commit": commit_of(found)}


# ---- calls that fail


@contextmanager
def failing(production: Production, call: Call, kind: str, *, times: int = 1) -> Iterator[None]:
    """One call, and as many of its like as are said, "refused" before they leave or by a fault of the sandbox."""
    if kind == "refused":
        with refused(call, times):
            yield
        return
    production.world.running.faults([{**rule(call, kind), "times": times}])
    yield
    production.world.running.faults([])


@contextmanager
def refused(call: Call, times: int) -> Iterator[None]:
    """No connection is made for it."""
    sent, numbers = http._SandboxTransport.handle_request, itertools.count()

    def handle(transport: Any, request: httpx.Request) -> httpx.Response:
        if _is_call(request, call) and call[2] <= next(numbers) < call[2] + times:
            raise httpx.ConnectError("refused")
        return sent(transport, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http._SandboxTransport, "handle_request", handle)
        yield


def _is_call(request: httpx.Request, call: Call) -> bool:
    service, operation, _ = call
    if request.url.host != HOSTS[service]:
        return False
    if service == "railway":
        return operation in request.read().decode()
    method, path = operation.split(" ")
    return request.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), request.url.path) is not None


def outage(production: Production, vendor: str) -> None:
    """From now on it answers nothing but errors."""
    production.world.running.faults([{"service": vendor, "operation": "*", "kind": "500-before", "times": 1_000_000}])


# ---- runs that are broken off, and the next one


@dataclass(frozen=True)
class Point:
    """Right before or after the line `event` of this address, or act, in the journal."""

    when: str
    event: str
    address: str

    def __str__(self) -> str:
        return f"{self.when} {self.event} {self.address}"


@contextmanager
def runner(production: Production, points: Iterable[Point] = (), **parameters: Any) -> Iterator[subprocess.Popen[str]]:
    """On its way, as a process of its own; killed at the latest when the block ends."""
    given = {"environment": "production", **({} if "resume" in parameters else {"baseline": "0008"}), **parameters}
    told = {"runbook": "RB-030", "points": [astuple(one) for one in points], "parameters": given}
    with subprocess.Popen(
        [sys.executable, str(DRIVER), json.dumps(told)],
        cwd=production.world.folder,
        env=production.world.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def killed(production: Production, *points: Point, **parameters: Any) -> tuple[str, Point | None]:
    """The bundle that the run will be sealed as, and where it was killed; ("", None) when it came to its end."""
    with runner(production, points, **parameters) as process:
        said, trouble = process.communicate(timeout=120)
    assert "" == trouble
    if process.returncode != -signal.SIGKILL:
        return "", None
    return left_by(production), Point(*json.loads(said))


def last_bundle(production: Production) -> str:
    """Of the last run on production that was sealed."""
    return max(production.world.evidence.glob("2*-RB-030-*"), key=lambda one: one.stat().st_mtime).name


def left_by(production: Production) -> str:
    """The name of the run that was killed just now, once the database has seen that it is gone."""
    until(lambda: production.hands.sql(production.production, _SESSIONS)[0]["n"] == 0)
    (name,) = [one.name for one in (production.world.evidence / ".running").iterdir() if one.is_dir()]
    return name
