"""The Vercel side of the seeded world: a team, a project, production's variables and a live production build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pantheon_runbook.sandbox.planes.vercel.deployments import commit_meta, new_deployment
from pantheon_runbook.sandbox.planes.vercel.pages import build_variables
from pantheon_runbook.sandbox.planes.vercel.state import Vercel, milliseconds
from pantheon_runbook.sandbox.planes.vercel.variables import create
from pantheon_runbook.sandbox.world import Record, World

PROJECT_NAME: Final = "pantheon-web"
TEAM_SLUG: Final = "pantheon"
RELEASE_BRANCH: Final = "staging"


class _NoPlatform:
    """Seeding remembers only; whoever owns the platform brings up what `running(world)` lists."""


def seed_production(world: World, supabase: Mapping[str, Any], railway: Mapping[str, Any]) -> dict[str, Any]:
    """Team "pantheon" with project "pantheon-web", live on its vercel.app domain; no preview variable yet."""
    user = world.token("vercel.user", "supervisor", length=24)
    team_id = f"team_{world.token('vercel.team', TEAM_SLUG, length=24)}"
    foreign_id = f"team_{world.token('vercel.team', 'somebody else', length=24)}"
    token = world.token("vercel.token", "supervisor", length=40)
    now = milliseconds(world)
    bypass_secret = world.token("vercel.bypass", "tests of previews", length=32)
    project = _project(world, team_id, now, bypass_secret)
    world.document["vercel"] = {
        "tokens": {token: {"user": user, "teams": [team_id]}},
        "users": {user: _user(user, team_id)},
        "teams": {
            team_id: _team(team_id, TEAM_SLUG, "Pantheon", user, now),
            foreign_id: _team(foreign_id, "somebody-else", "Somebody Else", "nobody", now),
        },
        "members": {team_id: {user: {"role": "OWNER", "confirmed": True, "createdAt": now}}},
        "projects": {project["id"]: project},
        "deployments": {},
        "head_commit": railway["commits"]["head"],
    }
    vendor = Vercel(world, _NoPlatform())  # type: ignore[arg-type]  # seeding asks nothing of the platform
    variables = {
        "NEXT_PUBLIC_API_URL": ("plain", f"https://{railway['api_domain']}"),
        "NEXT_PUBLIC_SUPABASE_URL": ("plain", supabase["url"]),
        "NEXT_PUBLIC_SUPABASE_ANON_KEY": ("encrypted", supabase["anon_key"]),
        "NEXT_PUBLIC_ENVIRONMENT": ("plain", "production"),
        "SESSION_COOKIE_SECRET": ("sensitive", world.token("pantheon.cookie_secret", "production", length=64)),
    }
    for key, (kind, value) in variables.items():
        wanted = {"key": key, "value": value, "type": kind, "target": ["production"]}
        empty: Record = {"gitBranch": None, "comment": None, "customEnvironmentIds": []}
        create(vendor, project, wanted | empty, upsert=False, user=user)
    deployment = _live_deployment(vendor, project, railway["commits"]["released"], user)
    _failed_preview(vendor, project, railway["commits"]["head"], user)
    return {
        "token": token,
        "team_id": team_id,
        "team_slug": TEAM_SLUG,
        "foreign_team_id": foreign_id,
        "project_id": project["id"],
        "project_name": PROJECT_NAME,
        "domain": project["domains"][0],
        "deployment_id": deployment["id"],
        "bypass_secret": bypass_secret,
        "deployment_host": deployment["url"],
        "variables": sorted(variables),
    }


def _user(user: str, team_id: str) -> Record:
    return {
        "limited": True,
        "id": user,
        "email": "supervisor@pantheon.example",
        "name": "Supervisor",
        "username": "supervisor",
        "avatar": None,
        "defaultTeamId": team_id,
        "version": "northstar",
    }


def _team(team_id: str, slug: str, name: str, creator: str, now: int) -> Record:
    return {
        "id": team_id,
        "slug": slug,
        "name": name,
        "plan": "pro",
        "creatorId": creator,
        "description": None,
        "avatar": None,
        "stagingPrefix": slug,
        "createdAt": now,
        "updatedAt": now,
    }


def _project(world: World, team_id: str, now: int, bypass_secret: str) -> Record:
    """Its previews are protected, and the team's own tests open them with a secret."""
    bypass = {"createdAt": now, "createdBy": "supervisor", "scope": "automation-bypass", "isEnvVar": True}
    link = {
        "type": "github",
        "org": "pantheon",
        "repo": "pantheon",
        "repoId": 1,
        "productionBranch": "main",
        "gitCredentialId": "",
        "deployHooks": [],
    }
    return {
        "id": f"prj_{world.token('vercel.project', PROJECT_NAME, length=28)}",
        "name": PROJECT_NAME,
        "production": True,
        "accountId": team_id,
        "framework": "nextjs",
        "nodeVersion": "22.x",
        "createdAt": now,
        "updatedAt": now,
        "link": link,
        "domains": [f"{PROJECT_NAME}.vercel.app"],
        "autoAssignCustomDomains": True,
        "ssoProtection": {"deploymentType": "prod_deployment_urls_and_all_previews"},
        "protectionBypass": {bypass_secret: bypass},
        "productionDeploymentId": None,
        "lastAliasRequest": None,
        "customEnvironments": {},
        "env": {},
    }


def _live_deployment(vendor: Vercel, project: Record, commit: str, user: str) -> Record:
    source = {"type": "github", "repoId": 1, "ref": "main", "sha": commit}
    deployment = new_deployment(vendor, project, target="production", git_source=source, user=user)
    deployment |= {
        "readyState": "READY",
        "readySubstate": "PROMOTED",
        "ready": deployment["createdAt"],
        "alias": list(project["domains"]),
        "meta": commit_meta(source),
        "variables": build_variables(project, deployment),
    }
    vendor.deployments[deployment["id"]] = deployment
    project["productionDeploymentId"] = deployment["id"]
    return deployment


def _failed_preview(vendor: Vercel, project: Record, commit: str, user: str) -> None:
    """The release branch was pushed while previews had no variables: its build failed."""
    source = {"type": "github", "repoId": 1, "ref": RELEASE_BRANCH, "sha": commit}
    deployment = new_deployment(vendor, project, target=None, git_source=source, user=user)
    deployment |= {
        "readyState": "ERROR",
        "errorMessage": "build failed: these variables are not set: NEXT_PUBLIC_API_URL",
        "meta": commit_meta(source),
    }
    vendor.deployments[deployment["id"]] = deployment
