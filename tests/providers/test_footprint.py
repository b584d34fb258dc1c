"""What the journal keeps of a write: enough to know whom it was for and what it made, and no value."""

from __future__ import annotations

from pantheon_runbook.providers.footprint import made, sent


def test_variables_are_told_by_name_and_place():
    body = {
        "query": "mutation M { x }",
        "operationName": "M",
        "variables": {"input": {"projectId": "p", "variables": {"B": "secret", "A": "other"}, "skipDeploys": True}},
    }

    assert {"input": {"projectId": "p", "variables": ["A", "B"], "skipDeploys": True}} == sent(body)


def test_values_and_passwords_are_left_out():
    preview = [{"key": "A", "value": "secret", "type": "sensitive", "target": ["preview"]}]

    assert [{"key": "A", "value": "[value]", "type": "sensitive", "target": ["preview"]}] == sent(preview)
    assert {"name": "staging", "db_pass": "[value]"} == sent({"name": "staging", "db_pass": "secret"})
    assert {"password": "[value]"} == sent({"password": "secret"})


def test_answer_is_told_by_what_it_names():
    """A key's value comes in the same answer as its name, and is not among the known secrets yet."""
    assert {"data": {"name": "k"}} == made({"key": "sk-or-v1-secret", "data": {"hash": "of the secret", "name": "k"}})
    assert {"ref": "r", "name": "n"} == made({"ref": "r", "name": "n", "status": "COMING_UP"})
    assert {"data": {"serviceCreate": {"id": "i"}}} == made({"data": {"serviceCreate": {"id": "i"}}})
    assert {} == made({"data": {"variableCollectionUpsert": True}})
    assert {} == made(None)
