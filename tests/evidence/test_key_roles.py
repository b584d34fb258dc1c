"""What a pinned key is for, and how long: one that people sign with seals no bundle."""

from __future__ import annotations

import pytest

from pantheon_runbook import clock
from pantheon_runbook.errors import ConfigError, CredentialError
from pantheon_runbook.evidence import seal, verify

ROLE = 'cloud = "sandbox"\n'


def pinned_as(make, *lines: str) -> verify.Report:
    """One sealed bundle, and these lines added to its key's pin."""
    make.sealed()
    trust = make.evidence / "trust.toml"
    text = trust.read_text()
    assert 1 == text.count(ROLE)
    trust.write_text(text.replace(ROLE, "\n".join((ROLE.strip(), *lines)) + "\n"))
    return verify.verify(make.evidence)


def test_key_without_a_role_seals(make):
    assert pinned_as(make).is_intact


@pytest.mark.parametrize("role", ["attest", "approve", "", "Seal"])
def test_key_of_another_role_seals_nothing(make, role: str):
    report = pinned_as(make, f'role = "{role}"')

    assert ["seal.json"] == [finding.file for finding in report.findings if finding.bundle]
    assert "no pinned key signed it" in report.findings[0].problem


@pytest.mark.parametrize(
    "line",
    ['valid_until = "2020-01-01T00:00:00Z"', 'valid_from = "2999-01-01T00:00:00Z"', "valid_until = 2020-01-01"],
)
def test_key_seals_within_its_validity_only(make, line: str):
    report = pinned_as(make, line)

    assert "key was not valid" in report.findings[0].problem


def test_validity_that_nobody_can_read_pins_nothing(make):
    report = pinned_as(make, 'valid_until = "next year"')

    assert "no pinned keys: ValueError" in [finding.problem for finding in report.findings]


def test_bounds_belong_to_the_interval(make, monkeypatch: pytest.MonkeyPatch):
    now = "2026-11-23T10:00:00Z"
    monkeypatch.setattr(clock, "stamp", lambda: now)

    assert pinned_as(make, f'valid_from = "{now}"', f'valid_until = "{now}"').is_intact


@pytest.mark.parametrize(("role", "more"), [("attest", ""), ("seal", 'valid_until = "2020-01-01T00:00:00Z"\n')])
def test_live_run_needs_a_key_that_may_seal_now(make, tmp_path, role: str, more: str):
    key = seal.new_key("live-seal")
    trust = tmp_path / "trust.toml"
    trust.write_text(seal.trust_entry(key, owner="ana", cloud="live", role=role).replace("\n\n", f"\n{more}\n"))

    with pytest.raises(CredentialError) as stopped:
        seal.require_pinned(key, trust, cloud="live")

    assert "is not pinned" in stopped.value.what


ENDED = {"valid_until": "2020-01-01T00:00:00Z"}


def pin_of(key: seal.SealingKey, said: dict[str, str]) -> str:
    told = {"keyid": key.keyid, "public": key.public, "owner": "ana", "cloud": "live", "role": "approve", **said}
    return "[[keys]]\n" + "".join(f'{name} = "{text}"\n' for name, text in told.items())


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({}, {}),
        (ENDED, {}),
        ({}, ENDED),
        ({}, {"owner": "ben"}),
        ({}, {"role": "attest"}),
        (ENDED, {"keyid": "0" * 64}),
    ],
    ids=["alike", "ended, then not", "not, then ended", "of another", "for something else", "under another id"],
)
def test_key_that_is_pinned_twice_pins_nothing(make, tmp_path, first: dict[str, str], again: dict[str, str]):
    """Nobody could say which of the two counts; the auditor's file says so, and every command."""
    trust = tmp_path / "trust.toml"
    trust.write_text(pin_of(make.key, first) + pin_of(make.key, again))

    keys, (finding,) = verify.pinned_keys(trust)

    assert ({}, True) == (keys, "is pinned twice" in finding.problem)
    with pytest.raises(ConfigError, match="is pinned twice"):
        seal.require_pinned(make.key, trust, cloud="live")


@pytest.mark.parametrize("other", [{"cloud": "sandbox"}, {"role": "attest"}])
def test_key_may_be_pinned_for_two_things(make, tmp_path, other: dict[str, str]):
    """Under two ids: neither entry says of it what the other says otherwise."""
    trust = tmp_path / "trust.toml"
    trust.write_text(pin_of(make.key, {}) + pin_of(make.key, {"keyid": "0" * 64, **other}))

    assert 2 == len(verify.pinned_keys(trust)[0])


UNSEEN = ["an\u200ba", "ana\ufe0f", "an\u00ada", "\u202eana", "ana\u3164", "ana\u00a0", "ana\\n", "ana\\u0000"]


@pytest.mark.parametrize("role", ["approve", "attest"])
@pytest.mark.parametrize("owner", UNSEEN, ids=ascii)
def test_owner_with_what_nobody_sees_pins_nothing(make, tmp_path, owner: str, role: str):
    """He would be another person than the one whose name it looks like."""
    trust = tmp_path / "trust.toml"
    trust.write_text(pin_of(make.key, {"owner": owner, "role": role}))

    keys, (finding,) = verify.pinned_keys(trust)

    assert ({}, True) == (keys, "a character in the name that nobody sees" in finding.problem)
    with pytest.raises(ConfigError, match="nobody sees"):
        seal.pinned_in(trust)


@pytest.mark.parametrize(
    "owner", ["Zo\u00eb O'Hara-L\u00f3pez", "\u5c71\u7530\u592a\u90ce", "\u0915\u093f\u0930\u0923"]
)
def test_owner_may_have_any_name(make, tmp_path, owner: str):
    trust = tmp_path / "trust.toml"
    trust.write_text(pin_of(make.key, {"owner": owner}), encoding="utf-8")

    assert [owner] == [key.owner for key in verify.pinned_keys(trust)[0].values()]


def test_sandbox_pins_what_seals_itself(make, tmp_path):
    """Whatever people have pinned beside the config."""
    trust = tmp_path / "trust.toml"
    trust.write_text(pin_of(seal.new_key("ana"), {"cloud": "sandbox"}))

    assert trust == seal.trust_of(tmp_path, "sandbox")
    seal.require_pinned(make.key, trust, cloud="sandbox")


def test_printed_pin_of_a_person_ends_one_day(make):
    text = seal.trust_entry(make.key, owner="ana", cloud="live", role="attest")
    trust = make.evidence / "trust.toml"
    trust.write_text(text)
    (key,) = verify.pinned_keys(trust)[0].values()

    assert ("ana", "live", "attest") == (key.owner, key.cloud, key.role)
    assert key.is_valid_at(clock.stamp())
    assert not key.is_valid_at("2999-01-01T00:00:00Z")
