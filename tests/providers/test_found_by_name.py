"""Names are all there is to go by: what only looks like ours is not taken, and two are a reason to stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pantheon_runbook.config import Railway, Supabase
from pantheon_runbook.errors import AmbiguousTargetError
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.providers.railway import RailwayApi
from pantheon_runbook.providers.railway_services import ServiceKind
from pantheon_runbook.providers.supabase import Project
from pantheon_runbook.providers.supabase_settings import ApiKeys
from pantheon_runbook.secrets import Registry, Vault

PROJECT = {"ref": "a" * 20, "name": "pantheon-staging", "region": "eu-west-1", "status": "INACTIVE", "is_branch": False}
SETTINGS = Supabase(name="pantheon-staging", organization="ours")


def will_list(stub: Any, *, times: int = 1, **project: Any) -> None:
    stub.will_answer(200, {"projects": [{**PROJECT, **project}] * times, "pagination": {"count": times}})


@pytest.fixture
def around() -> Surroundings:
    vault = Vault(Registry(), salt="00" * 32)
    for name in ("railway.project_id", "railway.environment_id"):
        vault.hold(name, "an-id", secret=False)
    vault.hold("supabase.ref", PROJECT["ref"], secret=False)
    return Surroundings(vault, 1.0, lambda _: None)


def test_two_services_of_one_name_stop(railway_client, stub, around):
    """Variables and references go by the name."""
    instances = [{"node": {"serviceId": one, "serviceName": "api"}} for one in ("first", "second")]
    stub.will_answer(200, {"data": {"environment": {"serviceInstances": {"edges": instances}}}})

    with pytest.raises(AmbiguousTargetError, match="two Railway services called api"):
        ServiceKind(RailwayApi(railway_client), Railway(), around).look()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("is_branch", True, ["branch-of-a-project"]), ("status", "REMOVED", []), ("name", "pantheon", [])],
)
def test_what_is_no_project_of_ours_is_not_adopted(supabase_client, stub, around, field: str, value: Any, told):
    """Also when it has the name: a branch of production, and what somebody removed."""
    will_list(stub, **{field: value})

    look = Project(supabase_client, SETTINGS, around, plan="pro").look()

    assert ["absent"] == [seen.state for seen in look.resources]
    assert {} == look.identities
    assert told == [finding.code for finding in look.findings if finding.blocks]


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_paused_project_blocks_until_its_restore_is_asked_for(supabase_client, stub, around, *, is_asked_for: bool):
    """It costs money from then on."""
    will_list(stub)

    look = Project(supabase_client, SETTINGS, replace(around, restores_paused=is_asked_for), plan="pro").look()

    assert [("paused", not is_asked_for)] == [(finding.code, finding.blocks) for finding in look.findings]


@pytest.mark.parametrize(("plan", "expected"), [("free", ["plan-limit"]), ("pro", [])])
def test_project_without_room_for_it_blocks(supabase_client, stub, around, plan: str, expected: list[str]):
    """Two active projects of others; one more is refused after half of staging was made."""
    will_list(stub, times=2, name="of-others", status="ACTIVE_HEALTHY")

    look = Project(supabase_client, SETTINGS, around, plan=plan).look()

    assert expected == [finding.code for finding in look.findings if finding.blocks]


def test_branches_take_no_room_from_projects(supabase_client, stub, around):
    will_list(stub, times=2, name="of-others", status="ACTIVE_HEALTHY", is_branch=True)

    assert () == Project(supabase_client, SETTINGS, around, plan="free").look().findings


@pytest.mark.parametrize(("role", "state"), [("service_role", "present"), ("anon", "absent"), (None, "absent")])
def test_secret_key_of_another_role_is_not_taken(supabase_client, stub, around, role, state):
    """The backend would be refused its own rows with it."""
    around.vault.hold("supabase.status", "ACTIVE_HEALTHY", secret=False)
    key = {"name": "theirs", "type": "secret", "api_key": "a key of theirs", "secret_jwt_template": {"role": role}}
    stub.will_answer(200, [key])

    seen = {one.address: one.state for one in ApiKeys(supabase_client, around).look().resources}

    assert state == seen["supabase/api-key/secret"]
