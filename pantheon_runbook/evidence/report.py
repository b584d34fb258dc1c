"""The report of a run for people: Markdown from the journal, HTML from the executed notebook when there is one.

The page holds no script, loads nothing, and says so to the browser (Content-Security-Policy).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pantheon_runbook.drawing import image
from pantheon_runbook.evidence import changes, journal, people
from pantheon_runbook.model import banner, short_code
from pantheon_runbook.promotion.steps import is_on_production, steps_of, taken_back
from pantheon_runbook.promotion.unit_picture import unit_picture

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
header { border: 2px solid #1b1f24; padding: .6rem 1rem; margin-bottom: 1.5rem }
header.sandbox { border-style: dashed }
header.went-well { background: #eef7ee } header.stopped { background: #fdecea }
.not-met { color: #b3261e; font-weight: bold }
.code { font-size: 2em; margin: .2rem 0 }
td { overflow-wrap: anywhere } td:first-child { min-width: 13rem } header td:first-child { white-space: nowrap }
.changes td:nth-child(2), .changes td:nth-child(3) { white-space: nowrap }
.pantheon-card td:first-child { min-width: 1rem } .pantheon-card td:not(:last-child) { overflow-wrap: normal }
header h1 { font-size: 1.15rem; margin: 0 }
pre, code { font: 13px/1.45 ui-monospace, monospace }
pre { white-space: pre-wrap; margin: .3rem 0 }
.jp-InputArea, .input { background: #f6f8fa; padding: .1rem .6rem; border-left: 3px solid #d0d7de }
.jp-InputPrompt, .jp-OutputPrompt, .prompt { display: none }
table { border-collapse: collapse } td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }
img { max-width: 100%; height: auto }
"""
_TAGS = {
    "h1", "h2", "h3", "h4", "p", "ul", "ol", "li", "table", "thead", "tbody", "tr", "td", "th", "pre", "code",
    "strong", "em", "a", "blockquote", "hr", "br", "div", "span", "section",
    "img",
}  # fmt: skip
_PICTURE = "data:image/svg+xml;base64,"  # a drawing of our own; as an image it cannot run anything
_PEOPLE = "Who let it through"
_HEADS = ("change", "action", "outcome", "reason", "seconds")
Facts = Mapping[str, Any]


def report_markdown(events: Iterable[Facts], verdict: Facts, plan: Facts, decisions: bytes | None = None) -> str:
    """Banner, facts, people, changes, one section per act in the order they happened with its card as shown, checks.

    `decisions` is the content of decisions.json, None for a run that needed nobody else.
    """
    listed = list(events)
    parts = [f"# {_banner(verdict)}", "", *(f"- {name}: {text}" for name, text in _facts(listed, verdict, plan))]
    if decisions is not None:
        kind, who = people.told_in(decisions)
        lines = (" | ".join(filter(None, row)) for row in who)
        parts += ["", f"## {_PEOPLE}", "", kind if people.is_met(kind) else f"**{kind}**"]
        parts += ["", *(f"- {line}" for line in lines)]
    rows = changes.rows_of(listed, plan)
    parts += ["", "## Changes", "", changes.summary(rows, listed), "", *(f"- {_line(row)}" for row in rows)]
    for event in listed:
        if event["event"] == "card":
            parts += ["", f"## {event['act'].capitalize()}", "", "```text", event["text"], "```"]
    parts += ["", "## Checks", "", *(f"- {' | '.join(row)}" for row in _checks(listed))]
    return "\n".join(parts) + "\n"


def report_html(
    events: Iterable[Facts], verdict: Facts, plan: Facts, notebook: str | None, decisions: bytes | None = None
) -> str:
    """One self-contained page; without an executed notebook it shows the cards, and says why."""
    listed = list(events)
    body = _notebook_body(notebook) if notebook is not None else _cards_body(listed)
    facts = _table(_facts(listed, verdict, plan))
    how = f"{html.escape(str(verdict['cloud']))} {_how(verdict)}"
    rows = changes.rows_of(listed, plan)
    became = f"<p>{html.escape(changes.summary(rows, listed))}</p>{_unit(rows, plan)}"
    became += _table(rows, heads=_HEADS if rows else (), how=' class="changes"')
    banner = html.escape(_banner(verdict))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{banner}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{_STYLE}</style></head>\n'
        f'<body><header class="{how}"><h1>{banner}</h1>{facts}</header>\n'
        f"{_people(decisions)}"
        f"<h2>Changes</h2>{became}\n{body}\n<h2>Checks</h2>{_table(_checks(listed))}\n</body></html>\n"
    )


def _unit(rows: Sequence[changes.Row], plan: Facts) -> str:
    """Of a run on production the unit of work, step by step with its seconds; of a plan run the cards show it."""
    if not is_on_production(plan) or not rows or all(row.outcome == "planned" for row in rows):
        return ""
    outcomes = {row.address: f"{row.outcome}, {row.seconds} s" if row.seconds else row.outcome for row in rows}
    return image(unit_picture(steps_of(plan), outcomes))


def _people(decisions: bytes | None) -> str:
    if decisions is None:
        return ""
    kind, rows = people.told_in(decisions)
    how = "" if people.is_met(kind) else ' class="not-met"'
    return f"<h2>{_PEOPLE}</h2><p{how}>{html.escape(kind)}</p>{_table(rows)}\n"


def _banner(verdict: Facts) -> str:
    return f"{banner(verdict['cloud'])}: {verdict['runbook']} {verdict['environment']}: {str(verdict['word']).upper()}"


def _how(verdict: Facts) -> str:
    """A colour that only repeats what the words say."""
    return "stopped" if verdict.get("exit_code") else "went-well"


def _facts(events: list[Facts], verdict: Facts, plan: Facts) -> list[tuple[str, str]]:
    """What a reader wants to know first: what stopped it, who did what when (UTC), on what, and what is left to do."""
    opened = next((event for event in events if event["event"] == "run-opened"), None)
    ended = {event["act"]: event for event in events if event["event"] == "act-ends"}
    planned, approved, verified = (ended.get(act, {}) for act in ("plan", "approve", "verify"))
    stopped = journal.told(events, why=str(verdict["why"])) if verdict.get("exit_code") else {}
    facts = [("verdict", f"{verdict['word']}: {verdict['why']}"), ("cells", str(verdict["cells"]))]
    facts += [*stopped.items(), *taken_back(plan.get("release")).items()]
    if opened is not None:
        facts.append(("run", f"{opened['run']}, a run in {opened['mode']} mode"))
        facts.append(("opened", f"{opened['at']} UTC"))
        facts.append(("sealed", f"{events[-1]['at']} UTC"))
        facts.append(("operator", f"{opened['operator']}, {opened['operator_source']}"))
        facts += [("CI job", f"{opened['ci']}, self-asserted")] if opened.get("ci") else []
        versions = ", ".join(f"{name} {version}" for name, version in dict(opened.get("tool", {})).items())
        facts.append(("ran on", f"{opened.get('host', '')} with {versions}"))
    if planned:
        facts.append(("plan digest", f"{planned['digest']}, code {short_code(planned['digest'])}"))
        facts.append(("changes planned", str(planned["changes"])))
    if "kind" in approved:
        facts.append(("approval", str(approved["kind"])))
    identities = verified.get("identities") or plan.get("identities")
    if isinstance(identities, Mapping):
        facts += [(f"observed {name}", str(value)) for name, value in sorted(identities.items())]
    facts += [(f"answers: {what}", url) for what, url in verified.get("endpoints", {}).items()]
    return facts + [("by hand", step) for step in verified.get("by_hand", ())]


def _checks(events: list[Facts]) -> list[tuple[str, ...]]:
    """("passed" or "FAILED", name, expected, found) of the last time that was checked."""
    last = next((event["checks"] for event in reversed(events) if event["event"] == "checks"), None)
    if last is None:
        return [("none was made",)]
    return [
        (_how_it_went(str(found), passed=passed), str(name), f"expected {expected}", f"found {found}")
        for name, expected, found, passed in last
    ]


def _how_it_went(found: str, *, passed: bool) -> str:
    """What nobody could read has not failed, and has not passed either."""
    return "not read" if passed and found.startswith("cannot be read") else "passed" if passed else "FAILED"


def _line(row: changes.Row) -> str:
    return " | ".join(
        (row.outcome, row.action, row.address, *filter(None, (row.reason, row.seconds and f"{row.seconds} s")))
    )


def _table(rows: Iterable[tuple[str, ...]], *, heads: tuple[str, ...] = (), how: str = "") -> str:
    head = f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in heads)}</tr>" if heads else ""
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table{how}>{head}{cells}</table>"


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

    exporter = HTMLExporter(template_name="basic", sanitize_html=False, anchor_link_text=" ")  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(nbformat.reads(notebook, as_version=4))  # type: ignore[no-untyped-call]
    return nh3.clean(
        body,
        tags=_TAGS,
        attributes={"*": {"class"}, "td": {"colspan"}, "a": {"href"}, "img": {"src", "alt"}},
        attribute_filter=_kept,
        url_schemes={"https", "mailto", "data"},
    )


def _kept(_tag: str, name: str, value: str) -> str | None:
    """Pictures of ours and links that leave by https; nothing else that points anywhere."""
    if name == "src" and not value.startswith(_PICTURE):
        return None
    if name == "href" and not value.startswith(("https://", "mailto:", "#")):
        return None
    return value
