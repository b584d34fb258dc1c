"""What may be declared as a smoke check, and the role that reads production: parts of pantheon.toml, no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Title = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ,.'/()_-]{0,79}$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._~/-]{0,200}$")]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Relation = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}$")]
CredentialName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,64}$")]
SettingName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,79}$")]
Scalar = str | bool | int | float
Milliseconds = Annotated[int, Field(gt=0, le=60_000)]

MOST_ROWS = 100
# A login and the pooler's address; then what `database.read_role.probe_read_role` sends.
PROBE_REQUESTS = 2 + 7
# Roles that exist in every Supabase project: the SQL for the read role would change them.
_TAKEN = frozenset(
    {"postgres", "anon", "authenticated", "service_role", "authenticator", "dashboard_user", "pgbouncer"}
)
_SECRET_SETTING = re.compile(r"secret|pass|key|token|sender|hook")
_TAKEN_PREFIXES = ("pg_", "supabase_", "cli_login_")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ProductionRead(_Table):
    """The role that SQL checks of production run as. `password` is its name under [values] in the credentials file.

    `relations` are all that it may select from. Its pooler is read from Supabase, never built (FACTS 1.1).
    `dump_role` is another, for rehearsals alone: it may lock every table, and so read most of them.
    """

    role: RoleName = "pantheon_read"
    password: CredentialName = "PRODUCTION_READ_PASSWORD"  # noqa: S105  the name of one
    relations: Annotated[tuple[Relation, ...], Field(min_length=1, max_length=20)]
    statement_timeout_ms: Milliseconds = 5_000
    connections: int = Field(default=3, ge=1, le=10)
    dump_role: RoleName = "pantheon_dump"
    dump_password: CredentialName = "PRODUCTION_DUMP_PASSWORD"  # noqa: S105  the name of one

    @field_validator("role", "dump_role")
    @classmethod
    def _is_a_role_of_its_own(cls, role: str) -> str:
        if role in _TAKEN or role.startswith(_TAKEN_PREFIXES):
            raise ValueError(f'"{role}" is a role that Supabase made; the read role is one of its own')
        return role

    @model_validator(mode="after")
    def _has_two_roles(self) -> ProductionRead:
        """A check must not be able to read what the dump may."""
        if self.role == self.dump_role or self.password == self.dump_password:
            raise ValueError("dump_role and dump_password are a login of their own, apart from role and password")
        return self


class _Check(_Table):
    """`environments` are those that it is made in; `latency_ms` is how long it may take."""

    name: Title
    environments: Annotated[tuple[str, ...], Field(min_length=1)]
    latency_ms: Milliseconds = 2_000


class HttpCheck(_Check):
    """One GET of a path of the deployed backend or frontend; without a query, since a GET with one may do something."""

    kind: Literal["http"]
    on: Literal["backend", "frontend"]
    path: Path
    status: int = Field(default=200, ge=200, le=599)
    json_fields: dict[str, Scalar] = {}

    @field_validator("path")
    @classmethod
    def _is_as_it_is_sent(cls, path: str) -> str:
        """What a client would put in order on the way is not what was declared."""
        if "//" in path or {".", ".."} & set(path.split("/")):
            raise ValueError('a path has no "//", "." or ".." in it')
        return path


class SqlCheck(_Check):
    """One SELECT, names schema qualified. `value` is that of the only column of the only row.

    That it is one SELECT and nothing else is for PostgreSQL to say: see database.reading.
    """

    kind: Literal["sql"]
    query: Annotated[str, StringConstraints(min_length=1, max_length=4_000, pattern=r"\S")]
    columns: tuple[str, ...] | None = None
    rows: int | None = Field(default=None, ge=0, le=MOST_ROWS)
    value: Scalar | None = None

    @model_validator(mode="after")
    def _says_what_it_expects(self) -> SqlCheck:
        if self.columns is None and self.rows is None and self.value is None:
            raise ValueError("one of columns, rows and value must say what is expected")
        return self


class AuthCheck(_Check):
    """Settings of Supabase's sign-in, by the vendor's names: which of them have to be what. None that is a secret."""

    kind: Literal["auth"]
    settings: Annotated[dict[SettingName, Scalar], Field(min_length=1, max_length=20)]

    @field_validator("settings")
    @classmethod
    def _holds_no_secret(cls, settings: dict[str, Scalar]) -> dict[str, Scalar]:
        secret = next((name for name in settings if _SECRET_SETTING.search(name)), None)
        if secret is not None:
            raise ValueError(f"{secret} is a secret, and what a check finds is shown")
        return settings


AnyCheck = HttpCheck | SqlCheck | AuthCheck
DeclaredCheck = Annotated[AnyCheck, Field(discriminator="kind")]


def wrong_in(
    checks: Sequence[AnyCheck], environments: Sequence[str], *, read: ProductionRead | None, budget: int
) -> str | None:
    """What no check can see by itself: names, environments, and that production's fit into the budget."""
    names = [check.name for check in checks]
    for number, check in enumerate(checks):
        if names.index(check.name) != number:
            return f'checks.{number}.name: there are two checks called "{check.name}"'
        unknown = sorted(set(check.environments) - set(environments))
        if unknown:
            return f"checks.{number}.environments: {unknown[0]} is none of {', '.join(sorted(environments))}"
    needed = sum("production" in check.environments for check in checks) + (PROBE_REQUESTS if read else 0)
    if needed > budget:
        return f"checks: production's need {needed} requests, and policy.smoke_requests allows {budget}"
    return None
