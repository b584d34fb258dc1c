from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plane_cloud import Cloud

pytestmark = pytest.mark.contract

PREVIEW = {"key": "NEXT_PUBLIC_API_URL", "value": "https://staging", "type": "plain", "target": ["preview"]}


def test_answers_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    facts = cloud.facts["vercel"]
    project = f"/v9/projects/{facts['project_id']}"
    created = cloud.vercel("POST", f"/v10/projects/{facts['project_name']}/env?upsert=true", PREVIEW).json()["created"]
    steps = (
        ("GET", "/v2/user", None, 200),
        ("GET", "/v2/teams", None, 200),
        ("GET", f"/v2/teams/{facts['team_id']}", None, 200),
        ("GET", "/v10/projects", None, 200),
        ("GET", project, None, 200),
        ("GET", f"/v10/projects/{facts['project_id']}/env?decrypt=true", None, 200),
        ("GET", f"/v1/projects/{facts['project_id']}/env/{created['id']}", None, 200),
        ("PATCH", f"{project}/env/{created['id']}", {"value": "other", "comment": "by the runbook"}, 200),
        ("DELETE", f"{project}/env/{created['id']}", None, 200),
        ("DELETE", f"/v1/projects/{facts['project_id']}/env", {"ids": ["gone"]}, 200),
        ("POST", f"{project}/custom-environments", {"slug": "staging"}, 201),
        ("POST", f"{project}/custom-environments", {"slug": "another"}, 402),
        ("GET", f"{project}/custom-environments", None, 200),
        ("GET", f"{project}/custom-environments/staging", None, 200),
        ("PATCH", f"{project}/custom-environments/staging", {"description": "for tests"}, 200),
        ("DELETE", f"{project}/custom-environments/staging", {}, 200),
        ("PATCH", f"/v1/projects/{facts['project_id']}/protection-bypass", {"generate": {"secret": "a" * 32}}, 200),
        ("GET", f"/v1/projects/{facts['project_id']}/promote/aliases", None, 200),
        ("PATCH", project, {"autoAssignCustomDomains": False}, 200),
    )
    for method, path, body, status in steps:
        assert status == cloud.vercel(method, path, body).status_code, (method, path)
    assert [] == problems


def test_settings_of_a_project_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    """With everything that an inventory looks at: domains, protection, commands, the team and what it shares."""
    facts = cloud.facts["vercel"]
    project = f"/v9/projects/{facts['project_id']}"
    protection = {"passwordProtection": {"deploymentType": "preview", "password": "of previews"}, "ssoProtection": None}
    trusted = {"deploymentType": "production", "protectionMode": "additional", "addresses": [{"value": "192.0.2.1"}]}
    commands = {
        "buildCommand": "next build",
        "rootDirectory": "web",
        "skewProtectionMaxAge": 3600,
        "nodeVersion": "20.x",
    }
    shared = {"evs": [{"key": "TEAM_WIDE", "value": "x"}], "target": ["preview"], "projectId": [facts["project_id"]]}
    steps = (
        ("PATCH", project, {**protection, **commands, "trustedIps": trusted, "gitForkProtection": False}, 200),
        ("GET", project, None, 200),
        ("POST", f"/v10/projects/{facts['project_id']}/domains", {"name": "staging.example.com"}, 200),
        ("POST", f"/v10/projects/{facts['project_id']}/domains", {"name": "staging.example.com"}, 409),
        ("PATCH", f"{project}/domains/staging.example.com", {"gitBranch": "staging"}, 200),
        ("GET", f"{project}/domains?limit=100", None, 200),
        ("DELETE", f"{project}/domains/staging.example.com", None, 200),
        ("DELETE", f"{project}/domains/staging.example.com", None, 404),
        ("GET", f"/v2/teams/{facts['team_id']}", None, 200),
        ("GET", f"/v3/teams/{facts['team_id']}/members?limit=100", None, 200),
        ("POST", "/v1/env", shared, 201),
        ("GET", f"/v1/env?projectId={facts['project_id']}", None, 200),
    )
    for method, path, body, status in steps:
        assert status == cloud.vercel(method, path, body).status_code, (method, path)
    assert [] == problems


def moved(cloud: Cloud) -> None:
    """Until the domains are where the last promotion or rollback wants them."""
    project = cloud.world.document["vercel"]["projects"][cloud.facts["vercel"]["project_id"]]
    cloud.until(lambda: project["lastAliasRequest"]["jobStatus"] == "succeeded")


def test_release_answers_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    facts = cloud.facts["vercel"]
    project_id = facts["project_id"]
    cloud.vercel("PATCH", f"/v9/projects/{project_id}", {"autoAssignCustomDomains": False})
    staged = cloud.vercel(
        "POST",
        "/v13/deployments",
        {"name": "pantheon-web", "target": "production", "deploymentId": facts["deployment_id"]},
    ).json()
    cloud.until(lambda: cloud.world.document["vercel"]["deployments"][staged["id"]]["readyState"] == "READY")
    steps = (
        ("GET", f"/v13/deployments/{staged['id']}", None, 200),
        ("GET", f"/v13/deployments/{staged['url']}", None, 200),
        ("GET", f"/v6/deployments?projectId={project_id}&limit=1&state=READY", None, 200),
        ("GET", f"/v7/deployments?projectId={project_id}", None, 200),
        ("POST", f"/v10/projects/{project_id}/promote/{staged['id']}", {}, 201),
        ("POST", f"/v10/projects/{project_id}/promote/{staged['id']}", {}, 409),
        ("GET", f"/v1/projects/{project_id}/promote/aliases?limit=10", None, 200),
        ("POST", f"/v1/projects/{project_id}/rollback/{facts['deployment_id']}", {}, 201),
        ("GET", f"/v9/projects/{project_id}?rollbackInfo=true", None, 200),
    )
    for method, path, body, status in steps:
        if "rollback/" in path:
            moved(cloud)
        assert status == cloud.vercel(method, path, body).status_code, (method, path)
    moved(cloud)
    assert 200 == cloud.vercel("GET", f"/v9/projects/{project_id}?rollbackInfo=true").status_code
    # A promotion's body is described by nobody; every client sends {}.
    assert [] == problems


def test_refusals_are_as_described(cloud: Cloud, problems: list[str]) -> None:
    facts = cloud.facts["vercel"]
    env = f"/v10/projects/{facts['project_id']}/env"
    refused = (
        (401, cloud.vercel("GET", "/v2/user", token="-")),
        (403, cloud.vercel("GET", "/v2/user", token="unknown")),
        (403, cloud.vercel("GET", f"{env}?teamId={facts['foreign_team_id']}")),
        (404, cloud.request("GET", f"https://api.vercel.com{env}")),
        (400, cloud.vercel("POST", env, {"key": "A", "value": "b", "type": "plain"})),
        (403, cloud.vercel("POST", env, {**PREVIEW, "target": ["production"]})),
        (404, cloud.vercel("DELETE", f"/v9/projects/{facts['project_id']}/env/gone")),
    )
    assert [status for status, _ in refused] == [answer.status_code for _, answer in refused]
    assert [] == problems


def test_sdk_reads_variables(cloud: Cloud) -> None:
    """@vercel/sdk 1.28.35 demands more than the older description says."""
    facts = cloud.facts["vercel"]
    answer = cloud.vercel("GET", f"/v10/projects/{facts['project_id']}/env").json()
    assert {"envs", "hiddenProductionEnvCount"} == set(answer)
    assert all([] == entry["securityIssues"] for entry in answer["envs"])
