"""What becomes of a request that is in hand when another deployment takes over: Railway kills at once, unless told."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from migrating_world import until
from psycopg import sql

from pantheon_runbook.sandbox import customer

_SET = """mutation S($s: String!, $e: String!, $i: ServiceInstanceUpdateInput!) {
  serviceInstanceUpdate(serviceId: $s, environmentId: $e, input: $i) }"""
_DEPLOY = "mutation D($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
_STATUS = "query S($id: String!) { deployment(id: $id) { status } }"


class _Posting(threading.Thread):
    """One message to production, as a browser sends it."""

    def __init__(self, world: Any, session: str) -> None:
        super().__init__()
        self._transport = httpx.HTTPTransport(uds=str(world.running.socket))
        self._url = f"http://{world.facts['railway']['api_domain']}/sessions/{session}/messages"
        self.status = 0

    def run(self) -> None:
        with httpx.Client(transport=self._transport, timeout=60) as client:
            self.status = client.post(self._url, json={"content": "in hand"}).status_code


@pytest.mark.alike
@pytest.mark.parametrize(("seconds", "status"), [(None, 502), (10, 201)])
def test_request_in_hand_at_the_switch_over(world: Any, hands: Any, seconds: int | None, status: int) -> None:
    railway = world.facts["railway"]
    place = {"s": railway["services"]["api"], "e": railway["environment_id"]}
    hands.railway(_SET, **place, i={"drainingSeconds": seconds, "overlapSeconds": None})
    _deployed(hands, place)  # a deployment is ended as was asked for when it was made
    with customer._production(world.running) as owner:
        made = owner.execute("insert into public.sessions (title) values ('long') returning id::text").fetchone()
        posting = _Posting(world, made[0])
        with owner.transaction():
            owner.execute(sql.SQL("lock table public.messages"))
            posting.start()
            waits = "select 1 from pg_locks where not granted"
            until(lambda: owner.execute(waits).fetchone())
            _deployed(hands, place)
        posting.join()
    assert status == posting.status


@pytest.mark.alike
@pytest.mark.parametrize(("seconds", "statuses"), [(None, ["REMOVED"]), (2, ["SUCCESS", "REMOVED"])])
def test_replaced_one_stays_active_as_long_as_it_was_asked_to(
    world: Any, hands: Any, seconds: int | None, statuses: list[str]
) -> None:
    railway = world.facts["railway"]
    place = {"s": railway["services"]["api"], "e": railway["environment_id"]}
    hands.railway(_SET, **place, i={"overlapSeconds": seconds})
    former = _deployed(hands, place)
    new = _deployed(hands, place)
    seen = []

    def has_left() -> bool:
        seen.append(hands.railway(_STATUS, id=former)["deployment"]["status"])
        return seen[-1] == "REMOVED"

    until(has_left)
    assert statuses == [one for one in dict.fromkeys(seen) if one != "REMOVING"]
    assert hands.railway(_STATUS, id=new)["deployment"]["status"] == "SUCCESS"


def _deployed(hands: Any, place: Any) -> str:
    """The id of a new one, which serves."""
    made = hands.railway(_DEPLOY, **place)["serviceInstanceDeployV2"]
    until(lambda: hands.railway(_STATUS, id=made)["deployment"]["status"] == "SUCCESS")
    return str(made)
