"""Smoke checks of an environment: declared pages, SELECTs, settings, and whether production's read role can write.

Reads only: GET of declared pages, one SELECT each, and writes that PostgreSQL refuses; all within a budget. Of
production nothing is looked up but its pooler's address: hosts and ids are what the committed files say.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg

from pantheon_runbook import clock
from pantheon_runbook.budget import Budget
from pantheon_runbook.checks import AuthCheck, DeclaredCheck, HttpCheck, ProductionRead, SqlCheck
from pantheon_runbook.credentials import FILE_VARIABLE
from pantheon_runbook.database.read_role import probe_read_role, unproven
from pantheon_runbook.database.reading import EndpointReader, Reader, RoleReader, session_as, unanswered, wrapped
from pantheon_runbook.errors import CredentialError, NotVerifiedError, VendorError, VendorUnavailableError
from pantheon_runbook.judging import expected_of, failed, judged_page, judged_rows, judged_settings
from pantheon_runbook.model import Check
from pantheon_runbook.providers import supabase
from pantheon_runbook.providers.deployed import Deployed, require_own_host
from pantheon_runbook.providers.endpoint import is_of_no_deployment
from pantheon_runbook.providers.http import Client
from pantheon_runbook.providers.supabase_settings import auth_settings
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.runner.surroundings import World, registry_of
from pantheon_runbook.secrets import Secret

PRODUCTION = "production"
_DEPLOYED_BY = {"backend": ".up.railway.app", "frontend": ".vercel.app"}
_NAMED_IN = {"backend": "railway.api_url", "frontend": "vercel.site_url"}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where an environment is: its Supabase project, and the hosts of its backend and frontend as far as known."""

    name: str
    ref: str
    hosts: Mapping[str, str]


@dataclass(frozen=True)
class Checked:
    """`sent` of `allowed` requests; `reader` says by whom SQL checks were made."""

    cloud: str
    environment: str
    checks: tuple[Check, ...]
    reader: str
    sent: int
    allowed: int

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """{"cloud", "environment", "passed", "checks", "reader", "sent", "allowed"}: the keys are a contract."""
        return {**asdict(self), "passed": self.passed}

    def lines(self) -> Iterator[str]:
        for check in self.checks:
            yield f"{'ok    ' if check.passed else 'FAILED'}  {check.name}"
            yield f"        expected  {check.expected}"
            yield f"        found     {check.found}"
        yield f"{self.environment} ({self.cloud}): {self.sent} of {self.allowed} requests; SQL checks by {self.reader}"

    def require_passed(self) -> None:
        """Errors: NotVerifiedError that names the first check that failed."""
        wrong = [check for check in self.checks if not check.passed]
        if wrong:
            raise NotVerifiedError(
                f"{len(wrong)} of {len(self.checks)} checks of {self.environment} failed",
                why=f"{wrong[0].name}: expected {wrong[0].expected}; found {wrong[0].found}",
                state="nothing was changed: smoke checks only read",
                next_step=f"put right what is named, then run check -e {self.environment} again",
            )


def declared_for(outside: World, name: str) -> list[DeclaredCheck]:
    """The checks of one environment in pantheon.toml."""
    return [one for one in outside.config.checks if name in one.environments]


def checked(outside: World, place: Place, *, progress: Progress) -> Checked:
    """The checks of one place, made now. Errors: RunbookError; a check that fails is none."""
    declared = declared_for(outside, place.name)
    pages = [one for one in declared if isinstance(one, HttpCheck)]
    queries = [one for one in declared if isinstance(one, SqlCheck)]
    read = _read_role(outside, place.name)
    is_probed = read is not None and read.password in outside.credentials.values
    budget = Budget(outside.config.policy.smoke_requests)
    counted = replace(outside, reach=replace(outside.reach, count=budget.spend))
    made = list(_pages(counted, place, pages, progress))
    if queries or is_probed:
        made += _queries(counted, place, queries, budget, progress)
    made += _settings(counted, place, [one for one in declared if isinstance(one, AuthCheck)], progress)
    return Checked(
        cloud=outside.config.cloud,
        environment=place.name,
        checks=tuple(replace(one, found=registry_of(outside).redact(one.found)) for one in made),
        reader=_reader(read, is_probed=is_probed),
        sent=budget.spent,
        allowed=budget.allowed,
    )


def require_password(outside: World, name: str) -> None:
    """Before anything is sent. Errors: CredentialError when SQL checks have a role and no password of it."""
    read = _read_role(outside, name)
    if read is not None and any(isinstance(one, SqlCheck) for one in declared_for(outside, name)):
        _password(outside, read)


def _reader(read: ProductionRead | None, *, is_probed: bool) -> str:
    if read is None:
        return "Supabase's read-only query"
    return f"role {read.role}" + ("" if is_probed else f", which was not put to the probe: {read.password} is missing")


def probe(outside: World) -> Check | None:
    """The read role's probe alone, for `doctor`; None when no role is named. Errors: RunbookError."""
    if outside.config.production_read is None:
        return None
    budget = Budget(outside.config.policy.smoke_requests)
    counted = replace(outside, reach=replace(outside.reach, count=budget.spend))
    (made,) = _queries(counted, production_place(outside), (), budget, lambda _words: None)
    return replace(made, found=registry_of(outside).redact(made.found))


def _read_role(outside: World, name: str) -> ProductionRead | None:
    return outside.config.production_read if name == PRODUCTION else None


def production_place(outside: World) -> Place:
    """From the committed files. A host that the config does not name is the only one at that vendor, or unknown."""
    production, known = outside.config.production, outside.identities.production
    hosts = {}
    for what, url in (("backend", production.railway.api_url), ("frontend", production.vercel.site_url)):
        of_vendor = [host for host in known.hosts if host.endswith(_DEPLOYED_BY[what])]
        if url is not None:
            hosts[what] = host_of(url)
        elif len(of_vendor) == 1:
            hosts[what] = of_vendor[0]
    return Place(PRODUCTION, known.supabase_ref, hosts)


def _pages(outside: World, place: Place, checks: Sequence[HttpCheck], progress: Progress) -> Iterator[Check]:
    """Every host is looked at before the first page is asked for. Errors: WrongEnvironmentError."""
    urls = {one.name: f"https://{place.hosts[one.on]}{one.path}" for one in checks if one.on in place.hosts}
    for host in sorted({place.hosts[one.on] for one in checks if one.on in place.hosts}):
        require_own_host(host, place.name, production=outside.identities.production.hosts)
    app = Deployed(urls.values(), reach=outside.reach, timeout_seconds=outside.config.policy.request_seconds)
    for one in checks:
        progress(one.name)
        if one.name in urls:
            yield _page(one, app, urls[one.name])
        else:
            hint = f"no host is known: environments.{place.name}.{_NAMED_IN[one.on]} names it"
            yield Check(one.name, expected_of(one), hint, passed=False)


def _page(check: HttpCheck, app: Deployed, url: str) -> Check:
    began = clock.monotonic()
    try:
        seen = app.get(url)
    except VendorUnavailableError as error:
        return failed(check, error)
    judged = judged_page(check, seen.status, seen.body, seen.location, _milliseconds_since(began))
    if not judged.passed and is_of_no_deployment(seen.status, seen.body):
        return replace(judged, found=f"{judged.found}: nothing is deployed there yet, RB-020 does that")
    return judged


def _queries(
    outside: World, place: Place, checks: Sequence[SqlCheck], budget: Budget, progress: Progress
) -> Iterator[Check]:
    """By the read role where there is one, which is then put to the probe; else by Supabase's read-only query."""
    read = _read_role(outside, place.name)
    if read is None and not checks:
        return
    with ExitStack() as ends:
        client = _supabase(outside, checks, ends)
        if read is None:
            yield from _answers(checks, EndpointReader(client, place.ref), progress)
            return
        try:
            connection = ends.enter_context(_session(outside, client, place.ref, read, budget))
        except VendorError as error:
            yield from (failed(one, error) for one in checks)
            yield unproven(f"{error.what} {error.why}")
            return
        yield from _answers(checks, RoleReader(connection, spend=budget.spend), progress)
        progress("what the read role may write")
        yield _probed(connection, read, budget)


def _settings(outside: World, place: Place, checks: Sequence[AuthCheck], progress: Progress) -> Iterator[Check]:
    """Of Supabase's sign-in, read once for each check: that is what its time is of."""
    with ExitStack() as ends:
        for one in checks:
            progress(one.name)
            began = clock.monotonic()
            try:
                found = auth_settings(_supabase(outside, (), ends), place.ref)
            except VendorError as error:
                yield failed(one, error)
            else:
                yield judged_settings(one, found, _milliseconds_since(began))


def _answers(checks: Sequence[SqlCheck], reader: Reader, progress: Progress) -> Iterator[Check]:
    for one in checks:
        progress(one.name)
        began = clock.monotonic()
        try:
            rows = reader.rows(one.query)
        except VendorError as error:
            yield failed(one, error)
        else:
            yield judged_rows(one, rows, _milliseconds_since(began))


def _probed(connection: psycopg.Connection[Any], read: ProductionRead, budget: Budget) -> Check:
    try:
        return probe_read_role(connection, read.relations, spend=budget.spend)
    except psycopg.Error as error:
        return unproven(f"{type(error).__name__}: {error.diag.message_primary or 'the connection was lost'}")


@contextmanager
def _session(
    outside: World, client: Client, ref: str, read: ProductionRead, budget: Budget
) -> Iterator[psycopg.Connection[Any]]:
    """As the read role, at the pooler that Supabase names. Errors: CredentialError, VendorError."""
    password = _password(outside, read)
    pooler = supabase.pooler_of(client, ref)
    if pooler is None:
        raise unanswered("its pooler is not there: is the project paused?")
    user, options = f"{read.role}.{ref}", outside.database_options
    with session_as(
        user, password, pooler.host, resolve=outside.resolve, options=options, spend=budget.spend
    ) as connection:
        yield connection


def _supabase(outside: World, checks: Sequence[SqlCheck], ends: ExitStack) -> Client:
    client = reading_client(
        supabase.VENDOR,
        supabase.BASE_URL,
        outside.credentials.token("SUPABASE_ACCESS_TOKEN"),
        reach=outside.reach,
        timeout_seconds=outside.config.policy.request_seconds,
        declared=frozenset(wrapped(one.query) for one in checks),
    )
    ends.callback(client.close)
    return client


def _password(outside: World, read: ProductionRead) -> Secret:
    """Errors: CredentialError; a role that is named and cannot be used would leave production unchecked."""
    if read.password in outside.credentials.values:
        return outside.credentials.values[read.password]
    raise CredentialError(
        f"{read.password} is missing",
        why=f"pantheon.toml names it as the password of {read.role}, and {outside.credentials.source} has none",
        next_step=f"put it under [values] in the file that {FILE_VARIABLE} names",
    )


def _milliseconds_since(began: float) -> int:
    return round((clock.monotonic() - began) * 1000)


def host_of(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc.lower()
