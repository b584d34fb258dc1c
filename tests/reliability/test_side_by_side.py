"""Changes run along their dependencies: side by side where they can, never before what they need."""

from __future__ import annotations

import json
import time

from pantheon_runbook.session import ACTS


def test_changes_overlap_along_their_dependencies(world):
    world.running.pace(0.02, call_latency_seconds=0.05)
    run = world.open()
    for act in ACTS[:3]:
        run.session.perform(act)
    started = time.monotonic()
    results = run.session.perform("apply")
    took = time.monotonic() - started
    plan = run.session.plan
    lines = (run.bundle.folder / "journal.jsonl").read_text().splitlines()
    world.seal(run)

    events = [json.loads(line) for line in lines]
    began = {e["address"]: e["seq"] for e in events if e["event"] == "change-begins"}
    ended = {e["address"]: e["seq"] for e in events if e["event"] == "change-ends"}
    assert all(ended[need] < began[change.address] for change in plan.changes for need in change.depends_on)
    running = [sum(began[a] <= e["seq"] < ended[a] for a in began) for e in events]
    assert max(running) >= 4
    assert took < sum(result.seconds for result in results) / 1.5
