"""A live run is sealed by a key that is pinned in the trust file people commit, or it does not begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_bad_input import _assert_is_card

from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import sealing_key, trust_entry
from pantheon_runbook.secrets import Registry
from pantheon_runbook.verdict import NotebookStatus

pytestmark = [pytest.mark.xdist_group("runner-quiet"), pytest.mark.alike]


@pytest.fixture
def live(desk):
    """A live config, a key, and `lines`: what `keys new` printed; pinned nowhere yet."""
    desk.live()
    code, desk.lines, _ = desk.call("keys", "new", "live-seal")
    assert 0 == code
    desk.trust = desk.folder / "trust.toml"
    return desk


def sealing_item(desk):
    """What `doctor` says of the key; without credentials it asks nobody."""
    desk.environment["PANTHEON_CREDENTIALS"] = None
    items = json.loads(desk.call("doctor", "--json")[1])
    return next(item for item in items if item["name"] == "sealing key")


NOT_PINNED = {
    "no trust file": None,
    "another key": lambda live: live.lines.replace(sealing_key("live").public, "1f" * 32),
    "pinned for the sandbox": lambda live: live.lines.replace('"live"', '"sandbox"'),
    "only its id, in a comment": lambda _: f"# {sealing_key('live').keyid}\n",
    "no TOML": lambda live: live.lines + "[[",
    "a folder": None,
}


@pytest.mark.rare
@pytest.mark.parametrize("case", NOT_PINNED)
def test_key_that_is_not_pinned_opens_nothing(live, case: str):
    """Before any vendor is asked: it could not be checked what such a run did."""
    make = NOT_PINNED[case]
    if make is not None:
        live.trust.write_text(make(live))
    if case == "a folder":
        live.trust.mkdir()

    code, _, error = live.call("run", "RB-010")

    assert 2 == code
    _assert_is_card(error, "the key that seals live evidence is not pinned")
    assert "`pantheon-runbook keys new live-seal`" in error
    assert "into trust.toml and commit it" in error
    assert [] == live.evidence()
    assert (False, True) == (sealing_item(live)["passed"], "is not pinned" in sealing_item(live)["found"])


def test_key_pinned_in_the_evidence_folder_does_not_count(live):
    """Whoever owns that folder could pin any key."""
    (live.folder / "evidence").mkdir()
    (live.folder / "evidence" / "trust.toml").write_text(live.lines)

    assert 2 == live.call("run", "RB-010")[0]
    assert "MISSING  sealing key" in live.call("doctor")[1]


def test_printed_lines_are_what_is_needed(live):
    live.trust.write_text(live.lines)

    assert sealing_item(live)["passed"]


def sealed_for(live, cloud: str) -> str:
    """The name of a bundle in the configured folder."""
    evidence = live.folder / "evidence"
    place = Place(evidence, cloud, "staging", "RB-010", cloud * 8, "2026-11-23T10:00:00Z")
    bundle = Bundle(place, Registry())
    facts = {"runbook": "RB-010", "cloud": cloud, "environment": "staging", "mode": "plan"}
    journal = Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=Registry())
    journal.write("run-opened", **facts, operator="supervisor", operator_source="login name on this machine", tool={})
    return bundle.seal(sealing_key(cloud), NotebookStatus("not-observed"))[0].name


def test_verify_takes_the_trust_file_beside_a_live_config(live):
    """Rehearsals in the same folder stay checkable by the key that the sandbox pinned there."""
    live.trust.write_text(live.lines)
    names = [sealed_for(live, "live"), sealed_for(live, "sandbox")]

    code, out, _ = live.call("evidence", "verify", "--json")

    assert (0, []) == (code, json.loads(out)["findings"])
    assert {names[0]: "live-seal", names[1]: "sandbox, pinned at first use"} == json.loads(out)["sealed_by"]
    own = Path("evidence") / "trust.toml"
    assert {
        names[0]: f"key {sealing_key('live').keyid[:12]} in trust.toml",
        names[1]: f"key {sealing_key('sandbox').keyid[:12]} in {own}",
    } == json.loads(out)["keys"]


def test_live_evidence_needs_a_trust_file_from_elsewhere(live):
    """Without a live config, and without --trust, what the evidence folder pins itself counts for rehearsals only."""
    name = sealed_for(live, "live")
    (live.folder / "evidence" / "trust.toml").write_text(live.lines)
    live.config.unlink()
    live.trust.write_text(live.lines)

    code, out, _ = live.call("evidence", "verify", "evidence")
    assert 4 == code
    assert "WRONG   trust.toml: its key for live does not count: name the trust file that is kept elsewhere" in out
    assert f"WRONG   {name}/seal.json: no pinned key signed it" in out
    assert 4 == live.call("evidence", "verify", "evidence", "--trust", "evidence/trust.toml")[0]
    assert 0 == live.call("evidence", "verify", "evidence", "--trust", "trust.toml")[0]


def test_one_bundle_is_checked_alone(live):
    live.trust.write_text(live.lines)
    name = sealed_for(live, "live")

    code, out, _ = live.call("evidence", "verify", f"evidence/{name}")

    assert 0 == code
    assert ["ledger  not looked at: this is one bundle alone", "1 bundles, 0 findings"] == out.splitlines()[-2:]


def test_owner_whose_name_the_terminal_does_not_know(live):
    """The check comes to its end, and says it in other letters."""
    live.trust.write_text(live.lines.replace('owner = "live-seal"', 'owner = "Łukasz"'))
    sealed_for(live, "live")
    live.environment["PYTHONIOENCODING"] = "ascii"

    code, out, error = live.call_for_real("evidence", "verify")

    assert (0, "") == (code, error)
    assert r"sealed by \u0141ukasz" in out


def test_live_key_pinned_in_the_evidence_folder_verifies_nothing(live):
    """Not even under the name of the committed one."""
    live.trust.write_text(live.lines)
    name = sealed_for(live, "live")
    (live.folder / "config").rename(live.folder / "former")
    live.call("keys", "new", "live-seal")
    forged = trust_entry(sealing_key("live"), owner="mallory", cloud="live")
    (live.folder / "evidence" / "trust.toml").write_text(forged)
    bundle = live.folder / "evidence" / name
    (bundle / "seal.json").write_bytes(sealing_key("live").seal((bundle / "manifest.json").read_bytes()))

    code, out, _ = live.call("evidence", "verify")

    assert 4 == code
    assert f"WRONG   {name}/seal.json: no pinned key signed it" in out


def test_named_trust_file_is_the_only_one(live):
    live.trust.write_text(live.lines)
    name = sealed_for(live, "sandbox")

    code, out, _ = live.call("evidence", "verify", "--trust", str(live.trust))

    assert 4 == code
    assert f"WRONG   {name}/seal.json: no pinned key signed it" in out


def test_rehearsal_asks_for_no_pin(desk):
    """The sandbox pins at first use."""
    assert sealing_item(desk)["passed"]
