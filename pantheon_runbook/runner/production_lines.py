"""What production serves now beside what staging has, in the words of the first card of a run on production. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pantheon_runbook.database.migrations.revision_kinds import LEDGER, TREE
from pantheon_runbook.database.migrations.undo_kind import UNDO
from pantheon_runbook.database.migrations.units import BEGIN
from pantheon_runbook.deploying import PREVIEW
from pantheon_runbook.model import Finding, Plan, Resource, Snapshot, short_code
from pantheon_runbook.promotion.steps import short, taken_back
from pantheon_runbook.promotion.unit import BUILD, DEPLOYMENT, MARKER, PROMOTION
from pantheon_runbook.providers.supabase_backups import ADDRESS as BACKUPS
from pantheon_runbook.runner import rehearsals
from pantheon_runbook.runner.lock_timeline import longest_lock_of
from pantheon_runbook.runner.production import PRODUCTION
from pantheon_runbook.runner.staging_now import DEPLOYMENT as STAGING_DEPLOYMENT
from pantheon_runbook.runner.staging_now import STAGING_REVISION
from pantheon_runbook.standing import MISSING

Row = tuple[str, str, str, str]
PROJECT, PLACE = "production/project", "staging/place"
# What the rows of the card say already, each where it is looked for.
TOLD_ELSEWHERE = frozenset(
    {"accepted-exposure", "exposure-not-read", "open-exposure", "acceptance-expired", "artefact-rebuilt", "weak-backup"}
)


def is_of_production(snapshot: Snapshot) -> bool:
    return snapshot.environment == PRODUCTION


def production_rows(snapshot: Snapshot) -> tuple[Row, ...]:
    """(sign, what, production, staging); "=" the same on both, "~" differs, "+" not there yet."""
    return (
        ("", "", "production now", "staging" if snapshot.get(PLACE).state == "present" else ""),
        *_project(snapshot),
        *_database(snapshot),
        *_served(snapshot),
        ("", "to fall back on, and what was tried out", "", ""),
        *_way_back(snapshot),
    )


def differs(snapshot: Snapshot) -> tuple[str, ...]:
    """The names of what is not the same on both."""
    return tuple(what for sign, what, _, _ in production_rows(snapshot) if sign == "~")


def _project(snapshot: Snapshot) -> Iterable[Row]:
    seen = snapshot.get(PROJECT)
    if seen.state == "present":
        held = seen.attributes
        staging = snapshot.get(PLACE).attributes.get("supabase_ref", "")
        yield "=", "project", f"{held['ref']}, {held['status']}", str(staging)


def _database(snapshot: Snapshot) -> Iterable[Row]:
    tree, marker, ledger = (snapshot.get(address) for address in (TREE, MARKER, LEDGER))
    if tree.state == "present":
        at, beside = tree.attributes["at"] or [], snapshot.get(STAGING_REVISION)
        staging = ", ".join(beside.attributes.get("heads", ())) if beside.state == "present" else ""
        yield _sign(_at(at), staging), "database", f"at {_at(at)}", f"at {staging}" if staging else ""
    if marker.note == MISSING:
        yield "+", "mark", "not marked as production yet", ""
    if ledger.state == "present":
        yield "=", "ledger", ledger.note.rpartition("; ")[2], ""
    elif ledger.note == MISSING:
        yield "+", "ledger", "not there yet", ""
    unit = snapshot.get(BEGIN)
    if unit.state == "present":
        yield "!", "unit of work", "open", unit.note
    for one in snapshot.resources:
        if one.address.startswith(f"{UNDO}/"):
            stands = "applied" if one.attributes.get("stands") else "not applied"
            yield "=", f"revision {one.address.rpartition('/')[2]}", stands, ""


def _at(heads: Iterable[str]) -> str:
    return ", ".join(heads) or "nothing"


def _served(snapshot: Snapshot) -> Iterable[Row]:
    prefix = f"{DEPLOYMENT}/"
    for one in snapshot.resources:
        if one.address.startswith(prefix):
            name = one.address.removeprefix(prefix)
            yield _beside(name, one, snapshot.get(f"staging/{STAGING_DEPLOYMENT}/{name}"))
    page = snapshot.get(PROMOTION)
    if page.state == "present":
        yield _beside("page", page, snapshot.get(f"staging/{PREVIEW}"))
    build = snapshot.get(BUILD)
    if build.state == "present":
        yield "+", "next build of the page", f"{short(build.attributes.get('commit'))}, not promoted", ""


def _beside(name: str, seen: Resource, staging: Resource) -> Row:
    ours, theirs = seen.attributes, staging.attributes
    return _sign(ours.get("commit"), theirs.get("commit")), name, _since(ours), _since(theirs)


def _since(held: Mapping[str, Any]) -> str:
    if not held:
        return ""
    commit = short(held.get("commit")) or "no commit known"
    return (
        f"{commit} since {str(held['created_at']).partition('.')[0].rstrip('Z')}Z" if "created_at" in held else commit
    )


def _sign(ours: Any, theirs: Any) -> str:
    return "=" if ours == theirs or not theirs else "~"


def _way_back(snapshot: Snapshot) -> Iterable[Row]:
    """What there is to fall back on, and what was tried out before."""
    backup = snapshot.get(BACKUPS)
    if backup.address in {one.address for one in snapshot.resources}:
        yield _backup(backup)
    rehearsal = snapshot.get(rehearsals.PRODUCTION)
    if rehearsal.state != "absent":
        sign = "=" if rehearsal.state == "present" else "?"
        yield sign, "rehearsal", "on a copy of production's schema", rehearsal.note
    lock = longest_lock_of(snapshot)
    if lock:
        yield "!", "longest lock", "as rehearsed", lock


def _backup(seen: Resource) -> Row:
    held = seen.attributes
    if seen.state == "unreadable":
        return "?", "backup", "cannot be read", seen.note
    if held.get("point_in_time"):
        return "=", "backup", "any moment up to now", "times: backups.json"
    if held.get("of_the_last_day"):
        return "!", "backup", "weak: a daily one", "what was written since then would be lost; times: backups.json"
    return "!", "backup", "the vendor has none", ""


def ways_in_rows(snapshot: Snapshot) -> Iterable[Row]:
    """Ways past this tool: the open ones with who accepted them, then those that cannot be read."""
    accepted = {one.address: one for one in snapshot.findings}
    states = [str(one.attributes["state"]) for one in snapshot.resources if one.address.startswith("exposure/")]
    if states:
        closed = sum(state.startswith("closed") for state in states)
        yield "", f"ways into production past this tool: {states.count('open')} open, {closed} closed", "", ""
    for sign, state in (("o", "open"), ("?", "cannot be read")):
        for one in snapshot.resources:
            if one.address.startswith("exposure/") and one.attributes["state"] == state:
                yield sign, one.attributes["address"], f"way in, {state}", _how_open(one, accepted.get(one.address))


def _how_open(seen: Resource, finding: Finding | None) -> str:
    found = str(seen.attributes["found"])
    if finding is not None and finding.code == "accepted-exposure":
        return f"{found}; {finding.what.rpartition('; ')[2]}"
    if finding is not None and finding.blocks:
        return f"{found} -> BLOCKS: {finding.next_step}"
    return found


def rests_on(plan: Plan) -> Iterable[str]:
    """What is approved with the steps: the proof on staging, the artefacts, the backup, and whose commits."""
    release = plan.release
    proof = release.get("staging", {})
    if proof:
        yield f"rests on staging's run {proof['bundle']}, manifest sha256 {short_code(proof['manifest'])}"
    if back := taken_back(release):
        yield f"takes back {back['takes back']}"
        yield f"reason: {back['reason']}"
    for relation, addresses in _by_value(release.get("artefacts", {})).items():
        yield f"what production gets is {_ARTEFACTS.get(relation, relation)}: {', '.join(addresses)}"
    if "backup" in release:
        yield f"backup: {_BACKUPS[release['backup']]}"
    if lock := release.get("longest_lock"):
        yield f"longest lock, as rehearsed: {lock}"
    authors = [f"{one['name']} ({one['source']})" for one in release.get("authors", ())]
    if authors:
        yield f"authors, none of whom may approve it: {'; '.join(authors)}"
    if "covered" in release:
        covered = "the approval of the promotion covers it" if release["covered"] else "it needs an approval of its own"
        yield f"approval: {covered}"
    ways = [one for one in plan.findings if one.code in {"accepted-exposure", "exposure-not-read"}]
    for code, words in (("accepted-exposure", "open and accepted"), ("exposure-not-read", "cannot be read")):
        names = [one.address.removeprefix("exposure/") for one in ways if one.code == code]
        if names:
            yield f"ways in, {words}: {', '.join(names)}"


_ARTEFACTS = {
    "same image digest": "the very image that staging has proven (same image digest)",
    "same build": "the very build that staging has proven (same build)",
    "same commit, rebuilt": "built anew from the commit that staging has proven (same commit, rebuilt: weak)",
}
_BACKUPS = {
    "strong": "strong: any moment up to now",
    "weak": "weak: a daily one, so that what was written since would be lost",
    "none": "NONE",
}


def _by_value(of: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for address, value in sorted(of.items()):
        found.setdefault(value, []).append(address)
    return found
