"""RB-050 on the sandbox: held with the next command named, then closed as a rehearsal, and checked offline."""

from __future__ import annotations

import base64
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.errors import HeldError
from pantheon_runbook.evidence.verify import verify
from pantheon_runbook.runner import closed, wiring

CLOSURE = """
[closure]
strategy = "docs/F25.md"
approver = "approver"
supervisor = "supervisor"
members = ["member-a"]
env_files = [".env"]
guard_paths = ["settings"]
endpoints_page = "docs/endpoints.md"
"""
SIGNED = (("strategy", "approver"), ("team", "member-a"), ("provisioning", "supervisor"))


class Closer:
    """A team's folder in front of a sandbox, worked on by the command line alone."""

    def __init__(self, world: Any) -> None:
        self.world, self.folder = world, world.folder
        for name in ("pantheon.toml", "identities.toml", "credentials.toml"):
            shutil.copy2(world.customer / name, self.folder / name)
        for name in ("docs", "settings"):
            (self.folder / name).mkdir()
        (self.folder / "docs" / "F25.md").write_bytes("# F25\r\nIsolated staging by default, größer.\n".encode())
        (self.folder / "settings" / "ci.yaml").write_text("jobs: {}\n")
        path = self.folder / "pantheon.toml"
        path.write_text(path.read_text() + CLOSURE)

    def cli(self, *arguments: str) -> Any:
        return self.world.cli(*arguments, PANTHEON_CREDENTIALS=str(self.folder / "credentials.toml"))

    def succeeds(self, *arguments: str) -> str:
        done = self.cli(*arguments)
        assert 0 == done.returncode, done.stdout + done.stderr
        return str(done.stdout)

    def signed_by_all(self) -> None:
        for criterion, name in SIGNED:
            if not (self.folder / "config" / "pantheon-runbook" / "keys" / f"{name}.pem").exists():
                self.succeeds("keys", "new", name, "--role", "attest")
            self.succeeds("attest", criterion, "--key", name, "--statement", "as agreed")

    def latest(self) -> Path:
        return max(self.world.evidence.glob("2*-RB-050-*"))


@pytest.fixture
def team(world: Any, monkeypatch: pytest.MonkeyPatch) -> Closer:
    monkeypatch.setenv("PANTHEON_CREDENTIALS", str(world.folder / "credentials.toml"))
    return Closer(world)


@pytest.mark.rare
def test_closes_by_doing_what_it_says(team: Closer):
    """From nothing, typing what is named each time; nothing at any vendor is changed by it."""
    empty = team.cli("run", "RB-050")
    assert 3 == empty.returncode, empty.stdout + empty.stderr
    assert empty.stdout.splitlines()[1].startswith("HELD: F25 cannot be closed: ")
    assert "Next:    pantheon-runbook attest strategy -e staging --key approver" in empty.stdout
    assert not (team.latest() / "certificate.json").exists()

    team.succeeds("run", "RB-010", "--apply")
    team.succeeds("run", "RB-060")
    team.succeeds("env", "write", ".env")
    team.signed_by_all()
    calls, statements = team.world.mutating(), team.world.running.statements(team.world.staging_ref())
    out = team.succeeds("run", "RB-050")

    assert "DONE: rehearsal certificate: it closes nothing; all " in out
    assert (calls, statements) == (
        team.world.mutating(),
        team.world.running.statements(team.world.staging_ref()),
    )
    told = team.succeeds("evidence", "verify")
    number = json.loads((team.latest() / "certificate.json").read_bytes())["run"][:8]
    signed = "provisioning-supervisor, strategy-approver, team-member-a"
    assert "0 findings" in told
    assert f"  REHEARSAL CERTIFICATE: it closes nothing, number {number}, signed: {signed}" in told
    bundle = team.latest()
    content = json.loads((bundle / "certificate.json").read_bytes())
    assert ("SANDBOX REHEARSAL", "sandbox") == (content["watermark"], content["cloud"])
    assert {"certificate.json", "certificate.md", "criteria.json", "endpoints.md", "strategy.md"} < set(
        json.loads((bundle / "manifest.json").read_bytes())["files"]
    )
    assert (team.folder / "docs" / "F25.md").read_bytes() == (bundle / "strategy.md").read_bytes()
    assert (team.folder / "docs" / "endpoints.md").read_bytes() == (bundle / "endpoints.md").read_bytes()
    marks = [(bundle / name).read_text().count("SANDBOX REHEARSAL") for name in ("report.html", "report.md")]
    assert all(count >= 4 for count in marks), marks  # the banner, and first, last and in the picture of the card
    picture = base64.b64decode(
        re.findall(r"svg\+xml;base64,([A-Za-z0-9+/=]+)", (bundle / "report.html").read_text())[-1]
    )
    assert 4 == picture.count(b"SANDBOX REHEARSAL")
    _is_held_by_what_is_changed(team)
    _touched_certificate_is_named(team, bundle)


CHANGES = {
    "docs/F25.md": ("Isolated", "Shared", "pantheon-runbook attest strategy -e staging --key approver"),
    "identities.toml": ("salt", "# read by nobody\nsalt", "pantheon-runbook attest team -e staging --key member-a"),
    "docs/endpoints.md": ("<!-- Written", "<!-- Drawn", "move docs/endpoints.md away, or name another endpoints_page."),
}


def _is_held_by_what_is_changed(team: Closer) -> None:
    """Each file is put back before the next. In this process: how a terminal tells it was seen above."""
    for name, (old, new, next_step) in CHANGES.items():
        path = team.folder / name
        before = path.read_bytes()
        assert old.encode() in before
        path.write_bytes(before.replace(old.encode(), new.encode(), 1))
        run = wiring.open_run("RB-050", {"environment": "staging"})
        run.session.perform("observe")
        run.session.perform("compare")
        with pytest.raises(HeldError) as stopped:
            run.session.perform("verify")
        path.write_bytes(before)
        (told,) = [line for line in stopped.value.lines() if line.startswith("Next:")]
        assert ("held", f"Next:    {next_step}") == (team.world.seal(run).word, told), name


def _touched_certificate_is_named(team: Closer, bundle: Path) -> None:
    """It is what was sealed, or anybody finds that it is not, offline and without us."""
    path = bundle / "certificate.json"
    path.write_text(path.read_text().replace('"sandbox"', '"live"').replace("SANDBOX REHEARSAL", "LIVE"))

    done = team.cli("evidence", "verify")

    assert 4 == done.returncode
    assert f"WRONG   {bundle.name}/certificate.json: changed after sealing" in done.stdout


def test_document_with_a_secret_is_not_kept(quiet_world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Masked, its bytes would be others than those that were signed; unmasked, the secret would be in the evidence."""
    for name in ("pantheon.toml", "identities.toml", "credentials.toml"):
        shutil.copy2(quiet_world.customer / name, tmp_path / name)
    config = tmp_path / "pantheon.toml"
    config.write_text(config.read_text() + CLOSURE.replace("docs/", ""))
    monkeypatch.setenv("PANTHEON_CONFIG", str(config))
    secret = tomllib.loads((tmp_path / "credentials.toml").read_text())["values"]["SENTRY_DSN"]
    (tmp_path / "F25.md").write_text(f"# F25\nThe DSN is {secret}.\n")
    (tmp_path / "settings").mkdir()

    run = wiring.open_run("RB-050", {"environment": "staging"})
    run.session.perform("observe")
    criteria = run.session.perform("compare")
    kept = {path.name: path.read_text() for path in run.bundle.folder.iterdir()}
    quiet_world.seal(run)

    assert {"criteria.json", "endpoints.md"} < kept.keys()
    assert "strategy.md" not in kept
    assert not any(secret in text for text in kept.values())
    assert ("strategy", "missing") == (criteria.table.open[0].criterion, criteria.table.open[0].state)
    assert verify(tmp_path / "evidence").is_intact


def test_page_of_somebody_else_is_left_alone(tmp_path: Path):
    """Ours is written anew; what does not begin as ours does is not ours."""
    page = tmp_path / "docs" / "endpoints.md"
    first, second = (f"{closed._PAGE_BEGINS}\n{text}\n" for text in ("one", "two"))
    assert ("", "") == (closed._written(page, first), closed._written(page, second))
    assert second == page.read_text()

    page.write_text("# by hand\n")

    assert "it is there, and somebody else wrote it" == closed._written(page, first)
    assert "# by hand\n" == page.read_text()
    assert "it cannot be written" in closed._written(page / "below", first)
