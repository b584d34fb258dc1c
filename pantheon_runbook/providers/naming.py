"""Which projects, environments, services and deployments a request is about, by the ids in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

_PLACES = frozenset({"projectId", "environmentId", "serviceId", "deploymentId", "project"})
# In a host, or behind the role that somebody logs in as at the pooler.
_REF = re.compile(r"(?<![a-z])([a-z]{20})\.supabase\.co\b|(?:\bpostgres|//[\w-]+)\.([a-z]{20})(?![a-z])")
_IN_A_PATH = re.compile(r"/v\d+/projects/([^/?]+)(?:/(?:promote|rollback)/([^/?]+))?")


def named_in(host: str, path: str, params: Mapping[str, str], body: Any) -> tuple[str, ...]:
    """Every such id, sorted; () for a request that makes a new project.

    Supabase: the ref in the host or the path. Vercel: the project in the path, or under project, and the deployment
    that it promotes or goes back to. Railway: what stands under projectId, environmentId, serviceId or deploymentId,
    however deep; a mutation that takes a bare id has to call its variable so, or sends none.
    """
    named = refs_in(host) | {unquote(one) for found in _IN_A_PATH.findall(path) for one in found if one}
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
