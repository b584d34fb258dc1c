"""Smaller settings of a project: storage limits, network restrictions, SSL, add-ons, branches."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, ClosedBody, read
from pantheon_runbook.sandbox.planes.supabase.state import project_of, refuse_body, vendor_of
from pantheon_runbook.sandbox.world import Record

Feature = Literal["imageTransformation", "s3Protocol", "icebergCatalog", "vectorBuckets"]
StorageSize = Annotated[int, Field(ge=0, le=536870912000)]


_FEATURES: Record = {
    "imageTransformation": {"enabled": False},
    "s3Protocol": {"enabled": True},
    "icebergCatalog": {"enabled": False, "maxNamespaces": 0, "maxTables": 0, "maxCatalogs": 0},
    "vectorBuckets": {"enabled": False, "maxBuckets": 0, "maxIndexes": 0},
}


class UpdateStorageConfig(ClosedBody):
    """`external` is taken and has no effect here: no runbook depends on it."""

    fileSizeLimit: StorageSize | None = None  # noqa: N815  the vendor's own spelling
    features: dict[Feature, Record] | None = None
    external: dict[Literal["upstreamTarget"], Literal["main", "canary"]] | None = None


class NetworkRestrictions(Body):
    dbAllowedCidrs: list[str] | None = None  # noqa: N815  the vendor's own spelling
    dbAllowedCidrsV6: list[str] | None = None  # noqa: N815  the vendor's own spelling


class RequestedSsl(Body):
    database: bool


class SslEnforcement(Body):
    requestedConfig: RequestedSsl  # noqa: N815  the vendor's own spelling


async def get_storage_config(request: Request) -> Response:
    """`fileSizeLimit` is the global limit in bytes, which no bucket's limit may pass."""
    project = project_of(request)
    return JSONResponse(
        {
            "fileSizeLimit": project["file_size_limit"],
            "features": _features(project),
            "capabilities": {"list_v2": True, "iceberg_catalog": False},
            "external": {"upstreamTarget": "main"},
            "migrationVersion": "fix-object-level",
            "databasePoolMode": "transaction",
        }
    )


def _features(project: Record) -> Record:
    return {**_FEATURES, **project.get("storage_features", {})}


async def update_storage_config(request: Request) -> Response:
    project = project_of(request)
    body = await read(request, UpdateStorageConfig, refuse_body)
    if body.fileSizeLimit is not None:
        project["file_size_limit"] = body.fileSizeLimit
    if body.features is not None:
        project["storage_features"] = {**project.get("storage_features", {}), **body.features}
    return Response(status_code=200)


def _restrictions(project: Record) -> Record:
    return {"entitlement": "allowed", "config": project["network"], "status": "applied"}


async def get_network_restrictions(request: Request) -> Response:
    return JSONResponse(_restrictions(project_of(request)))


async def apply_network_restrictions(request: Request) -> Response:
    """Replaces all; a list that is left out is emptied."""
    project = project_of(request)
    body = await read(request, NetworkRestrictions, refuse_body)
    wanted: Record = {"dbAllowedCidrs": body.dbAllowedCidrs or [], "dbAllowedCidrsV6": body.dbAllowedCidrsV6 or []}
    for cidr in (*wanted["dbAllowedCidrs"], *wanted["dbAllowedCidrsV6"]):
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise refuse_body(f"Invalid CIDR: {cidr}") from error
    project["network"] = wanted
    return JSONResponse(_restrictions(project), 201)


def _ssl(project: Record) -> Record:
    return {"currentConfig": {"database": project["ssl_enforced"]}, "appliedSuccessfully": True}


async def get_ssl_enforcement(request: Request) -> Response:
    return JSONResponse(_ssl(project_of(request)))


async def update_ssl_enforcement(request: Request) -> Response:
    project = project_of(request)
    project["ssl_enforced"] = (await read(request, SslEnforcement, refuse_body)).requestedConfig.database
    return JSONResponse(_ssl(project))


async def list_addons(request: Request) -> Response:
    """Compute is chosen on paid plans; IPv4 for the direct host is to be had and not bought."""
    project = project_of(request)
    plan = vendor_of(request).organizations[project["organization_slug"]]["plan"]
    compute = {"id": "ci_micro", "name": "Micro", "price": _price("$10/month", 10)}
    ipv4 = {"id": "ipv4_default", "name": "IPv4 address", "price": _price("$4/month", 4)}
    selected = [] if plan == "free" else [{"type": "compute_instance", "variant": {**compute, "meta": {}}}]
    available = [
        {"type": "compute_instance", "name": "Compute Instance", "variants": [{**compute, "meta": {}}]},
        {"type": "ipv4", "name": "Dedicated IPv4 address", "variants": [{**ipv4, "meta": {}}]},
    ]
    return JSONResponse({"selected_addons": selected, "available_addons": available})


def _price(description: str, amount: int) -> Record:
    return {"description": description, "type": "fixed", "interval": "monthly", "amount": amount}


async def list_branches(request: Request) -> Response:
    """Branching is switched off at first; the platform's Git integration and people put branches there."""
    return JSONResponse(project_of(request).get("branches", []))
