"""What the answer to a write means when it never came, or says no and yes at once."""

from __future__ import annotations

import httpx
import pytest

from pantheon_runbook.errors import OutcomeUnknownError, VendorRefusedError
from pantheon_runbook.providers.http import Client, Reach
from pantheon_runbook.providers.railway import RailwayApi


@pytest.mark.parametrize(
    "failure", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError]
)
def test_write_whose_answer_is_lost_is_unknown(gate, journal, monkeypatch, failure):
    """It may have arrived."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise failure("nobody answers")

    monkeypatch.setattr(Reach, "transport", lambda _: httpx.MockTransport(fail))
    client = Client("vercel", "https://api.vercel.com", reach=Reach(), gate=gate)

    with pytest.raises(OutcomeUnknownError) as stopped:
        client.write("POST", "/v9/x", operation="change", body={})
    client.close()
    assert "unknown until looked up." == stopped.value.state
    assert "OutcomeUnknownError" == journal[-1][1]["result"]


@pytest.mark.parametrize(
    ("message", "error"),
    [("Not Authorized", VendorRefusedError), ("Problem processing request", OutcomeUnknownError)],
)
def test_railways_error_inside_a_200_is_no_success(client, stub, message, error):
    """A clear no was not applied; of anything else only a look can tell."""
    stub.will_answer(200, {"data": {"serviceCreate": {"id": "x"}}, "errors": [{"message": message}]})

    with pytest.raises(error) as stopped:
        RailwayApi(client).mutate("mutation ServiceCreate { serviceCreate { id } }", {})
    assert f"{message}." == stopped.value.why
