"""What a rehearsal came to: a value, plain JSON inside. What is measured stands apart from what is true each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pantheon_runbook.database.migrations.revisions import Ran
from pantheon_runbook.database.rehearsals.hazards import Hazard
from pantheon_runbook.database.rehearsals.phases import Phased
from pantheon_runbook.model import Finding
from pantheon_runbook.servers.binaries import EXTRA

Way = Literal["clean", "differs", "fails", "once", "forward fix only", "not tried"]
_WAY_BACK: Mapping[Way, str] = {
    "differs": "CANNOT BE UNDONE: its downgrade leaves another schema than there was",
    "fails": "CANNOT BE UNDONE: its downgrade fails",
    "once": "CANNOT BE REPEATED: after its downgrade it cannot be applied again",
    "not tried": "NOT KNOWN whether it can be undone",
}
# Syntax, names, values and constraints; but a role, a function or a type may be one that only the target has.
_OWN_FAULT = ("22", "23", "42")
_LACKING = ("42501", "42704", "42883")
_LOOK = "look whether it needs rows, a role or an extension that the copy does not have; apply will show"
_MARK_IT = "correct its downgrade(), or say in the revision: forward_fix_only = True"


@dataclass(frozen=True, slots=True)
class Undone:
    """How one revision went back; `differences` are those of the schema, `why` is the reason for what was not done."""

    revision: str
    way: Way
    differences: tuple[str, ...] = ()
    why: str = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """For people, in red: a way back that is missing is no reason to keep staging from going forward."""
        if self.way not in _WAY_BACK:
            return ()
        told = f"{_WAY_BACK[self.way]} ({self.why or '; '.join(self.differences)})"
        return (Finding("migration-no-way-back", f"database/revision/{self.revision}", told, _MARK_IT, blocks=False),)


@dataclass(frozen=True, slots=True)
class Failed:
    """The revision that could not be applied to the copy. `code` is PostgreSQL's SQLSTATE, "" when it was not asked."""

    revision: str
    why: str
    code: str = ""

    @property
    def finding(self) -> Finding:
        """It blocks when the copy cannot be to blame."""
        what = f"not rehearsed from here on: it fails on the copy ({self.why})"
        is_own_fault = self.code.startswith(_OWN_FAULT) and self.code not in _LACKING
        next_step = "correct the revision" if is_own_fault else _LOOK
        return Finding(
            "migration-not-rehearsed", f"database/revision/{self.revision}", what, next_step, blocks=is_own_fault
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """What a revision's own check found on the copy, which has no rows."""

    revision: str
    expected: Any
    found: Any
    why: str = ""

    @property
    def passed(self) -> bool:
        """A truth is no number: False is not 0."""
        return not self.why and type(self.expected) is type(self.found) and self.expected == self.found


@dataclass(frozen=True)
class Rehearsal:
    """Of the pending revisions. All of them ran when `failed` is None and `not_rehearsed` is "", and only then.

    `fingerprint` is of the schema that the last one left. Its lines are no evidence: in a function's body may stand a
    secret that nobody has told us of.
    `before` and `after` are the revisions around the deployment; `caveats` say how the copy is not like the target.
    `next_step` is what lets it be rehearsed.
    """

    ran: tuple[Ran, ...] = ()
    undone: tuple[Undone, ...] = ()
    checks: tuple[Checked, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    phases: Mapping[str, Phased] | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    fingerprint: str = ""
    server_version: str = ""
    caveats: tuple[str, ...] = ()
    not_linted: str = ""
    failed: Failed | None = None
    not_rehearsed: str = ""
    next_step: str = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that a plan shows of it, the blocking ones first."""
        found = [one.finding for one in self.hazards]
        found += [finding for one in self.undone for finding in one.findings]
        found += [_of_check(one) for one in self.checks if not one.passed]
        found += self._gaps()
        found += [self.failed.finding] if self.failed else []
        return tuple(sorted(found, key=lambda one: not one.blocks))

    def _gaps(self) -> Iterator[Finding]:
        if self.not_rehearsed:
            what = f"not rehearsed: {self.not_rehearsed}"
            yield Finding("migration-not-rehearsed", "database", what, self.next_step, blocks=False)
        if self.not_linted:
            what = f"not linted: {self.not_linted}"
            yield Finding("migration-not-linted", "database", what, EXTRA, blocks=False)
        for caveat in self.caveats:
            next_step = "read the revisions with that in mind"
            yield Finding("migration-copy-differs", "database", caveat, next_step, blocks=False)

    @property
    def settled(self) -> dict[str, Any]:
        """The same for the same revisions on the same schema, whenever it is rehearsed: for the plan's digest."""
        content = asdict(self)
        del content["next_step"]
        for one in content["ran"]:
            del one["seconds"]
            for statement in one["statements"]:
                del statement["seconds"]
        return content


def _of_check(one: Checked) -> Finding:
    found = one.why or f"found {one.found!r}"
    what = f"its check expects {one.expected!r}, and on the copy, which has no rows, {found}"
    next_step = "correct the check, or the revision; it is made again on the target"
    return Finding("migration-check", f"database/revision/{one.revision}", what, next_step, blocks=False)
