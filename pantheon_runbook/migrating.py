"""RB-020: which revisions are applied, before and after the deployment; and a schema that is made anew before them.

Pure: what was observed in, desired out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pantheon_runbook.database.migrations.baseline import Stated
from pantheon_runbook.database.migrations.ledger import LAYOUT
from pantheon_runbook.database.migrations.revision_kinds import BASELINE, LEDGER, REVISION
from pantheon_runbook.database.migrations.revisions import Revision
from pantheon_runbook.database.refreshing.emptying import Losses
from pantheon_runbook.database.refreshing.refresh_kinds import ANEW, REFRESH, SEED
from pantheon_runbook.database.refreshing.seeding import SeedFile
from pantheon_runbook.database.rehearsals.rehearsal import Rehearsal, Undone
from pantheon_runbook.model import Desired

_NO_WAY_BACK = {
    "clean": "alembic downgrade, as the rehearsal has shown",
    "forward fix only": "none: its author says forward fix only",
    "differs": "NONE: its downgrade leaves another schema",
    "fails": "NONE: its downgrade fails",
    "once": "downgrade; after that it cannot be applied again",
}


@dataclass(frozen=True)
class Path:
    """What is to be applied, and what the rehearsal says of it; `deployments` are the addresses of the new backend.

    `lost`: what is dropped before, when the schema is made anew. `seed`: the file that is run at the end.
    """

    pending: tuple[Revision, ...]
    rehearsal: Rehearsal
    stated: Stated | None = None
    deployments: tuple[str, ...] = ()
    lost: Losses | None = None
    seed: SeedFile | None = None
    addresses: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", tuple(f"{REVISION}/{one.id}" for one in self.pending))

    @property
    def before(self) -> tuple[str, ...]:
        """Addresses of what the deployment waits for: all of the revisions when nothing was rehearsed.

        Whatever builds on one that waits for the deployment waits too, also where the rehearsal did not get to it.
        """
        late = {f"{REVISION}/{one}" for one in self.rehearsal.after}
        first = next((number for number, one in enumerate(self.addresses) if one in late), len(self.addresses))
        return (*self.anew, *self.addresses[:first])

    @property
    def late(self) -> tuple[str, ...]:
        """The revisions that wait for the deployment."""
        return tuple(one.id for one, address in zip(self.pending, self.addresses, strict=True) if address in self.waits)

    @property
    def waits(self) -> frozenset[str]:
        return frozenset(self.addresses) - frozenset(self.before)

    @property
    def anew(self) -> tuple[str, ...]:
        return () if self.lost is None else (REFRESH,)


def desired_revisions(path: Path, *, has_alembic: bool) -> tuple[Desired, ...]:
    """The ledger, the accepted baseline or the refresh, one after the other every pending revision, and the seed."""
    return (_ledger(), *_baseline(path, has_alembic=has_alembic), *_refresh(path), *_revisions(path), *_seed(path))


def _ledger() -> Desired:
    return Desired(
        LEDGER,
        {"layout": LAYOUT},
        depends_on=("database/marker",),
        risk="none: tables of this tool's own schema",
        undo_of_create="drop the tables of schema pantheon_runbook; what was applied when is forgotten",
    )


def _baseline(path: Path, *, has_alembic: bool) -> Iterable[Desired]:
    if path.stated is not None:
        stamps = "" if has_alembic else ", and Alembic's table is made"
        yield Desired(
            BASELINE,
            {"revision": path.stated.in_words},
            depends_on=(LEDGER,),
            risk=f"low: lines of the ledger{stamps}; nothing of the application's is touched",
            undo_of_create="delete the lines of this run from pantheon_runbook.migrations",
            action="accept",
        )


def _refresh(path: Path) -> Iterable[Desired]:
    if path.lost is not None:
        lost = path.lost.in_words
        told = f"lost for good: {lost}; staging does not work until the revisions are applied" if lost else ""
        yield Desired(
            REFRESH,
            {"schema": ANEW},
            depends_on=(LEDGER,),
            risk=told or "none: there is nothing to be dropped",
            undo="none: the rows are lost",
            undo_of_create="none: the rows are lost",
            action="refresh",
        )


def _seed(path: Path) -> Iterable[Desired]:
    if path.seed is not None:
        yield Desired(
            SEED,
            {"digest": path.seed.digest, **_anew(path, path.seed.digest)},
            depends_on=(LEDGER, *path.anew, *path.addresses, *path.deployments),
            risk=f"low: {path.seed.written} writes rows to a schema that was made anew",
            undo=_UNSEED,
            undo_of_create=_UNSEED,
            action="seed",
        )


_UNSEED = "make the schema anew: -p refresh=true"


def _anew(path: Path, digest: str) -> dict[str, str]:
    """An attribute that nothing has: what stands there now, from the same file perhaps, will be gone by then."""
    return {"anew": digest} if path.lost is not None else {}


def _revisions(path: Path) -> Iterable[Desired]:
    former: tuple[str, ...] = (LEDGER, *((BASELINE,) if path.stated else ()), *path.anew)
    for one, address in zip(path.pending, path.addresses, strict=True):
        yield Desired(
            address,
            {"digest": one.digest, "title": one.title, **_anew(path, one.digest)},
            depends_on=(*former, *(path.deployments if address in path.waits else ())),
            risk=_risk(one, path.rehearsal),
            undo=_undo(one, path.rehearsal),
            undo_of_create=_undo(one, path.rehearsal),
            action="apply",
        )
        former = (address,)


def _risk(one: Revision, rehearsal: Rehearsal) -> str:
    """What the rehearsal showed of it, the gravest first; what nobody has seen is not called low."""
    hazards = [each for each in rehearsal.hazards if each.revision == one.id]
    if hazards:
        gravest = min(hazards, key=lambda each: each.tier != "blocks")
        more = f", and {len(hazards) - 1} more" if len(hazards) > 1 else ""
        return f"{gravest.what}{more}"
    if any(ran.revision == one.id for ran in rehearsal.ran):
        return "low: the rehearsal showed nothing that anybody would notice"
    return f"not known: {rehearsal.not_rehearsed or 'it was not rehearsed'}"


def _undo(one: Revision, rehearsal: Rehearsal) -> str:
    found: Sequence[Undone] = [each for each in rehearsal.undone if each.revision == one.id]
    if one.forward_fix_only:
        return _NO_WAY_BACK["forward fix only"]
    if not found:
        return "not known: it was not rehearsed"
    loses = "; the rows that it drops do not come back" if one.id in rehearsal.after and found[0].way == "clean" else ""
    return _NO_WAY_BACK.get(found[0].way, "not known") + loses
