"""What can change production at Vercel without this tool, as the world is changed around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from vercel_scene import DENIED, HOOK, Scene, give_tokens

from pantheon_runbook.providers.vercel_exposure import exposure

pytestmark = pytest.mark.xdist_group("vercel-exposure")
LINK = {
    "type": "github", "org": "pantheon", "repo": "pantheon", "repoId": 1, "productionBranch": "main",
    "gitCredentialId": "", "deployHooks": [HOOK, {**HOOK, "name": "of a branch", "ref": "feature"}],
}  # fmt: skip
LIVE = ("production-branch", "domain-assignment")


@pytest.fixture(scope="module")
def ways(new_world: Any) -> Iterator[tuple[Scene, dict[str, dict[str, str]]]]:
    """A project as it is seeded, closed step by step, then opened, and the states on the way; colleagues have come."""
    with new_world() as world, pytest.MonkeyPatch.context() as patch:
        world.enter(patch)
        scene = Scene(world)
        states = {"as seeded": scene.states()}
        scene.project(autoAssignCustomDomains=False, buildCommand="next build")
        states["promotion only"] = scene.states()
        scene.edit(lambda memory: _come_in(memory, scene.facts))
        states["with a hook"] = scene.states()
        scene.edit(lambda memory: memory["projects"][scene.facts["project_id"]].update(link=None))
        states["without a repository"] = scene.states()
        scene.edit(lambda memory: memory["projects"][scene.facts["project_id"]].update(link=LINK))
        scene.project(autoAssignCustomDomains=True, buildCommand="npx prisma migrate deploy", ssoProtection=None)
        scene.hands.new_vercel_variable(key="EVERYWHERE", value="x", target=["production", "development"])
        scene.share("TEAM_WIDE", "production")
        states["all open"] = scene.states()
        yield scene, states
        scene.close()


def _come_in(memory: Any, facts: Any) -> None:
    """Hooks, an integration, and colleagues of each kind: two may write, the others may not."""
    (project,) = memory["projects"].values()
    project["link"] = LINK
    (url,) = [one for one in project["env"].values() if one["key"] == "NEXT_PUBLIC_SUPABASE_URL"]
    url["configurationId"] = "icfg_supabase"
    (owner,) = memory["users"].values()
    roles = {
        "dev": {"role": "DEVELOPER"},
        "here": {"role": "CONTRIBUTOR", "projects": [{"id": project["id"], "name": "w", "role": "ADMIN"}]},
        "there": {"role": "CONTRIBUTOR", "projects": [{"id": "prj_other", "name": "o", "role": "ADMIN"}]},
        "reader": {"role": "VIEWER"},
        "waiting": {"role": "MEMBER", "confirmed": False},
    }
    give_tokens(memory, facts)
    for name, role in roles.items():
        memory["users"][name] = {**owner, "id": name, "username": name}
        memory["members"][facts["team_id"]][name] = {"confirmed": True, "createdAt": 1, **role}
        memory["tokens"][f"of {name}"] = {"user": name, "teams": [facts["team_id"]]}


def test_exposures_follow_the_world(ways: Any) -> None:
    scene, states = ways
    shown = scene.exposures()
    print("\n" + "\n".join(f"{one.state:<18} {one.address}: {one.found}" for one in shown.values()))

    unread, by_us = {"build-command": "cannot be read"}, {"token": "closed by this tool"}
    others = ("deploy-hooks", "previews", "variables", "integrations", "team-variables", "members")
    closed = {**unread, **by_us, **dict.fromkeys(others, "closed by vendor")}
    assert {**closed, **dict.fromkeys(LIVE, "open")} == states["as seeded"]
    assert {**closed, **dict.fromkeys(LIVE, "closed by vendor")} == states["promotion only"]
    opened = (*LIVE, "build-command", "previews", "variable/EVERYWHERE", "integrations", "team-variable/TEAM_WIDE")
    assert {**by_us, **dict.fromkeys((*opened, "deploy-hook/nightly", "members"), "open")} == states["all open"]
    assert "made by an integration: NEXT_PUBLIC_SUPABASE_URL" == shown["integrations"].found


def test_every_open_way_has_one_next_step(ways: Any) -> None:
    scene, _ = ways
    tokens = ("", *(f"without {name}" for name in DENIED))
    seen = [one for token in tokens for one in scene.exposures(token).values()]
    assert {"open", "cannot be read", "closed by this tool"} <= {one.state for one in seen}
    assert all(bool(one.next_step) == (one.state in {"open", "cannot be read"}) for one in seen)


def test_hook_closes_with_promotion_and_goes_with_the_repository(ways: Any) -> None:
    _, states = ways
    hooked, bare = states["with a hook"], states["without a repository"]
    assert ("closed by vendor", None) == (hooked["deploy-hook/nightly"], hooked.get("deploy-hook/of a branch"))
    assert ("closed by vendor",) * 2 == (bare["production-branch"], bare["deploy-hooks"])


def test_only_who_may_write_is_counted_among_the_people(ways: Any) -> None:
    """Neither readers, nor contributors of another project, nor who waits to be let in."""
    scene, _ = ways
    assert "2: dev (DEVELOPER), here (CONTRIBUTOR)" == scene.exposures()["members"].found


def test_reach_of_a_token_is_its_users(ways: Any) -> None:
    scene, _ = ways
    reach = {name: scene.states(token=f"of {name}")["token"] for name in ("dev", "here", "there", "reader")}
    by_tool, by_vendor = "closed by this tool", "closed by vendor"
    assert {"dev": by_tool, "here": by_tool, "there": by_vendor, "reader": by_vendor} == reach
    blind = scene.states(token="without the team")
    assert ("cannot be read", "cannot be read") == (blind["token"], blind["members"])


def test_domains_are_assigned_unless_the_vendor_says_otherwise(client: Any, stub: Any) -> None:
    """The setting is optional in the vendor's answer, and on by default."""
    me = {"membership": {"role": "VIEWER", "uid": "me"}, "members": [], "envs": [], "data": []}
    stub.will_answer(200, {"id": "prj_1", **me})
    states = {one.address: one.state for one in exposure(client, project="prj_1", team="team_1")}

    assert "open" == states["vercel/domain-assignment"]
