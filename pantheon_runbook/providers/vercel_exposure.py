"""What can change production at Vercel without this tool: each way with what the vendor shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pantheon_runbook.model import Exposure
from pantheon_runbook.providers.commands import migrates
from pantheon_runbook.providers.http import Client
from pantheon_runbook.providers.vercel_reading import (
    PRODUCTION,
    Reading,
    Seen,
    protected_part,
    repository_of,
    targets_of,
)

# The vendor's access roles: a developer cannot change production's variables, but his merges deploy.
_TEAM_ROLES_THAT_WRITE = frozenset({"OWNER", "MEMBER", "DEVELOPER"})
_PROJECT_ROLES_THAT_WRITE = frozenset({"ADMIN", "PROJECT_DEVELOPER"})
_STEP_PROMOTE = 'in Vercel, Settings > Environments > Production: turn off "Auto-assign Custom Production Domains"'
_STEP_READ = "give the token's user a role that may read this, then look again"


def exposure(client: Client, *, project: str, team: str) -> tuple[Exposure, ...]:
    """Every way that Vercel's API shows or keeps back, sorted by address; reads only.

    Not seen by any API: vercel.json in the repository, which may replace the build command.
    Errors: VendorRefusedError (the token is not accepted), VendorUnavailableError.
    Source: FACTS 3; the vendor's pages on access roles and deployment protection, read 2026-11.
    """
    reading = Reading(client, project=project, team=team)
    whole, variables = reading.project(), reading.variables()
    project_id = str(whole.whole.get("id", project))
    members, membership = reading.members(), reading.team()
    found = (
        _production_branch(whole),
        _domain_assignment(whole),
        *_hooks(whole),
        _build_command(whole),
        _previews(whole),
        *_variables(variables),
        _integrations(variables),
        *_team_variables(reading.team_variables(project_id)),
        _token(membership, members, project_id),
        _members(membership, members, project_id),
    )
    return tuple(sorted(found, key=lambda one: one.address))


def _unread(address: str, what: str, seen: Seen) -> Exposure:
    return Exposure(f"vercel/{address}", what, "cannot be read", seen.why, _STEP_READ)


def _goes_live(settings: Mapping[str, Any]) -> bool:
    """Whether a finished production build takes the production domains without anybody's promotion."""
    return settings.get("autoAssignCustomDomains", True) is not False


def _production_branch(whole: Seen) -> Exposure:
    address, what = "production-branch", "a push to the production branch deploys to production"
    if whole.why:
        return _unread(address, what, whole)
    link = whole.whole.get("link")
    if not link:
        return Exposure(f"vercel/{address}", what, "closed by vendor", "no Git repository is connected")
    found = f"branch {link['productionBranch']} of {repository_of(link)}"
    if not _goes_live(whole.whole):
        return Exposure(f"vercel/{address}", what, "closed by vendor", f"{found}: built, live only when promoted")
    return Exposure(f"vercel/{address}", what, "open", f"{found}: built and live at once", _STEP_PROMOTE)


def _domain_assignment(whole: Seen) -> Exposure:
    address, what = "domain-assignment", "a finished production build takes the production domains"
    if whole.why:
        return _unread(address, what, whole)
    if _goes_live(whole.whole):
        return Exposure(f"vercel/{address}", what, "open", "domains are assigned automatically", _STEP_PROMOTE)
    return Exposure(f"vercel/{address}", what, "closed by vendor", "domains are assigned by promoting only")


def _hooks(whole: Seen) -> Iterator[Exposure]:
    what = "whoever knows a deploy hook's URL deploys to production, without a token"
    if whole.why:
        yield _unread("deploy-hooks", what, whole)
        return
    link = whole.whole.get("link") or {}
    hooks = [one for one in link.get("deployHooks") or () if one["ref"] == link["productionBranch"]]
    if not hooks:
        yield Exposure("vercel/deploy-hooks", what, "closed by vendor", "there is none for the production branch")
    for name in sorted({str(one["name"]) for one in hooks}):
        address, found = f"vercel/deploy-hook/{name}", f"{name} builds {link['productionBranch']}"
        if _goes_live(whole.whole):
            step = f'in Vercel, Settings > Git > Deploy Hooks: delete "{name}"'
            yield Exposure(address, what, "open", f"{found}, live at once", step)
        else:
            yield Exposure(address, what, "closed by vendor", f"{found}, live only when promoted")


def _build_command(whole: Seen) -> Exposure:
    """Never closed for certain: a script in package.json may migrate, and vercel.json may name another command."""
    address, what = "build-command", "a production build migrates the database"
    if whole.why:
        return _unread(address, what, whole)
    given = " && ".join(str(whole.whole[key]) for key in ("installCommand", "buildCommand") if whole.whole.get(key))
    if word := migrates(given):
        step = "take it out of the command in Vercel's project settings"
        return Exposure(f"vercel/{address}", what, "open", f'the project\'s command says "{word}"', step)
    found = "the project's commands do not migrate; scripts and vercel.json in the repository are not shown"
    step = "look at the build script and at vercel.json in the repository, and declare what they do"
    return Exposure(f"vercel/{address}", what, "cannot be read", found, step)


def _previews(whole: Seen) -> Exposure:
    address, what = "previews", "previews are open to the public: this is how staging leaks"
    if whole.why:
        return _unread(address, what, whole)
    ways = {
        "Vercel Authentication": protected_part(whole.whole.get("ssoProtection")),
        "a password": protected_part(whole.whole.get("passwordProtection")),
        "trusted IPs": protected_part(whole.whole.get("trustedIps")),
    }
    held = [way for way, part in ways.items() if part not in {None, PRODUCTION}]
    if not held:
        step = "in Vercel, Settings > Deployment Protection: turn on Vercel Authentication, Standard Protection"
        return Exposure(f"vercel/{address}", what, "open", "no protection covers previews", step)
    bypasses = len(whole.whole.get("protectionBypass") or ())
    found = f"protected by {' and '.join(held)}; bypass secrets: {bypasses}"
    return Exposure(f"vercel/{address}", what, "closed by vendor", found)


def _variables(seen: Seen) -> Iterator[Exposure]:
    what = "one edit changes production's variable together with another environment's"
    if seen.why:
        yield _unread("variables", what, seen)
        return
    if hidden := sum(page.get("hiddenProductionEnvCount") or 0 for page in seen.pages):
        found = f"{hidden} of production's variables are hidden from this token"
        yield Exposure("vercel/hidden-variables", what, "cannot be read", found, _STEP_READ)
    shared = {
        str(one["key"]): others
        for one in seen.entries("envs")
        if PRODUCTION in (targets := targets_of(one)) and (others := [name for name in targets if name != PRODUCTION])
    }
    for name, others in sorted(shared.items()):
        found = f"{name} is one variable for production and {', '.join(others)}"
        step = f"in Vercel, Settings > Environment Variables: leave {name} to production alone"
        yield Exposure(f"vercel/variable/{name}", what, "open", found, step)
    if not shared:
        yield Exposure("vercel/variables", what, "closed by vendor", "none of those listed is shared")


def _integrations(seen: Seen) -> Exposure:
    address, what = "integrations", "an integration sets production's variables by itself"
    if seen.why:
        return _unread(address, what, seen)
    held = {
        str(one["key"]) for one in seen.entries("envs") if one.get("configurationId") and PRODUCTION in targets_of(one)
    }
    if not held:
        return Exposure(
            f"vercel/{address}", what, "closed by vendor", "none made a variable of production that is listed"
        )
    step = "in Vercel, Settings > Integrations: disconnect it from this project, and set these variables by hand"
    return Exposure(f"vercel/{address}", what, "open", f"made by an integration: {', '.join(sorted(held))}", step)


def _team_variables(seen: Seen) -> Iterator[Exposure]:
    what = "a variable of the team changes production in several places at once"
    if seen.why:
        yield _unread("team-variables", what, seen)
        return
    shared = [one for one in seen.entries("data") if PRODUCTION in targets_of(one)]
    for one in sorted(shared, key=lambda entry: str(entry["key"])):
        found = f"{one['key']} is for {', '.join(targets_of(one))}, in {len(one.get('projectId') or ())} project(s)"
        step = f"in Vercel, give the project a {one['key']} of its own and unlink the team's"
        yield Exposure(f"vercel/team-variable/{one['key']}", what, "open", found, step)
    if not shared:
        yield Exposure("vercel/team-variables", what, "closed by vendor", "none is linked to production")


def _token(membership: Seen, members: Seen, project_id: str) -> Exposure:
    """The reach of the token that this tool holds, by the role of its user."""
    address, what = "token", "this tool's own token could write production"
    if membership.why:
        return _unread(address, what, membership)
    own = membership.whole["membership"]
    listed = [one for one in members.entries("members") if one["uid"] == own.get("uid")]
    if any(_can_write(one, project_id) for one in (own, *listed)):
        found = f"could write production: yes, as {own['role']} of the team; only this tool holds it back"
        return Exposure(f"vercel/{address}", what, "closed by this tool", found)
    if own["role"] == "CONTRIBUTOR" and not listed:
        return Exposure(f"vercel/{address}", what, "cannot be read", "a CONTRIBUTOR, role unknown", _STEP_READ)
    found = f"could write production: no, as {own['role']} of the team"
    return Exposure(f"vercel/{address}", what, "closed by vendor", found)


def _members(membership: Seen, members: Seen, project_id: str) -> Exposure:
    """Who else may; the token's own user is told of at "token"."""
    address, what = "members", "people may change production in the vendor's dashboard or with tokens of their own"
    if members.why:
        return _unread(address, what, members)
    own = (membership.whole.get("membership") or {}).get("uid")
    others = sorted(
        f"{one['username']} ({one['role']})"
        for one in members.entries("members")
        if one["confirmed"] and one["uid"] != own and _can_write(one, project_id)
    )
    if not others:
        return Exposure(f"vercel/{address}", what, "closed by vendor", "nobody but the token's own user may write")
    step = "in Vercel, Team Settings > Members: make viewers of those who need not, and declare the others"
    return Exposure(f"vercel/{address}", what, "open", f"{len(others)}: {', '.join(others)}", step)


def _can_write(member: Mapping[str, Any], project_id: str) -> bool:
    """By a role in the team, or a contributor's in this project."""
    roles = {member["role"], *(member.get("teamRoles") or ())}
    here = {one.get("role") for one in member.get("projects") or () if one["id"] == project_id}
    return bool(roles & _TEAM_ROLES_THAT_WRITE or here & _PROJECT_ROLES_THAT_WRITE)
