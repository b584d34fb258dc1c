"""Fields as the executor calls them, and Relay pages with cursors that are the nodes' ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from pantheon_runbook.sandbox.world import Record

Shape = Callable[[Record], Record]


def connection(
    records: Sequence[Record],
    shape: Shape,
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> Record:
    """One page of `records`, each drawn by `shape`; no size means all of them."""
    ids = [record["id"] for record in records]
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    if first is not None:
        end = min(end, start + first)
    if last is not None:
        start = max(start, end - last)
    page = records[start:end]
    return {
        "edges": [{"cursor": record["id"], "node": shape(record)} for record in page],
        "pageInfo": {
            "startCursor": page[0]["id"] if page else None,
            "endCursor": page[-1]["id"] if page else None,
            "hasNextPage": end < len(ids),
            "hasPreviousPage": start > 0,
        },
    }


# GraphQL's names of arguments that are Python's own words.
_RENAMED: Final = {"id": "identifier", "input": "given"}


def field(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """A resolver whose arguments are spelled as Python spells them: `projectId` arrives as `project_id`."""

    def called(info: Any, **arguments: Any) -> Any:
        return resolve(info, **{_spelled(name): value for name, value in arguments.items()})

    return called


def _spelled(name: str) -> str:
    return _RENAMED.get(name) or re.sub(r"(?<!^)([A-Z])", lambda found: f"_{found[1].lower()}", name)


def paged(records: Callable[[], Sequence[Record]], shape: Shape) -> Callable[..., Record]:
    """A GraphQL field that gives `records` page by page; arguments that only sort or filter are not for it."""

    def page_of(_info: Any, **arguments: Any) -> Record:
        page = {name: value for name, value in arguments.items() if name in {"first", "after", "last", "before"}}
        return connection(records(), shape, **page)

    return page_of
