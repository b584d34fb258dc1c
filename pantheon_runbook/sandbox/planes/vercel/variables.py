"""Environment variables of a project: identity, upsert rules, and who may read which value."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from pantheon_runbook.sandbox.planes.bodies import Body, ClosedBody
from pantheon_runbook.sandbox.planes.routes import RefusedError
from pantheon_runbook.sandbox.planes.vercel.state import Vercel, refuse
from pantheon_runbook.sandbox.world import Record

Target = Literal["production", "preview", "development"]
Kind = Literal["system", "encrypted", "plain", "sensitive", "secret"]
VALUE_MAX: Final = 65536
_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_KEY_MAX: Final = 256
_RESERVED: Final = frozenset({"VERCEL", "VERCEL_ENV", "VERCEL_URL", "VERCEL_REGION", "NOW_REGION", "AWS_REGION"})


class NewVariable(Body):
    """One entry of a create request; `visibility` and other extras of newer clients are taken and ignored."""

    key: str
    value: str
    type: Kind
    target: list[Target] | None = None
    gitBranch: Annotated[str, Field(max_length=250)] | None = None  # noqa: N815  the vendor's own spelling
    comment: Annotated[str, Field(max_length=500)] | None = None
    customEnvironmentIds: list[str] | None = None  # noqa: N815  the vendor's own spelling


class ChangedVariable(ClosedBody):
    """Any subset; other keys are refused."""

    key: str | None = None
    value: str | None = None
    type: Kind | None = None
    target: list[Target] | None = None
    gitBranch: Annotated[str, Field(max_length=250)] | None = None  # noqa: N815  the vendor's own spelling
    comment: Annotated[str, Field(max_length=500)] | None = None
    customEnvironmentIds: list[str] | None = None  # noqa: N815  the vendor's own spelling


def check(wanted: Record) -> None:
    """What this vendor refuses whatever is there already."""
    key, targets = wanted["key"], wanted["target"]
    if not key:
        raise _bad("MISSING_KEY", "The key of the environment variable is missing.", key)
    if len(key) > _KEY_MAX:
        raise _bad("KEY_INVALID_LENGTH", "The name of the environment variable is too long.", key)
    if not _KEY.match(key):
        raise _bad("KEY_INVALID_CHARACTERS", "The name contains invalid characters.", key)
    if key in _RESERVED:
        raise _bad("RESERVED_ENV_VARIABLE", f'The name "{key}" is reserved.', key)
    if not targets and not wanted["customEnvironmentIds"]:
        raise _bad("MISSING_TARGET", "At least one target or custom environment is needed.", key)
    if wanted["gitBranch"] and targets != ["preview"]:
        raise _bad("BAD_REQUEST", "A Git branch is allowed for the target preview only.", key)
    if wanted["type"] == "sensitive" and "development" in targets:
        raise _bad("BAD_REQUEST", "A sensitive variable cannot have the target development.", key)
    if len(wanted["value"]) > VALUE_MAX:
        raise _bad("VALUE_INVALID_LENGTH", "The value of the environment variable is too long.", key)


def _bad(code: str, text: str, key: str) -> RefusedError:
    return refuse(400, code, text, key=key)


def wanted_of(entry: NewVariable) -> Record:
    """The entry as plain JSON, lists sorted, so that equal identities compare equal."""
    return {
        "key": entry.key,
        "value": entry.value,
        "type": entry.type,
        "target": sorted(set(entry.target or ())),
        "gitBranch": entry.gitBranch,
        "comment": entry.comment,
        "customEnvironmentIds": sorted(set(entry.customEnvironmentIds or ())),
    }


def create(vendor: Vercel, project: Record, wanted: Record, *, upsert: bool, user: str) -> Record:
    """The created or replaced variable; raises the vendor's refusal."""
    check(wanted)
    rivals = [one for one in project["env"].values() if _collide(one, wanted)]
    if rivals and not upsert:
        raise _exists(wanted, rivals[0])
    if rivals and not any(_same(one, wanted) for one in rivals):
        text = "A variable with this name exists for another set of targets."
        raise refuse(400, "ENV_CONFLICT", text, key=wanted["key"], envVarId=rivals[0]["id"])
    now = vendor.now()
    if rivals:
        found: Record = next(one for one in rivals if _same(one, wanted))
        found |= {**wanted, "updatedAt": now, "updatedBy": user}
        return found
    named = f"{project['id']}/{wanted['key']}/{','.join(wanted['target'])}/{wanted['gitBranch']}"
    entry: Record = {
        **wanted,
        "id": vendor.world.token("vercel.env", named, length=16),
        "createdAt": now,
        "updatedAt": now,
        "createdBy": user,
        "updatedBy": None,
    }
    project["env"][entry["id"]] = entry
    return entry


def change(vendor: Vercel, project: Record, entry: Record, changes: Record, *, user: str) -> None:
    """PATCH: the merged variable has to be one that could be created beside the others."""
    merged = {**entry, **changes}
    for name in ("target", "customEnvironmentIds"):
        merged[name] = sorted(set(merged[name] or ()))
    check(merged)
    others = (one for one in project["env"].values() if one["id"] != entry["id"])
    if rival := next((one for one in others if _collide(one, merged)), None):
        raise _exists(merged, rival)
    entry |= {**merged, "updatedAt": vendor.now(), "updatedBy": user}


def _exists(wanted: Record, rival: Record) -> RefusedError:
    text = f'A variable with the name "{wanted["key"]}" already exists for the target {", ".join(rival["target"])}'
    return refuse(403, "ENV_ALREADY_EXISTS", text, key=wanted["key"], envVarId=rival["id"], target=rival["target"])


def _collide(one: Record, other: Record) -> bool:
    """Same name, same branch, and at least one environment in common."""
    return one["key"] == other["key"] and one["gitBranch"] == other["gitBranch"] and bool(_places(one) & _places(other))


def _same(one: Record, other: Record) -> bool:
    return _places(one) == _places(other)


def _places(one: Record) -> set[str]:
    return {*one["target"], *one["customEnvironmentIds"]}


def shown(entry: Record, *, decrypt: bool) -> Record:
    """As lists and answers show it; `securityIssues` is demanded by the vendor's own SDK since 1.28."""
    value, decrypted = _value(entry, decrypt=decrypt)
    names = ("id", "key", "type", "target", "createdAt", "updatedAt", "createdBy", "updatedBy")
    optional = {name: entry[name] for name in ("gitBranch", "comment") if entry[name] is not None}
    if entry["customEnvironmentIds"]:
        optional["customEnvironmentIds"] = entry["customEnvironmentIds"]
    known = {name: entry[name] for name in names}
    optional["configurationId"] = entry.get("configurationId")  # the integration that made it, if one did
    return {**known, **optional, "value": value, "decrypted": decrypted, "securityIssues": []}


def _value(entry: Record, *, decrypt: bool) -> tuple[str, bool]:
    if entry["type"] == "sensitive":
        return "", False
    if entry["type"] in {"plain", "system"} or decrypt:
        return str(entry["value"]), True
    sealed = {"v": "v2", "c": hashlib.sha256(f"{entry['id']}|{entry['value']}".encode()).hexdigest()}
    return base64.b64encode(json.dumps(sealed).encode()).decode(), False


def for_build(project: Record, target: str, *, branch: str | None, custom: str | None) -> dict[str, str]:
    """Names and values that a build gets; one for this very branch wins over one for all branches."""
    chosen: Iterable[Record] = (
        one
        for one in project["env"].values()
        if (custom in one["customEnvironmentIds"] if custom else target in one["target"])
        and one["gitBranch"] in {None, branch}
    )
    ordered = sorted(chosen, key=lambda one: (one["gitBranch"] is not None, one["key"]))
    return {one["key"]: one["value"] for one in ordered}


def failure(error: RefusedError) -> dict[str, Any]:
    """One element of `failed` in an answer that is a 201 all the same."""
    return {"error": dict(error.body["error"])}
