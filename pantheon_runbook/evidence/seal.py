"""The key that seals bundles, and the file in which it is pinned. Ed25519, DSSE, by securesystemslib."""

from __future__ import annotations

import json
import os
import re
import stat
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from pantheon_runbook import clock
from pantheon_runbook.errors import ConfigError, CredentialError, ParameterError
from pantheon_runbook.evidence import verify
from pantheon_runbook.evidence.files import write_file

TRUST = verify.TRUST
_ROLE_DAYS = 365


def keys_folder() -> Path:
    """`$XDG_CONFIG_HOME/pantheon-runbook/keys`."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "pantheon-runbook" / "keys"


class SealingKey:
    """One private key, of whichever role; `public` is 64 hexadecimal characters."""

    def __init__(self, signer: CryptoSigner) -> None:
        self._signer = signer
        self.keyid = str(signer.public_key.keyid)
        self.public = str(signer.public_key.keyval["public"])

    def seal(self, manifest: bytes) -> bytes:
        """A DSSE envelope over exactly these bytes."""
        return self.sign(manifest, verify.PAYLOAD_TYPE)

    def sign(self, payload: bytes, payload_type: str) -> bytes:
        """A DSSE envelope over exactly these bytes, which are of this type."""
        envelope = Envelope(payload, payload_type, {})
        envelope.sign(self._signer)
        return json.dumps(envelope.to_dict(), indent=1, sort_keys=True).encode()


def sealing_key(cloud: str) -> SealingKey:
    """The key for a cloud. Sandbox: made at first use. Live: it must have been made and pinned by its owner.

    Errors: CredentialError when there is none, or it is not one, or others can read it.
    """
    path = keys_folder() / f"{cloud}-seal.pem"
    if not path.exists():
        if cloud != "sandbox":
            raise CredentialError(
                f"there is no key to seal {cloud} evidence with",
                why=f"{path} does not exist",
                next_step=f"pantheon-runbook keys new {cloud}-seal, and commit what it prints as trust.toml beside the "
                "config",
            )
        try:
            return new_key(path.stem)
        except CredentialError:
            if not path.exists():
                raise
    return _read_key(path)  # it was there, or another run made it this moment


def trust_of(folder: Path, cloud: str) -> Path | None:
    """The trust file that people commit beside the config in `folder`.

    None: on the sandbox, where nobody has committed one and its evidence folder pins keys at first use. What is
    committed there counts beside those, as in `attesting.keys_of`.
    """
    trust = folder / TRUST
    return trust if cloud == "live" or trust.is_file() else None


def pinned_in(trust: Path) -> dict[str, verify.Key]:
    """The keys of a trust file by their id, none of one that cannot be read. Errors: ConfigError for one in doubt."""
    keys, findings = verify.pinned_keys(trust)
    doubt = next((one.problem for one in findings if one.problem.startswith(verify.IN_DOUBT)), "")
    if doubt:
        raise ConfigError(
            f"{trust} cannot be relied on",
            why=doubt,
            next_step="correct it: one entry for each key; to renew one, change its valid_until",
        )
    return keys


def require_pinned(key: SealingKey, trust: Path | None, *, cloud: str) -> None:
    """Live evidence sealed by a key that nobody pinned could never be checked. Errors: CredentialError, ConfigError."""
    if trust is None or cloud == "sandbox":
        return
    pinned = [
        one.public.public_bytes_raw().hex()
        for one in pinned_in(trust).values()
        if one.cloud == cloud and one.role == verify.SEALS and one.is_valid_at(clock.stamp())
    ]
    if key.public in pinned:
        return
    name = f"pantheon-runbook keys new {cloud}-seal"
    raise CredentialError(
        f"the key that seals {cloud} evidence is not pinned",
        why=f'{trust} pins no key {key.keyid[:12]} that may seal for cloud "{cloud}" now: nobody could check it',
        next_step=f"put the lines that `{name}` printed into {trust} and commit it; when they are lost, move "
        f"{keys_folder() / f'{cloud}-seal.pem'} away and run it again",
    )


def own_key(named: str, *, role: str = "attest") -> SealingKey:
    """A key by its name in the keys folder, or by its path; it is wanted for `role`. Errors: CredentialError."""
    is_path = "/" in named or named.endswith(".pem")
    path = Path(named) if is_path else keys_folder() / f"{named}.pem"
    if path.is_file():
        return _read_key(path)
    raise CredentialError(
        f"there is no key {named}",
        why=f"{path} is not there",
        next_step="name a .pem file, or make a key" if is_path else f"pantheon-runbook keys new {named} --role {role}",
    )


def own_keys() -> dict[str, SealingKey | CredentialError]:
    """Every key in the keys folder by its name, or why it cannot be used."""
    found: dict[str, SealingKey | CredentialError] = {}
    for path in sorted(keys_folder().glob("*.pem")):
        try:
            found[path.stem] = _read_key(path)
        except CredentialError as error:
            found[path.stem] = error
    return found


def _read_key(path: Path) -> SealingKey:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(path, type(error).__name__) from error
    if mode & 0o077:
        raise _unusable(path, f"its mode is {mode:04o}: others can read it")
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "it is not an Ed25519 key")
    return SealingKey(CryptoSigner(key))


def _unusable(path: Path, why: str) -> CredentialError:
    return CredentialError(
        f"the sealing key {path} cannot be used",
        why=why,
        next_step=f"put the key back (chmod 600), or move it away and make a new one: keys new {path.stem}",
    )


def is_file_name(name: str) -> bool:
    """Whether a name can neither hide a file nor lead out of its folder."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is not None


def new_key(name: str) -> SealingKey:
    """Make a key, 0600, in the keys folder.

    Errors: ParameterError for a name that is no file name, CredentialError when it exists or cannot be written.
    """
    if not is_file_name(name):
        raise ParameterError(
            f'"{name}" cannot be the name of a key',
            why="it becomes a file name: letters, digits, dot, dash and underscore",
            next_step="pantheon-runbook keys new live-seal",
        )
    path = keys_folder() / f"{name}.pem"
    signer = CryptoSigner.generate_ed25519()
    beside = path.with_name(f".{name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(signer.private_bytes)
        try:
            path.hardlink_to(beside)  # whole or not at all, and never over a key that is there
        finally:
            beside.unlink()
    except FileExistsError as error:
        raise CredentialError(
            f"there is a key {name} already",
            why=f"{path} exists, and a key is never written over",
            next_step=f"choose another name, or move {path.name} away first",
        ) from error
    except OSError as error:
        raise CredentialError(
            f"the key {name} cannot be written",
            why=f"{error.strerror}: {path}",
            next_step="choose another name, or give write permission to that folder",
        ) from error
    return SealingKey(signer)


def trust_entry(key: SealingKey, *, owner: str, cloud: str, role: str = verify.SEALS) -> str:
    """The lines of trust.toml that pin a key: who owns it, for which cloud and what for."""
    return (
        f'[[keys]]\nkeyid = "{key.keyid}"\npublic = "{key.public}"\nowner = {json.dumps(owner)}\n'
        f'cloud = "{cloud}"\n{_role_line(role)}pinned_at = "{clock.stamp()}"\n\n'
    )


def _role_line(role: str) -> str:
    """Sealing is what a key is for when nothing is said; the other roles end one day, as people leave."""
    if role == verify.SEALS:
        return ""
    until = (clock.now() + timedelta(days=_ROLE_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'role = "{role}"\nvalid_from = "{clock.stamp()}"\nvalid_until = "{until}"\n'


def pin(key: SealingKey, trust: Path, *, owner: str, cloud: str, role: str = verify.SEALS) -> None:
    """Add the key to the trust file unless it is there; whoever calls this keeps other writers away."""
    content = trust.read_bytes() if trust.is_file() else b""  # reading a pipe would have no end: it is replaced
    if f'"{key.keyid}"'.encode() not in content and key.keyid not in verify.pinned_keys(trust)[0]:
        write_file(trust, content + trust_entry(key, owner=owner, cloud=cloud, role=role).encode())
