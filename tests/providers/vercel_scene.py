"""A provisioned world seen by the inventory and the exposures, and the hands of somebody who changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from vendors import Hands

from pantheon_runbook.model import Exposure, Resource
from pantheon_runbook.providers import vercel
from pantheon_runbook.providers.http import Client, Reach
from pantheon_runbook.providers.vercel_exposure import exposure
from pantheon_runbook.providers.vercel_inventory import inventory
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.secrets import Secret, fingerprints_under

TARGETS = ("preview", "production")
fingerprint = fingerprints_under("5a" * 32)
HOOK = {
    "id": "hook_1",
    "name": "nightly",
    "ref": "main",
    "url": "https://api.vercel.com/v1/integrations/deploy/x/S3cretHook77",
}
# What a role may keep from a token, and what then cannot be read.
DENIED = {
    "GET /v9/projects/{idOrName}": {"project", "deploy-hooks"},
    "GET /v10/projects/{idOrName}/env": {"variables"},
    "GET /v9/projects/{idOrName}/domains": {"domains"},
    "GET /v9/projects/{idOrName}/custom-environments": {"custom-environments"},
    "GET /v1/env": {"team-variables"},
}
Difference = tuple[str, str, str]  # target, address without "vercel/", attribute (or "added", "removed", "state")


class Scene:
    """`token` looks; `call`, `project` and `variable` are what a person does in the dashboard."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.hands = Hands(world.running)
        self.facts = self.hands.facts["vercel"]
        self.memory: Any = None
        self._clients: dict[str, Client] = {}

    def client(self, token: str = "") -> Client:
        """One per token, closed with the scene."""
        used = token or self.facts["token"]
        if used not in self._clients:
            reach = Reach(str(self.world.running.socket))
            self._clients[used] = reading_client("vercel", vercel.BASE_URL, Secret(used), reach=reach)
        return self._clients[used]

    def close(self) -> None:
        self.hands.close()
        for client in self._clients.values():
            client.close()

    def inventory(self, target: str, token: str = "") -> tuple[Resource, ...]:
        where = {"project": self.facts["project_id"], "team": self.facts["team_id"]}
        return inventory(self.client(token), **where, target=target, fingerprint=fingerprint)

    def both(self) -> dict[str, tuple[Resource, ...]]:
        return {target: self.inventory(target) for target in TARGETS}

    def exposures(self, token: str = "") -> dict[str, Exposure]:
        found = exposure(self.client(token), project=self.facts["project_id"], team=self.facts["team_id"])
        return {one.address.removeprefix("vercel/"): one for one in found}

    def states(self, token: str = "") -> dict[str, str]:
        return {address: one.state for address, one in self.exposures(token).items()}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        scope = f"{'&' if '?' in path else '?'}teamId={self.facts['team_id']}"
        return self.hands.call("vercel", method, f"{path}{scope}", body)

    def on_project(self, method: str, path: str, body: Any = None, version: int = 9) -> Any:
        return self.call(method, f"/v{version}/projects/{self.facts['project_id']}{path}", body)

    def project(self, **settings: Any) -> None:
        self.on_project("PATCH", "", settings)

    def variable(self, key: str, found_in: str, **changes: Any) -> None:
        envs = self.on_project("GET", "/env", version=10)["envs"]
        (one,) = [one for one in envs if one["key"] == key and found_in in one["target"]]
        self.on_project("PATCH", f"/env/{one['id']}", changes)

    def share(self, key: str, *targets: str) -> None:
        entry = {"key": key, "value": "of the team, long enough"}
        body = {"evs": [entry], "target": list(targets), "projectId": [self.facts["project_id"]]}
        self.call("POST", "/v1/env", body)

    def edit(self, change: Callable[[Any], None]) -> None:
        """For what no public endpoint changes: the vendor's memory, behind everybody's back; `memory` is a copy."""

        def changed(whole: Any) -> None:
            change(whole["vercel"])
            self.memory = whole["vercel"]

        self.hands.edit(changed)

    def link(self, change: Callable[[Any], None]) -> None:
        self.edit(lambda memory: change(memory["projects"][self.facts["project_id"]]["link"]))


def differences(before: dict[str, tuple[Resource, ...]], after: dict[str, tuple[Resource, ...]]) -> set[Difference]:
    """Every attribute of every resource of both targets that is not as it was."""
    found: set[Difference] = set()
    for target in TARGETS:
        old, new = ({one.address: asdict(one) for one in seen[target]} for seen in (before, after))
        for address in old.keys() | new.keys():
            named = (target, address.removeprefix("vercel/"))
            if address not in old or address not in new:
                found.add((*named, "removed" if address in old else "added"))
                continue
            flat = [
                {**one["attributes"], "state": one["state"], "note": one["note"]}
                for one in (old[address], new[address])
            ]
            names = flat[0].keys() | flat[1].keys()
            found |= {(*named, name) for name in names if flat[0].get(name) != flat[1].get(name)}
    return found


def give_tokens(memory: Any, facts: Any) -> None:
    """Of the supervisor, less what `denied` and `sees_production` say; and of people with other roles."""
    own = memory["tokens"][facts["token"]]
    memory["tokens"] |= {f"without {name}": {**own, "denied": [name]} for name in DENIED}
    memory["tokens"]["without the team"] = {
        **own,
        "denied": ["GET /v2/teams/{teamId}", "GET /v3/teams/{teamId}/members"],
    }
    memory["tokens"]["without production"] = {**own, "sees_production": False}
