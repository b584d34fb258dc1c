"""Which session a runbook has: its definition, its kinds, and what every session of a run is given."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from pantheon_runbook import provisioning
from pantheon_runbook.comparing import ComparingSession
from pantheon_runbook.credentials import FILE_VARIABLE, PRODUCTION_VARIABLE
from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.locks import database_lock
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.errors import CredentialError, ParameterError
from pantheon_runbook.evidence.approval import Person
from pantheon_runbook.evidence.bundle import Bundle
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.runs import SealedRuns, sealed_runs
from pantheon_runbook.isolation.identity import Known, confirmed_in
from pantheon_runbook.kind import Kind
from pantheon_runbook.permission import Permission, Signed, signed_plan
from pantheon_runbook.promoting import PromotingSession
from pantheon_runbook.promotion.way_back import Promoted
from pantheon_runbook.providers import railway_services
from pantheon_runbook.rolling_back import RollingBackSession
from pantheon_runbook.runbooks import Runbook, spelled
from pantheon_runbook.runner.clients import Parts, kinds_of
from pantheon_runbook.runner.closed import Closing
from pantheon_runbook.runner.isolation_proof import Inventories, IsolationProof, inventories, ways_in
from pantheon_runbook.runner.migrations import Migrating
from pantheon_runbook.runner.on_production import cover_of, require_let_through, require_no_way_back, unit_of_work
from pantheon_runbook.runner.production import PRODUCTION
from pantheon_runbook.runner.promotions import Promoting
from pantheon_runbook.runner.provisions import Provisioning, known_of
from pantheon_runbook.runner.roll_backs import RollingBack
from pantheon_runbook.runner.surroundings import World
from pantheon_runbook.secrets import Registry, Vault
from pantheon_runbook.session import Opening, Session

ON_PRODUCTION = frozenset({"RB-030", "RB-040"})
_Session = TypeVar("_Session", bound=Session)


@dataclass(frozen=True)
class Begun:
    """A run that is being opened; `read_plan` is what its operator has read."""

    runbook: Runbook
    parameters: Mapping[str, Any]
    parts: Parts
    bundle: Bundle
    ends: ExitStack
    opening: Opening
    journal: Journal
    writer: Writer
    read_plan: bytes

    @property
    def provisions(self) -> Provisioning:
        restores = bool(self.parameters.get("restore_paused"))
        return Provisioning(self.parts, restore_paused=restores, known=self.known, running=self.bundle.folder)

    @property
    def kinds(self) -> dict[str, Kind]:
        return kinds_of(self.parts, self.ends)

    @property
    def known(self) -> Known:
        return known_of(self.parts, confirmed_in(str(self.parameters.get("confirm", ""))))

    def make(self, kind: Callable[..., _Session], *, known: Known | None = None, **own: Any) -> _Session:
        """The session; `own` is what only this runbook's has."""
        parts, around = self.parts, self.parts.surroundings
        session: _Session = kind(
            opening=self.opening,
            journal=self.journal,
            gate=parts.gate,
            runbook_digest=self.runbook.digest,
            parameters=self.parameters,
            known=known or self.known,
            read_plan=self.read_plan,
            progress=around.progress,
            stop=around.stop,
            hold_writer_lock=lambda: database_lock(
                parts.database,
                around.vault,
                scope=f"pantheon-runbook {parts.name}",
                writer=self.writer,
                signs=session.plan is not None and bool(session.plan.changes),
                gate=parts.gate,
            ),
            keep=self.bundle.keep,
            **own,
        )
        return session


def session_of(
    runbook: Runbook,
    parameters: Mapping[str, Any],
    parts: Parts,
    *,
    bundle: Bundle,
    ends: ExitStack,
    opening: Opening,
    read_plan: bytes,
) -> Session:
    """The session of one run. Errors: RunbookError, with nothing written."""
    registry = parts.surroundings.vault.registry
    journal = Journal(bundle.folder / "journal.jsonl", run_id=bundle.place.run_id, registry=registry)
    writer = Writer(bundle.place.run_id, opening.operator, platform.node())
    begun = Begun(runbook, parameters, parts, bundle, ends, opening, journal, writer, read_plan)
    return _MAKERS[runbook.id](begun)


def _provisioning(begun: Begun) -> Session:
    return begun.make(Session, definition=begun.provisions, kinds=begun.kinds)


def _migrating(begun: Begun) -> Session:
    migrates = Migrating(
        begun.parts,
        begun.provisions,
        parameters=begun.parameters,
        writer=begun.writer,
        note=lambda event, told: begun.journal.write(event, **told),
    )
    return begun.make(Session, definition=migrates, kinds={**begun.kinds, **migrates.kinds(begun.ends)})


def _proving_isolation(begun: Begun) -> Session:
    of_run = Inventories(begun.parts)
    kinds = {**begun.kinds, **inventories(of_run), **ways_in(of_run)}
    return begun.make(ComparingSession, definition=IsolationProof(begun.parts, begun.provisions.wanted), kinds=kinds)


def _closing(begun: Begun) -> Session:
    closes = Closing(begun.parts, run_id=begun.bundle.place.run_id, probe=begun.provisions.probes)
    return begun.make(ComparingSession, definition=closes, kinds=begun.kinds)


def _promoting(begun: Begun) -> Session:
    parts, named = begun.parts, str(begun.parameters["resume"])
    _require_password(parts.outside, begun.opening.mode)
    sealed = _once(parts.outside)
    resumes = unit_of_work(parts.outside, sealed, named)[0] if named else None
    if resumes is not None:
        require_let_through(resumes, named)
        require_no_way_back(sealed(), parts.outside.evidence)
        begun = _as_approved(begun, resumes)
    parameters = begun.parameters
    promotes = Promoting(
        parts,
        beside(parts, str(parameters["staging"])),
        parameters=parameters,
        writer=begun.writer,
        sealed=sealed,
        under=lambda: made.under,
        resumes=resumes.digest if resumes else "",
    )
    outside, operator = parts.outside, Person(begun.opening.operator, begun.opening.operator_source)
    made = begun.make(
        PromotingSession,
        known=Known(PRODUCTION, {}, identities_of_production(outside)),
        definition=promotes,
        kinds=promotes.kinds(begun.ends),
        permission=Permission(outside.config, outside.folder, outside.evidence, operator),
        signed=lambda digest: signed_plan(outside.evidence, sealed(), digest),
        resumes=resumes,
    )
    return made


def _rolling_back(begun: Begun) -> Session:
    outside, parameters, only = begun.parts.outside, begun.parameters, str(begun.parameters["only"])
    if only in {"", "database"}:
        _require_password(outside, begun.opening.mode)
    sealed = _once(outside)
    signed, run = unit_of_work(outside, sealed, str(parameters["unit"]))
    operator = Person(begun.opening.operator, begun.opening.operator_source)
    permission = Permission(outside.config, outside.folder, outside.evidence, operator)
    cover = cover_of(outside, signed, run).judged(permission)
    takes_back = RollingBack(
        begun.parts,
        Promoted(signed.plan),
        only=only,
        writer=begun.writer,
        under=lambda: made.under,
        told={"run": run.bundle, "came_to": run.verdict, "for": run.why, "reason": str(parameters["reason"])},
        why_not_covered=cover.why_not,
        is_of_a_way_back=lambda run_id: any(
            one.runbook == "RB-040" and one.bundle.endswith(f"-{run_id[:8]}") for one in sealed().runs
        ),
        command=f"pantheon-runbook run RB-040 -e {PRODUCTION}{spelled(parameters, 'RB-040')} --apply",
    )
    made = begun.make(
        RollingBackSession,
        known=Known(PRODUCTION, {}, identities_of_production(outside)),
        definition=takes_back,
        kinds=takes_back.kinds(begun.ends),
        permission=permission,
        signed=lambda digest: signed_plan(outside.evidence, sealed(), digest),
        cover=cover,
    )
    return made


_MAKERS: Mapping[str, Callable[[Begun], Session]] = {
    "RB-010": _provisioning,
    "RB-020": _migrating,
    "RB-030": _promoting,
    "RB-040": _rolling_back,
    "RB-050": _closing,
    "RB-060": _proving_isolation,
}


def identities_of_production(outside: World) -> dict[str, str]:
    """What must be found wherever a run on production looks."""
    known = outside.identities.production
    names = ("supabase_ref", "railway_project", "railway_environment", "vercel_project")
    return {name: getattr(known, name) for name in names}


def beside(parts: Parts, name: str) -> Parts:
    """The environment that is promoted, by the same clients and behind the same gate, with a vault of its own."""
    outside, around = parts.outside, parts.surroundings
    outside.config.environment(name)
    if name == PRODUCTION:
        raise ParameterError(
            "production cannot be promoted to itself", why="staging names it", next_step="leave -p staging out"
        )
    vault = vault_of(outside, around.vault.registry)
    return replace(parts, name=name, database=database_of(outside, vault), surroundings=replace(around, vault=vault))


def _require_password(outside: World, mode: str) -> None:
    if mode == "apply" and outside.credentials.production is None:
        raise CredentialError(
            "the password of production's database is missing",
            why=f"migrations need it, and {outside.credentials.source} has none",
            next_step=f"put it under [production] as password in the file that {FILE_VARIABLE} names, or set "
            f"{PRODUCTION_VARIABLE}",
        )


def _once(outside: World) -> Callable[[], SealedRuns]:
    """Asked once in a run: who changes the folder meanwhile breaks its chain."""
    return cache(lambda: sealed_runs(outside.evidence, outside.trust))


def _as_approved(begun: Begun, resumes: Signed) -> Begun:
    """What was not given is as in the plan that goes on: nobody has to remember how it was made.

    Errors: ParameterError for what was given and is not as it was approved.
    """
    approved = json.loads(resumes.plan)["parameters"]
    others = sorted(
        name
        for name, value in begun.parameters.items()
        if name in approved and value not in {begun.runbook.parameters[name], approved[name]}
    )
    if others:
        raise ParameterError(
            f"{', '.join(others)} is not as in the plan that goes on",
            why=f"it was approved with {', '.join(f'{name}={approved[name]!r}' for name in others)}",
            next_step="leave it out",
        )
    unsaid = {name for name, value in begun.parameters.items() if value == begun.runbook.parameters[name]}
    given = {name: approved.get(name, value) if name in unsaid else value for name, value in begun.parameters.items()}
    return replace(begun, parameters=given)


def vault_of(outside: World, registry: Registry) -> Vault:
    """What is known before anything is looked at: literals from the config, staging's own values."""
    vault = Vault(registry, salt=outside.identities.salt)
    for name, value in outside.credentials.values.items():
        vault.hold(f"credentials.{name}", value.reveal())
    for variable in outside.config.variables:
        if variable.source.startswith("literal:"):
            # The committed config holds no secret; masking a word like "staging" would blank out what was approved.
            vault.hold(provisioning.held_as(variable), variable.source.removeprefix("literal:"), secret=False)
    vault.hold("redis.url", railway_services.REDIS_URL, secret=False)
    return vault


def database_of(outside: World, vault: Vault, **logins: str) -> Database:
    return Database(vault, resolve=outside.resolve, options=outside.database_options, **logins)
