"""Every request that RB-010 sends, and every answer it gets, against the vendors' official descriptions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

from validate import check_exchange, specs_folder

from pantheon_runbook.providers.http import Reach
from pantheon_runbook.session import ACTS

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(not specs_folder().is_dir(), reason=f"no official descriptions in {specs_folder()}"),
]


class Recording(httpx.BaseTransport):
    """Passes everything on, and keeps (method, url, body, status, answer)."""

    def __init__(self, inner: httpx.BaseTransport, exchanges: list[tuple[Any, ...]]) -> None:
        self._inner = inner
        self._exchanges = exchanges

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, sent = str(request.url), request.read()
        response = self._inner.handle_request(request)
        answered = response.read()
        self._exchanges.append((request.method, url, _json(sent), response.status_code, _json(answered)))
        return response

    def close(self) -> None:
        self._inner.close()


def _json(raw: bytes) -> Any:
    return json.loads(raw) if raw else None


@pytest.fixture
def exchanges(monkeypatch) -> list[tuple[Any, ...]]:
    kept: list[tuple[Any, ...]] = []
    transport = Reach.transport
    monkeypatch.setattr(Reach, "transport", lambda reach: Recording(transport(reach), kept))
    return kept


def test_every_exchange_is_as_described(world, exchanges):
    """A plan run, an apply, and one that finds a service gone and a setting changed."""
    for mode in ("plan", "apply", "apply"):
        run = world.open(mode)
        for act in ACTS[:2] if mode == "plan" else ACTS:
            run.session.perform(act)
        world.seal(run)

    assert 15 == len(world.mutating())
    assert len(exchanges) == len(world.running.log())
    problems = {problem for exchange in exchanges for problem in check_exchange(*exchange)}
    assert set() == problems
