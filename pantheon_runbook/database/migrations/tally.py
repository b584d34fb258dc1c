"""The tree, the database and the ledger held beside each other: what is to be applied, and what does not fit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pantheon_runbook.database.migrations.revisions import History, LedgerRow, Revision
from pantheon_runbook.model import Finding, short_code
from pantheon_runbook.planning import few

_LEDGER = "database/ledger"
_LISTED = 5
_SHORT = 8


@dataclass(frozen=True, slots=True)
class Release:
    """Where the tree comes from. `checked_out` is "" when that is not known (no git there).

    `beyond`: its revisions whose files the declared release branch does not have, or has otherwise.
    """

    branch: str
    checked_out: str
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Commands:
    """What a next step is begun with: "pantheon-runbook run RB-020 -e staging", "alembic -c backend/alembic.ini"."""

    run: str
    alembic: str

    @property
    def refresh(self) -> str:
        return f"{self.run} -p refresh=true"


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run would apply, in order; none of it when the database holds what the tree does not know."""

    pending: tuple[Revision, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Facts:
    """Heads of the database, the ledger's rows by revision, and what follows from both."""

    history: History
    heads: tuple[str, ...]
    rows: dict[str, LedgerRow]
    commands: Commands
    unknown: tuple[str, ...] = field(init=False)
    standing: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        known = self.history.get
        object.__setattr__(self, "unknown", tuple(head for head in self.heads if known(head) is None))
        object.__setattr__(self, "standing", self.history.below(self.heads))

    def baseline(self, revisions: Iterable[str] = ()) -> str:
        """The command that accepts these, or what the database says that it is at."""
        return f"{self.commands.run} -p baseline={','.join(self.history.tops(revisions or self.heads)) or 'base'}"


def tally(
    history: History,
    heads: Sequence[str] | None,
    rows: Sequence[LedgerRow],
    *,
    release: Release,
    tables: int,
    commands: Commands,
    again: Iterable[str] = (),
) -> Tally:
    """Everything that does not fit, the gravest first, and what is left to apply.

    `heads` None: Alembic's table is not there. `tables` counts the application's own. `again`: revisions that were left
    half-way and that the operator lets begin anew.
    """
    facts = _Facts(history, tuple(heads or ()), {row.revision: row for row in rows}, commands)
    pending = () if facts.unknown else history.pending(facts.heads)
    findings = (
        *_beyond(facts),
        *_without_alembic(facts, tables),
        *_ledger_ahead(facts, tables),
        *_edited(facts),
        *_begun(facts, frozenset(again)),
        *_unrecorded(facts),
        *_several_heads(facts),
        *_not_released(pending, release),
    )
    return Tally(pending, findings)


def _beyond(facts: _Facts) -> Iterator[Finding]:
    """Made by a feature branch, or by scripts that are newer than these."""
    strangers = [
        *facts.unknown,
        *(one for one in facts.rows if not facts.history.get(one) and one not in facts.unknown),
    ]
    if not strangers:
        return
    named = _listed(f"{one} ({_done(facts.rows.get(one))})" for one in strangers)
    if facts.unknown:
        yield Finding(
            "beyond-release",
            f"database/revision/{facts.unknown[0]}",
            f"the database holds revisions beyond the release, which this tree does not know: {named}",
            "check out the branch that has them, or merge it; or make the schema anew from the release, which drops "
            f"every row: {facts.commands.refresh}",
        )
        return
    yield Finding(
        "ledger-unknown",
        _LEDGER,
        f"the ledger says that revisions were applied which neither this tree nor Alembic's table knows: {named}",
        f"undone by hand, or joined into another file: compare what stands and accept it: {facts.baseline()}",
    )


def _without_alembic(facts: _Facts, tables: int) -> Iterator[Finding]:
    if tables and not facts.heads and not facts.rows:
        yield Finding(
            "schema-without-alembic",
            _LEDGER,
            f"the database has {tables} tables, and Alembic has never said that it made them",
            f"say which revision they are, and it is compared: {facts.commands.run} -p baseline=<revision>",
        )


def _ledger_ahead(facts: _Facts, tables: int) -> Iterator[Finding]:
    """Under a head that the tree does not know, nobody can say what stands: that head is told instead."""
    if facts.unknown:
        return
    ahead = [
        row
        for row in facts.rows.values()
        if row.state != "begun" and facts.history.get(row.revision) and row.revision not in facts.standing
    ]
    if ahead:
        at = ", ".join(facts.heads) or "nothing"
        perhaps = facts.baseline([row.revision for row in ahead] if tables and not facts.heads else ())
        yield Finding(
            "ledger-ahead",
            _LEDGER,
            f"the ledger and Alembic disagree: {_listed(f'{row.revision} ({_done(row)})' for row in ahead)}, "
            f"but Alembic's table is at {at}; undone or stamped without this tool, or put back from a backup",
            f"find out which is true, then compare what stands and accept it: {perhaps}",
        )


def _edited(facts: _Facts) -> Iterator[Finding]:
    for revision in facts.history.revisions:
        row = facts.rows.get(revision.id)
        if row is None or row.digest == revision.digest or revision.id not in facts.standing:
            continue
        yield Finding(
            "edited-after-apply",
            f"database/revision/{revision.id}",
            f"{revision.file} was edited after it was {_done(row)}: it was {short_code(row.digest)} then, "
            f"and is {short_code(revision.digest)} now",
            f"put the file back (git log -- {revision.file}) and make the change in a new revision; "
            f"or, if it still makes the same schema, accept it: {facts.baseline()}",
        )


def _begun(facts: _Facts, again: frozenset[str]) -> Iterator[Finding]:
    """Whether what it did outside its transaction can be done twice is known to its author only."""
    for row in facts.rows.values():
        revision = facts.history.get(row.revision)
        if row.state != "begun" or revision is None or row.revision in facts.standing:
            continue
        committed = "what it had written by then is committed" if row.followed_writes else "it had written nothing yet"
        edited = "" if row.digest == revision.digest else ", and the file was edited since"
        what = f"{revision.file} was {_done(row)}, left its transaction and did not end: {committed}{edited}"
        address = f"database/revision/{row.revision}"
        if row.revision in again:
            yield Finding("left-half-way", address, what, "it will be run again, from its beginning", blocks=False)
            continue
        yield Finding(
            "left-half-way",
            address,
            what,
            f"look which of its statements have been done; to run it again from its beginning: {facts.commands.run} "
            f"-p again={row.revision}; if all of it stands: {facts.baseline([*facts.heads, row.revision])}",
        )


def _unrecorded(facts: _Facts) -> Iterator[Finding]:
    recorded = {row.revision for row in facts.rows.values() if row.state != "begun"}
    bare = [one for one in facts.history.revisions if one.id in facts.standing - recorded]
    half = [f"{one.id} ({_done(row)})" for one in bare if (row := facts.rows.get(one.id))]
    undone = f"; being undone when it ended half-way, or stamped by hand since: {_listed(half)}" if half else ""
    if bare:
        yield Finding(
            "unrecorded",
            _LEDGER,
            f"{len(bare)} revisions were applied by bare Alembic, without a row in the ledger: "
            f"{_listed(one.id for one in bare)}{undone}",
            f"take them for the baseline, once what stands has been compared with them: {facts.baseline()}",
        )


def _several_heads(facts: _Facts) -> Iterator[Finding]:
    tree, database = facts.history.tops(facts.history.heads), facts.history.tops(facts.heads)
    if len(tree) > 1:
        revisions = [one for head in tree if (one := facts.history.get(head))]
        yield Finding(
            "several-heads",
            f"database/revision/{tree[0]}",
            f"the tree has {len(tree)} heads: {_listed(f'{one.id} ({one.file})' for one in revisions)}",
            f'merge them and commit the file: {facts.commands.alembic} merge -m "merge heads" {" ".join(tree)}',
        )
    if len(database) > 1 and not facts.unknown:
        joined = "the pending revisions join them" if len(tree) == 1 else "the tree does not join them either"
        yield Finding(
            "database-at-several-heads",
            _LEDGER,
            f"the database is at {len(database)} heads at once: {', '.join(database)}; {joined}",
            "nothing is to be done" if len(tree) == 1 else "merge the tree's heads, then plan again",
            blocks=len(tree) > 1,
        )


def _not_released(pending: Sequence[Revision], release: Release) -> Iterator[Finding]:
    if not pending:
        return
    if not release.checked_out:
        what = (
            f"it is not known whether these files are the release branch {release.branch}: no git checkout holds them"
        )
        yield Finding(
            "release-not-known",
            _LEDGER,
            what,
            f"migrate from a checkout of branch {release.branch} of the backend's repository",
            blocks=False,
        )
    if beyond := [one for one in pending if one.id in release.beyond]:
        yield Finding(
            "not-released",
            f"database/revision/{beyond[0].id}",
            f"only {release.branch} migrates this database, and it does not have what is checked out "
            f"({release.checked_out}): {_listed(one.file for one in beyond)}",
            f"merge them into {release.branch} and run from there; a feature branch migrates a database of its own",
        )


def _done(row: LedgerRow | None) -> str:
    if row is None:
        return "no row: applied by bare Alembic"
    word = {"begun": "begun", "applied": "applied", "baseline": "accepted as baseline"}[row.state]
    return f"{word} {row.ended_at or row.began_at} by {row.operator}, run {row.run_id[:_SHORT]}"


def _listed(names: Iterable[str]) -> str:
    return few(list(names), most=_LISTED)
