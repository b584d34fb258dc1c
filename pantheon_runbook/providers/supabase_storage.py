"""Storage buckets: staging's through the Storage API, production's names and settings through the read-only query."""

from __future__ import annotations

import threading
from typing import Any

from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.enumerated import selects
from pantheon_runbook.providers.http import Client, Reach, WriteGate, json_of
from pantheon_runbook.providers.supabase import project_answers
from pantheon_runbook.secrets import Secret

SETTINGS = ("public", "file_size_limit", "allowed_mime_types")
# The management listing has no limits in it, and the Storage API would need production's service key (FACTS 1.1).
_BUCKETS = selects("select id, public, file_size_limit, allowed_mime_types from storage.buckets order by id")


def queried_buckets(client: Client, ref: str, *, prefix: str) -> tuple[Resource, ...]:
    """Buckets of any project, sorted by id; runs as supabase_read_only_user, needs none of the project's keys."""
    path = f"/v1/projects/{ref}/database/query/read-only"
    answer = client.read("POST", path, operation="query the buckets", body={"query": _BUCKETS})
    return tuple(_resource(prefix, row) for row in json_of(answer))


class ProductionBuckets(Kind):
    """What staging's buckets are modelled on; runs as supabase_read_only_user and cannot write."""

    prefix = "production/bucket"

    def __init__(self, client: Client, *, production_ref: str) -> None:
        self._client = client
        self._ref = production_ref

    def look(self) -> Look:
        """One that is paused shows none: nobody can say then what staging lacks."""
        try:
            return Look(queried_buckets(self._client, self._ref, prefix=self.prefix))
        except VendorRefusedError as error:
            what = f"production's buckets cannot be read: {error.why}"
            return Look((), (Finding("production-unreadable", self.prefix, what, "look at production in Supabase"),))


class Buckets(Kind):
    """Staging's buckets; the service key comes from the API keys."""

    prefix = "supabase/bucket"
    looks_after = ("supabase/api-key",)

    def __init__(self, surroundings: Surroundings, *, reach: Reach, gate: WriteGate, timeout_seconds: float) -> None:
        self._vault = surroundings.vault
        self._reach = reach
        self._gate = gate
        self._timeout_seconds = timeout_seconds
        self._made: Client | None = None
        self._making = threading.Lock()

    def look(self) -> Look:
        if not project_answers(self._vault) or self._vault.get("supabase.service_role_key") is None:
            return Look()
        answer = self._client().read("GET", "/storage/v1/bucket", operation="list buckets", headers=self._headers())
        return Look(tuple(_resource(self.prefix, row) for row in json_of(answer)))

    def write(self, change: Change) -> str | None:
        """A paused project shows no buckets, so one that is to be created may be there by now: it is set instead."""
        name = change.address.removeprefix(f"{self.prefix}/")
        settings = {key: change.after[key] for key in SETTINGS if key in change.after}
        seen = {resource.address: resource for resource in self.look().resources}.get(change.address)
        if seen is not None and self.has_landed(change, seen):
            return "adopted: it was there by then"
        if seen is None:
            self._client().write(
                "POST",
                "/storage/v1/bucket",
                operation="create a bucket",
                headers=self._headers(),
                body={"id": name, "name": name, **settings},
            )
            return None
        self._client().write(
            "PUT", f"/storage/v1/bucket/{name}", operation="update a bucket", headers=self._headers(), body=settings
        )
        return None

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """Its settings count as well: a bucket of that name may have been there before."""
        return seen.state == "present" and all(seen.attributes.get(name) == want for name, want in change.after.items())

    def _client(self) -> Client:
        """Each project has a host of its own, known once the project is."""
        with self._making:
            if self._made is None:
                self._made = Client(
                    "supabase",
                    self._vault.text("supabase.url"),
                    reach=self._reach,
                    gate=self._gate,
                    timeout_seconds=self._timeout_seconds,
                )
            return self._made

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _headers(self) -> dict[str, Secret]:
        """Both headers, as the official clients do; the gateway swaps a new-style key for a token (FACTS 1.1)."""
        key = self._vault.text("supabase.service_role_key")
        return {"apikey": Secret(key), "Authorization": Secret(f"Bearer {key}")}


def _resource(prefix: str, row: dict[str, Any]) -> Resource:
    return Resource(f"{prefix}/{row['id']}", "present", {name: row.get(name) for name in SETTINGS})
