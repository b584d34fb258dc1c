"""Services: created in every environment that is no fork, set per environment, connected to a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.railway import deploys, shapes
from pantheon_runbook.sandbox.planes.railway.rendering import hostname_part
from pantheon_runbook.sandbox.planes.railway.state import Railway, context_of, instance_key
from pantheon_runbook.sandbox.world import Record

_DEFAULTS: Final[Record] = {
    "buildCommand": None,
    "builder": "RAILPACK",
    "cronSchedule": None,
    "dockerfilePath": None,
    "drainingSeconds": None,
    "healthcheckPath": None,
    "healthcheckTimeout": None,
    "ipv6EgressEnabled": False,
    "nixpacksPlan": None,
    "numReplicas": None,
    "overlapSeconds": None,
    "preDeployCommand": None,
    "railwayConfigFile": None,
    "region": None,
    "restartPolicyMaxRetries": 10,
    "restartPolicyType": "ON_FAILURE",
    "rootDirectory": None,
    "sleepApplication": False,
    "source": {},
    "startCommand": None,
    "watchPatterns": [],
}


def new_instance(vendor: Railway, environment_id: str, service_id: str) -> Record:
    """A service appears in an environment, without source, variables or deployment."""
    now = vendor.now()
    instance: Record = {
        "id": vendor.world.uuid("railway.instance", instance_key(environment_id, service_id)),
        "environmentId": environment_id,
        "serviceId": service_id,
        "createdAt": now,
        "updatedAt": now,
        "variables": {},
        "config": {**_DEFAULTS, "source": {}, "watchPatterns": []},
    }
    vendor.table("instances")[instance_key(environment_id, service_id)] = instance
    return instance


def new_service(vendor: Railway, *, project_id: str, name: str, environments: Sequence[Record]) -> Record:
    """A service and its instance in each of these environments; names are not unique."""
    now = vendor.now()
    service: Record = {
        "id": vendor.world.uuid("railway.service", f"{project_id}/{name}"),
        "name": name,
        "projectId": project_id,
        "createdAt": now,
        "updatedAt": now,
    }
    vendor.table("services")[service["id"]] = service
    for environment in environments:
        new_instance(vendor, environment["id"], service["id"])
    return service


async def service_create(info: Any, *, given: Record) -> Record:
    """`environment_id` restricts the service to a fork only; otherwise it appears in every environment that is none.

    Here a fork is an ephemeral (pull request) environment: the reading under which most can go wrong.
    """
    context = context_of(info)
    context.account()
    vendor, project = context.vendor, context.project(given["projectId"])
    asked = context.environment(given["environmentId"], project["id"]) if given.get("environmentId") else None
    if asked is not None and asked["isEphemeral"]:
        environments = [asked]
    else:
        environments = shapes.environments_in(vendor, project["id"], ephemeral=False)
    name = given.get("name") or vendor.world.letters("railway.service.name", project["id"], length=12)
    service = new_service(vendor, project_id=project["id"], name=name, environments=environments)
    service["icon"] = given.get("icon")
    source = _source(given.get("source") or {}, given.get("branch"), vendor)
    for environment in environments:
        instance = vendor.table("instances")[instance_key(environment["id"], service["id"])]
        instance["variables"].update(given.get("variables") or {})
        if source:
            _connect(vendor, instance, source)
            deploys.begin(vendor, instance)
    return shapes.service(vendor, service)


def _source(given: Record, branch: str | None, vendor: Railway) -> Record:
    """{"repo", "branch", "commit"} tied to the branch's head, or {"image"}, or nothing."""
    if given.get("repo"):
        return {"repo": given["repo"], "branch": branch or "main", "commit": vendor.memory["head_commit"]}
    return {"image": given["image"]} if given.get("image") else {}


def _connect(vendor: Railway, instance: Record, source: Record) -> None:
    """The source, and for a repository the trigger that deploys every push to its branch."""
    instance["config"]["source"] = dict(source)
    _remove_triggers(vendor, instance)
    if "repo" not in source:
        return
    new_trigger(vendor, instance, repository=source["repo"], branch=source["branch"])


def _remove_triggers(vendor: Railway, instance: Record) -> None:
    for old in vendor.triggers_of(instance["environmentId"], instance["serviceId"]):
        del vendor.table("triggers")[old["id"]]


def new_trigger(vendor: Railway, instance: Record, *, repository: str, branch: str) -> Record:
    """Every push to the branch deploys the service in this environment."""
    trigger: Record = {
        "id": vendor.world.uuid("railway.trigger", instance["id"]),
        "environmentId": instance["environmentId"],
        "serviceId": instance["serviceId"],
        "projectId": vendor.table("services")[instance["serviceId"]]["projectId"],
        "repository": repository,
        "branch": branch,
        "provider": "github",
        "checkSuites": False,
        "validCheckSuites": 0,
    }
    vendor.table("triggers")[trigger["id"]] = trigger
    return trigger


async def service_connect(info: Any, *, identifier: str, given: Record) -> Record:
    """In every environment of the service, and each of them deploys at once."""
    context = context_of(info)
    context.account()
    service = context.service(identifier)
    source = _source(given, given.get("branch"), context.vendor)
    if not source:
        raise GraphQLError("Either repo or image is required")
    for instance in context.vendor.instances_of_service(identifier):
        _connect(context.vendor, instance, source)
        deploys.begin(context.vendor, instance)
    return shapes.service(context.vendor, service)


async def service_disconnect(info: Any, *, identifier: str) -> Record:

    context = context_of(info)
    context.account()
    service = context.service(identifier)
    for instance in context.vendor.instances_of_service(identifier):
        _connect(context.vendor, instance, {})
    return shapes.service(context.vendor, service)


async def service_update(info: Any, *, identifier: str, given: Record) -> Record:
    """A new name breaks the references that use the old one."""
    context = context_of(info)
    service = context.service(identifier)
    service.update({name: value for name, value in given.items() if value is not None})
    service["updatedAt"] = context.vendor.now()
    return shapes.service(context.vendor, service)


async def service_delete(info: Any, *, identifier: str, environment_id: str | None = None) -> bool:
    """Without `environmentId` from every environment."""
    context = context_of(info)
    vendor = context.vendor
    context.service(identifier)
    if environment_id is not None:
        doomed = [context.instance(environment_id, identifier)]
    else:
        context.account()
        doomed = vendor.instances_of_service(identifier)
    for instance in doomed:
        await deploys.remove_instance(vendor, instance)
    if not vendor.instances_of_service(identifier):
        del vendor.table("services")[identifier]
    return True


async def service_instance_update(
    info: Any,
    *,
    service_id: str,
    given: Record,
    environment_id: str | None = None,
) -> bool:
    """Does not deploy by itself; without `environmentId` it is the project's base environment.

    A fork alone is set alone; otherwise it is set in every environment that is none, as the schema says.
    """
    context = context_of(info)
    if environment_id is None:
        service = context.service(service_id)
        environment_id = context.project(service["projectId"])["baseEnvironmentId"]
    asked = context.instance(environment_id or "", service_id)
    environments = context.vendor.table("environments")
    reached = [asked]
    if not environments[asked["environmentId"]]["isEphemeral"]:
        all_of_them = context.vendor.instances_of_service(service_id)
        reached = [one for one in all_of_them if not environments[one["environmentId"]]["isEphemeral"]]
    for instance in reached:
        _set(context.vendor, instance, dict(given))
    return True


def _set(vendor: Railway, instance: Record, given: Record) -> None:
    source = given.pop("source", None)
    instance["config"].update(given)
    if source is not None:
        branch = instance["config"]["source"].get("branch")
        instance["config"]["source"] = _source(source, branch, vendor)
    instance["updatedAt"] = vendor.now()


async def auto_deploy_update(info: Any, *, given: Record) -> Record:
    """Whether a push deploys, in one environment only."""
    context = context_of(info)
    context.environment(given["environmentId"], given["projectId"])
    instance = context.instance(given["environmentId"], given["serviceId"])
    source = instance["config"]["source"]
    if given["enabled"] and not source.get("repo"):
        raise GraphQLError("Service has no repository to deploy from")
    _remove_triggers(context.vendor, instance)
    if given["enabled"]:
        new_trigger(context.vendor, instance, repository=source["repo"], branch=source["branch"])
    return {"enabled": given["enabled"]}


async def service_domain_create(info: Any, *, given: Record) -> Record:
    """A second call makes a second domain."""
    context = context_of(info)
    vendor, instance = context.vendor, context.instance(given["environmentId"], given["serviceId"])
    domain = new_domain(vendor, instance, target_port=given.get("targetPort"))
    for deployment in vendor.deployments_of(given["environmentId"], given["serviceId"]):
        if deployment["status"] == "SUCCESS":
            await vendor.platform.route(domain["domain"], deployment["id"])
            break
    return domain


def new_domain(vendor: Railway, instance: Record, *, target_port: int | None = None) -> Record:
    """Its host is <service>-<environment>-<four characters>.up.railway.app."""
    environment = vendor.table("environments")[instance["environmentId"]]
    service = vendor.table("services")[instance["serviceId"]]
    slug = hostname_part(service["name"])
    unique = vendor.world.token("railway.domain", instance["id"], length=4)
    now = vendor.now()
    domain: Record = {
        "id": vendor.world.uuid("railway.domain.id", instance["id"]),
        "domain": f"{slug}-{hostname_part(environment['name'])}-{unique}.up.railway.app",
        "environmentId": instance["environmentId"],
        "serviceId": instance["serviceId"],
        "projectId": service["projectId"],
        "suffix": "up.railway.app",
        "syncStatus": "ACTIVE",
        "targetPort": target_port,
        "createdAt": now,
        "updatedAt": now,
    }
    vendor.table("domains")[domain["id"]] = domain
    return domain


async def service_domain_delete(info: Any, *, identifier: str) -> bool:

    context = context_of(info)
    domain = context.vendor.table("domains").get(identifier, {})
    context.environment(domain.get("environmentId", ""))
    await context.vendor.platform.route(domain["domain"], None)
    del context.vendor.table("domains")[identifier]
    return True


MUTATIONS: Final[dict[str, Callable[..., Any]]] = {
    "serviceConnect": service_connect,
    "serviceCreate": service_create,
    "serviceDelete": service_delete,
    "serviceDisconnect": service_disconnect,
    "serviceDomainCreate": service_domain_create,
    "serviceDomainDelete": service_domain_delete,
    "serviceInstanceAutoDeployUpdate": auto_deploy_update,
    "serviceInstanceUpdate": service_instance_update,
    "serviceUpdate": service_update,
}
