"""The latest sealed run of a kind: what a later one may rest on."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from pantheon_runbook.evidence import ledger
from pantheon_runbook.evidence.verify import verify


def latest(
    evidence: Path, *, cloud: str, environment: str, runbooks: Container[str], holds: str, trust: Path | None = None
) -> tuple[str, dict[str, Any]] | None:
    """Name and content of the JSON file `holds`, from the newest intact bundle that came to a good end and has one.

    A bundle that does not verify is passed over: nothing rests on what somebody changed.
    """
    for entry in reversed(list(ledger.entries(evidence))):
        folder = evidence / str(entry["bundle"])
        is_ours = entry["cloud"] == cloud and entry["runbook"] in runbooks and entry["verdict"] in _GOOD_ENDS
        is_about = folder.name.rpartition("-")[0].endswith(f"-{entry['runbook']}-{environment}")
        if is_ours and is_about and (folder / holds).exists() and verify(folder, trust).is_intact:
            return folder.name, dict(json.loads((folder / holds).read_bytes()))
    return None


_GOOD_ENDS = frozenset({"done", "nothing-to-do"})
