"""The Railway side of the seeded world: one project whose only environment is production, live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pantheon_runbook.sandbox.planes.railway import deploys
from pantheon_runbook.sandbox.planes.railway.projects import new_project
from pantheon_runbook.sandbox.planes.railway.services import new_domain, new_service, new_trigger
from pantheon_runbook.sandbox.planes.railway.state import Railway, empty_memory, instance_key, new_token
from pantheon_runbook.sandbox.world import Record, World

REQUESTS_PER_HOUR: Final = 1000
REPOSITORY: Final = "pantheon/pantheon"
OPENROUTER_MODEL: Final = "openai/gpt-5-mini"
# Asked for by the customer: Railway gives none by itself.
DRAINING_SECONDS: Final = 10
OVERLAP_SECONDS: Final = 1


class _NoPlatform:
    """Seeding remembers only; whoever owns the platform brings up what `running(world)` lists."""


def seed_production(world: World, supabase: Mapping[str, Any], openrouter: Mapping[str, Any]) -> dict[str, Any]:
    """Workspace, project "pantheon", environment "production" with api, worker and Redis, all deployed."""
    token = new_token(world, "railway.token", "supervisor")
    workspace_id, user_id = world.uuid("railway.workspace", "Pantheon"), world.uuid("railway.user", "supervisor")
    released = world.token("git.commit", "released", length=40)
    head = world.token("git.commit", "head", length=40)
    vendor = Railway(world, _NoPlatform())  # type: ignore[arg-type]  # seeding asks nothing of the platform
    now = vendor.now()
    world.document["railway"] = {
        **empty_memory(),
        "limits": {"requests_per_hour": REQUESTS_PER_HOUR},
        "plan": "pro",
        "redis_template_id": world.uuid("railway.template", "redis"),
        "commits": {released: "Release 41", head: "Release 42"},
        "head_commit": head,
        "tokens": {token: {"kind": "account", "workspaces": [workspace_id]}},
        "user": _user(user_id, now),
        "workspaces": {workspace_id: _workspace(workspace_id, now)},
    }
    project, environment = new_project(
        vendor, name="pantheon", workspace_id=workspace_id, environment_name="production"
    )
    project["production"] = environment["production"] = True
    instances = _services(vendor, project, environment, released)
    domain = new_domain(vendor, instances["api"], target_port=8080)
    _set_variables(world, instances, {**supabase, "openrouter_key": openrouter["key"]}, supabase["site_url"])
    deployments = {name: _deployed(vendor, instance) for name, instance in instances.items()}
    return {
        "token": token,
        "workspace_id": workspace_id,
        "workspace_name": "Pantheon",
        "project_id": project["id"],
        "project_name": project["name"],
        "environment_id": environment["id"],
        "environment_name": environment["name"],
        "services": {name: instance["serviceId"] for name, instance in instances.items()},
        "instances": {name: instance["id"] for name, instance in instances.items()},
        "deployments": {name: deployment["id"] for name, deployment in deployments.items()},
        "api_domain": domain["domain"],
        "repository": REPOSITORY,
        "commits": {"released": released, "head": head},
    }


def _user(user_id: str, now: str) -> Record:
    flags = dict.fromkeys(("hasPasskeys", "isAdmin", "isConductor"), False)
    return {
        **flags,
        "id": user_id,
        "email": "supervisor@pantheon.example",
        "name": "Supervisor",
        "username": "supervisor",
        "agreedFairUse": True,
        "has2FA": False,
        "isVerified": True,
        "registrationStatus": "REGISTERED",
        "createdAt": now,
        "lastLogin": now,
    }


def _workspace(workspace_id: str, now: str) -> Record:
    return {"id": workspace_id, "name": "Pantheon", "plan": "PRO", "createdAt": now, "updatedAt": now}


def _services(vendor: Railway, project: Record, environment: Record, commit: str) -> dict[str, Record]:
    """The instances of api, worker and Redis in production."""
    instances = {}
    for name in ("api", "worker", "Redis"):
        service = new_service(vendor, project_id=project["id"], name=name, environments=[environment])
        instances[name] = vendor.table("instances")[instance_key(environment["id"], service["id"])]
    instances["Redis"]["config"]["source"] = {"image": deploys.REDIS_IMAGE}
    for name, command in (("api", "python -m app"), ("worker", "python -m worker")):
        instances[name]["config"] |= {
            "source": {"repo": REPOSITORY, "branch": "main", "commit": commit},
            "rootDirectory": "backend",
            "startCommand": command,
            "drainingSeconds": DRAINING_SECONDS,
        }
        new_trigger(vendor, instances[name], repository=REPOSITORY, branch="main")
    instances["api"]["config"] |= {"healthcheckPath": "/health", "overlapSeconds": OVERLAP_SECONDS}
    return instances


def _set_variables(world: World, instances: Mapping[str, Record], known: Mapping[str, Any], site_url: str) -> None:
    shared = {
        "DATABASE_URL": known["session_url"],
        "DATABASE_POOL_URL": known["transaction_url"],
        "SUPABASE_URL": known["url"],
        "SUPABASE_ANON_KEY": known["anon_key"],
        "SUPABASE_SERVICE_ROLE_KEY": known["service_role_key"],
        "REDIS_URL": "${{Redis.REDIS_URL}}",
        "OPENROUTER_API_KEY": known["openrouter_key"],
        "OPENROUTER_MODEL": OPENROUTER_MODEL,
        "SESSION_SECRET": world.token("pantheon.session_secret", "production", length=64),
        "LOG_LEVEL": "info",
    }
    instances["api"]["variables"] = {**shared, "CORS_ORIGINS": site_url}
    instances["worker"]["variables"] = {**shared, "WORKER_CONCURRENCY": "4"}
    instances["Redis"]["variables"] = {
        "REDISHOST": "${{RAILWAY_PRIVATE_DOMAIN}}",
        "REDISPORT": "6379",
        "REDISUSER": "default",
        "REDISPASSWORD": "${{REDIS_PASSWORD}}",
        "REDIS_PASSWORD": world.token("railway.redis_password", "production", length=32),
        "REDIS_URL": "redis://${{REDISUSER}}:${{REDIS_PASSWORD}}@${{REDISHOST}}:${{REDISPORT}}",
    }


def _deployed(vendor: Railway, instance: Record) -> Record:
    """A deployment that has been live since before the story begins."""
    commit = instance["config"]["source"].get("commit")
    deployment = deploys.remembered(vendor, instance, commit=commit, image=None)
    deployment |= {"status": "SUCCESS", "hasServed": True}
    vendor.table("deployments")[deployment["id"]] = deployment
    return deployment
