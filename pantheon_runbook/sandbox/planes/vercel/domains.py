"""/projects/{idOrName}/domains: which hosts belong to a project, and which of its branches each one shows.

They are remembered and listed; traffic goes to the domains of the seed only, since nobody proved to own another one.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, read
from pantheon_runbook.sandbox.planes.vercel.state import project_of, refuse, refuse_body, vendor_of
from pantheon_runbook.sandbox.world import Record

_OWN_SUFFIX: Final = ".vercel.app"


class ChangedDomain(Body):
    gitBranch: Annotated[str, Field(max_length=250)] | None = None  # noqa: N815  the vendor's own spelling
    redirect: str | None = None
    redirectStatusCode: Literal[301, 302, 307, 308] | None = None  # noqa: N815  the vendor's own spelling


class NewDomain(ChangedDomain):
    name: str
    customEnvironmentId: str | None = None  # noqa: N815  the vendor's own spelling


def _known(project: Record) -> dict[str, Record]:
    """The seed's production domains and those added since, by name."""
    seeded = {
        name: {"name": name, "createdAt": project["createdAt"], "updatedAt": project["createdAt"]}
        for name in project["domains"]
    }
    return {**seeded, **project.get("domainSettings", {})}


def _shown(project: Record, domain: Record) -> Record:
    """As lists and answers show it; another's domain stays unverified."""
    apex = ".".join(domain["name"].split(".")[-2:])
    verified = domain["name"].endswith(_OWN_SUFFIX)
    given = {name: value for name, value in domain.items() if value is not None}
    return {**given, "apexName": apex, "projectId": project["id"], "verified": verified}


async def list_domains(request: Request) -> Response:
    project = project_of(request)
    found = [_shown(project, one) for _, one in sorted(_known(project).items())]
    return JSONResponse({"domains": found, "pagination": {"count": len(found), "next": None, "prev": None}})


async def add_domain(request: Request) -> Response:
    """409 when the project has it already."""
    project, now = project_of(request), vendor_of(request).now()
    body = await read(request, NewDomain, refuse_body)
    if body.name in _known(project):
        raise refuse(409, "domain_already_in_use", f"The domain {body.name} is already in use by this project.")
    made = {**body.model_dump(), "createdAt": now, "updatedAt": now}
    project.setdefault("domainSettings", {})[body.name] = made
    return JSONResponse(_shown(project, made))


async def update_domain(request: Request) -> Response:
    project, now = project_of(request), vendor_of(request).now()
    domain = _domain(request, project)
    body = await read(request, ChangedDomain, refuse_body)
    changed = {**domain, **body.model_dump(include=body.model_fields_set), "updatedAt": now}
    project.setdefault("domainSettings", {})[domain["name"]] = changed
    return JSONResponse(_shown(project, changed))


async def remove_domain(request: Request) -> Response:
    project = project_of(request)
    domain = _domain(request, project)
    project.get("domainSettings", {}).pop(domain["name"], None)
    project["domains"] = [name for name in project["domains"] if name != domain["name"]]
    return JSONResponse({})


def _domain(request: Request, project: Record) -> Record:
    found = _known(project).get(request.path_params["domain"])
    if found is None:
        raise refuse(404, "not_found", "Domain not found.")
    return found
