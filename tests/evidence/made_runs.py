"""Sealed runs without a cloud: what a session would have written, put down by hand."""

from __future__ import annotations

import json
from pathlib import Path

from pantheon_runbook import clock
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import SealingKey, sealing_key
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

PLAN = {"cloud": "sandbox", "identities": {"supabase_ref": "abcdefghijklmnopqrst"}, "changes": []}
MAP = "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# RB-010  Provision staging"},
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": "b",
            "metadata": {},
            "outputs": [
                {
                    "data": {
                        "text/html": f'<div class="pantheon-card"><img alt="map" src="{MAP}"><script>alert(1)</script>'
                        '<a href="data:text/html,x">data</a><a href="javascript:alert(1)">script</a>'
                        '<img src="https://elsewhere.example/x.png" onerror="alert(1)"></div>',
                        "text/plain": "OBSERVED  staging",
                    },
                    "execution_count": 1,
                    "metadata": {},
                    "output_type": "execute_result",
                }
            ],
            "source": "run.observe()",
        },
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class Maker:
    """Makes runs in one evidence folder, all sealed by one key."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence
        self.key: SealingKey = sealing_key("sandbox")

    @property
    def folders(self) -> list[Path]:
        """The sealed bundles, oldest first."""
        return sorted(path for path in self.evidence.iterdir() if path.is_dir() and path.name != ".running")

    def place(self, number: int = 0) -> Place:
        run_id = f"{number:08x}{clock.token('run')}"
        moment = f"2026-11-23T10:{number // 60:02}:{number % 60:02}Z"
        return Place(self.evidence, "sandbox", "staging", "RB-010", run_id, moment)

    def begun(self, number: int = 0, registry: Registry | None = None) -> tuple[Bundle, Journal]:
        """A run that has done its five acts and is not sealed."""
        known = registry or Registry()
        place = self.place(number)
        bundle = Bundle(place, known)
        journal = Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=known)
        journal.write(
            "run-opened",
            runbook="RB-010",
            cloud="sandbox",
            environment="staging",
            mode="apply",
            operator="supervisor",
            operator_source="self-asserted (PANTHEON_OPERATOR)",
        )
        facts = {"plan": {"digest": "4be1c09d" + "0" * 56, "changes": 3}, "approve": {"kind": "self-approved"}}
        for act in ("open", "observe", "plan", "approve", "apply", "verify"):
            journal.write("act-begins", act=act)
            if act == "verify":
                journal.write("checks", checks=[["session pooler answers", "postgres", "postgres", True]])
            journal.write("act-ends", act=act, **facts.get(act, {}))
            journal.write("card", act=act, text=f"{act.upper()}  staging")
        bundle.write("plan.json", json.dumps(PLAN).encode())
        bundle.write("approval.json", b"{}")
        return bundle, journal

    def sealed(self, number: int = 0, *, notebook: bool = True) -> Path:
        bundle, _ = self.begun(number)
        status = NotebookStatus("all-run")
        return bundle.seal(self.key, status, notebook_json=json.dumps(NOTEBOOK) if notebook else None)[0]

    @staticmethod
    def forget(bundle: Bundle) -> None:
        """What the end of its process does: nobody holds the run's note any more."""
        bundle._note.close()
