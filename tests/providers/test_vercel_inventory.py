"""What can be read about a target of a Vercel project, what somebody's hands change of it, and what stays unsaid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from vercel_scene import DENIED, HOOK, TARGETS, Scene, differences, fingerprint, give_tokens

from pantheon_runbook.errors import VendorRefusedError, VendorUnavailableError
from pantheon_runbook.model import Exposure, Resource
from pantheon_runbook.providers.vercel_exposure import exposure
from pantheon_runbook.providers.vercel_inventory import inventory

pytestmark = pytest.mark.xdist_group("vercel-inventory")
PREVIEW = "variable/NEXT_PUBLIC_"
NEW_URL = "https://elsewhere.example/by-hand"
COMMAND_TOKEN = "deploy-4f9d1c77b2e84a60"


def _new_variable(**given: Any) -> Callable[[Scene], Any]:
    return lambda scene: scene.hands.new_vercel_variable(value="made by hand, long enough", **given)


def _remove(key: str) -> Callable[[Scene], Any]:
    def removed(scene: Scene) -> None:
        (one,) = [one for one in scene.hands.preview() if one["key"] == key]
        scene.on_project("DELETE", f"/env/{one['id']}")

    return removed


def _in_both(address: str, *attributes: str) -> set[tuple[str, str, str]]:
    return {(target, address, attribute) for target in TARGETS for attribute in attributes}


def _of(target: str, address: str, *attributes: str) -> set[tuple[str, str, str]]:
    return {(target, address, attribute) for attribute in attributes}


# Done in this order to one world, each compared with what was seen just before.
DRIFT: dict[str, tuple[Callable[[Scene], Any], set[tuple[str, str, str]]]] = {
    "a sensitive value replaced, its comment left": (
        lambda scene: scene.variable("NEXT_PUBLIC_SUPABASE_ANON_KEY", "preview", value="another, long enough"),
        _of("preview", f"{PREVIEW}SUPABASE_ANON_KEY", "updated_at"),
    ),
    "a readable value replaced": (
        lambda scene: scene.variable("NEXT_PUBLIC_API_URL", "preview", value=NEW_URL),
        _of("preview", f"{PREVIEW}API_URL", "updated_at", "value"),
    ),
    "a comment of ours replaced": (
        lambda scene: scene.variable("NEXT_PUBLIC_API_URL", "preview", comment="ask me first"),
        _of("preview", f"{PREVIEW}API_URL", "updated_at", "noted"),
    ),
    "a value sealed": (
        lambda scene: scene.variable("NEXT_PUBLIC_SUPABASE_URL", "preview", type="encrypted"),
        _of("preview", f"{PREVIEW}SUPABASE_URL", "updated_at", "type"),
    ),
    "a sealed value replaced": (
        lambda scene: scene.variable("NEXT_PUBLIC_SUPABASE_URL", "preview", value=NEW_URL),
        _of("preview", f"{PREVIEW}SUPABASE_URL", "updated_at", "value"),
    ),
    "a variable added to previews": (
        _new_variable(key="FEATURE_FLAGS", target=["preview"]),
        _of("preview", "variable/FEATURE_FLAGS", "added"),
    ),
    "a variable added to one branch's previews": (
        _new_variable(key="FEATURE_FLAGS", target=["preview"], gitBranch="feature/x"),
        _of("preview", "variable/FEATURE_FLAGS@feature/x", "added"),
    ),
    "a variable of previews given to development too": (
        lambda scene: scene.variable("NEXT_PUBLIC_API_URL", "preview", target=["preview", "development"]),
        _of("preview", f"{PREVIEW}API_URL", "updated_at", "targets"),
    ),
    "a variable removed from previews": (
        _remove("NEXT_PUBLIC_SUPABASE_URL"),
        _of("preview", f"{PREVIEW}SUPABASE_URL", "removed"),
    ),
    "a value of production replaced": (
        lambda scene: scene.variable("NEXT_PUBLIC_API_URL", "production", value=NEW_URL),
        _of("production", f"{PREVIEW}API_URL", "updated_at"),
    ),
    "a sensitive value of production replaced": (
        lambda scene: scene.variable("SESSION_COOKIE_SECRET", "production", value="another, long enough"),
        _of("production", "variable/SESSION_COOKIE_SECRET", "updated_at"),
    ),
    "a variable of production given to previews too": (
        lambda scene: scene.variable("NEXT_PUBLIC_ENVIRONMENT", "production", target=["production", "preview"]),
        _of("production", f"{PREVIEW}ENVIRONMENT", "updated_at", "targets")
        | _of("preview", f"{PREVIEW}ENVIRONMENT", "added"),
    ),
    "a variable for development only": (_new_variable(key="LOCAL", target=["development"]), set()),
    "a variable of the team linked to previews": (
        lambda scene: scene.share("TEAM_WIDE", "preview"),
        _of("preview", "team-variable/TEAM_WIDE", "added"),
    ),
    "domains no longer assigned by themselves": (
        lambda scene: scene.project(autoAssignCustomDomains=False),
        _in_both("project", "auto_assign_domains"),
    ),
    "previews made public": (
        lambda scene: scene.project(ssoProtection=None),
        _in_both("project", "sso_protection"),
    ),
    "a password put before previews": (
        lambda scene: scene.project(passwordProtection={"deploymentType": "preview", "password": "of previews, 9"}),
        _in_both("project", "password_protection"),
    ),
    "a build command given": (
        lambda scene: scene.project(buildCommand="alembic upgrade head && next build"),
        _in_both("project", "build_command"),
    ),
    "a token written into the build command": (
        lambda scene: scene.project(buildCommand=f"fetch-fonts --as {COMMAND_TOKEN} && next build"),
        _in_both("project", "build_command"),
    ),
    "another version of Node": (lambda scene: scene.project(nodeVersion="20.x"), _in_both("project", "node_version")),
    "a bypass secret made": (
        lambda scene: scene.on_project("PATCH", "/protection-bypass", {"generate": {"note": "for me"}}, version=1),
        _in_both("project", "bypasses"),
    ),
    "a domain given to a branch": (
        lambda scene: scene.on_project(
            "POST", "/domains", {"name": "s.example.com", "gitBranch": "staging"}, version=10
        ),
        _of("preview", "domain/s.example.com", "added"),
    ),
    "that domain redirected": (
        lambda scene: scene.on_project("PATCH", "/domains/s.example.com", {"redirect": "elsewhere.example.com"}),
        _of("preview", "domain/s.example.com", "redirect"),
    ),
    "that domain moved to production": (
        lambda scene: scene.on_project("PATCH", "/domains/s.example.com", {"gitBranch": None}),
        _of("preview", "domain/s.example.com", "removed") | _of("production", "domain/s.example.com", "added"),
    ),
    "a custom environment made": (
        lambda scene: scene.on_project("POST", "/custom-environments", {"slug": "qa"}),
        _of("preview", "custom-environment/qa", "added"),
    ),
    "its branches changed": (
        lambda scene: scene.on_project(
            "PATCH", "/custom-environments/qa", {"branchMatcher": {"type": "equals", "pattern": "qa"}}
        ),
        _of("preview", "custom-environment/qa", "branches"),
    ),
    "another production branch": (
        lambda scene: scene.link(lambda link: link.update(productionBranch="release")),
        _in_both("project", "production_branch"),
    ),
    "a deploy hook for a branch": (
        lambda scene: scene.link(lambda link: link["deployHooks"].append(HOOK)),
        _of("preview", "deploy-hook/nightly", "added"),
    ),
    "another repository": (
        lambda scene: scene.link(lambda link: link.update(repo="fork-of-pantheon")),
        _in_both("project", "git_repository"),
    ),
}


@pytest.fixture(scope="module")
def scene(new_world: Any) -> Iterator[Scene]:
    """A staging that stands, looked at by tokens of several reaches; after the drift it is as it was before."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        assert "done" == world.provision().word
        made = Scene(world)
        made.edit(lambda memory: give_tokens(memory, made.facts))
        yield made
        made.close()


@dataclass(frozen=True)
class Drifted:
    """What each kind of drift was told as, and what was to be seen, and to be hidden, after all of it."""

    told: dict[str, set[Any]]
    seen: dict[str, tuple[Resource, ...]]
    ways: dict[str, Exposure]
    memory: Any


@pytest.fixture(scope="module")
def drifted(scene: Scene) -> Drifted:
    saved = str(scene.world.folder / "before-the-drift")
    scene.world.running.save(saved)
    told: dict[str, set[Any]] = {}
    before = scene.both()
    for name, (change, _) in DRIFT.items():
        change(scene)
        after = scene.both()
        told[name], before = differences(before, after), after
    found = Drifted(told, before, scene.exposures(), scene.memory)
    scene.world.running.load(saved)
    return found


# ---- before anything is changed


@pytest.mark.rare
def test_inventory_is_the_same_each_time(scene: Scene) -> None:
    """Deployments that come and go in between are no part of it."""
    first = scene.both()
    made = scene.call(
        "POST", "/v13/deployments", {"name": "pantheon-web", "gitSource": {"type": "github", "ref": "f", "repoId": 1}}
    )
    seen = [scene.both() for _ in range(50)]
    assert "QUEUED" != scene.call("GET", f"/v13/deployments/{made['id']}")["readyState"]
    print(f"\n50 inventories of both targets, a deployment in between: {sum(one != first for one in seen)} differ")

    assert [first] * 50 == seen


def test_both_targets_are_told_by_the_same_addresses(scene: Scene) -> None:
    seen = {target: [one.address for one in resources] for target, resources in scene.both().items()}
    public = [f"vercel/variable/NEXT_PUBLIC_{name}" for name in ("API_URL", "SUPABASE_ANON_KEY", "SUPABASE_URL")]
    assert ["vercel/project", *public] == seen["preview"]
    of_production = ["vercel/variable/NEXT_PUBLIC_ENVIRONMENT", "vercel/variable/SESSION_COOKIE_SECRET"]
    domain = f"vercel/domain/{scene.facts['domain']}"
    assert sorted([domain, "vercel/project", *public, *of_production]) == seen["production"]


def test_value_is_a_fingerprint_for_previews_only(scene: Scene) -> None:
    """A sealed one has the fingerprint that RB-010 noted when it was set."""
    seen = {target: {one.address: one.attributes for one in found} for target, found in scene.both().items()}
    url, key = "vercel/variable/NEXT_PUBLIC_API_URL", "vercel/variable/NEXT_PUBLIC_SUPABASE_ANON_KEY"
    (value,) = [one["value"] for one in scene.hands.preview() if one["key"] == "NEXT_PUBLIC_API_URL"]

    assert {"fingerprint": fingerprint(value)} == seen["preview"][url]["value"]
    assert ("sensitive", {"unreadable": True}) == (seen["preview"][key]["type"], seen["preview"][key]["value"])
    assert {"fingerprint"} == set(seen["preview"][key]["noted"])
    assert all({"unreadable": True} == one.get("value", {"unreadable": True}) for one in seen["production"].values())


@pytest.mark.parametrize("operation", DENIED)
def test_what_a_token_may_not_read_is_named(scene: Scene, operation: str) -> None:
    """And everything else is as another token sees it."""
    for target in TARGETS:
        whole = {one.address: one for one in scene.inventory(target)}
        seen = {one.address: one for one in scene.inventory(target, token=f"without {operation}")}
        unread = {address: one for address, one in seen.items() if one.state == "unreadable"}

        assert {f"vercel/{name}" for name in DENIED[operation]} == set(unread)
        assert {"vercel answers 403 (forbidden)"} == {one.note for one in unread.values()}
        rest = {address: one for address, one in seen.items() if address not in unread}
        assert rest.items() <= whole.items()


def test_hidden_variables_are_counted_not_missed(scene: Scene) -> None:
    (hidden,) = [one for one in scene.inventory("production", token="without production") if "hidden" in one.address]
    assert ("vercel/hidden-variables", "unreadable", {"count": 5}) == (hidden.address, hidden.state, hidden.attributes)
    assert "cannot be read" == scene.states(token="without production")["hidden-variables"]


@pytest.mark.parametrize("look", ["inventory", "exposures"])
def test_refused_token_stops(scene: Scene, look: str) -> None:
    with pytest.raises(VendorRefusedError) as stopped:
        getattr(scene, look)(*(["preview"] if look == "inventory" else []), token="nobody's")
    assert 403 == stopped.value.status


def test_project_of_somebody_else_is_unreadable(scene: Scene) -> None:
    nobodys = {"project": "prj_nobodys", "team": scene.facts["team_id"]}
    found = inventory(scene.client(), **nobodys, target="preview", fingerprint=str)
    ways = exposure(scene.client(), **nobodys)
    assert {("vercel/project", "unreadable", "vercel answers 404 (not_found)")} <= {
        (one.address, one.state, one.note) for one in found
    }
    states = {one.address: one.state for one in ways}
    assert {"cannot be read"} == {states[f"vercel/{name}"] for name in ("production-branch", "previews", "variables")}


def test_looking_writes_nothing(scene: Scene) -> None:
    mark = scene.hands.mark()
    scene.both()
    scene.exposures()
    assert [] == scene.hands.sent_since(mark)
    print(f"\nrequests of two inventories and the exposures: {len(scene.world.running.log(mark))}, writes: 0")


# ---- drift


def test_drift_is_named_and_nothing_else(drifted: Drifted) -> None:
    told = drifted.told
    wrong = [name for name, (_, expected) in DRIFT.items() if told[name] != expected]
    for name, found in told.items():
        places = "; ".join(f"{target}: {address} {attribute}" for target, address, attribute in sorted(found))
        print(f"{'BAD' if name in wrong else 'ok '} {name:<52} {places or '(nothing)'}")
    print(f"{len(DRIFT)} kinds of drift by hand, {len(wrong)} told wrongly")

    assert [] == wrong


def test_no_secret_is_in_what_was_seen(scene: Scene, drifted: Drifted) -> None:
    """After the drift: bypass secrets, hook URLs, values of both targets, the password of the previews."""
    memory = drifted.memory  # the last kind of drift was made in it
    project = memory["projects"][scene.facts["project_id"]]
    values = [one["value"] for one in (*project["env"].values(), *memory["sharedEnv"].values())]
    facts = scene.hands.facts
    held = [facts[vendor][name] for vendor in ("supabase", "openrouter") for name in facts[vendor] if _is_secret(name)]
    others = (*facts["tokens"].values(), *project["protectionBypass"], HOOK["url"], "S3cretHook77", COMMAND_TOKEN)
    secrets = {one for one in (*values, *held, *others, "of previews, 9") if len(one) > 11}
    seen = [*(one for found in drifted.seen.values() for one in found), *drifted.ways.values()]
    text = json.dumps([asdict(one) for one in seen])

    assert len(secrets) > 20
    assert project["protectionBypass"]
    assert [] == [one for one in secrets if one in text]


def _is_secret(name: str) -> bool:
    return name.endswith(("key", "url", "password", "token"))


def test_value_shared_with_production_is_dropped(drifted: Drifted) -> None:
    """After the drift it is a plain variable of both: whoever looks at previews does not see production's value."""
    (shared,) = [one for one in drifted.seen["preview"] if one.address == "vercel/variable/NEXT_PUBLIC_ENVIRONMENT"]
    assert (["preview", "production"], {"unreadable": True}) == (
        shared.attributes["targets"],
        shared.attributes["value"],
    )


# ---- answers that the sandbox does not give


def test_list_is_read_to_its_last_page(client: Any, stub: Any) -> None:
    def page(names: list[str], following: int | None) -> dict[str, Any]:
        envs = [{"id": name, "key": name, "type": "sensitive", "target": "preview", "value": ""} for name in names]
        return {"envs": envs, "pagination": {"count": len(envs), "next": following, "prev": None}}

    nothing = {"data": [], "domains": [], "environments": [], "pagination": None}
    for body in ({"id": "prj_1", "name": "web"}, page(["A"], 17), page(["B"], 17), nothing):
        stub.will_answer(200, body)
    found = inventory(client, project="prj_1", team="team_1", target="preview", fingerprint=str)

    assert ["vercel/project", "vercel/variable/A", "vercel/variable/B"] == [one.address for one in found]
    assert ["until=17" in path for _, path, _ in stub.requests[1:3]] == [False, True]


SEALED = {"id": "env_1", "key": "A", "type": "encrypted", "target": "preview", "value": "sealed"}
DECRYPTED = {**SEALED, "value": "in clear", "decrypted": True}


@pytest.mark.parametrize(
    ("status", "answer", "value"),
    [
        (200, DECRYPTED, {"fingerprint": "in clear"}),
        (200, {**DECRYPTED, "target": ["preview", "production"]}, {"unreadable": True}),
        (200, {**DECRYPTED, "decrypted": False}, {"unreadable": True}),
        (400, {"error": {"code": "NOT_DECRYPTABLE"}}, {"unreadable": True}),
        (403, {"error": {"code": "forbidden"}}, {"unreadable": True}),
    ],
)
def test_sealed_value_is_compared_where_it_may_be_decrypted(client, stub, status, answer, value):
    """Somebody gave it to production in between: then it is dropped."""
    nothing = {"data": [], "domains": [], "environments": []}
    stub.will_answer(200, {"id": "prj_1", "envs": [SEALED], **nothing})
    stub.will_answer(200, {"id": "prj_1", "envs": [SEALED], **nothing})
    stub.will_answer(200, {"id": "prj_1", "envs": [SEALED], **nothing})
    stub.will_answer(status, answer)
    stub.will_answer(200, nothing)
    found = inventory(client, project="prj_1", team="team_1", target="preview", fingerprint=str)

    assert [value] == [one.attributes["value"] for one in found if one.address == "vercel/variable/A"]
    assert [f"/v1/projects/prj_1/env/{SEALED['id']}"] == [
        path.partition("?")[0] for _, path, _ in stub.requests if "/env/" in path
    ]


@pytest.mark.parametrize("target", [["production"], ["preview", "production"], ["development"]])
def test_no_other_targets_value_is_asked_for(client, stub, target):
    nothing = {"data": [], "domains": [], "environments": []}
    stub.will_answer(200, {"id": "prj_1", "envs": [{**SEALED, "target": target}], **nothing})
    for looked in ("preview", "production"):
        inventory(client, project="prj_1", team="team_1", target=looked, fingerprint=str)

    assert [] == [path for _, path, _ in stub.requests if "/env/" in path]


def test_two_of_one_name_are_told_apart(client: Any, stub: Any) -> None:
    """Names of deploy hooks need not differ."""
    hooks = [{"id": str(at), "name": "nightly", "ref": "main", "url": "u", "createdAt": at} for at in (2, 1)]
    link = {
        "type": "gitlab",
        "projectNameWithNamespace": "group / web",
        "productionBranch": "main",
        "deployHooks": hooks,
    }
    stub.will_answer(200, {"id": "prj_1", "link": link, "envs": [], "data": [], "domains": [], "environments": []})
    found = inventory(client, project="prj_1", team="team_1", target="production", fingerprint=str)

    moments = {one.address: one.attributes.get("created_at") for one in found if "hook" in one.address}
    assert {
        "vercel/deploy-hook/nightly#1": "1970-01-01T00:00:00.001Z",
        "vercel/deploy-hook/nightly#2": "1970-01-01T00:00:00.002Z",
    } == moments
    assert "gitlab group / web" == found[-1].attributes["git_repository"]


@pytest.mark.parametrize("body", [b"<html>Forbidden</html>", {"error": "no"}, ["no"], {}])
def test_refusal_in_any_shape_is_a_reason(client: Any, stub: Any, body: Any) -> None:
    stub.will_answer(403, body)
    found = inventory(client, project="prj_1", team="team_1", target="preview", fingerprint=str)
    lists = ("custom-environments", "deploy-hooks", "domains", "project", "team-variables", "variables")
    assert [Resource(f"vercel/{name}", "unreadable", note="vercel answers 403 (no code)") for name in lists] == list(
        found
    )


def test_vendor_that_cannot_be_reached_stops(client: Any, stub: Any, pauses: list[float]) -> None:
    stub.will_answer(503, {"error": {"code": "unavailable", "message": "later"}})
    with pytest.raises(VendorUnavailableError):
        inventory(client, project="prj_1", team="team_1", target="preview", fingerprint=str)


def test_page_that_points_at_itself_ends_the_list(client: Any, stub: Any) -> None:
    empty = {"data": [], "domains": [], "environments": []}
    stub.will_answer(200, {"id": "prj_1", "envs": [], **empty, "pagination": {"count": 0, "next": 17, "prev": None}})
    inventory(client, project="prj_1", team="team_1", target="preview", fingerprint=str)

    assert 10 == len(stub.requests)


def test_command_is_compared_and_never_shown(client: Any, stub: Any) -> None:
    lists = {"envs": [], "data": [], "domains": [], "environments": []}
    command = "NPM_TOKEN=abc npm ci"
    stub.will_answer(200, {"id": "prj_1", "installCommand": command, "protectionBypass": {"S3cret": {}}, **lists})
    (project,) = inventory(client, project="prj_1", team="team_1", target="preview", fingerprint=fingerprint)

    shown = {"fingerprint": fingerprint(command), "program": "npm", "migrates": False}
    assert (shown, 1) == (project.attributes["install_command"], len(project.attributes["bypasses"]))
    assert "S3cret" not in repr(project)
