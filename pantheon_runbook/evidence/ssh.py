"""Signatures by an SSH key, made and checked by ssh-keygen: a key that people have already, perhaps in an agent.

In the envelope stands the bare SSHSIG blob over what DSSE signs, in the place of DSSE's own signature. Which keys
count is for trust.toml to say (`ssh = "ssh-ed25519 ..."`); ssh-keygen is given that one key, and answers for the
signature alone.
Source: PROTOCOL.sshsig and ssh-keygen(1) of OpenSSH, read 2026-11.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import textwrap
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from pantheon_runbook.errors import CredentialError
from pantheon_runbook.evidence import seal, verify
from pantheon_runbook.evidence.statement import is_ssh

NAMESPACE = verify.SSH_NAMESPACE
_KINDS = (b"-----BEGIN OPENSSH PRIVATE KEY-----", b"ssh-ed25519 ")
_HEAD, _TAIL = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_TOOL = "ssh-keygen"
_SECONDS = 120  # a person may have to type a passphrase, or touch a token


class SshKey(seal.SealingKey):
    """An ssh-ed25519 key by its file: the private one, or the .pub of one that an agent holds."""

    def __init__(self, path: Path) -> None:
        """Errors: CredentialError."""
        self._path = path
        beside = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
        try:
            line = beside.read_text()
            public = load_ssh_public_key(line.encode())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise _unusable(path, f"{beside}: {getattr(error, 'strerror', None) or 'no public key'}") from error
        if not isinstance(public, Ed25519PublicKey):
            raise _unusable(path, "it is not an ssh-ed25519 key")
        self.keyid = verify.ssh_keyid(line)
        self.public = public.public_bytes_raw().hex()

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """As the other keys do; asks for the key's passphrase on the terminal when it has one."""
        armored = _run(
            "-Y", "sign", "-f", str(self._path), "-n", NAMESPACE, told=verify.signed_bytes(payload, payload_type)
        )
        if armored.returncode != 0:
            told = armored.stderr.decode(errors="replace").strip().splitlines()
            raise _unusable(self._path, told[-1] if told else f"{_TOOL} ended with {armored.returncode}")
        blob = "".join(line for line in armored.stdout.decode().splitlines() if not line.startswith("-----"))
        envelope = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": self.keyid, "sig": blob}],
        }
        return json.dumps(envelope, indent=1, sort_keys=True).encode()


def own_key(named: str, *, role: str) -> seal.SealingKey:
    """A key of ours by its name, or by its path an SSH key too. Errors: CredentialError."""
    path = Path(named)
    if path.is_file() and path.read_bytes().startswith(_KINDS):
        return SshKey(path)
    return seal.own_key(named, role=role)


def is_signed_by(key: verify.Key, signature: bytes, signed: bytes) -> bool:
    """DSSE's own signature, or SSH's by the same key. Errors: CredentialError when ssh-keygen is needed and missing."""
    if not is_ssh(signature):
        return verify.is_signed_by(key, signature, signed)
    line = key.public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with tempfile.TemporaryDirectory() as folder:
        allowed, armored = Path(folder) / "allowed_signers", Path(folder) / "signature"
        allowed.write_text(f'signer namespaces="{NAMESPACE}" {line}\n')
        armored.write_text("\n".join([_HEAD, *textwrap.wrap(base64.b64encode(signature).decode(), 70), _TAIL, ""]))
        asked = ("-Y", "verify", "-f", str(allowed), "-I", "signer", "-n", NAMESPACE, "-s", str(armored))
        return _run(*asked, told=signed).returncode == 0


def _run(*arguments: str, told: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([_TOOL, *arguments], input=told, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CredentialError(
            f"{_TOOL} did not answer",
            why=str(getattr(error, "strerror", None) or f"it took more than {_SECONDS} seconds"),
            next_step="install OpenSSH, and try again",
        ) from error


def _unusable(path: Path, why: str) -> CredentialError:
    return CredentialError(
        f"the SSH key {path} cannot be used",
        why=why,
        next_step="name an ssh-ed25519 key whose .pub lies beside it, or make a key with keys new",
    )
