"""Holds one exchange against the vendors' official descriptions.

`check_exchange` takes any recorded request and answer and gives the list of what is wrong with it.
The descriptions are in the folder PANTHEON_SPECS (default: ../shared/specs beside the repository).

Oddities of the descriptions, and what is done about them: Supabase and Vercel are OpenAPI 3.0 with `nullable`
(rewritten to JSON Schema types); storage says 3.0 and uses 3.1 forms (both are understood); Vercel's `oneOf`
branches overlap and some are empty (read as `anyOf`, empty ones dropped); the vendors describe hardly any error
body (what their clients read is demanded instead); Railway's schema breaks one rule of graphql-core
(`assume_valid`). OpenRouter has no description in the folder: see openrouter_keys.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml
from graphql import GraphQLError, GraphQLSchema, build_schema, execute_sync, parse, validate
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openrouter_keys import check_keys

_METHODS = ("get", "post", "put", "patch", "delete")
_VERSION = re.compile(r"^/v\d+(?=/)")
_SCALARS = {"integer": int, "number": float}


def specs_folder() -> Path:
    """Where the official descriptions are; it may not exist."""
    named = os.environ.get("PANTHEON_SPECS")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "specs"


@dataclass(frozen=True)
class Description:
    """One OpenAPI document: path templates as patterns, components for references."""

    name: str
    document: dict[str, Any]
    prefix: str = ""  # what comes before the documented paths
    has_optional_versions: bool = False
    error_keys: tuple[str, ...] = ()  # what clients read in an error without a described body

    def operations(self) -> Iterator[tuple[str, re.Pattern[str], dict[str, Any]]]:
        for template, item in self.document["paths"].items():
            shown = _VERSION.sub("", template) if self.has_optional_versions else template
            pattern = re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(shown.rstrip("/"))))
            for method in _METHODS:
                if method in item:
                    shared = item.get("parameters", [])
                    operation = {**item[method], "parameters": [*shared, *(item[method].get("parameters") or [])]}
                    yield method.upper(), pattern, operation

    def find(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation; literal paths win over templates."""
        bare = path.removeprefix(self.prefix).rstrip("/")
        bare = _VERSION.sub("", bare) if self.has_optional_versions else bare
        found = [(p.pattern, op) for m, p, op in self.operations() if m == method and p.fullmatch(bare)]
        return min(found, key=lambda one: one[0].count("[^/]+"))[1] if found else None

    def problems(self, schema: Any, value: Any) -> list[str]:
        """What is wrong with a value by one schema of this document."""
        if schema is None:
            return []
        whole = {**_json_schema(schema), "components": _components(self.name)}
        errors = sorted(Draft202012Validator(whole).iter_errors(value), key=lambda error: error.json_path)
        return [f"{error.json_path}: {_short(error.message)}" for error in errors[:5]]


def _short(text: str) -> str:
    return text if len(text) < 300 else f"{text[:300]}…"


@cache
def descriptions() -> dict[str, Description]:
    """By host; a project's own host has two documents, told apart by their prefix."""
    folder = specs_folder()
    management = json.loads((folder / "supabase-management.openapi.json").read_text())
    storage = json.loads((folder / "supabase-storage.openapi.json").read_text())
    auth = json.loads(json.dumps(yaml.safe_load((folder / "supabase-auth.openapi.yaml").read_text()), default=str))
    vercel = json.loads((folder / "vercel.openapi.json").read_text())
    return {
        "api.supabase.com": Description("api.supabase.com", management, error_keys=("message",)),
        "/storage/v1": Description("/storage/v1", storage, prefix="/storage/v1"),
        "/auth/v1": Description("/auth/v1", auth, prefix="/auth/v1"),
        "api.vercel.com": Description(
            "api.vercel.com", vercel, has_optional_versions=True, error_keys=("error.code", "error.message")
        ),
    }


@cache
def _components(name: str) -> Any:
    return _json_schema(descriptions()[name].document.get("components", {}))


@cache
def railway_schema() -> GraphQLSchema:
    return build_schema((specs_folder() / "railway.schema.graphql").read_text(), assume_valid=True)


@cache
def vercel_drift() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Operations that only the newer SDK knows: their paths are right, their bodies are not described here."""
    listed = json.loads((specs_folder() / "vercel.sdk-1.28.35.operations.json").read_text())
    operations = listed if isinstance(listed, list) else list(listed.get("operations", listed).values())
    pairs = [(one["method"], one["path"]) for one in operations if isinstance(one, dict)]
    return tuple(
        (method.upper(), re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(_VERSION.sub("", path)))))
        for method, path in pairs
    )


def _json_schema(schema: Any) -> Any:
    """OpenAPI 3.0 words as JSON Schema: `nullable` becomes a type, overlapping `oneOf` becomes `anyOf`."""
    if isinstance(schema, list):
        return [_json_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _json_schema(value) for key, value in schema.items() if key not in {"nullable", "oneOf", "example"}}
    if schema.get("oneOf"):
        plain["anyOf"] = [*_json_schema(schema["oneOf"]), *plain.get("anyOf", [])]
    if schema.get("nullable") is not True:
        return plain
    if isinstance(plain.get("type"), str):
        plain["type"] = [plain["type"], "null"]
    if isinstance(plain.get("enum"), list):
        plain["enum"] = [*plain["enum"], None]
    return plain if "type" in plain else {"anyOf": [plain, {"type": "null"}]}


def check_exchange(method: str, url: str, request_body: Any, status: int, response_body: Any) -> list[str]:
    """What is wrong with a request and its answer; an empty list when nothing is.

    Bodies are parsed JSON, None when there was none. The request is held against its description only when it was
    accepted (status below 400): a vendor's refusal of a wrong request is right.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "backboard.railway.com":
        return _check_graphql(request_body, status, response_body)
    where = f"{method} {parts.path} -> {status}"
    if host == "openrouter.ai":
        found = check_keys(method, parts.path, parts.query, request_body, status, response_body)
        return [f"{where}: {problem}" for problem in found]
    description = _description(host, parts.path)
    operation = description.find(method, parts.path)
    if operation is None:
        return [] if _is_drift(host, method, parts.path) else [f"{where}: not in the official description"]
    asked = [] if status >= 400 else _request_problems(description, operation, parts.query, request_body)
    return [
        f"{where}: {problem}" for problem in [*asked, *_answer_problems(description, operation, status, response_body)]
    ]


def _description(host: str, path: str) -> Description:
    if host.endswith(".supabase.co"):
        return descriptions()["/auth/v1" if path.startswith("/auth/v1") else "/storage/v1"]
    return descriptions()[host]


def _is_drift(host: str, method: str, path: str) -> bool:
    """Known to the newer SDK or, unpublished, to the vendor's own CLI."""
    bare = _VERSION.sub("", path)
    if host != "api.vercel.com":
        return False
    known = any(known == method and pattern.fullmatch(bare) for known, pattern in vercel_drift())
    return known or bare.startswith("/env/pull/")


def _request_problems(description: Description, operation: Mapping[str, Any], query: str, body: Any) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None and (body is not None or operation["requestBody"].get("required")):
        yield from (f"request {problem}" for problem in description.problems(content["schema"], body))
    if content is None and body not in (None, {}):
        yield "request: a body where none is described"
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        given.setdefault(name, []).append(value)
    for parameter in operation["parameters"]:
        if parameter.get("in") != "query":
            continue
        values = given.get(parameter["name"])
        if values is None:
            if parameter.get("required"):
                yield f"query {parameter['name']}: is required"
            continue
        schema = parameter.get("schema", {})
        whole: Any = [_typed(schema.get("items", {}), value) for value in values]
        if schema.get("type") != "array":
            whole = _typed(schema, values[-1])
        yield from (f"query {parameter['name']}: {problem}" for problem in description.problems(schema, whole))


def _typed(schema: Mapping[str, Any], text: str) -> Any:
    """A query string's value as the type that is described."""
    kind = schema.get("type")
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    if kind in _SCALARS and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return _SCALARS[kind](text)
    return text


def _answer_problems(description: Description, operation: Mapping[str, Any], status: int, body: Any) -> Iterator[str]:
    responses = operation["responses"]
    response = responses.get(str(status)) or responses.get(f"{status // 100}XX")
    if response is None and status < 400:
        yield f"this status is not described (there are {', '.join(responses)})"
        return
    content = (response or {}).get("content", {}).get("application/json")
    if content is not None:
        yield from (f"answer {problem}" for problem in description.problems(content["schema"], body))
    elif status >= 400:
        yield from (f"answer: no {key}" for key in description.error_keys if not _has(body, key))


def _has(body: Any, dotted: str) -> bool:
    for key in dotted.split("."):
        if not isinstance(body, dict) or key not in body:
            return False
        body = body[key]
    return True


def _check_graphql(request: Any, status: int, answer: Any) -> list[str]:
    """The query is valid by the official schema, and executing it over the answer gives the answer again."""
    if status == 429:
        return []
    try:
        document = parse(request["query"])
    except GraphQLError as error:
        return [f"query: {error.message}"]
    if broken := validate(railway_schema(), document):
        return [f"query: {error.message}" for error in broken]
    if answer.get("errors"):
        return [] if all(error.get("message") for error in answer["errors"]) else ["errors without a message"]
    result = execute_sync(
        railway_schema(),
        document,
        root_value=answer["data"],
        variable_values=request.get("variables") or {},
        operation_name=request.get("operationName"),
        field_resolver=lambda source, info, **_arguments: source[info.path.key],
    )
    wrong = [f"answer: {error.message} at {error.path}" for error in result.errors or ()]
    return wrong or ([] if result.data == answer["data"] else ["answer: has other fields than were asked for"])
