"""Runs that only compare: what they leave is told of by their journal, and a later run rests on no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_runs import CHECKING, COMPARISON, Maker
from test_agreement import chained, put, remove, seal_what_is_left, where

from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.runs import SealedRun, latest_with, sealed_runs
from pantheon_runbook.model import canonical
from pantheon_runbook.runner.before import known_ways

NOT_AS_LEFT = ("comparison.json", "not what the journal says an act has left")


def rests_on(make: Maker, **other: str) -> str | None:
    asked = {"cloud": "sandbox", "environment": "staging", "holds": "comparison.json", **other}
    sealed = sealed_runs(make.evidence, None)
    found = latest_with(sealed, make.evidence, runbooks={"RB-010", "RB-060"}, **asked)
    return found[0] if found else None


def test_check_run_is_done_and_intact(make: Maker):
    folder = make.checked()

    assert "done" == json.loads((folder / "verdict.json").read_bytes())["word"]
    assert () == verifier.verify(make.evidence).findings


@pytest.mark.parametrize("missing", CHECKING[1:])
def test_check_run_without_an_act_is_incomplete(make: Maker, missing: str):
    bundle, _ = make.begun(acts=tuple(act for act in CHECKING if act != missing), mode="check", runbook="RB-060")

    verdict = seal_what_is_left(make, bundle)

    assert "abandoned" == verdict["word"]


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (put("comparison.json", {**COMPARISON, "ground": {}}), NOT_AS_LEFT),
        (remove("comparison.json"), NOT_AS_LEFT),
        (put("certificate.json", {"all": "met"}), ("certificate.json", NOT_AS_LEFT[1])),
        (where({"files": {}}, event="act-ends", act="compare"), NOT_AS_LEFT),
    ],
)
def test_edited_kept_file_is_found(make: Maker, edit, finding):
    bundle, _ = make.begun(acts=CHECKING, mode="check", runbook="RB-060")
    edit(bundle.folder)

    verdict = seal_what_is_left(make, bundle)

    assert "contradict" in verdict["why"] or "changed" in verdict["why"]
    assert finding in {(one.file, one.problem) for one in verifier.verify(make.evidence).findings}


@pytest.mark.parametrize("without", ["compare", "verify", "checks", "passed"])
def test_forged_done_of_a_check_run_is_not_believed(make: Maker, without: str):
    """A verdict that the journal does not lead to, by whoever can make the chain anew."""
    bundle, _ = make.begun(acts=CHECKING, mode="check", runbook="RB-060")
    said = {"event": "run-sealed", "word": "done", "why": "fine", "cells": "not-observed", "notebook": None}

    def forged(events):
        kept = [one for one in events if not ({"act": without, "event": "act-ends"}.items() <= one.items())]
        kept = [one for one in kept if without != "checks" or one["event"] != "checks"]
        if without == "passed":
            kept = [{**one, "checks": [["a", "b", "c", False]]} if one["event"] == "checks" else one for one in kept]
        return [*kept, {**kept[-1], **said}]

    chained(forged)(bundle.folder)

    assert "done" != seal_what_is_left(make, bundle)["word"]


def test_later_run_rests_on_the_latest(make: Maker):
    make.checked(1)
    second = make.checked(2)

    assert second.name == rests_on(make)


@pytest.mark.parametrize("other", [{"cloud": "live"}, {"environment": "elsewhere"}, {"holds": "certificate.json"}])
def test_nothing_rests_on_a_run_about_something_else(make: Maker, other: dict[str, str]):
    make.checked()

    assert rests_on(make, **other) is None


def test_nothing_rests_on_evidence_with_a_changed_bundle(make: Maker):
    """Not on the one before it either: whoever changes the newest would choose an older ground."""
    make.checked(1)
    second = make.checked(2)
    (second / "comparison.json").write_bytes(canonical({**COMPARISON, "ground": {}}))

    assert rests_on(make) is None
    assert sealed_runs(make.evidence, None).problem


def test_ledger_does_not_make_a_good_end_of_a_bad_one(make: Maker):
    bundle, _ = make.begun(1, acts=CHECKING[:3], mode="check", runbook="RB-060")
    seal_what_is_left(make, bundle)
    make.checked(2)
    ledger = make.evidence / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"verdict":"abandoned"', b'"verdict":"done"'))

    assert rests_on(make) is None


def looked(run: str, verdict: str, **ways: str) -> tuple[SealedRun, dict[str, Any]]:
    sealed = SealedRun(run, "RB-060", "sandbox", "staging", verdict, "check", "", "", "", "")
    return sealed, {"exposures": [{"address": name, "state": state, "found": ""} for name, state in ways.items()]}


OPEN, CLOSED, UNREAD = "open", "closed by vendor", "cannot be read"


@pytest.mark.parametrize(
    ("looks", "name", "ways"),
    [
        ((), None, set()),
        ((looked("2", "not-verified", a=OPEN, b=OPEN), looked("1", "not-verified", a=OPEN)), "1", {"a"}),
        ((looked("3", "not-verified", b=OPEN), looked("2", "done", a=OPEN), looked("1", "done", b=OPEN)), "2", {"a"}),
        ((looked("2", "not-verified", a=CLOSED), looked("1", "done", a=OPEN, b=OPEN)), "1", {"b"}),
        ((looked("2", "not-verified", a=UNREAD), looked("1", "done", a=OPEN)), "1", {"a"}),
    ],
)
def test_ways_are_known_by_the_last_good_end_or_the_first_look(looks, name, ways):
    """A look that ended badly opens nothing for good; what it saw closed is opened when it is open again."""
    known = known_ways(looks)

    assert name == (known[0] if known else None)
    assert ways == {one["address"] for one in (known[1]["exposures"] if known else ())}


def test_nothing_rests_on_a_run_that_stopped(make: Maker):
    bundle, _ = make.begun(acts=CHECKING[:3], mode="check", runbook="RB-060")
    seal_what_is_left(make, bundle)

    assert rests_on(make) is None
