"""`demo`: the whole story on a private, fresh sandbox, told phase by phase with its seconds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon_runbook import approving, attesting, clock, equipping, running
from pantheon_runbook.config import CONFIG_VARIABLE
from pantheon_runbook.credentials import FILE_VARIABLE
from pantheon_runbook.errors import EvidenceError, RunbookError, UsageError
from pantheon_runbook.evidence import seal, verify
from pantheon_runbook.runner.surroundings import PIN_VARIABLE, SANDBOX_VARIABLE
from pantheon_runbook.sandbox import SandboxError, control, customer
from pantheon_runbook.sandbox.default import FOLDER, LEFT_BY_THE_DEMO
from pantheon_runbook.sandbox.seed import PRODUCTION_REVISION

Say = Callable[[str], None]
_SIGNERS = {"strategy": "demo-approver", "team": "demo-member", "provisioning": "demo-supervisor"}
_SECOND_PERSON = "demo-second-person"
_CLOSURE = f"""
[closure]
strategy = "F25.md"
approver = "{_SIGNERS["strategy"]}"
supervisor = "{_SIGNERS["provisioning"]}"
members = ["{_SIGNERS["team"]}"]
env_files = [".env"]
guard_paths = [".env"]
"""
_STRATEGY = "# F25, as the demo tells it\n\nIsolated staging by default, production write-protected.\n"


class _Story:
    """Says each phase and how long it took."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.began = clock.monotonic()

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        started = clock.monotonic()
        self.say(f"\n== {title}")
        yield
        self.say(f"   {clock.monotonic() - started:.1f} s")


def tell(out: Path, *, say: Say, progress: Say) -> int:
    """0 when everything came out as told; the evidence is in `out`, the world it left in .pantheon/demo."""
    story = _Story(say)
    say("A production exists and no staging: it is made, migrated and promoted, on an embedded cloud of real servers.")
    with tempfile.TemporaryDirectory(prefix="pr-demo-") as folder:
        with story.phase("Start a private cloud: PostgreSQL, Redis, the vendors' control planes, a production"):
            sandbox = _started(Path(folder) / "sandbox")
        try:
            with _pointed_at(sandbox, out.absolute()):
                _runs(story, sandbox, progress)
            _checked(story, out)
            with story.phase("Keep this world, for `pantheon-runbook sandbox start` to go on with"):
                sandbox.save(str(LEFT_BY_THE_DEMO.absolute()))
        finally:
            sandbox.discard()
    _ending(story, out)
    return 0


def _started(folder: Path) -> control.Running:
    try:
        return control.start(folder)
    except SandboxError as error:
        raise UsageError("the sandbox did not start", why=str(error), next_step="pantheon-runbook doctor") from error


def _runs(story: _Story, sandbox: control.Running, progress: Say) -> None:
    with story.phase("RB-010, plan run: looks, and shows what it would change"):
        _run(story, sandbox, progress, mode="plan", expected="planned")
    with story.phase("RB-010 --apply: makes the staging environment and verifies it"):
        _run(story, sandbox, progress, mode="apply", expected="done")
    with story.phase("RB-010 --apply again: finds nothing left to do"):
        _run(story, sandbox, progress, mode="apply", expected="nothing-to-do")
    with story.phase("RB-020 --apply: rehearses the migrations on copies, applies them, deploys, and proves staging"):
        _run(story, sandbox, progress, runbook="RB-020", mode="apply", expected="done")
    with story.phase("RB-020 --apply again: finds nothing left to do"):
        _run(story, sandbox, progress, runbook="RB-020", mode="apply", expected="nothing-to-do")
    with story.phase("RB-060: staging held beside production, reads only"):
        _run(story, sandbox, progress, runbook="RB-060", mode="plan", expected="done")
    _promotes(story, sandbox, progress)
    with story.phase("Three people of the story sign what closing F25 needs"):
        _sign(story, progress)
    with story.phase("RB-050: the exit criteria of F25, and a rehearsal certificate, which closes nothing"):
        _run(story, sandbox, progress, runbook="RB-050", mode="plan", expected="done")


def _promotes(story: _Story, sandbox: control.Running, progress: Say) -> None:
    """As a release manager would, and another person who lets it through."""
    with story.phase("RB-030, plan run: what a promotion would do to production; the other person reads this"):
        planned = _run(story, sandbox, progress, runbook="RB-030", mode="plan", expected="planned")
    with story.phase("Another person reads its report, types the short code that stands there, and signs"):
        _approve(story, planned / "plan.json")
    with story.phase("RB-030 --apply: expand, deploy, promote the page, check, contract; verified by reads only"):
        plan_file = str(planned / "plan.json")
        _run(story, sandbox, progress, runbook="RB-030", mode="apply", expected="done", plan_file=plan_file)


def _approve(story: _Story, plan: Path) -> None:
    """With a key that the sandbox pins at first use."""
    if _SECOND_PERSON not in seal.own_keys():
        seal.new_key(_SECOND_PERSON)
    sheet = approving.opened(plan)
    code = sheet.about.short_code
    decided = approving.approve(sheet, key=_SECOND_PERSON, reason="read as the demo tells it", expires="", code=code)
    for line in decided.lines():
        story.say(f"   {line}")


def _sign(story: _Story, progress: Say) -> None:
    """As the people whom `_CLOSURE` names would, with keys that the sandbox pins at first use."""
    config = Path(os.environ[CONFIG_VARIABLE])
    equipping.write(config.with_name(".env"), "staging", "backend", force=True, progress=progress)
    for criterion, name in _SIGNERS.items():
        if name not in seal.own_keys():
            seal.new_key(name)
        story.say(f"   {next(attesting.attest(criterion, 'staging', key=name, signer=name, statement='').lines())}")


def _run(
    story: _Story,
    sandbox: control.Running,
    progress: Say,
    *,
    mode: str,
    expected: str,
    runbook: str = "RB-010",
    plan_file: str = "",
) -> Path:
    """The sealed bundle. Errors: RunbookError when it came to something else."""
    before = len(sandbox.mutating())
    asked = {"environment": "", "mode": mode, "plan_file": plan_file}
    outcome = running.run(runbook, asked, (), progress=progress)
    calls = len(sandbox.mutating()) - before
    story.say(f"   {outcome.verdict.word}: {outcome.verdict.why}; {calls} mutating calls by the cloud's own log")
    story.say(f"   {outcome.folder / 'runbook.ipynb'}")
    if outcome.verdict.word != expected:
        raise RunbookError(
            f"the demo expected {expected} and got {outcome.verdict.word}",
            why=outcome.verdict.why,
            state="the demo's sandbox is gone; nothing else was touched",
            next_step=f"read {outcome.folder / 'report.md'}",
        )
    return outcome.folder


def _checked(story: _Story, out: Path) -> None:
    with story.phase("Check the evidence, offline"):
        report = verify.verify(out)
        for line in verify.lines_of(report):
            story.say(f"   {line}")
    if not report.is_intact:
        raise EvidenceError(
            f"{len(report.findings)} findings in {out}",
            why=f"{report.findings[0].file}: {report.findings[0].problem}",
            next_step=f"pantheon-runbook evidence verify {out}",
        )


def _ending(story: _Story, out: Path) -> None:
    latest = sorted(path for path in out.glob("*-RB-010-*") if path.is_dir())[-2]
    promoted = max(path for path in out.glob("*-RB-030-*") if path.is_dir())
    migrated = min(path for path in out.glob("*-RB-020-*") if path.is_dir())
    closed = max(path for path in out.glob("*-RB-050-*") if path.is_dir())
    story.say(f"\nDone in {clock.monotonic() - story.began:.0f} s. Where to look:")
    story.say(f"  the run that made staging   {latest / 'report.html'}")
    story.say(f"  its executed notebook       {latest / 'runbook.ipynb'}")
    story.say(f"  the run that migrated it    {migrated / 'report.html'}")
    story.say(f"  the run that promoted it    {promoted / 'report.html'}")
    story.say(f"  the rehearsal certificate   {closed / 'certificate.md'}")
    story.say(f"  check the evidence          .venv/bin/pantheon-runbook evidence verify {out}")
    story.say(f"  go on in the same world     {_going_on()}")


def _going_on() -> str:
    """A sandbox of this folder that has a world of its own keeps it until it is told to load another."""
    start = ".venv/bin/pantheon-runbook sandbox start"
    if not (FOLDER / "world.json").exists():
        return start
    return f"{start} && .venv/bin/pantheon-runbook sandbox load {LEFT_BY_THE_DEMO.absolute()}"


@contextmanager
def _pointed_at(sandbox: control.Running, out: Path) -> Iterator[None]:
    """Our own process works on the private sandbox, whatever the caller's config, credentials and pins are."""
    customer.give_read_roles(sandbox)
    customer.make_promotable(sandbox)
    customer.hold_ledger(sandbox, at=PRODUCTION_REVISION)
    text = (customer.files(sandbox) / "pantheon.toml").read_text(encoding="utf-8")
    config = customer.files(sandbox) / "demo.toml"
    config.write_text(f'{text}\n[evidence]\npath = "{out}"\n{_CLOSURE}', encoding="utf-8")
    config.with_name("F25.md").write_text(_STRATEGY, encoding="utf-8")
    ours = {SANDBOX_VARIABLE: str(sandbox.folder), CONFIG_VARIABLE: str(config)}
    former = {name: os.environ.pop(name, None) for name in (*ours, FILE_VARIABLE, PIN_VARIABLE)}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in former.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
