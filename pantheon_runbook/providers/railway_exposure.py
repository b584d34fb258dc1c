"""What can change production at Railway without this tool: every way there is to see, open or closed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pantheon_runbook.model import Exposure
from pantheon_runbook.providers import commands
from pantheon_runbook.providers import railway_looks as looks
from pantheon_runbook.providers.railway import RailwayApi
from pantheon_runbook.providers.railway_looks import Part, TokenReach, ask

# The whole name of the image: "redis-worker" is somebody's own and may run anything.
_DATA_STORE = re.compile(
    r"(?:^|/)(?:redis|valkey|postgres(?:ql|-ssl)?|mysql|mariadb|mongo(?:db)?|clickhouse-server)(?:[:@]|$)"
)
_COMMANDS = {"build command": "buildCommand", "pre-deploy command": "preDeployCommand", "start command": "startCommand"}
_ASK_WITH_MORE = "run it again with a token that reaches production's project, or look it up in Railway's dashboard"


def exposure(
    api: RailwayApi, *, project_id: str, environment_id: str, staging_environment_id: str | None
) -> tuple[Exposure, ...]:
    """Every way in which production's environment can change without us, closed ones too, sorted by address.

    Reads only, and no value of a variable. `staging_environment_id` is None where there is no staging yet.
    Errors: VendorRefusedError for a refused token, VendorUnavailableError.
    """
    reach = looks.reach_of_token(api)
    here = {"id": environment_id, "projectId": project_id}
    project = ask(api, looks.PROJECT, id=project_id)
    environments = ask(api, looks.ENVIRONMENTS, projectId=project_id)
    services = ask(api, looks.SERVICES, **here)
    triggers = ask(api, looks.TRIGGERS, **here)
    names = looks.labels_of(services)
    found = (
        _own_token(reach, project, environment_id),
        _pull_requests(project, environments, triggers, environment_id),
        _shared_project(environments, environment_id, staging_environment_id),
        _members(ask(api, looks.MEMBERS, id=project_id)),
        _project_tokens(ask(api, looks.PROJECT_TOKENS, projectId=project_id), environment_id),
        _staged_changes(ask(api, looks.ENVIRONMENT, **here)),
        _tcp_proxies(services, names, looks.tcp_proxies(api, services, environment_id)),
        *_triggers(services, triggers, names),
        *_commands(services, names),
    )
    return tuple(sorted(found, key=lambda one: one.address))


def _unread(address: str, what: str, part: Part) -> Exposure:
    return Exposure(address, what, "cannot be read", part.note, _ASK_WITH_MORE)


def _own_token(reach: TokenReach, project: Part, environment_id: str) -> Exposure:
    address, what = "railway/token", "the token that this tool holds"
    if reach.environment_id:
        if reach.environment_id != environment_id:
            found = "a project token of another environment: could write production: no"
            return Exposure(address, what, "closed by vendor", found)
        found = "a project token of production's environment: could write production: yes, only this tool holds it back"
        step = "use a project token of staging's environment (Railway, project settings, Tokens)"
        return Exposure(address, what, "closed by this tool", found, step)
    spaces = f"an account or workspace token that reaches {', '.join(reach.workspaces) or 'no workspace'}"
    if project.refused:
        step = "compare railway_project in identities.toml with Railway, or use a token that reaches it"
        return Exposure(address, what, "cannot be read", f"{spaces}; production's project it does not show", step)
    found = f"{spaces}: could write production: yes, only this tool holds it back"
    step = "once staging stands, use a project token of its environment (Railway, project settings, Tokens)"
    return Exposure(address, what, "closed by this tool", found, step)


def _pull_requests(project: Part, environments: Part, triggers: Part, environment_id: str) -> Exposure:
    """A copy holds production's variables, so its deployments reach production's database."""
    address = "railway/pull-request-environments"
    what = "environments of pull requests that are copied from production, with its variables"
    if project.refused:
        return _unread(address, what, project)
    (settings,) = project.found
    copies = sorted(one["name"] for one in _copies(environments, environment_id) if one["isEphemeral"])
    if copies:
        step = f"delete {', '.join(copies)} in Railway"
        return Exposure(address, what, "open", f"copied from production: {', '.join(copies)}", step)
    bases = {settings["baseEnvironmentId"], *(one["baseEnvironmentOverrideId"] for one in triggers.found)}
    if settings["prDeploys"] and (settings["baseEnvironmentId"] is None or environment_id in bases):
        bots = ", for those of bots too" if settings["botPrEnvironments"] else ""
        step = "turn PR environments off in Railway's project settings, or base them on another environment"
        return Exposure(address, what, "open", f"on, copied from production{bots}", step)
    hidden = next((part for part in (environments, triggers) if part.refused), None)
    if hidden is not None:
        return _unread(address, what, hidden)
    found = "on, copied from another environment" if settings["prDeploys"] else "off"
    return Exposure(address, what, "closed by vendor", f"{found}; none is a copy of production")


def _copies(environments: Part, environment_id: str) -> Iterator[dict[str, Any]]:
    return (one for one in environments.found if (one["sourceEnvironment"] or {}).get("id") == environment_id)


def _shared_project(environments: Part, environment_id: str, staging_id: str | None) -> Exposure:
    """`serviceCreate` asked for in any environment makes the service in all that are no forks (FACTS 2)."""
    address = "railway/shared-project"
    what = "other environments in production's project: a service created in one appears in production too"
    if environments.refused:
        return _unread(address, what, environments)
    others = [one for one in environments.found if one["id"] != environment_id and not one["isEphemeral"]]
    if not others:
        return Exposure(address, what, "closed by vendor", "production is alone in its project")
    copies = {one["id"] for one in _copies(environments, environment_id)}
    listed = sorted(
        one["name"]
        + (" (staging)" if one["id"] == staging_id else "")
        + (" (copied from production)" if one["id"] in copies else "")
        for one in others
    )
    step = "move staging into a Railway project of its own, and delete the other environments of production's"
    return Exposure(address, what, "open", f"beside production: {', '.join(listed)}", step)


def _members(members: Part) -> Exposure:
    address, what = "railway/members", "people who may deploy and change variables in the dashboard"
    if members.refused:
        return _unread(address, what, members)
    writers = sorted(f"{one['email']} ({one['role']})" for one in members.found if one["role"] != "VIEWER")
    if not writers:
        return Exposure(address, what, "closed by vendor", f"none of {len(members.found)} members may write")
    step = "make VIEWER whoever need not deploy (Railway, project settings, Members), and declare who is left"
    return Exposure(address, what, "open", ", ".join(writers), step)


def _project_tokens(tokens: Part, environment_id: str) -> Exposure:
    address, what = "railway/project-tokens", "project tokens that can write production's environment"
    if tokens.refused:
        return _unread(address, what, tokens)
    named = sorted(one["name"] for one in tokens.found if one["environmentId"] == environment_id)
    if not named:
        return Exposure(address, what, "closed by vendor", "there is none")
    step = "delete those that nobody needs (Railway, project settings, Tokens)"
    return Exposure(address, what, "open", f"by name: {', '.join(named)}", step)


def _staged_changes(environment: Part) -> Exposure:
    address, what = "railway/staged-changes", "changes of production that wait for somebody to press Deploy"
    if environment.refused:
        return _unread(address, what, environment)
    waiting = environment.found[0]["unmergedChangesCount"]
    if waiting is None:
        return Exposure(address, what, "cannot be read", "Railway gives no number", "look at production in Railway")
    if waiting:
        return Exposure(address, what, "open", f"{waiting} staged", "apply or discard them in Railway")
    return Exposure(address, what, "closed by vendor", "none")


def _tcp_proxies(services: Part, names: Mapping[str, str], proxies: Mapping[str, Part]) -> Exposure:
    address, what = "railway/tcp-proxies", "ports from the Internet straight into production's services"
    hidden = next((part for part in (services, *proxies.values()) if part.refused), None)
    found = sorted(
        f"{names[service_id]}:{one['applicationPort']}" for service_id, part in proxies.items() for one in part.found
    )
    if found:
        step = "remove them in Railway (service settings, Networking)"
        return Exposure(address, what, "open", ", ".join(found), step)
    if hidden is not None:
        return _unread(address, what, hidden)
    return Exposure(address, what, "closed by vendor", "there is none")


def _triggers(services: Part, triggers: Part, names: Mapping[str, str]) -> Iterator[Exposure]:
    what = "a push that deploys to production by itself"
    if triggers.refused:
        yield _unread("railway/trigger", what, triggers)
        return
    by_service: dict[str, list[dict[str, Any]]] = {node["serviceId"]: [] for node in services.found}
    for trigger in triggers.found:
        by_service.setdefault(trigger["serviceId"], []).append(trigger)
    for service_id, own in by_service.items():
        name = names.get(service_id, service_id)
        address = f"railway/trigger/{name}"
        if not own:
            yield Exposure(address, what, "closed by vendor", "no branch deploys it")
            continue
        pushes = sorted(
            f"{one['branch']} of {one['repository']}{' once its checks have passed' if one['checkSuites'] else ''}"
            for one in own
        )
        step = f"disconnect the branch from {name} in production (Railway, service settings, Source)"
        yield Exposure(address, what, "open", f"every push to {', '.join(pushes)}", step)
    if services.refused:
        yield _unread("railway/trigger", what, services)


def _commands(services: Part, names: Mapping[str, str]) -> Iterator[Exposure]:
    if services.refused:
        yield _unread("railway/commands", "commands that migrate production when it deploys", services)
        return
    for node in services.found:
        yield _commands_of(node, names[node["serviceId"]])


def _commands_of(node: Mapping[str, Any], name: str) -> Exposure:
    """A repository's config file overrides what is set in Railway, which shows the file's name at most."""
    address, what = f"railway/commands/{name}", "commands that migrate production when it deploys"
    given = {label: commands.command_of(node[field]) for label, field in _COMMANDS.items()}
    migrating = [label for label, command in given.items() if commands.migrates(command)]
    source = node["source"] or {}
    told = "; ".join(f"{label} {commands.in_words(command)}" for label, command in given.items() if command)
    said = told or "none is set"
    if migrating:
        step = f"take the migration out of the {' and the '.join(migrating)} of {name}, and let the runbook migrate"
        return Exposure(address, what, "open", said, step)
    if source.get("repo"):
        file = node["railwayConfigFile"] or "railway.json or railway.toml"
        found = f"{said}; {file} in {source['repo']} can set others, and Railway does not show it"
        step = f"look into {file} in {source['repo']}: no preDeployCommand, and no startCommand that migrates"
        return Exposure(address, what, "cannot be read", found, step)
    if source.get("image") and not given["start command"] and not _DATA_STORE.search(source["image"]):
        found = f"{said}; what the image {source['image']} starts by itself, Railway does not show"
        step = f"set a start command for {name} in Railway, so that it is seen"
        return Exposure(address, what, "cannot be read", found, step)
    kind = f"image {source['image']}" if source.get("image") else "it has no source"
    return Exposure(address, what, "closed by vendor", f"{said}; {kind}")
