"""RB-060 on a staging that somebody made by hand, and on one that drifts: everything is named, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
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
    hands.set_variable("api", "REDIS_URL", "redis://old.example")
    hands.set_variable("worker", "SUPABASE_URL", "https://old.example")
    hands.forget_comments()
    production = world.facts["supabase"]["session_url"]
    hands.new_vercel_variable(key="REPORTS_URL", value=production, target=["preview"])
    shutil.rmtree(world.evidence)
    return ref


WRONG = {
    "railway/variable/api/REDIS_URL": "wrong",
    "railway/variable/worker/SUPABASE_URL": "wrong",
    "vercel/variable/REPORTS_URL": "shared",
}
CHOICE = (
    *("--production-supabase", "pantheon-production", "--staging-supabase", "pantheon-staging"),
    *("--production-railway", "pantheon/production", "--staging-railway", "pantheon-staging/staging"),
)


def shown(folder: Path) -> dict[str, Any]:
    """The newest matrix that was sealed there."""
    sealed = sorted((folder / "evidence").glob("*-RB-060-*/comparison.json"))
    return dict(json.loads(sealed[-1].read_text()))


def alarms_of(matrix: dict[str, Any]) -> dict[str, str]:
    return {row["subject"]: row["relation"] for row in matrix["rows"] if row["is_alarm"]}


@pytest.mark.rare
def test_day_one_on_a_staging_made_by_hand(world, hands):
    """Two files from what the tokens see, and RB-060 by them: everything is named, nothing else; nothing is written."""
    ref = by_hand(world, hands)
    hands.call("supabase", "POST", f"/v1/projects/{ref}/pause")
    folder = world.folder / "day-one"
    folder.mkdir()
    by_its_config = {"PANTHEON_CONFIG": str(folder / "pantheon.toml")}
    mark = hands.mark()

    assert 0 == world.cli("init", "--cloud", "sandbox", *CHOICE, "--out", str(folder)).returncode
    assert 0 == world.cli("init", "--pin-production", **by_its_config).returncode
    assert 6 == world.cli("run", "RB-060", **by_its_config).returncode

    matrix = shown(folder)
    assert {"supabase/project": "wrong", **WRONG} == alarms_of(matrix)
    unread = {row["subject"] for row in matrix["rows"] if row["relation"] == "cannot be read"}
    assert {"database/marker", "supabase/bucket/uploads"} <= unread, "a paused project hides them, and that is said"
    open_ways = {one["address"] for one in matrix["exposures"] if one["state"] == "open"}
    assert {"railway/trigger/api", "railway/trigger/worker", "vercel/production-branch"} <= open_ways

    hands.call("supabase", "POST", f"/v1/projects/{ref}/restore")
    mark_restored = hands.mark()
    assert 6 == world.cli("run", "RB-060", **by_its_config).returncode
    assert {"database/marker": "missing", "supabase/bucket/uploads": "missing", **WRONG} == alarms_of(shown(folder))
    written = [*hands.sent_since(mark_restored), *hands.sent_since(mark)]
    assert ["supabase POST /v1/projects/{ref}/restore"] == written, "which was us"

    hands.remove_preview("REPORTS_URL")
    mark = hands.mark()
    applied = world.cli("run", "RB-010", "--apply", **by_its_config)
    print(f"\n{applied.stdout}\n{hands.sent_since(mark)}")
    assert 0 == applied.returncode
    assert [
        "railway variableCollectionUpsert",
        "railway variableCollectionUpsert",
        "supabase-project POST /storage/v1/bucket",
        "vercel POST /v10/projects/{idOrName}/env",
    ] == sorted(hands.sent_since(mark))
    assert 0 == world.cli("run", "RB-060", **by_its_config).returncode


class Elsewhere:
    """What people do in the dashboards of a staging that stands, and now and then of production."""

    def __init__(self, world: Any, hands: Hands) -> None:
        self.hands = hands
        self.ref = str(world.staging_ref())
        self.place = {name: value for name, value in hands.service("api").items() if name != "serviceId"}
        self.vercel = f"/v9/projects/{world.facts['vercel']['project_id']}"
        self.team = f"teamId={world.facts['vercel']['team_id']}"

    def supabase(self, method: str, path: str, body: Any = None) -> Any:
        return self.hands.call("supabase", method, f"/v1/projects/{self.ref}{path}", body)

    def instance(self, service: str, **settings: Any) -> None:
        document = (
            "mutation M($e: String!, $s: String!, $i: ServiceInstanceUpdateInput!)"
            " { serviceInstanceUpdate(environmentId: $e, serviceId: $s, input: $i) }"
        )
        where = self.hands.service(service)
        self.hands.railway(document, e=where["environmentId"], s=where["serviceId"], i=settings)

    def railway(self, field: str, kind: str, answer: str = "", **given: Any) -> None:
        self.hands.railway(f"mutation M($i: {kind}!) {{ {field}(input: $i) {answer} }}", i={**self.place, **given})

    def preview(self, key: str, **changed: Any) -> None:
        (entry,) = [one for one in self.hands.preview() if one["key"] == key]
        self.hands.call("vercel", "PATCH", f"{self.vercel}/env/{entry['id']}?{self.team}", changed)

    def custom_environment(self, slug: str) -> None:
        self.hands.call("vercel", "POST", f"{self.vercel}/custom-environments?{self.team}", {"slug": slug})

    def share(self, key: str) -> None:
        """A variable of the team, linked to the previews of this project."""
        body = {
            "evs": [{"key": key, "value": "of the team"}],
            "type": "encrypted",
            "target": ["preview"],
            "projectId": [self.vercel.rpartition("/")[2]],
        }
        self.hands.call("vercel", "POST", f"/v1/env?{self.team}", body)

    def domain(self, name: str, **given: Any) -> None:
        self.hands.call(
            "vercel", "POST", f"{self.vercel}/domains?{self.team}".replace("v9", "v10"), {"name": name, **given}
        )

    def project(self, **changed: Any) -> None:
        self.hands.call("vercel", "PATCH", f"{self.vercel}?{self.team}", changed)


OLD, REDIRECT = "old.pantheon.example", "preview.pantheon.example"
SSL, NETWORK = {"requestedConfig": {"database": True}}, {"dbAllowedCidrs": ["192.0.2.0/24"]}
BY_HAND: tuple[tuple[str, Any, str], ...] = (
    ("supabase", lambda e: e.hands.storage(e.ref, "PUT", "/bucket/avatars", {"public": False}), "bucket/avatars"),
    ("supabase", lambda e: e.hands.storage(e.ref, "POST", "/bucket", {"name": "by-hand"}), "bucket/by-hand"),
    ("supabase", lambda e: e.hands.storage(e.ref, "DELETE", "/bucket/uploads"), "bucket/uploads"),
    ("supabase", lambda e: e.supabase("PATCH", "/config/auth", {"jwt_exp": 60}), "auth"),
    ("supabase", lambda e: e.supabase("POST", "/secrets", [{"name": "NEW", "value": "by hand"}]), "secret/NEW"),
    (
        "supabase",
        lambda e: e.supabase("POST", "/secrets", [{"name": "SENTRY_DSN", "value": "by hand"}]),
        "secret/SENTRY_DSN",
    ),
    ("supabase", lambda e: e.supabase("DELETE", "/secrets", ["SESSION_SIGNING_KEY"]), "secret/SESSION_SIGNING_KEY"),
    ("supabase", lambda e: e.supabase("POST", "/network-restrictions/apply", NETWORK), "network"),
    ("supabase", lambda e: e.supabase("PUT", "/ssl-enforcement", SSL), "ssl"),
    ("supabase", lambda e: e.supabase("PATCH", "/config/database/pooler", {"default_pool_size": 7}), "pooler"),
    ("supabase", lambda e: e.supabase("PATCH", "/config/storage", {"fileSizeLimit": 99999999}), "storage-settings"),
    (
        "supabase",
        lambda e: e.supabase("POST", "/api-keys?reveal=true", {"type": "publishable", "name": "by_hand"}),
        "api-key/publishable/by_hand",
    ),
    ("railway", lambda e: e.hands.set_variable("api", "LOG_LEVEL", "error"), "variable/api/LOG_LEVEL"),
    ("railway", lambda e: e.hands.set_variable("worker", "NEW", "by hand"), "variable/worker/NEW"),
    ("railway", lambda e: e.instance("api", startCommand="python -m other"), "service/api"),
    ("railway", lambda e: e.instance("worker", numReplicas=3), "service/worker"),
    ("railway", lambda e: e.railway("serviceCreate", "ServiceCreateInput", "{ id }", name="extra"), "service/extra"),
    (
        "railway",
        lambda e: e.railway("volumeCreate", "VolumeCreateInput", "{ id }", mountPath="/data", **_service(e, "worker")),
        "volume/worker",
    ),
    ("railway", lambda e: e.railway(*TRIGGER, **_service(e, "api"), **PUSHES), "trigger/api/develop"),
    ("railway", lambda e: e.hands.railway(PROJECT, id=e.place["projectId"], i={"prDeploys": True}), "project"),
    (
        "railway",
        lambda e: e.hands.railway(DOMAIN, i={**_service(e, "worker"), "environmentId": e.place["environmentId"]}),
        "domain/worker",
    ),
    ("vercel", lambda e: e.preview("NEXT_PUBLIC_API_URL", value="https://x.example"), "variable/NEXT_PUBLIC_API_URL"),
    (
        "vercel",
        lambda e: e.preview("NEXT_PUBLIC_SUPABASE_ANON_KEY", value="another, long enough"),
        "variable/NEXT_PUBLIC_SUPABASE_ANON_KEY",
    ),
    ("vercel", lambda e: e.hands.new_vercel_variable(key="NEW", value="v", target=["preview"]), "variable/NEW"),
    (
        "vercel",
        lambda e: e.hands.new_vercel_variable(key="NEW", value="v", target=["preview"], gitBranch="feature/x"),
        "variable/NEW@feature/x",
    ),
    ("railway", lambda e: e.instance("Redis", region="us-west2"), "service/Redis"),
    (
        "railway",
        lambda e: e.railway(*UPSERT, variables={"SHARED": "by hand"}, skipDeploys=True),
        "variable/shared/SHARED",
    ),
    ("railway", lambda e: e.railway("projectTokenCreate", "ProjectTokenCreateInput", name="ci"), "project-token/ci"),
    ("vercel", lambda e: e.custom_environment("qa"), "custom-environment/qa"),
    ("vercel", lambda e: e.share("TEAM_WIDE"), "team-variable/TEAM_WIDE"),
    (
        "vercel",
        lambda e: e.hands.new_vercel_variable(key="SEALED", value="long enough", target=["preview"], type="sensitive"),
        "variable/SEALED",
    ),
    (
        "vercel",
        lambda e: e.hands.new_vercel_variable(key="BOTH", value="v", target=["preview", "development"]),
        "variable/BOTH",
    ),
    ("vercel", lambda e: e.domain("old.pantheon.example", redirect=REDIRECT, gitBranch="staging"), f"domain/{OLD}"),
    ("vercel", lambda e: e.preview("NEXT_PUBLIC_SUPABASE_URL", comment="ask me"), "variable/NEXT_PUBLIC_SUPABASE_URL"),
    ("vercel", lambda e: e.project(buildCommand="make", nodeVersion="20.x"), "project"),
    ("vercel", lambda e: e.domain("preview.pantheon.example", gitBranch="staging"), "domain/preview.pantheon.example"),
)
TRIGGER = ("deploymentTriggerCreate", "DeploymentTriggerCreateInput", "{ id }")
PUSHES = {"branch": "develop", "repository": "pantheon/pantheon", "provider": "github"}
PROJECT = "mutation M($id: String!, $i: ProjectUpdateInput!) { projectUpdate(id: $id, input: $i) { id } }"
DOMAIN = "mutation M($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { domain } }"


UPSERT = ("variableCollectionUpsert", "VariableCollectionUpsertInput")


def _service(elsewhere: Elsewhere, name: str) -> dict[str, str]:
    return {"serviceId": elsewhere.hands.service(name)["serviceId"]}


def test_everything_done_by_hand_is_named_and_nothing_else(world, hands):
    world.provision()
    clean, word = checked(world)
    assert ({}, "done") == (alarms(clean), word)
    elsewhere = Elsewhere(world, hands)

    for _, change, _ in BY_HAND:
        change(elsewhere)
    compared, word = checked(world)

    expected = {f"{vendor}/{what}" for vendor, _, what in BY_HAND}
    found = {row.subject: row for row in compared.alarms}
    print(f"\n{len(BY_HAND)} things done by hand, held against {compared.baseline}")
    print("\n".join(f"  {row.subject:<48} {row.relation:<24} {row.found[:60]}" for row in compared.alarms))
    assert expected == set(found)
    assert "not-verified" == word


@pytest.mark.rare
def test_apply_says_what_drift_it_takes(world, hands):
    """Of staging and of production: after it, this is the ground, and nobody else would say so."""
    world.provision()
    elsewhere = Elsewhere(world, hands)
    elsewhere.instance("worker", numReplicas=3)
    elsewhere.supabase("POST", "/secrets", [{"name": "NEW", "value": "by hand"}])

    verdict = world.provision()

    matrix = json.loads(max(world.evidence.glob("*-RB-010-*/comparison.json")).read_text())
    assert {"railway/service/worker", "supabase/secret/NEW"} == {row["subject"] for row in matrix["accepted"]}
    assert "everything is as desired; 2 things drifted and are accepted" == verdict.why
    assert ({}, "done") == (alarms((seen := checked(world))[0]), seen[1])


@pytest.mark.rare
def test_way_opened_while_nothing_was_ever_good_is_an_alarm(world, hands):
    """In every run from then on: one that ended badly has not accepted it."""
    world.provision()
    hands.set_variable("api", "REDIS_URL", "redis://old.example")
    first, _ = checked(world)
    assert {"railway/variable/api/REDIS_URL"} == set(alarms(first))

    Elsewhere(world, hands).project(ssoProtection=None)
    found = [alarms(checked(world)[0]).get("exposure/vercel/previews") for _ in range(2)]

    assert ["drifted", "drifted"] == found


@pytest.mark.rare
def test_unchanged_staging_raises_no_alarm(world, hands):
    """50 checks with the sweep, in less than the hour that Railway counts requests by."""
    world.provision()
    hands.edit(lambda whole: whole["railway"]["limits"].update(requests_per_hour=1_000_000))
    number = 50 if os.environ.get("PANTHEON_SWEEP") == "full" else 4

    came_to = Counter((len(compared.alarms), word) for compared, word in (checked(world) for _ in range(number)))

    print(f"\n{number} clean checks: {dict(came_to)}")
    assert {(0, "done"): number} == came_to


@pytest.mark.rare
def test_production_is_found_wherever_it_stands_in_staging(world, hands):
    """In another service, in what all share, inside another text, as a host: under whatever name."""
    world.provision()
    supabase, elsewhere = world.facts["supabase"], Elsewhere(world, hands)
    hands.set_variable("Redis", "BACKUP", supabase["session_url"])
    hands.set_variable("api", "SETTINGS", json.dumps({"key": supabase["service_role_key"]}))
    hands.set_variable("worker", "API", f"https://{world.facts['railway']['api_domain']}/v1")
    elsewhere.railway(*UPSERT, variables={"COMMON": supabase["ref"].upper()}, skipDeploys=True)
    hands.new_vercel_variable(key="SEALED", value=supabase["session_url"], target=["preview"], type="encrypted")
    hands.new_vercel_variable(key="UNKNOWN", value=supabase["session_url"], target=["preview"], type="sensitive")
    elsewhere.supabase("PATCH", "/config/auth", {"uri_allow_list": "https://app.pantheon.example/other/**"})
    copied_from_production(world, hands)
    shutil.rmtree(world.evidence)

    compared, _ = checked(world)

    expected = {
        f"railway/variable/{place}" for place in ("Redis/BACKUP", "api/SETTINGS", "worker/API", "shared/COMMON")
    }
    expected |= {"railway/environment"}
    assert dict.fromkeys(expected, "shared") == {
        subject: relation for subject, relation in alarms(compared).items() if subject.startswith("railway/")
    }
    assert "supabase/auth" in alarms(compared)
    assert "shared" == alarms(compared)["vercel/variable/SEALED"]
    unknown = next(row for row in compared.rows if row.subject == "vercel/variable/UNKNOWN")
    assert ("cannot be read", False) == (unknown.relation, unknown.is_alarm)


def copied_from_production(world: Any, hands: Hands) -> None:
    """As somebody duplicates an environment in Railway's dashboard."""
    copy, source = hands.service("api")["environmentId"], world.facts["railway"]["environment_id"]
    hands.edit(lambda whole: whole["railway"]["environments"][copy].update(sourceEnvironmentId=source))
