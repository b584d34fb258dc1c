"""The one door to the vendors: what is sent, how often, and what an answer means."""

from __future__ import annotations

import math
from collections.abc import Iterator

import httpx
import pytest

from pantheon_runbook import clock
from pantheon_runbook.errors import OutcomeUnknownError, VendorRefusedError, VendorUnavailableError
from pantheon_runbook.providers.http import Client, Reach, json_of


@pytest.fixture
def still() -> Iterator[None]:
    """The clock stands still."""
    clock.pin("2026-11-23T10:00:00+00:00")
    yield
    clock.pin(None)


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


@pytest.mark.parametrize(
    ("headers", "again", "waited"),
    [
        ({"Retry_After": "1800"}, "from 2026-11-23T10:30:00Z on, run again.", 60.0),
        ({"X_RateLimit_Reset": "1795429800"}, "from 2026-11-23T10:30:00Z on, run again.", 60.0),
        ({"X_RateLimit_Reset": "1800"}, "once vercel lets us ask again, of which it has said no time, run again.", 0.8),
        ({}, "once vercel lets us ask again, of which it has said no time, run again.", 0.8),
    ],
)
@pytest.mark.parametrize("verb", ["read", "write"])
def test_rate_limit_says_how_long_it_waits_and_from_when_on(stub, gate, pauses, still, verb, headers, again, waited):
    """It is no outage: each wait is told of, and no time is made up."""
    told: list[str] = []
    client = Client("vercel", "https://api.vercel.com", reach=Reach(stub.path, tell=told.append), gate=gate)
    stub.will_answer(429, {"error": {"code": "rate_limited", "message": "slow down"}}, **headers)

    with pytest.raises(VendorUnavailableError) as stopped:
        client.read("GET", "/v2/teams", operation="look") if verb == "read" else client.write(
            "POST", "/v9/x", operation="look", body={}
        )
    client.close()

    assert ("the rate limit of vercel is reached: look was turned away.", "slow down.", again) == (
        stopped.value.what,
        stopped.value.why,
        stopped.value.next_step,
    )
    assert len(pauses) == len(told) == {"read": 3, "write": 1}[verb]
    assert waited >= max(pauses) >= waited / 4
    assert f"vercel asks to wait: its rate limit is reached ({math.ceil(pauses[0])} s)" == told[0]


def test_failure_with_rate_headers_is_no_rate_limit(client, stub, pauses, still):
    """Vendors send them with every answer."""
    stub.will_answer(503, X_RateLimit_Reset="1795429800")

    with pytest.raises(VendorUnavailableError, match="keeps answering 503"):
        client.read("GET", "/v2/teams", operation="look")
    assert 1 > max(pauses)


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
