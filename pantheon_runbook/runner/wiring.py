"""Open a run: check everything that can be checked first, then lock, then make the folder that will be sealed."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pantheon_runbook import clock, provisioning
from pantheon_runbook.config import Config, Environment
from pantheon_runbook.credentials import TOKENS
from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.kinds import Marker, Password
from pantheon_runbook.database.locks import MachineLock, database_lock
from pantheon_runbook.errors import CredentialError, ParameterError, VendorRefusedError
from pantheon_runbook.evidence.bundle import Bundle, seal_abandoned
from pantheon_runbook.evidence.journal import Journal
from pantheon_runbook.evidence.place import Place
from pantheon_runbook.evidence.seal import sealing_key
from pantheon_runbook.model import Check, Desired, Finding, Snapshot
from pantheon_runbook.planning import plan_changes
from pantheon_runbook.providers import openrouter, railway, supabase, supabase_storage, vercel
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.kind import Kind, Surroundings
from pantheon_runbook.runbooks import checked_parameters, find
from pantheon_runbook.runner.serve import OpenRun
from pantheon_runbook.runner.surroundings import World, world
from pantheon_runbook.secrets import Registry, Secret, Vault
from pantheon_runbook.session import Opening, Session

OPERATOR_VARIABLE = "PANTHEON_OPERATOR"
Progress = Callable[[str], None]


class Clients:
    """One client per vendor, all behind one gate; `check` asks each who we are before anything else."""

    def __init__(self, outside: World, gate: WriteGate) -> None:
        self._outside = outside
        self._gate = gate
        self._made: list[Client] = []
        config, credentials = outside.config, outside.credentials
        bearer = {name: _bearer(credentials.token(name)) for name in TOKENS}
        self.supabase = self._client("supabase", supabase.BASE_URL, bearer["SUPABASE_ACCESS_TOKEN"])
        self.railway = railway.RailwayApi(self._client("railway", railway.BASE_URL, bearer["RAILWAY_API_TOKEN"]))
        self.vercel = self._client("vercel", vercel.BASE_URL, bearer["VERCEL_TOKEN"])
        self.openrouter: Client | None = None
        if "OPENROUTER_MANAGEMENT_KEY" in credentials.tokens:
            key = _bearer(credentials.token("OPENROUTER_MANAGEMENT_KEY"))
            self.openrouter = self._client("openrouter", openrouter.BASE_URL, key)
        self._config = config

    def _client(self, vendor: str, base_url: str, headers: Mapping[str, Secret]) -> Client:
        client = Client(
            vendor,
            base_url,
            reach=self._outside.reach,
            gate=self._gate,
            headers=headers,
            timeout_seconds=self._outside.config.policy.request_seconds,
        )
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()

    def check(self, environment: Environment) -> str:
        """Supabase's plan; reads only. Errors: CredentialError for a token or an organization that is wrong."""
        try:
            plan = supabase.check_token(self.supabase, str(environment.supabase.organization))
            railway.check_token(self.railway, environment.railway.workspace)
            vercel.check_token(self.vercel, self._config.frontend)
            if self.openrouter is not None:
                openrouter.check_token(self.openrouter)
        except VendorRefusedError as error:
            raise CredentialError(error.what, why=error.why, next_step=error.next_step) from error
        return plan


def _bearer(token: Secret) -> dict[str, Secret]:
    return {"Authorization": Secret(f"Bearer {token.reveal()}")}


class Provisioning:
    """RB-010 as the session sees it: the pure part with this run's config and vault."""

    def __init__(self, config: Config, name: str, vault: Vault, database: Database, *, restore_paused: bool) -> None:
        self._config = config
        self._name = name
        self._vault = vault
        self._database = database
        self._restore_paused = restore_paused

    def desired(self, snapshot: Snapshot) -> tuple[Desired, ...]:
        return provisioning.desired_staging(
            self._config, self._name, snapshot, self._vault.fingerprints(), restore_paused=self._restore_paused
        )

    def findings(self) -> tuple[Finding, ...]:
        return tuple(provisioning.findings(self._config, self._vault.fingerprints()))

    def endpoints(self, snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
        return provisioning.endpoints(self._config, self._name, snapshot)

    def manual_steps(self, snapshot: Snapshot) -> tuple[str, ...]:
        return provisioning.manual_steps(self._config, self._name, snapshot)

    def calls(self, desired: Sequence[Desired], snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
        return provisioning.calls(plan_changes(desired, snapshot)[0])

    def probes(self, snapshot: Snapshot) -> tuple[Check, ...]:
        """Does it answer: the three ways into the database that the variables name, and whose database it is."""
        marked = snapshot.identities.get("database_marker", "no marker")
        expected = f"{self._name} {snapshot.identities.get('supabase_ref')}"
        checks = [Check("the database says which environment it is", expected, marked, marked == expected)]
        for name, url in (("session pooler", "database.session_url"), ("transaction pooler", "database.pool_url")):
            with self._database.session(url=url) as connection:
                row = connection.execute("select current_database()").fetchone()
            found = str(row[0]) if row else "no row"
            checks.append(Check(f"{name} answers", "postgres", found, found == "postgres"))
        return tuple(checks)


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
    environment = outside.config.environment(name)
    _refuse_production(name, runbook_id)
    read_plan = _read_plan(str(parameters["plan_file"]))
    key = sealing_key(outside.config.cloud)
    registry = _registry(outside)
    gate = WriteGate(forbidden=_forbidden(outside, environment))
    with ExitStack() as undo:  # what was begun is taken back when opening does not come to its end
        clients = Clients(outside, gate)
        undo.callback(clients.close)
        plan = clients.check(environment)
        place = Place(outside.evidence, outside.config.cloud, name, runbook.id, clock.token("run"), clock.stamp())
        lock = None
        if parameters["mode"] == "apply":
            lock = MachineLock(f"{outside.scope} {name}", holder=f"run {place.run_id[:8]}")
            undo.callback(lock.release)
        seal_abandoned(outside.evidence, key, registry)
        bundle = Bundle(place, registry)
        undo.callback(bundle.close)
        vault = _vault(outside, registry)
        database = Database(
            vault, resolve=outside.resolve, options="?sslmode=require" if outside.config.cloud == "live" else ""
        )
        surroundings = Surroundings(
            vault, outside.config.policy.wait_seconds, progress, outside.identities.production.pins
        )
        operator, operator_source = _operator()
        session = Session(
            opening=Opening(
                runbook=runbook.id,
                title=runbook.title,
                cloud=place.cloud,
                environment=name,
                mode=str(parameters["mode"]),
                run_id=place.run_id,
                started_at=place.started_at,
                operator=operator,
                operator_source=operator_source,
                warnings=warnings,
            ),
            definition=Provisioning(
                outside.config, name, vault, database, restore_paused=bool(parameters["restore_paused"])
            ),
            kinds=_kinds(outside, environment, name, clients, gate, database, surroundings, plan=plan),
            journal=Journal(bundle.folder / "journal.jsonl", run_id=place.run_id, registry=registry),
            gate=gate,
            runbook_digest=runbook.digest,
            parameters=parameters,
            production_identities=_production_identities(outside, environment),
            read_plan=read_plan,
            progress=progress,
            hold_writer_lock=lambda: database_lock(
                database, vault, scope=f"pantheon-runbook {name}", holder=place.run_id[:8]
            ),
        )
        undo.pop_all()

    def close() -> None:
        for kind in session.kinds.values():
            kind.close()
        clients.close()
        if lock is not None:
            lock.release()

    return OpenRun(session, bundle, registry, key, close)


def _refuse_production(name: str, runbook_id: str) -> None:
    if name == "production":
        raise ParameterError(
            f"{runbook_id} was asked to work on production",
            why="it provisions environments that are not production",
            next_step=f"pantheon-runbook run {runbook_id} -e staging",
        )


def _registry(outside: World) -> Registry:
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
            vault.hold(provisioning.held_as(variable), variable.source.removeprefix("literal:"), secret=variable.secret)
    vault.hold("redis.url", railway.REDIS_URL, secret=False)
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


def _kinds(
    outside: World,
    environment: Environment,
    name: str,
    clients: Clients,
    gate: WriteGate,
    database: Database,
    surroundings: Surroundings,
    *,
    plan: str,
) -> dict[str, Kind]:
    config, production = outside.config, outside.identities.production
    services = tuple(one for one in config.backend.services if one.name in provisioning.services_of(config))
    public = next(service.name for service in services if service.public)
    edge_sources = {v.name: provisioning.held_as(v) for v in provisioning.variables_for(config, "supabase:secrets")}
    previewed = provisioning.variables_for(config, "vercel:preview")
    kinds: list[Kind] = [
        supabase_storage.ProductionBuckets(clients.supabase, production_ref=production.supabase_ref),
        supabase.Project(clients.supabase, environment.supabase, surroundings, plan=plan),
        supabase.ApiKeys(clients.supabase, surroundings),
        supabase.AuthSettings(clients.supabase, surroundings),
        supabase.EdgeSecrets(
            clients.supabase, surroundings, production_ref=production.supabase_ref, sources=edge_sources
        ),
        supabase_storage.Buckets(
            surroundings, reach=outside.reach, gate=gate, timeout_seconds=config.policy.request_seconds
        ),
        Password(clients.supabase, surroundings, database=database),
        Marker(surroundings, database=database, gate=gate, environment=name, cloud=config.cloud),
        railway.EnvironmentKind(
            clients.railway, environment.railway, surroundings, production_project=production.railway_project
        ),
        railway.ServiceKind(clients.railway, environment.railway, surroundings),
        railway.DomainKind(clients.railway, public, surroundings),
        railway.VariablesKind(clients.railway, services, surroundings),
        vercel.PreviewVariables(
            clients.vercel, config.frontend, surroundings, secret_names=(v.name for v in previewed if v.secret)
        ),
    ]
    if clients.openrouter is not None and environment.openrouter is not None:
        kinds.append(openrouter.StagingKey(clients.openrouter, environment.openrouter, surroundings))
    return {kind.prefix: kind for kind in kinds}


def _operator() -> tuple[str, str]:
    """Who, and where that name comes from; both are said as they are."""
    if os.environ.get("GITHUB_ACTIONS") == "true" and os.environ.get("GITHUB_ACTOR"):
        return os.environ["GITHUB_ACTOR"], "CI identity"
    if os.environ.get(OPERATOR_VARIABLE):
        return os.environ[OPERATOR_VARIABLE], f"self-asserted ({OPERATOR_VARIABLE})"
    return getpass.getuser(), "self-asserted (login name)"


def _read_plan(path: str) -> str:
    """The digest of the plan file that the operator has read; "" when none was named."""
    import hashlib  # noqa: PLC0415

    if not path:
        return ""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ParameterError(
            f"the plan {path} cannot be read", why=str(error.strerror), next_step="name a plan.json of a sealed bundle"
        ) from error


__all__ = ["Clients", "Reach", "open_run"]
