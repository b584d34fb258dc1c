"""Holds one exchange about OpenRouter's keys against the models of the vendor's own Python SDK.

The folder has no official description of OpenRouter; its SDK is generated from one, so what the SDK takes and
gives stands in for it. That is weaker: the models let an unknown `limit_reset` through, and of an error only what
clients read is demanded.
"""

from __future__ import annotations

import re
import warnings
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from openrouter import operations
from pydantic import BaseModel, ValidationError


class _Operation(NamedTuple):
    method: str
    path: str
    takes: type[BaseModel] | None
    status: int
    gives: type[BaseModel]


_ALL, _ONE, _OWN = "/api/v1/keys", "/api/v1/keys/[0-9a-f]{64}", "/api/v1/key"
_OPERATIONS = (
    _Operation("GET", _ALL, None, 200, operations.ListResponse),
    _Operation("POST", _ALL, operations.CreateKeysRequestBody, 201, operations.CreateKeysResponse),
    _Operation("GET", _ONE, None, 200, operations.GetKeyResponse),
    _Operation("PATCH", _ONE, operations.UpdateKeysRequestBody, 200, operations.UpdateKeysResponse),
    _Operation("GET", _OWN, None, 200, operations.GetCurrentKeyResponse),
    _Operation("DELETE", _ONE, None, 200, operations.DeleteKeysResponse),
)


def check_keys(method: str, path: str, query: str, sent: Any, status: int, answered: Any) -> list[str]:
    """What is wrong with a request and its answer; an empty list when nothing is."""
    found = next((one for one in _OPERATIONS if one.method == method and re.fullmatch(one.path, path)), None)
    if found is None:
        return ["the vendor's SDK does not know it"]
    if status >= 400:
        error = (answered or {}).get("error", {})
        return [f"answer: no error.{name}" for name in ("code", "message") if name not in error]
    unknown = [name for name, _ in parse_qsl(query) if name not in operations.ListRequest.model_fields]
    wrong = [f"query {name}: is not known" for name in unknown]
    if status != found.status:
        wrong.append(f"the SDK expects {found.status}")
    return [*wrong, *_asked(found.takes, sent), *_problems("answer", found.gives, answered)]


def _asked(model: type[BaseModel] | None, sent: Any) -> list[str]:
    if model is None:
        return [] if sent is None else ["request: a body where the SDK sends none"]
    unknown = sorted(set(sent or {}) - set(model.model_fields))
    return [*(f"request {name}: is not known" for name in unknown), *_problems("request", model, sent)]


def _problems(what: str, model: type[BaseModel], value: Any) -> list[str]:
    try:
        with warnings.catch_warnings():  # the models warn of a field that the vendor still sends
            warnings.simplefilter("ignore", DeprecationWarning)
            model.model_validate(value)
    except ValidationError as error:
        return [f"{what} {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []
