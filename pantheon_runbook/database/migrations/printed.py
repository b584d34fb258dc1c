"""What the backend's code prints: the last lines of it, kept for an error."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from typing import IO

_LINES_KEPT = 200
_LONGEST_LINE = 2000
_TOO_LONG = b"(a line that is too long to be shown)"
_LAST_WORDS_SECONDS = 0.25
# Texts that were cut in two hold a part of a password, which nobody would recognise.
_LOGIN = re.compile(r"(\w://[^\s:/@]*:)[^\s'\"]+")


class Printed:
    """Read until everybody who may write into it has ended; the descriptor is closed then."""

    def __init__(self, descriptor: int) -> None:
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._reader = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._reader.start()

    def lines(self) -> tuple[str, ...]:
        """Oldest first; the passwords of URLs are out, other secrets not yet."""
        self._reader.join(_LAST_WORDS_SECONDS)
        return tuple(self._lines)

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as output:
            for line in _lines_of(output):
                self._lines.append(_LOGIN.sub(r"\1[secret]", line.decode(errors="replace").rstrip()))


def _lines_of(output: IO[bytes]) -> Iterator[bytes]:
    """One that is too long is left out: wherever it were cut, nobody would know the half of a password again."""
    is_rest = False
    for piece in iter(lambda: output.readline(_LONGEST_LINE), b""):
        is_long = len(piece) == _LONGEST_LINE and not piece.endswith(b"\n")
        if not is_rest:
            yield _TOO_LONG if is_long else piece
        is_rest = is_long
