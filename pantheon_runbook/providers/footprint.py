"""What the journal keeps of a write beside its operation: whom it named and what it made; never a value."""

from __future__ import annotations

from typing import Any

_VALUES = frozenset({"value", "db_pass", "password"})
# Not "key": the name of a variable at one vendor is the secret itself at another; and not the digest of one.
_IDENTIFIERS = frozenset({"id", "ref", "name", "domain", "projectId", "workflowId"})
_LONGEST = 200  # characters of one text


def sent(body: Any) -> Any:
    """The body as an auditor may read it: ids, names and settings stay, values of variables and passwords do not.

    Of a GraphQL request only its variables: the document is told by the operation.
    """
    if isinstance(body, dict) and "query" in body and "variables" in body:
        return sent(body["variables"])
    if isinstance(body, list):
        return [sent(item) for item in body]
    if isinstance(body, dict):
        return {name: _kept(name, item) for name, item in body.items()}
    return body[:_LONGEST] if isinstance(body, str) else body


def _kept(name: str, item: Any) -> Any:
    if name in _VALUES:
        return "[value]"
    if name == "variables" and isinstance(item, dict):
        return sorted(item)  # names only
    if name == "serializedConfig":
        return "[the vendor's own template]"
    return sent(item)


def made(answer: Any) -> Any:
    """Ids and names in an answer: what somebody has to find again when the run stops here; {} when there are none."""
    if isinstance(answer, list):
        return [found for item in answer if (found := made(item))]
    if not isinstance(answer, dict):
        return {}
    own = {name: item for name, item in answer.items() if name in _IDENTIFIERS and _is_short(item)}
    within = {name: found for name, item in answer.items() if (found := made(item))}
    return own | within


def _is_short(item: Any) -> bool:
    return isinstance(item, str) and len(item) <= _LONGEST
