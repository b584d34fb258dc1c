"""The Redis template, as `railway add --database redis` uses it: config in, service and variables out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.railway.deploys import REDIS_IMAGE, begin
from pantheon_runbook.sandbox.planes.railway.services import new_service
from pantheon_runbook.sandbox.planes.railway.state import Railway, context_of, instance_key
from pantheon_runbook.sandbox.world import Record, World

REDIS_TEMPLATE: Final = "redis"
_GENERATED: Final = "${{ secret(32) }}"
_VARIABLES: Final = {
    "REDISHOST": "${{RAILWAY_PRIVATE_DOMAIN}}",
    "REDISPORT": "6379",
    "REDISUSER": "default",
    "REDISPASSWORD": "${{REDIS_PASSWORD}}",
    "REDIS_PASSWORD": _GENERATED,
    "REDIS_URL": "redis://${{REDISUSER}}:${{REDIS_PASSWORD}}@${{REDISHOST}}:${{REDISPORT}}",
}


def redis_template(world: World) -> Record:
    """id, name and `serializedConfig`, to be passed on verbatim with values filled in."""
    identifier = _template_id(world)
    service: Record = {
        "name": "Redis",
        "icon": "https://devicons.railway.app/i/redis.svg",
        "source": {"image": REDIS_IMAGE},
        "deploy": {"startCommand": None, "healthcheckPath": None},
        "volumeMounts": {identifier: {"mountPath": "/data"}},
        "variables": {
            name: {"isOptional": False, "defaultValue": value, "description": ""} for name, value in _VARIABLES.items()
        },
    }
    return {
        "id": identifier,
        "code": REDIS_TEMPLATE,
        "name": "Redis",
        "description": "Redis database",
        "status": "PUBLISHED",
        "createdAt": "2025-01-01T00:00:00.000Z",
        "updatedAt": "2025-01-01T00:00:00.000Z",
        "serializedConfig": {"services": {identifier: service}},
    }


def _template_id(world: World) -> str:
    """The same in every call: ids count, and reading must not."""
    known = world.document["railway"]
    return str(known["redis_template_id"])


async def template_deploy(info: Any, *, given: Record) -> Record:
    """A workflow in the background; the new service's id is not in the answer."""
    context = context_of(info)
    if given["templateId"] != _template_id(context.vendor.world):
        raise GraphQLError("Template not found")
    services = (given["serializedConfig"] or {}).get("services") or {}
    if not services:
        raise GraphQLError("Invalid serializedConfig")
    project = context.project(given.get("projectId") or "")
    environment_id = given.get("environmentId") or project["baseEnvironmentId"]
    context.environment(environment_id, project["id"])
    workflow: Record = {
        "id": f"deployTemplate/{context.vendor.world.uuid('railway.workflow', environment_id)}",
        "status": "Running",
        "error": None,
        "environmentId": environment_id,
        "services": list(services.values()),
    }
    context.vendor.table("workflows")[workflow["id"]] = workflow
    _work(context.vendor, workflow)
    return {"projectId": project["id"], "workflowId": workflow["id"]}


def advance(vendor: Railway) -> None:
    """Go on with every workflow that runs; also those of an ended process."""
    for workflow in list(vendor.table("workflows").values()):
        if workflow["status"] == "Running":
            _work(vendor, workflow)


def _work(vendor: Railway, workflow: Record) -> None:
    vendor.work.start(
        workflow["id"],
        lambda: _run(vendor, workflow),
        failed=lambda error: workflow.update({"status": "Error", "error": str(error)}),
    )


async def _run(vendor: Railway, workflow: Record) -> None:
    await asyncio.sleep(vendor.world.pace.template_deploy_seconds)
    for config in workflow["services"]:
        await _deploy_service(vendor, workflow["environmentId"], config)
    workflow["status"] = "Complete"


async def _deploy_service(vendor: Railway, environment_id: str, config: Record) -> None:
    """A database service lives in the environment it was asked for only."""
    environment = vendor.table("environments")[environment_id]
    service = new_service(
        vendor,
        project_id=environment["projectId"],
        name=str(config.get("name") or "Redis"),
        environments=[environment],
    )
    instance = vendor.table("instances")[instance_key(environment_id, service["id"])]
    instance["config"]["source"] = {"image": (config.get("source") or {}).get("image") or REDIS_IMAGE}
    for name, given in (config.get("variables") or {}).items():
        value = given.get("value") or given.get("defaultValue") or ""
        if value.replace(" ", "") == _GENERATED.replace(" ", ""):
            value = vendor.world.token("railway.redis_password", service["id"], length=32)
        instance["variables"][name] = value
    deployment = begin(vendor, instance)
    await vendor.work.finished(deployment["id"])


MUTATIONS: Final[dict[str, Callable[..., Any]]] = {"templateDeployV2": template_deploy}
