"""Sealed runs without a cloud: what a session would have written, put down by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pantheon_runbook import clock
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.decisions import Decisions
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import SealingKey, sealing_key
from pantheon_runbook.model import canonical, digest_of
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

CHANGES = [
    {"address": "openrouter/key", "action": "create", "depends_on": []},
    {"address": "railway/environment", "action": "create", "depends_on": []},
    {"address": "railway/service/api", "action": "create", "depends_on": ["railway/environment"]},
]
OBSERVED = {
    "cloud": "sandbox",
    "environment": "staging",
    "identities": {"supabase_ref": "abcdefghijklmnopqrst"},
    "resources": [{"address": "railway/environment", "state": "absent", "attributes": {}, "note": "größer als nichts"}],
}
SNAPSHOT = {"observed": {**OBSERVED, "observed_at": "2026-11-23T10:00:00Z"}}
PLAN = {
    "cloud": "sandbox",
    "environment": "staging",
    "runbook": "RB-010",
    "identities": {"supabase_ref": "abcdefghijklmnopqrst"},
    "snapshot_digest": digest_of(OBSERVED),
    "changes": CHANGES,
}
TOOL = {"pantheon-runbook": "0.1.0", "python": "3.11.0"}
KIND = "self-approved, not pre-read"
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


ACTS = ("open", "observe", "plan", "approve", "apply", "verify")
CHECKING = ("open", "observe", "compare", "verify")
COMPARISON = {
    "schema": "pantheon-runbook/comparison/1",
    "rows": [],
    "ground": {"supabase/project": {"state": "present"}},
}


def carried_out(journal: Journal, address: str, *, until: str = "change-ends", **end: object) -> None:
    """The four lines of one change, up to this one; `end` is what became of it."""
    write = {"address": address, "vendor": address.partition("/")[0], "operation": "create"}
    lines = {
        "change-begins": {"address": address, "action": "create"},
        "write-intent": write,
        "write-result": {**write, "result": 201},
        "change-ends": {"address": address, "outcome": "done", "reason": "", "seconds": 0.25, **end},
    }
    for event, fields in lines.items():
        journal.write(event, **fields)
        if event == until:
            return


class Maker:
    """Makes runs in one evidence folder, all sealed by one key."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence
        self.key: SealingKey = sealing_key("sandbox")

    @property
    def folders(self) -> list[Path]:
        """The sealed bundles, oldest first."""
        return sorted(path for path in self.evidence.iterdir() if path.is_dir() and path.name != ".running")

    def place(self, number: int = 0, *, runbook: str = "RB-010", environment: str = "staging") -> Place:
        run_id = f"{number:08x}{clock.token('run')}"
        moment = f"2026-11-23T10:{number // 60:02}:{number % 60:02}Z"
        return Place(self.evidence, "sandbox", environment, runbook, run_id, moment)

    def begun(
        self,
        number: int = 0,
        registry: Registry | None = None,
        *,
        acts: tuple[str, ...] = ACTS,
        mode: str = "apply",
        operator: str = "supervisor",
        plan: Mapping[str, Any] = PLAN,
        decisions: Decisions | None = None,
        **about: str,
    ) -> tuple[Bundle, Journal]:
        """A run that has done these acts and is not sealed; `about` are its runbook and environment.

        With `decisions` it is they that approve.
        """
        known = registry or Registry()
        place = self.place(number, **about)
        bundle = Bundle(place, known)
        journal = Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=known)
        journal.write(
            "run-opened",
            runbook=place.runbook,
            cloud="sandbox",
            environment=place.environment,
            mode=mode,
            operator=operator,
            operator_source="self-asserted (PANTHEON_OPERATOR)",
            tool=TOOL,
        )
        for act in acts:
            self._act(act, bundle, journal, plan, decisions)
        return bundle, journal

    @staticmethod
    def _act(act: str, bundle: Bundle, journal: Journal, plan: Mapping[str, Any], decisions: Decisions | None) -> None:
        journal.write("act-begins", act=act)
        facts: dict[str, object] = {}
        if act == "observe":
            bundle.write("snapshot.json", canonical(SNAPSHOT))
            facts = {"resources": 1, "snapshot": digest_of(OBSERVED)}
        if act == "plan":
            bundle.write("plan.json", canonical(plan))
            facts = {"digest": digest_of(plan), "changes": len(plan["changes"])}
        if act == "approve" and decisions:
            bundle.keep(decisions)
            bundle.keep(decisions.approval)
            facts = {"digest": digest_of(plan), "kind": decisions.kind, **decisions.facts}
            facts["approval"] = digest_of(asdict(decisions.approval))
        elif act == "approve":
            approval = {"plan_digest": digest_of(plan), "kind": KIND, "approver": "supervisor"}
            bundle.write("approval.json", canonical(approval))
            facts = {"digest": digest_of(plan), "kind": KIND}
        if act == "apply":
            for change in plan["changes"]:
                carried_out(journal, str(change["address"]))
        if act == "compare":
            bundle.write("comparison.json", canonical(COMPARISON))
            facts = {"compared": 1, "files": {"comparison.json": digest_of(COMPARISON)}}
        if act == "verify":
            journal.write("checks", checks=[["session pooler answers", "postgres", "postgres", True]])
        journal.write("act-ends", act=act, **facts)
        journal.write("card", act=act, text=f"{act.upper()}  staging")

    def sealed(self, number: int = 0, *, notebook: bool = True) -> Path:
        bundle, _ = self.begun(number)
        status = NotebookStatus("all-run" if notebook else "not-observed")
        return bundle.seal(self.key, status, notebook_json=json.dumps(NOTEBOOK) if notebook else None)[0]

    def checked(self, number: int = 0, **about: str) -> Path:
        """A sealed run that only compared, and came to a good end."""
        bundle, _ = self.begun(number, acts=CHECKING, mode="check", **{"runbook": "RB-060", **about})
        return bundle.seal(self.key, NotebookStatus("not-observed"))[0]

    @staticmethod
    def forget(bundle: Bundle) -> None:
        """What the end of its process does: nobody holds the run's note any more."""
        bundle._note.close()
