"""Variables and deployments: the mutations that change what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.railway import deploys, shapes
from pantheon_runbook.sandbox.planes.railway.state import Context, Railway, context_of
from pantheon_runbook.sandbox.world import Record


def _owner(context: Context, given: Record) -> Record:
    """What holds the variables: a service in an environment, or the environment itself (shared)."""
    environment = context.environment(given["environmentId"], given["projectId"])
    if given.get("serviceId"):
        return context.instance(environment["id"], given["serviceId"])
    return environment


def _redeploy_changed(vendor: Railway, owner: Record) -> None:
    """A change deploys what runs with it; what was never deployed stays undeployed."""
    instances = [owner] if "serviceId" in owner else vendor.instances_of(owner["id"])
    for instance in instances:
        earlier = vendor.deployments_of(instance["environmentId"], instance["serviceId"])
        if earlier:
            deploys.begin(vendor, instance, commit=earlier[0]["meta"].get("commitHash"))


def _upsert(context: Context, given: Record, values: Mapping[str, Any], *, replace: bool) -> bool:
    owner = _owner(context, given)
    if not all(isinstance(value, str) for value in values.values()):
        raise GraphQLError("Variable values must be strings")
    kept = {} if replace else owner["variables"]
    owner["variables"] = {**kept, **values}
    owner["updatedAt"] = now = context.vendor.now()
    known = owner.setdefault("variableTimes", {})
    for name in values:
        created = owner["createdAt"] if name in kept else now
        known[name] = {"createdAt": created, **known.get(name, {}), "updatedAt": now}
    if not given.get("skipDeploys"):
        _redeploy_changed(context.vendor, owner)
    return True


async def variable_upsert(info: Any, *, given: Record) -> bool:

    return _upsert(context_of(info), given, {given["name"]: given["value"]}, replace=False)


async def variable_collection_upsert(info: Any, *, given: Record) -> bool:
    """`replace` deletes every variable that is not in the map."""
    return _upsert(context_of(info), given, given["variables"], replace=bool(given.get("replace")))


async def variable_delete(info: Any, *, given: Record) -> bool:

    context = context_of(info)
    owner = _owner(context, given)
    owner.get("variableTimes", {}).pop(given["name"], None)
    if owner["variables"].pop(given["name"], None) is not None:
        _redeploy_changed(context.vendor, owner)
    return True


async def deploy_v2(info: Any, *, service_id: str, environment_id: str, commit_sha: str | None = None) -> str:
    """The id of the deployment; without `commitSha` the commit that the service is tied to, not the branch's head."""
    context = context_of(info)
    instance = context.instance(environment_id, service_id)
    deployment = deploys.begin(context.vendor, instance, commit=commit_sha)
    if commit_sha is not None:
        instance["config"]["source"]["commit"] = commit_sha
    return str(deployment["id"])


async def deploy(
    info: Any, *, service_id: str, environment_id: str, commit_sha: str | None = None, latest_commit: bool | None = None
) -> bool:
    context = context_of(info)
    head = context.vendor.memory["head_commit"] if latest_commit else None
    await deploy_v2(info, service_id=service_id, environment_id=environment_id, commit_sha=commit_sha or head)
    return True


async def redeploy_instance(info: Any, *, service_id: str, environment_id: str) -> bool:
    """The latest deployment's commit again; no id comes back."""
    context = context_of(info)
    instance = context.instance(environment_id, service_id)
    earlier = context.vendor.deployments_of(environment_id, service_id)
    if not earlier:
        raise GraphQLError("No deployment found")
    deploys.begin(context.vendor, instance, commit=earlier[0]["meta"].get("commitHash"))
    return True


async def triggers_deploy(info: Any, *, given: Record) -> bool:
    """As a push to the branch would."""
    context = context_of(info)
    context.environment(given["environmentId"], given["projectId"])
    return await deploy(info, service_id=given["serviceId"], environment_id=given["environmentId"], latest_commit=True)


def _again(context: Context, deployment_id: str, *, same_image: bool) -> Record:
    deployment = context.deployment(deployment_id)
    instance = context.instance(deployment["environmentId"], deployment["serviceId"])
    meta = deployment["meta"]
    image = meta["imageDigest"] if same_image else None
    return deploys.begin(context.vendor, instance, commit=meta.get("commitHash"), image=image)


async def deployment_redeploy(info: Any, *, identifier: str, use_previous_image_tag: bool | None = None) -> Record:

    context = context_of(info)
    again = _again(context, identifier, same_image=bool(use_previous_image_tag))
    return shapes.deployment(context.vendor, again)


async def deployment_rollback(info: Any, *, identifier: str) -> bool:
    """The very image that ran before, with the variables of then."""
    context = context_of(info)
    earlier = context.deployment(identifier)
    if not deploys.can_roll_back(context.vendor, earlier):
        raise GraphQLError("Deployment cannot be rolled back to")
    again = _again(context, identifier, same_image=True)
    again["variables"] = dict(earlier["variables"])
    return True


async def deployment_restart(info: Any, *, identifier: str) -> bool:
    """The same deployment, a new process."""
    context = context_of(info)
    deployment = context.deployment(identifier)
    await context.vendor.platform.remove(identifier)
    deploys.move(context.vendor, deployment, "DEPLOYING")
    deploys.work(context.vendor, deployment)
    return True


async def deployment_stop(info: Any, *, identifier: str) -> bool:

    context = context_of(info)
    await deploys.end(context.vendor, context.deployment(identifier))
    return True


MUTATIONS: Final[dict[str, Callable[..., Any]]] = {
    "deploymentCancel": deployment_stop,
    "deploymentRedeploy": deployment_redeploy,
    "deploymentRemove": deployment_stop,
    "deploymentRestart": deployment_restart,
    "deploymentRollback": deployment_rollback,
    "deploymentStop": deployment_stop,
    "environmentTriggersDeploy": triggers_deploy,
    "serviceInstanceDeploy": deploy,
    "serviceInstanceDeployV2": deploy_v2,
    "serviceInstanceRedeploy": redeploy_instance,
    "variableCollectionUpsert": variable_collection_upsert,
    "variableDelete": variable_delete,
    "variableUpsert": variable_upsert,
}
