"""OpenRouter has no official description in the folder: its own SDK's models stand in for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plane_cloud import Cloud

pytestmark = pytest.mark.contract


def test_answers_are_what_the_sdk_reads(cloud: Cloud, problems: list[str]) -> None:
    body = {"name": "staging", "limit": 5.0, "limit_reset": "monthly"}
    made = cloud.openrouter("POST", "/keys", body).json()["data"]
    at = f"/keys/{made['hash']}"
    steps = (
        ("GET", "/keys?offset=0", None, 200),
        ("GET", "/keys?include_disabled=true", None, 200),
        ("GET", at, None, 200),
        ("PATCH", at, {"limit": 2.5, "limit_reset": None, "disabled": True}, 200),
        ("DELETE", at, None, 200),
        ("DELETE", at, None, 404),
        ("POST", "/keys", {"limit": 5.0}, 400),
    )
    for method, path, sent, status in steps:
        assert status == cloud.openrouter(method, path, sent).status_code, (method, path)
    assert 401 == cloud.openrouter("GET", "/keys", token="unknown").status_code
    assert [] == problems
