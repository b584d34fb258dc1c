"""Values that must not be seen: masked in print, compared by fingerprint, taken out of every text that leaves us."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import threading
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

MASK = "[secret]"
_PIN_BITS = 100  # below this a fingerprint can be guessed from its salt, which is committed
_SHORTEST = 6  # a shorter value would blank out half the text around it
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
    return hmac.new(bytes.fromhex(salt), value.encode(), hashlib.sha256).hexdigest()


def entropy_bits(value: str) -> float:
    """An upper bound from the length and the characters in use: what a guesser who knows the alphabet has to try."""
    if not value:
        return 0.0
    sizes = ((r"[a-z]", 26), (r"[A-Z]", 26), (r"[0-9]", 10), (r"[^a-zA-Z0-9]", 20))
    alphabet = sum(size for pattern, size in sizes if re.search(pattern, value))
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
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, value: str, *, name: str) -> Secret:
        """Remember the value under a name that may be shown."""
        with self._lock:
            if len(value) >= _SHORTEST:
                for form in forms_of(value):
                    self._forms[form] = name
                self._pattern = None
        return Secret(value)

    def redact(self, text: str) -> str:
        """The text with every known value, in every form, and everything built like a vendor's token masked."""
        with self._lock:
            if self._pattern is None:
                longest_first = sorted(self._forms, key=len, reverse=True)
                known = "|".join(re.escape(form) for form in longest_first)
                self._pattern = re.compile(f"{known}|{_TOKEN_SHAPES.pattern}" if known else _TOKEN_SHAPES.pattern)
            pattern = self._pattern
        return pattern.sub(MASK, text)

    def names_in(self, text: str) -> tuple[str, ...]:
        """Names of the known values that occur in the text, sorted."""
        with self._lock:
            return tuple(sorted({name for form, name in self._forms.items() if form in text}))

    def leaks(self, folder: Path) -> tuple[str, ...]:
        """ "<file>: <name>" for every known value in the files of a folder; the last check before sealing."""
        return tuple(
            f"{path.relative_to(folder)}: {name}"
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            for name in self.names_in(path.read_bytes().decode(errors="replace"))
        )


def forms_of(value: str) -> frozenset[str]:
    """The value as it is, URL-encoded (both ways), base64 (three alignments, both alphabets), JSON-escaped, in hex."""
    raw = value.encode()
    found = {
        value,
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        raw.hex(),
        raw.hex().upper(),
    }
    for offset in range(3):
        # Inside a longer text the value starts at any of three alignments; only whole groups of it are stable.
        shifted = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        first, last = (4 * ((offset + 2) // 3) if offset else 0), (len(raw) + offset) // 3 * 4
        found.add(shifted[first:last])
        found.add(shifted[first:last].translate(str.maketrans("+/", "-_")))
    return frozenset(form for form in found if len(form) >= _SHORTEST)


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

    def get(self, name: str) -> Secret | None:
        with self._lock:
            return self._values.get(name)

    def text(self, name: str) -> str:
        """The value, which must be there by now: what asks for it depends on what fills it."""
        held = self.get(name)
        if held is None:
            raise KeyError(f"nothing holds {name} yet")
        return held.reveal()

    def fingerprint_of(self, value: str) -> str:
        return fingerprint(self._salt, value)

    def fingerprints(self) -> dict[str, str]:
        """Fingerprint by name of everything held now."""
        with self._lock:
            return {name: self.fingerprint_of(value.reveal()) for name, value in self._values.items()}
