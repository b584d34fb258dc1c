"""Supabase's Management API: the project."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.config import Supabase
from pantheon_runbook.errors import AmbiguousTargetError, VendorUnavailableError, WrongEnvironmentError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.secrets import Vault

VENDOR = "supabase"
BASE_URL = "https://api.supabase.com"
SERVICES = ("auth", "db", "pooler", "rest", "storage")
_PAGE = 100
_GIVEN_UP = frozenset({"GOING_DOWN", "INIT_FAILED", "REMOVED", "PAUSE_FAILED", "RESTORE_FAILED"})
_PAUSED = "INACTIVE"
_ON_ITS_WAY = frozenset({"COMING_UP", "RESTORING"})
_ACTIVE_ON_FREE = 2
_INACTIVE = frozenset({_PAUSED, "REMOVED"})


def check_token(client: Client, organization: str) -> str:
    """The organization's plan; proves that the token works and reaches it. Reads only."""
    answer = client.read("GET", f"/v1/organizations/{organization}", operation="read the organization")
    return str(json_of(answer).get("plan", "unknown"))


def all_projects(client: Client, organization: str) -> list[dict[str, Any]]:
    """Every project of the organization, page by page."""
    path = f"/v1/organizations/{organization}/projects"
    projects: list[dict[str, Any]] = []
    while True:
        params = {"limit": _PAGE, "offset": len(projects)}
        page = json_of(client.read("GET", path, operation="list projects", params=params))
        projects.extend(page["projects"])
        if not page["projects"] or len(projects) >= page["pagination"]["count"]:
            return projects


def sees_project(client: Client, ref: str) -> bool:
    """Whether the token is shown this project: 403 for one that is out of its scope, 404 for none (FACTS 1.1)."""
    path = f"/v1/projects/{ref}"
    return client.read("GET", path, operation="look for a project", accept=frozenset({403, 404})).is_success


def is_active(project: Mapping[str, Any]) -> bool:
    """Whether it counts where a plan allows so many active ones."""
    return project["status"] not in _INACTIVE and not project.get("is_branch")


def active_allowed(plan: str) -> int | None:
    """How many active projects the plan has room for; None when it sets no number."""
    return _ACTIVE_ON_FREE if plan == "free" else None


def ref_of(client: Client, settings: Supabase) -> str | None:
    """The ref of the active project that the settings name; None when it is not there."""
    projects = all_projects(client, str(settings.organization))
    known = (one for one in projects if settings.ref in {None, one["ref"]} and settings.name in {None, one["name"]})
    return next((str(one["ref"]) for one in known if is_active(one)), None)


def is_ready(status: str) -> bool:
    return status == "ACTIVE_HEALTHY"


@dataclass(frozen=True)
class Pooler:
    """`user` is role postgres of this tenant; another role has its own name in that place."""

    host: str
    user: str


def pooler_of(client: Client, ref: str) -> Pooler | None:
    """The shared pooler; its host carries a cluster number that cannot be derived: it is read (FACTS 1.1).

    None while the project does not answer for it. Errors: WrongEnvironmentError for another project's.
    """
    path = f"/v1/projects/{ref}/config/database/pooler"
    answer = client.read("GET", path, operation="read the pooler", accept=frozenset({404}))
    entries = json_of(answer) if answer.is_success else []
    primary = next((entry for entry in entries if entry["database_type"] == "PRIMARY"), None)
    if primary is None:
        return None
    pooler = Pooler(str(primary["db_host"]), str(primary["db_user"]))
    _refuse_another_tenant(ref, pooler)
    return pooler


def _refuse_another_tenant(ref: str, pooler: Pooler) -> None:
    """Every statement goes where this entry says: it must be this project's own tenant, at Supabase."""
    if pooler.user != f"postgres.{ref}" or not re.fullmatch(r"[a-z0-9-]+\.pooler\.supabase\.com", pooler.host):
        raise WrongEnvironmentError(
            f"the pooler of project {ref} is said to be {pooler.user} at {pooler.host}",
            why="that is not this project's own tenant: what is written there would be written elsewhere",
            next_step="look at the project's connection settings in Supabase before anything else",
        )


class Project(Kind):
    """The staging project: found by name in its organization, made when there is none. One on its way is waited for.

    Vault: supabase.ref, supabase.status, supabase.url, supabase.pooler_host|session_port|pool_port.
    """

    prefix = "supabase/project"

    def __init__(self, client: Client, settings: Supabase, surroundings: Surroundings, *, plan: str) -> None:
        self._client = client
        self._settings = settings
        self._vault = surroundings.vault
        self._surroundings = surroundings
        self._plan = plan

    def look(self) -> Look:
        projects = self._all()
        found = self._named(projects)
        if not found:
            findings = (*self._no_room(projects), *self._branches_of_our_name(projects))
            return Look((Resource(self.prefix, "absent"),), findings)
        project = found[0]
        self._hold(project)
        if project["status"] in _ON_ITS_WAY or (is_ready(project["status"]) and self._services_are_coming_up()):
            # A plan made meanwhile would be out of date by the time it is applied.
            self._wait_until_healthy()
            project = self._named(self._all())[0]
            self._hold(project)
        seen = Resource(
            self.prefix,
            "present",
            {"name": project["name"], "region": project["region"], "status": project["status"]},
            note=f"ref {project['ref']}",
        )
        findings = (self._paused(),) if project["status"] == _PAUSED else ()
        return Look((seen,), findings, {"supabase_ref": str(project["ref"])})

    def ids(self) -> tuple[str, ...]:
        return self._vault.texts("supabase.ref")

    def write(self, change: Change) -> None:
        if change.action == "restore":
            ref = self._vault.text("supabase.ref")
            self._client.write("POST", f"/v1/projects/{ref}/restore", operation="restore the project")
            return
        if change.action == "wait":
            return
        if self._vault.get("database.password") is None:
            self._vault.hold("database.password", clock.token("database password"))
        body = {
            "name": self._settings.name,
            "organization_slug": self._settings.organization,
            "region": self._settings.region,
            "db_pass": self._vault.text("database.password"),
        }
        if self._settings.size is not None:
            body["desired_instance_size"] = self._settings.size
        self._client.write("POST", "/v1/projects", operation="create the project", body=body)

    def settle(self, change: Change) -> None:
        self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        self._surroundings.wait_until(
            self._is_healthy,
            what=f"the Supabase project {self._settings.name}",
            vendor=VENDOR,
        )
        self._surroundings.wait_until(
            self._services_are_healthy,
            what=f"the services of {self._settings.name}",
            vendor=VENDOR,
        )

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """A restore shows at once, and takes minutes to end."""
        if change.action == "restore":
            return seen.attributes.get("status") != _PAUSED
        return super().has_landed(change, seen)

    def _no_room(self, projects: list[dict[str, Any]]) -> Iterator[Finding]:
        allowed, active = active_allowed(self._plan), sum(map(is_active, projects))
        if allowed is not None and active >= allowed:
            yield Finding(
                "plan-limit",
                self.prefix,
                f"the Free plan holds {allowed} active projects and there are {active}",
                "pause or delete a project, or change the plan in Supabase",
            )

    def _branches_of_our_name(self, projects: list[dict[str, Any]]) -> Iterator[Finding]:
        """What looks like staging and hangs on another project: its merge migrates that, and its data may be copied."""
        for project in projects:
            if project.get("is_branch") and project["name"] == self._settings.name and project["status"] != "REMOVED":
                yield Finding(
                    "branch-of-a-project",
                    self.prefix,
                    f"{project['name']} ({project['ref']}) is a branch of another Supabase project, not one of its own",
                    f"delete the branch {project['ref']} in Supabase, or give staging's project another name",
                )

    def _named(self, projects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Every project of our name, branches and removed ones apart; two are a reason to stop."""
        named = [
            project
            for project in projects
            if self._settings.ref in {None, project["ref"]}
            and (self._settings.ref is not None or project["name"] == self._settings.name)
            and not project.get("is_branch")
            and project["status"] != "REMOVED"
        ]
        if not named and self._settings.ref is not None:
            raise WrongEnvironmentError(
                f"there is no Supabase project {self._settings.ref} in this organization",
                why=f"it has {', '.join(sorted(project['ref'] for project in projects)) or 'none'}",
                next_step="correct the ref in pantheon.toml, or leave it out to go by name",
            )
        if len(named) > 1:
            refs = ", ".join(sorted(project["ref"] for project in named))
            raise AmbiguousTargetError(
                f'there are {len(named)} Supabase projects called "{self._settings.name}": {refs}',
                why="names are not unique, and guessing could write to the wrong one",
                state="nothing more was written",
                next_step="delete the ones you do not want, or put the ref of the right one into pantheon.toml",
            )
        return named

    def _all(self) -> list[dict[str, Any]]:
        return all_projects(self._client, str(self._settings.organization))

    def _hold(self, project: Mapping[str, Any]) -> None:
        ref = str(project["ref"])
        self._vault.hold("supabase.ref", ref, secret=False)
        self._vault.hold("supabase.status", str(project["status"]), secret=False)
        self._vault.hold("supabase.url", f"https://{ref}.supabase.co", secret=False)
        if is_ready(str(project["status"])):
            self._hold_pooler(ref)

    def _hold_pooler(self, ref: str) -> None:
        found = pooler_of(self._client, ref)
        if found is not None:
            self._vault.hold("supabase.pooler_host", found.host, secret=False)
            self._vault.hold("supabase.pooler_user", found.user, secret=False)

    def _is_healthy(self) -> bool:
        found = self._named(self._all())
        if not found:
            return False
        project = found[0]
        if project["status"] in _GIVEN_UP:
            raise VendorUnavailableError(
                f"the Supabase project {project['ref']} is {project['status']}",
                vendor=VENDOR,
                operation="create the project",
                why="Supabase gave up on it",
                state="changed in part: the project exists and is unusable",
                next_step="delete it in the dashboard, then run the plan again",
            )
        self._hold(project)
        return is_ready(project["status"])

    def _services_are_healthy(self) -> bool:
        """All services, and a pooler that can be read: a healthy project answers neither for some minutes."""
        services = self._services()
        healthy = bool(services) and all(status == "ACTIVE_HEALTHY" for status in services)
        if healthy and self._vault.get("supabase.pooler_host") is None:
            self._hold_pooler(self._vault.text("supabase.ref"))
        return healthy and self._vault.get("supabase.pooler_host") is not None

    def _services_are_coming_up(self) -> bool:
        """One that is broken is none that is waited for."""
        services = self._services()
        return not services or "COMING_UP" in services

    def _services(self) -> list[str]:
        """The status of each service; none while the project does not answer for them."""
        answer = self._client.read(
            "GET",
            f"/v1/projects/{self._vault.text('supabase.ref')}/health",
            operation="read the services' health",
            params=[("services", name) for name in SERVICES],
            accept=frozenset({404}),
        )
        return [service["status"] for service in json_of(answer)] if answer.is_success else []

    def _paused(self) -> Finding:
        return Finding(
            "paused",
            self.prefix,
            f"the project {self._settings.name} is paused",
            "restore it with this runbook: run again with -p restore_paused=true",
            blocks=not self._surroundings.restores_paused,
        )


def project_answers(vault: Vault) -> bool:
    """Whether the project was seen healthy; before that its keys and settings are not there to be read."""
    status = vault.get("supabase.status")
    return status is not None and is_ready(status.reveal())
