"""Vercel: a staged production build of one commit, which serves nothing until it is promoted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pantheon_runbook.config import Frontend
from pantheon_runbook.errors import RefusedError, StalePlanError, VendorRefusedError
from pantheon_runbook.kind import Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.vercel import VENDOR
from pantheon_runbook.providers.vercel_deploys import COMING, Building, commit_of, git_source
from pantheon_runbook.providers.vercel_reading import (
    PRODUCTION,
    Reading,
    deployment_at,
    live_of,
    moment,
    project_at,
    repo_of,
    targets_of,
)

BUILD = "vercel.production_build"  # in the vault: the id of the staged build
_TURN_OFF = 'in Vercel, Settings > Environments > Production: turn off "Auto-assign Custom Production Domains"'


class ProductionBuild(Building):
    """One address: the newest production build of `commit` that is READY; a new one goes live by promotion only.

    Vault: vercel.production_build, its id.
    """

    prefix = address = f"vercel/deployment/{PRODUCTION}"
    looks_after = ("staging",)
    operation = "create a production build"

    def __init__(
        self,
        client: Client,
        frontend: Frontend,
        surroundings: Surroundings,
        *,
        branch: str,
        commit: Callable[[], str],
    ) -> None:
        """`commit` is asked when it is looked at and after: which one it is may be seen in the same run."""
        super().__init__(client, frontend, surroundings, branch=branch)
        self._reading = Reading(client, project=frontend.vercel_project, team=frontend.vercel_team)
        self._asked_commit = commit

    @property
    def _what(self) -> str:
        return f"the production build of {self._commit[:12]}"

    def _left_by_failure(self, found: Mapping[str, Any]) -> str:
        return f"production serves what it served before; deployment {found['id']} exists and serves nothing"

    @property
    def _commit(self) -> str:
        return self._asked_commit()

    def look(self) -> Look:
        self._project = self._read_project()
        changed = [int(one.get("updatedAt") or 0) for one in self._variables()]
        asked = {**self._scope, "projectId": self._project_id, "target": PRODUCTION, "sha": self._commit}
        listed = self._client.read("GET", "/v6/deployments", operation="list deployments", params=asked)
        found = [one for one in json_of(listed)["deployments"] if is_of_production(one)]
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
            self._begun = self._awaited()
            return "it was on its way"
        self._note_before()
        self._project = self._read_project()  # whoever turned the setting on since the look would have it go live
        self._refuse_to_go_live(change)
        source = git_source(self._project.get("link") or {}, branch=self._branch, commit=self._commit)
        path, body = "/v13/deployments", self._body(target=PRODUCTION, gitSource=source)
        self._made(
            self._client.write("POST", path, operation="create a production build", params=self._scope, body=body)
        )
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """By what was made since the write, of the same commit."""
        return self._found_new(self._seen)

    def settle(self, change: Change) -> None:
        """Until it is built, and not a moment live."""
        super().settle(change)
        self._require_staged()
        self._vault.hold(BUILD, self._begun, secret=False)

    def _read_project(self) -> Mapping[str, Any]:
        return project_at(self._client, self._project_id, self._scope)

    def _variables(self) -> list[Mapping[str, Any]]:
        return [one for one in self._reading.every_variable() if PRODUCTION in targets_of(one)]

    def _facts(self, changed: int) -> dict[str, Any]:
        """Beside the build itself: what is on its way, and when a variable of production was last changed."""
        coming = self._coming()
        facts = {
            "branch": self._branch,
            "repo": repo_of(self._project),
            "variables_changed_at": moment(changed or None),
            "coming_commit": commit_of(coming),
            "coming_since": moment(coming.get("created")),
        }
        return {**{name: value for name, value in facts.items() if value}, "goes_live_by_itself": self._goes_live()}

    def _awaited(self) -> str:
        """What was on its way when the plan was made; it may be ready by now. Errors: StalePlanError when it failed."""
        ready = self._vault.get(BUILD)
        if found := self._coming().get("uid") or (ready.reveal() if ready else None):
            return str(found)
        raise StalePlanError(
            f"the production build of {self._commit[:12]} that was on its way has ended otherwise",
            why=f"Vercel calls it {self._seen[0]['state']}" if self._seen else "Vercel lists it no more",
            next_step="run the plan again: it looks what became of it",
        )

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
        found = deployment_at(self._client, self._begun, self._scope)
        is_live = live_of(self._read_project()).get("id") == self._begun
        if found.get("target") == PRODUCTION and found.get("readySubstate") in {None, "STAGED"} and not is_live:
            return
        raise VendorRefusedError(
            f"the build {self._begun} is not a staged production build",
            vendor=VENDOR,
            operation=self.operation,
            status=200,
            why=f"Vercel calls it {found.get('target') or 'a preview'}, {found.get('readySubstate') or 'no substate'}",
            state=f"changed: production serves {self._begun}" if is_live else f"changed in part: {self._begun} exists",
            next_step=f"look at {self._begun} in Vercel; to go back: pantheon-runbook run RB-040",
        )


def is_of_production(listed: Mapping[str, Any]) -> bool:
    return listed.get("target") == PRODUCTION and not listed.get("customEnvironment")


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
