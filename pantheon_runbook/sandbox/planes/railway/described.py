"""What a GraphQL request is about: its root fields, and the environment that its ids point at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    Visitor,
    parse,
    visit,
)

from pantheon_runbook.sandbox.planes.routes import Described
from pantheon_runbook.sandbox.world import Record, World

# These reach every environment of a project, whatever environment the request names.
_PROJECT_WIDE = {"serviceCreate", "serviceConnect", "serviceDisconnect", "serviceUpdate", "projectDelete"}


def describe(body: bytes, world: World) -> Described:
    """Operation "" when the body is no GraphQL request; such a request changes nothing."""
    try:
        request = json.loads(body)
        document = parse(request["query"])
    except (ValueError, KeyError, TypeError, GraphQLError):
        return Described("", None, mutating=False)
    operation = _chosen(document, request.get("operationName"))
    if operation is None:
        return Described("", None, mutating=False)
    fields = sorted(set(_root_fields(document, operation.selection_set)))
    mutating = operation.operation is OperationType.MUTATION
    ids = {*_strings(request.get("variables")), *_literals(document)}
    return Described(",".join(fields), _environment(world, fields, ids), mutating)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    for operation in operations:
        if name is None or (operation.name is not None and operation.name.value == name):
            return operation
    return None


def _root_fields(document: DocumentNode, selections: SelectionSetNode) -> Iterator[str]:
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for node in selections.selections:
        if isinstance(node, FieldNode):
            yield node.name.value
        elif isinstance(node, InlineFragmentNode):
            yield from _root_fields(document, node.selection_set)
        elif isinstance(node, FragmentSpreadNode) and node.name.value in fragments:
            yield from _root_fields(document, fragments[node.name.value].selection_set)


def _strings(value: Any) -> Iterator[str]:
    """Every string in the variables except variable values of services, which are no ids of this request."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in {"variables", "value", "serializedConfig"}:
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _literals(document: DocumentNode) -> set[str]:
    found: set[str] = set()

    class Collect(Visitor):
        def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
            found.add(node.value)

    visit(document, Collect())
    return found


def _environment(world: World, fields: list[str], ids: set[str]) -> str | None:
    """An environment that is named decides; a service or project without one is told by its own environments."""
    memory: Record = world.document["railway"]
    environments: dict[str, Record] = memory.get("environments", {})
    projects = _projects(memory, ids)
    if _PROJECT_WIDE.intersection(fields):
        return _all_of([one for one in environments.values() if one["projectId"] in projects], bool(projects))
    named = {environment_id for environment_id in ids if environment_id in environments}
    for table in ("deployments", "domains", "triggers", "project_tokens", "workflows", "instances"):
        rows = memory.get(table, {}).values()
        named |= {row["environmentId"] for row in rows if row.get("id") in ids}
    if named:
        return _all_of([environments[one] for one in named if one in environments], known=True)
    return _all_of([one for one in environments.values() if one["projectId"] in projects], bool(projects))


def _projects(memory: Record, ids: set[str]) -> set[str]:
    """Projects that are named themselves or through a service or an environment."""
    found = {one for one in ids if one in memory.get("projects", {})}
    for table in ("services", "environments"):
        found |= {row["projectId"] for key, row in memory.get(table, {}).items() if key in ids}
    return found


def _all_of(environments: list[Record], known: bool) -> str | None:  # noqa: FBT001  private, read aloud at the call
    """Production when one of them is; what touches several is as serious as the worst."""
    if not known:
        return None
    return "production" if any(one.get("production") for one in environments) else "staging"
