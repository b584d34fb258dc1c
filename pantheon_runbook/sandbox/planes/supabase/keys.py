"""The keys of a project: legacy JWTs, publishable and secret keys, all seeded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from pantheon_runbook.sandbox.world import Record, World

# Issued 2025-01-01, ten years valid: fixed, so that a key depends on the seed alone.
_ISSUED_AT, _EXPIRES_AT = 1735689600, 2051222400


def new_keys(world: World, ref: str, created_at: str) -> Record:
    """{"jwt_secret", "legacy_enabled", "entries": [key, ...]} of a new project."""
    jwt_secret = world.token("supabase.jwt", ref, length=64)
    legacy = [
        {"id": role, "name": role, "type": "legacy", "description": f"Legacy {role} API key", "value": value}
        for role, value in ((role, legacy_key(jwt_secret, ref, role)) for role in ("anon", "service_role"))
    ]
    modern = [
        modern_key(world, ref, kind="publishable", name="default", created_at=created_at),
        modern_key(world, ref, kind="secret", name="default", created_at=created_at),
    ]
    return {"jwt_secret": jwt_secret, "legacy_enabled": True, "entries": [*legacy, *modern]}


def legacy_key(jwt_secret: str, ref: str, role: str) -> str:
    """A real HS256 JWT that says which project and which role."""
    claims = {"iss": "supabase", "ref": ref, "role": role, "iat": _ISSUED_AT, "exp": _EXPIRES_AT}
    signed = b".".join((_base64({"alg": "HS256", "typ": "JWT"}), _base64(claims)))
    signature = hmac.new(jwt_secret.encode(), signed, hashlib.sha256).digest()
    return b".".join((signed, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


def _base64(value: Record) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=")


def modern_key(world: World, ref: str, *, kind: str, name: str, created_at: str) -> Record:
    """A `sb_publishable_` or `sb_secret_` key with 160 bits."""
    value = f"sb_{kind}_{world.token(f'supabase.key.{kind}', f'{ref}/{name}', length=40)}"
    return {
        "id": world.uuid(f"supabase.key.{kind}", f"{ref}/{name}"),
        "name": name,
        "type": kind,
        "description": None,
        "value": value,
        "secret_jwt_template": {"role": "service_role"} if kind == "secret" else None,
        "inserted_at": created_at,
        "updated_at": created_at,
    }


def role_of(project: Record, presented: str) -> str | None:
    """The database role behind a presented key: "anon", "service_role", or None for a key of somebody else."""
    keys: Record = project["keys"]
    for entry in keys["entries"]:
        if not hmac.compare_digest(entry["value"].encode(), presented.encode()):
            continue
        if entry["type"] == "legacy":
            return str(entry["name"]) if keys["legacy_enabled"] else None
        return "service_role" if entry["type"] == "secret" else "anon"
    return None
