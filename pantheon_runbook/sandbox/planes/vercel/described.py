"""Which environment a request to Vercel is about: one project serves production and previews, so its target tells."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pantheon_runbook.sandbox.planes.routes import Described, Matched
from pantheon_runbook.sandbox.world import Record, World


def describe_matched(found: Matched, body: bytes, world: World) -> Described:
    """None for what concerns a project as a whole and changes nothing in production."""
    template = found.operation.template
    targets: Iterable[str]
    if template.endswith(("/promote/{deploymentId}", "/rollback/{deploymentId}")):
        targets = ["production"]
    elif found.operation.name == "PATCH /v9/projects/{idOrName}":
        targets = ["production"]  # domains and protection of production are settings of the project
    elif found.operation.mutating and "/domains" in template:
        targets = _of_domain(found, body, world)
    elif template.startswith("/deployments"):
        targets = _of_deployment(found, body, world)
    elif template.endswith(("/env", "/env/{id}")):
        targets = _of_variables(found, body, world)
    else:
        targets = []
    return Described(found.operation.name, _environment(set(targets)), found.operation.mutating)


def _environment(targets: set[str]) -> str | None:
    if not targets:
        return None
    return "production" if "production" in targets else "staging"


def _of_deployment(found: Matched, body: bytes, world: World) -> list[str]:
    if found.operation.method == "POST":
        return [str(target) for target in [_parsed(body).get("target") or "preview"]]
    wanted = found.parameters.get("idOrUrl")
    memory: Record = world.document["vercel"]
    return [
        one["target"] or "preview"
        for one in memory.get("deployments", {}).values()
        if wanted in {one["id"], one["url"], *one["alias"]}
    ]


def _of_domain(found: Matched, body: bytes, world: World) -> list[str]:
    """A domain without a branch shows production; one that is moved concerns where it was and where it goes."""
    asked, name = _parsed(body), found.parameters.get("domain")
    projects: dict[str, Record] = world.document["vercel"].get("projects", {})
    known = [one for project in projects.values() if (one := project.get("domainSettings", {}).get(name))]
    branches = [one.get("gitBranch") for one in known]
    if name is not None and not known:
        branches.append(None)  # one of the seed's
    if name is None or "gitBranch" in asked:
        branches.append(asked.get("gitBranch"))
    return ["preview" if all(branches) else "production"]


def _of_variables(found: Matched, body: bytes, world: World) -> list[str]:
    parsed = _json(body)
    entries = parsed if isinstance(parsed, list) else [parsed]
    asked = [entry for entry in entries if isinstance(entry, dict)]
    ids = {found.parameters.get("id"), *(one for entry in asked for one in entry.get("ids") or ())}
    projects: dict[str, Record] = world.document["vercel"].get("projects", {})
    known = [variable for project in projects.values() for variable in project["env"].values()]
    concerned = [*asked, *(variable for variable in known if variable["id"] in ids)]
    return [place for one in concerned for place in _places(one)]


def _places(variable: Record) -> list[str]:
    given = variable.get("target") or []
    targets = [given] if isinstance(given, str) else given
    return [str(target) for target in [*targets, *(variable.get("customEnvironmentIds") or ())]]


def _parsed(body: bytes) -> Record:
    parsed = _json(body)
    return parsed if isinstance(parsed, dict) else {}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
