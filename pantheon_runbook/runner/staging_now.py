"""What a promotion looks at of staging: which one it is, what runs there, and which revisions its database holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pantheon_runbook.database.kinds import Password
from pantheon_runbook.database.migrations import ledger
from pantheon_runbook.deploying import PREVIEW
from pantheon_runbook.errors import VendorError
from pantheon_runbook.kind import Kind, Look
from pantheon_runbook.model import Resource
from pantheon_runbook.providers import railway, railway_deploys, railway_services, supabase, vercel_deploys
from pantheon_runbook.provisioning import services_of
from pantheon_runbook.runner.clients import Parts

DEPLOYMENT = railway_deploys.DeploymentKind.prefix
STAGING_REVISION = "staging/revision"


class StagingNow(Kind):
    """Staging's own kinds, in their order, with a vault of staging's own; nothing of it is written.

    Resources: "staging/<address>" of what runs, and "staging/revision".
    """

    prefix = "staging"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._vault = parts.surroundings.vault
        self._config = parts.outside.config
        clients, around = parts.clients, parts.surroundings
        branch = self._config.backend.release_branch
        self._backend = railway_deploys.DeploymentKind(clients.railway, around, services=services_of(self._config))
        self._page = vercel_deploys.PreviewDeployment(clients.vercel, self._config.frontend, around, branch=branch)
        self._kinds = (*_place(parts), self._backend, self._page)
        self._seen: Mapping[str, Resource] = {}
        self.identities: Mapping[str, str] = {}
        self.holds: tuple[str, ...] | None = None  # heads of its database; None: it cannot be read

    @property
    def ref(self) -> str:
        return self.identities.get("supabase_ref", "")

    @property
    def commits(self) -> Mapping[str, str]:
        """By address, of what runs there and is to be promoted; what is not known is left out."""
        addresses = (*(f"{DEPLOYMENT}/{name}" for name in services_of(self._config)), PREVIEW)
        found = {one: str(self._attributes(one).get("commit") or "") for one in addresses}
        return {address: commit for address, commit in found.items() if commit}

    @property
    def authors(self) -> Mapping[str, str]:
        """By address, who wrote the commit that runs there, as the vendor says."""
        found = {f"{DEPLOYMENT}/{name}": self._backend.author_of(name) for name in services_of(self._config)}
        return {address: name for address, name in {**found, PREVIEW: self._page.author}.items() if name}

    def look(self) -> Look:
        looks = [kind.look() for kind in self._kinds]
        self._seen = {one.address: one for look in looks for one in look.resources}
        self.identities = {name: value for look in looks for name, value in look.identities.items()}
        self.holds = self._heads()
        return Look(tuple(self._shown()))

    def _attributes(self, address: str) -> Mapping[str, Any]:
        return self._seen[address].attributes if address in self._seen else {}

    def _heads(self) -> tuple[str, ...] | None:
        if self._vault.get("database.session_url") is None:
            return None
        try:
            with self._parts.database.session() as connection:
                return ledger.heads(connection, self._config.backend.version_table) or ()
        except VendorError:
            return None

    def _shown(self) -> Iterator[Resource]:
        for address in (*(f"{DEPLOYMENT}/{name}" for name in services_of(self._config)), PREVIEW):
            if address in self._seen:
                yield replace(self._seen[address], address=f"{self.prefix}/{address}")
        yield Resource(f"{self.prefix}/place", "present", {**self.identities})
        state: Any = "unreadable" if self.holds is None else "present"
        yield Resource(STAGING_REVISION, state, {"heads": list(self.holds or ())})


def _place(parts: Parts) -> Iterator[Kind]:
    """Each after those that it needs."""
    config, clients, around = parts.outside.config, parts.clients, parts.surroundings
    production = parts.outside.identities.production
    services = tuple(one for one in config.backend.services if one.name in services_of(config))
    yield supabase.Project(clients.supabase, parts.environment.supabase, around, plan=parts.plan)
    yield railway.EnvironmentKind(
        clients.railway, parts.environment.railway, around, production_project=production.railway_project
    )
    yield railway_services.ServiceKind(clients.railway, parts.environment.railway, around)
    yield railway_services.VariablesKind(clients.railway, services, around)
    yield Password(clients.supabase, around, database=parts.database)
