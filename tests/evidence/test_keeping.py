"""What an act brought is on the disk before the journal says that it ended; without it nothing goes on."""

from __future__ import annotations

import json

import pytest

from pantheon_runbook.errors import ActOrderError, EvidenceError
from pantheon_runbook.evidence import journal
from pantheon_runbook.evidence.verify import verify

pytestmark = pytest.mark.xdist_group("runner-quiet")


def test_approval_that_cannot_be_kept_lets_nothing_through(quiet_world):
    """An apply whose approval nobody could be shown would be a write without one."""
    before = quiet_world.mutating()
    run = quiet_world.open("apply")
    quiet_world.plan(run)
    in_its_way = run.bundle.folder / "approval.json"
    in_its_way.mkdir()

    with pytest.raises(EvidenceError, match=r"approval\.json of this run cannot be written"):
        run.session.perform("approve")
    with pytest.raises(ActOrderError):
        run.session.perform("apply")

    in_its_way.rmdir()
    assert "refused" == quiet_world.seal(run).word
    assert before == quiet_world.mutating()
    assert () == verify(quiet_world.evidence).findings


def test_session_alone_leaves_the_files(quiet_world):
    """Whoever drives it: the files are those of the acts, not of the program that shows the cards."""
    run = quiet_world.open("plan")
    plan = quiet_world.plan(run)

    assert plan.to_bytes() == (run.bundle.folder / "plan.json").read_bytes()
    assert ["observed"] == list(json.loads((run.bundle.folder / "snapshot.json").read_bytes()))
    assert "plan" == journal.read(run.bundle.folder / "journal.jsonl")[-1]["act"]
    quiet_world.seal(run)
