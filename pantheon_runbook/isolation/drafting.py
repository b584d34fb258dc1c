"""The first pantheon.toml and identities.toml, from a choice. Pure: values in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pantheon_runbook.isolation.choosing import NEW_NAME, Choice, is_name
from pantheon_runbook.isolation.survey import Names, RailwayService, SupabaseProject, printable

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")  # what pantheon.toml takes as a variable's name
_SECRETS = "supabase:secrets"
# The strategy's names, and the other spellings of the same things (STRATEGY-F25 4).
_IN_RAILWAY: Mapping[str, str] = {
    "DATABASE_URL": "database.session_url",
    "DATABASE_POOL_URL": "database.pool_url",
    "SUPABASE_URL": "supabase.url",
    "SUPABASE_ANON_KEY": "supabase.anon_key",
    "SUPABASE_SERVICE_ROLE_KEY": "supabase.service_role_key",
    "REDIS_URL": "redis.url",
    "OPENROUTER_API_KEY": "openrouter.key",
}
_OTHER_SPELLINGS: Mapping[str, str] = {
    "DIRECT_URL": "database.direct_url",
    "DATABASE_DIRECT_URL": "database.direct_url",
    "SUPABASE_PUBLISHABLE_KEY": "supabase.anon_key",
    "SUPABASE_SECRET_KEY": "supabase.service_role_key",
    "SUPABASE_SERVICE_KEY": "supabase.service_role_key",
}
_IN_VERCEL: Mapping[str, str] = {
    "API_URL": "railway.api_url",
    "SUPABASE_URL": "supabase.url",
    "SUPABASE_ANON_KEY": "supabase.anon_key",
    "SUPABASE_PUBLISHABLE_KEY": "supabase.anon_key",
}
_PREFIX = re.compile(r"(?:NEXT_PUBLIC|NUXT_PUBLIC|EXPO_PUBLIC|PUBLIC|VITE|REACT_APP|GATSBY)_")  # what reaches a browser
_NO_SECRET = frozenset({"supabase.url", "redis.url", "railway.api_url"})


@dataclass
class _Sorted:
    """Places by (name, source) for what is decided, by name for what is not."""

    decided: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    to_decide: dict[str, list[str]] = field(default_factory=dict)

    def add(self, place: str, name: str, source: str | None) -> None:
        if source is None:
            self.to_decide.setdefault(name, []).append(place)
        else:
            self.decided.setdefault((name, source), []).append(place)


def config_text(cloud: str, choice: Choice, names: Names, *, has_management_key: bool, written_at: str) -> str:
    """A pantheon.toml that loads; the comments say what to look at before it is committed."""
    services = [service for service in choice.production_railway.services if not service.is_store]
    usable = [service for service in services if is_name(service.name)]
    rows = _sorted(names, usable, openrouter="openrouter.key" if has_management_key else None)
    return "\n".join(
        (
            f"# Written by `pantheon-runbook init` at {written_at}. Look at each line that says check, then commit it.",
            "# No secret belongs in this file or in identities.toml.",
            f"cloud = {_quoted(cloud)}",
            'product = "pantheon"',
            "",
            *_production(choice),
            "",
            *_staging(choice, has_management_key=has_management_key),
            "",
            *_backend(choice, services),
            "",
            "[frontend]",
            f"vercel_project = {_quoted(choice.vercel.id)}  # {printable(choice.vercel.name)}",
            f"vercel_team = {_quoted(choice.vercel.team_id)}  # {printable(choice.vercel.team)}",
            "",
            *_variables(rows),
            "",
        )
    )


def _production(choice: Choice) -> Iterator[str]:
    railway = choice.production_railway
    yield "[environments.production]  # only read; its ids are also in identities.toml: no run may write there"
    yield f"supabase = {_table(_supabase(choice.production_supabase))}"
    where = {"project": railway.project_id, "environment": railway.id, **_named("environment_name", railway.name)}
    yield f"railway = {_table(where)}  # {printable(railway.project)}/{printable(railway.name)}"
    yield 'vercel = { target = "production" }'


def _supabase(project: SupabaseProject) -> dict[str, str]:
    return {
        "ref": project.ref,
        **_named("name", project.name),
        "organization": project.organization,
        "region": project.region,
    }


def _named(field_name: str, name: str) -> dict[str, str]:
    """A name that the config cannot hold is left out: the id beside it decides."""
    return {field_name: name} if is_name(name) else {}


def _staging(choice: Choice, *, has_management_key: bool) -> Iterator[str]:
    yield "[environments.staging]"
    new = {
        "name": NEW_NAME,
        "organization": choice.production_supabase.organization,
        "region": choice.production_supabase.region,
    }
    project = choice.staging_supabase
    note = "check: made by RB-010, and billed like any project" if project is None else "adopted as it is"
    yield f"supabase = {_table(_supabase(project) if project else new)}  # {note}"
    yield f"railway = {_table(_railway_of_staging(choice))}"
    host, team = _label(choice.vercel.name), _label(choice.vercel.team)
    site = {"target": "preview", "site_url": f"https://{host}-git-staging-{team}.vercel.app"}
    urls = f"redirect_urls = [{_quoted(f'https://{host}-*-{team}.vercel.app/**')}]"
    yield f"vercel = {_table(site)[:-2]}, {urls} }}  # check: previews of the branch staging"
    if has_management_key:
        limit = 'limit_usd = 20.0, limit_reset = "monthly"'
        yield f"openrouter = {{ key_name = {_quoted(NEW_NAME)}, {limit} }}  # check: the spending limit"


def _label(name: str) -> str:
    """As it can stand in a host name, whatever the vendor lets a thing be called; to be checked all the same."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "unnamed"


def _railway_of_staging(choice: Choice) -> dict[str, str]:
    production, staging = choice.production_railway, choice.staging_railway
    if staging is None:
        own = {"layout": "own-project", "workspace": production.workspace_id, "project_name": NEW_NAME}
        return {**own, "environment_name": "staging"}
    layout = "shared-project" if staging.project_id == production.project_id else "own-project"
    return {
        "layout": layout,
        "workspace": staging.workspace_id,
        "project": staging.project_id,
        **_named("project_name", staging.project),
        "environment": staging.id,
        "environment_name": staging.name,
    }


def _backend(choice: Choice, services: Iterable[RailwayService]) -> Iterator[str]:
    api = choice.api_service
    workers = [one for one in services if one.id != api.id]
    alembic = "alembic.ini" if api.root == "." else f"{api.root}/alembic.ini"
    yield "[backend]"
    yield f"alembic = {_quoted(alembic)}  # check: where it is in the backend's repository"
    yield f"background_jobs = {'true' if workers else 'false'}  # check: false leaves the workers out of staging"
    yield f"release_branch = {_quoted(choice.vercel.branch)}  # check: the one that production is built from"
    yield "services = [  # check: production's Railway services without databases and Redis"
    yield f"  {{ name = {_quoted(api.name)}, root = {_quoted(api.root)}, public = true }},"
    for one in workers:
        line = f"{{ name = {_quoted(one.name)}, root = {_quoted(one.root)}, is_worker = true }},"
        yield f"  {line}" if is_name(one.name) else f"  # rename it in Railway first: {printable(line)}"
    yield "]"


def _sorted(names: Names, services: Iterable[RailwayService], *, openrouter: str | None) -> _Sorted:
    rows = _Sorted()
    places = [f"railway:{service.name}" for service in services]
    had = {f"railway:{service.name}": names.railway.get(service.name, ()) for service in services}
    anywhere = {name for listed in had.values() for name in listed}
    for name, source in _IN_RAILWAY.items():  # the strategy wants these in staging, whatever production has
        for place in places:
            if name in had[place] or name not in anywhere:
                rows.add(place, name, _source(source, name, openrouter))
    for place in places:
        for name in had[place]:
            if name not in _IN_RAILWAY:
                rows.add(place, name, _OTHER_SPELLINGS.get(name))
    for name in names.vercel:
        rows.add("vercel:preview", name, _of_frontend(name))
    for name in names.edge_secrets:
        rows.add(_SECRETS, name, _source("openrouter.key", name, openrouter) if name == "OPENROUTER_API_KEY" else None)
    return rows


def _source(source: str, name: str, openrouter: str | None) -> str:
    """Without a management key nobody makes OpenRouter's: the team gives one of staging's own."""
    return f"credentials.{name}" if source == "openrouter.key" and openrouter is None else source


def _of_frontend(name: str) -> str | None:
    """By the name behind a framework's prefix: any end of a name would take STRIPE_API_URL for ours."""
    return _IN_VERCEL.get(_PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name)


def _variables(rows: _Sorted) -> Iterator[str]:
    yield "# check: production's names with staging's own values. Where each value comes from is said in"
    yield "# pantheon.example.toml; credentials.NAME is [values] of the credentials file, literal:TEXT stands here."
    for (name, source), places in rows.decided.items():
        if _VARIABLE.fullmatch(name):
            yield from (*_entry(name, places, source), "")
    if rows.to_decide:
        yield "# Production has these too. Take the # away where staging needs one, and say where its value comes from:"
        yield "# credentials.NAME for a secret of staging's own, literal:TEXT for what is none. Never production's."
    for name, places in sorted(rows.to_decide.items()):
        if _VARIABLE.fullmatch(name):
            yield "#"
            yield from (f"# {line}" for line in _entry(name, places, f"credentials.{name}"))
        else:
            yield f"#\n# {printable(name)} in {', '.join(places)}: only names in capitals can be set"


def _entry(name: str, places: Iterable[str], source: str) -> Iterator[str]:
    yield "[[variables]]"
    yield f"name = {_quoted(name)}"
    yield f"targets = [{', '.join(_quoted(place) for place in dict.fromkeys(places))}]"
    yield f"source = {_quoted(source)}"
    if source in _NO_SECRET:
        yield "secret = false"


def identities_text(choice: Choice, *, salt: str, pinned_at: str, pins: Mapping[str, str]) -> str:
    """An identities.toml: what no run may write to, and the fingerprints of production's secrets."""
    railway, vercel = choice.production_railway, choice.vercel
    hosts = sorted({*vercel.hosts, *(host for service in railway.services for host in service.hosts)})
    return (
        "# What production is called by its vendors: no run may write to it. No secret is in this file; commit it.\n"
        "# The pins are fingerprints of production's secrets under the salt, which has to stay as it is.\n"
        f"salt = {_quoted(salt)}\n\n[production]\n"
        f"supabase_ref = {_quoted(choice.production_supabase.ref)}\n"
        f"railway_project = {_quoted(railway.project_id)}\n"
        f"railway_environment = {_quoted(railway.id)}\n"
        f"vercel_project = {_quoted(vercel.id)}\n"
        f"hosts = [{', '.join(_quoted(host) for host in hosts)}]\n"
        f"pinned_at = {_quoted(pinned_at)}\n\n{pins_text(pins)}{_allowed_of_staging(choice)}"
    )


def _allowed_of_staging(choice: Choice) -> str:
    """What was chosen among things that exist is staging by that choice; what RB-010 is to make has no id yet."""
    project, railway = choice.staging_supabase, choice.staging_railway
    allowed = {"supabase_ref": project.ref} if project else {}
    if railway is not None:
        is_shared = railway.project_id == choice.production_railway.project_id
        allowed |= {} if is_shared else {"railway_project": railway.project_id}
        allowed |= {"railway_environment": railway.id}
    return f"\n{allowed_text('staging', {**allowed, 'vercel_project': choice.vercel.id})}" if allowed else ""


def allowed_text(environment: str, allowed: Mapping[str, str]) -> str:
    """The table [environments.<name>]: nothing else is ever written to for that environment."""
    head = f"[environments.{environment}]  # its allow list: what is found must be this\n"
    return head + "".join(f"{name} = {_quoted(value)}\n" for name, value in allowed.items())


def pins_text(pins: Mapping[str, str]) -> str:
    """The table [production.pins], sorted by name."""
    return "[production.pins]\n" + "".join(f"{_quoted(name)} = {_quoted(pin)}\n" for name, pin in sorted(pins.items()))


def _table(values: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{name} = {_quoted(value)}" for name, value in values.items()) + " }"


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's too, but for DEL, which JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
