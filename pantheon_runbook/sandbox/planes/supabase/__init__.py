"""Supabase: the Management API (api.supabase.com) and each project's own host (<ref>.supabase.co)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request

from pantheon_runbook.sandbox.planes.routes import (
    Described,
    Matched,
    RefusedError,
    application,
    match,
    reads,
    undocumented,
    writes,
)
from pantheon_runbook.sandbox.planes.supabase import (
    api_keys,
    auth,
    auth_config,
    backups,
    data_api,
    database,
    edge_secrets,
    functions,
    organizations,
    pooler,
    project_settings,
    projects,
    regions,
    storage,
)
from pantheon_runbook.sandbox.planes.supabase.keys import role_of
from pantheon_runbook.sandbox.planes.supabase.lifecycle import advance
from pantheon_runbook.sandbox.planes.supabase.seed import seed_production
from pantheon_runbook.sandbox.planes.supabase.state import Supabase, authenticate, is_up, vendor_of
from pantheon_runbook.sandbox.world import World

__all__ = [
    "Supabase",
    "advance",
    "describe_management",
    "describe_project",
    "management_application",
    "project_application",
    "seed_production",
]

_PROJECT = "/v1/projects/{ref}"

MANAGEMENT = (
    reads("GET", "/v1/profile", organizations.get_profile),
    reads("GET", "/v1/organizations", organizations.list_organizations),
    reads("GET", "/v1/organizations/{slug}", organizations.get_organization),
    reads("GET", "/v1/organizations/{slug}/members", organizations.list_members),
    reads("GET", "/v1/organizations/{slug}/projects", organizations.list_organization_projects),
    reads("GET", "/v1/projects", projects.list_projects),
    writes("POST", "/v1/projects", projects.create_project),
    reads("GET", "/v1/projects/available-regions", regions.available_regions),
    reads("GET", _PROJECT, projects.get_project),
    writes("PATCH", _PROJECT, projects.rename_project),
    writes("DELETE", _PROJECT, projects.delete_project),
    writes("POST", f"{_PROJECT}/pause", projects.pause_project),
    writes("POST", f"{_PROJECT}/restore", projects.restore_project),
    reads("GET", f"{_PROJECT}/health", projects.project_health),
    reads("GET", f"{_PROJECT}/config/auth", auth_config.get_config),
    writes("PATCH", f"{_PROJECT}/config/auth", auth_config.update_config),
    reads("GET", f"{_PROJECT}/api-keys", api_keys.list_keys),
    writes("POST", f"{_PROJECT}/api-keys", api_keys.create_key),
    reads("GET", f"{_PROJECT}/api-keys/legacy", api_keys.get_legacy),
    writes("PUT", f"{_PROJECT}/api-keys/legacy", api_keys.switch_legacy),
    reads("GET", f"{_PROJECT}/api-keys/{{id}}", api_keys.get_key),
    writes("PATCH", f"{_PROJECT}/api-keys/{{id}}", api_keys.update_key),
    writes("DELETE", f"{_PROJECT}/api-keys/{{id}}", api_keys.delete_key),
    reads("GET", f"{_PROJECT}/secrets", edge_secrets.list_secrets),
    writes("POST", f"{_PROJECT}/secrets", edge_secrets.upsert_secrets),
    writes("DELETE", f"{_PROJECT}/secrets", edge_secrets.delete_secrets),
    reads("GET", f"{_PROJECT}/functions", functions.list_functions),
    writes("POST", f"{_PROJECT}/functions", functions.create_function),
    writes("PATCH", f"{_PROJECT}/functions/{{slug}}", functions.update_function),
    writes("DELETE", f"{_PROJECT}/functions/{{slug}}", functions.delete_function),
    reads("GET", f"{_PROJECT}/config/database/pooler", pooler.get_pooler),
    writes("PATCH", f"{_PROJECT}/config/database/pooler", pooler.update_pooler),
    writes("PATCH", f"{_PROJECT}/database/password", pooler.update_password),
    writes("POST", f"{_PROJECT}/cli/login-role", pooler.create_login_role),
    writes("POST", f"{_PROJECT}/database/query", database.run_query),
    reads("POST", f"{_PROJECT}/database/query/read-only", database.run_read_only_query),
    reads("GET", f"{_PROJECT}/database/backups", backups.list_backups),
    reads("GET", f"{_PROJECT}/storage/buckets", database.list_buckets),
    reads("GET", f"{_PROJECT}/config/storage", project_settings.get_storage_config),
    writes("PATCH", f"{_PROJECT}/config/storage", project_settings.update_storage_config),
    reads("GET", f"{_PROJECT}/postgrest", data_api.get_config),
    writes("PATCH", f"{_PROJECT}/postgrest", data_api.update_config),
    reads("GET", f"{_PROJECT}/network-restrictions", project_settings.get_network_restrictions),
    writes("POST", f"{_PROJECT}/network-restrictions/apply", project_settings.apply_network_restrictions),
    reads("GET", f"{_PROJECT}/ssl-enforcement", project_settings.get_ssl_enforcement),
    writes("PUT", f"{_PROJECT}/ssl-enforcement", project_settings.update_ssl_enforcement),
    reads("GET", f"{_PROJECT}/billing/addons", project_settings.list_addons),
    reads("GET", f"{_PROJECT}/branches", project_settings.list_branches),
)

PROJECT = (
    reads("GET", "/storage/v1/health", storage.health),
    reads("GET", "/storage/v1/bucket", storage.list_buckets),
    reads("GET", "/storage/v1/bucket/", storage.list_buckets),
    writes("POST", "/storage/v1/bucket", storage.create_bucket),
    writes("POST", "/storage/v1/bucket/", storage.create_bucket),
    reads("GET", "/storage/v1/bucket/{bucketId}", storage.get_bucket),
    writes("PUT", "/storage/v1/bucket/{bucketId}", storage.update_bucket),
    writes("DELETE", "/storage/v1/bucket/{bucketId}", storage.delete_bucket),
    writes("POST", "/storage/v1/bucket/{bucketId}/empty", storage.empty_bucket),
    reads("GET", "/auth/v1/health", auth.health),
    reads("GET", "/auth/v1/settings", auth.public_settings),
)


def management_application(vendor: Supabase) -> Starlette:
    """The host api.supabase.com."""
    return application(
        MANAGEMENT, vendor=vendor, guard=authenticate, error_body=lambda _status, detail: {"message": detail}
    )


def project_application(vendor: Supabase) -> Starlette:
    """https://<ref>.supabase.co, told apart by the Host header."""
    return application(
        PROJECT,
        vendor=vendor,
        guard=_project_guard,
        error_body=lambda status, detail: {"statusCode": str(status), "error": detail, "message": detail},
    )


def _project_guard(request: Request) -> None:
    """The gateway: a running project, a key of this very project; buckets are for the service role."""
    vendor = vendor_of(request)
    project = vendor.projects.get(ref_of_host(request.headers.get("host", "")))
    if project is None:
        raise RefusedError(404, {"message": "project not found"})
    if not is_up(project):
        raise RefusedError(540, {"message": "Project paused"})
    if not project["services_ready"]:
        raise RefusedError(503, {"message": "name resolution failed"})
    request.state.project = project
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    presented = request.headers.get("apikey") or bearer
    if not presented:
        raise RefusedError(401, {"message": "No API key found in request"})
    role = role_of(project, presented)
    if role is None:
        raise RefusedError(401, {"message": "Invalid API key"})
    if request.url.path.startswith("/storage/v1/bucket") and role != "service_role":
        raise storage.refuse("403", "Unauthorized", "AccessDenied", "new row violates row-level security policy")


def ref_of_host(host: str) -> str:
    """`<ref>` of <ref>.supabase.co, with or without a port."""
    return host.partition(":")[0].removesuffix(".supabase.co")


def describe_management(method: str, path: str, body: bytes, world: World) -> Described:
    """A query says in its body whether it is read only."""
    found = match(MANAGEMENT, method, path)
    environment = _environment(world, found.parameters.get("ref", "") if found else "")
    described = _described(found, method, path, environment)
    if found and found.operation.template.endswith("/database/query") and _says_read_only(body):
        return replace(described, mutating=False)
    return described


def _says_read_only(body: bytes) -> bool:
    try:
        parsed = json.loads(body)
    except ValueError:
        return False
    return isinstance(parsed, dict) and parsed.get("read_only") is True


def describe_project(method: str, path: str, host: str, world: World) -> Described:
    found = match(PROJECT, method, path)
    return _described(found, method, path, _environment(world, ref_of_host(host)))


def _described(found: Matched | None, method: str, path: str, environment: str | None) -> Described:
    if found is None:
        return undocumented(method, path, environment)
    return Described(found.operation.name.rstrip("/"), environment, found.operation.mutating)


def _environment(world: World, ref: str) -> str | None:
    projects_by_ref: dict[str, Any] = world.document["supabase"].get("projects", {})
    project = projects_by_ref.get(ref)
    if project is None:
        return None
    return "production" if project.get("production") else "staging"
