"""Projects, environments, project tokens and volumes: the mutations."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.railway import deploys, shapes
from pantheon_runbook.sandbox.planes.railway.services import new_instance
from pantheon_runbook.sandbox.planes.railway.state import Railway, context_of, instance_key, new_token, not_authorized
from pantheon_runbook.sandbox.world import Record


def new_project(vendor: Railway, *, name: str, workspace_id: str, environment_name: str) -> tuple[Record, Record]:
    """A project and its one environment; project names are not unique."""
    now = vendor.now()
    project: Record = {
        "id": vendor.world.uuid("railway.project", f"{workspace_id}/{name}"),
        "name": name,
        "workspaceId": workspace_id,
        "description": None,
        "prDeploys": False,
        "createdAt": now,
        "updatedAt": now,
    }
    environment = _new_environment(vendor, project["id"], environment_name)
    project["baseEnvironmentId"] = environment["id"]
    vendor.table("projects")[project["id"]] = project
    return project, environment


def _new_environment(vendor: Railway, project_id: str, name: str, *, ephemeral: bool = False) -> Record:
    now = vendor.now()
    environment: Record = {
        "id": vendor.world.uuid("railway.environment", f"{project_id}/{name}"),
        "name": name,
        "projectId": project_id,
        "isEphemeral": ephemeral,
        "sourceEnvironmentId": None,
        "variables": {},
        "createdAt": now,
        "updatedAt": now,
    }
    vendor.table("environments")[environment["id"]] = environment
    return environment


async def project_create(info: Any, *, given: Record) -> Record:
    """With one environment: `defaultEnvironmentName`, or "production"."""
    context = context_of(info)
    reachable = context.account().workspace_ids
    workspace_id = given.get("workspaceId") or reachable[0]
    if workspace_id not in reachable:
        raise not_authorized()
    vendor = context.vendor
    project, _ = new_project(
        vendor,
        name=given.get("name") or vendor.world.letters("railway.project.name", workspace_id, length=12),
        workspace_id=workspace_id,
        environment_name=given.get("defaultEnvironmentName") or "production",
    )
    project |= {"description": given.get("description"), "prDeploys": bool(given.get("prDeploys"))}
    return shapes.project(vendor, project)


async def project_update(info: Any, *, identifier: str, given: Record) -> Record:
    """Whether pull requests get environments, and which environment they are copied from, is set here."""
    context = context_of(info)
    context.account()
    project = context.project(identifier)
    project |= given
    return shapes.project(context.vendor, project)


async def project_member_add(info: Any, *, given: Record) -> Record:
    """The same call with another role changes the role, as `projectMemberUpdate` does."""
    context = context_of(info)
    context.account()
    project = context.project(given["projectId"])
    named = given["userId"]
    member: Record = {"id": named, "email": f"{named}@pantheon.example", "name": None, "role": given["role"]}
    known = {one["id"]: one for one in shapes.members(context.vendor, project)}
    memberships = project.setdefault("memberships", {})
    memberships[named] = {**known.get(named, member), "role": given["role"]}
    return dict(memberships[named])


async def project_delete(info: Any, *, identifier: str) -> bool:

    context = context_of(info)
    context.account()
    project = context.project(identifier)
    for environment in context.vendor.environments_of(project["id"]):
        await _delete_environment(context.vendor, environment)
    for service in context.vendor.services_of(project["id"]):
        del context.vendor.table("services")[service["id"]]
    del context.vendor.table("projects")[project["id"]]
    return True


async def environment_create(info: Any, *, given: Record) -> Record:
    """Blocks until the copy is made, unless `applyChangesInBackground`; the name is taken at once either way.

    `sourceEnvironmentId` copies services, configuration and variables (production's too), and deploys the copy
    unless `skipInitialDeploys`.
    """
    context = context_of(info)
    context.account()
    vendor, project = context.vendor, context.project(given["projectId"])
    source_id = given.get("sourceEnvironmentId")
    source = context.environment(source_id, project["id"]) if source_id else None
    name = given["name"]
    if any(one["name"].lower() == name.lower() for one in vendor.environments_of(project["id"])):
        raise GraphQLError(f'An environment named "{name}" already exists in this project.')
    environment = _new_environment(vendor, project["id"], name, ephemeral=bool(given.get("ephemeral")))
    deploy = not given.get("skipInitialDeploys")
    vendor.work.start(
        environment["id"],
        lambda: _fill(vendor, environment, source, deploy=deploy),
        failed=lambda _error: environment.update({"deletedAt": vendor.now()}),
    )
    if not given.get("applyChangesInBackground"):
        await vendor.work.finished(environment["id"])
    return shapes.environment(vendor, environment)


async def _fill(vendor: Railway, environment: Record, source: Record | None, *, deploy: bool) -> None:
    """A copy of `source`; without one, the project's services without source and variables."""
    await asyncio.sleep(vendor.world.pace.environment_create_seconds)
    if source is None:
        for service in vendor.services_of(environment["projectId"]):
            new_instance(vendor, environment["id"], service["id"])
        return
    environment["sourceEnvironmentId"] = source["id"]
    environment["variables"] = dict(source["variables"])
    for instance in vendor.instances_of(source["id"]):
        copied = new_instance(vendor, environment["id"], instance["serviceId"])
        copied["variables"] = dict(instance["variables"])
        copied["config"] = copy.deepcopy(instance["config"])
        if deploy and any(copied["config"]["source"].values()):
            deploys.begin(vendor, copied)


async def environment_delete(info: Any, *, identifier: str) -> bool:

    context = context_of(info)
    context.account()
    environment = context.environment(identifier)
    if context.project(environment["projectId"])["baseEnvironmentId"] == identifier:
        raise GraphQLError("Cannot delete the base environment of a project")
    await _delete_environment(context.vendor, environment)
    return True


async def _delete_environment(vendor: Railway, environment: Record) -> None:
    for instance in vendor.instances_of(environment["id"]):
        await deploys.remove_instance(vendor, instance)
    for table in ("volumes", "project_tokens"):
        rows = vendor.table(table)
        for key in [key for key, row in rows.items() if row["environmentId"] == environment["id"]]:
            del rows[key]
    del vendor.table("environments")[environment["id"]]


async def environment_rename(info: Any, *, identifier: str, given: Record) -> Record:

    context = context_of(info)
    environment = context.environment(identifier)
    environment |= {"name": given["name"], "updatedAt": context.vendor.now()}
    return shapes.environment(context.vendor, environment)


async def project_token_create(info: Any, *, given: Record) -> str:
    """The value, shown once."""
    context = context_of(info)
    context.account()
    environment = context.environment(given["environmentId"], given["projectId"])
    vendor = context.vendor
    named = f"{environment['id']}/{given['name']}"
    token: Record = {
        "id": vendor.world.uuid("railway.project_token", named),
        "name": given["name"],
        "projectId": environment["projectId"],
        "environmentId": environment["id"],
        "createdAt": vendor.now(),
        "value": new_token(vendor.world, "railway.project_token.value", named),
    }
    vendor.table("project_tokens")[token["id"]] = token
    return str(token["value"])


async def project_token_delete(info: Any, *, identifier: str) -> bool:

    context = context_of(info)
    context.account()
    token = context.vendor.table("project_tokens").get(identifier)
    if token is None:
        raise not_authorized()
    context.project(token["projectId"])
    del context.vendor.table("project_tokens")[identifier]
    return True


async def volume_create(info: Any, *, given: Record) -> Record:
    """A volume for one service; the sandbox's servers keep nothing on it."""
    context = context_of(info)
    project = context.project(given["projectId"])
    environment_id = given.get("environmentId") or project["baseEnvironmentId"]
    context.environment(environment_id, project["id"])
    if given.get("serviceId"):
        context.instance(environment_id, given["serviceId"])
    vendor = context.vendor
    volume: Record = {
        "id": vendor.world.uuid("railway.volume", instance_key(environment_id, given.get("serviceId") or "")),
        "name": f"volume-{len(vendor.table('volumes')) + 1}",
        "projectId": project["id"],
        "environmentId": environment_id,
        "serviceId": given.get("serviceId"),
        "mountPath": given["mountPath"],
        "region": given.get("region"),
        "createdAt": vendor.now(),
    }
    vendor.table("volumes")[volume["id"]] = volume
    return shapes.volume(vendor, volume)


MUTATIONS: Final[dict[str, Callable[..., Any]]] = {
    "environmentCreate": environment_create,
    "environmentDelete": environment_delete,
    "environmentRename": environment_rename,
    "projectCreate": project_create,
    "projectDelete": project_delete,
    "projectMemberAdd": project_member_add,
    "projectMemberUpdate": project_member_add,
    "projectTokenCreate": project_token_create,
    "projectTokenDelete": project_token_delete,
    "projectUpdate": project_update,
    "volumeCreate": volume_create,
}
