"""Production's secrets as salted fingerprints: which values can be pinned, and the table that holds them. Pure.

The salt is committed beside the pins, so a value that can be guessed is not pinned: its fingerprint would give it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pantheon_runbook.errors import CredentialError
from pantheon_runbook.isolation.drafting import allowed_text, pins_text
from pantheon_runbook.secrets import fingerprint, is_pinnable

GUESSABLE = "under about 100 bits: who reads the committed fingerprint could find the value by trying"
ADDRESS = "an address without a secret in it"
_DATABASES = frozenset({"postgres", "postgresql"})
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:\d+)?/?")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_LONG_TOKEN = re.compile(r"(?=[A-Za-z]*\d)[A-Za-z0-9]{20,}")  # as in a webhook's path, or a DSN's user
_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"[ \t]*(?:\#.*)?|'(?P<single>[^']*)'[ \t]*(?:\#.*)?|(?P<plain>[^\n]*))$""",
    re.MULTILINE | re.VERBOSE,
)
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?$")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_PINNED_AT = re.compile(r"""^(pinned_at[ \t]*=[ \t]*)(?:"[^"\n]*"|'[^'\n]*')""", re.MULTILINE)
_PINS = re.compile(
    r"^[ \t]*\[[ \t]*production[ \t]*\.[ \t]*pins[ \t]*\][^\n]*\n?.*?(?=^[ \t]*\[|\Z)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Pinning:
    """`pins` are fingerprints by name; `refused` says of each value that has none why. No value is in it."""

    pins: Mapping[str, str]
    refused: Mapping[str, str]


def pins_of(places: Iterable[tuple[str, Mapping[str, str]]], *, salt: str) -> Pinning:
    """Fingerprints of every secret among the values, by variable name; `places` are (service, values by name).

    A name with two values is told apart by its place. A URL's password is pinned on its own as well, decoded.
    """
    pins: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, value in _told_apart(places):
        for label, secret, why_not in _secrets_in(name, value):
            if why_not or not is_pinnable(secret):
                refused[label] = why_not or GUESSABLE
            elif (pin := fingerprint(salt, secret)) not in pins.values() or label == name:
                pins[label if pins.get(label, pin) == pin else f"{label} ({name})"] = pin
    return Pinning(pins, {name: why for name, why in refused.items() if name not in pins})


def _told_apart(places: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for place, values in sorted(places, key=lambda one: one[0]):
        for name, value in sorted(values.items()):
            if value and seen.setdefault(name, value) == value:
                yield name, value
            elif value:
                yield f"{place}/{name}", value


def _secrets_in(name: str, value: str) -> Iterator[tuple[str, str, str]]:
    """(label, secret, why it is not pinned or ""). A URL is as hard to guess as the secret in it, not as its length."""
    url = _split(value)
    if url is None:
        yield name, value, ADDRESS if _is_addresses(value) else ""
        return
    password = unquote(url.password or "")
    if password:
        yield name, value, "" if is_pinnable(password) else GUESSABLE
        label = "database password" if url.scheme in _DATABASES else f"{name} password"
        yield label, password, ""
        return
    if "@" in value and not url.username:
        # A password with a bare slash: urlsplit takes it for a path, and it is as weak as what stands before the @.
        before = value.partition("://")[2].rpartition("@")[0]
        yield name, value, "" if is_pinnable(before) else GUESSABLE
        return
    yield name, value, "" if _LONG_TOKEN.search(f"{url.username or ''} {url.path} {url.query}") else ADDRESS


def _split(value: str) -> _Url | None:
    """The parts of a value that is one URL."""
    if _URL.fullmatch(value) is None or value.count("://") > 1:
        return None
    try:
        parts = urlsplit(value)
        return _Url(parts.scheme.lower(), parts.username, parts.password, parts.path, parts.query)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Url:
    scheme: str
    username: str | None
    password: str | None
    path: str
    query: str


def _is_addresses(value: str) -> bool:
    """Hosts and URLs without a secret, one or a list of them."""
    parts = [part for part in re.split(r"[\s,;]+", value) if part]
    return bool(parts) and all(_HOST.fullmatch(part) or _is_plain_url(part) for part in parts)


def _is_plain_url(text: str) -> bool:
    return _URL.fullmatch(text) is not None and "@" not in text and _LONG_TOKEN.search(text.partition("://")[2]) is None


def values_of_dotenv(text: str, *, source: str) -> dict[str, str]:
    """NAME=VALUE lines as dotenv writes them: `export`, quotes over several lines, comments.

    Errors: CredentialError with the number of the line that is none; nothing of the line is in it.
    """
    text = text.replace("\r\n", "\n")
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        line = text[position : len(text) if end < 0 else end]
        found = _LINE.match(text, position)
        if found is None and not _NOTHING.fullmatch(line):
            number = text.count("\n", 0, position) + 1
            raise CredentialError(
                f"line {number} of {source} is not NAME=VALUE",
                why="it is read as a dotenv file",
                next_step=f"correct line {number}; what it holds is not shown",
            )
        if found is not None:
            values[found["name"]] = _unquoted(found)
        position = (found.end() if found else position + len(line)) + 1
    return values


def _unquoted(found: re.Match[str]) -> str:
    if found["double"] is not None:
        return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), found["double"], flags=re.DOTALL)
    if found["single"] is not None:
        return found["single"]
    return re.split(r"[ \t]#", f" {found['plain']}", maxsplit=1)[0].strip()


def with_pins(text: str, pins: Mapping[str, str], *, pinned_at: str) -> str:
    """identities.toml with another table [production.pins] and another `pinned_at`; every other byte stays."""
    dated = _PINNED_AT.sub(lambda found: f'{found[1]}"{pinned_at}"', text, count=1)
    found = _PINS.search(dated)
    if found is None:
        return f"{dated.rstrip()}\n\n{pins_text(pins)}"
    after = dated[found.end() :]
    return dated[: found.start()] + pins_text(pins) + (f"\n{after}" if after else "")


def with_allowed(text: str, environment: str, allowed: Mapping[str, str]) -> str:
    """identities.toml with another table [environments.<name>], at the end when it had none; every other byte stays."""
    table = re.compile(
        rf"^[ \t]*\[[ \t]*environments[ \t]*\.[ \t]*\"?{re.escape(environment)}\"?[ \t]*\][^\n]*\n?.*?(?=^[ \t]*\[|\Z)",
        re.MULTILINE | re.DOTALL,
    )
    found = table.search(text)
    if found is None:
        return f"{text.rstrip()}\n\n{allowed_text(environment, allowed)}"
    after = text[found.end() :]
    return text[: found.start()] + allowed_text(environment, allowed) + (f"\n{after}" if after else "")


def summary(pinning: Pinning) -> Iterable[str]:
    """What was pinned and what was not, by name."""
    yield f"pinned      {len(pinning.pins)}: {', '.join(sorted(pinning.pins)) or 'nothing'}"
    for why in sorted(set(pinning.refused.values())):
        names = ", ".join(sorted(name for name, reason in pinning.refused.items() if reason == why))
        yield f"not pinned  {names} ({why})"
