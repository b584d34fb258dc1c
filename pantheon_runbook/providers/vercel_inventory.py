"""Everything about one target of one Vercel project that can be seen without the value of a variable.

One Resource per thing, at an address without an environment's name, so that two targets, or two days, can be
compared address by address. Deployments come and go and are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from pantheon_runbook.kind import Fingerprint, told_apart
from pantheon_runbook.model import Resource
from pantheon_runbook.providers import commands
from pantheon_runbook.providers.http import Client
from pantheon_runbook.providers.vercel_reading import (
    PRODUCTION,
    Reading,
    Seen,
    moment,
    noted_in,
    protected_part,
    repository_of,
    targets_of,
)

ValueOf = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # what is shown of a listed variable's value
_UNREAD = {"unreadable": True}
_SETTINGS = {
    "id": "id",
    "name": "name",
    "framework": "framework",
    "node_version": "nodeVersion",
    "output_directory": "outputDirectory",
    "root_directory": "rootDirectory",
    "auto_assign_domains": "autoAssignCustomDomains",
    "skew_protection_seconds": "skewProtectionMaxAge",
    "fork_protection": "gitForkProtection",
    "public_source": "publicSource",
    "exposes_system_variables": "autoExposeSystemEnvs",
    "rolling_release": "rollingRelease",
    "paused": "paused",
}
_COMMANDS = {
    "build_command": "buildCommand",
    "install_command": "installCommand",
    "ignore_command": "commandForIgnoringBuildStep",
}


def inventory(
    client: Client, *, project: str, team: str, target: str, fingerprint: Fingerprint
) -> tuple[Resource, ...]:
    """What belongs to `target`, "preview" or "production", sorted by address; reads only.

    Shape: vercel/project, /variable/NAME[@branch], /team-variable/NAME, /domain/NAME, /custom-environment/SLUG,
        /deploy-hook/NAME. What this token may not read is there as "unreadable", with the reason as its note.
    Values: none of production's, fingerprints of those of previews that are not sensitive. Times are UTC.
    Errors: VendorRefusedError (the token is not accepted), VendorUnavailableError.
    Source: FACTS 3; the vendor's SDK 1.28 for the team's variables, which its description does not have.
    """
    reading = Reading(client, project=project, team=team)
    whole, variables = reading.project(), reading.variables()
    settings = whole.whole
    branch = str((settings.get("link") or {}).get("productionBranch", ""))
    team_variables = reading.team_variables(str(settings.get("id", project)))
    found = (
        *_project(whole, fingerprint),
        *_hooks(whole, target, branch),
        *_hidden(variables),
        *_variables("variable", variables, "envs", target, partial(_own_value, reading, fingerprint)),
        *_variables("team-variable", team_variables, "data", target, lambda _: _UNREAD),
        *_domains(reading.domains(), target, branch, fingerprint),
        *_custom_environments(reading.custom_environments(), variables, target),
    )
    return tuple(sorted(told_apart(found), key=lambda one: one.address))


def _unreadable(address: str, why: str) -> Iterator[Resource]:
    yield Resource(f"vercel/{address}", "unreadable", note=why)


def _project(whole: Seen, fingerprint: Fingerprint) -> Iterator[Resource]:
    """Its settings are production's and preview's alike."""
    if whole.why:
        yield from _unreadable("project", whole.why)
        return
    settings = whole.whole
    link = settings.get("link") or {}
    attributes = {name: settings.get(key) for name, key in _SETTINGS.items()}
    attributes |= {name: commands.compared(settings.get(key), fingerprint) for name, key in _COMMANDS.items()}
    attributes |= {
        "git_repository": repository_of(link) if link else None,
        "production_branch": link.get("productionBranch"),
        "sso_protection": protected_part(settings.get("ssoProtection")),
        "password_protection": protected_part(settings.get("passwordProtection")),
        "trusted_ips": _trusted(settings.get("trustedIps")),
        "bypasses": _bypasses(settings.get("protectionBypass") or {}),
    }
    yield Resource("vercel/project", "present", attributes)


def _trusted(trusted: Mapping[str, Any] | None) -> Any:
    if trusted is None:
        return None
    addresses = sorted(str(one["value"]) for one in trusted.get("addresses") or ())
    return {"covers": protected_part(trusted), "mode": trusted.get("protectionMode"), "addresses": addresses}


def _bypasses(secrets: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The secrets themselves are the keys (FACTS 3): only how many there are and what is said of each."""
    kept = [
        {
            "created_at": moment(one.get("createdAt")),
            "note": one.get("note"),
            "scope": one.get("scope"),
            "in_builds": bool(one.get("isEnvVar")),
        }
        for one in secrets.values()
    ]
    return sorted(kept, key=repr)


def _hooks(whole: Seen, target: str, branch: str) -> Iterator[Resource]:
    """By name; who knows the URL of one can deploy without a token, so it goes nowhere."""
    if whole.why:
        yield from _unreadable("deploy-hooks", whole.why)
    for hook in (whole.whole.get("link") or {}).get("deployHooks") or ():
        if (hook["ref"] == branch) == (target == PRODUCTION):
            attributes = {"id": hook["id"], "branch": hook["ref"], "created_at": moment(hook.get("createdAt"))}
            yield Resource(f"vercel/deploy-hook/{hook['name']}", "present", attributes)


def _hidden(variables: Seen) -> Iterator[Resource]:
    count = sum(page.get("hiddenProductionEnvCount") or 0 for page in variables.pages)
    if count:
        note = f"{count} of production's variables are hidden from this token: that one is not listed proves nothing"
        yield Resource("vercel/hidden-variables", "unreadable", {"count": count}, note)


def _variables(kind: str, seen: Seen, held_in: str, target: str, value_of: ValueOf) -> Iterator[Resource]:
    if seen.why:
        yield from _unreadable(f"{kind}s", seen.why)
    for entry in seen.entries(held_in):
        if target in targets_of(entry):
            name = f"{entry['key']}@{entry['gitBranch']}" if entry.get("gitBranch") else entry["key"]
            yield Resource(f"vercel/{kind}/{name}", "present", _variable(entry, value_of(entry)))


def _own_value(reading: Reading, fingerprint: Fingerprint, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value = reading.value_of(entry)
    return _UNREAD if value is None else {"fingerprint": fingerprint(value)}


def _variable(entry: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """`updated_at` tells of a sensitive value that was changed by hand under its old comment."""
    attributes: dict[str, Any] = {
        "id": entry["id"],
        "type": entry.get("type"),
        "targets": targets_of(entry),
        "updated_at": moment(entry.get("updatedAt")),
        "integration": entry.get("configurationId"),
        "value": value,
    }
    if noted := noted_in(entry):
        attributes["noted"] = {"fingerprint": noted}
    return attributes


def _domains(seen: Seen, target: str, branch: str, fingerprint: Fingerprint) -> Iterator[Resource]:
    """One without a branch, or with the production branch, is production's; a custom environment has its own."""
    if seen.why:
        yield from _unreadable("domains", seen.why)
    for domain in seen.entries("domains"):
        shown = domain.get("gitBranch")
        if (shown in {None, branch}) == (target == PRODUCTION) and not domain.get("customEnvironmentId"):
            redirect = domain.get("redirect")
            shown_of_it = commands.shown(redirect, fingerprint) if redirect else None
            attributes = {"branch": shown, "redirect": shown_of_it, "verified": domain["verified"]}
            yield Resource(f"vercel/domain/{domain['name']}", "present", attributes)


def _custom_environments(seen: Seen, variables: Seen, target: str) -> Iterator[Resource]:
    """Listed with the target that each is a kind of; "development" with preview, for it is not production."""
    if seen.why:
        yield from _unreadable("custom-environments", seen.why)
    for one in seen.entries("environments"):
        if (one["type"] == PRODUCTION) == (target == PRODUCTION):
            own = [entry for entry in variables.entries("envs") if one["id"] in targets_of(entry)]
            attributes = {
                "id": one["id"],
                "type": one["type"],
                "branches": one.get("branchMatcher"),
                "domains": sorted(str(domain["name"]) for domain in one.get("domains") or ()),
                "variables": None if variables.why else {entry["key"]: moment(entry.get("updatedAt")) for entry in own},
            }
            yield Resource(f"vercel/custom-environment/{one['slug']}", "present", attributes)
