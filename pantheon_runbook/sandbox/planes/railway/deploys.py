"""Deployments: a build that takes its time, then a real process; the old one serves until the new one is healthy."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.railway.rendering import for_deployment, private_host
from pantheon_runbook.sandbox.planes.railway.state import Railway, instance_key
from pantheon_runbook.sandbox.platform import Deployment, Platform
from pantheon_runbook.sandbox.world import AUTHOR, Record, World


@dataclass(frozen=True)
class Program:
    """What a start command means inside the sandbox."""

    command: tuple[str, ...]
    listens: bool


# By root directory and start command, as a customer would set them on the service.
PROGRAMS: Final[dict[tuple[str, str], Program]] = {
    ("backend", "python -m app"): Program(("pantheon_runbook.sandbox.pantheon.backend.app",), listens=True),
    ("backend", "python -m worker"): Program(("pantheon_runbook.sandbox.pantheon.backend.worker",), listens=False),
}
REDIS_IMAGE: Final = "redis:8.2.1"
_UNFINISHED: Final = {"QUEUED", "BUILDING", "DEPLOYING"}
_SERVING: Final = {"SUCCESS", "SLEEPING"}
_RUNNING: Final = {*_SERVING, "REMOVING"}
_DRAINING_VARIABLE: Final = "RAILWAY_DEPLOYMENT_DRAINING_SECONDS"
_OVERLAP_VARIABLE: Final = "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS"


def is_redis(instance: Record) -> bool:
    """Its image is a Redis; such a service is run by the platform, not by a start command."""
    return str(instance["config"]["source"].get("image") or "").partition(":")[0].endswith("redis")


def begin(vendor: Railway, instance: Record, *, commit: str | None = None, image: str | None = None) -> Record:
    """A new deployment of one service in one environment; goes on in the background.

    `commit` None takes the one the service is tied to; `image` is a digest that is used again instead of a build.
    """
    source = instance["config"]["source"]
    if not source.get("repo") and not source.get("image"):
        raise GraphQLError("Service has no source to deploy from")
    commit = commit or source.get("commit")
    if source.get("repo") and commit not in vendor.memory["commits"]:
        raise GraphQLError("Commit not found")
    deployment = remembered(vendor, instance, commit=commit, image=image)
    vendor.table("deployments")[deployment["id"]] = deployment
    work(vendor, deployment)
    return deployment


def remembered(vendor: Railway, instance: Record, *, commit: str | None, image: str | None) -> Record:
    environment_id, service_id = instance["environmentId"], instance["serviceId"]
    earlier = vendor.deployments_of(environment_id, service_id)
    number = earlier[0]["number"] + 1 if earlier else 1
    source = instance["config"]["source"]
    identifier = vendor.world.uuid("railway.deployment", f"{environment_id}|{service_id}")
    # Two builds of one commit do not give the same bytes: only a re-used image keeps its digest.
    digest = image or f"sha256:{hashlib.sha256(f'{identifier}|{commit}'.encode()).hexdigest()}"
    meta: Record = {"imageDigest": digest, "reason": "redeploy" if image else "deploy"}
    meta |= {"repo": source["repo"], "branch": source["branch"]} if source.get("repo") else {"image": source["image"]}
    variables = for_deployment(vendor, environment_id, service_id)
    if commit:
        message = vendor.memory["commits"].get(commit, "")
        meta |= {"commitHash": commit, "commitMessage": message, "commitAuthor": AUTHOR}
        variables |= {"RAILWAY_GIT_COMMIT_SHA": commit, "RAILWAY_GIT_COMMIT_MESSAGE": message}
    now = vendor.now()
    return {
        "id": identifier,
        "number": number,
        "projectId": vendor.table("environments")[environment_id]["projectId"],
        "environmentId": environment_id,
        "serviceId": service_id,
        "status": "BUILDING",
        "createdAt": now,
        "statusUpdatedAt": now,
        "meta": meta,
        # Taken at the start: a later change of a variable does not reach this deployment.
        "variables": variables,
        "program": [instance["config"]["rootDirectory"] or "", instance["config"]["startCommand"] or ""],
        "healthPath": instance["config"]["healthcheckPath"] or "/health",
        **_leaving(instance),
    }


def _leaving(instance: Record) -> Record:
    """How it will leave once another has taken its place: seconds until SIGTERM, and from then to SIGKILL.

    None of either unless it is asked for. Source: Railway's documentation, "Deployment teardown". Meanwhile requests
    go to the new one, as Railway's support says in one answer; in another it says that they go on to the former one.
    """
    variables, config = instance["variables"], instance["config"]
    return {
        "overlapSeconds": int(variables.get(_OVERLAP_VARIABLE) or config["overlapSeconds"] or 0),
        "drainingSeconds": int(variables.get(_DRAINING_VARIABLE) or config["drainingSeconds"] or 0),
    }


def advance(vendor: Railway) -> None:
    """Pick up deployments that an ended process left half-way, coming or leaving."""
    for deployment in list(vendor.table("deployments").values()):
        if deployment["status"] in _UNFINISHED:
            work(vendor, deployment)
        elif deployment["status"] in _RUNNING and _is_replaced(vendor, deployment):
            move(vendor, deployment, "REMOVED")  # its process ended with the other one


def work(vendor: Railway, deployment: Record) -> None:
    """Build and start in the background."""
    vendor.work.start(
        deployment["id"],
        lambda: _build_and_start(vendor, deployment),
        failed=lambda _error: move(vendor, deployment, "FAILED"),
    )


async def _build_and_start(vendor: Railway, deployment: Record) -> None:
    await asyncio.sleep(vendor.world.pace.build_seconds)
    newest = vendor.deployments_of(deployment["environmentId"], deployment["serviceId"])[0]
    if newest["number"] != deployment["number"]:
        move(vendor, deployment, "REMOVED")  # superseded before it ran
        return
    move(vendor, deployment, "DEPLOYING")
    instance = vendor.table("instances").get(instance_key(deployment["environmentId"], deployment["serviceId"]))
    if instance is not None and is_redis(instance):
        server = redis_server(vendor.world, instance)
        await vendor.platform.create_redis(**server)
        move(vendor, deployment, "SUCCESS")
        return
    described = as_deployment(deployment)
    status = "FAILED" if described is None else await vendor.platform.deploy(described)
    await _switch_over(vendor, deployment, status)


async def _switch_over(vendor: Railway, deployment: Record, status: str) -> None:
    """Hosts go to the new process first, then the old one leaves; a failed one changes nothing."""
    move(vendor, deployment, status)
    if status not in _SERVING:
        return
    deployment["hasServed"] = True
    for host in hosts_of(vendor.world, deployment["environmentId"], deployment["serviceId"]):
        await vendor.platform.route(host, deployment["id"])
    for older in vendor.deployments_of(deployment["environmentId"], deployment["serviceId"]):
        if older["number"] < deployment["number"] and older["status"] in _SERVING:
            _let_go(vendor, older)


def _let_go(vendor: Railway, deployment: Record) -> None:
    """It stays active as long as it was asked to overlap, then it is ended; in the background."""

    async def leave() -> None:
        await asyncio.sleep(deployment.get("overlapSeconds", 0))
        await end(vendor, deployment)

    vendor.work.start(f"{deployment['id']} leaves", leave, failed=lambda _error: move(vendor, deployment, "FAILED"))


def _is_replaced(vendor: Railway, deployment: Record) -> bool:
    """Whether a newer one of the same service serves."""
    others = vendor.deployments_of(deployment["environmentId"], deployment["serviceId"])
    return any(one["number"] > deployment["number"] and one["status"] in _SERVING for one in others)


def can_roll_back(vendor: Railway, deployment: Record) -> bool:
    """Whether it has served, was replaced, and its image is still kept (`imageGone`: for longer than the plan does)."""
    instance = instance_key(deployment["environmentId"], deployment["serviceId"])
    is_former = deployment["status"] == "REMOVED" and deployment.get("hasServed", False)
    return is_former and not deployment.get("imageGone", False) and instance in vendor.table("instances")


async def end(vendor: Railway, deployment: Record) -> None:
    """Stop its process, which has its time to drain; removed is what runs no more."""
    vendor.work.cancel(deployment["id"])
    if deployment["status"] in _RUNNING:
        move(vendor, deployment, "REMOVING")
    await vendor.platform.remove(deployment["id"])
    move(vendor, deployment, "REMOVED")


def move(vendor: Railway, deployment: Record, status: str) -> None:
    deployment["status"] = status
    deployment["statusUpdatedAt"] = vendor.now()


def as_deployment(deployment: Record) -> Deployment | None:
    """What the platform runs; None when the start command means nothing here."""
    root, command = deployment["program"]
    program = PROGRAMS.get((root.strip("/"), command))
    if program is None:
        return None
    return Deployment(
        deployment_id=deployment["id"],
        network=deployment["environmentId"],
        command=program.command,
        variables=deployment["variables"],
        listens=program.listens,
        health_path=deployment["healthPath"],
        draining_seconds=deployment.get("drainingSeconds", 0),
    )


def hosts_of(world: World, environment_id: str, service_id: str) -> tuple[str, ...]:
    """The public hosts of a service in an environment."""
    domains: dict[str, Record] = world.document["railway"]["domains"]
    return tuple(
        one["domain"]
        for one in domains.values()
        if (one["environmentId"], one["serviceId"]) == (environment_id, service_id)
    )


def redis_server(world: World, instance: Record) -> Record:
    """Arguments of `Platform.create_redis`; the id is per environment, as a service may be in several."""
    service = world.document["railway"]["services"][instance["serviceId"]]
    return {
        "service_id": instance["id"],
        "network": instance["environmentId"],
        "host": private_host(service),
        "password": instance["variables"].get("REDIS_PASSWORD", ""),
    }


def _newest_serving(world: World) -> Iterator[tuple[Record, Record]]:
    memory: dict[str, Any] = world.document["railway"]
    for instance in memory.get("instances", {}).values():
        serving = [
            one
            for one in memory["deployments"].values()
            if instance_key(one["environmentId"], one["serviceId"])
            == instance_key(instance["environmentId"], instance["serviceId"])
            and one["status"] in _SERVING
        ]
        if serving:
            yield instance, max(serving, key=lambda one: int(one["number"]))


def redis_servers(world: World) -> list[Record]:
    """Every Redis that runs in this world, as arguments of `Platform.create_redis`."""
    return [redis_server(world, instance) for instance, _ in _newest_serving(world) if is_redis(instance)]


def live(world: World) -> list[tuple[Deployment, tuple[str, ...]]]:
    """Every process that serves in this world, with the public hosts that lead to it."""
    found = []
    for instance, deployment in _newest_serving(world):
        described = None if is_redis(instance) else as_deployment(deployment)
        if described is not None:
            found.append((described, hosts_of(world, instance["environmentId"], instance["serviceId"])))
    return found


async def remove_instance(vendor: Railway, instance: Record) -> None:
    """A service leaves an environment: its processes, its Redis, its domains."""
    platform: Platform = vendor.platform
    environment_id, service_id = instance["environmentId"], instance["serviceId"]
    for host in hosts_of(vendor.world, environment_id, service_id):
        await platform.route(host, None)
    for deployment in vendor.deployments_of(environment_id, service_id):
        await end(vendor, deployment)
    if is_redis(instance):
        await platform.delete_redis(instance["id"])
    for table in ("domains", "custom_domains", "tcp_proxies", "triggers"):
        rows = vendor.table(table)
        for row in [row for row in rows.values() if row["environmentId"] == environment_id]:
            if row["serviceId"] == service_id:
                del rows[row["id"]]
    del vendor.table("instances")[instance_key(environment_id, service_id)]
