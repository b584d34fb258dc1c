"""RB-030 that fails at each of its steps, and RB-040 after it: production is what it was, and by both logs how."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from promoting_world import Production, production_in
from promotions import BUILD, DEPLOY, PROMOTE, SMOKE, Approved, Point, killed, statements
from tables import chosen

from pantheon_runbook.database.schema import look_at_schema
from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.servers.binaries import postgres_binaries

pytestmark = [pytest.mark.xdist_group("rolled back promotions"), pytest.mark.rare]
GOES_DOWN = {
    "0009": r"DROP (TRIGGER|FUNCTION) messages_keep_author|ALTER TABLE messages DROP COLUMN author",
    "0010": r"DROP INDEX CONCURRENTLY IF EXISTS messages_session_id_id",
    "0011": r"ALTER TABLE messages|UPDATE messages SET role = author|CREATE (FUNCTION|TRIGGER) messages_keep_author",
}
OWN = r"pantheon_runbook\.|alembic_version"
BACK = {"page": "vercel POST /v1/projects/{projectId}/rollback/{deploymentId}", "backend": "railway deploymentRollback"}
_SERVING = """query D($i: DeploymentListInput!) { deployments(input: $i, first: 1) { edges { node { id meta } } } }"""
_SET = "mutation M($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }"


# ---- what production is


@dataclass(frozen=True)
class Standing:
    """`parts` by name; `ids` are those of the deployments that serve, which a rollback at Railway makes anew."""

    parts: Mapping[str, Any]
    ids: Mapping[str, str]

    @classmethod
    def of(cls, production: Production) -> Standing:
        with production.superuser(production.production) as session:
            parts = {
                "fingerprint": look_at_schema(session).fingerprint,
                "heads": [row[0] for row in session.execute("select version_num from public.alembic_version")],
                **{f"rows of {one}": rows_of(session, one) for one in ("sessions", "messages", "jobs")},
            }
            parts["dump"] = dump_of(session)
        serving = {name: deployment(production, name) for name in ("api", "worker")}
        parts |= {f"{name} serves": (one["commit"], one["image"]) for name, one in serving.items()}
        facts = production.world.facts
        parts |= {
            "the page's build": production.page(),
            "/health": ask(production, facts["railway"]["api_domain"], "/health"),
            "the page": ask(production, facts["vercel"]["domain"], "/"),
        }
        return cls(parts, {name: one["id"] for name, one in serving.items()})

    def differences(self, before: Standing, *, redeployed: frozenset[str]) -> list[str]:
        found = [
            f"{name} is {str(self.parts[name])[:80]}, was {str(was)[:80]}"
            for name, was in before.parts.items()
            if self.parts[name] != was
        ]
        for name, was in before.ids.items():
            if name not in redeployed and self.ids[name] != was:
                found.append(f"deployment {self.ids[name]} of {name}, was {was}")
        return found


def rows_of(session: psycopg.Connection[Any], table: str) -> list[str]:
    """Each by the names of its columns, whose order may be another one by now."""
    listed = session.execute(f"select to_jsonb(t)::text from public.{table} as t order by 1")
    return [json.dumps(json.loads(row[0]), sort_keys=True) for row in listed]


def dump_of(session: psycopg.Connection[Any]) -> list[str]:
    """By pg_dump, without what is ours; sorted, since a column that came back stands last."""
    command = [str(postgres_binaries().path("pg_dump")), "--schema-only", "--exclude-schema=pantheon_runbook"]
    told = subprocess.run([*command, f"--dbname={session.info.dsn}"], check=True, capture_output=True, text=True)
    return sorted(line.rstrip(",") for line in told.stdout.splitlines() if not re.match(r"--|\\", line))


def deployment(production: Production, name: str) -> dict[str, str]:
    railway = production.world.facts["railway"]
    place = {"projectId": railway["project_id"], "environmentId": railway["environment_id"]}
    asked = {**place, "serviceId": railway["services"][name], "status": {"in": ["SUCCESS", "SLEEPING"]}}
    (edge,) = production.hands.railway(_SERVING, i=asked)["deployments"]["edges"]
    meta = edge["node"]["meta"]
    return {"id": edge["node"]["id"], "commit": meta["commitHash"], "image": meta["imageDigest"]}


def ask(production: Production, host: str, path: str) -> str:
    return str(production.hands._http.get(f"http://{host}{path}").text)


# ---- how a step fails for good


@dataclass
class Obstacle:
    """Put in the way when the step begins; `gone` takes it away, for a way back that is not to be kept from."""

    production: Production
    held: ExitStack = field(default_factory=ExitStack)

    def gone(self) -> None:
        self.held.close()
        self.production.world.running.faults([])

    def refused_by_vendor(self, service: str, operation: str) -> None:
        rule = {"service": service, "operation": operation, "kind": "500-before", "times": 1000}
        self.production.world.running.faults([rule])

    def without_the_right(self, right: str) -> None:
        session = self.held.enter_context(self.production.superuser(self.production.production))
        self.held.callback(session.execute, f"grant {right} to postgres")
        session.execute(f"revoke {right} from postgres")

    def locked(self, statement: str = "lock table public.messages in access exclusive mode") -> None:
        session = self.held.enter_context(self.production.superuser(self.production.production))
        self.held.enter_context(session.transaction())
        session.execute(statement)

    def crashing(self, service: str) -> None:
        railway = self.production.world.facts["railway"]
        place = {"projectId": railway["project_id"], "environmentId": railway["environment_id"]}
        given = {**place, "serviceId": railway["services"][service], "skipDeploys": True}
        self.production.hands.railway(_SET, i={**given, "variables": {"LOG_LEVEL": "no such level"}})


Fail = Callable[[Obstacle], None]
FAILS: Mapping[str, Fail] = {
    "database/marker": lambda it: it.without_the_right("create on database postgres"),
    "database/ledger": lambda it: it.without_the_right("create on schema pantheon_runbook"),
    "database/ledger/baseline": lambda it: it.without_the_right("insert on pantheon_runbook.migrations"),
    "database/unit/begin": lambda it: it.without_the_right("insert on pantheon_runbook.nonces"),
    "database/revision/0009": lambda it: it.locked(),
    "database/revision/0010": lambda it: it.locked(),
    "production/deployment/api": lambda it: it.crashing("api"),
    "production/deployment/worker": lambda it: it.refused_by_vendor("railway", DEPLOY),
    "vercel/deployment/production": lambda it: it.refused_by_vendor("vercel", BUILD),
    "vercel/promotion": lambda it: it.refused_by_vendor("vercel", PROMOTE),
    SMOKE: lambda it: it.locked("lock table public.alembic_version in access exclusive mode"),
    "database/revision/0011": lambda it: it.locked(),
    "database/unit/end": lambda it: it.without_the_right("insert on pantheon_runbook.units"),
}


@pytest.fixture(scope="module")
def _approved(new_world: Callable[[], Any]) -> Iterator[tuple[Approved, Standing]]:
    with production_in(new_world) as production:
        approved = Approved.made_in(production)
        yield approved, Standing.of(approved.anew())


@pytest.fixture
def approved(_approved: tuple[Approved, Standing], monkeypatch: pytest.MonkeyPatch) -> Approved:
    _approved[0].production.world.enter(monkeypatch)
    return _approved[0]


@pytest.fixture
def before(_approved: tuple[Approved, Standing]) -> Standing:
    return _approved[1]


def failed_at(approved: Approved, address: str) -> tuple[Obstacle, frozenset[str], list[str]]:
    """A promotion that has failed there: what was in its way, what is done, and what is wrong with that."""
    production = approved.anew()
    it = Obstacle(production)
    verdict, stopped, session = production.promote(
        approved.path, when=("change-begins", address), then=lambda: FAILS[address](it)
    )
    outcomes = {one.address: one.outcome for one in session.results}
    done = frozenset(name for name, outcome in outcomes.items() if outcome == "done")
    needed = [one for one in approved.changes[address]["depends_on"] if one not in done]
    wrong = [f"{one} was not done before it" for one in needed]
    if stopped is None or address in done or outcomes.get(address) not in {"not-done", "not-ready"}:
        wrong.append(f"it did not fail there: {verdict.word}, {outcomes.get(address)}, {stopped}")
    return it, done, wrong


def taken_back(approved: Approved, before: Standing, done: frozenset[str]) -> tuple[str, list[str]]:
    """The verdict of RB-040, and what is wrong after it."""
    production, wrong = approved.production, list[str]()
    mark, told = production.hands.mark(), statements(production)
    verdict, stopped, _ = production.roll_back()
    sent = [one for one in production.hands.sent_since(mark) if "/database/query" not in one]
    ours = statements(production) - told
    redeployed = {name for name in ("api", "worker") if f"production/deployment/{name}" in done}
    expected = [BACK["page"]] * ("vercel/promotion" in done) + [BACK["backend"]] * len(redeployed)
    if sorted(sent) != sorted(expected):
        wrong.append(f"sent {sent}")
    down = [pattern for name, pattern in GOES_DOWN.items() if f"database/revision/{name}" in done]
    wrong += [f"stated {one[:90]}" for one in ours if not re.search("|".join([OWN, *down]), one)]
    word = "done" if "database/unit/begin" in done else "nothing-to-do"
    if stopped is not None or verdict.word != word:
        wrong.append(f"{verdict.word}, {stopped and stopped.as_json()}")
    wrong += Standing.of(production).differences(before, redeployed=frozenset(redeployed))
    if word == "done" and production.ledger()[-1] != ("unit", "rolled back"):
        wrong.append(f"the ledger says {production.ledger()[-1]}")
    again = production.roll_back()[0].word
    wrong += [] if again == "nothing-to-do" else [f"once more: {again}"]
    wrong += [f"evidence: {one.bundle} {one.problem}" for one in verify(production.world.evidence).findings]
    return verdict.word, wrong


def row(step: int | str, address: str, word: str, wrong: list[str]) -> str:
    told = f"  {step!s:>2}  {address:30} {word:14} {'WRONG: ' if wrong else 'as before'}{'; '.join(wrong)}"
    print(told, flush=True)
    return told


@pytest.mark.sweep
def test_promotion_that_fails_anywhere_is_taken_back(approved: Approved, before: Standing) -> None:
    assert set(FAILS) == set(approved.changes)
    rows = []
    for number, address in chosen(list(enumerate(approved.changes, 1)), "rolled back promotions", size=1):
        it, done, wrong = failed_at(approved, address)
        it.gone()
        word, more = taken_back(approved, before, done)
        rows.append(row(number, address, word, [*wrong, *more]))
    assert [] == [one for one in rows if "WRONG" in one]


@pytest.mark.rare
def test_index_that_a_failed_revision_left_is_named(approved: Approved, before: Standing) -> None:
    """Somebody's open transaction keeps CREATE INDEX CONCURRENTLY waiting: what it leaves is dropped by hand."""
    production, address = approved.anew(), "database/revision/0010"
    it = Obstacle(production)
    begun = "update public.messages set role = role where false"
    _, stopped, session = production.promote(
        approved.path, when=("change-begins", address), then=lambda: it.locked(begun)
    )
    it.gone()
    assert stopped is not None
    done = frozenset(one.address for one in session.results if one.outcome == "done")

    verdict, failed, session = production.roll_back()
    (told,) = [one for one in session.plan.findings if one.code == "invalid-index"]
    with production.superuser(production.production) as connection:
        connection.execute(told.next_step.partition("transaction: ")[2].partition(";")[0])
    again = production.roll_back()[0]

    assert ("not-verified", False) == (verdict.word, told.blocks)
    assert failed is not None
    assert "the schema is as it was before the unit" in failed.what
    assert "nothing-to-do" == again.word
    assert [] == Standing.of(production).differences(before, redeployed=done & {"api"})


@pytest.mark.rare
def test_killed_promotion_is_taken_back(approved: Approved, before: Standing) -> None:
    """It is sealed as abandoned when the way back is opened, with the approval that let it through."""
    production = approved.anew()
    _, at = killed(production, Point("after", "change-ends", "vercel/promotion"), **approved.named)
    done = frozenset(list(approved.changes)[: list(approved.changes).index("vercel/promotion") + 1])

    word, wrong = taken_back(approved, before, done)

    assert at is not None
    assert ("done", []) == (word, wrong)
