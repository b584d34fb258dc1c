"""A provisioned staging whose schema bare Alembic has migrated, and a run that deploys to it and proves it."""

from __future__ import annotations

import importlib.resources
import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from vendors import Hands

from pantheon_runbook import deploying
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.model import Check, Plan, Snapshot
from pantheon_runbook.runner import clients, wiring
from pantheon_runbook.sandbox import network
from pantheon_runbook.session import ACTS
from pantheon_runbook.staging_proofs import Proving, proofs

HEAD = "0011"
BACKEND = Path(str(importlib.resources.files("pantheon_runbook.sandbox.pantheon"))) / "backend"


class Deploying:
    """The 'then deploy' half of RB-020 as a session sees it, for one commit."""

    def __init__(self, before: Any, parts: Any, head: str = HEAD, **given: Any) -> None:
        self._before, self._parts, self._head, self._given = before, parts, head, given
        self.notes: list[tuple[str, Mapping[str, Any]]] = []
        known = parts.outside.config
        quick = [one.model_copy(update={"seconds": 3.0}) for one in (known.staging_proof, *known.proofs)]
        self.config = known.model_copy(update={"staging_proof": quick[0], "proofs": tuple(quick[1:])})

    def desired(self, snapshot: Snapshot) -> Any:
        return deploying.desired_deployments(self.config, "staging", snapshot, **self._given)

    def findings(self, snapshot: Snapshot) -> Any:
        commit = self._given.get("commit", "")
        return tuple(deploying.findings(self.config, "staging", snapshot, commit=commit))

    def endpoints(self, _snapshot: Snapshot) -> Any:
        return ()

    manual_steps = endpoints

    def calls(self, *_about: Any) -> Any:
        return {}

    def isolation(self, *_about: Any) -> None:
        return None

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        around = self._parts.surroundings
        proving = Proving(
            config=self.config,
            environment="staging",
            reach=self._parts.outside.reach,
            note=lambda event, about: self.notes.append((event, about)),
            production_hosts=self._parts.outside.identities.production.hosts,
            find=Search(Marks.of(self._parts.outside.identities)).find,
            bypass=around.vault.get("vercel.bypass"),
        )
        return proofs(proving, snapshot, head=self._head, wanted=self._before.wanted(snapshot))


class Ended:
    """What one run came to; `error` is what an act raised."""

    def __init__(self, session: Any, definition: Deploying, error: RunbookError | None) -> None:
        self.plan: Plan = session.plan
        self.session, self.definition, self.error = session, definition, error
        self.checks = {check.name: check for check in session.checks}
        self.results = {one.address: one for one in session.results}

    @property
    def changed(self) -> dict[str, str]:
        return {change.address: change.action for change in self.plan.changes}


class Stage:
    """One world; `release` is a whole run, `prove` its checks alone."""

    def __init__(self, world: Any, hands: Hands) -> None:
        self.world, self.hands = world, hands
        self.commits = world.facts["railway"]["commits"]
        self.vercel = world.facts["vercel"]
        self.first: Ended

    def release(self, *, until: str = "verify", **given: Any) -> Ended:
        given.setdefault("commit", self.commits["head"])
        run = self.world.open("apply")
        session, before = run.session, run.session.definition
        definition = Deploying(before, before._parts, **given)
        session.definition = definition
        session.kinds = {**session.kinds, **clients.deployments(before._parts)}
        error = None
        try:
            for act in ACTS[: ACTS.index(until) + 1]:
                session.perform(act)
        except RunbookError as stopped:
            error = stopped
        finally:
            self.world.seal(run)
        return Ended(session, definition, error)

    def prove(self, *, head: str = HEAD) -> dict[str, Check]:
        """The proofs alone, of what is there now."""
        with wiring.looked_at("staging") as (_, parts):
            kinds = clients.deployments(parts)
            seen = [one for kind in kinds.values() for one in kind.look().resources]
            run = self.world.open("plan")
            try:
                snapshot = run.session.perform("observe")
                before = run.session.definition
            finally:
                self.world.seal(run)
            whole = Snapshot(snapshot.cloud, "staging", snapshot.identities, {}, (*snapshot.resources, *seen), (), "")
            return {check.name: check for check in Deploying(before, parts, head).probes(whole)}

    def until(self, is_so: Any) -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)

    def previews(self) -> list[dict[str, Any]]:
        """Of the release branch, the newest first."""
        where = f"projectId={self.vercel['project_id']}&branch=staging&teamId={self.vercel['team_id']}"
        listed = self.hands.call("vercel", "GET", f"/v6/deployments?{where}")["deployments"]
        return [one for one in listed if one.get("target") is None]

    def set_preview(self, name: str, value: str | None = None) -> str:
        """One readable variable of previews; without a value the same again. The value before is the answer."""
        (entry,) = [one for one in self.hands.preview() if one["key"] == name]
        path = f"/v9/projects/{self.vercel['project_id']}/env/{entry['id']}?teamId={self.vercel['team_id']}"
        self.hands.call("vercel", "PATCH", path, {"value": value or entry["value"]})
        return str(entry["value"])

    def build_preview(self) -> None:
        source = {"type": "github", "repoId": 1, "ref": "staging", "sha": self.commits["head"]}
        body = {"name": "pantheon-web", "project": self.vercel["project_id"], "gitSource": source}
        self.hands.call("vercel", "POST", f"/v13/deployments?teamId={self.vercel['team_id']}", body)
        self.until(lambda: self.previews()[0]["state"] == "READY")

    def bypass(self, change: dict[str, Any]) -> None:
        path = f"/v1/projects/{self.vercel['project_id']}/protection-bypass?teamId={self.vercel['team_id']}"
        self.hands.call("vercel", "PATCH", path, change)

    def variable(self, service: str, name: str) -> str:
        place = self.hands.service(service)
        query = """query V($projectId: String!, $environmentId: String!, $serviceId: String!) {
          variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId) }"""
        return str(self.hands.railway(query, **place)["variables"][name])

    def deployments(self, service: str) -> list[dict[str, Any]]:
        """Of staging, the newest first, removed ones too."""
        place = self.hands.service(service)
        query = """query D($i: DeploymentListInput!) {
          deployments(input: $i, first: 100) { edges { node { id status meta createdAt } } } }"""
        edges = self.hands.railway(query, i=place)["deployments"]["edges"]
        return [edge["node"] for edge in edges]

    def api_host(self) -> str:
        facts = self.hands._service_facts(**self.hands.service("api"))
        return str(facts["domains"]["serviceDomains"][0]["domain"])

    def health(self) -> dict[str, Any]:
        return dict(json.loads(self.hands._http.get(f"http://{self.api_host()}/health").content))

    def migrate(self, revision: str = "head") -> None:
        """By bare Alembic, as a developer would from the backend's folder."""
        url = urllib.parse.urlsplit(self.variable("api", "DATABASE_URL"))
        address, port = network.resolve(str(url.hostname), url.port or 5432, self.world.running.networks_file)
        netloc = f"{url.username}:{url.password}@{address}:{port}"
        environment = {**os.environ, "DATABASE_URL": url._replace(netloc=netloc).geturl()}
        command = [sys.executable, "-m", "alembic", "-c", str(BACKEND / "alembic.ini"), "upgrade", revision]
        subprocess.run(command, cwd=BACKEND, env=environment, check=True, capture_output=True)


@contextmanager
def staged(new_world: Any) -> Iterator[Stage]:
    """Provisioned and migrated, with enough requests an hour for tests; this process is in it."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        world.provision()
        with closing(Hands(world.running)) as hands:
            hands.edit(lambda whole: whole["railway"]["limits"].update(requests_per_hour=1_000_000))
            stage = Stage(world, hands)
            stage.migrate()
            yield stage
