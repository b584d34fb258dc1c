"""What `init --pin-staging` does: takes what was observed and is vouched for down in identities.toml; else it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pantheon_runbook.config import AllowedIdentity, Identities, parse_identities
from pantheon_runbook.errors import ConfigError, ParameterError, WrongEnvironmentError
from pantheon_runbook.evidence.files import write_file
from pantheon_runbook.isolation import pinning
from pantheon_runbook.isolation.identity import UNCONFIRMED, allow_list
from pantheon_runbook.model import Snapshot
from pantheon_runbook.runner.provisions import known_of
from pantheon_runbook.runner.surroundings import committed
from pantheon_runbook.runner.wiring import looked_at

Say = Callable[[str], None]


def pin(environment: str, *, say: Say, progress: Say) -> None:
    """The table [environments.<name>] of identities.toml, from what RB-010 observes; every other byte stays.

    Errors: WrongEnvironmentError when that is production, another than the table says, not there, or not vouched for.
    """
    if environment == "production":
        raise ParameterError(
            "production was to be put on an allow list",
            why="it is what no run may write to",
            next_step="pantheon-runbook init --pin-staging -e staging",
        )
    with looked_at(environment, progress=progress) as (snapshot, parts):
        _refuse_unknown(snapshot, environment)
        allowed = allow_list(snapshot.identities, known_of(parts))
    told = committed()
    if allowed == told.identities.allowed(environment):
        say(f"{told.identities_path} says so already; nothing was written")
        return
    write_file(told.identities_path, _text(told.identities_path, told.identities, environment, allowed).encode())
    said = f"[environments.{environment}] with {', '.join(allowed)}"
    say(f"wrote {told.identities_path}: {said}. Read it, then commit it.")


def _refuse_unknown(snapshot: Snapshot, environment: str) -> None:
    """What nobody vouches for is not made ours by writing it down."""
    strangers = [finding for finding in snapshot.findings if finding.code == UNCONFIRMED]
    if strangers:
        raise WrongEnvironmentError(
            f'nobody vouches for "{environment}": {strangers[0].what}',
            why="what is on the allow list is believed by every later run",
            state="no file was written",
            next_step=strangers[0].next_step,
        )
    unseen = [name for name in ("supabase_ref", "railway_environment") if name not in snapshot.identities]
    if unseen:
        raise WrongEnvironmentError(
            f'"{environment}" is not all there: {", ".join(unseen)} was not seen',
            why="only what exists has an id",
            state="no file was written",
            next_step=f"pantheon-runbook run RB-010 -e {environment}",
        )


def _text(path: Path, identities: Identities, environment: str, allowed: Mapping[str, str]) -> str:
    """The file with this table; one that is written in another way is refused, not guessed at."""
    tables = {**identities.environments, environment: AllowedIdentity(**allowed)}
    wanted = identities.model_copy(update={"environments": tables})
    text = pinning.with_allowed(path.read_text(encoding="utf-8"), environment, allowed)
    try:
        is_wanted = parse_identities(text, path) == wanted
    except ConfigError:
        is_wanted = False
    if not is_wanted:
        raise ConfigError(
            f"{path.name} is written in a way in which its allow list cannot be replaced",
            why=f"the table [environments.{environment}] has to stand on its own, as init writes it",
            next_step=f"write it so in {path}, then run this again",
        )
    return text
