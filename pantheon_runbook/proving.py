"""Whether what local tests would use is staging: by the variables at hand, and by what the database says of itself.

Reads only: variables, the local `.env`, the committed files, and one row of the database; no vendor and no token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from pantheon_runbook.database.connection import Resolve, opened
from pantheon_runbook.database.kinds import marker_of
from pantheon_runbook.errors import ConfigError, WrongEnvironmentError
from pantheon_runbook.isolation.environment_file import values_of
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.providers.naming import refs_in
from pantheon_runbook.runner.surroundings import Committed, committed, resolver_of

ENVIRONMENT = "staging"
DATABASE = "DATABASE_URL"
_CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Staging:
    """What was proven. `variables` are the ones at hand, of the process or else of the `.env` that env write made."""

    ref: str
    environment: str
    variables: Mapping[str, str] = field(repr=False)

    def __getitem__(self, name: str) -> str:
        return self.variables[name]


class NotProvenError(Exception):
    """Nothing of production's was seen, and nothing that is staging either. Its text says why, and what to do."""


@dataclass(frozen=True)
class _Held:
    """A variable and where it is; only `is_used` ones are what tests get, every one is searched."""

    name: str
    value: str = field(repr=False)
    place: str
    is_used: bool

    def __str__(self) -> str:
        return f"{self.name} in {self.place}" if self.is_used else self.place


def prove(process: Mapping[str, str], env_files: Sequence[Path]) -> Staging:
    """What the tests would use is staging. Errors: WrongEnvironmentError (production), NotProvenError (cannot say)."""
    known = _committed()
    held = tuple(_held(process, env_files))
    _refuse_production(held, known)
    variables = {one.name: one.value for one in reversed(held) if one.is_used}
    ref = _ref_of(variables.get(DATABASE, ""), held, known)
    _require_marker(variables[DATABASE], ref, known)
    return Staging(ref, ENVIRONMENT, variables)


def _committed() -> Committed:
    try:
        return committed()
    except ConfigError as error:
        raise NotProvenError(f"{error.what} {error.why} Next: {error.next_step}") from error


def _held(process: Mapping[str, str], env_files: Sequence[Path]) -> Iterator[_Held]:
    """The process comes first: a variable that is set is not read from a file by any dotenv reader's default."""
    yield from (_Held(name, value, "the environment", is_used=True) for name, value in process.items())
    for path in env_files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        yield _Held(path.name, text, str(path), is_used=False)
        yield from (_Held(name, value, str(path), is_used=True) for name, value in values_of(text).items())


def _refuse_production(held: Sequence[_Held], known: Committed) -> None:
    search = Search(Marks.of(known.identities))
    found = [(one, traces) for one in held if (traces := search.find(one.value))]
    if not found:
        return
    places = {one.place for one, _ in found if one.is_used}
    named = sorted({str(one) for one, _ in found if one.is_used or one.place not in places})
    raise WrongEnvironmentError(
        f"tests marked staging would use production: {', '.join(named)}",
        why=f"found: {', '.join(sorted({trace.what for _, traces in found for trace in traces}))}",
        state="no test was run",
        next_step=f"take it out of there, then: pantheon-runbook env write .env -e {ENVIRONMENT}",
    )


def _ref_of(url: str, held: Sequence[_Held], known: Committed) -> str:
    """The one project that all the variables name, those too that another one hides; the config agrees."""
    write = f"pantheon-runbook env write .env -e {ENVIRONMENT}"
    if not url:
        raise NotProvenError(f"there is no {DATABASE}, neither set nor in a .env of ours. Next: {write}")
    named = refs_in(url)
    if len(named) != 1:
        raise NotProvenError(f"{DATABASE} names no Supabase project to hold it against. Next: {write}")
    (ref,) = named
    others = sorted({one.name for one in held if one.is_used and refs_in(one.value) - {ref}})
    if others:
        raise NotProvenError(f"{', '.join(others)} and {DATABASE} name different projects. Next: {write}")
    configured = known.config.environments.get(ENVIRONMENT)
    expected = configured.supabase.ref if configured else None
    if expected not in {None, ref}:
        raise NotProvenError(f"{DATABASE} names {ref}, and {known.path.name} says {expected}. Next: {write}")
    return ref


def _require_marker(url: str, ref: str, known: Committed) -> None:
    """The row is read through the very URL that the tests would use."""
    row = _row(url, resolver_of(known.config))
    if row is None:
        provision = f"pantheon-runbook run RB-010 -e {ENVIRONMENT}"
        raise NotProvenError(f"the database of {DATABASE} does not say what it is. Next: {provision}, then --apply")
    if row[0] == "production" or row[2] == known.identities.production.supabase_ref:
        raise WrongEnvironmentError(
            f"tests marked staging would use production: the database of {DATABASE} says so itself",
            why=f'its row is "{row[0]}" of project {row[2]}; perhaps a restored copy',
            state="no test was run; one row was read",
            next_step=f"pantheon-runbook env write .env -e {ENVIRONMENT}",
        )
    if row != (ENVIRONMENT, known.config.cloud, ref):
        said = f'"{row[0]}" of project {row[2]} ({row[1]})'
        raise NotProvenError(
            f"the database of {DATABASE} says it is {said}, not {ENVIRONMENT} of {ref} ({known.config.cloud}). "
            "Next: look at pantheon_runbook.environment in it"
        )


def _row(url: str, resolve: Resolve) -> tuple[str, str, str] | None:
    try:
        with opened(url, resolve=resolve, seconds=_CONNECT_SECONDS) as connection:
            return marker_of(connection)
    except (psycopg.Error, ValueError) as error:  # ValueError: a port that is no number
        raise NotProvenError(
            f"the database of {DATABASE} cannot be asked what it is ({type(error).__name__}). "
            "Next: pantheon-runbook doctor says whether it can be reached from here"
        ) from error
