"""Somebody else's hands on the vendors: raw calls past the product, and a count of what stands there."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pantheon_runbook.sandbox.control import Running
from pantheon_runbook.sandbox.planes.supabase.backups import backup

_HOSTS = {
    "supabase": "api.supabase.com",
    "railway": "backboard.railway.com",
    "vercel": "api.vercel.com",
    "openrouter": "openrouter.ai",
}
_PROJECTS = """{ projects(first: 100) { edges { node { id name
  environments { edges { node { id name serviceInstances { edges { node { serviceId serviceName } } } } } }
} } } }"""
_VARIABLES = """query V($p: String!, $e: String!, $s: String!) {
  variables(projectId: $p, environmentId: $e, serviceId: $s, unrendered: true)
  domains(projectId: $p, environmentId: $e, serviceId: $s) { serviceDomains { domain } }
}"""


def _taken(*hours_ago: float, **more: Any) -> Callable[[int, datetime], dict[str, Any]]:
    def at(number: int, now: datetime) -> dict[str, Any]:
        return {"backups": [backup(now - timedelta(hours=hours), number=number, **more) for hours in hours_ago]}

    return at


def _window(*, ends_hours_ago: float | None = None) -> Callable[[int, datetime], dict[str, Any]]:
    def at(_number: int, now: datetime) -> dict[str, Any]:
        until = None if ends_hours_ago is None else (now - timedelta(hours=ends_hours_ago)).timestamp()
        return {"point_in_time": {"from": (now - timedelta(days=7)).timestamp(), "until": until}}

    return at


# What Supabase may have of a project, by name.
BACKUPS: dict[str, Callable[[int, datetime], dict[str, Any]]] = {
    "point in time": _window(),
    "point in time that stopped": _window(ends_hours_ago=5),
    "3 hours old": _taken(3, 27),
    "30 hours old": _taken(30, 54),
    "failed": _taken(3, status="FAILED"),
    "logical": _taken(3, is_physical=False),
    "none": _taken(),
}


class Hands:
    """Every call is logged by the sandbox like any other; `mark` and `sent_since` leave ours out."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.facts = running.facts()
        self._http = httpx.Client(transport=httpx.HTTPTransport(uds=str(running.socket)), timeout=30)

    def close(self) -> None:
        self._http.close()

    def call(self, vendor: str, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer below 400."""
        token = self.facts[vendor]["management_key" if vendor == "openrouter" else "token"]
        return self._send(f"http://{_HOSTS[vendor]}{path}", method, body, token)

    def railway(self, query: str, **variables: Any) -> Any:
        answer = self.call("railway", "POST", "/graphql/v2", {"query": query, "variables": variables})
        assert "errors" not in answer, answer
        return answer["data"]

    def storage(self, ref: str, method: str, path: str, body: Any = None) -> Any:
        keys = self.call("supabase", "GET", f"/v1/projects/{ref}/api-keys?reveal=true")
        key = next(one["api_key"] for one in keys if one["name"] == "service_role")
        return self._send(f"http://{ref}.supabase.co/storage/v1{path}", method, body, key, apikey=key)

    def _send(self, url: str, method: str, body: Any, token: str, **headers: str) -> Any:
        answer = self._http.request(method, url, json=body, headers={"Authorization": f"Bearer {token}", **headers})
        assert answer.status_code < 400, (method, url, answer.text)
        return answer.json() if answer.content else None

    def mark(self) -> int:
        """The number of the last request so far."""
        return max((record["seq"] for record in self.running.log()), default=0)

    def sent_since(self, mark: int) -> list[str]:
        """ "<service> <operation>" of every mutating request after `mark`."""
        return [f"{record['service']} {record['operation']}" for record in self.running.mutating(mark)]

    def edit(self, change: Callable[[Any], None]) -> None:
        """The vendors' memory, changed behind everybody's back."""
        saved = Path(tempfile.mkdtemp(prefix="pr-e-")) / "edited"
        self.running.save(str(saved))
        document = json.loads((saved / "world.json").read_text())
        change(document)
        (saved / "world.json").write_text(json.dumps(document))
        self.running.load(str(saved))
        shutil.rmtree(saved.parent)

    def can_be_restored_from(self, **which: str) -> None:
        """By ref, one of BACKUPS: what the vendor has of that project from now on."""
        moment = datetime.now(UTC)

        def change(document: Any) -> None:
            for ref, name in which.items():
                project = document["supabase"]["projects"][ref]
                project |= {"point_in_time": None, "backups": [], **BACKUPS[name](project["number"], moment)}

        self.edit(change)

    def projects(self, name: str = "pantheon-staging") -> list[dict[str, Any]]:
        return [one for one in self.call("supabase", "GET", "/v1/projects") if one["name"] == name]

    def new_project(self, name: str = "pantheon-staging") -> str:
        body = {
            "name": name,
            "organization_slug": self.facts["supabase"]["organization_slug"],
            "region": "eu-west-1",
            "db_pass": "made by hand 1",
        }
        return str(self.call("supabase", "POST", "/v1/projects", body)["ref"])

    def railway_projects(self, name: str = "pantheon-staging") -> list[dict[str, Any]]:
        """[{id, environments: {name: {id, services: [(name, id)]}}}] of one name."""
        found = [edge["node"] for edge in self.railway(_PROJECTS)["projects"]["edges"]]
        return [
            {
                "id": one["id"],
                "environments": {e["node"]["name"]: _shown(e["node"]) for e in one["environments"]["edges"]},
            }
            for one in found
            if one["name"] == name
        ]

    def new_railway_project(self, name: str = "pantheon-staging", environment: str = "staging") -> str:
        given = {
            "name": name,
            "workspaceId": self.facts["railway"]["workspace_id"],
            "defaultEnvironmentName": environment,
        }
        made = self.railway("mutation M($i: ProjectCreateInput!) { projectCreate(input: $i) { id } }", i=given)
        return str(made["projectCreate"]["id"])

    def railway_staging(self, project: str) -> str:
        """What confirms a project made by hand: the id of its environment "staging", or its own without one."""
        (found,) = [one for one in self.railway_projects() if one["id"] == project]
        return str(found["environments"].get("staging", found)["id"])

    def service(self, name: str) -> dict[str, str]:
        """Where one of staging's services is."""
        project = self.railway_projects()[0]
        environment = project["environments"]["staging"]
        service = next(identifier for known, identifier in environment["services"] if known == name)
        return {"projectId": project["id"], "environmentId": environment["id"], "serviceId": service}

    def variables(self, name: str) -> dict[str, str]:
        return dict(self._service_facts(**self.service(name))["variables"])

    def set_variable(self, service: str, name: str, value: str) -> None:
        given = {**self.service(service), "variables": {name: value}, "skipDeploys": True}
        self.railway("mutation M($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }", i=given)

    def preview(self) -> list[dict[str, Any]]:
        envs = self.call("vercel", "GET", self._env_path("v10"))["envs"]
        return [one for one in envs if "preview" in one["target"]]

    def new_vercel_variable(self, **given: Any) -> None:
        self.call("vercel", "POST", self._env_path("v10"), {"type": "plain", **given})

    def forget_comments(self) -> None:
        """Sensitive values whose fingerprint nobody noted, as people set them."""
        for one in self.preview():
            path = self._env_path("v9").replace("/env?", f"/env/{one['id']}?")
            self.call("vercel", "PATCH", path, {"comment": ""})

    def remove_preview(self, key: str) -> None:
        (entry,) = [one for one in self.preview() if one["key"] == key]
        self.call("vercel", "DELETE", self._env_path("v9").replace("/env?", f"/env/{entry['id']}?"))

    def sql(self, ref: str, statement: str) -> Any:
        """As somebody types it into the dashboard's SQL editor."""
        return self.call("supabase", "POST", f"/v1/projects/{ref}/database/query", {"query": statement})

    def rows(self, ref: str, table: str) -> int:
        """Rows of a table in a project's database, 0 when there is no such table."""
        path = f"/v1/projects/{ref}/database/query/read-only"
        exists = self.call("supabase", "POST", path, {"query": f"select to_regclass('{table}') is not null as found"})
        if not exists[0]["found"]:
            return 0
        return int(self.call("supabase", "POST", path, {"query": f"select count(*)::int as n from {table}"})[0]["n"])

    def keys(self, name: str = "pantheon-staging") -> list[dict[str, Any]]:
        return [one for one in self.call("openrouter", "GET", "/api/v1/keys")["data"] if one["name"] == name]

    def _env_path(self, version: str) -> str:
        vercel = self.facts["vercel"]
        return f"/{version}/projects/{vercel['project_id']}/env?teamId={vercel['team_id']}"

    def _service_facts(self, *, projectId: str, environmentId: str, serviceId: str) -> Any:  # noqa: N803  as the API says it
        return self.railway(_VARIABLES, p=projectId, e=environmentId, s=serviceId)

    def census(self) -> dict[str, Any]:
        """What stands in staging, ids and values left out: equal for every way there that worked, and without twins."""
        refs = [one["ref"] for one in self.projects()]
        railway = self.railway_projects()
        services = [pair for one in railway for e in one["environments"].values() for pair in e["services"]]
        facts = {name: self._service_facts(**self.service(name)) for name, _ in services}
        auth = [self.call("supabase", "GET", f"/v1/projects/{ref}/config/auth") for ref in refs]
        return {
            "supabase projects": len(refs),
            "buckets": [sorted(_bucket(b) for b in self.storage(ref, "GET", "/bucket")) for ref in refs],
            "auth": [(one["site_url"], one["uri_allow_list"]) for one in auth],
            "edge secrets": [
                sorted(s["name"] for s in self.call("supabase", "GET", f"/v1/projects/{ref}/secrets")) for ref in refs
            ],
            "railway projects": [sorted(one["environments"]) for one in railway],
            "services": sorted(name for name, _ in services),
            "domains": {name: len(fact["domains"]["serviceDomains"]) for name, fact in sorted(facts.items())},
            "variables": {name: sorted(fact["variables"]) for name, fact in sorted(facts.items())},
            "preview": sorted((one["key"], tuple(one["target"])) for one in self.preview()),
            "keys": [(one["limit"], one["limit_reset"]) for one in self.keys()],
            "production services": sorted(
                name for e in self.railway_projects("pantheon")[0]["environments"].values() for name, _ in e["services"]
            ),
            "marker": [self.rows(ref, "pantheon_runbook.environment") for ref in refs],
        }


def branch(ref: str, name: str, **more: Any) -> dict[str, Any]:
    """A branch of a Supabase project, as the vendor lists it; the default one is the project itself."""
    own = uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{ref}")
    made = "2026-10-01T08:00:00.000Z"
    return {
        "id": str(own),
        "name": name,
        "project_ref": ref if more.get("is_default") else "".join(chr(97 + int(one, 16)) for one in own.hex[:20]),
        "parent_project_ref": ref,
        "is_default": False,
        "persistent": False,
        "with_data": False,
        "status": "FUNCTIONS_DEPLOYED",
        "created_at": made,
        "updated_at": made,
        **more,
    }


def _shown(environment: dict[str, Any]) -> dict[str, Any]:
    instances = [edge["node"] for edge in environment["serviceInstances"]["edges"]]
    return {"id": environment["id"], "services": [(one["serviceName"], one["serviceId"]) for one in instances]}


def _bucket(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["id"], row["public"], str(row["file_size_limit"]), str(row["allowed_mime_types"]))
