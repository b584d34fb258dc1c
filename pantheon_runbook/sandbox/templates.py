"""Ready-made clusters: each slot has an initdb, and so a system identifier, of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from pantheon_runbook.sandbox import SandboxError
from pantheon_runbook.sandbox.binaries import postgres_binaries
from pantheon_runbook.sandbox.places import (
    SHARED_TEMPORARY,
    cache_folder,
    copy_tree,
    own_by_server,
    server_account,
    spawn_identity,
)

CACHED_SLOTS = 4  # more projects than this in one world are made by a fresh initdb
BOOTSTRAP_USER = "supabase_admin"
SHAPE = Path(__file__).with_name("supabase.sql")
INITDB_OPTIONS = ("--no-sync", "--locale=C", "--encoding=UTF8", "--wal-segsize=1", "--data-checksums", "--auth=trust")

# The socket's folder is open to the daemon alone, so "trust" there trusts the daemon; everybody else comes by TCP.
HOST_BASED_ACCESS = f"""\
local all {BOOTSTRAP_USER},postgres,supabase_read_only_user trust
local all all reject
host all {BOOTSTRAP_USER} all reject
host all all 127.0.0.1/32 scram-sha-256
host replication all all reject
"""
SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = 16MB
fsync = off  # a killed server loses nothing, only a killed machine does
full_page_writes = off
max_wal_size = 64MB
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_destination = 'jsonlog'
log_directory = 'log'
log_filename = 'statements.log'
log_file_mode = 0600
log_rotation_age = 0
log_rotation_size = 0
log_statement = mod
log_parameter_max_length = 0
log_checkpoints = off
"""


def install(data: Path, slot: int) -> None:
    """Put a fresh cluster of this slot into an empty place; it belongs to the servers' account afterwards."""
    if slot < CACHED_SLOTS:
        copy_tree(_cached(slot), data)
    else:
        _build(data)


def _cached(slot: int) -> Path:
    recipe = f"{INITDB_OPTIONS}{HOST_BASED_ACCESS}{SETTINGS}{SHAPE.read_text()}"
    key = f"{postgres_binaries().version}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    folder = cache_folder() / "clusters" / key
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    template = folder / f"slot{slot}"
    if template.exists():
        return template
    with (folder / f"slot{slot}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _build_aside(template)
    return template


def _build_aside(template: Path) -> None:
    """Build under a short, reachable path, then move the finished template into the cache."""
    workshop = SHARED_TEMPORARY / f"pantheon-build-{secrets.token_hex(4)}"
    workshop.mkdir(mode=0o711)
    try:
        _build(workshop / "data")
        unfinished = template.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        copy_tree(workshop / "data", unfinished)
        unfinished.rename(template)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _build(data: Path) -> None:
    """initdb, the Supabase shape through one short-lived server, and our settings."""
    data.mkdir(mode=0o700)
    own_by_server(data)
    binaries = postgres_binaries()
    command = [binaries.path("initdb"), "-D", str(data), "-U", BOOTSTRAP_USER, *INITDB_OPTIONS]
    _run(command)
    (data / "pg_hba.conf").write_text(HOST_BASED_ACCESS)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(SETTINGS)
    server = _start_alone(data)
    try:
        _apply_shape(data)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
    for leftover in ("log", "postmaster.opts"):
        shutil.rmtree(data / leftover, ignore_errors=True)


def _start_alone(data: Path) -> subprocess.Popen[bytes]:
    options = ["-c", "listen_addresses=", "-c", "logging_collector=off", "-c", "log_min_messages=panic"]
    command = [postgres_binaries().path("postgres"), "-D", str(data), "-k", str(data), *options]
    return subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL, **spawn_identity())  # type: ignore[call-overload, no-any-return]


def _apply_shape(data: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(host=str(data), user=BOOTSTRAP_USER, dbname="postgres", autocommit=True) as connection:
                connection.execute(SHAPE.read_bytes())
                return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise SandboxError(f"a fresh PostgreSQL in {data} does not answer: {error}") from error
            time.sleep(0.01)


def _run(command: list[str]) -> None:
    account = server_account()
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"}
    if account is None:
        environment["HOME"] = str(Path.home())
    done = subprocess.run(  # type: ignore[call-overload]
        command, cwd="/", env=environment, capture_output=True, text=True, check=False, **spawn_identity()
    )
    if done.returncode != 0:
        raise SandboxError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
