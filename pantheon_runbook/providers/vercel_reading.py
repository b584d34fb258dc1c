"""What a token may read of one Vercel project and its team: whole lists, and a reason where the vendor says no."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pantheon_runbook.providers.http import Client, json_of

# Not for this role or token, not on this plan, or not there (FACTS 3).
_NOT_FOR_US = frozenset({402, 403, 404})
_NOT_DECRYPTABLE = frozenset({400, *_NOT_FOR_US})
PRODUCTION, PREVIEW = "production", "preview"
_PAGE = "100"
_NOTE = "pantheon-runbook fingerprint "
_NOTED = re.compile(rf"{_NOTE}([0-9a-f]{{64}})")


@dataclass(frozen=True)
class Seen:
    """The pages of an answer; `why` says why there are none, "" when they were read."""

    pages: tuple[Mapping[str, Any], ...] = ()
    why: str = ""

    @property
    def whole(self) -> Mapping[str, Any]:
        """The answer that has one page; an empty one when it could not be read."""
        return self.pages[0] if self.pages else {}

    def entries(self, held_in: str) -> list[Mapping[str, Any]]:
        return [entry for page in self.pages for entry in page[held_in]]


class Reading:
    """One project of one team. Errors of every read: VendorRefusedError (the token), VendorUnavailableError."""

    def __init__(self, client: Client, *, project: str, team: str) -> None:
        self._client = client
        self._project = project
        self._team = team

    def project(self) -> Seen:
        return self.read(f"/v9/projects/{self._project}", operation="read the project")

    def variables(self) -> Seen:
        """Sealed as the vendor lists them: nothing is asked to be decrypted."""
        return self.read(f"/v10/projects/{self._project}/env", operation="list variables")

    def every_variable(self) -> list[Mapping[str, Any]]:
        """The same, for whoever cannot do without. Errors: VendorRefusedError too where the vendor says no."""
        path = f"/v10/projects/{self._project}/env"
        return self.read(path, operation="list variables", accept=frozenset()).entries("envs")

    def value_of(self, variable: Mapping[str, Any]) -> str | None:
        """The value of one of previews: None for a sensitive one, or one that this token may not have decrypted.

        Production's is not asked for, whoever else has the variable too; what comes back is held to that again.
        """
        targets = targets_of(variable)
        if PREVIEW not in targets or PRODUCTION in targets:
            return None
        if variable.get("type") == "plain":
            return variable.get("value")
        if variable.get("type") != "encrypted":
            return None
        answer = self._client.read(
            "GET",
            f"/v1/projects/{self._project}/env/{variable['id']}",
            operation="read a preview variable",
            params={"teamId": self._team},
            accept=_NOT_DECRYPTABLE,
        )
        shown = json_of(answer) if answer.is_success else {}
        return shown.get("value") if shown.get("decrypted") and PRODUCTION not in targets_of(shown) else None

    def domains(self) -> Seen:
        return self.read(f"/v9/projects/{self._project}/domains", operation="list project domains", limit=_PAGE)

    def custom_environments(self) -> Seen:
        return self.read(f"/v9/projects/{self._project}/custom-environments", operation="list custom environments")

    def team_variables(self, project_id: str) -> Seen:
        return self.read("/v1/env", operation="list shared variables", projectId=project_id)

    def team(self) -> Seen:
        """Its `membership` is that of the token's user."""
        return self.read(f"/v2/teams/{self._team}", operation="read the team")

    def members(self) -> Seen:
        return self.read(f"/v3/teams/{self._team}/members", operation="list team members", limit=_PAGE)

    def read(self, path: str, *, operation: str, accept: frozenset[int] = _NOT_FOR_US, **params: str) -> Seen:
        """Every page of a list, or the one answer; `accept` are the refusals that are no error but a reason."""
        pages: list[Mapping[str, Any]] = []
        asked = {"teamId": self._team, **params}
        while True:
            answer = self._client.read("GET", path, operation=operation, params=asked, accept=accept)
            error = {} if answer.is_success else _error_of(answer)
            if error.get("invalidToken"):  # also a 403: this once the client words the refusal
                answer = self._client.read("GET", path, operation=operation, params=asked)
            if not answer.is_success:
                return Seen(why=f"vercel answers {answer.status_code} ({error.get('code', 'no code')})")
            pages.append(json_of(answer))
            following = (pages[-1].get("pagination") or {}).get("next")
            if following is None or asked.get("until") == str(following):
                return Seen(tuple(pages))
            asked["until"] = str(following)


def project_at(client: Client, project_id: str, params: Mapping[str, str]) -> Mapping[str, Any]:
    """The project as it is now. Errors: VendorRefusedError, VendorUnavailableError."""
    answer = client.read("GET", f"/v9/projects/{project_id}", operation="read the project", params=params)
    return dict(json_of(answer))


def deployment_at(client: Client, identifier: str, scope: Mapping[str, str]) -> Mapping[str, Any]:
    """One deployment as it is now. Errors: as above."""
    path = f"/v13/deployments/{identifier}"
    return dict(json_of(client.read("GET", path, operation="read a deployment", params=scope)))


def live_of(project: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deployment that a project's production serves; {} for none."""
    return (project.get("targets") or {}).get(PRODUCTION) or {}


def repo_of(project: Mapping[str, Any]) -> str | None:
    """As Railway calls it too: org/repo. None where the project is connected to none."""
    link = project.get("link") or {}
    return f"{link.get('org')}/{link.get('repo')}" if link.get("repo") else None


def _error_of(answer: Any) -> Mapping[str, Any]:
    """What the vendor says in its one error shape; {} for anything else, which may come from something in between."""
    try:
        body = json_of(answer)
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def targets_of(variable: Mapping[str, Any]) -> list[str]:
    """Sorted: an array or a single string (FACTS 3), and the ids of custom environments."""
    given = variable.get("target") or ()
    named = (given,) if isinstance(given, str) else given
    return sorted({*named, *(variable.get("customEnvironmentIds") or ())})


def note_of(fingerprint: str) -> str:
    """The comment of a variable: what is left of a sensitive value, which is never readable again."""
    return f"{_NOTE}{fingerprint}"


def noted_in(variable: Mapping[str, Any]) -> str | None:
    """The fingerprint in its comment; None when we did not write it."""
    found = _NOTED.search(variable.get("comment") or "")
    return found.group(1) if found else None


def moment(milliseconds: int | None) -> str | None:
    """For example "2026-11-24T17:00:00.123Z"."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def repository_of(link: Mapping[str, Any]) -> str:
    """For example "github pantheon/web"; each Git host has fields of its own."""
    name = link.get("projectNameWithNamespace") or "/".join(
        str(link[part]) for part in ("org", "owner", "slug", "repo") if link.get(part)
    )
    return f"{link['type']} {name}"


def protected_part(protection: Mapping[str, Any] | None) -> str | None:
    """Which deployments a protection covers, in the vendor's own word; None when it is off."""
    return None if protection is None else str(protection.get("deploymentType", "on"))
