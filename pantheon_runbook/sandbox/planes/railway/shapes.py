"""How remembered things look through GraphQL: plain objects, with a function where a field needs work.

A function is called by the executor with (info, **arguments) and only when the field was asked for.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pantheon_runbook.sandbox.planes.railway import deploys
from pantheon_runbook.sandbox.planes.railway.connections import connection, field, paged
from pantheon_runbook.sandbox.planes.railway.rendering import own_variables, references
from pantheon_runbook.sandbox.planes.railway.state import Railway
from pantheon_runbook.sandbox.world import Record

# The plan of the workspace allows these much; nothing in the sandbox counts against it.
_INSIDE = frozenset(  # no field of a deployment
    {"variables", "program", "healthPath", "hasServed", "imageGone", "drainingSeconds", "overlapSeconds"}
)
_PLAN_LIMITS: Record = {"projects": {"max": 100}, "containers": {"memory": 32, "cpu": 32}}


def workspace(vendor: Railway, record: Record) -> Record:
    return {
        **record,
        "adoptionLevel": 0.0,
        "allowDeprecatedRegions": False,
        "has2FAEnforcement": False,
        "hasGuardrailsAccess": False,
        "hasSAML": False,
        "redactedDueTo2FAPending": False,
        "preferredRegion": "europe-west4-drams3a",
        "subscriptionPlanLimit": _PLAN_LIMITS,
        "usersWithout2FA": [],
        "projects": paged(
            lambda: [one for one in vendor.table("projects").values() if one["workspaceId"] == record["id"]],
            lambda one: project(vendor, one),
        ),
    }


def project(vendor: Railway, record: Record) -> Record:
    def base_environment(_info: Any) -> Record | None:
        base = vendor.table("environments").get(record["baseEnvironmentId"])
        return None if base is None else environment(vendor, base)

    def environments(_info: Any, *, is_ephemeral: bool | None = None, sort: str | None = None, **page: Any) -> Record:
        found = environments_in(vendor, record["id"], ephemeral=is_ephemeral)
        return connection(found[::-1] if sort == "desc" else found, lambda one: environment(vendor, one), **page)

    return {
        **record,
        "botPrEnvironments": record.get("botPrEnvironments", False),
        "focusedPrEnvironments": record.get("focusedPrEnvironments", False),
        "isPublic": record.get("isPublic", False),
        "isTempProject": False,
        "primaryEnvironmentId": record["baseEnvironmentId"],
        "subscriptionPlanLimit": _PLAN_LIMITS,
        "subscriptionType": vendor.memory["plan"],
        "members": members(vendor, record),
        "baseEnvironment": base_environment,
        "environments": field(environments),
        "services": paged(lambda: vendor.services_of(record["id"]), lambda one: service(vendor, one)),
        "volumes": paged(
            lambda: [one for one in vendor.table("volumes").values() if one["projectId"] == record["id"]],
            lambda one: volume(vendor, one),
        ),
        "workspace": lambda _info: workspace(vendor, vendor.memory["workspaces"][record["workspaceId"]]),
    }


def members(vendor: Railway, record: Record) -> list[Record]:
    """The token's own user as ADMIN, and whoever was added since; an entry by id overrides."""
    user = vendor.memory["user"]
    owner = {name: user[name] for name in ("id", "email", "name")} | {"role": "ADMIN"}
    return list({owner["id"]: owner, **record.get("memberships", {})}.values())


def environments_in(vendor: Railway, project_id: str, *, ephemeral: bool | None) -> list[Record]:
    """Environments of a project by age; `ephemeral` None takes both kinds."""
    return [one for one in vendor.environments_of(project_id) if ephemeral is None or one["isEphemeral"] is ephemeral]


def environment(vendor: Railway, record: Record) -> Record:
    def source_environment(_info: Any) -> Record | None:
        source = vendor.table("environments").get(record["sourceEnvironmentId"] or "")
        return None if source is None else environment(vendor, source)

    def config(_info: Any, *, decrypt_variables: bool | None = None) -> Record:
        return environment_config(vendor, record, reveal=bool(decrypt_variables))

    def of_this(table: str) -> list[Record]:
        return [one for one in vendor.table(table).values() if one["environmentId"] == record["id"]]

    whole = json.dumps(environment_config(vendor, record, reveal=True), sort_keys=True)
    return {
        **record,
        "canAccess": True,
        "unmergedChangesCount": record.get("unmergedChangesCount", 0),
        "config": field(config),
        "configEtag": hashlib.sha256(whole.encode()).hexdigest()[:32],
        "sourceEnvironment": source_environment,
        "serviceInstances": paged(lambda: vendor.instances_of(record["id"]), lambda one: service_instance(vendor, one)),
        "variables": paged(lambda: _variables(vendor, record), lambda one: variable(vendor, one)),
        "deploymentTriggers": paged(lambda: of_this("triggers"), dict),
        "volumeInstances": paged(lambda: of_this("volumes"), lambda one: volume_instance(vendor, one)),
    }


def environment_config(vendor: Railway, record: Record, *, reveal: bool) -> Record:
    """Services, shared variables and volumes of an environment; values only when they were asked for."""

    def shown(owner: Record) -> Record:
        sealed = owner.get("sealed", ())
        return {
            name: {"value": value} if reveal and name not in sealed else {}
            for name, value in sorted(owner["variables"].items())
        }

    services = {
        one["serviceId"]: {
            "source": {name: value for name, value in one["config"]["source"].items() if value},
            "variables": shown(one),
            "deploy": {"startCommand": one["config"]["startCommand"], "region": one["config"]["region"]},
        }
        for one in vendor.instances_of(record["id"])
    }
    return {"services": services, "sharedVariables": shown(record)}


def _variables(vendor: Railway, record: Record) -> list[Record]:
    owners: list[tuple[str | None, Record]] = [(None, record)]
    owners += [(one["serviceId"], one) for one in vendor.instances_of(record["id"])]
    return [
        {
            "id": hashlib.sha256(f"{record['id']}|{service_id}|{name}".encode()).hexdigest()[:32],
            "name": name,
            "serviceId": service_id,
            "environmentId": record["id"],
            "references": references(value),
            "isSealed": name in owner.get("sealed", ()),
            **owner.get("variableTimes", {}).get(name, dict.fromkeys(("createdAt", "updatedAt"), owner["createdAt"])),
        }
        for service_id, owner in owners
        for name, value in own_variables(vendor, record["id"], service_id).items()
    ]


def variable(vendor: Railway, record: Record) -> Record:
    owner = vendor.table("environments")[record["environmentId"]]
    return {**record, "environment": lambda _info: environment(vendor, owner)}


def service(vendor: Railway, record: Record) -> Record:
    def triggers() -> list[Record]:
        return [one for one in vendor.table("triggers").values() if one["serviceId"] == record["id"]]

    return {
        **record,
        "hasHiddenRegistryCredentialsFromTemplate": False,
        "isRestricted": False,
        "project": lambda _info: project(vendor, vendor.table("projects")[record["projectId"]]),
        "repoTriggers": paged(triggers, dict),
    }


def service_instance(vendor: Railway, record: Record) -> Record:
    environment_id, service_id = record["environmentId"], record["serviceId"]
    deployments = vendor.deployments_of(environment_id, service_id)
    owner = vendor.table("services")[service_id]
    source = record["config"]["source"]
    return {
        **record["config"],
        **{name: record[name] for name in ("id", "environmentId", "serviceId", "createdAt", "updatedAt")},
        "source": {name: source.get(name) for name in ("image", "repo")} if any(source.values()) else None,
        "isUpdatable": False,
        "serviceName": owner["name"],
        "service": lambda _info: service(vendor, owner),
        "domains": lambda _info: domains(vendor, environment_id, service_id),
        "latestDeployment": (lambda _info: deployment(vendor, deployments[0])) if deployments else None,
        "activeDeployments": [deployment(vendor, one) for one in deployments if one["status"] == "SUCCESS"],
    }


def domains(vendor: Railway, environment_id: str, service_id: str) -> Record:
    def of_this(table: str) -> list[Record]:
        return [
            one
            for one in vendor.table(table).values()
            if (one["environmentId"], one["serviceId"]) == (environment_id, service_id)
        ]

    return {"serviceDomains": of_this("domains"), "customDomains": of_this("custom_domains")}


def deployment(vendor: Railway, record: Record) -> Record:
    finished = record["status"] in {"SUCCESS", "REMOVED", "SLEEPING"}
    hosts = domains(vendor, record["environmentId"], record["serviceId"])["serviceDomains"]
    host = hosts[0]["domain"] if hosts else None
    return {
        **{name: value for name, value in record.items() if name not in _INSIDE},
        "updatedAt": record["statusUpdatedAt"],
        "canRedeploy": finished,
        "canRollback": deploys.can_roll_back(vendor, record),
        "deploymentStopped": record["status"] == "REMOVED",
        "suggestAddServiceDomain": host is None,
        "staticUrl": host,
        "url": host,
        "environment": lambda _info: environment(vendor, vendor.table("environments")[record["environmentId"]]),
        "service": lambda _info: service(vendor, vendor.table("services")[record["serviceId"]]),
    }


def project_token(vendor: Railway, record: Record) -> Record:
    return {
        **{name: record[name] for name in ("id", "name", "projectId", "environmentId", "createdAt")},
        "displayToken": f"{record['value'][:4]}********",
        "project": lambda _info: project(vendor, vendor.table("projects")[record["projectId"]]),
        "environment": lambda _info: environment(vendor, vendor.table("environments")[record["environmentId"]]),
    }


def volume(vendor: Railway, record: Record) -> Record:
    owner = vendor.table("projects")[record["projectId"]]
    return {**record, "project": lambda _info: project(vendor, owner)}


def volume_instance(vendor: Railway, record: Record) -> Record:
    return {
        **record,
        "volumeId": record["id"],
        "isPendingDeletion": False,
        "sizeMB": 5000,
        "state": "READY",
        "volume": volume(vendor, record),
    }
