"""Each layer in front of production stops a write with the others switched off; and it is that layer that does.

Every case is tried twice on one world: with only its own layer on, and with that one off too. Then the write arrives,
so what stopped it the first time was no accident. The sandbox's log is the witness.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reliability"))

from attempts import attempt, config_with

from pantheon_runbook import session
from pantheon_runbook.errors import ParameterError, RefusedError, RunbookError, WrongEnvironmentError
from pantheon_runbook.providers import enumerated, http, supabase
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.reading import OnlyReads
from pantheon_runbook.runner import wiring
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.secrets import Secret

Patch = pytest.MonkeyPatch
pytestmark = pytest.mark.xdist_group("layers")


def _gate_checks(patch: Patch, **changed: Any) -> None:
    """The gate as it is, but for these fields."""
    check = WriteGate.check
    patch.setattr(WriteGate, "check", lambda gate, *about: check(replace(gate, **changed), *about))


OFF: dict[str, Callable[[Patch], None]] = {
    "write gate": lambda patch: _gate_checks(patch, is_open=True, before=lambda _event: None),
    "gate's forbidden list": lambda patch: _gate_checks(patch, forbidden={}),
    "gate's accepted places": lambda patch: patch.setattr(WriteGate, "require_accepted", lambda *_: None),
    "enumerated reads": lambda patch: patch.setattr(enumerated, "objection", lambda _sent: ""),
    "enumerated transport": lambda patch: patch.setattr(
        OnlyReads, "handle_request", lambda way, request: way._inner.handle_request(request)
    ),
    "allow-listed hosts": lambda patch: patch.setattr(http, "ALLOWED_HOSTS", re.compile(".*")),
    "observed identities": lambda patch: patch.setattr(session.Session, "_refuse_production", lambda *_: None),
    "production by its name": lambda patch: patch.setattr(wiring, "_refuse_environment", lambda *_: None),
    "blocking findings": lambda patch: patch.setattr(session, "refuse_findings", lambda _plan: None),
}


def _by_a_run(world: Any, use: Callable[[Client, str], Any]) -> None:
    """What a client of a run is made to do to production's project, outside all acts."""
    run = world.open("plan")
    try:
        use(run.session.kinds["supabase/auth"]._client, f"/v1/projects/{world.facts['supabase']['ref']}")
    finally:
        world.seal(run)


NAME = {"name": "changed"}


def write_by_a_run(world: Any, _patch: Patch) -> None:
    _by_a_run(world, lambda client, path: client.write("PATCH", path, operation="change", body=NAME))


def read_that_writes(world: Any, _patch: Patch) -> None:
    _by_a_run(world, lambda client, path: client.read("PATCH", path, operation="look", body=NAME))


def write_to_another_host(world: Any, _patch: Patch) -> None:
    """The sandbox answers for the vendor's name under .localhost too; outside it would be somebody else's host."""
    host = "https://api.supabase.com.localhost"
    _by_a_run(world, lambda client, path: client.write("PATCH", host + path, operation="change", body=NAME))


def raw_request_of_a_reading_client(world: Any, _patch: Patch) -> None:
    facts = world.facts["supabase"]
    reach = Reach(str(world.running.socket))
    with closing(reading_client("supabase", supabase.BASE_URL, Secret(facts["token"]), reach=reach)) as client:
        client._http.request("PATCH", f"/v1/projects/{facts['ref']}", json=NAME).raise_for_status()


def staging_that_is_productions_project(world: Any, patch: Patch) -> None:
    """A typing error: the ref of the other project in pantheon.toml."""
    ours, ref = 'supabase = { name = "pantheon-staging"', world.facts["supabase"]["ref"]
    patch.setenv("PANTHEON_CONFIG", str(config_with(world, (ours, f'supabase = {{ ref = "{ref}"'))))
    _raise(attempt(world).error)


def run_for_production(world: Any, _patch: Patch) -> None:
    """-e production."""
    _raise(attempt(world, environment="production").error)


def _raise(error: RunbookError | None) -> None:
    if error is not None:
        raise error


# The layer, what reaches for production, and how the layer says no.
CASES: dict[str, tuple[Callable[[Any, Patch], None], type[RunbookError], str]] = {
    "write gate": (write_by_a_run, RefusedError, "outside the apply act"),
    "gate's forbidden list": (write_by_a_run, RefusedError, "names production's Supabase project"),
    "gate's accepted places": (write_by_a_run, RefusedError, "observed and accepted as its own environment"),
    "enumerated reads": (read_that_writes, RefusedError, "about to be sent as a read"),
    "enumerated transport": (raw_request_of_a_reading_client, RefusedError, "about to be sent as a read"),
    "allow-listed hosts": (write_to_another_host, RefusedError, "not on the allow-list"),
    "observed identities": (
        staging_that_is_productions_project,
        WrongEnvironmentError,
        "production by its supabase_ref",
    ),
    "production by its name": (run_for_production, ParameterError, "asked to work on production"),
}
# Two halves of one layer: the transport asks the list, and nobody else does.
NEEDS = {"enumerated transport": {"enumerated reads"}, "enumerated reads": {"enumerated transport"}}


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    """The table, shown when the last of them has been tried."""
    rows: list[str] = []
    yield rows
    print(f"\n{'layer':24} {'alone: writes':>13} {'off too: at production':>23}  what was tried")
    print("\n".join(rows))


@pytest.mark.parametrize("layer", CASES)
def test_layer_alone_stops_a_write(world: Any, rows: list[str], layer: str) -> None:
    reach_for_production, error, words = CASES[layer]

    with Patch.context() as patch:
        for name in OFF.keys() - {layer} - NEEDS.get(layer, set()):
            OFF[name](patch)
        with pytest.raises(error, match=words):
            reach_for_production(world, patch)
    alone = world.mutating()

    with Patch.context() as patch:
        for switch_off in OFF.values():
            switch_off(patch)
        with suppress(Exception):  # how far it comes, and what it breaks on there, is not what is asked
            reach_for_production(world, patch)
    arrived = [one for one in world.running.mutating() if one["environment"] == "production"]

    rows.append(f"{layer:24} {len(alone):13} {len(arrived):23}  {reach_for_production.__name__.replace('_', ' ')}")
    assert [] == alone
    assert [True] == [one["status"] < 300 for one in arrived[:1]]  # which of several comes first is chance
