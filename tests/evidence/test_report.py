"""What people read: the same facts in both reports, and a page that can do nothing."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import pytest
from made_runs import MAP, PLAN

from pantheon_runbook.evidence.report import report_html, report_markdown
from pantheon_runbook.model import digest_of, short_code

FACTS = (
    "done: 3 changes made with 3 API calls, and verified",
    "all-run",
    "a run in apply mode",
    "supervisor, self-asserted (PANTHEON_OPERATOR)",
    f"{digest_of(PLAN)}, code {short_code(digest_of(PLAN))}",
    "self-approved, not pre-read",
    "3 in the plan: 3 done; writes sent: openrouter 1, railway 2",
    "abcdefghijklmnopqrst",
    "expected postgres",
    "found postgres",
    "SANDBOX REHEARSAL: RB-010 staging: DONE",
)


class _Page(HTMLParser):
    """Tags and attributes as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def reports(three) -> tuple[str, str]:
    folder = three.folders[0]
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


def test_both_reports_hold_the_facts(reports, three):
    run_id = json.loads((three.folders[0] / "manifest.json").read_bytes())["run_id"]
    markdown, page = reports

    assert [] == [fact for fact in (*FACTS, run_id) if fact not in markdown]
    assert [] == [fact for fact in (*FACTS, run_id) if html.escape(fact) not in page]
    assert len(re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ UTC", markdown)) == 2


def test_page_can_do_nothing(reports):
    """No script, no handler, nothing from elsewhere; and the browser is told so."""
    tags = _Page(reports[1]).tags
    policy = next(attributes["content"] for tag, attributes in tags if attributes.get("http-equiv"))

    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" == policy
    assert [] == [tag for tag, _ in tags if tag in {"script", "link", "iframe", "object", "embed", "form", "base"}]
    assert [] == [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert {MAP} == {attributes["src"] for _, attributes in tags if "src" in attributes}
    assert [] == [attributes["href"] for _, attributes in tags if attributes.get("href", "#")[0] != "#"]
    assert "alert(1)" not in reports[1]


def test_page_keeps_the_map(reports):
    assert f'src="{MAP}"' in reports[1]
    assert 'class="pantheon-card"' in reports[1]


@pytest.mark.parametrize(("cloud", "banner"), [("live", "LIVE"), ("sandbox", "SANDBOX REHEARSAL")])
def test_banner_says_which_cloud(cloud: str, banner: str):
    verdict = {
        "cloud": cloud,
        "runbook": "RB-010",
        "environment": "staging",
        "word": "failed",
        "why": "x",
        "cells": "y",
    }

    assert f"# {banner}: RB-010 staging: FAILED" == report_markdown([], verdict, {}).splitlines()[0]
    assert f"<title>{banner}: RB-010 staging: FAILED</title>" in report_html([], verdict, {}, None)
    assert f'<header class="{cloud} went-well">' in report_html([], verdict, {}, None)


def test_head_of_a_way_back_says_of_what_and_why():
    """Whoever was woken reads no further; a damaged plan has nothing to say."""
    verdict = {
        "cloud": "live",
        "runbook": "RB-040",
        "environment": "production",
        "word": "done",
        "why": "x",
        "cells": "",
    }
    back = {"run": "b1", "came_to": "partial", "for": "api crashed.", "reason": "<b> 500s"}

    def head(release: object) -> str:
        return report_html([], verdict, {"release": release}, None).partition("</header>")[0]

    assert "<td>takes back</td><td>b1 (partial: api crashed)</td>" in head({"takes_back": back})
    assert "<td>reason</td><td>&lt;b&gt; 500s</td>" in head({"takes_back": back})
    assert "<td>reason</td><td>not said (-p reason=...)</td>" in head({"takes_back": {**back, "reason": ""}})
    assert "- reason: <b> 500s" in report_markdown([], verdict, {"release": {"takes_back": back}})
    assert [] == [one for one in (5, {}, {"takes_back": 5}) if "takes back" in head(one)]


def test_hostile_words_stay_words():
    """What a vendor or an operator wrote is text, in the page too."""
    verdict = {"cloud": "live", "runbook": "<b>", "environment": "<i>", "word": "done", "why": "<script>", "cells": "&"}
    events = [
        {"event": "card", "act": "observe", "text": "<script>alert(1)</script>"},
        {"event": "checks", "checks": [["<img src=x>", "a", "b", False]]},
    ]

    page = report_html(events, verdict, {"identities": {"ref": "<u>"}}, None)

    assert {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "h2",
        "table",
        "tr",
        "td",
        "p",
        "pre",
    } == {tag for tag, _ in _Page(page).tags}
    assert "FAILED" in page


def test_page_without_a_notebook_says_so(make):
    folder = make.sealed(0, notebook=False)

    assert "was not seen by the runner" in (folder / "report.html").read_text()
    assert not (folder / "runbook.ipynb").exists()
