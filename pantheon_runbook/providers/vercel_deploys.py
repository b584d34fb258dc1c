"""Vercel: the preview deployment of the release branch, built with the preview variables as they are now."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pantheon_runbook.config import Frontend
from pantheon_runbook.errors import RefusedError, VendorRefusedError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.vercel import VENDOR
from pantheon_runbook.providers.vercel_reading import (
    PREVIEW,
    deployment_at,
    live_of,
    moment,
    project_at,
    repo_of,
    targets_of,
)

BYPASS = "vercel.bypass"
BYPASS_OF_OURS = "credentials.VERCEL_AUTOMATION_BYPASS_SECRET"
_AUTOMATION = "automation-bypass"
COMING = frozenset({"BUILDING", "INITIALIZING", "QUEUED"})
ENDED = {"BLOCKED": "is blocked", "CANCELED": "was cancelled", "DELETED": "was deleted", "ERROR": "failed"}
_NEWEST = "20"  # of one branch: what is older than these is not looked for
WHY_LENGTH = 400
_AUTHORS = tuple(f"{host}CommitAuthorName" for host in ("github", "gitlab", "bitbucket"))


class Building(Kind):
    """A deployment that one write begins: waited for by its own id, found by looking when the answer was lost."""

    operation: ClassVar[str]

    def __init__(self, client: Client, frontend: Frontend, surroundings: Surroundings, *, branch: str) -> None:
        self._client = client
        self._project_id = frontend.vercel_project
        self._scope = {"teamId": frontend.vercel_team}
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._branch = branch
        self._project: Mapping[str, Any] = {}
        self._seen: list[Mapping[str, Any]] = []  # the newest first
        self._before: frozenset[str] | None = None
        self._begun = ""

    @property
    @abstractmethod
    def _what(self) -> str:
        """What is built, in words."""

    @abstractmethod
    def _left_by_failure(self, found: Mapping[str, Any]) -> str:
        """In which state a build that failed leaves things."""

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def settle(self, change: Change) -> None:
        """Until it is built. Errors: VendorRefusedError when it is not."""

        def is_ready() -> bool:
            found = deployment_at(self._client, self._begun, self._scope)
            if found["readyState"] in ENDED:
                raise self._failure(found)
            return bool(found["readyState"] == "READY")

        self._surroundings.wait_until(is_ready, what=self._what, vendor=VENDOR)

    def _note_before(self) -> None:
        """What was there before the first try: what is new after a lost answer is ours."""
        if self._before is None:
            self._before = frozenset(one["uid"] for one in self._seen)

    def _body(self, **more: Any) -> dict[str, Any]:
        """What asks for one of this project."""
        return {"name": self._project["name"], "project": self._project_id, **more}

    def _made(self, answer: Any) -> Mapping[str, Any]:
        """What the vendor has begun; it is waited for by its id."""
        made = dict(json_of(answer))
        self._begun = str(made["id"])
        return made

    def _found_new(self, candidates: Iterable[Mapping[str, Any]]) -> bool:
        """Whether one of these was made since the write; its id is then what is waited for."""
        new = [one for one in candidates if one["uid"] not in (self._before or frozenset())]
        if new:
            self._begun = new[0]["uid"]
        return bool(new)

    def _failure(self, found: Mapping[str, Any]) -> VendorRefusedError:
        said = self._vault.registry.redact(str(found.get("errorMessage") or "")) or "Vercel gives no reason"
        return VendorRefusedError(
            f"{self._what} {ENDED[found['readyState']]}",
            vendor=VENDOR,
            operation=self.operation,
            status=200,
            why=said[-WHY_LENGTH:],
            state=self._left_by_failure(found),
            next_step="read its build log in Vercel, put right what it says, then run the plan again",
        )


class PreviewDeployment(Building):
    """One address: the newest preview of the branch that is READY; and what a new one needs to know.

    Vault: vercel.bypass, one secret that opens protected deployments, when the project has one.
    """

    prefix = "vercel/deployment"
    address = f"{prefix}/{PREVIEW}"

    operation = "create a preview deployment"

    def __init__(self, client: Client, frontend: Frontend, surroundings: Surroundings, *, branch: str) -> None:
        super().__init__(client, frontend, surroundings, branch=branch)
        self._variables: list[dict[str, Any]] = []

    @property
    def _what(self) -> str:
        return f"the preview of {self._branch}"

    def _left_by_failure(self, found: Mapping[str, Any]) -> str:
        return f"changed in part: deployment {found['id']} does not serve, the former preview still does"

    def look(self) -> Look:
        self._project = project_at(self._client, self._project_id, self._scope)
        path = f"/v10/projects/{self._project_id}/env"
        variables = self._client.read("GET", path, operation="list variables", params=self._scope)
        of_branch = {**self._scope, "projectId": self._project_id, "branch": self._branch, "limit": _NEWEST}
        listed = self._client.read("GET", "/v6/deployments", operation="list deployments", params=of_branch)
        self._variables = json_of(variables)["envs"]
        self._seen = sorted(json_of(listed)["deployments"], key=lambda one: -int(one["created"]))
        self._hold_bypass()
        ready = next((one for one in self._previews() if one["state"] == "READY"), None)
        attributes = {**self._facts(), **(_shown(ready) if ready else {})}
        return Look((Resource(self.address, "present" if ready else "absent", attributes),))

    @property
    def author(self) -> str:
        """Who wrote the commit of the newest preview that is READY, in the word of its Git host; "" for nothing."""
        ready = next((one for one in self._previews() if one["state"] == "READY"), {})
        meta = ready.get("meta") or {}
        return next((str(meta[name]) for name in _AUTHORS if meta.get(name)), "")

    def ids(self) -> tuple[str, ...]:
        return (self._project_id,)

    def write(self, change: Change) -> str | None:
        """Without a target, which makes it a preview; where one is on its way already, nothing is sent."""
        if change.action == "wait":
            self._begun = self._coming()["uid"]
            return "it was on its way"
        self._note_before()
        path, body = "/v13/deployments", self._body(gitSource=self._source(change))
        answer = self._client.write(
            "POST", path, operation="create a preview deployment", params=self._scope, body=body
        )
        made = self._made(answer)
        _require_preview(made)
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """By what was made since the write, of the same commit."""
        commit = self._commit_for(change)
        return self._found_new(one for one in self._previews() if commit in {None, commit_of(one)})

    def _hold_bypass(self) -> None:
        """The secrets are the keys of the project's answer (FACTS 3); one of ours in the credentials goes first."""
        known = self._project.get("protectionBypass") or {}
        held = [secret for secret, about in sorted(known.items()) if about.get("scope") == _AUTOMATION]
        for secret in known:
            self._vault.registry.add(secret, name=BYPASS)
        own = self._vault.get(BYPASS_OF_OURS)
        if own is not None or held:
            self._vault.hold(BYPASS, own.reveal() if own is not None else held[0])

    def _facts(self) -> dict[str, Any]:
        """Beside the preview itself: the branch's newest commit, and when a variable of previews was last changed."""
        changed = [
            int(one.get("updatedAt") or 0)
            for one in self._variables
            if PREVIEW in targets_of(one) and one.get("gitBranch") in {None, "", self._branch}
        ]
        coming, live = self._coming(), live_of(self._project)
        facts = {
            "branch": self._branch,
            "head": commit_of(self._seen[0]) if self._seen else None,
            "repo": repo_of(self._project),
            "variables_changed_at": moment(max(changed, default=0) or None),
            "coming_commit": commit_of(coming),
            "coming_since": moment(coming.get("created")),
            "production_hosts": sorted({*(live.get("alias") or ()), *([live["url"]] if live.get("url") else [])}),
        }
        is_closed = any(self._project.get(one) for one in ("ssoProtection", "passwordProtection"))
        opens = not is_closed or self._vault.get(BYPASS) is not None
        return {**{name: value for name, value in facts.items() if value}, "can_be_opened": opens}

    def _previews(self) -> list[Mapping[str, Any]]:
        return [one for one in self._seen if one.get("target") is None and not one.get("customEnvironment")]

    def _coming(self) -> Mapping[str, Any]:
        """The newest preview, when it is on its way."""
        newest = next(iter(self._previews()), {})
        return newest if newest.get("state") in COMING else {}

    def _commit_for(self, change: Change) -> str | None:
        """The one that is shown, when only the variables are new."""
        shown = next((one for one in self._previews() if one["state"] == "READY"), {})
        return change.after.get("commit") or commit_of(shown)

    def _source(self, change: Change) -> dict[str, Any]:
        return git_source(self._project.get("link") or {}, branch=self._branch, commit=self._commit_for(change))


def _require_preview(made: Mapping[str, Any]) -> None:
    """Errors: VendorRefusedError; nothing that we send asks for another target."""
    if made.get("target") is not None:
        raise VendorRefusedError(
            f"vercel made a deployment for {made['target']} when a preview was asked for",
            vendor=VENDOR,
            operation="create a preview deployment",
            status=200,
            why="no target was sent, which means a preview",
            state=f"changed: deployment {made['id']} is on its way for {made['target']}",
            next_step=f"cancel {made['id']} in Vercel at once, and look at the project's settings",
        )


def git_source(link: Mapping[str, Any], *, branch: str, commit: str | None) -> dict[str, Any]:
    """The project's own repository, in the words of its Git host; without a commit it is the branch's head.

    Errors: RefusedError when the project has none that can be named.
    """
    fields = {
        "github": {"repoId": "repoId"},
        "gitlab": {"projectId": "projectId"},
        "bitbucket": {"repoUuid": "uuid", "workspaceUuid": "workspaceUuid"},
    }.get(str(link.get("type")))
    if fields is None:
        raise RefusedError(
            "nothing was built: the Vercel project has no repository that can be named",
            why=f"it is connected to {link.get('type') or 'none'}",
            next_step="connect the repository in Vercel's project settings, then run again",
        )
    where = {name: link[field] for name, field in fields.items() if field in link}
    return {"type": link["type"], **where, "ref": branch, **({"sha": commit} if commit else {})}


def commit_of(deployment: Mapping[str, Any]) -> str | None:
    """Each Git host has a field of its own: githubCommitSha, gitlabCommitSha, bitbucketCommitSha."""
    meta = deployment.get("meta") or {}
    return next((str(value) for name, value in sorted(meta.items()) if name.endswith("CommitSha")), None)


def _shown(deployment: Mapping[str, Any]) -> dict[str, Any]:
    commit = commit_of(deployment)
    seen = {"state": "READY", "created_at": moment(deployment["created"]), "host": deployment["url"]}
    return {**seen, **({"commit": commit} if commit else {})}
