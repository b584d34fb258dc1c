"""Masking: whatever a secret is made of and however it is spelled, it is not there afterwards."""

from __future__ import annotations

import base64
import copy
import html
import json
import os
import pickle
import urllib.parse

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pantheon_runbook.secrets import MASK, Registry, Secret, Vault, fingerprint, forms_of, is_pinnable

EXAMPLES = 2000 if os.environ.get("PANTHEON_SWEEP") == "full" else 150
NASTY = "P@ss/37d\"c'<&>\\ß+% =:ü"
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=60).filter(lambda v: v not in MASK)
BYTES = st.binary(max_size=7)
quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)


def redacted(value: str, text: str) -> str:
    registry = Registry()
    registry.add(value, name="one")
    return registry.redact(text)


@quick
@given(value=VALUES, before=st.text(max_size=10), after=st.text(max_size=10))
@example(value=NASTY, before="\\", after='"')
def test_plain_value_is_masked(value: str, before: str, after: str):
    assert value not in redacted(value, before + value + after).replace(MASK, "\0")


@quick
@given(value=VALUES)
@example(value=NASTY)
def test_value_in_a_url_is_masked(value: str):
    assume(value not in "postgresql://user:@host/x")
    for quote in (urllib.parse.quote, urllib.parse.quote_plus):
        for safe in ("", "/"):
            url = f"postgresql://user:{quote(value, safe=safe)}@host/x"
            assert f"postgresql://user:{MASK}@host/x" == redacted(value, url)


@quick
@given(value=VALUES, before=BYTES, after=BYTES)
@example(value=NASTY, before=b"a", after=b"b")
def test_value_in_a_longer_base64_is_masked(value: str, before: bytes, after: bytes):
    """Only what a neighbour shares a character with may stay: less than a byte of the value at each end."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + value.encode() + after).decode()

        left = redacted(value, text)

        assert MASK in left
        whole = -(-4 * len(before) // 3) + -(-4 * len(after) // 3) + 4
        assert len(left.replace(MASK, "")) <= whole


@quick
@given(value=VALUES, words=st.text(max_size=8))
@example(value=NASTY, words='\\"')
def test_value_in_nested_json_is_masked(value: str, words: str):
    """JSON in JSON, as an API's error inside a journal line; what is around it stays readable JSON."""
    for ascii_only in (True, False):
        inner = json.dumps({"a": words, "password": value}, ensure_ascii=ascii_only)
        outer = json.dumps({"body": inner}, ensure_ascii=ascii_only)
        registry = Registry()
        registry.add(value, name="one")
        assume(value not in json.dumps([words]))

        for text in (inner, outer):
            assert () == registry.names_in(registry.redact(text))
            assert MASK in registry.redact(text)


@quick
@given(value=VALUES, key=st.text(max_size=5))
@example(value="nabcdef", key="\n")
def test_redacted_json_is_still_json(value: str, key: str):
    """Masking the encoded text could cut an escape in two: line break, then "abcdef", looks like the value."""
    registry = Registry()
    registry.add(value, name="one")

    masked = registry.redact_in({key: [f"{value[1:]}\n{value}", {"x": value}, 5, None, True]})

    assert masked == json.loads(json.dumps(masked))
    ((_, (around, inside, *rest)),) = masked.items()
    assert [MASK, 5, None, True] == [inside["x"], *rest]
    assert value not in around.replace(MASK, "\0")


@quick
@given(value=VALUES)
@example(value=NASTY)
def test_value_on_a_page_in_hex_and_in_a_traceback_is_masked(value: str):
    texts = [
        html.escape(value),
        html.escape(json.dumps(value)[1:-1]),
        value.encode().hex(),
        value.encode().hex().upper(),
        value.upper(),
        value.lower(),
    ]
    for text in (*texts, f"KeyError: {value!r}"):
        registry = Registry()
        registry.add(value, name="one")
        assert () == registry.names_in(registry.redact(f"<p>{text}</p>"))
        assert MASK in registry.redact(f"<p>{text}</p>")


def test_base64_forms_are_the_stable_characters():
    """Checked against every neighbour: a form holds exactly what no neighbour can change."""
    value = "0123456789"
    for offset in range(3):
        for length in range(3):
            texts = [
                base64.b64encode(bytes([one]) * offset + value.encode() + bytes([two]) * length).decode()
                for one in (0, 85, 255)
                for two in (0, 85, 255)
            ]
            end = (offset + len(value)) * 8 // 6
            start = -(-offset * 8 // 6)
            (stable,) = {text[start:end] for text in texts}
            assert stable in forms_of(value)


def test_single_base64_is_masked_to_its_end():
    """On its own, nothing of the value is left, padding included."""
    for value in ("0123456789", "0123456789a", "0123456789ab"):
        assert MASK == redacted(value, base64.b64encode(value.encode()).decode())


def test_short_value_is_left_alone():
    """Five characters would blank out half of the text around them."""
    assert "abcde" == redacted("abcde", "abcde")


def test_mask_itself_is_no_leak():
    """A password that is part of the mask would be found in everything that was masked."""
    registry = Registry()
    registry.add("secret", name="password")

    assert () == registry.names_in(registry.redact(f"it is {MASK}"))


@pytest.mark.parametrize(
    "token",
    [
        "sbp_" + "0123456789abcdef" * 2 + "01234567",
        "sbp_oauth_" + "a" * 40,
        "sb_secret_" + "A1b2C3d4" * 4,
        "sk-or-v1-" + "f" * 64,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ],
)
def test_token_nobody_told_us_of_is_masked(token: str):
    assert f"token {MASK}." == Registry().redact(f"token {token}.")
    assert ("something built like a token",) == Registry().names_in(f"x{token}")


def test_secret_does_not_print_or_travel():
    secret = Secret("very secret")

    assert MASK == str(secret) == f"{secret}"
    assert "Secret([secret])" == repr(secret)
    assert "very" not in repr([secret]) + repr({"a": secret})
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            travel(secret)


def test_vault_shows_names_and_fingerprints_only():
    vault = Vault(Registry(), salt="ab" * 32)
    vault.hold("database.password", "p" * 20)

    assert {"database.password": fingerprint("ab" * 32, "p" * 20)} == vault.fingerprints()
    assert "pppp" not in repr(vault) + repr(vars(vault)["_values"])
    with pytest.raises(KeyError, match=r"nothing holds supabase\.url yet"):
        vault.text("supabase.url")


@pytest.mark.parametrize(("value", "expected"), [("hunter2", False), ("0" * 64, False), ("a1" * 20, False)])
def test_guessable_value_is_not_pinned(value: str, expected: bool):  # noqa: FBT001  a table's column
    assert expected is is_pinnable(value)


def test_long_random_value_is_pinned():
    assert is_pinnable("9b094d97fd942a1a222c1ac01faa35799f684816b4a9f3aa")
