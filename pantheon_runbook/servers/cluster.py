"""One PostgreSQL server process on a folder of files: how it is started, and when it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from pantheon_runbook.servers import ServerError
from pantheon_runbook.servers.binaries import postgres_binaries
from pantheon_runbook.servers.parent import IS_LINUX, die_with_parent
from pantheon_runbook.servers.places import spawn_identity

BOOTSTRAP_USER = "supabase_admin"
STUBS = "stubs"  # a folder of extensions in each cluster's own; see `templates`
_START_SECONDS = 30
_STOP_SECONDS = 30
_FIRST_WITH_EXTENSION_PATH = 18


def command(data: Path, *options: str) -> list[str]:
    """What runs the server of these files; its Unix socket is in their folder."""
    binaries = postgres_binaries()
    stubs = []
    if binaries.major >= _FIRST_WITH_EXTENSION_PATH:
        stubs = ["-c", f"extension_control_path=$system:{data / STUBS}"]
    return [binaries.path("postgres"), "-D", str(data), "-k", str(data), *stubs, *options]


def start(data: Path, *options: str, output: Path | None = None) -> subprocess.Popen[bytes]:
    """A server that ends with the *thread* that called (Linux), else with whoever stops it; it may not answer yet."""
    with (output or Path(os.devnull)).open("ab") as sink:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            command(data, *options),
            cwd="/",
            env={"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=die_with_parent(signal.SIGQUIT) if IS_LINUX else None,  # noqa: PLW1509  prctl, getppid
            **spawn_identity(),
        )


def stop(server: subprocess.Popen[bytes], *, keep_consistent: bool = True) -> None:
    """End it; an inconsistent end is faster, and repaired at the next start."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT if keep_consistent else signal.SIGQUIT)
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def answering(server: subprocess.Popen[bytes], settings: dict[str, Any]) -> psycopg.Connection[Any]:
    """The first connection that succeeds, in autocommit. Raises ServerError when the server ends, or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return psycopg.connect(**settings, autocommit=True)
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"a fresh PostgreSQL in {settings['host']} does not answer: {error}") from error
            time.sleep(0.005)


def run_once(program: str, arguments: Sequence[str]) -> None:
    """One of PostgreSQL's own programs, to its end, as the servers' account. Raises ServerError."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"}
    done = subprocess.run(  # type: ignore[call-overload]
        [postgres_binaries().path(program), *arguments],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **spawn_identity(),
    )
    if done.returncode != 0:
        raise ServerError(f"{program} failed: {done.stderr.strip()}")
