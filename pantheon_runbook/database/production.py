"""Supabase: production's project, and the two logins of its database; only looked at."""

from __future__ import annotations

import urllib.parse

from pantheon_runbook.database.connection import SESSION_PORT
from pantheon_runbook.errors import WrongEnvironmentError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Resource
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.supabase import pooler_of
from pantheon_runbook.secrets import Secret

OWNER = "postgres"  # Supabase's role that owns the application's tables: migrations need it


class ProductionProject(Kind):
    """By the ref in identities.toml. Vault, one of production's own: supabase.ref, supabase.status,
    supabase.pooler_host, supabase.pooler_user; database.session_url, by the role that only looks; database.write_url,
    by the owner. A login without a password is not held.
    """

    prefix = "production/project"

    def __init__(
        self,
        client: Client,
        surroundings: Surroundings,
        *,
        ref: str,
        reader: str,
        reads_by: Secret | None,
        writes_by: Secret | None,
        options: str,
    ) -> None:
        self._client = client
        self._vault = surroundings.vault
        self._ref = ref
        self._logins = {"database.session_url": (reader, reads_by), "database.write_url": (OWNER, writes_by)}
        self._options = options

    def look(self) -> Look:
        """Errors: WrongEnvironmentError when Supabase shows another project, VendorRefusedError."""
        path = f"/v1/projects/{self._ref}"
        project = json_of(self._client.read("GET", path, operation="read the project"))
        self._refuse_another(str(project["ref"]))
        self._vault.hold("supabase.ref", self._ref, secret=False)
        self._vault.hold("supabase.status", str(project["status"]), secret=False)
        pooler = pooler_of(self._client, self._ref)
        if pooler is not None:
            self._vault.hold("supabase.pooler_user", pooler.user, secret=False)
            self._vault.hold("supabase.pooler_host", pooler.host, secret=False)
            self._hold_logins(pooler.host)
        attributes = {"ref": self._ref, "name": project["name"], "status": project["status"]}
        return Look((Resource(self.prefix, "present", attributes),), (), {"supabase_ref": self._ref})

    def ids(self) -> tuple[str, ...]:
        return (self._ref,) if self._vault.get("supabase.ref") else ()

    def _hold_logins(self, host: str) -> None:
        for name, (role, password) in self._logins.items():
            if password is not None:
                login = f"{role}.{self._ref}:{urllib.parse.quote(password.reveal(), safe='')}"
                self._vault.hold(name, f"postgresql://{login}@{host}:{SESSION_PORT}/postgres{self._options}")

    def _refuse_another(self, shown: str) -> None:
        if shown != self._ref:
            raise WrongEnvironmentError(
                f"supabase shows the project {shown} when production's was asked for",
                why=f"identities.toml says {self._ref}",
                next_step="correct production's ids in identities.toml",
            )
