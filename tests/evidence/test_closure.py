"""Whether F25 may be closed: every criterion, and each way in which what it rests on can be missing or no good."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from closing_team import ENV_FILE, PRODUCTIONS_SECRET, SEEN, Team, alone

from pantheon_runbook import clock, closure
from pantheon_runbook.certificate import certificate_text, certified
from pantheon_runbook.closure import Found
from pantheon_runbook.errors import HeldError
from pantheon_runbook.evidence import verify
from pantheon_runbook.evidence.attestation import Attestation, signed
from pantheon_runbook.evidence.seal import own_key

CLOUDS = ("live", "sandbox")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A team of each cloud that has everything, made once."""
    folders = {}
    for cloud in CLOUDS:
        folders[cloud] = tmp_path_factory.mktemp(cloud)
        with pytest.MonkeyPatch.context() as patch:
            alone(folders[cloud], patch)
            Team(folders[cloud], cloud).closes()
    yield folders
    clock.pin(None)


@pytest.fixture
def team(closed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Team]]:
    """A copy of one of them, to take something away from."""
    monkeypatch.chdir(tmp_path)

    def of(cloud: str) -> Team:
        alone(tmp_path, monkeypatch)
        folder = tmp_path / "team"
        shutil.copytree(closed[cloud], folder)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.chdir(folder)
        made = Team.__new__(Team)
        made.folder, made.cloud = folder, cloud
        made.evidence, made.trust = folder / "evidence", folder / "trust.toml"
        made.sealer = "the team" if cloud == "live" else "sandbox, pinned at first use"
        return made

    yield of
    clock.pin(None)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new, 1))


def altered(path: Path) -> None:
    """One byte more."""
    path.write_bytes(path.read_bytes() + b" ")


def edited(path: Path, old: str, new: str) -> None:
    """What is said is another than what was signed; the signature stays."""
    envelope = json.loads(path.read_text())
    payload = base64.b64decode(envelope["payload"]).decode()
    assert old in payload
    envelope["payload"] = base64.b64encode(payload.replace(old, new, 1).encode()).decode()
    path.write_text(json.dumps(envelope))


def said(team: Team, what: str, name: str, **other: str) -> None:
    """Signed by the key of this name, with something else said than the command would."""
    path = team.file(what, name)
    payload = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))
    fields = {**payload["predicate"], **{key: value for key, value in other.items() if key != "by"}}
    subject = {one["name"]: one["digest"]["sha256"] for one in payload["subject"]}
    path.write_bytes(signed(Attestation(**fields, subject=subject), own_key(other.get("by", name))))


def unpinned(team: Team, name: str) -> None:
    """Its key is taken out of every trust file."""
    public = own_key(name).public
    for trust in (team.trust, team.evidence / "trust.toml"):
        if trust.exists():
            trust.write_text(trust.read_text().replace(public, "1f" * 32).replace(own_key(name).keyid, "2e" * 32))


def pin_line(team: Team, name: str, old: str, new: str) -> None:
    """Change a line of this person's pin."""
    trust = team.trust if team.cloud == "live" else team.evidence / "trust.toml"
    head, pin, tail = trust.read_text().partition(f'keyid = "{own_key(name).keyid}"')
    assert pin
    assert old in tail
    trust.write_text(head + pin + tail.replace(old, new, 1))


def bundle(team: Team, runbook: str) -> Path:
    return next(path for path in team.evidence.iterdir() if f"-{runbook}-" in path.name)


def without(team: Team, runbook: str) -> None:
    """As if it had never been: all evidence anew without it."""
    keep = "RB-060" if runbook == "RB-010" else "RB-010"
    mode = "check" if keep == "RB-060" else "apply"
    afresh(team)
    team.run(keep, mode)
    if keep == "RB-010":
        team.attest("provisioning", "supervisor")


def afresh(team: Team) -> None:
    """No evidence, and on the sandbox the same pins."""
    pins = (team.evidence / "trust.toml").read_text() if team.cloud == "sandbox" else ""
    shutil.rmtree(team.evidence)
    team.evidence.mkdir()
    if pins:
        (team.evidence / "trust.toml").write_text(pins)


def proven(team: Team, **how: object) -> None:
    """The isolation proof that there is, is this one."""
    without(team, "RB-060")
    team.run("RB-060", "check", **how)


def rehearsed(team: Team, runbook: str, mode: str) -> None:
    without(team, runbook)
    team.run(runbook, mode, cloud="sandbox")


def signs(criterion: str, name: str) -> str:
    return f"pantheon-runbook attest {criterion} -e staging --key {name}"


ANY, LIVE = CLOUDS, ("live",)
PROVE = "pantheon-runbook run RB-060 -e staging"
PROVISION = "pantheon-runbook run RB-010 -e staging --apply"
VERIFY = "pantheon-runbook evidence verify evidence"
SIGNED = (("strategy", "approver"), ("team", "member-a"), ("team", "member-b"), ("provisioning", "supervisor"))
Case = tuple[tuple[str, ...], Callable[[Team], object], str, str, str]
# what: (clouds, what is done to a team that has everything, criterion, state, next thing to type)
CASES: dict[str, Case] = {}
for criterion, name in SIGNED:
    sign, who = signs(criterion, name), f"{criterion} by {name}"
    CASES |= {
        f"{who}: missing": (ANY, lambda t, c=criterion, n=name: t.file(c, n).unlink(), criterion, "missing", sign),
        f"{who}: key not pinned": (
            ANY,
            lambda t, n=name: unpinned(t, n),
            criterion,
            "not pinned",
            {"live": f"pantheon-runbook keys new {name} --role attest >> trust.toml", "sandbox": sign},
        ),
        f"{who}: key past its validity": (
            ANY,
            lambda t, n=name: pin_line(t, n, 'valid_until = "2027', 'valid_until = "2025'),
            criterion,
            "not pinned",
            sign,
        ),
        f"{who}: key before its validity": (
            ANY,
            lambda t, n=name: pin_line(t, n, 'valid_from = "2026', 'valid_from = "2027'),
            criterion,
            "not pinned",
            sign,
        ),
        f"{who}: key of another role": (
            ANY,
            lambda t, n=name: pin_line(t, n, 'role = "attest"', 'role = "approve"'),
            criterion,
            "not pinned",
            sign,
        ),
        f"{who}: key of somebody else": (
            ANY,
            lambda t, n=name: pin_line(t, n, f'owner = "{n}"', 'owner = "somebody"'),
            criterion,
            "not pinned",
            sign,
        ),
        f"{who}: edited": (
            ANY,
            lambda t, c=criterion, n=name: edited(t.file(c, n), "2026-11-24", "2026-11-23"),
            criterion,
            "forged",
            sign,
        ),
        f"{who}: signed by another's key": (
            ANY,
            lambda t, c=criterion, n=name: said(t, c, n, by="supervisor" if n != "supervisor" else "approver"),
            criterion,
            "not pinned",
            sign,
        ),
        f"{who}: no envelope": (
            ANY,
            lambda t, c=criterion, n=name: t.file(c, n).write_text("{}"),
            criterion,
            "forged",
            sign,
        ),
        f"{who}: dated to come": (
            ANY,
            lambda t, c=criterion, n=name: said(t, c, n, issued_at="2026-11-25T10:00:00Z"),
            criterion,
            "forged",
            sign,
        ),
        f"{who}: for another environment": (
            ANY,
            lambda t, c=criterion, n=name: said(t, c, n, environment="preview"),
            criterion,
            "stale",
            sign,
        ),
        f"{who}: for another criterion": (
            ANY,
            lambda t, c=criterion, n=name: said(t, c, n, criterion="lunch"),
            criterion,
            "forged",
            sign,
        ),
        f"{who}: signed for the sandbox": (
            LIVE,
            lambda t, c=criterion, n=name: said(t, c, n, cloud="sandbox"),
            criterion,
            "rests on sandbox evidence",
            sign,
        ),
        f"{who}: key pinned for the sandbox": (
            LIVE,
            lambda t, n=name: pin_line(t, n, 'cloud = "live"', 'cloud = "sandbox"'),
            criterion,
            "rests on sandbox evidence",
            sign,
        ),
        f"{who}: signed for live": (
            ("sandbox",),
            lambda t, c=criterion, n=name: said(t, c, n, cloud="live"),
            criterion,
            "stale",
            sign,
        ),
    }
CASES |= {
    "strategy: not there": (
        ANY,
        lambda t: (t.folder / "docs" / "F25.md").unlink(),
        "strategy",
        "missing",
        "put the document at docs/F25.md, or correct closure.strategy in pantheon.toml",
    ),
    "strategy: no text": (
        ANY,
        lambda t: (t.folder / "docs" / "F25.md").write_bytes(b"\xff\xfe"),
        "strategy",
        "missing",
        "put the document at docs/F25.md, or correct closure.strategy in pantheon.toml",
    ),
    "strategy: one byte altered": (
        ANY,
        lambda t: altered(t.folder / "docs" / "F25.md"),
        "strategy",
        "stale",
        signs("strategy", "approver"),
    ),
    "team: identities are others": (
        ANY,
        lambda t: altered(t.folder / "identities.toml"),
        "team",
        "stale",
        signs("team", "member-a"),
    ),
    "team: another member is named": (
        ANY,
        lambda t: replace(t.folder / "pantheon.toml", '"member-b"', '"member-b", "member-c"'),
        "team",
        "stale",
        signs("team", "member-a"),
    ),
    "team: production's secret here": (
        ANY,
        lambda t: (t.folder / "settings" / ".env").write_text(f"A={PRODUCTIONS_SECRET}\n"),
        "team",
        "missing",
        "pantheon-runbook guard settings .env",
    ),
    "team: no local file": (
        ANY,
        lambda t: (t.folder / ".env").unlink(),
        "team",
        "missing",
        "pantheon-runbook env write .env -e staging",
    ),
    "team: local file of another": (
        ANY,
        lambda t: replace(t.folder / ".env", "b" * 20, "c" * 20),
        "team",
        "missing",
        "pantheon-runbook env write .env -e staging",
    ),
    "team: local file names another API": (
        ANY,
        lambda t: replace(t.folder / ".env", "api-staging", "api-other"),
        "team",
        "missing",
        "pantheon-runbook env write .env -e staging",
    ),
    "team: local file of nothing": (
        ANY,
        lambda t: (t.folder / ".env").write_text("A=1\n"),
        "team",
        "missing",
        "pantheon-runbook env write .env -e staging",
    ),
    "isolation: missing": (ANY, lambda t: without(t, "RB-060"), "team", "missing", PROVE),
    "isolation: too old": (ANY, lambda t: proven(t, days_ago=8), "team", "stale", PROVE),
    "isolation: a moment too old": (ANY, lambda t: proven(t, days_ago=7.0001), "team", "stale", PROVE),
    "isolation: dated to come": (ANY, lambda t: proven(t, days_ago=-1), "team", "forged", PROVE),
    "isolation: of another staging": (ANY, lambda t: proven(t, staging="d" * 20), "team", "stale", PROVE),
    "provisioning: of another staging": (
        ANY,
        lambda t: [without(t, "RB-010"), t.run("RB-010", "apply", staging="d" * 20)],
        "provisioning",
        "stale",
        PROVISION,
    ),
    "isolation: failed": (ANY, lambda t: proven(t, fails=True), "team", "missing", PROVE),
    "isolation: failed since": (
        ANY,
        lambda t: t.run("RB-060", "check", fails=True),
        "team",
        "missing",
        PROVE,
    ),
    "isolation: a rehearsal": (
        LIVE,
        lambda t: rehearsed(t, "RB-060", "check"),
        "team",
        "rests on sandbox evidence",
        PROVE,
    ),
    "isolation: tampered": (
        ANY,
        lambda t: altered(bundle(t, "RB-060") / "comparison.json"),
        "team",
        "forged",
        VERIFY,
    ),
    "isolation: taken away": (ANY, lambda t: shutil.rmtree(bundle(t, "RB-060")), "team", "forged", VERIFY),
    "provisioning: missing": (ANY, lambda t: without(t, "RB-010"), "provisioning", "missing", PROVISION),
    "provisioning: not verified": (
        ANY,
        lambda t: [without(t, "RB-010"), t.run("RB-010", "apply", fails=True)],
        "provisioning",
        "missing",
        PROVISION,
    ),
    "provisioning: run again since": (
        ANY,
        lambda t: t.run("RB-010", "apply"),
        "provisioning",
        "stale",
        signs("provisioning", "supervisor"),
    ),
    "provisioning: a rehearsal": (
        LIVE,
        lambda t: rehearsed(t, "RB-010", "apply"),
        "provisioning",
        "rests on sandbox evidence",
        PROVISION,
    ),
    "provisioning: tampered": (
        ANY,
        lambda t: altered(bundle(t, "RB-010") / "plan.json"),
        "provisioning",
        "forged",
        VERIFY,
    ),
    "provisioning: verdict rewritten": (
        ANY,
        lambda t: replace(bundle(t, "RB-010") / "verdict.json", "done", "done!"),
        "provisioning",
        "forged",
        VERIFY,
    ),
}
TRIED = [(what, cloud) for what, case in CASES.items() for cloud in case[0]]


@pytest.mark.parametrize(("what", "cloud"), TRIED, ids=[f"{what}, {cloud}" for what, cloud in TRIED])
def test_nothing_is_issued(team, what: str, cloud: str):
    """The first row that is open for this is the one that is named, with the next thing to type."""
    _, change, criterion, state, next_step = CASES[what]
    made = team(cloud)
    change(made)

    facts = made.facts()
    table = closure.table_of(facts)
    opened = [row for row in table.open if row.criterion == criterion]

    wanted = next_step[cloud] if isinstance(next_step, dict) else next_step
    print(f"{cloud:<8} {what:<44} {opened[0].state if opened else 'MET':<26} {opened[0].next_step if opened else ''}")
    assert [(state, wanted)] == [(row.state, row.next_step) for row in opened[:1]]
    with pytest.raises(HeldError) as held:
        certified(table, facts, run_id="r")
    assert "no certificate was issued." == held.value.state
    assert 3 == held.value.exit_code
    assert table.open[0].next_step.rstrip(".") in held.value.next_step


@pytest.mark.parametrize("cloud", CLOUDS)
def test_all_met_is_issued(team, cloud: str):
    """With the digest of everything that it rests on, and the words that people signed."""
    made = team(cloud)
    facts = made.facts()

    certificate = certified(closure.table_of(facts), facts, run_id="r")

    assert cloud == certificate.cloud == certificate.content["cloud"]
    assert {
        "identities.toml",
        "pantheon.toml",
        "strategy.md",
        f"{bundle(made, 'RB-010').name}/manifest.json",
        f"{bundle(made, 'RB-060').name}/manifest.json",
    } == set(certificate.content["rests_on"])
    assert {f"{criterion}-{name}.json" for criterion, name in SIGNED} == set(certificate.content["attestations"])
    assert {"approver", "supervisor", "member-a", "member-b", "RB-050", made.sealer} == {
        row["signer"] for row in certificate.content["rows"]
    }
    sources = {row["source"] for row in certificate.content["rows"] if row["evidence"].startswith("attestations/")}
    begins = "repository-pinned key of " if cloud == "live" else "sandbox key of "
    assert all(source.startswith(begins) for source in sources)
    print(certificate_text(certificate))


def test_rehearsal_says_so_in_every_part(team):
    """Whatever is cut out of it, and by its own bytes."""
    made = team("sandbox")
    facts = made.facts()
    certificate = certified(closure.table_of(facts), facts, run_id="r")
    text = certificate_text(certificate)

    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert all("SANDBOX REHEARSAL" in line for line in (*headings, text.splitlines()[-1]))
    assert "it closes nothing" in certificate.title
    assert ("SANDBOX REHEARSAL", "sandbox") == (certificate.content["watermark"], certificate.content["cloud"])


def test_open_endpoint_is_named(team):
    made = team("live")
    mend = "pantheon-runbook run RB-010 -e staging --apply"
    facts = made.facts({closure.ENDPOINTS: (Found("API", "it answers 502", mend), *SEEN[closure.ENDPOINTS])})

    (row,) = closure.table_of(facts).open

    assert ("endpoints", "missing", "it answers 502", mend) == (row.criterion, row.state, row.why, row.next_step)


def test_nothing_seen_is_not_met(team):
    facts = team("live").facts({})

    assert ["endpoints"] == [row.criterion for row in closure.table_of(facts).open]


def test_config_without_closure_has_nothing_met(team):
    """Each criterion says what to write where."""
    made = team("live")
    path = made.folder / "pantheon.toml"
    path.write_text(path.read_text().partition("[closure]")[0])

    opened = {row.criterion: row.next_step for row in reversed(closure.table_of(made.facts()).open)}

    assert ["provisioning", "team", "strategy"] == list(opened)
    assert all("[closure]" in next_step for next_step in opened.values())


def test_proof_made_under_another_config_is_stale(team):
    """Exceptions for one check, taken out again after it, closed F25 with what they had hidden."""
    made = team("live")
    path = made.folder / "pantheon.toml"
    path.write_text(path.read_text() + "# another word\n")
    made.sign()

    opened = {row.evidence.partition(" ")[0]: (row.state, row.next_step) for row in closure.table_of(made.facts()).open}

    assert {"isolation": ("stale", "pantheon-runbook run RB-060 -e staging")} == opened


def test_attestation_counts_until_the_end_of_its_key(team):
    """Signed while the key was valid, it stays good: people leave. That nothing bounds the date then, is said."""
    made = team("live")
    now = {row.source for row in made.table().rows if row.evidence.startswith("attestations/")}
    clock.pin("2028-11-24T10:00:00+00:00")

    rows = [row for row in made.table().rows if row.evidence.startswith("attestations/")]

    assert {"met"} == {row.state for row in rows}
    assert [True] * len(rows) == ["its holder's word" in row.source for row in rows]
    assert not any("its holder's word" in source for source in now)


@pytest.mark.parametrize(("moment", "state"), [("2026-11-25T09:50:00Z", "forged"), ("2026-11-25T09:58:00Z", "met")])
def test_confirmation_is_not_older_than_the_run_it_confirms(team, moment: str, state: str):
    """What is signed is the run's digest: a date before its seal was put back by hand; clocks may differ a little."""
    made = team("sandbox")
    made.run("RB-010", "apply", days_ago=-1)
    clock.pin("2026-11-26T10:00:00+00:00")
    made.attest("provisioning", "supervisor")
    said(made, "provisioning", "supervisor", issued_at=moment)

    (row,) = [row for row in made.table().rows if row.evidence == "attestations/provisioning-supervisor.json"]

    assert state == row.state
    assert row.is_met or "before the run that it confirms" in row.why


def test_certificate_names_what_stays_open(team):
    """Row by row: closing F25 does not close a way into production, nor what guard did not look into."""
    made = team("sandbox")
    (made.folder / "settings" / "node_modules").mkdir()
    ways = [{"address": "vercel/previews", "what": "w", "found": "f", "next_step": "n", "state": "open"}]
    shown = {"address": "railway/token", "what": "w", "found": "f", "next_step": "n", "state": "closed by vendor"}
    comparing(made, {"rows": [], "exposures": [*ways, shown]})

    certificate = certified(made.table(), made.facts(), run_id="0" * 32)
    text = certificate_text(certificate)

    assert [{"address": "vercel/previews", "what": "w", "found": "f", "next_step": "n"}] == certificate.content[
        "open_ways"
    ]
    assert "- vercel/previews: w: f -> n" in text
    assert "not looked into: settings/node_modules (what tools put there)" in text
    assert "signer's own word" in text


def comparing(team: Team, matrix: dict[str, object]) -> None:
    """An isolation proof anew, with this matrix in it."""
    patch = pytest.MonkeyPatch()
    patch.setattr("closing_team.MATRIX", matrix)
    team.run("RB-060", "check")
    patch.undo()


def test_guard_that_knows_no_secret_is_not_clean(team):
    """Without pins it finds ids and hosts only, and a secret would pass."""
    made = team("live")
    replace(made.folder / "identities.toml", "DATABASE_URL = ", "# DATABASE_URL = ")

    (row,) = [row for row in made.table().open if row.evidence.startswith("guard")]

    assert "pantheon-runbook init --pin-production" == row.next_step


def test_somebody_elses_attestation_beside_them_counts_for_nothing(team):
    made = team("live")
    made.pin("member-z")
    shutil.copy(made.file("team", "member-a"), made.file("team", "member-z"))

    assert "team-member-z.json" not in made.facts().attestations


@pytest.mark.parametrize("days", [6, 7])
def test_proof_counts_for_seven_days(team, days: int):
    made = team("live")
    proven(made, days_ago=days)

    assert [] == [row for row in made.table().open if "isolation" in row.evidence]


def test_clocks_of_two_machines_may_differ_a_little(team):
    """What a colleague signed a minute ahead of us is no forgery; a time that says no offset is UTC."""
    made = team("live")
    said(made, "strategy", "approver", issued_at="2026-11-24T10:04:59Z")
    said(made, "team", "member-a", issued_at="2026-11-24T10:04:59")

    assert [] == list(made.table().open)


@pytest.mark.parametrize("other", [{}, {"cloud": "live"}, {"environment": "preview"}, {"runbook": "RB-060"}])
def test_certificate_of_another_run_is_named(make, other: dict[str, str]):
    """Whoever holds a sandbox's key cannot seal a certificate for live with it: the bundle would contradict itself."""
    opened, journal = make.begun(acts=("open",))
    about = {"cloud": "sandbox", "environment": "staging", "runbook": "RB-010"}
    content = json.dumps({**about, **other}).encode()
    journal.write("act-begins", act="verify")
    opened.write("certificate.json", content)
    told = {"certificate.json": hashlib.sha256(content).hexdigest()}
    journal.write("act-ends", act="verify", files=told)

    found = list(verify.disagreements(opened.folder, {**about, "run_id": opened.place.run_id}))
    make.forget(opened)

    problem = ("certificate.json", "for another cloud, environment or runbook")
    assert ([problem] if other else []) == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"A=\0\nDATABASE_URL={PRODUCTIONS_SECRET}\n{ENV_FILE}", "was skipped: nobody looked into it"),
        (
            f"# https://{'b' * 20}.supabase.co\nDATABASE_URL=postgres://u@db.example/prod\n",
            "it names no Supabase project",
        ),
        (f"{ENV_FILE}URL=postgres://pantheon_read.{'a' * 20}:p@x.example/y\n", "another Supabase project"),
    ],
)
def test_env_file_that_hides_where_it_points_is_not_met(team, content: str, why: str):
    made = team("live")
    (made.folder / ".env").write_text(content)

    assert any(why in row.why for row in made.table().open), [row.why for row in made.table().open]
