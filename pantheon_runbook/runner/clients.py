"""One client per vendor, all behind one gate, and the kinds of resource that are made from them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from pantheon_runbook import provisioning
from pantheon_runbook.config import Environment
from pantheon_runbook.database.connection import Database
from pantheon_runbook.database.kinds import Marker, Password
from pantheon_runbook.database.schema import Schema
from pantheon_runbook.errors import CredentialError, VendorRefusedError
from pantheon_runbook.kind import Kind, Surroundings
from pantheon_runbook.providers import (
    openrouter,
    railway,
    railway_deploys,
    railway_services,
    railway_sources,
    supabase,
    supabase_settings,
    supabase_storage,
    vercel,
    vercel_deploys,
)
from pantheon_runbook.providers.http import Client, Reach, WriteGate
from pantheon_runbook.providers.railway import RailwayApi
from pantheon_runbook.runner.surroundings import World
from pantheon_runbook.secrets import Secret

_TOKEN_OF = {
    "supabase": "SUPABASE_ACCESS_TOKEN",
    "railway": "RAILWAY_API_TOKEN",
    "vercel": "VERCEL_TOKEN",
    "openrouter": "OPENROUTER_MANAGEMENT_KEY",
}
VENDORS = tuple(_TOKEN_OF)


class Clients:
    """Each is made when it is first asked for, and closed with `ends`.

    `check` asks each vendor who we are before anything else.
    """

    def __init__(self, outside: World, gate: WriteGate, ends: ExitStack) -> None:
        self._outside = outside
        self._gate = gate
        self._ends = ends
        self._frontend = outside.config.frontend

    @cached_property
    def supabase(self) -> Client:
        return self._client("supabase", supabase.BASE_URL)

    @cached_property
    def railway(self) -> RailwayApi:
        return RailwayApi(self._client("railway", railway.BASE_URL))

    @cached_property
    def vercel(self) -> Client:
        return self._client("vercel", vercel.BASE_URL)

    @cached_property
    def openrouter(self) -> Client | None:
        is_held = _TOKEN_OF["openrouter"] in self._outside.credentials.tokens
        return self._client("openrouter", openrouter.BASE_URL) if is_held else None

    def _client(self, vendor: str, base_url: str) -> Client:
        client = Client(
            vendor,
            base_url,
            reach=self._outside.reach,
            gate=self._gate,
            headers=_bearer(self._outside.credentials.token(_TOKEN_OF[vendor])),
            timeout_seconds=self._outside.config.policy.request_seconds,
        )
        self._ends.callback(client.close)
        return client

    def check(self, environment: Environment, *, only: Collection[str] = VENDORS) -> str:
        """Supabase's plan; reads only. `only` are the vendors that this run has to do with.

        Errors: CredentialError for a token that is missing, and for a token or an organization that is wrong.
        """
        for vendor in only:  # before the first request
            if vendor != "openrouter" or environment.openrouter is not None:
                self._outside.credentials.token(_TOKEN_OF[vendor])
        plan = ""
        try:
            if "supabase" in only:
                plan = supabase.check_token(self.supabase, str(environment.supabase.organization))
            if "railway" in only:
                railway.check_token(self.railway, environment.railway.workspace)
            if "vercel" in only:
                vercel.check_token(self.vercel, self._frontend)
            if "openrouter" in only and self.openrouter is not None:
                openrouter.check_token(self.openrouter)
        except VendorRefusedError as error:
            raise CredentialError(error.what, why=error.why, next_step=error.next_step) from error
        return plan


def reading_client(
    vendor: str,
    base_url: str,
    token: Secret,
    *,
    reach: Reach,
    timeout_seconds: float = 30.0,
    declared: frozenset[str] = frozenset(),
) -> Client:
    """A client that can send the enumerated reads and the declared SQL checks, whatever is done to it."""
    headers = _bearer(token)
    return Client(
        vendor, base_url, reach=reach, gate=None, headers=headers, timeout_seconds=timeout_seconds, declared=declared
    )


def project_token_client(token: Secret, *, reach: Reach, timeout_seconds: float) -> Client:
    """The same at Railway for what may be a project token: those come in a header of their own (FACTS 2)."""
    headers = {"Project-Access-Token": token}
    return Client(
        railway.VENDOR,
        railway.BASE_URL,
        reach=reach,
        gate=None,
        headers=headers,
        timeout_seconds=timeout_seconds,
    )


def _bearer(token: Secret) -> dict[str, Secret]:
    return {"Authorization": Secret(f"Bearer {token.reveal()}")}


@dataclass(frozen=True)
class Parts:
    """What the kinds of one run are made from; `name` is the environment's, `plan` Supabase's."""

    outside: World
    name: str
    clients: Clients
    gate: WriteGate
    database: Database
    surroundings: Surroundings
    plan: str

    @property
    def environment(self) -> Environment:
        return self.outside.config.environments[self.name]


def kinds_of(parts: Parts, ends: ExitStack) -> dict[str, Kind]:
    """Every kind by its prefix; those that hold connections are closed with `ends`."""
    kinds = {kind.prefix: kind for kind in (*_supabase(parts), *_railway(parts), *_others(parts))}
    for kind in kinds.values():
        ends.callback(kind.close)
    return kinds


def deployments(parts: Parts) -> dict[str, Kind]:
    """What RB-020 has beside RB-010's kinds, by prefix: sources, deployments and the preview."""
    config, clients, around = parts.outside.config, parts.clients, parts.surroundings
    names, production = provisioning.services_of(config), parts.outside.identities.production
    kinds: tuple[Kind, ...] = (
        railway_sources.ProductionSources(
            clients.railway, project_id=production.railway_project, environment_id=production.railway_environment
        ),
        railway_sources.SourceKind(clients.railway, parts.environment.railway, around, services=names),
        railway_deploys.DeploymentKind(clients.railway, around, services=names),
        vercel_deploys.PreviewDeployment(clients.vercel, config.frontend, around, branch=config.backend.release_branch),
    )
    return {kind.prefix: kind for kind in kinds}


def _supabase(parts: Parts) -> tuple[Kind, ...]:
    config, client, around = parts.outside.config, parts.clients.supabase, parts.surroundings
    production_ref = parts.outside.identities.production.supabase_ref
    urls = (provisioning.site_url(config, parts.environment), *provisioning.redirect_urls(config, parts.environment))
    sources = {one.name: provisioning.held_as(one) for one in provisioning.variables_for(config, "supabase:secrets")}
    return (
        supabase_storage.ProductionBuckets(client, production_ref=production_ref),
        supabase.Project(client, parts.environment.supabase, around, plan=parts.plan),
        supabase_settings.ApiKeys(client, around),
        supabase_settings.AuthSettings(client, around, declared=frozenset(urls)),
        supabase_settings.EdgeSecrets(client, around, production_ref=production_ref, sources=sources),
        supabase_storage.Buckets(
            around, reach=parts.outside.reach, gate=parts.gate, timeout_seconds=config.policy.request_seconds
        ),
        Password(client, around, database=parts.database),
        Schema(around, database=parts.database),
        Marker(around, database=parts.database, gate=parts.gate, environment=parts.name, cloud=config.cloud),
    )


def _railway(parts: Parts) -> tuple[Kind, ...]:
    config, api, around = parts.outside.config, parts.clients.railway, parts.surroundings
    settings = parts.environment.railway
    services = tuple(one for one in config.backend.services if one.name in provisioning.services_of(config))
    production = parts.outside.identities.production
    return (
        railway_services.ProductionVariables(
            api, project_id=production.railway_project, environment_id=production.railway_environment
        ),
        railway.EnvironmentKind(api, settings, around, production_project=production.railway_project),
        railway_services.ServiceKind(api, settings, around),
        railway_services.DomainKind(api, provisioning.public_service(config), around),
        railway_services.VariablesKind(api, services, around),
    )


def _others(parts: Parts) -> tuple[Kind, ...]:
    config, clients, around = parts.outside.config, parts.clients, parts.surroundings
    names = {one.name: one.secret for one in provisioning.variables_for(config, "vercel:preview")}
    kinds: list[Kind] = [vercel.PreviewVariables(clients.vercel, config.frontend, around, names=names)]
    if clients.openrouter is not None and parts.environment.openrouter is not None:
        kinds.append(openrouter.StagingKey(clients.openrouter, parts.environment.openrouter, around))
    return tuple(kinds)
