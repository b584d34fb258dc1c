"""What stands already is taken over only when somebody or something says that it is ours; and looked at again later."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from attempts import attempt, config_with
from runners import until

from pantheon_runbook.database.kinds import SCHEMA
from pantheon_runbook.errors import BlockedPlanError, RefusedError, WrongEnvironmentError
from pantheon_runbook.kind import Look
from pantheon_runbook.model import Change, Resource
from pantheon_runbook.runner.cards import draw


@pytest.fixture
def made_by_hand(world, hands) -> str:
    """A staging that nobody of ours made; what confirms it."""
    ref, project = hands.new_project(), hands.new_railway_project()
    health = f"/v1/projects/{ref}/health?services=storage"
    until(lambda: "ACTIVE_HEALTHY" == hands.projects()[0]["status"])
    until(lambda: hands.call("supabase", "GET", health)[0]["healthy"])
    return f"{ref},{hands.railway_staging(project)}"


def findings(world, **parameters):
    run = world.open("plan", **parameters)
    found = world.plan(run).findings
    world.seal(run)
    return found


def planned(world, **parameters):
    run = world.open("plan", **parameters)
    addresses = {one.address: one.action for one in world.plan(run).changes}
    world.seal(run)
    return addresses


def test_what_was_made_by_hand_is_left_alone_until_it_is_confirmed(world, hands, made_by_hand):
    mark = hands.mark()
    ref, railway = made_by_hand.split(",")
    command = f"pantheon-runbook run RB-010 -e staging -p confirm={made_by_hand}"

    assert [("railway/environment", command), ("supabase/project", command)] == [
        (one.address, one.next_step) for one in findings(world) if one.code == "unconfirmed"
    ]
    assert ("database/marker" in planned(world), "database/marker" in planned(world, confirm=ref)) == (False, True)
    stopped = attempt(world)
    assert ("refused", BlockedPlanError, command) == (stopped.word, type(stopped.error), stopped.error.next_step)
    half = attempt(world, confirm=ref)
    assert (BlockedPlanError, True) == (type(half.error), railway in half.error.what)
    assert ([], []) == (hands.sent_since(mark), world.running.statements(ref))

    assert "done" == attempt(world, confirm=made_by_hand).word
    assert [1] == hands.census()["marker"]
    assert "nothing-to-do" == attempt(world).word  # the marker and DATABASE_URL vouch from now on


@pytest.mark.rare
def test_id_that_was_not_observed_cannot_be_confirmed(world, hands, made_by_hand):
    mark = hands.mark()

    stopped = attempt(world, confirm=f"{made_by_hand},{'a' * 20}")

    assert WrongEnvironmentError is type(stopped.error)
    assert f"{'a' * 20} was confirmed, and it is not what was observed." == stopped.error.what
    assert [] == hands.sent_since(mark)


@pytest.mark.rare
def test_paused_and_unconfirmed_are_both_said(world, hands, made_by_hand):
    hands.call("supabase", "POST", f"/v1/projects/{made_by_hand.split(',')[0]}/pause")
    until(lambda: "INACTIVE" == hands.projects()[0]["status"])

    assert [
        ("unconfirmed", "railway/environment"),
        ("paused", "supabase/project"),
        ("unconfirmed", "supabase/project"),
    ] == [(one.code, one.address) for one in findings(world)]
    assert "done" == attempt(world, confirm=made_by_hand, restore_paused=True).word


@pytest.mark.parametrize("name", ["staging", "another"])
def test_environment_is_the_one_that_the_config_names_by_id(world, hands, monkeypatch, name):
    hands.new_railway_project(environment=name)
    ours = 'project_name = "pantheon-staging"'
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (ours, f'{ours}, environment = "no-such-id"'))))
    mark = hands.mark()

    stopped = attempt(world)

    assert WrongEnvironmentError is type(stopped.error)
    assert 'no environment "staging" with the id no-such-id' in stopped.error.what
    assert [] == hands.sent_since(mark)


@pytest.mark.rare
def test_allow_list_confirms_for_good(world, hands, made_by_hand, monkeypatch):
    path = config_with(world)
    ref, railway = made_by_hand.split(",")
    listed = f'\n[environments.staging]\nsupabase_ref = "{ref}"\nrailway_environment = "{railway}"\n'
    identities = path.with_name("identities.toml")
    identities.write_text(identities.read_text() + listed)
    monkeypatch.setenv("PANTHEON_CONFIG", str(path))

    assert "done" == attempt(world).word


@pytest.mark.rare
def test_productions_railway_project_named_as_stagings_is_not_vouched_for(world, hands, monkeypatch):
    """Both files are wrong alike: to them production is somebody else, and staging's project is production's."""
    railway = world.facts["railway"]
    another = hands.new_railway_project("somebody-elses")
    names = ('project_name = "pantheon-staging"', f'project_name = "{railway["project_name"]}"')
    path = config_with(world, names)
    for file in (path, path.with_name("identities.toml")):
        file.write_text(file.read_text().replace(railway["project_id"], another))
    monkeypatch.setenv("PANTHEON_CONFIG", str(path))
    mark = hands.mark()

    stopped = attempt(world)

    assert BlockedPlanError is type(stopped.error)
    assert f"nothing says that the Railway project {railway['project_id']} is ours" in stopped.error.what
    assert [] == hands.sent_since(mark)


@pytest.mark.parametrize(
    "is_marked", [pytest.param(True, marks=pytest.mark.rare), False], ids=["marked by its holder", "unmarked"]
)
def test_restored_copy_of_production_is_not_staging(world, hands, is_marked):
    """The files of production's cluster in the place of staging's, with the password that Railway has for staging."""
    assert "done" == attempt(world).word
    ref, production = world.staging_ref(), world.facts["supabase"]["ref"]
    password = hands.variables("api")["DATABASE_URL"].partition("@")[0].rpartition(":")[2]
    if is_marked:
        hands.sql(production, marking("production", production))
    copy_cluster(world, production, ref)
    hands.call("supabase", "PATCH", f"/v1/projects/{ref}/database/password", {"password": password})
    mark, before = hands.mark(), world.running.statements(ref)

    stopped = attempt(world)

    assert "refused" == stopped.word
    told = (
        "the marker that a run of ours wrote is gone"
        if not is_marked
        else f'it is "production" of project {production}'
    )
    assert told in stopped.error.what
    assert ([], before) == (hands.sent_since(mark), world.running.statements(ref))


def marking(name: str, ref: str) -> str:
    table = "only_row boolean primary key, name text, cloud text, ref text, marked_at timestamptz"
    row = f"(true, '{name}', 'sandbox', '{ref}', now())"
    return (
        f"create schema {SCHEMA}; create table {SCHEMA}.environment ({table});"
        f" insert into {SCHEMA}.environment values {row}"
    )


def copy_cluster(world, source: str, target: str) -> None:
    saved = Path(tempfile.mkdtemp(prefix="pr-c-")) / "copied"
    world.running.save(str(saved))
    shutil.rmtree(saved / "clusters" / target)
    shutil.copytree(saved / "clusters" / source, saved / "clusters" / target, symlinks=True)
    world.running.load(str(saved))
    shutil.rmtree(saved.parent)


@pytest.mark.rare
def test_write_to_another_place_does_not_leave(world, hands):
    """Nobody's production, and seen by nobody: each kind's ids are looked at once, and a later one is another."""
    assert "done" == attempt(world).word
    theirs, foreign = hands.new_project("theirs"), hands.new_railway_project("theirs")
    run = world.open()
    world.plan(run)
    run.session.gate.is_open = True
    vault = run.session.kinds["supabase/auth"]._vault
    mark = hands.mark()
    held = {
        "supabase.ref": (theirs, Change("supabase/auth", "update", {}, {"redirect_urls": []}, (), "", "")),
        "railway.project_id": (foreign, Change("railway/environment", "create", {}, {}, (), "", "")),
        "railway.environment_id": (foreign, Change("railway/variables/api", "update", {}, {}, (), "", "")),
        "railway.service.api": (foreign, Change("railway/domain/api", "create", {}, {}, (), "", "")),
    }
    for name, (other, change) in held.items():
        ours = vault.text(name)
        vault.hold(name, other, secret=False)
        with pytest.raises(RefusedError, match=f"names {other}"):
            run.session._kind_of(change.address).write(change)
        vault.hold(name, ours, secret=False)
    frontend = run.session.kinds["vercel/variables"]
    frontend._project = "prj_theirs"
    with pytest.raises(RefusedError, match="names prj_theirs"):
        frontend.write(Change("vercel/variables/preview", "update", {}, {}, (), "", ""))

    assert [] == hands.sent_since(mark)
    world.seal(run)


@pytest.mark.rare
def test_staging_that_is_half_right_is_shown_piece_by_piece_and_only_completed(world, hands, monkeypatch):
    """No marker, no evidence of ours, two variables wrong, a bucket missing; and paused, nothing inside can be seen."""
    assert "done" == attempt(world).word
    ref, environment = world.staging_ref(), hands.railway_projects()[0]["environments"]["staging"]["id"]
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world)))  # with an evidence folder that is empty
    hands.sql(ref, f"drop schema {SCHEMA} cascade")
    hands.set_variable("api", "LOG_LEVEL", "error")
    hands.set_variable("worker", "OPENROUTER_MODEL", "another")
    hands.storage(ref, "DELETE", "/bucket/avatars")

    run = world.open("plan")
    card = draw(run.session.perform("observe")).text()
    world.seal(run)
    print(card)
    words = {line.split()[1]: " ".join(line.split()[2:]) for line in card.splitlines() if line[2:3] in "=+?"}
    assert {
        "railway/variables/api": "wrong LOG_LEVEL",
        "railway/variables/worker": "wrong OPENROUTER_MODEL",
        "supabase/bucket/avatars": "missing",
    } == {address: told for address, told in words.items() if not told.startswith(("adopted", "present"))}
    assert 2 == card.count("unconfirmed")

    mark = hands.mark()
    assert "refused" == attempt(world).word
    assert [] == hands.sent_since(mark)
    assert "done" == attempt(world, confirm=f"{ref},{environment}").word
    print("\n".join(hands.sent_since(mark)))
    assert sorted(hands.sent_since(mark)) == [
        "railway variableCollectionUpsert",
        "railway variableCollectionUpsert",
        "supabase-project POST /storage/v1/bucket",
    ]
    assert [1] == hands.census()["marker"]

    hands.call("supabase", "POST", f"/v1/projects/{ref}/pause")
    until(lambda: "INACTIVE" == hands.projects()[0]["status"])
    run = world.open("plan")
    card = draw(run.session.perform("observe")).text()
    world.seal(run)
    (line,) = [one for one in card.splitlines() if "supabase/bucket/avatars" in one]
    assert "out of sight" in line


def test_identity_that_nobody_tells_stops_the_run(world, monkeypatch):
    """A kind of resource that shows what is there and does not say in whose project."""
    run = world.open()
    project = run.session.kinds["supabase/project"]
    monkeypatch.setattr(project, "look", lambda: Look((Resource("supabase/project", "present", {"name": "x"}),)))

    with pytest.raises(WrongEnvironmentError, match="whose supabase/project it is cannot be observed"):
        run.session.perform("observe")

    assert "refused" == world.seal(run).word
    assert [] == world.mutating()
