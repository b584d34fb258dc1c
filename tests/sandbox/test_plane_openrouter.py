from __future__ import annotations

from collections.abc import Iterator

import pytest
from plane_cloud import Cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


def test_value_is_shown_once(cloud: Cloud) -> None:
    made = cloud.openrouter("POST", "/keys", {"name": "staging", "limit": 5, "limit_reset": "monthly"})
    key, known = made.json()["key"], made.json()["data"]
    again = cloud.openrouter("GET", f"/keys/{known['hash']}")
    assert (201, known) == (made.status_code, again.json()["data"])
    assert (5, 5, "monthly") == (known["limit"], known["limit_remaining"], known["limit_reset"])
    assert key not in cloud.openrouter("GET", "/keys").text + again.text + cloud.world.dumps()
    assert f"{key[:12]}...{key[-3:]}" == known["label"]


def test_names_are_not_unique(cloud: Cloud) -> None:
    for _ in range(2):
        cloud.openrouter("POST", "/keys", {"name": "staging"})
    names = [key["name"] for key in cloud.openrouter("GET", "/keys").json()["data"]]
    assert ["pantheon-production", "staging", "staging"] == sorted(names)


def test_keys_come_a_hundred_at_a_time(cloud: Cloud) -> None:
    for number in range(100):
        cloud.openrouter("POST", "/keys", {"name": f"key-{number}"})
    pages = [cloud.openrouter("GET", f"/keys?offset={offset}").json()["data"] for offset in (0, 100, 200)]
    assert [100, 1, 0] == [len(page) for page in pages]
    assert 101 == len({key["hash"] for page in pages for key in page})


def test_key_is_changed_and_deleted(cloud: Cloud) -> None:
    at = f"/keys/{cloud.openrouter('POST', '/keys', {'name': 'staging'}).json()['data']['hash']}"
    changed = cloud.openrouter("PATCH", at, {"limit": 2.5, "disabled": True}).json()["data"]
    listed = [key["name"] for key in cloud.openrouter("GET", "/keys").json()["data"]]
    with_disabled = cloud.openrouter("GET", "/keys?include_disabled=true").json()["data"]
    deleted = cloud.openrouter("DELETE", at)
    assert (2.5, True) == (changed["limit"], changed["disabled"])
    assert (["pantheon-production"], 2) == (listed, len(with_disabled))
    assert ({"deleted": True}, 404) == (deleted.json(), cloud.openrouter("GET", at).status_code)


def test_ordinary_key_manages_nothing(cloud: Cloud) -> None:
    key = cloud.facts["openrouter"]["key"]
    itself = cloud.openrouter("GET", "/key", token=key).json()["data"]
    assert [401, 401, 401] == [cloud.openrouter("GET", "/keys", token=token).status_code for token in (key, "no", "-")]
    assert (False, None) == (itself["is_management_key"], itself["limit"])


@pytest.mark.parametrize(
    "wrong", [{}, {"name": ""}, {"name": "a", "limit": -1}, {"name": "a", "limit_reset": "hourly"}]
)
def test_wrong_body_is_refused(cloud: Cloud, wrong: dict[str, object]) -> None:
    answer = cloud.openrouter("POST", "/keys", wrong)
    assert (400, 400) == (answer.status_code, answer.json()["error"]["code"])
