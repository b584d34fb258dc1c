"""What a power cut must not take: asked of the calls that put things on the disk, in their order."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.secrets import Registry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a descriptor is")


@pytest.fixture
def done(monkeypatch) -> list[str]:
    """ "sync NAME" and "name NAME", in order; a sync says how many bytes were there."""
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(f"sync {path.name}" + (f" {path.stat().st_size}" if path.is_file() else ""))
        fsync(descriptor)

    def name(old: Any, new: Any, **more: Any) -> None:
        done.append(f"name {Path(new).name}")
        rename(old, new, **more)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", name)
    monkeypatch.setattr(os, "rename", name)
    return done


def test_file_has_its_name_only_when_it_is_whole_and_on_the_disk(tmp_path, done):
    (tmp_path / "e").mkdir()

    write_file(tmp_path / "e" / "plan.json", b"12345")

    assert ["sync .plan.json.new 5", "name plan.json", "sync e"] == done


def test_journal_line_is_on_the_disk_before_work_goes_on(tmp_path, done):
    path = tmp_path / "journal.jsonl"

    Journal(path, run_id="r", registry=Registry()).write("write-intent")

    assert [f"sync journal.jsonl {path.stat().st_size}"] == done


def test_ledger_line_is_on_the_disk_before_the_bundle_is_moved(make, done):
    sealed = make.sealed(0, notebook=False)

    size = (make.evidence / "ledger.jsonl").stat().st_size
    assert [f"sync ledger.jsonl {size}", f"name {sealed.name}", "sync evidence"] == done[-3:]
