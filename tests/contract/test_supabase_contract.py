from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from validate import descriptions
from vendors import BACKUPS, branch

from pantheon_runbook.sandbox.planes.supabase.auth_settings import SETTINGS

if TYPE_CHECKING:
    from plane_cloud import Cloud

pytestmark = pytest.mark.contract


def test_management_answers_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    ref, slug = cloud.facts["supabase"]["ref"], cloud.facts["supabase"]["organization_slug"]
    reads = (
        "/v1/profile",
        "/v1/organizations",
        f"/v1/organizations/{slug}",
        f"/v1/organizations/{slug}/members",
        f"/v1/organizations/{slug}/projects?offset=0&limit=10&sort=created_desc&statuses=ACTIVE_HEALTHY",
        "/v1/projects",
        f"/v1/projects/available-regions?organization_slug={slug}",
        f"/v1/projects/{ref}",
        f"/v1/projects/{ref}/health?services=auth&services=db&services=pooler&services=rest&timeout_ms=1000",
        f"/v1/projects/{ref}/config/auth",
        f"/v1/projects/{ref}/api-keys?reveal=true",
        f"/v1/projects/{ref}/api-keys",
        f"/v1/projects/{ref}/api-keys/legacy",
        f"/v1/projects/{ref}/secrets",
        f"/v1/projects/{ref}/config/database/pooler",
        f"/v1/projects/{ref}/database/backups",
        f"/v1/projects/{ref}/storage/buckets",
        f"/v1/projects/{ref}/config/storage",
        f"/v1/projects/{ref}/network-restrictions",
        f"/v1/projects/{ref}/ssl-enforcement",
        f"/v1/projects/{ref}/billing/addons",
        f"/v1/projects/{ref}/branches",
        f"/v1/projects/{ref}/postgrest",
    )
    assert dict.fromkeys(reads, 200) == {path: cloud.supabase("GET", path).status_code for path in reads}
    assert [] == problems


@pytest.mark.parametrize("which", BACKUPS)
def test_backups_are_as_described(cloud: Cloud, problems: list[str], which: str) -> None:
    ref, now = cloud.facts["supabase"]["ref"], datetime.now(UTC)
    cloud.world.document["supabase"]["projects"][ref] |= BACKUPS[which](1, now)

    assert 200 == cloud.supabase("GET", f"/v1/projects/{ref}/database/backups").status_code
    assert [] == problems


def test_branches_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    ref = cloud.facts["supabase"]["ref"]
    cloud.world.document["supabase"]["projects"][ref]["branches"] = [
        branch(ref, "main", is_default=True, git_branch="main"),
        branch(ref, "login", with_data=True),
    ]

    assert ["main", "login"] == [one["name"] for one in cloud.supabase("GET", f"/v1/projects/{ref}/branches").json()]
    assert [] == problems


def test_management_writes_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    ref = cloud.project()
    at = f"/v1/projects/{ref}"
    key = cloud.supabase("POST", f"{at}/api-keys?reveal=true", {"type": "secret", "name": "staging_key"}).json()["id"]
    writes = (
        ("PATCH", at, {"name": "renamed"}, 200),
        ("PATCH", f"{at}/config/auth", {"site_url": "https://staging.example", "mailer_otp_exp": 60}, 200),
        ("PATCH", f"{at}/api-keys/{key}?reveal=true", {"description": "for staging"}, 200),
        ("GET", f"{at}/api-keys/{key}", None, 200),
        ("DELETE", f"{at}/api-keys/{key}?was_compromised=false&reason=done", None, 200),
        ("PUT", f"{at}/api-keys/legacy?enabled=false", None, 200),
        ("POST", f"{at}/secrets", [{"name": "SENTRY_DSN", "value": "https://staging"}], 201),
        ("DELETE", f"{at}/secrets", ["SENTRY_DSN"], 200),
        ("POST", f"{at}/functions", {"slug": "hello", "name": "Hello", "body": "Deno.serve()"}, 201),
        ("GET", f"{at}/functions", None, 200),
        ("PATCH", f"{at}/functions/hello", {"verify_jwt": False, "body": "Deno.serve(1)"}, 200),
        ("DELETE", f"{at}/functions/hello", None, 200),
        ("PATCH", f"{at}/config/database/pooler", {"default_pool_size": 15, "pool_mode": "transaction"}, 200),
        ("PATCH", f"{at}/database/password", {"password": "another long password"}, 200),
        ("POST", f"{at}/cli/login-role", {"read_only": True}, 201),
        ("POST", f"{at}/database/query", {"query": "select 1", "read_only": False}, 201),
        ("POST", f"{at}/database/query/read-only", {"query": "select 1", "parameters": []}, 201),
        ("PATCH", f"{at}/config/storage", {"fileSizeLimit": 1048576}, 200),
        ("PATCH", f"{at}/config/storage", {"features": {"imageTransformation": {"enabled": True}}}, 200),
        ("GET", f"{at}/config/storage", None, 200),
        ("PATCH", f"{at}/postgrest", {"db_schema": "public", "max_rows": 100}, 200),
        ("POST", f"{at}/network-restrictions/apply", {"dbAllowedCidrs": ["10.0.0.0/8"]}, 201),
        ("PUT", f"{at}/ssl-enforcement", {"requestedConfig": {"database": True}}, 200),
        ("POST", f"{at}/pause", None, 200),
        ("DELETE", at, None, 200),
    )
    for method, path, body, status in writes:
        assert status == cloud.supabase(method, path, body).status_code, (method, path)
    assert [] == problems


def test_management_refusals_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    facts = cloud.facts["supabase"]
    refused = (
        (401, cloud.supabase("GET", "/v1/projects", token="-")),
        (401, cloud.supabase("GET", "/v1/projects", token="sbp_" + "0" * 40)),
        (401, cloud.supabase("GET", "/v1/projects", token="no token")),
        (403, cloud.supabase("GET", f"/v1/organizations/{facts['foreign_slug']}")),
        (404, cloud.supabase("GET", f"/v1/projects/{'z' * 20}")),
        (400, cloud.supabase("POST", "/v1/projects", {"name": "p", "db_pass": "x"})),
        (400, cloud.supabase("GET", f"/v1/projects/{facts['ref']}/health?services=auth,db")),
    )
    assert [status for status, _ in refused] == [answer.status_code for _, answer in refused]
    assert [] == problems


def test_storage_and_auth_answers_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    bucket = {"name": "avatars", "id": "avatars", "public": True, "file_size_limit": "2MB"}
    steps = (
        ("POST", "/storage/v1/bucket", bucket, 200),
        ("POST", "/storage/v1/bucket", bucket, 400),
        ("GET", "/storage/v1/bucket", None, 200),
        ("GET", "/storage/v1/bucket/avatars", None, 200),
        ("PUT", "/storage/v1/bucket/avatars", {"public": False, "allowed_mime_types": ["image/*"]}, 200),
        ("POST", "/storage/v1/bucket/avatars/empty", None, 200),
        ("DELETE", "/storage/v1/bucket/avatars", None, 200),
        ("GET", "/storage/v1/bucket/avatars", None, 400),
        ("GET", "/storage/v1/health", None, 200),
        ("GET", "/auth/v1/health", None, 200),
        ("GET", "/auth/v1/settings", None, 200),
    )
    for method, path, body, status in steps:
        assert status == cloud.storage(method, path, body).status_code, (method, path)
    # The description knows HEAD /health and GET /health/ only; clients send GET /health.
    assert [] == problems


def test_auth_settings_are_the_described_ones() -> None:
    """Same keys, types, limits and choices, in what GET answers and in what PATCH takes."""
    document = descriptions()["api.supabase.com"].document
    operations = document["paths"]["/v1/projects/{ref}/config/auth"]
    answered = _properties(document, operations["get"]["responses"]["200"])
    taken = _properties(document, operations["patch"]["requestBody"])
    ours = {
        key: (one.kind, one.minimum, one.maximum, one.pattern) for key, one in SETTINGS.items() if not one.read_only
    }
    theirs = {
        key: (one["type"], one.get("minimum"), one.get("maximum"), one.get("pattern")) for key, one in taken.items()
    }
    without_format = {key for key, one in taken.items() if "format" not in one}

    assert set(answered) == set(SETTINGS)
    assert {key for key in answered if key not in taken} == {key for key, one in SETTINGS.items() if one.read_only}
    assert {key: theirs[key] for key in without_format} == {key: ours[key] for key in without_format}
    assert {key: set(one["enum"]) for key, one in taken.items() if "enum" in one} == {
        key: set(one.choices) for key, one in SETTINGS.items() if one.choices
    }
    assert {key for key, one in taken.items() if not one.get("nullable")} == {
        key for key, one in SETTINGS.items() if not one.nullable and not one.null_resets and not one.read_only
    }


def _properties(document: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    name = described["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]["properties"]
