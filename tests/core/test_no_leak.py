"""A whole RB-010 apply, and then a search for every secret of its world in everything the run left or showed.

The list of secrets and the search are made without the product: from the sandbox's own memory, by decoding what is
found instead of encoding what is looked for.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import subprocess
import sys
import threading
import time
import tomllib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_TELLS = re.compile(
    r"token|password|secret|dsn$|key$|_key|^value$|database_.*url|redis_url|(direct|session|transaction)_url",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"\$\{\{|\.\.\.|\s|^https?://|^[A-Z_]+$")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){12,}")


def strings_of(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(name of the nearest key, text) of every text in a JSON document; keys that are texts of their own, too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings_of(item, str(key) if not str(key).isdigit() else name)
            if name in {"tokens", "protectionBypass"}:
                yield name, str(key)
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item, name)
    elif isinstance(value, str):
        yield name, value


def secrets_of(*documents: Any) -> dict[str, str]:
    """Name by value: whatever stands under a telling name and is not plainly something else."""
    return {
        text: name
        for document in documents
        for name, text in strings_of(document)
        if _TELLS.search(name) and len(text) >= 16 and re.search("[0-9]", text) and not _HARMLESS.search(text)
    }


def decodings_of(raw: bytes) -> Iterator[bytes]:
    """The content, and what it may be a spelling of."""
    yield raw
    text = raw.decode(errors="replace")
    yield urllib.parse.unquote(text).encode()
    yield urllib.parse.unquote_plus(html.unescape(text)).encode()
    for _ in range(2):
        text = re.sub(r'\\(["\\/])', r"\1", re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text))
        yield text.encode(errors="replace")
        yield html.unescape(text).encode(errors="replace")
    for run in _BASE64.findall(raw):
        plain = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            part = plain[start:]
            if len(part) % 4 == 1:
                part = part[:-1]  # six bits are no byte
            yield base64.b64decode(part + b"=" * (-len(part) % 4))
    for run in _HEX.findall(raw):
        yield binascii.unhexlify(run)


def leaks(secrets: dict[str, str], sources: dict[str, bytes]) -> set[str]:
    """ "<source>: <name of the secret>" for each that is found."""
    found = set()
    for source, raw in sources.items():
        everything = b"\0".join(decodings_of(raw))
        found |= {f"{source}: {name}" for value, name in secrets.items() if value.encode() in everything}
    return found


class Watch(threading.Thread):
    """While the run lasts: the environment of every kernel of it, and what is in its folder for temporary files."""

    def __init__(self, parent: int, temporary: Path) -> None:
        super().__init__(daemon=True)
        self._parent = parent
        self._temporary = temporary
        self.ended = threading.Event()
        self.seen: dict[str, bytes] = {}

    def run(self) -> None:
        while not self.ended.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                self._look_at(process)
            for path in self._temporary.rglob("*.log"):
                self.seen[f"temporary {path.name}"] = path.read_bytes() if path.exists() else b""
            time.sleep(0.02)

    def _look_at(self, process: Path) -> None:
        try:
            if f"\nPPid:\t{self._parent}\n" in (process / "status").read_text():
                command = (process / "cmdline").read_bytes()
                if b"ipykernel" in command:
                    self.seen[f"kernel {process.name}"] = (process / "environ").read_bytes() + command
        except OSError:
            return  # it ended meanwhile


@pytest.mark.rare
@pytest.mark.skipif(sys.platform != "linux", reason="looks at other processes through /proc")
def test_no_secret_leaves_a_run(world):
    temporary = world.folder / "tmp"
    temporary.mkdir()
    credentials = tomllib.loads((world.customer / "credentials.toml").read_text())
    environment = {**world.environment(), "TMPDIR": str(temporary), **credentials["tokens"]}
    environment["PANTHEON_CONFIG"] = str(world.customer / "pantheon.toml")  # with tokens there, it must be said
    environment["PANTHEON_CREDENTIALS"] = str(world.customer / "credentials.toml")
    command = [sys.executable, "-m", "pantheon_runbook", "run", "RB-010", "--apply"]
    with subprocess.Popen(
        command, cwd=world.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        watch = Watch(process.pid, temporary)
        watch.start()
        out, error = process.communicate(timeout=120)
        watch.ended.set()
        watch.join()
    assert 0 == process.returncode, error.decode()

    secrets = secrets_of(world.facts, _memory(world), credentials)
    evidence = world.customer / "evidence"
    sources = {"stdout": out, "stderr": error, **watch.seen}
    sources |= {str(path.relative_to(evidence)): path.read_bytes() for path in evidence.rglob("*") if path.is_file()}
    sources |= {path.name: path.read_bytes() for path in (world.folder / "state").rglob("*") if path.is_file()}

    assert len(secrets) >= 25
    assert _expected_names() <= set(secrets.values())
    assert {"kernel", "temporary"} <= {name.split()[0] for name in watch.seen}
    assert len(sources) >= 14
    assert set() == leaks(secrets, sources)


def _expected_names() -> set[str]:
    """What the list must hold, or it is not the right list."""
    return {
        "DATABASE_URL", "DATABASE_POOL_URL", "OPENROUTER_API_KEY", "REDIS_PASSWORD", "REDIS_URL", "RAILWAY_API_TOKEN",
        "SUPABASE_ACCESS_TOKEN", "VERCEL_TOKEN", "OPENROUTER_MANAGEMENT_KEY", "SENTRY_DSN", "password",
    }  # fmt: skip


def _memory(world: Any) -> Any:
    saved = world.running.save(str(world.folder / "saved"))
    return json.loads((saved / "world.json").read_bytes())


PLANTED = "P@ss/37dcddc9b23e1a755069b9fad792a3a8+%"


@pytest.mark.parametrize(
    "planted",
    [
        PLANTED,
        urllib.parse.quote(PLANTED, safe=""),
        json.dumps(json.dumps(f"postgres://x:{PLANTED}@host")),
        base64.b64encode(b"Basic user:" + PLANTED.encode()).decode(),
        base64.urlsafe_b64encode(b"ab" + PLANTED.encode() + b"!").decode(),
        PLANTED.encode().hex(),
        f"x{('z' + PLANTED).encode().hex().upper()}",
        html.escape(f'<a title="{PLANTED}">'),
    ],
)
def test_planted_secret_is_found(planted: str):
    """The search is worth something."""
    assert {"file: password"} == leaks({PLANTED: "password"}, {"file": f"some text {planted} more text".encode()})


def test_clean_text_is_clean():
    assert set() == leaks({PLANTED: "password"}, {"file": b"nothing but P@ss/37dcddc9 and the digest " + b"ab12" * 16})
