"""Each kind of fault, seen by a raw client, and what it did to the vendor's memory."""

import http.client

import pytest
from talk import supabase

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.faults import Rule, Switchboard, rule_of

pytestmark = pytest.mark.alike

READ = {"service": "supabase", "operation": "GET /v1/projects/{ref}"}
RENAME = {"service": "supabase", "operation": "PATCH /v1/projects/{ref}"}


def project(running, **options):
    return supabase(running, f"/v1/projects/{running.facts()['supabase']['ref']}", **options)


def rename(running, **options):
    return project(running, method="PATCH", body={"name": "renamed"}, **options)


def name(running):
    return project(running).json()["name"]


def last_logged(running):
    record = running.mutating()[-1]
    return record["status"], record.get("fault")


def test_rate_limit_refuses_without_effect(sandbox):
    sandbox.faults([{**RENAME, "kind": "429", "seconds": 7}])
    reply = rename(sandbox)
    assert (429, "7") == (reply.status, reply.headers["retry-after"])
    assert (429, "429") == last_logged(sandbox)
    assert "renamed" != name(sandbox)


@pytest.mark.parametrize(("kind", "has_effect"), [("500-before", False), ("500-after", True)])
def test_server_error_before_or_after_the_effect(sandbox, kind, has_effect):
    sandbox.faults([{**RENAME, "kind": kind}])
    assert 500 == rename(sandbox).status
    assert (500, kind) == last_logged(sandbox)
    assert has_effect == (name(sandbox) == "renamed")


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(("kind", "has_effect"), [("reset-before", False), ("reset-after", True)])
def test_reset_drops_the_connection(sandbox, kind, has_effect, tcp):
    sandbox.faults([{**RENAME, "kind": kind}])
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        rename(sandbox, tcp=tcp)
    assert (None, kind) == last_logged(sandbox)
    assert has_effect == (name(sandbox) == "renamed")


def test_timeout_comes_after_the_effect(sandbox):
    sandbox.faults([{**RENAME, "kind": "timeout-after", "seconds": 30}])
    with pytest.raises(TimeoutError):
        rename(sandbox, timeout=0.3)
    assert "renamed" == name(sandbox)
    assert (None, "timeout-after") == last_logged(sandbox)


def test_truncated_body_promises_more_than_it_sends(sandbox):
    sandbox.faults([{**RENAME, "kind": "truncated"}])
    with pytest.raises(http.client.IncompleteRead) as cut:
        rename(sandbox)
    assert cut.value.expected > 0
    assert "renamed" == name(sandbox)


def test_stale_read_shows_the_time_before_the_mutation(sandbox):
    before = name(sandbox)
    rename(sandbox)
    sandbox.faults([{**READ, "kind": "stale"}])
    assert [before, "renamed"] == [name(sandbox), name(sandbox)]


def test_stale_read_that_nobody_asked_before(sandbox):
    """The old memory answers, not only old answers."""
    rename(sandbox)
    sandbox.faults([{**READ, "kind": "stale"}])
    assert ["pantheon-production", "renamed"] == [name(sandbox), name(sandbox)]


def test_latency_only_delays(sandbox):
    sandbox.faults([{**READ, "kind": "latency", "seconds": 0.3}])
    with pytest.raises(TimeoutError):
        project(sandbox, timeout=0.1)
    assert 200 == project(sandbox).status


def test_rules_count_what_they_skip_and_hit():
    board = Switchboard()
    board.replace([Rule("429", operation="POST *", skip=1, times=2)])
    about = {"service": "supabase", "operation": "POST /v1/projects", "environment": None, "mutating": True}
    picked = [board.pick(**about) is not None for _request in range(5)]
    assert [False, True, True, False, False] == picked


def test_rule_is_about_one_environment():
    rule = Rule("429", environment="production")
    about = {"service": "railway", "operation": "variableUpsert", "mutating": True}
    assert rule.matches(**about, environment="production")
    assert not rule.matches(**about, environment="staging")


def test_wrong_rule_is_refused_by_name(sandbox):
    with pytest.raises(ValueError, match="choose one of"):
        rule_of({"kind": "explode"})
    with pytest.raises(SandboxError, match="has no colour"):
        sandbox.faults([{"kind": "429", "colour": "red"}])
