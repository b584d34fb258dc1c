"""What runs on production have in common: its project with two logins, and where it answers."""

from __future__ import annotations

from pantheon_runbook import smoke
from pantheon_runbook.database.kinds import Marker
from pantheon_runbook.database.production import ProductionProject
from pantheon_runbook.kind import Kind
from pantheon_runbook.providers.railway_promotion import ProductionDeployments, ProductionServices
from pantheon_runbook.provisioning import services_of
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


def marker_of_production(parts: Parts) -> Marker:
    """The row by which production's database says what it is."""
    marks = {"environment": parts.name, "cloud": parts.outside.config.cloud}
    return Marker(parts.surroundings, database=parts.database, gate=parts.gate, **marks)


def place_of(outside: World) -> dict[str, str]:
    """Where production is at Railway, by identities.toml."""
    known = outside.identities.production
    return {"project_id": known.railway_project, "environment_id": known.railway_environment}


def backend_of_production(parts: Parts) -> tuple[Kind, ...]:
    """Its services at Railway, and what serves of each."""
    api, around, names = parts.clients.railway, parts.surroundings, services_of(parts.outside.config)
    return (
        ProductionServices(api, around, **place_of(parts.outside), services=names),
        ProductionDeployments(api, around, services=names),
    )


def endpoints_of(outside: World) -> tuple[tuple[str, str], ...]:
    """By the committed files."""
    return tuple((what, f"https://{host}") for what, host in sorted(smoke.production_place(outside).hosts.items()))
