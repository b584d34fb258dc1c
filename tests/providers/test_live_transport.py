"""On live, TLS is verified against public roots, whatever the environment says."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import ssl
import threading

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pantheon_runbook.providers.http import Reach


@pytest.fixture
def self_signed(tmp_path):
    """(port, certificate file) of a loopback server that answers everything with 200."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "self.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Welcome)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # the client hangs up, which is what is wanted
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, pem
    server.shutdown()
    thread.join()
    server.server_close()


class _Welcome(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


def test_self_signed_server_is_refused(self_signed, monkeypatch):
    port, pem = self_signed
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    transport = Reach().transport()
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        transport.handle_request(httpx.Request("GET", f"https://127.0.0.1:{port}/"))
    transport.close()

    trusting = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=pem))  # the server itself is in order
    assert 200 == trusting.handle_request(httpx.Request("GET", f"https://127.0.0.1:{port}/")).status_code
    trusting.close()


def test_live_transport_verifies_chain_and_name():
    transport = Reach().transport()
    context = transport._pool._ssl_context

    assert ssl.CERT_REQUIRED == context.verify_mode
    assert context.check_hostname
    transport.close()
