"""Sealing a run: judge, mask, report, sign, enter in the ledger, move. Killed anywhere, doing it again ends the same.

The order matters. The verdict is in the journal before anything is signed, so whoever goes on after a crash keeps it;
the ledger has the bundle before it is moved, so a bundle in its place is always listed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.evidence import journal, ledger
from pantheon_runbook.evidence.files import encoded, settle, write_file
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.report import report_html, report_markdown
from pantheon_runbook.evidence.seal import TRUST, SealingKey, pin
from pantheon_runbook.evidence.verify import DECISIONS, NOTEBOOK, SEALED_BESIDE, disagreements, ledger_line
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import EXIT_CODES, NotebookStatus, Verdict, judge

_SCHEMA = "pantheon-runbook/manifest/1"
_LEAKED = "a secret had to be masked after the fact, which is our bug: "
_EDITED = "its folder was changed before it was sealed"
_CONTRADICTS = "its files contradict each other"


def complete(
    place: Place,
    registry: Registry,
    key: SealingKey,
    notebook: NotebookStatus,
    *,
    abandoned: bool,
    notebook_json: str | None = None,
) -> Verdict:
    """All of it. `registry` knows what must not be in the bundle. Errors: OSError, EvidenceError."""
    executed = masked(registry, NOTEBOOK, notebook_json).encode() if notebook_json is not None else None
    verdict = _judged(place, registry, notebook, executed, abandoned=abandoned)
    if executed is not None:
        write_file(place.running / NOTEBOOK, executed)  # after its digest is in the journal: one without was planted
    events = journal.read(place.running / "journal.jsonl")
    _write_reports(place, registry, verdict, events)
    with ledger.held(place.evidence) as end:
        raw = encoded(_manifest(place, verdict, end, tool=next((event.get("tool") for event in events), None)))
        write_file(place.running / "manifest.json", raw)
        write_file(place.running / "seal.json", key.seal(raw))
        if place.cloud == "sandbox":
            # Pinning at first use exists for the sandbox only; a live trust file is written by people and committed.
            pin(key, place.evidence / TRUST, owner="sandbox, pinned at first use", cloud="sandbox")
        end.append(ledger_line(raw))
    move_to_its_place(place)
    return verdict


def is_entered(place: Place) -> bool:
    """Whether it was killed between the ledger and the move."""
    manifest = place.running / "manifest.json"
    with ledger.held(place.evidence) as end:
        return manifest.exists() and end.has(hashlib.sha256(manifest.read_bytes()).hexdigest())


def move_to_its_place(place: Place) -> None:
    """The last step: from now on it is one of the sealed bundles."""
    place.running.rename(place.sealed)
    settle(place.evidence)


def _judged(
    place: Place, registry: Registry, notebook: NotebookStatus, executed: bytes | None, *, abandoned: bool
) -> Verdict:
    path = place.running / "journal.jsonl"
    leaks = _mask_leaks(place.running, registry)
    lines = journal.Journal(path, run_id=place.run_id, registry=registry)  # cuts off what a crash left of a last line
    events = journal.read(path) if path.exists() else []
    acts = [event for event in events if event["event"] != "run-sealed"]
    # A sealing that was killed after it had judged has left its verdict there; whoever else wrote one is not believed.
    given = [event for event in events if event["event"] == "run-sealed"]
    untrue = [event for event in given if not (abandoned and _leads_to(acts, event))]
    former = given[-1] if given and not untrue else {}
    digest = hashlib.sha256(executed).hexdigest() if executed is not None else _kept_notebook(place, former)
    if leaks:
        verdict = Verdict("failed", EXIT_CODES["failed"], f"{_LEAKED}{'; '.join(leaks)}", notebook.cells)
    elif former:
        cells = former["cells"] if digest is not None or former["cells"] != "all-run" else notebook.cells
        verdict = Verdict(former["word"], EXIT_CODES[former["word"]], former["why"], cells)
    else:
        verdict = judge(acts, notebook, abandoned=abandoned)
    verdict = _doubted(verdict, place, {"journal.jsonl"} if untrue else set(), abandoned=abandoned)
    said = {"word": verdict.word, "why": verdict.why, "cells": verdict.cells, "notebook": digest}
    if not events or not {"event": "run-sealed", **said}.items() <= events[-1].items():
        lines.write("run-sealed", **said)
    return verdict


def _leads_to(acts: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> bool:
    """Whether this verdict is one that a sealing of ours gives after these acts."""
    why, status = str(given.get("why")), NotebookStatus(given.get("cells", "not-observed"))
    words = [judge(acts, status, abandoned=is_left).word for is_left in (False, True)]
    words += [word for word, mark in (("failed", _LEAKED), ("incomplete", _CONTRADICTS)) if mark in why]
    return given.get("word") in words and {"why", "cells"} <= given.keys()


def _kept_notebook(place: Place, former: Mapping[str, Any]) -> str | None:
    """The digest of the executed notebook that a killed sealing left, None for one that was put there."""
    digest = _digest_of(place.running / NOTEBOOK)
    return digest if digest == former.get("notebook") else None


def _doubted(verdict: Verdict, place: Place, edited: set[str], *, abandoned: bool) -> Verdict:
    """The verdict, unless files were `edited` or contradict each other: then it says so, and is no success."""
    files = sorted(edited | {file for file, _ in disagreements(place.running, asdict(place))})
    if not files:
        return verdict
    doubt = f"; {_EDITED if abandoned else _CONTRADICTS}: {', '.join(files)}"
    word = verdict.word if verdict.exit_code else "abandoned" if abandoned else "incomplete"
    return replace(verdict, word=word, exit_code=EXIT_CODES[word], why=verdict.why.removesuffix(doubt) + doubt)


def _mask_leaks(folder: Path, registry: Registry) -> list[str]:
    """The last net: every file that still shows a known secret is masked; "<file>: <names>" of each."""
    found = []
    for path in sorted(folder.iterdir()):
        text = path.read_bytes().decode(errors="replace")
        if names := registry.names_in(text):
            found.append(f"{path.name}: {', '.join(names)}")
            if path.name == "journal.jsonl":
                journal.mask(path, registry)
            else:
                write_file(path, masked(registry, path.name, text).encode())
    return found


def masked(registry: Registry, name: str, text: str) -> str:
    """The content of one file with every known secret masked; JSON stays JSON."""
    if not registry.names_in(text):
        return text
    if Path(name).suffix in {".json", ".ipynb"}:
        return encoded(registry.redact_in(json.loads(text))).decode()
    return registry.redact(text)


def _write_reports(place: Place, registry: Registry, verdict: Verdict, events: Sequence[Mapping[str, Any]]) -> None:
    folder = place.running
    shown = {**asdict(verdict), "cloud": place.cloud, "environment": place.environment, "runbook": place.runbook}
    plan = _plan_of(folder)
    path = folder / DECISIONS
    decisions = path.read_bytes() if path.exists() else None
    written = {
        "verdict.json": encoded(shown).decode(),
        "report.md": report_markdown(events, shown, plan, decisions),
        "report.html": _page(folder / NOTEBOOK, events, shown, plan, decisions),
    }
    for name, content in written.items():
        write_file(folder / name, registry.redact(content).encode())


def _page(
    path: Path,
    events: Sequence[Mapping[str, Any]],
    shown: Mapping[str, Any],
    plan: Mapping[str, Any],
    decisions: bytes | None,
) -> str:
    """With the executed notebook: the one whose digest is in the journal, and which can be drawn."""
    if events and _digest_of(path) == events[-1].get("notebook"):
        try:
            return report_html(events, shown, plan, path.read_text() if path.exists() else None, decisions)
        except Exception:  # noqa: BLE001  what is raised for what is no notebook has no common kind
            return report_html(events, shown, plan, None, decisions)
    return report_html(events, shown, plan, None, decisions)


def _digest_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _plan_of(folder: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads((folder / "plan.json").read_bytes()))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return {}  # there is none, or somebody damaged it: the manifest will hold what is there


def _manifest(place: Place, verdict: Verdict, end: ledger.LedgerEnd, *, tool: Any) -> dict[str, Any]:
    """What is signed; `tool` are the versions that the journal's first line gives."""
    folder = place.running
    return {
        "schema": _SCHEMA,
        "bundle": place.name,
        "cloud": place.cloud,
        "environment": place.environment,
        "runbook": place.runbook,
        "run_id": place.run_id,
        "started_at": place.started_at,
        "sealed_at": clock.stamp(),
        "verdict": verdict.word,
        "tool": tool,
        "plan_digest": _digest_of(folder / "plan.json"),
        "ledger": {"seq": end.seq, "previous": end.previous},
        "files": _files(sorted(folder.iterdir())),
    }


def _files(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Digest and size of each; half-written files of a crash are removed, what is sealed beside is left out."""
    found = {}
    for path in paths:
        if path.name.startswith(".") and path.name.endswith(".new"):
            path.unlink()
        elif path.name not in SEALED_BESIDE:
            content = path.read_bytes()
            found[path.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return found
