"""Everything that can be read about one Railway environment without seeing a variable's value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pantheon_runbook.kind import Fingerprint, told_apart
from pantheon_runbook.model import Attributes, Resource, canonical
from pantheon_runbook.providers import commands
from pantheon_runbook.providers import railway_looks as looks
from pantheon_runbook.providers.railway import RailwayApi
from pantheon_runbook.providers.railway_looks import Part, ask

Names = Mapping[str, str]  # a service's name by its id
Seen = tuple[str, Attributes]  # what stands behind the prefix of an address, and what is there
_SETTINGS = {
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
    "region": "region",
    "replicas": "numReplicas",
    "restart_policy": "restartPolicyType",
    "restart_retries": "restartPolicyMaxRetries",
    "root_directory": "rootDirectory",
    "sleeps": "sleepApplication",
    "upstream_url": "upstreamUrl",
    "watch_patterns": "watchPatterns",
}
_COMMANDS = {
    "build_command": "buildCommand",
    "pre_deploy_command": "preDeployCommand",
    "start_command": "startCommand",
}


def inventory(
    api: RailwayApi, *, project_id: str, environment_id: str, fingerprint: Fingerprint
) -> tuple[Resource, ...]:
    """What stands in one environment, sorted by address; reads only, and two looks at the same thing are equal.

    Addresses go by the service's name and hold no environment's name. A command, and what may hold a secret, is a
    {"fingerprint"}; of variables there are names and times. What Railway does not show is "unreadable".
    Errors: VendorRefusedError for a refused token, VendorUnavailableError.
    """
    here = {"id": environment_id, "projectId": project_id}
    environment = ask(api, looks.ENVIRONMENT, **here)
    if environment.refused:
        looks.reach_of_token(api)
    environments = ask(api, looks.ENVIRONMENTS, projectId=project_id)
    tokens = ask(api, looks.PROJECT_TOKENS, projectId=project_id)
    services = ask(api, looks.SERVICES, **here)
    live = ask(api, looks.LIVE, projectId=project_id, environmentId=environment_id)
    names = looks.labels_of(services)
    others = _others(environments, environment_id)
    found = (
        *_each("railway/project", ask(api, looks.PROJECT, id=project_id), partial(_project, others=others)),
        *_each("railway/member", ask(api, looks.MEMBERS, id=project_id), _member),
        *_each("railway/project-token", _of_environment(tokens, environment_id), _project_token),
        *_each("railway/environment", environment, _environment),
        *_each("railway/service", services, partial(_service, names=names, fingerprint=fingerprint)),
        *_each("railway/domain", _public(services), partial(_domain, names=names)),
        *_tcp_proxies(services, names, looks.tcp_proxies(api, services, environment_id)),
        *_each("railway/variable", _own(ask(api, looks.VARIABLES, **here)), partial(_variable, names=names)),
        *_each("railway/volume", ask(api, looks.VOLUMES, **here), partial(_volume, names=names)),
        *_each("railway/trigger", ask(api, looks.TRIGGERS, **here), partial(_trigger, names=names)),
        *_each("railway/deployment", _newest(live), partial(_deployment, names=names)),
    )
    return tuple(sorted(told_apart(found), key=lambda resource: resource.address))


def _each(prefix: str, part: Part, seen: Callable[[dict[str, Any]], Seen]) -> list[Resource]:
    """One resource for each thing; one that is unreadable for all of them where Railway does not show them."""
    if part.refused:
        return [Resource(prefix, "unreadable", note=part.note)]
    return [
        Resource(f"{prefix}/{name}" if name else prefix, "present", attributes)
        for name, attributes in map(seen, part.found)
    ]


def _name(node: Mapping[str, Any], names: Names, *, without: str = "of no service") -> str:
    """The service's name; its id where the services cannot be read, `without` where it has none."""
    service_id = node["serviceId"]
    return without if service_id is None else names.get(service_id, service_id)


def _others(environments: Part, environment_id: str) -> Any:
    """Names of the environments beside this one; those of pull requests come and go."""
    if environments.refused:
        return {"unreadable": True}
    return sorted(
        node["name"] for node in environments.found if node["id"] != environment_id and not node["isEphemeral"]
    )


def _project(node: dict[str, Any], *, others: Any) -> Seen:
    return "", {
        "id": node["id"],
        "name": node["name"],
        "workspace": node["workspaceId"],
        "is_public": node["isPublic"],
        "pull_request_environments": node["prDeploys"],
        "bot_pull_request_environments": node["botPrEnvironments"],
        "focused_pull_request_environments": node["focusedPrEnvironments"],
        "base_environment": node["baseEnvironmentId"],
        "other_environments": others,
    }


def _member(node: dict[str, Any]) -> Seen:
    return node["email"], {"id": node["id"], "role": node["role"]}


def _of_environment(tokens: Part, environment_id: str) -> Part:
    return replace(tokens, found=tuple(node for node in tokens.found if node["environmentId"] == environment_id))


def _project_token(node: dict[str, Any]) -> Seen:
    return node["name"], {"id": node["id"]}


def _environment(node: dict[str, Any]) -> Seen:
    return "", {
        "id": node["id"],
        "name": node["name"],
        "is_of_pull_request": node["isEphemeral"],
        "copied_from": (node["sourceEnvironment"] or {}).get("id"),
        "staged_changes": node["unmergedChangesCount"],
    }


def _service(node: dict[str, Any], *, names: Names, fingerprint: Fingerprint) -> Seen:
    """The branch is not here: only the trigger has one."""
    source = node["source"] or {}
    return _name(node, names), {
        "id": node["serviceId"],
        "instance": node["id"],
        "repository": source.get("repo"),
        "image": source.get("image"),
        **{name: _shown(node[field], fingerprint) for name, field in _SETTINGS.items()},
        **{name: commands.compared(node[field], fingerprint) for name, field in _COMMANDS.items()},
    }


def _shown(value: Any, fingerprint: Fingerprint) -> Any:
    """A text that may hold a secret as its fingerprint, and so a plan, which may hold variables."""
    if isinstance(value, list):
        return [_shown(one, fingerprint) for one in value]
    if isinstance(value, dict):
        return {"fingerprint": fingerprint(canonical(value).decode())}
    return commands.shown(value, fingerprint) if isinstance(value, str) else value


def _public(services: Part) -> Part:
    return replace(services, found=tuple(node for node in services.found if any(map(_hosts, node["domains"].values()))))


def _domain(node: dict[str, Any], *, names: Names) -> Seen:
    """Verification and certificates go their own way and are left out."""
    return _name(node, names), {
        "service_domains": _hosts(node["domains"]["serviceDomains"]),
        "custom_domains": _hosts(node["domains"]["customDomains"]),
    }


def _hosts(domains: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = ({"host": one["domain"], "port": one["targetPort"]} for one in domains if not one["deletedAt"])
    return sorted(known, key=lambda one: str(one["host"]))


def _tcp_proxies(services: Part, names: Names, proxies: Mapping[str, Part]) -> list[Resource]:
    """One for each service that has any: Railway is asked service by service."""
    if services.refused:
        return [Resource("railway/tcp-proxy", "unreadable", note=services.note)]
    found = []
    for service_id, part in proxies.items():
        listed = [
            {"host": one["domain"], "port": one["proxyPort"], "application_port": one["applicationPort"]}
            for one in part.found
        ]
        ordered = {"proxies": sorted(listed, key=lambda one: (one["host"], one["port"]))}
        together = Part((ordered,) if listed else (), part.refused)
        found += _each(f"railway/tcp-proxy/{names[service_id]}", together, lambda node: ("", node))
    return found


def _own(variables: Part) -> Part:
    """RAILWAY_* are Railway's."""
    return replace(variables, found=tuple(node for node in variables.found if not node["name"].startswith("RAILWAY_")))


def _variable(node: dict[str, Any], *, names: Names) -> Seen:
    """`updated_at` tells that a value was changed, `references` which other variables it is made of."""
    return f"{_name(node, names, without=looks.SHARED)}/{node['name']}", {
        "is_sealed": node["isSealed"],
        "references": sorted(node["references"]),
        "updated_at": node["updatedAt"],
    }


def _volume(node: dict[str, Any], *, names: Names) -> Seen:
    """How full a volume is changes by itself and is left out."""
    return _name(node, names), {
        "id": node["volume"]["id"],
        "name": node["volume"]["name"],
        "mount_path": node["mountPath"],
        "region": node["region"],
        "size_megabytes": node["sizeMB"],
        "is_pending_deletion": node["isPendingDeletion"],
    }


def _trigger(node: dict[str, Any], *, names: Names) -> Seen:
    return f"{_name(node, names)}/{node['branch']}", {
        "id": node["id"],
        "repository": node["repository"],
        "provider": node["provider"],
        "waits_for_checks": node["checkSuites"],
        "base_environment": node["baseEnvironmentOverrideId"],
    }


def _newest(live: Part) -> Part:
    """The newest deployment of each service that came to life: it changes when somebody deploys, and only then.

    `activeDeployments` is not asked: an application that sleeps or crashes leaves it by itself. The status is left
    out for the same reason, and so are attempts that failed and deployments that were removed.
    """
    newest = {node["serviceId"]: node for node in sorted(live.found, key=lambda node: str(node["createdAt"]))}
    return replace(live, found=tuple(newest.values()))


def _deployment(node: dict[str, Any], *, names: Names) -> Seen:
    meta = node["meta"] or {}
    return _name(node, names), {
        "id": node["id"],
        "commit": meta.get("commitHash"),
        "image_digest": meta.get("imageDigest"),
    }
