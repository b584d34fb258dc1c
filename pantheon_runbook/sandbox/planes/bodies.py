"""Request bodies: parsed once, validated by pydantic models that say what the vendor's description says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request

from pantheon_runbook.sandbox.planes.routes import RefusedError

Model = TypeVar("Model")
Refusal = Callable[[str], RefusedError]


class Body(BaseModel):
    """JSON types are taken as they are: "1" is not a number. Unknown keys are ignored, as most vendors do."""

    model_config = ConfigDict(strict=True)


class ClosedBody(Body):
    """The description says `additionalProperties: false`."""

    model_config = ConfigDict(strict=True, extra="forbid")


async def read_json(request: Request, refuse: Refusal) -> Any:
    """The parsed body; an empty one is an empty object."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        raise refuse("Invalid JSON in the request body") from error


async def read(request: Request, model: type[Model], refuse: Refusal) -> Model:
    """The validated body; `refuse` turns a one-line reason into the vendor's answer."""
    return check(await read_json(request, refuse), model, refuse)


def check(value: Any, model: type[Model], refuse: Refusal) -> Model:
    """`value` as `model`, or the vendor's refusal."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise refuse(reason(error)) from error


def reason(error: ValidationError) -> str:
    """The first thing that is wrong, in one line and without the value (it may be a secret)."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
