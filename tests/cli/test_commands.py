"""The command line as a contract: every command documented, every JSON key pinned, every reading command read-only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pantheon_runbook import cli, doctoring
from pantheon_runbook.errors import CredentialError
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.providers import supabase
from pantheon_runbook.secrets import Registry

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("runner-quiet")


def commands(group: click.Group = cli.main, path: str = "") -> dict[str, click.Command]:
    """Every command by its words, for example "evidence verify"."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        found |= commands(command, words) if isinstance(command, click.Group) else {words: command}
    return found


def documented() -> str:
    """The README, with "sandbox start|stop" also read as "sandbox start" and "sandbox stop"."""
    readme = (REPOSITORY / "README.md").read_text()
    choices = re.findall(r"(\w+) (\w+(?:\|\w+)+)", readme)
    return "\n".join([readme, *(f"{group} {one}" for group, listed in choices for one in listed.split("|"))])


def test_every_command_and_option_is_in_the_readme():
    text = documented()
    missing = [words for words in commands() if not re.search(rf"\b{words}\b", text)]
    for words, command in commands().items():
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        missing += [
            f"{words} {one.opts}"
            for one in options
            if not any(re.search(rf"(?<![\w-]){name}(?![\w-])", text) for name in one.opts)
        ]

    assert [] == missing


@pytest.mark.parametrize("words", sorted(commands()))
def test_help_says_what_it_does(desk, words: str):
    code, out, _ = desk.call(*words.split(), "--help")

    assert (0, True) == (code, "Usage:" in out)
    assert commands()[words].help


def test_help_loads_nothing_heavy():
    """A tenth of a second, since it is typed often."""
    heavy = ("papermill", "httpx", "psycopg", "nbconvert", "pydantic", "jupyter_client")
    script = f"import sys; import pantheon_runbook.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_list_shows_id_and_last_run(desk):
    code, out, _ = desk.call("list", "--json")
    rows = json.loads(out)

    assert 0 == code
    assert {("changes", "id", "last_run", "next", "title", "unsealed")} == {tuple(sorted(row)) for row in rows}
    ids = ("RB-010", "RB-020", "RB-030", "RB-040", "RB-050", "RB-060")
    assert [(one, None) for one in ids] == [(row["id"], row["last_run"]) for row in rows]
    assert "never" in desk.call("list")[1]


@pytest.mark.parametrize(
    ("runbook", "has_written", "following"),
    [
        ("RB-030", True, "--apply --resume 1234abcd; to go back: pantheon-runbook run RB-040 -p unit=1234abcd"),
        ("RB-040", True, "-p unit=b1 --apply"),
        ("RB-040", False, "-p unit=b1"),
        ("RB-040", None, ""),
    ],
)
def test_list_says_what_to_type_after_a_kill(desk, runbook, has_written, following):
    """In the words that its report will have; nothing of a run that wrote no line, or that is at work."""
    bundle = Bundle(Place(desk.folder / "evidence", "sandbox", "production", runbook, "1234abcd", "0Z"), Registry())
    lines = Journal(bundle.folder / "journal.jsonl", run_id="1234abcd", registry=Registry())
    if has_written is not None:
        about = {"runbook": runbook, "environment": "production", "parameters": {"unit": "b1"}}
        lines.write("run-opened", **about)
    if has_written:
        lines.write("write-intent")

    assert "        next" not in desk.call("list")[1]
    bundle._note.close()  # as the end of its process does
    told = f"        next      pantheon-runbook run {runbook} -e production {following}"

    shown = [line for line in desk.call("list")[1].splitlines() if line.startswith("        next")]
    assert ([told] if following else []) == shown


def test_doctor_finds_everything(desk):
    """What is there, where it comes from, who it is at the vendor; nothing is written."""
    files, requests = sorted(desk.folder.rglob("*")), desk.world.mutating()

    code, out, _ = desk.call("doctor", "--json")
    items = {item["name"]: item for item in json.loads(out)}

    assert 0 == code
    assert {("found", "name", "next_step", "passed")} == {tuple(sorted(item)) for item in items.values()}
    assert [] == [name for name, item in items.items() if not item["passed"]]
    assert "workspace" in items["RAILWAY_API_TOKEN"]["found"]
    assert f"from {desk.credentials}" in items["VERCEL_TOKEN"]["found"]
    assert "could write production" in items["SUPABASE_ACCESS_TOKEN"]["found"]
    assert f"production is {desk.world.facts['supabase']['ref']}" in items["identities"]["found"]
    assert (files, requests) == (sorted(desk.folder.rglob("*")), desk.world.mutating())


def test_doctor_names_each_missing_thing(desk):
    """Each with the command or the page that gets it."""
    old = desk.world.facts["tokens"]["VERCEL_TOKEN"]
    desk.replace(desk.credentials, old, "0" * len(old))
    desk.replace(desk.credentials, "RAILWAY_API_TOKEN = [^\n]*", "")
    desk.environment["XDG_CONFIG_HOME"] = str(desk.folder / "pantheon.toml")

    code, out, _ = desk.call("doctor", "--json")
    missing = {item["name"]: item for item in json.loads(out) if not item["passed"]}

    assert 2 == code
    assert {"VERCEL_TOKEN", "RAILWAY_API_TOKEN"} == set(missing)
    assert "railway.com/account/tokens" in missing["RAILWAY_API_TOKEN"]["next_step"]
    assert "vercel refused" in missing["VERCEL_TOKEN"]["found"]


def test_doctor_masks_a_token_that_a_vendor_sends_back(desk, monkeypatch):
    token = desk.world.facts["tokens"]["SUPABASE_ACCESS_TOKEN"]

    def refuse(client, organization):
        raise CredentialError(f"bad token {token}", why=token, next_step="make another")

    monkeypatch.setattr(supabase, "check_token", refuse)

    code, out, error = desk.call("doctor")

    assert (2, True) == (code, "bad token [secret]" in out)
    assert token not in out + error


def test_doctor_starts_no_sandbox(desk):
    desk.config.unlink()
    desk.environment |= {"PANTHEON_SANDBOX": None, "PANTHEON_CREDENTIALS": None}

    code, out, _ = desk.call("doctor")

    assert (0, True) == (code, "none runs; run starts one" in out)
    assert not (desk.folder / ".pantheon").exists()


def test_doctor_on_live_asks_for_the_key(desk):
    """No network is needed to say that."""
    desk.live()
    desk.environment["PANTHEON_CREDENTIALS"] = None

    code, out, _ = desk.call("doctor")

    assert 2 == code
    assert "MISSING  sealing key" in out
    assert "pantheon-runbook keys new live-seal" in out
    assert "MISSING  SUPABASE_ACCESS_TOKEN" in out


def test_doctor_line_says_what_to_do():
    line = doctoring.Item("VERCEL_TOKEN", "none", "make one").line()

    assert line.startswith("MISSING  VERCEL_TOKEN")
    assert line.endswith("\n         next: make one")


def test_new_key_prints_what_to_commit(desk):
    desk.live()
    code, out, _ = desk.call("keys", "new", "live-seal")

    assert 0 == code
    assert 'owner = "live-seal"\ncloud = "live"' in out
    assert 0o600 == (desk.folder / "config/pantheon-runbook/keys/live-seal.pem").stat().st_mode & 0o777


@pytest.mark.parametrize("word", ["staging", "production", "sandbox"])
def test_word_of_the_config_is_no_secret(desk, word: str):
    """Masked everywhere, it would blank out the plan that was approved and the name of the environment."""
    desk.replace(desk.config, 'literal:debug"\nsecret = false', f'literal:{word}"')

    assert 0 == desk.call("run", "RB-010")[0]
    assert 0 == desk.call("evidence", "verify")[0]


def test_verify_uses_the_configured_folder(desk):
    desk.replace(desk.config, "$", '\n[evidence]\npath = "proofs"\n')
    (desk.folder / "proofs").mkdir()

    code, out, _ = desk.call("evidence", "verify", "--json")

    assert 4 == code  # there is nothing to check, and that is not green
    of_a_folder = {"bundles", "clouds", "findings", "ledger_head", "ledger_lines", "unsealed", "verdicts"}
    assert {*of_a_folder, "certificates", "keys", "sealed_by"} == set(json.loads(out))
