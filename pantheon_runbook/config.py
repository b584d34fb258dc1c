"""pantheon.toml and identities.toml: what the team decided and committed; no secret is ever in either."""

from __future__ import annotations

import errno
import json
import os
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from pantheon_runbook import clock
from pantheon_runbook.checks import DeclaredCheck, ProductionRead, wrong_in
from pantheon_runbook.errors import ConfigError, ParameterError
from pantheon_runbook.proofs import Proof, StagingProof
from pantheon_runbook.proofs import wrong_in as wrong_in_proofs
from pantheon_runbook.secrets import has_token_shape

CONFIG_VARIABLE = "PANTHEON_CONFIG"
DEFAULT_CONFIG = "pantheon.toml"
_WEEK_SECONDS = 7 * 24 * 3600
_MILLISECOND = 0.001  # PostgreSQL takes less for no limit at all

Ref = Annotated[str, StringConstraints(pattern=r"^[a-z]{20}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s,<>]+$")]  # a comma would make two of it at Supabase
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
VersionTable = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]
Source = Annotated[
    str,
    StringConstraints(
        pattern=r"^(literal:.*|credentials\.[A-Za-z0-9_]+|supabase\.(url|anon_key|service_role_key)"
        r"|database\.(session_url|pool_url|direct_url)|redis\.url|railway\.api_url|openrouter\.key)$"
    ),
]


def _spelled_span(text: str) -> str:
    if not timedelta() < clock.span(text) <= timedelta(seconds=_WEEK_SECONDS):
        raise ValueError("it is more than nothing, and a week at most")
    return text


Span = Annotated[str, AfterValidator(_spelled_span)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_Loaded = TypeVar("_Loaded", bound=_Table)


class Supabase(_Table):
    """One project. `ref` is known for what exists; `name`, `organization` and `region` say what to find or make."""

    ref: Ref | None = None
    name: Name | None = None
    organization: Slug | None = None
    region: str = "eu-west-1"
    size: str | None = None


class Railway(_Table):
    """Where the services live. An own project keeps `serviceCreate` away from production (FACTS 2)."""

    layout: Literal["own-project", "shared-project"] = "own-project"
    workspace: Slug | None = None
    project: Slug | None = None
    project_name: Name | None = None
    environment: Slug | None = None
    environment_name: Name = "staging"
    api_url: Url | None = None  # production's, for smoke checks; staging's is read from Railway


class Vercel(_Table):
    target: Literal["production", "preview"] = "preview"
    site_url: Url | None = None
    redirect_urls: tuple[Url, ...] = ()


class OpenRouter(_Table):
    """A key of staging's own; the limit is in US dollars per `limit_reset`."""

    key_name: Name
    limit_usd: float = Field(gt=0)
    limit_reset: Literal["daily", "weekly", "monthly"] = "monthly"


class Environment(_Table):
    supabase: Supabase
    railway: Railway
    vercel: Vercel
    openrouter: OpenRouter | None = None


class Service(_Table):
    name: Name
    root: str = "."
    public: bool = False
    is_worker: bool = False


class Backend(_Table):
    """Somebody's repository. `alembic` starts beside the config, `python` is its own interpreter.

    Its env.py reads the URL from the ini or from the variable `url_variable`. `release_branch` alone migrates and is
    deployed. A revision waits `lock_seconds` for a lock, while others queue behind it, and one statement may take
    `statement_seconds`. `seed` is a Python file, its path beside the config, that `python` runs after a refresh with
    the URL in the same variable: it fills a staging that was made anew.
    """

    alembic: str = "backend/alembic.ini"
    python: str = "python"
    url_variable: VariableName = "DATABASE_URL"
    version_table: VersionTable = "public.alembic_version"
    lock_seconds: float = Field(default=3.0, ge=_MILLISECOND, le=60)
    statement_seconds: float = Field(default=600.0, ge=_MILLISECOND, le=24 * 3600)
    seed: Text | None = None
    background_jobs: bool = False
    release_branch: str = "main"
    services: tuple[Service, ...] = (Service(name="api", public=True),)

    @model_validator(mode="after")
    def _has_one_public_service(self) -> Backend:
        if sum(service.public for service in self.services) != 1:
            raise ValueError("exactly one service must be public: the API that the frontend talks to")
        return self


class Frontend(_Table):
    vercel_project: Slug
    vercel_team: Slug


class Variable(_Table):
    """One variable on one or more places: "railway:<service>", "vercel:preview" or "supabase:secrets"."""

    name: VariableName
    targets: tuple[str, ...]
    source: Source
    secret: bool = True

    @model_validator(mode="after")
    def _targets_are_places(self) -> Variable:
        for target in self.targets:
            place, _, rest = target.partition(":")
            if place not in {"railway", "vercel", "supabase"} or not rest:
                raise ValueError(f"target {target!r} is none of railway:<service>, vercel:preview, supabase:secrets")
        if has_token_shape(self.source):
            raise ValueError(f"{self.name} holds a token: it belongs under [values] in the credentials file")
        return self


class Policy(_Table):
    """Limits in seconds: one cell, the whole run, one request, one wait for a vendor's own work.

    `smoke_requests`: how many requests, logins and statements the smoke checks of one environment may take.
    """

    cell_seconds: float = Field(default=900, gt=0, le=_WEEK_SECONDS)
    run_seconds: float = Field(default=3600, gt=0, le=_WEEK_SECONDS)
    request_seconds: float = Field(default=30, gt=0, le=_WEEK_SECONDS)
    wait_seconds: float = Field(default=900, gt=0, le=_WEEK_SECONDS)
    smoke_requests: int = Field(default=20, ge=1, le=200)


class RuleException(_Table):
    """One rule of the migration checks that does not block, or says nothing: in these revisions, or in all of them."""

    rule: Slug
    tier: Literal["advice", "off"]
    revisions: tuple[str, ...] = ()
    owner: Text
    reason: Annotated[str, StringConstraints(min_length=10, max_length=500)]


class MigrationPolicy(_Table):
    """`big_table_rows`: from how many rows of production on a table must not be held up by a migration.

    `rehearsal_statement_seconds` bounds one statement on the copy, which has no rows.
    """

    big_table_rows: int = Field(default=100_000, ge=1)
    rehearsal_statement_seconds: int = Field(default=60, ge=1, le=3600)
    rules: tuple[RuleException, ...] = ()


class Evidence(_Table):
    path: str = "evidence"


class DeclaredException(_Table):
    """One row of RB-060 that may be shared: who says so, and why; for a thing with settings, in which of them."""

    subject: str = Field(min_length=1)
    attributes: tuple[str, ...] = ()
    reason: str = Field(min_length=10)
    owner: str = Field(min_length=1)


class AcceptedExposure(_Table):
    """One way into production that RB-060 finds open, and that a promotion may leave open until the end of a day (UTC).

    `address` is the exposure's, for example "supabase/members"; `expires` is YYYY-MM-DD.
    """

    address: Text
    owner: Text
    reason: Annotated[str, StringConstraints(min_length=10, max_length=500)]
    expires: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]

    @field_validator("expires")
    @classmethod
    def _is_a_day(cls, expires: str) -> str:
        date.fromisoformat(expires)
        return expires


class Backup(_Table):
    """An encrypted dump of production that the team takes by itself: where it is kept, and the receipt of the last one.

    `receipt` is a file beside the config: {"sha256", "taken_at", "encrypted_for", "project"} (`promotion.dumps`).
    `store` is no file of this machine, and has neither a name nor a token in it.
    """

    store: Annotated[str, StringConstraints(pattern=r"^(s3|gs|az|https|sftp)://[A-Za-z0-9._/-]+$", max_length=500)]
    receipt: Text


class Promotion(_Table):
    """`staging_evidence_days`: how old the sealed RB-020 run may be that a release is promoted on."""

    staging_evidence_days: int = Field(default=7, gt=0, le=366)


class Closure(_Table):
    """What closing F25 rests on. Paths start beside the config; people are called as their keys' owners in trust.toml.

    `strategy` is the document that `approver` signs; each of `members` confirms that work uses staging by default, and
    `env_files` are where they point; `max_age_days` is how old the isolation proof may be.
    """

    strategy: Text
    approver: Name
    supervisor: Name
    members: Annotated[tuple[Name, ...], Field(min_length=1)]
    env_files: tuple[Text, ...] = ()
    guard_paths: Annotated[tuple[Text, ...], Field(min_length=1)] = (".",)
    endpoints_page: Text | None = None
    max_age_days: int = Field(default=7, gt=0, le=366)

    @field_validator("members")
    @classmethod
    def _names_each_once(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in members if members.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is named twice")
        return members


class ApprovalPolicy(_Table):
    """Who lets a plan of production through: `required` of the `approvers` (empty: whoever's key is pinned for that).

    An approval may start something for `longest` at most. With `solo` a team of one approves its own plan, `delay`
    after it was sealed; then separation of duties is not met, and every report says so.
    """

    approvers: tuple[Name, ...] = ()
    required: int = Field(default=1, ge=1, le=20)
    solo: bool = False
    longest: Span = "24h"
    delay: Span = "15m"

    @model_validator(mode="after")
    def _can_be_met(self) -> ApprovalPolicy:
        names = [name.casefold() for name in self.approvers]
        if len(set(names)) < len(names):
            raise ValueError("approvers names somebody twice")
        if names and self.required > len(names):
            raise ValueError(f"required is {self.required}, and approvers names {len(names)}")
        if self.solo and self.required > 1:
            raise ValueError("solo is for a team of one: required must be 1")
        return self


class KnownPerson(_Table):
    """One person, called as the owner of his keys in trust.toml, and under which other names he goes, e-mail too."""

    name: Name
    also: Annotated[tuple[Text, ...], Field(min_length=1)]

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name, *self.also})


class Config(_Table):
    cloud: Literal["sandbox", "live"]
    product: Name = "pantheon"
    environments: dict[Name, Environment]
    backend: Backend
    frontend: Frontend
    variables: tuple[Variable, ...]
    exceptions: tuple[DeclaredException, ...] = ()
    evidence: Evidence = Evidence()
    policy: Policy = Policy()
    migration_policy: MigrationPolicy = MigrationPolicy()
    production_read: ProductionRead | None = None
    checks: tuple[DeclaredCheck, ...] = ()
    staging_proof: StagingProof = StagingProof()
    proofs: tuple[Proof, ...] = ()
    closure: Closure | None = None
    promotion: Promotion = Promotion()
    backup: Backup | None = None
    accepted_exposures: tuple[AcceptedExposure, ...] = ()
    approval: ApprovalPolicy = ApprovalPolicy()
    people: tuple[KnownPerson, ...] = ()

    @field_validator("accepted_exposures")
    @classmethod
    def _accepts_each_once(cls, accepted: tuple[AcceptedExposure, ...]) -> tuple[AcceptedExposure, ...]:
        addresses = [one.address for one in accepted]
        twice = sorted({one for one in addresses if addresses.count(one) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is accepted twice")
        return accepted

    @model_validator(mode="after")
    def _tells_people_apart(self) -> Config:
        names = [name for person in self.people for name in {one.casefold() for one in person.names}]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"people: {twice[0]} is the name of two of them")
        return self

    @model_validator(mode="after")
    def _has_a_production(self) -> Config:
        if "production" not in self.environments:
            raise ValueError("environments.production is missing: staging is proven against it")
        return self

    @model_validator(mode="after")
    def _says_what_to_find_or_make(self) -> Config:
        for name, environment in self.environments.items():
            supabase, railway = environment.supabase, environment.railway
            wanted = {
                "supabase.organization": supabase.organization,
                "supabase.name": supabase.name or supabase.ref,
                "railway.project_name": railway.project_name or railway.project,
            }
            missing = [field for field, value in wanted.items() if not value]
            if name != "production" and missing:
                raise ValueError(f"environments.{name}.{missing[0]} is missing")
        return self

    @model_validator(mode="after")
    def _is_not_called_production(self) -> Config:
        """Ids are compared with what the vendors say; a name is the first thing that people mix up."""
        railway = self.production.railway
        named = {railway.environment_name.casefold()} if "environment_name" in railway.model_fields_set else set()
        taken = {"production", *named}
        for name, environment in self.environments.items():
            if (environment.vercel.target == "production") != (name == "production"):
                raise ValueError(f"environments.{name}.vercel.target is not {name}'s")
            if name != "production" and environment.railway.environment_name.casefold() in taken:
                raise ValueError(f"environments.{name}.railway.environment_name is production's")
        return self

    @model_validator(mode="after")
    def _targets_exist(self) -> Config:
        services = (f"railway:{service.name}" for service in self.backend.services)
        places = {"vercel:preview", "supabase:secrets", *services}
        for variable in self.variables:
            unknown = sorted(set(variable.targets) - places)
            if unknown:
                known = f"{', '.join(sorted(places))} (the services are those of backend.services)"
                raise ValueError(f"variables.{variable.name}.targets: {unknown[0]} is none of {known}")
        return self

    @model_validator(mode="after")
    def _checks_can_be_made(self) -> Config:
        budget = self.policy.smoke_requests
        wrong = wrong_in(self.checks, tuple(self.environments), read=self.production_read, budget=budget)
        wrong = wrong or wrong_in_proofs(self.proofs)
        if wrong:
            raise ValueError(wrong)
        return self

    @property
    def production(self) -> Environment:
        return self.environments["production"]

    def environment(self, name: str) -> Environment:
        """The named environment. Errors: ParameterError that lists the names there are."""
        if name in self.environments:
            return self.environments[name]
        other = min(set(self.environments) - {"production"}, default="staging")
        raise ParameterError(
            f'there is no environment "{name}" in pantheon.toml',
            why=f"it names {', '.join(sorted(self.environments))}",
            next_step=f"add [environments.{name}], or run with -e {other}",
        )


class ProductionIdentity(_Table):
    """What production is called by its vendors, and the salted fingerprints of its secrets by name.

    `hosts` are names of its own besides those that follow from the ids, for example of its API and its frontend.
    """

    supabase_ref: Ref
    railway_project: str
    railway_environment: str
    vercel_project: str
    pinned_at: str
    hosts: tuple[Host, ...] = ()
    pins: dict[str, str] = {}


class AllowedIdentity(_Table):
    """What one environment of ours is called by its vendors; what is said here is what must be found there.

    In a Railway project that is shared with production the environment alone tells, and the project is left out.
    """

    supabase_ref: Ref | None = None
    railway_project: str | None = None
    railway_environment: str | None = None
    vercel_project: str | None = None

    def said(self) -> dict[str, str]:
        return {name: str(value) for name, value in self if value is not None}


class Identities(_Table):
    """Production's deny list and, per environment, an allow list."""

    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    production: ProductionIdentity
    environments: dict[Name, AllowedIdentity] = {}

    @model_validator(mode="after")
    def _allows_nothing_of_production(self) -> Identities:
        """Vercel's project apart: it is shared by design, and told apart by its target."""
        if "production" in self.environments:
            raise ValueError("environments.production is a contradiction: production is what no run may write to")
        for name, allowed in self.environments.items():
            for field, value in allowed.said().items():
                shared = field == "vercel_project"
                if not shared and value.casefold() == getattr(self.production, field).casefold():
                    raise ValueError(f"environments.{name}.{field} is production's")
        return self

    def allowed(self, environment: str) -> dict[str, str]:
        """The allow list of one environment; {} when nobody has written one."""
        return self.environments[environment].said() if environment in self.environments else {}


def config_path() -> Path | None:
    """The file that --config or PANTHEON_CONFIG names, else ./pantheon.toml if there is one."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return Path(DEFAULT_CONFIG) if Path(DEFAULT_CONFIG).exists() else None


def evidence_folder() -> Path:
    """Where the bundles are: as the config says, beside it; ./evidence without one. Errors: ConfigError."""
    path = config_path()
    return path.parent / load_config(path).evidence.path if path else Path(Evidence().path)


def load_config(path: Path) -> Config:
    """The config of one file; every error names the file and the field."""
    return _load(path, Config)


def load_identities(path: Path) -> Identities:
    """The identities beside the config; without them nothing can be told from production."""
    return _load(path, Identities)


def parse_config(text: str, path: Path) -> Config:
    """The config in a text that is, or is to be, the file at `path`."""
    return _parse(text, path, Config)


def parse_identities(text: str, path: Path) -> Identities:
    """The identities in a text that is, or is to be, the file at `path`."""
    return _parse(text, path, Identities)


def _load(path: Path, model: type[_Loaded]) -> _Loaded:
    try:
        text = read_regular(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.name} cannot be read", why=str(error), next_step=f"give another file with --config, or fix {path}"
        ) from error
    return _parse(text, path, model)


def _parse(text: str, path: Path, model: type[_Loaded]) -> _Loaded:
    try:
        # By way of JSON: strict validation accepts a JSON array, but not a Python list, where a tuple is meant.
        return model.model_validate_json(json.dumps(tomllib.loads(text), default=str))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        given = first.get("input")
        why = "it is the example's placeholder" if isinstance(given, str) and "<" in given else first["msg"]
        what = f"{field} is wrong" if field else "its parts do not fit together"
        next_step = f"correct {field} in {path}" if field else f"correct {path}"
        raise ConfigError(f"{path.name}: {what}", why=why.removeprefix("Value error, "), next_step=next_step) from error
    except (ValueError, RecursionError) as error:
        why = str(error) or "it is nested too deep"
        raise ConfigError(f"{path.name} is not TOML", why=why, next_step=f"correct {path}") from error


def read_regular(path: Path) -> bytes:
    """The bytes of a file that is one: a pipe never ends, and neither does a device. Errors: OSError."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()
