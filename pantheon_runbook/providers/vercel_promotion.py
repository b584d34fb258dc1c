"""Vercel: a staged production build of one commit, and which deployment the production domains show.

A promotion moves the domains to a build that exists and builds nothing; promoting a preview would build it anew with
production's variables, so that is never done (FACTS 3). The way back is the vendor's rollback, as quick as a promotion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pantheon_runbook.config import Frontend
from pantheon_runbook.errors import RefusedError, StalePlanError, VendorRefusedError
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.kind import Kind, Look, Surroundings
from pantheon_runbook.providers.vercel import VENDOR, plan_of
from pantheon_runbook.providers.vercel_deploys import COMING, ENDED, WHY_LENGTH, commit_of, git_source
from pantheon_runbook.providers.vercel_reading import PRODUCTION, Reading, moment, targets_of

BUILD = "vercel.production_build"  # in the vault: the id of the staged build
ROLL_BACK = "roll back"
_HOBBY = "hobby"
_NEWEST = "100"  # with domains not assigned by themselves, every push to the production branch leaves a staged build
_MOVING = frozenset({"pending", "in-progress"})
_BROKEN_OFF = frozenset({"failed", "skipped"})
_TURN_OFF = 'in Vercel, Settings > Environments > Production: turn off "Auto-assign Custom Production Domains"'


class ProductionBuild(Kind):
    """One address: the newest production build of `commit` that is READY; a new one goes live by promotion only.

    Vault: vercel.production_build, its id.
    """

    prefix = address = f"vercel/deployment/{PRODUCTION}"

    def __init__(
        self, client: Client, frontend: Frontend, surroundings: Surroundings, *, branch: str, commit: str
    ) -> None:
        self._client = client
        self._project_id = frontend.vercel_project
        self._scope = {"teamId": frontend.vercel_team}
        self._reading = Reading(client, project=frontend.vercel_project, team=frontend.vercel_team)
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._branch = branch
        self._commit = commit
        self._project: Mapping[str, Any] = {}
        self._seen: list[Mapping[str, Any]] = []  # production builds of the commit, the newest first
        self._before: frozenset[str] | None = None
        self._begun = ""

    def look(self) -> Look:
        self._project = self._read_project()
        changed = [int(one.get("updatedAt") or 0) for one in self._variables()]
        asked = {**self._scope, "projectId": self._project_id, "target": PRODUCTION, "sha": self._commit}
        listed = self._client.read("GET", "/v6/deployments", operation="list deployments", params=asked)
        found = [one for one in json_of(listed)["deployments"] if _is_of_production(one)]
        self._seen = sorted(
            (one for one in found if commit_of(one) == self._commit), key=lambda one: -int(one["created"])
        )
        ready = next((one for one in self._seen if one["state"] == "READY"), None)
        self._vault.let_go(BUILD)
        if ready is not None:
            self._vault.hold(BUILD, ready["uid"], secret=False)
        facts = self._facts(max(changed, default=0))
        attributes = {**facts, **(_shown(ready) if ready else {})}
        return Look((Resource(self.address, "present" if ready else "absent", attributes),), tuple(self._findings()))

    def ids(self) -> tuple[str, ...]:
        """The project, and builds of the commit, which a promotion may name."""
        begun = (self._begun,) if self._begun else ()
        return (self._project_id, *(one["uid"] for one in self._seen), *begun)

    def write(self, change: Change) -> str | None:
        """One build of the commit; where one is on its way already, nothing is sent."""
        if change.action == "wait":
            self._begun = self._coming()["uid"]
            return "it was on its way"
        if self._before is None:
            self._before = frozenset(one["uid"] for one in self._seen)
        self._project = self._read_project()  # whoever turned the setting on since the look would have it go live
        self._refuse_to_go_live(change)
        source = git_source(self._project.get("link") or {}, branch=self._branch, commit=self._commit)
        body = {
            "name": self._project["name"],
            "project": self._project_id,
            "target": PRODUCTION,
            "gitSource": source,
        }
        answer = self._client.write(
            "POST", "/v13/deployments", operation="create a production build", params=self._scope, body=body
        )
        self._begun = str(json_of(answer)["id"])
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """By what was made since the write, of the same commit."""
        new = [one for one in self._seen if one["uid"] not in (self._before or frozenset())]
        if new:
            self._begun = new[0]["uid"]
        return bool(new)

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def settle(self, change: Change) -> None:
        """Until it is built, and not a moment live."""

        def is_ready() -> bool:
            found = _deployment(self._client, self._begun, self._scope)
            if found["readyState"] in ENDED:
                raise self._failure(found)
            return bool(found["readyState"] == "READY")

        self._surroundings.wait_until(is_ready, what=f"the production build of {self._commit[:12]}", vendor=VENDOR)
        self._require_staged()
        self._vault.hold(BUILD, self._begun, secret=False)

    def _read_project(self) -> Mapping[str, Any]:
        return _project(self._client, self._project_id, self._scope)

    def _variables(self) -> list[Mapping[str, Any]]:
        return [one for one in self._reading.every_variable() if PRODUCTION in targets_of(one)]

    def _facts(self, changed: int) -> dict[str, Any]:
        """Beside the build itself: what is on its way, and when a variable of production was last changed."""
        coming, link = self._coming(), self._project.get("link") or {}
        facts = {
            "branch": self._branch,
            "repo": f"{link.get('org')}/{link.get('repo')}" if link.get("repo") else None,
            "variables_changed_at": moment(changed or None),
            "coming_commit": commit_of(coming),
            "coming_since": moment(coming.get("created")),
        }
        return {**{name: value for name, value in facts.items() if value}, "goes_live_by_itself": self._goes_live()}

    def _coming(self) -> Mapping[str, Any]:
        """The newest, when it is on its way."""
        newest = self._seen[0] if self._seen else {}
        return newest if newest.get("state") in COMING else {}

    def _goes_live(self) -> bool:
        return self._project.get("autoAssignCustomDomains", True) is not False

    def _findings(self) -> Iterable[Finding]:
        if self._goes_live():
            what = "a finished production build takes the production domains by itself, before anybody promotes it"
            yield Finding("goes-live-by-itself", self.address, what, _TURN_OFF)

    def _refuse_to_go_live(self, change: Change) -> None:
        if self._goes_live():
            raise RefusedError(
                "the production build was not begun: it would go live by itself",
                why="the Vercel project assigns the production domains automatically",
                next_step=_TURN_OFF,
            )
        if not self._commit or change.after.get("commit") != self._commit:
            raise RefusedError(
                f"the production build of {change.after.get('commit')} was not begun",
                why=f"this run is for commit {self._commit or '(none)'}",
                next_step="run the plan again, and name the commit that staging has proven",
            )

    def _require_staged(self) -> None:
        """Errors: VendorRefusedError when the build serves production, which nothing of ours asked for."""
        found = _deployment(self._client, self._begun, self._scope)
        is_live = _live(self._read_project()).get("id") == self._begun
        if found.get("target") == PRODUCTION and found.get("readySubstate") in {None, "STAGED"} and not is_live:
            return
        raise VendorRefusedError(
            f"the build {self._begun} is not a staged production build",
            vendor=VENDOR,
            operation="create a production build",
            status=200,
            why=f"Vercel calls it {found.get('target') or 'a preview'}, {found.get('readySubstate') or 'no substate'}",
            state=f"changed: production serves {self._begun}" if is_live else f"changed in part: {self._begun} exists",
            next_step=f"look at {self._begun} in Vercel; to go back: pantheon-runbook run RB-040",
        )

    def _failure(self, found: Mapping[str, Any]) -> VendorRefusedError:
        said = self._vault.registry.redact(str(found.get("errorMessage") or "")) or "Vercel gives no reason"
        return VendorRefusedError(
            f"the production build of {self._commit[:12]} {ENDED[found['readyState']]}",
            vendor=VENDOR,
            operation="create a production build",
            status=200,
            why=said[-WHY_LENGTH:],
            state=f"production serves what it served before; deployment {found['id']} exists and serves nothing",
            next_step="read its build log in Vercel, put right what it says, then run the plan again",
        )


class ProductionAlias(Kind):
    """One address: the deployment that the production domains show, and those they can go back to.

    Action "roll back" moves them to the deployment `after["id"]`, which has served before; any other promotes
    `after["id"]`, else what the vault holds as vercel.production_build, when it is of `after["commit"]`.
    """

    prefix = address = "vercel/promotion"
    looks_after = (ProductionBuild.prefix,)

    def __init__(self, client: Client, frontend: Frontend, surroundings: Surroundings) -> None:
        self._client = client
        self._project_id = frontend.vercel_project
        self._team = frontend.vercel_team
        self._scope = {"teamId": frontend.vercel_team}
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._project: Mapping[str, Any] = {}
        self._domains: list[str] = []
        self._former: list[Mapping[str, Any]] = []  # what the domains can go back to, the newest first
        self._plan: str | None = None

    def look(self) -> Look:
        self._project = self._read_project()
        reading = Reading(self._client, project=self._project_id, team=self._team)
        self._domains = sorted(str(one["name"]) for one in reading.domains().entries("domains") if _shows_it(one))
        self._plan = plan_of(self._client, self._team)
        asked = {**self._scope, "projectId": self._project_id, "target": PRODUCTION, "limit": _NEWEST}
        params = {**asked, "rollbackCandidate": "true"}
        listed = self._client.read("GET", "/v6/deployments", operation="list rollback candidates", params=params)
        live = _live(self._project)
        found = [one for one in json_of(listed)["deployments"] if _is_of_production(one) and one["state"] == "READY"]
        self._former = sorted(
            (one for one in found if one.get("isRollbackCandidate") and one["uid"] != live.get("id")),
            key=lambda one: -int(one["created"]),
        )
        seen = Resource(self.address, "present" if live else "absent", self._attributes(live))
        return Look((seen,), tuple(self._findings(live)))

    def ids(self) -> tuple[str, ...]:
        """The project, what it serves, and what it can go back to."""
        live = _live(self._project).get("id")
        return (self._project_id, *((str(live),) if live else ()), *(one["uid"] for one in self._former))

    def write(self, change: Change) -> str | None:
        """One request, when production does not show it yet nor is on its way there."""
        wanted = self._wanted(change)
        self._project = self._read_project()
        serving = _live(self._project).get("id")
        if wanted in {serving, self._moving_to()}:
            return "production shows it already" if wanted == serving else "it was on its way"
        if change.action == "wait":
            raise _stale(change, serving, why="the promotion that was on its way has ended")
        if change.before.get("id") not in {None, serving}:
            raise _stale(change, serving, why=f"the plan was made while production served {change.before['id']}")
        self._refuse_other_builds(wanted, change)
        if change.action == ROLL_BACK:
            self._roll_back(wanted)
        else:
            self._promote(wanted)
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """Done, or taken on by the vendor: in both cases it is not sent again."""
        return self._wanted(change) in {seen.attributes.get("id"), seen.attributes.get("moving_to")}

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def settle(self, change: Change) -> None:
        """Until every production domain shows it, by the vendor's own word."""
        wanted = self._wanted(change)

        def has_moved() -> bool:
            self._project = self._read_project()
            job = self._project.get("lastAliasRequest") or {}
            if job.get("toDeploymentId") == wanted and job.get("jobStatus") in _BROKEN_OFF:
                raise self._failure(change, job)
            live = _live(self._project)
            return live.get("id") == wanted and self._moving_to() is None and not self._elsewhere(live)

        self._surroundings.wait_until(has_moved, what="the change of production's domains", vendor=VENDOR)

    def _read_project(self) -> Mapping[str, Any]:
        return _project(self._client, self._project_id, {**self._scope, "rollbackInfo": "true"})

    def _promote(self, wanted: str) -> None:
        path = f"/v10/projects/{self._project_id}/promote/{wanted}"
        self._client.write("POST", path, operation="promote a production build", params=self._scope, body={})

    def _roll_back(self, wanted: str) -> None:
        self._refuse_second_step(wanted)
        path = f"/v1/projects/{self._project_id}/rollback/{wanted}"
        self._client.write("POST", path, operation="roll production back", params=self._scope, body={})

    def _attributes(self, live: Mapping[str, Any]) -> dict[str, Any]:
        previous = self._previous()
        known = {
            "id": live.get("id"),
            "commit": commit_of(live),
            "created_at": moment(live.get("createdAt")),
            "moving_to": self._moving_to(),
            "previous": previous.get("uid"),
            "previous_commit": commit_of(previous),
            "plan": self._plan,
        }
        back = [
            {"id": one["uid"], "commit": commit_of(one), "created_at": moment(one["created"])} for one in self._former
        ]
        return {
            **{name: value for name, value in known.items() if value},
            "hosts": self._domains,
            "can_go_back_to": back[:1] if self._plan == _HOBBY else back,
        }

    def _previous(self) -> Mapping[str, Any]:
        """What served before: as the vendor remembers its last promotion, else the newest that is older."""
        live, job = _live(self._project), self._project.get("lastAliasRequest") or {}
        came_from = job.get("fromDeploymentId") if job.get("type") == "promote" else None
        if came_from is not None and job.get("toDeploymentId") == live.get("id"):
            return next((one for one in self._former if one["uid"] == came_from), {})
        older = (one for one in self._former if int(one["created"]) < int(live.get("createdAt") or 0))
        return next(older, {})

    def _moving_to(self) -> str | None:
        job = self._project.get("lastAliasRequest") or {}
        return str(job["toDeploymentId"]) if job.get("jobStatus") in _MOVING else None

    def _elsewhere(self, live: Mapping[str, Any]) -> list[str]:
        """Production domains that show another deployment."""
        return [one for one in self._domains if one not in (live.get("alias") or ())]

    def _findings(self, live: Mapping[str, Any]) -> Iterable[Finding]:
        if self._project.get("rollingRelease"):
            what = "production is released in stages: a promotion would show the new build to a part of the users only"
            step = "in Vercel, Settings > Build and Deployment: turn off Rolling Releases, or promote by hand"
            yield Finding("rolling-release", self.address, what, step)
        elsewhere = self._elsewhere(live) if live and self._moving_to() is None else []
        if elsewhere:
            what = f"{', '.join(elsewhere)} does not show the deployment {live['id']} that production serves"
            step = "look at the project's domains in Vercel, and let all of production's show one deployment"
            yield Finding("domains-apart", self.address, what, step)

    def _wanted(self, change: Change) -> str:
        return str(change.after.get("id") or self._vault.text(BUILD))

    def _refuse_other_builds(self, wanted: str, change: Change) -> None:
        """Errors: RefusedError for a preview, another project's, an unfinished one, or one of another commit."""
        found = _deployment(self._client, wanted, self._scope)
        objections = {
            "it is another project's": found.get("projectId") != self._project_id,
            "it was not built for production, and would be built anew": found.get("target") != PRODUCTION,
            f"it is {found.get('readyState')}": found.get("readyState") != "READY",
            f"it is of commit {commit_of(found)}": change.after.get("commit") not in {None, commit_of(found)},
        }
        why = next((words for words, holds in objections.items() if holds), "")
        if why:
            raise RefusedError(
                f"production was not moved to {wanted}",
                why=why,
                next_step="run the plan again: it names the build that fits",
            )

    def _refuse_second_step(self, wanted: str) -> None:
        """On the Hobby plan the vendor goes back to the one that served before, and no further."""
        if self._plan == _HOBBY and wanted != self._previous().get("uid"):
            raise RefusedError(
                f"production was not rolled back to {wanted}",
                why=f"on the Hobby plan Vercel goes back one step: to {self._previous().get('uid') or 'none'}",
                next_step="roll back that one step, or promote a build of the commit that you want",
            )

    def _failure(self, change: Change, job: Mapping[str, Any]) -> VendorRefusedError:
        words = "the rollback" if job.get("type") == "rollback" else "the promotion"
        stuck = self._stuck() if job.get("type") == "promote" else []
        serving = _live(self._project).get("id") or "nothing"
        return VendorRefusedError(
            f"{words} to {job['toDeploymentId']} was {job['jobStatus']}",
            vendor=VENDOR,
            operation=change.action,
            status=200,
            why=f"these domains were not moved: {', '.join(stuck)}" if stuck else "Vercel gives no reason",
            state=f"changed in part: production serves {serving}, look at each domain",
            next_step="look at the project's deployments in Vercel; running the plan again shows what is left",
        )

    def _stuck(self) -> list[str]:
        path = f"/v1/projects/{self._project_id}/promote/aliases"
        params = {**self._scope, "failedOnly": "true"}
        answer = json_of(self._client.read("GET", path, operation="list domains of a promotion", params=params))
        return sorted(str(one["alias"]) for one in answer.get("aliases") or ())


def _project(client: Client, project_id: str, params: Mapping[str, str]) -> Mapping[str, Any]:
    answer = client.read("GET", f"/v9/projects/{project_id}", operation="read the project", params=params)
    return dict(json_of(answer))


def _deployment(client: Client, identifier: str, scope: Mapping[str, str]) -> Mapping[str, Any]:
    path = f"/v13/deployments/{identifier}"
    return dict(json_of(client.read("GET", path, operation="read a deployment", params=scope)))


def _live(project: Mapping[str, Any]) -> Mapping[str, Any]:
    return (project.get("targets") or {}).get(PRODUCTION) or {}


def _is_of_production(listed: Mapping[str, Any]) -> bool:
    return listed.get("target") == PRODUCTION and not listed.get("customEnvironment")


def _shows_it(domain: Mapping[str, Any]) -> bool:
    """Whether the domain shows what production serves: not a branch, not another environment, not another host."""
    elsewhere = any(domain.get(one) for one in ("gitBranch", "customEnvironmentId", "redirect"))
    return domain.get("verified") is True and not elsewhere


def _stale(change: Change, serving: str | None, *, why: str) -> StalePlanError:
    return StalePlanError(
        f"{change.address} was not changed: production serves {serving or 'nothing'} now",
        why=why,
        next_step="run the plan again, read it, and have the new digest approved",
    )


def _shown(deployment: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        "id": deployment["uid"],
        "state": "READY",
        "substate": deployment.get("readySubstate"),
        "commit": commit_of(deployment),
        "created_at": moment(deployment["created"]),
        "host": deployment["url"],
    }
    return {name: value for name, value in known.items() if value}
