"""What Railway remembers, and what each kind of token may reach."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from graphql import GraphQLError

from pantheon_runbook.sandbox.planes.rates import RateLimit
from pantheon_runbook.sandbox.planes.work import Work
from pantheon_runbook.sandbox.platform import Platform
from pantheon_runbook.sandbox.world import Record, World

_TABLES = (
    "projects", "environments", "services", "instances", "deployments", "domains",
    "triggers", "volumes", "workflows", "project_tokens", "custom_domains", "tcp_proxies",
)  # fmt: skip


def empty_memory() -> Record:
    """No project yet; each table is a map by id (instances by "<environment>|<service>")."""
    return {table: {} for table in _TABLES}


@dataclass
class Railway:
    """The vendor at work on one world."""

    world: World
    platform: Platform
    hour: RateLimit = field(default_factory=lambda: RateLimit(3600.0))
    work: Work = field(default_factory=Work)

    @property
    def memory(self) -> Record:
        return cast("Record", self.world.document["railway"])

    def table(self, name: str) -> dict[str, Record]:
        """Empty for a world that was saved before there was such a table."""
        return cast("dict[str, Record]", self.memory.setdefault(name, {}))

    def now(self) -> str:
        """UTC, milliseconds."""
        return stamp(self.world.now())

    def environments_of(self, project_id: str) -> list[Record]:
        return [one for one in self.table("environments").values() if one["projectId"] == project_id]

    def services_of(self, project_id: str) -> list[Record]:
        return [one for one in self.table("services").values() if one["projectId"] == project_id]

    def instances_of(self, environment_id: str) -> list[Record]:
        return [one for one in self.table("instances").values() if one["environmentId"] == environment_id]

    def instances_of_service(self, service_id: str) -> list[Record]:
        return [one for one in self.table("instances").values() if one["serviceId"] == service_id]

    def triggers_of(self, environment_id: str, service_id: str) -> list[Record]:
        return [
            one
            for one in self.table("triggers").values()
            if (one["environmentId"], one["serviceId"]) == (environment_id, service_id)
        ]

    def deployments_of(self, environment_id: str, service_id: str) -> list[Record]:
        """The newest first."""
        found = [
            one
            for one in self.table("deployments").values()
            if one["environmentId"] == environment_id and one["serviceId"] == service_id
        ]
        return sorted(found, key=lambda one: -one["number"])


@dataclass(frozen=True)
class Caller:
    """Who asks: an account token reaches its workspaces, a project token one environment of one project."""

    name: str
    workspace_ids: tuple[str, ...] = ()
    project_token: Record | None = None

    def may_see_project(self, project: Record) -> bool:
        if self.project_token is not None:
            return bool(self.project_token["projectId"] == project["id"])
        return project["workspaceId"] in self.workspace_ids

    def may_see_environment(self, environment: Record, project: Record) -> bool:
        if self.project_token is not None:
            return bool(self.project_token["environmentId"] == environment["id"])
        return self.may_see_project(project)


@dataclass(frozen=True)
class Context:
    """One request: the vendor, and who asks (None: no token)."""

    vendor: Railway
    caller: Caller | None

    def account(self) -> Caller:
        """An account or workspace token; project tokens do not get this far."""
        if self.caller is None or self.caller.project_token is not None:
            raise not_authorized()
        return self.caller

    def project(self, project_id: str) -> Record:
        """A project in reach; "Not Authorized" also when there is none."""
        project = self.vendor.table("projects").get(project_id)
        if project is None or self.caller is None or not self.caller.may_see_project(project):
            raise not_authorized()
        return project

    def environment(self, environment_id: str, project_id: str | None = None) -> Record:
        environment = self.vendor.table("environments").get(environment_id)
        if environment is None or (project_id is not None and environment["projectId"] != project_id):
            raise not_authorized()
        project = self.project(environment["projectId"])
        if self.caller is None or not self.caller.may_see_environment(environment, project):
            raise not_authorized()
        return environment

    def service(self, service_id: str) -> Record:
        service = self.vendor.table("services").get(service_id)
        if service is None:
            raise not_authorized()
        self.project(service["projectId"])
        return service

    def instance(self, environment_id: str, service_id: str) -> Record:
        """One service in one environment."""
        self.environment(environment_id)
        self.service(service_id)
        instance = self.vendor.table("instances").get(instance_key(environment_id, service_id))
        if instance is None:
            raise GraphQLError("ServiceInstance not found")
        return instance

    def deployment(self, deployment_id: str) -> Record:
        deployment = self.vendor.table("deployments").get(deployment_id)
        if deployment is None:
            raise not_authorized()
        self.environment(deployment["environmentId"])
        return deployment


def instance_key(environment_id: str, service_id: str) -> str:
    return f"{environment_id}|{service_id}"


def new_token(world: World, kind: str, name: str) -> str:
    """The form of a UUID, all 128 bits seeded."""
    return str(uuid.UUID(bytes=world.digest(kind, name)[:16]))


def not_authorized() -> GraphQLError:
    """The vendor's answer to a wrong token, to somebody else's id, and to an id that does not exist."""
    return GraphQLError("Not Authorized")


def stamp(moment: datetime) -> str:
    """UTC with milliseconds: 2026-11-23T07:47:00.000Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def context_of(info: Any) -> Context:
    """The request behind a GraphQL field."""
    return cast("Context", info.context)
