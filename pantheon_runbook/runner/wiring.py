"""Open a run: check everything that can be checked first, then lock, then make the folder that will be sealed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import pwd
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from pantheon_runbook import clock, comparing, provisioning
from pantheon_runbook.comparing import ComparingSession
from pantheon_runbook.config import Environment, read_regular
from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.locks import MachineLock, database_lock, holder_of
from pantheon_runbook.database.writer import Writer
from pantheon_runbook.errors import ParameterError, RunbookError, VendorError
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import require_pinned, sealing_key
from pantheon_runbook.evidence.vouchers import made_by_runs
from pantheon_runbook.isolation.identity import Known, Made, confirmed_in, steps_to_list, unconfirmed
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.model import Change, Check, Comparison, Desired, Finding, Snapshot
from pantheon_runbook.planning import is_plan, plan_changes
from pantheon_runbook.providers import railway_services
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.runbooks import Runbook, checked_parameters, find
from pantheon_runbook.runner.clients import Clients, Parts, kinds_of
from pantheon_runbook.runner.closed import Closing
from pantheon_runbook.runner.isolation_proof import Inventories, IsolationProof, beside_production, inventories, ways_in
from pantheon_runbook.runner.migrations import Migrating
from pantheon_runbook.runner.serve import OpenRun
from pantheon_runbook.runner.surroundings import World, world
from pantheon_runbook.secrets import Registry, Vault
from pantheon_runbook.session import Opening, Session

OPERATOR_VARIABLE = "PANTHEON_OPERATOR"
Progress = Callable[[str], None]


class Provisioning:
    """RB-010 as the session sees it: the pure part with this run's config and vault."""

    def __init__(self, parts: Parts, *, restore_paused: bool, known: Known, running: Path) -> None:
        self._parts = parts
        self._config = parts.outside.config
        self._name = parts.name
        self._vault = parts.surroundings.vault
        self._database = parts.database
        self._forbidden = parts.gate.forbidden
        self._restore_paused = restore_paused
        self._known = known
        self._evidence = parts.outside.evidence
        self._running = running

    def wanted(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        """Everything that should stand, whosever it is that stands there now."""
        return provisioning.desired_staging(
            self._config, self._name, snapshot, self._vault.fingerprints(), restore_paused=self._restore_paused
        )

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        wanted = self.wanted(snapshot)
        if {"supabase/project", "database/marker"} & {one.address for one in self._strangers(snapshot)}:
            # What is marked is believed from then on: it is not even planned for what may be somebody else's.
            return tuple(one for one in wanted if one.address != "database/marker")
        return wanted

    def _strangers(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        def made() -> Made:
            about = {"cloud": snapshot.cloud, "environment": self._name}
            return made_by_runs(self._evidence, **about, running=self._running, trust=self._parts.outside.trust)

        return unconfirmed(snapshot, self._known, made, command=f"pantheon-runbook run RB-010 -e {self._name}")

    def findings(self, snapshot: Snapshot) -> tuple[Finding, ...]:
        found = provisioning.findings(self._config, self._name, snapshot, self._vault.fingerprints())
        found = (*found, *self._strangers(snapshot))
        return (*found, *provisioning.names_production(self.desired(snapshot), self._forbidden))

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return provisioning.endpoints(self._config, self._name, snapshot)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        by_hand = provisioning.manual_steps(self._config, self._name, snapshot)
        return (*by_hand, *steps_to_list(snapshot, self._known))

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return provisioning.calls(plan_changes(desired, snapshot)[0])

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        """Whose database it is by its own word, and whether it answers on both ways in that the variables name."""
        marked = snapshot.identities.get("database_marker", "no marker")
        expected = f"{self._name} {snapshot.identities.get('supabase_ref')}"
        return (
            Check("the database says which environment it is", expected, marked, marked == expected),
            self._answers("session pooler", "database.session_url"),
            self._answers("transaction pooler", "database.pool_url"),
        )

    def isolation(self, snapshot: Snapshot, changes: Sequence[Change]) -> Comparison:
        """Staging beside production, as RB-060 sees them; drift besides these `changes` is told as accepted."""
        return beside_production(self._parts, snapshot, self.desired(snapshot), changes=changes)

    def _answers(self, name: str, url: str) -> Check:
        """A way in that does not answer is a failed check, not a reason to stop checking."""
        try:
            with self._database.session(url=url) as connection:
                connection.execute("select 1")
        except (VendorError, psycopg.Error) as error:
            return Check(f"{name} answers", "a login and a query", type(error).__name__, passed=False)
        return Check(f"{name} answers", "a login and a query", "a login and a query", passed=True)


def open_run(
    runbook_id: str,
    given: Mapping[str, Any],
    *,
    progress: Progress = lambda _words: None,
    warnings: tuple[str, ...] = (),
) -> OpenRun:
    """An open run, or a UsageError or RefusedError with nothing written anywhere; `warnings` go on the first card."""
    runbook = find(runbook_id)
    parameters = checked_parameters(runbook, given)
    outside = world()
    name = str(parameters["environment"])
    outside.config.environment(name)
    _refuse_production(name, runbook_id)
    read_plan = _read_plan(str(parameters.get("plan_file", "")))
    key = sealing_key(outside.config.cloud)
    require_pinned(key, outside.trust, cloud=outside.config.cloud)
    registry = registry_of(outside)
    with masked_errors(registry), ExitStack() as ends:  # what was begun is ended when opening does not come to its end
        restores_paused = bool(parameters.get("restore_paused"))
        parts = _parts(outside, name, registry, ends, progress, restores_paused=restores_paused)
        place = Place(outside.evidence, outside.config.cloud, name, runbook.id, clock.token("run"), clock.stamp())
        scope = f"{outside.scope} {name}"
        if parameters.get("mode") == "apply":
            lock = MachineLock(scope, holder=f"run {place.run_id[:8]}")
            ends.callback(lock.release)
        elif writer := holder_of(scope):
            warnings += (f"! {writer} is writing to {name} now: what is seen and planned here is a moment of it",)
        for dead in seal_abandoned(outside.evidence, key, registry, cloud=outside.config.cloud):
            warnings += (f"! a run that was killed has been sealed as abandoned: {dead}",)
            progress(warnings[-1])
        bundle = Bundle(place, registry)
        with ExitStack() as unbegun:
            unbegun.callback(bundle.close)
            session = _session(
                runbook, parameters, parts, bundle=bundle, ends=ends, read_plan=read_plan, warnings=warnings
            )
            unbegun.pop_all()
        return OpenRun(session, bundle, registry, key, ends.pop_all().close)


@contextmanager
def masked_errors(registry: Registry) -> Iterator[None]:
    """What a vendor answers may hold what it was asked with; before a run is open nobody else masks it."""
    try:
        yield
    except RunbookError as error:
        for name in ("what", "why", "state", "next_step"):
            setattr(error, name, registry.redact(getattr(error, name)))
        raise


@contextmanager
def looked_at(name: str, *, progress: Progress = lambda _words: None) -> Iterator[tuple[Snapshot, Parts]]:
    """An environment as RB-010 observes it, and refused like there when it is production; reads only.

    Nothing is decided by it, so it leaves no evidence: its journal is gone with it. Errors: RunbookError.
    """
    runbook = find("RB-010")
    parameters = checked_parameters(runbook, {"environment": name, "mode": "plan"})
    outside = world()
    outside.config.environment(name)
    registry = registry_of(outside)
    with ExitStack() as ends:
        parts = _parts(outside, name, registry, ends, progress, restores_paused=False)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="pantheon-runbook-")))
        place = Place(folder, outside.config.cloud, name, runbook.id, clock.token("run"), clock.stamp())
        bundle = Bundle(place, registry)
        ends.callback(bundle.close)
        session = _session(runbook, parameters, parts, bundle=bundle, ends=ends, read_plan=b"", warnings=())
        yield session.perform("observe"), parts


def _parts(
    outside: World, name: str, registry: Registry, ends: ExitStack, progress: Progress, *, restores_paused: bool
) -> Parts:
    """Clients that have been asked who we are, and what the kinds need besides."""
    environment = outside.config.environments[name]
    gate = WriteGate(forbidden=_forbidden(outside, environment))
    clients = Clients(outside, gate, ends)
    plan = clients.check(environment)
    vault = _vault(outside, registry)
    pins = outside.identities.production.pins
    return Parts(
        outside=outside,
        name=name,
        clients=clients,
        gate=gate,
        database=Database(vault, resolve=outside.resolve, options=outside.database_options),
        surroundings=Surroundings(
            vault,
            outside.config.policy.wait_seconds,
            progress,
            pins,
            restores_paused,
            find=Search(Marks.of(outside.identities)).find,
        ),
        plan=plan,
    )


def _session(
    runbook: Runbook,
    parameters: Mapping[str, Any],
    parts: Parts,
    *,
    bundle: Bundle,
    ends: ExitStack,
    read_plan: bytes,
    warnings: tuple[str, ...],
) -> Session:
    place, vault = bundle.place, parts.surroundings.vault
    mode = str(parameters.get("mode", comparing.MODE))
    known = known_of(parts, confirmed_in(str(parameters.get("confirm", ""))))
    restores = bool(parameters.get("restore_paused"))
    provisions = Provisioning(parts, restore_paused=restores, known=known, running=bundle.folder)
    kinds = kinds_of(parts, ends)
    journal = Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=vault.registry)
    writer = Writer(place.run_id, _operator()[0], platform.node())
    make: Callable[..., Session] = partial(Session, definition=provisions, kinds=kinds)
    if runbook.id == "RB-060":
        proof, of_run = IsolationProof(parts, provisions.wanted), Inventories(parts)
        make = partial(ComparingSession, definition=proof, kinds={**kinds, **inventories(of_run), **ways_in(of_run)})
    elif runbook.id == "RB-020":
        migrates = Migrating(
            parts,
            provisions,
            parameters=parameters,
            writer=writer,
            note=lambda event, told: journal.write(event, **told),
        )
        make = partial(Session, definition=migrates, kinds={**kinds, **migrates.kinds(ends)})
    elif runbook.id == "RB-050":
        ends_f25 = Closing(parts, run_id=place.run_id, probe=provisions.probes)
        make = partial(ComparingSession, definition=ends_f25, kinds=kinds)
    session: Session = make(
        opening=_opening(runbook, place, mode, warnings, parts.outside.decided_by),
        journal=journal,
        gate=parts.gate,
        runbook_digest=runbook.digest,
        parameters=parameters,
        known=known,
        read_plan=read_plan,
        progress=parts.surroundings.progress,
        stop=parts.surroundings.stop,
        hold_writer_lock=lambda: database_lock(
            parts.database,
            vault,
            scope=f"pantheon-runbook {parts.name}",
            writer=writer,
            signs=session.plan is not None and bool(session.plan.changes),
            gate=parts.gate,
        ),
        keep=bundle.keep,
    )
    return session


def _opening(
    runbook: Runbook, place: Place, mode: str, warnings: tuple[str, ...], decided_by: Mapping[str, str]
) -> Opening:
    operator, operator_source = _operator()
    return Opening(
        runbook=runbook.id,
        title=runbook.title,
        cloud=place.cloud,
        environment=place.environment,
        mode=mode,
        run_id=place.run_id,
        started_at=place.started_at,
        operator=operator,
        operator_source=operator_source,
        warnings=warnings,
        host=platform.node(),
        tool=_tool(),
        decided_by=decided_by,
        ci=_ci(),
    )


def _tool() -> dict[str, str]:
    """Versions of what decides a run's outcome; they ride beside the plan, not in it."""
    names = ("pantheon-runbook", "papermill", "nbclient", "httpx", "psycopg", "pydantic", "securesystemslib")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def _refuse_production(name: str, runbook_id: str) -> None:
    if name == "production":
        raise ParameterError(
            f"{runbook_id} was asked to work on production",
            why="it works on environments that are not production, and reads production beside them",
            next_step=f"pantheon-runbook run {runbook_id} -e staging",
        )


def registry_of(outside: World) -> Registry:
    """Every token and value that is held, so that none of them is shown."""
    registry = Registry()
    for name, token in (*outside.credentials.tokens.items(), *outside.credentials.values.items()):
        registry.add(token.reveal(), name=name)
    return registry


def _vault(outside: World, registry: Registry) -> Vault:
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


def _forbidden(outside: World, environment: Environment) -> dict[str, str]:
    """What no write of this run may name; a shared Railway project is shared by decision."""
    production = outside.identities.production
    forbidden = {
        production.supabase_ref: "production's Supabase project",
        production.railway_environment: "production's Railway environment",
    }
    if environment.railway.layout == "own-project":
        forbidden[production.railway_project] = "production's Railway project"
    return forbidden


def known_of(parts: Parts, confirmed: tuple[str, ...] = ()) -> Known:
    """What the committed files and the operator say of who the environment is."""
    production = _production_identities(parts.outside, parts.environment)
    return Known(parts.name, production, parts.outside.identities.allowed(parts.name), confirmed)


def _production_identities(outside: World, environment: Environment) -> dict[str, str]:
    production = outside.identities.production
    identities = {
        "supabase_ref": production.supabase_ref,
        "railway_environment": production.railway_environment,
        "vercel_target": "production",
    }
    if environment.railway.layout == "own-project":
        identities["railway_project"] = production.railway_project
    return identities


def _operator() -> tuple[str, str]:
    """Who, and where that name comes from; both are said as they are."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # Whoever runs a job again is its executor, and may be the approver: GITHUB_ACTOR stays the first one's.
        for name in ("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"):
            if os.environ.get(name):
                return os.environ[name], f"self-asserted ({name})"
    if os.environ.get(OPERATOR_VARIABLE):
        return os.environ[OPERATOR_VARIABLE], f"self-asserted ({OPERATOR_VARIABLE})"
    return pwd.getpwuid(os.getuid()).pw_name, "login name on this machine"


def _ci() -> str:
    """The job in GitHub Actions that runs this, as it says itself; "" elsewhere, and where a part of it is missing."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return ""
    told = {name: os.environ.get(f"GITHUB_{name}", "") for name in _OF_A_JOB}
    if not all(re.fullmatch(shape, told[name]) for name, shape in _OF_A_JOB.items()):
        return ""
    return "{SERVER_URL}/{REPOSITORY}/actions/runs/{RUN_ID} attempt {RUN_ATTEMPT}".format(**told)


_OF_A_JOB = {
    "SERVER_URL": r"https://[\w.-]+",
    "REPOSITORY": r"[\w.-]+/[\w.-]+",
    "RUN_ID": r"\d+",
    "RUN_ATTEMPT": r"\d+",
}


def _read_plan(path: str) -> bytes:
    """The plan file that the operator has read; b"" when none was named."""
    if not path:
        return b""
    try:
        read = read_regular(Path(path))
    except OSError as error:
        raise ParameterError(
            f"the plan {path} cannot be read", why=str(error.strerror), next_step="name a plan.json of a sealed bundle"
        ) from error
    if not is_plan(read):
        raise ParameterError(
            f"{path} is no plan",
            why="it does not have the fields of a plan.json of this version of the tool",
            next_step="name a plan.json of a sealed bundle",
        )
    return read
