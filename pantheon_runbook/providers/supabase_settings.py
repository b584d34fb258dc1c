"""Supabase, inside one project: its API keys, its auth settings and its edge-function secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.kind import Kind, Look, Surroundings, values_have_landed
from pantheon_runbook.model import Change, Finding, Resource
from pantheon_runbook.providers.commands import address_shown
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.supabase import VENDOR, project_answers

_LOOKS_BEFORE_A_NEW_KEY = 3


_LOOK_PAUSE_SECONDS = 0.3


_KEYS: Mapping[str, Mapping[str, Any]] = {
    "publishable": {"name": "runbook_publishable", "holds": "supabase.anon_key"},
    "secret": {"name": "runbook_secret", "holds": "supabase.service_role_key"},
}


class ApiKeys(Kind):
    """A publishable and a secret key; the platform's own pair is adopted when it is there.

    Vault: supabase.anon_key, supabase.service_role_key.
    """

    prefix = "supabase/api-key"
    looks_after = ("supabase/project",)

    def __init__(self, client: Client, surroundings: Surroundings) -> None:
        self._client = client
        self._vault = surroundings.vault
        self._surroundings = surroundings

    def look(self) -> Look:
        if not project_answers(self._vault):
            return Look()
        keys = self._listed()
        return Look(tuple(self._seen(kind, keys) for kind in _KEYS))

    def write(self, change: Change) -> str | None:
        """Adopt the pair that a new project has come with by now; make one only when several looks find none."""
        kind = change.address.rpartition("/")[2]
        for number in range(_LOOKS_BEFORE_A_NEW_KEY):
            clock.sleep(clock.jittered(_LOOK_PAUSE_SECONDS * number))
            if self._seen(kind, self._listed()).state == "present":
                return "adopted: the new project came with it"
        body: dict[str, Any] = {"type": kind, "name": _KEYS[kind]["name"]}
        if kind == "secret":
            body["secret_jwt_template"] = {"role": "service_role"}
        ref = self._vault.text("supabase.ref")
        self._client.write(
            "POST",
            f"/v1/projects/{ref}/api-keys",
            operation=f"create a {kind} key",
            params={"reveal": "true"},
            body=body,
        )
        return None

    def settle(self, change: Change) -> None:
        kind = change.address.rpartition("/")[2]
        holds = str(_KEYS[kind]["holds"])

        def is_held() -> bool:
            self._seen(kind, self._listed())
            return self._vault.get(holds) is not None

        self._surroundings.wait_until(
            is_held,
            what=f"the {kind} key",
            vendor=VENDOR,
        )

    def _listed(self) -> list[dict[str, Any]]:
        ref = self._vault.text("supabase.ref")
        answer = self._client.read(
            "GET", f"/v1/projects/{ref}/api-keys", operation="read the API keys", params={"reveal": "true"}
        )
        return list(json_of(answer))

    def _seen(self, kind: str, keys: list[dict[str, Any]]) -> Resource:
        """The oldest usable key, so that one made later changes nothing; a secret one counts only as service_role."""
        address = f"{self.prefix}/{kind}"
        usable = sorted(
            (key for key in keys if key.get("type") == kind and key.get("api_key") and _acts_as_expected(key)),
            key=lambda key: (str(key.get("inserted_at") or "~"), str(key["name"])),  # without a time comes last
        )
        if not usable:
            return Resource(address, "absent")
        self._vault.hold(str(_KEYS[kind]["holds"]), usable[0]["api_key"])
        return Resource(address, "present", {"type": kind}, note=f'adopted: "{usable[0]["name"]}"')


def _acts_as_expected(key: Mapping[str, Any]) -> bool:
    return key["type"] != "secret" or (key.get("secret_jwt_template") or {}).get("role") == "service_role"


class AuthSettings(Kind):
    """`site_url` and the redirect list; the list is one string that is replaced whole, so it is merged first.

    What the committed config declares is shown as it is, another's URL without what may be secret in it.
    """

    prefix = "supabase/auth"
    looks_after = ("supabase/project",)

    def __init__(self, client: Client, surroundings: Surroundings, *, declared: frozenset[str] = frozenset()) -> None:
        self._client = client
        self._vault = surroundings.vault
        self._declared = declared

    def look(self) -> Look:
        if not project_answers(self._vault):
            return Look()
        settings = self._read()
        redirects = [self._shown(url) for url in _split(settings["uri_allow_list"])]
        attributes = {"site_url": self._shown(settings["site_url"] or ""), "redirect_urls": redirects}
        return Look((Resource(self.prefix, "present", attributes),))

    def write(self, change: Change) -> None:
        body: dict[str, Any] = {}
        if "site_url" in change.after:
            body["site_url"] = change.after["site_url"]
        if "redirect_urls" in change.after:
            there = _split(self._read()["uri_allow_list"])
            shown = {self._shown(url) for url in there}
            missing = [url for url in change.after["redirect_urls"] if url not in shown]
            body["uri_allow_list"] = ",".join(merged(there, missing))
        ref = self._vault.text("supabase.ref")
        self._client.write("PATCH", f"/v1/projects/{ref}/config/auth", operation="set the auth URLs", body=body)

    def has_landed(self, change: Change, seen: Resource) -> bool:
        """What is wanted is there; what else is in the list was there before."""
        wanted = change.after.get("redirect_urls", [])
        return seen.attributes.get("site_url") == change.after.get("site_url", seen.attributes.get("site_url")) and set(
            wanted
        ) <= set(seen.attributes.get("redirect_urls", []))

    def _shown(self, url: str) -> str:
        return url if url in self._declared else address_shown(url, self._vault.fingerprint_of)

    def _read(self) -> dict[str, Any]:
        return auth_settings(self._client, self._vault.text("supabase.ref"))


def auth_settings(client: Client, ref: str) -> dict[str, Any]:
    """All of them, by the vendor's names; some are secrets. Reads only."""
    answer = client.read("GET", f"/v1/projects/{ref}/config/auth", operation="read the auth settings")
    return dict(json_of(answer))


def merged(there: list[str], wanted: list[str]) -> list[str]:
    """What is there stays, in its order; what is missing comes after it."""
    return [*there, *(url for url in wanted if url not in there)]


def _split(allow_list: str | None) -> list[str]:
    return [part.strip() for part in (allow_list or "").split(",") if part.strip()]


class EdgeSecrets(Kind):
    """Secrets of the edge functions. Supabase shows sha256 digests only, so values are compared through them."""

    prefix = "supabase/secrets"
    looks_after = ("supabase/project", "openrouter/key")  # the key's value is one that may be compared

    def __init__(
        self, client: Client, surroundings: Surroundings, *, production_ref: str, sources: Mapping[str, str]
    ) -> None:
        self._client = client
        self._vault = surroundings.vault
        self._production_ref = production_ref
        self._sources = sources

    def look(self) -> Look:
        ours = self._digests(self._vault.text("supabase.ref")) if project_answers(self._vault) else {}
        theirs = self._digests(self._production_ref)
        names = tuple(sorted(theirs))
        attributes = {name: self._compared(name, digest) for name, digest in ours.items() if not _is_reserved(name)}
        shared = tuple(
            Finding(
                "production-secret",
                f"{self.prefix}/{name}",
                f"the edge-function secret {name} has production's value",
                f"set another value for {name} in staging, rotate it in production, then plan again",
            )
            for name, digest in sorted(ours.items())
            if not _is_reserved(name) and digest in theirs.values()
        )
        return Look(
            (
                Resource(self.prefix, "present" if attributes else "absent", attributes),
                Resource("production/secrets", "present", {"names": [n for n in names if not _is_reserved(n)]}),
            ),
            shared,
        )

    def write(self, change: Change) -> None:
        body = [{"name": name, "value": self._vault.text(want["from"])} for name, want in sorted(change.after.items())]
        ref = self._vault.text("supabase.ref")
        self._client.write("POST", f"/v1/projects/{ref}/secrets", operation="set edge-function secrets", body=body)

    def has_landed(self, change: Change, seen: Resource) -> bool:
        return values_have_landed(self._vault, change, seen)

    def _digests(self, ref: str) -> dict[str, str]:
        answer = self._client.read("GET", f"/v1/projects/{ref}/secrets", operation="read secret digests")
        return {entry["name"]: entry["value"] for entry in json_of(answer)}

    def _compared(self, name: str, digest: str) -> dict[str, Any]:
        """Our fingerprint when the digest is that of the value we hold; else only that it cannot be read."""
        value = self._vault.get(self._sources[name]) if name in self._sources else None
        if value is not None and hashlib.sha256(value.reveal().encode()).hexdigest() == digest:
            return {"fingerprint": self._vault.fingerprint_of(value.reveal())}
        return {"unreadable": True}


def _is_reserved(name: str) -> bool:
    return re.match(r"SUPABASE_", name) is not None
