"""RB-010 as the session sees it: the pure part with this run's config and vault, and who the environment is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from pantheon_runbook import provisioning
from pantheon_runbook.config import Environment
from pantheon_runbook.errors import VendorError
from pantheon_runbook.evidence.vouchers import made_by_runs
from pantheon_runbook.isolation.identity import Known, Made, steps_to_list, unconfirmed
from pantheon_runbook.model import Change, Check, Comparison, Desired, Finding, Snapshot
from pantheon_runbook.planning import plan_changes
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.isolation_proof import beside_production
from pantheon_runbook.runner.surroundings import World


class Provisioning:
    """RB-010 as the session sees it: the pure part with this run's config and vault."""

    def __init__(self, parts: Parts, *, restore_paused: bool, known: Known, running: Path) -> None:
        self._parts = parts
        self._config = parts.outside.config
        self._name = parts.name
        self._vault = parts.surroundings.vault
        self._database = parts.database
        self._forbidden = parts.gate.forbidden
        self._restore_paused = restore_paused
        self._known = known
        self._evidence = parts.outside.evidence
        self._running = running

    def wanted(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        """Everything that should stand, whosever it is that stands there now."""
        return provisioning.desired_staging(
            self._config, self._name, snapshot, self._vault.fingerprints(), restore_paused=self._restore_paused
        )

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        wanted = self.wanted(snapshot)
        if {"supabase/project", "database/marker"} & {one.address for one in self._strangers(snapshot)}:
            # What is marked is believed from then on: it is not even planned for what may be somebody else's.
            return tuple(one for one in wanted if one.address != "database/marker")
        return wanted

    def _strangers(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        def made() -> Made:
            about = {"cloud": snapshot.cloud, "environment": self._name}
            return made_by_runs(self._evidence, **about, running=self._running, trust=self._parts.outside.trust)

        return unconfirmed(snapshot, self._known, made, command=f"pantheon-runbook run RB-010 -e {self._name}")

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        found = provisioning.findings(self._config, self._name, snapshot, self._vault.fingerprints())
        found = (*found, *self._strangers(snapshot))
        return (*found, *provisioning.names_production(self.desired(snapshot), self._forbidden))

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return provisioning.endpoints(self._config, self._name, snapshot)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        by_hand = provisioning.manual_steps(self._config, self._name, snapshot)
        return (*by_hand, *steps_to_list(snapshot, self._known))

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return provisioning.calls(plan_changes(desired, snapshot)[0])

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        """Whose database it is by its own word, and whether it answers on both ways in that the variables name."""
        marked = snapshot.identities.get("database_marker", "no marker")
        expected = f"{self._name} {snapshot.identities.get('supabase_ref')}"
        return (
            Check("the database says which environment it is", expected, marked, marked == expected),
            self._answers("session pooler", "database.session_url"),
            self._answers("transaction pooler", "database.pool_url"),
        )

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison:
        """Staging beside production, as RB-060 sees them; drift besides these `changes` is told as accepted."""
        return beside_production(self._parts, snapshot, self.desired(snapshot), changes=changes)

    def _answers(self, name: str, url: str) -> Check:
        """A way in that does not answer is a failed check, not a reason to stop checking."""
        try:
            with self._database.session(url=url) as connection:
                connection.execute("select 1")
        except (VendorError, psycopg.Error) as error:
            return Check(f"{name} answers", "a login and a query", type(error).__name__, passed=False)
        return Check(f"{name} answers", "a login and a query", "a login and a query", passed=True)


def known_of(parts: Parts, confirmed: tuple[str, ...] = ()) -> Known:
    """What the committed files and the operator say of who the environment is."""
    production = _production_identities(parts.outside, parts.environment)
    return Known(parts.name, production, parts.outside.identities.allowed(parts.name), confirmed)


def _production_identities(outside: World, environment: Environment) -> dict[str, str]:
    production = outside.identities.production
    identities = {
        "supabase_ref": production.supabase_ref,
        "railway_environment": production.railway_environment,
        "vercel_target": "production",
    }
    if environment.railway.layout == "own-project":
        identities["railway_project"] = production.railway_project
    return identities
