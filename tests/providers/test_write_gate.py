"""What keeps a write from leaving: each guard refuses before anything is sent, and before the journal says so."""

from __future__ import annotations

import json

import pytest

from pantheon_runbook.errors import RefusedError, VendorRefusedError
from pantheon_runbook.providers.http import Client, Reach, WriteGate


def test_write_outside_apply_is_refused(client, stub, gate, journal):
    gate.is_open = False

    with pytest.raises(RefusedError, match="outside the apply act"):
        client.write("POST", "/v9/x", operation="change", body={})
    assert ([], []) == (stub.requests, journal)


def test_write_without_journal_is_refused(client, stub, gate):
    gate.before = None

    with pytest.raises(RefusedError):
        client.write("POST", "/v9/x", operation="change", body={})
    assert [] == stub.requests


def test_write_is_not_sent_when_its_intent_cannot_be_written(client, stub, gate):
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    gate.before = full
    with pytest.raises(OSError, match="No space"):
        client.write("POST", "/v9/x", operation="change", body={})
    assert [] == stub.requests


@pytest.mark.parametrize(
    ("path", "params", "body"),
    [
        ("/v9/projects/production-id", None, {}),
        ("/v9/x", {"projectId": "production-id"}, {}),
        ("/v9/x", None, {"input": {"environmentId": "production-id"}}),
        ("/v9/x", None, [{"value": "postgres://production-id:x@host"}]),
    ],
)
def test_write_that_names_production_is_refused(client, stub, journal, path, params, body):
    with pytest.raises(RefusedError, match="names production's project"):
        client.write("POST", path, operation="change", params=params, body=body)
    assert ([], []) == (stub.requests, journal)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v10/projects/prj_1/promote/other-id", {}),
        ("/v1/projects/prj_1/rollback/other-id", {}),
        ("/v9/x", {"query": "mutation M", "variables": {"deploymentId": "other-id"}}),
    ],
)
def test_write_that_names_an_unknown_deployment_is_refused(client, stub, gate, journal, path, body):
    """The project is ours: what it is to show, or to go back to, has to be of it too."""
    gate.accepted = frozenset({"prj_1"})
    stub.will_answer(200, {})

    with pytest.raises(RefusedError, match="names other-id"):
        client.write("POST", path, operation="change", body=body)
    assert ([], []) == (stub.requests, journal)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.vercel.com.evil.example/v9/x",
        "https://evil.example/v9/x",
        "https://api-vercel.com/v9/x",
        "https://user@evil.example/api.vercel.com",
        "http://api.vercel.com/v9/x",
        "https://ABCDEFGHIJ.supabase.co/x",
        "https://a.b.up.railway.app/x",
        "https://localhost/x",
        "https://169.254.169.254/latest/meta-data",
    ],
)
@pytest.mark.parametrize("verb", ["read", "write"])
def test_other_host_or_scheme_is_refused(client, stub, journal, url, verb):
    with pytest.raises(RefusedError, match="allow-list"):
        getattr(client, verb)("POST", url, operation="anything")
    assert ([], []) == (stub.requests, journal)


@pytest.mark.parametrize(("verb", "method"), [("read", "GET"), ("write", "POST")])
def test_redirect_is_not_followed(client, stub, verb, method):
    stub.will_answer(307, Location="https://evil.example/")

    with pytest.raises(VendorRefusedError) as stopped:
        getattr(client, verb)(method, "/v2/teams", operation="anything")
    assert 307 == stopped.value.status
    assert [(method, "/v2/teams", "api.vercel.com")] == stub.requests


def test_proxy_of_the_environment_is_not_used(stub, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    stub.will_answer(200, {})
    client = Client("vercel", "https://api.vercel.com", reach=Reach(stub.path), gate=WriteGate())
    live = Client("vercel", "https://api.vercel.com", reach=Reach(), gate=WriteGate())

    client.read("GET", "/v2/teams", operation="look")
    assert [("GET", "/v2/teams", "api.vercel.com")] == stub.requests
    assert {} == live._http._mounts
    for made in (client, live):
        made.close()


def test_netrc_is_not_used(stub, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.vercel.com login somebody password else")
    monkeypatch.setenv("NETRC", str(netrc))
    live = Client("vercel", "https://api.vercel.com", reach=Reach(), gate=WriteGate())

    assert "authorization" not in live._http.build_request("GET", "/v9/x").headers
    assert live._http.trust_env is False
    live.close()


def test_plane_of_a_write_sees_json_escapes(client, stub, gate, journal):
    """An id that was escaped on the way is still an id."""
    gate.forbidden = {"ünïcode-id": "production's project"}

    assert "ünïcode-id" not in json.dumps("ünïcode-id")
    with pytest.raises(RefusedError):
        client.write("POST", "/v9/x", operation="change", body={"id": "ünïcode-id"})
    assert ([], []) == (stub.requests, journal)
