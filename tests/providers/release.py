"""A provisioned staging whose schema bare Alembic has migrated, and a run that deploys to it and proves it."""

from __future__ import annotations

import importlib.resources
import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from vendors import Hands

from pantheon_runbook import deploying
from pantheon_runbook.config import load_config
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.model import Check, Comparison, Plan, Snapshot
from pantheon_runbook.runner import clients, wiring
from pantheon_runbook.sandbox import network
from pantheon_runbook.session import ACTS
from pantheon_runbook.staging_proofs import Proving, proofs

HEAD = "0011"
BACKEND = Path(str(importlib.resources.files("pantheon_runbook.sandbox.pantheon"))) / "backend"


class Deploying:
    """The 'then deploy' half of RB-020 as a session sees it, for one commit."""

    def __init__(self, stage: Stage, before: Any, parts: Any, **given: Any) -> None:
        self._stage, self._before, self._parts, self._given = stage, before, parts, given
        self.notes: list[tuple[str, Mapping[str, Any]]] = []
        self.config = parts.outside.config

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

    def isolation(self, _snapshot: Snapshot) -> Comparison:
        return Comparison("staging", (), (), {})

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
        return proofs(proving, snapshot, head=HEAD, wanted=self._before.wanted(snapshot))


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
        self.config = load_config(world.customer / "pantheon.toml")

    def release(self, *, until: str = "verify", **given: Any) -> Ended:
        given.setdefault("commit", self.commits["head"])
        run = self.world.open("apply")
        session, before = run.session, run.session.definition
        definition = Deploying(self, before, before._parts, **given)
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

    def prove(self) -> dict[str, Check]:
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
            return {check.name: check for check in Deploying(self, before, parts).probes(whole)}

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

    def health(self) -> dict[str, Any]:
        host = self.hands._service_facts(**self.hands.service("api"))["domains"]["serviceDomains"][0]["domain"]
        return dict(json.loads(self.hands._http.get(f"http://{host}/health").content))

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
