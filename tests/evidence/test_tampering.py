"""Every way in which somebody might change sealed evidence, and the file that `verify` then names."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.evidence import verify as verifier
from pantheon_runbook.evidence.seal import new_key, trust_entry

FILES = (
    "approval.json", "journal.jsonl", "manifest.json", "plan.json", "report.html", "report.md", "runbook.ipynb",
    "seal.json", "snapshot.json", "verdict.json",
)  # fmt: skip
SECOND, LEDGER = "second/", "-/ledger.jsonl"


def named(three: Any) -> set[str]:
    """ "second/plan.json" for each finding; "-" stands for the evidence folder itself."""
    numbers = {"10:00:00": "first", "10:00:01": "second", "10:00:02": "third"}
    words = {f"20261123T{moment.replace(':', '')}Z": name for moment, name in numbers.items()}
    findings = verifier.verify(three.evidence).findings
    return {f"{words.get(finding.bundle[:16], finding.bundle) or '-'}/{finding.file}" for finding in findings}


def test_untouched_is_intact(three):
    report = verifier.verify(three.evidence)

    assert () == report.findings
    assert tuple(path.name for path in three.folders) == report.bundles
    assert ["done"] * 3 == list(report.verdicts.values())
    assert ["sandbox, pinned at first use"] * 3 == list(report.sealed_by.values())


def test_bundle_holds_exactly_its_files(three):
    assert list(FILES) == sorted(path.name for path in three.folders[0].iterdir())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link(path: Path) -> None:
    """The same bytes, but somewhere else."""
    elsewhere = path.parent.parent / f".elsewhere-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def pipe(path: Path) -> None:
    """A file that never ends when it is read."""
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("how", [flip, cut, empty, Path.unlink, link, pipe, folder], ids=lambda how: how.__name__)
@pytest.mark.parametrize("name", FILES)
def test_changed_file_is_named(three, name: str, how: Callable[[Path], None]):
    how(three.folders[1] / name)

    assert {SECOND + name} == named(three)


def _edit(path: Path, change: Callable[[dict[str, Any]], object], *, indent: int | None = 1) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document, indent=indent, sort_keys=True))


def _sign_again(three: Any, *, pinned: bool) -> None:
    """Everything anew and consistent, but by somebody else."""
    bundle = three.folders[1]
    key = new_key("mallory")
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "verdict.json").write_bytes(b"{}")
    manifest["files"]["verdict.json"] = {"sha256": hashlib.sha256(b"{}").hexdigest(), "bytes": 2}
    raw = json.dumps(manifest).encode()
    (bundle / "manifest.json").write_bytes(raw)
    (bundle / "seal.json").write_bytes(key.seal(raw))
    if pinned:
        with (three.evidence / "trust.toml").open("a") as trust:
            trust.write(trust_entry(key, owner="mallory", cloud="sandbox"))


def _sign_as_live(three: Any) -> None:
    """The sandbox's own key, which everybody with a sandbox has, under a manifest that says live."""
    bundle = three.folders[1]
    manifest = {**json.loads((bundle / "manifest.json").read_bytes()), "cloud": "live"}
    raw = json.dumps(manifest).encode()
    (bundle / "manifest.json").write_bytes(raw)
    (bundle / "seal.json").write_bytes(three.key.seal(raw))


def _move_into(path: Path, folder: str) -> None:
    path.with_name(folder).mkdir()
    path.rename(path.with_name(folder) / "p")


def _swap(three: Any, name: str) -> None:
    first, second = three.folders[0] / name, three.folders[1] / name
    mine, theirs = first.read_bytes(), second.read_bytes()
    first.write_bytes(theirs)
    second.write_bytes(mine)


def _lines(three: Any, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = three.evidence / "ledger.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))


def _chained_anew(lines: list[bytes]) -> list[bytes]:
    """What a forger does who knows how the chain is made."""
    previous, new = verifier.NO_PREVIOUS, []
    for number, line in enumerate(lines):
        entry = {**json.loads(line), "seq": number, "previous": previous}
        new.append(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode())
        previous = hashlib.sha256(new[-1]).hexdigest()
    return new


def _remove_with_its_line(three: Any) -> None:
    shutil.rmtree(three.folders[1])
    _lines(three, lambda lines: _chained_anew([lines[0], lines[2]]))


def _copy_as(three: Any, name: str) -> None:
    shutil.copytree(three.folders[1], three.evidence / name)


CASES: dict[str, tuple[Callable[[Any], object], set[str]]] = {
    "file added": (lambda three: (three.folders[1] / "note.txt").write_text("x"), {"second/note.txt"}),
    "half-written file added": (  # by a name that a run may leave before it is sealed
        lambda three: (three.folders[1] / ".report.md.new").write_text("x"),
        {"second/.report.md.new"},
    ),
    "empty folder added": (lambda three: (three.folders[1] / "more").mkdir(), {"second/more"}),
    "hidden file added": (lambda three: (three.folders[1] / ".x").write_text(""), {"second/.x"}),
    "file moved into a folder": (
        lambda three: _move_into(three.folders[1] / "plan.json", "d"),
        {"second/plan.json", "second/d"},
    ),
    "bundle renamed": (
        lambda three: three.folders[1].rename(three.evidence / "renamed"),
        {"renamed/manifest.json", "renamed/ledger.jsonl", "second/"},
    ),
    "bundle removed": (lambda three: shutil.rmtree(three.folders[1]), {"second/"}),
    "bundle hidden": (lambda three: three.folders[1].rename(three.evidence / ".hidden"), {"second/"}),
    "bundle is a link": (lambda three: link(three.folders[1]), {"second/"}),
    "bundle copied": (lambda three: _copy_as(three, "copy"), {"copy/manifest.json", "copy/ledger.jsonl"}),
    "bundle removed with its line": (_remove_with_its_line, {LEDGER}),
    "two journals swapped": (
        lambda three: _swap(three, "journal.jsonl"),
        {"first/journal.jsonl", "second/journal.jsonl"},
    ),
    "two manifests swapped": (
        lambda three: _swap(three, "manifest.json"),
        {"first/manifest.json", "second/manifest.json"},
    ),
    "two seals swapped": (
        lambda three: _swap(three, "seal.json"),
        {"first/manifest.json", "first/journal.jsonl", "second/manifest.json", "second/journal.jsonl", LEDGER}
        | {f"{one}/{name}" for one in ("first", "second") for name in ("report.html", "report.md")},
    ),
    "manifest written in another way": (
        lambda three: _edit(three.folders[1] / "manifest.json", lambda _: None, indent=None),
        {"second/manifest.json"},
    ),
    "signature stripped": (
        lambda three: _edit(three.folders[1] / "seal.json", lambda seal: seal.update(signatures=[])),
        {"second/seal.json"},
    ),
    "payload type changed": (
        lambda three: _edit(three.folders[1] / "seal.json", lambda seal: seal.update(payloadType="text/plain")),
        {"second/seal.json"},
    ),
    "payload changed": (
        lambda three: _edit(
            three.folders[1] / "seal.json", lambda seal: seal.update(payload=base64.b64encode(b"{}").decode())
        ),
        {"second/seal.json"},
    ),
    "key id changed": (  # it is only a hint
        lambda three: _edit(three.folders[1] / "seal.json", lambda seal: seal["signatures"][0].update(keyid="x")),
        set(),
    ),
    "signed again by another key": (lambda three: _sign_again(three, pinned=False), {"second/seal.json"}),
    "signed again by another pinned key": (
        lambda three: _sign_again(three, pinned=True),
        {LEDGER, "second/verdict.json"},
    ),
    "signed as live by the sandbox's key": (_sign_as_live, {"second/seal.json"}),
    "trust file removed": (
        lambda three: (three.evidence / "trust.toml").unlink(),
        {"-/trust.toml", "first/seal.json", "second/seal.json", "third/seal.json"},
    ),
    "ledger removed": (
        lambda three: (three.evidence / "ledger.jsonl").unlink(),
        {LEDGER, "first/ledger.jsonl", "second/ledger.jsonl", "third/ledger.jsonl"},
    ),
    "ledger: a line edited": (
        lambda three: _lines(three, lambda lines: [lines[0], lines[1].replace(b'"done"', b'"failed"'), lines[2]]),
        {LEDGER},
    ),
    "ledger: the last line edited": (
        lambda three: _lines(three, lambda lines: [*lines[:2], lines[2].replace(b'"done"', b'"failed"')]),
        {LEDGER},
    ),
    "ledger: a time edited and chained anew": (
        lambda three: _lines(
            three, lambda lines: _chained_anew([lines[0].replace(b'"at":"2', b'"at":"1'), *lines[1:]])
        ),
        {LEDGER},
    ),
    "ledger: the last line removed": (lambda three: _lines(three, lambda lines: lines[:2]), {"third/ledger.jsonl"}),
    "ledger: the first line removed": (
        lambda three: _lines(three, lambda lines: lines[1:]),
        {LEDGER, "first/ledger.jsonl"},
    ),
    "ledger: two lines swapped, chained anew": (
        lambda three: _lines(three, lambda lines: _chained_anew([lines[1], lines[0], lines[2]])),
        {LEDGER},
    ),
    "ledger: a line twice, chained anew": (
        lambda three: _lines(three, lambda lines: _chained_anew([*lines, lines[2]])),
        {"third/"},
    ),
    "ledger: a line for a bundle elsewhere": (
        lambda three: _lines(
            three, lambda lines: _chained_anew([*lines, json.dumps({"bundle": "../../etc"}).encode()])
        ),
        {"../../etc/"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_tampering_is_named(three, case: str):
    tamper, expected = CASES[case]

    tamper(three)

    assert expected == named(three)


def test_key_of_others_is_found_by_the_committed_trust_file(three, tmp_path):
    """A forger pins his own key beside his bundles; whoever checks brings the trust file that was reviewed."""
    reviewed = shutil.copy(three.evidence / "trust.toml", tmp_path / "reviewed.toml")
    _sign_again(three, pinned=True)

    findings = verifier.verify(three.evidence, Path(reviewed)).findings

    assert "seal.json" in {finding.file for finding in findings}


def test_last_bundle_with_its_line_is_the_limit(three):
    """Said openly: who takes away the newest bundle and its line leaves a shorter history that is whole."""
    shutil.rmtree(three.folders[2])
    _lines(three, lambda lines: lines[:2])

    assert set() == named(three)
