"""The ways in which production can change at Railway without us: each is seen to open and to close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from railway_place import Place, beside, ids, member, project_token, staged, trigger_of

pytestmark = pytest.mark.xdist_group("railway-place")


def _branches_gone(place: Place) -> None:
    for name in ("api", "worker"):
        document = "mutation M($id: String!) { deploymentTriggerDelete(id: $id) }"
        place.hands.railway(document, id=trigger_of(place, name, place.production))


def _on(name: str, **settings: Any) -> Callable[[Place], None]:
    """Something set for one of production's services."""
    return lambda place: place.instance(name, of=place.production, **settings)


def _environment_gone(place: Place, name: str) -> None:
    (project,) = place.hands.railway_projects("pantheon")
    document = "mutation M($id: String!) { environmentDelete(id: $id) }"
    place.hands.railway(document, id=project["environments"][name]["id"])


def _proxy(place: Place) -> None:
    where = place.service("Redis", place.production)
    del where["projectId"]
    place.do("tcpProxyCreate", "TCPProxyCreateInput", "{ id }", **where, applicationPort=6379)


def _only_viewers(place: Place) -> None:
    (owner,) = [one for one in place.look(place.production) if "member/supervisor" in one.address]
    member(place, place.production, owner.attributes["id"], "VIEWER")


def _fork(place: Place) -> None:
    """What Railway makes for a pull request."""
    beside(place, place.production, "pr-7", ephemeral=True, sourceEnvironmentId=place.production["environment_id"])


def _base(place: Place, **settings: Any) -> None:
    place.project(place.production, **settings)


OPEN, BY_VENDOR, BY_US, HIDDEN = "open", "closed by vendor", "closed by this tool", "cannot be read"
AT_FIRST = {
    "railway/commands/Redis": (BY_VENDOR, "none is set; image redis:8.2.1"),
    "railway/commands/api": (
        HIDDEN,
        "start command runs python; railway.json or railway.toml in pantheon/pantheon",
    ),
    "railway/commands/worker": (HIDDEN, "start command runs python; railway.json"),
    "railway/members": (OPEN, "supervisor@pantheon.example (ADMIN)"),
    "railway/project-tokens": (BY_VENDOR, "there is none"),
    "railway/pull-request-environments": (BY_VENDOR, "off; none is a copy of production"),
    "railway/shared-project": (BY_VENDOR, "production is alone in its project"),
    "railway/staged-changes": (BY_VENDOR, "none"),
    "railway/tcp-proxies": (BY_VENDOR, "there is none"),
    "railway/token": (BY_US, "could write production: yes, only this tool holds it back"),
    "railway/trigger/Redis": (BY_VENDOR, "no branch deploys it"),
    "railway/trigger/api": (OPEN, "every push to main of pantheon/pantheon"),
    "railway/trigger/worker": (OPEN, "every push to main of pantheon/pantheon"),
}
COMMANDS, PULLS, SHARED = "railway/commands/worker", "railway/pull-request-environments", "railway/shared-project"
WAYS: tuple[tuple[str, Callable[[Place], None], dict[str, tuple[str, str]]], ...] = (
    (
        "branches disconnected",
        _branches_gone,
        dict.fromkeys(("railway/trigger/api", "railway/trigger/worker"), (BY_VENDOR, "no branch deploys it")),
    ),
    (
        "pre-deploy command migrates",
        _on("worker", preDeployCommand=["alembic upgrade head"]),
        {COMMANDS: (OPEN, "pre-deploy command runs alembic, and migrates")},
    ),
    (
        "start command migrates, with a password in it",
        _on("worker", preDeployCommand=None, startCommand="PGPASSWORD=hunter22 npx prisma db push && python -m worker"),
        {COMMANDS: (OPEN, "start command runs npx, and migrates")},
    ),
    (
        "config file named",
        _on("worker", startCommand="python -m worker", railwayConfigFile="deploy/railway.toml"),
        {COMMANDS: (HIDDEN, "deploy/railway.toml in pantheon/pantheon can set others")},
    ),
    (
        "image without a command",
        _on("worker", startCommand=None, railwayConfigFile=None, source={"image": "pantheon/redis-worker:1"}),
        {COMMANDS: (HIDDEN, "what the image pantheon/redis-worker:1 starts by itself, Railway does not show")},
    ),
    (
        "image with a command",
        _on("worker", startCommand="python -m worker"),
        {COMMANDS: (BY_VENDOR, "start command runs python; image pantheon/redis-worker:1")},
    ),
    (
        "pull requests, from production, bots too",
        lambda place: _base(place, prDeploys=True, botPrEnvironments=True),
        {PULLS: (OPEN, "on, copied from production, for those of bots too")},
    ),
    (
        "environment beside production",
        lambda place: beside(place, place.production, "preview"),
        {SHARED: (OPEN, "beside production: preview")},
    ),
    (
        "pull requests, from another",
        lambda place: _base(
            place, baseEnvironmentId=place.hands.railway_projects("pantheon")[0]["environments"]["preview"]["id"]
        ),
        {PULLS: (BY_VENDOR, "on, copied from another environment")},
    ),
    ("a copy of production for a pull request", _fork, {PULLS: (OPEN, "copied from production: pr-7")}),
    (
        "the copy deleted",
        lambda place: _environment_gone(place, "pr-7"),
        {PULLS: (BY_VENDOR, "on, copied from another environment")},
    ),
    (
        "project token of production",
        lambda place: place.do(
            "projectTokenCreate", "ProjectTokenCreateInput", **ids(place.production), name="deploy from CI"
        ),
        {"railway/project-tokens": (OPEN, "by name: deploy from CI")},
    ),
    ("TCP proxy", _proxy, {"railway/tcp-proxies": (OPEN, "Redis:6379")}),
    ("only viewers", _only_viewers, {"railway/members": (BY_VENDOR, "none of 1 members may write")}),
    (
        "staged changes",
        lambda place: staged(place, place.production),
        {"railway/staged-changes": (OPEN, "2 staged")},
    ),
)


def _agrees(found: Any, expected: tuple[str, str]) -> bool:
    state, words = expected
    return state == found.state and words in found.found


@pytest.fixture(scope="module")
def first_ways(place: Place) -> dict[str, Any]:
    """As provisioned, before anybody has changed production."""
    return place.ways()


def test_every_way_into_production_is_listed(first_ways: dict[str, Any]) -> None:
    assert list(AT_FIRST) == list(first_ways)
    assert [] == [one for address, one in first_ways.items() if not _agrees(one, AT_FIRST[address])]
    steps = {one.address: one.next_step for one in first_ways.values()}
    assert {address for address, (state, _) in AT_FIRST.items() if state != BY_VENDOR} == {
        address for address, step in steps.items() if step
    }


def test_each_way_is_seen_to_open_and_close(place: Place, first_ways: dict[str, Any]) -> None:
    rows, wrong = [], []
    before = first_ways
    for kind, by_hand, expected in WAYS:
        by_hand(place)
        after = place.ways()
        changed = {address for address in before.keys() | after.keys() if before.get(address) != after.get(address)}
        rows += [f"{kind:<46}{after[one].state:<20}{one}: {after[one].found}" for one in sorted(changed)]
        if changed != set(expected) or not all(_agrees(after[one], words) for one, words in expected.items()):
            wrong.append((kind, expected, changed))
        assert "hunter22" not in str(after)
        before = after
    print("\n".join(["", "ways to change production at Railway", *rows]))
    assert [] == wrong


def test_project_token_of_staging_cannot_write_production(place: Place) -> None:
    """Closed by the vendor; in return nothing else of production can be read with it."""
    ways = place.ways(project_token(place, place.staging, "for the exposure"))
    own = ways.pop("railway/token")

    assert (BY_VENDOR, "a project token of another environment: could write production: no") == (own.state, own.found)
    assert {HIDDEN} == {one.state for one in ways.values()}
    parts = (
        "commands members project-tokens pull-request-environments shared-project staged-changes tcp-proxies trigger"
    )
    assert [f"railway/{part}" for part in parts.split()] == list(ways)
    assert all(one.next_step for one in ways.values())


def test_project_token_of_production_is_held_back_by_us_only(place: Place) -> None:
    api = project_token(place, place.production, "of production")
    own = place.ways(api)["railway/token"]
    place.hands.railway(
        "mutation M($id: String!) { projectTokenDelete(id: $id) }",
        id=next(one for one in place.look(place.production) if one.address.endswith("/of production")).attributes["id"],
    )

    assert BY_US == own.state
    assert "could write production: yes" in own.found


@pytest.mark.parametrize(
    ("question", "hidden"),
    [
        ("ProjectSettings", {"token", "pull-request-environments"}),
        ("ProjectMembers", {"members"}),
        ("ProjectTokens", {"project-tokens"}),
        ("ProjectEnvironments", {"pull-request-environments", "shared-project"}),
        ("EnvironmentSettings", {"staged-changes"}),
        ("ServiceSettings", {"commands", "trigger", "tcp-proxies"}),
        ("Triggers", {"trigger", "pull-request-environments"}),
        ("TcpProxies", {"tcp-proxies"}),
    ],
)
def test_what_is_not_shown_is_never_called_closed(
    place: Place, first_ways: dict[str, Any], question: str, hidden: set[str]
) -> None:
    """What does not rest on the refused question stays as it is."""
    assert first_ways
    before, after = place.ways(), place.ways(place.denied(question))
    unread = {address for address, one in after.items() if one != before.get(address)}

    assert {f"railway/{part}" for part in hidden} == {one for one in unread if after[one].state == HIDDEN}
    assert BY_VENDOR not in {after[address].state for address in unread}
    assert all(after[address].next_step for address in unread)
