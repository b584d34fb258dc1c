"""What `check` and `read-role` do: smoke checks of one environment, and the SQL that makes production's roles."""

from __future__ import annotations

from collections.abc import Callable

from pantheon_runbook import smoke
from pantheon_runbook.checks import ProductionRead
from pantheon_runbook.config import config_path, load_config
from pantheon_runbook.database.read_role import creation_sql
from pantheon_runbook.database.rehearsals.dump_role import dump_role_sql
from pantheon_runbook.errors import ConfigError, WrongEnvironmentError
from pantheon_runbook.runner.surroundings import World, committed, registry_of, world
from pantheon_runbook.runner.wiring import looked_at, masked_errors

Progress = Callable[[str], None]


def read_role_sql() -> str:
    """What makes production's read role, from the config alone. Errors: ConfigError when it names none."""
    return creation_sql(_declared_role())


def role_for_dumps_sql() -> str:
    """What makes the role that rehearsals dump production's schema with. Errors: as above."""
    return dump_role_sql(_declared_role())


def _declared_role() -> ProductionRead:
    path = config_path()
    config = load_config(path) if path else committed().config
    if config.production_read is None:
        raise ConfigError(
            "there is no [production_read] in pantheon.toml",
            why="it names the tables and views that the role may select from",
            next_step='add it, for example with relations = ["public.alembic_version"], then run this again',
        )
    return config.production_read


def check(name: str, *, progress: Progress = lambda _words: None) -> smoke.Checked:
    """The checks of one environment, made now. Errors: RunbookError; a check that fails is none."""
    outside = world(tell=progress)
    outside.config.environment(name)
    if not smoke.declared_for(outside, name):
        raise ConfigError(
            f"no check is declared for {name}",
            why=f'no [[checks]] in pantheon.toml has "{name}" among its environments',
            next_step="add one, for example a GET of the backend's health page; pantheon.example.toml shows how",
        )
    smoke.require_password(outside, name)
    with masked_errors(registry_of(outside)):
        is_production = name == smoke.PRODUCTION
        place = smoke.production_place(outside) if is_production else _observed(outside, name, progress)
        return smoke.checked(outside, place, progress=progress)


def _observed(outside: World, name: str, progress: Progress) -> smoke.Place:
    """As RB-010 sees it, and refused like there when it is production. Errors: WrongEnvironmentError."""
    with looked_at(name, progress=progress) as (snapshot, parts):
        ref = snapshot.identities.get("supabase_ref")
        api_url = parts.surroundings.vault.get("railway.api_url")
    if ref is None:
        raise WrongEnvironmentError(
            f"{name} is not there to be checked",
            why="its Supabase project was not found",
            next_step=f"pantheon-runbook run RB-010 -e {name}",
        )
    site_url = outside.config.environments[name].vercel.site_url
    urls = {"backend": api_url and api_url.reveal(), "frontend": site_url}
    return smoke.Place(name, ref, {what: smoke.host_of(url) for what, url in urls.items() if url})
