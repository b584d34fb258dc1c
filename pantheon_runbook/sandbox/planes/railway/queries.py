"""The root fields of queries; each is called with (info, **arguments) and reads only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.railway import shapes
from pantheon_runbook.sandbox.planes.railway.connections import connection
from pantheon_runbook.sandbox.planes.railway.rendering import for_deployment, own_variables, rendered, shown
from pantheon_runbook.sandbox.planes.railway.state import context_of, not_authorized
from pantheon_runbook.sandbox.planes.railway.templates import REDIS_TEMPLATE, redis_template
from pantheon_runbook.sandbox.world import Record

_LOG_LINES: Final = 100


def _page(arguments: Record) -> Record:
    return {name: arguments[name] for name in ("first", "after", "last", "before") if name in arguments}


def api_token(info: Any) -> Record:
    """The workspaces that this token reaches."""
    context = context_of(info)
    workspaces = context.vendor.memory["workspaces"]
    found = [workspaces[one] for one in context.account().workspace_ids]
    return {"workspaces": [{"id": one["id"], "name": one["name"]} for one in found]}


def me(info: Any) -> Record:
    """Fails for workspace and project tokens."""
    context = context_of(info)
    if context.account().name != "account":
        raise not_authorized()
    vendor = context.vendor
    spaces = [shapes.workspace(vendor, one) for one in vendor.memory["workspaces"].values()]
    return {**vendor.memory["user"], "workspaces": spaces, "workspace": spaces[0]}


def workspace(info: Any, *, workspace_id: str) -> Record:
    context = context_of(info)
    if workspace_id not in context.account().workspace_ids:
        raise not_authorized()
    return shapes.workspace(context.vendor, context.vendor.memory["workspaces"][workspace_id])


def projects(info: Any, *, workspace_id: str | None = None, **arguments: Any) -> Record:
    context = context_of(info)
    reachable = context.account().workspace_ids
    if workspace_id is not None and workspace_id not in reachable:
        raise not_authorized()
    wanted = reachable if workspace_id is None else (workspace_id,)
    found = [one for one in context.vendor.table("projects").values() if one["workspaceId"] in wanted]
    return connection(found, lambda one: shapes.project(context.vendor, one), **_page(arguments))


def project(info: Any, *, identifier: str) -> Record:

    context = context_of(info)
    return shapes.project(context.vendor, context.project(identifier))


def project_token(info: Any) -> Record:
    """What the token in Project-Access-Token is for."""
    context = context_of(info)
    if context.caller is None or context.caller.project_token is None:
        raise not_authorized()
    return shapes.project_token(context.vendor, context.caller.project_token)


def project_tokens(info: Any, *, project_id: str, **arguments: Any) -> Record:
    context = context_of(info)
    context.account()
    context.project(project_id)
    found = [one for one in context.vendor.table("project_tokens").values() if one["projectId"] == project_id]
    return connection(found, lambda one: shapes.project_token(context.vendor, one), **_page(arguments))


def environments(info: Any, *, project_id: str, is_ephemeral: bool | None = None, **arguments: Any) -> Record:
    context = context_of(info)
    context.project(project_id)
    found = shapes.environments_in(context.vendor, project_id, ephemeral=is_ephemeral)
    return connection(found, lambda one: shapes.environment(context.vendor, one), **_page(arguments))


def environment(info: Any, *, identifier: str, project_id: str | None = None) -> Record:

    context = context_of(info)
    return shapes.environment(context.vendor, context.environment(identifier, project_id))


def service(info: Any, *, identifier: str) -> Record:

    context = context_of(info)
    return shapes.service(context.vendor, context.service(identifier))


def service_instance(info: Any, *, environment_id: str, service_id: str) -> Record:
    context = context_of(info)
    return shapes.service_instance(context.vendor, context.instance(environment_id, service_id))


def variables(
    info: Any, *, project_id: str, environment_id: str, service_id: str | None = None, unrendered: bool | None = None
) -> dict[str, str]:
    """Name to value; `unrendered` keeps the references."""
    context = context_of(info)
    context.environment(environment_id, project_id)
    if service_id is not None:
        context.instance(environment_id, service_id)
    show = own_variables if unrendered else rendered
    return shown(context.vendor, environment_id, service_id, show(context.vendor, environment_id, service_id))


def variables_for_service_deployment(
    info: Any, *, project_id: str, environment_id: str, service_id: str
) -> dict[str, str]:
    context = context_of(info)
    context.environment(environment_id, project_id)
    context.instance(environment_id, service_id)
    values = for_deployment(context.vendor, environment_id, service_id)
    return shown(context.vendor, environment_id, service_id, values)


def deployments(info: Any, *, given: Record, **arguments: Any) -> Record:
    """The newest first; removed ones are part of the list, as they can be rolled back to."""
    context = context_of(info)
    if given.get("environmentId"):
        context.environment(given["environmentId"], given.get("projectId"))
    elif given.get("projectId"):
        context.project(given["projectId"])
    else:
        raise GraphQLError("Problem processing request: projectId or environmentId is required")
    wanted = {name: given[name] for name in ("projectId", "environmentId", "serviceId") if given.get(name)}
    status = given.get("status") or {}
    found = [
        one
        for one in context.vendor.table("deployments").values()
        if all(one[name] == value for name, value in wanted.items())
        and (status.get("in") is None or one["status"] in status["in"])
        and one["status"] not in (status.get("notIn") or ())
    ]
    found.sort(key=lambda one: (one["createdAt"], one["number"]), reverse=True)
    return connection(found, lambda one: shapes.deployment(context.vendor, one), **_page(arguments))


def deployment(info: Any, *, identifier: str) -> Record:

    context = context_of(info)
    return shapes.deployment(context.vendor, context.deployment(identifier))


def _log(lines: list[str], limit: int | None, stamp: str) -> list[Record]:
    """The newest lines, oldest first."""
    kept = lines[-(limit or _LOG_LINES) :]
    return [{"message": line, "severity": "info", "timestamp": stamp, "attributes": []} for line in kept]


def build_logs(info: Any, *, deployment_id: str, limit: int | None = None, **_arguments: Any) -> list[Record]:
    found = context_of(info).deployment(deployment_id)
    lines = [
        f"using {found['meta'].get('repo') or found['meta'].get('image')}",
        f"built {found['meta']['imageDigest']}",
    ]
    return _log(lines, limit, found["createdAt"])


async def deployment_logs(
    info: Any, *, deployment_id: str, limit: int | None = None, **_arguments: Any
) -> list[Record]:
    """What its process has said, kept after it has ended."""
    context = context_of(info)
    found = context.deployment(deployment_id)
    return _log(await context.vendor.platform.output(deployment_id), limit, found["statusUpdatedAt"])


def auto_deploy_status(info: Any, *, project_id: str, environment_id: str, service_id: str) -> Record:
    """Whether a push to a branch deploys the service in this environment."""
    context = context_of(info)
    context.environment(environment_id, project_id)
    instance = context.instance(environment_id, service_id)
    has_repo = bool(instance["config"]["source"].get("repo"))
    enabled = bool(context.vendor.triggers_of(environment_id, service_id))
    return {"enabled": enabled, "canEnable": has_repo, "reason": None if has_repo else "The service has no repository"}


def deployment_triggers(
    info: Any, *, project_id: str, environment_id: str, service_id: str, **arguments: Any
) -> Record:
    """Which branch deploys by itself: what can change an environment without anybody here."""
    context = context_of(info)
    context.environment(environment_id, project_id)
    context.service(service_id)
    found = context.vendor.triggers_of(environment_id, service_id)
    return connection(found, dict, **_page(arguments))


def domains(info: Any, *, project_id: str, environment_id: str, service_id: str) -> Record:
    context = context_of(info)
    context.environment(environment_id, project_id)
    context.service(service_id)
    return shapes.domains(context.vendor, environment_id, service_id)


def tcp_proxies(info: Any, *, environment_id: str, service_id: str) -> list[Record]:
    """Ports that lead from the Internet straight into a service."""
    context = context_of(info)
    context.instance(environment_id, service_id)
    return [
        one
        for one in context.vendor.table("tcp_proxies").values()
        if (one["environmentId"], one["serviceId"]) == (environment_id, service_id)
    ]


def workflow_status(info: Any, *, workflow_id: str) -> Record:
    context = context_of(info)
    if context.caller is None:
        raise not_authorized()
    known = context.vendor.table("workflows").get(workflow_id)
    if known is None:
        return {"status": "NotFound", "error": None}
    return {"status": known["status"], "error": known["error"]}


def template(info: Any, *, code: str | None = None, identifier: str | None = None, **_arguments: Any) -> Record:
    """Answered without a token."""
    context = context_of(info)
    found = redis_template(context.vendor.world)
    if code != REDIS_TEMPLATE and identifier != found["id"]:
        raise GraphQLError("Template not found")
    return found


ROOT: Final[dict[str, Callable[..., Any]]] = {
    "apiToken": api_token,
    "buildLogs": build_logs,
    "deployment": deployment,
    "deploymentLogs": deployment_logs,
    "deploymentTriggers": deployment_triggers,
    "deployments": deployments,
    "domains": domains,
    "environment": environment,
    "environments": environments,
    "me": me,
    "project": project,
    "projectToken": project_token,
    "projectTokens": project_tokens,
    "projects": projects,
    "service": service,
    "serviceInstance": service_instance,
    "serviceInstanceAutoDeployStatus": auto_deploy_status,
    "tcpProxies": tcp_proxies,
    "template": template,
    "variables": variables,
    "variablesForServiceDeployment": variables_for_service_deployment,
    "workflowStatus": workflow_status,
    "workspace": workspace,
}
