"""What each token is good for: what it reaches and may use up, whether it could write production, when it expires.

Reads only. That a vendor shows production's project to a token is not yet proof that it may write there: then nothing
that the vendor says keeps it from it, and that is how it is told.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pantheon_runbook import clock
from pantheon_runbook.config import Environment
from pantheon_runbook.errors import CredentialError, RunbookError, VendorError, VendorRefusedError
from pantheon_runbook.providers import openrouter, railway, supabase, vercel
from pantheon_runbook.providers.http import Client
from pantheon_runbook.runner.clients import project_token_client
from pantheon_runbook.runner.surroundings import World

_YES = "could write production: yes; only this tool holds it back"
_NO = "could write production: no, by the vendor"


@dataclass(frozen=True)
class Question:
    """What is asked with one token; each takes a client that can only read, and gives a few words.

    `reach` also fails for a token that runs cannot use; `production` and `expiry` are asked then too.
    """

    vendor: str
    base_url: str
    reach: Callable[[Client], str]
    production: Callable[[Client], str]
    expiry: Callable[[Client], str]

    @property
    def host(self) -> str:
        return str(urllib.parse.urlsplit(self.base_url).hostname)


def questions(outside: World, environment: Environment) -> Mapping[str, Question]:
    """By the token's name."""
    frontend, production = outside.config.frontend, outside.identities.production
    return {
        "SUPABASE_ACCESS_TOKEN": Question(
            supabase.VENDOR,
            supabase.BASE_URL,
            lambda client: _supabase(client, str(environment.supabase.organization)),
            lambda client: _by_sight(supabase.sees_project(client, production.supabase_ref)),
            lambda _client: "Supabase does not tell when it expires",
        ),
        "RAILWAY_API_TOKEN": Question(
            railway.VENDOR,
            railway.BASE_URL,
            lambda client: _railway(outside, client, environment.railway.workspace),
            lambda client: _railway_production(outside, client),
            lambda _client: "Railway does not tell when it expires",
        ),
        "VERCEL_TOKEN": Question(
            vercel.VENDOR,
            vercel.BASE_URL,
            lambda client: (
                f"project {vercel.check_token(client, frontend)}; {_plan(vercel.plan_of(client, frontend.vercel_team))}"
            ),
            lambda client: _by_sight(vercel.sees_project(client, frontend)),
            lambda client: _vercel_expiry(vercel.token_facts(client)),
        ),
        "OPENROUTER_MANAGEMENT_KEY": Question(
            openrouter.VENDOR,
            openrouter.BASE_URL,
            openrouter.check_token,
            lambda _client: _YES,  # it manages every key of its account, and no answer says whose they are
            lambda client: _openrouter_expiry(openrouter.expiry_of_own_key(client)),
        ),
    }


def _by_sight(is_seen: bool) -> str:  # noqa: FBT001  the one thing that is known
    return _YES if is_seen else _NO


def _plan(name: str | None) -> str:
    return f"plan {name}" if name else "Vercel does not tell the plan"


def _supabase(client: Client, organization: str) -> str:
    plan = supabase.check_token(client, organization)
    active = sum(supabase.is_active(project) for project in supabase.all_projects(client, organization))
    if (allowed := supabase.active_allowed(plan)) is not None:
        return f"plan {plan}, {active} of {allowed} active projects"
    return f"plan {plan}, {active} active {'project' if active == 1 else 'projects'}"


def _railway(outside: World, client: Client, workspace: str | None) -> str:
    """Errors: CredentialError for a project token, which no run can use."""
    api = railway.RailwayApi(client)
    try:
        name = railway.check_token(api, workspace)
    except VendorRefusedError:
        scope = _scope(outside)
        if scope is None:
            raise
        raise CredentialError(
            "RAILWAY_API_TOKEN is a project token",
            why=f"it is for environment {scope.environment} of project {scope.project} alone, and runs look at more",
            next_step="make an account or workspace token at railway.com/account/tokens, and set it instead",
        ) from None
    limit = f"{api.requests_an_hour} requests an hour" if api.requests_an_hour else "Railway does not tell the rate"
    return f"workspace {name}; {limit}"


def _railway_production(outside: World, client: Client) -> str:
    production = outside.identities.production
    if railway.sees_project(railway.RailwayApi(client), production.railway_project):
        return _YES
    scope = _scope(outside)
    return _by_sight(scope is not None and scope.environment == production.railway_environment)


def _scope(outside: World) -> railway.Scope | None:
    client = project_token_client(
        outside.credentials.token("RAILWAY_API_TOKEN"),
        reach=outside.reach,
        timeout_seconds=outside.config.policy.request_seconds,
    )
    try:
        return railway.project_token(railway.RailwayApi(client))
    finally:
        client.close()


def _vercel_expiry(facts: Mapping[str, object] | None) -> str:
    if facts is None:
        return "Vercel does not tell when it expires"
    until = facts.get("expiresAt")
    return _days_until(datetime.fromtimestamp(until / 1000, UTC) if isinstance(until, int | float) else None)


def _openrouter_expiry(until: str | None) -> str:
    return _days_until(datetime.fromisoformat(until) if until else None)


def _days_until(moment: datetime | None) -> str:
    if moment is None:
        return "does not expire"
    days = (moment - clock.now()).days
    return f"expires in {days} {'day' if days == 1 else 'days'} ({moment:%Y-%m-%d})"


def answered(question: Question, client: Client) -> str:
    """The words for a token that runs can use. Errors: RunbookError of what it does not reach."""
    return f"reaches {question.reach(client)}; {question.production(client)}; {question.expiry(client)}"


def said_all_the_same(question: Question, client: Client, error: RunbookError) -> str:
    """Of a token that runs cannot use; "" when the vendor does not answer, or does not know it."""
    if not isinstance(error, VendorRefusedError | CredentialError):
        return ""
    try:
        return f" It {question.production(client)}."
    except VendorError:
        return ""
