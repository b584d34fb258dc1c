"""Vercel's REST API: the Preview variables of the frontend project.

A 201 can carry `failed`; a sensitive value is never readable again, so its fingerprint is kept in `comment`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pantheon_runbook.config import Frontend
from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.kind import Kind, Look, Surroundings, production_finding, values_have_landed
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.vercel_reading import PREVIEW, PRODUCTION, Reading, note_of, noted_in, targets_of

VENDOR = "vercel"
BASE_URL = "https://api.vercel.com"


def check_token(client: Client, frontend: Frontend) -> str:
    """The project's name; proves that the token works and reaches it. Reads only."""
    answer = client.read(
        "GET",
        f"/v9/projects/{frontend.vercel_project}",
        operation="read the project",
        params={"teamId": frontend.vercel_team},
    )
    return str(json_of(answer)["name"])


def sees_project(client: Client, frontend: Frontend) -> bool:
    """Whether the token is shown the project, which production has too: 403 for a team, 404 for a project of others."""
    return client.read(
        "GET",
        f"/v9/projects/{frontend.vercel_project}",
        operation="look for the project",
        params={"teamId": frontend.vercel_team},
        accept=frozenset({403, 404}),
    ).is_success


def plan_of(client: Client, team: str) -> str | None:
    """The team's plan; its description does not name the field, so it may be left out one day. Reads only."""
    answer = client.read("GET", f"/v2/teams/{team}", operation="read the team", accept=frozenset({403, 404}))
    billing = (json_of(answer) or {}).get("billing") if answer.is_success else None
    return str(billing["plan"]) if billing and billing.get("plan") else None


def token_facts(client: Client) -> dict[str, Any] | None:
    """What is known of the token that is presented: `expiresAt` in milliseconds, left out when it does not expire.

    None when it may not be asked.
    """
    path = "/v5/user/tokens/current"
    answer = client.read("GET", path, operation="read the token's own facts", accept=frozenset({403, 404}))
    return dict(json_of(answer)["token"]) if answer.is_success else None


class PreviewVariables(Kind):
    """Variables of the target "preview"; the project is shared with production, its variables must not be.

    `names` are ours, and whether each is secret: those are stored as sensitive, the others readable.
    """

    prefix = "vercel/variables"

    def __init__(
        self, client: Client, frontend: Frontend, surroundings: Surroundings, *, names: Mapping[str, bool]
    ) -> None:
        self._client = client
        self._project = frontend.vercel_project
        self._scope = {"teamId": frontend.vercel_team}
        self._reading = Reading(client, project=frontend.vercel_project, team=frontend.vercel_team)
        self._surroundings = surroundings
        self._vault = surroundings.vault
        self._names = dict(names)

    def look(self) -> Look:
        everything = self._reading.every_variable()
        ours = [entry for entry in everything if PREVIEW in targets_of(entry)]
        theirs = sorted({str(entry["key"]) for entry in everything if PRODUCTION in targets_of(entry)})
        values = [self._reading.value_of(entry) for entry in ours]
        listed = list(zip(ours, values, strict=True))
        attributes = {one["key"]: self._attribute(one, value) for one, value in listed if not one.get("gitBranch")}
        findings = [finding for one, value in listed for finding in self._findings(one, value)]
        address = f"{self.prefix}/{PREVIEW}"
        seen = Resource(address, "present" if attributes else "absent", attributes)
        production = Resource("production/variables/vercel", "present", {"names": theirs})
        return Look((seen, production), tuple(findings), {"vercel_project": self._project, "vercel_target": PREVIEW})

    def ids(self) -> tuple[str, ...]:
        return (self._project,)

    def write(self, change: Change) -> None:
        """One request for the one target; a part that failed inside a 201 is a refusal."""
        answer = self._client.write(
            "POST",
            f"/v10/projects/{self._project}/env",
            operation="set preview variables",
            params={**self._scope, "upsert": "true"},
            body=[self._body(name, want["from"]) for name, want in sorted(change.after.items())],
        )
        failed = (json_of(answer) or {}).get("failed") or []
        if failed:
            error = failed[0]["error"]
            raise VendorRefusedError(
                f"vercel did not set {error.get('key') or error.get('envVarKey') or 'a variable'}",
                vendor=VENDOR,
                operation="set preview variables",
                status=answer.status_code,
                code=str(error.get("code", "")),
                why=str(error.get("message", "no reason given")),
                state=f"changed in part: {len(failed)} of {len(change.after)} preview variables were not set",
                next_step="read the vendor's message, then run the plan again",
            )

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """By the comments, which were written together with the values."""
        return values_have_landed(self._vault, change, seen)

    def _body(self, name: str, held_as: str) -> dict[str, Any]:
        value = self._vault.text(held_as)
        return {
            "key": name,
            "value": value,
            "type": "sensitive" if self._names[name] else "plain",
            "target": [PREVIEW],
            "comment": note_of(self._vault.fingerprint_of(value)),
        }

    def _attribute(self, entry: Mapping[str, Any], value: str | None) -> dict[str, Any]:
        if value is not None:
            return {"fingerprint": self._vault.fingerprint_of(value)}
        noted = noted_in(entry)
        return {"fingerprint": noted} if noted else {"unreadable": True}

    def _findings(self, entry: Mapping[str, Any], value: str | None) -> Iterable[Finding]:
        address = f"{self.prefix}/{PREVIEW}"
        if PRODUCTION in targets_of(entry):
            yield Finding(
                "shared-variable",
                f"{address}/{entry['key']}",
                f"{entry['key']} is one variable for preview and production",
                f"take Preview off {entry['key']} in Vercel's project settings, then plan again",
            )
        if entry.get("gitBranch") and entry["key"] in self._names:
            yield Finding(
                "branch-variable",
                f"{address}/{entry['key']}",
                f"previews of the branch {entry['gitBranch']} have a value of their own for {entry['key']}",
                f"remove it in Vercel's project settings, unless {entry['gitBranch']} is meant to differ from staging",
                blocks=False,
            )
        finding = production_finding(
            self._surroundings,
            address,
            entry["key"],
            fingerprint=self._attribute(entry, value).get("fingerprint"),
            value=value or "",
        )
        if finding is not None:
            yield finding
