"""What leads into a service from outside: triggers of a branch, custom domains, TCP proxies; the mutations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pantheon_runbook.sandbox.planes.railway.services import new_trigger
from pantheon_runbook.sandbox.planes.railway.state import context_of
from pantheon_runbook.sandbox.world import Record


async def deployment_trigger_create(info: Any, *, given: Record) -> Record:
    context = context_of(info)
    instance = context.instance(given["environmentId"], given["serviceId"])
    trigger = new_trigger(context.vendor, instance, repository=given["repository"], branch=given["branch"])
    trigger |= {"provider": given["provider"], "checkSuites": bool(given.get("checkSuites"))}
    return trigger


async def deployment_trigger_update(info: Any, *, identifier: str, given: Record) -> Record:

    context = context_of(info)
    trigger = context.vendor.table("triggers").get(identifier, {})
    context.environment(trigger.get("environmentId", ""))
    trigger |= {name: value for name, value in given.items() if name in trigger}
    return trigger


async def deployment_trigger_delete(info: Any, *, identifier: str) -> bool:
    """Pushes to the branch do not deploy any more."""
    context = context_of(info)
    trigger = context.vendor.table("triggers").get(identifier, {})
    context.environment(trigger.get("environmentId", ""))
    del context.vendor.table("triggers")[identifier]
    return True


async def custom_domain_create(info: Any, *, given: Record) -> Record:
    """Known at once; nothing here asks a name server, so no host leads to it."""
    context = context_of(info)
    vendor, instance = context.vendor, context.instance(given["environmentId"], given["serviceId"])
    now = vendor.now()
    domain: Record = {
        "id": vendor.world.uuid("railway.custom_domain", instance["id"]),
        **{name: given[name] for name in ("domain", "environmentId", "projectId", "serviceId")},
        "targetPort": given.get("targetPort"),
        "isRailwayDomain": False,
        "syncStatus": "ACTIVE",
        "createdAt": now,
        "updatedAt": now,
    }
    vendor.table("custom_domains")[domain["id"]] = domain
    return domain


async def tcp_proxy_create(info: Any, *, given: Record) -> Record:
    """A port of the vendor's that leads to a port of the service; the sandbox lets nothing through."""
    context = context_of(info)
    vendor, instance = context.vendor, context.instance(given["environmentId"], given["serviceId"])
    now = vendor.now()
    proxy: Record = {
        "id": vendor.world.uuid("railway.tcp_proxy", instance["id"]),
        **{name: given[name] for name in ("applicationPort", "environmentId", "serviceId")},
        "domain": f"{vendor.world.letters('railway.tcp_proxy.host', instance['id'], length=8)}.proxy.rlwy.net",
        "proxyPort": 10_000 + len(vendor.table("tcp_proxies")),
        "syncStatus": "ACTIVE",
        "createdAt": now,
        "updatedAt": now,
    }
    vendor.table("tcp_proxies")[proxy["id"]] = proxy
    return proxy


MUTATIONS: Final[dict[str, Callable[..., Any]]] = {
    "customDomainCreate": custom_domain_create,
    "deploymentTriggerCreate": deployment_trigger_create,
    "deploymentTriggerDelete": deployment_trigger_delete,
    "deploymentTriggerUpdate": deployment_trigger_update,
    "tcpProxyCreate": tcp_proxy_create,
}
