"""What runs on production have in common: its project with two logins, and where it answers."""

from __future__ import annotations

from pantheon_runbook import smoke
from pantheon_runbook.database.production import ProductionProject
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.surroundings import World

PRODUCTION = "production"


def production_project(parts: Parts) -> ProductionProject:
    """Looked at by the dump role, as far as it has a password; written to by the owner."""
    read, credentials = parts.outside.config.production_read, parts.outside.credentials
    return ProductionProject(
        parts.clients.supabase,
        parts.surroundings,
        ref=parts.outside.identities.production.supabase_ref,
        reader=read.dump_role if read else "",
        reads_by=credentials.values.get(read.dump_password) if read else None,
        writes_by=credentials.production,
        options=parts.outside.database_options,
    )


def endpoints_of(outside: World) -> tuple[tuple[str, str], ...]:
    """By the committed files."""
    return tuple((what, f"https://{host}") for what, host in sorted(smoke.production_place(outside).hosts.items()))
