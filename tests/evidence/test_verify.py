"""`verify` as one file, on many bundles, and on whatever somebody may put into the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import cryptography
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.seal import sealing_key, trust_entry

IS_FULL = os.environ.get("PANTHEON_SWEEP") == "full"
ANYWHERE = ("trust.toml", "ledger.jsonl", "*/seal.json", "*/manifest.json", "*/journal.jsonl")
NASTY = (
    b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"{}", b"[]", b"null", b'"\\ud800"', b"\xff\xfe\x00", b"\n\n\n",
    b'{"payload": 1, "payloadType": [], "signatures": 5}',
    b'{"payload": "", "payloadType": "\\ud800", "signatures": {}}',
    b'{"payload": "", "payloadType": "x", "signatures": [{"keyid": 5, "sig": "AA=="}]}',
    b'{"seq": 0, "previous": "' + b"0" * 64 + b'", "bundle": ["\\ud800"]}',
    b"keys = 5", b'keys = "abc"', b'[[keys]]\nkeyid = []\npublic = "zz"', b"keys = [[1]]",
)  # fmt: skip


def test_runs_as_one_file(three, tmp_path):
    """Copied elsewhere, in an environment that holds cryptography and nothing of ours."""
    script = shutil.copy(Path(verifier.__file__), tmp_path / "check.py")
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").rglob("site-packages"))
    libraries = Path(cryptography.__file__).parents[1]
    for name in ("cryptography", "cffi", "_cffi_backend*", "pycparser"):
        for found in libraries.glob(name):
            (site / found.name).symlink_to(found)
    command = [tmp_path / "venv" / "bin" / "python", "-I", script]

    intact = subprocess.run([*command, three.evidence], capture_output=True, text=True, check=False)
    (three.folders[1] / "plan.json").write_bytes(b"{}")
    wrong = subprocess.run([*command, three.evidence], capture_output=True, text=True, check=False)
    usage = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (0, "") == (intact.returncode, intact.stderr)
    assert "3 bundles, 0 findings" in intact.stdout
    assert (4, "") == (wrong.returncode, wrong.stderr)
    assert f"WRONG   {three.folders[1].name}/plan.json: changed after sealing" in wrong.stdout
    assert (2, "usage: python verify.py EVIDENCE_FOLDER [TRUST_FILE]\n") == (usage.returncode, usage.stderr)


def test_file_imports_nothing_of_ours():
    imported = [line for line in Path(verifier.__file__).read_text().splitlines() if "import" in line.split("#")[0]]

    assert [] == [line for line in imported if line.startswith(("from pantheon", "import pantheon"))]


@pytest.mark.sweep
def test_three_hundred_bundles(make, record_property):
    """Offline and quick: seconds, not minutes, for a year of runs."""
    count = 300 if IS_FULL else 60
    for number in range(count):
        make.sealed(number, notebook=False)

    began = time.perf_counter()
    report = verifier.verify(make.evidence)
    seconds = time.perf_counter() - began
    record_property("seconds", seconds)
    sys.stdout.write(f"{count} bundles verified in {seconds:.2f} s\n")

    assert (count, ()) == (len(report.bundles), report.findings)
    assert seconds < count / 50


@pytest.mark.parametrize("content", NASTY, ids=lambda content: repr(content[:24]))
@pytest.mark.parametrize("where", ANYWHERE)
def test_nasty_file_is_a_finding(three, where: str, content: bytes):
    """Never a traceback, never intact, and always text that can be printed."""
    next(iter(sorted(three.evidence.glob(where)))).write_bytes(content)

    report = verifier.verify(three.evidence)

    assert not report.is_intact
    "\n".join(verifier.lines_of(report)).encode()


@settings(
    max_examples=400 if IS_FULL else 60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    where=st.sampled_from(ANYWHERE), at=st.floats(0, 1), put=st.binary(min_size=1, max_size=40), cut=st.integers(0, 40)
)
def test_random_damage_never_raises(three, where: str, at: float, put: bytes, cut: int):
    path = next(iter(sorted(three.evidence.glob(where))))
    before = path.read_bytes()
    start = int(at * len(before))
    damaged = before[:start] + put + before[start + cut :]
    path.write_bytes(damaged)
    try:
        report = verifier.verify(three.evidence)
    finally:
        path.write_bytes(before)

    "\n".join(verifier.lines_of(report)).encode()
    # The trust file is TOML: a word in a comment or a blank may change without a meaning; the rest is exact bytes.
    assert not report.is_intact or damaged == before or where in {"trust.toml", "*/seal.json", "ledger.jsonl"}


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b"no JSON", b'{"bundle": 5, "files": []}', b"[" * 100_000])
def test_signed_nonsense_is_a_finding(three, manifest: bytes):
    """Whoever holds a pinned key is trusted, but not to be free of bugs."""
    (three.folders[0] / "seal.json").write_bytes(three.key.seal(manifest))

    problems = [finding.problem for finding in verifier.verify(three.evidence).findings]

    assert "what it seals is no manifest" in problems


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take no such name")
def test_file_name_cannot_move_the_cursor(three):
    (three.folders[0] / "\x1b[2K\rintact").write_bytes(b"")
    (three.folders[0] / os.fsdecode(b"\xff\xfe")).mkdir()

    lines = "\n".join(verifier.lines_of(verifier.verify(three.evidence)))

    assert r"\x1b[2K\rintact: not in the manifest" in lines
    assert r"\udcff\udcfe: not in the manifest" in lines
    assert "\x1b" not in lines


def test_nothing_to_check_is_not_green(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert ["trust.toml", "ledger.jsonl"] == [finding.file for finding in verifier.verify(folder).findings]


def test_open_run_is_said(three):
    bundle, _ = three.begun(9)

    report = verifier.verify(three.evidence)

    assert (True, (bundle.place.name,)) == (report.is_intact, report.unsealed)
    assert f"open    {bundle.place.name}" in "\n".join(verifier.lines_of(report))
    three.forget(bundle)


def test_trust_entry_says_owner_and_cloud(three):
    """A name with quotes stays one name."""
    trust = three.evidence / "trust.toml"
    trust.write_text(trust_entry(sealing_key("sandbox"), owner='O"Brien\n[x]', cloud="sandbox"))

    assert {'O"Brien\n[x]'} == set(verifier.verify(three.evidence).sealed_by.values())
