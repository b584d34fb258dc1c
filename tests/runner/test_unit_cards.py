"""What people see of a promotion: the steps, who let it through, where production stands, and what to type next."""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from pantheon_runbook import unit_summary
from pantheon_runbook.errors import StoppedError
from pantheon_runbook.evidence.report import report_html
from pantheon_runbook.model import (
    Approval,
    Change,
    Exposure,
    Finding,
    Plan,
    Resource,
    Snapshot,
    StepResult,
    canonical,
)
from pantheon_runbook.planning import plan_difference
from pantheon_runbook.promoting import AppliedUnit, LetThrough, PromotingSession
from pantheon_runbook.promotion.steps import steps_of
from pantheon_runbook.promotion.unit_picture import unit_picture
from pantheon_runbook.rolling_back import RollingBackSession
from pantheon_runbook.runner.cards import draw
from pantheon_runbook.session import Opening, Session

BEGIN, END, SMOKE = "database/unit/begin", "database/unit/end", "production/smoke"
EXPAND, CONTRACT = "database/revision/0009", "database/revision/0011"
API, WORKER = "production/deployment/api", "production/deployment/worker"
BUILD, PROMOTION = "vercel/deployment/production", "vercel/promotion"
OLD, NEW = "a" * 40, "b" * 40
RUN = "12345678abcd"


def change(address, action, *needs, before=None, after=None, risk="none: new", undo="none needed: it stays"):
    return Change(address, action, before or {}, after or {}, needs, risk, undo)


MOVED = {"before": {"commit": OLD}, "after": {"commit": NEW}}
CHANGES = (
    change(BEGIN, "begin"),
    change(EXPAND, "apply", BEGIN, after={"title": "Expand."}, risk="locks public.messages", undo="alembic downgrade"),
    change(BUILD, "create", BEGIN, after={"commit": NEW}),
    change(API, "update", EXPAND, BEGIN, **MOVED, undo="RB-040 goes back to deployment 1"),
    change(WORKER, "update", EXPAND, BEGIN, **MOVED),
    change(PROMOTION, "promote", BUILD, API, WORKER, BEGIN, **MOVED),
    change(SMOKE, "check", PROMOTION, EXPAND, API),
    change(CONTRACT, "apply", EXPAND, SMOKE, BEGIN),
    change(END, "end", SMOKE, EXPAND, CONTRACT),
)
RELEASE = {
    "staging": {"bundle": "20261124T100000Z-RB-020-staging-1", "manifest": "c" * 64},
    "artefacts": {API: "same commit, rebuilt", WORKER: "same image digest"},
    "authors": [{"name": "dev", "source": "git"}],
    "backup": "weak",
    "longest_lock": "messages, against reads and writes",
}
ADVICE = Finding("schema-drift", "database/schema", "it is not what it should be", "look", blocks=False)
BLOCKING = Finding("no-backup", "production/backups", "production has no backup", "switch it on")
PLAN = Plan(
    cloud="sandbox",
    environment="production",
    runbook="RB-030",
    runbook_digest="d" * 64,
    identities={},
    production={},
    snapshot_digest="e" * 64,
    parameters={"staging": "staging"},
    changes=CHANGES,
    left_alone=(("database/marker", "adopted"),),
    findings=(ADVICE,),
    manual_steps=(),
    calls={},
    release=RELEASE,
)
STEPS = steps_of(json.loads(PLAN.to_bytes()))


def both(value):
    """Text and page of a card, the page as a reader sees it."""
    card = draw(value)
    return card.text(), html.unescape(re.sub(r"<[^>]+>", " ", card.html()))


# ---- the plan


def test_steps_are_named_by_what_they_do():
    """A revision that waits for the smoke checks is the one that takes something away."""
    assert [
        "begin the unit of work",
        "expand revision 0009",
        "build the page",
        "deploy api",
        "deploy worker",
        "promote the page",
        "check production",
        "contract revision 0011",
        "end the unit of work",
    ] == [one.name for one in STEPS]
    assert f"{OLD[:12]} -> {NEW[:12]}" == STEPS[3].change


def test_step_waits_for_what_is_not_waited_for_already():
    assert [(), (1,), (1,), (2,), (2,), (3, 4, 5), (6,), (7,), (8,)] == [one.waits for one in STEPS]


def test_plan_card_tells_what_is_signed():
    text, page = both(PLAN)

    told = (
        PLAN.short_code,
        "after 3, 4, 5",
        "risk: locks public.messages",
        "back: RB-040 goes back to deployment 1",
        "rests on staging's run 20261124T100000Z-RB-020-staging-1",
        "same commit, rebuilt",
        "same image digest",
        "backup: weak",
        "longest lock, as rehearsed: messages, against reads and writes",
        "authors, none of whom may approve it: dev (git)",
        PLAN.digest,
        "pantheon-runbook approve PLAN --key NAME --reason TEXT; then pantheon-runbook run RB-030 --apply",
    )
    assert [] == [one for one in told if one not in text]
    assert [] == [one for one in told if one not in " ".join(page.split())]


def test_what_blocks_stands_before_everything_else():
    text, _ = both(replace(PLAN, findings=(ADVICE, BLOCKING)))
    lines = text.splitlines()

    assert lines[1].startswith("BLOCKS production has no backup (production/backups): switch it on")
    assert lines.index(next(line for line in lines if line.startswith("! it is not"))) > len(STEPS)
    assert "Next: clear what BLOCKS, then plan again" == lines[-1]


def test_way_back_that_is_covered_needs_nobody_else():
    text, _ = both(replace(PLAN, runbook="RB-040", parameters={"unit": "x"}, release={"covered": True}))

    assert text.endswith("Next: pantheon-runbook run RB-040 -p unit=x --apply")
    assert "approve PLAN" not in text


def test_hostile_words_stay_words():
    """A revision's title and a vendor's answer are text, in the red lines and under a step too."""
    hostile = "<script>alert(1)</script>"
    titled = replace(CHANGES[1], after={"title": hostile})
    plan = replace(PLAN, changes=(CHANGES[0], titled), findings=(replace(BLOCKING, what=hostile),))

    shown = draw(plan).html()

    assert "<script" not in shown
    assert 2 == shown.count(html.escape(hostile))


# ---- who let it through

PERSON = {"source": "key 1", "keyid": "1", "nonce": "2", "reason": "read it"}
DECISIONS = {
    "plan_digest": "4be1c09d" + "0" * 56,
    "requester": {"name": "req", "source": "login"},
    "executor": {"name": "exe", "source": "login"},
    "authors": [{"name": "dev", "source": "git", "also": []}],
    "approvers": [{"name": "ana", **PERSON, "issued_at": "2026-11-24T10:00:00Z", "expires_at": "2026-11-24T22:00:00Z"}],
    "unknown": [],
    "not_counted": ["ben: his key is not pinned"],
    "continues": "",
}


def let(kind):
    return LetThrough(Approval(DECISIONS["plan_digest"], "ana", "key 1", kind, "2026-11-24T10:01:00Z"), DECISIONS)


def test_approval_says_by_whom_and_until_when():
    for shown in both(let("approved")):
        assert "APPROVED" in shown
        assert [] == [
            one
            for one in ("plan 4be1-c09d", "ana", "key 1", "2026-11-24T22:00:00Z UTC", "ben: his key is not pinned")
            if one not in shown
        ]


def test_duties_that_are_not_separated_are_never_called_approved():
    card = draw(let("separation of duties: not met"))

    assert "approved" not in card.text().lower()
    assert "approved" not in card.html().lower()
    assert '<p class="not-met" style="color: #b3261e"><strong>separation of duties: not met' in card.html()
    assert "separation of duties: not met" in card.text().splitlines()[1]


# ---- what it came to

DONE = tuple(StepResult(one.address, "done", "", 1.5) for one in CHANGES)
HALF = (
    *DONE[:3],
    StepResult(API, "not-ready", "it crashed"),
    StepResult(WORKER, "unknown", "no answer"),
    *(StepResult(one.address, "not-done", "waits") for one in CHANGES[5:]),
)


def test_card_of_a_unit_tells_no_seconds():
    text, page = both(AppliedUnit(PLAN, DONE))

    assert "9 of 9 steps done" in text
    assert "8 contract revision 0011  done" in text
    assert "1.5" not in text
    assert "1.5" not in page


def test_picture_tells_each_step_and_what_became_of_it():
    outcomes = {one.address: "done" for one in CHANGES[:3]} | {API: "not done, 2.5 s"}
    drawn = unit_picture(STEPS, outcomes)

    assert [] == [one.name for one in STEPS if f"{one.number} {one.name}" not in drawn]
    assert (3, 1, 5) == (drawn.count(">done<"), drawn.count(">not done, 2.5 s<"), drawn.count(">not reached<"))
    assert unit_picture(STEPS, outcomes) == drawn


def session():
    """As far as it tells where a unit stands."""
    made = object.__new__(PromotingSession)
    made.opening = Opening("RB-030", "", "sandbox", "production", "apply", RUN, "", "", "")
    made.parameters = {"staging": "staging", "resume": "", "again": "0010", "mode": "apply"}
    made.plan, made.results = PLAN, HALF
    made.definition, made._under = SimpleNamespace(unit=None), None
    return made


def test_failed_unit_says_where_production_stands_and_what_to_type(monkeypatch):
    def stop(_self, _act):
        raise StoppedError(
            "api crashed", why="so", state="3 of 9 changes are done", next_step="see why, then plan again"
        )

    monkeypatch.setattr(Session, "_act", stop)
    with pytest.raises(StoppedError) as stopped:
        session()._act("apply")
    error = stopped.value

    assert (
        "State:   production: done: begin the unit of work, expand revision 0009, build the page; "
        "made but not ready: deploy api; not done: promote the page, check production, contract revision 0011, "
        "end the unit of work; unknown: deploy worker."
    ) == error.lines()[2]
    assert (
        "Next:    see why; to go on: pantheon-runbook run RB-030 -p again=0010 --apply --resume 12345678; "
        "to go back: pantheon-runbook run RB-040 -p unit=12345678"
    ) == error.lines()[3]


@pytest.mark.parametrize(
    ("resumes", "expected"), [(None, {}), (SimpleNamespace(plan=PLAN.to_bytes()), {"made_before": 6})]
)
def test_unit_that_goes_on_counts_what_stands(monkeypatch, resumes, expected):
    made, left = session(), replace(PLAN, changes=CHANGES[6:])
    made.resumes = resumes
    monkeypatch.setattr(Session, "_plan", lambda _self: (left, {"changes": 3}))

    assert (left, {"changes": 3, **expected}) == made._plan()


def test_unit_that_was_not_begun_says_what_its_error_says():
    made, error = session(), StoppedError("stopped", why="so", state="nothing was changed", next_step="plan again")
    made.results = tuple(StepResult(one.address, "not-done", "waits") for one in CHANGES)

    told = made._told("apply", error)

    assert ("nothing was changed.", "plan again.") == (told.state, told.next_step)


def test_run_beside_an_open_unit_does_not_say_that_all_is_well():
    """Somebody was killed in it: what this one did is not what matters."""
    made, error = session(), StoppedError("blocked", why="so", state="nothing was changed", next_step="go on")
    made.results, unit = (), {"is_open": True, "run_id": "87654321abcd", "at": "2026-11-24T10:00:00Z"}
    made.definition = SimpleNamespace(unit=SimpleNamespace(**unit))

    told = made._told("approve", error)

    began = "the unit of work that run 87654321 began at 2026-11-24T10:00:00Z has not ended"
    assert f"nothing was changed by this run; {began}: production may stand between two releases." == told.state


RULES = {"approval": {"expires": "8h", "needs": 1}}


@pytest.mark.parametrize(
    ("before", "now", "what"),
    [
        ({}, {"note": "none"}, 'note is "none", was null'),
        ({"note": "none"}, {}, 'note is null, was "none"'),
        ({"rules": RULES}, {"rules": {"approval": {"expires": "8h", "needs": 2}}}, "rules.approval.needs is 2, was 1"),
        (
            {"rules": RULES},
            {"rules": {"approval": "x" * 50}},
            f'rules.approval is "{"x" * 39}..., was {{"expires": "8h", "needs": 1}}',
        ),
    ],
)
def test_stale_plan_says_what_of_the_release_is_another(before, now, what):
    """By its value, where it is short enough: who has changed a rule has to be asked about that rule."""
    was, is_now = (replace(PLAN, release={**RELEASE, **one}) for one in (before, now))

    assert f"the same changes, but the release's {what}" == plan_difference(was.to_bytes(), is_now)


@pytest.mark.parametrize("is_covered", [True, False])
def test_way_back_that_was_broken_off_needs_a_signature_only_where_it_is_not_covered(is_covered):
    """Its plan is stale, for something is back already."""
    made = object.__new__(RollingBackSession)
    made.opening = Opening("RB-040", "", "sandbox", "production", "apply", RUN, "", "", "")
    made.parameters, made.snapshot = {"only": ""}, Snapshot("sandbox", "production", {}, {}, (), (), "")
    made.definition = SimpleNamespace(is_covered=lambda _snapshot: is_covered)

    assert made._plan_anew.startswith("pantheon-runbook run RB-040 -e production")
    assert ("have the new plan approved" in made._plan_anew) != is_covered


# ---- production beside staging


def seen(address, attributes, state="present", note=""):
    return Resource(address, state, attributes, note)


SNAPSHOT = Snapshot(
    cloud="sandbox",
    environment="production",
    identities={},
    production={},
    resources=(
        seen("production/project", {"ref": "abc", "status": "ACTIVE_HEALTHY"}),
        seen("production/backups", {"point_in_time": False, "of_the_last_day": False}, "absent"),
        seen(API, {"commit": OLD, "created_at": "2026-11-24T10:00:00.000Z"}),
        seen("staging/railway/deployment/api", {"commit": NEW, "created_at": "2026-11-25T10:00:00Z"}),
        seen(WORKER, {"commit": NEW}),
        seen("staging/railway/deployment/worker", {"commit": NEW}),
        seen(PROMOTION, {"commit": OLD, "created_at": "2026-11-24T10:00:00.000Z"}),
        seen(BEGIN, {"plan": "1"}, note="begun by run 1 of ana"),
        seen("exposure/a/b", asdict(Exposure("a/b", "a push", "open", "every push", "close it"))),
    ),
    findings=(BLOCKING, Finding("open-exposure", "exposure/a/b", "a way in is open", "close it")),
    observed_at="2026-11-26T10:00:00Z",
)


def test_observed_production_stands_beside_staging():
    text, page = both(SNAPSHOT)
    lines = [" ".join(line.split()) for line in text.splitlines()]

    assert [] == [
        one
        for one in (
            "OBSERVED production differs from staging: api",
            f"~ api {OLD[:12]} since 2026-11-24T10:00:00Z {NEW[:12]} since 2026-11-25T10:00:00Z",
            f"= worker {NEW[:12]} {NEW[:12]}",
            f"= page {OLD[:12]} since 2026-11-24T10:00:00Z",
            "! unit of work open begun by run 1 of ana",
            "! backup the vendor has none",
            "o a/b way in, open every push -> BLOCKS: close it",
            "BLOCKS production has no backup (production/backups)",
        )
        if one not in lines
    ]
    assert "begun by run 1 of ana" in page


# ---- the terminal and the report

EVENTS = [
    {
        "event": "run-opened", "run": RUN, "runbook": "RB-030", "environment": "production", "mode": "apply",
        "cloud": "sandbox", "at": "2026-11-24T10:00:00Z", "operator": "exe", "operator_source": "login",
        "parameters": {"plan_file": "plan.json", "staging": "staging", "resume": ""},
    },
    *({"event": "change-begins", "address": one.address, "action": "x"} for one in HALF[:5]),
    *(
        {
            "event": "change-ends", "at": "2026-11-24T10:00:00Z", "address": one.address, "outcome": one.outcome,
            "reason": "", "seconds": 2.5,
        }
        for one in HALF[:5]
    ),
]  # fmt: skip
AGAIN = "pantheon-runbook run RB-030"


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "20261124T100000Z-RB-030-production-12345678"
    folder.mkdir()
    (folder / "plan.json").write_bytes(PLAN.to_bytes())
    (folder / "manifest.json").write_bytes(canonical({"sealed_at": "2026-11-24T10:00:00Z"}))
    return folder


def test_plan_run_ends_with_two_commands_in_order(bundle):
    lines = [*unit_summary.planned(bundle), *unit_summary.to_type_after_plan(bundle, AGAIN, lambda path: path)]

    assert [] == [line for line in lines if PLAN.short_code in line], "who signs reads it in the report"
    assert f"approve   pantheon-runbook approve {bundle / 'plan.json'} --key NAME --reason TEXT" == lines[-2]
    assert f"then      {AGAIN} --apply --plan {bundle / 'plan.json'}" == lines[-1]


def test_failed_unit_ends_with_the_way_on_and_the_way_back(bundle):
    lines = [
        *unit_summary.stopped(EVENTS, bundle),
        *unit_summary.to_type_after_stop(EVENTS, bundle, AGAIN, word="partial", told=""),
    ]

    assert "  +  2 expand revision 0009         done" in lines
    assert "  ~  4 deploy api                   made but not ready" in lines
    assert "  ?  5 deploy worker                unknown" in lines
    assert "  -  9 end the unit of work         not done" in lines
    assert [
        f"go on     {AGAIN} --apply --resume 12345678",
        f"go back   pantheon-runbook run RB-040 -p unit={bundle.name}",
    ] == lines[-2:]


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("see why; to go on: a --resume 1; to go back: b", "see why."),
        ("to go on: a --resume 1; to go back: b", ""),
        ("ask ana about it; to go back: b", "ask ana about it."),
        (
            "look at the page, and when it answers again: pantheon-runbook run",
            "look at the page, and when it answers again.",
        ),
    ],
)
def test_commands_are_told_once(told, left):
    """On lines of their own, as they are typed."""
    assert left == unit_summary.without_commands(told)


def test_run_that_waits_ends_with_what_it_waits_for(bundle):
    lines = [*unit_summary.stopped(EVENTS[:1], bundle)]
    lines += unit_summary.to_type_after_stop(EVENTS[:1], bundle, AGAIN, word="held", told="")

    assert [
        "approve   pantheon-runbook approve plan.json --key NAME --reason TEXT",
        f"then      {AGAIN} --apply --plan plan.json",
    ] == lines


FAILED = {"event": "act-failed", "act": "apply", "at": "2026-11-24T10:00:09Z"}
BACK = "go back   pantheon-runbook run RB-040 -p unit="


@pytest.mark.parametrize(
    ("word", "told", "expected"),
    [
        ("partial", f"see why; to go on: {AGAIN} --apply --resume 12345678", [f"go on     {AGAIN} --apply --resume"]),
        ("partial", "ask ana about it; to go back: pantheon-runbook run RB-040", []),
        ("not-verified", f"put right what it names: {AGAIN} --apply", [f"look      {AGAIN} --apply"]),
    ],
)
def test_unit_that_nobody_lets_go_on_is_not_offered_to(bundle, word, told, expected):
    """A withdrawal stands, whoever resumes it; what has ended is looked at anew."""
    lines = [*unit_summary.to_type_after_stop([*EVENTS, FAILED], bundle, AGAIN, word=word, told=told)]

    assert [f"{BACK}{bundle.name}"] == lines[len(expected) :]
    assert [] == [one for one, line in zip(expected, lines, strict=False) if not line.startswith(one)]


def test_resume_that_was_refused_is_not_offered_again(bundle):
    """It has changed nothing; what to do its card says."""
    opened = {**EVENTS[0], "parameters": {"resume": "87654321"}}

    assert [] == [*unit_summary.to_type_after_stop([opened, FAILED], bundle, AGAIN, word="refused", told="look")]


def test_run_without_a_plan_has_no_steps_to_tell_of(bundle):
    (bundle / "plan.json").unlink()

    assert [] == [*unit_summary.stopped(EVENTS, bundle)]


def test_plan_of_a_unit_that_goes_on_needs_no_other_signature(bundle):
    plan = replace(PLAN, parameters={"resume": "87654321"})
    (bundle / "plan.json").write_bytes(plan.to_bytes())
    again = f"{AGAIN} -p resume=87654321"

    assert [f"then      {again} --apply"] == [*unit_summary.to_type_after_plan(bundle, again, lambda path: path)]
    assert both(plan)[0].endswith(f"Next: {again} --apply")


def test_way_back_says_what_it_takes_back_and_what_is_lost(bundle):
    """In the terminal, where it is read at night."""
    lost, told = "what it dropped does not come back", {"run": "b1", "came_to": "partial", "for": "api.", "reason": ""}
    changes = tuple(
        change(f"database/undo/{one}", "downgrade", before={"stands": True}, after={"stands": False}, risk=lost)
        for one in ("0011", "0010")
    )
    stays = Finding("revision-stays", "database/undo/0009", "revision 0009 stays", "forward", blocks=False)
    plan = replace(PLAN, runbook="RB-040", changes=changes, findings=(stays,), release={"takes_back": told})
    (bundle / "plan.json").write_bytes(plan.to_bytes())
    lines = [*unit_summary.planned(bundle)]

    assert "of run    b1 (partial)" == lines[0]
    assert [f"risk      undo revision 0011, undo revision 0010: {lost}", "!         revision 0009 stays"] == lines[-2:]
    assert "takes back b1 (partial: api)" in both(plan)[0]
    assert "reason: not said (-p reason=...)" in both(plan)[0]


def test_terminal_tells_of_the_runs_before_this_one():
    """A run that went on has done the least of it, and says so."""
    planned = {"event": "act-ends", "act": "plan", "made_before": 6}

    assert [] == [*unit_summary.before(EVENTS)]
    told = "earlier runs of this unit made 6 of its changes, none of which is made again"
    assert [f"before    {told}"] == [*unit_summary.before([*EVENTS, planned])]


def test_what_production_has_now_is_one_line(bundle):
    """Of what is done, and nothing else."""
    assert ["now       revision 0009 applied"] == [*unit_summary.brought(EVENTS, bundle)]
    assert [] == [*unit_summary.brought(EVENTS[:1], bundle)]


def test_blocked_plan_says_by_what(bundle):
    (bundle / "plan.json").write_bytes(replace(PLAN, findings=(BLOCKING,)).to_bytes())

    assert "BLOCKS    production has no backup (production/backups)" == next(iter(unit_summary.planned(bundle)))


@pytest.mark.parametrize(("only", "rest"), [("", []), ("vercel", ["the rest  pantheon-runbook run RB-040 -p unit=b1"])])
def test_way_back_ends_with_what_is_left_to_do(bundle, only, rest):
    """The vendors that were not asked for have what they had; and it is production that one wants to see."""
    opened = {**EVENTS[0], "runbook": "RB-040", "parameters": {"unit": "b1", "only": only}}
    looks = ["type      pantheon-runbook check -e production", "type      pantheon-runbook run RB-060 -e staging"]

    assert [*rest, *looks] == list(unit_summary.to_type_after_done([opened], bundle, "RB-060"))


def test_promotion_that_is_done_says_until_when_there_is_a_way_back(bundle):
    assert [
        f"back      pantheon-runbook run RB-040 --apply -p unit={bundle.name}",
        "          without another signature until 2026-11-25T10:00:00Z",
        "type      pantheon-runbook run RB-060 -e staging",
    ] == list(unit_summary.to_type_after_done(EVENTS, bundle, "RB-060"))


def test_report_of_a_unit_shows_its_picture_with_seconds():
    verdict = {"cloud": "sandbox", "runbook": "RB-030", "environment": "production", "word": "partial", "why": "x"}

    events = [{"at": "2026-11-24T10:00:00Z", **one} for one in EVENTS]

    page = report_html(events, {**verdict, "cells": "y", "exit_code": 5}, json.loads(PLAN.to_bytes()), None)

    assert '<img alt="The unit of work, step by step" src="data:image/svg+xml;base64,' in page
