"""RB-040: back to what served before a unit of work, by the pointers in its plan. Pure: observed in, desired out.

The reverse of the unit: what was contracted first, then page and backend, then what was expanded. A revision is undone
only where the rehearsal has proven its downgrade; one that is not keeps those below it where they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from pantheon_runbook.database.migrations.revision_kinds import REVISION
from pantheon_runbook.database.migrations.undo_kind import UNDO
from pantheon_runbook.database.migrations.units import BEGIN, END, Unit
from pantheon_runbook.kind import ROLL_BACK
from pantheon_runbook.model import Desired, Finding, Resource, Snapshot
from pantheon_runbook.planning import difference
from pantheon_runbook.promotion.unit import DEPLOYMENT, PROMOTION, SMOKE

VENDORS = ("database", "railway", "vercel")
_CLEAN = "clean"
_STAYS = "none needed: a line that stays"


@dataclass(frozen=True)
class Promoted:
    """The plan of the unit that is taken back: the pointers that were captured before its first step."""

    plan: bytes

    @cached_property
    def told(self) -> Mapping[str, Any]:
        return dict(json.loads(self.plan))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.plan).hexdigest()

    @property
    def pointers(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.told["release"]["pointers"])

    @property
    def promoted(self) -> Mapping[str, str]:
        """By address, the commit that the unit was to bring."""
        changes = [one for one in self.told["changes"] if "commit" in one["after"]]
        return {one["address"]: one["after"]["commit"] for one in changes if one["address"] in self.pointers}

    @property
    def revisions(self) -> tuple[str, ...]:
        """Those that the unit was to apply, in its order."""
        prefix = f"{REVISION}/"
        listed = (one["address"] for one in self.told["changes"])
        return tuple(address.removeprefix(prefix) for address in listed if address.startswith(prefix))

    @property
    def late(self) -> tuple[str, ...]:
        """Those among them that waited for the smoke checks."""
        addresses = [one["address"] for one in self.told["changes"]]
        since = addresses.index(SMOKE) if SMOKE in addresses else len(addresses)
        return tuple(one for one in self.revisions if addresses.index(f"{REVISION}/{one}") > since)

    def digest_of(self, revision: str) -> str:
        address = f"{REVISION}/{revision}"
        return next(str(one["after"]["digest"]) for one in self.told["changes"] if one["address"] == address)

    def way_of(self, revision: str) -> str:
        """How the rehearsal on production's schema undid it; "" when it did not."""
        return str(self.told["release"]["undo"].get(revision, ""))


def undoable(promoted: Promoted, standing: Iterable[str], *, held: Iterable[str] = ()) -> tuple[str, ...]:
    """Of the unit's revisions that stand, the last first, as far as each was undone cleanly in the rehearsal.

    `held` are revisions that a standing one builds on which is not of this unit: they stay.
    """
    stands, stays, found = set(standing), set(held), list[str]()
    for revision in reversed(promoted.revisions):
        if revision not in stands:
            continue
        if revision in stays or promoted.way_of(revision) != _CLEAN:
            break
        found.append(revision)
    return tuple(found)


def desired_way_back(
    promoted: Promoted,
    snapshot: Snapshot,
    *,
    undone: Sequence[str],
    vendors: Sequence[str],
    begins: bool,
    is_told: bool = True,
) -> tuple[Desired, ...]:
    """What should stand when production is as before; `undone` are the revisions to undo, the last first.

    `vendors` are those that are rolled back, `begins`: under an approval of its own, which it uses up. `is_told`: the
    ledger says already how the unit ended.
    """
    late = _in_turn(_undo(one, promoted) for one in undone if one in promoted.late)
    page = tuple(_page(promoted, snapshot)) if "vercel" in vendors else ()
    backends = tuple(one for one in sorted(promoted.pointers) if one.startswith(f"{DEPLOYMENT}/"))
    unseen = () if "database" in vendors else promoted.late
    served = backends if "railway" in vendors else ()
    backend = tuple(_backend(promoted, snapshot, one, late=unseen) for one in served)
    backend = _behind((*late[-1:], *page), backend)
    early = _in_turn(_undo(one, promoted) for one in undone if one not in promoted.late)
    early = (*_behind((*late[-1:], *(backend or page)), early[:1]), *early[1:])
    steps = (*late, *page, *backend, *early)
    is_to_do = any(difference(one, snapshot.get(one.address)) for one in steps)
    if "database" not in vendors or (is_told and not is_to_do):
        return steps
    begun = (_begin(),) if begins else ()
    return (*begun, *_behind(begun, steps), _smoke((*begun, *steps)), _end())


def _in_turn(steps: Iterable[Desired]) -> tuple[Desired, ...]:
    """One after the other."""
    listed = list(steps)
    return (*listed[:1], *(replace(one, depends_on=(former.address,)) for former, one in pairwise(listed)))


def _behind(former: Iterable[Desired], steps: Iterable[Desired]) -> tuple[Desired, ...]:
    needs = tuple(one.address for one in former)
    return tuple(replace(one, depends_on=(*one.depends_on, *needs)) for one in steps)


def _undo(revision: str, promoted: Promoted) -> Desired:
    lost = "what it dropped does not come back, what was written to what it made is lost"
    told = "apply it again, with RB-030"
    attributes = {"stands": False, "digest": promoted.digest_of(revision)}
    return Desired(f"{UNDO}/{revision}", attributes, (), lost, told, told, action="downgrade")


def _page(promoted: Promoted, snapshot: Snapshot) -> Iterator[Desired]:
    """Nothing where no page was shown before."""
    former = promoted.pointers[PROMOTION].get("id")
    is_moving = former is not None and snapshot.get(PROMOTION).attributes.get("moving_to") == former
    told = "promote it again, with RB-030"
    risk = "low: the domains move to a build that has served before"
    if former is not None:
        yield Desired(PROMOTION, {"id": former}, (), risk, told, told, action="wait" if is_moving else ROLL_BACK)


def _backend(promoted: Promoted, snapshot: Snapshot, address: str, *, late: Sequence[str]) -> Desired:
    """By its very image as long as Railway keeps it, else the former commit is built anew; neither: it stays.

    `late` are contractions that may stand, and were not looked at.
    """
    pointer, seen = promoted.pointers[address], snapshot.get(address)
    told = "deploy it again, with RB-030"
    by_image, is_coming = is_kept(seen, pointer), _is_coming(seen, pointer)
    same = {name: pointer[name] for name in _known_of(pointer, by_image=by_image)}
    action, wanted = None, dict[str, Any](same)
    if not _is_back(seen, pointer, by_image=by_image) and not is_coming and by_image:
        action, wanted = ROLL_BACK, {**same, "roll_back_to": pointer["id"]}
    if is_coming:
        action, wanted = "wait", {**same, "status": "SUCCESS"}
    risk = "low: the image that served before" if by_image else "medium: the former commit is built anew"
    if late:
        risk = f"high: it may need what {', '.join(late)} took away, and the database was not looked at"
    return Desired(address, wanted, (), risk, told, told, action=action)


def _known_of(pointer: Mapping[str, Any], *, by_image: bool) -> tuple[str, ...]:
    """What tells that the former one serves: a deployment that goes back has an id of its own."""
    return tuple(name for name in ("commit", "image_digest") if name in pointer and (by_image or name == "commit"))


def _is_back(seen: Resource, pointer: Mapping[str, Any], *, by_image: bool) -> bool:
    """One that was deployed without a commit is told by having none."""
    if seen.attributes.get("id") == pointer.get("id"):
        return True
    names = ("commit", *_known_of(pointer, by_image=by_image))
    return bool(pointer) and all(seen.attributes.get(name) == pointer.get(name) for name in names)


def _is_coming(seen: Resource, pointer: Mapping[str, Any]) -> bool:
    """Whether what is on its way leads back; what serves is so until the one that it replaces has ended."""
    coming, serves = seen.attributes.get("coming_commit"), seen.attributes.get("commit")
    is_on_its_way = coming != serves or seen.attributes.get("status") == "REPLACING"
    return coming is not None and coming == pointer.get("commit") and is_on_its_way


def is_kept(seen: Resource, pointer: Mapping[str, Any]) -> bool:
    """Whether Railway can still run the deployment that the pointer names."""
    former = seen.attributes.get("former", ())
    return any(one["id"] == pointer.get("id") and one["can_roll_back"] for one in former)


def _begin() -> Desired:
    return Desired(BEGIN, {}, (), "none: a line of the ledger; the approval is used up by it", _STAYS, _STAYS, "begin")


def _smoke(steps: Iterable[Desired]) -> Desired:
    told = "none needed: they only read"
    return Desired(SMOKE, {}, tuple(one.address for one in steps), "none: they only read", told, told, action="check")


def _end() -> Desired:
    return Desired(END, {}, (SMOKE,), "none: a line of the ledger", _STAYS, _STAYS, action="end")


def findings(
    promoted: Promoted, snapshot: Snapshot, *, standing: Sequence[str], restore: str, held: Mapping[str, str]
) -> Iterator[Finding]:
    """What cannot be brought back, and what somebody else has changed meanwhile.

    `restore` says how the database as a whole could be put back, and to which moment; `held` are revisions that stay
    because another one builds on them, which is not of this unit.
    """
    undone = undoable(promoted, standing, held=held)
    for revision in (one for one in promoted.revisions if one in standing and one not in undone):
        way = promoted.way_of(revision) or "not rehearsed"
        why = f"its downgrade is not proven ({way})" if way != _CLEAN else "one above it stays"
        why = f"{held[revision]} builds on it, which is not of this unit" if revision in held else why
        step = f"write a revision that puts it right, through staging; or, losing what was written since, {restore}"
        yield Finding("revision-stays", f"{UNDO}/{revision}", f"revision {revision} stays: {why}", step, blocks=False)
        if revision in promoted.late:
            yield from _of_a_contraction(promoted, snapshot, revision)
    for address, pointer in sorted(promoted.pointers.items()):
        if address != REVISION and snapshot.get(address).state != "absent":
            yield from _of_pointer(promoted, snapshot.get(address), address, pointer)


def _of_a_contraction(promoted: Promoted, snapshot: Snapshot, revision: str) -> Iterator[Finding]:
    """The former backend may need what it took away; who knows better says so by naming the vendor alone."""
    for address, pointer in sorted(promoted.pointers.items()):
        seen = snapshot.get(address)
        is_backend = address.startswith(f"{DEPLOYMENT}/") and seen.state != "absent"
        if is_backend and not _is_back(seen, pointer, by_image=is_kept(seen, pointer)):
            name = address.rpartition("/")[2]
            what = f"revision {revision} stays, and the former {name} may need what it took away"
            step = "forward: a fix through staging and RB-030; back all the same: -p only=vercel, then -p only=railway"
            yield Finding("contracted", address, what, step)


def tree_findings(
    promoted: Promoted, undone: Iterable[str], *, files: Mapping[str, str], heads: Iterable[str]
) -> Iterator[Finding]:
    """What keeps revisions from being undone out of this tree; `files` are its digests, `heads` the database's."""
    checkout = "check out the commit that was promoted, in the backend's folder, then plan again"
    for head in (one for one in heads if one not in files):
        what = f"the database is at revision {head}, which this tree does not have: what to undo cannot be told"
        yield Finding("beyond-tree", f"{UNDO}/{head}", what, checkout)
    for revision in (one for one in undone if files.get(one) != promoted.digest_of(one)):
        what = f"the file of revision {revision} is not the one that was promoted"
        yield Finding("file-changed", f"{UNDO}/{revision}", what, checkout)


def unit_findings(
    promoted: Promoted, last: Unit | None, *, is_of_a_way_back: Callable[[str], bool]
) -> Iterator[Finding]:
    """One that another promotion has begun and left open comes first; a way back that was broken off goes on."""
    if last is None or not last.is_open or last.plan_digest == promoted.digest:
        return
    if not is_of_a_way_back(last.run_id):
        what = f"a later unit of work, which run {last.run_id[:8]} of {last.operator} began, has not ended"
        yield Finding("unit-not-ended", BEGIN, what, f"take that one back first: -p unit={last.run_id[:8]}")


def _of_pointer(promoted: Promoted, seen: Resource, address: str, pointer: Mapping[str, Any]) -> Iterator[Finding]:
    commit = seen.attributes.get("commit")
    if commit not in {pointer.get("commit"), promoted.promoted.get(address)}:
        what = f"{address} serves commit {str(commit)[:12]}, which this unit has not brought"
        step = "ask who deployed it before you take it back; the plan needs an approval of its own"
        yield Finding("moved-since", address, what, step, blocks=False)
    coming = seen.attributes.get("moving_to") or seen.attributes.get("coming_commit")
    if coming is not None and coming not in {pointer.get("id"), pointer.get("commit")}:
        what = f"{coming} is on its way to production still: it would serve after everything was taken back"
        yield Finding("on-its-way", address, what, "wait until it serves or has failed, then plan again")
    yield from (_of_a_page if address == PROMOTION else _of_an_image)(seen, pointer)


def _of_a_page(seen: Resource, pointer: Mapping[str, Any]) -> Iterator[Finding]:
    if seen.attributes.get("id") == pointer.get("id"):
        return
    if not pointer.get("id"):
        what = "no page was shown before this unit: there is none to go back to"
        step = "to show none again, take the domains from the project in Vercel"
        yield Finding("nothing-before", seen.address, what, step, blocks=False)
    elif not any(one["id"] == pointer["id"] for one in seen.attributes.get("can_go_back_to", ())):
        what = f"Vercel cannot go back to the build {pointer['id']} any more"
        step = "for the rest: -p only=railway and -p only=database; for the page, a fix through staging and RB-030"
        yield Finding("build-gone", seen.address, what, step)


def _of_an_image(seen: Resource, pointer: Mapping[str, Any]) -> Iterator[Finding]:
    address = seen.address
    if _is_back(seen, pointer, by_image=is_kept(seen, pointer)):
        return
    if not pointer:
        what = f"nothing of {address.rpartition('/')[2]} served before this unit: there is nothing to go back to"
        yield Finding("nothing-before", address, what, "to have none again, remove it in Railway", blocks=False)
    elif not is_kept(seen, pointer) and pointer.get("commit"):
        what = f"Railway no longer keeps the image of {pointer.get('id')}: its commit is built anew"
        step = "the plan needs an approval of its own: what would run is not what ran before"
        yield Finding("image-gone", address, what, step, blocks=False)
    elif not is_kept(seen, pointer):
        what = f"Railway no longer keeps the image of {pointer.get('id')}, and nobody knows of which commit it was"
        step = "for the rest: -p only=vercel and -p only=database; for the backend, a fix through staging and RB-030"
        yield Finding("image-gone", address, what, step)


def is_as_captured(found: Iterable[Finding]) -> bool:
    """Whether the way back leads to the captured pointers and to nothing else."""
    return not any(one.code in {"moved-since", "image-gone"} for one in found)
