"""What must stop an apply before its first write: production's values, production's places, no room, no right."""

from __future__ import annotations

import json
import shutil

import pytest
from attempts import attempt, config_with

from pantheon_runbook.errors import BlockedPlanError, CredentialError


def refused(world, hands, *, because: str) -> None:
    """Blocked by a finding that says so, and not one write was sent."""
    mark = hands.mark()
    stopped = attempt(world)
    assert isinstance(stopped.error, BlockedPlanError), stopped
    assert because in stopped.error.what
    assert "refused" == stopped.word
    assert [] == hands.sent_since(mark)


def test_production_pin_in_railway_variable_blocks(world, hands):
    assert "done" == attempt(world).word
    hands.set_variable("worker", "LEGACY_DATABASE", hands.facts["supabase"]["session_url"])
    refused(world, hands, because="LEGACY_DATABASE holds production's secret")


def test_production_value_in_edge_secret_blocks(world, hands):
    """By the digests: neither value can be read."""
    assert "done" == attempt(world).word
    ref, production = hands.projects()[0]["ref"], hands.facts["supabase"]["ref"]
    document = json.loads((world.running.folder / "world.json").read_text())["supabase"]["projects"]
    document[ref]["secrets"]["SENTRY_DSN"] = document[production]["secrets"]["SENTRY_DSN"]
    edit(world, lambda whole: whole["supabase"]["projects"].update(document))
    refused(world, hands, because="SENTRY_DSN has production's value")


def test_production_pin_in_preview_comment_blocks(world, hands):
    assert "done" == attempt(world).word
    from pantheon_runbook.config import load_identities  # noqa: PLC0415

    pin = load_identities(world.customer / "identities.toml").production.pins["SUPABASE_SERVICE_ROLE_KEY"]
    comment = f"pantheon-runbook fingerprint {pin}"
    hands.new_vercel_variable(key="SERVICE", value="x", type="sensitive", target=["preview"], comment=comment)
    refused(world, hands, because="SERVICE holds production's secret")


def test_production_value_in_plain_preview_variable_blocks(world, hands):
    hands.new_vercel_variable(key="SERVICE", value=hands.facts["supabase"]["service_role_key"], target=["preview"])
    refused(world, hands, because="SERVICE holds production's secret")


def test_variable_shared_with_production_blocks(world, hands):
    hands.new_vercel_variable(key="SHARED", value="x", target=["preview", "production"])
    refused(world, hands, because="SHARED is one variable for preview and production")


def test_free_plan_without_room_blocks(world, hands):
    hands.new_project("somebody-elses-experiment")
    slug = hands.facts["supabase"]["organization_slug"]
    edit(world, lambda whole: whole["supabase"]["organizations"][slug].update(plan="free"))
    refused(world, hands, because="the Free plan holds 2 active projects and there are 2")


def test_wrong_organization_opens_no_run(world, hands, monkeypatch):
    slug, foreign = hands.facts["supabase"]["organization_slug"], hands.facts["supabase"]["foreign_slug"]
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (slug, foreign))))

    stopped = attempt(world)
    assert ("no-run", CredentialError) == (stopped.word, type(stopped.error))
    assert [] == world.mutating()


def test_service_is_not_made_in_a_shared_project(world, hands, monkeypatch):
    """serviceCreate would make it in production too."""
    before = hands.railway_projects("pantheon")[0]["environments"]["production"]
    old = 'layout = "own-project"'
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (old, 'layout = "shared-project"'))))

    stopped = attempt(world)
    assert stopped.word in {"partial", "refused"}
    assert "railway serviceCreate" not in world.mutating()
    assert before == hands.railway_projects("pantheon")[0]["environments"]["production"]


@pytest.mark.parametrize("times", [1, 4])
def test_refusal_inside_a_200_is_not_taken_for_success(world, hands, monkeypatch, times):
    """GraphQL says no with status 200: here, for a workspace that is somebody else's."""
    workspace = hands.facts["railway"]["workspace_id"]
    monkeypatch.setenv("PANTHEON_CONFIG", str(config_with(world, (workspace, f"no-such-{times}"))))

    stopped = attempt(world)
    assert ("no-run", CredentialError) == (stopped.word, type(stopped.error))


def test_part_that_failed_inside_a_201_is_named(world, hands):
    """Preview already has the name on another target's variable: Vercel sets the rest and says so."""
    hands.new_vercel_variable(key="NEXT_PUBLIC_API_URL", value="x", target=["development", "preview"])
    mark = hands.mark()

    stopped = attempt(world)
    print(stopped, hands.sent_since(mark))
    assert "partial" == stopped.word
    assert "NEXT_PUBLIC_API_URL" in stopped.error.what


def edit(world, change) -> None:
    """The vendors' memory, changed behind everybody's back."""
    saved = world.folder / "edited"
    world.running.save(str(saved))
    document = json.loads((saved / "world.json").read_text())
    change(document)
    (saved / "world.json").write_text(json.dumps(document))
    world.running.load(str(saved))
    shutil.rmtree(saved)
