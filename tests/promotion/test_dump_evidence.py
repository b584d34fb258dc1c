"""A dump that the team takes by itself counts by its receipt, and never for more than weak."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pantheon_runbook.config import Backup, parse_config
from pantheon_runbook.errors import ConfigError
from pantheon_runbook.promotion.backups import BackupEvidence, backup_evidence
from pantheon_runbook.promotion.dumps import better_of, dump_evidence
from pantheon_runbook.providers.supabase_backups import Backups

NOW = datetime.fromisoformat("2026-11-23T10:00:00Z")
REF = "a" * 20
DECLARED = Backup(store="s3://backups/production", receipt="backups/production.json")
GOOD = {"sha256": "1" * 64, "taken_at": "2026-11-23T07:00:00Z", "encrypted_for": "age: ops 2026", "project": REF}
NOTHING = Backups(is_point_in_time=False, earliest="", latest="", backups=())


def judged(receipt: Any, *, now: datetime = NOW) -> BackupEvidence:
    raw = receipt if receipt is None or isinstance(receipt, bytes) else json.dumps(receipt).encode()
    return dump_evidence(raw, DECLARED, ref=REF, now=now)


def test_good_receipt_is_weak_evidence() -> None:
    found = judged(GOOD)

    told = "encrypted dump of 2026-11-23T07:00:00Z, 3 hours old, sha256 1111-1111 in s3://backups/production"
    assert f"weak: {told}, for age: ops 2026" == found.in_words
    assert [("weak-backup", False)] == [(one.code, one.blocks) for one in found.findings]
    assert found.findings == judged(GOOD, now=NOW + timedelta(hours=9)).findings


WRONG = {
    "not there": (None, "is not there"),
    "no JSON": (b"sha256 = 1", "is no JSON"),
    "no text": (b"\xff\xfe", "is no JSON"),
    "no object": ([], "is no receipt"),
    "no digest": ({**GOOD, "sha256": "1" * 63}, "is wrong in sha256"),
    "no key": ({**GOOD, "encrypted_for": ""}, "is wrong in encrypted_for"),
    "not said for whom": ({one: GOOD[one] for one in GOOD if one != "encrypted_for"}, "is wrong in encrypted_for"),
    "more than is known": ({**GOOD, "plain": True}, "is wrong in plain"),
    "no time": ({**GOOD, "taken_at": "this morning"}, "is wrong in taken_at"),
    "no offset": ({**GOOD, "taken_at": "2026-11-23T07:00:00"}, "has a taken_at without its offset"),
    "of another project": ({**GOOD, "project": "b" * 20}, f"is of project {'b' * 20}"),
    "a day old": ({**GOOD, "taken_at": "2026-11-22T10:00:00Z"}, "is 24 hours old"),
    "tomorrow": ({**GOOD, "taken_at": "2026-11-24T10:00:00Z"}, "is dated ahead of now"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_receipt_is_none(name: str) -> None:
    receipt, why = WRONG[name]
    found = judged(receipt)

    (one,) = found.findings
    assert ("none", "dump-not-usable", True) == (found.strength, one.code, one.blocks)
    assert found.what.endswith(why)


def test_vendor_outranks_the_dump() -> None:
    none = backup_evidence(NOTHING, ref=REF, now=NOW)
    strong, weak = BackupEvidence("strong", "point in time"), judged(GOOD)

    assert strong is better_of(strong, weak) is better_of(strong, judged(None))
    assert weak is better_of(none, weak)
    assert none is better_of(none, None)


def test_neither_blocks_with_both_reasons() -> None:
    none = better_of(backup_evidence(NOTHING, ref=REF, now=NOW), judged(None))
    assert "none: Supabase lists none; backups/production.json is not there" == none.in_words
    assert ["no-backup", "dump-not-usable"] == [one.code for one in none.findings if one.blocks]


REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE_CONFIG = re.sub(r'(?<=["/-])<[^>]+>', "x", (REPOSITORY / "pantheon.example.toml").read_text())


def with_store(store: str) -> Any:
    text = f'{EXAMPLE_CONFIG}\n[backup]\nstore = "{store}"\nreceipt = "backups/production.json"\n'
    return parse_config(text, Path("pantheon.toml")).backup


def test_config_names_a_store_elsewhere() -> None:
    assert DECLARED == with_store("s3://backups/production")


@pytest.mark.parametrize(
    "store",
    [
        "/home/me/dumps",
        "file:///home/me/dumps",
        "~/dumps",
        "https://me:password@store.example/x",
        "https://store.example/x?token=y",
    ],
)
def test_config_refuses_a_laptop_and_a_secret(store: str) -> None:
    with pytest.raises(ConfigError, match=r"backup\.store is wrong"):
        with_store(store)
