"""Files of one run that contradict each other: whoever edits a killed run's folder before it is sealed is found out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import ACTS, CHANGES, NOTEBOOK, PLAN, SNAPSHOT, Maker, carried_out

from pantheon_runbook.errors import EvidenceError
from pantheon_runbook.evidence import sealing
from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.journal import read
from pantheon_runbook.evidence.verify import NO_PREVIOUS
from pantheon_runbook.model import canonical, digest_of
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

Found = set[tuple[str, str]]
OTHER_PLAN = {**PLAN, "changes": PLAN["changes"][:1]}
OTHER_PLACE = {**PLAN, "environment": "elsewhere"}
DEEP: list[Any] = [[], {"a": [1]}]


def seal_what_is_left(make: Maker, bundle: Bundle) -> dict[str, Any]:
    """What the next run does with one whose runner is gone; the sealed verdict."""
    make.forget(bundle)
    seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    return dict(json.loads((make.folders[-1] / "verdict.json").read_bytes()))


def found(make: Maker) -> Found:
    return {(finding.file, finding.problem) for finding in verifier.verify(make.evidence).findings}


def edit(name: str, **changed: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(canonical({**json.loads(path.read_bytes()), **changed}))

    return change


def put(name: str, value: object) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(canonical(value))


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def chained(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[Path], object]:
    """The journal written anew by somebody who knows how the chain is made."""

    def write(folder: Path) -> None:
        previous, lines = NO_PREVIOUS, []
        for number, event in enumerate(change(read(folder / "journal.jsonl"))):
            lines.append(canonical({**event, "seq": number, "previous": previous}))
            previous = hashlib.sha256(lines[-1]).hexdigest()
        (folder / "journal.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))

    return write


def where(changed: dict[str, Any], **like: object) -> Callable[[Path], object]:
    """Every line like this with these fields changed."""
    return chained(
        lambda events: [{**event, **changed} if like.items() <= event.items() else event for event in events]
    )


def without(**like: object) -> Callable[[Path], object]:
    return chained(lambda events: [event for event in events if not like.items() <= event.items()])


def without_field(name: str) -> Callable[[Path], object]:
    return chained(lambda events: [{key: value for key, value in event.items() if key != name} for event in events])


def all_of(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [change(folder) for change in changes]


def replace(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))


NOT_THE_JOURNALS = ("plan.json", "not the plan that the journal tells of")
ANOTHER_PLAN = ("approval.json", "it approves another plan")
OTHERWISE = ("approval.json", "not as the journal tells of it")
PLAN_OUT_OF_PLACE = ("plan.json", "there without a plan act, or the other way round")
APPROVAL_OUT_OF_PLACE = ("approval.json", "there without approval, or the other way round")
BY_ANOTHER = ("approval.json", "self-approved by another than the operator")
PLANTED = ("runbook.ipynb", "not the notebook that the runner saw")
FOR_ELSEWHERE = ("plan.json", "for another cloud, environment or runbook")
NOT_APPROVED = ("journal.jsonl", "it tells of a write that nobody had approved")
NOT_PLANNED = ("journal.jsonl", "it tells of a write that was not planned")
UNTRUE = ("journal.jsonl", "it gives a verdict that it does not lead to")
NOT_SEEN = ("snapshot.json", "not what the journal says was observed")
SNAPSHOT_OUT_OF_PLACE = ("snapshot.json", "there without an observe act, or the other way round")
ANOTHER_GROUND = ("plan.json", "not made from what was observed")
NO_NOTEBOOK = ("runbook.ipynb", "missing, though every cell is said to have run")
NOT_OPENED = ("journal.jsonl", "its first line does not open this run")

NO_JOURNAL = {
    NOT_OPENED, PLAN_OUT_OF_PLACE, APPROVAL_OUT_OF_PLACE, SNAPSHOT_OUT_OF_PLACE, ANOTHER_GROUND, BY_ANOTHER,
}  # fmt: skip


def approved_late(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The approve act, moved behind the writes."""
    late = [event for event in events if event.get("act") == "approve"]
    return [*(event for event in events if event not in late), *late]


def other_snapshot(**changed: object) -> dict[str, Any]:
    return {"observed": {**SNAPSHOT["observed"], **changed}}


UNSEALED: dict[str, tuple[Callable[[Path], object], Found]] = {
    "plan edited": (put("plan.json", OTHER_PLAN), {NOT_THE_JOURNALS, ANOTHER_PLAN}),
    "plan and approval edited": (
        all_of(put("plan.json", OTHER_PLAN), edit("approval.json", plan_digest=digest_of(OTHER_PLAN))),
        {NOT_THE_JOURNALS},
    ),
    "plan, approval and journal edited, for another place": (
        all_of(
            put("plan.json", OTHER_PLACE),
            edit("approval.json", plan_digest=digest_of(OTHER_PLACE)),
            where({"digest": digest_of(OTHER_PLACE)}, event="act-ends"),
        ),
        {FOR_ELSEWHERE},
    ),
    "plan removed": (remove("plan.json"), {PLAN_OUT_OF_PLACE, NOT_THE_JOURNALS, ANOTHER_PLAN}),
    "plan act cut out": (without(act="plan"), {PLAN_OUT_OF_PLACE}),
    "approval removed": (remove("approval.json"), {APPROVAL_OUT_OF_PLACE}),
    "approval of another plan": (edit("approval.json", plan_digest="0" * 64), {ANOTHER_PLAN}),
    "approval in another way": (edit("approval.json", kind="self-approved, pre-read"), {OTHERWISE}),
    "approval by somebody else": (
        edit("approval.json", approver="the board"),
        {BY_ANOTHER},
    ),
    "a notebook put there": (put("runbook.ipynb", NOTEBOOK), {PLANTED}),
    "approve act cut out": (without(act="approve"), {APPROVAL_OUT_OF_PLACE, NOT_APPROVED}),
    "approve act and file cut out": (all_of(without(act="approve"), remove("approval.json")), {NOT_APPROVED}),
    "approve act made held": (
        all_of(where({"held": True}, event="act-ends", act="approve"), without_field("kind")),
        {APPROVAL_OUT_OF_PLACE, NOT_APPROVED},
    ),
    "first line is no JSON": (
        lambda folder: replace(folder / "journal.jsonl", b"{", b"("),
        {NOT_OPENED, BY_ANOTHER, ("journal.jsonl", "line 1 does not follow the one before it")},
    ),
    "first line cut off": (without(event="run-opened"), {NOT_OPENED, BY_ANOTHER}),
    "opened in another cloud": (where({"cloud": "live"}, event="run-opened"), {NOT_OPENED}),
    "opened elsewhere": (where({"environment": "elsewhere"}, event="run-opened"), {NOT_OPENED}),
    "opened by another runbook": (where({"runbook": "RB-020"}, event="run-opened"), {NOT_OPENED}),
    "a line of another run": (
        where({"run": "0" * 32}, event="checks"),
        {("journal.jsonl", "it holds a line of another run")},
    ),
    "a line edited": (
        lambda folder: replace(folder / "journal.jsonl", b'"mode":"apply"', b'"mode":"plan"'),
        {("journal.jsonl", "line 2 does not follow the one before it")},
    ),
    "journal removed": (remove("journal.jsonl"), NO_JOURNAL),
    "journal emptied": (
        lambda folder: (folder / "journal.jsonl").write_bytes(b""),
        NO_JOURNAL,
    ),
    "plan is no plan": (put("plan.json", ["changes"]), {NOT_THE_JOURNALS, ANOTHER_PLAN, FOR_ELSEWHERE, ANOTHER_GROUND}),
    "plan is too deep": (
        lambda folder: (folder / "plan.json").write_bytes(b"[" * 100_000),
        {NOT_THE_JOURNALS, ANOTHER_PLAN, FOR_ELSEWHERE, ANOTHER_GROUND},
    ),
    "plan with changes of no kind": (
        edit("plan.json", changes=[5, {"address": [], "depends_on": 5}, {"depends_on": [{}]}]),
        {NOT_THE_JOURNALS, ANOTHER_PLAN},
    ),
    "snapshot removed": (remove("snapshot.json"), {SNAPSHOT_OUT_OF_PLACE}),
    "snapshot edited": (put("snapshot.json", other_snapshot(identities={})), {NOT_SEEN}),
    "snapshot is no snapshot": (put("snapshot.json", {"observed": [DEEP]}), {NOT_SEEN}),
    "snapshot is no text": (lambda folder: (folder / "snapshot.json").write_bytes(b"\xff"), {NOT_SEEN}),
    "snapshot of half a letter": (
        lambda folder: (folder / "snapshot.json").write_bytes(b'{"observed": {"x": "\\ud800"}}'),
        {NOT_SEEN},
    ),
    "snapshot and journal edited": (
        all_of(
            put("snapshot.json", {"observed": {}}),
            where({"snapshot": digest_of({})}, event="act-ends", act="observe"),
        ),
        {ANOTHER_GROUND},
    ),
    "observe act cut out": (without(act="observe"), {SNAPSHOT_OUT_OF_PLACE, ANOTHER_GROUND}),
    "approval unlike its digest in the journal": (
        where({"approval": "0" * 64}, event="act-ends", act="approve"),
        {OTHERWISE},
    ),
    "approved after the writes": (chained(approved_late), {NOT_APPROVED}),
    "a write that was not planned": (
        where({"address": "vercel/variables/preview"}, event="write-intent", address="openrouter/key"),
        {NOT_PLANNED},
    ),
    "a file of others": (put("note.txt", "look here"), {("note.txt", "no run of ours leaves such a file")}),
    "a hidden file": (put(".more", "x"), {(".more", "no run of ours leaves such a file")}),
}


@pytest.mark.parametrize("case", UNSEALED)
def test_folder_edited_before_sealing_is_named(make, case: str):
    """By the sealed verdict, and by everybody who checks later."""
    attack, expected = UNSEALED[case]
    bundle, _ = make.begun()
    attack(bundle.folder)

    verdict = seal_what_is_left(make, bundle)

    files = ", ".join(sorted({file for file, _ in expected}))
    assert verdict["why"].endswith(f"; its folder was changed before it was sealed: {files}")
    assert ("abandoned", 5) == (verdict["word"], verdict["exit_code"])
    assert expected == found(make)
    assert verdict["why"] in (make.folders[0] / "report.md").read_text()


def test_success_that_was_forged_is_none(make):
    """A line that says "done" is believed of a sealing that was killed, but not over files that contradict it."""
    bundle, lines = make.begun()
    lines.write("run-sealed", word="done", why="as it was", cells="all-run")
    put("plan.json", OTHER_PLAN)(bundle.folder)

    verdict = seal_what_is_left(make, bundle)

    doubt = "its folder was changed before it was sealed: approval.json, plan.json"
    assert ("abandoned", f"as it was; {doubt}") == (verdict["word"], verdict["why"])
    assert {NOT_THE_JOURNALS, ANOTHER_PLAN} == found(make)


def test_doubt_is_said_once(make, monkeypatch):
    """The sealing of what is left may be killed too, after it has judged."""
    bundle, _ = make.begun()
    put("plan.json", OTHER_PLAN)(bundle.folder)
    make.forget(bundle)
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "_write_reports", _killed)
        with pytest.raises(KeyboardInterrupt):
            seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    verdict = seal_what_is_left(make, bundle)

    assert 1 == verdict["why"].count("its folder was changed")
    assert 1 == sum(event["event"] == "run-sealed" for event in read(make.folders[0] / "journal.jsonl"))


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_living_run_says_so_too(make):
    """Its own runner seals it: the evidence does not hold, so it is no success, whoever is to blame."""
    bundle, _ = make.begun()
    put("plan.json", OTHER_PLAN)(bundle.folder)

    _, verdict = bundle.seal(make.key, NotebookStatus("not-observed"))

    assert ("incomplete", 5) == (verdict.word, verdict.exit_code)
    assert verdict.why.endswith("; its files contradict each other: approval.json, plan.json")


@pytest.mark.parametrize("count", range(len(ACTS) + 1))
def test_killed_between_two_acts_is_no_contradiction(make, count: int):
    bundle, _ = make.begun(acts=ACTS[:count])

    verdict = seal_what_is_left(make, bundle)

    assert ("abandoned", set()) == (verdict["word"], found(make))


KEPT = [("observe", "snapshot.json"), ("plan", "plan.json"), ("approve", "approval.json")]


@pytest.mark.parametrize(("act", "name"), KEPT)
def test_killed_before_an_act_could_end_is_no_contradiction(make, act: str, name: str):
    """What an act brought is on the disk before the journal says that it ended."""
    bundle, _ = make.begun(acts=ACTS[: ACTS.index(act) + 1])
    chained(lambda events: events[: -len(("act-ends", "card"))])(bundle.folder)
    assert (bundle.folder / name).exists()

    seal_what_is_left(make, bundle)

    assert set() == found(make)


def test_half_written_file_of_a_crash_is_no_contradiction(make):
    bundle, _ = make.begun()
    put(".snapshot.json.new", "{")(bundle.folder)

    seal_what_is_left(make, bundle)

    assert set() == found(make)


def test_plan_run_needs_no_approval(make):
    bundle, lines = make.begun(acts=ACTS[:3], mode="plan")
    for act in ACTS[3:]:
        lines.write("act-begins", act=act)
        lines.write("act-ends", act=act, held=True)

    bundle.seal(make.key, NotebookStatus("not-observed"))
    assert set() == found(make)


def test_approval_in_a_plan_run_is_named(make):
    bundle, lines = make.begun(acts=ACTS[:3])
    lines.write("act-begins", act="approve")
    lines.write("act-ends", act="approve", held=True)
    put("approval.json", {"plan_digest": digest_of(PLAN)})(bundle.folder)

    seal_what_is_left(make, bundle)

    assert {APPROVAL_OUT_OF_PLACE, OTHERWISE} >= found(make) >= {APPROVAL_OUT_OF_PLACE}


def said_to_be(word: str) -> Callable[[Path], object]:
    """Every file gives this verdict."""
    return all_of(
        edit("manifest.json", verdict=word), edit("verdict.json", word=word), where({"word": word}, event="run-sealed")
    )


SEALED: dict[str, tuple[Callable[[Path], object], Found]] = {
    "manifest with another verdict": (
        edit("manifest.json", verdict="planned"),
        {("journal.jsonl", "its last line is not the sealed verdict"), ("verdict.json", "not the sealed verdict")},
    ),
    "manifest of another environment": (
        edit("manifest.json", environment="elsewhere"),
        {NOT_OPENED, FOR_ELSEWHERE, ("verdict.json", "not the sealed verdict")},
    ),
    "manifest with another run id": (
        edit("manifest.json", run_id="0" * 32),
        {("journal.jsonl", "it holds a line of another run")},
    ),
    "manifest with another plan": (
        edit("manifest.json", plan_digest="0" * 64),
        {("plan.json", "not the plan whose digest was sealed")},
    ),
    "verdict of another word": (edit("verdict.json", word="planned"), {("verdict.json", "not the sealed verdict")}),
    "verdict of another cloud": (edit("verdict.json", cloud="live"), {("verdict.json", "not the sealed verdict")}),
    "verdict for another reason": (
        edit("verdict.json", why="because"),
        {("verdict.json", "its reason or its cells are not the journal's")},
    ),
    "journal without its last line": (
        without(event="run-sealed"),
        {
            PLANTED,
            ("journal.jsonl", "its last line is not the sealed verdict"),
            ("verdict.json", "its reason or its cells are not the journal's"),
        },
    ),
    "journal with a line after the last": (
        chained(lambda events: [*events, events[-2]]),
        {
            PLANTED,
            ("journal.jsonl", "its last line is not the sealed verdict"),
            ("verdict.json", "its reason or its cells are not the journal's"),
        },
    ),
    "another notebook": (put("runbook.ipynb", {}), {PLANTED}),
    "no notebook, though every cell ran": (remove("runbook.ipynb"), {NO_NOTEBOOK}),
    "cells otherwise than in the journal": (
        edit("verdict.json", cells="not-observed"),
        {("verdict.json", "its reason or its cells are not the journal's")},
    ),
    "done without an apply act": (without(act="apply"), {UNTRUE}),
    "done with a held apply act": (where({"held": True}, event="act-ends", act="apply"), {UNTRUE}),
    "done without a verify act": (without(act="verify"), {UNTRUE}),
    "done without checks": (without(event="checks"), {UNTRUE}),
    "done with a check that failed": (
        where({"checks": [["a", "b", "b", True], ["a", "b", "c", False]]}, event="checks"),
        {UNTRUE},
    ),
    "done with checks of no kind": (where({"checks": [5, [], DEEP]}, event="checks"), {UNTRUE}),
    "done with a change that was not": (
        where({"outcome": "not-ready"}, event="change-ends", address="openrouter/key"),
        {UNTRUE},
    ),
    "done with a change that never ended": (without(event="change-ends", address="railway/service/api"), {UNTRUE}),
    "planned, and written": (said_to_be("planned"), {UNTRUE}),
    "nothing to do, and written": (said_to_be("nothing-to-do"), {UNTRUE}),
    "nothing to do with a plan of changes": (
        all_of(without(event="write-intent"), said_to_be("nothing-to-do")),
        {UNTRUE},
    ),
    "planned without a plan act": (
        all_of(without(event="write-intent"), without(act="plan"), said_to_be("planned")),
        {UNTRUE, PLAN_OUT_OF_PLACE},
    ),
    "rubbish in every field": (
        all_of(
            put("verdict.json", [DEEP]),
            put("approval.json", {"plan_digest": DEEP, "kind": DEEP}),
            where({"run": DEEP, "kind": DEEP, "digest": DEEP, "held": DEEP, "why": DEEP}, event="act-ends"),
        ),
        {
            ("journal.jsonl", "it holds a line of another run"),
            ("verdict.json", "not the sealed verdict"),
            ("verdict.json", "its reason or its cells are not the journal's"),
            NOT_APPROVED,
            ANOTHER_PLAN,
        },
    ),
}


def seal_again(make: Maker, bundle: Path) -> None:
    """With the right key: what a runner with a bug would have sealed. The bundle is the ledger's last."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    there = {path.name: path.read_bytes() for path in bundle.iterdir() if path.name not in verifier.SEALED_BESIDE}
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in there.items()
    }
    raw = canonical(manifest)
    (bundle / "manifest.json").write_bytes(raw)
    (bundle / "seal.json").write_bytes(make.key.seal(raw))
    lines = (make.evidence / "ledger.jsonl").read_bytes().splitlines()[:-1]
    (make.evidence / "ledger.jsonl").write_bytes(b"".join(line + b"\n" for line in [*lines, verifier.ledger_line(raw)]))


@pytest.mark.parametrize("case", SEALED)
def test_sealed_contradiction_is_named(three, case: str):
    """The seal holds; what it seals does not agree with itself."""
    mistake, expected = SEALED[case]
    mistake(three.folders[-1])
    seal_again(three, three.folders[-1])

    assert expected == found(three)


def test_all_edited_alike_is_the_limit(make):
    """Said openly: who owns the folder of a killed run, and edits all of it alike, tells a story that is whole."""
    bundle, _ = make.begun()
    put("plan.json", OTHER_PLAN)(bundle.folder)
    edit("approval.json", plan_digest=digest_of(OTHER_PLAN))(bundle.folder)
    where({"digest": digest_of(OTHER_PLAN)}, event="act-ends")(bundle.folder)
    for change in CHANGES[1:]:
        without(address=change["address"])(bundle.folder)

    assert "changed" not in seal_what_is_left(make, bundle)["why"]
    assert set() == found(make)


ODD: dict[str, tuple[Callable[[Bundle], object], str]] = {
    "a pipe": (lambda bundle: os.mkfifo(bundle.folder / "pipe"), "pipe is no plain file"),
    "the journal is a pipe": (
        lambda bundle: [(bundle.folder / "journal.jsonl").unlink(), os.mkfifo(bundle.folder / "journal.jsonl")],
        "journal.jsonl is no plain file",
    ),
    "a link": (lambda bundle: (bundle.folder / "report.md").symlink_to("/etc/passwd"), "report.md is no plain file"),
    "a folder": (lambda bundle: (bundle.folder / "more").mkdir(), "more is no plain file"),
    "a note that tells of another run": (
        lambda bundle: replace(bundle.place.note, b'"staging"', b'"../../x"'),
        "tells of",
    ),
    "a note of no kind": (lambda bundle: bundle.place.note.write_bytes(b"[]"), "TypeError"),
    "a note that is no text": (lambda bundle: bundle.place.note.write_bytes(b"\xff"), "UnicodeDecodeError"),
    "a line without its fields": (
        lambda bundle: chained(lambda events: [*events, {"event": "act-ends", "run": events[0]["run"]}])(bundle.folder),
        "KeyError",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_what_no_run_leaves_is_left_to_people(make, case: str):
    """Four lines that name it; nothing is sealed, taken away or waited for."""
    attack, words = ODD[case]
    bundle, _ = make.begun()
    attack(bundle)
    make.forget(bundle)
    before = sorted(path.name for path in (make.evidence / ".running").rglob("*"))

    with pytest.raises(EvidenceError) as stopped:
        seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")

    assert words in stopped.value.why
    assert bundle.place.name in stopped.value.next_step
    assert (before, []) == (sorted(path.name for path in (make.evidence / ".running").rglob("*")), make.folders)


@pytest.mark.parametrize("step", ["write_file", "_write_reports"])
def test_notebook_of_a_killed_sealing_is_no_contradiction(make, monkeypatch, step: str):
    """Its digest is in the journal before it is in the folder; a kill in between loses it, and says nothing false."""
    bundle, _ = make.begun()
    with monkeypatch.context() as patch:
        patch.setattr(sealing, step, _killed)
        with pytest.raises(KeyboardInterrupt):
            bundle.seal(make.key, NotebookStatus("all-run"), notebook_json=json.dumps(NOTEBOOK))

    verdict = seal_what_is_left(make, bundle)

    is_there = step == "_write_reports"
    cells = "all-run" if is_there else "not-observed"
    assert (("done", cells), set()) == ((verdict["word"], verdict["cells"]), found(make))
    assert is_there == (make.folders[0] / "runbook.ipynb").exists()


def test_planted_notebook_is_not_taken_for_the_executed_one(make):
    """Swapped after the runner had judged and was killed: its digest is in the journal."""
    bundle, lines = make.begun()
    lines.write("run-sealed", word="done", why="-", cells="all-run", notebook=hashlib.sha256(b"{}").hexdigest())
    put("runbook.ipynb", NOTEBOOK)(bundle.folder)

    assert "abandoned" == seal_what_is_left(make, bundle)["word"]
    assert {PLANTED} == found(make)


FORGED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "done, killed while planning": ({"word": "done"}, ACTS[:2]),
    "done, killed before verify": ({"word": "done"}, ACTS[:5]),
    "planned, in an apply run": ({"word": "planned"}, ACTS[:3]),
    "nothing to do, with a plan of changes": ({"word": "nothing-to-do"}, ACTS[:3]),
    "refused, in a run that wrote": ({"word": "refused"}, ACTS[:5]),
    "a word that there is not": ({"word": "great"}, ACTS),
    "a word of no kind": ({"word": ["done"]}, ACTS),
    "no word": ({}, ACTS),
}


@pytest.mark.parametrize("case", FORGED)
def test_verdict_that_was_put_into_a_killed_runs_journal_is_not_believed(make, case: str):
    """The chain holds no secret: whoever owns the folder can add a line to it."""
    forged, acts = FORGED[case]
    bundle, lines = make.begun(acts=acts)
    why = "3 changes made with 3 API calls, and verified"
    lines.write("run-sealed", **forged, why=why, cells="all-run", notebook=None)

    verdict = seal_what_is_left(make, bundle)

    assert ("abandoned", "not-observed") == (verdict["word"], verdict["cells"])
    assert verdict["why"].endswith("; its folder was changed before it was sealed: journal.jsonl")
    assert ["abandoned"] == list(verifier.verify(make.evidence).verdicts.values())
    assert "3 changes made" not in (make.folders[0] / "report.html").read_text()


def test_forged_success_of_a_run_that_failed_stays_a_failure(make):
    bundle, lines = make.begun(acts=ACTS[:4])
    lines.write("act-begins", act="apply")
    carried_out(lines, "openrouter/key", outcome="unknown")
    lines.write("act-failed", act="apply", word="unknown", what="its outcome is unknown.")
    lines.write("run-sealed", word="done", why="-", cells="not-observed", notebook=None)

    assert "unknown" == seal_what_is_left(make, bundle)["word"]
    assert UNTRUE in found(make)


def test_living_runner_believes_no_verdict_but_its_own(make):
    """Not even one that would be true, for want of a sealing that could have written it."""
    bundle, lines = make.begun()
    lines.write("run-sealed", word="done", why="as it was", cells="not-observed", notebook=None)

    verdict = bundle.seal(make.key, NotebookStatus("not-observed"))[1]

    why = "3 changes made with 3 API calls, and verified; its files contradict each other: journal.jsonl"
    assert ("incomplete", why) == (verdict.word, verdict.why)


NO_NOTEBOOKS = [b"no notebook", b"{}", b"\xff", b'{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}']


@pytest.mark.parametrize("is_in_the_journal", [False, True], ids=["only there", "in the journal too"])
@pytest.mark.parametrize("content", NO_NOTEBOOKS, ids=["text", "no fields", "no text", "no cells"])
def test_planted_file_that_is_no_notebook_stops_nobody(make, content: bytes, *, is_in_the_journal: bool):
    """The page then shows the cards; every later run of the folder would stop at it otherwise."""
    bundle, lines = make.begun()
    if is_in_the_journal:
        lines.write("run-sealed", word="done", why="-", cells="all-run", notebook=hashlib.sha256(content).hexdigest())
    (bundle.folder / "runbook.ipynb").write_bytes(content)

    seal_what_is_left(make, bundle)

    assert "these are the cards it drew" in (make.folders[0] / "report.html").read_text()
    assert (set() if is_in_the_journal else {PLANTED}) == found(make)


def test_planted_notebook_is_not_drawn(make):
    bundle, _ = make.begun()
    put("runbook.ipynb", NOTEBOOK)(bundle.folder)

    seal_what_is_left(make, bundle)

    assert "these are the cards it drew" in (make.folders[0] / "report.html").read_text()
