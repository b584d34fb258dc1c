"""`approve` on the command line: what a person reads and types, what is committed, and a card for whatever is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from closing_team import Team, alone
from test_attest import _config, _pin, call
from test_bad_input import _assert_is_card

from pantheon_runbook import approving, cli, clock
from pantheon_runbook.errors import NotApprovedError
from pantheon_runbook.evidence import approval, decision, seal, ssh, verify
from pantheon_runbook.evidence.approval import Case, Person
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.model import Change, Finding, Plan, canonical, digest_of, short_code
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

CHANGE = Change("supabase/schema", "update", {}, {"revision": "0009"}, (), "locks users for 0.2 s", "downgrade to 0008")


@dataclass
class Promotion:
    """A team with a sealed plan run of RB-030, made by `operator`; its keys `approver` and `member-a` may approve."""

    team: Team
    operator: str = "release-manager"
    findings: tuple[Finding, ...] = ()
    changes: tuple[Change, ...] = (CHANGE,)
    parameters: dict[str, Any] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)
    cloud: str = ""
    environment: str = "production"
    fails: bool = False

    def plan(self) -> Path:
        """Its plan.json, in a bundle that was really sealed."""
        cloud = self.cloud or self.team.cloud
        run_id = clock.token("RB-030")
        place = Place(self.team.evidence, cloud, self.environment, "RB-030", run_id, clock.stamp())
        bundle = Bundle(place, Registry())
        journal = Journal(bundle.folder / "journal.jsonl", run_id=run_id, registry=Registry())
        told = {"cloud": cloud, "environment": self.environment, "runbook": "RB-030", "mode": "plan"}
        journal.write("run-opened", **told, operator=self.operator, operator_source="login name on this machine")
        observed = {"cloud": cloud, "environment": self.environment, "identities": {}, "resources": []}
        plan = self._plan(cloud, digest_of(observed))
        bundle.write("snapshot.json", canonical({"observed": {**observed, "observed_at": clock.stamp()}}))
        bundle.write("plan.json", plan.to_bytes())
        facts = {
            "open": {},
            "observe": {"resources": 0, "snapshot": digest_of(observed)},
            "plan": {"digest": plan.digest, "changes": len(plan.changes)},
        }
        for act, ended in facts.items():
            journal.write("act-begins", act=act)
            if not (self.fails and act == "plan"):
                journal.write("act-ends", act=act, **ended)
        if self.fails:
            error = {"word": "failed", "what": "a bug.", "why": "it is.", "state": "s", "next": "n"}
            journal.write("act-failed", act="plan", **error)
        return bundle.seal(seal.sealing_key(cloud), NotebookStatus("not-observed"))[0] / "plan.json"

    def _plan(self, cloud: str, snapshot: str) -> Plan:
        return Plan(
            cloud=cloud,
            environment=self.environment,
            runbook="RB-030",
            runbook_digest="0" * 64,
            identities={},
            production={},
            snapshot_digest=snapshot,
            parameters=self.parameters,
            changes=self.changes,
            left_alone=(),
            findings=self.findings,
            manual_steps=("tell support",),
            calls={},
            release=self.release,
        )


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Team]]:
    """Approver and member-a have keys to approve with, on live pinned; nothing is signed and nothing has run."""

    def of(cloud: str) -> Team:
        alone(tmp_path, monkeypatch)
        made = Team(tmp_path, cloud)
        made.pin("approver", "member-a", role="approve")
        return made

    yield of
    clock.pin(None)


def code_of(plan: Path) -> str:
    return short_code(verify._sha256(plan.read_bytes()))


def approve(plan: Path, *more: str, key: str = "approver", code: str = "") -> tuple[int, str, str]:
    return call("approve", str(plan), "--key", key, "--reason", "read it", "--code", code or code_of(plan), *more)


def withdraw(plan: Path) -> int:
    return call("approve", str(plan), "--key", "approver", "--reason", "wrong", "--withdraw")[0]


def judged(made: Team, plan: Path, **facts: object) -> approval.Approved:
    """As RB-030 asks: by what is committed."""
    desk = approving.Desk.here()
    case = {
        "plan": plan.read_bytes(),
        "sealed_at": "2026-11-24T10:00:00Z",
        "keys": desk.keys(),
        "policy": approving.policy_of(desk.config),
        "requester": Person("release-manager", "login name"),
        "executor": Person("release-manager", "login name"),
        "authors": (Person("dev", "git"),),
        "now": clock.stamp(),
        "check": ssh.is_signed_by,
    }
    envelopes = approving.envelopes_for(made.folder, verify._sha256(plan.read_bytes()))
    return approval.approved(Case(**{**case, **facts}), envelopes)


@pytest.mark.parametrize("cloud", ["live", "sandbox"])
def test_approval_is_shown_signed_and_accepted(team, cloud: str):
    """From the sealed plan to the judgement, through files alone."""
    made = team(cloud)
    plan = Promotion(made).plan()

    code, out, _ = approve(plan, "--expires", "2h")

    banner = "LIVE" if cloud == "live" else "SANDBOX REHEARSAL"
    assert (0, f'{banner}  RB-030 for "production"') == (code, out.splitlines()[0])
    for words in (
        "made by release-manager (login name on this machine), sealed 2026-11-24T10:00:00Z",
        "1 change:\n  update   supabase/schema\n",
        "risk  locks users for 0.2 s",
        "undo  downgrade to 0008",
        "1 step by hand:\n  tell support",
        f'approved: RB-030 for "production" ({cloud}), plan {code_of(plan)}',
        "it may start until just before 2026-11-24T12:00:00Z",
    ):
        assert words in out
    digest = verify._sha256(plan.read_bytes())
    assert [f"{digest[:12]}-approver.json"] == [path.name for path in (made.folder / "approvals").iterdir()]
    found = judged(made, plan)
    assert ("approved", ["approver"]) == (found.kind, [one.name for one in found.approvers])


def test_sandbox_pins_the_key_at_first_use(team):
    made = team("sandbox")
    plan = Promotion(made).plan()

    assert "the sandbox believes the first use: this key is approver's" in approve(plan)[1]
    assert "believes" not in approve(plan)[1]
    key = verify.pinned_keys(made.evidence / "trust.toml")[0][seal.own_key("approver").keyid]
    assert ("approver", "sandbox", "approve") == (key.owner, key.cloud, key.role)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen (OpenSSH) is not installed")
@pytest.mark.parametrize("cloud", ["live", "sandbox"])
def test_ssh_key_approves(team, cloud: str):
    """Pinned by the line of its .pub file, on the sandbox at first use; and it withdraws."""
    made = team(cloud)
    path = made.folder / "ana"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    if cloud == "live":
        line = path.with_name("ana.pub").read_text().strip()
        pin = f'[[keys]]\nssh = "{line}"\nowner = "ana"\ncloud = "live"\nrole = "approve"\n'
        made.trust.write_text(made.trust.read_text() + pin)
    plan = Promotion(made).plan()

    assert 0 == approve(plan, key=str(path))[0]
    (one,) = judged(made, plan).approvers
    assert ("ana", True) == (one.name, one.source.startswith("SSH signature by "))
    assert 0 == call("approve", str(plan), "--key", str(path), "--reason", "wrong", "--withdraw")[0]
    with pytest.raises(NotApprovedError, match="ana has withdrawn"):
        judged(made, plan)


def test_short_code_is_asked_on_a_terminal(team, monkeypatch: pytest.MonkeyPatch):
    made = team("live")
    plan = Promotion(made).plan()
    runner = CliRunner()

    def typed(text: str) -> tuple[int, str]:
        with runner.isolation(input=f"{text}\n") as (shown, *_):
            monkeypatch.setattr("sys.stdin.isatty", lambda: True)
            try:
                cli.main(["approve", str(plan), "--key", "approver", "--reason", "read it"], standalone_mode=False)
            except click.Abort:
                return 1, shown.getvalue().decode()
        return 0, shown.getvalue().decode()

    code, shown = typed("0000-0000")
    assert (1, []) == (code, sorted(made.folder.glob("approvals/*")))
    report = plan.with_name("report.html")
    assert (True, False) == (code_of(plan) in report.read_text(), code_of(plan).partition("-")[0] in shown)
    code, shown = typed(f"0000-0000\n{code_of(plan)}")
    assert (0, 1) == (code, shown.count("sealed 2026")), "a plan is shown once, whatever is mistyped"
    assert 2 == shown.count(f"Read {report}, and type the short code that it shows")
    assert 'Error: the short code is not this plan\'s. "0000-0000" was typed.\n' in shown
    assert judged(made, plan)


def test_wrong_code_shows_no_plan(team):
    """Only what is wrong with it, and where to read the right one."""
    plan = Promotion(team("live")).plan()

    code, out, error = approve(plan, code="0000-0000")

    assert (4, "") == (code, out)
    _assert_is_card(error, f"read it in {plan.with_name('report.html')}, and type that")


def test_commits_and_authors_are_shown_before_it_is_signed(team):
    """What production has and gets, in the words of the plan's own card; what is found twice is told once."""
    served = ("production/deployment/api", "vercel/promotion")
    changes = tuple(
        Change(address, "deploy", {"commit": "a" * 40}, {"commit": "b" * 40}, (), "low", "RB-040") for address in served
    )
    found = tuple(Finding("artefact-rebuilt", address, "it is rebuilt", "compare", blocks=False) for address in served)
    release = {"authors": [{"name": "dev", "source": "git", "keyid": "", "also": []}]}

    _, out, _ = approve(Promotion(team("live"), changes=changes, findings=found, release=release).plan())

    moved = "aaaaaaaaaaaa -> bbbbbbbbbbbb"
    told = f"what production has -> gets:\n  {'deploy api':<20} {moved}\n  {'promote the page':<20} {moved}\n"
    assert f"{told}authors: dev (git)\n2 changes:\n" in out
    assert "1 finding:\n  it is rebuilt (production/deployment/api, vercel/promotion)\n" in out


def test_withdrawal_stays_beside_what_comes_later(team):
    """It takes a copy of the old approval back, too; a new approval counts."""
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)
    (path,) = (made.folder / "approvals").iterdir()
    old = path.read_bytes()

    code, out, _ = call("approve", str(plan), "--key", "approver", "--reason", "0009 is wrong", "--withdraw")
    assert (0, True) == (code, "withdrawn: RB-030" in out)
    with pytest.raises(NotApprovedError, match="approver has withdrawn the approval"):
        judged(made, plan)

    clock.pin("2026-11-24T10:04:59+00:00")
    code, _, error = approve(plan)
    assert (4, old) == (code, path.read_bytes())
    _assert_is_card(error, "approved anew, 0:05:00 after it was withdrawn")

    clock.pin("2026-11-24T10:05:00+00:00")
    approve(plan)
    assert judged(made, plan)
    path.write_bytes(old)
    with pytest.raises(NotApprovedError, match="0009 is wrong"):
        judged(made, plan)


def test_withdrawal_waits_for_no_reason(team):
    """Whoever stops something may be in a hurry; whoever lets it go on says why."""
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)

    assert 0 == call("approve", str(plan), "--key", "approver", "--withdraw")[0]
    with pytest.raises(NotApprovedError, match="approver has withdrawn the approval") as stopped:
        judged(made, plan)
    assert "no reason was given" in stopped.value.why
    code, _, error = call("approve", str(plan), "--key", "approver", "--code", "0000-0000")
    assert (2, True) == (code, "Missing option '--reason'" in error)


def test_withdrawal_is_not_dated_before_what_it_takes_back(team):
    """Made on a machine whose clock is behind: a copy of an earlier approval is taken back, too."""
    made = team("live")
    plan = Promotion(made).plan()
    clock.pin("2026-11-24T10:20:00+00:00")
    approve(plan)
    (path,) = (made.folder / "approvals").iterdir()
    old = path.read_bytes()
    clock.pin("2026-11-24T10:30:00+00:00")
    approve(plan)

    clock.pin("2026-11-24T10:10:00+00:00")
    assert 0 == withdraw(plan)
    path.write_bytes(old)

    clock.pin("2026-11-24T10:30:00+00:00")
    with pytest.raises(NotApprovedError, match="approver has withdrawn the approval"):
        judged(made, plan)


@pytest.mark.parametrize("name", ["old.json", "000000000000-approver-withdrawn-00000000.json", "withdrawn.json.bak"])
def test_withdrawal_stops_under_whatever_name_it_lies(team, name: str):
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)
    withdraw(plan)
    (withdrawn,) = (made.folder / "approvals").glob("*-withdrawn-*")
    withdrawn.rename(withdrawn.with_name(name))

    with pytest.raises(NotApprovedError, match="approver has withdrawn the approval"):
        judged(made, plan)


def test_approval_is_withdrawn_under_whatever_name_it_lies(team):
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)
    (path,) = (made.folder / "approvals").iterdir()
    path.rename(path.with_name("signed.json"))

    assert 0 == withdraw(plan)
    with pytest.raises(NotApprovedError, match="approver has withdrawn the approval"):
        judged(made, plan)


def test_what_lies_beside_the_decisions_stops_nobody(team):
    """Of another plan, of no plan, half written, or a folder."""
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)
    beside = made.folder / "approvals"
    (beside / "README.md").write_text("who may approve, and how to reach them")
    (beside / "old").mkdir()
    (beside / ".half.json.new").symlink_to("gone")
    other = replace(decision_in(beside), about=replace(decision_in(beside).about, plan_digest="0" * 64))
    (beside / "000000000000-approver.json").write_bytes(decision.signed(other, seal.new_key("nobody")))

    assert judged(made, plan)


def decision_in(folder: Path) -> decision.Said:
    (path,) = folder.glob("*-approver.json")
    found = decision.read(path.read_bytes(), approving.Desk.here().keys())
    assert isinstance(found, decision.Read)
    return found.said


def test_withdrawal_waits_for_no_other_key(team):
    """The validity of his own has ended meanwhile: it approves nothing any more, and stops what it let begin."""
    made = team("live")
    _pin('until = "2027-11-24T10:00:00Z', 'until = "2026-11-24T10:00:30Z')(made)
    plan = Promotion(made).plan()
    approve(plan)
    started = frozenset({decision_in(made.folder / "approvals").nonce})
    clock.pin("2026-11-24T10:20:00+00:00")
    assert judged(made, plan, started=started)

    assert 2 == approve(plan)[0]
    assert 0 == withdraw(plan)
    with pytest.raises(NotApprovedError, match="approver has withdrawn the approval"):
        judged(made, plan, started=started)


def test_withdrawal_needs_no_whole_bundle(team):
    """To stop is never kept back by what is wrong elsewhere."""
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)
    (plan.parent / "manifest.json").unlink()

    assert 0 == call("approve", str(plan), "--key", "approver", "--reason", "wrong", "--withdraw")[0]


def test_who_is_alone_waits_and_is_never_called_approved(team):
    made = team("live")
    _config("[closure]", "[approval]\nsolo = true\n[closure]")(made)
    plan = Promotion(made, operator="approver").plan()

    code, _, error = approve(plan)
    assert 4 == code
    _assert_is_card(error, "approver signed too soon")

    clock.pin("2026-11-24T10:15:00+00:00")
    code, out, _ = approve(plan)
    assert (0, True) == (code, "separation of duties: not met: RB-030" in out)
    alone_ = {"requester": Person("approver", ""), "executor": Person("approver", "")}
    assert "separation of duties: not met" == judged(made, plan, **alone_).kind


def test_hotfix_is_shown_and_signed(team):
    made = team("live")
    plan = Promotion(made, parameters={"hotfix": True}).plan()

    assert "HOTFIX: it goes around staging" in approve(plan)[1]
    assert judged(made, plan).is_hotfix


def test_odd_text_of_a_plan_moves_no_cursor(team):
    plan = Promotion(team("live"), changes=(Change("a\x1b[2Kb", "update", {}, {}, (), "none", "none"),)).plan()

    assert "a\\x1b[2Kb" in approve(plan)[1]


def promotion(**how: object) -> Callable[[Team], Path]:
    return lambda made: Promotion(made, **how).plan()


def changed(made: Team) -> Path:
    plan = Promotion(made).plan()
    plan.write_bytes(plan.read_bytes().replace(b"0.2 s", b"0.1 s"))
    return plan


def unsealed(made: Team) -> Path:
    plan = Promotion(made).plan()
    plan.with_name("seal.json").unlink()
    return plan


def rehearsed(made: Team) -> Path:
    """A run of the sandbox, before a live config."""
    return Promotion(made, cloud="sandbox").plan()


def copied(made: Team) -> Path:
    """The plan alone, out of its bundle."""
    path = made.folder / "plan.json"
    path.write_bytes(Promotion(made).plan().read_bytes())
    return path


def odd_plan(made: Team) -> Path:
    path = made.folder / "plan.json"
    path.write_text("{}")
    return path


def with_(change: Callable[[Team], object]) -> Callable[[Team], Path]:
    def made_so(made: Team) -> Path:
        change(made)
        return Promotion(made).plan()

    return made_so


def _withdrawable(made: Team) -> Path:
    """Signed by approver, and damaged since."""
    plan = Promotion(made).plan()
    approve(plan)
    (path,) = (made.folder / "approvals").iterdir()
    path.write_bytes(b"{}")
    return plan


def pinned_twice(made: Team) -> None:
    entry = made.trust.read_text().partition("[[keys]]")[2]
    made.trust.write_text(f"[[keys]]{entry}[[keys]]{entry.partition('[[keys]]')[0]}")


def signed_and(change: Callable[[Team], object]) -> Callable[[Team], Path]:
    """By approver, before something is changed."""

    def made_so(made: Team) -> Path:
        plan = Promotion(made).plan()
        approve(plan)
        change(made)
        return plan

    return made_so


def nowhere(made: Team) -> None:
    (made.folder / "approvals").write_text("a file")


BLOCKING = Finding("shared", "railway/SECRET_KEY", "it is production's", "pantheon-runbook run RB-060")
WITHDRAW = ("approve", "PLAN", "--key", "approver", "--reason", "wrong", "--withdraw")
SIGN = ("approve", "PLAN", "--key", "approver", "--reason", "read it", "--code", "CODE")
plain = promotion()

# what: (the plan, command line, exit code, words of the card)
CASES: dict[str, tuple[Callable[[Team], Path], tuple[str, ...], int, str]] = {
    "no plan named": (plain, ("approve", "--key", "approver", "--reason", "x"), 2, "Missing argument 'PLAN'"),
    "no key named": (plain, ("approve", "PLAN", "--reason", "x"), 2, "Missing option '--key'"),
    "no reason": (plain, ("approve", "PLAN", "--key", "approver"), 2, "Missing option '--reason'"),
    "blank reason": (plain, (*SIGN[:5], " ", *SIGN[6:]), 2, "there is no reason"),
    "reason of two lines": (plain, (*SIGN[:5], "a\nb", *SIGN[6:]), 2, "the reason is not one line of text"),
    "no such plan": (lambda made: made.folder / "plan.json", SIGN, 4, "cannot be read"),
    "plan is a device": (lambda _made: Path("/dev/zero"), SIGN, 4, "/dev/zero cannot be read"),
    "no plan of ours": (odd_plan, SIGN, 4, "is no plan"),
    "another file of the bundle": (lambda made: plain(made).with_name("snapshot.json"), SIGN, 4, "is no plan"),
    "not sealed": (unsealed, SIGN, 4, "is not sealed"),
    "plan out of its bundle": (copied, SIGN, 4, "is not sealed"),
    "changed after sealing": (changed, SIGN, 4, "plan.json: changed after sealing"),
    "of another cloud": (rehearsed, SIGN, 4, 'the plan is for the cloud "sandbox"'),
    "of no environment of ours": (promotion(environment="moon"), SIGN, 2, 'no environment "moon"'),
    "blocked": (promotion(findings=(BLOCKING,)), SIGN, 4, "1 finding must be cleared first: it is production's"),
    "nothing to change": (promotion(changes=()), SIGN, 4, "none that waits for an approval"),
    "of a run that failed": (promotion(fails=True), SIGN, 4, 'its run came to "failed"'),
    "wrong short code": (plain, (*SIGN[:-1], "0000-0000"), 4, "the short code is not this plan's"),
    "no short code, no terminal": (plain, SIGN[:-2], 4, "the short code was not typed"),
    "expiry of no kind": (plain, (*SIGN, "--expires", "soon"), 2, '"soon" is no time'),
    "no time at all": (plain, (*SIGN, "--expires", "0h"), 2, "cannot last 0:00:00"),
    "longer than is allowed": (plain, (*SIGN, "--expires", "25h"), 2, "allows 1 day"),
    "his own plan": (promotion(operator="Approver"), SIGN, 4, "approver cannot approve this plan"),
    "his own plan, by an alias": (
        lambda made: (
            _config("[closure]", '[[people]]\nname = "approver"\nalso = ["ana", "a@example.org"]\n[closure]')(made),
            Promotion(made, operator="ANA").plan(),
        )[1],
        SIGN,
        4,
        "they are its requester",
    ),
    "his own commit": (
        promotion(release={"authors": [{"name": "Approver", "source": "git", "also": []}]}),
        SIGN,
        4,
        "they are an author of a commit in the release",
    ),
    "not asked": (
        with_(_config("[closure]", '[approval]\napprovers = ["member-a"]\n[closure]')),
        SIGN,
        4,
        "approver is not asked to approve",
    ),
    "no such key": (plain, (*SIGN[:3], "nobody", *SIGN[4:]), 2, "keys new nobody --role approve"),
    "key not pinned": (
        with_(lambda _made: seal.new_key("somebody")),
        (*SIGN[:3], "somebody", *SIGN[4:]),
        2,
        "may approve nothing",
    ),
    "key pinned to attest": (with_(_pin('"approve"', '"attest"')), SIGN, 2, "pinned to attest for live"),
    "key pinned twice": (with_(pinned_twice), SIGN, 4, "is pinned twice"),
    "key pinned twice, to withdraw": (with_(pinned_twice), WITHDRAW, 2, "trust.toml cannot be relied on"),
    "key past its validity": (with_(_pin('until = "2027', 'until = "2025')), SIGN, 2, "is not valid now"),
    "key of no validity, to withdraw": (
        signed_and(_pin('until = "2027', 'until = "2025')),
        WITHDRAW,
        2,
        "is not valid",
    ),
    "key to come, to withdraw": (
        signed_and(_pin('from = "2026-11', 'from = "2026-12')),
        WITHDRAW,
        2,
        "is not valid now",
    ),
    "owner is a path": (with_(_pin('owner = "approver"', 'owner = "../x"')), SIGN, 2, '"../x" cannot approve'),
    "nowhere to put it": (with_(nowhere), SIGN, 4, "cannot be written"),
    "nothing to withdraw": (plain, WITHDRAW, 4, "the approval approvals/"),
    "damaged approval": (_withdrawable, WITHDRAW, 4, "cannot be trusted"),
    "withdrawal with a code": (plain, (*WITHDRAW, "--code", "x"), 2, "--withdraw goes with --key and --reason"),
    "policy: more than there are": (
        with_(_config("[closure]", '[approval]\napprovers = ["a"]\nrequired = 2\n[closure]')),
        SIGN,
        2,
        "required is 2, and approvers names 1",
    ),
    "policy: somebody twice": (
        with_(_config("[closure]", '[approval]\napprovers = ["a", "A"]\n[closure]')),
        SIGN,
        2,
        "approvers names somebody twice",
    ),
    "policy: two of one": (
        with_(_config("[closure]", "[approval]\nsolo = true\nrequired = 2\n[closure]")),
        SIGN,
        2,
        "solo is for a team of one",
    ),
    "policy: no time": (with_(_config("[closure]", '[approval]\nlongest = "1y"\n[closure]')), SIGN, 2, "longest is"),
    "policy: too long": (with_(_config("[closure]", '[approval]\nlongest = "8d"\n[closure]')), SIGN, 2, "a week at"),
    "policy: no delay": (with_(_config("[closure]", '[approval]\ndelay = "0m"\n[closure]')), SIGN, 2, "delay is wrong"),
    "people: one name for two": (
        with_(_config("[closure]", '[[people]]\nname = "a"\nalso = ["X"]\n' * 2 + "[closure]")),
        SIGN,
        2,
        "is the name of two of them",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_wrong_input_is_a_card(team, what: str):
    """And nothing is signed."""
    make, arguments, expected, words = CASES[what]
    made = team("live")
    plan = make(made)
    before = {path: path.read_bytes() for path in sorted(made.folder.glob("approvals/*"))}
    known = {"PLAN": str(plan), "CODE": code_of(plan) if plan.is_file() and plan.stat().st_size else "0000-0000"}

    code, _, error = call(*(known.get(word, word) for word in arguments))

    assert expected == code, error
    _assert_is_card(error, words)
    assert before == {path: path.read_bytes() for path in sorted(made.folder.glob("approvals/*"))}


def test_envelope_says_what_was_approved(team):
    """In the open: an auditor reads it without this tool."""
    made = team("live")
    plan = Promotion(made).plan()
    approve(plan)
    (path,) = (made.folder / "approvals").iterdir()

    found = decision.read(path.read_bytes(), approving.Desk.here().keys())

    assert isinstance(found, decision.Read)
    told = {**asdict(found.said), "nonce": ""}
    digest = verify._sha256(plan.read_bytes())
    assert {
        "about": {
            "plan_digest": digest,
            "cloud": "live",
            "environment": "production",
            "runbook": "RB-030",
            "is_hotfix": False,
        },
        "decision": "approve",
        "approver": "approver",
        "reason": "read it",
        "code": code_of(plan),
        "issued_at": "2026-11-24T10:00:00Z",
        "expires_at": "2026-11-25T10:00:00Z",
        "nonce": "",
    } == told
    assert "in-toto" in json.loads(path.read_bytes())["payloadType"]
