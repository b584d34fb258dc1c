"""Which hosts answer from this machine: a TCP connection to each, side by side, closed at once; nothing is sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pantheon_runbook.database.connection import SESSION_PORT, TRANSACTION_PORT, Resolve
from pantheon_runbook.diagnosis import Item
from pantheon_runbook.providers.http import Reach

HTTPS_PORT = 443
DIRECT = "direct database host"
_CONNECT_SECONDS = 2.0
_NAMES_SECONDS = 4.0  # a resolver without an answer has no time limit of its own

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Tried:
    """`answer` says what came of it, for people."""

    host: str
    port: int
    is_reached: bool
    answer: str


def side_by_side(calls: Mapping[str, Callable[[], _Answer]], *, seconds: float) -> dict[str, _Answer]:
    """What each call gave, by its name; one that is not done in time has no entry, and nobody waits for it any more."""
    answers: dict[str, _Answer] = {}
    bugs: list[Exception] = []

    def call(name: str) -> None:
        try:
            answers[name] = calls[name]()
        except Exception as error:  # noqa: BLE001  raised again below, where it is seen
            bugs.append(error)

    threads = [threading.Thread(target=call, args=(name,), daemon=True) for name in calls]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if bugs:
        raise bugs[0]
    return {name: answers[name] for name in calls if name in answers}


def tried_apis(hosts: Mapping[str, str], reach: Reach) -> dict[str, Tried]:
    """By the key of each host."""
    calls = {key: _calling(_api, host, reach) for key, host in hosts.items()}
    found = side_by_side(calls, seconds=_NAMES_SECONDS)
    return {key: found.get(key) or _silent(host, HTTPS_PORT) for key, host in hosts.items()}


def tried_databases(ref: str, pooler: str, resolve: Resolve, reach: Reach) -> dict[str, Tried]:
    """Of one project: "session pooler", "transaction pooler" and "direct database host"."""
    places = {
        "session pooler": (pooler, SESSION_PORT),
        "transaction pooler": (pooler, TRANSACTION_PORT),
        DIRECT: (f"db.{ref}.supabase.co", SESSION_PORT),
    }
    calls = {key: _calling(_database, host, port, resolve, reach) for key, (host, port) in places.items()}
    found = side_by_side(calls, seconds=_NAMES_SECONDS)
    return {key: found.get(key) or _silent(*place) for key, place in places.items()}


def _calling(call: Callable[..., Tried], *arguments: object) -> Callable[[], Tried]:
    return lambda: call(*arguments)


def _silent(host: str, port: int) -> Tried:
    return Tried(host, port, is_reached=False, answer="does not answer from here")


def _api(host: str, reach: Reach) -> Tried:
    """In the sandbox every host is behind one Unix socket."""
    if reach.socket is None:
        return _connected(host, HTTPS_PORT, (host, HTTPS_PORT))
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(_CONNECT_SECONDS)
        return _outcome(host, HTTPS_PORT, lambda: door.connect(str(reach.socket)))


def _database(host: str, port: int, resolve: Resolve, reach: Reach) -> Tried:
    elsewhere = resolve(host, port)
    if elsewhere is None and reach.socket is not None:
        return Tried(host, port, is_reached=False, answer="is not there (the sandbox has no such host now)")
    return _connected(host, port, elsewhere or (host, port))


def _connected(host: str, port: int, address: tuple[str, int]) -> Tried:
    return _outcome(host, port, lambda: socket.create_connection(address, timeout=_CONNECT_SECONDS).close())


def _outcome(host: str, port: int, connect: Callable[[], None]) -> Tried:
    try:
        connect()
    except socket.gaierror:
        return Tried(host, port, is_reached=False, answer="is not found: no address of it from here")
    except TimeoutError:
        return Tried(host, port, is_reached=False, answer="does not answer from here")
    except OSError as error:
        return Tried(host, port, is_reached=False, answer=f"cannot be reached from here ({error.strerror or error})")
    return Tried(host, port, is_reached=True, answer="answers")


def database_item(name: str, tried: Tried) -> Item:
    """A direct host that cannot be reached is no fault: no run uses it."""
    found = f"{tried.host}:{tried.port} {tried.answer}"
    if tried.is_reached:
        return Item(name, found)
    if name == DIRECT:
        why = "it has IPv6 only, and there is no IPv6 route from here" if has_only_ipv6(tried.host) else found
        return Item(name, f"{why}: use the session pooler")
    return Item(name, found, f"let this machine out to port {tried.port}, or run where it is let out")


def has_only_ipv6(host: str) -> bool:
    """By its addresses: AAAA and no A. Supabase's direct hosts have no other unless one is bought (FACTS 1.1)."""
    try:
        found = socket.getaddrinfo(host, SESSION_PORT, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return {family for family, *_ in found} == {socket.AF_INET6}
