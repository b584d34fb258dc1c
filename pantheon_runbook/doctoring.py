"""What `doctor` says: what is there, where it comes from, and how to get what is missing.

Reads only: it starts no sandbox, makes no key and no folder, and asks the vendors nothing that changes anything.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pantheon_runbook import backend_reach, host_reach, smoke, token_reach
from pantheon_runbook.config import Environment, evidence_folder
from pantheon_runbook.credentials import OPTIONAL_TOKENS
from pantheon_runbook.diagnosis import Item, missing
from pantheon_runbook.errors import RunbookError
from pantheon_runbook.evidence.bundle import unsealed
from pantheon_runbook.evidence.seal import keys_folder, require_pinned, sealing_key, trust_of
from pantheon_runbook.guarding import OLD_DAYS, days_since
from pantheon_runbook.host_reach import Tried
from pantheon_runbook.providers import supabase
from pantheon_runbook.runbooks import FOLDER, all_runbooks
from pantheon_runbook.runner.clients import reading_client
from pantheon_runbook.runner.surroundings import World, chosen, world
from pantheon_runbook.sandbox import control
from pantheon_runbook.secrets import Registry
from pantheon_runbook.token_reach import Question

__all__ = ["Item", "examine"]

Progress = Callable[[str], None]
_LIBRARIES = ("papermill", "nbclient", "ipykernel", "jupyter-client")
_ANSWER_SECONDS = 12.0
_NETWORK = "check the network and the vendor's status page, then: pantheon-runbook doctor"
_SLOW = f"where a rate limit was told of, wait as long as it says; else {_NETWORK}"
_UNPINNED = (
    "0 pins: none of production's secrets is pinned, so guard and RB-060 find ids and hosts only. Its holder: "
    "pantheon-runbook init --pin-production"
)
_UNDECIDED = (
    "not decided: [closure] in pantheon.toml names strategy, approver, supervisor and members; what is open then says: "
    "pantheon-runbook run RB-050"
)


def examine(*, progress: Progress = lambda _words: None) -> tuple[Item, ...]:
    """Everything, in the order in which a newcomer would put it right; never raises for what is missing.

    `progress` hears of each wait that a vendor asks for.
    """
    items = [*_machine(), _runbooks()]
    try:
        path, config = chosen()
    except RunbookError as error:
        return (*items, missing("config", error))
    items.append(Item("config", str(path) if path else "none: the sandbox with its own customer's"))
    cloud = config.cloud if config else "sandbox"
    items.append(Item("cloud", cloud))
    if cloud == "sandbox":
        items.append(_sandbox())
    items += [
        _sealing_key(cloud, trust_of(path.parent if path else Path(), cloud)),
        _evidence(),
        *_unsealed(),
        *_outside(progress),
    ]
    return tuple(items)


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


def _sealing_key(cloud: str, trust: Path | None) -> Item:
    path = keys_folder() / f"{cloud}-seal.pem"
    if cloud == "sandbox" and not path.exists():
        return Item("sealing key", "none yet; the first run makes one")
    try:
        key = sealing_key(cloud)
        require_pinned(key, trust, cloud=cloud)
        return Item("sealing key", f"{path} (key id {key.keyid[:12]})")
    except RunbookError as error:
        return missing("sealing key", error)


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


def _outside(progress: Progress) -> Iterator[Item]:
    """Identities and credentials, once there is a cloud to have them."""
    try:
        outside = _world_that_stands(progress)
    except RunbookError as error:
        yield missing("identities and credentials", error)
        return
    if outside is None:
        yield Item("identities and credentials", "the sandbox's own; they are made when it starts")
        return
    production = outside.identities.production
    age = f"{len(production.pins)} pins of {production.pinned_at}, {_age(production.pinned_at)}"
    yield Item("identities", f"production is {production.supabase_ref}, {age if production.pins else _UNPINNED}")
    yield Item("closing F25", "decided by [closure]" if outside.config.closure else _UNDECIDED)
    yield from _vendors(outside)
    yield _read_role(outside)
    yield _promotion(outside)
    yield from backend_reach.examined(outside)


def _read_role(outside: World) -> Item:
    """Whether production's read role is there, and refused what it is meant to be refused."""
    name = "production's read role"
    try:
        probed = smoke.probe(outside)
    except RunbookError as error:
        return missing(name, error)
    if probed is None:
        return Item(name, "none is named; SQL checks go through Supabase's read-only query")
    next_step = "" if probed.passed else "pantheon-runbook read-role prints what makes it, and lists what it may write"
    return Item(name, probed.found, next_step)


def _promotion(outside: World) -> Item:
    """What RB-030 needs beside the tokens; whoever only provisions needs none of it, and should hold none of it."""
    read, credentials = outside.config.production_read, outside.credentials
    looks = read is not None and read.dump_password in credentials.values
    can = {
        (False, False): "no: production is not looked at, and cannot be written to",
        (True, False): "plan runs only: no password that writes is held",
        (False, True): "no: the password that writes is held, and no role that only looks",
        (True, True): "yes: the password of production's owner is held here, so keep this file where you keep that",
    }
    return Item("promotion (RB-030)", can[looks, credentials.production is not None])


def _age(pinned_at: str) -> str:
    days = days_since(pinned_at)
    if days is None:
        return "which is no date"
    old = f"; more than {OLD_DAYS}: pin again with init --pin-production" if days > OLD_DAYS else ""
    return f"{days} {'day' if days == 1 else 'days'} old{old}"


def _world_that_stands(progress: Progress) -> World | None:
    """The world, if asking for it neither starts a sandbox nor writes the files of its customer."""
    _, config = chosen()
    if config is None or config.cloud == "sandbox":
        running = control.find()
        if running is None or not (running.folder / "customer" / "pantheon.toml").exists():
            return None
    return world(tell=progress)


def _vendors(outside: World) -> Iterator[Item]:
    """Each host, each token and the database's hosts; side by side, since each of them may be slow to answer."""
    config = outside.config
    name = next(iter(sorted(set(config.environments) - {"production"})), "production")
    environment = config.environments[name]
    questions = dict(token_reach.questions(outside, environment))
    unasked = [
        one for one in OPTIONAL_TOKENS if environment.openrouter is None and one not in outside.credentials.tokens
    ]
    for token in unasked:
        del questions[token]
    held = {token: one.host for token, one in questions.items() if token in outside.credentials.tokens}
    doors = host_reach.tried_apis(held, outside.reach)
    calls = {token: partial(_asked, outside, token, one, doors.get(token)) for token, one in questions.items()}
    calls["database hosts"] = partial(_databases, outside, environment, doors.get("SUPABASE_ACCESS_TOKEN"))
    answers = host_reach.side_by_side(calls, seconds=_ANSWER_SECONDS)
    yield from (Item(f"host {door.host}", door.answer, "" if door.is_reached else _NETWORK) for door in doors.values())
    for subject in calls:
        yield from answers.get(subject, (Item(subject, f"no answer within {_ANSWER_SECONDS:.0f} seconds", _SLOW),))
    yield from (Item(token, f"none; environments.{name}.openrouter asks for no key") for token in unasked)


def _asked(outside: World, token: str, question: Question, door: Tried | None) -> tuple[Item, ...]:
    try:
        held = outside.credentials.token(token)
    except RunbookError as error:
        return (missing(token, error),)
    source = f"from {outside.credentials.source}"
    if door is not None and not door.is_reached:
        return (Item(token, f"{source}; not asked, since {door.host} {door.answer}", _NETWORK),)
    seconds = outside.config.policy.request_seconds
    client = reading_client(question.vendor, question.base_url, held, reach=outside.reach, timeout_seconds=seconds)
    registry = Registry()
    registry.add(held.reveal(), name=token)
    try:
        answer = token_reach.answered(question, client)
    except RunbookError as error:
        more = token_reach.said_all_the_same(question, client, error)
        return (Item(token, registry.redact(f"{error.what} {error.why}") + more, error.next_step),)
    finally:
        client.close()
    return (Item(token, f"{source}; {answer}"),)


def _databases(outside: World, environment: Environment, door: Tried | None) -> tuple[Item, ...]:
    """What Supabase does not tell is no fault of its own here: its token says why."""
    token = outside.credentials.tokens.get("SUPABASE_ACCESS_TOKEN")
    if token is None or door is None or not door.is_reached:
        return (Item("database hosts", "not known: Supabase was not asked"),)
    seconds = outside.config.policy.request_seconds
    client = reading_client(supabase.VENDOR, supabase.BASE_URL, token, reach=outside.reach, timeout_seconds=seconds)
    try:
        ref = supabase.ref_of(client, environment.supabase)
        pooler = supabase.pooler_of(client, ref) if ref else None
    except RunbookError:
        return (Item("database hosts", "not known: Supabase did not tell"),)
    finally:
        client.close()
    if ref is None or pooler is None:
        return (Item("database hosts", "none yet, or none that answers; RB-010 makes them"),)
    tried = host_reach.tried_databases(ref, pooler.host, outside.resolve, outside.reach)
    return tuple(host_reach.database_item(name, one) for name, one in tried.items())
