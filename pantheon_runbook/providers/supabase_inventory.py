"""Everything that can be read about one Supabase project without being shown a secret: reads only.

The same requests for staging and for production, so that like is compared with like. Three that would fit are not
sent, because their answers hold secrets in clear: API keys with `reveal`, the Data API's settings (/postgrest, the
JWT secret) and a single branch (its database password).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.kind import Fingerprint
from pantheon_runbook.model import Resource
from pantheon_runbook.providers import commands
from pantheon_runbook.providers.http import Client, json_of
from pantheon_runbook.providers.supabase import SERVICES
from pantheon_runbook.providers.supabase_storage import queried_buckets

UNAUTHORIZED = 401  # the token itself is refused: nothing more can be learned
_PAYMENT, _FORBIDDEN, _MISSING = 402, 403, 404
_RUNS = frozenset({"ACTIVE_HEALTHY", "ACTIVE_UNHEALTHY"})
_DATABASE = {"host": "database_host", "version": "version", "postgres_engine": "engine", "release_channel": "channel"}
# Settings that hold a secret, or may: the last word tells. "test_otp" lists codes that sign a person in.
_MAY_BE_SECRET = re.compile(
    r"(^|_)(secrets?|pass(word|wd|phrase)?s?|tokens?|keys?|credentials?|test_otp|pin|private|salt|jwks?|dsn)$"
)
# Compared, not shown: addresses that are called and may carry a credential in any part, and whole mails.
_ONLY_COMPARED = re.compile(r"^hook_\w+_uri$|^mailer_templates_\w+_content$")
_LISTS = frozenset({"uri_allow_list"})


@dataclass(frozen=True)
class _Project:
    """One project at the Management API, and how a value that must not be shown is compared."""

    client: Client
    ref: str
    fingerprint: Fingerprint

    def read(self, path: str, *, operation: str, params: Any = None) -> Any:
        answer = self.client.read("GET", f"/v1/projects/{self.ref}{path}", operation=operation, params=params)
        return json_of(answer)

    def compared(self, value: str | None) -> Any:
        return {"unreadable": True} if value is None else {"fingerprint": self.fingerprint(value)}


def inventory(client: Client, ref: str, *, fingerprint: Fingerprint) -> tuple[Resource, ...]:
    """What the project holds, sorted by address; equal for two looks at a project that nobody has touched.

    Addresses are without the environment's name. What Supabase does not let us read is there as "unreadable", with
    the reason in its note: under the address of its kind ("supabase/bucket") when its names are not known either.
    A project that does not run shows its status, and everything else as unreadable.
    Errors: VendorRefusedError (401: the token), VendorUnavailableError.
    """
    project = _Project(client, ref, fingerprint)
    (itself,) = _seen(("supabase/project",), _look_at_project, project)
    status = itself.attributes.get("status", "")
    if itself.state == "present" and status not in _RUNS:
        note = f"the project is {status}: Supabase shows this of a running one only"
        found = [Resource(address, "unreadable", note=note) for addresses in _LOOKS for address in addresses]
    else:
        found = [resource for addresses, look in _LOOKS.items() for resource in _seen(addresses, look, project)]
    return tuple(sorted([itself, *found], key=lambda one: one.address))


def why_unreadable(error: VendorRefusedError) -> str:
    """A refusal in a few words; one of the token itself is raised again."""
    if error.status == UNAUTHORIZED:
        raise error
    words = {
        _PAYMENT: "the plan does not have it",
        _FORBIDDEN: "the token may not read it",
        _MISSING: "there is none, or the token does not reach it",
    }
    return f"Supabase answers {error.status}: {words.get(error.status, error.why)}"


def _seen(
    addresses: tuple[str, ...], look: Callable[[_Project], Iterable[Resource]], project: _Project
) -> tuple[Resource, ...]:
    try:
        return tuple(look(project))
    except VendorRefusedError as error:
        note = why_unreadable(error)
        return tuple(Resource(address, "unreadable", note=note) for address in addresses)


def _look_at_project(project: _Project) -> Iterator[Resource]:
    shown = project.read("", operation="read the project")
    own = {name: shown[name] for name in ("ref", "name", "region", "status", "organization_slug")}
    database = {ours: shown["database"][theirs] for theirs, ours in _DATABASE.items()}
    yield Resource("supabase/project", "present", {**own, **database})


def _look_at_api_keys(project: _Project) -> Iterator[Resource]:
    """One name may be there once for each type. The hash stands for the value; `prefix` says "eyJhb" of every JWT."""
    for key in project.read("/api-keys", operation="list the API keys"):
        kind = key.get("type") or "untyped"
        attributes = {
            "type": kind,
            "role": (key.get("secret_jwt_template") or {}).get("role"),
            "value": project.compared(key.get("hash")),
        }
        yield Resource(f"supabase/api-key/{kind}/{key['name']}", "present", attributes)


def _look_at_legacy_keys(project: _Project) -> Iterator[Resource]:
    answer = project.read("/api-keys/legacy", operation="read whether legacy keys are on")
    yield Resource("supabase/legacy-keys", "present", {"enabled": answer["enabled"]})


def _look_at_secrets(project: _Project) -> Iterator[Resource]:
    """Supabase shows the sha256 of each; what is compared is a fingerprint of that."""
    for entry in project.read("/secrets", operation="read secret digests"):
        yield Resource(f"supabase/secret/{entry['name']}", "present", {"value": project.compared(entry["value"])})


def _look_at_functions(project: _Project) -> Iterator[Resource]:
    """`code` is the digest of what was deployed, where Supabase knows it."""
    for one in project.read("/functions", operation="list edge functions"):
        shown = {name: one.get(name) for name in ("status", "version", "verify_jwt")}
        yield Resource(f"supabase/function/{one['slug']}", "present", {**shown, "code": one.get("ezbr_sha256")})


def _look_at_auth(project: _Project) -> Iterator[Resource]:
    settings = project.read("/config/auth", operation="read the auth settings")
    yield Resource("supabase/auth", "present", auth_attributes(settings, project.fingerprint))


def auth_attributes(settings: Mapping[str, Any], fingerprint: Fingerprint) -> dict[str, Any]:
    """Every setting that holds one value and no secret; of the secret ones, which are set."""
    attributes: dict[str, Any] = {
        "secrets_set": sorted(name for name in settings if _MAY_BE_SECRET.search(name) and settings[name])
    }
    for name, value in settings.items():
        if _MAY_BE_SECRET.search(name) or isinstance(value, dict | list):
            continue
        if name in _LISTS:
            attributes[name] = sorted(commands.address_shown(url, fingerprint) for url in split(value))
        elif isinstance(value, str):
            is_hidden = _ONLY_COMPARED.search(name) is not None or commands.may_hold_secret(value)
            attributes[name] = {"fingerprint": fingerprint(value)} if is_hidden else value
        else:
            attributes[name] = value
    return attributes


def split(text: str | None) -> list[str]:
    """The parts of one comma-separated string, in its order."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _look_at_services(project: _Project) -> Iterator[Resource]:
    """Health, and which schemas the Data API serves: health says that, and not the JWT secret that goes with it."""
    params = [("services", name) for name in SERVICES]
    services = project.read("/health", operation="read the services' health", params=params)
    yield Resource("supabase/health", "present", {one["name"]: one["status"] for one in services})
    rest: Mapping[str, Any] = next((one for one in services if one["name"] == "rest"), {})
    schemas = (rest.get("info") or {}).get("db_schema")
    if schemas is None:
        yield Resource("supabase/data-api", "unreadable", note="the Data API does not say which schemas it serves")
    else:
        yield Resource("supabase/data-api", "present", {"schemas": split(schemas), "enabled": bool(schemas)})


def _look_at_pooler(project: _Project) -> Iterator[Resource]:
    """The primary's; the connection strings are left out, the password belongs into them."""
    names = ("db_host", "db_port", "db_user", "db_name", "pool_mode", "default_pool_size", "max_client_conn")
    for entry in project.read("/config/database/pooler", operation="read the pooler"):
        if entry["database_type"] == "PRIMARY":
            yield Resource("supabase/pooler", "present", {name: entry[name] for name in names})


def _look_at_storage_settings(project: _Project) -> Iterator[Resource]:
    settings = project.read("/config/storage", operation="read the storage settings")
    features = {name: feature["enabled"] for name, feature in settings["features"].items()}
    yield Resource("supabase/storage-settings", "present", {"file_size_limit": settings["fileSizeLimit"], **features})


def _look_at_network(project: _Project) -> Iterator[Resource]:
    answer = project.read("/network-restrictions", operation="read the network restrictions")
    allowed = {name: sorted(answer["config"].get(theirs) or []) for name, theirs in CIDRS.items()}
    attributes = {**allowed, "status": answer["status"], "entitlement": answer["entitlement"]}
    yield Resource("supabase/network", "present", attributes)


def _look_at_ssl(project: _Project) -> Iterator[Resource]:
    answer = project.read("/ssl-enforcement", operation="read SSL enforcement")
    yield Resource("supabase/ssl", "present", {"enforced": answer["currentConfig"]["database"]})


def _look_at_buckets(project: _Project) -> Iterator[Resource]:
    yield from queried_buckets(project.client, project.ref, prefix="supabase/bucket")


CIDRS: Mapping[str, str] = {"ipv4": "dbAllowedCidrs", "ipv6": "dbAllowedCidrsV6"}
# By the addresses under which it is named when it cannot be read.
_LOOKS: Mapping[tuple[str, ...], Callable[[_Project], Iterable[Resource]]] = {
    ("supabase/api-key",): _look_at_api_keys,
    ("supabase/auth",): _look_at_auth,
    ("supabase/bucket",): _look_at_buckets,
    ("supabase/data-api", "supabase/health"): _look_at_services,
    ("supabase/function",): _look_at_functions,
    ("supabase/legacy-keys",): _look_at_legacy_keys,
    ("supabase/network",): _look_at_network,
    ("supabase/pooler",): _look_at_pooler,
    ("supabase/secret",): _look_at_secrets,
    ("supabase/ssl",): _look_at_ssl,
    ("supabase/storage-settings",): _look_at_storage_settings,
}
