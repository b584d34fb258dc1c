"""The one door to the vendors: what is sent, how often, and what an answer means."""

from __future__ import annotations

import httpx
import pytest

from pantheon_runbook.errors import OutcomeUnknownError, VendorRefusedError, VendorUnavailableError
from pantheon_runbook.providers.http import Client, Reach, json_of


def test_read_is_repeated_until_it_answers(client, stub, pauses):
    stub.will_answer(500)
    stub.will_answer(429, Retry_After="7")
    stub.will_answer(200, {"ok": True})

    assert {"ok": True} == json_of(client.read("GET", "/v2/teams", operation="look"))
    assert 3 == len(stub.requests)
    assert 0.1 <= pauses[0] <= 0.2
    assert 7.0 == pauses[1]


def test_read_is_given_up_after_four_tries(client, stub, pauses):
    stub.will_answer(503)

    with pytest.raises(VendorUnavailableError):
        client.read("GET", "/v2/teams", operation="look")
    assert 4 == len(stub.requests)
    assert sorted(pauses) == pauses


def test_retry_after_is_bounded(client, stub, pauses):
    stub.will_answer(429, Retry_After="86400")
    stub.will_answer(200, {})

    client.read("GET", "/v2/teams", operation="look")
    assert [60.0] == pauses


def test_page_instead_of_json_is_read_again(client, stub, pauses):
    """A proxy's page with status 200 is no answer of the vendor."""
    stub.will_answer(200, b"<html>sign in to the guest network</html>")
    stub.will_answer(200, {"ok": True})

    assert {"ok": True} == json_of(client.read("GET", "/v2/teams", operation="look"))


def test_page_instead_of_json_is_given_up(client, stub, pauses):
    stub.will_answer(200, b"\xff\xfe not JSON")

    with pytest.raises(VendorUnavailableError):
        client.read("GET", "/v2/teams", operation="look")
    assert 4 == len(stub.requests)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, {}, OutcomeUnknownError),
        (502, b"bad gateway", OutcomeUnknownError),
        (408, {}, OutcomeUnknownError),
        (200, b"<html>", OutcomeUnknownError),
        (429, {}, VendorUnavailableError),
        (400, {"message": "no"}, VendorRefusedError),
        (401, {"message": "no"}, VendorRefusedError),
        (409, {"message": "no"}, VendorRefusedError),
    ],
)
def test_write_is_sent_once_whatever_comes(client, stub, pauses, journal, status, body, error):
    stub.will_answer(status, body)

    with pytest.raises(error):
        client.write("POST", "/v9/x", operation="change", body={"a": 1})
    assert 1 == len(stub.requests)
    assert ["intent", "result"] == [kind for kind, _ in journal]
    assert error.__name__ == journal[-1][1]["result"]


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_write_that_never_left_is_not_applied(gate, journal, monkeypatch, failure):
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure("nobody there")

    monkeypatch.setattr(Reach, "transport", lambda _: httpx.MockTransport(fail))
    client = Client("vercel", "https://api.vercel.com", reach=Reach(), gate=gate)

    with pytest.raises(VendorUnavailableError) as stopped:
        client.write("POST", "/v9/x", operation="change", body={})
    client.close()
    assert "nothing was changed by this call." == stopped.value.state


def test_true_status_inside_a_400_is_used(client, stub):
    """Storage says 400 and means 409 (FACTS 1.2)."""
    stub.will_answer(400, {"statusCode": "409", "error": "Duplicate", "message": "The resource already exists"})

    with pytest.raises(VendorRefusedError) as stopped:
        client.write("POST", "/v9/x", operation="change", body={})
    assert 409 == stopped.value.status


def test_error_holds_no_header_or_body(client, stub):
    stub.will_answer(400, {"message": "no"})

    with pytest.raises(VendorRefusedError) as stopped:
        client.write("POST", "/v9/x", operation="change", body={"value": "what-was-sent"})
    assert "a-token-of-ours" not in str(stopped.value.as_json())
    assert "what-was-sent" not in str(stopped.value.as_json())
