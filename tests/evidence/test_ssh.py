"""Approvals that people sign with an SSH key of theirs; OpenSSH itself makes and checks the signatures."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_promotions import ANA
from test_approval import GOOD, Desk

from pantheon_runbook.errors import CredentialError, NotApprovedError
from pantheon_runbook.evidence import decision, seal, ssh, verify

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen (OpenSSH) is not installed")


def made(folder: Path, name: str, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f", path], check=True)
    return path


def pin(path: Path, **other: str) -> str:
    told = {"ssh": path.with_name(f"{path.name}.pub").read_text().strip(), "owner": "ana", "cloud": "live"} | other
    return "[[keys]]\n" + "".join(f"{name} = {json.dumps(text)}\n" for name, text in told.items())


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    """Ana has signed with her SSH key, and trust.toml pins it by the line of its .pub file."""

    def of(*, namespace: str = ssh.NAMESPACE, **other: str) -> Desk:
        path = made(tmp_path, "id_ed25519")
        trust = tmp_path / "trust.toml"
        trust.write_text(pin(path, **{"role": "approve", **other}))
        key = ssh.own_key(str(path), role="approve")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ssh, "NAMESPACE", namespace)
            envelope = decision.signed(GOOD, key)
        found = Desk(keys=verify.pinned_keys(trust)[0], envelopes={"ana.json": envelope})
        found.set(check=ssh.is_signed_by)
        return found

    return of


def test_ssh_key_approves(desk):
    (one,) = desk().judged().approvers

    assert one.source.startswith("SSH signature by repository-pinned key of ana (key ")


def test_openssh_agrees_on_what_was_signed(desk, tmp_path: Path):
    """With the customer's own allowed signers, and nothing of ours but the envelope."""
    found = desk()
    envelope = json.loads(found.envelopes["ana.json"])
    payload, signature = (base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))
    (tmp_path / "allowed").write_text(f"ana@example.org {(tmp_path / 'id_ed25519.pub').read_text()}")
    body = base64.encodebytes(signature).decode()
    (tmp_path / "sig").write_text(f"-----BEGIN SSH SIGNATURE-----\n{body}-----END SSH SIGNATURE-----\n")
    asked = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "ana@example.org", "-n", ssh.NAMESPACE, "-s", "sig"]

    said = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)

    assert 0 == subprocess.run(asked, cwd=tmp_path, input=said, capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"namespace": "git"}, "did not sign it as it stands"),
        ({"role": "attest"}, "pinned to attest for live"),
        ({"role": "seal"}, "pinned to seal for live"),
        ({"cloud": "sandbox"}, "a rehearsal approves no live plan"),
        ({"owner": "ben"}, "its key is pinned as ben's"),
        ({"valid_until": "2026-11-24T09:30:00Z"}, "outside its validity"),
    ],
)
def test_ssh_key_is_held_to_its_pin(desk, other: dict[str, str], words: str):
    with pytest.raises(NotApprovedError, match=words):
        desk(**other).judged()


def test_another_ssh_key_is_unknown(desk, tmp_path: Path):
    found = desk()
    other = ssh.own_key(str(made(tmp_path, "other")), role="approve")
    found.envelopes["ana.json"] = decision.signed(GOOD, other)

    with pytest.raises(NotApprovedError, match="no pinned key signed it"):
        found.judged()


def test_signature_covers_what_is_said(desk):
    found = desk()
    envelope = json.loads(found.envelopes["ana.json"])
    longer = replace(GOOD, expires_at="2026-11-25T08:00:00Z").statement.to_bytes()
    envelope["payload"] = base64.b64encode(longer).decode()
    found.envelopes["ana.json"] = json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n"

    with pytest.raises(NotApprovedError, match="did not sign it as it stands"):
        found.judged()


@pytest.mark.parametrize("mask", [1, 3])
def test_flipped_byte_of_an_ssh_signature_never_accepts(desk, mask: int):
    found = desk()
    raw = found.envelopes["ana.json"]
    begins = raw.index(b'"sig"')

    for at in range(begins, len(raw), 9):
        found.envelopes["ana.json"] = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
        with pytest.raises(NotApprovedError):
            found.judged()


def test_same_key_pinned_twice_is_one_person(desk):
    """As an SSH key for ana, and by its bare bytes as the requester's."""
    found = desk()
    (key,) = found.keys.values()
    found.keys["0" * 64] = replace(key, owner="req", role="attest")

    with pytest.raises(NotApprovedError, match="they are its requester"):
        found.judged()


def test_ssh_key_that_people_have_pinned_is_not_pinned_again(desk, tmp_path: Path):
    """By the line of its .pub file: a second entry, as first use makes it, would make the whole file worth nothing."""
    desk()
    trust = tmp_path / "trust.toml"
    before = trust.read_text()

    seal.pin(ssh.own_key(str(tmp_path / "id_ed25519"), role="approve"), trust, owner="ana", cloud="sandbox")

    assert before == trust.read_text()


def test_missing_ssh_keygen_is_a_card(desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    found = desk()
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CredentialError, match="ssh-keygen did not answer"):
        found.judged()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_key_of_another_kind_is_refused(tmp_path: Path, kind: str):
    """Its pin makes the trust file unreadable, rather than one key fewer."""
    path = made(tmp_path, "id", kind=kind)
    (tmp_path / "trust.toml").write_text(pin(path))

    keys, (finding,) = verify.pinned_keys(tmp_path / "trust.toml")
    assert ({}, "no pinned keys: ValueError") == (keys, finding.problem)
    with pytest.raises(CredentialError, match="not an ssh-ed25519 key"):
        ssh.own_key(str(path), role="approve")


def test_private_key_without_its_public_one_is_refused(tmp_path: Path):
    path = made(tmp_path, "id")
    path.with_name("id.pub").unlink()

    with pytest.raises(CredentialError, match=r"id\.pub"):
        ssh.own_key(str(path), role="approve")


def test_private_key_open_to_all_signs_nothing(tmp_path: Path):
    path = made(tmp_path, "id")
    path.chmod(0o644)

    with pytest.raises(CredentialError, match="cannot be used"):
        decision.signed(GOOD, ssh.own_key(str(path), role="approve"))


def test_key_of_our_own_is_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = seal.new_key("ana")

    assert key.keyid == ssh.own_key("ana", role="approve").keyid


def signed_by_ssh(desk: Desk) -> tuple[verify.Key, bytes, bytes]:
    """The key, its signature, and the bytes under it."""
    (key,) = desk.keys.values()
    envelope = json.loads(desk.envelopes["ana.json"])
    payload, signature = (base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))
    return key, signature, verify.signed_bytes(payload, envelope["payloadType"])


def test_auditor_needs_no_openssh(desk, monkeypatch):
    """The one file checks what ssh-keygen has made, byte for byte."""
    key, signature, signed = signed_by_ssh(desk())
    monkeypatch.setattr(subprocess, "run", None)

    flips = (bytes([*signature[:at], byte ^ 1, *signature[at + 1 :]]) for at, byte in enumerate(signature))
    assert verify.is_approved_by(key, signature, signed)
    assert not any(verify.is_approved_by(key, flipped, signed) for flipped in flips)
    assert not verify.is_approved_by(key, signature, signed + b" ")
    assert not verify.is_approved_by(key, signature + b" ", signed)
    assert not verify.is_signed_by(key, signature, signed)


def test_auditor_takes_no_signature_for_something_else(desk):
    """Made by the right key, for Git for example."""
    key, signature, signed = signed_by_ssh(desk(namespace="git"))

    assert not verify.is_approved_by(key, signature, signed)


def test_ssh_approval_is_verified_in_its_bundle(promotions, tmp_path):
    path = made(tmp_path, "id_ed25519")
    with promotions.trust.open("a") as trust:
        trust.write(pin(path, role="approve", cloud="sandbox", owner="ana"))
    envelope = decision.signed(ANA, ssh.own_key(str(path), role="approve"))

    decisions = promotions.decided({"ana.json": envelope}, check=ssh.is_signed_by)
    folder = promotions.sealed(decisions)

    assert () == verify.verify(promotions.make.evidence).findings
    assert b"SSH signature by sandbox key of ana" in (folder / "decisions.json").read_bytes()
