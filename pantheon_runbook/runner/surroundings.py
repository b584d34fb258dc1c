"""Which cloud, which config, which credentials: decided once, before anything is opened or written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pantheon_runbook import clock
from pantheon_runbook.config import DEFAULT_CONFIG, Config, Identities, config_path, load_config, load_identities
from pantheon_runbook.credentials import (
    FILE_VARIABLE,
    PRODUCTION_VARIABLE,
    Credentials,
    from_environment,
    from_file,
    tokens_in,
)
from pantheon_runbook.database.migrations.alembic_process import Backend
from pantheon_runbook.errors import ConfigError
from pantheon_runbook.evidence.seal import trust_of
from pantheon_runbook.providers.http import Reach
from pantheon_runbook.secrets import Registry

if TYPE_CHECKING:
    from pantheon_runbook.sandbox.control import Running

SANDBOX_VARIABLE = "PANTHEON_SANDBOX"
PIN_VARIABLE = "PANTHEON_PIN"
IDENTITIES = "identities.toml"
_OF_THE_SANDBOX = Path(".pantheon")  # its folder, and what the demo leaves
_NOWHERE = ("127.0.0.1", 1)  # nobody listens on it


@dataclass(frozen=True)
class World:
    """Everything outside: config, identities, credentials, and how hosts are reached.

    `folder` is what relative paths of the config start from; `scope` names this world among others on the machine;
    `decided_by` are the committed files by name with their sha256.
    """

    config: Config
    identities: Identities
    credentials: Credentials
    reach: Reach
    resolve: Callable[[str, int], tuple[str, int] | None]
    folder: Path
    scope: str
    decided_by: Mapping[str, str]

    @property
    def evidence(self) -> Path:
        return self.folder / self.config.evidence.path

    @property
    def trust(self) -> Path | None:
        """The committed file that pins keys; None: the sandbox's without one, which its evidence folder pins itself."""
        return trust_of(self.folder, self.config.cloud)

    @property
    def database_options(self) -> str:
        """The sandbox speaks plain text on loopback; Supabase's certificate is signed by an authority of its own."""
        return "?sslmode=require" if self.config.cloud == "live" else ""


def chosen() -> tuple[Path | None, Config | None]:
    """The config file and what it says; neither means: the sandbox with its own customer's. Errors: ConfigError."""
    path = config_path()
    if path is not None:
        return path, load_config(path)
    given = (*tokens_in(os.environ), *((FILE_VARIABLE,) if os.environ.get(FILE_VARIABLE) else ()))
    if given:
        raise ConfigError(
            f"there is no {DEFAULT_CONFIG}, but {', '.join(given)} is set",
            why="with credentials at hand it must be said which cloud is meant",
            next_step=f"pantheon-runbook init --cloud live, or unset {' and '.join(given)} to use the sandbox",
        )
    return None, None


def is_of_a_sandbox() -> bool:
    """Whether a sandbox is named, or lies in this folder, running or not; starts nothing."""
    return bool(os.environ.get(SANDBOX_VARIABLE)) or _OF_THE_SANDBOX.is_dir()


@dataclass(frozen=True)
class Committed:
    """What the team has written down: `path` is the config's, `identities_path` that of the identities."""

    path: Path
    config: Config
    identities_path: Path
    identities: Identities


def committed() -> Committed:
    """Config and identities alone: asks for no credentials, starts nothing, writes nothing. Errors: ConfigError."""
    path, config = chosen()
    beside = path.with_name(IDENTITIES) if path else None
    if path is None or beside is None or (config and config.cloud == "sandbox" and not beside.exists()):
        files = _files_of_the_sandbox()
        if files is None:
            missing = f"none is beside {path.name}" if path else f"there is no {DEFAULT_CONFIG}"
            raise ConfigError(
                f"there is no {IDENTITIES} to know production by",
                why=f"{missing}, and no sandbox runs",
                next_step=f"do it beside {DEFAULT_CONFIG} and {IDENTITIES}, or name the former with --config",
            )
        path, beside = path or files / DEFAULT_CONFIG, files / IDENTITIES
    config = config or load_config(path)
    return Committed(path, config, beside, load_deny_list(config, path, beside))


def _files_of_the_sandbox() -> Path | None:
    """Its customer's, if one runs here and has had some written: nothing is started for this."""
    from pantheon_runbook.sandbox import control  # noqa: PLC0415  an extra; a live install has none

    try:
        running = control.find()
    except (OSError, ValueError, KeyError):
        return None
    files = running.folder / "customer" if running else None
    return files if files and (files / DEFAULT_CONFIG).exists() else None


def world(*, tell: Callable[[str], None] = lambda _words: None) -> World:
    """The world this process was started for; `tell` hears of each wait that a vendor asks for.

    Errors: ConfigError, CredentialError; nothing is written.
    """
    path, config = chosen()
    if path is not None and config is not None and config.cloud == "live":
        found = _live_world(path, config)
    else:
        with _usable_sandbox():
            found = _sandbox_world(path)
    return replace(found, reach=replace(found.reach, tell=tell))


def registry_of(outside: World) -> Registry:
    """Every token and value that is held, so that none of them is shown."""
    registry = Registry()
    credentials = outside.credentials
    for name, token in (*credentials.tokens.items(), *credentials.values.items()):
        registry.add(token.reveal(), name=name)
    if credentials.production is not None:
        registry.add(credentials.production.reveal(), name=PRODUCTION_VARIABLE)
    return registry


def backend_of(outside: World) -> Backend:
    """The team's Alembic tree. A path starts beside the config; a bare name of an interpreter is looked for on PATH."""
    backend = outside.config.backend
    python = str((outside.folder / backend.python).absolute()) if os.sep in backend.python else backend.python
    return Backend((outside.folder / backend.alembic).absolute(), python, backend.url_variable)


def resolver_of(config: Config) -> Callable[[str, int], tuple[str, int] | None]:
    """Where a host is, for who has no credentials: as `World.resolve`, but no sandbox is started for it.

    A host that the sandbox does not have leads nowhere: a rehearsal never asks the vendors' own.
    """
    if config.cloud == "live":
        return lambda _host, _port: None
    from pantheon_runbook.sandbox import control, network  # noqa: PLC0415  an extra; a live install has none

    try:
        running = control.find()
    except (OSError, ValueError, KeyError):
        running = None
    if running is None:
        return lambda _host, _port: _NOWHERE
    networks = running.networks_file
    return lambda host, port: network.resolve(host, port, networks) or _NOWHERE


@dataclass(frozen=True)
class Door:
    """A cloud before there is a config: who we are there, and how hosts are reached."""

    credentials: Credentials
    reach: Reach


def door(cloud: Literal["sandbox", "live"], *, tell: Callable[[str], None]) -> Door:
    """The way into a cloud that was named; `tell` as in `world`.

    Errors: ConfigError, CredentialError; nothing is written.
    """
    if cloud == "live":
        _refuse_pinned_clock()
        return Door(from_environment(), Reach(tell=tell))
    with _usable_sandbox():
        running, _, credentials = _sandbox()
    return Door(credentials, Reach(str(running.socket), tell=tell))


@contextmanager
def _usable_sandbox() -> Iterator[None]:
    from pantheon_runbook.sandbox import SandboxError  # noqa: PLC0415

    try:
        yield
    except SandboxError as error:
        raise ConfigError(
            "the sandbox cannot be used",
            why=str(error),
            next_step="pantheon-runbook sandbox stop, then run again; what its world holds is kept",
        ) from error


def _refuse_pinned_clock() -> None:
    if os.environ.get(PIN_VARIABLE):
        raise ConfigError(
            f"{PIN_VARIABLE} is set",
            why="it makes passwords predictable",
            next_step=f"unset {PIN_VARIABLE} for a live run",
        )


def _live_world(path: Path, config: Config) -> World:
    _refuse_pinned_clock()
    beside = path.with_name(IDENTITIES)
    return World(
        config=config,
        identities=load_deny_list(config, path, beside),
        credentials=from_environment(),
        reach=Reach(),
        resolve=lambda _host, _port: None,
        folder=path.parent,
        scope=f"live {config.production.supabase.ref}",
        decided_by=digests_of(path, beside),
    )


def _sandbox_world(path: Path | None) -> World:
    """The running sandbox, started when there is none; its own customer's files unless a config names others."""
    from pantheon_runbook.sandbox import network  # noqa: PLC0415  an extra; a live install has none

    running, files, credentials = _sandbox()
    config_path = path or files / DEFAULT_CONFIG
    beside = config_path.with_name(IDENTITIES)
    beside = beside if beside.exists() else files / IDENTITIES
    config = load_config(config_path)
    return World(
        config=config,
        identities=load_deny_list(config, config_path, beside),
        credentials=credentials,
        reach=Reach(str(running.socket)),
        resolve=lambda host, port: network.resolve(host, port, running.networks_file),
        folder=path.parent if path else Path.cwd(),
        scope=f"sandbox {running.folder}",
        decided_by=digests_of(config_path, beside),
    )


def digests_of(*paths: Path) -> dict[str, str]:
    """The sha256 of each file, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _sandbox() -> tuple[Running, Path, Credentials]:
    """The running sandbox, its customer's files, and the credentials for it: theirs unless others are named."""
    from pantheon_runbook.sandbox import customer  # noqa: PLC0415  an extra; a live install has none

    clock.pin(os.environ.get(PIN_VARIABLE) or None)
    running = _running_sandbox()
    files = customer.files(running)
    own = os.environ.get(FILE_VARIABLE)
    return running, files, from_environment() if own else from_file(files / "credentials.toml")


def load_deny_list(config: Config, config_path: Path, path: Path) -> Identities:
    """The deny list, when both files mean the same production. Errors: ConfigError for each id that says otherwise."""
    identities = load_identities(path)
    known, production = config.production, identities.production
    said_twice = (
        ("environments.production.supabase.ref", known.supabase.ref, production.supabase_ref),
        ("environments.production.railway.project", known.railway.project, production.railway_project),
        ("environments.production.railway.environment", known.railway.environment, production.railway_environment),
        ("frontend.vercel_project", config.frontend.vercel_project, production.vercel_project),
    )
    for field, here, there in said_twice:
        if here is None:
            raise ConfigError(
                f"{field} is missing in {config_path.name}",
                why=f"{path.name} says that production is {there}, and there is nothing to hold that against",
                next_step=f"look production up at its vendor and write its id into {config_path}",
            )
        if here != there:
            raise ConfigError(
                f'production is "{here}" in {config_path.name} ({field}) and "{there}" in {path.name}',
                why=f"{path.name} is the list of what no run may write to; one of another time protects nothing",
                next_step=f"look production up at its vendor, and correct {config_path} or {path}",
            )
    return identities


def _running_sandbox() -> Running:
    """The one that is named or stands in this folder, started when none runs here. Errors: ConfigError."""
    from pantheon_runbook.sandbox import SandboxError, control  # noqa: PLC0415
    from pantheon_runbook.sandbox.default import start_default  # noqa: PLC0415  the place that starts it

    named = os.environ.get(SANDBOX_VARIABLE)
    try:
        found = control.find()
        if found is not None or not named:
            return found or start_default()
    except (OSError, ValueError, KeyError) as error:
        raise SandboxError(f"{type(error).__name__}: {error}") from error
    raise ConfigError(
        f"no sandbox runs in {named}",
        why=f"{SANDBOX_VARIABLE} names it",
        next_step=f"pantheon-runbook sandbox start --folder {named}, or unset {SANDBOX_VARIABLE}",
    )
