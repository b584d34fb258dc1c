"""Which projects, environments and services a request is about, by the ids in its host, path and body. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

_PLACES = frozenset({"projectId", "environmentId", "serviceId", "project"})
# In a host, or behind the role that somebody logs in as at the pooler.
_REF = re.compile(r"(?<![a-z])([a-z]{20})\.supabase\.co\b|(?:\bpostgres|//[\w-]+)\.([a-z]{20})(?![a-z])")
_IN_A_PATH = re.compile(r"/v\d+/projects/([^/?]+)")


def named_in(host: str, path: str, params: Mapping[str, str], body: Any) -> tuple[str, ...]:
    """Every such id, sorted; () for a request that makes a new project.

    Supabase: the ref in the host or the path. Vercel: the project in the path, or under project. Railway: what stands
    under projectId, environmentId or serviceId, however deep; a mutation that takes a bare id has no place here and
    sends none.
    """
    named = refs_in(host) | {unquote(found) for found in _IN_A_PATH.findall(path)}
    named |= {value for name, value in params.items() if name in _PLACES}
    return tuple(sorted(named | set(_places_in(body))))


def refs_in(text: str) -> set[str]:
    """The Supabase projects that a text names by their hosts, or as a tenant of a pooler; URL-encoded or not."""
    return {one or other for one, other in _REF.findall(unquote(text))}


def _places_in(body: Any) -> Iterator[str]:
    """Values of variables are whatever they are: a table of them is not looked into."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            if name in _PLACES and isinstance(value, str):
                yield value
            else:
                yield from _places_in(value)
    elif isinstance(body, Iterable) and not isinstance(body, str | bytes):
        for one in body:
            yield from _places_in(one)
