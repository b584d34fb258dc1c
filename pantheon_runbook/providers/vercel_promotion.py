"""Vercel: which deployment the production domains show.

A promotion moves the domains to a build that exists and builds nothing; promoting a preview would build it anew with
production's variables, so that is never done (FACTS 3). The way back is the vendor's rollback, as quick as a promotion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pantheon_runbook.config import Frontend
from pantheon_runbook.errors import RefusedError, StalePlanError, VendorRefusedError
from pantheon_runbook.kind import ROLL_BACK, Kind, Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.vercel import VENDOR, plan_of
from pantheon_runbook.providers.vercel_builds import BUILD, ProductionBuild, is_of_production
from pantheon_runbook.providers.vercel_deploys import commit_of
from pantheon_runbook.providers.vercel_reading import PRODUCTION, Reading, deployment_at, live_of, moment, project_at

_HOBBY = "hobby"
_NEWEST = "100"
_MOVING = frozenset({"pending", "in-progress"})
_BROKEN_OFF = frozenset({"failed", "skipped"})


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
        live = live_of(self._project)
        found = [one for one in json_of(listed)["deployments"] if is_of_production(one) and one["state"] == "READY"]
        self._former = sorted(
            (one for one in found if one.get("isRollbackCandidate") and one["uid"] != live.get("id")),
            key=lambda one: -int(one["created"]),
        )
        seen = Resource(self.address, "present" if live else "absent", self._attributes(live))
        identities = {"vercel_project": str(self._project["id"]), "vercel_target": PRODUCTION}
        return Look((seen,), tuple(self._findings(live)), identities)

    def ids(self) -> tuple[str, ...]:
        """The project, what it serves, and what it can go back to."""
        live = live_of(self._project).get("id")
        return (self._project_id, *((str(live),) if live else ()), *(one["uid"] for one in self._former))

    def write(self, change: Change) -> str | None:
        """One request, when production does not show it yet nor is on its way there."""
        wanted = self._wanted(change)
        self._project = self._read_project()
        live = live_of(self._project)
        serving = live.get("id")
        if wanted in {serving, self._moving_to()}:
            return "production shows it already" if wanted == serving else "it was on its way"
        if change.action == "wait":
            raise _stale(change, serving, why="the promotion that was on its way has ended")
        for name, found in (("id", serving), ("commit", commit_of(live))):
            if change.before.get(name) not in {None, found}:
                raise _stale(change, serving, why=f"the plan was made while production served {change.before[name]}")
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
            live = live_of(self._project)
            return live.get("id") == wanted and self._moving_to() is None and not self._elsewhere(live)

        self._surroundings.wait_until(has_moved, what="the change of production's domains", vendor=VENDOR)

    def _read_project(self) -> Mapping[str, Any]:
        return project_at(self._client, self._project_id, {**self._scope, "rollbackInfo": "true"})

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
        live, job = live_of(self._project), self._project.get("lastAliasRequest") or {}
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
        found = deployment_at(self._client, wanted, self._scope)
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
        serving = live_of(self._project).get("id") or "nothing"
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
