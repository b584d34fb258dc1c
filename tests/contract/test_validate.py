"""The oracle itself: it finds what is wrong, so that its silence means something."""

from __future__ import annotations

from typing import Any

import pytest
from validate import check_exchange

pytestmark = pytest.mark.contract

PROJECT = {
    "id": "a" * 20, "ref": "a" * 20, "organization_id": "o", "organization_slug": "o", "name": "p",
    "region": "eu-west-1", "created_at": "2026-11-23", "status": "COMING_UP",
}  # fmt: skip
CREATE = {"name": "p", "organization_slug": "o", "db_pass": "x"}
URL = "https://api.supabase.com/v1/projects"
KEYS = "https://openrouter.ai/api/v1/keys"
RAILWAY = "https://backboard.railway.com/graphql/v2"


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (("POST", URL, CREATE, 201, PROJECT), None),
        (("POST", f"{URL}/x/frobnicate", {}, 200, {}), "not in the official description"),
        (("POST", URL, {**CREATE, "colour": "red"}, 201, PROJECT), "colour"),
        (("POST", URL, {"name": "p", "db_pass": "x"}, 201, PROJECT), "organization_slug"),
        (("POST", URL, CREATE, 200, PROJECT), "this status is not described"),
        (("POST", URL, CREATE, 201, {**PROJECT, "status": "READY"}), "READY"),
        (("GET", f"{URL}/{'a' * 20}/health", None, 200, []), "services: is required"),
        (("GET", URL, None, 401, {"error": "no"}), "no message"),
        (("GET", "https://api.vercel.com/v10/projects/p/env", None, 200, {"envs": [{"key": "A"}]}), "answer"),
        (("POST", RAILWAY, {"query": "{ me { id shoeSize } }"}, 200, {"data": {}}), "shoeSize"),
        (("POST", RAILWAY, {"query": "{ me { id } }"}, 200, {"data": {"me": {"id": None}}}), "non-nullable"),
        (("POST", RAILWAY, {"query": "{ me { id } }"}, 200, {"data": {"me": {"id": "1", "x": 1}}}), "other fields"),
        (("GET", KEYS, None, 200, {"data": []}), None),
        (("GET", f"{KEYS}?colour=red", None, 200, {"data": []}), "query colour: is not known"),
        (("GET", KEYS, None, 200, {"data": [{"name": "a"}]}), "answer data.0.workspace_id: Field required"),
        (("POST", KEYS, {"limit": 5}, 201, {}), "request name: Field required"),
        (("POST", KEYS, {"name": "a", "budget": 5}, 201, {}), "request budget: is not known"),
        (("DELETE", f"{KEYS}/{'0' * 64}", None, 204, {"deleted": True}), "the SDK expects 200"),
        (("GET", KEYS, None, 401, {"error": {"code": 401}}), "no error.message"),
        (("PUT", KEYS, {}, 200, {}), "the vendor's SDK does not know it"),
    ],
)
def test_finds_what_is_wrong(exchange: tuple[Any, ...], said: str | None) -> None:
    found = check_exchange(*exchange)
    assert ([] == found) if said is None else any(said in problem for problem in found), found
