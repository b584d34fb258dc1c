"""What the vendors' own clients were seen to send, replayed against the planes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from validate import specs_folder

if TYPE_CHECKING:
    from plane_cloud import Cloud

pytestmark = pytest.mark.contract

NOT_SERVED = {"sandboxes": "Railway's sandboxes are machines for agents: no runbook touches them"}


def recorded() -> list[dict[str, Any]]:
    path = specs_folder() / "recorded-client-requests.json"
    return json.loads(path.read_text()) if path.is_file() else []


def mapped(value: Any, ids: dict[str, str]) -> Any:
    """The recording's ids replaced: whole words of paths, whole strings of bodies."""
    if isinstance(value, dict):
        return {key: mapped(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [mapped(inner, ids) for inner in value]
    return ids.get(value, value) if isinstance(value, str) else value


def known_ids(cloud: Cloud) -> dict[str, str]:
    supabase, vercel = cloud.facts["supabase"], cloud.facts["vercel"]
    variables = cloud.world.document["vercel"]["projects"][vercel["project_id"]]["env"]
    return {
        "abcdefghijklmnopqrst": supabase["ref"],
        "orgslugxxxxxxxxxxxxx": supabase["organization_slug"],
        "o": supabase["organization_slug"],
        "team_1": vercel["team_id"],
        "prj_1": vercel["project_id"],
        "dpl_1": vercel["deployment_id"],
        "e1": next(iter(variables)),
        "p1": cloud.facts["railway"]["project_id"],
    }


def url_of(request: dict[str, Any], cloud: Cloud) -> str:
    ids = known_ids(cloud)
    path = "".join(ids.get(word, word) for word in re.split(r"([/?=&])", request["path"]))
    if path.startswith("/storage/"):
        return f"{cloud.facts['supabase']['url']}{path}"
    if path == "/graphql/v2":
        return f"https://backboard.railway.com{path}"
    return f"https://{'api.supabase.com' if 'supabase' in request['client'] else 'api.vercel.com'}{path}"


def expected_status(request: dict[str, Any]) -> int:
    """What is right for this request in a world that has one production and nothing else."""
    method, path = request["method"], request["path"]
    if "projects/prj_1" in path or "projectId=prj_1" in path:
        if "teamId=" not in path:
            return 200 if "projectId=" in path else 404  # a team's project is not in the personal account
        if "rollback/" in path:
            return 400  # the only deployment is the live one: there is nothing to go back to
        if "promote/" in path:
            return 409  # it is live already
    creates = method == "POST" and path.startswith(("/v1/", "/v10/"))
    return 201 if creates else 200


@pytest.mark.parametrize("index", range(len(recorded())))
def test_recorded_request_is_answered(cloud: Cloud, problems: list[str], index: int) -> None:
    request = recorded()[index]
    query = (request["body"] or {}).get("query", "") if isinstance(request["body"], dict) else ""
    if reason := next((why for name, why in NOT_SERVED.items() if f"{name}(" in query), None):
        pytest.skip(reason)
    if request["path"].startswith("/storage/v1/bucket/"):
        cloud.storage("POST", "/storage/v1/bucket", {"name": "b"})
    headers = {name: value for name, value in request["headers"].items() if name in {"user-agent", "x-client-info"}}
    if "apikey" in request["headers"]:
        headers["apikey"] = cloud.facts["supabase"]["service_role_key"]
    body = mapped(request["body"], known_ids(cloud))
    answer = cloud.request(request["method"], url_of(request, cloud), body=body, headers=headers)
    assert expected_status(request) == answer.status_code, answer.text
    assert "errors" not in answer.text or not query, answer.text
    assert [] == problems
