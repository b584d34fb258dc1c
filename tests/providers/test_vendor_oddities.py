"""Answers that the vendors' descriptions allow and the sandbox never gives (FACTS, by section)."""

from __future__ import annotations

import pytest

from pantheon_runbook.config import Frontend, Supabase
from pantheon_runbook.errors import WrongEnvironmentError
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.providers.supabase import Project
from pantheon_runbook.providers.supabase_settings import ApiKeys
from pantheon_runbook.providers.vercel import PreviewVariables
from pantheon_runbook.secrets import Registry, Vault

REF, BRANCH = "abcdefghijklmnopqrst", "bcdefghijklmnopqrstu"
STAGING = {"ref": REF, "name": "staging", "region": "eu-west-1", "status": "ACTIVE_HEALTHY", "is_branch": False}
POOLER = {"database_type": "PRIMARY", "db_host": "aws-1-eu-west-1.pooler.supabase.com", "db_user": f"postgres.{REF}"}
HEALTHY = [{"name": "db", "status": "ACTIVE_HEALTHY"}]


@pytest.fixture
def around() -> Surroundings:
    return Surroundings(Vault(Registry(), salt="ab" * 32), 1.0, print)


def test_branch_of_the_same_name_is_not_staging(supabase_client, stub, around):
    """A preview branch is listed among the projects (1.1, Organizations)."""
    listed = [{**STAGING, "ref": BRANCH, "is_branch": True}, STAGING]
    stub.will_answer(200, {"projects": listed, "pagination": {"count": 2}})
    stub.will_answer(200, [POOLER])
    stub.will_answer(200, HEALTHY)
    look = Project(supabase_client, Supabase(name="staging", organization="o"), around, plan="pro").look()

    assert {"supabase_ref": REF} == look.identities


def test_pooler_of_a_replica_is_not_taken(supabase_client, stub, around):
    stub.will_answer(200, {"projects": [STAGING], "pagination": {"count": 1}})
    stub.will_answer(200, [{**POOLER, "database_type": "READ_REPLICA", "db_host": "replica.example"}, POOLER])
    stub.will_answer(200, HEALTHY)
    Project(supabase_client, Supabase(name="staging", organization="o"), around, plan="pro").look()

    assert POOLER["db_host"] == around.vault.text("supabase.pooler_host")


@pytest.mark.parametrize(
    "odd", [{"db_user": f"postgres.{BRANCH}"}, {"db_host": "pooler.supabase.com.evil.example"}, {"db_user": "postgres"}]
)
def test_pooler_of_another_tenant_is_refused(supabase_client, stub, around, odd):
    """Every statement goes where this one entry says."""
    stub.will_answer(200, {"projects": [STAGING], "pagination": {"count": 1}})
    stub.will_answer(200, [{**POOLER, **odd}])

    with pytest.raises(WrongEnvironmentError, match=f"the pooler of project {REF}"):
        Project(supabase_client, Supabase(name="staging", organization="o"), around, plan="pro").look()


def test_secret_key_of_another_role_or_without_value_is_not_adopted(supabase_client, stub, around):
    """It is the service role only when its template says so; almost every field may be null (1.1, API keys)."""
    around.vault.hold("supabase.ref", REF, secret=False)
    around.vault.hold("supabase.status", "ACTIVE_HEALTHY", secret=False)
    service = {"role": "service_role"}
    stub.will_answer(
        200,
        [
            {"name": "a", "type": "secret", "api_key": "sb_secret_reader", "secret_jwt_template": {"role": "reader"}},
            {"name": "b", "type": "secret", "api_key": "sb_secret_nothing", "secret_jwt_template": None},
            {"name": "c", "type": "secret", "api_key": None, "secret_jwt_template": service},
            {"name": "d", "type": None, "api_key": None},
            {"name": "e"},
        ],
    )

    seen = {resource.address: resource.state for resource in ApiKeys(supabase_client, around).look().resources}
    assert {"supabase/api-key/publishable": "absent", "supabase/api-key/secret": "absent"} == seen
    assert around.vault.get("supabase.service_role_key") is None


def test_target_may_be_a_single_string(client, stub, around):
    """And one variable may be for one branch only: not what every preview gets (3, Environment variables)."""
    envs = [
        {"key": "ONE", "type": "plain", "value": "x", "target": "preview"},
        {"key": "BRANCH", "type": "plain", "value": "x", "target": ["preview"], "gitBranch": "feature"},
        {"key": "OTHER", "type": "plain", "value": "x", "target": "production"},
        {"key": "CUSTOM", "type": "plain", "value": "x", "customEnvironmentIds": ["env_1"]},
    ]
    stub.will_answer(200, {"envs": envs})
    frontend = Frontend(vercel_project="prj_1", vercel_team="team_1")
    seen, _ = PreviewVariables(client, frontend, around, names={}).look().resources

    assert {"ONE"} == set(seen.attributes)
