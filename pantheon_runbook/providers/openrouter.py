"""OpenRouter's key management: a key of staging's own with a spending limit.

Source: openrouter.ai documentation, "Management API Keys", read 2026-11. A key's value is shown once, at creation;
afterwards `label` shows its beginning and end. Names are not unique.
"""

from __future__ import annotations

from typing import Any

from pantheon_runbook.config import OpenRouter
from pantheon_runbook.kind import Kind, Look, Surroundings
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.http import Client, json_of

VENDOR = "openrouter"
BASE_URL = "https://openrouter.ai"
_KEYS = "/api/v1/keys"
_PAGE = 100


def check_token(client: Client) -> str:
    """Proves that the key is a management key. Reads only."""
    client.read("GET", _KEYS, operation="list keys", params={"offset": 0})
    return "management key"


def expiry_of_own_key(client: Client) -> str | None:
    """When the key that is presented expires, as ISO 8601; None when it does not. Reads only."""
    until = json_of(client.read("GET", "/api/v1/key", operation="read the key's own facts"))["data"].get("expires_at")
    return str(until) if until else None


class StagingKey(Kind):
    """Found by name; its value is whatever Railway's staging holds, if the label says it is that one.

    Vault: openrouter.key.
    """

    prefix = "openrouter/key"
    looks_after = ("railway/variables",)

    def __init__(self, client: Client, settings: OpenRouter, surroundings: Surroundings) -> None:
        self._client = client
        self._settings = settings
        self._surroundings = surroundings
        self._vault = surroundings.vault

    def look(self) -> Look:
        named = self._named()
        if not named:
            return Look((Resource(self.prefix, "absent"),))
        held = next((key for key in named if self._is_held(key)), None)
        key = held or named[0]
        attributes = {
            "name": key["name"],
            "limit_usd": key["limit"],
            "limit_reset": key["limit_reset"],
            "value_held": held is not None,
            "copies": len(named),
        }
        note = "its value is in Railway's staging" if held else "its value is lost: it was shown once"
        findings = () if held or not _is_used(key) else (self._in_use(),)
        return Look((Resource(self.prefix, "present", attributes, note=note),), findings)

    def _in_use(self) -> Finding:
        return Finding(
            "key-in-use",
            self.prefix,
            f'the key "{self._settings.key_name}" has been used, and staging does not hold its value',
            "somebody holds it, perhaps production: choose another openrouter.key_name in pantheon.toml",
        )

    def write(self, change: Change) -> None:
        """Create it; one whose value is lost is deleted first, since it can never be used again."""
        held = [key for key in self._named() if self._is_held(key)]
        for key in self._named():
            if key not in held[:1] and not _is_used(key):
                self._client.write(
                    "DELETE",
                    f"{_KEYS}/{key['hash']}",
                    operation="delete a key whose value is lost",
                    accept=frozenset({404}),  # the list may be older than our last try
                )
        body: dict[str, Any] = {
            "name": self._settings.key_name,
            "limit": self._settings.limit_usd,
            "limit_reset": self._settings.limit_reset,
        }
        if held:
            self._client.write("PATCH", f"{_KEYS}/{held[0]['hash']}", operation="set the key's limit", body=body)
            return
        answer = self._client.write("POST", _KEYS, operation="create a key", body=body)
        self._vault.hold("openrouter.key", json_of(answer)["key"])

    def seconds_until_seen(self, change: Change) -> float:
        return self._surroundings.seconds_until_listed

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """A key that was made but whose value was lost with the answer is of no use."""
        return bool(seen.attributes.get("value_held")) and super().has_landed(change, seen)

    def _named(self) -> list[dict[str, Any]]:
        """Every key of our name."""
        keys: list[dict[str, Any]] = []
        while True:
            answer = self._client.read("GET", _KEYS, operation="list keys", params={"offset": len(keys)})
            page = json_of(answer)["data"]
            keys.extend(page)
            if len(page) < _PAGE:
                return [key for key in keys if key["name"] == self._settings.key_name]

    def _is_held(self, key: dict[str, Any]) -> bool:
        """The label is the value with its middle left out."""
        for name in ("openrouter.key", "railway.OPENROUTER_API_KEY"):
            held = self._vault.get(name)
            start, _, end = str(key["label"]).partition("...")
            if held is not None and end and held.reveal().startswith(start) and held.reveal().endswith(end):
                self._vault.hold("openrouter.key", held.reveal())
                return True
        return False


def _is_used(key: dict[str, Any]) -> bool:
    """A key that has spent something is in somebody's hands; it is never deleted."""
    return bool(key.get("usage"))
