"""The Storage API of one project (<ref>.supabase.co/storage/v1): buckets are rows of storage.buckets.

Almost every error is HTTP 400 with the true code inside, as a string.
Source: supabase/storage, error handler and bucket routes, 2026-08.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pantheon_runbook.sandbox.planes.bodies import Body, check, read_json
from pantheon_runbook.sandbox.planes.routes import RefusedError
from pantheon_runbook.sandbox.planes.supabase.state import vendor_of
from pantheon_runbook.sandbox.platform import QueryFailedError
from pantheon_runbook.sandbox.world import Record

_COLUMNS: Final = (
    "id, name, coalesce(owner::text, '') as owner, public, file_size_limit, allowed_mime_types, "
    "to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') as created_at, "
    "to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') as updated_at"
)
_SORT_COLUMNS: Final = ("id", "name", "created_at", "updated_at")
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)(GB|MB|KB|B)$", re.IGNORECASE)
_UNITS: Final = {"GB": 1024**3, "MB": 1024**2, "KB": 1024, "B": 1}
_BUCKET_NAME = re.compile(r"^(\w|!|-|\.|\*|'|\(|\)| |&|\$|@|=|;|:|\+|,|\?)*$", re.ASCII)
_MIME_TYPE = re.compile(r"^([a-zA-Z0-9\-+.]+)/([a-zA-Z0-9\-+.*]+)(;.*)?$")
_UNIQUE_VIOLATION: Final = "23505"
_FOREIGN_KEY_VIOLATION: Final = "23503"

SizeLimit = Annotated[int, Field(ge=0)] | str | None


class CreateBucket(Body):
    name: str
    id: str | None = None
    public: bool = False
    type: Literal["STANDARD", "ANALYTICS"] = "STANDARD"
    file_size_limit: SizeLimit = None
    allowed_mime_types: list[str] | None = None


class UpdateBucket(Body):
    public: bool = False
    file_size_limit: SizeLimit = None
    allowed_mime_types: list[str] | None = None


def refuse(code: str, error: str, name: str, text: str) -> RefusedError:
    """HTTP 400 whatever the inner code says."""
    return RefusedError(400, {"statusCode": code, "error": error, "code": name, "message": text})


def refuse_body(why: str) -> RefusedError:
    return refuse("400", "Error", "InvalidRequest", f"body/{why}")


async def list_buckets(request: Request) -> Response:
    query = request.query_params
    column, order = query.get("sortColumn", "id"), query.get("sortOrder", "asc")
    if column not in _SORT_COLUMNS or order not in {"asc", "desc"}:
        raise refuse("400", "Error", "InvalidRequest", "querystring/sortColumn must be equal to an allowed value")
    for name in ("limit", "offset"):
        if not query.get(name, "1").isdecimal():
            raise refuse("400", "Error", "InvalidRequest", f"querystring/{name} must be integer")
    limit = int(query["limit"]) if "limit" in query else None
    sql = (
        f"select {_COLUMNS} from storage.buckets where name ilike $1 "  # noqa: S608  column and order are checked above
        f"order by {column} {order} limit $2 offset $3"
    )
    rows = await _query(request, sql, [f"%{query.get('search', '')}%", limit, int(query.get("offset", "0"))])
    return JSONResponse([_shown(request, row) for row in rows])


async def get_bucket(request: Request) -> Response:
    return JSONResponse(_shown(request, await _bucket(request)))


async def create_bucket(request: Request) -> Response:
    """200 with the name; a second one of the same id is a 409 inside a 400."""
    body = check(await read_json(request, refuse_body), CreateBucket, refuse_body)
    if not body.name or not _BUCKET_NAME.match(body.id or body.name) or body.name.strip() != body.name:
        raise refuse("400", "Invalid Input", "InvalidBucketName", "Bucket name invalid")
    values = [
        body.id or body.name,
        body.name,
        body.public,
        _size_limit(request, body.file_size_limit),
        _mime_types(body.allowed_mime_types),
    ]
    sql = (
        "insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) "
        "values ($1, $2, $3, $4, $5) returning name"
    )
    try:
        rows = await _query(request, sql, values)
    except QueryFailedError as error:
        if error.sqlstate != _UNIQUE_VIOLATION:
            raise
        text = "The resource already exists"
        raise refuse("409", "Duplicate", "BucketAlreadyExists", text) from error
    return JSONResponse({"name": rows[0]["name"]})


async def update_bucket(request: Request) -> Response:
    """What is left out keeps its value; null clears."""
    body = check(await read_json(request, refuse_body), UpdateBucket, refuse_body)
    if not body.model_fields_set:
        raise refuse_body(" must have at least one of public, file_size_limit, allowed_mime_types")
    current = await _bucket(request)
    changed: Record = {name: getattr(body, name) for name in body.model_fields_set}
    if "file_size_limit" in changed:
        changed["file_size_limit"] = _size_limit(request, body.file_size_limit)
    if "allowed_mime_types" in changed:
        changed["allowed_mime_types"] = _mime_types(body.allowed_mime_types)
    merged = {**current, **changed}
    await _query(
        request,
        "update storage.buckets set public = $1, file_size_limit = $2, allowed_mime_types = $3, updated_at = now() "
        "where id = $4 returning id",
        [merged["public"], merged["file_size_limit"], merged["allowed_mime_types"], current["id"]],
    )
    return JSONResponse({"message": "Successfully updated"})


async def empty_bucket(request: Request) -> Response:
    await _bucket(request)
    return JSONResponse({"message": "Empty bucket has been queued. Completion may take up to an hour."})


async def delete_bucket(request: Request) -> Response:
    bucket = await _bucket(request)
    try:
        await _query(request, "delete from storage.buckets where id = $1 returning id", [bucket["id"]])
    except QueryFailedError as error:
        if error.sqlstate != _FOREIGN_KEY_VIOLATION:
            raise
        text = "The bucket you tried to delete is not empty"
        raise refuse("409", "InvalidRequest", "BucketNotEmpty", text) from error
    return JSONResponse({"message": "Successfully deleted"})


async def health(_request: Request) -> Response:
    """200 also when it says false."""
    return JSONResponse({"healthy": True})


async def _query(request: Request, sql: str, parameters: list[Any]) -> list[Record]:
    return await vendor_of(request).platform.query(request.state.project["ref"], sql, parameters)


async def _bucket(request: Request) -> Record:
    sql = f"select {_COLUMNS} from storage.buckets where id = $1"  # noqa: S608  a constant
    rows = await _query(request, sql, [request.path_params["bucketId"]])
    if not rows:
        raise refuse("404", "Bucket not found", "NoSuchBucket", "Bucket not found")
    return rows[0]


def _shown(request: Request, row: Record) -> Record:
    """`type` is left out for clients that crash on it: storage3 before 0.12.1, supabase-py before 2.18.0."""
    return row if _is_old_client(request) else {**row, "type": "STANDARD"}


def _is_old_client(request: Request) -> bool:
    agents = f"{request.headers.get('user-agent', '')} {request.headers.get('x-client-info', '')}"
    for client, first in (("storage3", (0, 12, 1)), ("storage-py", (0, 12, 1)), ("supabase-py", (2, 18, 0))):
        if found := re.search(rf"{client}(?:/| v)(\d+)\.(\d+)\.(\d+)", agents):
            return tuple(int(part) for part in found.groups()) < first
    return False


def _size_limit(request: Request, wanted: int | str | None) -> int | None:
    """Bytes; "100MB" is a size too. Nothing above the project's global limit."""
    if isinstance(wanted, str):
        if not (found := _SIZE.match(wanted)):
            raise refuse("400", "Error", "InvalidRequest", f"Invalid file size format: {wanted}")
        wanted = int(float(found[1]) * _UNITS[found[2].upper()])
    if wanted is not None and wanted > request.state.project["file_size_limit"]:
        text = "The object exceeded the maximum allowed size"
        raise refuse("413", "Payload too large", "EntityTooLarge", text)
    return wanted


def _mime_types(wanted: list[str] | None) -> list[str] | None:
    for mime_type in wanted or ():
        if mime_type != "*" and not _MIME_TYPE.match(mime_type):
            raise refuse("415", "invalid_mime_type", "InvalidMimeType", f"mime type {mime_type} is not supported")
    return wanted
