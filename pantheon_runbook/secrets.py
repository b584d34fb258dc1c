"""Values that must not be seen: masked in print, compared by fingerprint, taken out of every text that leaves us."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import math
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MASK = "[secret]"
_PIN_BITS = 100  # below this a fingerprint can be guessed from its salt, which is committed
SHORTEST_SECRET = 6  # a shorter value would blank out half the text around it
_ALPHABETS = ((r"[a-z]", 26), (r"[A-Z]", 26), (r"[0-9]", 10), (r"[^a-zA-Z0-9]", 20))
SHORTEST_PINNABLE = math.ceil(_PIN_BITS / math.log2(sum(size for _, size in _ALPHABETS)))  # characters
_TOKEN_SHAPES = re.compile(
    r"sbp_(?:oauth_)?[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{16,}|sk-or-v1-[a-f0-9]{32,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that prints as a mask; `reveal` is the only way to it, and easy to search for."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret([secret])"

    def __str__(self) -> str:
        return MASK

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret does not leave its process")


def fingerprint(salt: str, value: str) -> str:
    """Keyed digest as 64 hexadecimal characters; equal values under one salt have equal fingerprints."""
    return fingerprints_under(salt)(value)


def fingerprints_under(salt: str) -> Callable[[str], str]:
    """`fingerprint` for many values: the key is prepared once."""
    keyed = hmac.new(bytes.fromhex(salt), digestmod=hashlib.sha256)

    def fingerprint_of(value: str) -> str:
        one = keyed.copy()
        one.update(value.encode())
        return one.hexdigest()

    return fingerprint_of


def entropy_bits(value: str) -> float:
    """An upper bound from the length and the characters in use: what a guesser who knows the alphabet has to try."""
    if not value:
        return 0.0
    alphabet = sum(size for pattern, size in _ALPHABETS if re.search(pattern, value))
    if re.fullmatch(r"[0-9a-f-]+", value):
        alphabet = 16
    return min(len(set(value)) * math.log2(alphabet) * 2, len(value) * math.log2(alphabet))


def is_pinnable(value: str) -> bool:
    """Whether a committed fingerprint of this value cannot be turned back by guessing."""
    return entropy_bits(value) >= _PIN_BITS


def has_token_shape(text: str) -> bool:
    """Whether the text holds something built like a vendor's token, known to us or not."""
    return _TOKEN_SHAPES.search(text) is not None


class Registry:
    """The values this run knows; thread-safe. What it has never been told it cannot take out."""

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, value: str, *, name: str) -> Secret:
        """Remember the value under a name that may be shown."""
        if len(value) >= SHORTEST_SECRET and value not in MASK:
            forms = dict.fromkeys(forms_of(value), name)
            with self._lock:
                self._forms.update(forms)
        return Secret(value)

    def redact(self, text: str) -> str:
        """The text with every known value, in every form, and everything built like a vendor's token masked."""
        longest_first = sorted((form for form, _ in self._found(text)), key=len, reverse=True)
        known = [re.escape(form) for form in longest_first]
        return re.sub("|".join([*known, _TOKEN_SHAPES.pattern]), MASK, text)

    def redact_in(self, value: Any) -> Any:
        """The same JSON value with every text in it redacted: masking after encoding could cut an escape in two."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            return {self.redact(key): self.redact_in(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_in(item) for item in value]
        return value

    def names_in(self, text: str) -> tuple[str, ...]:
        """Names of the known values that occur in the text, sorted; a token nobody told us of is one too."""
        names = {name for _, name in self._found(text)}
        if not names and has_token_shape(text):
            names.add("something built like a token")
        return tuple(sorted(names))

    def _found(self, text: str) -> list[tuple[str, str]]:
        with self._lock:
            return [(form, name) for form, name in self._forms.items() if form in text]


def forms_of(value: str) -> frozenset[str]:
    """Every spelling in which a value may leave us.

    As it is; in capitals or without any; URL-encoded, JSON-, HTML- and Python-escaped, and one of these inside another;
    each single one of them also in hexadecimal, and in base64 at any place of a longer text, in both alphabets,
    URL-encoded or not.
    """
    once = {value, *(spell(value) for spell in _SPELLINGS)}
    twice = {spell(text) for text in once for spell in _SPELLINGS}
    cased = (value.upper(), value.lower())
    return frozenset(form for form in (*once, *twice, *cased, *_encoded(once)) if len(form) >= SHORTEST_SECRET)


def _encoded(texts: set[str]) -> Iterator[str]:
    for text in texts:
        raw = text.encode()
        yield from (raw.hex(), raw.hex().upper())
        for form in _base64_of(raw):
            yield from (form, form.translate(_URL_SAFE), urllib.parse.quote(form, safe=""), _lower_quoted(form))


def _base64_of(raw: bytes) -> Iterator[str]:
    """On its own, and as it looks inside a longer text.

    There the value starts zero, one or two bytes into a group of three, so 0, 8 or 16 bits of another's come first:
    the characters that hold none of them, nor any of what follows, are always the same.
    """
    yield base64.b64encode(raw).decode()
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw).decode()
        yield text[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]


def _lower_quoted(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), urllib.parse.quote(text, safe=""))


_URL_SAFE = str.maketrans("+/", "-_")
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: " ".join(text.split()),  # as a card of one line shows it
    lambda text: urllib.parse.quote(text, safe=""),
    urllib.parse.quote,
    lambda text: urllib.parse.quote(text, safe="!'()*"),  # as JavaScript does
    urllib.parse.quote_plus,
    lambda text: urllib.parse.quote_plus(text, safe="/"),
    _lower_quoted,
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    lambda text: repr(text)[1:-1],
)


class Vault:
    """Values by name ("supabase.url", "database.password"), filled while observing and applying; thread-safe.

    The runner's only store of secrets: plans and journals carry the names, and fingerprints under `salt`.
    """

    def __init__(self, registry: Registry, *, salt: str) -> None:
        self.registry = registry
        self._salt = salt
        self._values: dict[str, Secret] = {}
        self._lock = threading.Lock()

    def hold(self, name: str, value: str, *, secret: bool = True) -> None:
        """Keep a value under its name; a secret one is from now on taken out of every text."""
        kept = self.registry.add(value, name=name) if secret else Secret(value)
        with self._lock:
            self._values[name] = kept

    def let_go(self, *names: str) -> None:
        """Hold these no longer; what was a secret stays one in every text."""
        with self._lock:
            for name in names:
                self._values.pop(name, None)

    def get(self, name: str) -> Secret | None:
        with self._lock:
            return self._values.get(name)

    def held_under(self, prefix: str) -> dict[str, str]:
        """Every value whose name begins so, by the rest of its name."""
        held = dict(self._values)
        return {name.removeprefix(prefix): value.reveal() for name, value in held.items() if name.startswith(prefix)}

    def text(self, name: str) -> str:
        """The value, which must be there by now: what asks for it depends on what fills it."""
        held = self.get(name)
        if held is None:
            raise KeyError(f"nothing holds {name} yet")
        return held.reveal()

    def texts(self, *names: str) -> tuple[str, ...]:
        """The values of those that are held now."""
        return tuple(one.reveal() for one in map(self.get, names) if one is not None)

    def fingerprint_of(self, value: str) -> str:
        return fingerprint(self._salt, value)

    def fingerprints(self) -> dict[str, str]:
        """Fingerprint by name of everything held now."""
        with self._lock:
            return {name: self.fingerprint_of(value.reveal()) for name, value in self._values.items()}
