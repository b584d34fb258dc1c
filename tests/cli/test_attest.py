"""`attest`, `keys` and `[closure]` on the command line: what they print, and a card for whatever is wrong."""

from __future__ import annotations

import base64
import json
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from closing_team import Team, alone
from test_bad_input import _assert_is_card

from pantheon_runbook import cli, clock
from pantheon_runbook.evidence import seal, verify

SIGN = ("attest", "strategy", "--key", "approver")


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, arguments)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Team]]:
    """A team whose keys are made, and on live pinned; nothing is signed and nothing has run."""

    def of(cloud: str) -> Team:
        alone(tmp_path, monkeypatch)
        made = Team(tmp_path, cloud)
        made.pin("approver", "supervisor", "member-a")
        return made

    yield of
    clock.pin(None)


def statement(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    return found


@pytest.mark.parametrize("cloud", ["live", "sandbox"])
def test_signed_criterion_is_an_in_toto_statement(team, cloud: str):
    """Beside the config, for the team to commit; it says who, where that name comes from, and over what."""
    made = team(cloud)
    code, out, _ = call(*SIGN, "--statement", "as agreed on 24 November")

    path = made.file("strategy", "approver")
    said = statement(path)
    (subject,) = said["subject"]
    pins = "trust.toml" if cloud == "live" else "evidence/trust.toml"
    keyid = seal.own_key("approver").keyid[:12]
    assert (0, f"strategy of staging ({cloud}) signed by approver, key {keyid} in {pins}") == (
        code,
        out.splitlines()[0],
    )
    assert f"over strategy.md  sha256 {subject['digest']['sha256']}" in out
    assert ("https://in-toto.io/Statement/v1", "urn:pantheon-runbook:attestation:1") == (
        said["_type"],
        said["predicateType"],
    )
    assert {
        "cloud": cloud,
        "environment": "staging",
        "criterion": "strategy",
        "signer": "approver",
        "statement": "as agreed on 24 November",
        "issued_at": "2026-11-24T10:00:00Z",
    } == said["predicate"]


def test_team_signs_the_committed_files(team):
    made = team("live")

    assert 0 == call("attest", "team", "--key", "member-a")[0]
    names = [one["name"] for one in statement(made.file("team", "member-a"))["subject"]]
    assert ["identities.toml", "pantheon.toml"] == names


def test_supervisor_signs_the_latest_provisioning_run(team):
    made = team("live")
    made.run("RB-010", "apply")
    latest = made.run("RB-010", "apply")

    assert 0 == call("attest", "provisioning", "--key", "supervisor")[0]
    (subject,) = statement(made.file("provisioning", "supervisor"))["subject"]
    assert f"{latest.name}/manifest.json" == subject["name"]


def test_key_is_found_by_its_path_too(team):
    made = team("live")
    path = str(seal.keys_folder() / "approver.pem")

    assert 0 == call("attest", "strategy", "--key", path)[0]
    assert made.file("strategy", "approver").exists()


def test_signing_again_replaces(team):
    made = team("live")
    call(*SIGN)
    clock.pin("2026-11-25T10:00:00+00:00")
    call(*SIGN)

    assert ["strategy-approver.json"] == [path.name for path in (made.folder / "attestations").iterdir()]
    assert "2026-11-25T10:00:00Z" == statement(made.file("strategy", "approver"))["predicate"]["issued_at"]


def test_sandbox_pins_a_key_as_his_who_uses_it_first(team):
    """From then on it is nobody else's."""
    made = team("sandbox")
    code, first, _ = call("attest", "strategy", "--key", "member-a", "--as", "approver")
    _, again, _ = call("attest", "strategy", "--key", "member-a", "--as", "approver")
    said = "  the sandbox believes the first use: this key is approver's from now on, in evidence/trust.toml"
    assert (0, True, False) == (code, said in first.splitlines(), said in again.splitlines())

    code, _, error = call("attest", "team", "--key", "member-a", "--as", "member-a")

    (key,) = verify.pinned_keys(made.evidence / "trust.toml")[0].values()
    assert ("approver", "sandbox", "attest") == (key.owner, key.cloud, key.role)
    assert 2 == code
    _assert_is_card(error, '"member-a" cannot sign with this key')


def test_first_use_is_not_dated_before_its_pin(team, monkeypatch: pytest.MonkeyPatch):
    """On a slow machine a second passes in between, and a key signs nothing before it is pinned."""
    made = team("sandbox")
    seconds = iter(range(60))
    monkeypatch.setattr(clock, "stamp", lambda: f"2026-11-24T10:00:{next(seconds):02}Z")

    assert 0 == call(*SIGN)[0]

    (key,) = verify.pinned_keys(made.evidence / "trust.toml")[0].values()
    assert key.is_valid_at(statement(made.file("strategy", "approver"))["predicate"]["issued_at"])


def test_new_key_is_private_and_prints_its_pin(team):
    made = team("live")
    code, out, error = call("keys", "new", "somebody", "--role", "attest")

    path = seal.keys_folder() / "somebody.pem"
    assert (0, 0o600) == (code, stat.S_IMODE(path.stat().st_mode))
    assert f"the private key is {path} (0600)" in error
    made.trust.write_text(out)
    (key,) = verify.pinned_keys(made.trust)[0].values()
    assert ("somebody", "live", "attest") == (key.owner, key.cloud, key.role)


def test_listed_keys_say_what_they_are_pinned_for(team):
    team("live")
    seal.new_key("unpinned")
    (seal.keys_folder() / "open.pem").write_bytes((seal.keys_folder() / "approver.pem").read_bytes())
    (seal.keys_folder() / "open.pem").chmod(0o644)

    code, out, _ = call("keys", "list", "--json")
    states = {row["name"]: row["state"] for row in json.loads(out)}

    assert (0, ["keyid", "name", "state"]) == (code, sorted(json.loads(out)[0]))
    assert "pinned to seal for live as the team's" == states["live-seal"]
    assert "pinned to attest for live as approver's until 2027-11-24T10:00:00Z" == states["approver"]
    assert "not pinned here" == states["unpinned"]
    assert "its mode is 0644: others can read it." == states["open"]
    (Path.cwd() / "pantheon.toml").unlink()
    assert {"not pinned here"} == {
        row["state"] for row in json.loads(call("keys", "list", "--json")[1]) if row["keyid"]
    }
    assert [*states] == [line.split()[0] for line in call("keys", "list")[1].splitlines()]


def _config(old: str, new: str) -> Callable[[Team], None]:
    def change(made: Team) -> None:
        path = made.folder / "pantheon.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def _pin(old: str, new: str) -> Callable[[Team], None]:
    def change(made: Team) -> None:
        head, pin, tail = made.trust.read_text().partition(f'keyid = "{seal.own_key("approver").keyid}"')
        assert old in tail
        made.trust.write_text(head + pin + tail.replace(old, new, 1))

    return change


def _tampered(made: Team) -> None:
    (made.run("RB-010", "apply") / "report.md").write_text("all is well")


def nothing(_made: Team) -> None:
    pass


# what: (cloud, what is wrong, command line, exit code, words of the card)
CASES: dict[str, tuple[str, Callable[[Team], object], tuple[str, ...], int, str]] = {
    "no criterion": ("live", nothing, ("attest", "--key", "approver"), 2, "Missing argument"),
    "no key named": ("live", nothing, ("attest", "strategy"), 2, "Missing option '--key'"),
    "unknown criterion": (
        "live",
        nothing,
        ("attest", "lunch", "--key", "approver"),
        2,
        'no criterion "lunch" is signed',
    ),
    "endpoints are not signed": ("live", nothing, ("attest", "endpoints", "--key", "approver"), 2, "RB-050"),
    "unknown environment": ("live", nothing, (*SIGN, "-e", "stagign"), 2, 'no environment "stagign"'),
    "no such key": ("live", nothing, ("attest", "strategy", "--key", "nobody"), 2, "there is no key nobody"),
    "no such file": ("live", nothing, ("attest", "strategy", "--key", "./no.pem"), 2, "there is no key ./no.pem"),
    "key is a device": ("live", nothing, ("attest", "strategy", "--key", "/dev/zero"), 2, "there is no key /dev/zero"),
    "key open to all": (
        "live",
        lambda _made: (seal.keys_folder() / "approver.pem").chmod(0o644),
        SIGN,
        2,
        "its mode is 0644",
    ),
    "key is none": (
        "live",
        lambda _made: (seal.keys_folder() / "approver.pem").write_text("-----"),
        SIGN,
        2,
        "cannot be used",
    ),
    "key not pinned": ("live", lambda made: made.trust.unlink(), SIGN, 2, "may sign no criterion"),
    "trust file damaged": ("live", lambda made: made.trust.write_text("[["), SIGN, 2, "may sign no criterion"),
    "key pinned to seal": ("live", _pin('role = "attest"', 'role = "seal"'), SIGN, 2, "pinned to seal for live"),
    "key pinned for the sandbox": ("live", _pin('"live"', '"sandbox"'), SIGN, 2, "pinned to attest for sandbox"),
    "key past its validity": ("live", _pin('until = "2027', 'until = "2025'), SIGN, 2, "is not valid now"),
    "key of another": ("live", nothing, (*SIGN, "--as", "supervisor"), 2, '"supervisor" cannot sign with this key'),
    "another than is named": (
        "live",
        nothing,
        ("attest", "strategy", "--key", "member-a"),
        2,
        '"member-a" cannot sign strategy',
    ),
    "another than is named, sandbox": (
        "sandbox",
        nothing,
        ("attest", "strategy", "--key", "member-a", "--as", "../../x"),
        2,
        '"../../x" cannot sign strategy',
    ),
    "statement of two lines": ("live", nothing, (*SIGN, "--statement", "a\nb"), 2, "not one line of text"),
    "statement without an end": ("live", nothing, (*SIGN, "--statement", "a" * 501), 2, "at most 500 characters"),
    "no document": ("live", lambda made: (made.folder / "docs" / "F25.md").unlink(), SIGN, 2, "docs/F25.md cannot be"),
    "document is a device": ("live", _config("docs/F25.md", "/dev/zero"), SIGN, 2, "/dev/zero cannot be read"),
    "document is no text": (
        "live",
        lambda made: (made.folder / "docs" / "F25.md").write_bytes(b"\xff"),
        SIGN,
        2,
        "it is not UTF-8 text",
    ),
    "nothing provisioned": (
        "live",
        nothing,
        ("attest", "provisioning", "--key", "supervisor"),
        4,
        "pantheon-runbook run RB-010 -e staging --apply",
    ),
    "rehearsed only": (
        "live",
        lambda made: made.run("RB-010", "apply", cloud="sandbox"),
        ("attest", "provisioning", "--key", "supervisor"),
        4,
        "no sealed RB-010 --apply run for staging (live) has succeeded",
    ),
    "evidence tampered with": (
        "live",
        _tampered,
        ("attest", "provisioning", "--key", "supervisor"),
        4,
        "report.md: changed after sealing",
    ),
    "nowhere to put it": (
        "live",
        lambda made: (made.folder / "attestations").write_text("a file"),
        SIGN,
        4,
        "attestations/strategy-approver.json cannot be written",
    ),
    "no [closure]": ("live", _config("[closure]", "[[exceptions]]"), SIGN, 2, "exceptions.0"),
    "no [closure] at all": (
        "live",
        lambda made: (made.folder / "pantheon.toml").write_text(
            (made.folder / "pantheon.toml").read_text().partition("[closure]")[0]
        ),
        SIGN,
        2,
        "closure is missing in pantheon.toml",
    ),
    "closure: no strategy": ("live", _config('strategy = "docs/F25.md"\n', ""), SIGN, 2, "closure.strategy is wrong"),
    "closure: empty strategy": ("live", _config('"docs/F25.md"', '""'), SIGN, 2, "closure.strategy is wrong"),
    "closure: no approver": ("live", _config('approver = "approver"\n', ""), SIGN, 2, "closure.approver is wrong"),
    "closure: no supervisor": (
        "live",
        _config('supervisor = "supervisor"', ""),
        SIGN,
        2,
        "closure.supervisor is wrong",
    ),
    "closure: odd approver": ("live", _config('"approver"', '"../approver"'), SIGN, 2, "closure.approver is wrong"),
    "closure: no members": ("live", _config('["member-a", "member-b"]', "[]"), SIGN, 2, "closure.members is wrong"),
    "closure: member twice": ("live", _config('"member-b"', '"member-a"'), SIGN, 2, "member-a is named twice"),
    "closure: member is a number": ("live", _config('"member-b"', "5"), SIGN, 2, "closure.members.1 is wrong"),
    "closure: env_files is a text": ("live", _config('[".env"]', '".env"'), SIGN, 2, "closure.env_files is wrong"),
    "closure: nothing to guard": ("live", _config('["settings"]', "[]"), SIGN, 2, "closure.guard_paths is wrong"),
    "closure: unknown key": ("live", _config("[closure]", "[closure]\ncolour = 1"), SIGN, 2, "closure.colour is wrong"),
    "closure: no age": (
        "live",
        _config("[closure]", "[closure]\nmax_age_days = 0"),
        SIGN,
        2,
        "closure.max_age_days is wrong",
    ),
    "closure: age of a year and more": (
        "live",
        _config("[closure]", "[closure]\nmax_age_days = 5000"),
        SIGN,
        2,
        "closure.max_age_days is wrong",
    ),
    "closure: half a day": (
        "live",
        _config("[closure]", "[closure]\nmax_age_days = 0.5"),
        SIGN,
        2,
        "closure.max_age_days is wrong",
    ),
    "closure: page is a table": (
        "live",
        _config("[closure]", "[closure]\nendpoints_page = { a = 1 }"),
        SIGN,
        2,
        "closure.endpoints_page is wrong",
    ),
    "list with a damaged config": ("live", _config("[closure]", "[closure"), ("keys", "list"), 2, "is not TOML"),
    "role of no kind": ("live", nothing, ("keys", "new", "x", "--role", "king"), 2, "'king' is not one of"),
    "key that is there": (
        "live",
        nothing,
        ("keys", "new", "approver", "--role", "attest"),
        2,
        "a key approver already",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_wrong_input_is_a_card(team, what: str):
    """And nothing is signed."""
    cloud, change, arguments, expected, words = CASES[what]
    made = team(cloud)
    change(made)

    code, _, error = call(*arguments)

    assert expected == code, error
    _assert_is_card(error, words)
    assert [] == sorted(made.folder.glob("attestations/*"))


@pytest.mark.parametrize(
    ("config", "cloud", "told"),
    [
        ("live", "live", ""),
        ("sandbox", "sandbox", ""),
        ("half-written", "live", "pantheon.toml does not say yet for what"),
        ("", "live", "there is no pantheon.toml that says for what"),
        ("", "live", "there is no pantheon.toml, but VERCEL_TOKEN is set"),
    ],
)
def test_new_key_is_pinned_for_the_cloud_of_the_config(team, monkeypatch, config: str, cloud: str, told: str):
    """As it stands in trust.toml it counts there; what nobody has said yet is told of, with what else it may be."""
    made = team("live" if config == "live" else "sandbox")
    if not config:
        (made.folder / "pantheon.toml").unlink()
    if config == "half-written":
        (made.folder / "pantheon.toml").write_text("= x")
    if "VERCEL_TOKEN" in told:
        monkeypatch.setenv("VERCEL_TOKEN", "x" * 24)

    code, lines, said = call("keys", "new", "somebody", "--role", "approve")

    assert (0, cloud) == (code, tomllib.loads(lines)["keys"][0]["cloud"])
    assert (told in said, bool(told)) == (True, 'for a rehearsal write cloud = "sandbox"' in said)


@pytest.mark.parametrize("is_named", [True, False])
def test_new_key_of_a_sandbox_is_pinned_for_it(team, monkeypatch, is_named):
    """Without a config every other command takes the sandbox there, running or not."""
    made = team("sandbox")
    (made.folder / "pantheon.toml").unlink()
    if is_named:
        monkeypatch.setenv("PANTHEON_SANDBOX", str(made.folder / "elsewhere"))
    else:
        (made.folder / ".pantheon" / "sandbox").mkdir(parents=True)

    code, lines, said = call("keys", "new", "somebody", "--role", "approve")

    assert (0, "sandbox", False) == (code, tomllib.loads(lines)["keys"][0]["cloud"], "pinned for live" in said)
