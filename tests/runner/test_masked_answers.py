"""What leaves the runner for a notebook: masked, since nobody of ours may see the notebook saved, and only text."""

from __future__ import annotations

import pytest

from pantheon_runbook.errors import RefusedError
from pantheon_runbook.runner.card import Card
from pantheon_runbook.runner.serve import Host
from pantheon_runbook.secrets import MASK

pytestmark = [pytest.mark.xdist_group("runner-quiet"), pytest.mark.usefixtures("quiet_world")]
OPEN = {"act": "open", "runbook": "RB-010", "parameters": {}}


@pytest.fixture
def host(quiet_world):
    """A run that was opened by somebody who gave his token for his name."""
    run = quiet_world.open("plan")
    yield Host(lambda _runbook, _parameters: run)
    quiet_world.seal(run)


@pytest.fixture
def token(quiet_world, monkeypatch) -> str:
    token = str(quiet_world.facts["tokens"]["VERCEL_TOKEN"])
    monkeypatch.setenv("PANTHEON_OPERATOR", token)
    return token


def test_secret_in_a_card_is_masked(token, host):
    card = host.answer(OPEN)["card"]

    assert [False, False] == [token in text for text in card.values()]
    assert [True, True] == [MASK in text for text in card.values()]


def test_secret_in_a_refusal_is_masked(token, host, monkeypatch):
    host.answer(OPEN)

    def refuse(_act: str) -> None:
        raise RefusedError(f"{token} was refused", why=f"it is {token}", next_step="give another name")

    monkeypatch.setattr(host.run.session, "perform", refuse)

    told = host.answer({"act": "observe"})["error"]

    assert f"Stopped: {MASK} was refused." == told["lines"][0]
    assert token not in str(told)


def test_hostile_words_stay_words_in_a_card():
    """What a vendor or an operator wrote is not run in the notebook."""
    words = "<img src=x onerror=alert(1)>"

    page = Card(words, words, rows=((words, words, words, words),), lines=(words,), next_step=words).html()

    assert 0 == page.count("<img")
    assert 8 == page.count("&lt;img")
