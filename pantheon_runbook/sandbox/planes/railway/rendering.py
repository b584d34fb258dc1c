"""Variables of one service in one environment, with `${{Service.NAME}}` references resolved.

References use the service's name, so renaming it breaks them; what does not resolve becomes the empty string.
"""

from __future__ import annotations

import re
from typing import Final

from pantheon_runbook.sandbox.planes.railway.state import Railway, instance_key
from pantheon_runbook.sandbox.world import Record

_REFERENCE = re.compile(r"\$\{\{\s*(?:([^.{}]+?)\.)?([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_SHARED: Final = "shared"
_DEPTH_MAX: Final = 10


def hostname_part(name: str) -> str:
    """A name as one label of a host name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def private_host(service: Record) -> str:
    """Its name on the private network of each environment."""
    return f"{hostname_part(service['name'])}.railway.internal"


def rendered(vendor: Railway, environment_id: str, service_id: str | None) -> dict[str, str]:
    """The variables that were set, resolved; without a service, the shared ones of the environment."""
    unresolved = own_variables(vendor, environment_id, service_id)
    return {name: _resolve(vendor, environment_id, service_id, value, _DEPTH_MAX) for name, value in unresolved.items()}


def own_variables(vendor: Railway, environment_id: str, service_id: str | None) -> dict[str, str]:
    """As they were set, names sorted; those that are sealed too, which `shown` leaves out."""
    if service_id is None:
        owner = vendor.table("environments")[environment_id]
    else:
        owner = vendor.table("instances")[instance_key(environment_id, service_id)]
    values: dict[str, str] = owner["variables"]
    return {name: values[name] for name in sorted(values)}


def shown(vendor: Railway, environment_id: str, service_id: str | None, values: dict[str, str]) -> dict[str, str]:
    """What the API shows of these: sealed values are nowhere in it."""
    key = instance_key(environment_id, service_id or "")
    owner = vendor.table("environments")[environment_id] if service_id is None else vendor.table("instances")[key]
    return {name: value for name, value in values.items() if name not in owner.get("sealed", ())}


def for_deployment(vendor: Railway, environment_id: str, service_id: str) -> dict[str, str]:
    """What a process of this service gets: its variables, and the platform's own RAILWAY_*."""
    return {
        **platform_variables(vendor, environment_id, service_id),
        **rendered(vendor, environment_id, service_id),
    }


def platform_variables(vendor: Railway, environment_id: str, service_id: str) -> dict[str, str]:
    """RAILWAY_* by which a process knows where it runs."""
    environment = vendor.table("environments")[environment_id]
    service = vendor.table("services")[service_id]
    project = vendor.table("projects")[environment["projectId"]]
    known = {
        "RAILWAY_PROJECT_ID": project["id"],
        "RAILWAY_PROJECT_NAME": project["name"],
        "RAILWAY_ENVIRONMENT_ID": environment_id,
        "RAILWAY_ENVIRONMENT_NAME": environment["name"],
        "RAILWAY_SERVICE_ID": service_id,
        "RAILWAY_SERVICE_NAME": service["name"],
        "RAILWAY_PRIVATE_DOMAIN": private_host(service),
    }
    for domain in vendor.table("domains").values():
        if (domain["environmentId"], domain["serviceId"]) == (environment_id, service_id):
            known.setdefault("RAILWAY_PUBLIC_DOMAIN", domain["domain"])
    return known


def references(value: str) -> list[str]:
    """The references in a value, as written between the braces."""
    return [f"{owner}.{name}" if owner else name for owner, name in _REFERENCE.findall(value)]


def _resolve(vendor: Railway, environment_id: str, service_id: str | None, value: str, depth: int) -> str:
    def replaced(found: re.Match[str]) -> str:
        owner, name = found.groups()
        target = service_id if owner is None else _service_named(vendor, environment_id, owner)
        if depth == 0 or (owner not in {None, _SHARED} and target is None):
            return ""
        known = own_variables(vendor, environment_id, target)
        if target is not None:
            known = {**platform_variables(vendor, environment_id, target), **known}
        return _resolve(vendor, environment_id, target, known.get(name, ""), depth - 1)

    return _REFERENCE.sub(replaced, value)


def _service_named(vendor: Railway, environment_id: str, name: str) -> str | None:
    for instance in vendor.instances_of(environment_id):
        if vendor.table("services")[instance["serviceId"]]["name"] == name:
            return str(instance["serviceId"])
    return None
