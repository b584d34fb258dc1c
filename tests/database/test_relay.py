"""The way to a database for a pg_dump that speaks no TLS: encrypted as the URL demands, or not at all."""

from __future__ import annotations

import datetime as dt
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import conninfo_to_dict

from pantheon_runbook.database.rehearsals.dump import dump_schema
from pantheon_runbook.database.rehearsals.relay import relayed
from pantheon_runbook.database.rehearsals.scratch import Scratch, ScratchDatabase, scratch
from pantheon_runbook.errors import VendorUnavailableError
from pantheon_runbook.secrets import Secret

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.fixture(scope="module")
def server() -> Iterator[Scratch]:
    with scratch() as server:
        yield server


@pytest.fixture(scope="module")
def database(server) -> ScratchDatabase:
    database = server.make("one")
    with database.connection("postgres") as connection:
        for number in range(40):
            connection.execute(f"create table public.t{number} (id int primary key, text text default '{'x' * 2000}')")
    return database


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """Self-signed, of the name localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@contextmanager
def fronted(database: ScratchDatabase, certificate: Path | None) -> Iterator[tuple[int, list[str]]]:
    """A server that speaks TLS in front of one that does not; without a certificate it says no to TLS."""
    seen: list[str] = []
    target = int(conninfo_to_dict(database.url.reveal())["port"])

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", target)) as behind:
            first = client.recv(8)
            if first != SSL_REQUEST:
                seen.append("plain")
                behind.sendall(first)
                shovel(client, behind)
            elif certificate is None:
                client.sendall(b"N")
                shovel(client, behind)
            else:
                client.sendall(b"S")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                with suppress(OSError), context.wrap_socket(client, server_side=True) as encrypted:
                    seen.append("encrypted")
                    shovel(encrypted, behind)

    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def shovel(one: socket.socket, other: socket.socket) -> None:
    for each in (one, other):
        each.settimeout(0.05)
    while True:
        select.select([one, other], [], [], 0.05)
        for source, target in ((one, other), (other, one)):
            try:
                piece = source.recv(1 << 16)
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except OSError:
                return
            if not piece:
                return
            target.settimeout(10)
            target.sendall(piece)
            target.settimeout(0.05)


def dumped(database: ScratchDatabase, port: int, options: str) -> bytes:
    password = conninfo_to_dict(database.url.reveal())["password"]
    url = f"postgresql://postgres:{password}@localhost:{port}/{database.name}?{options}"
    return dump_schema(Secret(url), resolve=lambda _host, _port: None).archive


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_dump_is_encrypted_when_the_url_demands_it(database, certificate, mode: str):
    with fronted(database, certificate) as (port, seen):
        archive = dumped(database, port, f"sslmode={mode}&sslrootcert={certificate}")

    assert archive.count(b"x" * 2000) >= 40
    assert {"encrypted"} == set(seen)
    assert len(seen) >= 2  # our own connection, and pg_dump's


def test_dump_without_tls_is_refused_when_the_url_demands_it(database):
    with fronted(database, None) as (port, _), pytest.raises(VendorUnavailableError):
        dumped(database, port, "sslmode=require")


def test_relay_itself_demands_tls(database):
    """Were our own connection let through, pg_dump's would not be."""
    with fronted(database, None) as (port, seen):
        settings = {"host": "localhost", "port": port, "sslmode": "require"}
        with relayed(settings) as relay, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(relay.folder / ".s.PGSQL.5432"))
            client.settimeout(10)
            assert b"" == client.recv(1)
        assert "the server does not speak TLS, and sslmode=require demands it" == relay.failed
        assert not relay.folder.exists()
        assert "plain" not in seen


def test_wrong_certificate_is_refused(database, certificate, tmp_path):
    with fronted(database, certificate) as (port, _):
        settings = {"host": "127.0.0.1", "port": port, "sslmode": "verify-full", "sslrootcert": str(certificate)}
        with relayed(settings) as relay, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(relay.folder / ".s.PGSQL.5432"))
            client.settimeout(10)
            assert b"" == client.recv(1)
        assert "CERTIFICATE_VERIFY_FAILED" in relay.failed
