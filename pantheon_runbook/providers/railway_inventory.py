"""Everything that can be read about one Railway environment without seeing a variable's value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pantheon_runbook.model import Attributes, Resource, canonical
from pantheon_runbook.providers import railway_looks as looks
from pantheon_runbook.providers.railway import RailwayApi
from pantheon_runbook.providers.railway_looks import Part, ask

Fingerprint = Callable[[str], str]
_UNREADABLE: Attributes = {"unreadable": True}
_SETTINGS = {
    "build_command": "buildCommand",
    "builder": "builder",
    "config_file": "railwayConfigFile",
    "cron": "cronSchedule",
    "dockerfile": "dockerfilePath",
    "draining_seconds": "drainingSeconds",
    "healthcheck_path": "healthcheckPath",
    "healthcheck_seconds": "healthcheckTimeout",
    "ipv6_egress": "ipv6EgressEnabled",
    "nixpacks_plan": "nixpacksPlan",
    "overlap_seconds": "overlapSeconds",
    "pre_deploy_command": "preDeployCommand",
    "region": "region",
    "replicas": "numReplicas",
    "restart_policy": "restartPolicyType",
    "restart_retries": "restartPolicyMaxRetries",
    "root_directory": "rootDirectory",
    "sleeps": "sleepApplication",
    "start_command": "startCommand",
    "upstream_url": "upstreamUrl",
    "watch_patterns": "watchPatterns",
}


def inventory(
    api: RailwayApi, *, project_id: str, environment_id: str, fingerprint: Fingerprint
) -> tuple[Resource, ...]:
    """What stands in one environment, sorted by address; reads only, and two looks at the same thing are equal.

    Addresses go by the service's name and hold no environment's name. A command with a secret written into it is
    {"fingerprint"}; of variables there are names and times. What Railway does not show is "unreadable".
    Errors: VendorRefusedError for a refused token, VendorUnavailableError.
    """
    here = {"id": environment_id, "projectId": project_id}
    environment = ask(api, looks.ENVIRONMENT, **here)
    if environment.refused:
        looks.reach_of_token(api)
    environments = ask(api, looks.ENVIRONMENTS, projectId=project_id)
    services = ask(api, looks.SERVICES, **here)
    names = looks.labels_of(services)
    live = ask(api, looks.LIVE, projectId=project_id, environmentId=environment_id)
    found = (
        *_project(ask(api, looks.PROJECT, id=project_id), environments, environment_id),
        *_members(ask(api, looks.MEMBERS, id=project_id)),
        *_project_tokens(ask(api, looks.PROJECT_TOKENS, projectId=project_id), environment_id),
        *_environment(environment),
        *_services(services, names, fingerprint),
        *_domains(services, names),
        *_tcp_proxies(services, names, looks.tcp_proxies(api, services, environment_id)),
        *_variables(ask(api, looks.VARIABLES, **here), names),
        *_volumes(ask(api, looks.VOLUMES, **here), names),
        *_triggers(ask(api, looks.TRIGGERS, **here), names),
        *_live(live, names),
    )
    return tuple(sorted(_told_apart(found), key=lambda resource: resource.address))


def _told_apart(found: Iterable[Resource]) -> list[Resource]:
    """Nothing is lost where two things have one address: each gets the head of its id behind it."""
    resources = list(found)
    addresses = [resource.address for resource in resources]
    return [
        resource
        if addresses.count(resource.address) == 1
        else Resource(f"{resource.address}#{resource.attributes['id'][:8]}", resource.state, resource.attributes)
        for resource in resources
    ]


def _unreadable(address: str, part: Part) -> list[Resource]:
    return [Resource(address, "unreadable", note=part.note)]


def _project(project: Part, environments: Part, environment_id: str) -> list[Resource]:
    if project.refused:
        return _unreadable("railway/project", project)
    (node,) = project.found
    others = sorted(one["name"] for one in environments.found if one["id"] != environment_id and not one["isEphemeral"])
    attributes = {
        "id": node["id"],
        "name": node["name"],
        "workspace": node["workspaceId"],
        "is_public": node["isPublic"],
        "pull_request_environments": node["prDeploys"],
        "bot_pull_request_environments": node["botPrEnvironments"],
        "focused_pull_request_environments": node["focusedPrEnvironments"],
        "base_environment": node["baseEnvironmentId"],
        "other_environments": _UNREADABLE if environments.refused else others,
    }
    return [Resource("railway/project", "present", attributes)]


def _members(members: Part) -> list[Resource]:
    if members.refused:
        return _unreadable("railway/member", members)
    return [
        Resource(f"railway/member/{node['email']}", "present", {"id": node["id"], "role": node["role"]})
        for node in members.found
    ]


def _project_tokens(tokens: Part, environment_id: str) -> list[Resource]:
    """Those that reach this environment."""
    if tokens.refused:
        return _unreadable("railway/project-token", tokens)
    return [
        Resource(f"railway/project-token/{node['name']}", "present", {"id": node["id"]})
        for node in tokens.found
        if node["environmentId"] == environment_id
    ]


def _environment(environment: Part) -> list[Resource]:
    if environment.refused:
        return _unreadable("railway/environment", environment)
    (node,) = environment.found
    attributes = {
        "id": node["id"],
        "name": node["name"],
        "is_of_pull_request": node["isEphemeral"],
        "copied_from": (node["sourceEnvironment"] or {}).get("id"),
        "staged_changes": node["unmergedChangesCount"],
    }
    return [Resource("railway/environment", "present", attributes)]


def _services(services: Part, names: Mapping[str, str], fingerprint: Fingerprint) -> list[Resource]:
    """The branch is not here: only the trigger has one."""
    if services.refused:
        return _unreadable("railway/service", services)
    return [
        Resource(
            f"railway/service/{names[node['serviceId']]}",
            "present",
            {
                "id": node["serviceId"],
                "instance": node["id"],
                "repository": (node["source"] or {}).get("repo"),
                "image": (node["source"] or {}).get("image"),
                **{name: _shown(node[field], fingerprint) for name, field in sorted(_SETTINGS.items())},
            },
        )
        for node in services.found
    ]


def _shown(value: Any, fingerprint: Fingerprint) -> Any:
    """A text that may hold a secret as its fingerprint, and so a plan, which may hold variables."""
    if isinstance(value, list):
        return [_shown(one, fingerprint) for one in value]
    if isinstance(value, dict):
        return {"fingerprint": fingerprint(canonical(value).decode())}
    if isinstance(value, str) and looks.may_hold_secret(value):
        return {"fingerprint": fingerprint(value)}
    return value


def _domains(services: Part, names: Mapping[str, str]) -> list[Resource]:
    """Verification and certificates go their own way and are left out."""
    if services.refused:
        return _unreadable("railway/domain", services)
    found = []
    for node in services.found:
        attributes = {
            "service_domains": _hosts(node["domains"]["serviceDomains"]),
            "custom_domains": _hosts(node["domains"]["customDomains"]),
        }
        if any(attributes.values()):
            found.append(Resource(f"railway/domain/{names[node['serviceId']]}", "present", attributes))
    return found


def _hosts(domains: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = ({"host": one["domain"], "port": one["targetPort"]} for one in domains if not one["deletedAt"])
    return sorted(known, key=lambda one: str(one["host"]))


def _tcp_proxies(services: Part, names: Mapping[str, str], proxies: Mapping[str, Part]) -> list[Resource]:
    if services.refused:
        return _unreadable("railway/tcp-proxy", services)
    found = []
    for service_id, part in proxies.items():
        address = f"railway/tcp-proxy/{names[service_id]}"
        if part.refused:
            found += _unreadable(address, part)
        elif part.found:
            listed = [
                {"host": one["domain"], "port": one["proxyPort"], "application_port": one["applicationPort"]}
                for one in part.found
            ]
            ordered = sorted(listed, key=lambda one: (one["host"], one["port"]))
            found.append(Resource(address, "present", {"proxies": ordered}))
    return found


def _variables(variables: Part, names: Mapping[str, str]) -> list[Resource]:
    """`updated_at` tells that a value was changed, `references` which others it is made of; RAILWAY_* are Railway's."""
    if variables.refused:
        return _unreadable("railway/variable", variables)
    return [
        Resource(
            f"railway/variable/{_owner(node, names, without=looks.SHARED)}/{node['name']}",
            "present",
            {
                "is_sealed": node["isSealed"],
                "references": sorted(node["references"]),
                "updated_at": node["updatedAt"],
            },
        )
        for node in variables.found
        if not node["name"].startswith("RAILWAY_")
    ]


def _owner(node: Mapping[str, Any], names: Mapping[str, str], *, without: str) -> str:
    """The service's name; its id where the services cannot be read, `without` where it has none."""
    service_id = node["serviceId"]
    return without if service_id is None else names.get(service_id, service_id)


def _volumes(volumes: Part, names: Mapping[str, str]) -> list[Resource]:
    """How full a volume is changes by itself and is left out."""
    if volumes.refused:
        return _unreadable("railway/volume", volumes)
    return [
        Resource(
            f"railway/volume/{_owner(node, names, without='of no service')}",
            "present",
            {
                "id": node["volume"]["id"],
                "name": node["volume"]["name"],
                "mount_path": node["mountPath"],
                "region": node["region"],
                "size_megabytes": node["sizeMB"],
                "is_pending_deletion": node["isPendingDeletion"],
            },
        )
        for node in volumes.found
    ]


def _triggers(triggers: Part, names: Mapping[str, str]) -> list[Resource]:
    if triggers.refused:
        return _unreadable("railway/trigger", triggers)
    return [
        Resource(
            f"railway/trigger/{_owner(node, names, without='of no service')}/{node['branch']}",
            "present",
            {
                "id": node["id"],
                "repository": node["repository"],
                "provider": node["provider"],
                "waits_for_checks": node["checkSuites"],
                "base_environment": node["baseEnvironmentOverrideId"],
            },
        )
        for node in triggers.found
    ]


def _live(deployments: Part, names: Mapping[str, str]) -> list[Resource]:
    """The newest deployment of each service that came to life: it changes when somebody deploys, and only then.

    `activeDeployments` is not asked: an application that sleeps or crashes leaves it by itself. The status is left
    out for the same reason, and so are attempts that failed and deployments that were removed.
    """
    if deployments.refused:
        return _unreadable("railway/deployment", deployments)
    newest: dict[str, dict[str, Any]] = {}
    for node in sorted(deployments.found, key=lambda one: str(one["createdAt"])):
        if node["serviceId"] in names or not names:
            newest[node["serviceId"]] = node
    return [
        Resource(
            f"railway/deployment/{names.get(service_id, service_id)}",
            "present",
            {
                "id": node["id"],
                "commit": (node["meta"] or {}).get("commitHash"),
                "image_digest": (node["meta"] or {}).get("imageDigest"),
            },
        )
        for service_id, node in newest.items()
    ]
