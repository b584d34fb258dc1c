from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plane_cloud import Cloud

BASE = {"key": "API_URL", "value": "https://staging", "type": "plain", "target": ["preview"]}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.close()


def env_path(cloud: Cloud, version: int = 10) -> str:
    return f"/v{version}/projects/{cloud.facts['vercel']['project_id']}/env"


def create(cloud: Cloud, body: Any, *, upsert: bool = False, version: int = 10) -> Any:
    return cloud.vercel("POST", env_path(cloud, version) + ("?upsert=true" if upsert else ""), body)


def deploy(cloud: Cloud, body: dict[str, Any]) -> dict[str, Any]:
    """A deployment that has come to its end."""
    made = cloud.vercel("POST", "/v13/deployments", {"name": "pantheon-web", **body}).json()
    known = cloud.world.document["vercel"]["deployments"][made["id"]]
    cloud.until(lambda: known["readyState"] in {"READY", "ERROR"} and made["id"] not in _at_work(cloud))
    return cloud.vercel("GET", f"/v13/deployments/{made['id']}").json()


def _at_work(cloud: Cloud) -> Any:
    return cloud.applications["vercel"].state.vendor.work.tasks


def preview(cloud: Cloud, branch: str = "feature") -> dict[str, Any]:
    return deploy(cloud, {"gitSource": {"type": "github", "repoId": 1, "ref": branch}})


def test_upsert_of_the_same_target_replaces(cloud: Cloud) -> None:
    first = create(cloud, BASE, upsert=True).json()["created"]
    second = create(cloud, {**BASE, "value": "other"}, upsert=True).json()["created"]
    assert (first["id"], "other") == (second["id"], second["value"])


def test_upsert_of_another_target_list_is_a_conflict(cloud: Cloud) -> None:
    create(cloud, BASE, upsert=True)
    answer = create(cloud, {**BASE, "target": ["preview", "production"]}, upsert=True)
    assert (400, "ENV_CONFLICT") == (answer.status_code, answer.json()["error"]["code"])


def test_version_nine_does_not_upsert(cloud: Cloud) -> None:
    create(cloud, BASE)
    answer = create(cloud, BASE, upsert=True, version=9)
    assert (403, "ENV_ALREADY_EXISTS") == (answer.status_code, answer.json()["error"]["code"])


def test_one_key_may_have_one_object_per_target_and_branch(cloud: Cloud) -> None:
    bodies = (BASE, {**BASE, "target": ["production"]}, {**BASE, "gitBranch": "feature"})
    assert 3 == len({create(cloud, body, upsert=True).json()["created"]["id"] for body in bodies})


def test_created_answer_can_carry_failures(cloud: Cloud) -> None:
    create(cloud, BASE)
    answer = create(cloud, [BASE, {**BASE, "key": "OTHER"}, {**BASE, "key": "1BAD"}])
    codes = [failed["error"]["code"] for failed in answer.json()["failed"]]
    assert (201, ["OTHER"]) == (answer.status_code, [made["key"] for made in answer.json()["created"]])
    assert ["ENV_ALREADY_EXISTS", "KEY_INVALID_CHARACTERS"] == codes


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key": "VERCEL_URL"}, "RESERVED_ENV_VARIABLE"),
        ({"target": []}, "MISSING_TARGET"),
        ({"target": ["production"], "gitBranch": "main"}, "BAD_REQUEST"),
        ({"target": ["development"], "type": "sensitive"}, "BAD_REQUEST"),
        ({"value": "x" * 65537}, "VALUE_INVALID_LENGTH"),
        ({"type": "hidden"}, "bad_request"),
    ],
)
def test_wrong_variable_is_refused(cloud: Cloud, change: dict[str, Any], code: str) -> None:
    answer = create(cloud, {**BASE, **change})
    assert (400, code) == (answer.status_code, answer.json()["error"]["code"])


def test_sensitive_value_is_never_readable(cloud: Cloud) -> None:
    made = create(cloud, {**BASE, "type": "sensitive", "value": "hunter2"}).json()["created"]
    at = env_path(cloud)
    project = cloud.facts["vercel"]["project_id"]
    texts = (
        cloud.vercel("GET", f"{at}?decrypt=true").text,
        cloud.vercel("GET", f"/v1/projects/{project}/env/{made['id']}").text,
        cloud.vercel("GET", f"/v3/env/pull/{project}/preview").text,
        cloud.vercel("GET", f"/v9/projects/{project}").text,
    )
    assert [False] * 4 == ["hunter2" in text for text in texts]


def test_encrypted_value_is_readable_when_asked_for(cloud: Cloud) -> None:
    create(cloud, {**BASE, "type": "encrypted", "value": "hunter2"})
    sealed, opened = (cloud.vercel("GET", env_path(cloud) + query).text for query in ("", "?decrypt=true"))
    assert (False, True) == ("hunter2" in sealed, "hunter2" in opened)


def test_preview_is_built_with_preview_variables_and_protected(cloud: Cloud) -> None:
    create(cloud, BASE)
    create(cloud, {**BASE, "value": "https://only-feature", "gitBranch": "feature"})
    built = preview(cloud)
    variables = next(call[2] for call in cloud.platform.calls if call[0] == "build_page")
    alias = "pantheon-web-git-feature-pantheon.vercel.app"

    assert ("READY", [alias]) == (built["readyState"], built["alias"])
    assert ("https://only-feature", "preview") == (variables["API_URL"], variables["VERCEL_ENV"])
    assert "SESSION_COOKIE_SECRET" not in variables
    shown = (built["id"], (cloud.facts["vercel"]["bypass_secret"],))
    assert {built["url"]: shown, alias: shown} == cloud.platform.hosts


def test_branch_alias_goes_to_the_newest_preview(cloud: Cloud) -> None:
    old, new = preview(cloud), preview(cloud)
    alias = "pantheon-web-git-feature-pantheon.vercel.app"
    assert new["id"] == cloud.platform.hosts[alias][0]
    assert [] == cloud.vercel("GET", f"/v13/deployments/{old['id']}").json()["alias"]


def test_bypass_secret_opens_what_is_protected_already(cloud: Cloud) -> None:
    built = preview(cloud)
    path = f"/v1/projects/{cloud.facts['vercel']['project_id']}/protection-bypass"
    seeded = cloud.facts["vercel"]["bypass_secret"]
    both = tuple(cloud.vercel("PATCH", path, {}).json()["protectionBypass"])
    assert (2, (built["id"], both)) == (len(both), cloud.platform.hosts[built["url"]])
    for secret in both:
        cloud.vercel("PATCH", path, {"revoke": {"secret": secret, "regenerate": False}})
    assert (True, (built["id"], ())) == (seeded in both, cloud.platform.hosts[built["url"]])


def test_failed_build_is_an_error_and_has_no_host(cloud: Cloud) -> None:
    cloud.platform.refuse_builds = True
    built = preview(cloud)
    assert ("ERROR", {}) == (built["readyState"], cloud.platform.hosts)


def test_production_build_takes_the_domains_unless_told_not_to(cloud: Cloud) -> None:
    domain = cloud.facts["vercel"]["domain"]
    staged = deploy(cloud, {"target": "production", "autoAssignCustomDomains": False})
    before = cloud.platform.hosts.get(domain)
    live = deploy(cloud, {"target": "production"})
    assert ("STAGED", None) == (staged["readySubstate"], before)
    assert ("PROMOTED", (live["id"], None)) == (live["readySubstate"], cloud.platform.hosts[domain])


def test_promote_and_roll_back_without_a_build(cloud: Cloud) -> None:
    facts = cloud.facts["vercel"]
    at = f"projects/{facts['project_id']}"
    staged = deploy(cloud, {"target": "production", "autoAssignCustomDomains": False})
    builds = cloud.platform.names()
    memory = cloud.world.document["vercel"]["projects"][facts["project_id"]]
    promoted = cloud.vercel("POST", f"/v10/{at}/promote/{staged['id']}", {})
    serving_meanwhile = memory["productionDeploymentId"]
    too_early = cloud.vercel("POST", f"/v10/{at}/promote/{staged['id']}", {})
    cloud.until(lambda: memory["lastAliasRequest"]["jobStatus"] == "succeeded")
    serving = cloud.platform.hosts[facts["domain"]]
    rolled_back = cloud.vercel("POST", f"/v9/{at}/rollback/{facts['deployment_id']}", {})
    cloud.until(lambda: memory["lastAliasRequest"]["jobStatus"] == "succeeded")
    project = cloud.vercel("GET", f"/v9/{at}?rollbackInfo=true").json()

    assert (facts["deployment_id"], 409) == (serving_meanwhile, too_early.status_code)
    assert (201, (staged["id"], None)) == (promoted.status_code, serving)
    assert (201, (facts["deployment_id"], None)) == (rolled_back.status_code, cloud.platform.hosts[facts["domain"]])
    assert builds == cloud.platform.names()
    assert ("rollback", False) == (project["lastAliasRequest"]["type"], project["autoAssignCustomDomains"])


def test_preview_cannot_be_promoted_as_it_is(cloud: Cloud) -> None:
    at = f"/v10/projects/{cloud.facts['vercel']['project_id']}/promote"
    assert 400 == cloud.vercel("POST", f"{at}/{preview(cloud)['id']}", {}).status_code


def test_hobby_plan_rolls_back_one_step_only(cloud: Cloud) -> None:
    facts = cloud.facts["vercel"]
    cloud.world.document["vercel"]["teams"][facts["team_id"]]["plan"] = "hobby"
    for _ in range(2):
        deploy(cloud, {"target": "production"})
    at = f"/v1/projects/{facts['project_id']}/rollback/{facts['deployment_id']}"
    assert 402 == cloud.vercel("POST", at, {}).status_code


def test_project_is_found_in_the_teams_scope_only(cloud: Cloud) -> None:
    facts = cloud.facts["vercel"]
    url = f"https://api.vercel.com/v9/projects/{facts['project_name']}"
    scopes = ("", f"?teamId={facts['team_id']}", f"?slug={facts['team_slug']}", f"?teamId={facts['foreign_team_id']}")
    assert [404, 200, 200, 403] == [cloud.request("GET", url + scope).status_code for scope in scopes]


def test_version_in_the_path_is_optional(cloud: Cloud) -> None:
    path = f"/projects/{cloud.facts['vercel']['project_id']}/custom-environments"
    assert [200, 200, 200] == [cloud.vercel("GET", prefix + path).status_code for prefix in ("", "/v1", "/v9")]


def test_list_is_paged_by_until(cloud: Cloud) -> None:
    cloud.world.pinned_at = (cloud.world.pinned_at or 0) + 60
    new = preview(cloud)
    first = cloud.vercel("GET", "/v6/deployments?limit=1").json()
    second = cloud.vercel("GET", f"/v6/deployments?limit=5&until={first['pagination']['next']}").json()
    listed = [deployment["uid"] for page in (first, second) for deployment in page["deployments"]]
    assert ([new["id"]], None) == (listed[:1], second["pagination"]["next"])
    assert (3, True) == (len(listed), cloud.facts["vercel"]["deployment_id"] in listed)


def test_password_of_previews_is_never_shown(cloud: Cloud) -> None:
    at = f"/v9/projects/{cloud.facts['vercel']['project_id']}"
    protection = {"deploymentType": "preview", "password": "hunter2"}
    changed = cloud.vercel("PATCH", at, {"passwordProtection": protection})
    assert {"deploymentType": "preview"} == changed.json()["passwordProtection"]
    assert "hunter2" not in cloud.vercel("GET", at).text


def test_domain_is_of_the_branch_it_was_moved_to(cloud: Cloud) -> None:
    project, domain = cloud.facts["vercel"]["project_id"], cloud.facts["vercel"]["domain"]
    cloud.vercel("POST", f"/v10/projects/{project}/domains", {"name": "app.example.com"})
    cloud.vercel("PATCH", f"/v9/projects/{project}/domains/app.example.com", {"gitBranch": "staging"})
    listed = cloud.vercel("GET", f"/v9/projects/{project}/domains").json()["domains"]
    assert [("app.example.com", "staging", False), (domain, None, True)] == [
        (one["name"], one.get("gitBranch"), one["verified"]) for one in listed
    ]


def test_variable_of_the_team_is_listed_for_its_projects(cloud: Cloud) -> None:
    project = cloud.facts["vercel"]["project_id"]
    entry = {"key": "TEAM_WIDE", "value": "hunter2"}
    cloud.vercel("POST", "/v1/env", {"evs": [entry], "target": ["production"], "projectId": [project]})
    here, elsewhere = (cloud.vercel("GET", f"/v1/env?projectId={one}") for one in (project, "prj_other"))
    assert (["TEAM_WIDE"], []) == tuple([one["key"] for one in answer.json()["data"]] for answer in (here, elsewhere))
    assert "hunter2" not in here.text


def test_token_may_see_a_part_only(cloud: Cloud) -> None:
    """What its role is denied is a 403; production's variables that it may not see are counted."""
    account = cloud.world.document["vercel"]["tokens"][cloud.facts["vercel"]["token"]]
    account |= {"sees_production": False, "denied": ["GET /v3/teams/{teamId}/members"]}
    create(cloud, BASE)
    listed = cloud.vercel("GET", env_path(cloud)).json()
    assert (["API_URL"], len(cloud.facts["vercel"]["variables"])) == (
        [one["key"] for one in listed["envs"]],
        listed["hiddenProductionEnvCount"],
    )
    assert 403 == cloud.vercel("GET", f"/v3/teams/{cloud.facts['vercel']['team_id']}/members").status_code


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"type": "github", "repoId": 1}, "bad_request"),
        ({"type": "github", "ref": "feature"}, "bad_request"),
        ({"type": "github", "repoId": 2, "ref": "feature"}, "incorrect_git_source_info"),
    ],
)
def test_git_source_has_to_name_the_projects_repository(cloud: Cloud, source: dict[str, Any], code: str) -> None:
    answer = cloud.vercel("POST", "/v13/deployments", {"name": "pantheon-web", "gitSource": source})
    assert (400, code) == (answer.status_code, answer.json()["error"]["code"])


def test_branch_pushed_before_it_had_variables_failed(cloud: Cloud) -> None:
    """What shows the commit of the release branch on day one."""
    (listed,) = cloud.vercel("GET", "/v6/deployments?branch=staging").json()["deployments"]
    assert ("ERROR", cloud.facts["railway"]["commits"]["head"]) == (listed["state"], listed["meta"]["githubCommitSha"])
