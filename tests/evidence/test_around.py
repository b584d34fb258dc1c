"""What is around the bundles: whose keys count, the ledger's bytes, `.running`, and folders that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_agreement import chained, replace, where
from test_tampering import _chained_anew, _lines, named

from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import new_key, pin, sealing_key, trust_entry
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

NOBODY = 65534


def problems(three: Any) -> list[str]:
    return [finding.problem for finding in verifier.verify(three.evidence).findings]


def text_of(three: Any, *trust: Path) -> str:
    return "\n".join(verifier.lines_of(verifier.verify(three.evidence, *trust)))


# ---- keys


def sealed_live(three: Any) -> Path:
    """A forger's bundle: his own live key, pinned in the evidence folder itself. The lines that pin it, elsewhere."""
    key = new_key("live-seal")
    place = Place(three.evidence, "live", "staging", "RB-010", "f" * 32, "2026-11-23T10:01:00Z")
    bundle = Bundle(place, Registry())
    journal = Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=Registry())
    facts = {"runbook": "RB-010", "cloud": "live", "environment": "staging", "mode": "plan"}
    journal.write("run-opened", **facts, operator="supervisor", operator_source="-", tool={})
    bundle.seal(key, NotebookStatus("not-observed"))
    lines = trust_entry(key, owner="release manager", cloud="live")
    with (three.evidence / "trust.toml").open("a") as own:
        own.write(lines)
    elsewhere = three.evidence.parent / "trust.toml"
    elsewhere.write_text(lines)
    return elsewhere


def test_live_key_in_the_evidence_folder_counts_for_nobody(three):
    """Nor when that very file is named: whoever owns the folder can pin any key in it."""
    sealed_live(three)
    own = three.evidence / "trust.toml"

    for trust in (None, own, three.evidence / ".." / "evidence" / "trust.toml"):
        found = verifier.verify(three.evidence, trust).findings
        assert ["trust.toml", "seal.json"] == [finding.file for finding in found]
        assert "does not count: name the trust file that is kept elsewhere" in found[0].problem
        assert "no pinned key signed it" in found[1].problem


def test_live_key_from_elsewhere_counts(three):
    elsewhere = sealed_live(three)

    assert () == verifier.verify(three.evidence, elsewhere, with_rehearsals=True).findings


def test_trust_file_from_elsewhere_outranks_the_folders_own(three):
    """The owner of the folder cannot make a live key a rehearsal's by pinning it once more."""
    elsewhere = sealed_live(three)
    own = three.evidence / "trust.toml"
    own.write_text(own.read_text().replace('"live"', '"sandbox"'))

    assert () == verifier.verify(three.evidence, elsewhere, with_rehearsals=True).findings


def test_report_says_which_key_and_where_it_is_pinned(three):
    trust = three.evidence / "trust.toml"

    assert f"sealed by sandbox, pinned at first use, key {three.key.keyid[:12]} in {trust})" in text_of(three)


def test_trust_file_that_never_ends_is_a_finding(three):
    trust = three.evidence / "trust.toml"
    trust.unlink()
    os.mkfifo(trust)

    assert "no pinned keys: no plain file" in problems(three)
    assert {"-/trust.toml", "first/seal.json", "second/seal.json", "third/seal.json"} == named(three)


def test_device_in_the_place_of_a_named_trust_file_is_a_finding(three):
    found = verifier.verify(three.evidence, Path("/dev/zero")).findings

    assert "no pinned keys: no plain file" == found[0].problem


def test_named_trust_file_may_be_a_link(three, tmp_path):
    (tmp_path / "link").symlink_to(shutil.copy(three.evidence / "trust.toml", tmp_path / "reviewed.toml"))

    assert verifier.verify(three.evidence, tmp_path / "link").is_intact


def test_pipe_in_the_place_of_the_trust_file_stops_no_sealing(three):
    trust = three.evidence / "trust.toml"
    trust.unlink()
    os.mkfifo(trust)

    pin(three.key, trust, owner="sandbox, pinned at first use", cloud="sandbox")

    assert verifier.verify(three.evidence).is_intact


# ---- the ledger


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    """The last line in other bytes that mean the same to a JSON reader."""
    return lambda lines: [*lines[:-1], change(lines[-1])]


OTHER_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "a blank": lambda line: line.replace(b'":', b'": ', 1),
    "a blank after it": lambda line: line + b" ",
    "another line break": lambda line: line + b"\r",
    "a name twice": lambda line: line.replace(b"{", b'{"verdict":"failed",', 1),
    "another order": lambda line: json.dumps(dict(reversed(json.loads(line).items())), separators=(",", ":")).encode(),
    "another number": lambda line: line.replace(b'"seq":2', b'"seq":2.0'),
    "a letter spelled out": lambda line: line.replace(b'"done"', b'"d\\u006fne"'),
}


@pytest.mark.parametrize("case", OTHER_BYTES)
def test_ledger_line_in_other_bytes_is_named(three, case: str):
    before = (three.evidence / "ledger.jsonl").read_bytes()
    _lines(three, rewritten(OTHER_BYTES[case]))

    assert before != (three.evidence / "ledger.jsonl").read_bytes()
    assert {"-/ledger.jsonl"} == named(three)


def test_true_is_not_one_in_the_ledger(three):
    """Equal to Python, and not what was sealed."""
    _lines(three, lambda lines: _chained_anew([lines[0], lines[1].replace(b'"seq":1', b'"seq":true'), lines[2]]))
    _lines(three, lambda lines: [lines[0], lines[1].replace(b'"seq":1', b'"seq":true'), lines[2]])

    assert "-/ledger.jsonl" in named(three)


@pytest.mark.parametrize("mark", [b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x85"], ids=repr)
def test_lines_end_with_one_mark_only(mark: bytes):
    """Python knows more line breaks than a ledger or a journal has."""
    assert [b"a" + mark + b"b", b"c"] == verifier.lines_in(b"a" + mark + b"b\nc\n")


def test_ledgers_head_is_printed(three):
    """Noted elsewhere, it shows when the newest bundles were cut off together with their lines."""
    before = verifier.verify(three.evidence)
    shutil.rmtree(three.folders[2])
    _lines(three, lambda lines: lines[:2])
    after = verifier.verify(three.evidence)

    assert (3, 2, ()) == (before.ledger_lines, after.ledger_lines, after.findings)
    assert before.ledger_head != after.ledger_head
    assert f"ledger  2 lines, head {after.ledger_head}" in text_of(three)


# ---- .running


def test_folder_without_its_note_is_a_finding(three):
    """The note is made first and goes last: no run leaves that, and none would seal it."""
    bundle, _ = three.begun(9)
    bundle.place.note.unlink()
    three.forget(bundle)

    (finding,) = verifier.verify(three.evidence).findings
    assert f".running/{bundle.place.name}" == finding.file
    assert f"its note {bundle.place.note.name}: missing" in finding.problem
    assert "none will seal it: look at it, and move it out of .running" in finding.problem
    assert () == verifier.verify(three.evidence).unsealed


OTHER_NOTES: dict[str, Callable[[Bundle], object]] = {
    "another cloud": lambda bundle: replace(bundle.place.note, b'"sandbox"', b'"live"'),
    "another run": lambda bundle: replace(bundle.place.note, b'"00000009', b'"00000008'),
    "another environment": lambda bundle: replace(bundle.place.note, b'"staging"', b'"elsewhere"'),
    "no note": lambda bundle: bundle.place.note.write_bytes(b"[]"),
    "another cloud in the journal": lambda bundle: where({"cloud": "live"}, event="run-opened")(bundle.folder),
    "another run in the journal": lambda bundle: where({"run": "0" * 32}, event="run-opened")(bundle.folder),
    "a journal that nothing opened": lambda bundle: chained(lambda events: events[1:])(bundle.folder),
}


@pytest.mark.parametrize("case", OTHER_NOTES)
def test_note_of_another_run_is_a_finding(three, case: str):
    """A live run whose note says sandbox would be sealed by the sandbox's key, or never."""
    bundle, _ = three.begun(9)
    OTHER_NOTES[case](bundle)
    three.forget(bundle)

    (finding,) = verifier.verify(three.evidence).findings
    assert f"its note {bundle.place.note.name} is not of this run" in finding.problem


def test_run_that_has_only_begun_is_in_order(three):
    bundle = Bundle(three.place(9), Registry())

    report = verifier.verify(three.evidence)

    assert ((), (bundle.place.name,)) == (report.findings, report.unsealed)
    bundle.close()


def moved_back(three: Any, *, note: bool) -> str:
    """As a kill right before the last step leaves it, or somebody who has moved it there."""
    name = three.folders[-1].name
    running = three.evidence / ".running"
    running.mkdir(exist_ok=True)
    three.folders[-1].rename(running / name)
    if note:
        run_id = json.loads((running / name / "manifest.json").read_bytes())["run_id"]
        place = Place(three.evidence, "sandbox", "staging", "RB-010", run_id, "2026-11-23T10:00:02Z")
        (running / f"{name}.place").write_text(json.dumps({**vars(place), "evidence": ""}))
    return name


def test_entered_run_that_was_not_moved_is_said_and_then_moved(three):
    name = moved_back(three, note=True)

    report = verifier.verify(three.evidence)
    assert ["in the ledger (line 3), but still in .running: the next run for this cloud moves it"] == problems(three)
    assert () == report.unsealed

    seal_abandoned(three.evidence, sealing_key("sandbox"), Registry(), cloud="sandbox")
    assert (True, name) == (verifier.verify(three.evidence).is_intact, three.folders[-1].name)


def test_entered_run_that_nobody_will_move_is_not_promised(three):
    moved_back(three, note=False)

    found = problems(three)
    assert 2 == len(found)
    assert not any("the next run" in problem for problem in found)


def test_entered_run_that_was_changed_is_not_promised(three):
    name = moved_back(three, note=True)
    (three.evidence / ".running" / name / "manifest.json").write_bytes(b"{}")

    assert ["in the ledger (line 3), but what lies in .running is not what was entered"] == problems(three)


def test_running_that_is_no_folder_is_a_finding(three):
    shutil.rmtree(three.evidence / ".running")
    (three.evidence / ".running").write_bytes(b"")

    assert ["cannot be read (NotADirectoryError): give permission, what is in it was not seen"] == problems(three)


# ---- what cannot be read


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root may read everything; nobody may not."""
    is_root = os.geteuid() == 0
    os.seteuid(NOBODY) if is_root else None
    try:
        yield
    finally:
        os.seteuid(0) if is_root else None


@pytest.fixture
def open_to_all(three: Any) -> Any:
    """`three`, where everybody can come this far and read everything."""
    for path in three.evidence.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for folder in (three.evidence, *three.evidence.parents):
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    return three


UNREADABLE: dict[str, tuple[str, int, tuple[str, str]]] = {
    "a file": ("{}/plan.json", 0, ("plan.json", "cannot be read (PermissionError)")),
    "a seal": ("{}/seal.json", 0, ("seal.json", "cannot be read (PermissionError)")),
    "a manifest": ("{}/manifest.json", 0, ("manifest.json", "cannot be read (PermissionError)")),
    "a bundle that may not be entered": ("{}", 0o644, ("seal.json", "cannot be read (PermissionError)")),
    "a bundle that may not be listed": ("{}", 0o311, ("", "cannot be read (PermissionError)")),
    "the ledger": ("ledger.jsonl", 0, ("ledger.jsonl", "cannot be read (PermissionError)")),
    "the trust file": ("trust.toml", 0, ("trust.toml", "no pinned keys: cannot be read (PermissionError)")),
    ".running": (
        ".running",
        0,
        (".running", "cannot be read (PermissionError): give permission, what is in it was not seen"),
    ),
    "the folder, which may not be entered": (".", 0o644, ("ledger.jsonl", "cannot be read (PermissionError)")),
    "the folder, which may not be listed": (".", 0o311, (".", "cannot be read (PermissionError)")),
}


@pytest.mark.skipif(sys.platform == "darwin", reason="its nobody has another number")
@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_is_not_missing(open_to_all, case: str):
    """Whoever may not look has not seen that it is gone; and a folder that may be listed only stops no check."""
    where_to, mode, expected = UNREADABLE[case]
    path = open_to_all.evidence / where_to.format(open_to_all.folders[1].name)
    with somebody_else():
        assert verifier.verify(open_to_all.evidence).is_intact
    path.chmod(mode)
    with somebody_else():
        report = verifier.verify(open_to_all.evidence)
    path.chmod(0o755)

    assert expected in {(finding.file, finding.problem) for finding in report.findings}
    assert [] == [finding for finding in report.findings if "missing" in finding.problem or "gone" in finding.problem]


def test_nothing_in_a_bundle_is_entered(three, monkeypatch):
    """A run makes no folder: one is named, however deep it is, and left alone."""
    deep = three.folders[1] / "a"
    deep.mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(deep)
        for _ in range(1500):  # deeper than a program that goes down with it can go, and than a path can be long
            Path("a").mkdir()
            os.chdir("a")

    assert {"second/a"} == named(three)
    subprocess.run(["rm", "-rf", deep], check=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_words_that_the_terminal_does_not_know_are_spelled_out(three, encoding: str):
    trust = three.evidence / "trust.toml"
    trust.write_text(trust_entry(three.key, owner="Łukasz", cloud="sandbox"))

    done = subprocess.run(
        [sys.executable, verifier.__file__, three.evidence],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert rb"sealed by \u0141ukasz" in done.stdout


# ---- one bundle


def test_one_bundle_is_checked_alone(three):
    """As it was handed to somebody who has nothing else of the folder; and that is said."""
    report = verifier.verify(three.folders[1], three.evidence / "trust.toml")

    assert ((three.folders[1].name,), (), None) == (report.bundles, report.findings, report.ledger_head)
    assert "ledger  not looked at: this is one bundle alone" in list(verifier.lines_of(report))


def test_one_bundle_by_its_neighbours_key(three, monkeypatch):
    """From within, too: its name is not in what was typed."""
    monkeypatch.chdir(three.folders[1])

    assert ((three.folders[1].name,), ()) == (
        verifier.verify(Path()).bundles,
        verifier.verify(Path()).findings,
    )


def test_one_changed_bundle_is_named(three):
    (three.folders[1] / "plan.json").write_bytes(b"{}")

    assert ["changed after sealing"] == [one.problem for one in verifier.verify(three.folders[1]).findings]


def test_seal_beside_the_bundles_hides_none_of_them(three):
    """Whoever puts one there to have the rest passed over is found out by it."""
    for name in ("seal.json", "manifest.json"):
        shutil.copy(three.folders[0] / name, three.evidence / name)

    reviewed = shutil.copy(three.evidence / "trust.toml", three.evidence.parent / "trust.toml")

    found = {finding.problem for finding in verifier.verify(three.evidence, Path(reviewed)).findings}
    assert f"sealed as {three.folders[0].name}: the folder was renamed" in found
