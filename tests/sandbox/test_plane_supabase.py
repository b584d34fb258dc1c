from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from plane_cloud import FAST, Cloud

from pantheon_runbook.sandbox import planes
from pantheon_runbook.sandbox.world import World


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


def create(cloud: Cloud, name: str = "staging") -> dict[str, str]:
    slug = cloud.facts["supabase"]["organization_slug"]
    body = {"name": name, "organization_slug": slug, "db_pass": "a long password"}
    return cloud.supabase("POST", "/v1/projects", body).json()


def status(cloud: Cloud, ref: str) -> str:
    return str(cloud.supabase("GET", f"/v1/projects/{ref}").json()["status"])


def test_project_comes_up_before_its_services_and_keys() -> None:
    cloud = Cloud(pace=replace(FAST, project_coming_up_seconds=0.1, services_coming_up_seconds=0.2))
    ref = create(cloud)["ref"]
    health = f"/v1/projects/{ref}/health?services=auth&services=storage"
    seen = [status(cloud, ref)]
    cloud.until(lambda: status(cloud, ref) == "ACTIVE_HEALTHY")
    services = [one["status"] for one in cloud.supabase("GET", health).json()]
    keys = cloud.supabase("GET", f"/v1/projects/{ref}/api-keys?reveal=true").json()
    cloud.until(lambda: cloud.supabase("GET", health).json()[0]["healthy"])
    later = cloud.supabase("GET", f"/v1/projects/{ref}/api-keys?reveal=true").json()

    assert ["COMING_UP"] == seen
    assert (["COMING_UP", "COMING_UP"], []) == (services, keys)
    assert ["anon", "service_role", "default", "default"] == [key["name"] for key in later]
    assert [("create_cluster", ref, "a long password")] == cloud.platform.calls
    cloud.close()


def test_created_project_names_no_database_host(cloud: Cloud) -> None:
    created = create(cloud)
    shown = cloud.supabase("GET", f"/v1/projects/{created['ref']}").json()
    assert ("COMING_UP", None) == (created["status"], created.get("database"))
    assert f"db.{created['ref']}.supabase.co" == shown["database"]["host"]


def test_password_is_forgotten_once_the_database_is_there(cloud: Cloud) -> None:
    cloud.project()
    assert "a long password" not in cloud.world.dumps()


def test_second_create_makes_a_second_project(cloud: Cloud) -> None:
    refs = {create(cloud)["ref"], create(cloud)["ref"]}
    assert 2 == len(refs)


def test_free_plan_refuses_a_third_active_project(cloud: Cloud) -> None:
    slug = cloud.facts["supabase"]["organization_slug"]
    cloud.world.document["supabase"]["organizations"][slug]["plan"] = "free"
    cloud.project()
    refused = create(cloud, "third")
    assert "maximum limits for the number of active free projects" in refused["message"]


def test_broken_cluster_ends_as_init_failed(cloud: Cloud) -> None:
    async def fail(_ref: str, _password: str) -> None:
        raise OSError("no space left")

    cloud.platform.create_cluster = fail  # type: ignore[method-assign]
    cloud.loop.set_exception_handler(lambda *_: None)
    ref = create(cloud)["ref"]
    cloud.until(lambda: status(cloud, ref) == "INIT_FAILED")


def test_paused_project_is_inactive_until_restored(cloud: Cloud) -> None:
    ref = cloud.project()
    cloud.supabase("POST", f"/v1/projects/{ref}/pause")
    cloud.until(lambda: status(cloud, ref) == "INACTIVE")
    while_paused = cloud.supabase("POST", f"/v1/projects/{ref}/database/query", {"query": "select 1"})
    cloud.supabase("POST", f"/v1/projects/{ref}/restore")
    cloud.until(lambda: status(cloud, ref) == "ACTIVE_HEALTHY")

    assert 400 == while_paused.status_code
    assert ["create_cluster", "pause_cluster", "resume_cluster"] == cloud.platform.names()


def test_left_half_way_project_goes_on_after_resume() -> None:
    """The daemon was killed while a project came up: its memory says so, and another process goes on."""
    first = Cloud(pace=replace(FAST, project_coming_up_seconds=60))
    ref = create(first)["ref"]
    second = Cloud()
    second.world = World(json.loads(first.world.dumps()), FAST)
    second.applications = planes.applications(second.world, second.platform)
    waiting = status(second, ref)
    second.loop.call_soon(planes.resume, second.applications)
    second.until(lambda: status(second, ref) == "ACTIVE_HEALTHY")

    assert "COMING_UP" == waiting
    first.close()
    second.close()


def test_rate_limit_says_when_to_come_back(cloud: Cloud) -> None:
    cloud.world.document["supabase"]["limits"]["requests_per_minute"] = 2
    answers = [cloud.supabase("GET", "/v1/organizations") for _ in range(3)]
    assert [200, 200, 429] == [answer.status_code for answer in answers]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert {"message"} == set(answers[2].json())


def test_auth_secrets_come_back_hashed(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/config/auth"
    answer = cloud.supabase("PATCH", path, {"smtp_pass": "hunter2"}).json()
    again = cloud.supabase("PATCH", path, {"smtp_pass": answer["smtp_pass"]}).json()
    assert hashlib.sha256(b"hunter2").hexdigest() == answer["smtp_pass"]
    assert answer["smtp_pass"] != again["smtp_pass"]  # sending back what was read breaks it


def test_redirect_list_is_one_string_that_is_replaced_whole(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/config/auth"
    for listed in ("https://a.example/**,https://b.example/**", "https://c.example/**"):
        cloud.supabase("PATCH", path, {"uri_allow_list": listed})
    assert "https://c.example/**" == cloud.supabase("GET", path).json()["uri_allow_list"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"site_url": "https://a.example,https://b.example"},
        {"jwt_exp": -1},
        {"jwt_exp": "3600"},
        {"disable_signup": 1},
        {"mailer_otp_exp": None},
        {"sms_provider": "pigeon"},
        [],
    ],
)
def test_auth_refuses_wrong_values(cloud: Cloud, wrong: object) -> None:
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/config/auth"
    before = cloud.world.dumps()
    assert 400 == cloud.supabase("PATCH", path, wrong).status_code
    assert before == cloud.world.dumps()


def test_legacy_keys_are_signed_tokens_of_the_project(cloud: Cloud) -> None:
    ref = cloud.project()
    keys = {
        key["name"]: key["api_key"] for key in cloud.supabase("GET", f"/v1/projects/{ref}/api-keys?reveal=true").json()
    }
    head, claims, signature = keys["service_role"].split(".")
    secret = cloud.world.document["supabase"]["projects"][ref]["keys"]["jwt_secret"]
    signed = hmac.new(secret.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert signed == base64.urlsafe_b64decode(signature + "=")
    assert (ref, "service_role") == tuple(
        json.loads(base64.urlsafe_b64decode(claims + "=="))[key] for key in ("ref", "role")
    )


def test_secret_keys_are_hidden_unless_revealed(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/api-keys"
    hidden = cloud.supabase("GET", path).text
    shown = cloud.supabase("GET", f"{path}?reveal=true").text
    for name in ("service_role_key", "secret_key"):
        assert cloud.facts["supabase"][name] not in hidden
        assert cloud.facts["supabase"][name] in shown


def test_edge_secrets_are_shown_as_digests(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/secrets"
    cloud.supabase("POST", path, [{"name": "SENTRY_DSN", "value": "https://dsn"}])
    found = {secret["name"]: secret["value"] for secret in cloud.supabase("GET", path).json()}
    assert hashlib.sha256(b"https://dsn").hexdigest() == found["SENTRY_DSN"]
    assert 400 == cloud.supabase("POST", path, [{"name": "SUPABASE_URL", "value": "x"}]).status_code


def test_edge_secrets_are_set_beside_the_others(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/secrets"
    before = {secret["name"] for secret in cloud.supabase("GET", path).json()}
    answer = cloud.supabase("POST", path, [{"name": "NEW", "value": "x"}])
    assert (201, b"") == (answer.status_code, answer.content)
    assert before | {"NEW"} == {secret["name"] for secret in cloud.supabase("GET", path).json()}


def test_management_view_of_buckets_has_no_limits(cloud: Cloud) -> None:
    """Production's settings cannot be read through it, and nothing can be written."""
    path = f"/v1/projects/{cloud.facts['supabase']['ref']}/storage/buckets"
    cloud.storage("POST", "/storage/v1/bucket", {"name": "avatars", "file_size_limit": 1024})
    (bucket,) = cloud.supabase("GET", path).json()
    assert {"id", "name", "owner", "public", "created_at", "updated_at"} == set(bucket)
    assert 405 == cloud.supabase("POST", path, {"name": "b"}).status_code


def test_projects_of_an_organization_come_page_by_page(cloud: Cloud) -> None:
    slug = cloud.facts["supabase"]["organization_slug"]
    for name in ("b", "a"):
        create(cloud, name)
    pages = [cloud.supabase("GET", f"/v1/organizations/{slug}/projects?limit=2&offset={n}").json() for n in (0, 2)]
    assert [["a", "b"], ["pantheon-production"]] == [[one["name"] for one in page["projects"]] for page in pages]
    assert {"count": 3, "limit": 2, "offset": 2} == pages[1]["pagination"]
    assert 400 == cloud.supabase("GET", f"/v1/organizations/{slug}/projects?limit=101").status_code


def test_pooler_host_cannot_be_derived(cloud: Cloud) -> None:
    """Projects of one region are on different clusters of the pooler."""
    refs = [create(cloud, f"p{number}")["ref"] for number in range(8)]
    pools = [cloud.supabase("GET", f"/v1/projects/{ref}/config/database/pooler").json()[0] for ref in refs]
    assert {"aws-0-us-east-1.pooler.supabase.com", "aws-1-us-east-1.pooler.supabase.com"} == {
        p["db_host"] for p in pools
    }
    assert all("[YOUR-PASSWORD]" in pool["connection_string"] for pool in pools)


def test_sql_runs_as_the_customer(cloud: Cloud) -> None:
    ref = cloud.facts["supabase"]["ref"]
    cloud.supabase("POST", f"/v1/projects/{ref}/database/query", {"query": "select $1", "parameters": [1]})
    cloud.supabase("POST", f"/v1/projects/{ref}/database/query/read-only", {"query": "select 2"})
    refused = cloud.supabase("POST", f"/v1/projects/{ref}/database/query", {"query": "broken"})
    assert [("select $1", (1,), False, "postgres"), ("select 2", (), True, "postgres")] == [
        call[2:] for call in cloud.platform.calls[:2]
    ]
    assert (400, True) == (refused.status_code, "syntax error" in refused.json()["message"])


def test_storage_errors_hide_the_true_code_inside(cloud: Cloud) -> None:
    cloud.storage("POST", "/storage/v1/bucket", {"name": "avatars"})
    cases = (
        ("POST", "/storage/v1/bucket", {"name": "avatars"}, "409", "BucketAlreadyExists"),
        ("GET", "/storage/v1/bucket/none", None, "404", "NoSuchBucket"),
        ("POST", "/storage/v1/bucket", {"name": "big", "file_size_limit": "999GB"}, "413", "EntityTooLarge"),
        ("POST", "/storage/v1/bucket", {"name": "a/b"}, "400", "InvalidBucketName"),
        ("POST", "/storage/v1/bucket", {"name": "m", "allowed_mime_types": ["png"]}, "415", "InvalidMimeType"),
        ("PUT", "/storage/v1/bucket/avatars", {}, "400", "InvalidRequest"),
    )
    for method, path, body, code, name in cases:
        answer = cloud.storage(method, path, body)
        assert (400, code, name) == (answer.status_code, answer.json()["statusCode"], answer.json()["code"])


def test_bucket_update_keeps_what_is_left_out(cloud: Cloud) -> None:
    cloud.storage(
        "POST", "/storage/v1/bucket", {"name": "a", "file_size_limit": "1.5MB", "allowed_mime_types": ["image/*"]}
    )
    cloud.storage("PUT", "/storage/v1/bucket/a", {"public": True, "allowed_mime_types": None})
    bucket = cloud.storage("GET", "/storage/v1/bucket/a").json()
    assert (True, 1572864, None) == (bucket["public"], bucket["file_size_limit"], bucket["allowed_mime_types"])


@pytest.mark.parametrize(
    ("agent", "has_type"),
    [
        ("storage3/0.12.0", False),
        ("supabase-py/storage3 v0.12.0", False),
        ("supabase-py/2.34.1", True),
        ("curl/8", True),
    ],
)
def test_bucket_type_is_left_out_for_old_clients(cloud: Cloud, agent: str, has_type: bool) -> None:  # noqa: FBT001  a case
    cloud.storage("POST", "/storage/v1/bucket", {"name": "a"})
    bucket = cloud.storage("GET", "/storage/v1/bucket/a", headers={"user-agent": agent}).json()
    assert has_type == ("type" in bucket)


def test_project_host_takes_only_its_own_keys(cloud: Cloud) -> None:
    other = cloud.project()
    url = f"https://{other}.supabase.co"
    foreign = cloud.facts["supabase"]["service_role_key"]
    anon = cloud.world.document["supabase"]["projects"][other]["keys"]["entries"][0]["value"]
    answers = (
        cloud.request("GET", f"{url}/storage/v1/bucket", token=foreign),
        cloud.request("GET", f"{url}/storage/v1/bucket", token="-"),
        cloud.request("GET", f"{url}/storage/v1/bucket", token="-", headers={"apikey": anon}),
        cloud.request("GET", f"{url}/auth/v1/settings", token="-", headers={"apikey": anon}),
        cloud.request("GET", f"https://{'z' * 20}.supabase.co/auth/v1/health", token=foreign),
    )
    assert [401, 401, 400, 200, 404] == [answer.status_code for answer in answers]


def test_same_seed_gives_the_same_ids() -> None:
    first, second = Cloud(), Cloud()
    assert first.facts == second.facts
    assert create(first, "one")["ref"] == create(second, "one")["ref"]
    first.close()
    second.close()
