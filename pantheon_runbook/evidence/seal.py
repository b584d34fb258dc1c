"""The key that seals bundles, and the file in which it is pinned. Ed25519, DSSE, by securesystemslib."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from pantheon_runbook import clock
from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence.verify import PAYLOAD_TYPE

TRUST = "trust.toml"


def keys_folder() -> Path:
    """`$XDG_CONFIG_HOME/pantheon-runbook/keys`."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "pantheon-runbook" / "keys"


class SealingKey:
    """One private key; `public` is 64 hexadecimal characters."""

    def __init__(self, signer: CryptoSigner) -> None:
        self._signer = signer
        self.keyid = str(signer.public_key.keyid)
        self.public = str(signer.public_key.keyval["public"])

    def seal(self, manifest: bytes) -> bytes:
        """A DSSE envelope over exactly these bytes."""
        envelope = Envelope(manifest, PAYLOAD_TYPE, {})
        envelope.sign(self._signer)
        return json.dumps(envelope.to_dict(), indent=1, sort_keys=True).encode()


def sealing_key(cloud: str) -> SealingKey:
    """The key for a cloud. Sandbox: made at first use. Live: it must have been made and pinned by its owner."""
    path = keys_folder() / f"{cloud}-seal.pem"
    if path.exists():
        return SealingKey(CryptoSigner(load_pem_private_key(path.read_bytes(), password=None)))
    if cloud != "sandbox":
        raise EvidenceError(
            "there is no key to seal live evidence with",
            why=f"{path} does not exist",
            next_step="pantheon-runbook keys new live-seal, and have trust.toml with it committed",
        )
    return new_key(f"{cloud}-seal")


def new_key(name: str) -> SealingKey:
    """Make a key, 0600, in the keys folder. Errors: EvidenceError when it exists or cannot be written."""
    path = keys_folder() / f"{name}.pem"
    signer = CryptoSigner.generate_ed25519()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
    except OSError as error:
        raise EvidenceError(
            f"the key {name} cannot be written",
            why=f"{error.strerror}: {path}",
            next_step="choose another name, or give write permission to that folder",
        ) from error
    return SealingKey(signer)


def pin(key: SealingKey, trust: Path, *, owner: str, cloud: str) -> None:
    """Add the key to the trust file unless it is there."""
    known = tomllib.loads(trust.read_text(encoding="utf-8")).get("keys", []) if trust.exists() else []
    if any(entry["keyid"] == key.keyid for entry in known):
        return
    entry = (
        f'[[keys]]\nkeyid = "{key.keyid}"\npublic = "{key.public}"\nowner = "{owner}"\n'
        f'cloud = "{cloud}"\npinned_at = "{clock.stamp()}"\n\n'
    )
    with trust.open("a", encoding="utf-8") as file:
        file.write(entry)
