"""Every request that may be sent as a read, as a list: what is not on it is not sent, whoever asks.

To add a read is one line: a REST operation goes into READS below; a GraphQL document is wrapped in `reads(...)`, a
statement for Supabase's read-only query in `selects(...)`, where it is written down.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pantheon_runbook.errors import RefusedError

_MODULE = "pantheon_runbook/providers/enumerated.py"
_PLACES = {"ref": "[a-z]{20}", "id": "[A-Za-z0-9_-]{1,64}"}  # no dot, slash, percent or semicolon in any of them
# Of the query: words, numbers, and what a cursor or a list is made of, escaped as the HTTP library escapes it.
_VALUE = re.compile(r"([A-Za-z0-9_.~-]|%(2B|2C|2F|3A|3D)){0,200}")
_HEADERS = frozenset(
    {"accept", "accept-encoding", "apikey", "authorization", "connection", "content-length", "content-type"}
    | {"host", "project-access-token", "user-agent"}
)
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_DOCUMENT = re.compile(r"\s*query (\w+)\s*(\([^(){}]*\))?\s*\{")
_NOT_OURS = re.compile(r"mutation|subscription|fragment|[#\\]|\.\.\.|\"\"\"|[^\x09\x0a\x20-\x7e]", re.IGNORECASE)
_COLUMNS = "[a-z0-9_]+(, [a-z0-9_]+)*"
_STATEMENT = re.compile(f"select {_COLUMNS} from [a-z0-9_.]+( order by {_COLUMNS})?")  # noqa: S608  a pattern

DOCUMENTS: dict[str, str] = {}  # operation names by the sha256 of the document, as `reads` was given them
STATEMENTS: set[str] = set()


@dataclass(frozen=True)
class Read:
    """One operation that changes nothing. `{ref}` and `{id}` stand for one segment, `names` for query parameters.

    `repeated` may be given several times, the others once. `body` says what is wrong with a body; None: there is none.
    """

    vendor: str
    method: str
    host: str
    path: str
    names: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    body: Callable[[bytes], str] | None = None

    def is_at(self, sent: Sent) -> bool:
        """Whether the request goes to this operation's address."""
        path = sent.target.partition("?")[0]
        place = _pattern(self.host).fullmatch(sent.host) and _pattern(self.path).fullmatch(path)
        return (self.vendor, self.method) == (sent.vendor, sent.method) and place is not None


@dataclass(frozen=True)
class Sent:
    """A request as it goes onto the wire; `target` is path and query in their raw form.

    `beside_host` are user and port of the address, `extras` what only a transport sees, such as another target.
    `declared` are the statements of smoke checks that whoever sends it was opened for, each as it is sent.
    """

    vendor: str
    method: str
    scheme: str
    beside_host: tuple[str, int | None]
    host: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    extras: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()


def reads(document: str) -> str:
    """The document itself, from now on one that a read may send; called where it is written down, on import.

    Errors: ValueError when it is anything but one plain query.
    """
    unquoted = re.sub(r'"[^"\n]*"', '""', document)
    found = _DOCUMENT.match(unquoted)
    if found is None or _NOT_OURS.search(document) or not _is_one_block(unquoted[found.end() :]):
        raise ValueError(f"not one plain query: {document!r}")
    DOCUMENTS[_digest(document)] = found.group(1)
    return document


def selects(statement: str) -> str:
    """The same for the read-only query: one plain select of columns, without functions.

    Errors: ValueError when it is anything else.
    """
    if not _STATEMENT.fullmatch(statement):
        raise ValueError(f"not one plain select: {statement!r}")
    STATEMENTS.add(statement)
    return statement


def _is_one_block(rest: str) -> bool:
    """Whether the first brace, opened just before, is closed by the last character that is no blank."""
    depth = 1
    for number, character in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return not rest[number + 1 :].strip()
    return False


def _document(body: bytes) -> str:
    given = _only(body, "query", "variables", "operationName")
    if not isinstance(given["query"], str) or not isinstance(given["variables"], dict):
        return "its query is no text, or its variables are no object"
    name = DOCUMENTS.get(_digest(given["query"]))
    if name is None:
        return f'wrap the GraphQL document "{_shown(str(given["operationName"]))}" in reads(...) of {_MODULE}'
    return "" if given["operationName"] == name else "its operationName is not the document's"


def _statement(body: bytes) -> str:
    given = _only(body, "query")
    is_known = isinstance(given["query"], str) and given["query"] in STATEMENTS
    return "" if is_known else f'wrap the statement "{_shown(str(given["query"]))}" in selects(...) of {_MODULE}'


def _is_declared(body: bytes, declared: frozenset[str]) -> bool:
    """A smoke check: its statement and one number, which makes PostgreSQL take one statement and no second one."""
    try:
        given = _only(body, "query", "parameters")
    except ValueError:
        return False
    return given["query"] in declared and [int] == [type(one) for one in given["parameters"]]


def _only(body: bytes, *keys: str) -> dict[str, Any]:
    """The JSON object with exactly these keys, each once. Errors: ValueError, RecursionError."""
    given = json.loads(body.decode(), object_pairs_hook=_unique)  # decoded here: json would take UTF-16 and a mark
    if not isinstance(given, dict) or set(given) != set(keys):
        raise ValueError
    return given


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two equal keys one reader takes the first and another one the last."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def _digest(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


_SUPABASE, _RAILWAY, _VERCEL = "api.supabase.com", "backboard.railway.com", "api.vercel.com"
_OF_DEPLOYMENTS = ("teamId", "projectId", "branch", "limit", "target", "sha", "rollbackCandidate")
READS = (
    Read("supabase", "GET", _SUPABASE, "/v1/organizations"),
    Read("supabase", "GET", _SUPABASE, "/v1/organizations/{id}"),
    Read("supabase", "GET", _SUPABASE, "/v1/organizations/{id}/members"),
    Read("supabase", "GET", _SUPABASE, "/v1/organizations/{id}/projects", ("limit", "offset")),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/api-keys", ("reveal",)),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/api-keys/legacy"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/branches"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/config/auth"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/config/database/pooler"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/config/storage"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/database/backups"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/functions"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/health", repeated=("services",)),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/network-restrictions"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/secrets"),
    Read("supabase", "GET", _SUPABASE, "/v1/projects/{ref}/ssl-enforcement"),
    Read("supabase", "POST", _SUPABASE, "/v1/projects/{ref}/database/query/read-only", body=_statement),
    Read("supabase", "GET", "{ref}.supabase.co", "/storage/v1/bucket"),
    Read("railway", "POST", _RAILWAY, "/graphql/v2", body=_document),
    Read("vercel", "GET", _VERCEL, "/v2/teams", ("limit", "until")),
    Read("vercel", "GET", _VERCEL, "/v2/teams/{id}", ("teamId",)),
    Read("vercel", "GET", _VERCEL, "/v3/teams/{id}/members", ("teamId", "limit", "until")),
    Read("vercel", "GET", _VERCEL, "/v1/env", ("teamId", "projectId", "until")),
    Read("vercel", "GET", _VERCEL, "/v1/projects/{id}/env/{id}", ("teamId",)),
    Read("vercel", "GET", _VERCEL, "/v5/user/tokens/current"),
    Read("vercel", "GET", _VERCEL, "/v6/deployments", _OF_DEPLOYMENTS),
    Read("vercel", "GET", _VERCEL, "/v1/projects/{id}/promote/aliases", ("teamId", "failedOnly")),
    Read("vercel", "GET", _VERCEL, "/v9/projects/{id}", ("teamId", "until", "rollbackInfo")),
    Read("vercel", "GET", _VERCEL, "/v9/projects/{id}/custom-environments", ("teamId", "until")),
    Read("vercel", "GET", _VERCEL, "/v9/projects/{id}/domains", ("teamId", "limit", "until")),
    Read("vercel", "GET", _VERCEL, "/v10/projects", ("teamId", "limit", "from")),
    Read("vercel", "GET", _VERCEL, "/v10/projects/{id}/env", ("teamId", "until")),
    Read("vercel", "GET", _VERCEL, "/v13/deployments/{id}", ("teamId",)),
    Read("openrouter", "GET", "openrouter.ai", "/api/v1/key"),
    Read("openrouter", "GET", "openrouter.ai", "/api/v1/keys", ("offset",)),
)


def require_read(sent: Sent) -> None:
    """Pass for a request that is one of the list in every part of it. Errors: RefusedError, with what to add where."""
    why = objection(sent)
    if not why:
        return
    path = sent.target.partition("?")[0]
    raise RefusedError(
        f"{sent.vendor}: {sent.method} {_shown(sent.host + path)} was about to be sent as a read",
        why=f"it is not one of the enumerated reads: {why}",
        next_step=f"add what is missing to READS in {_MODULE} when the product needs it; else report this as a bug",
    )


def objection(sent: Sent) -> str:
    """What keeps a request from being a read; "" when it is exactly one of the list."""
    entries = [entry for entry in READS if entry.is_at(sent)]
    if sent.scheme != "https" or sent.beside_host != ("", None) or sent.extras:
        return "it has a scheme, a user, a port or a target of its own"
    if not entries:
        path = re.sub(r"(?<=/)[a-z]{20}(?=/|$)", "{ref}", sent.target.partition("?")[0])
        return f'there is no Read("{sent.vendor}", "{sent.method}", "{_shown(sent.host)}", "{_shown(path)}")'
    return (
        _query_objection(entries[0], sent.target)
        or _header_objection(sent)
        or _body_objection(entries[0], sent.body, sent.declared)
    )


def _query_objection(entry: Read, target: str) -> str:
    _, mark, query = target.partition("?")
    given = [part.partition("=") for part in query.split("&")] if mark else []
    for number, (name, equals, value) in enumerate(given):
        if name not in (*entry.names, *entry.repeated):
            return f'the Read of {entry.path} has no query parameter "{_shown(name)}"'
        if name not in entry.repeated and name in {before for before, _, _ in given[:number]}:
            return f'"{name}" is given twice'
        if not equals or not _VALUE.fullmatch(value):
            return f'"{name}" has a value that no read needs'
    return ""


def _header_objection(sent: Sent) -> str:
    """Only what our own client sends, once each: a header can name another method, another host, another path."""
    headers = {name.lower(): value for name, value in sent.headers}
    strange = sorted(set(headers) - _HEADERS)
    if strange or len(headers) != len(sent.headers):
        return f"it has a header that no read has: {_shown(strange[0]) if strange else 'one of them twice'}"
    if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
        return "a header holds what no header may hold"
    expected = {"host": sent.host, "connection": "keep-alive"}
    expected |= {"content-length": str(len(sent.body)), "content-type": "application/json"} if sent.body else {}
    framing = {name: headers.get(name) for name in ("host", "connection", "content-length", "content-type")}
    wrong = [name for name, value in framing.items() if value != expected.get(name)]
    return f"its header {wrong[0]} does not fit" if wrong else ""


def _body_objection(entry: Read, body: bytes, declared: frozenset[str]) -> str:
    if entry.body is None:
        return "it has a body" if body else ""
    try:
        if entry.body is _statement and declared and _is_declared(body, declared):
            return ""
        return entry.body(body)
    except (ValueError, RecursionError):
        return "its body is not the JSON object of this read, and nothing else"


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(re.escape(part) if number % 2 == 0 else _PLACES[part] for number, part in enumerate(parts))
    )


def _shown(text: str) -> str:
    """Of what may have been put together by somebody else: one line, printable, not for ever."""
    return ascii(text)[1:-1][:120]
