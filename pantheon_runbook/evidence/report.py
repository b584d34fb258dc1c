"""The report of a run for people: Markdown from the journal, HTML from the executed notebook when there is one.

The page holds no script, loads nothing, and says so to the browser (Content-Security-Policy).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
header { border: 2px solid #1b1f24; padding: .6rem 1rem; margin-bottom: 1.5rem }
header.sandbox { border-style: dashed; background: #fff8e1 }
header h1 { font-size: 1.15rem; margin: 0 }
pre, code { font: 13px/1.45 ui-monospace, monospace }
pre { white-space: pre-wrap; margin: .3rem 0 }
.jp-InputArea, .input { background: #f6f8fa; padding: .1rem .6rem; border-left: 3px solid #d0d7de }
.jp-InputPrompt, .jp-OutputPrompt, .prompt { display: none }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }
svg { max-width: 100%; height: auto }
"""
_TAGS = {
    "h1", "h2", "h3", "h4", "p", "ul", "ol", "li", "table", "thead", "tbody", "tr", "td", "th", "pre", "code",
    "strong", "em", "a", "blockquote", "hr", "br", "div", "span", "section",
    "svg", "g", "rect", "text", "line", "path", "title", "desc",
}  # fmt: skip
_DRAWING = {
    "x", "y", "x1", "x2", "y1", "y2", "width", "height", "rx", "fill", "stroke", "stroke-width", "stroke-dasharray",
    "font-size", "font-weight", "font-family", "text-anchor", "d", "viewBox", "role", "aria-label",
}  # fmt: skip


def report_markdown(events: Iterable[Mapping[str, Any]], verdict: Mapping[str, Any]) -> str:
    """Banner and one section per act, in the order they happened, with the cards as they were shown."""
    parts = [f"# {_banner(verdict)}", "", *_facts(events, verdict)]
    for event in events:
        if event["event"] == "card":
            parts += ["", f"## {event['act'].capitalize()}", "", "```text", event["text"], "```"]
    return "\n".join(parts) + "\n"


def report_html(events: Iterable[Mapping[str, Any]], verdict: Mapping[str, Any], notebook: str | None) -> str:
    """One self-contained page; without an executed notebook it shows the cards, and says why."""
    listed = list(events)
    body = _notebook_body(notebook) if notebook is not None else _cards_body(listed)
    facts = "".join(f"<div>{html.escape(line.lstrip('- '))}</div>" for line in _facts(listed, verdict))
    banner = html.escape(_banner(verdict))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{banner}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{_STYLE}</style></head>\n'
        f'<body><header class="{html.escape(str(verdict["cloud"]))}"><h1>{banner}</h1>{facts}</header>\n'
        f"{body}\n</body></html>\n"
    )


def _banner(verdict: Mapping[str, Any]) -> str:
    cloud = "LIVE" if verdict["cloud"] == "live" else "SANDBOX REHEARSAL"
    return f"{cloud}: {verdict['runbook']} {verdict['environment']}: {str(verdict['word']).upper()}"


def _facts(events: Iterable[Mapping[str, Any]], verdict: Mapping[str, Any]) -> list[str]:
    listed = list(events)
    opened = next((event for event in listed if event["event"] == "run-opened"), None)
    planned = next((event for event in listed if event["event"] == "act-ends" and event.get("digest")), None)
    facts = [f"- verdict: {verdict['word']}: {verdict['why']}", f"- cells: {verdict['cells']}"]
    if opened is not None:
        facts.append(f"- run: {opened['run']}, opened {opened['at']}, {opened['mode']} run")
        facts.append(f"- operator: {opened['operator']} ({opened['operator_source']})")
    if planned is not None:
        facts.append(f"- plan digest: {planned['digest']}")
    return facts


def _cards_body(events: list[Mapping[str, Any]]) -> str:
    shown = "".join(
        f"<h2>{html.escape(event['act'].capitalize())}</h2><pre>{html.escape(event['text'])}</pre>"
        for event in events
        if event["event"] == "card"
    )
    return f"<p>The executed notebook was not seen by the runner; these are the cards it drew.</p>{shown}"


def _notebook_body(notebook: str) -> str:
    """The bare nbconvert template; its own sanitizer drops headings and tables, so nh3 does that with our list."""
    import nbformat  # noqa: PLC0415  half a second that only sealing needs
    import nh3  # noqa: PLC0415
    from nbconvert import HTMLExporter  # noqa: PLC0415

    exporter = HTMLExporter(template_name="basic", sanitize_html=False)  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(nbformat.reads(notebook, as_version=4))  # type: ignore[no-untyped-call]
    attributes = {"*": {"class", *_DRAWING}, "a": {"href"}}
    return nh3.clean(body, tags=_TAGS, attributes=attributes, url_schemes={"https", "mailto"})
