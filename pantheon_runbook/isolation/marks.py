"""What gives production away in a text: its ids and hosts, and its secrets by salted fingerprint. No I/O.

A secret is known by its fingerprint only, so the text is cut into everything that could be one: what stands between
blanks or quotes, the parts of that, and each of these decoded.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pantheon_runbook.config import Identities
from pantheon_runbook.secrets import SHORTEST_PINNABLE, fingerprints_under, forms_of

_DEPTH = 3  # a base64 text in a JSON text in a base64 text: Docker's and Kubernetes' own nesting
# How many parts a secret may have by the characters that part things in a URL or a list: a database URL with a query
# has twelve. One of more parts is found where it stands alone, between quotes or after a name.
_PARTS = 12
_REMEMBERED = 200_000

_RUN = re.compile(rf"[^\s\"'`]{{{SHORTEST_PINNABLE},}}")
_PARTING = re.compile(r"[:@/=,;&?|<>()\[\]{}#\\]")
_BLANK = re.compile(r"[\s\"'`]")
# Possessive, and begun where nothing of the same stands before: a line may be megabytes long.
_QUOTED = (re.compile(r'(?<!\\)"((?:[^"\\\n]|\\.)*+)"'), re.compile(r"(?<!\\)'((?:[^'\\\n]|\\.)*+)'"))
_AFTER_A_NAME = re.compile(r"^[ \t]*+(?:export[ \t]++|-[ \t]++)?+[\w.-]++[ \t]*+[:=][ \t]*+([^\n]*[^\s])", re.MULTILINE)
_AROUND = ".!*_~-"  # of a sentence or of Markdown, when it touches a value
_BASE64_SHORTEST = (SHORTEST_PINNABLE * 4 + 2) // 3
_BASE64 = re.compile(rf"(?:[A-Za-z0-9+/]{{{_BASE64_SHORTEST},}}|[A-Za-z0-9_-]{{{_BASE64_SHORTEST},}})={{0,2}}")
_STANDARD = str.maketrans("-_", "+/")
_WRAPPED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{40,}+(?:[ \t]*+\r?\n[ \t]*+[A-Za-z0-9+/_-]{4,}+)++={0,2}")
_ID_SHORTEST = 8  # an id is found wherever it stands in a text: a shorter one would be any word
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Marks:
    """`ids` and `hosts` by themselves, `pins` by a fingerprint under `salt`; each says what is marked by it."""

    ids: Mapping[str, str]
    hosts: Mapping[str, str]
    pins: Mapping[str, str]
    salt: str

    @classmethod
    def of(cls, identities: Identities) -> Self:
        """Production's. Its Vercel project is none of them: staging's previews are of the same project."""
        production = identities.production
        ids = {
            production.supabase_ref: "production's Supabase project",
            production.railway_project: "production's Railway project",
            production.railway_environment: "production's Railway environment",
        }
        ids = {known: what for known, what in ids.items() if len(known) >= _ID_SHORTEST}
        hosts = {host: f"production's host {host}" for host in production.hosts}
        pins = {pin: f"production's secret {name}" for name, pin in production.pins.items()}
        return cls(ids, hosts, pins, identities.salt)


@dataclass(frozen=True, order=True)
class Trace:
    """Production in one line, counted from one. `what` is what it is called: a value is never kept."""

    line: int
    what: str
    is_secret: bool


class Search:
    """For the same marks in many texts: what was no secret once is not looked into again."""

    def __init__(self, marks: Marks) -> None:
        self._ids = {known.lower(): what for known, what in marks.ids.items()}
        self._encoded = {form: what for known, what in marks.ids.items() for form in forms_of(known) - {known}}
        self._hosts = {host.lower(): what for host, what in marks.hosts.items()}
        listed = "|".join(map(re.escape, self._hosts))
        self._host = re.compile(rf"(?<![\w.-])(?:{listed})(?![\w-]|\.\w)") if listed else None
        self._pins = marks.pins
        self._fingerprint = fingerprints_under(marks.salt)
        self._nothing: tuple[set[str], ...] = tuple(set() for _ in range(_DEPTH + 1))

    def find(self, text: str) -> tuple[Trace, ...]:
        """Every trace of production, by line; each once."""
        found = {
            Trace(text.count("\n", 0, position) + 1, what, is_secret)
            for piece, what, is_secret in self._traces(text, depth=0)
            for position in _positions(piece, text)
        }
        return tuple(sorted(found))

    def _traces(self, text: str, *, depth: int) -> Iterator[tuple[str, str, bool]]:
        """(piece of the text, what, whether it is a secret); `depth` counts how often the text has been decoded."""
        for piece, what in self._named(text):
            yield piece, what, False
        yield from ((whole, what, True) for whole in {text, text.strip()} for what in self._pinned(whole))
        nothing = self._nothing[depth]
        for piece in _pieces(text) - nothing:
            found = self._held(piece, depth)
            yield from ((piece, what, is_secret) for what, is_secret in found)
            if not found and len(nothing) < _REMEMBERED:
                nothing.add(piece)

    def _named(self, text: str) -> Iterator[tuple[str, str]]:
        """Ids wherever they stand, hosts only whole: a host of staging's may end like one of production's."""
        lowered = text.lower()
        yield from ((known, what) for known, what in self._ids.items() if known in lowered)
        yield from ((form, what) for form, what in self._encoded.items() if form in text)
        if self._host is not None:
            yield from ((host, self._hosts[host]) for host in set(self._host.findall(lowered)))

    def _held(self, piece: str, depth: int) -> set[tuple[str, bool]]:
        """Which secrets stand in this piece, and what is in it when it is decoded."""
        found: set[tuple[str, bool]] = set()
        for value in _values(piece):
            found |= {(what, True) for spelled in {value, value.strip(_AROUND)} for what in self._pinned(spelled)}
        if depth < _DEPTH:
            for text in _decoded(piece):
                found |= {(what, is_secret) for _, what, is_secret in self._traces(text, depth=depth + 1)}
        return found

    def _pinned(self, value: str) -> tuple[str, ...]:
        what = self._pins.get(self._fingerprint(value))
        return () if what is None else (what,)


def _positions(piece: str, text: str) -> Sequence[int]:
    """Where the piece begins, each time: an id may be spelled in capitals, wrapped base64 has line breaks in it."""
    pattern = re.escape(piece) if piece.lower() in text.lower() else r"\s*".join(map(re.escape, piece))
    flags = re.IGNORECASE if piece == piece.lower() else re.NOFLAG
    return [match.start() for match in re.finditer(pattern, text, flags)] or [0]  # found it was, wherever


def _pieces(text: str) -> set[str]:
    """What may be a secret, or hold one: what stands between blanks or quotes or after a name, and wrapped base64."""
    pieces = {*_RUN.findall(text), *_AFTER_A_NAME.findall(text)}
    for quoted in _QUOTED:
        pieces.update(quoted.findall(text))
    pieces.update(re.sub(r"\s+", "", wrapped) for wrapped in _WRAPPED.findall(text))
    return pieces


def _values(piece: str) -> Iterator[str]:
    """The piece; and without a blank or a quote in it, what stands between any two parting characters near enough."""
    if len(piece) < SHORTEST_PINNABLE:
        return
    yield piece
    if not _BLANK.search(piece):
        yield from _parts(piece)


def _parts(run: str) -> Iterator[str]:
    starts, ends = [0], []
    for parting in _PARTING.finditer(run):
        ends.append(parting.start())
        starts.append(parting.end())
    ends.append(len(run))
    for number, start in enumerate(starts):
        for end in ends[number : number + _PARTS]:
            if SHORTEST_PINNABLE <= end - start < len(run):
                yield run[start:end]


def _decoded(piece: str) -> Iterator[str]:
    """The texts that this piece, or a value in it, may be a spelling of."""
    spelled = set()
    if "%" in piece:
        parts = (piece, *_PARTING.split(piece))
        spelled |= {urllib.parse.unquote(part) for part in parts if "%" in part and len(part) >= SHORTEST_PINNABLE}
    if "&" in piece:
        spelled.add(html.unescape(piece))
    if "\\" in piece:
        spelled.add(_unescaped(piece))
    yield from spelled - {piece}
    for value in _values(piece):
        if _BASE64.fullmatch(value):
            yield from _from_base64(value)


def _unescaped(value: str) -> str:
    """As JSON, YAML, dotenv and Python mean it; two halves of one character are put together."""

    def meant(escape: re.Match[str]) -> str:
        letter = escape[1]
        return chr(int(letter[1:], 16)) if len(letter) > 1 else _ESCAPED.get(letter, letter)

    return _ESCAPE.sub(meant, value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _from_base64(value: str) -> Iterator[str]:
    """The text that was encoded, in either alphabet; none when the bytes are no text."""
    bare = value.rstrip("=").translate(_STANDARD)
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return
    if "\0" not in text:
        yield text
