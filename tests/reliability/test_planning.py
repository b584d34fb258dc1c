"""Planning and what staging consists of, by values alone: same inputs, same bytes; nothing wanted twice."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from pantheon_runbook import provisioning
from pantheon_runbook.config import Config
from pantheon_runbook.model import Desired, Resource, Snapshot
from pantheon_runbook.planning import difference, in_order, plan_changes

SNAPSHOT = Snapshot("sandbox", "staging", {}, {}, (), (), "2026-11-23T10:00:00Z")


def chain() -> list[Desired]:
    return [Desired("d", {}, ("a",)), Desired("a", {}), Desired("c", {}, ("b", "d")), Desired("b", {}, ("a",))]


@pytest.mark.parametrize("seed", range(5))
def test_order_does_not_depend_on_the_order_of_wishes(seed):
    wishes = chain()
    random.Random(seed).shuffle(wishes)

    assert ["a", "b", "d", "c"] == [desired.address for desired in in_order(wishes)]


def test_circle_is_named():
    with pytest.raises(ValueError, match="x, y"):
        in_order([Desired("x", {}, ("y",)), Desired("y", {}, ("x",))])


def test_met_dependency_orders_nothing():
    seen = replace(SNAPSHOT, resources=(Resource("a", "present"),))
    changes, left_alone = plan_changes(chain(), seen)

    assert {"b": (), "d": (), "c": ("b", "d")} == {change.address: change.depends_on for change in changes}
    assert (("a", "already as desired"),) == left_alone


@pytest.mark.parametrize(
    ("want", "have", "differs"),
    [
        ({"from": "x", "fingerprint": "1"}, {"fingerprint": "1"}, ()),
        ({"from": "x", "fingerprint": "1"}, {"fingerprint": "2"}, ("NAME",)),
        ({"from": "x", "fingerprint": None}, {"fingerprint": None}, ("NAME",)),
        ({"from": "x", "fingerprint": "1"}, {"unreadable": True}, ("NAME",)),
        ({"from": "x", "fingerprint": "1"}, None, ("NAME",)),
        ([1, 2], [1, 2], ()),
        (None, None, ()),
        (False, None, ("NAME",)),
    ],
)
def test_value_is_the_same_only_when_that_is_known(want, have, differs):
    """A value that nobody can read, or that is not known yet, is never called equal."""
    assert differs == difference(Desired("a", {"NAME": want}), Resource("a", "present", {"NAME": have}))


def config(**more: object) -> Config:
    environment = {
        "supabase": {"name": "s", "organization": "o"},
        "railway": {"workspace": "w", "project_name": "s"},
        "vercel": {"site_url": "https://s.vercel.app"},
    }
    return Config.model_validate_json(
        json.dumps(
            {
                "cloud": "sandbox",
                "environments": {
                    "production": {**environment, "vercel": {"target": "production"}},
                    "staging": environment,
                },
                "backend": {
                    "background_jobs": False,
                    "services": [{"name": "api", "public": True}, {"name": "worker", "is_worker": True}],
                },
                "frontend": {"vercel_project": "p", "vercel_team": "t"},
                "variables": [
                    {"name": "URL", "targets": ["railway:api", "railway:worker"], "source": "database.session_url"},
                    {"name": "API", "targets": ["vercel:preview"], "source": "railway.api_url"},
                ],
                **more,
            }
        )
    )


def wanted(config: Config, snapshot: Snapshot = SNAPSHOT, *, restore_paused: bool = False) -> dict[str, Desired]:
    listed = provisioning.desired_staging(config, "staging", snapshot, {}, restore_paused=restore_paused)
    assert len({one.address for one in listed}) == len(listed)
    return {one.address: one for one in listed}


def test_worker_is_wanted_only_with_background_jobs():
    with_jobs = config(
        backend={
            "background_jobs": True,
            "services": [{"name": "api", "public": True}, {"name": "worker", "is_worker": True}],
        }
    )

    assert "railway/service/worker" not in wanted(config())
    assert "railway/service/worker" in wanted(with_jobs)
    assert "railway/variables/worker" in wanted(with_jobs)


def test_variable_waits_for_what_brings_its_value():
    assert ("railway/domain/api",) == wanted(config())["vercel/variables/preview"].depends_on
    assert ("railway/service/api", "database/password") == wanted(config())["railway/variables/api"].depends_on


@pytest.mark.parametrize(
    ("status", "restore_paused", "action"),
    [
        ("ACTIVE_HEALTHY", False, None),
        ("COMING_UP", False, "wait"),
        ("INACTIVE", True, "restore"),
        ("INACTIVE", False, ""),
    ],
)
def test_project_is_made_awaited_or_restored(status, restore_paused, action):
    seen = replace(SNAPSHOT, resources=(Resource("supabase/project", "present", {"status": status}),))
    project = wanted(config(), seen, restore_paused=restore_paused).get("supabase/project")

    assert action == ("" if project is None else project.action)


@pytest.mark.parametrize(("state", "action"), [("absent", "hold"), ("present", "reset")])
def test_password_is_reset_only_where_there_is_one(state, action):
    seen = replace(SNAPSHOT, resources=(Resource("supabase/project", state, {"status": "ACTIVE_HEALTHY"}),))

    assert action == wanted(config(), seen)["database/password"].action


def test_bucket_is_wanted_as_production_has_it():
    settings = {"public": True, "file_size_limit": 5, "allowed_mime_types": ["image/png"]}
    seen = replace(SNAPSHOT, resources=(Resource("production/bucket/b", "present", {**settings, "more": 1}),))

    assert settings == wanted(config(), seen)["supabase/bucket/b"].attributes


def test_redirects_that_are_there_are_wanted_first():
    seen = replace(
        SNAPSHOT, resources=(Resource("supabase/auth", "present", {"redirect_urls": ["https://theirs/**"]}),)
    )

    urls = wanted(config(), seen)["supabase/auth"].attributes["redirect_urls"]
    assert ["https://theirs/**", "https://s.vercel.app/**"] == urls
