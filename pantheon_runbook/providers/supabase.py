"""Supabase's Management API: the project, its keys, its auth settings and its edge-function secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.config import Supabase
from pantheon_runbook.errors import AmbiguousTargetError, VendorUnavailableError, WrongEnvironmentError
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of, wait_until
from pantheon_runbook.providers.kind import Kind, Look, Surroundings, values_have_landed
from pantheon_runbook.secrets import Vault

VENDOR = "supabase"
BASE_URL = "https://api.supabase.com"
SERVICES = ("auth", "db", "pooler", "rest", "storage")
_PAGE = 100
_GIVEN_UP = frozenset({"GOING_DOWN", "INIT_FAILED", "REMOVED", "PAUSE_FAILED", "RESTORE_FAILED"})
_PAUSED = "INACTIVE"
_ACTIVE_ON_FREE = 2
_LOOKS_BEFORE_A_NEW_KEY = 3
_LOOK_PAUSE_SECONDS = 0.3
_KEYS: Mapping[str, Mapping[str, Any]] = {
    "publishable": {"name": "runbook_publishable", "holds": "supabase.anon_key"},
    "secret": {"name": "runbook_secret", "holds": "supabase.service_role_key"},
}


def check_token(client: Client, organization: str) -> str:
    """The organization's plan; proves that the token works and reaches it. Reads only."""
    answer = client.read("GET", f"/v1/organizations/{organization}", operation="read the organization")
    return str(json_of(answer).get("plan", "unknown"))


def is_ready(status: str) -> bool:
    return status == "ACTIVE_HEALTHY"


class Project(Kind):
    """The staging project: found by name in its organization, made when there is none.

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
            return Look((Resource(self.prefix, "absent"),), tuple(self._no_room(projects)))
        project = found[0]
        self._hold(project)
        seen = Resource(
            self.prefix,
            "present",
            {"name": project["name"], "region": project["region"], "status": project["status"]},
            note=f"ref {project['ref']}",
        )
        findings = (self._paused(),) if project["status"] == _PAUSED else ()
        return Look((seen,), findings, {"supabase_ref": str(project["ref"])})

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
        wait_until(
            self._is_healthy,
            seconds=self._surroundings.wait_seconds,
            what=f"the Supabase project {self._settings.name}",
            vendor=VENDOR,
            progress=self._surroundings.progress,
        )
        wait_until(
            self._services_are_healthy,
            seconds=self._surroundings.wait_seconds,
            what=f"the services of {self._settings.name}",
            vendor=VENDOR,
            progress=self._surroundings.progress,
        )

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """A restore shows at once, and takes minutes to end."""
        if change.action == "restore":
            return seen.attributes.get("status") != _PAUSED
        return super().has_landed(change, seen)

    def _no_room(self, projects: list[dict[str, Any]]) -> Iterator[Finding]:
        active = sum(project["status"] not in {_PAUSED, "REMOVED"} for project in projects)
        if self._plan == "free" and active >= _ACTIVE_ON_FREE:
            yield Finding(
                "plan-limit",
                self.prefix,
                f"the Free plan holds {_ACTIVE_ON_FREE} active projects and there are {active}",
                "pause or delete a project, or change the plan in Supabase",
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
        path = f"/v1/organizations/{self._settings.organization}/projects"
        projects: list[dict[str, Any]] = []
        while True:
            page = json_of(
                self._client.read(
                    "GET",
                    path,
                    operation="list projects",
                    params={"limit": _PAGE, "offset": len(projects)},
                )
            )
            projects.extend(page["projects"])
            if not page["projects"] or len(projects) >= page["pagination"]["count"]:
                return projects

    def _hold(self, project: Mapping[str, Any]) -> None:
        ref = str(project["ref"])
        self._vault.hold("supabase.ref", ref, secret=False)
        self._vault.hold("supabase.status", str(project["status"]), secret=False)
        self._vault.hold("supabase.url", f"https://{ref}.supabase.co", secret=False)
        if is_ready(str(project["status"])):
            self._hold_pooler(ref)

    def _hold_pooler(self, ref: str) -> None:
        """The pooler's host carries a cluster number that cannot be derived: it is read (FACTS 1.1)."""
        path = f"/v1/projects/{ref}/config/database/pooler"
        answer = self._client.read("GET", path, operation="read the pooler", accept=frozenset({404}))
        entries = json_of(answer) if answer.is_success else []
        primary = next((entry for entry in entries if entry["database_type"] == "PRIMARY"), None)
        if primary is not None:
            self._vault.hold("supabase.pooler_host", primary["db_host"], secret=False)
            self._vault.hold("supabase.pooler_user", primary["db_user"], secret=False)

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
        ref = self._vault.text("supabase.ref")
        answer = self._client.read(
            "GET",
            f"/v1/projects/{ref}/health",
            operation="read the services' health",
            params=[("services", name) for name in SERVICES],
            accept=frozenset({404}),
        )
        services = json_of(answer) if answer.is_success else []
        healthy = bool(services) and all(service["status"] == "ACTIVE_HEALTHY" for service in services)
        if healthy and self._vault.get("supabase.pooler_host") is None:
            self._hold_pooler(ref)
        return healthy and self._vault.get("supabase.pooler_host") is not None

    def _paused(self) -> Finding:
        return Finding(
            "paused",
            self.prefix,
            f"the project {self._settings.name} is paused",
            "restore it with this runbook: run again with -p restore_paused=true",
            blocks=not self._surroundings.restores_paused,
        )


class ApiKeys(Kind):
    """A publishable and a secret key; the platform's own pair is adopted when it is there.

    Vault: supabase.anon_key, supabase.service_role_key.
    """

    prefix = "supabase/api-key"
    looks_after = ("supabase/project",)

    def __init__(self, client: Client, surroundings: Surroundings) -> None:
        self._client = client
        self._vault = surroundings.vault
        self._surroundings = surroundings

    def look(self) -> Look:
        if not project_answers(self._vault):
            return Look()
        keys = self._listed()
        return Look(tuple(self._seen(kind, keys) for kind in _KEYS))

    def write(self, change: Change) -> None:
        """Adopt the pair that a new project has come with by now; make one only when several looks find none."""
        kind = change.address.rpartition("/")[2]
        for number in range(_LOOKS_BEFORE_A_NEW_KEY):
            clock.sleep(clock.jittered(_LOOK_PAUSE_SECONDS * number))
            if self._seen(kind, self._listed()).state == "present":
                return
        body: dict[str, Any] = {"type": kind, "name": _KEYS[kind]["name"]}
        if kind == "secret":
            body["secret_jwt_template"] = {"role": "service_role"}
        ref = self._vault.text("supabase.ref")
        self._client.write(
            "POST",
            f"/v1/projects/{ref}/api-keys",
            operation=f"create a {kind} key",
            params={"reveal": "true"},
            body=body,
        )

    def settle(self, change: Change) -> None:
        kind = change.address.rpartition("/")[2]
        holds = str(_KEYS[kind]["holds"])

        def is_held() -> bool:
            self._seen(kind, self._listed())
            return self._vault.get(holds) is not None

        wait_until(
            is_held,
            seconds=self._surroundings.wait_seconds,
            what=f"the {kind} key",
            vendor=VENDOR,
            progress=self._surroundings.progress,
        )

    def _listed(self) -> list[dict[str, Any]]:
        ref = self._vault.text("supabase.ref")
        answer = self._client.read(
            "GET", f"/v1/projects/{ref}/api-keys", operation="read the API keys", params={"reveal": "true"}
        )
        return list(json_of(answer))

    def _seen(self, kind: str, keys: list[dict[str, Any]]) -> Resource:
        """The first usable key by name; a secret key counts only when it acts as service_role (FACTS 1.1)."""
        address = f"{self.prefix}/{kind}"
        usable = sorted(
            (key for key in keys if key.get("type") == kind and key.get("api_key") and _acts_as_expected(key)),
            key=lambda key: str(key["name"]),
        )
        if not usable:
            return Resource(address, "absent")
        self._vault.hold(str(_KEYS[kind]["holds"]), usable[0]["api_key"])
        return Resource(address, "present", {"type": kind}, note=f'adopted: "{usable[0]["name"]}"')


def _acts_as_expected(key: Mapping[str, Any]) -> bool:
    return key["type"] != "secret" or (key.get("secret_jwt_template") or {}).get("role") == "service_role"


class AuthSettings(Kind):
    """`site_url` and the redirect list; the list is one string that is replaced whole, so it is merged first."""

    prefix = "supabase/auth"
    looks_after = ("supabase/project",)

    def __init__(self, client: Client, surroundings: Surroundings) -> None:
        self._client = client
        self._vault = surroundings.vault

    def look(self) -> Look:
        if not project_answers(self._vault):
            return Look()
        settings = self._read()
        attributes = {"site_url": settings["site_url"] or "", "redirect_urls": _split(settings["uri_allow_list"])}
        return Look((Resource(self.prefix, "present", attributes),))

    def write(self, change: Change) -> None:
        body: dict[str, Any] = {}
        if "site_url" in change.after:
            body["site_url"] = change.after["site_url"]
        if "redirect_urls" in change.after:
            there = _split(self._read()["uri_allow_list"])
            body["uri_allow_list"] = ",".join(merged(there, change.after["redirect_urls"]))
        ref = self._vault.text("supabase.ref")
        self._client.write("PATCH", f"/v1/projects/{ref}/config/auth", operation="set the auth URLs", body=body)

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """What is wanted is there; what else is in the list was there before."""
        wanted = change.after.get("redirect_urls", [])
        return seen.attributes.get("site_url") == change.after.get("site_url", seen.attributes.get("site_url")) and set(
            wanted
        ) <= set(seen.attributes.get("redirect_urls", []))

    def _read(self) -> dict[str, Any]:
        ref = self._vault.text("supabase.ref")
        answer = self._client.read("GET", f"/v1/projects/{ref}/config/auth", operation="read the auth settings")
        return dict(json_of(answer))


def merged(there: list[str], wanted: list[str]) -> list[str]:
    """What is there stays, in its order; what is missing comes after it."""
    return [*there, *(url for url in wanted if url not in there)]


def _split(allow_list: str | None) -> list[str]:
    return [part.strip() for part in (allow_list or "").split(",") if part.strip()]


class EdgeSecrets(Kind):
    """Secrets of the edge functions. Supabase shows sha256 digests only, so values are compared through them."""

    prefix = "supabase/secrets"
    looks_after = ("supabase/project", "openrouter/key")  # the key's value is one that may be compared

    def __init__(
        self, client: Client, surroundings: Surroundings, *, production_ref: str, sources: Mapping[str, str]
    ) -> None:
        self._client = client
        self._vault = surroundings.vault
        self._production_ref = production_ref
        self._sources = sources

    def look(self) -> Look:
        ours = self._digests(self._vault.text("supabase.ref")) if project_answers(self._vault) else {}
        theirs = self._digests(self._production_ref)
        names = tuple(sorted(theirs))
        attributes = {name: self._compared(name, digest) for name, digest in ours.items() if not _is_reserved(name)}
        shared = tuple(
            Finding(
                "production-secret",
                f"{self.prefix}/{name}",
                f"the edge-function secret {name} has production's value",
                f"set another value for {name} in staging, rotate it in production, then plan again",
            )
            for name in names
            if not _is_reserved(name) and ours.get(name) == theirs[name]
        )
        return Look(
            (
                Resource(self.prefix, "present" if attributes else "absent", attributes),
                Resource("production/secrets", "present", {"names": [n for n in names if not _is_reserved(n)]}),
            ),
            shared,
        )

    def write(self, change: Change) -> None:
        body = [{"name": name, "value": self._vault.text(want["from"])} for name, want in sorted(change.after.items())]
        ref = self._vault.text("supabase.ref")
        self._client.write("POST", f"/v1/projects/{ref}/secrets", operation="set edge-function secrets", body=body)

    def has_landed(self, change: Change, seen: Resource) -> bool:
        return values_have_landed(self._vault, change, seen)

    def _digests(self, ref: str) -> dict[str, str]:
        answer = self._client.read("GET", f"/v1/projects/{ref}/secrets", operation="read secret digests")
        return {entry["name"]: entry["value"] for entry in json_of(answer)}

    def _compared(self, name: str, digest: str) -> dict[str, Any]:
        """Our fingerprint when the digest is that of the value we hold; else only that it cannot be read."""
        value = self._vault.get(self._sources[name]) if name in self._sources else None
        if value is not None and hashlib.sha256(value.reveal().encode()).hexdigest() == digest:
            return {"fingerprint": self._vault.fingerprint_of(value.reveal())}
        return {"unreadable": True}


def _is_reserved(name: str) -> bool:
    return re.match(r"SUPABASE_", name) is not None


def project_answers(vault: Vault) -> bool:
    """Whether the project was seen healthy; before that its keys and settings are not there to be read."""
    status = vault.get("supabase.status")
    return status is not None and is_ready(status.reveal())
