"""Requests that no read is, made from requests that are: seeded, so that a run can be repeated."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from pantheon_runbook.providers import (
    enumerated,
    listing,
    production_values,
    railway,
    railway_deploys,
    railway_looks,
    railway_promotion,
    railway_services,
    railway_sources,
)
from pantheon_runbook.providers.enumerated import READS, Read

_ASKING = (
    *(listing, production_values, railway, railway_deploys, railway_looks, railway_promotion),
    *(railway_services, railway_sources),
)
DOCUMENTS = sorted(  # each once: some are asked from several places
    {
        text
        for module in _ASKING
        for held in vars(module).values()
        if isinstance(text := getattr(held, "document", held), str) and enumerated._digest(text) in enumerated.DOCUMENTS
    }
)
DELETION = "mutation M($id: String!) { projectDelete(id: $id) }"
FRAGMENTS = (
    *("../", "..", ".", "/", "//", "%2f", "%2F..%2F", "%2e%2e/", "%252e%252e%252f", "%00", "\\", "..\\", ";", ";/"),
    *("?", "?_method=DELETE", "#", "&", "&_method=DELETE", "=", "%0d%0aX-HTTP-Method-Override: DELETE", "\r\n\r\n"),
    *(
        "@evil.example",
        ":8443",
        ".evil.example",
        " ",
        "\t",
        "\x00",
        "\u202e",
        "\uff41",
        "é",
        "'",
        '"',
        "{",
        "}",
        "*",
        "$()",
    ),
    *("' or 1=1 --", "; drop table x", '"}}mutation M{projectDelete(id:1)}', "https://evil.example/", "//evil.example"),
)


@dataclass(frozen=True)
class Raw:
    """A request in the pieces that go onto the wire; nothing of it is put right by the HTTP library."""

    vendor: str
    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    scheme: str = "https"
    user: str = ""
    port: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    extensions: dict[str, Any] = field(default_factory=dict)

    def request(self) -> httpx.Request:
        url = httpx.URL("https://x.example/")
        query = "&".join(f"{name}={value}" if value is not None else name for name, value in self.query) or None
        url._uri_reference = url._uri_reference._replace(
            scheme=self.scheme, userinfo=self.user, host=self.host, port=self.port, path=self.path, query=query
        )
        own = [("Host", self.host), ("Connection", "keep-alive"), ("Authorization", "Bearer a-token-of-ours")]
        if self.body:
            own += [("Content-Type", "application/json"), ("Content-Length", str(len(self.body)))]
        kept = [(name, value) for name, value in own if name.lower() not in self.without]
        made = httpx.Request(self.method, "https://x.example/", stream=httpx.ByteStream(self.body))
        made.method = self.method
        made.url = url
        made.headers = httpx.Headers([*kept, *self.headers])
        made.extensions = dict(self.extensions)
        return made


def enumerated_ones(facts: dict[str, Any]) -> Iterator[Raw]:
    """Every read of the list, each document and statement once, with ids that the sandbox knows."""
    for entry in READS:
        path, host = (
            text.replace("{ref}", facts["supabase"]["ref"]).replace("{id}", _id_for(entry, facts))
            for text in (entry.path, entry.host)
        )
        query = tuple((name, _VALUES.get(name, facts["vercel"]["team_id"])) for name in (*entry.names, *entry.repeated))
        bodies = {"/graphql/v2": [graphql(text) for text in DOCUMENTS]}.get(entry.path) or (
            [json.dumps({"query": text}).encode() for text in sorted(enumerated.STATEMENTS)] if entry.body else [b""]
        )
        for body in bodies:
            yield Raw(entry.vendor, entry.method, host, path, query, body)


_VALUES = {
    "projectId": "prj_x",
    "branch": "staging",
    "limit": "100",
    "offset": "0",
    "reveal": "true",
    "services": "db",
    "until": "1",
    "from": "1",
}


def _id_for(entry: Read, facts: dict[str, Any]) -> str:
    vendor = facts[entry.vendor]
    return str(vendor["organization_slug"] if entry.vendor == "supabase" else vendor.get("project_id", "x"))


def graphql(document: Any, **more: Any) -> bytes:
    name = document.split(None, 2)[1].partition("(")[0] if isinstance(document, str) and " " in document else None
    return json.dumps({"query": document, "variables": {}, "operationName": name, **more}).encode()


def hostile_text(by: random.Random, facts: dict[str, Any]) -> str:
    """What a name, ref or id can be when it comes from somebody who means ill."""
    good = (facts["supabase"]["ref"], facts["railway"]["project_id"], facts["vercel"]["project_id"], "a" * 20, "", "x")
    parts = [by.choice((by.choice(FRAGMENTS), by.choice(good), chr(by.randrange(1, 0x2FF)))) for _ in range(3)]
    return "".join([*parts, by.choice(FRAGMENTS)]) * by.choice((1, 1, 1, 40))


class Hostile:
    """One generator a kind; each takes what is on the list and makes of it what is not."""

    def __init__(self, facts: dict[str, Any], seed: str) -> None:
        self.by = random.Random(seed)
        self.facts = facts
        self.good = list(enumerated_ones(facts))
        self.gets = [one for one in self.good if one.method == "GET"]
        self.graphql = next(one for one in self.good if one.path == "/graphql/v2")
        self.sql = next(one for one in self.good if one.path.endswith("/read-only"))
        self.ref = facts["supabase"]["ref"]

    def any(self) -> Raw:
        return self.by.choice(self.good)

    def pick(self, *choices: Any) -> Any:
        return self.by.choice(choices)

    def word(self) -> str:
        return "".join(self.by.choices("abcdefghijklmnopqrstuvwxyz", k=self.by.randrange(1, 12)))

    def host(self) -> Raw:
        one = self.any()
        host = one.host
        other = self.pick(
            *(f"{host}.", f"{host}..", host.upper(), host.capitalize(), f"{host}.localhost", f"{host}.evil.example"),
            *(
                f"{self.word()}.{host}",
                f"xn--{self.word()}.{host}",
                "xn--api-supabase-9za.com",
                f"{host}%2eevil.example",
            ),
            *("localhost", "127.0.0.1", "169.254.169.254", "sandbox.internal", "[::1]", f" {host}", f"{host}\t"),
            *(
                f"{self.ref.upper()}.supabase.co",
                f"{self.ref}x.supabase.co",
                f"{self.ref}.supabase.co.",
                "evil.example",
            ),
            *(f"evil.example/{host}", f"evil.example#{host}", f"evil.example?{host}", f"{host}@evil.example"),
        )
        return replace(one, host=other)

    def another_vendors_host(self) -> Raw:
        one = self.any()
        return replace(one, vendor=self.pick(*({"supabase", "railway", "vercel", "openrouter"} - {one.vendor})))

    def scheme_user_or_port(self) -> Raw:
        one = self.any()
        return self.pick(
            replace(one, scheme=self.pick("http", "ftp", "HTTPS", "file", "ws", "wss", "")),
            replace(one, user=self.pick("u", "u:p", ":", f"{one.host}:443", self.word())),
            replace(one, port=self.pick(80, 443, 8443, 5432, 0, self.by.randrange(1, 65536))),
        )

    def path(self) -> Raw:
        """A fragment somewhere in the path, or the path inside another one."""
        one = self.any()
        bad = [text for text in FRAGMENTS if text.isascii() and "?" not in text]
        cut = self.by.randrange(len(one.path) + 1)
        inside = f"{one.path[:cut]}{self.pick(*bad)}{one.path[cut:]}"
        around = self.pick(
            f"/{self.word()}/..{one.path}", f"/{one.path}", f"{one.path}/", f"{one.path}/{self.word()}/{self.word()}x"
        )
        absolute = f"https://{self.pick('evil.example', 'api.supabase.com')}{one.path}"
        encoded = "".join(f"%{ord(c):02x}" if self.by.random() < 0.2 else c for c in one.path)
        return replace(one, path=self.pick(inside, inside, around, absolute, f"{encoded}%2f", one.path.upper()))

    def address_of_a_write(self) -> Raw:
        """What changes something by a method that a read has."""
        path = self.pick(
            *(
                f"/v1/projects/{self.ref}/{verb}"
                for verb in ("pause", "restore", "database/query", "api-keys", "secrets")
            ),
            *(f"/v1/projects/{self.ref}/cli/login-role", f"/v1/projects/{self.ref}", "/v1/projects", "/v1/oauth/token"),
            f"/v1/projects/{self.ref}/database/query/read-only/{self.word()}",
        )
        return replace(self.sql, path=path, body=self.pick(self.sql.body, b"", b"{}"))

    def method(self) -> Raw:
        """Production's ids in the shared management API, and every other address of the list."""
        one = self.pick(
            self.any(), replace(self.any(), vendor="supabase", host="api.supabase.com", path=self._of_ref())
        )
        methods = ("PATCH", "DELETE", "PUT", "POST", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "Get", "GET ", "")
        other = [method for method in (*methods, self.word().upper()) if method != one.method]
        return replace(one, method=self.pick(*other))

    def _of_ref(self) -> str:
        return str(self.pick(*(one.path for one in self.good if self.ref in one.path and one.method == "GET")))

    def header_that_overrides(self) -> Raw:
        names = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method", "_method")
        named = self.pick(*names)
        named = self.pick(named, named.lower(), named.upper(), named.replace("-", "_"))
        return self._with((named, self.pick("DELETE", "PATCH", "PUT", "POST", "delete")))

    def header_that_sends_elsewhere(self) -> Raw:
        name = self.pick(
            *("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Upgrade", "TE"),
            *(
                "HTTP2-Settings",
                "X-Forwarded-Prefix",
                "Cookie",
                "Expect",
                "Trailer",
                "Keep-Alive",
                "Proxy-Authorization",
            ),
        )
        value = self.pick("h2c", "websocket", "evil.example", f"/v1/projects/{self.ref}", "host=evil.example", "x=y")
        return self._with((self.pick(name, name.lower()), value))

    def header_that_frames(self) -> Raw:
        """What is read as another request, or as another host, by something in between."""
        one = self.any()
        other = self.pick("evil.example", one.host.upper(), f"{one.host}:443", f"{one.host}.", "sandbox.internal", "")
        return self.pick(
            replace(one, without=("host",), headers=(("Host", other),)),
            replace(one, without=("host",)),
            replace(one, headers=(("Host", other),)),
            replace(one, headers=(("host", one.host),)),
            replace(one, headers=(("Transfer-Encoding", self.pick("chunked", "gzip, chunked", "identity")),)),
            replace(one, without=("content-length",), headers=(("Content-Length", str(len(one.body) + 1)),)),
            replace(one, headers=(("Content-Length", "0"), ("Content-Length", "5"))),
            replace(one, without=("connection",), headers=(("Connection", self.pick("Upgrade", "close, Upgrade")),)),
            replace(one, headers=(("Accept", self.pick("x\r\nDELETE / HTTP/1.1", "\x00", "a\nb", "\x7f", " ")),)),
            replace(self.graphql, without=("content-type",), headers=(("Content-Type", "application/graphql"),)),
            replace(self.graphql, without=("content-type",), headers=(("Content-Type", "text/plain"),)),
        )

    def _with(self, header: tuple[str, str]) -> Raw:
        one = self.any()
        return replace(one, headers=(header,))

    def query(self) -> Raw:
        one = self.any()
        known = self.pick("teamId", "limit", "reveal", "offset")
        name = self.pick(
            *("_method", "X-HTTP-Method-Override", "method", "query", "upsert", "force", "", "services[]"),
            *(f"{known}%00", "%74eamId", f"{known};_method", f"{known} ", known.upper(), "teamId[]", "__proto__"),
            f"{self.word()}_",
        )
        return replace(one, query=(*one.query, (name, self.pick("DELETE", "true", "1", ""))))

    def query_value(self) -> Raw:
        one = self.pick(*(one for one in self.good if one.query))
        name = one.query[0][0]
        others = tuple(pair for pair in one.query if pair[0] != name)
        value = self.pick(
            "%00", "%0d%0a", "a;b", "a/b", "1 1", "%26_method%3dDELETE", "{}", "$x", "x" * 201, "a=b", None
        )
        twice = [single for single in self.good if single.query and "services" not in dict(single.query)]
        doubled = self.pick(*twice)
        return self.pick(
            replace(one, query=((name, value), *others)),
            replace(doubled, query=(*doubled.query, (doubled.query[0][0], self.word()))),
        )

    def body_of_a_get(self) -> Raw:
        body = self.pick(b"{}", b"_method=DELETE", graphql(DELETION), b"\x00", b"x" * 100)
        return replace(self.pick(*self.gets), body=body)

    def graphql_by_get(self) -> Raw:
        name, document = self.pick("query", "mutation", "id", "extensions"), self.pick("mutation", "query")
        return replace(self.graphql, method="GET", body=b"", query=((name, f"{document}%7BprojectDelete%7D"),))

    def graphql_document(self) -> Raw:
        """Mutations in disguise, and queries that nobody enumerated."""
        ours = self.pick(*DOCUMENTS)
        name = enumerated.DOCUMENTS[enumerated._digest(ours)]
        deletion = DELETION.replace(" M(", f" {name}(")
        document = self.pick(
            *(
                DELETION,
                deletion,
                f" {deletion}",
                f"\ufeff{deletion}",
                f"# {ours}\n{deletion}".replace("\n}", "}"),
                f"{ours}\n{deletion}",
            ),
            *(f"{deletion}\n{ours}", ours.replace("query", "mutation", 1), ours.replace("query", "subscription", 1)),
            *(
                f"{ours} ",
                f"\ufeff{ours}",
                ours.replace("{", "{ ", 1),
                f"{ours}\n#",
                ours.replace("query ", "query\t", 1),
            ),
            *(ours.replace("}", "...F }", 1) + " fragment F on Mutation { projectDelete(id: 1) }", "{ projectDelete }"),
            *(
                ours.replace("{", "{ q: projectDelete(id: 1) ", 1),
                f"query {name} {{ a: __typename }}",
                "query Q { me { id } }",
            ),
            *(
                f"query {self.word()} {{ {self.word()} }}",
                ours[:-1],
                ours.upper(),
                "",
                None,
                7,
                [ours],
                {"query": ours},
            ),
        )
        return replace(self.graphql, body=graphql(document, operationName=self.pick(name, name, "M", None)))

    def graphql_envelope(self) -> Raw:
        """Our own document, in something that is read in more than one way."""
        ours = self.pick(*DOCUMENTS)
        plain = graphql(ours)
        deletion, name = json.dumps(DELETION), self.pick("M", "projectDelete", None, 1, "", self.word(), {"a": 1})
        body = self.pick(
            *(graphql(ours, operationName=name), b"[" + plain + b"]", b"[" + plain + b"," + graphql(DELETION) + b"]"),
            *(b"\xef\xbb\xbf" + plain, plain.decode().encode("utf-16"), plain.decode().encode("utf-32"), plain + plain),
            *(plain[:-1] + f', "query": {deletion}}}'.encode(), f'{{"query": {deletion}, '.encode() + plain[1:]),
            *(
                plain[:-1] + f', "{key}": {{}}}}'.encode()
                for key in ("extensions", "id", "documentId", "Query", "_method")
            ),
            graphql(ours, extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}),
            json.dumps({"id": "0" * 64, "variables": {}, "operationName": "M"}).encode(),
            *(graphql(ours, variables=given) for given in (None, [], "x", 1)),
            *(b"query=mutation{projectDelete}", b"", b"null", b"\xff", b"[" * 100_000, b'{"query": NaN}', plain[:-1]),
            json.dumps({"query": ours, "variables": {}}).encode(),
        )
        return replace(self.graphql, body=body)

    def statement(self) -> Raw:
        """Of the read-only query: what writes, what has effects, and what is only not ours."""
        ours = self.pick(*sorted(enumerated.STATEMENTS))
        text = self.pick(
            *(
                f"{ours}; drop table storage.buckets",
                f"{ours};",
                f"{ours} -- x",
                f"/* x */ {ours}",
                f" {ours}",
                ours.upper(),
            ),
            "with gone as (delete from storage.buckets returning id) select id from gone",
            "with made as (insert into storage.buckets (id, name) values ('x', 'x') returning id) select id from made",
            *(f"select {call}" for call in _CALLS),
            *(
                "copy (select 1) to program 'id'",
                "set role postgres",
                "reset role",
                "begin; commit",
                "do $$ begin end $$",
            ),
            *(
                "select 1 into storage.x",
                "select * from storage.buckets for update",
                "explain analyze delete from x",
                "",
            ),
            *(f"select id from storage.{self.word()}", None, 1, [ours], {"query": ours}),
        )
        body = self.pick(
            *[json.dumps({"query": text}).encode()] * 4,
            json.dumps({"query": ours, self.pick("parameters", "read_only", "_method", "role"): False}).encode(),
            json.dumps([{"query": ours}]).encode(),
            f'{{"query": {json.dumps(ours)}, "query": "drop table storage.buckets"}}'.encode(),
            b"\xef\xbb\xbf" + self.sql.body,
        )
        return replace(self.sql, body=body)

    def statement_by_the_writing_query(self) -> Raw:
        path = self.sql.path.removesuffix("/read-only")
        text = self.pick(*sorted(enumerated.STATEMENTS), "select 1", "delete from storage.buckets", "drop table x")
        more = self.pick({}, {"read_only": True}, {"read_only": False})
        path = self.pick(
            path, f"{path}/", f"{path}/READ-ONLY", f"{path}/read-only/", f"{path}/./read-only", f"{path}/read_only"
        )
        return replace(self.sql, path=path, body=json.dumps({"query": text, **more}).encode())

    def what_only_a_transport_sees(self) -> Raw:
        name, value = self.pick(("target", f"/v1/projects/{self.ref}".encode()), ("sni_hostname", "evil.example"))
        return replace(self.any(), extensions={name: value, "timeout": {}})


_CALLS = (
    *("pg_terminate_backend(1)", "set_config('role', 'postgres', false)", "nextval('storage.x')", "lo_import('/x')"),
    *("dblink_exec('x', 'drop table y')", "pg_read_file('/etc/passwd')", "pg_advisory_lock(1)", "pg_notify('a', 'b')"),
    *("net.http_post('https://evil.example')", "pg_sleep(1000)", "query_to_xml('delete from x', true, true, '')"),
)
KINDS: tuple[str, ...] = tuple(
    name for name in vars(Hostile) if not name.startswith("_") and name not in {"any", "pick", "word"}
)
