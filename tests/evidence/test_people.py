"""Who let a run through, as both reports say it: the four people, and what did not count."""

from __future__ import annotations

import html
from datetime import timedelta
from pathlib import Path

from made_promotions import Promotions
from test_agreement import seal_what_is_left
from test_decisions import PLAN_RUN, found, of_decisions, says, told

from pantheon_runbook.evidence.approval import Person, Policy
from pantheon_runbook.evidence.report import report_html, report_markdown
from pantheon_runbook.evidence.verify import ALONE, DECISIONS
from pantheon_runbook.model import canonical
from pantheon_runbook.runner.cards import draw

VERDICT = {"cloud": "live", "runbook": "RB-030", "environment": "production", "word": "done", "why": "x", "cells": "y"}


def alone(promotions: Promotions) -> Path:
    """Ana wrote the change, and nobody else has read it."""
    decisions = promotions.decided(
        {"ana.json": promotions.envelopes["ana.json"]},
        policy=Policy(is_solo=True, delay=timedelta()),
        authors=(Person("ana", "git"),),
    )
    assert "APPROVED" not in draw(decisions.approval).head
    return promotions.sealed(decisions)


def section(text: str, begins: str, ends: str) -> str:
    return text.partition(begins)[2].partition(ends)[0]


def sections(folder: Path) -> tuple[str, str]:
    title = "Who let it through"
    markdown = section((folder / "report.md").read_text(), f"## {title}", "\n## ")
    return markdown, section((folder / "report.html").read_text(), f"<h2>{title}</h2>", "<h2>")


def test_reports_name_the_four_people(promotions):
    decisions = promotions.decided()
    markdown, page = sections(promotions.sealed(decisions))

    people = [decisions.told["requester"], decisions.told["executor"], *decisions.told["authors"]]
    facts = [text for one in people for text in (one["name"], one["source"])]
    facts += [text for one in decisions.told["approvers"] for text in (one["source"], one["reason"], one["expires_at"])]
    facts += [PLAN_RUN, "dev@example.org", "only the name was compared"]
    assert [] == [fact for fact in facts if fact not in markdown or html.escape(fact) not in page]
    assert markdown.lstrip().startswith("approved\n")
    assert page.startswith("<p>approved</p>")


def test_whoever_was_alone_is_never_called_approved(promotions):
    folder = alone(promotions)
    markdown, page = sections(folder)

    assert set() == found(promotions)
    assert markdown.lstrip().startswith(f"**{ALONE}**")
    assert page.startswith(f'<p class="not-met">{ALONE}</p>')
    assert "approved" not in f"{markdown}{page}".lower()


def test_what_did_not_count_is_told(promotions):
    decisions = promotions.decided(authors=(Person("ben", "git"),))
    markdown, page = sections(promotions.sealed(decisions))

    told_so = "ben cannot approve this plan. they are an author of a commit in the release"
    assert told_so in markdown
    assert told_so in html.unescape(page)


def test_run_without_decisions_has_no_such_section(three):
    assert "Who let it through" not in (three.folders[0] / "report.md").read_text()
    assert "Who let it through" not in (three.folders[0] / "report.html").read_text()


def test_name_with_half_a_letter_stops_no_sealing(promotions):
    """Whoever put it into a killed run's folder is named, and stops nobody."""
    bundle = promotions.begun(promotions.decided())
    told(lambda content: content["requester"].update(name="\ud800"))(promotions, bundle.folder)

    seal_what_is_left(promotions.make, bundle)

    assert of_decisions(f"its requester is not the operator of {PLAN_RUN}") == found(promotions)


def test_hostile_names_stay_words(promotions):
    """One line each, and no tag."""
    raw = canonical({**promotions.decided().told, "not_counted": ["<script>\n## Checks"]})

    assert "&lt;script&gt;" in report_html([], VERDICT, {}, None, raw)
    assert "<script" not in report_html([], VERDICT, {}, None, raw)
    assert 1 == report_markdown([], VERDICT, {}, raw).count("\n## Checks")


def test_damaged_decisions_stop_no_report(promotions):
    """Somebody put them into a killed run's folder."""
    bundle = promotions.begun(promotions.decided())
    says(approvers="ana")(promotions, bundle.folder)

    seal_what_is_left(promotions.make, bundle)

    markdown, page = sections(promotions.make.folders[-1])
    assert "**decisions.json is not of the shape that we write: nothing is known of the people**" in markdown
    assert page.startswith('<p class="not-met">decisions.json is not of the shape')
    assert {(DECISIONS, "not of the shape that we write")} == found(promotions)
