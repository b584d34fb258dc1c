"""What `env write` does: a local file of variables for backend or frontend, with the values that staging holds.

Looks only, at staging; the one thing that is written is the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pantheon_runbook import provisioning
from pantheon_runbook.errors import WrongEnvironmentError
from pantheon_runbook.isolation.environment_file import Line, put, refuse_others, refuse_production, rendered
from pantheon_runbook.isolation.marks import Marks, Search
from pantheon_runbook.model import Snapshot
from pantheon_runbook.providers import railway_services
from pantheon_runbook.runner.clients import Parts
from pantheon_runbook.runner.wiring import looked_at

For = Literal["backend", "frontend"]
_PREVIEW = "vercel/variables/preview"
_PROVEN_BY = ("supabase_ref", "railway_project", "railway_environment")


@dataclass(frozen=True)
class Equipped:
    """What was written: the file, and by name what is in it and what is left out and why. No value is here."""

    path: Path
    written: tuple[str, ...]
    left_out: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        yield f"{self.path}: {len(self.written)} variables, readable by you only"
        yield from (f"  {name} is left out: {why}" for name, why in self.left_out.items())


def write(path: Path, environment: str, reader: For, *, force: bool, progress: Callable[[str], None]) -> Equipped:
    """The file, in its place. Errors: RefusedError for production in any form, UsageError; then nothing is written."""
    if environment == "production":
        raise WrongEnvironmentError(
            "a local file with production's values was asked for",
            why="they are never on a developer's machine: rule 2 of the strategy",
            state="no file was written",
            next_step=f"pantheon-runbook env write {path} -e staging",
        )
    if not force:
        refuse_others(path)
    with looked_at(environment, progress=progress) as (snapshot, parts):
        _require_proof(snapshot, environment)
        lines = tuple(_FOR[reader](snapshot, parts))
        search = Search(Marks.of(parts.outside.identities))
    command = f"env write {path} -e {environment}" + (" --for frontend" if reader == "frontend" else "")
    text = rendered(lines, environment=environment, command=command)
    refuse_production(text, lines, search, environment=environment)
    put(path, text)
    return Equipped(
        path,
        tuple(line.name for line in lines if line.value is not None),
        {line.name: line.note for line in lines if line.value is None},
    )


def _require_proof(snapshot: Snapshot, environment: str) -> None:
    """What is not production was seen to be something else; what was not seen is proven to be nothing."""
    unseen = [name for name in _PROVEN_BY if name not in snapshot.identities]
    if unseen:
        raise WrongEnvironmentError(
            f"{environment} cannot be told from production: {', '.join(unseen)} was not seen",
            why=f"{environment} is not there yet, or not all of it",
            state="no file was written",
            next_step=f"pantheon-runbook run RB-010 -e {environment}",
        )


def _for_backend(_snapshot: Snapshot, parts: Parts) -> Iterator[Line]:
    """What the public service's processes get from Railway, its references resolved."""
    config, vault = parts.outside.config, parts.surroundings.vault
    service = provisioning.public_service(config)
    service_id = vault.get(f"railway.service.{service}")
    values = {}
    if service_id is not None:
        values = railway_services.variables_of(parts.clients.railway, vault, service_id.reveal(), is_rendered=True)
    for variable in provisioning.variables_for(config, f"railway:{service}"):
        value = values.get(variable.name)
        if not value:
            yield Line(variable.name, None, f"Railway has no value of it for {service} in {parts.name}; run RB-010")
        elif "${{" in value:
            yield Line(variable.name, None, "it refers to another service, and Railway does not say to what")
        else:
            is_private = ".railway.internal" in value
            yield Line(variable.name, value, "answers inside Railway only" if is_private else "")


def _for_frontend(snapshot: Snapshot, parts: Parts) -> Iterator[Line]:
    """What previews are built with. Vercel shows no sensitive value again, so by the fingerprint kept beside it."""
    vault, there = parts.surroundings.vault, snapshot.get(_PREVIEW).attributes
    for variable in provisioning.variables_for(parts.outside.config, "vercel:preview"):
        held, seen = vault.get(provisioning.held_as(variable)), there.get(variable.name)
        if seen is None:
            yield Line(variable.name, None, f"Vercel's Preview does not have it; run RB-010 for {parts.name}")
        elif held is None or seen.get("fingerprint") != vault.fingerprint_of(held.reveal()):
            yield Line(variable.name, None, f"Vercel's Preview holds another value than {parts.name}; run RB-010")
        else:
            yield Line(variable.name, held.reveal())


_FOR: Mapping[For, Callable[[Snapshot, Parts], Iterator[Line]]] = {
    "backend": _for_backend,
    "frontend": _for_frontend,
}
