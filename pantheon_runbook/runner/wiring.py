"""Open a run: check everything that can be checked first, then lock, then make the folder that will be sealed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import pwd
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pantheon_runbook import clock, comparing, outages
from pantheon_runbook.config import Environment, read_regular
from pantheon_runbook.database.locks import MachineLock, holder_of
from pantheon_runbook.errors import ParameterError, RunbookError
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import require_pinned, sealing_key
from pantheon_runbook.evidence.verify import shown
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.kind import Surroundings
from pantheon_runbook.model import Snapshot
from pantheon_runbook.planning import is_plan
from pantheon_runbook.providers.http import WriteGate
from pantheon_runbook.runbooks import Runbook, checked_parameters, find, spelled
from pantheon_runbook.runner import hotfixes
from pantheon_runbook.runner.clients import Clients, Parts
from pantheon_runbook.runner.production import PRODUCTION
from pantheon_runbook.runner.serve import OpenRun
from pantheon_runbook.runner.sessions import ON_PRODUCTION, database_of, session_of, vault_of
from pantheon_runbook.runner.surroundings import World, registry_of, world
from pantheon_runbook.secrets import Registry, Vault
from pantheon_runbook.session import Opening

OPERATOR_VARIABLE = "PANTHEON_OPERATOR"
Progress = Callable[[str], None]
_ALONE = ("railway", "vercel")


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
    outside = world(tell=progress)
    name = str(parameters["environment"])
    outside.config.environment(name)
    _refuse_environment(name, runbook.id)
    read_plan = _read_plan(str(parameters.get("plan_file", "")))
    if read_plan and not parameters.get("resume"):  # who goes on has the parameters of the run that began
        _refuse_other_parameters(read_plan, runbook, parameters)
    key = sealing_key(outside.config.cloud)
    require_pinned(key, outside.trust, cloud=outside.config.cloud)
    registry = registry_of(outside)
    with masked_errors(registry), ExitStack() as ends:  # what was begun is ended when opening does not come to its end
        restores_paused = bool(parameters.get("restore_paused"))
        if runbook.id in ON_PRODUCTION:
            with _outages_told(runbook, parameters):
                only = _vendors(str(parameters.get("only", "")))
                parts = _parts_of_production(outside, registry, ends, progress, only=only)
        else:
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
        warnings += tuple(hotfixes.warnings(outside))
        bundle = Bundle(place, registry)
        with ExitStack() as unbegun:
            unbegun.callback(bundle.close)
            mode = str(parameters.get("mode", comparing.MODE))
            opening = _opening(runbook, place, mode, warnings, outside.decided_by)
            session = session_of(
                runbook, parameters, parts, bundle=bundle, ends=ends, opening=opening, read_plan=read_plan
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
def _outages_told(runbook: Runbook, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Who cannot open a run on production wants to know first in which state production is."""
    try:
        yield
    except RunbookError as error:
        asked = " --apply" if parameters.get("mode") == "apply" else ""
        command = f"pantheon-runbook run {runbook.id} -e {PRODUCTION}{spelled(parameters, runbook.id)}{asked}"
        raise outages.of_opening(error, command) from error.__cause__


@contextmanager
def looked_at(name: str, *, progress: Progress = lambda _words: None) -> Iterator[tuple[Snapshot, Parts]]:
    """An environment as RB-010 observes it, and refused like there when it is production; reads only.

    Nothing is decided by it, so it leaves no evidence: its journal is gone with it. Errors: RunbookError.
    """
    runbook = find("RB-010")
    parameters = checked_parameters(runbook, {"environment": name, "mode": "plan"})
    outside = world(tell=progress)
    outside.config.environment(name)
    registry = registry_of(outside)
    with ExitStack() as ends:
        parts = _parts(outside, name, registry, ends, progress, restores_paused=False)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="pantheon-runbook-")))
        place = Place(folder, outside.config.cloud, name, runbook.id, clock.token("run"), clock.stamp())
        bundle = Bundle(place, registry)
        ends.callback(bundle.close)
        opening = _opening(runbook, place, "plan", (), outside.decided_by)
        session = session_of(runbook, parameters, parts, bundle=bundle, ends=ends, opening=opening, read_plan=b"")
        yield session.perform("observe"), parts


def _parts(
    outside: World, name: str, registry: Registry, ends: ExitStack, progress: Progress, *, restores_paused: bool
) -> Parts:
    """Clients that have been asked who we are, and what the kinds need besides."""
    environment = outside.config.environments[name]
    gate = WriteGate(forbidden=_forbidden(outside, environment))
    clients = Clients(outside, gate, ends)
    plan = clients.check(environment)
    vault = vault_of(outside, registry)
    around = Surroundings(
        vault,
        outside.config.policy.wait_seconds,
        progress,
        outside.identities.production.pins,
        restores_paused,
        find=Search(Marks.of(outside.identities)).find,
    )
    return Parts(outside, name, clients, gate, database_of(outside, vault), around, plan)


def _vendors(only: str) -> tuple[str, ...]:
    """Whose tokens a run on production needs; "only" as RB-040 takes it. Errors: ParameterError."""
    vendors = {"": ("supabase", "railway", "vercel"), "database": ("supabase",), **{one: (one,) for one in _ALONE}}
    if only in vendors:
        return vendors[only]
    raise ParameterError(
        f'there is nothing called "{only}" to roll back',
        why="it is database, railway or vercel",
        next_step="correct -p only=..., or leave it out for all three",
    )


def _parts_of_production(
    outside: World, registry: Registry, ends: ExitStack, progress: Progress, *, only: tuple[str, ...]
) -> Parts:
    """The same for a run on production: a vault without a value of staging's, and a gate that is shut for staging.

    Its database is looked at by the role that only looks, and written to by the owner.
    """
    gate = WriteGate(forbidden=_staging(outside))
    clients = Clients(outside, gate, ends)
    plan = clients.check(_promoted(outside), only=only)
    vault, read = Vault(registry, salt=outside.identities.salt), outside.config.production_read
    logins = {"writes_by": "database.write_url", "read_by": read.dump_role if read else ""}
    around = Surroundings(vault, outside.config.policy.wait_seconds, progress)
    return Parts(outside, PRODUCTION, clients, gate, database_of(outside, vault, **logins), around, plan)


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


def _refuse_environment(name: str, runbook_id: str) -> None:
    if (name == PRODUCTION) == (runbook_id in ON_PRODUCTION):
        return
    if name == PRODUCTION:
        raise ParameterError(
            f"{runbook_id} was asked to work on production",
            why="it works on environments that are not production, and reads production beside them",
            next_step=f"pantheon-runbook run {runbook_id} -e staging",
        )
    raise ParameterError(
        f"{runbook_id} was asked to work on {name}",
        why="it works on production; what it promotes is given with -p staging=NAME",
        next_step=f"pantheon-runbook run {runbook_id} -e production",
    )


def _promoted(outside: World) -> Environment:
    """Whose organization and workspace the tokens are held against: of production nobody needs to name them."""
    others = (one for name, one in outside.config.environments.items() if name != PRODUCTION)
    return next(others, outside.config.production)


def _staging(outside: World) -> dict[str, str]:
    """What no write to production may name: every id of the environments that are not production."""
    forbidden = {}
    for name, allowed in outside.identities.environments.items():
        ids = allowed.said()
        for told in ("supabase_ref", "railway_environment"):
            if told in ids:
                forbidden[ids[told]] = f"{name}'s {told.replace('_', ' ')}"
    return forbidden


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


def _refuse_other_parameters(read_plan: bytes, runbook: Runbook, parameters: Mapping[str, Any]) -> None:
    """They make another plan, or one that is blocked. A plan for something else altogether is refused as that later."""
    told, name = json.loads(read_plan), str(parameters["environment"])
    if (told["runbook"], told["environment"]) != (runbook.id, name) or not isinstance(told["parameters"], dict):
        return
    planned, given = spelled(told["parameters"], runbook.id), spelled(parameters, runbook.id)
    if planned != given:
        raise ParameterError(
            "the plan was made with other parameters than this run has",
            why=f"the plan has {shown(planned).strip() or 'none'}, and this run {given.strip() or 'none'}",
            next_step=f"pantheon-runbook run {runbook.id} -e {name}{shown(planned)} "
            f"--apply --plan {shlex.quote(str(parameters['plan_file']))}",
        )


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
