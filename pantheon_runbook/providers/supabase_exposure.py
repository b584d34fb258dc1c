"""What can change production at Supabase without this tool, as far as Supabase shows it: reads only."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.model import Exposure
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.supabase_inventory import CIDRS, why_unreadable

_DASHBOARD = "https://supabase.com/dashboard"
_READS_ONLY = "read-only"  # the one role of an organization that cannot change anything
_IN_DATABASE = "pg-functions"  # a hook that is a function of the database: it changes by migration only


@dataclass(frozen=True)
class _Production:
    """Where production is, for requests and for the dashboard's places."""

    client: Client
    ref: str
    organization: str

    def read(self, path: str, *, operation: str) -> Any:
        return json_of(self.client.read("GET", f"/v1/projects/{self.ref}{path}", operation=operation))

    @cached_property
    def branches(self) -> list[dict[str, Any]]:
        return list(self.read("/branches", operation="list branches"))

    def place(self, path: str) -> str:
        return f"{_DASHBOARD}/project/{self.ref}/{path}"


@dataclass(frozen=True)
class _Way:
    """One way in: `closing` is what closes it, `look` says whether it is closed and what was found."""

    address: str
    what: str
    closing: str
    look: Callable[[_Production], tuple[bool, str]]


def exposure(client: Client, *, ref: str, organization: str) -> tuple[Exposure, ...]:
    """Each way in which production can change at Supabase past this tool, sorted by address.

    `ref` is production's project, `organization` the slug of the one it belongs to. What is open has the one step
    that closes it, what Supabase does not show the one that lets it be read. No names of people, no values.
    Errors: VendorRefusedError (401: the token), VendorUnavailableError.
    """
    production = _Production(client, ref, organization)
    found = [_exposure(way, production) for way in _ways(production)]
    return tuple(sorted([*found, _token(production)], key=lambda one: one.address))


def _exposure(way: _Way, production: _Production) -> Exposure:
    try:
        is_closed, found = way.look(production)
    except VendorRefusedError as error:
        found = why_unreadable(error)
        return Exposure(way.address, way.what, "cannot be read", found, f"look at it yourself: {way.closing}")
    if is_closed:
        return Exposure(way.address, way.what, "closed by vendor", found)
    return Exposure(way.address, way.what, "open", found, way.closing)


def _ways(production: _Production) -> Iterator[_Way]:
    """The step is a place in the dashboard: Supabase has no command for most of them."""
    team = f"{_DASHBOARD}/org/{production.organization}/team"
    integrations = f"{_DASHBOARD}/org/{production.organization}/integrations"
    place = production.place
    yield _Way(
        "supabase/members",
        "members of the organization who can change its projects",
        f"give everybody but one owner the role Read-only: {team}",
        _members,
    )
    yield _Way(
        "supabase/git-integration",
        "a push to a Git branch that migrates production",
        f"switch the GitHub integration's deploys to production off: {integrations}",
        _git_integration,
    )
    yield _Way(
        "supabase/branches",
        "preview branches, whose merge migrates production",
        f"delete the preview branches: {place('branches')}",
        _branches,
    )
    yield _Way(
        "supabase/network",
        "addresses from which the database can be reached",
        f"allow the backend's addresses only: {place('database/settings#network-restrictions')}",
        _network,
    )
    yield _Way(
        "supabase/ssl",
        "connections to the database without encryption",
        f"enforce SSL on incoming connections: {place('database/settings#ssl-configuration')}",
        _ssl,
    )
    yield _Way(
        "supabase/legacy-keys",
        "the legacy service_role key, which writes everything and cannot be revoked by itself",
        f"move to secret keys, then disable the legacy ones: {place('settings/api-keys/legacy')}",
        _legacy_keys,
    )
    yield _Way(
        "supabase/auth-hooks",
        "auth hooks that ask a server outside of the database",
        f"make them functions of the database, or disable them: {place('auth/hooks')}",
        _hooks,
    )


def _members(production: _Production) -> tuple[bool, str]:
    path = f"/v1/organizations/{production.organization}/members"
    members = json_of(production.client.read("GET", path, operation="list members"))
    writers = [one for one in members if one["role_name"].casefold() != _READS_ONLY]
    roles = Counter(str(one["role_name"]) for one in writers)
    counted = ", ".join(f"{count} {role}" for role, count in sorted(roles.items())) or "nobody"
    without = sum(not one["mfa_enabled"] for one in writers)
    found = f"{len(writers)} of {len(members)} can write: {counted}; without a second factor: {without}"
    return len(writers) <= 1, found


def _git_integration(production: _Production) -> tuple[bool, str]:
    follows = [one["git_branch"] for one in production.branches if one["is_default"] and one.get("git_branch")]
    if follows:
        return False, f"production follows the Git branch {', '.join(follows)}"
    return True, "no Git branch is tied to production"


def _branches(production: _Production) -> tuple[bool, str]:
    previews = [one for one in production.branches if not one["is_default"]]
    copies = sum(bool(one["with_data"]) for one in previews)
    return not previews, f"preview branches: {len(previews)}; with a copy of production's data: {copies}"


def _network(production: _Production) -> tuple[bool, str]:
    """Restrictions that are stored are not in force; a family that is not listed is not restricted."""
    answer = production.read("/network-restrictions", operation="read the network restrictions")
    if answer["status"] != "applied":
        return False, f"the restrictions are {answer['status']}, not applied"
    open_to = [family for family, theirs in CIDRS.items() if _is_everybody(answer["config"].get(theirs))]
    if open_to:
        return False, f"open to every address of {' and '.join(open_to)}"
    count = sum(len(answer["config"][theirs]) for theirs in CIDRS.values())
    return True, f"allowed ranges: {count}"


def _is_everybody(ranges: Sequence[str] | None) -> bool:
    """Two halves of the internet are the internet as well."""
    networks: Any = [ipaddress.ip_network(one, strict=False) for one in ranges or ()]
    return ranges is None or any(one.prefixlen == 0 for one in ipaddress.collapse_addresses(networks))


def _ssl(production: _Production) -> tuple[bool, str]:
    enforced = production.read("/ssl-enforcement", operation="read SSL enforcement")["currentConfig"]["database"]
    return bool(enforced), "SSL is enforced" if enforced else "SSL is offered, not enforced"


def _legacy_keys(production: _Production) -> tuple[bool, str]:
    enabled = production.read("/api-keys/legacy", operation="read whether legacy keys are on")["enabled"]
    return not enabled, f"legacy anon and service_role keys are {'accepted' if enabled else 'refused'}"


def _hooks(production: _Production) -> tuple[bool, str]:
    settings: Mapping[str, Any] = production.read("/config/auth", operation="read the auth settings")
    outside = []
    for name, is_on in sorted(settings.items()):
        if name.startswith("hook_") and name.endswith("_enabled") and is_on:
            hook = name.removeprefix("hook_").removesuffix("_enabled")
            uri = urlsplit(settings.get(f"hook_{hook}_uri") or "")
            outside += [f"{hook} asks {uri.hostname or 'another server'}"] if uri.scheme != _IN_DATABASE else []
    return not outside, ", ".join(outside) or "no hook leaves the database"


def _token(production: _Production) -> Exposure:
    """No request shows what a token may do; that it reaches production can be seen, and that is enough to say so.

    A refusal proves little: a scoped token may write what it cannot read.
    """
    address, what = "supabase/token", "the access token that this tool is given"
    step = f"use a scoped token that may only read production: {_DASHBOARD}/account/tokens"
    try:
        production.read("", operation="read the project")
    except VendorRefusedError as error:
        return Exposure(address, what, "cannot be read", why_unreadable(error), step)
    found = (
        "it reaches production; a classic personal token carries every right of its owner, and Supabase does not "
        "show which kind this is. Could write production: yes, by this tool only, which refuses to"
    )
    return Exposure(address, what, "closed by this tool", found, step)
