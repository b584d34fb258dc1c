"""The Supabase side of the seeded world: one organization, its production project, somebody else's organization."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from pantheon_runbook.sandbox.planes.supabase.auth_config import stored
from pantheon_runbook.sandbox.planes.supabase.edge_secrets import stored_secret
from pantheon_runbook.sandbox.planes.supabase.keys import legacy_key
from pantheon_runbook.sandbox.planes.supabase.pooler import pooler_host
from pantheon_runbook.sandbox.planes.supabase.projects import new_project
from pantheon_runbook.sandbox.planes.supabase.state import stamp
from pantheon_runbook.sandbox.world import Record, World

REQUESTS_PER_MINUTE: Final = 1200  # the vendor's are 120 (FACTS 1.1), and what takes it minutes takes seconds here
PROJECT_NAME: Final = "pantheon-production"
SITE_URL: Final = "https://app.pantheon.example"
CREATED_AT: Final = "2026-01-12T09:30:00.000000Z"
BACKUP_IS_OLD: Final = timedelta(hours=4)  # when the world begins; one each day at that time

BUCKETS: Final[tuple[Record, ...]] = (
    {"id": "avatars", "public": True, "file_size_limit": 2097152, "allowed_mime_types": ["image/png", "image/jpeg"]},
    {"id": "session-exports", "public": False, "file_size_limit": 26214400, "allowed_mime_types": ["application/json"]},
    {"id": "uploads", "public": False, "file_size_limit": None, "allowed_mime_types": None},
)
EDGE_SECRETS: Final = ("OPENROUTER_API_KEY", "SENTRY_DSN", "SESSION_SIGNING_KEY", "WEBHOOK_SECRET")


def seed_production(world: World) -> dict[str, Any]:
    """Organization, production project and token; the answer has every value that a client may need."""
    slug = world.letters("supabase.organization", "pantheon")
    foreign_slug = world.letters("supabase.organization", "somebody else")
    token = f"sbp_{world.token('supabase.token', 'supervisor')}"
    user = world.uuid("supabase.user", "supervisor")
    project, password = _production_project(world, slug)
    world.document["supabase"] = {
        "limits": {"requests_per_minute": REQUESTS_PER_MINUTE},
        "users": {user: {"gotrue_id": user, "primary_email": "supervisor@pantheon.example", "username": "supervisor"}},
        "tokens": {token: {"user": user, "organizations": [slug]}},
        "organizations": {
            slug: _organization(world, slug, "Pantheon"),
            foreign_slug: _organization(world, foreign_slug, "Somebody Else"),
        },
        "projects": {project["ref"]: project},
    }
    return _facts(project, password, {"token": token, "organization_slug": slug, "foreign_slug": foreign_slug})


def _organization(world: World, slug: str, name: str) -> Record:
    return {
        "id": world.letters("supabase.organization.id", name),
        "slug": slug,
        "name": name,
        "plan": "pro",
        "owner": "supervisor@pantheon.example",
    }


def _production_project(world: World, slug: str) -> tuple[Record, str]:
    project = new_project(world, name=PROJECT_NAME, organization_slug=slug, region="eu-west-1", created_at=CREATED_AT)
    project |= {"status": "ACTIVE_HEALTHY", "services_ready": True, "production": True}
    project["auth_config"] = {key: stored(key, value) for key, value in _auth_config(world).items()}
    now = world.now()
    project["backup_schedule"] = (now - BACKUP_IS_OLD).strftime("%H:%M:%S")
    at = stamp(now)
    project["secrets"] = {
        name: stored_secret(world.token("supabase.edge_secret", name, length=48), at) for name in EDGE_SECRETS
    }
    # URL-reserved characters on purpose: a DSN that was not encoded does not connect.
    password = f"P@ss/{world.token('supabase.password', PROJECT_NAME, length=32)}+%"
    return project, password


def _auth_config(world: World) -> dict[str, Any]:
    return {
        "site_url": SITE_URL,
        "uri_allow_list": f"{SITE_URL}/**,{SITE_URL}/auth/callback",
        "disable_signup": False,
        "external_google_enabled": True,
        "external_google_client_id": "314159265358-pantheon.apps.googleusercontent.com",
        "external_google_secret": world.token("supabase.google", "production"),
        "external_github_enabled": True,
        "external_github_client_id": "Iv1.8a61f9b3a7aba766",
        "external_github_secret": world.token("supabase.github", "production"),
        "smtp_host": "smtp.mail.example",
        "smtp_port": "587",
        "smtp_user": "pantheon",
        "smtp_pass": world.token("supabase.smtp", "production"),
        "smtp_admin_email": "no-reply@pantheon.example",
        "smtp_sender_name": "Pantheon",
        "rate_limit_email_sent": 100,
        "mailer_autoconfirm": False,
        "jwt_exp": 3600,
    }


def _facts(project: Record, password: str, known: dict[str, str]) -> dict[str, Any]:
    ref, encoded = project["ref"], quote(password, safe="")
    host, secret = pooler_host(project), project["keys"]["jwt_secret"]
    modern = {entry["type"]: entry["value"] for entry in project["keys"]["entries"]}
    pooled = f"postgresql://postgres.{ref}:{encoded}@{host}"
    return {
        **known,
        "ref": ref,
        "project_name": PROJECT_NAME,
        "region": project["region"],
        "password": password,
        "url": f"https://{ref}.supabase.co",
        "pooler_host": host,
        "direct_url": f"postgresql://postgres:{encoded}@db.{ref}.supabase.co:5432/postgres",
        "session_url": f"{pooled}:5432/postgres",
        "transaction_url": f"{pooled}:6543/postgres",
        "anon_key": legacy_key(secret, ref, "anon"),
        "service_role_key": legacy_key(secret, ref, "service_role"),
        "publishable_key": modern["publishable"],
        "secret_key": modern["secret"],
        "site_url": SITE_URL,
        "edge_secrets": list(EDGE_SECRETS),
        "buckets": [{"name": bucket["id"], **bucket} for bucket in BUCKETS],
    }
