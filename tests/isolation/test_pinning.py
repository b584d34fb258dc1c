"""Which of production's values become fingerprints, and where they are put."""

from __future__ import annotations

from pathlib import Path

import pytest

from pantheon_runbook.config import parse_identities
from pantheon_runbook.errors import CredentialError
from pantheon_runbook.isolation.pinning import (
    ADDRESS,
    GUESSABLE,
    pins_of,
    summary,
    values_of_dotenv,
    with_allowed,
    with_pins,
)
from pantheon_runbook.secrets import fingerprint

SALT = "5a" * 32
PASSWORD = "P@ss/3f9a8c1e7b2d4056af81+%"
ENCODED = "P%40ss%2F3f9a8c1e7b2d4056af81%2B%25"
KEY = "sk-or-v1-" + "0123456789abcdef" * 4


def pinned(**values: str):
    return pins_of([("api", values)], salt=SALT)


def test_secret_is_pinned_under_its_name():
    assert {"OPENROUTER_API_KEY": fingerprint(SALT, KEY)} == pinned(OPENROUTER_API_KEY=KEY).pins


def test_password_of_a_url_is_pinned_on_its_own():
    """Decoded, once for all the URLs that hold it."""
    url, pool = (f"postgresql://postgres.ref:{ENCODED}@pooler.example.com:{port}/postgres" for port in (5432, 6543))

    found = pinned(DATABASE_URL=url, DATABASE_POOL_URL=pool)

    expected = {"DATABASE_URL": url, "DATABASE_POOL_URL": pool, "database password": PASSWORD}
    assert {name: fingerprint(SALT, value) for name, value in expected.items()} == found.pins


def test_second_database_has_a_password_of_its_own_name():
    url = "postgresql://u:{}@h.example.com/d"

    found = pinned(A_URL=url.format(ENCODED), B_URL=url.format(ENCODED[::-1].replace("%", "x")))

    assert {"A_URL", "B_URL", "database password", "database password (B_URL)"} == set(found.pins)


@pytest.mark.parametrize(
    "value", ["info", "openai/gpt-5-mini", "hunter2", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "1234567890123"]
)
def test_value_that_can_be_guessed_is_refused_by_name(value: str):
    found = pinned(VALUE=value)

    assert ({}, {"VALUE": GUESSABLE}) == (found.pins, found.refused)


@pytest.mark.parametrize("password", ["hunter2", "p@ss", "hun/ter2"])
def test_url_is_as_hard_to_guess_as_its_password(password: str):
    """The rest of it stands in the same committed file."""
    url = f"postgresql://u:{password}@aws-1-eu-west-1.pooler.supabase.com:5432/postgres"

    found = pinned(DATABASE_URL=url)

    assert ({}, GUESSABLE) == (found.pins, found.refused["DATABASE_URL"])


@pytest.mark.parametrize(
    "value",
    [
        "https://abcdefghijklmnopqrst.supabase.co",
        "https://app.pantheon.example/a-long-path/of-many-words-in-it",
        "https://app.pantheon.example,https://www.pantheon.example",
        "redis.railway.internal",
        "db.abcdefghijklmnopqrst.supabase.co:5432",
        "postgresql://postgres@db.example.com/postgres",
    ],
)
def test_address_without_a_secret_is_not_pinned(value: str):
    assert {"VALUE": ADDRESS} == pinned(VALUE=value).refused


@pytest.mark.parametrize(
    "value",
    [
        "https://hooks.example.com/services/T0AAAA/B0BBBB/Xk3vQ9mZ1pL7rT5wY2uN8sDf",
        "https://3f9a8c1e7b2d4056af813f9a8c1e7b2d@o1.ingest.example.com/42",
        "https://example.com/hook?token=3f9a8c1e7b2d4056af813f9a8c1e7b2d",
        "https://a.example,https://u:3f9a8c1e7b2d4056af81@b.example",
        "postgresql://postgres:Pass/3f9a8c1e7b2d4056af81@db.example.com/postgres",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
        '{"type": "service_account", "private_key_id": "3f9a8c1e7b2d4056af81"}',
    ],
)
def test_secret_inside_an_address_is_pinned(value: str):
    """Even where a password was not encoded as it should be."""
    assert fingerprint(SALT, value) in pinned(VALUE=value).pins.values()


def test_one_name_with_two_values_is_told_apart_by_its_service():
    """Two services of one name lose none of theirs."""
    values = {"api": KEY, "worker": KEY[::-1], "x": KEY}
    places = [(place, {"SECRET": value}) for place, value in values.items()]

    found = pins_of([*places, ("worker", {"SECRET": KEY[4:]})], salt=SALT)

    assert {fingerprint(SALT, value) for value in (KEY, KEY[::-1], KEY[4:])} == set(found.pins.values())
    assert {"SECRET", "worker/SECRET", "worker/SECRET (worker/SECRET)"} == set(found.pins)


def test_summary_holds_names_only():
    found = pinned(DATABASE_URL=f"postgresql://u:{ENCODED}@h.example.com/d", LEVEL="verbose-word", KEY=KEY)
    text = "\n".join(summary(found))

    assert {"DATABASE_URL", "LEVEL", "KEY"} <= set(text.replace(",", " ").split())
    assert not [value for value in (PASSWORD, ENCODED, KEY, "verbose-word") if value in text]


DOTENV = """\
# production
export PLAIN=value # a comment
HASH=pa#ss
EMPTY=
DOUBLE="two\\nlines and \\"quotes\\"" # comment
SINGLE='as $it is # all of it'
  SPACED  =  value with blanks\t
LONG="-----BEGIN
MIIE
-----END"

LAST=end"""


@pytest.mark.parametrize("text", [DOTENV, DOTENV.replace("\n", "\r\n")])
def test_dotenv_is_read_as_dotenv_does(text: str):
    assert {
        "PLAIN": "value",
        "HASH": "pa#ss",
        "EMPTY": "",
        "DOUBLE": 'two\nlines and "quotes"',
        "SINGLE": "as $it is # all of it",
        "SPACED": "value with blanks",
        "LONG": "-----BEGIN\nMIIE\n-----END",
        "LAST": "end",
    } == values_of_dotenv(text, source="f")


@pytest.mark.parametrize("line", ["tajna-lozinka", "=x", "{", "1A=b"])
def test_line_that_is_no_variable_is_refused_unseen(line: str):
    with pytest.raises(CredentialError) as stopped:
        values_of_dotenv(f"A=b\n\n{line}\n", source="secrets.env")

    assert "line 3 of secrets.env" in str(stopped.value)
    assert "lozinka" not in str(stopped.value)


BEFORE = f"""\
# ours
salt = "{SALT}"

[production] # keep
supabase_ref = "aaaaaaaaaaaaaaaaaaaa"
railway_project = "p"
railway_environment = "e"
vercel_project = "v"
pinned_at = '2026-01-01' # when
"""


@pytest.mark.parametrize("pins", ["", "\n[production.pins]\n", '\n[ production.pins ] # old\n"x" = "y"\n# gone\n'])
def test_only_pins_and_their_day_change(pins: str):
    text = with_pins(BEFORE + pins, {"B": "2", "A": "1"}, pinned_at="2026-11-23T10:00:00Z")

    expected = BEFORE.replace("'2026-01-01'", '"2026-11-23T10:00:00Z"')
    assert f'{expected}\n[production.pins]\n"A" = "1"\n"B" = "2"\n' == text
    assert {"A": "1", "B": "2"} == parse_identities(text, Path("i")).production.pins


def test_table_after_the_pins_stays():
    later = "[later]\nkey = 1\n"

    text = with_pins(f'{BEFORE}\n[production.pins]\n"x" = "y"\n\n{later}', {"A": "1"}, pinned_at="2026")

    assert text.endswith(f'[production.pins]\n"A" = "1"\n\n{later}')


OLD = '\n[environments.staging] # old\nsupabase_ref = "bbbbbbbbbbbbbbbbbbbb"\n# gone\n'


@pytest.mark.parametrize("table", ["", OLD])
@pytest.mark.parametrize("after", ["", '\n[environments.qa]\nrailway_project = "q"\n'])
def test_only_the_one_allow_list_changes(table: str, after: str):
    text = with_allowed(f"{BEFORE}{table}{after}", "staging", {"supabase_ref": "c" * 20})

    listed = (
        '[environments.staging]  # its allow list: what is found must be this\nsupabase_ref = "cccccccccccccccccccc"\n'
    )
    kept, rest = (BEFORE, after) if table else (f"{BEFORE}{after}", "")
    assert f"{kept}\n{listed}{rest}" == text
    assert {"supabase_ref": "c" * 20} == parse_identities(text, Path("i")).allowed("staging")
