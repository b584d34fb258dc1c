"""What a vendor sends back of what it was asked with: masked, also before a run is open to mask it."""

from __future__ import annotations

import json

import pytest

from pantheon_runbook.errors import CredentialError, VendorRefusedError
from pantheon_runbook.providers import supabase
from pantheon_runbook.secrets import MASK, Registry


@pytest.fixture
def echoing(monkeypatch):
    """Supabase answers the first question with the token in it."""

    def refuse(client, organization):
        token = client._http.headers["Authorization"].removeprefix("Bearer ")
        raise VendorRefusedError(
            f"bad token {token}", status=401, vendor="supabase", operation="x", why=f"it is {token}", state="s",
            next_step=f"not {token}",
        )  # fmt: skip

    monkeypatch.setattr(supabase, "check_token", refuse)


@pytest.mark.usefixtures("echoing")
def test_token_in_a_refusal_before_the_run_is_masked(quiet_world):
    token = quiet_world.facts["tokens"]["SUPABASE_ACCESS_TOKEN"]

    with pytest.raises(CredentialError) as stopped:
        quiet_world.open("plan")

    assert f"bad token {MASK}." == stopped.value.what
    assert token not in json.dumps(stopped.value.as_json()) + str(stopped.value)


@pytest.mark.parametrize("value", ["first line\nsecond line\n", "two  blanks", "a\ttab in it", "no\u00a0break in it"])
def test_value_whose_blanks_were_collapsed_is_masked(value):
    """A card shows one line: what a vendor echoed has lost its line breaks by then."""
    registry = Registry()
    registry.add(value, name="x")

    assert f"it was {MASK} again" == registry.redact(f"it was {' '.join(value.split())} again")
