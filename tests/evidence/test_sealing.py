"""Sealing survives: kills at every step, torn lines, full disks, many sealers at once, secrets found late."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_runs import ACTS, NOTEBOOK, TOOL
from test_journal import no_file_longer_than

from pantheon_runbook.errors import CredentialError, EvidenceError, ParameterError, UnrecordedError
from pantheon_runbook.evidence import journal, ledger, verify
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.seal import new_key, sealing_key
from pantheon_runbook.secrets import MASK, Registry
from pantheon_runbook.verdict import NotebookStatus

HERE = Path(__file__).parent
IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
STATUS = NotebookStatus("all-run")
UNSEEN = NotebookStatus("not-observed")
LATE = 'late-Secret/with"quotes&more-0123456789'


def program(name: str, *arguments: object, home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE), "XDG_CONFIG_HOME": str(home / "config")}
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, error = process.communicate(timeout=300)
    assert "" == error
    assert 0 == process.returncode
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.sweep
@pytest.mark.parametrize("repair", [(), (4,), (9, 20)] if IS_FULL else [(4, 20)], ids=str)
def test_killed_at_any_step_is_repaired(tmp_path, repair: tuple[int, ...]):
    """The run is there once, with a truthful word, unless it was killed before it looked at anything."""
    rows = rows_of(program("killed_sealing.py", tmp_path, 1 if IS_FULL else 9, *repair, home=tmp_path))

    assert [True] * (len(rows) - 1) + [False] == [row["killed"] for row in rows]
    assert [([], [])] * len(rows) == [(row["findings"], row["left"]) for row in rows]
    middle = [tuple(row["verdicts"][1:-1]) for row in rows]
    assert [(), ("abandoned",), ("done",)] == list(dict.fromkeys(middle))
    assert ("done",) in middle[:-1], "a verdict that was given before the kill is kept"


@pytest.mark.rare
@pytest.mark.sweep
def test_many_sealers_never_fork_the_ledger(tmp_path):
    """Eight processes seal, and repair each other's, in one folder, with one key that none of them had before."""
    each = 12 if IS_FULL else 4
    (tmp_path / "evidence").mkdir()
    processes = [
        program("parallel_sealer.py", tmp_path / "evidence", 100 * number, each, home=tmp_path) for number in range(8)
    ]
    for process in processes:
        rows_of(process)
    seal_abandoned(tmp_path / "evidence", sealing_key_in(tmp_path), Registry(), cloud="sandbox")
    report = verify.verify(tmp_path / "evidence")

    assert () == report.findings
    assert () == report.unsealed
    left_to_others = sum((100 * number + index) % 3 == 2 for number in range(8) for index in range(each))
    assert {"done": 8 * each - left_to_others, "abandoned": left_to_others} == Counter(report.verdicts.values())
    assert 1 == (tmp_path / "evidence" / "trust.toml").read_text().count("[[keys]]")


def sealing_key_in(home: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        return sealing_key("sandbox")


def test_sealer_waits_for_the_ledger(make):
    """Two who both took the last line for the last would fork the chain."""
    make.sealed(0, notebook=False)
    sealer = threading.Thread(target=lambda: make.sealed(1, notebook=False))
    with ledger.held(make.evidence):
        sealer.start()
        sealer.join(0.5)
        assert 1 == len(make.folders)
    sealer.join(10)

    assert 2 == len(make.folders)
    assert () == verify.verify(make.evidence).findings


def test_listed_run_is_only_moved(make):
    """Killed between the ledger and the move: signing it again would enter it twice."""
    make.begun(1)[0].close()  # makes the folder for running ones
    place = make.place(0)
    sealed = make.sealed(0, notebook=False)
    before = (sealed / "manifest.json").read_bytes()
    sealed.rename(make.evidence / ".running" / sealed.name)
    note = {**vars(place), "evidence": "", "run_id": json.loads(before)["run_id"]}
    (make.evidence / ".running" / f"{sealed.name}.place").write_text(json.dumps(note))

    assert (sealed.name,) == seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    assert before == (sealed / "manifest.json").read_bytes()
    assert 1 == len((make.evidence / "ledger.jsonl").read_bytes().splitlines())


def test_living_run_is_left_alone(make):
    bundle, _ = make.begun()

    assert () == seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    assert bundle.folder.exists()
    make.forget(bundle)


def test_run_of_the_other_cloud_waits_for_its_own_key(make):
    """The sandbox's key under a live run would be evidence that nobody could ever verify."""
    bundle, _ = make.begun()
    make.forget(bundle)

    assert () == seal_abandoned(make.evidence, make.key, Registry(), cloud="live")
    assert 1 == len(seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox"))
    assert () == verify.verify(make.evidence).findings


@pytest.mark.parametrize("torn", [b'{"seq": 1, "bund', b"\xff\xfe", b"{}"], ids=["cut", "binary", "no line break"])
def test_torn_ledger_line_is_cut_off(make, torn: bytes):
    make.sealed(0, notebook=False)
    with (make.evidence / "ledger.jsonl").open("ab") as ledger:
        ledger.write(torn)

    make.sealed(1, notebook=False)

    # A whole line that only lost its line break is kept, and is then what `verify` complains of.
    expected = {"ledger.jsonl"} if torn == b"{}" else set()
    assert expected == {finding.file for finding in verify.verify(make.evidence).findings if finding.file}


def test_lost_line_break_at_the_end_is_mended(make):
    make.sealed(0, notebook=False)
    ledger = make.evidence / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().rstrip())

    make.sealed(1, notebook=False)

    assert () == verify.verify(make.evidence).findings
    assert 2 == len(ledger.read_bytes().splitlines())


@pytest.mark.parametrize("damage", [b'{"seq": 17, "ev', b"\xff\n", b"[[[\n"], ids=["cut", "binary", "no JSON"])
def test_damaged_journal_is_sealed_and_named(make, damage: bytes):
    """A line that a crash cut off is gone; other damage stays for the auditor to see, and stops no run."""
    bundle, _ = make.begun()
    with (bundle.folder / "journal.jsonl").open("ab") as file:
        file.write(damage)
    make.forget(bundle)

    assert 1 == len(seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox"))
    expected = set() if not damage.endswith(b"\n") else {"journal.jsonl"}
    assert expected == {finding.file for finding in verify.verify(make.evidence).findings}


def test_late_secret_is_masked_and_fails_the_run(make):
    """The run learns a value after it has shown it: masked in every file, and the run is called what it is."""
    registry = Registry()
    bundle, lines = make.begun(registry=registry)
    lines.write("card", act="verify", text=f"the password is {LATE}")
    lines.write("card", act="verify", text="and a line after it, which carries its hash")
    approval = json.loads((bundle.folder / "approval.json").read_bytes())
    bundle.write("approval.json", json.dumps({**approval, "reason": LATE}).encode())
    registry.add(LATE, name="database.password")

    folder, verdict = bundle.seal(make.key, STATUS, notebook_json=json.dumps({"cells": [], "x": LATE}))

    assert ("failed", 1) == (verdict.word, verdict.exit_code)
    assert "approval.json: database.password; journal.jsonl: database.password" in verdict.why
    assert [] == [path.name for path in folder.iterdir() if registry.names_in(path.read_text())]
    assert {**approval, "reason": MASK} == json.loads((folder / "approval.json").read_bytes())
    assert "FAILED" in (folder / "report.md").read_text().splitlines()[0]
    assert "failed" == journal.read(folder / "journal.jsonl")[-1]["word"]
    assert () == verify.verify(make.evidence).findings


def test_secret_known_in_time_is_no_failure(make):
    registry = Registry()
    registry.add(LATE, name="database.password")
    bundle, lines = make.begun(registry=registry)
    lines.write("card", act="verify", text=f"the password is {LATE}")

    _, verdict = bundle.seal(make.key, UNSEEN)

    assert "done" == verdict.word


def test_token_of_others_is_masked_too(make):
    """Nobody told us of it, but it is built like one."""
    bundle, lines = make.begun()
    lines.write("card", act="verify", text="sbp_" + "a1" * 20)

    folder, _ = bundle.seal(make.key, UNSEEN)

    assert "sbp_a1" not in (folder / "journal.jsonl").read_text()
    assert "sbp_a1" not in (folder / "report.md").read_text()


def test_same_name_is_refused(make):
    """A pinned clock gives two runs one name; the second must not hide the first."""
    place = make.place(0)
    make.sealed(0, notebook=False)
    make.place = lambda _number: type(place)(
        **{**vars(place), "run_id": make.folders[0].name.rpartition("-")[2] + "0" * 24}
    )

    with pytest.raises(EvidenceError) as stopped:
        make.begun(0)

    assert 4 == stopped.value.exit_code
    assert "already" in stopped.value.why


def test_run_that_never_began_leaves_nothing(make):
    bundle, _ = make.begun()

    bundle.close()

    assert [] == list((make.evidence / ".running").iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"], ids=len
)
def test_bad_sealing_key_is_a_card(make, content: bytes):
    path = next((make.evidence.parent / "config").rglob("sandbox-seal.pem"))
    path.write_bytes(content)

    with pytest.raises(CredentialError) as stopped:
        sealing_key("sandbox")

    assert "sandbox-seal.pem" in stopped.value.what


def test_readable_sealing_key_is_refused(make):
    next((make.evidence.parent / "config").rglob("sandbox-seal.pem")).chmod(0o644)

    with pytest.raises(CredentialError, match="others can read it"):
        sealing_key("sandbox")


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "x" * 65])
@pytest.mark.usefixtures("make")
def test_key_name_is_a_file_name(name: str):
    with pytest.raises(ParameterError, match="cannot be the name of a key"):
        new_key(name)


@pytest.mark.usefixtures("make")
def test_key_is_never_written_over():
    before = sealing_key("sandbox").public

    with pytest.raises(CredentialError, match="there is a key sandbox-seal already"):
        new_key("sandbox-seal")

    assert before == sealing_key("sandbox").public


def test_run_that_wrote_nothing_and_has_no_room_is_refused(make):
    bundle, _ = make.begun(acts=ACTS[:3])

    with no_file_longer_than(1), pytest.raises(EvidenceError) as stopped:
        bundle.seal(make.key, UNSEEN)

    assert (4, "nothing was changed; the next run seals this one.") == (stopped.value.exit_code, stopped.value.state)


@pytest.mark.parametrize("notebook", [None, json.dumps(NOTEBOOK)], ids=["no notebook", "notebook"])
def test_run_that_wrote_and_has_no_room_is_not_refused(make, notebook: str | None):
    """Things were written, and no guard said no: the operator must look, and is told where."""
    bundle, _ = make.begun()

    with no_file_longer_than(1), pytest.raises(UnrecordedError) as stopped:
        bundle.seal(make.key, STATUS, notebook_json=notebook)

    journal_path = bundle.folder / "journal.jsonl"
    assert ("incomplete", 5) == (stopped.value.word, stopped.value.exit_code)
    assert f"the run {bundle.place.name} cannot be sealed." == stopped.value.what
    assert f"writes sent or about to be sent: 3, see {journal_path}; the next run seals this one." == (
        stopped.value.state
    )
    assert (bundle.place.name,) == seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    assert () == verify.verify(make.evidence).findings


def test_journal_that_is_gone_does_not_say_that_nothing_was_written(make):
    bundle, _ = make.begun()
    shutil.rmtree(bundle.folder)

    with pytest.raises(UnrecordedError, match="an unknown number of"):
        bundle.seal(make.key, UNSEEN)


def test_manifest_holds_the_versions(make):
    folder = make.sealed(0, notebook=False)

    assert TOOL == json.loads((folder / "manifest.json").read_bytes())["tool"]


@pytest.mark.parametrize("journal_holds", [None, b"", b'{"seq": 0, "ev'], ids=["nothing", "no line", "a cut line"])
def test_run_that_was_killed_before_its_first_line_leaves_nothing(make, journal_holds: bytes | None):
    """It had looked at nothing and sent nothing."""
    bundle = Bundle(make.place(0), Registry())
    if journal_holds is not None:
        (bundle.folder / "journal.jsonl").write_bytes(journal_holds)
    make.forget(bundle)

    assert () == seal_abandoned(make.evidence, make.key, Registry(), cloud="sandbox")
    assert [] == list((make.evidence / ".running").iterdir())
