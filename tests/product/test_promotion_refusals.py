"""RB-030 says no: each way of being refused, its card, and that nothing reached production.

Asked of the cloud's request log and of production's own statement log. An act that was refused may be tried again in
the same run, so one run stands before its approval for all approvals, and one before its apply for all moved grounds.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from promoting_world import Production
from securesystemslib.signer import CryptoSigner

from pantheon_runbook import clock
from pantheon_runbook.config import load_config
from pantheon_runbook.errors import (
    HeldError,
    NotApprovedError,
    RunbookError,
    StalePlanError,
)
from pantheon_runbook.evidence import decision, seal
from pantheon_runbook.evidence.decision import About, Said
from pantheon_runbook.evidence.seal import SealingKey

pytestmark = pytest.mark.xdist_group("promoting")
EXECUTOR = "release-manager"  # who applies; "supervisor" made the plan, "developer" wrote what it brings
UNTOUCHED = "nothing was changed."
APPROVE = r"pantheon-runbook approve \S+/plan\.json --key NAME --reason TEXT"
PLAN = r"pantheon-runbook run RB-030 -e production -p baseline=0008"
CARDS: dict[str, RunbookError] = {}


def shown(name: str, error: RunbookError) -> None:
    """Its card, for whoever reads the test's output, and for the comparison of all of them."""
    CARDS[name] = error
    print("\n".join(("", *error.lines())))


@dataclass
class Standing:
    """One run at a time that waits before its approval or before its apply; `path` is the plan that was read."""

    production: Production
    path: Path | None = None
    run: Any = None

    def before_approval(self) -> Any:
        if self.run is None or self.run.session.approval is not None:
            self._open()
        return self.run.session

    def before_apply(self) -> Any:
        if self.run is None:
            self._open()
        if self.run.session.approval is None:
            Desk(self).signs()
            self.run.session.perform("approve")
        return self.run.session

    def _open(self) -> None:
        self.close()
        if self.path is None:
            self.path = self.production.planned()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PANTHEON_OPERATOR", EXECUTOR)
            self.run = self.production.open("apply", plan_file=str(self.path))
        self.production.world.plan(self.run)

    def close(self) -> None:
        """Its verdict is what its last refusal says."""
        if self.run is not None:
            word = self.production.world.seal(self.run).word
            self.run = None
            assert word in {"refused", "held", "incomplete"}, word


def key_of(number: int) -> SealingKey:
    return SealingKey(CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)))


OWNERS = ("ana", "ben", "supervisor", EXECUTOR, "developer", "stranger", "ana-2")
KEYS = {name: key_of(number) for number, name in enumerate(OWNERS, 1)}


def ago(**span: float) -> str:
    return (clock.now() - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Desk:
    """What lies in approvals/ and what trust.toml pins, beside a run that waits."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.folder = standing.production.world.folder
        self.clear()

    def clear(self) -> None:
        shutil.rmtree(self.folder / "approvals", ignore_errors=True)
        self.pins: dict[str, dict[str, str]] = {}
        for name in OWNERS:
            if name != "stranger":
                self.pin(name, owner=name.removesuffix("-2"))

    @property
    def plan(self) -> bytes:
        assert self.standing.path is not None
        return self.standing.path.read_bytes()

    @property
    def about(self) -> About:
        return About.of(self.plan)

    @property
    def where(self) -> Path:
        return self.folder / "approvals" / f"{self.about.plan_digest[:12]}-ana.json"

    @property
    def said(self) -> Said:
        code, times = self.about.short_code, (ago(minutes=1), ago(hours=-2))
        return Said(self.about, "approve", "ana", "read and compared", code, *times, "1" * 32)

    def pin(self, name: str, *, again: str = "", **other: str) -> None:
        """`again` is the id of one more entry for the same key."""
        key = KEYS[name]
        entry = {"keyid": again or key.keyid, "public": key.public, "owner": name, "cloud": "sandbox"}
        self.pins[again or name] = {**entry, "role": "approve", "valid_from": "2020-01-01T00:00:00Z", **other}
        tables = ("[[keys]]\n" + "".join(f'{k} = "{v}"\n' for k, v in one.items()) for one in self.pins.values())
        (self.folder / seal.TRUST).write_text("\n".join(tables))

    def put(self, envelope: bytes, *, name: str = "ana") -> None:
        path = self.where.with_name(self.where.name.replace("-ana", f"-{name}"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(envelope)

    def signs(self, *, by: str = "ana", **other: Any) -> None:
        """An approval that is good but for `other`, by its own key or `by` another's."""
        said = replace(self.said, **other)
        self.put(decision.signed(said, KEYS[by]), name=said.approver)

    def edits(self, change: Callable[[dict[str, Any]], object]) -> None:
        """The envelope is another than was signed, spelled as we spell it."""
        self.signs()
        envelope = json.loads(self.where.read_text())
        change(envelope)
        self.where.write_text(json.dumps(envelope, indent=1, sort_keys=True) + "\n")

    def config(self, more: str) -> None:
        """What the team has committed meanwhile."""
        production, session = self.standing.production, self.standing.run.session
        production.configure(more=more)
        session.permission = replace(session.permission, config=load_config(self.folder / "pantheon.toml"))


@pytest.fixture(scope="module")
def _standing(_proven: Production) -> Iterator[Standing]:
    standing = Standing(_proven)
    yield standing
    with pytest.MonkeyPatch.context() as patch:
        _proven.world.enter(patch)
        standing.close()


@pytest.fixture
def standing(production: Production, _standing: Standing) -> Iterator[Standing]:
    yield _standing
    shutil.rmtree(production.world.folder / "approvals", ignore_errors=True)
    (production.world.folder / seal.TRUST).unlink(missing_ok=True)


@pytest.fixture
def free(standing: Standing) -> Production:
    """Production with no run that waits: another may write."""
    standing.close()
    return standing.production


# ---- approvals: one run before its approval, nothing of it has written


def payload(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(envelope: dict[str, Any]) -> None:
        text = base64.b64decode(envelope["payload"]).decode()
        assert old in text
        envelope["payload"] = base64.b64encode(text.replace(old, new).encode()).decode()

    return change


def of_plan(**other: Any) -> Callable[[Desk], None]:
    """Signed for something else, and put where this plan's approvals are."""
    return lambda desk: desk.signs(about=replace(desk.about, **other))


def expired(desk: Desk) -> None:
    desk.signs(issued_at=ago(hours=3), expires_at=ago(hours=1))


def at_the_very_instant(desk: Desk) -> None:
    desk.signs()
    session, ends = desk.standing.run.session, desk.said.expires_at
    desk.signs(expires_at=ends)
    session.permission = replace(session.permission, now=lambda: ends)


def same_key(desk: Desk) -> None:
    """Ana's key is pinned once more, under another id, as that of whoever made the plan."""
    desk.signs()
    desk.pin("ana", again="0" * 64, owner="supervisor", role="attest")


def same_person(desk: Desk) -> None:
    """Who made the plan has a key of another name."""
    desk.signs()
    desk.config('\n[[people]]\nname = "ana"\nalso = ["supervisor", "supervisor@example.org"]\n')


def two_keys(desk: Desk) -> None:
    """Two people are asked for, and ana signs with both of her keys."""
    desk.signs()
    desk.put(decision.signed(replace(desk.said, nonce="3" * 32), KEYS["ana-2"]), name="ana-2")
    desk.config("\n[approval]\nrequired = 2\n")


def author_by_another_name(desk: Desk) -> None:
    desk.signs()
    desk.config('\n[[people]]\nname = "ana"\nalso = ["developer"]\n')


def withdrawn(desk: Desk) -> None:
    desk.signs()
    taken = replace(desk.said, decision="withdraw", issued_at=ago(), expires_at="", reason="the index is missing")
    desk.put(decision.signed(taken, KEYS["ana-2"]), name="ana-withdrawn-11111111")


def ended(desk: Desk) -> None:
    desk.pin("ana", valid_until=ago(minutes=5))
    desk.signs(issued_at=ago(hours=1))


def began_later(desk: Desk) -> None:
    desk.pin("ana", valid_from=ago(minutes=5))
    desk.signs(issued_at=ago(hours=1))


REFUSED, STALE, HELD = NotApprovedError, StalePlanError, HeldError
# what: (what lies there, the error, words of what, words of why)
APPROVALS: dict[str, tuple[Callable[[Desk], object], type[RunbookError], str, str]] = {
    "nobody signed": (Desk.clear, HELD, "nobody has approved this plan", "no signed decision on it in app"),
    "expired": (expired, REFUSED, "the approval by ana has expired", r"valid until just before \S+Z, and it is \S+Z"),
    "at the very instant": (at_the_very_instant, REFUSED, "by ana has expired", r"just before (\S+Z), and it is \1 "),
    "for too long": (
        lambda desk: desk.signs(expires_at=ago(hours=-30)), REFUSED, "for too long", r"\[approval\] allows 1 day"),
    "other plan": (of_plan(plan_digest="0" * 64), STALE, "for another plan", "plan 0000-0000, and this is "),
    "other environment": (
        of_plan(environment="staging"), STALE, "for another environment", 'for "staging", and this plan is for "produ'),
    "other cloud": (of_plan(cloud="live"), STALE, "for another cloud", '"live", and this plan is for "sandbox"'),
    "other runbook": (of_plan(runbook="RB-040"), STALE, "for another runbook", "RB-040, and this plan is of RB-030"),
    "other type": (
        lambda desk: desk.put(KEYS["ana"].sign(desk.said.statement.to_bytes(), "application/x") + b"\n"),
        REFUSED, "ana.json cannot be trusted", "holds a 'application/x'"),
    "hotfix": (of_plan(is_hotfix=True), STALE, "of another kind", "given for a hotfix, and this plan is no hotfix"),
    "requester": (
        lambda desk: desk.signs(by="supervisor", approver="supervisor"),
        REFUSED, "supervisor cannot approve", "they are its requester, and approving is another person's"),
    "executor": (
        lambda desk: desk.signs(by=EXECUTOR, approver=EXECUTOR),
        REFUSED, f"{EXECUTOR} cannot approve", "they are its executor"),
    "author": (
        lambda desk: desk.signs(by="developer", approver="developer"),
        REFUSED, "developer cannot approve", "they are an author of a commit in the release"),
    "author by another name": (author_by_another_name, REFUSED, "ana cannot approve", 'author of .* ."developer".,'),
    "same key": (same_key, REFUSED, "ana cannot approve this plan", "its requester"),
    "same person, another key": (same_person, REFUSED, "ana cannot approve this plan", "its requester.* supervisor"),
    "same person, two keys": (two_keys, HELD, "waits for 1 more approval", "asks for 2 people, and ana approved"),
    "unknown key": (
        lambda desk: desk.put(decision.signed(desk.said, KEYS["stranger"])),
        REFUSED, "cannot be trusted", f"no pinned key signed it .it names {KEYS['stranger'].keyid[:12]}"),
    "key has ended": (ended, REFUSED, "the key of ana is outside its validity", r"until \S+Z, not on \S+Z"),
    "key began later": (began_later, REFUSED, "the key of ana is outside its validity", r"from \S+Z until ever, not"),
    "key for another job": (
        lambda desk: (desk.pin("ana", role="attest"), desk.signs()),
        REFUSED, "the key of ana may not approve", "pinned to attest for sandbox, not to approve"),
    "stripped": (
        lambda desk: desk.edits(lambda one: one.update(signatures=[])), REFUSED, "cannot be trusted", "ure is gone"),
    "signed again by another": (
        lambda desk: desk.put(decision.signed(desk.said, KEYS["ben"])),
        REFUSED, "ana has not signed the approval themselves", "its key is pinned as ben's"),
    "names another key": (
        lambda desk: desk.edits(lambda one: one["signatures"][0].update(keyid=KEYS["ben"].keyid)),
        REFUSED, "cannot be trusted", "names another key than the one that signed it"),
    "changed after signing": (
        lambda desk: desk.edits(payload("read and compared", "read, not compared")),
        REFUSED, "cannot be trusted", "the pinned key that it names did not sign it as it stands"),
    "written in another way": (
        lambda desk: desk.put(decision.signed(desk.said, KEYS["ana"]) + b" "), REFUSED, "cannot be t", "byte for byte"),
    "wrong short code": (
        lambda desk: desk.signs(code="0000-0000"),
        REFUSED, "short code of another plan was typed", '"0000-0000" was typed, and the plan is [0-9a-f]{4}-'),
    "withdrawn": (withdrawn, REFUSED, "ana has withdrawn the approval", r"on \S+Z: the index is missing"),
}  # fmt: skip


@pytest.mark.alike
@pytest.mark.parametrize("name", APPROVALS)
def test_approval_that_does_not_count(name: str, standing: Standing) -> None:
    put, kind, what, why = APPROVALS[name]
    session = standing.before_approval()
    permission, mark = session.permission, standing.production.touched()
    put(Desk(standing))

    try:
        with pytest.raises(RunbookError) as stopped:
            session.perform("approve")
    finally:
        session.permission = permission

    shown(name, stopped.value)
    assert (kind, UNTOUCHED) == (type(stopped.value), stopped.value.state)
    assert re.search(what, stopped.value.what), stopped.value.what
    assert re.search(why, stopped.value.why), stopped.value.why
    assert re.search(APPROVE, stopped.value.next_step), stopped.value.next_step
    assert mark == standing.production.touched()
