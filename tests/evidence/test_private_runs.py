"""A run's folder before it is sealed: private, masked, and sealed as what it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import nbformat
import pytest

from pantheon_runbook.evidence import journal, sealing, verify
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.secrets import MASK, Registry
from pantheon_runbook.verdict import NotebookStatus

SECRET = 'late-Secret/with"quotes&more-0123456789'


def test_folder_of_a_running_run_is_its_users_alone(make):
    bundle, _ = make.begun()

    modes = {path.name: path.stat().st_mode & 0o077 for path in (bundle.folder, bundle.folder.parent)}

    assert {bundle.place.name: 0, ".running": 0} == modes
    make.forget(bundle)


def test_file_of_a_running_run_is_masked(make):
    """From the moment it is there, and not only in the end."""
    registry = Registry()
    registry.add(SECRET, name="database.password")
    bundle, _ = make.begun(registry=registry)

    bundle.write("approval.json", json.dumps({"by": SECRET}).encode())

    assert {"by": MASK} == json.loads((bundle.folder / "approval.json").read_bytes())
    make.forget(bundle)


def test_secret_that_only_a_browser_would_spell_out_is_masked_in_the_report(make):
    """An output in HTML may write each letter as a number; the page is made of what it means."""
    registry = Registry()
    registry.add(SECRET, name="database.password")
    bundle, _ = make.begun(registry=registry)
    spelled = "".join(f"&#{ord(letter)};" for letter in SECRET)
    output = nbformat.v4.new_output("display_data", {"text/html": f"<p>it is {spelled}</p>"})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show()", outputs=[output])])

    folder, _ = bundle.seal(make.key, NotebookStatus("all-run"), notebook_json=nbformat.writes(notebook))

    page = (folder / "report.html").read_text()
    assert f"it is {MASK}" in page
    assert () == registry.names_in(page)


def test_verdict_given_before_a_kill_is_kept(make, monkeypatch):
    """The runner dies between its verdict and its signature: the run was done, and whoever seals it says so."""
    bundle, _ = make.begun()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "report_markdown", killed)
        with pytest.raises(KeyboardInterrupt):
            bundle.seal(make.key, NotebookStatus("not-observed"))
    make.forget(bundle)

    assert (bundle.place.name,) == seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    assert ["done"] == list(verify.verify(make.evidence).verdicts.values())
    assert 1 == sum(one["event"] == "run-sealed" for one in journal.read(make.folders[0] / "journal.jsonl"))


def test_live_run_pins_no_key(make):
    """Its trust file is written and committed by people."""
    place = replace(make.place(), cloud="live")
    bundle = Bundle(place, Registry())
    Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=Registry()).write("act-begins", act="open")

    bundle.seal(make.key, NotebookStatus("not-observed"))

    assert not (make.evidence / "trust.toml").exists()
    assert {"seal.json"} <= {finding.file for finding in verify.verify(make.evidence).findings}
