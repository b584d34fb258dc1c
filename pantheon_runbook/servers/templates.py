"""Ready-made clusters in Supabase's shape: each slot has an initdb, and so a system identifier, of its own."""

from __future__ import annotations

import fcntl
import hashlib
import secrets
import shutil
from pathlib import Path

from pantheon_runbook.servers.binaries import postgres_binaries
from pantheon_runbook.servers.cluster import BOOTSTRAP_USER, STUBS, answering, run_once, start, stop
from pantheon_runbook.servers.places import SHARED_TEMPORARY, cache_folder, copy_tree, own_by_server

CACHED_SLOTS = 4  # more projects than this in one world are made by a fresh initdb
REHEARSAL_SLOT = "rehearsal"
SHAPE = Path(__file__).with_name("supabase.sql")
# Extensions that Supabase has and some builds of PostgreSQL have not: the same functions, to be named but seldom to be
# called. A build's own extension comes before them.
STUB_EXTENSIONS = Path(__file__).with_name("stubs")
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
# The passwords are random: 4096 rounds would cost each login three milliseconds for nothing. Older servers know none.
QUICK_LOGINS, _KNOW_ROUNDS = "scram_iterations = 1\n", 16
_ALONE = ("-c", "listen_addresses=", "-c", "logging_collector=off", "-c", "log_min_messages=panic")


def install(data: Path, slot: int | str) -> None:
    """Put a fresh cluster of this slot into an empty place; it belongs to the servers' account afterwards."""
    if isinstance(slot, str) or slot < CACHED_SLOTS:
        copy_tree(_cached(slot), data)
    else:
        _build(data)


def _cached(slot: int | str) -> Path:
    folder = cache_folder() / "clusters" / f"{postgres_binaries().version}-{_recipe()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    template = folder / f"slot{slot}"
    if template.exists():
        return template
    with (folder / f"slot{slot}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _build_aside(template)
    return template


def _recipe() -> str:
    """Names everything that a template is made of."""
    stubs = "".join(path.read_text() for path in sorted(STUB_EXTENSIONS.rglob("*.*")))
    recipe = f"{INITDB_OPTIONS}{HOST_BASED_ACCESS}{SETTINGS}{QUICK_LOGINS}{SHAPE.read_text()}{stubs}"
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


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
    run_once("initdb", ["-D", str(data), "-U", BOOTSTRAP_USER, *INITDB_OPTIONS])
    (data / "pg_hba.conf").write_text(HOST_BASED_ACCESS)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(SETTINGS + (QUICK_LOGINS if postgres_binaries().major >= _KNOW_ROUNDS else ""))
    shutil.copytree(STUB_EXTENSIONS, data / STUBS)
    own_by_server(data / STUBS)
    server = start(data, *_ALONE)
    try:
        with answering(server, {"host": str(data), "user": BOOTSTRAP_USER, "dbname": "postgres"}) as connection:
            connection.execute(SHAPE.read_bytes())
    finally:
        stop(server)
    for leftover in ("log", "postmaster.opts"):
        shutil.rmtree(data / leftover, ignore_errors=True)
