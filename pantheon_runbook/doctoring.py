"""What `doctor` says: what is there, where it comes from, and how to get what is missing.

Reads only: it starts no sandbox, makes no key and no folder, and asks each vendor one question that changes nothing.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pantheon_runbook import checking
from pantheon_runbook.config import evidence_folder
from pantheon_runbook.credentials import OPTIONAL_TOKENS
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.evidence.bundle import unsealed
from pantheon_runbook.evidence.seal import TRUST, keys_folder, require_pinned, sealing_key
from pantheon_runbook.providers import openrouter, railway, supabase, vercel
from pantheon_runbook.providers.http import Client
from pantheon_runbook.runbooks import FOLDER, all_runbooks
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.runner.surroundings import World, chosen, world
from pantheon_runbook.sandbox import control
from pantheon_runbook.secrets import Registry

_LIBRARIES = ("papermill", "nbclient", "ipykernel", "jupyter-client")
# None of the four can be narrowed to staging by its vendor; after provisioning, Railway's project token can.
_REACH = "could write production: yes; only this tool holds it back"


@dataclass(frozen=True)
class Item:
    """One thing that a run needs. `next_step` is "" when it is there, or when a run can do without."""

    name: str
    found: str
    next_step: str = ""

    @property
    def passed(self) -> bool:
        return not self.next_step

    def as_json(self) -> dict[str, Any]:
        """{"name", "passed", "found", "next_step"}: the keys are a contract."""
        return {**asdict(self), "passed": self.passed}

    def line(self) -> str:
        """One line, and a second one with what to do."""
        shown = f"{'ok     ' if self.passed else 'MISSING'}  {self.name:<28} {self.found}"
        return f"{shown}\n{'':<9}next: {self.next_step}" if self.next_step else shown


def examine() -> tuple[Item, ...]:
    """Everything, in the order in which a newcomer would put it right; never raises for what is missing."""
    items = [*_machine(), _runbooks()]
    try:
        path, config = chosen()
    except RunbookError as error:
        return (*items, _missing("config", error))
    items.append(Item("config", str(path) if path else "none: the sandbox with its own customer's"))
    cloud = config.cloud if config else "sandbox"
    items.append(Item("cloud", cloud))
    if cloud == "sandbox":
        items.append(_sandbox())
    items += [
        _sealing_key(cloud, path.with_name(TRUST) if path else Path(TRUST)),
        _evidence(),
        *_unsealed(),
        *_outside(),
    ]
    return tuple(items)


def _missing(name: str, error: RunbookError) -> Item:
    return Item(name, f"{error.what} {error.why}", error.next_step)


def _machine() -> Iterator[Item]:
    version = sys.version.split()[0]
    next_step = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer from python.org"
    yield Item("Python", version, next_step)
    for name in _LIBRARIES:
        try:
            yield Item(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Item(name, "not installed", "pip install --editable .")


def _runbooks() -> Item:
    found = ", ".join(one.id for one in all_runbooks())
    return Item("runbooks", found or f"none in {FOLDER}", "" if found else "git checkout -- runbooks")


def _sandbox() -> Item:
    try:
        running = control.find()
    except (OSError, ValueError, KeyError) as error:
        return Item("sandbox", f"its state.json is damaged ({type(error).__name__})", "remove its folder")
    if running is not None:
        return Item("sandbox", f"runs in {running.folder} (process {running.pid})")
    named = os.environ.get("PANTHEON_SANDBOX")
    if named:
        next_step = f"pantheon-runbook sandbox start --folder {named}, or unset PANTHEON_SANDBOX"
        return Item("sandbox", f"none runs in {named}, which PANTHEON_SANDBOX names", next_step)
    return Item("sandbox", "none runs; run starts one")


def _sealing_key(cloud: str, trust: Path) -> Item:
    path = keys_folder() / f"{cloud}-seal.pem"
    if cloud == "sandbox" and not path.exists():
        return Item("sealing key", "none yet; the first run makes one")
    try:
        key = sealing_key(cloud)
        require_pinned(key, trust, cloud=cloud)
        return Item("sealing key", f"{path} (key id {key.keyid[:12]})")
    except RunbookError as error:
        return _missing("sealing key", error)


def _evidence() -> Item:
    """Whether the folder, or the one it will be made in, can be written to."""
    folder = evidence_folder()
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Item("evidence folder", str(folder))
    next_step = f"give write permission to {there}, or name another folder in pantheon.toml (evidence.path)"
    return Item("evidence folder", f"{there} cannot be written to", next_step)


def _unsealed() -> Iterator[Item]:
    for name, state in unsealed(evidence_folder()).items():
        yield Item("unsealed run", f"{name}: {state}")


def _outside() -> Iterator[Item]:
    """Identities and credentials, once there is a cloud to have them."""
    try:
        outside = _world_that_stands()
    except RunbookError as error:
        yield _missing("identities and credentials", error)
        return
    if outside is None:
        yield Item("identities and credentials", "the sandbox's own; they are made when it starts")
        return
    production = outside.identities.production
    found = f"production is {production.supabase_ref}, {len(production.pins)} pins of {production.pinned_at}"
    yield Item("identities", found)
    yield from _vendors(outside)
    yield _read_role(outside)


def _read_role(outside: World) -> Item:
    """Whether production's read role is there, and refused what it is meant to be refused."""
    name = "production's read role"
    try:
        probed = checking.probe(outside)
    except RunbookError as error:
        return _missing(name, error)
    if probed is None:
        return Item(name, "none is named; SQL checks go through Supabase's read-only query")
    next_step = "" if probed.passed else "pantheon-runbook read-role prints what makes it, and lists what it may write"
    return Item(name, probed.found, next_step)


def _world_that_stands() -> World | None:
    """The world, if asking for it neither starts a sandbox nor writes the files of its customer."""
    _, config = chosen()
    if config is None or config.cloud == "sandbox":
        running = control.find()
        if running is None or not (running.folder / "customer" / "pantheon.toml").exists():
            return None
    return world()


def _vendors(outside: World) -> Iterator[Item]:
    config = outside.config
    name = next(iter(sorted(set(config.environments) - {"production"})), "production")
    environment = config.environments[name]
    asks: Mapping[str, tuple[str, str, Callable[[Client], str]]] = {
        "SUPABASE_ACCESS_TOKEN": (
            supabase.VENDOR,
            supabase.BASE_URL,
            lambda client: f"plan {supabase.check_token(client, str(environment.supabase.organization))}",
        ),
        "RAILWAY_API_TOKEN": (
            railway.VENDOR,
            railway.BASE_URL,
            lambda client: (
                f"workspace {railway.check_token(railway.RailwayApi(client), environment.railway.workspace)}"
            ),
        ),
        "VERCEL_TOKEN": (
            vercel.VENDOR,
            vercel.BASE_URL,
            lambda client: f"project {vercel.check_token(client, config.frontend)}",
        ),
        "OPENROUTER_MANAGEMENT_KEY": (openrouter.VENDOR, openrouter.BASE_URL, openrouter.check_token),
    }
    for token, (vendor, base_url, ask) in asks.items():
        if token in OPTIONAL_TOKENS and environment.openrouter is None and token not in outside.credentials.tokens:
            yield Item(token, f"none; environments.{name}.openrouter asks for no key")
        else:
            yield _asked(outside, token, vendor, base_url, ask)


def _asked(outside: World, token: str, vendor: str, base_url: str, ask: Callable[[Client], str]) -> Item:
    try:
        held = outside.credentials.token(token)
    except RunbookError as error:
        return _missing(token, error)
    seconds = outside.config.policy.request_seconds
    client = reading_client(vendor, base_url, held, reach=outside.reach, timeout_seconds=seconds)
    registry = Registry()
    registry.add(held.reveal(), name=token)
    try:
        answer = ask(client)
    except RunbookError as error:
        return Item(token, registry.redact(f"{error.what} {error.why}"), error.next_step)
    finally:
        client.close()
    return Item(token, f"from {outside.credentials.source}; reaches {answer}; {_REACH}")
