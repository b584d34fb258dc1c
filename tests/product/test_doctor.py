"""What `doctor` says of tokens, hosts and pins: each statement becomes another one when the world does."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from vendors import Hands

from pantheon_runbook import cli, clock, doctoring, host_reach
from pantheon_runbook.host_reach import DIRECT, Tried, database_item, side_by_side
from pantheon_runbook.providers.http import Reach
from pantheon_runbook.runner.surroundings import world as outside_world

pytestmark = pytest.mark.alike

YES = "could write production: yes; only this tool holds it back"
NO = "could write production: no, by the vendor"
TOKENS = ("SUPABASE_ACCESS_TOKEN", "RAILWAY_API_TOKEN", "VERCEL_TOKEN", "OPENROUTER_MANAGEMENT_KEY")


def asked(world: Any) -> dict[str, dict[str, Any]]:
    """doctor's items by name; it has changed nothing and shown no token, as it never does."""
    before = world.mutating()
    result = CliRunner().invoke(cli.main, ["doctor", "--json"])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert before == world.mutating()
    credentials = Path(os.environ.get("PANTHEON_CREDENTIALS", world.customer / "credentials.toml"))
    secrets = [*re.findall(r'"([^"]{20,})"', credentials.read_text()), *world.facts["tokens"].values()]
    assert [] == [secret for secret in secrets if secret in result.output]
    items = json.loads(result.stdout)
    assert {("found", "name", "next_step", "passed")} == {tuple(sorted(item)) for item in items}
    return {item["name"]: item for item in items}


def found(world: Any, name: str) -> str:
    return str(asked(world)[name]["found"])


@pytest.fixture
def credentials(world: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts another token into a copy of the supervisor's file, and names that file."""
    path = world.folder / "credentials.toml"
    shutil.copy2(world.customer / "credentials.toml", path)
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(path))
    monkeypatch.setenv("PANTHEON_CONFIG", str(world.customer / "pantheon.toml"))

    def put(token: str, value: str) -> None:
        path.write_text(re.sub(rf'^{token} = "[^"]*"', f'{token} = "{value}"', path.read_text(), flags=re.MULTILINE))

    return put


def test_full_tokens_are_held_back_by_us_only(world):
    items = asked(world)

    assert [True] * 4 == [items[name]["passed"] for name in TOKENS]
    assert [] == [name for name in TOKENS if YES not in items[name]["found"]]


def production_in_an_organization_of_others(whole: Any, facts: Any) -> None:
    whole["supabase"]["projects"][facts["supabase"]["ref"]]["organization_slug"] = facts["supabase"]["foreign_slug"]


def production_in_a_workspace_of_others(whole: Any, facts: Any) -> None:
    whole["railway"]["projects"][facts["railway"]["project_id"]]["workspaceId"] = "somebody-elses"


NARROW = {
    "Supabase, another organization": ("SUPABASE_ACCESS_TOKEN", production_in_an_organization_of_others),
    "Railway, another workspace": ("RAILWAY_API_TOKEN", production_in_a_workspace_of_others),
}


@pytest.mark.rare
@pytest.mark.parametrize("which", NARROW)
def test_token_that_is_not_shown_production_is_held_back_by_its_vendor(world, hands, which):
    """The others are not."""
    token, narrow = NARROW[which]
    hands.edit(lambda whole: narrow(whole, world.facts))

    items = asked(world)

    assert {token: NO} == {name: NO for name in TOKENS if NO in items[name]["found"]}
    assert items[token]["passed"]


@pytest.mark.rare
def test_project_that_is_not_there_is_written_by_nobody(world):
    for name in ("pantheon.toml", "identities.toml"):
        path = world.customer / name
        path.write_text(path.read_text().replace(world.facts["supabase"]["ref"], "q" * 20))

    assert NO in found(world, "SUPABASE_ACCESS_TOKEN")


@pytest.mark.rare
def test_vercel_token_of_another_team_is_no_danger_and_no_use(world, hands):
    vercel = world.facts["vercel"]

    def move(whole: Any) -> None:
        whole["vercel"]["tokens"][world.facts["tokens"]["VERCEL_TOKEN"]]["teams"] = [vercel["foreign_team_id"]]

    hands.edit(move)
    item = asked(world)["VERCEL_TOKEN"]

    assert (False, True) == (item["passed"], item["found"].endswith(f"It {NO}."))


def project_token(hands: Hands, project: str, environment: str) -> str:
    given = {"projectId": project, "environmentId": environment, "name": "ci"}
    made = hands.railway("mutation M($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }", i=given)
    return str(made["projectTokenCreate"])


@pytest.mark.rare
def test_railway_project_token_is_named_for_what_it_is_for(world, hands, credentials):
    """It can do nothing outside its one environment; which is no comfort when that is production's."""
    hands.new_railway_project()
    staging = hands.railway_projects()[0]
    production = world.facts["railway"]
    places = {
        NO: (staging["id"], staging["environments"]["staging"]["id"]),
        YES: (production["project_id"], production["environment_id"]),
    }
    for answer, (project, environment) in places.items():
        credentials("RAILWAY_API_TOKEN", project_token(hands, project, environment))

        item = asked(world)["RAILWAY_API_TOKEN"]

        assert (False, True) == (item["passed"], item["found"].endswith(f"It {answer}.")), item
        assert f"environment {environment} of project {project} alone" in item["found"]
        assert "railway.com/account/tokens" in item["next_step"]


@pytest.mark.rare
def test_unknown_supabase_token_is_nobodys(world, credentials):
    """The vendor does not know it: what it could do is not said."""
    credentials("SUPABASE_ACCESS_TOKEN", "sbp_" + "0" * 40)

    item = asked(world)["SUPABASE_ACCESS_TOKEN"]

    assert (False, False) == (item["passed"], "could write" in item["found"])


@pytest.mark.rare
def test_expiry_is_told_where_the_vendor_does(world, hands):
    items = asked(world)
    told = {name: items[name]["found"].rpartition("; ")[2] for name in TOKENS}
    lasting, silent = "does not expire", "{} does not tell when it expires"
    assert dict(
        zip(TOKENS, (silent.format("Supabase"), silent.format("Railway"), lasting, lasting), strict=True)
    ) == told  # fmt: skip
    until = clock.now() + timedelta(days=10, hours=1)

    def expire(whole: Any) -> None:
        token = world.facts["tokens"]["VERCEL_TOKEN"]
        whole["vercel"]["tokens"][token]["expiresAt"] = int(until.timestamp() * 1000)
        whole["openrouter"]["management_key_expires_at"] = (until - timedelta(days=9)).isoformat()

    hands.edit(expire)
    items = asked(world)

    assert items["VERCEL_TOKEN"]["found"].endswith(f"expires in 10 days ({until:%Y-%m-%d})")
    assert "expires in 1 day (" in items["OPENROUTER_MANAGEMENT_KEY"]["found"]


@pytest.mark.rare
def test_plans_and_what_they_allow(world, hands):
    def shrink(whole: Any) -> None:
        whole["supabase"]["organizations"][world.facts["supabase"]["organization_slug"]]["plan"] = "free"
        whole["railway"]["limits"]["requests_per_hour"] = 90
        whole["vercel"]["teams"][world.facts["vercel"]["team_id"]]["plan"] = "hobby"

    before = {name: found(world, name) for name in TOKENS}
    hands.edit(shrink)
    hands.new_project("another")
    after = {name: found(world, name) for name in TOKENS}

    assert "plan pro, 1 active project;" in before["SUPABASE_ACCESS_TOKEN"]
    assert "plan free, 2 of 2 active projects" in after["SUPABASE_ACCESS_TOKEN"]
    assert "1000 requests an hour" in before["RAILWAY_API_TOKEN"]
    assert "; 90 requests an hour" in after["RAILWAY_API_TOKEN"]
    assert ("plan pro" in before["VERCEL_TOKEN"], "plan hobby" in after["VERCEL_TOKEN"]) == (True, True)


@pytest.mark.rare
@pytest.mark.parametrize(
    ("days", "expected"), [(1, "1 day old"), (90, "90 days old"), (91, "91 days old; more than 90: pin again")]
)
def test_pins_have_an_age(world, days, expected):
    path = world.customer / "identities.toml"
    then = (clock.now() - timedelta(days=days, minutes=5)).isoformat()
    path.write_text(re.sub(r'pinned_at = "[^"]*"', f'pinned_at = "{then}"', path.read_text()))

    assert re.search(rf"\d pins of {re.escape(then)}, {expected}", found(world, "identities"))


def test_what_closing_lacks_is_said_with_its_command(world):
    """Neither stops a run, so neither is called missing."""
    path = world.customer / "identities.toml"
    path.write_text(path.read_text().partition("[production.pins]")[0])
    items = asked(world)

    assert "0 pins" in items["identities"]["found"]
    assert items["identities"]["found"].endswith("pantheon-runbook init --pin-production")
    assert items["closing F25"]["found"].endswith("pantheon-runbook run RB-050")
    assert [True, True] == [items[name]["passed"] for name in ("identities", "closing F25")]


def test_pins_without_a_date_are_named(world):
    path = world.customer / "identities.toml"
    path.write_text(re.sub(r'pinned_at = "[^"]*"', 'pinned_at = "last week"', path.read_text()))

    assert found(world, "identities").endswith("pins of last week, which is no date")


@pytest.mark.rare
def test_hosts_of_a_staging_that_is_not_there(world):
    items = asked(world)

    assert {"answers"} == {item["found"] for name, item in items.items() if name.startswith("host ")}
    assert "none yet" in items["database hosts"]["found"]


@pytest.mark.rare
def test_hosts_of_staging_are_tried_by_their_own_names(world, hands):
    """The pooler that Supabase names, at both ports, and the direct host; gone again with the project."""
    ref = hands.new_project()
    names = ("session pooler", "transaction pooler", DIRECT)
    deadline = time.monotonic() + 60
    while hands.projects()[0]["status"] != "ACTIVE_HEALTHY":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    items = asked(world)
    entry = hands.call("supabase", "GET", f"/v1/projects/{ref}/config/database/pooler")[0]

    places = (f"{entry['db_host']}:5432", f"{entry['db_host']}:6543", f"db.{ref}.supabase.co:5432")
    assert [f"{place} answers" for place in places] == [items[name]["found"] for name in names]
    hands.call("supabase", "DELETE", f"/v1/projects/{ref}")
    assert "none yet" in found(world, "database hosts")


@pytest.fixture
def closed() -> Iterator[int]:
    """A loopback port that refuses."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_pooler_out_of_reach_is_a_gap_and_the_direct_host_is_not(closed):
    tried = host_reach.tried_databases("q" * 20, "aws-0.example", lambda _h, _p: ("127.0.0.1", closed), Reach())
    items = {name: database_item(name, one) for name, one in tried.items()}

    assert [False, False, True] == [items[name].passed for name in ("session pooler", "transaction pooler", DIRECT)]
    assert "aws-0.example:6543 cannot be reached from here (Connection refused)" == items["transaction pooler"].found
    assert "port 6543" in items["transaction pooler"].next_step
    assert items[DIRECT].found.endswith("use the session pooler")


def test_host_with_ipv6_only_is_said_to_have_it_only():
    item = database_item(DIRECT, Tried("::1", 5432, is_reached=False, answer="does not answer from here"))

    expected = "it has IPv6 only, and there is no IPv6 route from here: use the session pooler"
    assert (True, expected) == (item.passed, item.found)


def test_host_that_the_sandbox_does_not_have_is_never_asked_for_outside():
    tried = host_reach.tried_databases("q" * 20, "aws-0.example", lambda _h, _p: None, Reach("/nowhere"))

    assert {False} == {one.is_reached for one in tried.values()}
    assert {"is not there (the sandbox has no such host now)"} == {one.answer for one in tried.values()}


def test_vendor_whose_host_does_not_answer_is_not_asked(quiet_world, tmp_path):
    """And that takes no time."""
    outside = replace(outside_world(), reach=Reach(str(tmp_path / "nobody")))
    before, start = len(quiet_world.running.log()), time.monotonic()

    items = {item.name: item for item in doctoring._vendors(outside)}

    assert time.monotonic() - start < 10  # a vendor's four tries, or one wait for an answer, take longer
    assert before == len(quiet_world.running.log())
    assert [False] * 8 == [one.passed for name, one in items.items() if name.startswith("host ") or name in TOKENS]
    assert "not asked, since api.vercel.com cannot be reached from here" in items["VERCEL_TOKEN"].found


@pytest.mark.rare
def test_vendor_that_keeps_silent_is_waited_for_once(quiet_world, tmp_path, monkeypatch):
    """It takes the connection and says nothing; all four at the same time."""
    monkeypatch.setattr(doctoring, "_ANSWER_SECONDS", 1.0)
    outside, others = outside_world(), set(threading.enumerate())
    policy = outside.config.policy.model_copy(update={"request_seconds": 1.0})
    config, reach = outside.config.model_copy(update={"policy": policy}), Reach(str(tmp_path / "silent"))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen(64)
        start = time.monotonic()

        items = {item.name: item for item in doctoring._vendors(replace(outside, config=config, reach=reach))}

        assert time.monotonic() - start < 4  # one vendor's four tries take longer
        assert {"no answer within 1 seconds"} == {items[name].found for name in TOKENS}
        for thread in set(threading.enumerate()) - others:
            thread.join()


def test_bug_in_one_call_is_loud():
    def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side({"good": lambda: "", "bad": broken}, seconds=5)


def test_backend_is_read_by_its_own_interpreter(world):
    """The tree, what a rehearsal stands on, and whether production's schema can be had."""
    items = asked(world)

    assert items["backend"]["found"].startswith("11 revisions, head 0011, read by ")
    assert items["rehearsals"]["found"].endswith("linted by squawk")
    assert "read-role --dump" in items["production's dump role"]["found"]
    assert [True] * 3 == [items[name]["passed"] for name in ("backend", "rehearsals", "production's dump role")]


def test_backend_that_is_not_there_is_told(world):
    """Provisioning does without; what RB-020 lacks is said, with what to set."""
    config = world.customer / "pantheon.toml"
    config.write_text(config.read_text().replace("alembic.ini", "another.ini"))

    item = asked(world)["backend"]

    assert item["passed"]
    assert item["found"].startswith("RB-020 cannot run yet: there is no another.ini to migrate by.")
    assert "backend.alembic in pantheon.toml" in item["found"]
