"""`init --pin-staging`: the ids of a staging that is known to be ours, into identities.toml and nowhere else."""

from __future__ import annotations

import shutil

import pytest

from pantheon_runbook.config import load_identities

_PIN = ("init", "--pin-staging")


@pytest.fixture
def identities(world):
    """The team's own files in the working folder."""
    for name in ("pantheon.toml", "identities.toml"):
        shutil.copy2(world.customer / name, world.folder / name)
    return world.folder / "identities.toml"


@pytest.mark.rare
def test_ids_are_written_once_everything_is_vouched_for(world, hands, identities):
    """The step by hand says the command, the command writes one table, and then nobody has to say it again."""
    before = identities.read_text()
    assert 4 == world.cli(*_PIN).returncode  # nothing is there yet
    applied = world.cli("run", "RB-010", "--apply")
    command = "pantheon-runbook init --pin-staging -e staging"
    assert command in applied.stdout
    mark = hands.mark()

    pinned = world.cli(*_PIN)

    assert (0, []) == (pinned.returncode, hands.sent_since(mark)), pinned.stderr
    project = hands.railway_projects()[0]
    assert {
        "supabase_ref": world.staging_ref(),
        "railway_project": project["id"],
        "railway_environment": project["environments"]["staging"]["id"],
        "vercel_project": world.facts["vercel"]["project_id"],
    } == load_identities(identities).allowed("staging")
    written = identities.read_text()
    assert written.startswith(before.rstrip())
    again = world.cli(*_PIN)
    assert (True, written) == ("nothing was written" in again.stdout, identities.read_text())
    assert command not in world.cli("run", "RB-010", "--apply").stdout


def test_what_nobody_vouches_for_is_not_written(world, hands, identities):
    hands.new_railway_project()
    before = identities.read_bytes()

    refused = world.cli(*_PIN)

    assert (4, before) == (refused.returncode, identities.read_bytes())
    assert 'nobody vouches for "staging"' in refused.stderr
    assert "Next:    pantheon-runbook run RB-010 -e staging -p confirm=" in refused.stderr


def test_production_is_never_allowed(quiet_world):
    refused = quiet_world.cli(*_PIN, "-e", "production")

    assert (2, True) == (refused.returncode, "production was to be put on an allow list" in refused.stderr)


def test_choice_beside_it_is_a_mistake(quiet_world):
    refused = quiet_world.cli(*_PIN, "--pin-production")

    assert (2, True) == (refused.returncode, "--pin-staging goes with -e only" in refused.stderr)
