"""RB-040: back to what served before a unit of work, by the pointers in its plan. Pure: observed in, desired out.

The reverse of the unit: what was contracted first, then page and backend, then what was expanded. A revision is undone
only where the rehearsal has proven its downgrade; one that is not keeps those below it where they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from pantheon_runbook.database.migrations.revision_kinds import REVISION
from pantheon_runbook.database.migrations.undo_kind import UNDO
from pantheon_runbook.database.migrations.units import BEGIN, END
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
    def pointers(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.told["release"]["pointers"])

    @property
    def promoted(self) -> Mapping[str, str]:
        """By address, the commit that the unit was to bring."""
        changes = self.told["changes"]
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


def undoable(promoted: Promoted, standing: Iterable[str]) -> tuple[str, ...]:
    """Of the unit's revisions that stand, the last first, as far as each was undone cleanly in the rehearsal."""
    stands, found = set(standing), list[str]()
    for revision in reversed(promoted.revisions):
        if revision not in stands:
            continue
        if promoted.way_of(revision) != _CLEAN:
            break
        found.append(revision)
    return tuple(found)


def desired_way_back(
    promoted: Promoted, snapshot: Snapshot, *, undone: Sequence[str], vendors: Sequence[str], begins: bool
) -> tuple[Desired, ...]:
    """What should stand when production is as before; `undone` are the revisions to undo, the last first.

    `vendors` are those that are rolled back, `begins`: under an approval of its own, which it uses up.
    """
    late = _in_turn(_undo(one, promoted) for one in undone if one in promoted.late)
    page = (_page(promoted),) if "vercel" in vendors else ()
    backends = tuple(one for one in sorted(promoted.pointers) if one.startswith(f"{DEPLOYMENT}/"))
    backend = tuple(_backend(promoted, snapshot, one) for one in (backends if "railway" in vendors else ()))
    backend = _behind((*late[-1:], *page), backend)
    early = _in_turn(_undo(one, promoted) for one in undone if one not in promoted.late)
    early = (*_behind(backend or (*late[-1:], *page), early[:1]), *early[1:])
    steps = (*late, *page, *backend, *early)
    if "database" not in vendors or not any(difference(one, snapshot.get(one.address)) for one in steps):
        return steps
    begun = (_begin(),) if begins else ()
    return (*begun, *_behind(begun, steps), _smoke(steps), _end())


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


def _page(promoted: Promoted) -> Desired:
    told = "promote it again, with RB-030"
    risk = "low: the domains move to a build that has served before"
    return Desired(PROMOTION, {"id": promoted.pointers[PROMOTION].get("id")}, (), risk, told, told, action=ROLL_BACK)


def _backend(promoted: Promoted, snapshot: Snapshot, address: str) -> Desired:
    """By its very image as long as Railway keeps it, else the former commit is built anew."""
    pointer, seen = promoted.pointers[address], snapshot.get(address)
    told = "deploy it again, with RB-030"
    same = {name: pointer[name] for name in ("commit", "image_digest") if name in pointer}
    wanted: dict[str, Any] = same
    is_back = all(seen.attributes.get(name) == value for name, value in same.items())
    by_image = is_kept(seen, pointer)
    if not is_back:
        wanted = {**same, "roll_back_to": pointer["id"]} if by_image else {"commit": pointer.get("commit")}
    risk = "low: the image that served before" if by_image else "medium: the former commit is built anew"
    return Desired(address, wanted, (), risk, told, told, action=ROLL_BACK if by_image and not is_back else None)


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


def findings(promoted: Promoted, snapshot: Snapshot, *, standing: Sequence[str], restore: str) -> Iterator[Finding]:
    """What cannot be brought back, and what somebody else has changed meanwhile.

    `restore` says how the database as a whole could be put back, and to which moment.
    """
    stays = [one for one in promoted.revisions if one in standing and one not in undoable(promoted, standing)]
    for revision in stays:
        way = promoted.way_of(revision) or "not rehearsed"
        why = f"its downgrade is not proven ({way})" if way != _CLEAN else "one above it stays"
        step = f"write a revision that puts it right, through staging; or, losing what was written since, {restore}"
        yield Finding("revision-stays", f"{UNDO}/{revision}", f"revision {revision} stays: {why}", step, blocks=False)
    for address, pointer in sorted(promoted.pointers.items()):
        yield from _of_pointer(promoted, snapshot, address, pointer)


def _of_pointer(promoted: Promoted, snapshot: Snapshot, address: str, pointer: Mapping[str, Any]) -> Iterator[Finding]:
    seen = snapshot.get(address)
    commit = seen.attributes.get("commit")
    if address == REVISION or seen.state == "absent":
        return
    if commit not in {pointer.get("commit"), promoted.promoted.get(address)}:
        what = f"{address} serves commit {str(commit)[:12]}, which this unit has not brought"
        step = "ask who deployed it before you take it back; the plan needs an approval of its own"
        yield Finding("moved-since", address, what, step, blocks=False)
    is_back = commit == pointer.get("commit")
    if address.startswith(f"{DEPLOYMENT}/") and not is_back and not is_kept(seen, pointer):
        what = f"Railway no longer keeps the image of {pointer.get('id')}: its commit is built anew"
        step = "the plan needs an approval of its own: what would run is not what ran before"
        yield Finding("image-gone", address, what, step, blocks=False)


def is_as_captured(found: Iterable[Finding]) -> bool:
    """Whether the way back leads to the captured pointers and to nothing else."""
    return not any(one.code in {"moved-since", "image-gone"} for one in found)
