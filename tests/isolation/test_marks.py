"""Whatever a secret of production's is written as, it is found by its fingerprint; staging's twin of it never is."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import textwrap
import time
import urllib.parse
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon_runbook.config import load_identities
from pantheon_runbook.isolation.marks import Marks, Search, Trace
from pantheon_runbook.sandbox import customer
from pantheon_runbook.secrets import fingerprint, is_pinnable

pytestmark = [pytest.mark.xdist_group("runner-quiet"), pytest.mark.alike]
EXAMPLES = 2000 if os.environ.get("PANTHEON_SWEEP") == "full" else 40
SALT = "5a" * 32
REF, PROJECT, ENVIRONMENT = (
    "qwertyuiopasdfghjklz",
    "5f0c7a52-0d3e-4c6e-9a53-2f7d8c1b6e90",
    "0b1d2c3e-ffff-4aaa-8bbb-123456789abc",
)
HOST = "api-production-4f2a.up.railway.app"
# Every kind of character that a place may give a meaning of its own.
NASTY = "P@ss/37d\"c'<&>\\ß+% =:ü,;|#{x}"
LETTERS = st.characters(max_codepoint=0x17F, exclude_categories=["C", "Z"]) | st.just(" ")
VALUES = st.text(LETTERS, min_size=18, max_size=50).filter(lambda value: is_pinnable(value) and value == value.strip())


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def url_safe(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


# Where a value with any character in it is still itself to whoever reads the file.
WAYS: Mapping[str, Callable[[str], str]] = {
    "after a name": lambda value: f"KEY={value}",
    "JSON": lambda value: json.dumps({"key": value}),
    "JSON without ASCII only": lambda value: json.dumps({"key": value}, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps({"outer": json.dumps({"key": value})}),
    "JSON with escaped slashes": lambda value: json.dumps({"key": value}).replace("/", r"\/"),
    "Python": lambda value: f"KEY = {value!r}",
    "URL-encoded in a URL": lambda value: f"DATABASE_URL=postgresql://user:{quoted(value)}@host:5432/postgres?ssl=1",
    "URL-encoded in lower case": lambda value: re.sub("%..", lambda found: found[0].lower(), f"x={quoted(value)}"),
    "a whole URL encoded": lambda value: f"next={quoted(f'https://host/?key={quoted(value)}')}",
    "HTML": lambda value: f'<setting name="key" value="{html.escape(value)}"/>',
    "base64": lambda value: f"  password: {b64(value)}",
    "base64, URL-safe": lambda value: f"key={url_safe(value)}",
    "base64 behind a path": lambda value: f"https://host/of/{url_safe(value)}/x",
    "base64 in base64": lambda value: b64(json.dumps({"auth": b64(f"user:{value}")})),
    "base64 with padding encoded": lambda value: f"https://host/?key={quoted(b64(value))}&x=1",
    "basic authorization": lambda value: f"Authorization: Basic {b64(f'user:{value}')}",
    "a file of variables in wrapped base64": lambda value: textwrap.fill(b64(f"A=1\nKEY={value}\nB=2\n" * 3), 76),
    "the same, indented": lambda value: "data: |\n" + textwrap.indent(textwrap.fill(b64(f"K={value}\n" * 3), 64), "  "),
}
# Where a value without blanks and quotes may stand.
PLAIN_WAYS: Mapping[str, Callable[[str], str]] = {
    "alone": lambda value: value,
    "double quotes": lambda value: f'export KEY="{value}"',
    "single quotes": lambda value: f"KEY='{value}'  # production",
    "a default": lambda value: f"${{KEY:-{value}}}",
    "a list": lambda value: f"keys: [{value}, other]",
    "compose": lambda value: f"      - KEY={value}",
    "an argument": lambda value: f"psql --password={value} -h host",
    "a URL": lambda value: f"redis://default:{value}@host:6379/0",
    "a query": lambda value: f"https://host/path?apikey={value}&x=1",
    "a sentence": lambda value: f"The password is {value}.",
    "Markdown": lambda value: f"| key | **{value}** | `{value}` |",
    "a call": lambda value: f"connect({value})",
    "a header": lambda value: f'curl -H "Authorization: Bearer {value}" https://host',
    "Windows": lambda value: f"A=1\r\nKEY={value}\r\n",
    "an element": lambda value: f"<password>{value}</password>",
}


def search(**pinned: str) -> Search:
    pins = {fingerprint(SALT, value): name for name, value in pinned.items()}
    ids = {REF: "the project", PROJECT: "the Railway project"}
    return Search(Marks(ids, {HOST: "the host"}, pins, SALT))


def of_the_world(world) -> tuple[Search, dict[str, str]]:
    """A search for the sandbox's production, and the secrets that its owner has pinned."""
    search = Search(Marks.of(load_identities(world.customer / "identities.toml")))
    return search, {name: world.facts[vendor][held] for name, (vendor, held) in customer._PINNED.items()}


ALL_WAYS = {**WAYS, **PLAIN_WAYS}


def names(found: tuple[Trace, ...]) -> set[str]:
    return {trace.what for trace in found}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_value_of_any_characters_is_found(way: str):
    assert {"it"} == names(search(it=NASTY).find(f"first line\n{WAYS[way](NASTY)}\n"))


@pytest.mark.parametrize("way", sorted(WAYS))
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(value=VALUES)
def test_any_value_is_found(way: str, value: str):
    assert {"it"} == names(search(it=value).find(WAYS[way](value)))


@pytest.mark.parametrize("way", sorted(PLAIN_WAYS))
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(value=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.$+!-]{18,60}[A-Za-z0-9]", fullmatch=True).filter(is_pinnable))
def test_value_of_a_token_is_found(way: str, value: str):
    assert {"it"} == names(search(it=value).find(PLAIN_WAYS[way](value)))


@pytest.mark.parametrize("way", sorted(ALL_WAYS))
def test_secrets_of_production_are_found(quiet_world, way: str):
    """Each that its owner could pin, by the name it was pinned under."""
    search, secrets = of_the_world(quiet_world)

    planted = {name: ALL_WAYS[way](value) for name, value in secrets.items() if is_pinnable(value)}
    missed = [name for name, text in planted.items() if f"production's secret {name}" not in names(search.find(text))]

    assert [] == missed


@pytest.mark.parametrize("way", sorted(ALL_WAYS))
def test_twin_of_a_secret_is_not_found(quiet_world, way: str):
    """Staging's values have the same shape; only what is production's own was changed in them."""
    search, secrets = of_the_world(quiet_world)
    ref = quiet_world.facts["supabase"]["ref"]
    spelled = ALL_WAYS[way]
    for value in secrets.values():
        header, dot, rest = value.partition(".ey")  # a JSON web token says in its middle whose it is
        twin = header + dot.replace("e", "f") + rest[::-1] if dot else value.replace(ref, ref[::-1])
        twin = re.sub(r"[0-9a-f]{16}", lambda found: found[0][::-1], twin)

        assert () == search.find(spelled(twin))


def test_database_url_shows_everything_in_it(quiet_world):
    """The URL is pinned, its password too, and its user names the project."""
    search, secrets = of_the_world(quiet_world)

    found = search.find(f"A=1\nDATABASE_URL={secrets['DATABASE_URL']}\n")

    expected = {"secret DATABASE_URL", "secret database password", "Supabase project"}
    assert expected == {name.removeprefix("production's ") for name in names(found)}
    assert {2} == {trace.line for trace in found}


@pytest.mark.parametrize(
    "url", ["https://{}.supabase.co/auth", "postgresql://postgres.{}:x@h", "db.{}.supabase.co", "{}"]
)
@pytest.mark.parametrize(
    "spelled", [str, str.upper, quoted, b64, lambda text: b64(f"x{text}"), lambda text: b64(f"xy{text}")]
)
def test_project_is_found_wherever_it_stands(url: str, spelled: Callable[[str], str]):
    assert (Trace(2, "the project", is_secret=False),) == search().find(f"\nURL = '{spelled(url.format(REF))}'\n")


def test_key_without_a_pin_gives_its_project_away():
    """Supabase's keys are JSON web tokens whose middle says whose they are."""
    token = (
        f"{url_safe(json.dumps({'alg': 'HS256'}))}.{url_safe(json.dumps({'iss': 'supabase', 'ref': REF}))}.c2lnbmF0dXJl"
    )

    assert {"the project"} == names(search().find(f"SUPABASE_ANON_KEY={token}"))


HOSTS = (f"https://{HOST}/x", HOST.upper(), f"'{HOST}'", f"{HOST}.", f"a,{HOST}:443")


@pytest.mark.parametrize("text", [*HOSTS, quoted(HOSTS[0]), b64(HOSTS[0])])
def test_host_is_found(text: str):
    assert {"the host"} == names(search().find(f"API={text}"))


@pytest.mark.parametrize("text", [f"staging-{HOST}", f"www.{HOST}", f"{HOST}.example.com", HOST.replace("4", "5")])
def test_host_that_only_ends_alike_is_not_found(text: str):
    assert () == search().find(f"API=https://{text}/")


def test_each_line_is_named():
    """The same secret twice, and in a third line another one."""
    one, other = "Zq8" * 9, "4Yt" * 9
    found = search(one=one, other=other).find(f"A={one}\nB=2\nC={one}\nD={other} {one}\n")

    assert [(1, "one"), (3, "one"), (4, "one"), (4, "other")] == [(trace.line, trace.what) for trace in found]


def test_secret_is_found_again_in_another_text():
    """What held nothing is not looked into twice; what held something is."""
    looking = search(it=NASTY)

    texts = [f"a={NASTY}", f"a={NASTY}", "a=bc", "a=bc", f"a={NASTY}"]

    assert [1, 1, 0, 0, 1] == [len(looking.find(text)) for text in texts]


def test_trace_keeps_no_value():
    """What is reported is the name, however it is printed."""
    assert NASTY not in repr(search(it=NASTY).find(f"a={NASTY}"))


def test_value_of_many_parts_is_found_alone():
    """One with more parting characters than a URL has is found where nothing of it is parted."""
    value = "a:b/c=d,e;f&g?h|i<j>k(l)m[n]o{p}q#r" * 2
    for text in (f"KEY={value}", f'KEY="{value}"', f"x={quoted(value)}", value):
        assert {"it"} == names(search(it=value).find(text))


def test_text_of_many_parts_takes_no_time():
    """Every part with every other one would be a hundred million."""
    began = time.process_time()
    search(it=NASTY).find("x," * 10_000 + "a%2Fb/" * 2_000)

    assert time.process_time() - began < 10
