"""What is read about a Supabase project: every change by somebody else's hands is named, and nothing else is."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from vendors import Hands, branch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core"))

from test_no_leak import leaks, secrets_of
from validate import descriptions, specs_folder

from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.model import Exposure, Resource
from pantheon_runbook.providers import supabase, supabase_exposure, supabase_inventory
from pantheon_runbook.providers.http import Client, Reach
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.sandbox.planes.supabase.auth_settings import SETTINGS, is_secret
from pantheon_runbook.secrets import Secret, fingerprints_under

pytestmark = [pytest.mark.xdist_group("supabase-inventory"), pytest.mark.alike]
FINGERPRINT = fingerprints_under("ab" * 32)
PROJECT = "/v1/projects/" + "?" * 20
# What a token may lack, as a glob of paths, and what then cannot be read.
LACKING = {
    PROJECT: {"supabase/project"},
    "*/api-keys": {"supabase/api-key"},
    "*/api-keys/legacy": {"supabase/legacy-keys"},
    "*/secrets": {"supabase/secret"},
    "*/config/auth": {"supabase/auth"},
    "*/functions": {"supabase/function"},
    "*/health": {"supabase/health", "supabase/data-api"},
    "*/config/database/pooler": {"supabase/pooler"},
    "*/config/storage": {"supabase/storage-settings"},
    "*/network-restrictions": {"supabase/network"},
    "*/ssl-enforcement": {"supabase/ssl"},
    "*/database/query/read-only": {"supabase/bucket"},
    "*/members": {"supabase/members"},
    "*/branches": {"supabase/branches", "supabase/git-integration"},
}
TOKENS = {glob: f"sbp_{number:040x}" for number, glob in enumerate(LACKING)}
OTHER_TOKEN = f"sbp_{'e' * 40}"


class Made:
    """A provisioned world whose vendor takes any number of requests, and tokens that lack one permission each."""

    def __init__(self, world: Any, hands: Hands) -> None:
        self.world, self.hands = world, hands
        self.facts = hands.facts["supabase"]
        self.production, self.staging = self.facts["ref"], world.staging_ref()
        hands.edit(self._prepare)

    def _prepare(self, document: dict[str, Any]) -> None:
        """Once, since each edit costs seconds; what no call can make is put where no other test looks."""
        vendor, elsewhere = document["supabase"], self.facts["foreign_slug"]
        vendor["limits"]["requests_per_minute"] = 1_000_000
        (account,) = vendor["tokens"].values()
        vendor["tokens"] |= {token: {**account, "denied": [glob]} for glob, token in TOKENS.items()}
        vendor["tokens"][OTHER_TOKEN] = {**account, "organizations": [elsewhere]}
        vendor["organizations"][elsewhere]["members"] = [
            {"user_id": str(number), "user_name": f"person-{number}", "role_name": role, "mfa_enabled": number == 0}
            for number, role in enumerate(["Owner", "Developer", "Administrator", "Read-only"])
        ]
        vendor["projects"][self.staging]["branches"] = [
            branch(self.staging, "main", is_default=True),
            branch(self.staging, "login", git_branch="feature/login", with_data=True),
        ]

    def memory(self) -> dict[str, Any]:
        """What the vendor remembers."""
        saved = self.world.running.save(str(self.world.folder / "remembered"))
        return dict(json.loads((saved / "world.json").read_text())["supabase"])

    def client(self, token: str = "") -> Client:
        reach = Reach(str(self.world.running.socket))
        return reading_client("supabase", supabase.BASE_URL, Secret(token or self.facts["token"]), reach=reach)

    def inventory(self, ref: str, token: str = "") -> tuple[Resource, ...]:
        client = self.client(token)
        try:
            return supabase_inventory.inventory(client, ref, fingerprint=FINGERPRINT)
        finally:
            client.close()

    def exposure(self, token: str = "", *, ref: str = "", organization: str = "") -> dict[str, Exposure]:
        client = self.client(token)
        slug = organization or self.facts["organization_slug"]
        try:
            found = supabase_exposure.exposure(client, ref=ref or self.production, organization=slug)
        finally:
            client.close()
        assert sorted(one.address for one in found) == [one.address for one in found]
        return {one.address: one for one in found}

    def by_hand(self, method: str, path: str, body: Any = None, *, ref: str = "") -> Any:
        return self.hands.call("supabase", method, f"/v1/projects/{ref or self.staging}{path}", body)

    def bucket(self, method: str, path: str, body: Any = None) -> None:
        self.hands.storage(self.staging, method, f"/bucket{path}", body)

    def delete_key(self, name: str) -> None:
        (key,) = [one for one in self.by_hand("GET", "/api-keys") if one["name"] == name]
        self.by_hand("DELETE", f"/api-keys/{key['id']}")


@pytest.fixture(scope="module")
def made(new_world) -> Iterator[Made]:
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        assert "done" == world.provision().word
        hands = Hands(world.running)
        yield Made(world, hands)
        hands.close()


def drift(before: tuple[Resource, ...], after: tuple[Resource, ...]) -> dict[str, Any]:
    """By address: the attributes that differ, or that it was added or is gone."""
    old, new = ({one.address: one for one in look} for look in (before, after))
    named: dict[str, Any] = dict.fromkeys(sorted(new.keys() - old.keys()), "added")
    named |= dict.fromkeys(sorted(old.keys() - new.keys()), "gone")
    for address in sorted(old.keys() & new.keys()):
        if old[address] != new[address]:
            left, right = old[address].attributes, new[address].attributes
            named[address] = {name for name in left.keys() | right.keys() if left.get(name) != right.get(name)}
    return named


def auth(**settings: Any) -> Callable[[Made], Any]:
    return lambda made: made.by_hand("PATCH", "/config/auth", settings)


def edge_secret(name: str, value: str) -> Callable[[Made], Any]:
    return lambda made: made.by_hand("POST", "/secrets", [{"name": name, "value": value}])


HOOK = {
    "hook_send_email_enabled": True,
    "hook_send_email_uri": "https://hooks.example/T0/a-path-that-lets-in",
    "hook_send_email_secrets": "v1,whsec_of_the_hook",
}
FEATURES = {"features": {"imageTransformation": {"enabled": True}}}
SECRET_KEY = {"type": "secret", "name": "deploy", "secret_jwt_template": {"role": "service_role"}}
DRIFTS: dict[str, tuple[Callable[[Made], Any], dict[str, Any]]] = {
    "a bucket opened": (
        lambda made: made.bucket("PUT", "/uploads", {"public": True}),
        {"supabase/bucket/uploads": {"public"}},
    ),
    "a bucket's limits": (
        lambda made: made.bucket("PUT", "/avatars", {"file_size_limit": 999, "allowed_mime_types": ["image/*"]}),
        {"supabase/bucket/avatars": {"file_size_limit", "allowed_mime_types"}},
    ),
    "a bucket made": (
        lambda made: made.bucket("POST", "", {"name": "by-hand"}),
        {"supabase/bucket/by-hand": "added"},
    ),
    "a bucket deleted": (lambda made: made.bucket("DELETE", "/by-hand"), {"supabase/bucket/by-hand": "gone"}),
    "a secret replaced": (edge_secret("SENTRY_DSN", "by hand"), {"supabase/secret/SENTRY_DSN": {"value"}}),
    "a secret added": (edge_secret("NEW_ONE", "by hand"), {"supabase/secret/NEW_ONE": "added"}),
    "a secret deleted": (
        lambda made: made.by_hand("DELETE", "/secrets", ["NEW_ONE"]),
        {"supabase/secret/NEW_ONE": "gone"},
    ),
    "site_url": (auth(site_url="https://elsewhere.example"), {"supabase/auth": {"site_url"}}),
    "a redirect": (auth(uri_allow_list="https://elsewhere.example/**"), {"supabase/auth": {"uri_allow_list"}}),
    "sign-up closed": (auth(disable_signup=True), {"supabase/auth": {"disable_signup"}}),
    "session length": (auth(jwt_exp=60), {"supabase/auth": {"jwt_exp"}}),
    "a provider switched on": (
        auth(external_figma_enabled=True, external_figma_client_id="figma-1", external_figma_secret="figma-secret"),
        {"supabase/auth": {"external_figma_enabled", "external_figma_client_id", "secrets_set"}},
    ),
    "an auth hook": (
        auth(**HOOK),
        {"supabase/auth": {"hook_send_email_enabled", "hook_send_email_uri", "secrets_set"}},
    ),
    "a mail's text": (
        auth(mailer_templates_invite_content="<p>other</p>"),
        {"supabase/auth": {"mailer_templates_invite_content"}},
    ),
    "mail server": (
        auth(smtp_host="smtp.elsewhere.example", smtp_pass="smtp-password-by-hand"),
        {"supabase/auth": {"smtp_host", "secrets_set"}},
    ),
    "a rate limit": (auth(rate_limit_email_sent=9999), {"supabase/auth": {"rate_limit_email_sent"}}),
    "an API key made": (
        lambda made: made.by_hand("POST", "/api-keys", SECRET_KEY),
        {"supabase/api-key/secret/deploy": "added"},
    ),
    "an API key deleted": (lambda made: made.delete_key("deploy"), {"supabase/api-key/secret/deploy": "gone"}),
    "legacy keys off": (
        lambda made: made.by_hand("PUT", "/api-keys/legacy?enabled=false"),
        {
            "supabase/legacy-keys": {"enabled"},
            "supabase/api-key/legacy/anon": "gone",
            "supabase/api-key/legacy/service_role": "gone",
        },
    ),
    "network": (
        lambda made: made.by_hand("POST", "/network-restrictions/apply", {"dbAllowedCidrs": ["192.0.2.0/24"]}),
        {"supabase/network": {"ipv4", "ipv6"}},
    ),
    "SSL": (
        lambda made: made.by_hand("PUT", "/ssl-enforcement", {"requestedConfig": {"database": True}}),
        {"supabase/ssl": {"enforced"}},
    ),
    "pooler": (
        lambda made: made.by_hand("PATCH", "/config/database/pooler", {"default_pool_size": 7, "pool_mode": "session"}),
        {"supabase/pooler": {"default_pool_size", "pool_mode"}},
    ),
    "storage's limit": (
        lambda made: made.by_hand("PATCH", "/config/storage", {"fileSizeLimit": 99999999}),
        {"supabase/storage-settings": {"file_size_limit"}},
    ),
    "a storage feature": (
        lambda made: made.by_hand("PATCH", "/config/storage", FEATURES),
        {"supabase/storage-settings": {"imageTransformation"}},
    ),
    "schemas of the Data API": (
        lambda made: made.by_hand("PATCH", "/postgrest", {"db_schema": "public,private"}),
        {"supabase/data-api": {"schemas"}},
    ),
    "Data API off": (
        lambda made: made.by_hand("PATCH", "/postgrest", {"db_schema": ""}),
        {"supabase/data-api": {"schemas", "enabled"}},
    ),
    "a function deployed": (
        lambda made: made.by_hand("POST", "/functions", {"slug": "hello", "name": "Hello", "body": "Deno.serve()"}),
        {"supabase/function/hello": "added"},
    ),
    "a function opened": (
        lambda made: made.by_hand("PATCH", "/functions/hello", {"verify_jwt": False}),
        {"supabase/function/hello": {"verify_jwt", "version"}},
    ),
    "a function's code": (
        lambda made: made.by_hand("PATCH", "/functions/hello", {"body": "Deno.serve(other)"}),
        {"supabase/function/hello": {"code", "version"}},
    ),
    "a function deleted": (
        lambda made: made.by_hand("DELETE", "/functions/hello"),
        {"supabase/function/hello": "gone"},
    ),
    "the project renamed": (
        lambda made: made.by_hand("PATCH", "", {"name": "renamed"}),
        {"supabase/project": {"name"}},
    ),
}


def test_every_drift_is_named_and_nothing_else(made):
    """One after the other on one project; production, in the same organization, stays as it is."""
    production = made.inventory(made.production)
    named = {}
    for kind, (change, _) in DRIFTS.items():
        before = made.inventory(made.staging)
        change(made)
        named[kind] = drift(before, made.inventory(made.staging))
    made.by_hand("PATCH", "", {"name": "pantheon-staging"})

    print(f"\n{len(named)} kinds of drift by hand at Supabase")
    for kind, found in named.items():
        print(f"  {kind:<26}{'; '.join(f'{at}: {_in_words(what)}' for at, what in found.items())}")
    assert len(DRIFTS) >= 12
    assert {kind: expected for kind, (_, expected) in DRIFTS.items()} == named
    assert {} == drift(production, made.inventory(made.production))


def _in_words(what: Any) -> str:
    return what if isinstance(what, str) else ", ".join(sorted(what))


@pytest.mark.rare
def test_fifty_looks_at_an_unchanged_project_are_equal(made):
    first = {ref: made.inventory(ref) for ref in (made.staging, made.production)}
    alarms = sum({} != drift(look, made.inventory(ref)) for ref, look in first.items() for _ in range(25))

    print(f"\n50 clean checks: {alarms} false alarms")
    assert 0 == alarms


def test_both_projects_show_the_same_kinds(made):
    kinds = {
        ref: {one.address.split("/")[1] for one in made.inventory(ref)} - {"api-key", "secret"}
        for ref in (made.staging, made.production)
    }
    assert kinds[made.production] == kinds[made.staging]
    assert all("present" == one.state for one in made.inventory(made.production))
    assert 10 == len(kinds[made.production])


def test_no_secret_is_in_an_attribute(made):
    """Neither a value nor the digest that Supabase shows of it."""
    planted = {**HOOK, "sms_test_otp": "4915112345678=123456"}
    made.by_hand("PATCH", "/config/auth", planted)
    memory = made.memory()
    settings = [one for project in memory["projects"].values() for one in project["auth_config"].items()]
    hashes = {
        one["hash"]: "hash of a key" for ref in memory["projects"] for one in made.by_hand("GET", "/api-keys", ref=ref)
    }
    secrets = secrets_of(made.hands.facts, memory) | {str(value): name for name, value in settings if is_secret(name)}
    secrets |= hashes
    shown = {
        ref: json.dumps([asdict(one) for one in made.inventory(ref)]).encode()
        for ref in (made.staging, made.production)
    }
    exposed = json.dumps([asdict(one) for one in made.exposure().values()]).encode()
    made.by_hand("PATCH", "/config/auth", dict.fromkeys(planted))

    assert len(secrets) >= 25
    assert {"jwt_secret", "smtp_pass", "password", "tokens", "direct_url", "value"} <= set(secrets.values())
    assert set() == leaks(secrets, {**shown, "exposure": exposed})
    assert not any(text in shown[made.staging] for text in (b"a-path-that-lets-in", b"whsec_of_the", b"123456"))


def test_shared_secret_is_equal_on_both_sides(made):
    """What the isolation proof rests on: equal values have equal fingerprints, and no two keys have."""
    for ref in (made.staging, made.production):
        made.by_hand("POST", "/secrets", [{"name": "SHARED", "value": "one value for both"}], ref=ref)
    staging, production = (
        {one.address: one.attributes.get("value") for one in made.inventory(ref)}
        for ref in (made.staging, made.production)
    )
    for ref in (made.staging, made.production):
        made.by_hand("DELETE", "/secrets", ["SHARED"], ref=ref)

    equal = {at for at, value in staging.items() if value is not None and value == production.get(at)}
    assert {"supabase/secret/SHARED"} == equal
    assert {"supabase/api-key/publishable/default", "supabase/secret/SENTRY_DSN"} <= production.keys()


def test_looks_are_reads_and_ask_for_no_secret(made):
    """By the sandbox's log: none mutates, none asks for keys with their values, the JWT secret or a branch."""
    mark = made.hands.mark()
    made.inventory(made.production)
    made.exposure()
    log = made.world.running.log(mark)

    assert [] == [record for record in log if record["mutating"]]
    assert {
        "GET /v1/organizations/{slug}/members",
        "GET /v1/projects/{ref}",
        "GET /v1/projects/{ref}/api-keys",
        "GET /v1/projects/{ref}/api-keys/legacy",
        "GET /v1/projects/{ref}/branches",
        "GET /v1/projects/{ref}/config/auth",
        "GET /v1/projects/{ref}/config/database/pooler",
        "GET /v1/projects/{ref}/config/storage",
        "GET /v1/projects/{ref}/functions",
        "GET /v1/projects/{ref}/health",
        "GET /v1/projects/{ref}/network-restrictions",
        "GET /v1/projects/{ref}/secrets",
        "GET /v1/projects/{ref}/ssl-enforcement",
        "POST /v1/projects/{ref}/database/query/read-only",
    } == {record["operation"] for record in log}
    assert [] == [record["path"] for record in log if "reveal" in record["path"]]


@pytest.mark.parametrize("glob", list(LACKING)[:-2])
def test_what_the_token_may_not_read_is_unreadable_alone(made, glob):
    whole, part = made.inventory(made.production), made.inventory(made.production, TOKENS[glob])
    notes = {one.address: one.note for one in part if one.state == "unreadable"}
    kept = tuple(one for one in whole if not any(one.address.startswith(address) for address in LACKING[glob]))

    assert dict.fromkeys(LACKING[glob], "Supabase answers 403: the token may not read it") == notes
    assert kept == tuple(one for one in part if one.state != "unreadable")


@pytest.mark.parametrize(("status", "words"), [(402, "the plan does not have it"), (404, "there is none"), (400, "no")])
def test_what_supabase_refuses_is_unreadable(stub, supabase_client, status, words):
    stub.will_answer(status, {"message": "no"})
    found = supabase_inventory.inventory(supabase_client, "a" * 20, fingerprint=FINGERPRINT)

    assert {"unreadable"} == {one.state for one in found}
    assert 13 == len(found)
    assert all(one.note.startswith(f"Supabase answers {status}: {words}") for one in found)


def test_refused_token_raises(made):
    for look in (lambda: made.inventory(made.production, f"sbp_{'f' * 40}"), lambda: made.exposure(f"sbp_{'f' * 40}")):
        with pytest.raises(VendorRefusedError) as refused:
            look()
        assert 401 == refused.value.status


def test_vendor_that_does_not_answer_raises(stub, supabase_client, pauses):
    stub.will_answer(503, {"message": "no"})
    with pytest.raises(VendorUnavailableError):
        supabase_inventory.inventory(supabase_client, "a" * 20, fingerprint=FINGERPRINT)


def test_data_api_that_says_nothing_is_unreadable(stub, supabase_client):
    """Its details in the health answer are optional; "off" would be another thing."""
    stub.will_answer(200, [{"name": "rest", "status": "ACTIVE_HEALTHY", "healthy": True}])
    project = supabase_inventory._Project(supabase_client, "a" * 20, FINGERPRINT)
    health, data_api = supabase_inventory._look_at_services(project)

    assert {"rest": "ACTIVE_HEALTHY"} == health.attributes
    assert ("supabase/data-api", "unreadable") == (data_api.address, data_api.state)


def test_paused_project_shows_its_status_and_nothing_else(made):
    made.by_hand("POST", "/pause")
    until(lambda: "INACTIVE" == made.by_hand("GET", "")["status"])
    mark = made.hands.mark()
    itself, others = _apart(made.inventory(made.staging))
    asked = [record["operation"] for record in made.world.running.log(mark)]
    made.by_hand("POST", "/restore")
    until(lambda: all(one["healthy"] for one in made.by_hand("GET", "/health?services=db&services=rest")))

    assert ("present", "INACTIVE") == (itself.state, itself.attributes["status"])
    assert {one for addresses in list(LACKING.values())[1:-2] for one in addresses} == {one.address for one in others}
    assert {("unreadable", "the project is INACTIVE: Supabase shows this of a running one only")} == {
        (one.state, one.note) for one in others
    }
    assert ["GET /v1/projects/{ref}"] == asked


def _apart(found: tuple[Resource, ...]) -> tuple[Resource, list[Resource]]:
    (itself,) = [one for one in found if one.address == "supabase/project"]
    return itself, [one for one in found if one is not itself]


def until(is_so: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# ---- auth settings, by their names


def test_settings_that_may_be_secret_are_left_out():
    """Of every described key: the ones whose values Supabase hides, and the codes of test phones."""
    everything = {name: setting.first if setting.first is not None else "x" for name, setting in SETTINGS.items()}
    shown = supabase_inventory.auth_attributes(everything, str)
    left_out = {name for name in SETTINGS if name not in shown}

    assert {name for name in SETTINGS if is_secret(name)} | {"sms_test_otp"} == left_out
    assert 38 == len(left_out)
    assert {"secrets_set"} == shown.keys() - SETTINGS.keys()


@pytest.mark.contract
@pytest.mark.skipif(not specs_folder().is_dir(), reason=f"no official descriptions in {specs_folder()}")
def test_settings_are_those_of_the_description():
    schemas = descriptions()["api.supabase.com"].document["components"]["schemas"]
    described = set(schemas["AuthConfigResponse"]["properties"])
    shown = supabase_inventory.auth_attributes(dict.fromkeys(described, "x"), str)
    telling = {name for name in shown if re.search("secret|pass|token|key(?!cloak)|(?<!t)otp|code", name)}

    assert 237 == len(described)
    assert {
        "hook_custom_access_token_enabled",
        "hook_custom_access_token_uri",
        "hook_password_verification_attempt_enabled",
        "hook_password_verification_attempt_uri",
        "mailer_notifications_password_changed_enabled",
        "mailer_otp_exp",
        "mailer_otp_length",
        "mailer_subjects_password_changed_notification",
        "mailer_templates_password_changed_notification_content",
        "mfa_phone_otp_length",
        "passkey_enabled",
        "password_hibp_enabled",
        "password_min_length",
        "password_required_characters",
        "rate_limit_otp",
        "rate_limit_token_refresh",
        "refresh_token_rotation_enabled",
        "secrets_set",
        "security_refresh_token_reuse_interval",
        "security_update_password_require_reauthentication",
        "sms_otp_exp",
        "sms_otp_length",
        "sms_test_otp_valid_until",
    } == telling


@pytest.mark.parametrize(
    "value",
    [
        f"sbp_{'0' * 40}",
        "https://user:pass@elsewhere.example",
        "https://elsewhere.example/?key=hunter22",
        "https://elsewhere.example/callback?hunter22",
        "https://elsewhere.example/hooks/T0A1B2C3D4E5F6G7H8I9J0",
    ],
)
def test_value_that_looks_like_a_secret_is_compared_only(value):
    """Somebody may put one where none belongs; of a list the host stays to be looked at."""
    settings = {"site_url": value, "uri_allow_list": f"https://a.example/**,{value}"}
    shown = supabase_inventory.auth_attributes(settings, lambda _: "0" * 64)

    host = "https://elsewhere.example/" if "elsewhere" in value else ""
    assert {"fingerprint": "0" * 64} == shown["site_url"]
    assert {"https://a.example/**", f"{host}?fingerprint={'0' * 64}"} == set(shown["uri_allow_list"])


# ---- exposure

CLOSED = {
    "supabase/auth-hooks": "closed by vendor",
    "supabase/branches": "closed by vendor",
    "supabase/git-integration": "closed by vendor",
    "supabase/legacy-keys": "open",
    "supabase/members": "closed by vendor",
    "supabase/network": "open",
    "supabase/ssl": "open",
    "supabase/token": "closed by this tool",
}


def states(found: Mapping[str, Exposure]) -> dict[str, str]:
    return {address: one.state for address, one in found.items()}


def test_exposure_of_a_new_production(made):
    found = made.exposure()

    assert CLOSED == states(found)
    assert all(bool(one.next_step) == (one.state != "closed by vendor") for one in found.values())


@pytest.mark.parametrize(
    ("address", "state", "found", "change", "back"),
    [
        (
            "supabase/network",
            "closed by vendor",
            "allowed ranges: 1",
            ("POST", "/network-restrictions/apply", {"dbAllowedCidrs": ["192.0.2.7/32"]}),
            ("POST", "/network-restrictions/apply", {"dbAllowedCidrs": ["0.0.0.0/0"], "dbAllowedCidrsV6": ["::/0"]}),
        ),
        (
            "supabase/network",
            "open",
            "open to every address of ipv4",
            ("POST", "/network-restrictions/apply", {"dbAllowedCidrs": ["0.0.0.0/1", "128.0.0.0/1"]}),
            ("POST", "/network-restrictions/apply", {"dbAllowedCidrs": ["0.0.0.0/0"], "dbAllowedCidrsV6": ["::/0"]}),
        ),
        (
            "supabase/ssl",
            "closed by vendor",
            "SSL is enforced",
            ("PUT", "/ssl-enforcement", {"requestedConfig": {"database": True}}),
            ("PUT", "/ssl-enforcement", {"requestedConfig": {"database": False}}),
        ),
        (
            "supabase/legacy-keys",
            "closed by vendor",
            "legacy anon and service_role keys are refused",
            ("PUT", "/api-keys/legacy?enabled=false", None),
            ("PUT", "/api-keys/legacy?enabled=true", None),
        ),
        (
            "supabase/auth-hooks",
            "open",
            "send_email asks hooks.example",
            ("PATCH", "/config/auth", HOOK),
            ("PATCH", "/config/auth", {"hook_send_email_enabled": False}),
        ),
        (
            "supabase/auth-hooks",
            "closed by vendor",
            "no hook leaves the database",
            ("PATCH", "/config/auth", {**HOOK, "hook_send_email_uri": "pg-functions://postgres/public/send"}),
            ("PATCH", "/config/auth", {"hook_send_email_enabled": False}),
        ),
    ],
)
def test_exposure_follows_what_production_is_set_to(made, address, state, found, change, back):
    made.by_hand(*change, ref=made.production)
    seen = made.exposure()
    made.by_hand(*back, ref=made.production)

    assert (state, found) == (seen[address].state, seen[address].found)
    assert {**CLOSED, address: state} == states(seen)
    assert CLOSED == states(made.exposure())


def test_restrictions_that_are_only_stored_are_open(stub, supabase_client):
    config = {"dbAllowedCidrs": ["192.0.2.7/32"], "dbAllowedCidrsV6": []}
    stub.will_answer(200, {"entitlement": "allowed", "status": "stored", "config": config})
    production = supabase_exposure._Production(supabase_client, "a" * 20, "o")

    assert (False, "the restrictions are stored, not applied") == supabase_exposure._network(production)


def test_preview_branches_are_open(made):
    """One that has a Git branch of its own is not production's."""
    found = made.exposure(ref=made.staging)

    assert ("open", "preview branches: 1; with a copy of production's data: 1") == (
        found["supabase/branches"].state,
        found["supabase/branches"].found,
    )
    assert "closed by vendor" == found["supabase/git-integration"].state


def test_git_branch_of_production_is_open(stub, supabase_client):
    stub.will_answer(200, [branch("a" * 20, "main", is_default=True, git_branch="release")])
    production = supabase_exposure._Production(supabase_client, "a" * 20, "o")

    assert (False, "production follows the Git branch release") == supabase_exposure._git_integration(production)
    assert (True, "preview branches: 0; with a copy of production's data: 0") == supabase_exposure._branches(production)


def test_members_who_can_write_are_counted_without_their_names(made):
    found = made.exposure(OTHER_TOKEN, organization=made.facts["foreign_slug"])
    seen = found["supabase/members"]

    assert ("open", "3 of 4 can write: 1 Administrator, 1 Developer, 1 Owner; without a second factor: 2") == (
        seen.state,
        seen.found,
    )
    assert "person" not in repr(found)
    assert "1 of 1 can write: 1 Owner; without a second factor: 0" == made.exposure()["supabase/members"].found


@pytest.mark.parametrize(
    ("glob", "unread"),
    [
        ("*/members", {"supabase/members"}),
        ("*/branches", {"supabase/branches", "supabase/git-integration"}),
        ("*/network-restrictions", {"supabase/network"}),
        ("*/ssl-enforcement", {"supabase/ssl"}),
        ("*/api-keys/legacy", {"supabase/legacy-keys"}),
        ("*/config/auth", {"supabase/auth-hooks"}),
        (PROJECT, {"supabase/token"}),
    ],
)
def test_exposure_that_the_token_may_not_read_says_so(made, glob, unread):
    found = made.exposure(TOKENS[glob])

    assert {**CLOSED, **dict.fromkeys(unread, "cannot be read")} == states(found)
    assert all("403" in found[address].found and found[address].next_step for address in unread)
